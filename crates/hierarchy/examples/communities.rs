//! Communities, measured: bottom-up against top-down on hierarchical block models, and real graphs end to end.
//!
//! `cargo run --release -p fingerpost-hierarchy --example communities -- [--svg DIR] [--seeds N]` prints one JSON object; the
//! real graphs are read from the shared data (`FINGERPOST_SHARED`), with a visible line where it is missing.
#![allow(clippy::unwrap_used, reason = "an example that fails panics")]

use std::{path::PathBuf, time::Instant};

use fingerpost_hierarchy::{
    Graph,
    communities::{
        BlockModel, Communities, CommunityOptions, Dendrogram, Merge, accuracy, communities, curve_svg,
        dendrogram_svg, link, modularity, top_down,
    },
};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};

const DEPTH: usize = 3;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        words
            .iter()
            .position(|w| w == name)
            .and_then(|i| words.get(i + 1))
    };
    let folder = after("--svg").map(PathBuf::from);
    let seeds: u64 = after("--seeds").map_or(20, |s| s.parse().unwrap());
    let mut rows = Vec::new();
    for a_last in [36.0, 48.0, 64.0] {
        for beta in [0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] {
            let model = BlockModel::geometric(2, DEPTH, 200, a_last, beta);
            rows.push(sweep(&json!({"a_last": a_last, "beta": beta}), &model, seeds));
            eprintln!("{}", rows[rows.len() - 1]);
        }
    }
    // Clear communities under faint levels, the communities ever clearer.
    let curve: Vec<Value> = (0..=11)
        .map(|i| {
            let chance = |a: f64| a * 1600_f64.ln() / 1600.0;
            let a_last = 16.0 + 4.0 * f64::from(i);
            let chances = [12.0, 12.4, 13.2, a_last].map(chance).to_vec();
            let model = BlockModel {
                branching: 2,
                leaf_size: 200,
                chances,
            };
            let row = sweep(&json!({"a": [12.0, 12.4, 13.2, a_last]}), &model, seeds);
            eprintln!("{row}");
            row
        })
        .collect();
    if let Some(folder) = &folder {
        std::fs::create_dir_all(folder).unwrap();
        let points = |key: &str, depth: usize| -> Vec<(f64, f64)> {
            curve
                .iter()
                .map(|r| {
                    (
                        r["divergence"][DEPTH - 1].as_f64().unwrap(),
                        r[key][depth - 1].as_f64().unwrap(),
                    )
                })
                .collect()
        };
        let curves = [
            ("bottom-up, depth 1".to_owned(), points("bottom_up", 1)),
            ("top-down, depth 1".to_owned(), points("top_down", 1)),
            ("bottom-up, depth 3".to_owned(), points("bottom_up", 3)),
            ("bottom-up, depth 2".to_owned(), points("bottom_up", 2)),
            ("top-down, depth 2".to_owned(), points("top_down", 2)),
        ];
        let axis = "divergence at the lowest level (exact recovery above 1)";
        let drawn = curve_svg(
            "Share of nodes under the right super-community",
            axis,
            &curves,
            Some(1.0),
        );
        std::fs::write(folder.join("recovery.svg"), drawn).unwrap();
    }
    let real: Vec<Value> = ["polblogs", "PGPgiantcompo", "power", "jazz"]
        .iter()
        .filter_map(|n| real(n, &folder))
        .collect();
    println!(
        "{}",
        json!({"seeds": seeds, "sweep": rows, "curve": curve, "real": real})
    );
}

fn find(graph: &Graph, seed: u64) -> Communities {
    let options = CommunityOptions {
        seed,
        ..CommunityOptions::default()
    };
    communities(graph, &options, &mut |_, _| true).unwrap()
}

