//! The relations of card 48 on a small world; `--example budget_aware` shows them at their size.

#![allow(dead_code, reason = "the example uses all of the laboratory")]

#[path = "../examples/budget_aware/lab.rs"]
mod lab;
#[path = "../examples/budget_aware/world.rs"]
mod world;

use fingerpost_models::budget_aware::Bopo;
use lab::{Lab, Plan};

const PLAN: Plan = Plan {
    training: 150,
    test: 150,
    rounds: 150,
};

/// Longer steps, since there are few.
fn quick(how: Bopo) -> Bopo {
    Bopo { rate: 0.01, ..how }
}

#[test]
fn trying_beats_chance_and_plain_rewards_collapse_and_budgets_hold() {
    for seed in [1, 2] {
        let lab = Lab::new(PLAN, seed);
        let shown = lab.shown();
        let bopo = lab.train(&quick(lab.bopo()), &shown);
        for point in lab.frontier(&bopo) {
            assert!(
                point.success >= point.random - 0.01,
                "{seed}: {} at {} of {}",
                point.success,
                point.cost,
                point.random
            );
        }
        let (solved, plain) = (
            lab.policy(&bopo).rate(),
            lab.policy(&lab.train(&quick(lab.plain()), &shown)).rate(),
        );
        assert!(plain <= lab.small.rate() + 0.05, "{seed}: {plain}");
        assert!(solved >= lab.small.rate() + 0.15, "{seed}: {solved}");
        let budgets = lab.budgets(&bopo);
        assert!(budgets.iter().all(|(_, score)| score.violations == 0.0));
        for pair in budgets.windows(2) {
            let (before, after) = (pair[0].1.rate(), pair[1].1.rate());
            assert!(
                after >= before - 0.02,
                "{seed}: {before} then {after} from {}",
                pair[0].0
            );
        }
    }
}

#[test]
fn without_the_reference_cheap_failure_is_not_left() {
    let lab = Lab::new(PLAN, 1);
    let cheap = lab.cheap();
    let with = lab.policy(&lab.train(&quick(lab.bopo()), &cheap)).rate();
    let without = lab.policy(&lab.train(&quick(lab.without()), &cheap)).rate();
    assert!(without <= lab.small.rate() + 0.05, "{without}");
    assert!(with >= without + 0.1, "{with} {without}");
}
