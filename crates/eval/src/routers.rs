//! Routers scored on logged outcomes: trained on one part of a data set, judged on another, beside the baselines.
//!
//! The routers are the very objects that serve: each decides for every query of the test part among all models of the data set,
//! and is then told nothing.

mod judging;

use std::{collections::BTreeMap, time::Instant};

use fingerpost_core::{Candidate, Catalogue, CatalogueError, Context, Limits, Timestamp};
use fingerpost_models::{
    Features, Featurizer, Learned, LearnedConfig, Logged, OutcomeTable, Settings, TrainError, Trained,
    Training,
};
use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};
use serde::Serialize;
use thiserror::Error;

use self::judging::{Test, averaged};
use crate::{
    baseline::Baseline,
    dataset::{DataError, DataSet},
    metrics::{GapRecovered, Interval, cost_at},
};

/// What is compared.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The part that is trained on.
    pub train: String,
    /// The part that is judged on.
    pub test: String,
    /// What is trained, each under its name in the report.
    pub algorithms: Vec<(String, Settings)>,
    /// The rule of choice.
    pub serve: LearnedConfig,
    /// Seeds; figures are means over them.
    pub seeds: u64,
    /// Shares of the rows, 0 to 1, that the learned ones are trained on besides, for their learning curves.
    pub shares: Vec<f64>,
}

/// How routers did on a data set.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The data set.
    pub dataset: String,
    /// The part that was trained on.
    pub train: String,
    /// The part that was judged on.
    pub test: String,
    /// The encoder behind the features.
    pub encoder: String,
    /// Queries trained on.
    pub trained_on: usize,
    /// Queries judged on.
    pub queries: usize,
    /// The routers and baselines.
    pub rows: Vec<Row>,
}

/// How one router did.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its name.
    pub algorithm: String,
    /// Mean score of the models it chose, in percent.
    pub quality: f64,
    /// Mean cost of an answer of these in US dollars; null where costs are not known.
    pub cost_usd: Option<f64>,
    /// Share of the way from the best single model to the oracle; null where both are the same.
    pub gap_closed: Option<f64>,
    /// 95 % interval of the quality, in percent.
    pub ci95: Interval,
    /// By how much the quality falls short of the oracle's, in percent.
    pub regret: f64,
    /// 95 % interval of the regret.
    pub regret_ci95: Interval,
    /// Area under its curve of cost and quality, in percent (RouterBench); null for baselines and where costs are not known.
    pub aiq: Option<f64>,
    /// 95 % interval of that.
    pub aiq_ci95: Option<Interval>,
    /// The mean cost in US dollars at which its curve reaches the quality of the best single model; null where it never does.
    pub cost_at_equal_quality: Option<f64>,
    /// With two models: how well it spends calls of the better one, task by task (RouteLLM).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub recovered: BTreeMap<String, GapRecovered>,
    /// Its curve: mean cost in US dollars and quality in percent at several prices of quality.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<(f64, f64)>,
    /// Its learning curve, by rising number of rows; where one was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub learning: Vec<Learnt>,
    /// Seconds that a training took.
    pub train_seconds: f64,
    /// Microseconds that a decision took, without encoding.
    pub decide_us: f64,
}

/// How a router did that was trained on fewer rows: a point of its learning curve.
#[derive(Debug, Clone, Serialize)]
pub struct Learnt {
    /// Rows that it was trained on.
    pub rows: usize,
    /// As [`Row::quality`].
    pub quality: f64,
    /// As [`Row::aiq`].
    pub aiq: Option<f64>,
    /// As [`Row::recovered`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub recovered: BTreeMap<String, GapRecovered>,
}

/// Why routers could not be compared.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A training.
    #[error("{algorithm} could not be trained")]
    Train {
        /// Which.
        algorithm: String,
        /// Why not.
        source: TrainError,
    },
    /// The models.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

/// Hears how far it is; false stops it.
pub type Progress<'a> = &'a (dyn Fn(&str, usize, usize) -> bool + Sync);

/// What all routers are trained on and judged with.
struct Bench<'a> {
    data: &'a DataSet,
    featurizer: &'a Featurizer,
    training: Training<'a>,
    test: Test,
}

