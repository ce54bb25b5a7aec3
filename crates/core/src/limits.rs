//! What a pick may not break, and the report of who was excluded by which limit.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Candidate, CandidateId, Capabilities, Millis, Name, TokenCount, Usd, UsdPerMillion};

/// What a pick may not break. Absent means unlimited; a fact that a profile lacks never excludes it.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// What the candidate must be able to do.
    pub needs: Capabilities,
    /// Input plus reserved output must fit the candidate's window.
    pub tokens: TokenCount,
    /// Highest blended price.
    pub max_price: Option<UsdPerMillion>,
    /// Money left for this request: input at the candidate's price must fit.
    pub budget: Option<Usd>,
    /// Most calls under way at one candidate.
    pub max_in_flight: Option<u32>,
    /// Candidates that have been tried or are barred for this request.
    pub barred: Vec<CandidateId>,
}

/// One limit that excluded a candidate, with both numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Limit {
    /// It lacks what the request needs.
    Capability(Capabilities),
    /// The request does not fit its window.
    ContextWindow {
        /// Tokens needed.
        needed: TokenCount,
        /// Tokens it has.
        window: TokenCount,
    },
    /// It is too dear.
    Price {
        /// Its blended price.
        price: UsdPerMillion,
        /// The highest allowed.
        max: UsdPerMillion,
    },
    /// The input alone costs more than what is left.
    Budget {
        /// Cost of the input.
        cost: Usd,
        /// What is left.
        left: Usd,
    },
    /// A step may cost more than what is left of its conversation's budget.
    ConversationBudget {
        /// What the step may cost, by an upper forecast.
        cost: Usd,
        /// What is left.
        left: Usd,
    },
    /// It is at its most calls.
    InFlight {
        /// Calls under way.
        now: u32,
        /// Most allowed.
        max: u32,
    },
    /// It has been too slow lately.
    Latency {
        /// Which time: `ttft`, `tpot`.
        metric: Cow<'static, str>,
        /// What was measured.
        found: Millis,
        /// The longest allowed.
        max: Millis,
    },
    /// Out of service: its circuit is open or it drains.
    Unavailable,
    /// Tried already, or barred for this request.
    Barred,
    /// Not in the catalogue at all.
    Unknown,
}

/// No candidate is left: who was excluded by which limit.
#[derive(Debug, Clone, PartialEq, Error, Serialize, Deserialize)]
pub struct NoRoute {
    /// Every candidate asked about, in order.
    pub excluded: Vec<Exclusion>,
}

/// A candidate and the limit that excluded it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exclusion {
    /// The candidate.
    pub candidate: Name,
    /// The first limit it broke.
    pub limit: Limit,
}

// === impl Limits ===

impl Limits {
    /// No limits at all, except that what is unavailable cannot be picked.
    pub const NONE: Self = Self {
        needs: Capabilities::NONE,
        tokens: TokenCount(0),
        max_price: None,
        budget: None,
        max_in_flight: None,
        barred: Vec::new(),
    };

    /// Whether `candidate` may be picked; else the first limit that it breaks. Allocates nothing.
    ///
    /// # Errors
    /// The [`Limit`] that excludes it.
    pub fn admit(&self, candidate: &Candidate) -> Result<(), Limit> {
        let profile = &candidate.profile;
        if !candidate.live.is_available() {
            return Err(Limit::Unavailable);
        }
        if self.barred.contains(&candidate.id) {
            return Err(Limit::Barred);
        }
        let missing = profile.capabilities.missing(self.needs);
        if !missing.is_empty() {
            return Err(Limit::Capability(missing));
        }
        if let Some(window) = profile.context_window.filter(|w| self.tokens > *w) {
            return Err(Limit::ContextWindow {
                needed: self.tokens,
                window,
            });
        }
        if let (Some(max), Some(price)) = (self.max_price, profile.price.map(|p| p.blended()))
            && price > max
        {
            return Err(Limit::Price { price, max });
        }
        if let (Some(left), Some(price)) = (self.budget, profile.price) {
            let cost = price.input.of(self.tokens);
            if cost > left {
                return Err(Limit::Budget { cost, left });
            }
        }
        if let Some(max) = self.max_in_flight {
            let now = candidate.live.in_flight();
            if now >= max {
                return Err(Limit::InFlight { now, max });
            }
        }
        Ok(())
    }
}

