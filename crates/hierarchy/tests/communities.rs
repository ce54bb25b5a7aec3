//! Communities: bottom-up against top-down on graphs whose tree is known, and odd graphs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails panics")]

use fingerpost_hierarchy::{
    Graph, agreement,
    communities::{
        BlockModel, Communities, CommunityError, CommunityOptions, communities, link, modularity, top_down,
    },
};
use rand::{Rng, SeedableRng, rngs::SmallRng};

fn find(graph: &Graph) -> Communities {
    communities(graph, &CommunityOptions::default(), &mut |_, _| true).unwrap()
}

/// Agreement with the truth at each depth of the tree, 1 and down.
fn by_depth(found: &Communities, model: &BlockModel) -> Vec<f64> {
    let depths = 1..=model.depth();
    depths
        .map(|depth| {
            let groups = found.cut(model.branching.pow(depth as u32));
            // Nodes outside the component count as wrong.
            let groups: Vec<usize> = groups.iter().map(|g| g.unwrap_or(usize::MAX)).collect();
            agreement(&groups, &model.truth(depth)).accuracy
        })
        .collect()
}

#[test]
fn bottom_up_finds_the_levels_that_top_down_misses() {
    let (mut up, mut down) = (vec![0.0; 3], vec![0.0; 3]);
    let (mut inversions_up, mut inversions_down) = (0, 0);
    for seed in 0..5 {
        // Clear communities under faint levels: the first split has little to go by.
        let chance = |a: f64| a * 1600_f64.ln() / 1600.0;
        let model = BlockModel {
            branching: 2,
            leaf_size: 200,
            chances: [12.0, 12.4, 13.2, 40.0].map(chance).to_vec(),
        };
        let graph = model.draw(seed);
        let (bottom, top) = (find(&graph), top_down(&graph, None, seed));
        up.iter_mut()
            .zip(by_depth(&bottom, &model))
            .for_each(|(s, a)| *s += a / 5.0);
        down.iter_mut()
            .zip(by_depth(&top, &model))
            .for_each(|(s, a)| *s += a / 5.0);
        inversions_up += bottom.dendrogram.inversions();
        inversions_down += top.dendrogram.inversions();
    }
    assert!(
        up.iter().zip(&down).all(|(u, d)| *u >= d - 0.01),
        "{up:?} {down:?}"
    );
    assert!(up.iter().all(|u| *u > 0.95), "{up:?} {down:?}");
    assert!(
        up.iter().zip(&down).all(|(u, d)| *u > d + 0.01),
        "{up:?} {down:?}"
    );
    assert_eq!(inversions_up, 0, "top-down: {inversions_down}");
}

#[test]
fn communities_too_faint_for_the_whole_graph_are_found_in_its_parts() {
    // The lowest level stands out by 13 links among 180: the whole spectrum hides it, a part's shows it.
    for (branching, depth, a, beta) in [(2, 3, 36.0, 0.6), (2, 3, 48.0, 0.7), (3, 2, 50.0, 0.6)] {
        let model = BlockModel::geometric(branching, depth, 200, a, beta);
        let graph = model.draw(1);
        let (bottom, top) = (find(&graph), top_down(&graph, None, 1));
        let (up, down) = (by_depth(&bottom, &model), by_depth(&top, &model));
        assert_eq!(bottom.dendrogram.leaves, model.leaves(), "{a} {beta}");
        assert!(
            up.iter().zip(&down).all(|(u, d)| *u >= d - 0.01),
            "{up:?} {down:?}"
        );
        assert!(up.iter().all(|u| *u > 0.9), "{up:?} {down:?}");
    }
}

#[test]
fn chance_is_no_community() {
    // All pairs alike, sparse to dense.
    for (nodes, chance) in [(200, 0.02), (200, 0.5), (600, 0.01), (600, 0.1)] {
        let model = BlockModel {
            branching: 2,
            leaf_size: nodes,
            chances: vec![chance],
        };
        for seed in 0..5 {
            assert_eq!(
                find(&model.draw(seed)).dendrogram.leaves,
                1,
                "{nodes} {chance} {seed}"
            );
        }
    }
}

/// Nodes in `blocks` turns whose degrees follow a power law, links four times likelier inside a block.
fn hubs(blocks: usize, nodes: usize, seed: u64) -> Graph {
    let mut rng = SmallRng::seed_from_u64(seed);
    let draw = |_| {
        (1.0 - rng.random::<f64>())
            .powf(-1.0 / 1.5)
            .min(nodes as f64 / 30.0)
    };
    let degrees: Vec<f64> = (0..nodes).map(draw).collect();
    let scale = 30.0 * nodes as f64 / degrees.iter().sum::<f64>().powi(2);
    let mut edges = Vec::new();
    for a in 0..nodes {
        for b in 0..a {
            let factor = match (blocks, a % blocks == b % blocks) {
                (1, _) => 1.0,
                (_, true) => 0.8 * blocks as f64,
                (_, false) => 0.2 * blocks as f64 / (blocks as f64 - 1.0),
            };
            if rng.random::<f64>() < scale * degrees[a] * degrees[b] * factor {
                edges.push((a as u32, b as u32));
            }
        }
    }
    Graph::new(nodes, &edges, None)
}

