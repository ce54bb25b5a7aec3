//! What confidences and difficulties are worth: success probabilities, the threshold of the probe, whether it tells anything.
//!
//! Success of a model is regressed on the difficulty and the logit of the probe's confidence (ridge logistic regression by Newton steps); with
//! `isotonic` a monotone step function over that index replaces the sigmoid, so that only the order must be right. Warm and cold
//! requests and classes of 100 samples and more have curves of their own.
//!
//! The threshold is the lowest whose accepted set reaches `tau` by a one-sided 90 % bound. A success of the probed model is known
//! only where its answer was served, so the accepted set is estimated by bins of confidence: how many probes fall into a bin is
//! known of all of them, how many succeed of those that were served (below the threshold by exploration alone); for the same reason a curve over difficulty alone takes what the confidence lets expect for what was not seen. The area under the
//! ROC curve weighs its samples likewise.

use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::predictor::Columns;

/// A class has curves and a threshold of its own from so many samples on (the card's figure).
const CLASS_SAMPLES: usize = 100;
/// Most bins of confidence.
const BINS: usize = 12;
/// Standard deviations of a one-sided bound of 90 %.
const BOUND: f64 = 1.28;

/// Settings of the calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CalibrationConfig {
    /// How probabilities are fitted. Default `isotonic`.
    pub method: Method,
    /// They are fitted anew after so many outcomes, 1 and more. Default 200.
    pub refit_every: usize,
    /// Outcomes from which a curve or a threshold is believed, 2 and more. Default 50.
    pub min_samples: usize,
}

/// How success probabilities are fitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A monotone step function over the logistic index.
    #[default]
    Isotonic,
    /// The logistic function itself.
    Logistic,
}

impl Default for CalibrationConfig {
    fn default() -> Self {
        Self {
            method: Method::Isotonic,
            refit_every: 200,
            min_samples: 50,
        }
    }
}

/// One outcome.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Sample {
    /// Whose answer it was, and who was probed, by column.
    pub(super) model: u16,
    pub(super) probed: Option<u16>,
    pub(super) class: u16,
    pub(super) warm: bool,
    pub(super) unclear: bool,
    pub(super) difficulty: f32,
    /// Of the probed model's answer, where it gave log-probabilities.
    pub(super) confidence: Option<f32>,
    pub(super) success: bool,
}

/// What was made of the samples so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Calibrated {
    curves: FxHashMap<Key, Curve>,
    bars: FxHashMap<Group, Bar>,
    /// Whose confidence it is about.
    prober: Option<u16>,
    /// Area under the ROC curve of the probe's confidence.
    pub(super) auroc: Option<f64>,
    /// Whether most probes came back without log-probabilities.
    pub(super) silent: bool,
}

/// Of whom: a class or all, warm, cold or both.
type Group = (Option<u16>, Option<bool>);
/// A model, a group, and whether the confidence is known.
type Key = (u16, Group, bool);

/// Which confidence suffices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bar {
    /// The lowest that does; infinity where none does.
    pub(super) threshold: f64,
    /// Share of probes that reach it.
    pub(super) accepted: f64,
}

/// Success probability over (difficulty, logit of confidence).
#[derive(Debug, Clone)]
struct Curve {
    center: [f64; 2],
    scale: [f64; 2],
    weights: [f64; 3],
    /// Index and probability of each block, ascending; empty for the logistic function itself.
    blocks: Vec<(f64, f64)>,
}

// === impl Calibrated ===

impl Calibrated {
    pub(super) fn fit(samples: &[Sample], config: &CalibrationConfig, tau: f64) -> Self {
        let mut calibrated = Self {
            prober: most_probed(samples),
            ..Self::default()
        };
        for group in groups(samples) {
            calibrated.fit_group(samples, group, config, tau);
        }
        let probes = || samples.iter().filter(|s| s.probed.is_some());
        let silent = probes().filter(|s| s.confidence.is_none()).count();
        calibrated.silent = silent > 0 && 2 * silent > probes().count();
        let bins = calibrated.bins(samples, (None, None));
        if bins.iter().map(|b| b.served).sum::<usize>() >= config.min_samples {
            calibrated.auroc = auroc(&calibrated.weighted(samples, &bins));
        }
        calibrated
    }

