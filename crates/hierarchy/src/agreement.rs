//! How well groups agree with the truth.

use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;

use crate::dendrogram::Dendrogram;

/// Agreement of a grouping with the truth. All are 1 for equal groupings, whatever their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Agreement {
    /// The share of items that agree under a one-to-one matching of groups and labels found greedily, largest overlap first, 0
    /// to 1. The best matching where groups and truth nearly agree.
    pub accuracy: f64,
    /// The share of items whose label is the commonest of their group, 0 to 1. Grows with the number of groups.
    pub purity: f64,
    /// The adjusted Rand index, at most 1 and about 0 for unrelated groupings (Hubert and Arabie 1985).
    pub ari: f64,
    /// Mutual information over the mean of both entropies, 0 to 1.
    pub nmi: f64,
    /// Mutual information above what chance gives, at most 1 and about 0 for unrelated groupings (Vinh, Epps and Bailey 2010;
    /// the mean of the entropies as the bound).
    pub ami: f64,
}

/// How many items fall into each pair of group and label.
struct Table {
    cells: Vec<((usize, usize), f64)>,
    groups: Vec<f64>,
    labels: Vec<f64>,
    items: f64,
}

/// Compares a grouping with the truth item by item. Time: items, and groups times labels times their sizes for the chance level.
///
/// # Panics
/// If there are not as many labels as items.
pub fn agreement(groups: &[usize], truth: &[usize]) -> Agreement {
    assert_eq!(groups.len(), truth.len(), "a label for each item");
    let table = Table::new(groups, truth);
    let (information, bound) = (table.information(), table.bound());
    let chance = table.chance_information();
    Agreement {
        accuracy: table.accuracy(),
        purity: table.purity(),
        ari: table.ari(),
        nmi: above(information, 0.0, bound),
        ami: above(information, chance, bound),
    }
}

/// Dendrogram purity: over all pairs of leaves with one label, the mean share of that label below the node where they meet, 0 to
/// 1 (Heller and Ghahramani 2005). 1 if each label is a subtree. Time O(leaves * labels).
///
/// # Panics
/// If there are not as many labels as leaves.
pub fn dendrogram_purity(tree: &Dendrogram, labels: &[usize]) -> f64 {
    assert_eq!(labels.len(), tree.leaves, "a label for each leaf");
    let mut below: Vec<FxHashMap<usize, f64>> =
        labels.iter().map(|&l| FxHashMap::from_iter([(l, 1.0)])).collect();
    let (mut pairs, mut pure) = (0.0, 0.0);
    for merge in &tree.merges {
        let (a, b) = merge.children;
        let (mut large, mut small) = (std::mem::take(&mut below[a]), std::mem::take(&mut below[b]));
        if large.len() < small.len() {
            std::mem::swap(&mut large, &mut small);
        }
        for (label, count) in small {
            let here = large.entry(label).or_default();
            let meeting = *here * count;
            *here += count;
            pairs += meeting;
            pure += meeting * *here / merge.size as f64;
        }
        below.push(large);
    }
    if pairs > 0.0 { pure / pairs } else { 1.0 }
}

/// (x - chance) / (bound - chance); 1 where there is no room above chance.
fn above(x: f64, chance: f64, bound: f64) -> f64 {
    if (bound - chance).abs() < 1e-12 {
        1.0
    } else {
        (x - chance) / (bound - chance)
    }
}

// === impl Table ===

impl Table {
    fn new(groups: &[usize], truth: &[usize]) -> Self {
        let (groups, group_sizes) = numbered(groups);
        let (labels, label_sizes) = numbered(truth);
        let mut cells: FxHashMap<(usize, usize), f64> = FxHashMap::default();
        for pair in groups.iter().copied().zip(labels) {
            *cells.entry(pair).or_default() += 1.0;
        }
        let mut cells: Vec<_> = cells.into_iter().collect();
        cells.sort_unstable_by_key(|(pair, _)| *pair);
        Self {
            cells,
            groups: group_sizes,
            labels: label_sizes,
            items: groups.len() as f64,
        }
    }

    fn accuracy(&self) -> f64 {
        let mut cells = self.cells.clone();
        cells.sort_by(|x, y| y.1.total_cmp(&x.1).then(x.0.cmp(&y.0)));
        let (mut used, mut matched, mut agree) = (FxHashSet::default(), FxHashSet::default(), 0.0);
        for ((group, label), count) in cells {
            if !used.contains(&group) && !matched.contains(&label) {
                used.insert(group);
                matched.insert(label);
                agree += count;
            }
        }
        agree / self.items.max(1.0)
    }

    fn purity(&self) -> f64 {
        let mut most = vec![0.0_f64; self.groups.len()];
        for &((group, _), count) in &self.cells {
            most[group] = most[group].max(count);
        }
        most.iter().sum::<f64>() / self.items.max(1.0)
    }

