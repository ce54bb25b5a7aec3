//! How much a probe of the smallest model saves, at which loss (card: `systems/37`): relations (1) to (5) over five seeds.
//!
//! `cargo run --release -p fingerpost-models --example adaptive_probe -- [actions] [first seed]`

mod world;

use world::{Settings, Tally, World};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let actions = arguments.next().and_then(|a| a.parse().ok()).unwrap_or(20_000);
    let first: u64 = arguments.next().and_then(|a| a.parse().ok()).unwrap_or(1);
    let seeds = first..first + 5;
    println!(
        "{actions} actions a seed, seeds {seeds:?}; costs are shares of always asking the large model\n"
    );
    for (name, informative) in [("good", 1.0), ("poor", 0.4), ("useless", 0.0)] {
        println!("confidence {name}:");
        println!(
            "  seed  AUROC   large  router  points lost  cost   small  random  | at its accuracy: difficulty  probe"
        );
        for seed in seeds.clone() {
            relation(&World::new(Settings::of(seed, actions, informative)));
        }
    }
    println!(
        "\nwhere the second half went (good confidence, seed {first}): share of actions, of the large model's cost, points lost"
    );
    let world = World::new(Settings::of(first, actions, 1.0));
    for (reason, [count, cost, lost]) in world.run_default().reasons {
        let half = actions as f64 / 2.0;
        let large = half * world.settings.costs[2];
        println!(
            "  {reason:<52} {:.3}   {:.3}   {:5.2}",
            count / half,
            cost / large,
            100.0 * lost / half
        );
    }
    println!("\nwarm and cold (good confidence):");
    for seed in seeds.clone() {
        let run = World::new(Settings::of(seed, actions, 1.0)).run_default();
        println!(
            "  seed {seed}: escalated {:.3} warm, {:.3} cold; accuracy {:.3}, {:.3}",
            run.warm.escalates(),
            run.cold.escalates(),
            run.warm.accuracy(),
            run.cold.accuracy()
        );
    }
    println!("\nrisk gate: recall / false alarms of both channels, of the picture alone, of the text alone:");
    for seed in seeds.clone() {
        let world = World::new(Settings::of(seed, actions, 1.0));
        let runs = [
            world.run_default(),
            world.with_one_channel(true),
            world.with_one_channel(false),
        ];
        let line = runs
            .map(|r| format!("{:.3} / {:.3}", r.recall, r.false_alarms))
            .join("   ");
        println!("  seed {seed}: {line}");
    }
    println!("\nprobes in the second half, by what the small model costs (large: 0.02):");
    for seed in seeds {
        let probed = |small: f64| {
            let costs = [small, 0.019, 0.02];
            let settings = Settings {
                costs,
                ..Settings::of(seed, actions, 1.0)
            };
            World::new(settings).run_default().late.probed()
        };
        let line = [0.001, 0.005, 0.01, 0.018]
            .map(|c| format!("{c}: {:.3}", probed(c)))
            .join("   ");
        println!("  seed {seed}: {line}");
    }
}

fn relation(world: &World) {
    let run = world.run_default();
    let (small, large) = (world.always(0), world.always(2));
    let share = |tally: &Tally| tally.mean_cost() / large.mean_cost();
    println!(
        "  {:4}  {:>5}   {:.3}   {:.3}   {:>8.2}     {:.3}  {:.3}  {:.3}   |                  {:.3}        {:.3}",
        world.settings.seed,
        run.auroc.map_or_else(|| "-".to_owned(), |a| format!("{a:.3}")),
        large.accuracy(),
        run.all.accuracy(),
        100.0 * (large.accuracy() - run.all.accuracy()),
        share(&run.all),
        small.accuracy(),
        world.random(run.all.mean_cost()),
        share(&world.difficulty_only(run.all.accuracy())),
        share(&world.probe_only(run.all.accuracy())),
    );
}
