//! Exact while the set is small, HNSW once it has grown: what most users want without thinking about it.

use crate::{
    error::Error,
    exact::Exact,
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
