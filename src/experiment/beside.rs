//! Tables of any name beside settings that are known: read into a list, in the order of the file.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, forward_to_deserialize_any};

/// Reads a struct, and tables that are none of its fields into `tables`. Another value than a table is an
/// unknown field.
pub(super) struct Beside<'t, D, T> {
    deserializer: D,
    tables: &'t mut Vec<(String, T)>,
}

impl<'t, D, T> Beside<'t, D, T> {
    pub(super) fn new(deserializer: D, tables: &'t mut Vec<(String, T)>) -> Self {
        Self { deserializer, tables }
    }
}

impl<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default> Deserializer<'de> for Beside<'_, D, T> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserializer.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.deserializer.deserialize_struct(name, fields, Apart { visitor, fields, tables: self.tables })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Gives a visitor its fields and keeps the rest.
struct Apart<'t, V, T> {
    visitor: V,
    fields: &'static [&'static str],
    tables: &'t mut Vec<(String, T)>,
}

impl<'de, V: Visitor<'de>, T: Deserialize<'de> + Default> Visitor<'de> for Apart<'_, V, T> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Fields { map, fields: self.fields, tables: self.tables })
    }
}

struct Fields<'t, A, T> {
    map: A,
    fields: &'static [&'static str],
    tables: &'t mut Vec<(String, T)>,
}

impl<'de, A: MapAccess<'de>, T: Deserialize<'de> + Default> MapAccess<'de> for Fields<'_, A, T> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<String>()? {
            if self.fields.contains(&key.as_str()) {
                return seed.deserialize(key.into_deserializer()).map(Some);
            }
            match self.map.next_value::<IfTable<T>>()?.0 {
                Some(table) => self.tables.push((key, table)),
                None => return Err(de::Error::unknown_field(&key, self.fields)),
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// A table, or nothing where something else stands.
struct IfTable<T>(Option<T>);

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for IfTable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for Reading<T> {
            type Value = IfTable<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|table| IfTable(Some(table)))
            }

            // What could not be read and was told.
            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(IfTable(Some(T::default())))
            }

            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
                Ok(IfTable(None))
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
                Ok(IfTable(None))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
                Ok(IfTable(None))
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
                Ok(IfTable(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<de::IgnoredAny>()?.is_some() {}
                Ok(IfTable(None))
            }
        }

        deserializer.deserialize_any(Reading(PhantomData))
    }
}

/// Writes a list of named values as a table, in its order.
pub(super) struct Tables<'t, T>(pub(super) &'t [(String, T)]);

impl<T: Serialize> Serialize for Tables<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}
