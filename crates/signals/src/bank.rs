//! Prototype banks: the examples of a rule, clustered, and how near a text is to them.
//!
//! Examples whose cosine is at least `cluster_similarity` are merged into their mean direction; if more than
//! `max_prototypes` are left, the nearest two are merged until they fit. The score of a text is
//! `best_weight` * best + (1 - `best_weight`) * mean of the `top_m` best (`systems/43-vllm-semantic-router.md`, 3.1).

use fingerpost_encode::{Encoder, Vector, dot};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Problem, nearest::Nearest};

/// Most examples that one bank takes: clustering compares all pairs.
pub const MAX_EXAMPLES: usize = 512;

/// How examples become prototypes and how a text is scored against them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PrototypeOptions {
    /// Cosine from which two examples are merged, -1 to 1. Default: 0.9.
    pub cluster_similarity: f64,
    /// Most prototypes of a bank. Default: 8.
    pub max_prototypes: usize,
    /// Weight of the nearest prototype, 0 to 1. Default: 0.75.
    pub best_weight: f64,
    /// How many of the nearest prototypes the rest of the weight goes to. Default: 2.
    pub top_m: usize,
    /// How far the best of several competing rules must be ahead of the next, or none is emitted: 0 takes the best
    /// however near the next is. Default: 0.05.
    pub margin: f64,
}

/// A rule's prototypes.
pub(crate) struct Bank {
    prototypes: Nearest,
    best_weight: f32,
    top_m: usize,
}

// === impl PrototypeOptions ===

impl Default for PrototypeOptions {
    fn default() -> Self {
        Self {
            cluster_similarity: 0.9,
            max_prototypes: 8,
            best_weight: 0.75,
            top_m: 2,
            margin: 0.05,
        }
    }
}

impl PrototypeOptions {
    pub(crate) fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        let mut range = |key: &str, value: f64, low: f64, high: f64| {
            if !(low..=high).contains(&value) {
                problems.push(
                    Problem::error(format!("{path}.{key}"), "out of range")
                        .found(value.to_string())
                        .allowed(format!("{low} to {high}")),
                );
            }
        };
        range("cluster_similarity", self.cluster_similarity, -1.0, 1.0);
        range(
            "max_prototypes",
            self.max_prototypes as f64,
            1.0,
            MAX_EXAMPLES as f64,
        );
        range("best_weight", self.best_weight, 0.0, 1.0);
        range("top_m", self.top_m as f64, 1.0, MAX_EXAMPLES as f64);
        range("margin", self.margin, 0.0, 2.0);
    }
}

// === impl Bank ===

impl Bank {
    /// Encodes and clusters the examples. Those beyond [`MAX_EXAMPLES`] are left out; the caller reports them.
    pub(crate) fn new<S: AsRef<str>>(
        examples: &[S],
        options: &PrototypeOptions,
        encoder: &dyn Encoder,
    ) -> Self {
        let texts: Vec<&str> = examples.iter().take(MAX_EXAMPLES).map(AsRef::as_ref).collect();
        Self::of_vectors(&encoder.encode_batch(&texts), options)
    }

    fn of_vectors(vectors: &[Vector], options: &PrototypeOptions) -> Self {
        Self {
            prototypes: Nearest::new(&cluster(vectors, options)),
            best_weight: options.best_weight as f32,
            top_m: options.top_m.max(1),
        }
    }

    /// How near the text is, -1 to 1; an empty bank gives 0.
    pub(crate) fn score(&self, vector: &[f32]) -> f64 {
        let (mut best, mut sum, mut count) = (0.0, 0.0, 0);
        for cosine in self.prototypes.cosines(vector, self.top_m) {
            if count == 0 {
                best = cosine;
            }
            sum += cosine;
            count += 1;
        }
        let mean = sum / count.max(1) as f32;
        f64::from(self.best_weight * best + (1.0 - self.best_weight) * mean)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.prototypes.len()
    }
}