    fn fit_group(&mut self, samples: &[Sample], group: Group, config: &CalibrationConfig, tau: f64) {
        let least = if group.0.is_some() {
            CLASS_SAMPLES.max(config.min_samples)
        } else {
            config.min_samples
        };
        let members = || samples.iter().filter(|s| is_of(s, group));
        let difficulty = |s: &Sample| f64::from(s.difficulty);
        let outcome = |s: &Sample| f64::from(u8::from(s.success));
        for model in models(samples) {
            let told = |s: &Sample| Some([difficulty(s), logit(self.confidence(s)?)]);
            let own = |s: &&Sample| s.model == model;
            let rows: Vec<([f64; 2], f64)> = members()
                .filter(own)
                .filter_map(|s| Some((told(s)?, outcome(s))))
                .collect();
            let curve = (rows.len() >= least).then(|| Curve::fit(&rows, config.method));
            // Who answers depends on the confidence, so those that a model answered are no fair sample of its successes: where it
            // did not, what the confidence lets expect of it takes the place.
            let expected = |s: &Sample| match (&curve, told(s)) {
                (Some(curve), Some(at)) if s.model != model => Some(curve.at(at)),
                _ => (s.model == model).then(|| outcome(s)),
            };
            let rows: Vec<([f64; 2], f64)> = members()
                .filter_map(|s| Some(([difficulty(s), 0.0], expected(s)?)))
                .collect();
            if rows.len() >= least {
                let curve = Curve::fit(&rows, config.method);
                self.curves.insert((model, group, false), curve);
            }
            if let Some(curve) = curve {
                self.curves.insert((model, group, true), curve);
            }
        }
        let bins = self.bins(samples, group);
        if bins.iter().map(|b| b.served).sum::<usize>() >= least {
            self.bars.insert(group, Bar::of(&bins, tau));
        }
    }

    fn confidence(&self, sample: &Sample) -> Option<f64> {
        (sample.probed == self.prober)
            .then_some(sample.confidence)?
            .map(f64::from)
    }

    /// Unclear actions with a confidence, in bins of equally many.
    fn bins(&self, samples: &[Sample], group: Group) -> Vec<Bin> {
        let mut probes: Vec<(f64, Option<bool>)> = samples
            .iter()
            .filter(|s| s.unclear && is_of(s, group))
            .filter_map(|s| {
                let served = (Some(s.model) == s.probed).then_some(s.success);
                Some((self.confidence(s)?, served))
            })
            .collect();
        probes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let size = probes.len().div_ceil(BINS).max(10);
        let bin = |chunk: &[(f64, Option<bool>)]| Bin {
            from: chunk.first().map_or(0.0, |c| c.0),
            share: chunk.len() as f64 / probes.len() as f64,
            served: chunk.iter().filter(|c| c.1.is_some()).count(),
            good: chunk.iter().filter(|c| c.1 == Some(true)).count(),
        };
        probes.chunks(size).map(bin).collect()
    }

    /// Confidence, success and weight of every probe whose answer was served.
    fn weighted(&self, samples: &[Sample], bins: &[Bin]) -> Vec<(f64, bool, f64)> {
        let weigh = |s: &Sample| {
            let confidence = self
                .confidence(s)
                .filter(|_| s.unclear && Some(s.model) == s.probed)?;
            let bin = &bins[bins.partition_point(|b| b.from <= confidence).saturating_sub(1)];
            Some((confidence, s.success, bin.share / bin.served.max(1) as f64))
        };
        samples.iter().filter_map(weigh).collect()
    }

    /// How probably `model` succeeds; `None` where too little is known of it.
    pub(super) fn success(
        &self,
        model: u16,
        class: Option<u16>,
        warm: bool,
        difficulty: f64,
        confidence: Option<f64>,
    ) -> Option<f64> {
        let at = [difficulty, confidence.map_or(0.0, logit)];
        let find = |known| ladder(class, warm).find_map(|group| self.curves.get(&(model, group, known)));
        let curve = if confidence.is_some() {
            find(true).map(|c| c.at(at)).or_else(|| Some(find(false)?.at(at)))
        } else {
            find(false).map(|c| c.at(at))
        };
        curve.filter(|p| p.is_finite())
    }

    /// Which confidence of `prober` suffices; `None` where too little is known of it.
    pub(super) fn bar(&self, prober: u16, class: Option<u16>, warm: bool) -> Option<Bar> {
        (self.prober == Some(prober)).then_some(())?;
        ladder(class, warm).find_map(|group| self.bars.get(&group).copied())
    }
}

