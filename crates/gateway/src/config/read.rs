//! From the tree to typed values, going on after a fault.
//!
//! [`read`] reads the tree again and again, each time without the node at fault, until the rest is sound or nothing is left:
//! so every fault is told in one go, and no fault follows from another one.

use std::fmt;

use fingerpost_signals::Problem;
use serde::{
    Deserialize,
    de::{
        self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess,
        Unexpected, VariantAccess, Visitor, value::StrDeserializer,
    },
    forward_to_deserialize_any,
};

use super::{
    node::{Node, Value},
    span::is_secretive,
};

/// Reads a `T`, reporting every fault; `None` where the faults leave nothing to read. The flag of a problem says whether it is
/// about the key rather than the value.
pub(super) fn read<T: for<'de> Deserialize<'de>>(
    root: &mut Node,
    problems: &mut Vec<(Problem, bool)>,
) -> Option<T> {
    loop {
        let flaw = match T::deserialize(Reader(root)) {
            Ok(value) => return Some(value),
            Err(flaw) => flaw,
        };
        let (aside, problem) = judge(root, flaw, problems);
        problems.extend(problem);
        if !root.set_aside(&aside) || root.is_aside {
            return None;
        }
    }
}

/// What to set aside, and what to say.
fn judge(root: &Node, flaw: Flaw, so_far: &[(Problem, bool)]) -> (String, Option<(Problem, bool)>) {
    let path = flaw.path.unwrap_or_default();
    let node = root.at(&path);
    let shown = node.map(Node::shown).unwrap_or_default();
    match flaw.kind {
        Kind::UnknownField { field, known } => {
            // Of an enum that was buffered before it was read, the path ends at the enum.
            let own = node
                .filter(|node| node.key_is(&field))
                .or_else(|| node?.with_key(&field));
            let path = own.map_or(path, |node| node.path.clone());
            if known.contains(&"api_key_env") && (is_secretive(&field) || field == "key") {
                let message = "a secret does not belong in this file:";
                let allowed = "`api_key_env` with the name of the environment variable that holds it";
                let problem = Problem::error(path.clone(), message)
                    .found(field)
                    .allowed(allowed);
                return (path, Some((problem, true)));
            }
            let problem = Problem::error(path.clone(), "unknown key").one_of(field, known.iter().copied());
            (path, Some((problem, true)))
        }
        Kind::MissingField(field) => {
            let lost = format!("{path}{}{field}", if path.is_empty() { "" } else { "." });
            // A key that was there but faulty, or is there but misspelt, has been reported already.
            let is_misspelt = |(told, _): &(Problem, bool)| {
                told.suggestion.as_deref() == Some(field)
                    && told.path.rfind('.').map_or("", |end| &told.path[..end]) == path
            };
            let known = root.at(&lost).is_some() || so_far.iter().any(is_misspelt);
            let message = format!("the key `{field}` is missing");
            let problem = Problem::error(path.clone(), message).allowed("this key is required");
            (path, (!known).then_some((problem, true)))
        }
        Kind::UnknownVariant { found, known } => {
            // Of an enum that was buffered before it was read, the path ends at the enum: its tag is among the children.
            let is_tag = |child: &&Node| matches!(&child.value, Value::Text(text) if *text == found);
            let own = node.and_then(|node| node.children().find(is_tag)).or(node);
            let found = own
                .filter(|node| node.from_environment)
                .map_or(found, Node::shown);
            let path = own.map_or(path, |node| node.path.clone());
            let problem = Problem::error(path.clone(), "unknown value").one_of(found, known.iter().copied());
            (path, Some((problem, false)))
        }
        Kind::Unfit {
            what,
            expected,
            found,
        } => {
            // Likewise: the value in question is among the children.
            let own = node
                .filter(|node| node.is_hollow())
                .zip(found)
                .and_then(|(node, found)| node.with_value(&found));
            let (path, shown) = own.map_or((path, shown), |own| (own.path.clone(), own.shown()));
            let problem = Problem::error(path.clone(), what)
                .found(shown)
                .allowed(in_words(&expected));
            (path, Some((problem, false)))
        }
        Kind::Said(message) => {
            let problem = Problem::error(path.clone(), message.trim_end_matches('.').to_owned());
            let needs_found = node.is_some_and(|node| !node.is_hollow())
                && !message.contains(shown.trim_matches(['"', '\'']));
            let problem = if needs_found {
                problem.found(shown)
            } else {
                problem
            };
            (path, Some((problem, false)))
        }
    }
}

