//! Catalogues with labelled requests, as folders of JSON lines.
//!
//! Entries stand in `catalogue.jsonl`, `skills.jsonl` or `tools.jsonl`; requests in `queries.jsonl`, `queries_single.jsonl` or
//! `tasks.jsonl`. A folder with `train.jsonl`, `val.jsonl` and `test.jsonl` is one of intents: each intent is an entry without
//! text, `oos` stands for nothing. A catalogue without requests asks for some of its own entries by the first words of their
//! descriptions.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use fingerpost_agents::{Entry, Kind, skill_router::Request};
use fingerpost_core::Name;
use serde::Deserialize;
use thiserror::Error;

use crate::lines::{LinesError, read_lines};

/// Why a folder could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FolderError {
    /// A file of it.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// There is nothing in it that could be called.
    #[error(
        "{} has no catalogue.jsonl, skills.jsonl, tools.jsonl or train.jsonl; name a folder that has one of them",
        folder.display()
    )]
    Empty {
        /// The folder.
        folder: PathBuf,
    },
}

/// A request with what is right for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// What is asked.
    pub text: String,
    /// What it takes: for each step the entries of which any will do. None where nothing fits.
    pub steps: Vec<Vec<Name>>,
    /// Entries that were offered and are wrong.
    pub wrong: Vec<Name>,
    /// The set that it is of; empty where there is one only.
    pub set: String,
}

/// A catalogue with its requests.
#[derive(Debug, Clone, Default)]
pub struct Folder {
    /// What can be called.
    pub entries: Vec<Entry>,
    /// Requests that may be trained on.
    pub requests: Vec<Labelled>,
    /// Requests from which to learn when to abstain, where they are kept apart.
    pub calibration: Vec<Labelled>,
    /// Requests that are scored and not trained on, where they are kept apart.
    pub test: Option<Vec<Labelled>>,
}

/// An entry in any of the forms.
#[derive(Debug, Deserialize)]
struct EntryRow {
    id: Option<Name>,
    name: Option<String>,
    #[serde(default)]
    description: String,
    description_long: Option<String>,
    body: Option<String>,
    source: Option<String>,
    group: Option<String>,
    #[serde(default)]
    params: BTreeMap<String, String>,
    #[serde(default)]
    required: Vec<String>,
    api_call: Option<String>,
    functionality: Option<String>,
    server: Option<String>,
    server_title: Option<String>,
    server_description: Option<String>,
    category: Option<String>,
    #[serde(rename = "inputSchema")]
    schema: Option<serde_json::Value>,
    repo: Option<String>,
}

/// A request in any of the forms.
#[derive(Debug, Deserialize)]
struct RequestRow {
    #[serde(alias = "text")]
    query: String,
    gold: Option<Vec<Name>>,
    #[serde(default)]
    gold_any: bool,
    gold_any_of: Option<Vec<Vec<Name>>>,
    #[serde(default)]
    candidates: Vec<Name>,
    set: Option<String>,
    intent: Option<Name>,
}

/// What stands for nothing among intents.
const NOTHING: &str = "oos";
/// Requests that a catalogue without any asks of itself, and their words.
const OWN: (usize, usize) = (1_000, 12);

// === impl Folder ===

impl Folder {
    /// Reads a folder.
    ///
    /// # Errors
    /// A file that cannot be read, or no catalogue at all.
    pub fn read(folder: &Path) -> Result<Self, FolderError> {
        let file = |names: &[&str]| names.iter().map(|n| folder.join(n)).find(|p| p.is_file());
        let Some(catalogue) = file(&["catalogue.jsonl", "skills.jsonl", "tools.jsonl"]) else {
            return Self::of_intents(folder);
        };
        let mut this = Self {
            entries: Self::entries_of(&catalogue)?,
            ..Self::default()
        };
        this.requests = match file(&["queries.jsonl", "queries_single.jsonl", "tasks.jsonl"]) {
            Some(requests) => Self::requests_of(&requests)?,
            None => this.own_requests(),
        };
        Ok(this)
    }

