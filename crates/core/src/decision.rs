//! What a router decided, why, and what it needs in order to learn from it later.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use smallvec::{SmallVec, smallvec};

use crate::{CallId, Candidate, CandidateId, Name};

/// The picks of a decision, best first. Up to two live without a heap allocation.
pub type Picks = SmallVec<[Pick; 2]>;

/// What a router decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Best first, never empty: the first is what is run, the rest is what to fall back on (or, for a panel or a set of
    /// experts, what runs beside it, by weight).
    #[serde(deserialize_with = "at_least_one")]
    pub picks: Picks,
    /// Why, for a person.
    pub reason: Reason,
    /// What the router needs in order to learn.
    pub evidence: Evidence,
    /// The call whose answer already is the answer to the request, when a [`crate::Deliberate`] asked before it decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<CallId>,
    /// Calls whose answers are served beside that of `answered`, in this order, where the client's format has room for several;
    /// elsewhere they are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<CallId>,
    /// Whether nobody but the picks may be run, not even to fall back on: where a budget is hard, say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only: bool,
}

/// One picked candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pick {
    /// Its place in the catalogue of this decision. Not stored: the name is what travels.
    #[serde(skip)]
    pub id: CandidateId,
    /// Its name.
    pub name: Name,
    /// In the router's own unit, named in its docs.
    #[serde(deserialize_with = "null_is_nan")]
    pub score: f64,
    /// Its share of the work: 1 for a single pick; the gate's weight for a set.
    #[serde(deserialize_with = "null_is_nan")]
    pub weight: f64,
}

/// Why a decision fell as it did: a sentence and the numbers behind it. Costs no allocation where the sentence is fixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The sentence.
    pub text: Cow<'static, str>,
    /// Named numbers that bore on it.
    #[serde(
        default,
        skip_serializing_if = "SmallVec::is_empty",
        deserialize_with = "null_facts_are_nan"
    )]
    pub facts: SmallVec<[(Cow<'static, str>, f64); 2]>,
}

/// What a router needs in order to learn from an outcome an hour later, after a restart, on another replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Which router decided, by the name it is registered under (see [`crate::Learners`]).
    pub router: Name,
    /// The version of the router's features: evidence of another version is not learned from.
    pub version: u32,
    /// Probability with which the first pick was taken: 1 for a deterministic router. Counterfactual estimates divide by it.
    #[serde(deserialize_with = "null_is_nan")]
    pub propensity: f64,
    /// What the router saw.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<(Cow<'static, str>, Feature)>,
}

/// One thing that a router saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// A number, in the unit that the router's docs name.
    Number(#[serde(deserialize_with = "null_is_nan")] f64),
    /// A label.
    Text(Name),
    /// A vector.
    Vector(Vec<f32>),
}

fn at_least_one<'de, D: Deserializer<'de>>(from: D) -> Result<Picks, D::Error> {
    let picks = Picks::deserialize(from)?;
    if picks.is_empty() {
        Err(D::Error::custom("a decision has at least one pick"))
    } else {
        Ok(picks)
    }
}

/// JSON writes a number that is not finite as null. One such score must not make a stored trace unreadable.
fn null_is_nan<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
}

