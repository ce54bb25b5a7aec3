//! What is read of a source: entries, and what was wrong with some of them.
//!
//! One reader a form, each over bytes or values, none of which stops at a fault: `skill` (`SKILL.md`), `tool` (MCP and OpenAI
//! definitions), `card` (A2A), `endpoints` (a list of agents), `record` (the rows of known data sets), and `document`, which
//! tells the forms apart.

mod card;
mod document;
mod endpoints;
mod record;
mod schema;
mod skill;
mod tool;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use fingerpost_core::Name;
use serde_json::Value;

use super::{
    endpoint::Endpoint,
    limits,
    problem::{Fault, Problem},
};
use crate::entry::Entry;

/// What was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// The entries, in the order they were found in.
    pub entries: Vec<Entry>,
    /// Where agents are called, by the entry's id.
    pub endpoints: BTreeMap<Name, Endpoint>,
    /// What was wrong.
    pub problems: Vec<Problem>,
}

/// Where a file was found.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The file.
    pub file: &'a Path,
    /// What the user named: the file itself, or a folder above it. Ids of skills begin with its name.
    pub root: &'a Path,
}

/// Where something stands inside a file.
#[derive(Debug, Clone)]
struct Spot<'a> {
    place: Place<'a>,
    /// `line 7`.
    line: Option<usize>,
}

// === impl Reading ===

impl Reading {
    /// Reads a file by its name and form; pure, so any bytes will do.
    ///
    /// `SKILL.md` is a skill; `.json` and `.yaml` a list of tools or agents or an agent's card; `.jsonl` one entry a line. A
    /// file that is none of these is not an entry's: a problem if it is the root itself, else passed over.
    pub fn of_file(place: Place<'_>, bytes: &[u8]) -> Self {
        let mut reading = Self::default();
        let spot = Spot { place, line: None };
        match Form::of(place.file) {
            Some(Form::Skill) => skill::read(&mut reading, &spot, bytes),
            Some(Form::Json) => document::json(&mut reading, &spot, bytes),
            Some(Form::Lines) => document::lines(&mut reading, &spot, bytes),
            Some(Form::Yaml) => document::yaml(&mut reading, &spot, bytes),
            None => reading.unknown(&spot),
        }
        reading
    }

    /// Appends another.
    pub fn append(&mut self, mut other: Self) {
        self.entries.append(&mut other.entries);
        self.endpoints.append(&mut other.endpoints);
        self.problems.append(&mut other.problems);
    }

    fn problem(&mut self, spot: &Spot<'_>, id: Option<&str>, fault: Fault, is_left_out: bool) {
        let place = id
            .map(str::to_owned)
            .or_else(|| spot.line.map(|line| format!("line {line}")));
        self.problems.push(Problem {
            file: spot.place.file.to_owned(),
            place,
            fault,
            is_left_out,
        });
    }

    /// A file without any known form: only worth a word if somebody pointed at it.
    fn unknown(&mut self, spot: &Spot<'_>) {
        if spot.place.file == spot.place.root {
            self.problem(spot, None, Fault::UnknownForm, true);
        }
    }

    /// Takes an entry in, cut to what is kept.
    fn take(&mut self, spot: &Spot<'_>, mut entry: Entry) -> Option<Name> {
        if entry.name.trim().is_empty() {
            self.problem(spot, None, Fault::NoName, true);
            return None;
        }
        if entry.id.len() > limits::ID {
            let mut id = entry.id.to_string();
            limits::cut(&mut id, limits::ID);
            entry.id = id.into();
        }
        let mut cuts = Vec::new();
        let texts = [
            ("name", &mut entry.name, limits::NAME),
            ("description", &mut entry.description, limits::DESCRIPTION),
            ("body", &mut entry.body, limits::BODY),
        ];
        for (field, text, limit) in texts {
            cuts.extend(limits::cut(text, limit).map(|found| (field, found, limit)));
        }
        let lists = [
            ("examples", &mut entry.examples, limits::EXAMPLES, limits::EXAMPLE),
            ("tags", &mut entry.tags, limits::TAGS, limits::TAG),
        ];
        for (field, list, most, limit) in lists {
            if list.len() > most {
                cuts.push((field, list.len(), most));
                list.truncate(most);
            }
            let longest = list.iter_mut().filter_map(|text| limits::cut(text, limit)).max();
            cuts.extend(longest.map(|found| (field, found, limit)));
        }
        if entry.description.trim().is_empty() && entry.body.trim().is_empty() {
            self.problem(spot, Some(&entry.id), Fault::NoDescription, false);
        }
        for (field, found, limit) in cuts {
            self.problem(spot, Some(&entry.id), Fault::Cut { field, found, limit }, false);
        }
        let id = entry.id.clone();
        self.entries.push(entry);
        Some(id)
    }
}

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Skill,
    Json,
    Lines,
    Yaml,
}

// === impl Form ===

impl Form {
    /// By the file's name.
    pub(super) fn of(file: &Path) -> Option<Self> {
        let name = file.file_name()?.to_str()?.to_ascii_lowercase();
        if name == "skill.md" {
            return Some(Self::Skill);
        }
        match name.rsplit_once('.')?.1 {
            "json" => Some(Self::Json),
            "jsonl" | "ndjson" => Some(Self::Lines),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// A text in a field: numbers and truth values are taken as they are written, anything else is none.
fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(truth)) => truth.to_string(),
        _ => String::new(),
    }
}

/// Texts in a field: a list, or one text with commas.
fn texts(value: Option<&Value>) -> Vec<String> {
    let all = match value {
        Some(Value::Array(list)) => list.iter().map(|item| text(Some(item))).collect(),
        Some(Value::String(line)) => line.split(',').map(|part| part.trim().to_owned()).collect(),
        _ => Vec::new(),
    };
    all.into_iter().filter(|text: &String| !text.is_empty()).collect()
}

/// A name in a field, if it has one.
fn name(value: Option<&Value>) -> Option<String> {
    Some(text(value)).filter(|text| !text.is_empty())
}

/// The name of a file or folder as a text.
fn file_name(path: &Path) -> String {
    // `.` and `..` have no name of their own.
    let whole = path
        .file_name()
        .map(PathBuf::from)
        .or_else(|| path.canonicalize().ok());
    let name = whole.as_deref().and_then(Path::file_name);
    name.map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
