//! The model stage of MoMA (card: `systems/31`) on logged outcomes: does the sweep of its weight beat mixtures of single models, a
//! mixture of experts a single head of its size, five classes two at small data?
//!
//! `cargo run --release -p fingerpost-eval --example moma -- DIR [SEEDS]` with the folder of a data set; trains on its `train` part,
//! judges on `val`. AIQ is the area under the hull of (cost, quality) between the cheapest and the dearest single model, in
//! percent. Where an answer costs what it costs on average, the rule of choice is the product's own (`pareto`).

use std::{path::Path, sync::Arc};

use fingerpost_core::{Catalogue, Context, Limits, Timestamp};
use fingerpost_encode::StaticEncoder;
use fingerpost_eval::{
    DataSet,
    metrics::{aiq, mean},
};
use fingerpost_models::{
    Choice, Classes, FACTS, Features, Featurizer, Learned, LearnedConfig, MomaSettings, OutcomeTable,
    Settings, Trained, Training, features,
};
use rand::{SeedableRng, rngs::SmallRng};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Weights of quality that draw the curve.
const STEPS: usize = 40;

/// The parts of a data set with their features.
struct Parts {
    data: DataSet,
    train: OutcomeTable,
    train_features: Vec<Features>,
    test: OutcomeTable,
    test_features: Vec<Features>,
    featurizer: Featurizer,
}

/// Figures of one way of training, means over the seeds.
struct Row {
    name: String,
    best: f64,
    aiq: f64,
    above_hull: f64,
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("which data set? give its folder")?;
    let seeds = arguments.next().map_or(Ok(5), |s| s.parse::<u64>())?;
    let parts = Parts::open(Path::new(&folder))?;
    println!(
        "{}: {} rows to train on, {} to judge on, {} models, {seeds} seeds",
        parts.data.name,
        parts.train.len(),
        parts.test.len(),
        parts.test.models().len()
    );
    let singles = parts.singles();
    let range = cost_range(&singles);
    let hull = 100.0 * aiq(&singles, range.0, range.1);
    println!("hull of single models: AIQ {hull:.2}");
    println!("{:<44} {:>8} {:>8} {:>8}", "", "quality", "AIQ", "− hull");
    for row in compared(&parts, seeds, hull)? {
        println!(
            "{:<44} {:>8.2} {:>8.2} {:>+8.2}",
            row.name, row.best, row.aiq, row.above_hull
        );
    }
    ends(&parts)
}

/// Every way of training, on all rows and on a part of them.
fn compared(parts: &Parts, seeds: u64, hull: f64) -> Outcome<Vec<Row>> {
    let experts = MomaSettings::default();
    let single = MomaSettings {
        experts: 1,
        hidden: equal_size(&experts, parts),
        ..experts.clone()
    };
    let two = MomaSettings {
        classes: Classes::Two,
        ..experts
    };
    let top = MomaSettings { top: 2, ..experts };
    let mut rows = Vec::new();
    for (share, of) in [
        (1, "all rows"),
        (4, "a quarter of the rows"),
        (10, "a tenth of the rows"),
    ] {
        for (name, settings) in [
            ("four experts, five classes", &experts),
            ("single head of equal size, five classes", &single),
            ("four experts, two classes", &two),
            ("the best two of four experts, five classes", &top),
        ] {
            let mut row = parts.figures(settings, seeds, share)?;
            row.above_hull = row.aiq - hull;
            row.name = name.to_owned();
            if name.starts_with("four experts, five") {
                row.name = format!("{name} ({of})");
            }
            rows.push(row);
        }
    }
    Ok(rows)
}

/// Numbers of the hidden layer that give a single head as many weights as the mixture has.
fn equal_size(mixture: &MomaSettings, parts: &Parts) -> usize {
    let (inputs, models) = (parts.featurizer.dims() + FACTS + 128, parts.test.models().len());
    let weights =
        |experts: usize, hidden: usize| (inputs + 1) * hidden + (hidden + 1) * (experts + experts * models);
    let wanted = weights(mixture.experts, mixture.hidden);
    (mixture.hidden..)
        .find(|h| weights(1, *h) >= wanted)
        .unwrap_or(mixture.hidden)
}

