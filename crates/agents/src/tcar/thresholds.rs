//! From scores to a set.

use serde::{Deserialize, Serialize};

use super::MOST_AGENTS;

/// Who is taken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Lowest score of an agent beside the best.
    pub t: f64,
    /// By how much an agent beside the best may score lower.
    pub delta: f64,
    /// Below this chance of being for anybody at all the query is out of scope.
    pub oos: f64,
}

/// A query with known answer, for calibration: how it was judged, and the right agent, or none where it is out of scope.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Scores by number of agent.
    pub scores: Vec<f64>,
    /// The chance that it is for anybody, 0 to 1.
    pub inside: f64,
    /// The right one.
    pub gold: Option<usize>,
}

// === impl Thresholds ===

impl Thresholds {
    /// The agents that are taken, best first, at most [`MOST_AGENTS`]; empty where the query is out of scope, by its chance of
    /// being `inside`. The best is always taken where it is not; ties by number; who has no number is not looked at.
    pub fn choose(&self, scores: &[f64], inside: f64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..scores.len()).filter(|&i| !scores[i].is_nan()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        let Some(best) = order.first().map(|&i| scores[i]) else {
            return Vec::new();
        };
        if inside < self.oos {
            return Vec::new();
        }
        let mut place = 0;
        order.retain(|&i| {
            place += 1;
            place == 1 || (scores[i] >= self.t && scores[i] >= best - self.delta)
        });
        order.truncate(MOST_AGENTS);
        order
    }

    /// The best thresholds for judged queries: `oos` with the highest F1 of out of scope, then `t` and `delta` with the highest
    /// recall of the right agent while sets hold at most `mean_size` agents on the average; of equals the smaller sets. Without
    /// queries out of scope `oos` is 0, so that nothing is.
    pub fn calibrate(judged: &[Judged], mean_size: f64) -> Self {
        let outside = judged.iter().filter(|j| j.gold.is_none()).count();
        let mut found = Self {
            t: 0.5,
            delta: 0.0,
            oos: 0.0,
        };
        if outside > 0 {
            let mut by_chance: Vec<(f64, bool)> =
                judged.iter().map(|j| (j.inside, j.gold.is_none())).collect();
            by_chance.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (mut right, mut top) = (0, 0.0);
            for (i, (score, is_outside)) in by_chance.iter().enumerate() {
                right += usize::from(*is_outside);
                let f1 = 2.0 * right as f64 / (i + 1 + outside) as f64;
                let next = by_chance.get(i + 1).map_or(1.0, |n| n.0);
                if f1 > top && next > *score {
                    (top, found.oos) = (f1, f64::midpoint(*score, next));
                }
            }
        }
        let inside: Vec<&Judged> = judged.iter().filter(|j| j.gold.is_some()).collect();
        let mut best_found = (-1.0, f64::INFINITY);
        for t in 0..=20 {
            for delta in 0..=40 {
                let tried = Self {
                    t: f64::from(t) / 40.0,
                    delta: f64::from(delta) / 40.0,
                    ..found
                };
                let sets: Vec<(Vec<usize>, Option<usize>)> = inside
                    .iter()
                    .map(|j| (tried.choose(&j.scores, j.inside), j.gold))
                    .collect();
                let taken: usize = sets.iter().map(|(set, _)| set.len()).sum();
                let answered = sets.iter().filter(|(set, _)| !set.is_empty()).count();
                let hits = sets
                    .iter()
                    .filter(|(set, gold)| gold.is_some_and(|g| set.contains(&g)))
                    .count();
                let size = taken as f64 / answered.max(1) as f64;
                let recall = hits as f64 / inside.len().max(1) as f64;
                if size <= mean_size
                    && (recall > best_found.0 || (recall == best_found.0 && size < best_found.1))
                {
                    best_found = (recall, size);
                    (found.t, found.delta) = (tried.t, tried.delta);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BY_HAND: Thresholds = Thresholds {
        t: 0.4,
        delta: 0.3,
        oos: 0.2,
    };

    #[test]
    fn sets_by_hand() {
        assert_eq!(BY_HAND.choose(&[0.1, 0.9, 0.7, 0.5], 0.9), [1, 2]);
        assert_eq!(BY_HAND.choose(&[0.3, 0.1], 0.3), [0]);
        assert_eq!(BY_HAND.choose(&[0.1, 0.19], 0.19), [0; 0]);
        assert_eq!(BY_HAND.choose(&[0.9, 0.9, 0.9, 0.9], 0.9), [0, 1, 2]);
        assert_eq!(BY_HAND.choose(&[f64::NAN], 1.0), [0; 0]);
    }

    #[test]
    fn calibration_by_hand() {
        let judged = |scores: &[f64], gold| Judged {
            scores: scores.to_vec(),
            inside: scores[0],
            gold,
        };
        // The second is right in the second query, so it pays to take two while sets may grow.
        let all = [
            judged(&[0.9, 0.1], Some(0)),
            judged(&[0.8, 0.7], Some(1)),
            judged(&[0.2, 0.1], None),
            judged(&[0.3, 0.1], None),
        ];
        let narrow = Thresholds::calibrate(&all, 1.0);
        assert!((narrow.oos - 0.55).abs() < 1e-9, "{narrow:?}");
        assert_eq!(narrow.choose(&[0.8, 0.7], 0.8), [0]);
        let wide = Thresholds::calibrate(&all, 1.5);
        assert_eq!(
            (
                wide.choose(&[0.8, 0.7], 0.8).len(),
                wide.choose(&[0.9, 0.1], 0.9).len()
            ),
            (2, 1)
        );
        assert_eq!(Thresholds::calibrate(&all[..2], 1.5).oos, 0.0);
    }

    proptest! {
        #[test]
        fn a_set_holds_the_best_and_at_most_three(scores in prop::collection::vec(0.0..1.0_f64, 1..30), inside in 0.0..1.0_f64) {
            let set = BY_HAND.choose(&scores, inside);
            let best = scores.iter().copied().fold(0.0, f64::max);
            prop_assert!(set.len() <= MOST_AGENTS);
            prop_assert_eq!(set.is_empty(), inside < BY_HAND.oos);
            if let Some(first) = set.first() {
                prop_assert_eq!(scores[*first], best);
            }
        }
    }
}