/// What Serde and derived code call the kinds of values, as a person would.
fn in_words(expected: &str) -> String {
    let name = expected
        .trim_start_matches("struct ")
        .trim_start_matches("a ")
        .trim_start_matches("an ");
    let words = match name {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "nonzero usize" | "nonzero u32" | "nonzero u64" => "a whole number, 1 or more",
        "f32" | "f64" => "a number",
        "boolean" => "true or false",
        "string" | "borrowed string" => "a text",
        "sequence" => "a list",
        "map" => "a mapping of keys to values",
        _ if expected.starts_with("internally tagged enum") => "a mapping whose tag names the kind",
        "duration" => "a duration such as 250ms, 30s or 5m",
        "socket address" => "an address with a port, such as 127.0.0.1:8080",
        _ if expected.starts_with("struct ") => "a mapping of keys to values",
        _ => return expected.to_owned(),
    };
    words.to_owned()
}

/// The text of a scalar that was not expected.
fn scalar(found: Unexpected<'_>) -> Option<String> {
    match found {
        Unexpected::Str(text) => Some(text.to_owned()),
        Unexpected::Bool(value) => Some(value.to_string()),
        Unexpected::Unsigned(value) => Some(value.to_string()),
        Unexpected::Signed(value) => Some(value.to_string()),
        Unexpected::Float(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Why a node cannot be read.
#[derive(Debug)]
struct Flaw {
    /// `None` until the reader that knows it adds it.
    path: Option<String>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    UnknownField {
        field: String,
        known: &'static [&'static str],
    },
    MissingField(&'static str),
    UnknownVariant {
        found: String,
        known: &'static [&'static str],
    },
    Unfit {
        what: &'static str,
        expected: String,
        found: Option<String>,
    },
    Said(String),
}

/// Reads one node.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a Node);

/// Reads the key of a node.
#[derive(Clone, Copy)]
struct KeyReader<'a>(&'a str, &'a Node);

struct Items<'a>(std::slice::Iter<'a, Node>);

struct Entries<'a> {
    rest: std::slice::Iter<'a, (String, Node)>,
    current: Option<&'a Node>,
}

#[derive(Clone, Copy)]
struct Variant<'a> {
    name: &'a str,
    at: &'a Node,
    content: Option<&'a Node>,
}

// === impl Node ===

