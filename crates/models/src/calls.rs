//! What deliberations have in common: their calls, as the evidence tells them, and who can be asked.

use std::borrow::Cow;

use fingerpost_core::{Answer, Candidate, Context, Evidence, Exclusion, Feature, Limit, Name, NoRoute};
use serde::{Deserialize, Serialize};

/// One call so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Made {
    /// Whom it was made to.
    pub(crate) model: Name,
    /// What for, in the router's own words.
    pub(crate) purpose: Cow<'static, str>,
    /// US dollars, where known.
    pub(crate) cost: Option<f64>,
    /// Whether it came to nothing.
    pub(crate) failed: bool,
}

/// The calls of one deliberation, in the order of their numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Calls(Vec<Made>);

// === impl Calls ===

impl Calls {
    /// Writes down a call that is about to be made; gives its number.
    pub(crate) fn begin(&mut self, model: Name, purpose: &'static str) -> u32 {
        let number = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.push(Made {
            model,
            purpose: Cow::Borrowed(purpose),
            cost: None,
            failed: false,
        });
        number
    }

    /// Writes down what became of one. An answer to a call that was never made is passed over.
    pub(crate) fn end(&mut self, answer: &Answer) {
        if let Some(made) = self.0.get_mut(answer.call.0 as usize) {
            made.cost = answer.outcome.cost.map(|c| c.get());
            made.failed = answer.reply.is_err();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Made> {
        self.0.iter()
    }

    /// Known costs together, in US dollars.
    pub(crate) fn spent(&self) -> f64 {
        self.0.iter().filter_map(|m| m.cost).sum()
    }

    /// Adds, per call, `model.0`, `purpose.0`, `cost.0` (US dollars, where known) and `failed.0` (1, where it did), and so on.
    pub(crate) fn tell(&self, mut evidence: Evidence) -> Evidence {
        for (i, made) in self.0.iter().enumerate() {
            let name = |what: &str| Cow::Owned(format!("{what}.{i}"));
            evidence = evidence
                .with(name("model"), Feature::Text(made.model.clone()))
                .with(name("purpose"), Feature::Text((&*made.purpose).into()));
            if let Some(cost) = made.cost {
                evidence = evidence.with(name("cost"), Feature::Number(cost));
            }
            if made.failed {
                evidence = evidence.with(name("failed"), Feature::Number(1.0));
            }
        }
        evidence
    }
}

/// The candidate of this name, if the limits admit it now.
pub(crate) fn admitted<'a>(name: &str, cx: &Context<'a>) -> Option<&'a Candidate> {
    let candidate = cx.catalogue.get(cx.catalogue.id(name)?)?;
    cx.limits.admit(candidate).is_ok().then_some(candidate)
}

/// Nobody is left: each was asked and failed, or breaks a limit by now.
pub(crate) fn nobody(models: &[Name], cx: &Context<'_>) -> NoRoute {
    let why = |name: &Name| {
        let candidate = cx.catalogue.id(name).and_then(|id| cx.catalogue.get(id));
        candidate.map_or(Limit::Unknown, |c| {
            cx.limits.admit(c).err().unwrap_or(Limit::Barred)
        })
    };
    let tried = models.iter().map(|name| Exclusion {
        candidate: name.clone(),
        limit: why(name),
    });
    NoRoute {
        excluded: tried.collect(),
    }
}

/// A thread of another router.
pub(crate) fn foreign() -> NoRoute {
    NoRoute { excluded: Vec::new() }
}