#[test]
fn hubs_are_no_communities() {
    for (blocks, nodes) in [(1, 1_000), (2, 1_000), (4, 1_500)] {
        for seed in 0..2 {
            let found = find(&hubs(blocks, nodes, seed));
            // Beside true communities the largest hubs may make one more; it joins its own first.
            let most = if blocks == 1 { 1 } else { blocks + 1 };
            let count = found.dendrogram.leaves;
            assert!(
                (blocks..=most).contains(&count),
                "{count} of {blocks}, seed {seed}"
            );
            let groups: Vec<usize> = found
                .cut(blocks)
                .iter()
                .map(|g| g.unwrap_or(usize::MAX))
                .collect();
            let truth: Vec<usize> = (0..nodes).map(|v| v % blocks).collect();
            let right = agreement(&groups, &truth).accuracy;
            assert!(right > 0.95, "{right} of {blocks}, seed {seed}");
        }
    }
}

#[test]
fn weights_are_heard() {
    // All links alike; only their weights tell the halves apart.
    let mut rng = SmallRng::seed_from_u64(7);
    let (mut edges, mut weights) = (Vec::new(), Vec::new());
    for a in 0..200_u32 {
        for b in 0..a {
            if rng.random_bool(0.3) {
                edges.push((a, b));
                weights.push(if (a < 100) == (b < 100) { 1.0 } else { 0.2 });
            }
        }
    }
    let found = find(&Graph::new(200, &edges, Some(&weights)));
    let halves: Vec<Option<usize>> = (0..200).map(|v| Some(usize::from(v >= 100))).collect();
    assert_eq!(found.labels, halves);
    assert_eq!(find(&Graph::new(200, &edges, None)).dendrogram.leaves, 1);
    // The density at the root is that of the weights.
    let root = found.dendrogram.merges[0].similarity;
    assert!((root - 0.06).abs() < 0.01, "{root}");
    let bisected = top_down(&Graph::new(200, &edges, Some(&weights)), Some(1), 1);
    assert_eq!(bisected.dendrogram.merges.len(), 1);
    assert!(bisected.dendrogram.merges[0].similarity < 0.2);
}

#[test]
fn asked_for_a_number_it_finds_that_number() {
    let graph = BlockModel::geometric(2, 3, 60, 60.0, 0.4).draw(3);
    for count in [1, 2, 4, 8, 11] {
        let options = CommunityOptions {
            communities: Some(count),
            ..CommunityOptions::default()
        };
        let found = communities(&graph, &options, &mut |_, _| true).unwrap();
        assert!(found.dendrogram.leaves <= count, "{count}");
        assert!(count > 8 || found.dendrogram.leaves == count, "{count}");
    }
}

#[test]
fn the_tree_survives_labels_gone_wrong() {
    let model = BlockModel::geometric(2, 3, 100, 60.0, 0.4);
    let graph = model.draw(9);
    let mut labels = model.truth(3);
    for v in (0..labels.len()).step_by(10) {
        labels[v] = (labels[v] + 1 + v / 10) % 8;
    }
    let tree = link(&graph, &labels);
    let cut = tree.cut(2);
    assert!(
        cut[..4].iter().all(|g| *g == cut[0]) && cut[4..].iter().all(|g| *g != cut[0]),
        "{cut:?}"
    );
}

#[test]
fn odd_graphs() {
    assert_eq!(find(&Graph::new(0, &[], None)).dendrogram.leaves, 0);
    let lonely = find(&Graph::new(3, &[], None));
    assert_eq!(lonely.labels, [Some(0), None, None]);
    let pair = find(&Graph::new(3, &[(1, 2)], None));
    assert_eq!(pair.labels, [None, Some(0), Some(0)]);
    assert_eq!(top_down(&Graph::new(0, &[], None), None, 1).dendrogram.leaves, 0);
    let two = CommunityOptions {
        communities: Some(4),
        ..CommunityOptions::default()
    };
    let error = communities(&Graph::new(3, &[(1, 2)], None), &two, &mut |_, _| true).unwrap_err();
    assert!(matches!(error, CommunityError::Number { found: 4, nodes: 2 }));
    let error = communities(
        &Graph::new(2, &[(0, 1)], None),
        &CommunityOptions::default(),
        &mut |d, _| d < 2,
    );
    assert!(matches!(error, Err(CommunityError::Stopped(2))));
}

#[test]
fn one_seed_finds_one_tree() {
    let graph = BlockModel::geometric(2, 2, 60, 40.0, 0.3).draw(2);
    assert_eq!(find(&graph), find(&graph));
    let (part, labels) = find(&graph).inside(&graph);
    assert!(modularity(&part, &labels) > 0.3);
}
