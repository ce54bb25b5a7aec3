//! The best few of a stream of scored candidates.

use fingerpost_core::{Candidate, Decision, Evidence, Pick, Picks, Reason};
use smallvec::SmallVec;

/// Most picks of a decision: the one to run and three to fall back on. Whoever has seen four models fail in a row has
/// another problem than the choice of model.
pub(crate) const MOST: usize = 4;

/// Keeps the candidates of highest score, best first; of equal ones those that came first stand first. NaN counts as lowest.
#[derive(Default)]
pub(crate) struct Ranked<'a>(SmallVec<[(&'a Candidate, f64); MOST]>);

// === impl Ranked ===

impl<'a> Ranked<'a> {
    pub(crate) fn offer(&mut self, candidate: &'a Candidate, score: f64) {
        let score = if score.is_nan() { f64::NEG_INFINITY } else { score };
        let place = self
            .0
            .iter()
            .rposition(|(_, better)| *better >= score)
            .map_or(0, |i| i + 1);
        if place < MOST {
            self.0.truncate(MOST - 1);
            self.0.insert(place, (candidate, score));
        }
    }

    pub(crate) fn decide(self, reason: Reason, evidence: Evidence) -> Option<Decision> {
        let picks: Picks = self
            .0
            .into_iter()
            .map(|(candidate, score)| Pick::of(candidate, score))
            .collect();
        Decision::ranked(picks, reason, evidence)
    }
}

impl<'a> Extend<(&'a Candidate, f64)> for Ranked<'a> {
    fn extend<I: IntoIterator<Item = (&'a Candidate, f64)>>(&mut self, all: I) {
        for (candidate, score) in all {
            self.offer(candidate, score);
        }
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{Catalogue, Profile};
    use proptest::prelude::*;

    use super::*;

    fn ranked(scores: &[f64]) -> Vec<String> {
        let catalogue = Catalogue::new((0..scores.len()).map(|i| Profile::named(i.to_string()))).unwrap();
        let mut ranked = Ranked::default();
        ranked.extend(catalogue.iter().zip(scores.iter().copied()));
        let decision = ranked.decide(Reason::new("test"), Evidence::of("r"));
        decision.map_or_else(Vec::new, |d| d.picks.iter().map(|p| p.name.to_string()).collect())
    }

    #[test]
    fn the_first_of_equals_stays_first_and_nan_is_last() {
        assert_eq!(ranked(&[f64::NAN, 1.0, 2.0, 1.0]), ["2", "1", "3", "0"]);
        assert_eq!(ranked(&[f64::NAN, f64::NAN]), ["0", "1"]);
        assert!(ranked(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn it_is_the_head_of_a_stable_sort(scores in prop::collection::vec(0..4_u8, 0..12)) {
            let scores: Vec<f64> = scores.into_iter().map(f64::from).collect();
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
            let head: Vec<String> = order.into_iter().take(MOST).map(|i| i.to_string()).collect();
            prop_assert_eq!(ranked(&scores), head);
        }
    }
}
