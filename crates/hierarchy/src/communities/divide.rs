//! The smallest communities, their number unknown: spectral clustering of the graph, and of every part again while the part's
//! own spectrum shows more.
//!
//! Over the whole graph the noise of all edges hides communities whose edges are few among them; inside the part that holds
//! them it is less. So what one look does not count, the next look into a part does. Groups found so are then corrected node by
//! node ([`refine`](super::refine)), because a node that once fell on the wrong side could never come back.

use rand::rngs::SmallRng;

use super::{induced, refine::refine, spectral};
use crate::Graph;

/// Groups of nodes.
pub(super) struct Division {
    /// The group of each node, without gaps in the order of appearance.
    pub(super) groups: Vec<usize>,
    /// Whether the eigenvectors of the whole graph settled.
    pub(super) settled: bool,
}

/// As many communities as can be told apart. `go_on` is asked before each part; `None` once it says no.
pub(super) fn divide(
    graph: &Graph,
    normalize: bool,
    rng: &mut SmallRng,
    go_on: &mut dyn FnMut() -> bool,
) -> Option<Division> {
    let mut groups = vec![0; graph.nodes()];
    let mut count = 0;
    let mut settled = true;
    let mut open: Vec<Vec<u32>> = vec![(0..graph.nodes() as u32).collect()];
    while let Some(nodes) = open.pop() {
        if !go_on() {
            return None;
        }
        let whole = nodes.len() == graph.nodes();
        let part = induced(graph, &nodes);
        let mut spectrum = spectral::told_apart(&part, rng);
        if spectrum.vectors.len() < 2 && part.is_weighted() {
            // A few heavy edges can drown what the edges as such tell.
            spectrum = spectral::told_apart(&part.unweighted(), rng);
        }
        settled &= !whole || spectrum.settled;
        let sides = if spectrum.vectors.len() < 2 {
            vec![0; part.nodes()]
        } else {
            spectral::cluster(
                &spectrum.vectors,
                spectrum.vectors.len(),
                normalize,
                part.nodes(),
                rng,
            )
        };
        let found = sides.iter().max().map_or(0, |g| g + 1);
        if found < 2 {
            nodes.iter().for_each(|&v| groups[v as usize] = count);
            count += usize::from(!nodes.is_empty());
            continue;
        }
        let mut children = vec![Vec::new(); found];
        nodes
            .iter()
            .zip(sides)
            .for_each(|(&v, side)| children[side].push(v));
        open.extend(children);
    }
    Some(Division {
        groups: refine(graph, &groups),
        settled,
    })
}

/// A given number of communities, told apart or not.
pub(super) fn divide_into(graph: &Graph, count: usize, normalize: bool, rng: &mut SmallRng) -> Division {
    let spectrum = spectral::leading(graph, count, rng);
    let groups = spectral::cluster(&spectrum.vectors, count, normalize, graph.nodes(), rng);
    Division {
        groups: refine(graph, &groups),
        settled: spectrum.settled,
    }
}