    fn of_intents(folder: &Path) -> Result<Self, FolderError> {
        let part = |name: &str| {
            let path = folder.join(name);
            if path.is_file() {
                Self::requests_of(&path)
            } else {
                Ok(Vec::new())
            }
        };
        let mut this = Self {
            requests: part("train.jsonl")?,
            calibration: part("val.jsonl")?,
            ..Self::default()
        };
        if this.requests.is_empty() {
            return Err(FolderError::Empty {
                folder: folder.to_owned(),
            });
        }
        let test = part("test.jsonl")?;
        this.test = (!test.is_empty()).then_some(test);
        let mut intents: Vec<Name> = this
            .requests
            .iter()
            .flat_map(|r| r.steps.iter().flatten().cloned())
            .collect();
        intents.sort_unstable();
        intents.dedup();
        this.entries = intents
            .into_iter()
            .map(|id| Entry::named(id, Kind::Agent))
            .collect();
        Ok(this)
    }

    /// The entries of a file. Entries of an id that was there before are left out.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn entries_of(path: &Path) -> Result<Vec<Entry>, FolderError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut ids = rustc_hash::FxHashSet::default();
        read_lines(path, |number, row: EntryRow| {
            let entry = row.entry(number);
            if ids.insert(entry.id.clone()) {
                entries.push(entry);
            }
            Ok(())
        })?;
        Ok(entries)
    }

    /// The requests of a file.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn requests_of(path: &Path) -> Result<Vec<Labelled>, FolderError> {
        let mut requests = Vec::new();
        read_lines(path, |_, row: RequestRow| {
            requests.push(row.request());
            Ok(())
        })?;
        Ok(requests)
    }

    fn own_requests(&self) -> Vec<Labelled> {
        let step = (self.entries.len() / OWN.0).max(1);
        let some = self
            .entries
            .iter()
            .step_by(step)
            .filter(|e| !e.description.is_empty());
        some.map(|entry| Labelled {
            text: first_words(&entry.description, OWN.1),
            steps: vec![vec![entry.id.clone()]],
            wrong: Vec::new(),
            set: String::new(),
        })
        .collect()
    }
}

/// The first words of a text.
pub(super) fn first_words(text: &str, words: usize) -> String {
    text.split_whitespace().take(words).collect::<Vec<_>>().join(" ")
}

// === impl Labelled ===

impl Labelled {
    /// Whether requests of one set mostly need several entries: more than one and a half on average.
    pub fn need_several(requests: &[Self]) -> bool {
        let steps = requests
            .iter()
            .filter(|r| r.set.is_empty() && !r.steps.is_empty());
        let (sum, of) = steps.fold((0, 0), |(sum, of), r| (sum + r.steps.len(), of + 1));
        sum * 2 > of * 3
    }

    /// As the training takes it.
    pub fn request(&self) -> Request {
        Request {
            text: self.text.clone(),
            gold: self.steps.iter().flatten().cloned().collect(),
            wrong: self.wrong.clone(),
        }
    }
}

// === impl EntryRow ===

