//! How the proven tiers are found: downgrade and cascade.
//!
//! A run that the highest tier solves is taken. Step by step, from the first, the lowest tier is looked for with which the task
//! still passes in as many steps, the earlier steps at the tiers found for them and the later ones at the highest. A hint says for
//! each step where the search begins; it prunes and proves nothing. Greedy: where steps bear on each other the tiers found need
//! not be the cheapest, but they have been run together and passed.

use super::Tier;

/// Replays a task with a tier for each step.
pub trait Simulator {
    /// Steps of the run that the highest tier solved.
    fn steps(&self) -> usize;

    /// Runs the task with these tiers, one a step, and says in how many steps it passed; `None` where it failed. A tier is a pool
    /// of models: it passes where any of them does. The same tiers give the same answer.
    fn run(&mut self, tiers: &[Tier]) -> Option<usize>;
}

/// The tiers found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// One a step; the task has passed with exactly these.
    pub tiers: Vec<Tier>,
    /// Runs that it took, the first with all steps at the highest tier included: at most 3 a step and 1.
    pub runs: usize,
}

/// Finds the tiers of a run; `None` where it is not solved with all steps at the highest tier. `hints` has the lowest tier worth
/// trying by step; [`Tier::High`] says that the step cannot be done by less. A step without a hint begins at the lowest.
pub fn find_tiers(simulator: &mut dyn Simulator, hints: &[Tier]) -> Option<Labelled> {
    let steps = simulator.steps();
    let mut tiers = vec![Tier::High; steps];
    let mut runs = 1;
    if simulator.run(&tiers) != Some(steps) {
        return None;
    }
    for at in 0..steps {
        let hint = hints.get(at).copied().unwrap_or(Tier::Low);
        for tier in Tier::ALL.into_iter().filter(|t| (hint..Tier::High).contains(t)) {
            tiers[at] = tier;
            runs += 1;
            if simulator.run(&tiers) == Some(steps) {
                break;
            }
            tiers[at] = Tier::High;
        }
    }
    Some(Labelled { tiers, runs })
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::SmallRng};

    use super::*;

    /// Each step has a hidden tier; a pair says that the second step needs one more where the first is not at the highest, and
    /// with a `lengthens` the run takes a step more whenever that step is low.
    struct Hidden {
        needs: Vec<Tier>,
        pairs: Vec<(usize, usize)>,
        lengthens: Option<usize>,
        runs: usize,
    }

    impl Simulator for Hidden {
        fn steps(&self) -> usize {
            self.needs.len()
        }

        fn run(&mut self, tiers: &[Tier]) -> Option<usize> {
            self.runs += 1;
            let passes = self.needs.iter().enumerate().all(|(at, need)| {
                let more = self
                    .pairs
                    .iter()
                    .filter(|(a, b)| *b == at && tiers[*a] < Tier::High);
                tiers[at] >= Tier::clamped(need.id() + more.count())
            });
            let longer = self.lengthens.is_some_and(|at| tiers[at] == Tier::Low);
            passes.then_some(tiers.len() + usize::from(longer))
        }
    }

    fn hidden(rng: &mut SmallRng, pairs: usize) -> Hidden {
        let steps = rng.random_range(1..12);
        Hidden {
            needs: (0..steps)
                .map(|_| Tier::clamped(rng.random_range(0..4)))
                .collect(),
            pairs: (0..pairs)
                .map(|_| (rng.random_range(0..steps), rng.random_range(0..steps)))
                .filter(|(a, b)| a != b)
                .collect(),
            lengthens: None,
            runs: 0,
        }
    }

    #[test]
    fn without_interaction_the_hidden_tiers_are_found() {
        let mut rng = SmallRng::seed_from_u64(1);
        for _ in 0..200 {
            let mut simulator = hidden(&mut rng, 0);
            let found = find_tiers(&mut simulator, &[]).unwrap();
            assert_eq!(found.tiers, simulator.needs);
            assert_eq!(found.runs, simulator.runs);
            assert!(found.runs <= 3 * simulator.needs.len() + 1);
        }
    }

    #[test]
    fn with_interaction_what_is_found_passes_and_takes_no_more_runs() {
        let mut rng = SmallRng::seed_from_u64(2);
        let mut differ = 0;
        for _ in 0..200 {
            let mut simulator = hidden(&mut rng, 4);
            let found = find_tiers(&mut simulator, &[]).unwrap();
            assert!(found.runs <= Tier::ALL.len() * simulator.needs.len());
            assert_eq!(simulator.run(&found.tiers), Some(found.tiers.len()));
            assert!(found.tiers.iter().zip(&simulator.needs).all(|(f, n)| f >= n));
            differ += usize::from(found.tiers != simulator.needs);
        }
        assert!(differ > 100, "the interactions must bite: {differ}");
    }

    #[test]
    fn hints_prune_and_never_lower() {
        let mut rng = SmallRng::seed_from_u64(3);
        let mut simulator = hidden(&mut rng, 0);
        let hints = simulator.needs.clone();
        let found = find_tiers(&mut simulator, &hints).unwrap();
        assert_eq!(found.tiers, simulator.needs);
        assert!(found.runs <= simulator.needs.len() + 1);
        let too_high = vec![Tier::High; hints.len()];
        let found = find_tiers(&mut simulator, &too_high).unwrap();
        assert_eq!((found.tiers, found.runs), (too_high, 1));
    }

    #[test]
    fn a_run_that_becomes_longer_is_not_accepted() {
        let mut simulator = Hidden {
            needs: vec![Tier::Low; 3],
            pairs: Vec::new(),
            lengthens: Some(1),
            runs: 0,
        };
        let found = find_tiers(&mut simulator, &[]).unwrap();
        assert_eq!(found.tiers, [Tier::Low, Tier::Mid, Tier::Low]);
    }

    /// A task that nothing solves.
    struct Unsolvable;

    impl Simulator for Unsolvable {
        fn steps(&self) -> usize {
            3
        }

        fn run(&mut self, _: &[Tier]) -> Option<usize> {
            None
        }
    }

    #[test]
    fn a_run_that_the_highest_tier_does_not_solve_has_no_tiers() {
        assert_eq!(find_tiers(&mut Unsolvable, &[]), None);
    }
}
