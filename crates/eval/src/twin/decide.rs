//! From a belief to a tier.
//!
//! One step too low fails a whole run and wastes what it cost; one too high costs that step. So the most probable tier is a bad
//! choice, and the tier taken is the highest one that is needed with more than a small probability.

use super::Tier;

/// The highest tier t with P(needed tier >= t) > theta, where the two middle tiers have a threshold of their own, and a tier
/// already in use (and cached) is kept at a lower one.
///
/// ```
/// use fingerpost_eval::twin::{Caution, Tier};
/// let caution = Caution::new(0.1, 1.0, 0.5)?;
/// assert_eq!(caution.tier(&[0.7, 0.2, 0.02, 0.08], None), Tier::Mid);
/// assert_eq!(caution.tier(&[0.7, 0.2, 0.02, 0.08], Some(Tier::High)), Tier::High);
/// # Ok::<(), fingerpost_eval::twin::CautionError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Caution {
    theta: f64,
    middle: f64,
    keep: f64,
}

/// A threshold out of its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{key} must be {allowed}, found {found}")]
pub struct CautionError {
    /// The setting.
    pub key: &'static str,
    /// What is allowed, in words.
    pub allowed: &'static str,
    /// What was found.
    pub found: f64,
}

// === impl Caution ===

impl Caution {
    /// Where nothing is known of what thresholds are worth: the highest tier at the least doubt.
    pub(super) const SAFE: Self = Self {
        theta: 0.01,
        middle: 1.0,
        keep: 1.0,
    };

    /// `theta` is the threshold of the highest tier, over 0 and below 1; `middle` is how many times as high that of mid and
    /// mid_high is, over 0; `keep` is what a threshold is multiplied by for the tier of the step before and those below it, over
    /// 0 and up to 1.
    ///
    /// # Errors
    /// [`CautionError`] where one is out of its range.
    pub fn new(theta: f64, middle: f64, keep: f64) -> Result<Self, CautionError> {
        let check = |key, allowed, found: f64, ok: bool| {
            if ok {
                Ok(())
            } else {
                Err(CautionError { key, allowed, found })
            }
        };
        check(
            "theta",
            "a number over 0 and below 1",
            theta,
            theta > 0.0 && theta < 1.0,
        )?;
        let is_positive = middle > 0.0 && middle.is_finite();
        check("middle", "a finite number over 0", middle, is_positive)?;
        check(
            "keep",
            "a number over 0 and up to 1",
            keep,
            keep > 0.0 && keep <= 1.0,
        )?;
        Ok(Self { theta, middle, keep })
    }

    /// The threshold of the highest tier.
    pub const fn theta(&self) -> f64 {
        self.theta
    }

    /// How many times as high that of the middle tiers is.
    pub const fn middle(&self) -> f64 {
        self.middle
    }

    /// What thresholds are multiplied by up to the tier of the step before.
    pub const fn keep(&self) -> f64 {
        self.keep
    }

    /// The tier for this belief (probability by tier of being the cheapest sufficient one), after `previous`.
    pub fn tier(&self, belief: &[f64; 4], previous: Option<Tier>) -> Tier {
        let is_needed = |tier: &Tier| {
            let of_tier = if *tier == Tier::High { 1.0 } else { self.middle };
            let of_cache = if previous.is_some_and(|p| *tier <= p) {
                self.keep
            } else {
                1.0
            };
            belief[tier.id()..].iter().sum::<f64>() > self.theta * of_tier * of_cache
        };
        Tier::ALL.into_iter().rev().find(is_needed).unwrap_or(Tier::Low)
    }
}

/// The most probable tier; of equals the lowest.
pub(super) fn most_probable(belief: &[f64; 4]) -> Tier {
    let best = Tier::ALL
        .into_iter()
        .rev()
        .max_by(|a, b| belief[a.id()].total_cmp(&belief[b.id()]));
    best.unwrap_or(Tier::High)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_tier_over_its_threshold_is_taken() {
        let belief = [0.6, 0.25, 0.1, 0.05];
        let tier = |theta, middle, keep, previous| {
            Caution::new(theta, middle, keep).unwrap().tier(&belief, previous)
        };
        assert_eq!(tier(0.04, 1.0, 1.0, None), Tier::High);
        assert_eq!(tier(0.05, 1.0, 1.0, None), Tier::MidHigh);
        assert_eq!(tier(0.05, 4.0, 1.0, None), Tier::Mid);
        assert_eq!(tier(0.5, 1.0, 1.0, None), Tier::Low);
        assert_eq!(tier(0.08, 1.0, 0.5, Some(Tier::High)), Tier::High);
        assert_eq!(tier(0.08, 1.0, 0.5, Some(Tier::MidHigh)), Tier::MidHigh);
        assert_eq!(most_probable(&belief), Tier::Low);
        assert_eq!(most_probable(&[0.3, 0.3, 0.2, 0.2]), Tier::Low);
    }

    #[test]
    fn thresholds_out_of_range_are_refused_by_name() {
        for (bad, key) in [
            (Caution::new(0.0, 1.0, 1.0), "theta"),
            (Caution::new(f64::NAN, 1.0, 1.0), "theta"),
            (Caution::new(0.1, 0.0, 1.0), "middle"),
            (Caution::new(0.1, 1.0, 1.5), "keep"),
        ] {
            assert_eq!(bad.unwrap_err().key, key);
        }
    }
}
