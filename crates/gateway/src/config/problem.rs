//! A problem with its place in the file, printed as compilers do.

use std::fmt;

pub use fingerpost_signals::Severity;
use serde::Serialize;

use super::span::Place;

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, as the user named it.
    pub file: String,
    /// Where in the file; absent where the file cannot be read at all.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// The key path, what was found, what is allowed, the nearest suggestion.
    #[serde(flatten)]
    pub what: fingerpost_signals::Problem,
    /// The line, without secrets.
    #[serde(skip)]
    pub(super) excerpt: Option<String>,
}

// === impl Problem ===

impl Problem {
    /// Whether it keeps the configuration from being used.
    pub fn is_error(&self) -> bool {
        self.what.is_error()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.is_error() { "error" } else { "warning" };
        write!(f, "{severity}: {}", self.what.message)?;
        if let Some(found) = &self.what.found {
            write!(f, " `{found}`")?;
        }
        let gutter = self.place.map_or(1, |place| place.line.to_string().len());
        match self.place {
            Some(place) => write!(
                f,
                "\n{:gutter$}--> {}:{}:{}",
                "", self.file, place.line, place.column
            )?,
            None => write!(f, "\n{:gutter$}--> {}", "", self.file)?,
        }
        if let (Some(place), Some(excerpt)) = (self.place, &self.excerpt) {
            // Blotting out a secret may leave the line shorter than the place: then there is nothing to underline.
            let left = excerpt.chars().count().saturating_sub(place.column - 1);
            let length = place.length.min(left).max(1);
            // Tabs stay tabs, so that the caret stands under its text whatever their width.
            let lead: String = excerpt
                .chars()
                .take(place.column - 1)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            write!(
                f,
                "\n{:gutter$} |\n{} | {excerpt}\n{:gutter$} | {lead}{}",
                "",
                place.line,
                "",
                "^".repeat(length)
            )?;
            if let Some(suggestion) = &self.what.suggestion {
                write!(f, " did you mean `{suggestion}`?")?;
            }
        } else if let Some(suggestion) = &self.what.suggestion {
            write!(f, "\n{:gutter$} = did you mean `{suggestion}`?", "")?;
        }
        if !self.what.path.is_empty() {
            write!(f, "\n{:gutter$} = at: {}", "", self.what.path)?;
        }
        if let Some(allowed) = &self.what.allowed {
            write!(f, "\n{:gutter$} = allowed: {allowed}", "")?;
        }
        Ok(())
    }
}
