//! The relations of card `systems/28` in its world, over five seeds.

#![allow(dead_code, reason = "the world serves the example too")]

#[path = "../examples/router_r1/world.rs"]
mod world;

use world::{Pays, Score, World};

const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];
const SEVERAL: [usize; 2] = [2, 3];
const EPISODES: usize = 6_000;
const QUESTIONS: usize = 1_500;

fn over(of: impl Fn(u64, &World) -> Score) -> Score {
    let scores: Vec<Score> = SEEDS.iter().map(|s| of(*s, &World::new(*s))).collect();
    Score::mean(&scores)
}

#[test]
fn rounds_beat_one_round_and_take_up_a_better_model_unseen() {
    let mut gained = 0.0;
    for seed in SEEDS {
        let world = World::new(seed);
        let policy = world.train(Pays::Ranked, 0.0, EPISODES, seed);
        let rounds = world.judge(&policy, &SEVERAL, QUESTIONS, 100 + seed).accuracy;
        let one = world.best_of_one_round(&SEVERAL, QUESTIONS, 100 + seed).accuracy;
        let large = world.always(4, &SEVERAL, QUESTIONS, 100 + seed).accuracy;
        assert!(
            rounds > one + 0.05 && one > large,
            "{seed}: {rounds} {one} {large}"
        );
        let better = world
            .with_better(seed)
            .judge(&policy, &SEVERAL, QUESTIONS, 100 + seed)
            .accuracy;
        assert!(better > rounds - 0.01, "{seed}: {better} {rounds}");
        gained += (better - rounds) / SEEDS.len() as f64;
        let (spoken, in_form) = world.judge_in_tags(&policy, &SEVERAL, 200, 100 + seed);
        assert!(in_form > 0.999, "every transcript is in form: {in_form}");
        assert!(
            (spoken.accuracy - rounds).abs() < 0.12,
            "{seed}: {spoken:?} {rounds}"
        );
    }
    // A training this short leaves a seed that does not take it up yet.
    assert!(gained > 0.05, "{gained}");
}

#[test]
fn a_cost_reward_for_right_answers_only_saves_without_collapse() {
    let at = |pays, weight: f64| {
        over(|seed, world| {
            let policy = world.train(pays, weight, EPISODES, seed);
            world.judge(&policy, &SEVERAL, QUESTIONS / 3, 100 + seed)
        })
    };
    let (free, dear) = (at(Pays::Ranked, 0.0), at(Pays::Ranked, 0.9));
    assert!(dear.cost < 0.7 * free.cost, "{free:?} {dear:?}");
    assert!(dear.accuracy > free.accuracy - 0.2, "{free:?} {dear:?}");
    let added = at(Pays::Added, 0.9);
    assert!(added.accuracy < 0.05 && added.cost < 1.0, "{added:?}");
}
