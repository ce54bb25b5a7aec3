//! `embedding`: how near the user's text is to example texts.
//!
//! A rule's score is that of its prototype bank ([`crate::PrototypeOptions`]), or with `aggregation: max`, `mean` or `any`
//! the best or the mean cosine over its candidates. It qualifies when the score reaches its threshold. Of the qualified rules
//! the `top_k` best are emitted (1 by default; 0 emits all; ties go to the name that sorts first). With `top_k: 1` the best
//! must also be `margin` ahead of the next qualified one, else the text is ambiguous and none is emitted. With
//! `soft_matching`, when no rule qualifies, the best is emitted if it reaches `min_score`. Confidence and raw: the score.
//!
//! Thresholds hold for the encoder they were chosen on; say which by `encoder`, and `check` warns when another one runs.

use std::collections::BTreeMap;

use fingerpost_encode::{Encoder, Vector, dot};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Problem, PrototypeOptions, Signal,
    bank::{Bank, MAX_EXAMPLES},
    facts::Facts,
    nearest::Nearest,
};

/// Example texts of a kind of request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingRule {
    /// The example texts, 1 to 512.
    pub candidates: Vec<String>,
    /// Lowest score that matches, -1 to 1. Default: 0.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// How the cosines with the candidates become a score. Default: `prototypes`.
    #[serde(default)]
    pub aggregation: Aggregation,
    /// The encoder (`NAME` or `NAME@FINGERPRINT`) on which the threshold was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
}

/// How the cosines with the candidates become a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Aggregation {
    /// The score of the prototype bank.
    #[default]
    Prototypes,
    /// The best cosine.
    Max,
    /// The mean cosine.
    Mean,
    /// The best cosine: some candidate reaches the threshold.
    Any,
}

/// Options of the family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddingOptions {
    /// How many rules are emitted at most, the best first; 0: all that qualify. Default: 1.
    pub top_k: usize,
    /// Whether the best rule is emitted when none reaches its threshold. Default: false.
    pub soft_matching: bool,
    /// Lowest score for that. Default: 0.4.
    pub min_score: f64,
}

pub(crate) struct Embedding {
    rules: Vec<(Scorer, f64)>,
    options: EmbeddingOptions,
    margin: f64,
}

enum Scorer {
    Bank(Bank),
    Max(Nearest),
    Mean(Vec<Vector>),
}

/// Score that matches where a rule names none.
pub const DEFAULT_THRESHOLD: f64 = 0.5;

// === impl EmbeddingOptions ===

impl Default for EmbeddingOptions {
    fn default() -> Self {
        Self {
            top_k: 1,
            soft_matching: false,
            min_score: 0.4,
        }
    }
}

// === impl Scorer ===

impl Scorer {
    fn score(&self, vector: &[f32]) -> f64 {
        match self {
            Self::Bank(bank) => bank.score(vector),
            Self::Max(all) => all.cosines(vector, 1).next().map_or(-1.0, f64::from),
            Self::Mean(all) => {
                all.iter().map(|c| f64::from(dot(c, vector))).sum::<f64>() / all.len().max(1) as f64
            }
        }
    }
}

// === impl Embedding ===

impl Embedding {
    pub(crate) fn check(
        rules: &BTreeMap<String, EmbeddingRule>,
        options: &EmbeddingOptions,
        problems: &mut Vec<Problem>,
    ) {
        for (name, rule) in rules {
            let path = format!("signals.embedding.{name}");
            check_examples(&rule.candidates, &format!("{path}.candidates"), problems);
            check_threshold(rule.threshold, &format!("{path}.threshold"), problems);
        }
        check_threshold(
            Some(options.min_score),
            "signals.options.embedding.min_score",
            problems,
        );
    }

