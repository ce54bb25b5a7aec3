//! A trained policy against rules, plain reinforcement learning and an oracle, and its hard budgets (card: `systems/48`).
//!
//! `cargo run --release -p fingerpost-models --example budget_aware -- [training tasks] [rounds] [first seed] [seeds]`

mod lab;
mod world;

use lab::{Lab, Plan};
use world::Score;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|a| a.parse::<u64>().ok());
    let tasks = arguments.next().unwrap_or(600);
    let rounds = arguments.next().unwrap_or(400);
    let first = arguments.next().unwrap_or(1);
    let seeds = arguments.next().unwrap_or(5);
    println!(
        "{tasks} training tasks, {rounds} rounds, seeds {first} to {}",
        first + seeds - 1
    );
    println!("each line: success in %, cost as a share of always-large's, on test tasks of the same kind\n");
    for seed in first..first + seeds {
        let plan = Plan {
            training: tasks as usize,
            test: 500,
            rounds: rounds as usize,
        };
        report(&Lab::new(plan, seed));
    }
}

fn report(lab: &Lab) {
    println!(
        "seed {}: {} easy, {} hard, {} intractable",
        lab.seed, lab.counts[0], lab.counts[1], lab.counts[2]
    );
    let line = |name: &str, score: &Score| {
        println!(
            "  {name:<44} {:5.1}   {:.3}",
            100.0 * score.rate(),
            lab.share(score)
        );
    };
    line("always small", &lab.small);
    line("always large", &lab.large);
    line("large after an error", &lab.after_errors());
    line("best threshold on the step's look", &lab.threshold());
    line("oracle (knows each step's difficulty)", &lab.oracle());
    let trained = lab.train_all();
    line("shown only (SFT)", &lab.policy(&trained.shown));
    line("BoPO", &lab.policy(&trained.bopo));
    line(
        "BoPO, raised to always-large - 1 point",
        &lab.cheapest(&trained.bopo),
    );
    line("SFT, raised likewise", &lab.cheapest(&trained.shown));
    line("plain reward, lambda 2, from SFT", &lab.policy(&trained.plain));
    line("from a cheap start: BoPO", &lab.policy(&trained.cheap_bopo));
    line(
        "from a cheap start: BoPO without R_ref",
        &lab.policy(&trained.cheap_without),
    );
    line(
        "from a cheap start: plain reward, lambda 2",
        &lab.policy(&trained.cheap_plain),
    );
    line("from SFT: BoPO without R_ref", &lab.policy(&trained.without));
    println!("  frontier: cost share, success, success of random at that cost");
    for point in lab.frontier(&trained.bopo) {
        println!(
            "    {:.3}   {:5.1}   {:5.1}",
            point.cost,
            100.0 * point.success,
            100.0 * point.random
        );
    }
    println!(
        "  hard budgets, from each task's always-small (0) to its always-large cost (1): success, violations"
    );
    for (share, score) in lab.budgets(&trained.bopo) {
        println!(
            "    {share:>5}   {:5.1}   {}",
            100.0 * score.rate(),
            score.violations
        );
    }
    println!();
}
