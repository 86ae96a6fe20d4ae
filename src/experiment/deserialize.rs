//! Reads settings from the tree of what was typed, and says at which key path reading failed.
//!
//! A [`Value::Hole`] deserialises as any type, so that one fault need not hide the next.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Expected, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::document::{KeyPath, Node, Value};

/// Says what kept a value from being read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    /// The innermost value that could not be read.
    pub(crate) path: Option<KeyPath>,
    pub(crate) kind: Kind,
}

/// Kinds of problem, with what a remedy needs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// The table has a key that its type does not know.
    UnknownKey { name: String, allowed: &'static [&'static str] },
    /// A choice has no such variant.
    UnknownChoice { name: String, allowed: &'static [&'static str] },
    /// A choice is neither a word nor a table with one key.
    NoChoice { found: String, allowed: &'static [&'static str] },
    /// A choice that needs a table was written as a word, or the reverse.
    ChoiceForm { name: String, needs_table: bool },
    /// The setting is a table with keys.
    NoTable { found: String, keys: &'static [&'static str] },
    /// The value has another type or range than the setting.
    Type { found: String, expected: String },
    /// The table lacks a key that has no default.
    Missing(&'static str),
    /// Anything else serde reports.
    Other(String),
}

impl Problem {
    fn new(kind: Kind) -> Self {
        Self { path: None, kind }
    }

    /// Notes the place unless a more inner one is known.
    fn at(mut self, path: &KeyPath) -> Self {
        self.path.get_or_insert_with(|| path.clone());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Kind::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Kind::Type { found: in_words(found), expected: expectation(&expected.to_string()) })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(name: &str, allowed: &'static [&'static str]) -> Self {
        let name = name.to_owned();
        Self::new(Kind::UnknownChoice { name, allowed })
    }

    fn unknown_field(name: &str, allowed: &'static [&'static str]) -> Self {
        let name = name.to_owned();
        Self::new(Kind::UnknownKey { name, allowed })
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(Kind::Missing(name))
    }
}

/// Characters of a wrong text that a message shows.
const SHOWN: usize = 40;

fn in_words(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value:?}"),
        Unexpected::Str(text) => {
            let start: String = text.chars().take(SHOWN).collect();
            let rest = if start.len() < text.len() { "..." } else { "" };
            format!("the text {:?}", start + rest)
        }
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

/// Says in a user's words what serde's derived code expects.
fn expectation(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number (0 or more)".to_owned(),
        "i64" | "i32" => "a whole number".to_owned(),
        "f64" | "f32" => "a number".to_owned(),
        "a string" => "text in quotes".to_owned(),
        "path string" => "a path in quotes".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        other if other.starts_with("struct ") => "a table".to_owned(),
        other => other.to_owned(),
    }
}

/// Deserialises one node.
pub(crate) struct Reader<'a> {
    node: &'a Node,
    path: KeyPath,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(root: &'a Node) -> Self {
        Self { node: root, path: KeyPath::default() }
    }

    fn is_hole(&self) -> bool {
        self.node.value == Value::Hole
    }

    /// Picks the variant of a choice: the only key, or where a base chose another one, the
    /// latest stated.
    fn choice(&self, variants: &'static [&'static str]) -> Result<(&'a str, Option<&'a Node>), Problem> {
        let found = match &self.node.value {
            Value::String(name) => return Ok((name, None)),
            Value::Hole => {
                return Ok((variants.first().copied().unwrap_or_default(), Some(self.node)));
            }
            Value::Table(table) => {
                let latest = table.values().map(|node| node.layer).max();
                let mut latest = table.iter().filter(|(_, node)| Some(node.layer) == latest);
                match (latest.next(), latest.count()) {
                    (Some((name, node)), 0) => return Ok((name, Some(node))),
                    (None, _) => "an empty table".to_owned(),
                    _ => super::nearest::listed(table.keys().map(String::as_str)),
                }
            }
            _ => self.found(),
        };
        let allowed = variants;
        Err(Problem::new(Kind::NoChoice { found, allowed }))
    }

    /// Names what stands here.
    fn found(&self) -> String {
        match &self.node.value {
            Value::String(text) => in_words(Unexpected::Str(text)),
            Value::Integer(value) => format!("the number {value}"),
            Value::Float(value) => format!("the number {value:?}"),
            Value::Boolean(value) => format!("`{value}`"),
            Value::Datetime(_) => "a date".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            Value::Table(_) | Value::Hole => "a table".to_owned(),
        }
    }
}

