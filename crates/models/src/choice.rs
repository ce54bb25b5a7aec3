//! The second of the four steps for learned selectors: which model to take, given how good and how dear each is thought to be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, check};

/// Which model is taken. In the configuration a name alone (`choose: best`) or with its setting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "rule", rename_all = "snake_case", deny_unknown_fields)]
pub enum Choice {
    /// The one of highest expected quality, whatever it costs.
    #[default]
    Best,
    /// The one of highest `quality − per_dollar · cost`.
    Weighted {
        /// What a US dollar is worth in quality: 0 is `best`; 100 gives up a point of quality (0.01) for a hundredth of a cent.
        per_dollar: f64,
    },
    /// The cheapest whose expected quality reaches the bar; the best where none does.
    Cheapest {
        /// The bar, 0 to 1.
        quality: f64,
    },
    /// The cheapest whose expected quality is no further below the best one's.
    Within {
        /// By how much it may be worse, 0 to 1.
        gap: f64,
    },
    /// On the Pareto front of quality and cost, the one nearest to the ideal point (TOPSIS over the front; card: `systems/31`).
    Pareto {
        /// Weight of quality, 0 (the cheapest) to 1 (the best); the rest is that of cost.
        quality_weight: f64,
    },
}

/// A candidate as the rule sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Offer {
    /// Expected quality.
    pub(crate) quality: f64,
    /// Expected cost in US dollars.
    pub(crate) cost: f64,
}

// === impl Choice ===

impl Choice {
    /// Looks whether its setting is in range.
    pub(crate) fn check(self, algorithm: &'static str) -> Result<(), ConfigError> {
        let unit = |key: &str, v| {
            check(
                algorithm,
                format!("choose.{key}"),
                v,
                "a number from 0 to 1",
                |v| (0.0..=1.0).contains(&v),
            )
        };
        match self {
            Self::Best => {}
            Self::Weighted { per_dollar } => {
                let allowed = "a finite number of at least 0";
                check(algorithm, "choose.per_dollar", per_dollar, allowed, |v| {
                    v >= 0.0 && v.is_finite()
                })?;
            }
            Self::Cheapest { quality } => drop(unit("quality", quality)?),
            Self::Within { gap } => drop(unit("gap", gap)?),
            Self::Pareto { quality_weight } => drop(unit("quality_weight", quality_weight)?),
        }
        Ok(())
    }

    /// A score for each offer, in their order: the highest is taken, and the order of the scores is that of falling back. Below 1
    /// it is a quality; those that a bar prefers stand above 1.
    pub(crate) fn scores(self, offers: &[Offer]) -> Vec<f64> {
        let best = offers.iter().map(|o| o.quality).fold(f64::NEG_INFINITY, f64::max);
        match self {
            Self::Best => offers.iter().map(|o| o.quality).collect(),
            Self::Weighted { per_dollar } => offers.iter().map(|o| o.quality - per_dollar * o.cost).collect(),
            Self::Cheapest { quality } => cheapest_above(offers, quality),
            Self::Within { gap } => cheapest_above(offers, best - gap),
            Self::Pareto { quality_weight } => pareto(offers, quality_weight),
        }
    }
}

/// Those that reach the bar by rising cost (scores from 3 down to 2), then the others by quality.
fn cheapest_above(offers: &[Offer], bar: f64) -> Vec<f64> {
    let dearest = offers.iter().map(|o| o.cost).fold(0.0, f64::max);
    let cheapness = |o: &Offer| {
        if dearest > 0.0 {
            1.0 - o.cost / dearest
        } else {
            1.0
        }
    };
    let score = |o: &Offer| {
        if o.quality >= bar {
            2.0 + cheapness(o)
        } else {
            o.quality.min(1.0)
        }
    };
    offers.iter().map(score).collect()
}

