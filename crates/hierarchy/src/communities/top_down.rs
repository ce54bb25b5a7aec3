//! The baseline that bottom-up is measured against.

use rand::{SeedableRng, rngs::SmallRng};

use super::{Communities, induced, lanczos::Wanted, largest_component, spectral};
use crate::{Dendrogram, Graph, Merge};

/// The baseline: splits the graph in two by spectral clustering, and each side again while the Bethe-Hessian of the side still
/// tells two communities apart (or, with `depth`, so many times). Labels and tree are those of [`Communities`].
pub fn top_down(graph: &Graph, depth: Option<usize>, seed: u64) -> Communities {
    let mut rng = SmallRng::seed_from_u64(seed);
    let nodes = largest_component(graph);
    let mut labels = vec![None; graph.nodes()];
    // Splits by depth: the numbers of the parts, the density between them, the size.
    let mut parts: Vec<(Vec<u32>, usize)> = vec![(nodes, 0)];
    let mut splits: Vec<Option<(usize, usize, f64)>> = Vec::new();
    let mut at = 0;
    while at < parts.len() {
        let (nodes, level) = parts[at].clone();
        let part = induced(graph, &nodes);
        let again = match depth {
            Some(depth) => level < depth,
            None => {
                part.nodes() > 3
                    && spectral::bethe_hessian(&part, Wanted::SomeNegative(2), &mut rng)
                        .values
                        .len()
                        >= 2
            }
        };
        let sides = if again && part.nodes() > 1 {
            spectral::bisect(&part, &mut rng)
        } else {
            vec![0; part.nodes()]
        };
        let side = |which| -> Vec<u32> {
            let of = nodes.iter().zip(&sides).filter(|(_, s)| **s == which);
            of.map(|(&v, _)| v).collect()
        };
        let (left, right) = (side(0), side(1));
        if right.is_empty() {
            splits.push(None);
        } else {
            let across: f64 = (0..part.nodes())
                .filter(|&v| sides[v] == 0)
                .flat_map(|v| part.weighted_neighbours(v as u32))
                .filter(|&(u, _)| sides[u as usize] == 1)
                .map(|(_, weight)| weight)
                .sum();
            let density = across / (left.len() as f64 * right.len() as f64);
            splits.push(Some((parts.len(), parts.len() + 1, density)));
            parts.extend([(left, level + 1), (right, level + 1)]);
        }
        at += 1;
    }
    // Parts were split level by level, so the reverse order merges the deepest first.
    let mut names = vec![0; parts.len()];
    let mut leaves = 0;
    for (i, (nodes, _)) in parts.iter().enumerate().filter(|(i, _)| splits[*i].is_none()) {
        names[i] = leaves;
        nodes.iter().for_each(|&v| labels[v as usize] = Some(leaves));
        leaves += usize::from(!nodes.is_empty());
    }
    let mut merges = Vec::new();
    for (i, split) in splits.iter().enumerate().rev() {
        if let Some((left, right, similarity)) = *split {
            names[i] = leaves + merges.len();
            merges.push(Merge {
                children: (names[left], names[right]),
                similarity,
                size: parts[i].0.len(),
            });
        }
    }
    Communities {
        labels,
        dendrogram: Dendrogram { leaves, merges },
        settled: true,
    }
}
