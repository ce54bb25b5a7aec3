//! A skill: a folder with a `SKILL.md` that begins with YAML between two lines `---`.

use std::path::Path;

use serde_json::{Map, Value};

use super::{Reading, Spot, file_name, name, text, texts};
use crate::{
    catalogue::problem::Fault,
    entry::{Entry, Kind},
};

pub(super) fn read(reading: &mut Reading, spot: &Spot<'_>, bytes: &[u8]) {
    let (id, group) = id_of(spot);
    let content = String::from_utf8_lossy(bytes);
    if matches!(content, std::borrow::Cow::Owned(_)) {
        reading.problem(spot, Some(&id), Fault::NotUtf8, false);
    }
    let Some((front, body)) = split(&content) else {
        reading.problem(spot, Some(&id), Fault::NoFrontMatter, true);
        return;
    };
    let front = match serde_saphyr::from_str::<Value>(front) {
        Ok(Value::Object(front)) => front,
        Ok(_) => Map::new(),
        Err(error) => {
            let said = error.without_snippet().to_string();
            reading.problem(spot, Some(&id), Fault::NotYaml(said), false);
            by_lines(front)
        }
    };
    let title = name(front.get("name")).unwrap_or_else(|| {
        reading.problem(spot, Some(&id), Fault::NoName, false);
        id.rsplit('/').next().unwrap_or(&id).to_owned()
    });
    let of = |key: &str| front.get(key).or_else(|| front.get("metadata")?.get(key));
    let mut description = text(front.get("description"));
    if description.is_empty() {
        reading.problem(spot, Some(&id), Fault::NoDescription, false);
    }
    if let Some(when) = name(of("when_to_use")) {
        description.push('\n');
        description.push_str(&when);
    }
    let mut tags = texts(of("tags"));
    for key in ["keywords", "category"] {
        tags.extend(texts(of(key)));
    }
    let entry = Entry {
        name: title,
        description,
        body: body.trim().to_owned(),
        examples: texts(of("examples")),
        tags,
        group: (!group.is_empty()).then(|| group.into()),
        ..Entry::named(id, Kind::Skill)
    };
    reading.take(spot, entry);
}

/// The id of a skill, from where its folder lies, and the root's name.
fn id_of(spot: &Spot<'_>) -> (String, String) {
    let folder = spot.place.file.parent().unwrap_or(Path::new(""));
    let root = spot.place.root;
    let inside = folder.strip_prefix(root).unwrap_or(Path::new(""));
    // The file itself was named: its folder is all that is known.
    let top = if spot.place.file == root { folder } else { root };
    let group = file_name(top);
    let mut id = group.clone();
    for part in inside {
        if !id.is_empty() {
            id.push('/');
        }
        id.push_str(&part.to_string_lossy());
    }
    (id, group)
}

/// Front matter and what follows it.
fn split(content: &str) -> Option<(&str, &str)> {
    let content = content.strip_prefix('\u{feff}').unwrap_or(content);
    let (first, rest) = content.split_once('\n')?;
    if first.trim_end() != "---" {
        return None;
    }
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return Some((&rest[..at], &rest[at + line.len()..]));
        }
        at += line.len();
    }
    None
}

/// What can be saved of a front matter that is no YAML, most often for a colon in a text without quotes: each line that
/// begins with a key, as text.
fn by_lines(front: &str) -> Map<String, Value> {
    let mut found = Map::new();
    for line in front.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        if is_key {
            let value = value.trim().trim_matches(['"', '\'']);
            found.insert(key.to_owned(), Value::String(value.to_owned()));
        }
    }
    found
}
