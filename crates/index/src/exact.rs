//! Exact search: every vector is looked at. Right for small sets, and the truth that others are measured against.

use std::{cell::RefCell, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Item},
    file,
    found::{Filter, Found, Neighbour},
    items::Items,
    metric::Metric,
    pool::{Near, Scratch},
    rows::{Precision, Rows},
};

/// Vectors looked at in one go.
const BATCH: usize = 256;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// An index without a graph.
#[derive(Debug)]
pub struct Exact {
    rows: Rows,
    items: Items,
    free: Vec<u32>,
}

/// What a file of an exact index begins with. `exact` tells it from a graph's.
#[derive(Serialize, Deserialize)]
struct Header {
    exact: Metric,
    dimension: usize,
    count: usize,
}

// === impl Exact ===

impl Exact {
    /// An empty index of vectors with so many components.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a vector without components.
    pub fn new(dimension: usize, metric: Metric) -> Result<Self, Error> {
        if dimension == 0 {
            return Err(Error::Parameter {
                name: "dimension",
                found: "0".to_owned(),
                allowed: "1 and more",
            });
        }
        Ok(Self {
            rows: Rows::new(metric, dimension, Precision::F32),
            items: Items::default(),
            free: Vec::new(),
        })
    }

    /// Adds a vector.
    ///
    /// # Errors
    /// What is wrong with the vector; [`Error::DuplicateId`].
    pub fn insert(&mut self, id: u64, vector: &[f32]) -> Result<(), Error> {
        let mut admitted = Vec::with_capacity(vector.len());
        self.rows
            .metric()
            .admit(Item::Id(id), vector, self.rows.dim(), &mut admitted)?;
        if self.items.slot(id).is_some() {
            return Err(Error::DuplicateId(id));
        }
        if let Some(slot) = self.free.pop() {
            self.rows.replace(slot, &admitted);
            self.items.reuse(slot, id);
        } else {
            self.rows.push(&admitted);
            self.items.push(id);
        }
        Ok(())
    }

    /// Takes a vector out.
    ///
    /// # Errors
    /// [`Error::UnknownId`].
    pub fn remove(&mut self, id: u64) -> Result<(), Error> {
        let slot = self.items.slot(id).ok_or(Error::UnknownId(id))?;
        self.items.bury(slot);
        self.free.push(slot);
        Ok(())
    }

    /// The `k` nearest of those that the filter accepts. Time: one distance for each of them.
    ///
    /// # Errors
    /// What is wrong with the query.
    pub fn search(&self, query: &[f32], k: usize, filter: Option<Filter<'_>>) -> Result<Found, Error> {
        // A filter may search in turn; it gets buffers of its own then.
        SCRATCH.with(|own| match own.try_borrow_mut() {
            Ok(mut own) => self.search_with(query, k, filter, &mut own),
            Err(_) => self.search_with(query, k, filter, &mut Scratch::default()),
        })
    }

    fn search_with(
        &self,
        query: &[f32],
        k: usize,
        filter: Option<Filter<'_>>,
        scratch: &mut Scratch,
    ) -> Result<Found, Error> {
        scratch.query.floats.clear();
        self.rows
            .metric()
            .admit(Item::Query, query, self.rows.dim(), &mut scratch.query.floats)?;
        let accepted = self
            .items
            .live_slots()
            .filter(|&s| filter.is_none_or(|f| f(self.items.id(s))));
        let before = scratch.evaluations;
        scan(&self.rows, accepted, k, scratch);
        let neighbours = scratch.near.iter().map(|n| Neighbour {
            id: self.items.id(n.slot),
            distance: n.distance,
        });
        Ok(Found {
            neighbours: neighbours.collect(),
            evaluations: scratch.evaluations - before,
            hops: 0,
        })
    }

    /// The vector of an id, as it is kept.
    pub fn vector(&self, id: u64) -> Option<Vec<f32>> {
        let is_own = |slot: &u32| self.items.id(*slot) == id;
        // Ids mostly count as slots do.
        let first = u32::try_from(id)
            .ok()
            .filter(|s| (*s as usize) < self.items.slots());
        let slot = first
            .filter(|slot| self.items.is_live(*slot) && is_own(slot))
            .or_else(|| self.items.live_slots().find(is_own))?;
        let mut query = crate::rows::Query::default();
        self.rows.prepare_slot(slot, &mut query);
        Some(query.floats)
    }

    /// Saves it. The file is the old one or the new one, whatever happens meanwhile.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let (ids, values) = self.vectors();
        let header = Header {
            exact: self.metric(),
            dimension: self.dimension(),
            count: ids.len(),
        };
        file::save(path, &header, |writer| {
            writer.section(&ids);
            writer.section(&values);
        })
    }

    /// Opens a saved one.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Corrupt`] with what does not fit.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let (header, mut reader) = file::open::<Header>(path)?;
        let cells = header.count.checked_mul(header.dimension);
        let cells = cells.ok_or_else(|| Error::corrupt(path, "too many components"))?;
        let ids = reader.section::<u64>("ids", header.count)?;
        let values = reader.section::<f32>("vectors", cells)?;
        reader.finish()?;
        let mut index =
            Self::new(header.dimension, header.exact).map_err(|e| Error::corrupt(path, e.to_string()))?;
        for (id, vector) in ids
            .as_slice()
            .iter()
            .zip(values.as_slice().chunks_exact(header.dimension))
        {
            index
                .insert(*id, vector)
                .map_err(|e| Error::corrupt(path, e.to_string()))?;
        }
        Ok(index)
    }

    /// Vectors.
    pub fn len(&self) -> usize {
        self.items.live()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Components of a vector.
    pub fn dimension(&self) -> usize {
        self.rows.dim()
    }

    /// What near means.
    pub fn metric(&self) -> Metric {
        self.rows.metric()
    }

    /// All vectors with their ids, as they are kept.
    pub(crate) fn vectors(&self) -> (Vec<u64>, Vec<f32>) {
        let mut query = crate::rows::Query::default();
        let mut values = Vec::with_capacity(self.len() * self.dimension());
        let ids = self.items.live_slots().map(|slot| {
            self.rows.prepare_slot(slot, &mut query);
            values.extend_from_slice(&query.floats);
            self.items.id(slot)
        });
        let ids = ids.collect();
        (ids, values)
    }
}

/// Brings the `k` nearest of the slots into the scratch's `near`, nearest first. The query is in the scratch.
pub(crate) fn scan(rows: &Rows, slots: impl Iterator<Item = u32>, k: usize, scratch: &mut Scratch) {
    let Scratch {
        query,
        slots: batch,
        distances,
        near,
        evaluations,
        ..
    } = scratch;
    near.clear();
    let mut slots = slots.peekable();
    while slots.peek().is_some() {
        batch.clear();
        batch.extend(slots.by_ref().take(BATCH));
        rows.distances(query, batch, distances);
        *evaluations += batch.len() as u64;
        near.extend(
            batch
                .iter()
                .zip(&*distances)
                .map(|(&slot, &distance)| Near { distance, slot }),
        );
        if near.len() >= k.saturating_mul(2).saturating_add(BATCH) {
            keep_nearest(near, k);
        }
    }
    keep_nearest(near, k);
}

/// Leaves the `k` nearest, nearest first.
fn keep_nearest(near: &mut Vec<Near>, k: usize) {
    if near.len() > k && k > 0 {
        near.select_nth_unstable(k - 1);
    }
    near.truncate(k);
    near.sort_unstable();
}
