//! From a file to a checked configuration, or to everything that is wrong with it.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
};

use fingerpost_signals::Problem as What;
use serde::Deserialize;

use super::{
    Config,
    environment::{Lookup, substitute},
    node,
    problem::Problem,
    read::read,
    span::LineMap,
    validate::validate,
};

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where everything stands in the file.
    pub lines: LineMap,
    /// Of the text, to notice changes.
    pub hash: u64,
    /// What a person should look at, though it works.
    pub warnings: Vec<Problem>,
}

/// Reads and checks a configuration file.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn load_file(path: &Path) -> Result<Loaded, Vec<Problem>> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| {
        let what = What::error("", format!("cannot read the configuration: {error}"));
        vec![Problem {
            file: name.clone(),
            place: None,
            what,
            excerpt: None,
        }]
    })?;
    let mut loaded = load_text(&text, &name)?;
    if let Some(folder) = path.parent() {
        loaded.config.resolve(folder);
    }
    Ok(loaded)
}

/// Reads and checks a configuration; `name` stands for it in messages.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text.
pub fn load_text(text: &str, name: &str) -> Result<Loaded, Vec<Problem>> {
    load(text, name, &|variable| std::env::var(variable).ok())
}

/// [`load_text`] with the environment given.
pub(super) fn load(text: &str, name: &str, environment: Lookup<'_>) -> Result<Loaded, Vec<Problem>> {
    let reading: Reading<Config> = read_text(text, name, environment);
    let mut problems = reading.problems;
    if let Some(config) = &reading.value {
        let is_set = |variable: &str| environment(variable).is_some();
        let mut later = validate(config, &reading.lines, &is_set);
        // Where part of the file could not be read, what lies about it must not be blamed.
        later.retain(|found| {
            !problems
                .iter()
                .any(|first| touch(&first.what.path, &found.what.path))
        });
        problems.append(&mut later);
    }
    in_order(&mut problems);
    match reading.value {
        Some(config) if !problems.iter().any(Problem::is_error) => Ok(Loaded {
            config,
            lines: reading.lines,
            hash: hash(text),
            warnings: problems,
        }),
        _ => Err(problems),
    }
}

/// The hash of a text, to notice changes.
pub fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// What came of reading a text as a `T`.
#[derive(Debug)]
pub(super) struct Reading<T> {
    /// What could be read: all of it where there are no problems, else what the faults left.
    pub(super) value: Option<T>,
    pub(super) lines: LineMap,
    pub(super) problems: Vec<Problem>,
}

/// Reads a text as a `T` and collects every fault.
pub(super) fn read_text<T: for<'de> Deserialize<'de>>(
    text: &str,
    name: &str,
    environment: Lookup<'_>,
) -> Reading<T> {
    let mut lines = LineMap::of(name, text);
    let mut twice = Vec::new();
    let mut root = match node::parse(text, &mut twice) {
        Ok(root) => root,
        Err(error) => {
            let what = What::error("", format!("not readable as YAML: {}", error.message));
            let problems = vec![lines.located(what, error.place)];
            return Reading {
                value: None,
                lines,
                problems,
            };
        }
    };
    let (mut unset, mut faults) = (Vec::new(), Vec::new());
    let put_in = substitute(&mut root, environment, &mut unset);
    let value = read(&mut root, &mut faults);
    lines.add(&root);
    let mut problems: Vec<Problem> = twice
        .into_iter()
        .map(|(what, place)| lines.located(what, Some(place)))
        .collect();
    problems.extend(unset.into_iter().map(|what| lines.locate(what)));
    problems.extend(faults.into_iter().map(|(mut what, at_key)| {
        what.message = put_in.hide(&what.message);
        what.found = what.found.map(|found| put_in.hide(&found));
        if let Some((column, message)) = within_condition(&what.message) {
            let place = lines.within(&what.path, column - 1, 1);
            what.message = message;
            return lines.located(what, place);
        }
        if at_key {
            lines.locate_key(what)
        } else {
            lines.locate(what)
        }
    }));
    in_order(&mut problems);
    Reading {
        value,
        lines,
        problems,
    }
}

/// Column and message of a condition in one line that is not understood: it says its own place and shows itself, which here the
/// excerpt does.
fn within_condition(message: &str) -> Option<(usize, String)> {
    let (column, told) = message.strip_prefix("line 1, column ")?.split_once(": ")?;
    let column = column.parse().ok().filter(|column| *column > 0)?;
    Some((column, told.lines().next().unwrap_or_default().to_owned()))
}

/// By place; what has none goes first.
pub(super) fn in_order(problems: &mut [Problem]) {
    problems.sort_by_key(|problem| problem.place.map(|place| (place.line, place.column)));
}

/// Whether one of the paths lies within the other.
fn touch(a: &str, b: &str) -> bool {
    let within = |path: &str, above: &str| {
        path.strip_prefix(above)
            .is_some_and(|rest| above.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
    };
    within(a, b) || within(b, a)
}

#[cfg(test)]
mod tests;
