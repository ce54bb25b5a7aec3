//! Communities: bottom-up against top-down on graphs whose tree is known, and odd graphs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails panics")]

use fingerpost_hierarchy::{
    Graph,
    communities::{
        BlockModel, Communities, CommunityError, CommunityOptions, accuracy, communities, link, modularity,
        top_down,
    },
};

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
