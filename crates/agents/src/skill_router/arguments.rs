//! A tool's arguments, as far as its body tells them.
//!
//! A line `- NAME (TYPE, required): what it means` is an argument; type, `required` and meaning may be missing. Other lines are
//! text like any other.

use super::words::{Stem, each_term};

/// What is known of a tool's arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// All of them.
    pub(crate) all: u16,
    /// The terms of the name of each that is required.
    pub(crate) required: Vec<Vec<Box<str>>>,
    /// Those of the required ones that are numbers.
    pub(crate) numbers: u16,
    /// Those of the required ones that are lists.
    pub(crate) lists: u16,
}

// === impl Arguments ===

impl Arguments {
    /// Reads them off a body.
    pub(crate) fn of(body: &str) -> Self {
        let mut arguments = Self::default();
        for line in body.lines() {
            let Some((name, kind)) = argument(line) else {
                continue;
            };
            arguments.all = arguments.all.saturating_add(1);
            let kind = kind.to_lowercase();
            if !kind.contains("required") {
                continue;
            }
            let mut terms = Vec::new();
            each_term(name, Stem::Light, |term| terms.push(term.into()));
            arguments.required.push(terms);
            let is = |kinds: &[&str]| kinds.iter().any(|k| kind.contains(k));
            if is(&["array", "list", "tuple"]) {
                arguments.lists += 1;
            } else if is(&["int", "float", "number", "double", "long"]) {
                arguments.numbers += 1;
            }
        }
        arguments
    }
}

/// The name and what stands in parentheses.
fn argument(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start().strip_prefix("- ")?;
    let head = line.split_once(": ").map_or(line, |(head, _)| head);
    let (name, kind) = head.strip_suffix(')')?.split_once(" (")?;
    (!name.is_empty() && !name.contains(' ')).then_some((name, kind))
}

/// Numbers in a request: runs of digits with what belongs to them (`1,000`, `3.5`), apart from those inside a word.
pub(crate) fn numbers(text: &str) -> usize {
    text.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '[' | ']' | '/' | '-' | ';'))
        .filter(|word| {
            let word = word.trim_matches(|c: char| !c.is_alphanumeric());
            !word.is_empty() && word.starts_with(|c: char| c.is_ascii_digit())
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_off_their_lines() {
        let body = "Use it well.\n- base (integer, required): The base. [integer]\n- unit (string): The unit\n- points (array, required)\n- see also";
        let arguments = Arguments::of(body);
        assert_eq!((arguments.all, arguments.numbers, arguments.lists), (3, 1, 1));
        assert_eq!(arguments.required, [vec!["bas".into()], vec!["point".into()]]);
        assert_eq!(
            Arguments::of("# Skill\n- a list (of things) that: is text"),
            Arguments::default()
        );
    }

    #[test]
    fn numbers_stand_alone() {
        assert_eq!(numbers("a base of 10 units, height 5.5 and (1,000) v2 B12"), 3);
        assert_eq!(numbers(""), 0);
    }
}
