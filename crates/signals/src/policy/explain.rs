//! Why a verdict fell as it did, for people. Allocates; made only when asked for.

use std::fmt::Write as _;

use fingerpost_core::{CandidateId, Decision, Evidence, Feature, Pick, Reason};
use serde::Serialize;

use super::{Policy, SlotName, Source, Verdict};
use crate::{Condition, Leaf, Signal, State, condition::write_name};

/// A signal with its name, for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SignalReport {
    /// The family, `projection` or `score`.
    pub kind: &'static str,
    /// The rule's name; empty for the token estimate of `context`.
    pub name: String,
    /// `hard`, `medium` or `easy` of a complexity rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<&'static str>,
    /// Whether it matched.
    pub state: State,
    /// How sure that is.
    pub confidence: f64,
    /// The number behind it, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<f64>,
}

/// The name under which decisions of a policy stand in evidence.
const ROUTER: &str = "signals";

// === impl Policy ===

impl Policy {
    /// The signals that were computed for a verdict, in a fixed order.
    pub fn signals(&self, verdict: &Verdict) -> Vec<SignalReport> {
        self.report(&verdict.memo)
    }

    pub(super) fn report(&self, memo: &[Signal]) -> Vec<SignalReport> {
        let known = memo.iter().enumerate().filter(|(_, signal)| signal.is_known());
        known
            // A member of a partition is reported once, as it came out of it.
            .filter(|(slot, _)| !self.is_superseded(*slot))
            .filter_map(|(slot, signal)| Some(report(self.slots.get(slot)?, signal)))
            .collect()
    }

    fn is_superseded(&self, slot: usize) -> bool {
        matches!(self.program.sources.get(slot), Some(Source::Rule(..)))
            && self
                .program
                .partitions
                .iter()
                .any(|p| p.members.contains(&(slot as u32)))
    }

    /// Why the winner matched: its condition, reduced to what holds, with the numbers behind it, such as
    /// `domain:math .82 and not keyword:urgent`.
    pub fn reason(&self, verdict: &Verdict) -> String {
        let Some(decided) = verdict.decision.and_then(|d| self.decisions.get(d)) else {
            return "no decision matched".to_owned();
        };
        let mut slots = decided.slots.iter().copied();
        match explain(&decided.when, &mut slots, &verdict.memo) {
            Some(part) if !part.text.is_empty() => part.text,
            _ => "always".to_owned(),
        }
    }

    /// The verdict as a hop of the trace, at [`fingerpost_core::Level::Decision`]: one pick, named after the decision,
    /// scored by its confidence. `id` is the decision's place in the caller's catalogue, if it has one. `None` where no
    /// decision matched.
    pub fn to_decision(&self, verdict: &Verdict, id: CandidateId) -> Option<Decision> {
        let name = verdict.name.clone()?;
        let confidence = verdict.confidence.get();
        let pick = Pick {
            id,
            name,
            score: confidence,
            weight: 1.0,
        };
        let reason = Reason::new(self.reason(verdict)).with("confidence", confidence);
        let mut evidence = Evidence::of(ROUTER);
        let matching = verdict
            .memo
            .iter()
            .enumerate()
            .filter(|(_, s)| s.state == State::Match);
        for (slot, signal) in matching.filter(|(slot, _)| !self.is_superseded(*slot)) {
            if let Some(name) = self.slots.get(slot) {
                evidence = evidence.with(name.in_full(), Feature::Number(signal.confidence));
            }
        }
        Some(Decision::single(pick, reason, evidence))
    }
}

impl SlotName {
    /// `kind:name` or `kind:name:label`. Made for every signal that matched, so without the formatter.
    fn in_full(&self) -> String {
        let parts = [Some(self.kind), Some(self.name.as_str()), self.label];
        let mut full = String::with_capacity(self.kind.len() + self.name.len() + 10);
        for part in parts.into_iter().flatten() {
            if !full.is_empty() {
                full.push(':');
            }
            full.push_str(part);
        }
        full
    }
}

fn report(name: &SlotName, signal: &Signal) -> SignalReport {
    SignalReport {
        kind: name.kind,
        name: name.name.clone(),
        label: name.label,
        state: signal.state,
        confidence: signal.confidence,
        raw: signal.raw.is_finite().then_some(signal.raw),
    }
}

/// A part of the reason. `loose`: several parts joined by a word, to be put in parentheses inside another.
struct Part {
    text: String,
    loose: bool,
}

/// What holds of a condition; `None` where it does not, or where that was never looked at.
fn explain(condition: &Condition, slots: &mut impl Iterator<Item = u32>, memo: &[Signal]) -> Option<Part> {
    match condition {
        Condition::All(children) => {
            let parts: Vec<Option<Part>> = children.iter().map(|c| explain(c, slots, memo)).collect();
            let all: Option<Vec<Part>> = parts.into_iter().collect();
            all.map(|parts| join(parts, " and "))
        }
        Condition::Any(children) => {
            let parts: Vec<Option<Part>> = children.iter().map(|c| explain(c, slots, memo)).collect();
            let held: Vec<Part> = parts.into_iter().flatten().collect();
            (!held.is_empty()).then(|| join(held, " or "))
        }
        Condition::Not(child) => {
            let inner = explain(child, slots, memo);
            inner.is_none().then(|| {
                let loose = matches!(&**child, Condition::All(c) | Condition::Any(c) if !c.is_empty());
                let text = if loose {
                    format!("not ({child})")
                } else {
                    format!("not {child}")
                };
                Part { text, loose: false }
            })
        }
        Condition::Leaf(leaf) => {
            let signal = memo.get(slots.next()? as usize)?;
            explain_leaf(leaf, signal)
        }
    }
}

fn explain_leaf(leaf: &Leaf, signal: &Signal) -> Option<Part> {
    let holds = match (signal.state, leaf.test) {
        (State::Unknown, _) => false,
        (State::Failed, _) => leaf.on_error == crate::OnError::Match,
        (_, Some(test)) => test.passes(signal.raw),
        (state, None) => state == State::Match,
    };
    if !holds {
        return None;
    }
    let mut text = leaf.kind.as_str().to_owned();
    for part in [&leaf.name, &leaf.label].into_iter().flatten() {
        text.push(':');
        // Writing to a string cannot fail.
        let _ = write_name(part, &mut text);
    }
    if signal.state == State::Failed {
        text.push_str(" (failed)");
    } else if let Some(test) = leaf.test {
        let _ = write!(
            text,
            " {} {} {}",
            round(signal.raw),
            test.comparison.as_str(),
            test.bound
        );
    } else if signal.confidence < 1.0 {
        let shown = format!("{:.2}", signal.confidence);
        let _ = write!(text, " {}", shown.strip_prefix('0').unwrap_or(&shown));
    }
    Some(Part { text, loose: false })
}

fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

fn join(parts: Vec<Part>, word: &str) -> Part {
    let several = parts.len() > 1;
    let texts: Vec<String> = parts
        .into_iter()
        .filter(|part| !part.text.is_empty())
        .map(|part| {
            if several && part.loose {
                format!("({})", part.text)
            } else {
                part.text
            }
        })
        .collect();
    Part {
        loose: texts.len() > 1,
        text: texts.join(word),
    }
}
