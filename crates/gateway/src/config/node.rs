//! The text as a tree in which every value knows its key path and its place.
//!
//! Why a tree of our own between the YAML parser and the typed configuration: a typed parse stops at the first error, while a
//! person wants to hear of all of them; a faulty node is set aside ([`Node::set_aside`]) and the rest is read again. It also
//! keeps the text of scalars as written, so that a model called `4.10` keeps its name.

use std::fmt;

use fingerpost_signals::Problem;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{DuplicateKeyPolicy, Location, NonFiniteFloatPolicy, Options, Spanned};

use super::span::{Place, is_secretive};

/// A value in its place.
#[derive(Debug)]
pub(super) struct Node {
    /// `models.gpt.endpoints[0].provider`; empty for the whole.
    pub(super) path: String,
    /// Where its key stands, if it has one.
    pub(super) key: Option<Place>,
    /// Where it stands itself.
    pub(super) place: Place,
    /// A scalar as written in the file, quotes included; empty for lists and mappings.
    pub(super) written: String,
    /// An unquoted scalar as a text, with the variables put in.
    pub(super) literal: String,
    pub(super) value: Value,
    /// Whether variables of the environment were put into it: then its value is never shown.
    pub(super) from_environment: bool,
    /// Not read any more, because it is faulty and has been reported.
    pub(super) is_aside: bool,
}

/// What kinds of values YAML has.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Mapping(Vec<(String, Node)>),
}

/// Why a text is no YAML at all.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) message: String,
    pub(super) place: Option<Place>,
}

/// Parses the text into a tree. Keys that stand twice are reported into `problems`; the first one is kept.
pub(super) fn parse(text: &str, problems: &mut Vec<(Problem, Place)>) -> Result<Node, SyntaxError> {
    let mut options = Options::default();
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    options.non_finite_float_policy = NonFiniteFloatPolicy::PassThrough;
    // Without this `no` (a language) and `on` would be read as booleans.
    options.strict_booleans = true;
    options.leading_zero_numbers_as_strings = true;
    options.underscored_numbers_as_strings = true;
    options.with_snippet = false;
    let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let message = error.without_snippet().to_string();
        // The place is said apart; the parser's own words repeat it at the end.
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        let message = if message.contains("multiple YAML documents") {
            "one document is expected, a second begins".to_owned()
        } else {
            message
        };
        SyntaxError {
            message,
            place: error.location().map(|at| place(at, "")),
        }
    })?;
    Ok(plant(text, raw, String::new(), None, problems))
}

/// What the parser hands over.
enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Raw>>),
    Mapping(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn plant(
    text: &str,
    raw: Spanned<Raw>,
    path: String,
    key: Option<Place>,
    problems: &mut Vec<(Problem, Place)>,
) -> Node {
    let mut written = String::new();
    let value = match raw.value {
        Raw::Scalar(value) => {
            written = source(text, raw.defined).to_owned();
            value
        }
        Raw::List(items) => {
            let child = |(i, item)| plant(text, item, format!("{path}[{i}]"), None, problems);
            Value::List(items.into_iter().enumerate().map(child).collect())
        }
        Raw::Mapping(entries) => {
            let mut kept: Vec<(String, Node)> = Vec::with_capacity(entries.len());
            for (name, value) in entries {
                let at = place(name.defined, source(text, name.defined));
                let path = if path.is_empty() {
                    name.value.clone()
                } else {
                    format!("{path}.{}", name.value)
                };
                if let Some((_, first)) = kept.iter().find(|(known, _)| *known == name.value) {
                    let line = first.key.map_or(0, |place| place.line);
                    let problem = Problem::error(path, format!("key that already stands in line {line}:"))
                        .found(name.value)
                        .allowed("each key once");
                    problems.push((problem, at));
                } else {
                    let node = plant(text, value, path, Some(at), problems);
                    kept.push((name.value, node));
                }
            }
            Value::Mapping(kept)
        }
    };
    let place = place(raw.defined, &written);
    let literal = written.trim().to_owned();
    Node {
        path,
        key,
        place,
        written,
        literal,
        value,
        from_environment: false,
        is_aside: false,
    }
}

fn source(text: &str, at: Location) -> &str {
    let span = at.span();
    let range = span.byte_offset().zip(span.byte_len());
    let slice = range.and_then(|(from, length)| {
        let from = usize::try_from(from).ok()?;
        text.get(from..from + usize::try_from(length).ok()?)
    });
    slice.unwrap_or_default()
}

fn place(at: Location, written: &str) -> Place {
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).max(1);
    let length = written
        .lines()
        .next()
        .map_or(0, |line| line.trim_end().chars().count());
    Place {
        line: number(at.line()),
        column: number(at.column()),
        length: length.max(1),
    }
}