/// The two ends of the weight: 1 is the highest estimate, 0 the cheapest.
fn ends(parts: &Parts) -> Outcome<()> {
    let training = parts.training(1, 1)?;
    let trained = Trained::train_on(
        &Settings::Moma(MomaSettings::default()),
        &training,
        &parts.featurizer,
    )?;
    let picks = |choose| parts.picks(&trained, choose);
    let best = picks(Choice::Best)? == picks(Choice::Pareto { quality_weight: 1.0 })?;
    let cheapest =
        picks(Choice::Weighted { per_dollar: 1e12 })? == picks(Choice::Pareto { quality_weight: 0.0 })?;
    println!("weight 1 picks the highest estimate for every query: {best}");
    println!("weight 0 picks the cheapest model for every query: {cheapest}");
    Ok(())
}

// === impl Parts ===

impl Parts {
    fn open(folder: &Path) -> Outcome<Self> {
        let data = DataSet::open(folder)?;
        let featurizer = Featurizer::new(Arc::new(StaticEncoder::bundled()));
        let (train, test) = (data.part("train")?, data.part("val")?);
        let watch = |_: &'static str, _: usize, _: usize| true;
        Ok(Self {
            train_features: features(&train, &featurizer, &watch)?,
            test_features: features(&test, &featurizer, &watch)?,
            data,
            train,
            test,
            featurizer,
        })
    }

    /// One row in `share` of the training part, another one in turn with the seed.
    fn training(&self, seed: u64, share: usize) -> Outcome<Training<'_>> {
        let all = Training::new(&self.train, &self.train_features, seed, &|_, _, _| true)?;
        Ok(all.part(|place| place % share == seed as usize % share))
    }

    /// Mean cost and quality of each single model.
    fn singles(&self) -> Vec<(f64, f64)> {
        let of = |m| Some((self.test.mean_cost(m)?, self.test.mean_score(m)?));
        (0..self.test.models().len()).filter_map(of).collect()
    }

    fn figures(&self, settings: &MomaSettings, seeds: u64, share: usize) -> Outcome<Row> {
        let range = cost_range(&self.singles());
        let (mut best, mut areas) = (Vec::new(), Vec::new());
        for seed in 1..=seeds {
            let training = self.training(seed, share)?;
            let trained = Trained::train_on(&Settings::Moma(settings.clone()), &training, &self.featurizer)?;
            let mut curve = Vec::new();
            for step in 0..=STEPS {
                let quality_weight = step as f64 / STEPS as f64;
                curve.push(self.judge(&self.picks(&trained, Choice::Pareto { quality_weight })?));
            }
            best.push(curve.last().map_or(0.0, |c| c.1));
            areas.push(aiq(&curve, range.0, range.1));
        }
        Ok(Row {
            name: String::new(),
            best: 100.0 * mean(best),
            aiq: 100.0 * mean(areas),
            above_hull: 0.0,
        })
    }

    /// The column picked for each row of the test part.
    fn picks(&self, trained: &Trained, choose: Choice) -> Outcome<Vec<usize>> {
        let catalogue = Catalogue::new(self.data.profiles.iter().cloned())?;
        let (ids, limits, mut rng) = (catalogue.ids(), Limits::NONE, SmallRng::seed_from_u64(1));
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        let config = LearnedConfig {
            choose,
            ..LearnedConfig::default()
        };
        let router = Learned::new(
            &config,
            "moma".into(),
            "moma",
            trained.predictor()?,
            trained.costs.clone(),
            self.featurizer.clone(),
        )?;
        let rows = self.test.rows().iter().zip(&self.test_features);
        rows.map(|(row, features)| {
            let decision = router.route_features(features, row.text.len(), &ids, &mut cx)?;
            Ok(decision.first().id.0 as usize)
        })
        .collect()
    }

    /// Mean cost and quality of picks.
    fn judge(&self, picks: &[usize]) -> (f64, f64) {
        let rows = || self.test.rows().iter().zip(picks);
        let cost = mean(rows().map(|(row, pick)| row.costs.get(*pick).copied().flatten().unwrap_or(0.0)));
        (
            cost,
            mean(rows().map(|(row, pick)| f64::from(row.scores[*pick].unwrap_or(0.0)))),
        )
    }
}

/// What the cheapest and the dearest single model cost.
fn cost_range(singles: &[(f64, f64)]) -> (f64, f64) {
    let costs = singles.iter().map(|s| s.0);
    costs.fold((f64::INFINITY, 0.0), |(low, high), c| {
        (f64::min(low, c), f64::max(high, c))
    })
}