// === impl Limit ===

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capability(missing) => write!(f, "lacks {missing}"),
            Self::ContextWindow { needed, window } => write!(f, "needs {needed} tokens, window {window}"),
            Self::Price { price, max } => write!(f, "price {price} over {max} USD per million"),
            Self::Budget { cost, left } => write!(f, "input costs {cost} USD, {left} left"),
            Self::ConversationBudget { cost, left } => {
                write!(
                    f,
                    "budget_exhausted: a step may cost {cost} USD, {left} left of the conversation's budget"
                )
            }
            Self::InFlight { now, max } => write!(f, "{now} calls under way, at most {max}"),
            Self::Latency { metric, found, max } => write!(f, "{metric} {found} ms, at most {max}"),
            Self::Unavailable => f.write_str("out of service"),
            Self::Barred => f.write_str("tried or barred for this request"),
            Self::Unknown => f.write_str("not in the catalogue"),
        }
    }
}

// === impl NoRoute ===

impl fmt::Display for NoRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.excluded.is_empty() {
            return f.write_str("no route: there are no candidates");
        }
        f.write_str("no route: ")?;
        for (i, exclusion) in self.excluded.iter().enumerate() {
            let separator = if i > 0 { "; " } else { "" };
            write!(f, "{separator}{} {}", exclusion.candidate, exclusion.limit)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalogue, Price, Profile};

    fn one(profile: Profile) -> Catalogue {
        Catalogue::new([profile]).unwrap()
    }

    #[test]
    fn each_limit_excludes_with_its_numbers() {
        let usd = |v| UsdPerMillion::new(v).unwrap();
        let catalogue = one(Profile {
            capabilities: Capabilities::TOOLS,
            context_window: Some(TokenCount(1000)),
            price: Some(Price {
                input: usd(4.0),
                cached_input: None,
                output: usd(8.0),
            }),
            ..Profile::named("m")
        });
        let candidate = catalogue.get(CandidateId(0)).unwrap();
        let admit = |limits: Limits| limits.admit(candidate).map_err(|l| l.to_string());
        assert_eq!(admit(Limits::NONE), Ok(()));
        let limits = Limits {
            needs: Capabilities::VISION.and(Capabilities::TOOLS),
            ..Limits::NONE
        };
        assert_eq!(admit(limits).unwrap_err(), "lacks vision");
        let limits = Limits {
            tokens: TokenCount(1001),
            ..Limits::NONE
        };
        assert_eq!(admit(limits).unwrap_err(), "needs 1001 tokens, window 1000");
        let limits = Limits {
            max_price: Some(usd(4.9)),
            ..Limits::NONE
        };
        assert_eq!(admit(limits).unwrap_err(), "price 5 over 4.9 USD per million");
        let limits = Limits {
            tokens: TokenCount(500),
            budget: Some(Usd::new(0.001).unwrap()),
            ..Limits::NONE
        };
        assert_eq!(admit(limits).unwrap_err(), "input costs 0.002 USD, 0.001 left");
        candidate.live.begin();
        let limits = Limits {
            max_in_flight: Some(1),
            ..Limits::NONE
        };
        assert_eq!(admit(limits).unwrap_err(), "1 calls under way, at most 1");
        candidate.live.set_available(false);
        assert_eq!(admit(Limits::NONE).unwrap_err(), "out of service");
    }

    #[test]
    fn what_a_profile_does_not_say_excludes_nobody() {
        let catalogue = one(Profile::named("m"));
        let limits = Limits {
            tokens: TokenCount(1 << 30),
            max_price: Some(UsdPerMillion::new(0.0).unwrap()),
            budget: Some(Usd::ZERO),
            ..Limits::NONE
        };
        assert_eq!(limits.admit(catalogue.get(CandidateId(0)).unwrap()), Ok(()));
    }
}
