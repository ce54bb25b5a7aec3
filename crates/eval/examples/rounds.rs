//! The trained policy of `router_r1` replayed on logged answers (card `systems/28`).
//!
//! `cargo run --release -p fingerpost-eval --example rounds -- DIR [SEEDS]`, with a data set whose rows hold `responses`
//! (routeprofile8): trained on the train part, judged on the val part, for several weights of cost.

#[path = "replay/mod.rs"]
mod replay;

use std::{path::PathBuf, sync::Arc};

use fingerpost_core::Catalogue;
use fingerpost_encode::StaticEncoder;
use fingerpost_eval::{DataSet, metrics::mean};
use fingerpost_models::{
    Algorithm, Featurizer, ModelRouter, RoundsBy, RouterR1Config, RouterR1Settings, Settings, Shared,
    Trained, Training, build,
};
use replay::{Replayed, baselines, best_single, cost, difference, quality, replay};

const FILE: &str = "trained here";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .map(PathBuf::from)
        .expect("the folder of a data set");
    let seeds: u64 = arguments.next().and_then(|s| s.parse().ok()).unwrap_or(5);
    let data = DataSet::open(&folder).expect("a data set");
    let featurizer = Featurizer::new(Arc::new(StaticEncoder::bundled()));
    let catalogue = Catalogue::new(data.profiles.iter().cloned()).expect("names differ");
    let (train, val) = (data.part("train").expect("train"), data.part("val").expect("val"));
    let watch = |_: &'static str, _: usize, _: usize| true;
    let features = fingerpost_models::features(&train, &featurizer, &watch).expect("features");
    println!(
        "{}: trained on {}, judged on {}, {seeds} seeds",
        data.name,
        train.len(),
        val.len()
    );
    baselines(&val, &train);
    let best = best_single(&train);
    let single: Vec<f64> = val
        .rows()
        .iter()
        .map(|r| f64::from(r.scores[best].unwrap_or(0.0)))
        .collect();
    for cost_weight in [0.0, 0.3, 0.6, 0.9] {
        let settings = Settings::RouterR1(RouterR1Settings {
            cost_weight,
            ..RouterR1Settings::default()
        });
        let (mut by_seed, mut by_row) = (Vec::new(), vec![0.0; val.len()]);
        for seed in 1..=seeds {
            let training = Training::new(&train, &features, seed, &watch).expect("rows");
            let trained = Trained::train_on(&settings, &training, &featurizer).expect("answers");
            let shared = Shared {
                featurizer: Some(featurizer.clone()),
                trained: [(FILE.to_owned(), Arc::new(trained))].into(),
                ..Shared::default()
            };
            let config = Algorithm::RouterR1(RouterR1Config {
                policy: RoundsBy::Trained,
                trained: Some(FILE.to_owned()),
                ..RouterR1Config::default()
            });
            let ModelRouter::Deliberate(router) = build(&config, "rounds", &shared).expect("in range") else {
                unreachable!("it asks before it decides")
            };
            let ids = catalogue.ids();
            let all: Vec<Replayed> = val
                .rows()
                .iter()
                .map(|row| replay(&*router, &catalogue, row, &ids))
                .collect();
            by_row
                .iter_mut()
                .zip(&all)
                .for_each(|(sum, r)| *sum += r.score / seeds as f64);
            by_seed.push((
                quality(&all),
                cost(&all),
                mean(all.iter().map(|r| r.calls as f64)),
            ));
        }
        let figure = |of: fn(&(f64, f64, f64)) -> f64| mean(by_seed.iter().map(of));
        let each: Vec<String> = by_seed.iter().map(|s| format!("{:.1}", s.0)).collect();
        println!(
            "  in rounds, cost weight {cost_weight}: {:.1} % ({}), {:.4} USD a thousand, {:.2} calls; against the best single {} points",
            figure(|s| s.0),
            each.join(" "),
            figure(|s| s.1),
            figure(|s| s.2),
            difference(&by_row, &single)
        );
    }
}
