//! What a model's profile should hold, shown on the data set `routeprofile8`: every way to make profiles with every router that
//! reads them, with all models known and with one that no preference names.
//!
//! ```text
//! cargo run --release -p fingerpost-eval --example route_profile -- FOLDER [table|relations|all] [SEEDS] [READER]
//! ```
//!
//! Trained on the preferences of the folder, less the queries that are tested on; judged on logged outcomes.

mod data;
mod relations;

use std::{error::Error, path::PathBuf, sync::Arc};

use data::{Data, Read};
use fingerpost_core::Name;
use fingerpost_encode::StaticEncoder;
use fingerpost_models::{
    Featurizer, Learning, Organisation, ProfileSettings, Reader, Representation, Settings, Trained, Training,
};

const READERS: [(Reader, &str); 3] = [
    (Reader::Sim, "sim"),
    (Reader::TwoTower, "two_tower"),
    (Reader::Graph, "graph"),
];

/// Scores of what was chosen, a query each, and when the new model was.
struct Run {
    /// Mean over the seeds.
    scores: Vec<f64>,
    /// Share of the best quality obtained by the new model where it is among the best and not all are alike.
    cold: f64,
}

struct Bench<'a> {
    data: &'a Data,
    featurizer: &'a Featurizer,
    seeds: u64,
}

impl Bench<'_> {
    /// Trains on `train` with every seed and judges on all outcomes.
    fn run(&self, settings: &ProfileSettings, train: &Read) -> Result<Run, Box<dyn Error>> {
        let models: Vec<&Name> = self.data.models.iter().collect();
        let new = self.data.new_model();
        let test = &self.data.both;
        let mut scores = vec![0.0; test.table.len()];
        let (mut obtained, mut possible) = (0.0, 0.0);
        for seed in 1..=self.seeds {
            let training = Training::new(&train.table, &train.features, seed, &|_, _, _| true)?;
            let settings = Settings::RouteProfile(settings.clone());
            let trained = Trained::train_on(&settings, &training, self.featurizer)?;
            let predictor = trained.predictor()?;
            let mut out = Vec::new();
            for (place, (row, features)) in test.table.rows().iter().zip(&test.features).enumerate() {
                predictor.estimate(features, &models, &mut out);
                let quality = |m: usize| out[m].map_or(f64::NEG_INFINITY, |e| e.quality);
                let better = |best: usize, m: usize| if quality(m) > quality(best) { m } else { best };
                let pick = (0..models.len()).fold(0, better);
                let score = |m: usize| f64::from(row.scores[m].unwrap_or(0.0));
                scores[place] += score(pick) / self.seeds as f64;
                let best = (0..models.len()).map(score).fold(0.0, f64::max);
                let alike = (0..models.len()).all(|m| score(m) >= best);
                if score(new) >= best && !alike {
                    possible += best;
                    obtained += if pick == new { best } else { 0.0 };
                }
            }
        }
        let cold = obtained / possible;
        Ok(Run { scores, cold })
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Mean difference with its standard error, over pairs.
fn paired(a: &[f64], b: &[f64]) -> (f64, f64) {
    let differences: Vec<f64> = a.iter().zip(b).map(|(x, y)| x - y).collect();
    let mean = mean(&differences);
    let n = differences.len() as f64;
    let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// What always taking one model scores.
fn always(data: &Data, model: usize) -> Vec<f64> {
    let rows = data.both.table.rows().iter();
    rows.map(|row| f64::from(row.scores[model].unwrap_or(0.0)))
        .collect()
}

/// The values of the val part.
fn val(data: &Data, values: &[f64]) -> Vec<f64> {
    let marked = values.iter().zip(&data.val);
    marked.filter(|(_, val)| **val).map(|(v, _)| *v).collect()
}

/// The rows of the table: the settings with a name.
fn ways(data: &Data) -> Vec<(String, ProfileSettings)> {
    use {Learning::*, Organisation::*, Representation::*};
    let settings = |organisation, representation, hops, learning| ProfileSettings {
        organisation,
        representation,
        hops,
        learning,
        cards: data.cards.clone(),
        ..ProfileSettings::default()
    };
    let mut ways = vec![
        ("flat index".to_owned(), settings(Flat, Index, 0, Frozen)),
        ("flat text".to_owned(), settings(Flat, Text, 0, Frozen)),
        ("flat vector".to_owned(), settings(Flat, Vector, 0, Frozen)),
        ("flat scores".to_owned(), settings(Flat, Scores, 0, Frozen)),
    ];
    let structured = [
        ("text", Text, Frozen, 2),
        ("vector frozen", Vector, Frozen, 4),
        ("vector masked", Vector, Masked, 4),
        ("scores", Scores, Frozen, 2),
    ];
    for (name, representation, learning, most) in structured {
        for hops in 1..=most {
            let settings = settings(Structured, representation, hops, learning);
            ways.push((format!("structured {name} {hops}"), settings));
        }
    }
    ways
}

fn print_table(bench: &Bench<'_>, readers: &[(Reader, &str)]) -> Result<(), Box<dyn Error>> {
    let data = bench.data;
    let of = data.val.iter().filter(|v| **v).count();
    println!(
        "Mean score over {} outcomes, {of} of them val; new: {} in no preference.",
        data.val.len(),
        data::NEW
    );
    let head = |(_, n): &(Reader, &str)| format!("{n} | {n} val | {n} new | {n} new, val | {n} cold");
    println!(
        "| profile | {} |",
        readers.iter().map(head).collect::<Vec<String>>().join(" | ")
    );
    for (name, settings) in ways(data) {
        let mut cells = Vec::new();
        for (router, _) in readers {
            let settings = ProfileSettings {
                router: *router,
                ..settings.clone()
            };
            let all = bench.run(&settings, &data.standard)?;
            let new = bench.run(&settings, &data.without)?;
            cells.push(format!(
                "{:.3} | {:.3} | {:.3} | {:.3} | {:.2}",
                mean(&all.scores),
                mean(&val(data, &all.scores)),
                mean(&new.scores),
                mean(&val(data, &new.scores)),
                new.cold
            ));
        }
        println!("| {name} | {} |", cells.join(" | "));
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map(PathBuf::from).ok_or("which folder?")?;
    let what = arguments.next().unwrap_or_else(|| "all".to_owned());
    let seeds = arguments.next().map_or(Ok(5), |s| s.parse())?;
    let reader = arguments.next();
    let featurizer = Featurizer::new(Arc::new(StaticEncoder::bundled()));
    let data = Data::open(&folder, &featurizer)?;
    let bench = Bench {
        data: &data,
        featurizer: &featurizer,
        seeds,
    };
    for (model, name) in data.models.iter().enumerate() {
        let scores = always(&data, model);
        println!(
            "always {name}: {:.3}, val {:.3}",
            mean(&scores),
            mean(&val(&data, &scores))
        );
    }
    if what == "relations" || what == "all" {
        relations::print(&bench)?;
    }
    if what == "table" || what == "all" {
        let asked = |(_, name): &(Reader, &str)| reader.as_ref().is_none_or(|r| r == name);
        let readers: Vec<(Reader, &str)> = READERS.into_iter().filter(asked).collect();
        print_table(&bench, &readers)?;
    }
    Ok(())
}