    pub(crate) fn compile(
        rules: &BTreeMap<String, EmbeddingRule>,
        options: &EmbeddingOptions,
        prototypes: &PrototypeOptions,
        encoder: &dyn Encoder,
    ) -> Self {
        let compiled = rules.values().map(|rule| {
            let vectors = || -> Vec<Vector> { rule.candidates.iter().map(|c| encoder.encode(c)).collect() };
            let scorer = match rule.aggregation {
                Aggregation::Prototypes => Scorer::Bank(Bank::new(&rule.candidates, prototypes, encoder)),
                Aggregation::Max | Aggregation::Any => Scorer::Max(Nearest::new(&vectors())),
                Aggregation::Mean => Scorer::Mean(vectors()),
            };
            (scorer, rule.threshold.unwrap_or(DEFAULT_THRESHOLD))
        });
        Self {
            rules: compiled.collect(),
            options: options.clone(),
            margin: prototypes.margin,
        }
    }

    pub(crate) fn fill(&self, facts: &Facts<'_>, encoder: &dyn Encoder, out: &mut [Signal]) {
        let Some(vector) = facts.vector(encoder) else {
            out.fill(Signal::FAILED);
            return;
        };
        for ((scorer, threshold), signal) in self.rules.iter().zip(out.iter_mut()) {
            let score = scorer.score(vector);
            *signal = Signal::new(score >= *threshold, score, score);
        }
        self.compete(out);
    }

    /// Keeps the best of the qualified rules.
    fn compete(&self, out: &mut [Signal]) {
        let qualified = out.iter().filter(|s| s.matched()).count();
        if qualified == 0 {
            if self.options.soft_matching
                && let Some(best) = best(out, |_| true).filter(|&i| out[i].raw >= self.options.min_score)
            {
                out[best] = Signal::new(true, out[best].raw, out[best].raw);
            }
            return;
        }
        let keep = self.options.top_k;
        if keep == 0 || qualified <= 1 {
            return;
        }
        if keep == 1
            && let Some(first) = best(out, Signal::matched)
        {
            let ahead = out
                .iter()
                .enumerate()
                .filter(|(i, s)| *i != first && s.matched())
                .all(|(_, s)| out[first].raw - s.raw >= self.margin);
            for (i, signal) in out.iter_mut().enumerate() {
                *signal = Signal::new(i == first && ahead, signal.raw, signal.raw);
            }
            return;
        }
        let mut order: Vec<usize> = (0..out.len()).filter(|&i| out[i].matched()).collect();
        order.sort_by(|&a, &b| out[b].raw.total_cmp(&out[a].raw));
        for &i in order.iter().skip(keep) {
            out[i] = Signal::new(false, 0.0, out[i].raw);
        }
    }
}

/// The best score among those admitted; the first of equals.
fn best(out: &[Signal], admit: impl Fn(&Signal) -> bool) -> Option<usize> {
    let mut best: Option<usize> = None;
    for (i, signal) in out.iter().enumerate() {
        if admit(signal) && best.is_none_or(|b| signal.raw > out[b].raw) {
            best = Some(i);
        }
    }
    best
}

/// Reports a list of examples that no bank can be made of.
pub(crate) fn check_examples(examples: &[String], path: &str, problems: &mut Vec<Problem>) {
    if examples.is_empty() || examples.len() > MAX_EXAMPLES {
        problems.push(
            Problem::error(path, "no prototypes can be made of these examples")
                .found(format!("{} texts", examples.len()))
                .allowed(format!("1 to {MAX_EXAMPLES}")),
        );
    }
    for (i, text) in examples.iter().enumerate() {
        if text.trim().is_empty() {
            problems.push(Problem::error(format!("{path}[{i}]"), "an empty example"));
        }
    }
}

