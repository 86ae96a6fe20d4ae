//! JSON in which no object may have a key twice: of two values, one would be passed over in silence.

use std::cell::RefCell;
use std::fmt;
use std::io::Read;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads any value; leaves the name of a key that an object has twice.
#[derive(Clone, Copy)]
struct Strict<'a>(&'a RefCell<Option<String>>);

/// Parses `text`.
///
/// # Errors
/// What is no JSON, or a key given twice, whose name then comes with the error.
pub(crate) fn parse(text: &str) -> Result<Value, (serde_json::Error, Option<String>)> {
    let twice = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict(&twice).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| (error, twice.take()))
}

/// Goes through the elements of a list, until `take` returns false, without holding more than one of them.
///
/// # Errors
/// As for [`parse`]; a list that was not read to its end is an error, too.
pub(crate) fn elements(
    reader: impl Read,
    take: impl FnMut(Value) -> bool,
) -> Result<(), (serde_json::Error, Option<String>)> {
    let twice = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_reader(reader);
    let read = reader.deserialize_seq(Elements { element: Strict(&twice), take });
    read.and_then(|()| reader.end()).map_err(|error| (error, twice.take()))
}

struct Elements<'a, F> {
    element: Strict<'a>,
    take: F,
}

impl<'de, F: FnMut(Value) -> bool> Visitor<'de> for Elements<'_, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while let Some(value) = items.next_element_seed(self.element)? {
            if !(self.take)(value) {
                return Err(A::Error::custom("the rest of the list is not read"));
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(self)? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if values.contains_key(&key) {
                *self.0.borrow_mut() = Some(key);
                return Err(A::Error::custom("a key is given twice"));
            }
            values.insert(key, members.next_value_seed(self)?);
        }
        Ok(values.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_that_of_the_lenient_reader() {
        let text = r#" {"a": [1, -2, 1.5, 18446744073709551615, true, null, "é\n"], "b": {"a": {}}} "#;
        assert_eq!(parse(text).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        for wrong in ["", "{", "[1] 2", "{\"a\": 1e999}", "{1: 2}"] {
            let (error, twice) = parse(wrong).unwrap_err();
            assert_eq!(error.to_string(), serde_json::from_str::<Value>(wrong).unwrap_err().to_string());
            assert_eq!(twice, None);
        }
    }

    #[test]
    fn the_elements_of_a_list_are_those_of_its_value_until_one_is_refused() {
        let text = r#" [{"a": 1}, [2], "é", null] "#;
        let mut found = Vec::new();
        let mut take = |most: usize| {
            let mut left = most;
            let read = elements(text.as_bytes(), |value| {
                found.push(value);
                left -= 1;
                left > 0
            });
            (std::mem::take(&mut found), read.is_ok())
        };
        let all: Vec<Value> = serde_json::from_str(text).unwrap();
        assert_eq!(take(10), (all.clone(), true));
        assert_eq!(take(2), (all[..2].to_vec(), false));
        let (error, twice) = elements("[1,\n {\"c\": 1, \"c\": 1}]".as_bytes(), |_| true).unwrap_err();
        assert_eq!((error.line(), twice.as_deref()), (2, Some("c")));
        assert!(elements("[1] 2".as_bytes(), |_| true).is_err());
    }

    #[test]
    fn a_key_given_twice_is_named_with_its_place() {
        let (error, twice) = parse("{\"a\": 1,\n \"b\": [{\"c\": 1, \"c\": 1}]}").unwrap_err();
        assert_eq!((error.line(), twice.as_deref()), (2, Some("c")));
    }
}