/// From the group of a request to that of all.
fn ladder(class: Option<u16>, warm: bool) -> impl Iterator<Item = Group> {
    let own = class.map(|c| (Some(c), Some(warm)));
    own.into_iter().chain([(None, Some(warm)), (None, None)])
}

fn groups(samples: &[Sample]) -> Vec<Group> {
    let mut classes: Vec<u16> = samples.iter().map(|s| s.class).collect();
    classes.sort_unstable();
    classes.dedup();
    let classes = classes.into_iter().map(Some).chain([None]);
    classes
        .flat_map(|c| [(c, Some(false)), (c, Some(true))])
        .chain([(None, None)])
        .collect()
}

fn models(samples: &[Sample]) -> Vec<u16> {
    let mut models: Vec<u16> = samples.iter().map(|s| s.model).collect();
    models.sort_unstable();
    models.dedup();
    models
}

fn is_of(sample: &Sample, (class, warm): Group) -> bool {
    class.is_none_or(|c| sample.class == c) && warm.is_none_or(|w| sample.warm == w)
}

fn most_probed(samples: &[Sample]) -> Option<u16> {
    let mut counts: FxHashMap<u16, usize> = FxHashMap::default();
    samples
        .iter()
        .filter_map(|s| s.probed)
        .for_each(|p| *counts.entry(p).or_default() += 1);
    counts
        .into_iter()
        .max_by_key(|(model, count)| (*count, u16::MAX - model))
        .map(|(model, _)| model)
}

/// Of the probes with about the same confidence: how many there are, how many were served, how many of those were good.
#[derive(Debug, Clone, PartialEq)]
struct Bin {
    from: f64,
    share: f64,
    served: usize,
    good: usize,
}

// === impl Bar ===

impl Bar {
    /// From the highest bin down, as far as something of each is known.
    fn of(bins: &[Bin], tau: f64) -> Self {
        let mut bar = Self {
            threshold: f64::INFINITY,
            accepted: 0.0,
        };
        let (mut share, mut good, mut squares) = (0.0, 0.0, 0.0);
        for bin in bins.iter().rev().take_while(|b| b.served > 0) {
            let served = bin.served as f64;
            share += bin.share;
            good += bin.share * bin.good as f64 / served;
            squares += bin.share.powi(2) / served;
            // So many samples would say as much if all bins had been served alike.
            if wilson(good / share, share * share / squares) >= tau {
                bar = Self {
                    threshold: bin.from,
                    accepted: share,
                };
            }
        }
        bar
    }
}

/// The lower end of Wilson's interval for a rate seen in so many samples.
fn wilson(rate: f64, samples: f64) -> f64 {
    let z2 = BOUND * BOUND / samples;
    let spread = BOUND
        * (rate * (1.0 - rate) / samples + z2 / (4.0 * samples))
            .max(0.0)
            .sqrt();
    (rate + z2 / 2.0 - spread) / (1.0 + z2)
}

// === impl Curve ===

impl Curve {
    fn fit(rows: &[([f64; 2], f64)], method: Method) -> Self {
        let n = rows.len() as f64;
        let mean = |i: usize| rows.iter().map(|r| r.0[i]).sum::<f64>() / n;
        let center = [mean(0), mean(1)];
        let spread = |i: usize| {
            let square = rows.iter().map(|r| (r.0[i] - center[i]).powi(2)).sum::<f64>() / n;
            if square > 1e-12 { square.sqrt() } else { 1.0 }
        };
        let mut curve = Self {
            center,
            scale: [spread(0), spread(1)],
            weights: [0.0; 3],
            blocks: Vec::new(),
        };
        let points: Vec<([f64; 3], f64)> = rows.iter().map(|(x, y)| (curve.point(*x), *y)).collect();
        curve.weights = logistic(&points);
        if method == Method::Isotonic {
            let indexed = points.iter().map(|(x, y)| (dot(&curve.weights, x), *y));
            curve.blocks = isotonic(indexed.collect());
        }
        curve
    }

    fn point(&self, x: [f64; 2]) -> [f64; 3] {
        let scaled = |i: usize| (x[i] - self.center[i]) / self.scale[i];
        [1.0, scaled(0), scaled(1)]
    }

