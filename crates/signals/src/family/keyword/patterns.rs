//! Keywords that are regular expressions, over whole words.

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use crate::{
    Problem,
    family::structure::{REGEX_SIZE, bad_regex},
    text::is_cjk,
};

/// Regular expressions: one pass over the set without boundaries, then the boundaries for those that matched. The set runs
/// as an automaton on any text, while Unicode boundaries on text beyond ASCII would make it fall back to a slow engine.
pub(super) struct Patterns {
    unbounded: RegexSet,
    bounded: Vec<Regex>,
    meaning: Vec<u32>,
}

// === impl Patterns ===

impl Patterns {
    /// No patterns.
    pub(super) fn none() -> Self {
        Self {
            unbounded: RegexSet::empty(),
            bounded: Vec::new(),
            meaning: Vec::new(),
        }
    }

    /// Patterns, whether case counts, and what each stands for.
    pub(super) fn new(patterns: &[(String, bool, u32)]) -> Result<Self, regex::Error> {
        let flagged = |(pattern, sensitive, _): &(String, bool, u32)| {
            if *sensitive {
                format!("(?:{pattern})")
            } else {
                format!("(?i:{pattern})")
            }
        };
        let bounded = |p: &(String, bool, u32)| {
            let inner = flagged(p);
            let whole = if p.0.chars().any(is_cjk) {
                inner
            } else {
                format!(r"\b{{start-half}}{inner}\b{{end-half}}")
            };
            RegexBuilder::new(&whole).size_limit(REGEX_SIZE).build()
        };
        Ok(Self {
            unbounded: RegexSetBuilder::new(patterns.iter().map(flagged))
                .size_limit(16 * REGEX_SIZE)
                .build()?,
            bounded: patterns.iter().map(bounded).collect::<Result<_, _>>()?,
            meaning: patterns.iter().map(|(.., id)| *id).collect(),
        })
    }

    pub(super) fn scan(&self, text: &str, mut found: impl FnMut(u32)) {
        if self.bounded.is_empty() {
            return;
        }
        for i in self.unbounded.matches(text) {
            if self.bounded[i].is_match(text) {
                found(self.meaning[i]);
            }
        }
    }
}

/// Whether the keyword means the same as a regular expression and as plain text.
pub(super) fn regex_syntax_free(keyword: &str) -> bool {
    !keyword.contains([
        '\\', '.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$',
    ])
}

/// Whether the pattern compiles; if not, or if it looks like plain text, that is a problem.
pub(super) fn check_regex(pattern: &str, path: String, problems: &mut Vec<Problem>) -> bool {
    match RegexBuilder::new(pattern).size_limit(REGEX_SIZE / 2).build() {
        Err(e) => {
            problems.push(bad_regex(path, pattern, &e));
            false
        }
        Ok(regex) => {
            let stem = pattern.trim_end_matches(['+', '?', '*']);
            if regex.is_match("") {
                problems.push(
                    Problem::warning(path, "this regular expression matches every text")
                        .found(pattern)
                        .allowed("method: literal takes signs as they stand"),
                );
            } else if stem.len() < pattern.len() && regex_syntax_free(stem) {
                problems.push(
                    Problem::warning(path, "its last signs are read as a regular expression")
                        .found(pattern)
                        .allowed("method: literal takes signs as they stand"),
                );
            }
            true
        }
    }
}
