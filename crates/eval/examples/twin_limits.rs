//! How far a trained router of tiers can come on a bank (card: `systems/17`): its learning curve, how much of a figure is the luck
//! of the runs, and what it has where it has seen the very runs that it is judged by.
//!
//! `cargo run --release -p fingerpost-eval --example twin_limits -- DIR [SEEDS] [PICTURE.svg]` with the folder of the bank. The curve is
//! drawn within the training part: each run is judged by a router trained on a share of the other folds' runs.

use std::{fs, path::Path};

use fingerpost_eval::twin::*;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use svg::{
    Document,
    node::element::{Line, Polyline, Text},
};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const FOLDS: usize = 5;
/// Twentieths of the other folds' runs that are learned from.
const SHARES: [usize; 6] = [4, 6, 8, 12, 16, 20];
const RESAMPLES: usize = 2000;

/// A point of the curve.
struct Point {
    runs: usize,
    /// Lowest, mean and highest Combined over the seeds.
    combined: [f64; 3],
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("which bank? give its folder")?;
    let seeds = arguments.next().map_or(Ok(5), |s| s.parse::<u64>())?;
    let bank = Bank::read(Path::new(&folder))?;
    let (train, dev) = (Split::Train.of(&bank), Split::Dev.of(&bank));

    println!("runs learned from, Combined: lowest, mean, highest of {seeds} seeds");
    let mut curve = Vec::new();
    for share in SHARES {
        let folded = (0..seeds)
            .map(|seed| Ok(combined(&train, &folded(&train, seed, share)?)))
            .collect::<Outcome<Vec<f64>>>()?;
        let point = Point {
            runs: train.runs().len() * (FOLDS - 1) / FOLDS * share / 20,
            combined: [
                folded.iter().copied().fold(f64::INFINITY, f64::min),
                folded.iter().sum::<f64>() / folded.len() as f64,
                folded.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ],
        };
        let [low, mean, high] = point.combined;
        println!("{:>4} {low:8.2} {mean:8.2} {high:8.2}", point.runs);
        curve.push(point);
    }

    println!("95 % of resamples of the runs");
    let folds = folded(&train, 0, 20)?;
    let judged =
        |learned_from: &Bank| -> Outcome<Vec<Prediction>> { Ok(predict(&learn(learned_from)?, &dev)) };
    for (name, of, said) in [
        ("training part, by folds", &train, folds),
        ("dev split, by the training part", &dev, judged(&train)?),
        ("dev split, by all runs and so by itself", &dev, judged(&bank)?),
        ("dev split, gold", &dev, Reference::Gold.predict(&dev)),
    ] {
        let (low, high) = interval(of, &said)?;
        println!("{name:<40} {:6.2}, {low:.2} to {high:.2}", combined(of, &said));
    }
    if let Some(picture) = arguments.next() {
        fs::write(picture, draw(&curve))?;
    }
    Ok(())
}

fn learn(bank: &Bank) -> Result<Trained, TrainError> {
    Trained::train(
        bank,
        &TrainedOptions::default(),
        &Prices::PUBLISHED,
        &BytesOverFour,
    )
}

fn combined(bank: &Bank, said: &[Prediction]) -> f64 {
    Scorer::new(bank, &Prices::PUBLISHED, &BytesOverFour)
        .report(said)
        .scores
        .combined
}

/// Predictions for each run by a router that has learned from so many twentieths of the other folds' runs.
fn folded(bank: &Bank, seed: u64, share: usize) -> Outcome<Vec<Prediction>> {
    let fold_of = folds(bank, FOLDS, seed + (1 << 32));
    let lot_of = folds(bank, 20, seed + (1 << 33));
    let name = |run: &Vec<usize>| bank.rows()[run[0]].instance_id.clone();
    let mut said = vec![Err(RouteError::new("the row is in no fold")); bank.rows().len()];
    for fold in 0..FOLDS {
        let runs = bank.runs().iter().zip(fold_of.iter().zip(&lot_of));
        let kept: Vec<String> = runs
            .filter(|(_, (of, lot))| **of != fold && **lot < share)
            .map(|(run, _)| name(run))
            .collect();
        let router = learn(&bank.part(|instance| kept.iter().any(|k| k == instance)))?;
        let all = predict(&router, bank);
        for (run, _) in bank.runs().iter().zip(&fold_of).filter(|(_, of)| **of == fold) {
            for &at in run {
                said[at] = all[at].clone();
            }
        }
    }
    Ok(said)
}

/// The middle 95 % of Combined over resamples of the runs.
fn interval(bank: &Bank, said: &[Prediction]) -> Outcome<(f64, f64)> {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut figures = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let (mut rows, mut of_rows) = (Vec::new(), Vec::new());
        for copy in 0..bank.runs().len() {
            for &at in &bank.runs()[rng.random_range(0..bank.runs().len())] {
                let mut row = bank.rows()[at].clone();
                row.instance_id = format!("{copy}");
                rows.push(row);
                of_rows.push(said[at].clone());
            }
        }
        figures.push(combined(&Bank::new(rows)?, &of_rows));
    }
    figures.sort_by(f64::total_cmp);
    Ok((figures[RESAMPLES / 40], figures[RESAMPLES - RESAMPLES / 40 - 1]))
}

/// Runs across, Combined upwards: the mean, and thinly the lowest and the highest of the seeds.
fn draw(curve: &[Point]) -> String {
    const LOW: f64 = 74.0;
    const HIGH: f64 = 94.0;
    let most = curve.iter().map(|p| p.runs).max().unwrap_or(1) as f64;
    let x = |runs: usize| 50.0 + 480.0 * runs as f64 / most;
    let y = |combined: f64| 290.0 - 260.0 * (combined - LOW) / (HIGH - LOW);
    let label = |text: String, x: f64, y: f64| {
        Text::new(text)
            .set("x", x)
            .set("y", y)
            .set("font-size", 12)
            .set("font-family", "sans-serif")
    };
    let title =
        "Combined of the trained router over runs learned from (mean, lowest and highest of the seeds)";
    let mut picture =
        Document::new()
            .set("viewBox", (0, 0, 620, 330))
            .add(label(title.to_owned(), 20.0, 18.0));
    for tick in [75, 80, 85, 90] {
        let at = y(f64::from(tick));
        let line = Line::new()
            .set("x1", 50)
            .set("x2", 530)
            .set("y1", at)
            .set("y2", at);
        picture = picture
            .add(line.set("stroke", if tick == 85 { "#c33" } else { "#ccc" }))
            .add(label(tick.to_string(), 20.0, at + 4.0));
    }
    for (place, width) in [(0, 0.7), (1, 2.0), (2, 0.7)] {
        let corners: Vec<String> = curve
            .iter()
            .map(|p| format!("{:.1},{:.1}", x(p.runs), y(p.combined[place])))
            .collect();
        let line = Polyline::new()
            .set("points", corners.join(" "))
            .set("fill", "none");
        picture = picture.add(line.set("stroke", "#246").set("stroke-width", width));
    }
    for point in curve {
        picture = picture.add(label(point.runs.to_string(), x(point.runs) - 8.0, 310.0));
    }
    picture.to_string()
}
