//! Where everything stands in the text of a configuration, by the path of its keys.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use fingerpost_protocol::{BLOT, redact};
use serde::Serialize;

use super::{
    node::{Node, Value},
    problem::Problem,
};

/// A stretch of one line. All three count characters; line and column begin with 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column of its first character.
    pub column: usize,
    /// How many characters it is long, at least 1.
    #[serde(skip)]
    pub length: usize,
}

/// The text of a configuration and where each of its keys and values stands.
#[derive(Debug, Clone, Default)]
pub struct LineMap {
    source: Arc<Source>,
    entries: HashMap<String, Entry>,
}

#[derive(Debug, Default)]
struct Source {
    name: String,
    lines: Vec<String>,
}

/// Where a key stands, and its value.
#[derive(Debug, Clone)]
struct Entry {
    key: Option<Place>,
    value: Place,
    /// Where the text of a scalar begins on its line, if it is written in one line without escapes.
    text: Option<Place>,
    /// Whether the value is a list, a mapping or nothing, which has no extent of its own to point at.
    hollow: bool,
    from_environment: bool,
    /// The keys of a mapping.
    names: Vec<String>,
    /// The items of a list that were not set aside.
    sound_items: Vec<usize>,
}

// === impl LineMap ===

impl LineMap {
    /// The map of a text that has no keys (yet).
    pub(super) fn of(name: &str, text: &str) -> Self {
        let lines = text.lines().map(str::to_owned).collect();
        Self {
            source: Arc::new(Source {
                name: name.to_owned(),
                lines,
            }),
            entries: HashMap::new(),
        }
    }

    /// Notes where the nodes of the tree stand.
    pub(super) fn add(&mut self, node: &Node) {
        let (mut names, mut sound_items) = (Vec::new(), Vec::new());
        match &node.value {
            Value::Mapping(entries) => names.extend(entries.iter().map(|(name, _)| name.clone())),
            Value::List(items) => sound_items.extend((0..items.len()).filter(|i| !items[*i].is_aside)),
            _ => {}
        }
        let entry = Entry {
            key: node.key,
            value: node.place,
            text: node.text_place(),
            hollow: node.is_hollow(),
            from_environment: node.from_environment,
            names,
            sound_items,
        };
        self.entries.insert(node.path.clone(), entry);
        for child in node.children() {
            self.add(child);
        }
    }

    /// The name of the file.
    pub fn name(&self) -> &str {
        &self.source.name
    }