/// Means over the seeds on one model: accuracy by depth, inversions, trees recovered whole, and labels gone wrong.
fn sweep(name: &Value, model: &BlockModel, seeds: u64) -> Value {
    let (mut up, mut down, mut flipped) = ([0.0; DEPTH], [0.0; DEPTH], [0.0; DEPTH]);
    let (mut inversions, mut whole) = ([0, 0], [0, 0]);
    for seed in 0..seeds {
        let graph = model.draw(seed);
        let (bottom, top) = (find(&graph, seed), top_down(&graph, None, seed));
        let (a, b) = (by_depth(&bottom, model), by_depth(&top, model));
        let mut rng = SmallRng::seed_from_u64(seed);
        let wrong: Vec<usize> = model
            .truth(DEPTH)
            .into_iter()
            .map(|l| {
                if rng.random_bool(0.1) {
                    rng.random_range(0..model.leaves())
                } else {
                    l
                }
            })
            .collect();
        let tree = Communities {
            dendrogram: link(&graph, &wrong),
            labels: model.truth(DEPTH).into_iter().map(Some).collect(),
            settled: true,
        };
        let c = by_depth(&tree, model);
        for depth in 0..DEPTH {
            up[depth] += a[depth] / seeds as f64;
            down[depth] += b[depth] / seeds as f64;
            flipped[depth] += c[depth] / seeds as f64;
        }
        inversions[0] += bottom.dendrogram.inversions();
        inversions[1] += top.dendrogram.inversions();
        whole[0] += u32::from(a.iter().all(|x| *x > 0.999));
        whole[1] += u32::from(b.iter().all(|x| *x > 0.999));
    }
    json!({
        "model": name, "divergence": (1..=DEPTH).map(|d| model.divergence(d)).collect::<Vec<_>>(),
        "bottom_up": up, "top_down": down, "inversions": inversions, "trees_recovered": whole,
        "tree_over_labels_with_a_tenth_wrong": flipped,
    })
}

fn by_depth(found: &Communities, model: &BlockModel) -> Vec<f64> {
    (1..=DEPTH)
        .map(|depth| {
            let groups = found.cut(1 << depth);
            let groups: Vec<usize> = groups.iter().map(|g| g.unwrap_or(usize::MAX)).collect();
            agreement(&groups, &model.truth(depth)).accuracy
        })
        .collect()
}

/// The best modularity over all cuts, and the groups of that cut.
fn best_cut(graph: &Graph, found: &Communities) -> (f64, usize) {
    let (part, labels) = found.inside(graph);
    (1..=found.dendrogram.leaves)
        .map(|groups| {
            let leaves = found.dendrogram.cut(groups);
            let labels: Vec<usize> = labels.iter().map(|&l| leaves[l]).collect();
            (modularity(&part, &labels), groups)
        })
        .fold((f64::MIN, 0), |a, b| if b.0 > a.0 { b } else { a })
}

fn real(name: &str, folder: &Option<PathBuf>) -> Option<Value> {
    let root = std::env::var_os("FINGERPOST_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let path = root.join(format!("data/graphs/{name}.graph"));
    if !path.exists() {
        eprintln!("skipped: {name} (no shared data)");
        return None;
    }
    let graph = Graph::read(&path).unwrap();
    let start = Instant::now();
    let bottom = find(&graph, 1);
    let seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let top = top_down(&graph, None, 1);
    let top_seconds = start.elapsed().as_secs_f64();
    let (part, labels) = bottom.inside(&graph);
    let (_, top_labels) = top.inside(&graph);
    // A random tree over the same communities.
    let mut rng = SmallRng::seed_from_u64(1);
    let mut open: Vec<usize> = (0..bottom.dendrogram.leaves).collect();
    let mut merges = Vec::new();
    while open.len() > 1 {
        let a = open.swap_remove(rng.random_range(0..open.len()));
        let b = open.swap_remove(rng.random_range(0..open.len()));
        merges.push(Merge {
            children: (a, b),
            similarity: 0.0,
            size: 0,
        });
        open.push(bottom.dendrogram.leaves + merges.len() - 1);
    }
    let random = Dendrogram {
        leaves: bottom.dendrogram.leaves,
        merges,
    };
    if let Some(folder) = folder {
        std::fs::write(
            folder.join(format!("{name}.svg")),
            dendrogram_svg(&bottom.dendrogram, name, None),
        )
        .unwrap();
    }
    let (q, groups) = best_cut(&graph, &bottom);
    let (top_q, top_groups) = best_cut(&graph, &top);
    let row = json!({
        "graph": name, "nodes": part.nodes(), "edges": part.edge_count(),
        "bottom_up": {"communities": bottom.dendrogram.leaves, "settled": bottom.settled, "best_modularity": q, "at_groups": groups,
            "dasgupta": bottom.dendrogram.dasgupta_cost(&part, &labels), "inversions": bottom.dendrogram.inversions(),
            "seconds": seconds},
        "top_down": {"communities": top.dendrogram.leaves, "best_modularity": top_q, "at_groups": top_groups,
            "dasgupta": top.dendrogram.dasgupta_cost(&part, &top_labels), "inversions": top.dendrogram.inversions(),
            "seconds": top_seconds},
        "random_tree": {"dasgupta": random.dasgupta_cost(&part, &labels)},
    });
    eprintln!("{row}");
    Some(row)
}
