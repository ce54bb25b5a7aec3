//! `domain`: the field of knowledge that the user's text belongs to.
//!
//! Categories compete: the 14 built in ([`CATEGORIES`]), and one for each rule that brings its own `examples`. Each has a
//! prototype bank; the `top_k` best (1 by default, so that one field is named; ties go to the one that sorts first) are the
//! text's categories. A rule matches when one of its `categories` (its own name where it lists none) is among them with a
//! score of at least the threshold. Confidence and raw: the best score of the rule's categories among them; raw without a
//! match: the best score of its categories.
//!
//! Where the paper has a trained classifier, this has the prototypes: no download, and a new field costs a dozen phrases.

mod examples;

use std::collections::BTreeMap;

use fingerpost_encode::Encoder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use examples::CATEGORIES;

use super::embedding::{check_examples, check_threshold};
use crate::{Problem, PrototypeOptions, Signal, bank::Bank, facts::Facts};

/// A field of knowledge.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DomainRule {
    /// The categories that count as this domain. Default: the one of the rule's name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Texts that make a category of the rule's name, or replace the built-in texts of that name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// Lowest score that matches, -1 to 1. Default: that of the family's options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// The encoder (`NAME` or `NAME@FINGERPRINT`) on which the threshold was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
}

/// Options of the family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DomainOptions {
    /// How many categories a text has at most; 0: all that reach the threshold. Default: 1.
    pub top_k: usize,
    /// Lowest score that matches where a rule names none. Default: 0.25.
    pub threshold: f64,
}

pub(crate) struct Domain {
    banks: Vec<Bank>,
    /// Categories, by place in `banks`, and the threshold of each rule.
    rules: Vec<(Vec<usize>, f64)>,
    top_k: usize,
}

// === impl DomainOptions ===

impl Default for DomainOptions {
    fn default() -> Self {
        Self {
            top_k: 1,
            threshold: 0.25,
        }
    }
}

// === impl DomainRule ===

impl DomainRule {
    /// The categories that count as this domain.
    pub(crate) fn categories<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let own = self.categories.is_empty().then_some(name);
        own.into_iter().chain(self.categories.iter().map(String::as_str))
    }
}

/// All categories with their examples, sorted by name.
fn categories(rules: &BTreeMap<String, DomainRule>) -> BTreeMap<&str, Vec<&str>> {
    let built_in = CATEGORIES.iter().map(|(name, texts)| (*name, texts.to_vec()));
    let mut all: BTreeMap<&str, Vec<&str>> = built_in.collect();
    for (name, rule) in rules.iter().filter(|(_, r)| !r.examples.is_empty()) {
        all.insert(name, rule.examples.iter().map(String::as_str).collect());
    }
    all
}

// === impl Domain ===

impl Domain {
    pub(crate) fn check(
        rules: &BTreeMap<String, DomainRule>,
        options: &DomainOptions,
        problems: &mut Vec<Problem>,
    ) {
        let all = categories(rules);
        for (name, rule) in rules {
            let path = format!("signals.domain.{name}");
            if !rule.examples.is_empty() {
                check_examples(&rule.examples, &format!("{path}.examples"), problems);
            }
            check_threshold(rule.threshold, &format!("{path}.threshold"), problems);
            for (i, category) in rule.categories(name).enumerate() {
                if !all.contains_key(category) {
                    let at = if rule.categories.is_empty() {
                        path.clone()
                    } else {
                        format!("{path}.categories[{i}]")
                    };
                    let names = all.keys().copied();
                    problems.push(
                        Problem::error(
                            at,
                            "no such category; list known `categories`, or give `examples` of it",
                        )
                        .one_of(category, names),
                    );
                }
            }
        }
        check_threshold(
            Some(options.threshold),
            "signals.options.domain.threshold",
            problems,
        );
    }

