//! `event`: something happened. Criteria are sought as whole words in the user's text, and in the caller's metadata under
//! `event_type`, `severity`, `action_code`.
//!
//! A rule has up to four criteria: event types, severities, action codes, and `temporal` (words of urgency). It matches when
//! at least one holds; its confidence is 0.5 + 0.5 * held / configured. An event type or code `payment_failed` is also found
//! as `payment failed` and `payment-failed`. Raw: how many criteria held.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Problem, Signal,
    facts::Facts,
    phrases::{PhraseSet, PhraseSetBuilder},
};

use super::metadata::within_limits;

/// Criteria of an event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EventRule {
    /// One of these is named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub event_types: Vec<String>,
    /// One of these is named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub severities: Vec<EventSeverity>,
    /// One of these is named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub action_codes: Vec<String>,
    /// A word of urgency stands in the text. Default: not a criterion.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub temporal: bool,
}

/// How severe an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventSeverity {
    /// `critical`
    Critical,
    /// `high`
    High,
    /// `medium`
    Medium,
    /// `low`
    Low,
}

/// Words of urgency.
const URGENCY: [&str; 34] = [
    "urgent",
    "urgently",
    "asap",
    "as soon as possible",
    "immediately",
    "right now",
    "right away",
    "at once",
    "emergency",
    "without delay",
    "time-critical",
    "time-sensitive",
    "time is running out",
    "overdue",
    "deadline",
    "by today",
    "by tonight",
    "by tomorrow",
    "within the hour",
    "dringend",
    "sofort",
    "eilig",
    "unverzüglich",
    "immédiatement",
    "tout de suite",
    "urgente",
    "inmediatamente",
    "cuanto antes",
    "subito",
    "срочно",
    "немедленно",
    "紧急",
    "马上",
    "至急",
];

const CRITERIA: usize = 4;

pub(crate) struct Event {
    phrases: PhraseSet,
    /// For each rule and criterion, in the order of [`EventRule`]'s fields: what the metadata may say instead.
    rules: Vec<[Option<Vec<String>>; CRITERIA]>,
}

// === impl EventSeverity ===

impl EventSeverity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

// === impl Event ===

impl Event {
    pub(crate) fn compile(rules: &BTreeMap<String, EventRule>, problems: &mut Vec<Problem>) -> Self {
        let mut set = PhraseSetBuilder::default();
        let mut compiled = Vec::with_capacity(rules.len());
        for (i, (name, rule)) in rules.iter().enumerate() {
            let severities: Vec<String> = rule.severities.iter().map(|s| s.as_str().to_owned()).collect();
            let urgency: Vec<String> = URGENCY.iter().map(|&w| w.to_owned()).collect();
            let given = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
            let criteria = [
                given(&rule.event_types),
                given(&severities),
                given(&rule.action_codes),
                rule.temporal.then_some(urgency),
            ];
            if criteria.iter().all(Option::is_none) {
                problems.push(
                    Problem::error(format!("signals.event.{name}"), "an event needs a criterion")
                        .allowed("event_types, severities, action_codes, temporal: true"),
                );
            }
            for (c, words) in criteria.iter().enumerate() {
                for word in words.iter().flatten() {
                    let meaning = (i * CRITERIA + c) as u32;
                    set.add(word, false, meaning);
                    if word.contains(['_', '-']) {
                        for joint in ["_", "-", " "] {
                            set.add(&word.replace(['_', '-'], joint), false, meaning);
                        }
                    }
                }
            }
            compiled.push(criteria);
        }
        let phrases = set.build().unwrap_or_else(|e| {
            problems.push(Problem::error(
                "signals.event",
                format!("the words cannot be compiled: {e}"),
            ));
            PhraseSet::default()
        });
        Self {
            phrases,
            rules: compiled,
        }
    }

    pub(crate) fn fill(&self, facts: &Facts<'_>, out: &mut [Signal]) {
        let mut held = vec![[false; CRITERIA]; self.rules.len()];
        self.phrases.scan(facts, |meaning, _, _| {
            held[meaning as usize / CRITERIA][meaning as usize % CRITERIA] = true;
        });
        if within_limits(facts.query).is_ok() {
            for (key, value) in &facts.query.metadata {
                let Some(criterion) = ["event_type", "severity", "action_code"]
                    .iter()
                    .position(|k| k == key)
                else {
                    continue;
                };
                for (criteria, held) in self.rules.iter().zip(&mut held) {
                    let allowed = criteria[criterion].as_deref().unwrap_or_default();
                    held[criterion] |= allowed.iter().any(|a| a.eq_ignore_ascii_case(value));
                }
            }
        }
        for ((criteria, held), signal) in self.rules.iter().zip(&held).zip(out) {
            let configured = criteria.iter().flatten().count();
            let count = held.iter().filter(|h| **h).count();
            let confidence = 0.5 + 0.5 * count as f64 / configured.max(1) as f64;
            *signal = Signal::new(count > 0, confidence, count as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fingerpost_core::Query;

    fn fill(query: &Query<'_>) -> Signal {
        let rules = serde_json::from_str(
            r#"{"incident":{"event_types":["payment_failed"],"severities":["critical"],
                "action_codes":["E-17"],"temporal":true}}"#,
        )
        .unwrap();
        let mut problems = Vec::new();
        let family = Event::compile(&rules, &mut problems);
        assert!(problems.is_empty());
        let mut out = [Signal::UNKNOWN];
        family.fill(&Facts::new(query, None, None), &mut out);
        out[0]
    }

    #[test]
    fn confidence_grows_with_the_criteria_that_hold() {
        assert_eq!(fill(&Query::text("hello")), Signal::new(false, 0.0, 0.0));
        assert_eq!(
            fill(&Query::text("a CRITICAL matter")),
            Signal::new(true, 0.625, 1.0)
        );
        assert_eq!(
            fill(&Query::text("payment failed, critical")),
            Signal::new(true, 0.75, 2.0)
        );
        let all = "Critical: payment-failed with E_17, fix it right now";
        assert_eq!(fill(&Query::text(all)), Signal::new(true, 1.0, 4.0));
        assert!(!fill(&Query::text("hypercritical")).matched());
    }

    #[test]
    fn metadata_counts_too() {
        let mut query = Query::text("look");
        query.metadata = vec![
            ("severity".into(), "Critical".into()),
            ("action_code".into(), "E-17".into()),
        ];
        assert_eq!(fill(&query), Signal::new(true, 0.75, 2.0));
        query.metadata = vec![
            ("severity".into(), "low".into()),
            ("other".into(), "critical".into()),
        ];
        assert!(!fill(&query).matched());
    }

    #[test]
    fn an_event_without_criteria_is_an_error() {
        let mut problems = Vec::new();
        Event::compile(
            &BTreeMap::from([("e".to_owned(), EventRule::default())]),
            &mut problems,
        );
        assert_eq!(problems[0].path, "signals.event.e");
        assert!(serde_json::from_str::<EventRule>(r#"{"severities":["grave"]}"#).is_err());
    }
}