    fn ari(&self) -> f64 {
        let pairs = |n: f64| n * (n - 1.0) / 2.0;
        let sum = |sizes: &[f64]| sizes.iter().map(|&n| pairs(n)).sum::<f64>();
        let both: f64 = self.cells.iter().map(|&(_, n)| pairs(n)).sum();
        let (groups, labels) = (sum(&self.groups), sum(&self.labels));
        let chance = groups * labels / pairs(self.items).max(1.0);
        above(both, chance, f64::midpoint(groups, labels))
    }

    fn information(&self) -> f64 {
        let n = self.items;
        let term = |&((group, label), count): &((usize, usize), f64)| {
            count / n * (n * count / (self.groups[group] * self.labels[label])).ln()
        };
        self.cells.iter().map(term).sum()
    }

    fn bound(&self) -> f64 {
        let entropy = |sizes: &[f64]| -> f64 {
            sizes
                .iter()
                .map(|s| -(s / self.items) * (s / self.items).ln())
                .sum()
        };
        f64::midpoint(entropy(&self.groups), entropy(&self.labels))
    }

    /// The mean information of random groupings with these sizes. Equal sizes are computed once.
    fn chance_information(&self) -> f64 {
        let n = self.items as usize;
        let mut log_factorial = vec![0.0; n + 1];
        for k in 1..=n {
            log_factorial[k] = log_factorial[k - 1] + (k as f64).ln();
        }
        let f = |k: usize| log_factorial[k];
        let (groups, labels) = (size_counts(&self.groups), size_counts(&self.labels));
        let mut sum = 0.0;
        for &(a, groups) in &groups {
            for &(b, labels) in &labels {
                let all = f(a) + f(b) + f(n - a) + f(n - b) - f(n);
                for k in (a + b).saturating_sub(n).max(1)..=a.min(b) {
                    let log = all - f(k) - f(a - k) - f(b - k) - f(n + k - a - b);
                    let term = (n as f64 * k as f64 / (a as f64 * b as f64)).ln();
                    sum += groups * labels * k as f64 / n as f64 * term * log.exp();
                }
            }
        }
        sum
    }
}

/// Numbers without gaps in the order of appearance, and how often each appears.
fn numbered(values: &[usize]) -> (Vec<usize>, Vec<f64>) {
    let mut numbers = FxHashMap::default();
    let mut sizes = Vec::new();
    let of = |&value: &usize| {
        let next = sizes.len();
        let number = *numbers.entry(value).or_insert(next);
        if number == next {
            sizes.push(0.0);
        }
        sizes[number] += 1.0;
        number
    };
    let values = values.iter().map(of).collect();
    (values, sizes)
}

fn size_counts(sizes: &[f64]) -> Vec<(usize, f64)> {
    let mut counts: FxHashMap<usize, f64> = FxHashMap::default();
    sizes
        .iter()
        .for_each(|&s| *counts.entry(s as usize).or_default() += 1.0);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_unstable_by_key(|(size, _)| *size);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dendrogram::Merge;

    #[test]
    fn agreement_by_hand() {
        let truth = [0, 0, 0, 1, 1, 1];
        let same = agreement(&[5, 5, 5, 2, 2, 2], &truth);
        assert_eq!((same.accuracy, same.purity, same.ari), (1.0, 1.0, 1.0));
        assert!((same.ami - 1.0).abs() < 1e-12 && (same.nmi - 1.0).abs() < 1e-12);
        // Pairs: both 1 + 3 = 4, groups 1 + 6 = 7, truth 6; chance 7 * 6 / 15 = 2.8: (4 - 2.8) / (6.5 - 2.8).
        let near = agreement(&[5, 5, 2, 2, 2, 2], &truth);
        assert_eq!((near.accuracy, near.purity), (5.0 / 6.0, 5.0 / 6.0));
        assert!((near.ari - 1.2 / 3.7).abs() < 1e-12);
        let none = agreement(&[], &[]);
        assert_eq!((none.ari, none.ami), (1.0, 1.0));
    }

    #[test]
    fn information_by_hand() {
        // Four items, groups {0 1} {2 3}, labels {0 2} {1 3}: independent, so no information; by chance one of three groupings
        // of 2 + 2 is the truth (ln 2) and two are independent: chance ln 2 / 3, bound ln 2: (0 - 1/3) / (1 - 1/3) = -1/2.
        let crossed = agreement(&[0, 0, 1, 1], &[0, 1, 0, 1]);
        assert!(crossed.nmi.abs() < 1e-12);
        assert!((crossed.ami + 0.5).abs() < 1e-12, "{crossed:?}");
    }

    #[test]
    fn purity_of_trees_by_hand() {
        let merge = |a, b, size| Merge {
            children: (a, b),
            similarity: 1.0,
            size,
        };
        let tree = Dendrogram {
            leaves: 4,
            merges: vec![merge(0, 1, 2), merge(2, 3, 2), merge(4, 5, 4)],
        };
        assert_eq!(dendrogram_purity(&tree, &[0, 0, 1, 1]), 1.0);
        // Both pairs meet at the root, where each label has a half.
        assert_eq!(dendrogram_purity(&tree, &[0, 1, 0, 1]), 0.5);
    }
}
