//! `context`: how long the whole conversation is, in tokens.
//!
//! The count is the caller's where it has one ([`crate::Extra::tokens`]), else a quarter of the bytes. A rule matches when
//! the count lies within its bounds, both included. Raw: the count.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Number, Problem, Signal, facts::Facts};

/// Bounds on the number of tokens.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ContextRule {
    /// Fewest tokens, included; may be written `32K`. Default: no lower bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_tokens: Option<Number>,
    /// Most tokens, included; may be written `1M`. Default: no upper bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<Number>,
}

pub(crate) struct Context {
    bounds: Vec<(f64, f64)>,
}

// === impl Context ===

impl Context {
    pub(crate) fn compile(rules: &BTreeMap<String, ContextRule>, problems: &mut Vec<Problem>) -> Self {
        let mut bounds = Vec::with_capacity(rules.len());
        for (name, rule) in rules {
            let min = rule.min_tokens.map_or(0.0, Number::get);
            let max = rule.max_tokens.map_or(f64::INFINITY, Number::get);
            let path = || format!("signals.context.{name}");
            if rule.min_tokens.is_none() && rule.max_tokens.is_none() {
                problems.push(Problem::error(
                    path(),
                    "a context rule needs `min_tokens` or `max_tokens`",
                ));
            } else if min > max {
                problems.push(
                    Problem::error(path(), "no number of tokens lies within")
                        .found(format!("{min} to {max}"))
                        .allowed("min_tokens <= max_tokens"),
                );
            }
            bounds.push((min, max));
        }
        Self { bounds }
    }

    /// One signal a rule, and behind them one that carries the count alone.
    pub(crate) fn fill(&self, facts: &Facts<'_>, out: &mut [Signal]) {
        let tokens = facts.tokens();
        for ((min, max), signal) in self.bounds.iter().zip(out.iter_mut()) {
            *signal = Signal::certain(tokens >= *min && tokens <= *max, tokens);
        }
        if let Some(last) = out.get_mut(self.bounds.len()) {
            *last = Signal::certain(true, tokens);
        }
    }

    /// The bounds of each rule, for static analysis.
    pub(crate) fn bounds(&self) -> &[(f64, f64)] {
        &self.bounds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fingerpost_core::{Query, TokenCount};

    fn rules() -> BTreeMap<String, ContextRule> {
        serde_json::from_str(r#"{"long":{"min_tokens":"32K"},"short":{"max_tokens":3}}"#).unwrap()
    }

    fn fill(query: &Query<'_>, tokens: Option<u32>) -> Vec<Signal> {
        let mut problems = Vec::new();
        let family = Context::compile(&rules(), &mut problems);
        assert!(problems.is_empty());
        let mut out = vec![Signal::UNKNOWN; 3];
        family.fill(&Facts::new(query, tokens.map(TokenCount), None), &mut out);
        out
    }

    #[test]
    fn a_quarter_of_the_bytes_rounded_up_with_both_bounds_included() {
        let out = fill(&Query::text("nine byte"), None);
        assert_eq!(out[1], Signal::certain(true, 3.0));
        assert!(!out[0].matched());
        assert!(!fill(&Query::text("thirteen byte"), None)[1].matched());
        assert!(fill(&Query::default(), None)[1].matched());
    }

    #[test]
    fn the_callers_count_comes_first() {
        let out = fill(&Query::text("x"), Some(32_000));
        assert_eq!((out[0].matched(), out[2].raw), (true, 32_000.0));
        assert!(!fill(&Query::text("x"), Some(31_999))[0].matched());
    }

    #[test]
    fn bounds_that_nothing_meets_are_an_error() {
        let rules = serde_json::from_str(r#"{"a":{"min_tokens":2,"max_tokens":1},"b":{}}"#).unwrap();
        let mut problems = Vec::new();
        Context::compile(&rules, &mut problems);
        assert_eq!(problems.len(), 2);
        assert!(problems[0].to_string().starts_with("error: signals.context.a:"));
    }
}
