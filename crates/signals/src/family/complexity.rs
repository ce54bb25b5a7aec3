//! `complexity`: how hard the question is.
//!
//! Two prototype banks, of hard and of easy questions; delta = score(hard) - score(easy). The outcome is `hard` when delta is
//! above the threshold, `easy` when below minus the threshold, else `medium`; a condition names it as a label,
//! `complexity:NAME:hard`. A `composer` is a condition over other signals that must hold first: where it does not, no label
//! matches. Confidence: 1. Raw: delta, also by `complexity:NAME > 0.1`.

mod examples;

use std::collections::BTreeMap;

use fingerpost_encode::Encoder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use examples::{EASY, HARD};

use super::embedding::{check_examples, check_threshold};
use crate::{Condition, Problem, PrototypeOptions, Signal, bank::Bank, facts::Facts};

/// What the outcome may be, in the order of the signals.
pub const LABELS: [&str; 3] = ["hard", "medium", "easy"];

/// A measure of difficulty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ComplexityRule {
    /// How far delta must be from 0 to be hard or easy, 0 to 1. Default: 0.05.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Hard questions. Default: a built-in set ([`HARD`]).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hard: Vec<String>,
    /// Easy questions. Default: a built-in set ([`EASY`]).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub easy: Vec<String>,
    /// Must hold for the rule to match at all; may not refer to complexity or projections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub composer: Option<Condition>,
    /// The encoder (`NAME` or `NAME@FINGERPRINT`) on which the threshold was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
}

pub(crate) struct Complexity {
    rules: Vec<Rule>,
}

struct Rule {
    hard: Bank,
    easy: Bank,
    threshold: f64,
}

/// Distance from 0 where a rule names none.
pub const DEFAULT_THRESHOLD: f64 = 0.05;

// === impl Complexity ===

impl Complexity {
    pub(crate) fn check(rules: &BTreeMap<String, ComplexityRule>, problems: &mut Vec<Problem>) {
        for (name, rule) in rules {
            let path = format!("signals.complexity.{name}");
            for (key, texts) in [("hard", &rule.hard), ("easy", &rule.easy)] {
                if !texts.is_empty() {
                    check_examples(texts, &format!("{path}.{key}"), problems);
                }
            }
            check_threshold(rule.threshold, &format!("{path}.threshold"), problems);
            if rule.threshold.is_some_and(|t| t < 0.0) {
                problems.push(
                    Problem::error(format!("{path}.threshold"), "hard and easy would overlap")
                        .allowed("0 to 1"),
                );
            }
        }
    }

    pub(crate) fn compile(
        rules: &BTreeMap<String, ComplexityRule>,
        prototypes: &PrototypeOptions,
        encoder: &dyn Encoder,
    ) -> Self {
        let bank = |own: &[String], default: &[&str]| {
            if own.is_empty() {
                Bank::new(default, prototypes, encoder)
            } else {
                Bank::new(own, prototypes, encoder)
            }
        };
        let compiled = rules.values().map(|rule| Rule {
            hard: bank(&rule.hard, &HARD),
            easy: bank(&rule.easy, &EASY),
            threshold: rule.threshold.unwrap_or(DEFAULT_THRESHOLD),
        });
        Self {
            rules: compiled.collect(),
        }
    }

    /// The signals of one rule: its labels and, behind them, delta alone.
    pub(crate) fn one(&self, rule: usize, facts: &Facts<'_>, encoder: &dyn Encoder) -> [Signal; 4] {
        let (Some(rule), Some(vector)) = (self.rules.get(rule), facts.vector(encoder)) else {
            return [Signal::FAILED; 4];
        };
        let delta = rule.hard.score(vector) - rule.easy.score(vector);
        outcome(delta, rule.threshold)
    }
}

fn outcome(delta: f64, threshold: f64) -> [Signal; 4] {
    let (hard, easy) = (delta > threshold, delta < -threshold);
    [hard, !hard && !easy, easy, true].map(|matched| Signal::certain(matched, delta))
}

/// The signals of a rule whose composer does not hold.
pub(crate) const GATED: [Signal; 4] = [Signal {
    state: crate::State::Miss,
    confidence: 0.0,
    raw: f64::NAN,
}; 4];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Compass;
    use fingerpost_core::Query;

    #[test]
    fn delta_beyond_the_threshold_on_either_side() {
        let labels = |delta| outcome(delta, 0.05).map(|s| s.matched());
        assert_eq!(labels(0.06), [true, false, false, true]);
        assert_eq!(labels(0.05), [false, true, false, true]);
        assert_eq!(labels(-0.05), [false, true, false, true]);
        assert_eq!(labels(-0.06), [false, false, true, true]);
    }

    #[test]
    fn delta_is_the_difference_of_the_scores() {
        let rules = serde_json::from_str(r#"{"r":{"hard":["0"],"easy":["60"]}}"#).unwrap();
        let encoder = Compass::new();
        let family = Complexity::compile(&rules, &PrototypeOptions::default(), &encoder);
        let read = |text: &str| {
            let query = Query::text(text);
            family.one(0, &Facts::new(&query, None, None), &encoder)
        };
        assert!((read("0")[0].raw - 0.5).abs() < 1e-6 && read("0")[0].matched());
        assert!(read("30")[1].matched());
        assert!(read("60")[2].matched());
        assert_eq!(read("nan")[0].state, crate::State::Failed);
    }

    #[test]
    fn an_empty_text_is_medium() {
        let rules = serde_json::from_str(r#"{"r":{}}"#).unwrap();
        let encoder = Compass::new();
        let family = Complexity::compile(&rules, &PrototypeOptions::default(), &encoder);
        let query = Query::text("");
        assert!(family.one(0, &Facts::new(&query, None, None), &encoder)[1].matched());
    }

    #[test]
    fn a_negative_threshold_is_an_error() {
        let rules = serde_json::from_str(r#"{"r":{"threshold":-0.1}}"#).unwrap();
        let mut problems = Vec::new();
        Complexity::check(&rules, &mut problems);
        assert!(problems[0].message.contains("overlap"));
    }
}