macro_rules! hole_or_any {
    ($($method:ident($($argument:ident: $type:ty),*) => $hole:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, Problem> {
            if self.is_hole() {
                let hole: fn(V) -> Result<V::Value, Problem> = $hole;
                $(let _ = $argument;)*
                return hole(visitor).map_err(|problem| problem.at(&self.path));
            }
            self.deserialize_any(visitor)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Reader<'de> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let node = self.node;
        let read = match &node.value {
            Value::Hole => visitor.visit_unit(),
            Value::String(text) => visitor.visit_str(text),
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::Float(number) => visitor.visit_f64(*number),
            // TOML has no larger ones: a seed of 2^63 could be read and not be written back.
            Value::Integer(number) => match i64::try_from(*number) {
                Ok(number) => visitor.visit_i64(number),
                Err(_) => {
                    let found = Unexpected::Other("a number beyond 64 bits with sign");
                    Err(de::Error::invalid_value(found, &visitor))
                }
            },
            Value::Datetime(_) => Err(de::Error::invalid_type(Unexpected::Other("a date"), &visitor)),
            Value::Array(items) => visitor.visit_seq(Items { items: items.iter().enumerate(), path: &self.path }),
            Value::Table(table) => {
                let mut entries: Vec<(&String, &Node)> = table.iter().collect();
                // As they were typed: factors and their levels keep their order.
                entries.sort_by_key(|(_, node)| node.key.as_ref().map(|key| (key.source, key.span.start)));
                visitor.visit_map(Entries { entries: entries.into_iter(), value: None, path: &self.path })
            }
        };
        read.map_err(|problem| problem.at(&self.path))
    }

    hole_or_any! {
        deserialize_bool() => |v| v.visit_bool(false);
        deserialize_i64() => |v| v.visit_i64(1);
        deserialize_u32() => |v| v.visit_u32(1);
        deserialize_u64() => |v| v.visit_u64(1);
        deserialize_f64() => |v| v.visit_f64(1.0);
        deserialize_str() => |v| v.visit_str("");
        deserialize_string() => |v| v.visit_str("");
        deserialize_seq() => |v| v.visit_seq(Items { items: [].iter().enumerate(), path: &KeyPath::default() });
        deserialize_map() => |v| v.visit_map(Entries::empty());
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match &self.node.value {
            Value::Table(_) => self.deserialize_any(visitor),
            // Every key is there and reads as any type, so that none is missing.
            Value::Hole => visitor.visit_map(Holes { fields: fields.iter(), node: self.node }),
            _ => Err(Problem::new(Kind::NoTable { found: self.found(), keys: fields }).at(&self.path)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        if self.is_hole() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let path = self.path.clone();
        let (name, content) = self.choice(variants).map_err(|problem| problem.at(&path))?;
        let path_inside = match content {
            Some(_) if !self.is_hole() => path.key(name),
            _ => path.clone(),
        };
        let choice = Choice { name, content, path: path_inside };
        visitor.visit_enum(choice).map_err(|problem| problem.at(&path))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct
        identifier ignored_any
    }
}

struct Items<'p, I> {
    items: I,
    path: &'p KeyPath,
}

impl<'de, I: Iterator<Item = (usize, &'de Node)>> de::SeqAccess<'de> for Items<'_, I> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Problem> {
        let Some((index, node)) = self.items.next() else {
            return Ok(None);
        };
        let path = self.path.index(index);
        seed.deserialize(Reader { node, path }).map(Some)
    }
}

struct Entries<'p, 'de> {
    entries: std::vec::IntoIter<(&'de String, &'de Node)>,
    value: Option<(&'de String, &'de Node)>,
    path: &'p KeyPath,
}

impl Entries<'_, '_> {
    fn empty() -> Self {
        const ROOT: &KeyPath = &KeyPath(Vec::new());
        Self { entries: Vec::new().into_iter(), value: None, path: ROOT }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'_, 'de> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        self.value = self.entries.next();
        let Some((key, _)) = self.value else {
            return Ok(None);
        };
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let (key, node) =
            self.value.take().ok_or_else(|| <Problem as de::Error>::custom("value read before its key"))?;
        let path = self.path.key(key);
        seed.deserialize(Reader { node, path })
    }
}

/// Gives every field of a struct the same hole.
struct Holes<'de> {
    fields: std::slice::Iter<'static, &'static str>,
    node: &'de Node,
}

impl<'de> de::MapAccess<'de> for Holes<'de> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        let field = self.fields.next();
        field.map(|field| seed.deserialize(StrDeserializer::new(field))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        seed.deserialize(Reader::new(self.node))
    }
}

struct Choice<'de> {
    name: &'de str,
    content: Option<&'de Node>,
    path: KeyPath,
}

impl Choice<'_> {
    fn form(&self, needs_table: bool) -> Problem {
        let name = self.name.to_owned();
        Problem::new(Kind::ChoiceForm { name, needs_table })
    }
}

impl<'de> de::EnumAccess<'de> for Choice<'de> {
    type Error = Problem;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Problem> {
        let variant = seed.deserialize(StrDeserializer::new(self.name))?;
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for Choice<'de> {
    type Error = Problem;

    fn unit_variant(self) -> Result<(), Problem> {
        match self.content {
            Some(node) if node.value != Value::Hole => Err(self.form(false)),
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Problem> {
        match self.content {
            Some(node) => seed.deserialize(Reader { node, path: self.path }),
            None => Err(self.form(true)),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Problem> {
        let _ = (len, visitor);
        Err(de::Error::custom("choices with unnamed values are not read"))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Problem> {
        match self.content {
            Some(node) => de::Deserializer::deserialize_struct(Reader { node, path: self.path }, "", fields, visitor),
            None => Err(self.form(true)),
        }
    }
}