    pub(crate) fn compile(
        rules: &BTreeMap<String, DomainRule>,
        options: &DomainOptions,
        prototypes: &PrototypeOptions,
        encoder: &dyn Encoder,
    ) -> Self {
        let all = categories(rules);
        let names: Vec<&str> = all.keys().copied().collect();
        let compiled = rules.iter().map(|(name, rule)| {
            let places = rule
                .categories(name)
                .filter_map(|c| names.binary_search(&c).ok())
                .collect();
            (places, rule.threshold.unwrap_or(options.threshold))
        });
        Self {
            rules: compiled.collect(),
            banks: all
                .values()
                .map(|texts| Bank::new(texts, prototypes, encoder))
                .collect(),
            top_k: if options.top_k == 0 {
                usize::MAX
            } else {
                options.top_k
            },
        }
    }

    pub(crate) fn fill(&self, facts: &Facts<'_>, encoder: &dyn Encoder, out: &mut [Signal]) {
        let Some(vector) = facts.vector(encoder) else {
            out.fill(Signal::FAILED);
            return;
        };
        let scores: smallvec::SmallVec<[f64; 16]> = self.banks.iter().map(|b| b.score(vector)).collect();
        // A category is among the top when fewer than `top_k` stand before it.
        let leading = |i: usize| {
            let before = |j: &usize| scores[*j] > scores[i] || (scores[*j] == scores[i] && *j < i);
            (0..scores.len()).filter(before).count() < self.top_k
        };
        for ((places, threshold), signal) in self.rules.iter().zip(out) {
            let best = |admit: &dyn Fn(usize) -> bool| {
                places
                    .iter()
                    .filter(|&&i| admit(i))
                    .map(|&i| scores[i])
                    .fold(f64::NEG_INFINITY, f64::max)
            };
            let score = best(&leading);
            *signal = if score >= *threshold {
                Signal::new(true, score, score)
            } else {
                Signal::new(false, 0.0, best(&|_| true))
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Compass;
    use fingerpost_core::Query;

    fn read(rules: &str, options: &str, text: &str) -> Vec<Signal> {
        let rules: BTreeMap<String, DomainRule> = serde_json::from_str(rules).unwrap();
        let options = serde_json::from_str(options).unwrap();
        let mut problems = Vec::new();
        Domain::check(&rules, &options, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        let encoder = Compass::new();
        let family = Domain::compile(&rules, &options, &PrototypeOptions::default(), &encoder);
        let query = Query::text(text);
        let mut out = vec![Signal::UNKNOWN; rules.len()];
        family.fill(&Facts::new(&query, None, None), &encoder, &mut out);
        out
    }

    const RULES: &str =
        r#"{"east":{"examples":["0"]},"north":{"examples":["90"]},"both":{"categories":["east","north"]}}"#;

    #[test]
    fn the_best_category_names_the_domain() {
        // Sorted by name: both, east, north.
        let out = read(RULES, "{}", "20");
        let matched: Vec<bool> = out.iter().map(Signal::matched).collect();
        assert_eq!(matched, [true, true, false]);
        assert!((out[1].confidence - 20_f64.to_radians().cos()).abs() < 1e-6);
        assert!((out[2].raw - 70_f64.to_radians().cos()).abs() < 1e-6, "{out:?}");
        assert_eq!(
            read(RULES, r#"{"top_k":0}"#, "40")
                .iter()
                .filter(|s| s.matched())
                .count(),
            3
        );
        assert_eq!(read(RULES, "{}", "220").iter().filter(|s| s.matched()).count(), 0);
        assert!(!read(RULES, r#"{"threshold":0.95}"#, "20")[1].matched());
    }

    #[test]
    fn unknown_categories_are_named() {
        let rules = serde_json::from_str(r#"{"maths":{},"x":{"categories":["law","busines"]}}"#).unwrap();
        let mut problems = Vec::new();
        Domain::check(&rules, &DomainOptions::default(), &mut problems);
        assert_eq!(problems[0].suggestion.as_deref(), Some("math"));
        assert_eq!(problems[1].path, "signals.domain.x.categories[1]");
        assert_eq!(problems[1].suggestion.as_deref(), Some("business"));
    }

    #[test]
    fn fourteen_categories_of_a_dozen_texts() {
        assert_eq!(CATEGORIES.len(), 14);
        for (name, texts) in CATEGORIES {
            assert!(texts.len() >= 12, "{name}");
        }
    }
}
