//! The one trait of everything that finds items for a query, whether by vector, by word or by both.

use crate::{
    adaptive::Adaptive,
    error::Error,
    exact::Exact,
    found::{Filter, Found, Neighbour},
    hnsw::Hnsw,
    metric::Metric,
};

/// What is looked for. A retriever uses the part it understands and says so if that is missing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query<'a> {
    /// The query as a vector.
    pub vector: Option<&'a [f32]>,
    /// The query as a text.
    pub text: Option<&'a str>,
}

/// An item found.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Hit {
    /// Its id.
    pub id: u64,
    /// The greater the better, in the retriever's unit.
    pub score: f32,
}

/// Finds items for a query.
pub trait Retrieve: Send + Sync {
    /// The `k` best, best first, among those that the filter accepts.
    ///
    /// # Errors
    /// [`Error::Query`] if the query lacks what is searched by, or what is wrong with it.
    fn retrieve(&self, query: Query<'_>, k: usize, filter: Option<Filter<'_>>) -> Result<Vec<Hit>, Error>;

    /// Items that can be found.
    fn items(&self) -> usize;
}

fn vector<'a>(query: Query<'a>) -> Result<&'a [f32], Error> {
    query.vector.ok_or(Error::Query("vector"))
}

fn hits(found: Found, metric: Metric) -> Vec<Hit> {
    let hit = |n: Neighbour| Hit {
        id: n.id,
        score: metric.similarity(n.distance),
    };
    found.neighbours.into_iter().map(hit).collect()
}

/// Scores: minus the squared distance, the inner product or the cosine.
impl Retrieve for Exact {
    fn retrieve(&self, query: Query<'_>, k: usize, filter: Option<Filter<'_>>) -> Result<Vec<Hit>, Error> {
        Ok(hits(self.search(vector(query)?, k, filter)?, self.metric()))
    }

    fn items(&self) -> usize {
        self.len()
    }
}

/// As [`Exact`], looking at the 4 k nearest, at least 64.
impl Retrieve for Hnsw {
    fn retrieve(&self, query: Query<'_>, k: usize, filter: Option<Filter<'_>>) -> Result<Vec<Hit>, Error> {
        let (vector, ef) = (vector(query)?, k.saturating_mul(4).max(64));
        let found = match filter {
            Some(filter) => self.search_filtered(vector, k, ef, filter),
            None => self.search(vector, k, ef),
        };
        Ok(hits(found?, self.options().metric))
    }

    fn items(&self) -> usize {
        self.len()
    }
}

/// As [`Exact`].
impl Retrieve for Adaptive {
    fn retrieve(&self, query: Query<'_>, k: usize, filter: Option<Filter<'_>>) -> Result<Vec<Hit>, Error> {
        Ok(hits(
            self.search(vector(query)?, k, filter)?,
            self.options().metric,
        ))
    }

    fn items(&self) -> usize {
        self.len()
    }
}
