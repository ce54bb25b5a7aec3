//! Texts by meaning: an index of vectors for each frame, exact while it is small, a graph once it has grown.
//!
//! One index a frame rather than one for all with the frame as filter, because the turns before the last belong to the frame:
//! there are many frames, most with a handful of texts, and a look-up in such a one reads those few vectors, where a filter
//! would be asked about every vector there is. What answers stand-alone questions under one system text grows into a graph all
//! the same.

use fingerpost_index::{Adaptive, Metric, Options};
use rustc_hash::FxHashMap;

/// The vectors of all frames.
pub(super) struct Near {
    dims: usize,
    threshold: usize,
    frames: FxHashMap<u128, Adaptive>,
}

// === impl Near ===

impl Near {
    /// For vectors of so many numbers; a frame becomes a graph above `threshold` of them.
    pub(super) fn new(dims: usize, threshold: usize) -> Self {
        Self {
            dims,
            threshold,
            frames: FxHashMap::default(),
        }
    }

    /// The ids of the nearest vectors of a frame with their cosines, nearest first. None for a vector of zeros, which is near
    /// to nothing.
    pub(super) fn nearest(
        &self,
        frame: u128,
        vector: &[f32],
        most: usize,
    ) -> impl Iterator<Item = (u64, f32)> {
        let index = self.frames.get(&frame);
        let found = index.and_then(|index| index.search(vector, most, None).ok());
        let neighbours = found.map(|found| found.neighbours).unwrap_or_default();
        neighbours
            .into_iter()
            .map(|n| (n.id, Metric::Cosine.similarity(n.distance)))
    }

    /// Adds a vector. One of zeros is left out.
    pub(super) fn insert(&mut self, frame: u128, id: u64, vector: &[f32]) {
        let index = match self.frames.remove(&frame) {
            Some(index) => Ok(index),
            None => {
                let options = Options {
                    metric: Metric::Cosine,
                    ..Options::default()
                };
                Adaptive::new(self.dims, options, self.threshold)
            }
        };
        match index {
            Ok(mut index) => {
                if let Err(error) = index.insert(id, vector) {
                    tracing::debug!(%error, "a text is found by equality only");
                }
                if !index.is_empty() {
                    self.frames.insert(frame, index);
                }
            }
            Err(error) => tracing::warn!(%error, "no texts are found by meaning"),
        }
    }

    /// Takes a vector out, if it is there.
    pub(super) fn remove(&mut self, frame: u128, id: u64) {
        if let Some(index) = self.frames.get_mut(&frame) {
            // One that is not there was never put in: its text has no vector, or had to go before it was.
            drop(index.remove(id));
            if index.is_empty() {
                self.frames.remove(&frame);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn graphs(&self) -> usize {
        self.frames.values().filter(|index| index.is_graph()).count()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.frames.values().map(Adaptive::len).sum()
    }
}