/// Mean directions, after merging the nearest pair again and again while it is near enough or there are too many.
fn cluster(vectors: &[Vector], options: &PrototypeOptions) -> Vec<Vec<f32>> {
    // Sums of unit vectors; a cluster's direction is its normalised sum.
    let mut sums: Vec<Vec<f32>> = vectors.iter().map(|v| v.to_vec()).collect();
    let mut means = sums.clone();
    means.iter_mut().for_each(|m| fingerpost_encode::normalize(m));
    // Each cluster's nearest later cluster: found again only where a merge touched it.
    let nearest = |i: usize, means: &[Vec<f32>]| -> (f32, usize) {
        let mut best = (f32::NEG_INFINITY, i);
        for (j, other) in means.iter().enumerate().skip(i + 1) {
            let cosine = dot(&means[i], other);
            if cosine > best.0 {
                best = (cosine, j);
            }
        }
        best
    };
    let mut links: Vec<(f32, usize)> = (0..means.len()).map(|i| nearest(i, &means)).collect();
    while means.len() > 1 {
        let mut best = (f32::NEG_INFINITY, 0, 0);
        for (i, (cosine, j)) in links.iter().enumerate() {
            if *cosine > best.0 {
                best = (*cosine, i, *j);
            }
        }
        let (cosine, i, j) = best;
        if i == j || (f64::from(cosine) < options.cluster_similarity && means.len() <= options.max_prototypes)
        {
            break;
        }
        let gone = sums.remove(j);
        means.remove(j);
        links.remove(j);
        for (total, value) in sums[i].iter_mut().zip(gone) {
            *total += value;
        }
        means[i].clone_from(&sums[i]);
        fingerpost_encode::normalize(&mut means[i]);
        for k in 0..links.len() {
            let (cosine, to) = links[k];
            if k == i || to == i || to == j {
                links[k] = nearest(k, &means);
                continue;
            }
            if to > j {
                links[k].1 = to - 1;
            }
            if k < i {
                let moved = dot(&means[k], &means[i]);
                if moved > cosine || (moved == cosine && i < links[k].1) {
                    links[k] = (moved, i);
                }
            }
        }
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(degrees: f32) -> Vector {
        let angle = degrees.to_radians();
        Vector::new([angle.cos(), angle.sin()])
    }

    #[test]
    fn near_examples_become_one_prototype() {
        let options = PrototypeOptions::default();
        // cos 20 degrees is .94: the first two merge, at 10 degrees; the third stays 80 degrees off.
        let bank = Bank::of_vectors(&[at(0.0), at(20.0), at(90.0)], &options);
        assert_eq!(bank.len(), 2);
        let best = 10.0_f64.to_radians().cos();
        let mean = (best + 90.0_f64.to_radians().cos()) / 2.0;
        assert!((bank.score(&at(0.0)) - (0.75 * best + 0.25 * mean)).abs() < 1e-6);
    }

    #[test]
    fn at_most_so_many_prototypes() {
        let options = PrototypeOptions {
            max_prototypes: 2,
            ..PrototypeOptions::default()
        };
        let vectors: Vec<Vector> = [0.0, 40.0, 100.0, 180.0].into_iter().map(at).collect();
        // 0 and 40 are nearest; then 20 and 100 (80 apart) and 100 and 180 (80 apart), whichever.
        assert_eq!(Bank::of_vectors(&vectors, &options).len(), 2);
        let loose = PrototypeOptions {
            cluster_similarity: -1.0,
            ..options
        };
        assert_eq!(Bank::of_vectors(&vectors, &loose).len(), 1);
    }

    #[test]
    fn an_empty_bank_and_a_single_prototype() {
        let options = PrototypeOptions::default();
        assert_eq!(Bank::of_vectors(&[], &options).score(&at(0.0)), 0.0);
        let one = Bank::of_vectors(&[at(60.0)], &options);
        assert!((one.score(&at(0.0)) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn links_stay_right_while_clusters_merge() {
        // Against the plain algorithm that looks at all pairs each time.
        let plain = |vectors: &[Vector], options: &PrototypeOptions| {
            let mut sums: Vec<Vec<f32>> = vectors.iter().map(|v| v.to_vec()).collect();
            loop {
                let means: Vec<Vector> = sums.iter().map(|s| Vector::normalized(s.clone())).collect();
                let mut best = (f32::NEG_INFINITY, 0, 0);
                for i in 0..means.len() {
                    for j in i + 1..means.len() {
                        let cosine = dot(&means[i], &means[j]);
                        if cosine > best.0 {
                            best = (cosine, i, j);
                        }
                    }
                }
                let fits = means.len() <= options.max_prototypes;
                if best.1 == best.2 || (f64::from(best.0) < options.cluster_similarity && fits) {
                    return means.len();
                }
                let gone = sums.remove(best.2);
                sums[best.1].iter_mut().zip(gone).for_each(|(a, b)| *a += b);
            }
        };
        for seed in 0..40_u32 {
            let vectors: Vec<Vector> = (0..30)
                .map(|i| at((seed * 37 + i * i * 11 % 331) as f32))
                .collect();
            for similarity in [0.9, 0.99, 0.999] {
                let options = PrototypeOptions {
                    cluster_similarity: similarity,
                    max_prototypes: 64,
                    ..PrototypeOptions::default()
                };
                assert_eq!(
                    Bank::of_vectors(&vectors, &options).len(),
                    plain(&vectors, &options),
                    "{seed}"
                );
            }
        }
    }
}
