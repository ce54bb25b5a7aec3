//! What asking in rounds is worth, in a world of questions with hidden parts (card `systems/28`).
//!
//! `cargo run --release -p fingerpost-models --example router_r1 [SEEDS] [EPISODES]`

mod world;

use world::{Pays, Score, World};

const QUESTIONS: usize = 4_000;
const WEIGHTS: [f64; 4] = [0.0, 0.3, 0.6, 0.9];
/// Questions of several parts.
const SEVERAL: [usize; 2] = [2, 3];
/// The one of the pool that is best on average.
const LARGE: usize = 4;

fn show(what: &str, scores: &[Score]) {
    let mean = Score::mean(scores);
    let each: Vec<String> = scores
        .iter()
        .map(|s| format!("{:.1}", 100.0 * s.accuracy))
        .collect();
    println!(
        "{what:<34} {:>6.1} %  cost {:>6.1}  calls {:.2}   by seed: {}",
        100.0 * mean.accuracy,
        mean.cost,
        mean.calls,
        each.join(" ")
    );
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<usize>());
    let seeds = arguments.next().and_then(Result::ok).unwrap_or(5) as u64;
    let episodes = arguments.next().and_then(Result::ok).unwrap_or(30_000);
    println!(
        "{seeds} seeds, {episodes} episodes of training, {QUESTIONS} questions of two and three parts\n"
    );
    let worlds: Vec<(u64, World)> = (1..=seeds).map(|seed| (seed, World::new(seed))).collect();
    let over =
        |of: &dyn Fn(u64, &World) -> Score| -> Vec<Score> { worlds.iter().map(|(s, w)| of(*s, w)).collect() };
    show(
        "always large, one round",
        &over(&|s, w| w.always(LARGE, &SEVERAL, QUESTIONS, 100 + s)),
    );
    show(
        "best router of one round",
        &over(&|s, w| w.best_of_one_round(&SEVERAL, QUESTIONS, 100 + s)),
    );
    for weight in WEIGHTS {
        let policies: Vec<_> = worlds
            .iter()
            .map(|(s, w)| w.train(Pays::Ranked, weight, episodes, *s))
            .collect();
        let judged = |world: &dyn Fn(u64, &World) -> World| -> Vec<Score> {
            let all = worlds.iter().zip(&policies);
            all.map(|((s, w), p)| world(*s, w).judge(p, &SEVERAL, QUESTIONS, 100 + s))
                .collect()
        };
        show(
            &format!("in rounds, cost weight {weight}"),
            &judged(&|_, w| w.clone()),
        );
        if weight == 0.0 {
            show(
                "  with a better model, not retrained",
                &judged(&|s, w| w.with_better(s)),
            );
            let spoken: Vec<(Score, f64)> = worlds
                .iter()
                .zip(&policies)
                .map(|((s, w), p)| w.judge_in_tags(p, &SEVERAL, QUESTIONS / 4, 200 + s))
                .collect();
            let scores: Vec<Score> = spoken.iter().map(|s| s.0).collect();
            show("  through the router, in tags", &scores);
            let in_form = spoken.iter().map(|s| s.1).sum::<f64>() / spoken.len() as f64;
            println!("  transcripts in form: {:.1} %", 100.0 * in_form);
        }
    }
    for weight in &WEIGHTS[1..] {
        let added = over(&|s, w| {
            let policy = w.train(Pays::Added, *weight, episodes, s);
            w.judge(&policy, &SEVERAL, QUESTIONS, 100 + s)
        });
        show(&format!("cost added, weight {weight}"), &added);
    }
}
