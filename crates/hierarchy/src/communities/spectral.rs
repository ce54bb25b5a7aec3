//! Groups of nodes from eigenvectors: Bethe-Hessian clustering, and bisection for the top-down baseline.

use rand::rngs::SmallRng;

use super::{
    lanczos::{Spectrum, Wanted, smallest},
    rewire::rewired,
};
use crate::{
    Graph,
    kmeans::{Effort, k_means},
};

/// Regularisation of the bisection, as a share of the mean degree.
const TAU: f64 = 0.1;
/// Eigenvectors wanted of one graph at most.
const MOST_LOOK: usize = 64;
/// What the law of Tracy and Widom for symmetric matrices exceeds once in a thousand times.
const TRACY_WIDOM: f64 = 3.27;

/// How much chance adds to each node's sum of weights: what stands for r and D in a Bethe-Hessian H(r) = r^2 I - r W + D.
///
/// The usual r and D take an edge's variance p (1 - p) for p, which is true of sparse graphs only. Here D holds the variance of
/// each node's sum, sum over j of w_ij^2 less its expectation squared under the degrees alone (p_ij = d_i d_j / sum d), and r^2 =
/// sum D^2 / sum D - 1, as in the usual estimate. In sparse graphs both become the usual ones.
struct Noise {
    /// D, by node.
    around: Vec<f64>,
    /// r^2.
    square: f64,
    /// What weights are multiplied by, so that their mean square is 1 and the 1 in r^2 stays one edge.
    scale: f64,
}

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

/// As many eigenvectors as communities can be told apart, in graphs dense or sparse, weighted or not.
///
/// Two guards keep chance from being counted. Dense noise has a largest eigenvalue that varies by n^(-2/3) of itself after the law
/// of Tracy and Widom, so a community counts beyond what one of a thousand such graphs shows (Bickel and Sarkar 2016 test so
/// whether a part is to be split). And degrees that differ widely have eigenvectors of their own around the hubs, so a community
/// counts beyond what [`rewired`] graphs of the same degrees show. At most [`MOST_LOOK`] are looked for, because the last ones
/// before zero take long; what they would tell apart is told apart in the parts.
pub(super) fn told_apart(graph: &Graph, rng: &mut SmallRng) -> Spectrum {
    let margin = TRACY_WIDOM * (graph.nodes().max(1) as f64).powf(-2.0 / 3.0);
    let noise = Noise::around(graph);
    let mut spectrum = noise.spectrum(graph, margin, Wanted::Negative(MOST_LOOK), rng);
    if spectrum.values.len() >= 2 {
        let second = |_| {
            let chance = rewired(graph, rng);
            let values = noise.spectrum(&chance, 0.0, Wanted::Smallest(2), rng).values;
            values.get(1).copied().unwrap_or(0.0)
        };
        // The larger the graph, the less chance varies.
        let draws = if graph.nodes() < 5_000 { 3 } else { 1 };
        let chance = (0..draws).map(second).fold(0.0, f64::min);
        let count = spectrum.values.iter().take_while(|v| **v < chance).count();
        spectrum.values.truncate(count);
        spectrum.vectors.truncate(count);
    }
    spectrum
}

/// So many of the leading eigenvectors, told apart from chance or not.
pub(super) fn leading(graph: &Graph, count: usize, rng: &mut SmallRng) -> Spectrum {
    Noise::around(graph).spectrum(graph, 0.0, Wanted::Smallest(count), rng)
}

/// k-means of the nodes by their coordinates in the eigenvectors, brought to one length first if so wanted.
pub(super) fn cluster(
    vectors: &[Vec<f64>],
    k: usize,
    normalize: bool,
    nodes: usize,
    rng: &mut SmallRng,
) -> Vec<usize> {
    let mut points = points(vectors, nodes);
    if normalize {
        for point in points.chunks_mut(vectors.len().max(1)) {
            let norm = point.iter().map(|x| x * x).sum::<f64>().sqrt();
            point.iter_mut().for_each(|x| *x /= norm.max(f64::MIN_POSITIVE));
        }
    }
    groups(&points, vectors.len(), k, rng)
}

// === impl Noise ===

impl Noise {
    fn around(graph: &Graph) -> Self {
        let nodes = || 0..graph.nodes() as u32;
        let squares = |v: u32| graph.weighted_neighbours(v).map(|(_, w)| w * w).sum::<f64>();
        let squared: Vec<f64> = nodes().map(squares).collect();
        let (sum, ends) = (squared.iter().sum::<f64>(), 2.0 * graph.edge_count() as f64);
        let scale = if sum > 0.0 { (ends / sum).sqrt() } else { 1.0 };
        let strength = |v: u32| graph.weighted_neighbours(v).map(|(_, w)| w * scale).sum::<f64>();
        let strengths: Vec<f64> = nodes().map(strength).collect();
        let total = strengths.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let among = strengths.iter().map(|s| s * s).sum::<f64>() / (total * total);
        let around: Vec<f64> = squared
            .iter()
            .zip(&strengths)
            .map(|(square, s)| (square * scale * scale - s * s * among).max(0.0))
            .collect();
        let all = around.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let square = (around.iter().map(|d| d * d).sum::<f64>() / all - 1.0).max(1.0);
        Self {
            around,
            square,
            scale,
        }
    }

    /// Eigenvectors of H of a graph of these degrees, its eigenvalues lifted by `margin` times r^2.
    fn spectrum(&self, graph: &Graph, margin: f64, wanted: Wanted, rng: &mut SmallRng) -> Spectrum {
        let (r, lift) = (self.square.sqrt(), self.square * (1.0 + margin) - 1.0);
        smallest(graph.nodes(), wanted, rng, |x, y| {
            for (v, y) in y.iter_mut().enumerate() {
                let around: f64 = graph
                    .weighted_neighbours(v as u32)
                    .map(|(u, w)| w * x[u as usize])
                    .sum();
                *y = (lift + self.around[v]) * x[v] - r * self.scale * around;
            }
        })
    }
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
fn points(vectors: &[Vec<f64>], n: usize) -> Vec<f64> {
    (0..n).flat_map(|v| vectors.iter().map(move |x| x[v])).collect()
}

/// k-means of the points (row after row), thriftier where a round takes long.
fn groups(points: &[f64], dimension: usize, k: usize, rng: &mut SmallRng) -> Vec<usize> {
    let points: Vec<f32> = points.iter().map(|&x| x as f32).collect();
    let effort = Effort::thrifty(points.len(), k);
    k_means(&points, dimension, k, effort, rng, &mut || true).unwrap_or_default()
}
