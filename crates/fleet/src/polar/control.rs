//! The slow scale: which adapters to keep.
//!
//! On each of the recent contexts a kept set `C` is worth `max_a (s_a − c_a [a ∉ C])`. The sum of that is monotone and submodular in `C`
//! (each term is the largest of fixed numbers), so that greedy growth is within 1 − 1/e of the best; one exchange at a time improves on
//! it, and where there are few sets all of them are looked at.

/// Sets times contexts up to which all sets are looked at.
const ALL_SETS: usize = 2_000_000;

/// What keeping adapters is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Worth {
    /// For each recent context, the score of each adapter, as if it were resident.
    pub scores: Vec<Vec<f64>>,
    /// What serving each costs while it is not kept.
    pub page_in: Vec<f64>,
    /// What loading each costs now: 0 for what is loaded.
    pub load: Vec<f64>,
    /// Requests that the set will serve for each of the contexts.
    pub weight: f64,
}

/// The set of at most `slots` adapters that is worth most: places, those first that would be missed most. Ties keep what comes first. Cost: at most
/// some two million looks at a context where all sets are tried, else `N K` looks at every context a round.
pub fn keep(worth: &Worth, slots: usize) -> Vec<usize> {
    let adapters = worth.load.len();
    let slots = slots.min(adapters);
    if slots == 0 || worth.scores.is_empty() {
        return Vec::new();
    }
    let sets = binomial(adapters, slots);
    if sets.is_some_and(|sets| sets.saturating_mul(worth.scores.len()) <= ALL_SETS) {
        return by_worth(worth, &best_of_all(worth, slots));
    }
    by_worth(worth, &exchanged(worth, grown(worth, slots)))
}

// === impl Worth ===

impl Worth {
    /// What is gained on a context if nothing is kept.
    fn bases(&self) -> Vec<f64> {
        let of = |scores: &Vec<f64>| {
            let net = scores.iter().zip(&self.page_in).map(|(s, c)| s - c);
            net.fold(f64::NEG_INFINITY, f64::max)
        };
        self.scores.iter().map(of).collect()
    }

    fn of(&self, set: &[usize], bases: &[f64]) -> f64 {
        let best = |(scores, base): (&Vec<f64>, &f64)| set.iter().fold(*base, |best, a| best.max(scores[*a]));
        let served: f64 = self.scores.iter().zip(bases).map(best).sum();
        self.weight * served - set.iter().map(|a| self.load[*a]).sum::<f64>()
    }
}

