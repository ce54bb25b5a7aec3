//! Nested communities of a graph, bottom-up (Dreveton, Kuroda, Grossglauser and Thiran, arXiv 2306.00833; card 25).
//!
//! [`communities`] finds the smallest communities first, by the negative eigenvectors of the Bethe-Hessian, whose number nobody
//! has to give, and then merges them by the density of edges between them ([`average_linkage`](crate::average_linkage)). [`top_down`] is the baseline:
//! recursive spectral bisection. [`BlockModel`] draws graphs whose tree is known, and says when it can be recovered.

mod divide;
mod lanczos;
mod model;
mod modularity;
mod picture;
mod refine;
mod rewire;
mod spectral;
mod top_down;

use rand::{SeedableRng, rngs::SmallRng};
use serde::Serialize;

use self::divide::{Division, divide, divide_into};
pub use self::{
    model::BlockModel,
    modularity::modularity,
    picture::{curve_svg, dendrogram_svg},
    top_down::top_down,
};
use crate::{Dendrogram, Graph, average_linkage};

/// How communities are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommunityOptions {
    /// Communities at the bottom; without: as many as can be told apart.
    pub communities: Option<usize>,
    /// Whether each node's coordinates are brought to one length first: better where degrees differ widely. Default: true.
    pub normalize: bool,
    /// Seed of all random choices. Default: 1.
    pub seed: u64,
}

/// Communities and their tree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Communities {
    /// The community of each node; `None` outside the largest connected component.
    pub labels: Vec<Option<usize>>,
    /// The tree over the communities.
    pub dendrogram: Dendrogram,
    /// Whether the eigenvectors settled; if not, there may be more communities than were found.
    pub settled: bool,
}

/// Why there are no communities.
#[derive(Debug, thiserror::Error)]
pub enum CommunityError {
    /// The caller's progress function said so.
    #[error("stopped after step {0}")]
    Stopped(usize),
    /// More communities were asked for than there are nodes, or none.
    #[error("{found} communities of {nodes} connected nodes cannot be: allowed is 1 to {nodes}")]
    Number {
        /// What was asked for.
        found: usize,
        /// Nodes of the largest component.
        nodes: usize,
    },
}

// === impl CommunityOptions ===

impl Default for CommunityOptions {
    fn default() -> Self {
        Self {
            communities: None,
            normalize: true,
            seed: 1,
        }
    }
}

// === impl Communities ===

impl Communities {
    /// The group of each node once only `groups` are left.
    pub fn cut(&self, groups: usize) -> Vec<Option<usize>> {
        let leaves = self.dendrogram.cut(groups);
        self.labels.iter().map(|l| l.map(|l| leaves[l])).collect()
    }

    /// The labels of nodes inside the largest component, and that component.
    pub fn inside(&self, graph: &Graph) -> (Graph, Vec<usize>) {
        let nodes: Vec<u32> = (0..)
            .zip(&self.labels)
            .filter(|(_, l)| l.is_some())
            .map(|(v, _)| v)
            .collect();
        (
            induced(graph, &nodes),
            self.labels.iter().flatten().copied().collect(),
        )
    }
}

