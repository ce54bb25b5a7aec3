//! An encoder whose vectors can be worked out by hand, and the plain definition of a decision.

use std::collections::HashMap;

use fingerpost_encode::{Encoder, ModelId};
use fingerpost_signals::{
    Condition, DecisionRule, Leaf, OnError, Policy, PolicyConfig, SignalReport, State, Strategy,
};

/// Reads the first number in a text as an angle in degrees; a text without one points nowhere.
pub(crate) struct Compass(ModelId);

impl Compass {
    pub(crate) fn new() -> Self {
        Self(ModelId::new("compass", 1))
    }
}

impl Encoder for Compass {
    fn model(&self) -> &ModelId {
        &self.0
    }
    fn dims(&self) -> usize {
        2
    }
    fn encode_into(&self, text: &str, out: &mut [f32]) {
        let number = text.split_whitespace().find_map(|w| w.parse::<f32>().ok());
        let angle = number.map(f32::to_radians);
        out[0] = angle.map_or(0.0, f32::cos);
        out[1] = angle.map_or(0.0, f32::sin);
    }
}

pub(crate) fn compile(config: &PolicyConfig) -> Policy {
    Policy::compile(config, std::sync::Arc::new(Compass::new())).expect("the policy compiles")
}

/// Every signal by kind, name and label.
pub(crate) struct Signals(HashMap<(String, String, Option<String>), SignalReport>);

impl Signals {
    pub(crate) fn new(reports: Vec<SignalReport>) -> Self {
        let key = |r: &SignalReport| (r.kind.to_owned(), r.name.clone(), r.label.map(str::to_owned));
        Self(reports.into_iter().map(|r| (key(&r), r)).collect())
    }

    fn of(&self, leaf: &Leaf) -> &SignalReport {
        let key = (
            leaf.kind.as_str().to_owned(),
            leaf.name.clone().unwrap_or_default(),
            leaf.label.clone(),
        );
        &self.0[&key]
    }

    /// Confidence of a condition by the plain recursive definition; `None` where it does not hold.
    pub(crate) fn confidence(&self, condition: &Condition) -> Option<f64> {
        match condition {
            Condition::All(children) => {
                let all: Option<Vec<f64>> = children.iter().map(|c| self.confidence(c)).collect();
                let all = all?;
                Some(if all.is_empty() {
                    0.0
                } else {
                    all.iter().sum::<f64>() / all.len() as f64
                })
            }
            Condition::Any(children) => children
                .iter()
                .filter_map(|c| self.confidence(c))
                .reduce(f64::max),
            Condition::Not(child) => self.confidence(child).is_none().then_some(1.0),
            Condition::Leaf(leaf) => {
                let signal = self.of(leaf);
                match (signal.state, leaf.test) {
                    (State::Failed, _) => (leaf.on_error == OnError::Match).then_some(1.0),
                    (_, Some(test)) => test.passes(signal.raw.unwrap_or(f64::NAN)).then_some(1.0),
                    (state, None) => (state == State::Match).then_some(signal.confidence),
                }
            }
        }
    }
}

/// The winner and its confidence by the plain definition: all decisions, all signals, one sort.
pub(crate) fn decide_plainly(config: &PolicyConfig, signals: &Signals) -> Option<(usize, f64)> {
    let mut matched: Vec<(usize, f64, &DecisionRule)> = config
        .decisions
        .iter()
        .enumerate()
        .filter_map(|(i, d)| Some((i, signals.confidence(&d.when)?, d)))
        .collect();
    let tiered = matched.iter().any(|(_, _, d)| d.tier > 0);
    matched.sort_by(|(_, ca, a), (_, cb, b)| {
        let confidence = cb.total_cmp(ca);
        let priority = b.priority.cmp(&a.priority);
        let name = a.name.cmp(&b.name);
        match (tiered, config.strategy) {
            (true, _) => a.tier.cmp(&b.tier).then(confidence).then(priority).then(name),
            (false, Strategy::Priority) => priority.then(confidence).then(name),
            (false, Strategy::Confidence) => confidence.then(priority).then(name),
        }
    });
    matched.first().map(|(i, confidence, _)| (*i, *confidence))
}