/// Those first without whom the set would lose most.
fn by_worth(worth: &Worth, set: &[usize]) -> Vec<usize> {
    let bases = worth.bases();
    let without = |a: usize| {
        let others: Vec<usize> = set.iter().copied().filter(|other| *other != a).collect();
        worth.of(&others, &bases)
    };
    let mut order: Vec<(f64, usize)> = set.iter().map(|a| (without(*a), *a)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    order.into_iter().map(|(_, a)| a).collect()
}

fn binomial(n: usize, k: usize) -> Option<usize> {
    (0..k.min(n - k)).try_fold(1_usize, |sets, i| Some(sets.checked_mul(n - i)? / (i + 1)))
}

/// Every set of that many, in order.
fn best_of_all(worth: &Worth, slots: usize) -> Vec<usize> {
    let (adapters, bases) = (worth.load.len(), worth.bases());
    let mut set: Vec<usize> = (0..slots).collect();
    let mut best = (worth.of(&set, &bases), set.clone());
    loop {
        // The last place that can go up, and all behind it close up.
        let Some(at) = (0..slots).rev().find(|i| set[*i] < adapters - slots + i) else {
            return best.1;
        };
        set[at] += 1;
        (at + 1..slots).for_each(|i| set[i] = set[i - 1] + 1);
        let value = worth.of(&set, &bases);
        if value > best.0 {
            best = (value, set.clone());
        }
    }
}

/// Greedy growth.
fn grown(worth: &Worth, slots: usize) -> Vec<usize> {
    let mut served = worth.bases();
    let mut set: Vec<usize> = Vec::with_capacity(slots);
    for _ in 0..slots {
        let gain = |a: usize| {
            let more = worth
                .scores
                .iter()
                .zip(&served)
                .map(|(scores, now)| (scores[a] - now).max(0.0));
            worth.weight * more.sum::<f64>() - worth.load[a]
        };
        let mut best: Option<(usize, f64)> = None;
        for a in (0..worth.load.len()).filter(|a| !set.contains(a)) {
            let gain = gain(a);
            if best.is_none_or(|(_, most)| gain > most) {
                best = Some((a, gain));
            }
        }
        let Some((a, _)) = best else { break };
        set.push(a);
        for (now, scores) in served.iter_mut().zip(&worth.scores) {
            *now = now.max(scores[a]);
        }
    }
    set.sort_unstable();
    set
}

/// Exchanges one for one while that helps, at most as many times as there are adapters.
fn exchanged(worth: &Worth, mut set: Vec<usize>) -> Vec<usize> {
    let bases = worth.bases();
    let mut value = worth.of(&set, &bases);
    for _ in 0..worth.load.len() {
        let mut better = None;
        for out in 0..set.len() {
            for into in (0..worth.load.len()).filter(|a| !set.contains(a)) {
                let mut other = set.clone();
                other[out] = into;
                let found = worth.of(&other, &bases);
                if found > value + 1e-12 {
                    value = found;
                    better = Some(other);
                }
            }
        }
        let Some(other) = better else { break };
        set = other;
    }
    set.sort_unstable();
    set
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn worth(scores: &[&[f64]], page_in: f64, load: &[f64]) -> Worth {
        Worth {
            scores: scores.iter().map(|s| s.to_vec()).collect(),
            page_in: vec![page_in; load.len()],
            load: load.to_vec(),
            weight: 1.0,
        }
    }

    #[test]
    fn the_set_covers_the_traffic_rather_than_the_best_on_average() {
        // Adapters 0 and 1 are twins, 2 is good where they are not.
        let scores: &[&[f64]] = &[&[0.9, 0.9, 0.1], &[0.9, 0.9, 0.1], &[0.2, 0.2, 0.8]];
        assert_eq!(keep(&worth(scores, 0.3, &[0.0; 3]), 2), [0, 2]);
        // Loading the third costs more than the 0.3 that it saves once.
        assert_eq!(keep(&worth(scores, 0.3, &[0.0, 0.0, 0.4]), 2), [0, 1]);
        assert_eq!(
            keep(&worth(scores, 0.3, &[0.0; 3]), 9),
            [2, 0, 1],
            "twins are missed least"
        );
        assert!(keep(&worth(scores, 0.3, &[0.0; 3]), 0).is_empty());
    }

    #[test]
    fn sets_are_counted() {
        assert_eq!(
            (binomial(5, 2), binomial(5, 5), binomial(200, 100)),
            (Some(10), Some(1), None)
        );
    }

    proptest! {
        #[test]
        fn growth_and_exchange_come_close_to_the_best(
            scores in prop::collection::vec(prop::collection::vec(0.0..1.0f64, 7), 1..12),
            page_in in 0.0..0.5f64,
        ) {
            let worth = Worth { scores, page_in: vec![page_in; 7], load: vec![0.0; 7], weight: 1.0 };
            let bases = worth.bases();
            let best = worth.of(&best_of_all(&worth, 3), &bases) - worth.of(&[], &bases);
            let found = worth.of(&exchanged(&worth, grown(&worth, 3)), &bases) - worth.of(&[], &bases);
            prop_assert!(found <= best + 1e-9 && found >= best * (1.0 - 1.0 / std::f64::consts::E) - 1e-9);
        }
    }
}