    /// Whether something stands at this path.
    pub fn contains(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    /// Where the value of this path stands; of a list or mapping, its key. Of a path that is not in the text, the nearest thing
    /// above it that is.
    pub fn place(&self, path: &str) -> Option<Place> {
        let entry = self.nearest(path)?;
        Some(if entry.hollow {
            entry.key.unwrap_or(entry.value)
        } else {
            entry.value
        })
    }

    /// Where the key of this path stands, or the item of a list.
    pub fn key(&self, path: &str) -> Option<Place> {
        let entry = self.nearest(path)?;
        Some(entry.key.unwrap_or(entry.value))
    }

    /// Where characters `from` to `from + length` of the text at this path stand; the whole value where it is not written in one line.
    pub fn within(&self, path: &str, from: usize, length: usize) -> Option<Place> {
        match self.entries.get(path).and_then(|entry| entry.text) {
            Some(text) if from < text.length => Some(Place {
                column: text.column + from,
                length: length.clamp(1, text.length - from),
                ..text
            }),
            _ => self.place(path),
        }
    }

    /// The keys of the mapping at this path, in the order of the file.
    pub fn names_under(&self, path: &str) -> Vec<&str> {
        self.entries
            .get(path)
            .map_or_else(Vec::new, |entry| entry.names.iter().map(String::as_str).collect())
    }

    /// The path of the `index`th item of the list at this path, among those that could be read.
    pub fn item(&self, path: &str, index: usize) -> String {
        let sound = self
            .entries
            .get(path)
            .and_then(|entry| entry.sound_items.get(index));
        format!("{path}[{}]", sound.unwrap_or(&index))
    }

    /// Whether variables of the environment were put into the value at this path.
    pub fn is_from_environment(&self, path: &str) -> bool {
        self.entries.get(path).is_some_and(|entry| entry.from_environment)
    }

    /// Where `text` stands within the text at this path, or the whole of that where it does not stand there in one line.
    pub fn find(&self, path: &str, text: &str) -> Option<Place> {
        let whole = self.entries.get(path).and_then(|entry| entry.text);
        let from = whole.filter(|_| !text.is_empty()).and_then(|whole| {
            let line = self.source.lines.get(whole.line.checked_sub(1)?)?;
            let inner: String = line.chars().skip(whole.column - 1).take(whole.length).collect();
            Some(inner[..inner.find(text)?].chars().count())
        });
        from.map_or_else(
            || self.place(path),
            |from| self.within(path, from, text.chars().count()),
        )
    }

    /// The problem with its place in the text.
    pub fn locate(&self, what: fingerpost_signals::Problem) -> Problem {
        let place = self.place(&what.path);
        self.located(what, place)
    }

    /// The problem at the key of its path rather than at the value.
    pub fn locate_key(&self, what: fingerpost_signals::Problem) -> Problem {
        let place = self.key(&what.path);
        self.located(what, place)
    }

    /// The problem at a place that the caller knows better.
    pub fn located(&self, what: fingerpost_signals::Problem, place: Option<Place>) -> Problem {
        let excerpt = place
            .and_then(|place| self.source.lines.get(place.line.checked_sub(1)?))
            .map(|line| without_secrets(line));
        Problem {
            file: self.source.name.clone(),
            place,
            what,
            excerpt,
        }
    }

    fn nearest(&self, path: &str) -> Option<&Entry> {
        let mut path = path;
        loop {
            if let Some(entry) = self.entries.get(path) {
                return Some(entry);
            }
            path = match path.rfind(['.', '[']) {
                Some(end) => &path[..end],
                None => return self.entries.get("").filter(|_| !path.is_empty()),
            };
        }
    }
}

/// Words in a key that announce a secret as its value.
const SECRETIVE: [&str; 6] = [
    "api_key",
    "apikey",
    "api-key",
    "secret",
    "password",
    "authorization",
];

/// Whether the value of this key is likely to be a secret. Not every token is one: `max_tokens` counts.
pub(super) fn is_secretive(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.ends_with("token") || SECRETIVE.iter().any(|word| key.contains(word))
}

/// Whether the text is a name that an environment variable can have.
pub(super) fn is_variable_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A line of the configuration as it may be shown: nothing that looks like a key, and no value of a key that announces one,
/// unless that value is plainly the name of a variable. Works on the text, because a line of a file that cannot be parsed is
/// shown too.
fn without_secrets(line: &str) -> String {
    let line = redact(line);
    let line = without_password(&line);
    let mut shown = String::with_capacity(line.len());
    let mut rest = line.as_ref();
    while let Some(colon) = rest.find(':') {
        let (before, after) = (&rest[..colon], &rest[colon + 1..]);
        shown.push_str(before);
        shown.push(':');
        let key = before
            .trim_end_matches(['"', '\'', ' '])
            .rsplit(['{', ',', ' ', '"', '\''])
            .next();
        rest = after;
        if key.is_some_and(is_secretive) {
            // Within braces the value ends with its entry, else with the line.
            let in_braces = shown.contains('{');
            let end = if in_braces {
                after.find([',', '}']).unwrap_or(after.len())
            } else {
                after.len()
            };
            let value = after[..end].trim().trim_matches(['"', '\'']);
            if value.is_empty() || value.contains("${") || (is_variable_name(value) && is_shouted(value)) {
                continue;
            }
            shown.push(' ');
            shown.push_str(BLOT);
            rest = &after[end..];
        }
    }
    shown.push_str(rest);
    shown
}

/// The line without the user and password of a URL.
fn without_password(line: &str) -> Cow<'_, str> {
    let Some((before, rest)) = line.split_once("://") else {
        return Cow::Borrowed(line);
    };
    let end = rest
        .find(|c: char| c == '/' || c.is_whitespace())
        .unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) if !rest[..at].contains("${") => Cow::Owned(format!("{before}://{BLOT}{}", &rest[at..])),
        _ => Cow::Borrowed(line),
    }
}

/// Environment variables are written in capitals, keys hardly ever are.
fn is_shouted(text: &str) -> bool {
    !text.chars().any(|c| c.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shown_without_secrets() {
        for (line, shown) in [
            ("    api_key: hunter2", "    api_key: [redacted]"),
            (
                "  o: { type: openai, api_key_env: hunter-2, base_url: \"http://h/v1\" }",
                "  o: { type: openai, api_key_env: [redacted], base_url: \"http://h/v1\" }",
            ),
            ("  - {\"token\": abc, a: b}", "  - {\"token\": [redacted], a: b}"),
            (
                "  url: redis://ann:hunter2@h:1/0",
                "  url: redis://[redacted]@h:1/0",
            ),
            ("authorization: Bearer a, b", "authorization: [redacted]"),
            ("    count: sk-abcdefghijklmnop", "    count: [redacted]"),
        ] {
            assert_eq!(without_secrets(line), shown);
        }
        for harmless in [
            "  api_key_env: OPENAI_API_KEY",
            "  x-token: ${TOKEN}",
            "  long: { min_tokens: 32K }",
            "  batch: { key: tier }",
        ] {
            assert_eq!(without_secrets(harmless), harmless);
        }
    }
}
