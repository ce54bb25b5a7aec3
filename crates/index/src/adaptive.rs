//! Exact while the set is small, HNSW once it has grown: what most users want without thinking about it.

use std::path::Path;

use crate::{
    error::Error,
    exact::Exact,
    file,
    found::{Filter, Found},
    hnsw::{Hnsw, Options},
};

/// Vectors from which a graph is quicker than looking at all of them, on the machines that it was measured on.
pub const DEFAULT_THRESHOLD: usize = 2_048;

/// A search looks at so many in the graph.
const EF: usize = 96;

/// An index that chooses its own form.
#[derive(Debug)]
pub struct Adaptive {
    options: Options,
    threshold: usize,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Exact(Box<Exact>),
    Hnsw(Box<Hnsw>),
}

// === impl Adaptive ===

impl Adaptive {
    /// An empty index of vectors with so many components that becomes a graph above `threshold` vectors.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an option out of range.
    pub fn new(dimension: usize, options: Options, threshold: usize) -> Result<Self, Error> {
        let form = Form::Exact(Box::new(Exact::new(dimension, options.metric)?));
        Hnsw::new(dimension, options.clone())?;
        Ok(Self {
            options,
            threshold,
            form,
        })
    }

    /// Adds a vector. The one that passes the threshold pays for the graph.
    ///
    /// # Errors
    /// What is wrong with the vector; [`Error::DuplicateId`].
    pub fn insert(&mut self, id: u64, vector: &[f32]) -> Result<(), Error> {
        match &mut self.form {
            Form::Exact(exact) => exact.insert(id, vector)?,
            Form::Hnsw(hnsw) => hnsw.insert(id, vector)?,
        }
        if let Form::Exact(exact) = &self.form
            && exact.len() > self.threshold
        {
            let (ids, values) = exact.vectors();
            let hnsw = Hnsw::new(exact.dimension(), self.options.clone())?;
            hnsw.build(&values, Some(&ids), 1, &|_| true)?;
            self.form = Form::Hnsw(Box::new(hnsw));
        }
        Ok(())
    }

    /// Adds many vectors, row after row in `values`, with the ids in their order, on one thread: the same order gives the same
    /// index. Quicker than one by one where the threshold is passed. `progress` hears how many are linked, now and then, and
    /// stops by returning false.
    ///
    /// # Errors
    /// What is wrong with a vector or an id; [`Error::Stopped`]. Either leaves a part of them in: open it again.
    pub fn extend(
        &mut self,
        ids: &[u64],
        values: &[f32],
        progress: &(dyn Fn(usize) -> bool + Sync),
    ) -> Result<(), Error> {
        if let Form::Exact(exact) = &mut self.form {
            let dimension = exact.dimension();
            if exact.len() + ids.len() <= self.threshold {
                for (id, vector) in ids.iter().zip(values.chunks(dimension)) {
                    exact.insert(*id, vector)?;
                }
                return Ok(());
            }
            let (old_ids, old_values) = exact.vectors();
            let hnsw = Hnsw::new(dimension, self.options.clone())?;
            if !old_ids.is_empty() {
                hnsw.build(&old_values, Some(&old_ids), 1, &|_| true)?;
            }
            self.form = Form::Hnsw(Box::new(hnsw));
        }
        match &self.form {
            Form::Exact(_) => Ok(()),
            Form::Hnsw(hnsw) => hnsw.build(values, Some(ids), 1, progress),
        }
    }

    /// The vector of an id, as it is kept.
    pub fn vector(&self, id: u64) -> Option<Vec<f32>> {
        match &self.form {
            Form::Exact(exact) => exact.vector(id),
            Form::Hnsw(hnsw) => hnsw.vector(id),
        }
    }