/// Reports a threshold that no cosine can be compared with.
pub(crate) fn check_threshold(threshold: Option<f64>, path: &str, problems: &mut Vec<Problem>) {
    if let Some(value) = threshold.filter(|t| !(-1.0..=1.0).contains(t)) {
        problems.push(
            Problem::error(path, "out of range")
                .found(value.to_string())
                .allowed("-1 to 1"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Compass;
    use fingerpost_core::Query;

    /// Rules `a` at 0 degrees, `b` at 30, `c` at 90; see [`Compass`] for texts that are angles.
    fn read(options: &str, rule: &str, text: &str) -> Vec<Signal> {
        let rules: BTreeMap<String, EmbeddingRule> = [("a", "0"), ("b", "30"), ("c", "90")]
            .map(|(name, angle)| {
                let json = format!(r#"{{"candidates":["{angle}"]{rule}}}"#);
                (name.to_owned(), serde_json::from_str(&json).unwrap())
            })
            .into();
        let options = serde_json::from_str(options).unwrap();
        let mut problems = Vec::new();
        Embedding::check(&rules, &options, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        let encoder = Compass::new();
        let family = Embedding::compile(&rules, &options, &PrototypeOptions::default(), &encoder);
        let query = Query::text(text);
        let mut out = vec![Signal::UNKNOWN; 3];
        family.fill(&Facts::new(&query, None, None), &encoder, &mut out);
        out
    }

    fn matched(options: &str, rule: &str, text: &str) -> [bool; 3] {
        let out = read(options, rule, text);
        [out[0].matched(), out[1].matched(), out[2].matched()]
    }

    #[test]
    fn only_the_best_is_emitted_unless_told() {
        let out = read("{}", "", "5");
        assert!((out[0].confidence - 5_f64.to_radians().cos()).abs() < 1e-6);
        assert_eq!(matched("{}", "", "5"), [true, false, false]);
        assert_eq!(matched(r#"{"top_k":0}"#, "", "5"), [true, true, false]);
        assert_eq!(
            matched(r#"{"top_k":2}"#, r#","threshold":-1"#, "5"),
            [true, true, false]
        );
        assert_eq!(matched("{}", "", "200"), [false; 3]);
    }

    #[test]
    fn an_ambiguous_best_is_not_emitted() {
        // 15 degrees lie in the middle between a and b.
        assert_eq!(matched("{}", "", "15"), [false; 3]);
        assert_eq!(matched(r#"{"top_k":0}"#, "", "15"), [true, true, false]);
    }

    #[test]
    fn soft_matching_takes_the_best_below_its_threshold() {
        let rule = r#","threshold":0.99"#;
        assert_eq!(matched("{}", rule, "60"), [false; 3]);
        // cos 30 = .866 for b and c, cos 60 = .5 for a: the first of the two best.
        assert_eq!(
            matched(r#"{"soft_matching":true}"#, rule, "59"),
            [false, true, false]
        );
        assert_eq!(
            matched(r#"{"soft_matching":true,"min_score":0.9}"#, rule, "59"),
            [false; 3]
        );
    }

    #[test]
    fn aggregations() {
        let score = |aggregation: &str| {
            let rules = BTreeMap::from([(
                "r".to_owned(),
                serde_json::from_str(&format!(
                    r#"{{"candidates":["0","60"],"aggregation":"{aggregation}"}}"#
                ))
                .unwrap(),
            )]);
            let encoder = Compass::new();
            let (options, prototypes) = (EmbeddingOptions::default(), PrototypeOptions::default());
            let family = Embedding::compile(&rules, &options, &prototypes, &encoder);
            let query = Query::text("0");
            let mut out = [Signal::UNKNOWN];
            family.fill(&Facts::new(&query, None, None), &encoder, &mut out);
            out[0].raw
        };
        assert!((score("max") - 1.0).abs() < 1e-6);
        assert!((score("any") - 1.0).abs() < 1e-6);
        assert!((score("mean") - 0.75).abs() < 1e-6);
        assert!((score("prototypes") - (0.75 + 0.25 * 0.75)).abs() < 1e-6);
    }

    #[test]
    fn a_vector_that_is_not_finite_fails() {
        let out = read("{}", "", "nan");
        assert!(out.iter().all(|s| s.state == crate::State::Failed));
    }

    #[test]
    fn bad_examples_are_named() {
        let rules =
            serde_json::from_str(r#"{"a":{"candidates":[]},"b":{"candidates":["x"," "],"threshold":1.5}}"#)
                .unwrap();
        let mut problems = Vec::new();
        Embedding::check(&rules, &EmbeddingOptions::default(), &mut problems);
        let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "signals.embedding.a.candidates",
                "signals.embedding.b.candidates[1]",
                "signals.embedding.b.threshold"
            ]
        );
    }
}
