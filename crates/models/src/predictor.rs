//! The first of the four steps for learned selectors: how good would each model's answer be?
//!
//! Each predictor is one file of this family, named after its method. All are trained from an [`OutcomeTable`](crate::OutcomeTable)
//! ([`crate::training`]); some go on learning from single outcomes in service.

use std::fmt;

use fingerpost_core::{Name, Profile};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::features::{Features, Featurizer};

/// Estimates how good each model's answer to a query would be.
///
/// Callers may rely on this: estimates are finite; the same query and state give the same estimates; nothing panics, whatever
/// the features (a vector of another length counts as all zeros); the cost is named in each predictor's docs. The aim is less than
/// 200 microseconds at 20 models and 10,000 remembered queries, encoding aside.
pub trait Predictor: Send + Sync + fmt::Debug {
    /// Writes one estimate for each of `models` into `out`, in their order; `None` for a model of which nothing is known.
    fn estimate(&self, query: &Features, models: &[&Name], out: &mut Vec<Option<Estimate>>);

    /// Estimates for a model of which [`Predictor::estimate`] knew nothing, from what its profile says of it, and may remember the
    /// model from then on; `None` where that is of no help.
    fn introduce(&self, _query: &Features, _profile: &Profile, _reader: &Featurizer) -> Option<Estimate> {
        None
    }

    /// Takes up the quality (0 to 1) of one more answer. Off the hot path. Returns whether anything was learned.
    fn observe(&self, _query: &Features, _model: &Name, _quality: f64) -> bool {
        false
    }

    /// What was learned in service, to be kept over a restart; `None` where there is nothing to keep.
    fn save(&self) -> Option<Vec<u8>> {
        None
    }

    /// Takes up what an earlier [`Predictor::save`] gave. Returns whether it was understood.
    fn restore(&self, _state: &[u8]) -> bool {
        false
    }
}

/// How good a model's answer is thought to be.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Estimate {
    /// Expected quality. About 0 to 1; linear predictors may go a little beyond.
    pub quality: f64,
    /// Standard error of that, in the same unit; 0 where the predictor does not say.
    pub error: f64,
}

/// The models that a predictor knows, each with the number of its column.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    names: Vec<Name>,
    by_name: FxHashMap<Name, usize>,
}

// === impl Estimate ===

impl Estimate {
    /// An estimate of a predictor that does not say how sure it is; not-a-number counts as 0.
    pub(crate) fn of(quality: f64) -> Self {
        Self {
            quality: if quality.is_nan() { 0.0 } else { quality },
            error: 0.0,
        }
    }
}

// === impl Columns ===

impl Columns {
    /// Columns for these models, in their order; a name that stands twice keeps its first place.
    pub fn new(names: impl IntoIterator<Item = Name>) -> Self {
        let mut columns = Self::default();
        for name in names {
            columns.add(name);
        }
        columns
    }

    /// The column of a model; a new one where it has none yet.
    pub fn add(&mut self, name: Name) -> usize {
        let next = self.names.len();
        let column = *self.by_name.entry(name.clone()).or_insert(next);
        if column == next {
            self.names.push(name);
        }
        column
    }

    /// The column of a model.
    pub fn get(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The models, by column.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

impl Serialize for Columns {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.names.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self::new(Vec::<Name>::deserialize(from)?))
    }
}