type Facts = SmallVec<[(Cow<'static, str>, f64); 2]>;

fn null_facts_are_nan<'de, D: Deserializer<'de>>(from: D) -> Result<Facts, D::Error> {
    let facts = SmallVec::<[(Cow<'static, str>, Option<f64>); 2]>::deserialize(from)?;
    Ok(facts
        .into_iter()
        .map(|(name, value)| (name, value.unwrap_or(f64::NAN)))
        .collect())
}

// === impl Decision ===

impl Decision {
    /// A decision for one candidate.
    pub fn single(pick: Pick, reason: Reason, evidence: Evidence) -> Self {
        Self {
            picks: smallvec![pick],
            reason,
            evidence,
            answered: None,
            beside: Vec::new(),
            only: false,
        }
    }

    /// A decision for several, best first; `None` where there are none.
    pub fn ranked(picks: Picks, reason: Reason, evidence: Evidence) -> Option<Self> {
        (!picks.is_empty()).then_some(Self {
            picks,
            reason,
            evidence,
            answered: None,
            beside: Vec::new(),
            only: false,
        })
    }

    /// The same, and nobody but its picks may be run.
    #[must_use]
    pub fn only(self) -> Self {
        Self { only: true, ..self }
    }

    /// The best pick.
    ///
    /// # Panics
    /// Never for a decision made by the constructors or read from storage: both refuse one without picks.
    pub fn first(&self) -> &Pick {
        &self.picks[0]
    }
}

// === impl Pick ===

impl Pick {
    /// A pick of `candidate` with weight 1.
    pub fn of(candidate: &Candidate, score: f64) -> Self {
        Self {
            id: candidate.id,
            name: candidate.profile.name.clone(),
            score,
            weight: 1.0,
        }
    }

    /// The same pick with another weight.
    #[must_use]
    pub fn weighing(self, weight: f64) -> Self {
        Self { weight, ..self }
    }
}

// === impl Reason ===

impl Reason {
    /// A sentence without numbers.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            text: text.into(),
            facts: SmallVec::new(),
        }
    }

    /// The same with one more number.
    #[must_use]
    pub fn with(mut self, fact: impl Into<Cow<'static, str>>, value: f64) -> Self {
        self.facts.push((fact.into(), value));
        self
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        for (i, (fact, value)) in self.facts.iter().enumerate() {
            let opening = if i == 0 { " (" } else { ", " };
            write!(f, "{opening}{fact} {}", (value * 1e4).round() / 1e4)?;
        }
        if !self.facts.is_empty() {
            f.write_str(")")?;
        }
        Ok(())
    }
}

// === impl Evidence ===

impl Evidence {
    /// Evidence of a deterministic router that needs no features.
    pub fn of(router: impl Into<Name>) -> Self {
        Self {
            router: router.into(),
            version: 1,
            propensity: 1.0,
            features: Vec::new(),
        }
    }

    /// The same with the probability of the pick.
    #[must_use]
    pub fn with_propensity(self, propensity: f64) -> Self {
        Self { propensity, ..self }
    }

    /// The same with one more feature.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, feature: Feature) -> Self {
        self.features.push((name.into(), feature));
        self
    }

    /// The feature of this name.
    pub fn feature(&self, name: &str) -> Option<&Feature> {
        self.features.iter().find(|(n, _)| n == name).map(|(_, f)| f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_reads_as_a_sentence() {
        let reason = Reason::new("cheapest above the bar")
            .with("price", 0.25)
            .with("bar", 0.8);
        assert_eq!(reason.to_string(), "cheapest above the bar (price 0.25, bar 0.8)");
        assert_eq!(Reason::new("first").to_string(), "first");
    }

    #[test]
    fn a_number_that_is_not_finite_does_not_make_a_stored_decision_unreadable() {
        let catalogue = crate::Catalogue::new([crate::Profile::named("m")]).unwrap();
        let pick = Pick::of(catalogue.get(CandidateId(0)).unwrap(), f64::INFINITY).weighing(f64::NAN);
        let evidence = Evidence::of("r")
            .with("x", Feature::Number(f64::NAN))
            .with_propensity(f64::NAN);
        let decision = Decision::single(pick, Reason::new("why").with("gap", f64::NEG_INFINITY), evidence);
        let text = serde_json::to_string(&decision).unwrap();
        let read: Decision = serde_json::from_str(&text).unwrap();
        assert!(read.first().score.is_nan() && read.first().weight.is_nan());
        assert!(read.reason.facts[0].1.is_nan() && read.evidence.propensity.is_nan());
        assert_eq!(read.reason.facts[0].0, "gap");
        assert!(matches!(read.evidence.feature("x"), Some(Feature::Number(x)) if x.is_nan()));
    }

    #[test]
    fn a_decision_survives_storage() {
        let catalogue = crate::Catalogue::new([crate::Profile::named("m")]).unwrap();
        let candidate = catalogue.get(CandidateId(0)).unwrap();
        let evidence = Evidence::of("r").with("vector", Feature::Vector(vec![1.0, 0.5]));
        let decision = Decision::single(Pick::of(candidate, 0.5), Reason::new("why"), evidence);
        let text = serde_json::to_string(&decision).unwrap();
        assert_eq!(serde_json::from_str::<Decision>(&text).unwrap(), decision);
    }
}