/// Closeness to the ideal point for those on the front (scores from 2 up to 3), then the others by quality. Both axes are
/// scaled over the front only, so that a dominated offer changes nothing.
fn pareto(offers: &[Offer], quality_weight: f64) -> Vec<f64> {
    let dominates = |a: &Offer, b: &Offer| {
        a.quality >= b.quality && a.cost <= b.cost && (a.quality > b.quality || a.cost < b.cost)
    };
    let on_front: Vec<bool> = offers
        .iter()
        .map(|o| !offers.iter().any(|other| dominates(other, o)))
        .collect();
    let front = || offers.iter().zip(&on_front).filter_map(|(o, on)| on.then_some(o));
    let range = |of: fn(&Offer) -> f64| {
        front()
            .map(of)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| {
                (lo.min(v), hi.max(v))
            })
    };
    let (quality, cost) = (range(|o| o.quality), range(|o| o.cost));
    let scaled = |v: f64, (lo, hi): (f64, f64)| if hi > lo { (v - lo) / (hi - lo) } else { 1.0 };
    let closeness = |o: &Offer| {
        let good = quality_weight * scaled(o.quality, quality);
        let cheap = (1.0 - quality_weight)
            * if cost.1 > cost.0 {
                1.0 - scaled(o.cost, cost)
            } else {
                1.0
            };
        let short = (quality_weight - good).hypot(1.0 - quality_weight - cheap);
        let far = good.hypot(cheap);
        if short + far > 0.0 {
            far / (short + far)
        } else {
            0.0
        }
    };
    let score = |(o, on): (&Offer, &bool)| {
        if *on {
            2.0 + closeness(o)
        } else {
            o.quality.min(1.0)
        }
    };
    offers.iter().zip(&on_front).map(score).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offers(pairs: &[(f64, f64)]) -> Vec<Offer> {
        pairs
            .iter()
            .map(|&(quality, cost)| Offer { quality, cost })
            .collect()
    }

    /// The offers from the one that is taken to the last to fall back on.
    fn order(choice: Choice, pairs: &[(f64, f64)]) -> Vec<usize> {
        let scores = choice.scores(&offers(pairs));
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        order
    }

    const POOL: [(f64, f64); 4] = [(0.5, 0.001), (0.8, 0.01), (0.7, 0.02), (0.9, 0.1)];

    #[test]
    fn each_rule_on_a_small_pool() {
        assert_eq!(order(Choice::Best, &POOL), [3, 1, 2, 0]);
        // 0.5-0.005, 0.8-0.05, 0.7-0.1, 0.9-0.5
        assert_eq!(order(Choice::Weighted { per_dollar: 5.0 }, &POOL), [1, 2, 0, 3]);
        assert_eq!(order(Choice::Cheapest { quality: 0.65 }, &POOL), [1, 2, 3, 0]);
        assert_eq!(order(Choice::Cheapest { quality: 0.95 }, &POOL), [3, 1, 2, 0]);
        assert_eq!(order(Choice::Within { gap: 0.1 }, &POOL), [1, 3, 2, 0]);
        assert_eq!(order(Choice::Pareto { quality_weight: 1.0 }, &POOL)[0], 3);
        assert_eq!(order(Choice::Pareto { quality_weight: 0.0 }, &POOL)[0], 0);
        assert_eq!(order(Choice::Pareto { quality_weight: 0.5 }, &POOL)[0], 1);
    }

    #[test]
    fn closeness_on_hand_computed_numbers() {
        // The front is scaled to (0, 0), (0.75, 0.0909..), (1, 1); weights are one half each.
        let scores = Choice::Pareto { quality_weight: 0.5 }.scores(&offers(&POOL));
        let cheap = 0.5 * (1.0 - (0.01 - 0.001) / (0.1 - 0.001));
        let (short, far) = ((0.5_f64 - 0.375).hypot(0.5 - cheap), 0.375_f64.hypot(cheap));
        assert!((scores[1] - 2.0 - far / (far + short)).abs() < 1e-12);
        assert!((scores[2] - 0.7).abs() < 1e-12, "dominated by the second");
    }

    proptest! {
        #[test]
        fn a_dominated_offer_changes_no_pareto_choice(
            pairs in prop::collection::vec((0.0..1.0, 0.0..1.0), 1..8), weight in 0.0..=1.0,
        ) {
            let choice = Choice::Pareto { quality_weight: weight };
            let first = order(choice, &pairs)[0];
            let mut more = pairs.clone();
            more.push((pairs[0].0 - 0.01, pairs[0].1 + 0.01));
            prop_assert_eq!(order(choice, &more)[0], first);
        }

        #[test]
        fn whoever_reaches_the_bar_goes_first(pairs in prop::collection::vec((0.0..1.0, 0.0..1.0), 1..8), bar in 0.0..1.0) {
            let first = order(Choice::Cheapest { quality: bar }, &pairs)[0];
            let reach: Vec<&(f64, f64)> = pairs.iter().filter(|p| p.0 >= bar).collect();
            if let Some(least) = reach.iter().map(|p| p.1).reduce(f64::min) {
                prop_assert!(pairs[first].0 >= bar && pairs[first].1 <= least);
            } else {
                prop_assert!(pairs.iter().all(|p| p.0 <= pairs[first].0));
            }
        }
    }
}
