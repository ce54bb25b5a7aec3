//! From a belief to a tier: what each tier may be expected to add to the score.
//!
//! A step is worth a row where its tier suffices, and another where it is the cheapest that does; what it costs counts against
//! that. And the run is at stake: where every step of it suffices, its rows count once more for passing and once more for the money
//! that is not wasted. How likely that still is depends on the steps so far, on this one, and on those to come, each of which is
//! taken to suffice with the same probability. So a run that has failed in all likelihood is not worth money any more, a
//! step of a long run is worth more caution than a single call, and near the end more than at the beginning.

use super::{Buckets, Message, Prices, Tier, TokenCounter, stakes::Kind, tokens::of_messages};

/// What is believed at a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Belief {
    /// The probability of each tier of being the cheapest sufficient one, by [`Tier::id`].
    pub(super) needed: [f64; 4],
    /// The same, and that every tier chosen at the earlier steps sufficed.
    pub(super) unfailed: [f64; 4],
    /// The same as `needed` of the next step.
    pub(super) next: [f64; 4],
}

/// What the tiers cost at a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Offer {
    /// US dollars, by tier.
    cost: [f64; 4],
    /// What is saved at the next step where it takes the same tier.
    saved: [f64; 4],
}

/// The tier with the highest expected worth, of equals the higher; `later` is the probability of each later step to suffice.
pub(super) fn worthiest(belief: &Belief, offer: &Offer, kind: &Kind, step: usize, later: f64) -> Tier {
    let length = kind.length(step);
    let remaining = length - step as f64;
    // Each row counts twice for its run: for passing and for money.
    let at_stake = 2.0 * length * later.powf(remaining);
    let goes_on = remaining / (remaining + 1.0);
    let worth = |tier: Tier| {
        let t = tier.id();
        let suffices: f64 = belief.needed[..=t].iter().sum();
        let unfailed: f64 = belief.unfailed[..=t].iter().sum();
        let saved = goes_on * belief.next[t] * offer.saved[t];
        suffices + belief.needed[t] + at_stake * unfailed - kind.rows_per_usd() * (offer.cost[t] - saved)
    };
    let best = Tier::ALL
        .into_iter()
        .max_by(|a, b| worth(*a).total_cmp(&worth(*b)));
    best.unwrap_or(Tier::High)
}

/// The most probable tier; of equals the lowest.
pub(super) fn most_probable(belief: &[f64; 4]) -> Tier {
    let best = Tier::ALL
        .into_iter()
        .rev()
        .max_by(|a, b| belief[a.id()].total_cmp(&belief[b.id()]));
    best.unwrap_or(Tier::High)
}

// === impl Offer ===

impl Offer {
    /// For this conversation, after a step with tier `previous`, whose prompt is still cached.
    pub(super) fn new(
        messages: &[Message],
        previous: Option<Tier>,
        output: u64,
        prices: &Prices,
        counter: &dyn TokenCounter,
    ) -> Self {
        // The prompt of the step before ends where the assistant last began to speak.
        let before = messages.iter().rposition(|m| m.role == "assistant").unwrap_or(0);
        let (mut cost, mut saved) = ([0.0; 4], [0.0; 4]);
        for tier in Tier::ALL {
            let (of_tier, prompt) = (&prices.tiers[tier.id()], of_messages(messages, tier, counter));
            let cache_read = if previous == Some(tier) && before > 0 {
                of_messages(&messages[..before], tier, counter)
            } else {
                0
            };
            cost[tier.id()] = of_tier.of(Buckets {
                input: 0,
                cache_read,
                cache_write: prompt.saturating_sub(cache_read),
                output,
            });
            saved[tier.id()] = prompt as f64 * (of_tier.cache_write - of_tier.cache_read) / 1e6;
        }
        Self { cost, saved }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::twin::BytesOverFour;

    const BELIEF: Belief = Belief {
        needed: [0.6, 0.2, 0.1, 0.1],
        unfailed: [0.6, 0.2, 0.1, 0.1],
        next: [0.6, 0.2, 0.1, 0.1],
    };

    fn offer(high: f64) -> Offer {
        Offer {
            cost: [0.0, 0.0, 0.0, high],
            saved: [0.0; 4],
        }
    }

    #[test]
    fn one_call_by_hand() {
        // A row's worth is a dollar. Low: 0.6 + 0.6 + 2 · 0.6; mid: 0.8 + 0.2 + 1.6; mid_high: 0.9 + 0.1 + 1.8; high: 1 + 0.1 + 2 less its cost.
        let kind = Kind::of_runs(vec![1], 1.0);
        let tier = |high| worthiest(&BELIEF, &offer(high), &kind, 1, 0.9);
        assert_eq!(tier(0.29), Tier::High);
        assert_eq!(tier(0.31), Tier::MidHigh);
    }

    #[test]
    fn long_runs_ask_for_caution_and_runs_that_failed_for_none() {
        let long = Kind::of_runs(vec![9], 9.0);
        let tier = |belief: &Belief, step| worthiest(belief, &offer(1.5), &long, step, 0.8);
        // 18 rows are at stake at the last step, 18 · 0.8^8 at the first: 0.1 of these is more, and less, than a high step costs.
        assert_eq!(tier(&BELIEF, 9), Tier::High);
        assert_eq!(tier(&BELIEF, 1), Tier::MidHigh);
        let failed = Belief {
            unfailed: [0.0; 4],
            ..BELIEF
        };
        assert_eq!(tier(&failed, 9), Tier::Low);
    }

    #[test]
    fn what_is_cached_is_read_and_what_will_be_is_saved() {
        let messages = [
            Message::new("user", "12345678"),
            Message::new("assistant", "1234"),
            Message::new("tool", "1234"),
        ];
        // Prompts of 8 and 18 tokens.
        let offer = Offer::new(
            &messages,
            Some(Tier::High),
            10,
            &Prices::PUBLISHED,
            &BytesOverFour,
        );
        let close = |a: f64, b: f64| assert!((a * 1e6 - b).abs() < 1e-9, "{a} {b}");
        close(offer.cost[3], 8.0 * 0.5 + 10.0 * 6.25 + 10.0 * 25.0);
        close(offer.cost[0], 18.0 * 0.26 + 10.0 * 0.5);
        close(offer.saved[3], 18.0 * 5.75);
        let cold = Offer::new(&messages, None, 10, &Prices::PUBLISHED, &BytesOverFour);
        close(cold.cost[3], 18.0 * 6.25 + 10.0 * 25.0);
    }

    #[test]
    fn of_equals_the_lowest_is_the_most_probable() {
        assert_eq!(most_probable(&BELIEF.needed), Tier::Low);
        assert_eq!(most_probable(&[0.3, 0.3, 0.2, 0.2]), Tier::Low);
    }

    proptest! {
        /// A dearer high tier is never taken where a cheaper one was not.
        #[test]
        fn dearer_is_not_taken_more(needed in prop::array::uniform4(0.01..1.0_f64), step in 1..12_usize, cost in 0.0..5.0_f64, more in 0.0..5.0_f64) {
            let sum: f64 = needed.iter().sum();
            let needed = needed.map(|p| p / sum);
            let belief = Belief { needed, unfailed: needed.map(|p| p * 0.7), next: needed };
            let kind = Kind::of_runs(vec![3, 9], 12.0);
            let tier = |high| worthiest(&belief, &offer(high), &kind, step, 0.8);
            prop_assert!(tier(cost) == Tier::High || tier(cost + more) != Tier::High);
        }
    }
}
