//! What is wrong with a configuration: where, what was found, what is allowed, and the nearest thing that would do.

use std::fmt;

use serde::Serialize;

/// How grave a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The policy works, but probably not as meant.
    Warning,
    /// The policy cannot be compiled.
    Error,
}

/// One thing that is wrong with a configuration. The caller adds file and line, which it alone knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How grave it is.
    pub severity: Severity,
    /// Where, as a path of keys: `decisions[2].when`, `signals.keyword.urgent.any[0]`.
    pub path: String,
    /// What is wrong, as a clause: `unknown signal`.
    pub message: String,
    /// What stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What may stand there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// The allowed thing nearest to what was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

/// Most names that a problem lists as allowed.
const LISTED: usize = 16;

// === impl Problem ===

impl Problem {
    /// A problem that keeps the policy from compiling.
    pub fn error(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, path.into(), message.into())
    }

    /// A problem that a person should look at.
    pub fn warning(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, path.into(), message.into())
    }

    fn new(severity: Severity, path: String, message: String) -> Self {
        Self {
            severity,
            path,
            message,
            found: None,
            allowed: None,
            suggestion: None,
        }
    }

    /// The same, telling what stands there.
    #[must_use]
    pub fn found(mut self, found: impl Into<String>) -> Self {
        self.found = Some(found.into());
        self
    }

    /// The same, telling what may stand there.
    #[must_use]
    pub fn allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    /// The same, telling which names may stand there and which of them is nearest to `found`.
    #[must_use]
    pub fn one_of<'a>(
        mut self,
        found: impl Into<String>,
        names: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Self {
        let found = found.into();
        self.suggestion = nearest(&found, names.clone()).map(str::to_owned);
        let mut listed: Vec<&str> = names.into_iter().collect();
        let more = listed.len().saturating_sub(LISTED);
        listed.truncate(LISTED);
        let mut allowed = if listed.is_empty() {
            "(none is defined)".to_owned()
        } else {
            listed.join(", ")
        };
        if more > 0 {
            allowed.push_str(&format!(" and {more} more"));
        }
        self.found = Some(found);
        self.allowed = Some(allowed);
        self
    }

    /// Whether it keeps the policy from compiling.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}: {}", self.path, self.message)?;
        if let Some(found) = &self.found {
            write!(f, " `{found}`")?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean `{suggestion}`?")?;
        }
        if let Some(allowed) = &self.allowed {
            write!(f, " (allowed: {allowed})")?;
        }
        Ok(())
    }
}

/// The name nearest to `found` by edit distance, if one is near enough to be what was meant: at most a third of the
/// letters differ, or one starts with the other.
pub(crate) fn nearest<'a>(found: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = found.to_lowercase();
    let near = names.into_iter().filter_map(|name| {
        let candidate = name.to_lowercase();
        let distance = strsim::damerau_levenshtein(&lower, &candidate);
        let longest = lower.chars().count().max(candidate.chars().count());
        let prefix = lower.len() >= 3 && candidate.starts_with(&lower);
        (distance * 3 <= longest || prefix).then_some((distance, name))
    });
    near.min_by_key(|(distance, name)| (*distance, *name))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_when_near() {
        let names = ["math", "law", "health"];
        assert_eq!(nearest("mth", names), Some("math"));
        assert_eq!(nearest("Heatlh", names), Some("health"));
        assert_eq!(nearest("zebra", names), None);
    }

    #[test]
    fn a_problem_reads_as_one_line() {
        let problem =
            Problem::error("decisions[2].when", "unknown signal").one_of("domain:mth", ["domain:math"]);
        assert_eq!(
            problem.to_string(),
            "error: decisions[2].when: unknown signal `domain:mth`; did you mean `domain:math`? \
             (allowed: domain:math)"
        );
    }
}
