//! What is wrong with what was read, and the way out.

use std::{fmt, path::PathBuf};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::shown::shown;

/// Something wrong with one file or entry. It never stops the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub file: PathBuf,
    /// `line 7`, or the entry's id, where a file holds several.
    pub place: Option<String>,
    /// What is wrong.
    pub fault: Fault,
    /// Whether the entry (or the whole file) was left out for it; else it stands as far as it goes.
    pub is_left_out: bool,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The file cannot be read; why.
    Unreadable(String),
    /// It has so many bytes.
    TooLarge(u64),
    /// Its bytes are no UTF-8.
    NotUtf8,
    /// It is no JSON; where and why.
    NotJson(String),
    /// It is no YAML; where and why.
    NotYaml(String),
    /// It is none of the forms that are read.
    UnknownForm,
    /// A skill's file does not begin with a front matter.
    NoFrontMatter,
    /// It has no name.
    NoName,
    /// It does not say what it is for.
    NoDescription,
    /// A tool's arguments are no JSON Schema of an object; what is amiss.
    Schema(String),
    /// A field is longer than is kept.
    Cut {
        /// Which.
        field: &'static str,
        /// How long it is, in bytes or pieces.
        found: usize,
        /// How much is kept.
        limit: usize,
    },
    /// Another entry has its id.
    SameId(SameId),
    /// An address that cannot be called.
    Address(Address),
    /// A file of the index that is not whole, and what was made of it.
    Torn(String),
}

/// Two entries with one id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SameId {
    /// Both say the same: one is enough.
    Equal,
    /// They differ: the later one has this id now.
    Renamed(String),
}

/// What is wrong with an address. Never holds the address itself: it may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// There is none.
    Missing,
    /// It is no absolute URL.
    Malformed,
    /// Neither `http` nor `https`.
    Scheme,
    /// It holds a user or a password.
    Credentials,
    /// It leads elsewhere than where its card was fetched.
    Host {
        /// Where it leads.
        claimed: String,
        /// Where the card came from.
        fetched: String,
    },
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", shown(&self.file.to_string_lossy()))?;
        if let Some(place) = &self.place {
            write!(f, ", {}", shown(place))?;
        }
        let fate = if self.is_left_out { "left out" } else { "kept" };
        write!(f, ": {} ({fate}; {})", self.fault, self.fault.way_out())
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Problem", 5)?;
        object.serialize_field("file", &self.file.to_string_lossy())?;
        object.serialize_field("place", &self.place)?;
        object.serialize_field("what", &self.fault.to_string())?;
        object.serialize_field("try", self.fault.way_out())?;
        object.serialize_field("left_out", &self.is_left_out)?;
        object.end()
    }
}

// === impl Fault ===

impl Fault {
    /// What to do about it.
    pub fn way_out(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "name a file or folder that can be read",
            Self::TooLarge(_) => "split it",
            Self::NotUtf8 => "save it as UTF-8",
            Self::NotJson(_) => "write valid JSON, one object a line in .jsonl",
            Self::NotYaml(_) => "write valid YAML; put quotes around a text with a colon in it",
            Self::UnknownForm => {
                "give a SKILL.md, an MCP tools/list answer, OpenAI tool definitions, an A2A agent card, a list `agents:`, or JSON \
                 lines with the fields of an entry"
            }
            Self::NoFrontMatter => "begin it with a line `---`, `name:` and `description:`, and a line `---`",
            Self::NoName => "give it a `name`",
            Self::NoDescription => "say in `description` what it does and when to use it",
            Self::Schema(_) => "describe the arguments by a JSON Schema of type `object`",
            Self::Cut { .. } => "shorten it",
            Self::SameId(SameId::Equal) => "delete one of the two",
            Self::SameId(SameId::Renamed(_)) => "give each an id of its own",
            Self::Address(Address::Credentials) => "take user and password out of the address",
            Self::Address(Address::Host { .. }) => {
                "ask its owner, and fetch the card from the host that it names"
            }
            Self::Address(_) => "give an absolute http or https URL",
            Self::Torn(_) => "nothing to do, unless entries are missing: then index the sources again",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "it cannot be read: {}", shown(why)),
            Self::TooLarge(bytes) => write!(f, "it has {bytes} bytes, more than are read"),
            Self::NotUtf8 => f.write_str("it is no UTF-8"),
            Self::NotJson(why) => write!(f, "it is no JSON: {}", shown(why)),
            Self::NotYaml(why) => write!(f, "it is no YAML: {}", shown(why)),
            Self::UnknownForm => f.write_str("it has no form that is known"),
            Self::NoFrontMatter => f.write_str("it has no front matter"),
            Self::NoName => f.write_str("it has no name"),
            Self::NoDescription => f.write_str("it has no description"),
            Self::Schema(what) => write!(
                f,
                "its arguments are no JSON Schema of an object: {}",
                shown(what)
            ),
            Self::Cut { field, found, limit } => write!(f, "its {field} is cut from {found} to {limit}"),
            Self::SameId(SameId::Equal) => f.write_str("it stands twice"),
            Self::SameId(SameId::Renamed(id)) => {
                write!(f, "another entry has its id, it is called {} now", shown(id))
            }
            Self::Address(address) => address.fmt(f),
            Self::Torn(what) => write!(f, "it is not whole: {}", shown(what)),
        }
    }
}

// === impl Address ===

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it has no address"),
            Self::Malformed => f.write_str("its address is no absolute URL"),
            Self::Scheme => f.write_str("its address is neither http nor https"),
            Self::Credentials => f.write_str("its address holds a user or a password"),
            Self::Host { claimed, fetched } => write!(
                f,
                "its address leads to {}, but the card was fetched from {}",
                shown(claimed),
                shown(fetched)
            ),
        }
    }
}
