//! Reading JSON by halves: an object as its keys in order with raw values, taken out one by one. What nobody takes is the
//! unknown rest, its bytes untouched.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{BadAnswer, BadRequest, bad_request::Path};

/// A string, borrowed where it has no escapes. (`Cow` alone always copies when it is read by serde.)
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Str<'a>(pub(crate) Cow<'a, str>);

/// A member with its raw value.
pub(crate) type Member<'a> = (Cow<'a, str>, &'a RawValue);

/// The members of an object.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a> {
    members: Vec<Member<'a>>,
}

/// A value of the wrong kind, with the way to it.
#[derive(Debug)]
pub(crate) struct Wrong {
    path: Path,
    problem: String,
}

/// What reading gives.
pub(crate) type Read<T> = Result<T, Wrong>;

/// Notes the way to an error.
pub(crate) trait Within<T> {
    /// Inside the member `key`.
    fn within(self, key: &'static str) -> Read<T>;
    /// Inside the element `index`.
    fn at(self, index: usize) -> Read<T>;
}

impl<T> Within<T> for Read<T> {
    fn within(self, key: &'static str) -> Self {
        self.map_err(|mut wrong| {
            let _ = wrong.path.key::<(), ()>(key, Err(()));
            wrong
        })
    }
    fn at(self, index: usize) -> Self {
        self.map_err(|mut wrong| {
            let _ = wrong.path.index::<(), ()>(index, Err(()));
            wrong
        })
    }
}

// === impl Wrong ===

impl Wrong {
    /// A problem in words: what was found and what is allowed.
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self {
            path: Path::default(),
            problem: problem.into(),
        }
    }

    /// A value that is not of the kind `allowed`.
    pub(crate) fn found(raw: &RawValue, allowed: &str) -> Self {
        let text = raw.get();
        let found = match text.as_bytes().first() {
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        };
        Self::new(format!("found {found}, allowed: {allowed}"))
    }

    fn text(&self) -> String {
        let path = self.path.to_string();
        if path.is_empty() {
            self.problem.clone()
        } else {
            format!("`{path}`: {}", self.problem)
        }
    }
}

impl From<Wrong> for BadRequest {
    fn from(wrong: Wrong) -> Self {
        let path = wrong.path.to_string();
        if path.is_empty() {
            Self::body(wrong.problem)
        } else {
            Self::field(path, wrong.problem)
        }
    }
}

impl From<Wrong> for BadAnswer {
    fn from(wrong: Wrong) -> Self {
        Self::new(&wrong.text())
    }
}

// === impl Str ===

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Str<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, s: &'de str) -> Result<Self::Value, E> {
                Ok(Str(Cow::Borrowed(s)))
            }
            fn visit_str<E>(self, s: &str) -> Result<Self::Value, E> {
                Ok(Str(Cow::Owned(s.to_owned())))
            }
        }
        d.deserialize_str(Reader)
    }
}

// === impl Fields ===

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((key, raw)) = map.next_entry::<Str<'de>, &'de RawValue>()? {
                    members.push((key.0, raw));
                }
                Ok(Fields { members })
            }
        }
        d.deserialize_map(Reader)
    }
}

impl<'a> Fields<'a> {
    /// The members of the object that `raw` is.
    pub(crate) fn of(raw: &'a RawValue) -> Read<Self> {
        serde_json::from_str(raw.get()).map_err(|_| Wrong::found(raw, "an object"))
    }

    /// Whether some key stands twice.
    pub(crate) fn has_twins(&self) -> bool {
        let mut members = self.members.iter().enumerate();
        members.any(|(i, (key, _))| self.members[..i].iter().any(|(k, _)| k == key))
    }

    /// Takes a member out. `null` counts as absent. Of members that share a key the last counts.
    pub(crate) fn take(&mut self, key: &str) -> Option<&'a RawValue> {
        let mut found = None;
        while let Some(i) = self.members.iter().position(|(k, _)| k == key) {
            found = Some(self.members.remove(i).1);
        }
        found.filter(|raw| raw.get() != "null")
    }

    fn take_as<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'a RawValue) -> Read<T>,
    ) -> Read<Option<T>> {
        self.take(key).map(read).transpose().within(key)
    }

    pub(crate) fn text(&mut self, key: &'static str) -> Read<Option<Cow<'a, str>>> {
        self.take_as(key, text)
    }

    pub(crate) fn number(&mut self, key: &'static str) -> Read<Option<u32>> {
        let read = |raw: &'a RawValue| {
            serde_json::from_str(raw.get())
                .map_err(|_| Wrong::found(raw, "a whole number from 0 to 4294967295"))
        };
        self.take_as(key, read)
    }

    pub(crate) fn flag(&mut self, key: &'static str) -> Read<Option<bool>> {
        let read = |raw: &'a RawValue| {
            serde_json::from_str(raw.get()).map_err(|_| Wrong::found(raw, "true or false"))
        };
        self.take_as(key, read)
    }

    /// A number of any kind, as it is written.
    pub(crate) fn real(&mut self, key: &'static str) -> Read<Option<f64>> {
        let read =
            |raw: &'a RawValue| serde_json::from_str(raw.get()).map_err(|_| Wrong::found(raw, "a number"));
        self.take_as(key, read)
    }

    pub(crate) fn object(&mut self, key: &'static str) -> Read<Option<Fields<'a>>> {
        self.take_as(key, Fields::of)
    }

    pub(crate) fn array(&mut self, key: &'static str) -> Read<Option<Vec<&'a RawValue>>> {
        self.take_as(key, array)
    }

    /// A member that must be there.
    pub(crate) fn need<T>(&mut self, key: &'static str, found: Option<T>) -> Read<T> {
        found.ok_or_else(|| Wrong::new("missing")).within(key)
    }

    pub(crate) fn need_text(&mut self, key: &'static str) -> Read<Cow<'a, str>> {
        let found = self.text(key)?;
        self.need(key, found)
    }

    /// What nobody took.
    pub(crate) fn rest(self) -> Vec<Member<'a>> {
        self.members
            .into_iter()
            .filter(|(_, raw)| raw.get() != "null")
            .collect()
    }

    /// Every member that nobody took, those that are `null` too.
    pub(crate) fn all(self) -> Vec<Member<'a>> {
        self.members
    }
}

/// The string that `raw` is.
pub(crate) fn text(raw: &RawValue) -> Read<Cow<'_, str>> {
    let text: Str<'_> = serde_json::from_str(raw.get()).map_err(|_| Wrong::found(raw, "a string"))?;
    Ok(text.0)
}

/// The elements of the array that `raw` is.
pub(crate) fn array(raw: &RawValue) -> Read<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).map_err(|_| Wrong::found(raw, "an array"))
}

/// Whether `raw` is a string.
pub(crate) fn is_text(raw: &RawValue) -> bool {
    raw.get().starts_with('"')
}
