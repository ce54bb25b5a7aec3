//! Routers scored on logged outcomes: trained on one part of a data set, judged on another, beside the baselines.
//!
//! The routers are the very objects that serve: each decides for every query of the test part among all models of the data set,
//! and is then told nothing.

use std::{collections::BTreeMap, time::Instant};

use fingerpost_core::{Candidate, Catalogue, CatalogueError, Context, Limits, Name, Timestamp};
use fingerpost_models::{
    Features, Featurizer, Learned, LearnedConfig, Logged, OutcomeTable, Predictor, Settings, TrainError,
    Trained, Training,
};
use rand::{SeedableRng, rngs::SmallRng};
use serde::Serialize;
use thiserror::Error;

use crate::{
    baseline::{self, Baseline},
    dataset::{DataError, DataSet},
    metrics::{GapRecovered, Interval, aiq, bootstrap, gap_closed, gap_recovered, mean},
};

/// Resamples of a confidence interval.
const RESAMPLES: usize = 1_000;
/// Prices of quality that are tried to draw the curve of cost and quality, a decade in so many steps.
const STEPS_A_DECADE: i32 = 20;
/// Decades on either side of one answer of usual cost a point of quality.
const DECADES: i32 = 4;

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
    /// Area under its curve of cost and quality, in percent (RouterBench); null for baselines and where costs are not known.
    pub aiq: Option<f64>,
    /// With two models: how well it spends calls of the better one, task by task (RouteLLM).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub recovered: BTreeMap<String, GapRecovered>,
    /// Its curve: mean cost in US dollars and quality in percent at several prices of quality.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<(f64, f64)>,
    /// Seconds that a training took.
    pub train_seconds: f64,
    /// Microseconds that a decision took, without encoding.
    pub decide_us: f64,
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

/// The test part as it is judged on.
struct Test {
    table: OutcomeTable,
    features: Vec<Features>,
    best_single: f64,
    oracle: f64,
    /// Whether every cost is known.
    priced: bool,
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
        let mut training = Training::new(&train, &train_features, 1, &watch).map_err(failed("features"))?;
        let test = Test::new(test, features, &train);
        let mut rows: Vec<Row> = Baseline::ALL
            .iter()
            .map(|b| self.baseline(*b, &train, &test))
            .collect();
        for (number, (name, settings)) in self.algorithms.iter().enumerate() {
            if !progress(name, number, self.algorithms.len()) {
                return Err(failed(name)(TrainError::Stopped("comparing routers")));
            }
            rows.push(self.learned(name, settings, &mut training, data, &test, featurizer)?);
        }
        Ok(Report {
            dataset: data.name.clone(),
            train: self.train.clone(),
            test: self.test.clone(),
            encoder: featurizer.model().to_string(),
            queries: test.table.len(),
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
        training: &mut Training<'_>,
        data: &DataSet,
        test: &Test,
        featurizer: &Featurizer,
    ) -> Result<Row, BenchError> {
        let failed = |source| BenchError::Train {
            algorithm: name.to_owned(),
            source,
        };
        let catalogue = Catalogue::new(data.profiles.iter().cloned())?;
        let (ids, limits) = (catalogue.ids(), Limits::NONE);
        let (mut choices, mut train_seconds, mut decide_seconds) = (Vec::new(), 0.0, 0.0);
        let (mut curves, mut recovered) = (Vec::new(), Vec::new());
        for seed in 1..=self.seeds.max(1) {
            training.seed = seed;
            let begun = Instant::now();
            let trained = Trained::train_on(settings, training, featurizer).map_err(failed)?;
            train_seconds += begun.elapsed().as_secs_f64();
            let predictor = trained.predictor().map_err(failed)?;
            let router = Learned::new(
                &self.serve,
                name.into(),
                settings.algorithm(),
                predictor.clone(),
                trained.costs.clone(),
                featurizer.clone(),
            )
            .map_err(|e| failed(e.into()))?;
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
            let begun = Instant::now();
            let chosen = test
                .table
                .rows()
                .iter()
                .zip(&test.features)
                .map(|(row, features)| {
                    let decision = router.route_features(features, row.text.len(), &ids, &mut cx);
                    decision.map_or(0, |d| d.first().id.0 as usize)
                });
            choices.push(chosen.collect::<Vec<usize>>());
            decide_seconds += begun.elapsed().as_secs_f64();
            let estimates = test.estimates(&*predictor);
            if test.priced {
                let all: Vec<&Candidate> = catalogue.iter().collect();
                let expect = |(row, features): (&Logged, &Features)| -> Vec<f64> {
                    let costs = trained.costs.expect(&all, features, row.text.len());
                    costs.iter().map(|c| c.get()).collect()
                };
                let queries = test.table.rows().iter().zip(&test.features);
                let costs: Vec<Vec<f64>> = queries.map(expect).collect();
                curves.push(test.curve(&estimates, &costs));
            }
            recovered.push(test.recovered(&estimates));
        }
        let seeds = choices.len() as f64;
        let mut row = test.row(name.to_owned(), &choices);
        row.train_seconds = train_seconds / seeds;
        row.decide_us = decide_seconds / seeds / test.table.len() as f64 * 1e6;
        if let Some(curve) = curves.first() {
            let dear = |of: fn(f64, f64) -> f64, from: f64| {
                (0..test.table.models().len())
                    .filter_map(|m| test.table.mean_cost(m))
                    .fold(from, of)
            };
            let (least, most) = (dear(f64::min, f64::INFINITY), dear(f64::max, 0.0));
            row.aiq = finite(100.0 * mean(curves.iter().map(|c| aiq(c, least, most))));
            row.curve = curve
                .iter()
                .map(|(cost, quality)| (*cost, 100.0 * quality))
                .collect();
        }
        row.recovered = averaged(&recovered);
        Ok(row)
    }
}

// === impl Test ===

impl Test {
    fn new(table: OutcomeTable, features: Vec<Features>, train: &OutcomeTable) -> Self {
        let single = baseline::best(train);
        let score = |row: &Logged| f64::from(row.scores[single].unwrap_or(0.0));
        let priced = |row: &Logged| !row.costs.is_empty() && row.costs.iter().all(Option::is_some);
        Self {
            best_single: mean(table.rows().iter().map(score)),
            oracle: mean(
                table
                    .rows()
                    .iter()
                    .map(|r| f64::from(r.best_score().unwrap_or(0.0))),
            ),
            priced: table.rows().iter().all(priced),
            table,
            features,
        }
    }

