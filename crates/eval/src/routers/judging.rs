//! The part that routers are judged on, and the figures of what they chose for it.

use std::collections::BTreeMap;

use fingerpost_core::Name;
use fingerpost_models::{Features, Logged, OutcomeTable, Predictor};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::Row;
use crate::{
    baseline,
    metrics::{GapRecovered, Interval, aiq, bootstrap, gap_closed, gap_recovered, mean, percentiles},
};

/// Resamples of a confidence interval.
const RESAMPLES: usize = 1_000;
/// The same of an area, each of which is a curve of its own.
const AREA_RESAMPLES: usize = 200;
/// Prices of quality that are tried to draw the curve of cost and quality, a decade in so many steps.
const STEPS_A_DECADE: i32 = 20;
/// Decades on either side of one answer of usual cost a point of quality.
const DECADES: i32 = 4;

/// The test part as it is judged on.
pub(super) struct Test {
    pub(super) table: OutcomeTable,
    pub(super) features: Vec<Features>,
    pub(super) best_single: f64,
    oracle: f64,
    /// Whether every cost is known.
    pub(super) priced: bool,
}

// === impl Test ===

impl Test {
    pub(super) fn new(table: OutcomeTable, features: Vec<Features>, train: &OutcomeTable) -> Self {
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
    pub(super) fn row(&self, algorithm: String, choices: &[Vec<usize>]) -> Row {
        let seeds = choices.len() as f64;
        let over_seeds = |of: &dyn Fn(&Logged, usize) -> f64| -> Vec<f64> {
            let rows = self.table.rows().iter().enumerate();
            rows.map(|(i, row)| choices.iter().map(|c| of(row, c[i])).sum::<f64>() / seeds)
                .collect()
        };
        let scores = over_seeds(&|row, m| f64::from(row.scores[m].unwrap_or(0.0)));
        let quality = mean(scores.iter().copied());
        let ci = bootstrap(&scores, RESAMPLES, 1);
        let regrets: Vec<f64> = self
            .table
            .rows()
            .iter()
            .zip(&scores)
            .map(|(row, score)| f64::from(row.best_score().unwrap_or(0.0)) - score)
            .collect();
        let regret_ci = bootstrap(&regrets, RESAMPLES, 1);
        let percent = |ci: Interval| Interval {
            low: 100.0 * ci.low,
            high: 100.0 * ci.high,
        };
        let cost = || mean(over_seeds(&|row, m| row.costs[m].unwrap_or(0.0)));
        Row {
            algorithm,
            quality: 100.0 * quality,
            cost_usd: self.priced.then(cost),
            gap_closed: finite(gap_closed(quality, self.best_single, self.oracle)),
            ci95: percent(ci),
            regret: 100.0 * mean(regrets),
            regret_ci95: percent(regret_ci),
            aiq: None,
            aiq_ci95: None,
            cost_at_equal_quality: None,
            recovered: BTreeMap::new(),
            curve: Vec::new(),
            learning: Vec::new(),
            train_seconds: 0.0,
            decide_us: 0.0,
        }
    }

    /// Expected quality of each model for each query; the mean of a query's known ones where one is not known.
    pub(super) fn estimates(&self, predictor: &dyn Predictor) -> Vec<Vec<f64>> {
        let models: Vec<&Name> = self.table.models().iter().collect();
        let mut out = Vec::new();
        let estimate = |features: &Features| {
            out.clear();
            predictor.estimate(features, &models, &mut out);
            out.iter().map(|e| e.map_or(0.0, |e| e.quality)).collect()
        };
        self.features.iter().map(estimate).collect()
    }

    /// What is chosen for each query at prices of quality from nothing to all that matters, a list a price.
    pub(super) fn sweep(&self, estimates: &[Vec<f64>], costs: &[Vec<f64>]) -> Vec<Vec<usize>> {
        let usual = mean(costs.iter().flatten().copied()).max(f64::MIN_POSITIVE);
        let prices = (-DECADES * STEPS_A_DECADE..=DECADES * STEPS_A_DECADE)
            .map(|step| 10_f64.powf(f64::from(step) / f64::from(STEPS_A_DECADE)) / usual);
        let pick = |per_dollar: f64, estimates: &[f64], costs: &[f64]| {
            let utility = |m: usize| estimates[m] - per_dollar * costs[m];
            let better = |best: usize, m: usize| if utility(m) > utility(best) { m } else { best };
            (0..estimates.len()).fold(0, better)
        };
        std::iter::once(0.0)
            .chain(prices)
            .map(|per_dollar| {
                let queries = estimates.iter().zip(costs);
                queries.map(|(e, c)| pick(per_dollar, e, c)).collect()
            })
            .collect()
    }

    /// Mean cost and quality of each list of choices over the queries in these places.
    pub(super) fn curve(&self, sweep: &[Vec<usize>], places: &[usize]) -> Vec<(f64, f64)> {
        let of = |choices: &Vec<usize>| {
            let (mut cost, mut quality, mut count) = (0.0, 0.0, 0.0);
            for &place in places {
                let (row, pick) = (&self.table.rows()[place], choices[place]);
                cost += row.costs[pick].unwrap_or(0.0);
                quality += f64::from(row.scores[pick].unwrap_or(0.0));
                count += 1.0;
            }
            (cost / count, quality / count)
        };
        sweep.iter().map(of).collect()
    }

    /// The 95 % interval of the area under the curve of these choices, in percent, over resampled queries.
    pub(super) fn aiq_interval(&self, sweep: &[Vec<usize>]) -> Option<Interval> {
        let mut rng = SmallRng::seed_from_u64(1);
        let count = self.table.len();
        let areas: Option<Vec<f64>> = (0..AREA_RESAMPLES)
            .map(|_| {
                let places: Vec<usize> = (0..count).map(|_| rng.random_range(0..count)).collect();
                self.aiq(&[self.curve(sweep, &places)])
            })
            .collect();
        areas.map(percentiles)
    }

    /// The area under curves of cost and quality between the cheapest and the dearest model, in percent, on average.
    pub(super) fn aiq(&self, curves: &[Vec<(f64, f64)>]) -> Option<f64> {
        let models = 0..self.table.models().len();
        let costs: Vec<f64> = models.filter_map(|m| self.table.mean_cost(m)).collect();
        let least = costs.iter().copied().fold(f64::INFINITY, f64::min);
        let most = costs.iter().copied().fold(0.0, f64::max);
        finite(100.0 * mean(curves.iter().map(|c| aiq(c, least, most))))
    }

    /// With two models: by task, how well the estimates rank queries by what the better model gains.
    pub(super) fn recovered(&self, estimates: &[Vec<f64>]) -> BTreeMap<String, GapRecovered> {
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

pub(super) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// The means over the seeds.
pub(super) fn averaged(seeds: &[BTreeMap<String, GapRecovered>]) -> BTreeMap<String, GapRecovered> {
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