/// What came of trainings, a seed each.
#[derive(Default)]
struct Fitted {
    choices: Vec<Vec<usize>>,
    curves: Vec<Vec<(f64, f64)>>,
    /// Of the first seed: what was chosen at each price of quality.
    sweep: Vec<Vec<usize>>,
    recovered: Vec<BTreeMap<String, GapRecovered>>,
    /// Of one training, on average.
    train_seconds: f64,
    decide_seconds: f64,
}

// === impl Plan ===

impl Plan {
    /// Trains and judges.
    ///
    /// # Errors
    /// A part that is not there, a training that came to nothing.
    pub fn run(
        &self,
        data: &DataSet,
        featurizer: &Featurizer,
        progress: Progress<'_>,
    ) -> Result<Report, BenchError> {
        let (train, test) = (data.part(&self.train)?, data.part(&self.test)?);
        let failed = |algorithm: &str| {
            let algorithm = algorithm.to_owned();
            move |source| BenchError::Train { algorithm, source }
        };
        let watch = |what: &'static str, done: usize, of: usize| progress(what, done, of);
        let read = |table: &OutcomeTable| {
            fingerpost_models::features(table, featurizer, &watch).map_err(failed("features"))
        };
        let (train_features, features) = (read(&train)?, read(&test)?);
        let mut bench = Bench {
            data,
            featurizer,
            training: Training::new(&train, &train_features, 1, &watch).map_err(failed("features"))?,
            test: Test::new(test, features, &train),
        };
        let mut rows: Vec<Row> = Baseline::ALL
            .iter()
            .map(|b| self.baseline(*b, &train, &bench.test))
            .collect();
        for (number, (name, settings)) in self.algorithms.iter().enumerate() {
            if !progress(name, number, self.algorithms.len()) {
                return Err(failed(name)(TrainError::Stopped("comparing routers")));
            }
            rows.push(self.learned(name, settings, &mut bench, progress)?);
        }
        Ok(Report {
            dataset: data.name.clone(),
            train: self.train.clone(),
            test: self.test.clone(),
            encoder: featurizer.model().to_string(),
            trained_on: bench.training.len(),
            queries: bench.test.table.len(),
            rows,
        })
    }

    fn baseline(&self, baseline: Baseline, train: &OutcomeTable, test: &Test) -> Row {
        let choices = (1..=self.seeds.max(1)).map(|seed| {
            let mut fitted = baseline.fit(train, seed);
            test.table.rows().iter().map(|row| fitted.choose(row)).collect()
        });
        test.row(baseline.name().to_owned(), &choices.collect::<Vec<_>>())
    }

    fn learned(
        &self,
        name: &str,
        settings: &Settings,
        bench: &mut Bench<'_>,
        progress: Progress<'_>,
    ) -> Result<Row, BenchError> {
        let settings = settings.clone().with_cards(&bench.data.cards);
        let fitted = self.seeds_of(name, &settings, bench, 1.0)?;
        let mut row = bench.test.row(name.to_owned(), &fitted.choices);
        row.train_seconds = fitted.train_seconds;
        row.decide_us = fitted.decide_seconds / bench.test.table.len() as f64 * 1e6;
        row.aiq = bench.test.aiq(&fitted.curves);
        row.aiq_ci95 = row.aiq.and_then(|_| bench.test.aiq_interval(&fitted.sweep));
        if let Some(curve) = fitted.curves.first() {
            row.cost_at_equal_quality = cost_at(curve, bench.test.best_single);
            let percent = |(cost, quality): &(f64, f64)| (*cost, 100.0 * quality);
            row.curve = curve.iter().map(percent).collect();
        }
        row.recovered = averaged(&fitted.recovered);
        for (number, share) in self.shares.iter().enumerate() {
            if !progress(&format!("{name}, learning curve"), number, self.shares.len()) {
                return Err(BenchError::Train {
                    algorithm: name.to_owned(),
                    source: TrainError::Stopped("comparing routers"),
                });
            }
            row.learning
                .extend(self.learned_from(name, &settings, bench, *share)?);
        }
        Ok(row)
    }

