//! Profiles without training: a node's vector is mixed with its neighbours', once a hop.
//!
//! Over each kind of link the messages to a node are summed, each with the weight `deg_from^-1/2 · deg_to^-1/2` (degrees over that
//! kind of link, one at least) times five times the link's score where it has one; what comes over several kinds is averaged, added to the
//! node's own vector, and brought to length one. Card: `systems/24`, emb-GNN.
//!
//! Differs: the own vector stays in at every hop, and lengths are one after every hop, not only at the end, so that a kind of
//! link with many neighbours does not drown the others.

use super::{
    graph::{Graph, Link, Tie},
    net::normalized,
};

/// Scores above the mean are small beside vectors of length one; messages that carry them are scaled by so much. (1, 5, 10, 20 were
/// tried on the train part of `routeprofile8`.)
const GAIN: f32 = 5.0;

/// Every node's vector after so many hops.
pub(crate) fn propagate(graph: &Graph, hops: usize) -> Vec<Vec<f32>> {
    let mut now: Vec<Vec<f32>> = graph.nodes.iter().map(|n| n.vector.clone()).collect();
    let ways = ways(graph);
    for _ in 0..hops {
        now = hop(graph, &ways, &now);
    }
    now
}

/// The links over which one kind of message runs, as sender, receiver and weight.
pub(crate) type Way = Vec<(usize, usize, f32)>;

/// One way for each tie and direction that has links.
fn ways(graph: &Graph) -> Vec<Way> {
    let mut ways = Vec::new();
    for tie in Tie::ALL {
        let links: Vec<&Link> = graph.of(tie).collect();
        if links.is_empty() {
            continue;
        }
        let mut degrees = vec![0_f32; graph.nodes.len()];
        for link in &links {
            degrees[link.a] += 1.0;
            degrees[link.b] += 1.0;
        }
        let gain = |l: &Link| if l.score.is_some() { GAIN } else { 1.0 };
        let weight = |l: &Link| gain(l) * l.weight() / (degrees[l.a] * degrees[l.b]).sqrt();
        ways.push(links.iter().map(|l| (l.a, l.b, weight(l))).collect());
        ways.push(links.iter().map(|l| (l.b, l.a, weight(l))).collect());
    }
    ways
}

fn hop(graph: &Graph, ways: &[Way], now: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let mut sums = vec![vec![0_f32; graph.dims]; now.len()];
    let mut kinds = vec![0_f32; now.len()];
    for way in ways {
        let mut reached = vec![false; now.len()];
        for &(from, to, weight) in way {
            reached[to] = true;
            add(&mut sums[to], &now[from], weight);
        }
        for (count, reached) in kinds.iter_mut().zip(reached) {
            *count += f32::from(u8::from(reached));
        }
    }
    let mixed = |((own, mut sum), kinds): ((&Vec<f32>, Vec<f32>), f32)| {
        let share = 1.0 / kinds.max(1.0);
        sum.iter_mut().zip(own).for_each(|(s, o)| *s = *s * share + o);
        normalized(sum)
    };
    now.iter().zip(sums).zip(kinds).map(mixed).collect()
}

/// `to += weight · from`; a vector of another length adds nothing beyond its end.
pub(crate) fn add(to: &mut [f32], from: &[f32], weight: f32) {
    to.iter_mut().zip(from).for_each(|(t, f)| *t += weight * f);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::graph::{Kind, Node};

    fn node(kind: Kind, vector: [f32; 2]) -> Node {
        Node {
            kind,
            name: String::new(),
            text: String::new(),
            vector: vector.to_vec(),
        }
    }

    #[test]
    fn a_hop_on_hand_computed_numbers() {
        let link = |tie, a, b, score: Option<f32>, above| Link {
            tie,
            a,
            b,
            score,
            above,
        };
        // A model of a family, better by 0.5 at one query and worse by 0.5 at another.
        let graph = Graph {
            nodes: vec![
                node(Kind::Model, [1.0, 0.0]),
                node(Kind::Family, [0.0, 1.0]),
                node(Kind::Query, [0.0, 1.0]),
                node(Kind::Query, [1.0, 0.0]),
            ],
            links: vec![
                link(Tie::FamilyModel, 1, 0, None, 0.0),
                link(Tie::QueryModel, 2, 0, Some(1.0), 0.5),
                link(Tie::QueryModel, 3, 0, Some(0.0), -0.5),
            ],
            models: vec![0],
            tasks: Vec::new(),
            dims: 2,
        };
        // Family: (0, 1). Queries: 5 · 0.5 / sqrt 2 · ((0, 1) - (1, 0)). Their mean, and (1, 0).
        let each = GAIN * 0.5 / 2_f32.sqrt();
        let expected = normalized(vec![1.0 - each / 2.0, (1.0 + each) / 2.0]);
        let found = &propagate(&graph, 1)[0];
        assert!((found[0] - expected[0]).abs() < 1e-6 && (found[1] - expected[1]).abs() < 1e-6);
        assert_eq!(propagate(&graph, 0)[0], [1.0, 0.0]);
    }
}