impl EntryRow {
    fn entry(self, line: usize) -> Entry {
        let name = self
            .name
            .or_else(|| self.id.as_ref().map(ToString::to_string))
            .unwrap_or_default();
        let id = self.id.unwrap_or_else(|| format!("{name}#{line}").into());
        let is_tool = self.server.is_some() || self.source.is_some() || self.description_long.is_some();
        let mut body = self.body.unwrap_or_default();
        if let Some(long) = self.description_long.filter(|l| *l != self.description) {
            body.push_str(&long);
        }
        for (name, text) in &self.params {
            let (text, kind) = match text.rsplit_once(" [") {
                Some((text, kind)) => (text, kind.trim_end_matches(']')),
                None => (text.as_str(), "any"),
            };
            let required = if self.required.contains(name) {
                ", required"
            } else {
                ""
            };
            body.push_str(&format!("- {name} ({kind}{required}): {text}\n"));
        }
        if let Some(schema) = &self.schema {
            body.push_str(&arguments(schema));
        }
        for more in [self.functionality, self.api_call].into_iter().flatten() {
            body.push_str(&more);
            body.push('\n');
        }
        let group = self.server.or(self.group.filter(|g| !g.is_empty())).or(self.repo);
        let tags = [
            self.source,
            self.category,
            self.server_title,
            self.server_description,
        ];
        Entry {
            id,
            kind: if is_tool { Kind::Tool } else { Kind::Skill },
            name,
            description: self.description,
            body,
            examples: Vec::new(),
            tags: tags.into_iter().flatten().collect(),
            group: group.map(Name::from),
        }
    }
}

/// The arguments of a JSON schema, a line each.
fn arguments(schema: &serde_json::Value) -> String {
    let mut lines = String::new();
    let Some(properties) = schema.get("properties").and_then(|p| p.as_object()) else {
        return lines;
    };
    let required = schema.get("required").and_then(|r| r.as_array());
    for (name, about) in properties {
        let text = |key: &str| about.get(key).and_then(|v| v.as_str()).unwrap_or_default();
        let is_required = required.is_some_and(|r| r.iter().any(|r| r == name.as_str()));
        let required = if is_required { ", required" } else { "" };
        lines.push_str(&format!(
            "- {name} ({}{required}): {}\n",
            text("type"),
            text("description")
        ));
    }
    lines
}

// === impl RequestRow ===

impl RequestRow {
    fn request(self) -> Labelled {
        let steps = match (self.gold_any_of, self.gold, self.intent) {
            (Some(steps), _, _) => steps,
            (None, Some(gold), _) if self.gold_any && !gold.is_empty() => vec![gold],
            (None, Some(gold), _) => gold.into_iter().map(|g| vec![g]).collect(),
            (None, None, Some(intent)) if intent != *NOTHING => vec![vec![intent]],
            (None, None, _) => Vec::new(),
        };
        let is_right = |id: &Name| steps.iter().flatten().any(|g| g == id);
        Labelled {
            wrong: self.candidates.into_iter().filter(|c| !is_right(c)).collect(),
            text: self.query,
            steps,
            set: self.set.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read() {
        let entry = |text: &str| serde_json::from_str::<EntryRow>(text).unwrap().entry(1);
        let tool = entry(
            r#"{"id":"a","source":"bfcl","group":"math","name":"math.area","description":"Area.","params":{"base":"The base. [integer]"},"required":["base"]}"#,
        );
        assert_eq!(tool.body, "- base (integer, required): The base.\n");
        assert_eq!((tool.kind, tool.group), (Kind::Tool, Some("math".into())));
        let served = entry(
            r#"{"id":"s::t","server":"s","server_title":"S","name":"t","description":"d","inputSchema":{"properties":{"q":{"type":"string"}},"required":["q"]}}"#,
        );
        assert_eq!(served.body, "- q (string, required): \n");
        assert_eq!(entry(r#"{"name":"x","description":""}"#).id, *"x#1");

        let request = |text: &str| serde_json::from_str::<RequestRow>(text).unwrap().request();
        let several = request(r#"{"query":"q","gold":["a","b"],"candidates":["a","c"]}"#);
        assert_eq!(several.steps, [vec![Name::from("a")], vec!["b".into()]]);
        assert_eq!(several.wrong, [Name::from("c")]);
        assert_eq!(
            request(r#"{"query":"q","gold":["a","b"],"gold_any":true}"#)
                .steps
                .len(),
            1
        );
        assert!(request(r#"{"text":"q","intent":"oos"}"#).steps.is_empty());
        assert_eq!(request(r#"{"text":"q","intent":"pto"}"#).steps.len(), 1);
    }
}
