//! `metadata`: what the caller says of the request, as a map of texts. Anyone can write it: it must never grant a right
//! (that is `authz`).
//!
//! Within limits: 32 entries, keys of 128 bytes, values of 1024 bytes. A map that breaks one is refused whole: no rule
//! matches, its signals count as failed (`on_error`), and [`within_limits`] tells the gateway which limit it was. Of a key
//! that stands twice the first counts. Raw: 1 where the key is present, else 0.

use std::collections::BTreeMap;

use fingerpost_core::Query;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Problem, Signal, facts::Facts};

/// Most entries.
pub const MAX_ENTRIES: usize = 32;
/// Longest key, in bytes.
pub const MAX_KEY: usize = 128;
/// Longest value, in bytes.
pub const MAX_VALUE: usize = 1024;

/// A condition on one entry: `key` and exactly one of `equals`, `in`, `exists`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetadataRule {
    /// The entry's key.
    pub key: String,
    /// The value is this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// The value is one of these.
    #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
    pub any_of: Option<Vec<String>>,
    /// The key is there (true) or not (false).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
}

/// Metadata that breaks a limit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// Too many entries.
    #[error("metadata has {0} entries; at most {MAX_ENTRIES} are allowed")]
    Entries(usize),
    /// A key is too long.
    #[error("a metadata key has {0} bytes; at most {MAX_KEY} are allowed")]
    Key(usize),
    /// A value is too long.
    #[error("the metadata value of `{key}` has {bytes} bytes; at most {MAX_VALUE} are allowed")]
    Value {
        /// Its key.
        key: String,
        /// Its length.
        bytes: usize,
    },
}

pub(crate) struct Metadata {
    rules: Vec<MetadataRule>,
}

/// Checks a request's metadata against the limits.
///
/// # Errors
/// The first limit that it breaks.
pub fn within_limits(query: &Query<'_>) -> Result<(), MetadataError> {
    if query.metadata.len() > MAX_ENTRIES {
        return Err(MetadataError::Entries(query.metadata.len()));
    }
    for (key, value) in &query.metadata {
        if key.len() > MAX_KEY {
            return Err(MetadataError::Key(key.len()));
        }
        if value.len() > MAX_VALUE {
            return Err(MetadataError::Value {
                key: key.to_string(),
                bytes: value.len(),
            });
        }
    }
    Ok(())
}

// === impl Metadata ===

impl Metadata {
    pub(crate) fn compile(rules: &BTreeMap<String, MetadataRule>, problems: &mut Vec<Problem>) -> Self {
        for (name, rule) in rules {
            let given = usize::from(rule.equals.is_some())
                + usize::from(rule.any_of.is_some())
                + usize::from(rule.exists.is_some());
            let path = format!("signals.metadata.{name}");
            if given != 1 {
                problems.push(
                    Problem::error(&path, "a metadata rule has exactly one test")
                        .found(format!("{given} of them"))
                        .allowed("one of equals, in, exists"),
                );
            }
            if rule.key.is_empty() || rule.key.len() > MAX_KEY {
                problems.push(
                    Problem::error(format!("{path}.key"), "no entry can have this key")
                        .found(format!("{} bytes", rule.key.len()))
                        .allowed(format!("1 to {MAX_KEY} bytes")),
                );
            }
        }
        Self {
            rules: rules.values().cloned().collect(),
        }
    }

    pub(crate) fn fill(&self, facts: &Facts<'_>, out: &mut [Signal]) {
        let query = facts.query;
        if within_limits(query).is_err() {
            out.fill(Signal::FAILED);
            return;
        }
        for (rule, signal) in self.rules.iter().zip(out) {
            let value = query
                .metadata
                .iter()
                .find(|(k, _)| *k == rule.key)
                .map(|(_, v)| &**v);
            let matched = match (&rule.equals, &rule.any_of, rule.exists) {
                (Some(wanted), ..) => value == Some(wanted.as_str()),
                (_, Some(list), _) => value.is_some_and(|v| list.iter().any(|l| l == v)),
                (.., Some(wanted)) => value.is_some() == wanted,
                _ => false,
            };
            *signal = Signal::certain(matched, f64::from(u8::from(value.is_some())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::State;

    fn fill(entries: &[(&'static str, &'static str)]) -> Vec<bool> {
        let rules = serde_json::from_str(
            r#"{"a_equals":{"key":"job","equals":"nightly"},"b_in":{"key":"job","in":["x","nightly"]},
                "c_exists":{"key":"job","exists":true},"d_absent":{"key":"job","exists":false}}"#,
        )
        .unwrap();
        let mut problems = Vec::new();
        let family = Metadata::compile(&rules, &mut problems);
        assert!(problems.is_empty());
        let query = Query {
            metadata: entries.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            ..Query::default()
        };
        let mut out = [Signal::UNKNOWN; 4];
        family.fill(&Facts::new(&query, None, None), &mut out);
        out.iter().map(Signal::matched).collect()
    }

    #[test]
    fn equals_in_and_exists() {
        assert_eq!(fill(&[("job", "nightly")]), [true, true, true, false]);
        assert_eq!(fill(&[("job", "x")]), [false, true, true, false]);
        assert_eq!(fill(&[("job", "y")]), [false, false, true, false]);
        assert_eq!(fill(&[("jobs", "x")]), [false, false, false, true]);
        assert_eq!(
            fill(&[("job", "y"), ("job", "nightly")]),
            [false, false, true, false]
        );
    }

    #[test]
    fn a_map_over_a_limit_fails_whole() {
        let many = |n: usize, key: usize, value: usize| Query {
            metadata: (0..n)
                .map(|i| (format!("{i:0key$}").into(), "v".repeat(value).into()))
                .collect(),
            ..Query::default()
        };
        assert_eq!(within_limits(&many(32, 128, 1024)), Ok(()));
        assert_eq!(within_limits(&many(33, 2, 1)), Err(MetadataError::Entries(33)));
        assert_eq!(within_limits(&many(1, 129, 1)), Err(MetadataError::Key(129)));
        assert!(matches!(
            within_limits(&many(1, 1, 1025)),
            Err(MetadataError::Value { bytes: 1025, .. })
        ));

        let rules = serde_json::from_str(r#"{"absent":{"key":"job","exists":false}}"#).unwrap();
        let family = Metadata::compile(&rules, &mut Vec::new());
        let query = many(33, 2, 1);
        let mut out = [Signal::UNKNOWN];
        family.fill(&Facts::new(&query, None, None), &mut out);
        assert_eq!(out[0].state, State::Failed);
    }

    #[test]
    fn exactly_one_test() {
        let rules = serde_json::from_str(r#"{"a":{"key":"k"},"b":{"key":"","equals":"x"}}"#).unwrap();
        let mut problems = Vec::new();
        Metadata::compile(&rules, &mut problems);
        assert_eq!(problems.len(), 2);
        assert_eq!(problems[1].path, "signals.metadata.b.key");
    }
}
