//! What is believed of each model's mean and abilities, and how an outcome moves that.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use fingerpost_core::Name;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::{predictor::Estimate, training::Training};

/// Version of the state that is saved in service.
const VERSION: u32 = 1;
/// Least variance that an ability or a mean is believed to have among models.
const LEAST_SPREAD: f64 = 1e-3;
/// Least squared error of a score about its estimate.
const LEAST_NOISE: f64 = 1e-3;

/// What is believed of one model: a normal distribution over its abilities and, last, its mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Factor {
    pub(super) centre: Vec<f64>,
    /// Covariance, row after row.
    pub(super) spread: Vec<f64>,
}

/// What is believed of all models by now.
#[derive(Debug)]
pub(super) struct Factors {
    by_name: ArcSwap<FxHashMap<Name, Arc<Factor>>>,
    writing: Mutex<()>,
    usual: Factor,
    noise: f64,
    /// Tells one training's traits from another's: abilities at the one mean nothing at the other.
    traits: u32,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    traits: u32,
    factors: FxHashMap<Name, Factor>,
}

// === impl Factor ===

impl Factor {
    /// Estimate and variance at a query's traits.
    fn at(&self, traits: &[f64]) -> (f64, f64) {
        (
            dot(&self.centre, traits),
            dot(&self.along(traits), traits).max(0.0),
        )
    }

    fn along(&self, traits: &[f64]) -> Vec<f64> {
        self.spread
            .chunks_exact(traits.len().max(1))
            .map(|row| dot(row, traits))
            .collect()
    }

    /// One step of recursive least squares: `moves` says whether the centre moves too, or only the spread shrinks.
    fn learn(&mut self, traits: &[f64], score: f64, noise: f64, moves: bool) {
        let along = self.along(traits);
        let variance = noise + dot(&along, traits).max(0.0);
        if moves {
            let off = (score - dot(&self.centre, traits)) / variance;
            self.centre
                .iter_mut()
                .zip(&along)
                .for_each(|(c, a)| *c += a * off);
        }
        for (row, own) in self.spread.chunks_exact_mut(traits.len().max(1)).zip(&along) {
            row.iter_mut()
                .zip(&along)
                .for_each(|(s, a)| *s -= own * a / variance);
        }
    }

    fn fits(&self, length: usize) -> bool {
        let finite = |values: &[f64]| values.iter().all(|v| v.is_finite());
        self.centre.len() == length
            && self.spread.len() == length * length
            && finite(&self.centre)
            && finite(&self.spread)
    }
}

// === impl Factors ===

impl Factors {
    pub(super) fn new(
        known: impl Iterator<Item = (Name, Factor)>,
        usual: Factor,
        noise: f64,
        traits: u32,
    ) -> Self {
        let by_name: FxHashMap<Name, Arc<Factor>> = known.map(|(name, f)| (name, Arc::new(f))).collect();
        Self {
            by_name: ArcSwap::from_pointee(by_name),
            writing: Mutex::default(),
            usual,
            noise,
            traits,
        }
    }

    pub(super) fn estimate(&self, traits: &[f64], models: &[&Name], out: &mut Vec<Option<Estimate>>) {
        let by_name = self.by_name.load();
        out.clear();
        out.extend(models.iter().map(|model| {
            let (quality, variance) = by_name.get(*model)?.at(traits);
            Some(Estimate {
                error: variance.sqrt(),
                ..Estimate::of(quality)
            })
        }));
    }

    /// Moves a model's factor; one that was not known begins as the usual one.
    pub(super) fn observe(&self, traits: &[f64], model: &Name, quality: f64) -> bool {
        if !quality.is_finite() || traits.iter().any(|t| !t.is_finite()) {
            return false;
        }
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_name = FxHashMap::clone(&self.by_name.load());
        let factor = by_name
            .entry(model.clone())
            .or_insert_with(|| Arc::new(self.usual.clone()));
        Arc::make_mut(factor).learn(traits, quality, self.noise, true);
        self.by_name.store(Arc::new(by_name));
        true
    }

    pub(super) fn save(&self) -> Option<Vec<u8>> {
        let by_name = self.by_name.load();
        let factors = by_name.iter().map(|(name, f)| (name.clone(), Factor::clone(f)));
        let (version, traits) = (VERSION, self.traits);
        serde_json::to_vec(&Saved {
            version,
            traits,
            factors: factors.collect(),
        })
        .ok()
    }

    pub(super) fn restore(&self, state: &[u8]) -> bool {
        let length = self.usual.centre.len();
        match serde_json::from_slice::<Saved>(state) {
            Ok(saved)
                if saved.version == VERSION
                    && saved.traits == self.traits
                    && saved.factors.values().all(|f| f.fits(length)) =>
            {
                let factors = saved.factors.into_iter().map(|(name, f)| (name, Arc::new(f)));
                self.by_name.store(Arc::new(factors.collect()));
                true
            }
            _ => false,
        }
    }
}

/// Of models whose centres were fitted to the training rows: the usual model with the usual spread, the noise of a score, and
/// each model with what the rows leave unsure of it.
pub(super) fn known(
    centres: &[Vec<f64>],
    traits: &[f32],
    training: &Training<'_>,
) -> (Factor, f64, Vec<Factor>) {
    let length = centres.first().map_or(1, Vec::len);
    let models = centres.len().max(1) as f64;
    let mean = |k: usize| centres.iter().map(|c| c[k]).sum::<f64>() / models;
    let usual: Vec<f64> = (0..length).map(mean).collect();
    let variance = |k: usize| centres.iter().map(|c| (c[k] - usual[k]).powi(2)).sum::<f64>() / models;
    let variances: Vec<f64> = (0..length).map(|k| variance(k).max(LEAST_SPREAD)).collect();
    let mut spread = vec![0.0; length * length];
    variances
        .iter()
        .enumerate()
        .for_each(|(k, v)| spread[k * length + k] = *v);

    let rank = length - 1;
    let with_one = |row: usize| -> Vec<f64> {
        let own = traits.get(row * rank..(row + 1) * rank).unwrap_or_default();
        own.iter().map(|t| f64::from(*t)).chain([1.0]).collect()
    };
    let (mut squares, mut count) = (0.0, 0.0);
    for (i, (row, _)) in training.rows().enumerate() {
        let traits = with_one(i);
        for (score, centre) in row.scores.iter().zip(centres) {
            if let Some(score) = score {
                squares += (f64::from(*score) - dot(centre, &traits)).powi(2);
                count += 1.0;
            }
        }
    }
    let noise = (squares / f64::max(count, 1.0)).max(LEAST_NOISE);
    let factor = |(model, centre): (usize, &Vec<f64>)| {
        let mut factor = Factor {
            centre: centre.clone(),
            spread: spread.clone(),
        };
        for (i, (row, _)) in training.rows().enumerate() {
            if row.scores[model].is_some() {
                factor.learn(&with_one(i), 0.0, noise, false);
            }
        }
        factor
    };
    let factors = centres.iter().enumerate().map(factor).collect();
    (
        Factor {
            centre: usual,
            spread,
        },
        noise,
        factors,
    )
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