/// Finds the communities of the largest connected component and their tree. An empty graph has none. `progress` hears the steps
/// done of three (component, eigenvectors, groups) and stops the work by returning false. Time: O(edges + nodes * steps) for
/// each of at most 800 steps of the eigenvectors, then k-means.
///
/// # Errors
/// [`CommunityError`].
pub fn communities(
    graph: &Graph,
    options: &CommunityOptions,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Communities, CommunityError> {
    let mut step = |done| {
        if progress(done, 3) {
            Ok(())
        } else {
            Err(CommunityError::Stopped(done))
        }
    };
    let mut rng = SmallRng::seed_from_u64(options.seed);
    let nodes = largest_component(graph);
    let part = induced(graph, &nodes);
    if let Some(found) = options.communities.filter(|k| !(1..=nodes.len()).contains(k)) {
        return Err(CommunityError::Number {
            found,
            nodes: nodes.len(),
        });
    }
    step(1)?;
    let division = divide(&part, options.normalize, &mut rng, &mut || step(1).is_ok());
    let mut division = division.ok_or(CommunityError::Stopped(1))?;
    step(2)?;
    if let Some(count) = options.communities {
        let found = division.groups.iter().max().map_or(0, |g| g + 1);
        if found > count {
            let leaves = link(&part, &division.groups).cut(count);
            division.groups.iter_mut().for_each(|g| *g = leaves[*g]);
        } else if found < count {
            division = divide_into(&part, count, options.normalize, &mut rng);
        }
    }
    let Division { groups, settled } = division;
    let dendrogram = link(&part, &groups);
    step(3)?;
    let mut labels = vec![None; graph.nodes()];
    nodes
        .iter()
        .zip(groups)
        .for_each(|(&v, group)| labels[v as usize] = Some(group));
    Ok(Communities {
        labels,
        dendrogram,
        settled,
    })
}

/// The tree over given groups (numbers from 0 without gaps): average linkage of the densities w(a, b) / (|a| |b|).
///
/// # Panics
/// If there are not as many groups as nodes.
pub fn link(graph: &Graph, groups: &[usize]) -> Dendrogram {
    assert_eq!(groups.len(), graph.nodes(), "a group for each node");
    let count = groups.iter().max().map_or(0, |g| g + 1);
    let mut sizes = vec![0; count];
    groups.iter().for_each(|&g| sizes[g] += 1);
    let mut density = vec![vec![0.0; count]; count];
    for (v, &from) in groups.iter().enumerate() {
        for (u, weight) in graph.weighted_neighbours(v as u32) {
            let to = groups[u as usize];
            if from != to {
                density[from][to] += weight / (sizes[from] as f64 * sizes[to] as f64);
            }
        }
    }
    average_linkage(density, &sizes)
}

/// The nodes of the largest connected component, ascending; of equals the one with the lowest node.
fn largest_component(graph: &Graph) -> Vec<u32> {
    let mut seen = vec![false; graph.nodes()];
    let mut largest = Vec::new();
    for start in 0..graph.nodes() as u32 {
        if std::mem::replace(&mut seen[start as usize], true) {
            continue;
        }
        let mut component = vec![start];
        let mut at = 0;
        while at < component.len() {
            for &next in graph.neighbours(component[at]) {
                if !std::mem::replace(&mut seen[next as usize], true) {
                    component.push(next);
                }
            }
            at += 1;
        }
        if component.len() > largest.len() {
            largest = component;
        }
    }
    largest.sort_unstable();
    largest
}

/// The graph among some nodes (ascending), renumbered in their order.
fn induced(graph: &Graph, nodes: &[u32]) -> Graph {
    let mut number = vec![u32::MAX; graph.nodes()];
    (0..).zip(nodes).for_each(|(i, &v)| number[v as usize] = i);
    let (mut edges, mut weights) = (Vec::new(), Vec::new());
    for &a in nodes {
        let weighted = graph.weights(a);
        for (i, &b) in graph.neighbours(a).iter().enumerate() {
            if a < b && number[b as usize] != u32::MAX {
                edges.push((number[a as usize], number[b as usize]));
                weights.extend(weighted.map(|w| w[i]));
            }
        }
    }
    Graph::new(nodes.len(), &edges, (!weights.is_empty()).then_some(&weights))
}

/// The groups numbered from 0 without gaps, in the order of appearance.
fn densely_numbered(groups: &[usize]) -> Vec<usize> {
    let mut names = rustc_hash::FxHashMap::default();
    let name = |&group: &usize| {
        let next = names.len();
        *names.entry(group).or_insert(next)
    };
    groups.iter().map(name).collect()
}