    fn at(&self, x: [f64; 2]) -> f64 {
        let index = dot(&self.weights, &self.point(x));
        let (Some(first), Some(last)) = (self.blocks.first(), self.blocks.last()) else {
            return sigmoid(index);
        };
        let after = self.blocks.partition_point(|b| b.0 <= index);
        match (self.blocks.get(after.wrapping_sub(1)), self.blocks.get(after)) {
            (Some(a), Some(b)) => a.1 + (b.1 - a.1) * (index - a.0) / (b.0 - a.0),
            (None, _) => first.1,
            (_, None) => last.1,
        }
    }
}

/// Weights of greatest likelihood with a ridge of one on all but the first, by Newton steps.
fn logistic(points: &[([f64; 3], f64)]) -> [f64; 3] {
    let mut w = [0.0; 3];
    for _ in 0..12 {
        let mut gradient = [1e-3 * w[0], w[1], w[2]];
        let mut hessian = [[1e-3, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        for (x, y) in points {
            let p = sigmoid(dot(&w, x));
            for i in 0..3 {
                gradient[i] += (p - y) * x[i];
                for j in 0..3 {
                    hessian[i][j] += p * (1.0 - p) * x[i] * x[j];
                }
            }
        }
        let step = solve(hessian, gradient);
        // Bounded, since far from the optimum a Newton step may overshoot.
        (0..3).for_each(|i| w[i] -= step[i].clamp(-2.0, 2.0));
        if step.iter().all(|s| s.abs() < 1e-6) {
            break;
        }
    }
    w
}

/// Solves a symmetric positive definite system by elimination.
fn solve(mut a: [[f64; 3]; 3], mut b: [f64; 3]) -> [f64; 3] {
    for i in 0..3 {
        for j in i + 1..3 {
            let factor = a[j][i] / a[i][i];
            let row = a[i];
            a[j].iter_mut().zip(row).for_each(|(x, y)| *x -= factor * y);
            b[j] -= factor * b[i];
        }
    }
    let mut x = [0.0; 3];
    for i in (0..3).rev() {
        let rest: f64 = (i + 1..3).map(|j| a[i][j] * x[j]).sum();
        x[i] = (b[i] - rest) / a[i][i];
    }
    x
}

/// Pools adjacent violators over bins of equally many points: index and probability of each block, both ascending.
fn isotonic(mut points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let size = points.len().div_ceil(BINS).max(5);
    // Sum of indices, of successes, and how many.
    let mut blocks: Vec<(f64, f64, f64)> = Vec::new();
    let rate = |b: &(f64, f64, f64)| (b.1 + 0.5) / (b.2 + 1.0);
    for chunk in points.chunks(size) {
        let sum = |of: fn(&(f64, f64)) -> f64| chunk.iter().map(of).sum::<f64>();
        let mut block = (sum(|p| p.0), sum(|p| p.1), chunk.len() as f64);
        while let Some(last) = blocks.last().copied().filter(|last| rate(last) >= rate(&block)) {
            blocks.pop();
            block = (block.0 + last.0, block.1 + last.1, block.2 + last.2);
        }
        blocks.push(block);
    }
    blocks.iter().map(|b| (b.0 / b.2, rate(b))).collect()
}

/// Probability that a success has a higher confidence than a failure; `None` without one of each.
fn auroc(samples: &[(f64, bool, f64)]) -> Option<f64> {
    let mut sorted: Vec<&(f64, bool, f64)> = samples.iter().collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut wins, mut good, mut bad) = (0.0, 0.0, 0.0);
    for ties in sorted.chunk_by(|a, b| a.0 == b.0) {
        let weight = |success| -> f64 { ties.iter().filter(|s| s.1 == success).map(|s| s.2).sum() };
        let (better, worse) = (weight(true), weight(false));
        wins += better * (bad + worse / 2.0);
        good += better;
        bad += worse;
    }
    (good > 0.0 && bad > 0.0).then(|| wins / (good * bad))
}

fn dot(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Of a probability kept away from both ends.
fn logit(p: f64) -> f64 {
    let p = p.clamp(1e-4, 1.0 - 1e-4);
    (p / (1.0 - p)).ln()
}

/// The column of a name, if it has one that a sample can hold.
pub(super) fn column(columns: &Columns, name: &str) -> Option<u16> {
    columns.get(name).and_then(|c| u16::try_from(c).ok())
}

#[cfg(test)]
#[path = "calibration_tests.rs"]
mod tests;