    /// The figures of choices, a list a seed. A score or cost that is not known counts as 0.
    fn row(&self, algorithm: String, choices: &[Vec<usize>]) -> Row {
        let seeds = choices.len() as f64;
        let over_seeds = |of: &dyn Fn(&Logged, usize) -> f64| -> Vec<f64> {
            let rows = self.table.rows().iter().enumerate();
            rows.map(|(i, row)| choices.iter().map(|c| of(row, c[i])).sum::<f64>() / seeds)
                .collect()
        };
        let scores = over_seeds(&|row, m| f64::from(row.scores[m].unwrap_or(0.0)));
        let quality = mean(scores.iter().copied());
        let ci = bootstrap(&scores, RESAMPLES, 1);
        let cost = || mean(over_seeds(&|row, m| row.costs[m].unwrap_or(0.0)));
        Row {
            algorithm,
            quality: 100.0 * quality,
            cost_usd: self.priced.then(cost),
            gap_closed: finite(gap_closed(quality, self.best_single, self.oracle)),
            ci95: Interval {
                low: 100.0 * ci.low,
                high: 100.0 * ci.high,
            },
            aiq: None,
            recovered: BTreeMap::new(),
            curve: Vec::new(),
            train_seconds: 0.0,
            decide_us: 0.0,
        }
    }

    /// Expected quality of each model for each query; the mean of a query's known ones where one is not known.
    fn estimates(&self, predictor: &dyn Predictor) -> Vec<Vec<f64>> {
        let models: Vec<&Name> = self.table.models().iter().collect();
        let mut out = Vec::new();
        let estimate = |features: &Features| {
            out.clear();
            predictor.estimate(features, &models, &mut out);
            out.iter().map(|e| e.map_or(0.0, |e| e.quality)).collect()
        };
        self.features.iter().map(estimate).collect()
    }

    /// Mean cost and quality at prices of quality from nothing to all that matters.
    fn curve(&self, estimates: &[Vec<f64>], costs: &[Vec<f64>]) -> Vec<(f64, f64)> {
        let usual = mean(costs.iter().flatten().copied()).max(f64::MIN_POSITIVE);
        let prices = (-DECADES * STEPS_A_DECADE..=DECADES * STEPS_A_DECADE)
            .map(|step| 10_f64.powf(f64::from(step) / f64::from(STEPS_A_DECADE)) / usual);
        std::iter::once(0.0)
            .chain(prices)
            .map(|per_dollar| {
                let (mut cost, mut quality) = (0.0, 0.0);
                for ((row, estimates), costs) in self.table.rows().iter().zip(estimates).zip(costs) {
                    let utility = |m: usize| estimates[m] - per_dollar * costs[m];
                    let better = |best: usize, m: usize| if utility(m) > utility(best) { m } else { best };
                    let pick = (0..estimates.len()).fold(0, better);
                    cost += row.costs[pick].unwrap_or(0.0);
                    quality += f64::from(row.scores[pick].unwrap_or(0.0));
                }
                let count = self.table.len() as f64;
                (cost / count, quality / count)
            })
            .collect()
    }

    /// With two models: by task, how well the estimates rank queries by what the better model gains.
    fn recovered(&self, estimates: &[Vec<f64>]) -> BTreeMap<String, GapRecovered> {
        let mut recovered = BTreeMap::new();
        if self.table.models().len() != 2 {
            return recovered;
        }
        let mut by_task: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (i, row) in self.table.rows().iter().enumerate() {
            by_task
                .entry(row.task.as_deref().unwrap_or("all"))
                .or_default()
                .push(i);
        }
        let means = [0, 1].map(|m| self.table.mean_score(m).unwrap_or(0.0));
        let (weak, strong) = if means[0] <= means[1] { (0, 1) } else { (1, 0) };
        for (task, rows) in by_task {
            let score = |m: usize| -> Vec<f64> {
                rows.iter()
                    .map(|&i| f64::from(self.table.rows()[i].scores[m].unwrap_or(0.0)))
                    .collect()
            };
            let gain: Vec<f64> = rows
                .iter()
                .map(|&i| estimates[i][strong] - estimates[i][weak])
                .collect();
            if let Some(gap) = gap_recovered(&gain, &score(weak), &score(strong)) {
                recovered.insert(task.to_owned(), gap);
            }
        }
        recovered
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// The means over the seeds.
fn averaged(seeds: &[BTreeMap<String, GapRecovered>]) -> BTreeMap<String, GapRecovered> {
    let tasks = seeds.first().into_iter().flat_map(BTreeMap::keys);
    tasks
        .map(|task| {
            let of =
                |value: fn(&GapRecovered) -> f64| mean(seeds.iter().filter_map(|s| s.get(task)).map(value));
            let gap = GapRecovered {
                apgr: of(|g| g.apgr),
                cpt50: of(|g| g.cpt50),
                cpt80: of(|g| g.cpt80),
            };
            (task.clone(), gap)
        })
        .collect()
}
