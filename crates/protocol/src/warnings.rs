//! What a translation could not carry over.

use std::{borrow::Cow, fmt::Write};

/// What a translation could not carry over, each once, in the order met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Warnings(Vec<Warning>);

/// One thing that was lost or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The field of the client's request or of the upstream's answer.
    pub field: Cow<'static, str>,
    /// What became of it.
    pub what: Cow<'static, str>,
}

/// Longest header value that [`Warnings::header`] makes, in bytes.
const LONGEST_HEADER: usize = 1024;

impl Warnings {
    /// Notes a loss, once.
    pub(crate) fn note(&mut self, field: impl Into<Cow<'static, str>>, what: impl Into<Cow<'static, str>>) {
        let warning = Warning {
            field: field.into(),
            what: what.into(),
        };
        if !self.0.contains(&warning) {
            self.0.push(warning);
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Warning> {
        self.0.iter()
    }

    /// Whether nothing was lost.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds those of `other`.
    pub fn extend(&mut self, other: Self) {
        for warning in other.0 {
            self.note(warning.field, warning.what);
        }
    }

    /// The value of the header `x-fingerpost-warning`: visible ASCII only, at most a kilobyte. `None` where nothing was lost.
    pub fn header(&self) -> Option<String> {
        let mut value = String::new();
        for (i, warning) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            // Writing into a string cannot fail.
            let _ = write!(value, "{separator}{}: {}", warning.field, warning.what);
        }
        let visible = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
        let value: String = value.chars().map(visible).take(LONGEST_HEADER).collect();
        (!value.is_empty()).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_holds_what_headers_may() {
        let mut warnings = Warnings::default();
        assert_eq!(warnings.header(), None);
        warnings.note("seed", "dropped");
        warnings.note("seed", "dropped");
        warnings.note("ünknown\r\n", "dropped");
        assert_eq!(
            warnings.header().as_deref(),
            Some("seed: dropped; ?nknown??: dropped")
        );
        assert_eq!(warnings.iter().count(), 2);
    }
}
