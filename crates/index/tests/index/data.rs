//! Vectors to test with, and the truth about them.

use std::path::PathBuf;

use fingerpost_index::{Exact, Found, Hnsw, Metric, Options};
use rand::{Rng, SeedableRng, rngs::SmallRng};

/// Vectors around centres, as embeddings lie.
pub(crate) fn clustered(count: usize, dim: usize, centres: usize, seed: u64) -> Vec<f32> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let middle: Vec<f32> = (0..centres * dim).map(|_| rng.random_range(-1.0..1.0)).collect();
    let mut values = Vec::with_capacity(count * dim);
    for _ in 0..count {
        let centre = rng.random_range(0..centres) * dim;
        values.extend((0..dim).map(|i| middle[centre + i] + rng.random_range(-0.5..0.5_f32)));
    }
    values
}

pub(crate) fn build(values: &[f32], dim: usize, options: Options) -> Hnsw {
    let index = Hnsw::new(dim, options).unwrap();
    index.build(values, None, 1, &|_| true).unwrap();
    index
}

pub(crate) fn exact(values: &[f32], dim: usize, metric: Metric) -> Exact {
    let mut exact = Exact::new(dim, metric).unwrap();
    for (id, vector) in (0..).zip(values.chunks(dim)) {
        exact.insert(id, vector).unwrap();
    }
    exact
}

pub(crate) fn ids(found: &Found) -> Vec<u64> {
    found.neighbours.iter().map(|n| n.id).collect()
}

/// The share of the true neighbours that were found.
pub(crate) fn recall(found: &[Found], truth: &[Found]) -> f64 {
    let hit = |(f, t): (&Found, &Found)| {
        let f = ids(f);
        ids(t).iter().filter(|id| f.contains(id)).count()
    };
    let hits: usize = found.iter().zip(truth).map(hit).sum();
    let all: usize = truth.iter().map(|t| t.neighbours.len()).sum();
    hits as f64 / all as f64
}

/// The folder of shared data, or a visible line that a test is skipped without it.
pub(crate) fn shared(test: &str) -> Option<PathBuf> {
    let root = std::env::var_os("FINGERPOST_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let data = root.join("data");
    if !data.exists() {
        eprintln!("skipped: {test}: no shared data here (FINGERPOST_SHARED)");
    }
    data.exists().then_some(data)
}

/// Little-endian i16 at 1/4096.
pub(crate) fn glove(file: &PathBuf) -> Vec<f32> {
    let bytes = std::fs::read(file).unwrap();
    let values = bytes.as_chunks::<2>().0.iter();
    values
        .map(|b| f32::from(i16::from_le_bytes(*b)) / 4096.0)
        .collect()
}
