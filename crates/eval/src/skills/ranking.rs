//! How good rankings are.

use fingerpost_core::Name;
use serde::Serialize;

use super::Labelled;

/// Sums of what rankings of one method earned.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    requests: usize,
    hit_at_1: f64,
    hit_at_5: f64,
    recall_at_20: f64,
    reciprocal: f64,
    gain: f64,
    hits: Vec<bool>,
}

/// Means over requests, each in 0..=1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Scores {
    /// Requests that were scored.
    pub n: usize,
    /// Requests whose first entry is right.
    pub hit_at_1: f64,
    /// Requests with a right entry among the first five.
    pub hit_at_5: f64,
    /// Share of the needed steps that have an entry among the first twenty.
    pub recall_at_20: f64,
    /// One over the rank of the first right entry among the first ten, else 0.
    pub mrr: f64,
    /// Normalised discounted gain of the first ten: 2^grade - 1 with grade 3 for a right entry and 1 for a degraded copy of one.
    pub ndcg: f64,
}

// === impl Tally ===

impl Tally {
    /// Counts a ranking, best first. `degraded` tells copies that are worth less than the right entry.
    pub fn add(&mut self, request: &Labelled, ranking: &[Name], degraded: impl Fn(&Name) -> bool) {
        let right = |id: &Name| request.steps.iter().any(|step| step.contains(id));
        let first = ranking.iter().position(right);
        self.requests += 1;
        self.hits.push(first == Some(0));
        self.hit_at_1 += f64::from(first == Some(0));
        self.hit_at_5 += f64::from(first.is_some_and(|rank| rank < 5));
        let found = |step: &&Vec<Name>| ranking.iter().take(20).any(|id| step.contains(id));
        let steps = request.steps.len().max(1) as f64;
        self.recall_at_20 += request.steps.iter().filter(found).count() as f64 / steps;
        self.reciprocal += first
            .filter(|rank| *rank < 10)
            .map_or(0.0, |rank| 1.0 / (rank + 1) as f64);
        let discount = |rank: usize| 1.0 / ((rank + 2) as f64).log2();
        // Of the entries of one step one is enough.
        let mut open: Vec<&Vec<Name>> = request.steps.iter().collect();
        let mut gain = 0.0;
        for (rank, id) in ranking.iter().take(10).enumerate() {
            if let Some(step) = open.iter().position(|step| step.contains(id)) {
                open.swap_remove(step);
                gain += 7.0 * discount(rank);
            } else if degraded(id) {
                gain += discount(rank);
            }
        }
        let steps = request.steps.len().min(10);
        let mut ideal: f64 = (0..steps).map(|rank| 7.0 * discount(rank)).sum();
        // A degraded copy stands behind each right entry where the tier has any.
        let copies = request
            .steps
            .iter()
            .flatten()
            .filter(|id| degraded(&copy_of(id)))
            .count();
        ideal += (steps..(steps + copies).min(10)).map(discount).sum::<f64>();
        self.gain += if ideal > 0.0 { gain / ideal } else { 0.0 };
    }

    /// Adds what another tally counted.
    pub fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.hit_at_1 += other.hit_at_1;
        self.hit_at_5 += other.hit_at_5;
        self.recall_at_20 += other.recall_at_20;
        self.reciprocal += other.reciprocal;
        self.gain += other.gain;
        self.hits.extend(other.hits);
    }

    /// The means.
    pub fn scores(&self) -> Scores {
        let mean = |sum: f64| sum / self.requests.max(1) as f64;
        Scores {
            n: self.requests,
            hit_at_1: mean(self.hit_at_1),
            hit_at_5: mean(self.hit_at_5),
            recall_at_20: mean(self.recall_at_20),
            mrr: mean(self.reciprocal),
            ndcg: mean(self.gain),
        }
    }
}

/// The id of an entry's degraded copy.
pub(super) fn copy_of(id: &Name) -> Name {
    format!("{id}#degraded").into()
}

/// The probability that a request that something fits is held more likely to be so than one that nothing fits (area under the ROC
/// curve; ties count half). `None` where either kind is missing.
pub fn auroc(fits: &[(f32, bool)]) -> Option<f64> {
    let mut sorted: Vec<(f32, bool)> = fits.to_vec();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut won, mut right) = (0.0_f64, 0.0, 0.0);
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        let positives = tied.iter().filter(|t| t.1).count() as f64;
        let negatives = tied.len() as f64 - positives;
        won += positives * (below + negatives / 2.0);
        below += negatives;
        right += positives;
    }
    (below > 0.0 && right > 0.0).then(|| won / (below * right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let request = Labelled {
            text: String::new(),
            steps: vec![vec!["a".into()], vec!["b".into(), "c".into()]],
            wrong: Vec::new(),
            set: String::new(),
        };
        let mut tally = Tally::default();
        let ranking: Vec<Name> = ["x", "c", "b", "a"].map(Name::from).to_vec();
        tally.add(&request, &ranking, |_| false);
        let scores = tally.scores();
        assert_eq!(
            (scores.hit_at_1, scores.hit_at_5, scores.recall_at_20, scores.mrr),
            (0.0, 1.0, 1.0, 0.5)
        );
        // c at 2 and a at 4 (b does c's step again) against ranks 1 and 2.
        let discount = |rank: f64| 1.0 / (rank + 1.0).log2();
        let expected = (discount(2.0) + discount(4.0)) / (discount(1.0) + discount(2.0));
        assert!((scores.ndcg - expected).abs() < 1e-12);
        // A copy in the first place of a tier that has one for each of the three right entries.
        let mut hard = Tally::default();
        hard.add(&request, &["a#degraded".into(), "a".into()], |id| {
            id.ends_with("#degraded")
        });
        let ideal = 7.0 * (discount(1.0) + discount(2.0)) + discount(3.0) + discount(4.0) + discount(5.0);
        let expected = (discount(1.0) + 7.0 * discount(2.0)) / ideal;
        assert!((hard.scores().ndcg - expected).abs() < 1e-12);
        tally.merge(hard);
        assert_eq!(tally.scores().n, 2);
    }

    #[test]
    fn ties_count_half() {
        assert_eq!(
            auroc(&[(0.9, true), (0.5, true), (0.5, false), (0.1, false)]),
            Some(0.875)
        );
        assert_eq!(auroc(&[(0.9, true)]), None);
    }
}