    /// Saves it in whichever form it has. The file is the old one or the new one, whatever happens meanwhile.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        match &self.form {
            Form::Exact(exact) => exact.save(path),
            Form::Hnsw(hnsw) => hnsw.save(path),
        }
    }

    /// Opens a saved one; a graph by memory map, with the options it was built with.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Corrupt`] with what does not fit.
    pub fn open(path: &Path, options: Options, threshold: usize) -> Result<Self, Error> {
        let (header, _) = file::open::<serde_json::Value>(path)?;
        let (options, form) = if header.get("exact").is_some() {
            (options, Form::Exact(Box::new(Exact::open(path)?)))
        } else {
            let hnsw = Hnsw::open(path)?;
            (hnsw.options().clone(), Form::Hnsw(Box::new(hnsw)))
        };
        Ok(Self {
            options,
            threshold,
            form,
        })
    }

    /// Components of a vector.
    pub fn dimension(&self) -> usize {
        match &self.form {
            Form::Exact(exact) => exact.dimension(),
            Form::Hnsw(hnsw) => hnsw.dimension(),
        }
    }

    /// Takes a vector out.
    ///
    /// # Errors
    /// [`Error::UnknownId`].
    pub fn remove(&mut self, id: u64) -> Result<(), Error> {
        match &mut self.form {
            Form::Exact(exact) => exact.remove(id),
            Form::Hnsw(hnsw) => hnsw.remove(id),
        }
    }

    /// The `k` nearest of those that the filter accepts.
    ///
    /// # Errors
    /// What is wrong with the query.
    pub fn search(&self, query: &[f32], k: usize, filter: Option<Filter<'_>>) -> Result<Found, Error> {
        self.search_with(query, k, EF.max(k.saturating_mul(4)), filter)
    }

    /// The same where a graph looks at `ef` of its vectors: fewer cost less and find less.
    ///
    /// # Errors
    /// What is wrong with the query.
    pub fn search_with(
        &self,
        query: &[f32],
        k: usize,
        ef: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Found, Error> {
        match (&self.form, filter) {
            (Form::Exact(exact), filter) => exact.search(query, k, filter),
            (Form::Hnsw(hnsw), None) => hnsw.search(query, k, ef),
            (Form::Hnsw(hnsw), Some(filter)) => hnsw.search_filtered(query, k, ef, filter),
        }
    }

    /// Vectors.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Exact(exact) => exact.len(),
            Form::Hnsw(hnsw) => hnsw.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is a graph by now.
    pub fn is_graph(&self) -> bool {
        matches!(self.form, Form::Hnsw(_))
    }

    /// The options it was made with.
    pub fn options(&self) -> &Options {
        &self.options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_form_is_saved_opened_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vectors");
        let values: Vec<f32> = (0..40).map(|i| (i as f32).sin()).collect();
        let ids: Vec<u64> = (100..120).collect();
        for threshold in [4, 50] {
            let mut index = Adaptive::new(2, Options::default(), threshold).unwrap();
            index.insert(7, &[9.0, 9.0]).unwrap();
            index.extend(&ids, &values, &|_| true).unwrap();
            assert_eq!((index.len(), index.is_graph()), (21, threshold == 4));
            index.remove(101).unwrap();
            index.save(&path).unwrap();
            let mut opened = Adaptive::open(&path, Options::default(), threshold).unwrap();
            assert_eq!(
                (opened.len(), opened.is_graph(), opened.dimension()),
                (20, threshold == 4, 2)
            );
            assert_eq!(opened.vector(119).unwrap(), values[38..]);
            assert_eq!(
                (opened.vector(101), opened.vector(7)),
                (None, Some(vec![9.0, 9.0]))
            );
            let query = [0.3, -0.4];
            let nearest = |index: &Adaptive| index.search(&query, 3, None).unwrap().neighbours;
            assert_eq!(nearest(&opened), nearest(&index));
            opened.insert(101, &[0.3, -0.4]).unwrap();
            assert_eq!(nearest(&opened)[0].id, 101);
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            assert!(matches!(
                Adaptive::open(&path, Options::default(), threshold),
                Err(Error::Corrupt { .. })
            ));
        }
    }
}
