//! The relations of card 37 on a small world; `--example adaptive_probe` shows them at their size.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "helpers of tests; the example uses all of the world"
)]

#[path = "../examples/adaptive_probe/world.rs"]
mod world;

use world::{Settings, World};

const ACTIONS: usize = 8000;

#[test]
fn an_informative_probe_saves_half_at_two_points_and_the_gate_catches_what_either_channel_misses() {
    for seed in 1..=5 {
        let world = World::new(Settings::of(seed, ACTIONS, 1.0));
        let run = world.run_default();
        let large = world.always(2);
        assert!(run.auroc.unwrap() >= 0.75, "{seed}: {:?}", run.auroc);
        let share = run.late.mean_cost() / large.mean_cost();
        let lost = large.accuracy() - run.all.accuracy();
        assert!(share <= 0.6 && lost <= 0.025, "{seed}: cost {share}, lost {lost}");
        assert!(
            run.all.accuracy() > world.random(run.all.mean_cost()) + 0.05,
            "{seed}: no better than chance"
        );
        assert!(run.warm.escalates() < run.cold.escalates(), "{seed}");
        assert!(run.warm.accuracy() >= run.cold.accuracy() - 0.01, "{seed}");
        assert!(
            run.recall >= 0.95 && run.false_alarms <= 0.05,
            "{seed}: {} {}",
            run.recall,
            run.false_alarms
        );
    }
    let world = World::new(Settings::of(1, ACTIONS, 1.0));
    let both = world.run_default().recall;
    assert!(both > world.with_one_channel(true).recall + 0.2);
    assert!(both > world.with_one_channel(false).recall + 0.2);
}

#[test]
fn a_useless_probe_loses_no_two_points_and_one_that_costs_as_much_is_not_made() {
    for seed in 1..=5 {
        let world = World::new(Settings::of(seed, ACTIONS, 0.0));
        let run = world.run_default();
        let lost = world.always(2).accuracy() - run.all.accuracy();
        assert!(lost <= 0.02, "{seed}: {lost}");
    }
    let settings = |small| Settings {
        costs: [small, 0.019, 0.02],
        ..Settings::of(1, ACTIONS, 1.0)
    };
    let probed = |small| World::new(settings(small)).run_default().late.probed();
    assert!(probed(0.001) > 0.3, "{}", probed(0.001));
    assert!(probed(0.018) < 0.06, "{}", probed(0.018));
}