// === impl Node ===

impl Node {
    pub(super) fn children(&self) -> impl Iterator<Item = &Self> {
        let (list, mapping) = match &self.value {
            Value::List(items) => (&items[..], &[][..]),
            Value::Mapping(entries) => (&[][..], &entries[..]),
            _ => (&[][..], &[][..]),
        };
        list.iter().chain(mapping.iter().map(|(_, node)| node))
    }

    fn children_mut(&mut self) -> impl Iterator<Item = &mut Self> {
        let (list, mapping) = match &mut self.value {
            Value::List(items) => (&mut items[..], &mut [][..]),
            Value::Mapping(entries) => (&mut [][..], &mut entries[..]),
            _ => (&mut [][..], &mut [][..]),
        };
        list.iter_mut().chain(mapping.iter_mut().map(|(_, node)| node))
    }

    /// Every node, this one first.
    pub(super) fn walk_mut(&mut self, visit: &mut dyn FnMut(&mut Self)) {
        visit(self);
        for child in self.children_mut() {
            child.walk_mut(visit);
        }
    }

    /// The node of this path.
    pub(super) fn at(&self, path: &str) -> Option<&Self> {
        if self.path == path {
            return Some(self);
        }
        self.children().find_map(|child| child.at(path))
    }

    /// The nearest node at or beneath this one whose own key is `key`.
    pub(super) fn with_key(&self, key: &str) -> Option<&Self> {
        let own = match &self.value {
            Value::Mapping(entries) => entries.iter().find(|(name, node)| name == key && !node.is_aside),
            _ => None,
        };
        own.map(|(_, node)| node)
            .or_else(|| self.children().find_map(|child| child.with_key(key)))
    }

    /// The first scalar beneath this node that reads so.
    pub(super) fn with_value(&self, text: &str) -> Option<&Self> {
        let reads_so = |node: &&Self| match &node.value {
            Value::Text(own) => own == text,
            Value::List(_) | Value::Mapping(_) | Value::Null => false,
            _ => node.literal == text,
        };
        self.children()
            .find(reads_so)
            .or_else(|| self.children().find_map(|child| child.with_value(text)))
    }

    /// Takes the node of this path out of what is read. Returns whether that changed anything.
    pub(super) fn set_aside(&mut self, path: &str) -> bool {
        if self.path == path {
            return !std::mem::replace(&mut self.is_aside, true);
        }
        self.children_mut().any(|child| child.set_aside(path))
    }

    /// Whether it has no extent of its own to point at.
    pub(super) fn is_hollow(&self) -> bool {
        matches!(self.value, Value::Null | Value::List(_) | Value::Mapping(_))
    }

    /// Where the characters of a scalar begin, when it is written in one line and without escapes.
    pub(super) fn text_place(&self) -> Option<Place> {
        let Value::Text(text) = &self.value else {
            return None;
        };
        let quote = usize::from(self.written.starts_with(['"', '\'']));
        let inner = self.written.get(quote..self.written.len().checked_sub(quote)?)?;
        (inner.trim_end() == text && !text.is_empty()).then(|| Place {
            column: self.place.column + quote,
            length: text.chars().count(),
            ..self.place
        })
    }

    /// What stands there, for a message: the text as written (never what a variable stands for), or the kind.
    pub(super) fn shown(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
            _ if !self.from_environment && is_secretive(self.path.rsplit('.').next().unwrap_or_default()) => {
                fingerpost_protocol::BLOT.to_owned()
            }
            _ => fingerpost_protocol::redact(self.written.trim()).into_owned(),
        }
    }
}

// === impl Raw ===

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Integer(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Unsigned(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = from.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Mapping(entries))
    }
}