    /// A point of the learning curve; none where so small a part is too little to train on.
    fn learned_from(
        &self,
        name: &str,
        settings: &Settings,
        bench: &mut Bench<'_>,
        share: f64,
    ) -> Result<Option<Learnt>, BenchError> {
        let fitted = match self.seeds_of(name, settings, bench, share) {
            Err(BenchError::Train {
                source: TrainError::TooLittle { .. },
                ..
            }) => return Ok(None),
            fitted => fitted?,
        };
        let row = bench.test.row(name.to_owned(), &fitted.choices);
        Ok(Some(Learnt {
            rows: part_of(&bench.training, share).len(),
            quality: row.quality,
            aiq: bench.test.aiq(&fitted.curves),
            recovered: averaged(&fitted.recovered),
        }))
    }

    /// Trains on a share of the rows and decides for the test part, once a seed.
    fn seeds_of(
        &self,
        name: &str,
        settings: &Settings,
        bench: &mut Bench<'_>,
        share: f64,
    ) -> Result<Fitted, BenchError> {
        let mut all = Fitted::default();
        let seeds = 1..=self.seeds.max(1);
        let count = seeds.clone().count() as f64;
        for seed in seeds {
            bench.training.seed = seed;
            bench.fit(name, settings, &self.serve, share, &mut all)?;
        }
        all.train_seconds /= count;
        all.decide_seconds /= count;
        Ok(all)
    }
}

// === impl Bench ===

impl Bench<'_> {
    /// Trains with the seed of the training, decides for the test part, and adds what came of it.
    fn fit(
        &self,
        name: &str,
        settings: &Settings,
        serve: &LearnedConfig,
        share: f64,
        fitted: &mut Fitted,
    ) -> Result<(), BenchError> {
        let failed = |source| BenchError::Train {
            algorithm: name.to_owned(),
            source,
        };
        let training = part_of(&self.training, share);
        let begun = Instant::now();
        let trained = Trained::train_on(settings, &training, self.featurizer).map_err(failed)?;
        fitted.train_seconds += begun.elapsed().as_secs_f64();
        let predictor = trained.predictor().map_err(failed)?;
        let router = Learned::new(
            serve,
            name.into(),
            settings.algorithm(),
            predictor.clone(),
            trained.costs.clone(),
            self.featurizer.clone(),
        )
        .map_err(|e| failed(e.into()))?;
        let catalogue = Catalogue::new(self.data.profiles.iter().cloned())?;
        let (ids, limits) = (catalogue.ids(), Limits::NONE);
        let mut rng = SmallRng::seed_from_u64(training.seed);
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        let queries = || self.test.table.rows().iter().zip(&self.test.features);
        let begun = Instant::now();
        let chosen = queries().map(|(row, features)| {
            let decision = router.route_features(features, row.text.len(), &ids, &mut cx);
            decision.map_or(0, |d| d.first().id.0 as usize)
        });
        fitted.choices.push(chosen.collect());
        fitted.decide_seconds += begun.elapsed().as_secs_f64();
        let estimates = self.test.estimates(&*predictor);
        if self.test.priced {
            let all: Vec<&Candidate> = catalogue.iter().collect();
            let expect = |(row, features): (&Logged, &Features)| -> Vec<f64> {
                let costs = trained.costs.expect(&all, features, row.text.len());
                costs.iter().map(|c| c.get()).collect()
            };
            let costs: Vec<Vec<f64>> = queries().map(expect).collect();
            let sweep = self.test.sweep(&estimates, &costs);
            let all: Vec<usize> = (0..self.test.table.len()).collect();
            fitted.curves.push(self.test.curve(&sweep, &all));
            if fitted.sweep.is_empty() {
                fitted.sweep = sweep;
            }
        }
        fitted.recovered.push(self.test.recovered(&estimates));
        Ok(())
    }
}

/// So large a share of the rows, drawn anew by each seed, each share a part of the larger ones.
fn part_of<'a>(training: &Training<'a>, share: f64) -> Training<'a> {
    let mut places: Vec<usize> = (0..training.len()).collect();
    places.shuffle(&mut SmallRng::seed_from_u64(training.seed));
    let mut drawn = vec![false; places.len()];
    let count = (share.clamp(0.0, 1.0) * places.len() as f64).round() as usize;
    places[..count].iter().for_each(|place| drawn[*place] = true);
    training.part(|place| drawn[place])
}