impl Node {
    fn key_is(&self, key: &str) -> bool {
        self.key.is_some()
            && self
                .path
                .strip_suffix(key)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

// === impl Flaw ===

impl Flaw {
    fn of(kind: Kind) -> Self {
        Self { path: None, kind }
    }

    fn unfit(what: &'static str, expected: &dyn Expected, found: Option<String>) -> Self {
        Self::of(Kind::Unfit {
            what,
            expected: expected.to_string(),
            found,
        })
    }

    /// The path is that of the innermost reader through which the flaw passes.
    fn at(mut self, node: &Node) -> Self {
        self.path.get_or_insert_with(|| node.path.clone());
        self
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::UnknownField { field, .. } => write!(f, "unknown key `{field}`"),
            Kind::MissingField(field) => write!(f, "the key `{field}` is missing"),
            Kind::UnknownVariant { found, .. } => write!(f, "unknown value `{found}`"),
            Kind::Unfit { what, expected, .. } => write!(f, "{what}; expected {}", in_words(expected)),
            Kind::Said(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Flaw {}

impl de::Error for Flaw {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::of(Kind::Said(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::unfit("value of the wrong kind", expected, scalar(found))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::unfit("value that is not allowed", expected, scalar(found))
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::unfit("list of the wrong length", expected, None)
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Self::of(Kind::UnknownVariant {
            found: found.to_owned(),
            known,
        })
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::of(Kind::UnknownField {
            field: field.to_owned(),
            known,
        })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::of(Kind::MissingField(field))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::of(Kind::Said(format!("the key `{field}` stands twice")))
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Flaw> {
        match &self.0.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items(items.iter())),
            Value::Mapping(entries) => visitor.visit_map(Entries {
                rest: entries.iter(),
                current: None,
            }),
        }
    }
}

impl<'a> Deserializer<'a> for Reader<'a> {
    type Error = Flaw;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Flaw> {
        self.any(visitor).map_err(|flaw| flaw.at(self.0))
    }

    /// A number or `true` where a text is expected is that text, as written.
    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Flaw> {
        let read = match &self.0.value {
            Value::Bool(_) | Value::Integer(_) | Value::Unsigned(_) | Value::Float(_) => {
                visitor.visit_borrowed_str(&self.0.literal)
            }
            _ => self.any(visitor),
        };
        read.map_err(|flaw| flaw.at(self.0))
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Flaw> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Flaw> {
        let read = match &self.0.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        };
        read.map_err(|flaw| flaw.at(self.0))
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        visitor.visit_newtype_struct(self).map_err(|flaw| flaw.at(self.0))
    }

    /// A key with nothing after it is an empty list: all items may be commented out.
    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Flaw> {
        let read = match &self.0.value {
            Value::Null => visitor.visit_seq(Items([].iter())),
            _ => self.any(visitor),
        };
        read.map_err(|flaw| flaw.at(self.0))
    }

    /// A key with nothing after it is an empty mapping: all entries may be commented out.
    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Flaw> {
        let read = match &self.0.value {
            Value::Null => visitor.visit_map(Entries {
                rest: [].iter(),
                current: None,
            }),
            _ => self.any(visitor),
        };
        read.map_err(|flaw| flaw.at(self.0))
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        // A derived struct would take a list for its fields in order; in a file for people that is a mistake.
        if let Value::List(_) = &self.0.value {
            return Err(Flaw::unfit("value of the wrong kind", &"map", None).at(self.0));
        }
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        let entries = match &self.0.value {
            Value::Mapping(entries) => &entries[..],
            _ => &[],
        };
        let read = match (&self.0.value, entries) {
            (Value::Text(name), _) => visitor.visit_enum(Variant {
                name,
                at: self.0,
                content: None,
            }),
            (_, [(name, content)]) => visitor.visit_enum(Variant {
                name,
                at: self.0,
                content: Some(content),
            }),
            _ => Err(de::Error::invalid_type(Unexpected::Other("this"), &"a name")),
        };
        read.map_err(|flaw| flaw.at(self.0))
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
        ignored_any
    }
}

// === impl KeyReader ===

impl<'a> Deserializer<'a> for KeyReader<'a> {
    type Error = Flaw;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Flaw> {
        visitor
            .visit_borrowed_str(self.0)
            .map_err(|flaw: Flaw| flaw.at(self.1))
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        visitor.visit_newtype_struct(self).map_err(|flaw| flaw.at(self.1))
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        let name: StrDeserializer<'_, Flaw> = self.0.into_deserializer();
        visitor.visit_enum(name).map_err(|flaw| flaw.at(self.1))
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

// === impl Items ===

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = Flaw;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Flaw> {
        let next = self.0.find(|node| !node.is_aside);
        next.map(|node| seed.deserialize(Reader(node)).map_err(|flaw| flaw.at(node)))
            .transpose()
    }
}

// === impl Entries ===

impl<'a> MapAccess<'a> for Entries<'a> {
    type Error = Flaw;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Flaw> {
        let Some((key, node)) = self.rest.find(|(_, node)| !node.is_aside) else {
            return Ok(None);
        };
        self.current = Some(node);
        seed.deserialize(KeyReader(key, node))
            .map(Some)
            .map_err(|flaw| flaw.at(node))
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Flaw> {
        let node = self
            .current
            .take()
            .ok_or_else(|| Flaw::of(Kind::Said("a value without a key".to_owned())))?;
        seed.deserialize(Reader(node)).map_err(|flaw| flaw.at(node))
    }
}

// === impl Variant ===

impl<'a> EnumAccess<'a> for Variant<'a> {
    type Error = Flaw;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Result<(V::Value, Self), Flaw> {
        let name = KeyReader(self.name, self.content.unwrap_or(self.at));
        seed.deserialize(name).map(|value| (value, self))
    }
}

impl<'a> Variant<'a> {
    fn content(&self) -> Result<Reader<'a>, Flaw> {
        let missing =
            || Flaw::of(Kind::Said(format!("`{}` needs a value of its own", self.name))).at(self.at);
        self.content.map(Reader).ok_or_else(missing)
    }
}

impl<'a> VariantAccess<'a> for Variant<'a> {
    type Error = Flaw;

    fn unit_variant(self) -> Result<(), Flaw> {
        match self.content {
            None => Ok(()),
            Some(node) if matches!(node.value, Value::Null) => Ok(()),
            Some(node) => Err(Flaw::of(Kind::Said(format!("`{}` takes no value", self.name))).at(node)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value, Flaw> {
        seed.deserialize(self.content()?)
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, Flaw> {
        self.content()?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        self.content()?.deserialize_map(visitor)
    }
}
