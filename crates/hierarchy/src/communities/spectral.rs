//! Groups of nodes from eigenvectors: Bethe-Hessian clustering, and bisection for the top-down baseline.

use rand::rngs::SmallRng;

use super::lanczos::{Spectrum, Wanted, smallest};
use crate::{
    Graph,
    kmeans::{Effort, k_means},
};

/// Regularisation of the bisection, as a share of the mean degree.
const TAU: f64 = 0.1;

/// The negative part of the Bethe-Hessian H(r) = (r^2 - 1) I - r A + D at r = sqrt(sum d^2 / sum d - 1): as many eigenvectors
/// as there are communities that can be told apart. Weights are left out.
pub(super) fn bethe_hessian(graph: &Graph, wanted: Wanted, rng: &mut SmallRng) -> Spectrum {
    let n = graph.nodes();
    let degrees: Vec<f64> = (0..n as u32).map(|v| graph.degree(v) as f64).collect();
    let ends: f64 = degrees.iter().sum();
    let squared = degrees.iter().map(|d| d * d).sum::<f64>() / ends.max(1.0) - 1.0;
    let r = squared.max(1.0).sqrt();
    smallest(n, wanted, rng, |x, y| {
        for v in 0..n {
            let around: f64 = graph.neighbours(v as u32).iter().map(|&u| x[u as usize]).sum();
            y[v] = (r * r - 1.0 + degrees[v]) * x[v] - r * around;
        }
    })
}

/// Two sides of a graph: 2-means of the two leading eigenvectors of the normalised adjacency of A + tau * mean degree / n.
pub(super) fn bisect(graph: &Graph, rng: &mut SmallRng) -> Vec<usize> {
    let n = graph.nodes();
    let mean = 2.0 * graph.edge_count() as f64 / n.max(1) as f64;
    let lift = TAU * mean / n.max(1) as f64;
    let root: Vec<f64> = (0..n as u32)
        .map(|v| 1.0 / (graph.degree(v) as f64 + TAU * mean).max(1e-12).sqrt())
        .collect();
    let mut scaled = vec![0.0; n];
    let spectrum = smallest(n, Wanted::Smallest(2), rng, |x, y| {
        scaled
            .iter_mut()
            .enumerate()
            .for_each(|(v, s)| *s = x[v] * root[v]);
        let all: f64 = scaled.iter().sum();
        for v in 0..n {
            let around: f64 = graph
                .neighbours(v as u32)
                .iter()
                .map(|&u| scaled[u as usize])
                .sum();
            y[v] = -root[v] * (around + lift * all);
        }
    });
    let points = points(&spectrum.vectors, n);
    groups(&points, spectrum.vectors.len(), 2, rng)
}

/// Eigenvectors as one point a node.
pub(super) fn points(vectors: &[Vec<f64>], n: usize) -> Vec<f64> {
    (0..n).flat_map(|v| vectors.iter().map(move |x| x[v])).collect()
}

/// k-means of the points (row after row), thriftier where a round takes long.
pub(super) fn groups(points: &[f64], dimension: usize, k: usize, rng: &mut SmallRng) -> Vec<usize> {
    let points: Vec<f32> = points.iter().map(|&x| x as f32).collect();
    let effort = Effort::thrifty(points.len(), k);
    k_means(&points, dimension, k, effort, rng, &mut || true).unwrap_or_default()
}
