//! Communities, measured: bottom-up against top-down on hierarchical block models, and real graphs end to end.
//!
//! `cargo run --release -p fingerpost-hierarchy --example communities -- [--svg DIR] [--seeds N] [--part sweep|curve|real]` prints one JSON object; the
//! real graphs are read from the shared data (`FINGERPOST_SHARED`), with a visible line where it is missing.
#![allow(clippy::unwrap_used, reason = "an example that fails panics")]

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    time::Instant,
};

use fingerpost_hierarchy::{
    Dendrogram, Graph, Merge, agreement,
    communities::{
        BlockModel, Communities, CommunityOptions, communities, curve_svg, dendrogram_svg, link, modularity,
        top_down,
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
    let part = after("--part").cloned();
    let wanted = |name: &str| part.as_ref().is_none_or(|p| p == name);
    let mut rows = Vec::new();
    for a_last in [36.0, 48.0, 64.0] {
        for beta in [0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] {
            if !wanted("sweep") {
                continue;
            }
            let model = BlockModel::geometric(2, DEPTH, 200, a_last, beta);
            rows.push(sweep(&json!({"a_last": a_last, "beta": beta}), &model, seeds));
            eprintln!("{}", rows[rows.len() - 1]);
        }
    }
    // Clear communities under faint levels, the communities ever clearer.
    let curve: Vec<Value> = (0..=11)
        .filter(|_| wanted("curve"))
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
    }
    if let Some(folder) = folder.as_ref().filter(|_| wanted("curve")) {
        let points = |of: &dyn Fn(&Value) -> f64| -> Vec<(f64, f64)> {
            let x = |r: &Value| r["divergence"][DEPTH - 1].as_f64().unwrap();
            curve.iter().map(|r| (x(r), of(r))).collect()
        };
        let mut curves = Vec::new();
        for (name, key, which) in [("bottom-up", "bottom_up", 0), ("top-down", "top_down", 1)] {
            for depth in 1..=DEPTH {
                let share = points(&|r| r[key][depth - 1].as_f64().unwrap());
                curves.push((format!("{name}, depth {depth}"), share));
            }
            let whole = points(&|r| r["trees_recovered"][which].as_f64().unwrap() / seeds as f64);
            curves.push((format!("{name}, whole trees"), whole));
        }
        let axis = "divergence at the lowest level (exact recovery above 1)";
        let drawn = curve_svg(
            "Share of nodes under the right super-community",
            axis,
            &curves,
            Some(1.0),
        );
        std::fs::write(folder.join("recovery.svg"), drawn).unwrap();
    }
    let real: Vec<Value> = [
        "polblogs.graph",
        "jazz.graph",
        "lesmis.graph",
        "power.graph",
        "MIT8.edgelist",
        "PGPgiantcompo.graph",
    ]
    .iter()
    .filter(|_| wanted("real"))
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

/// Louvain (Blondel and others 2008), the reference for modularity alone: groups of the last level.
fn louvain(graph: &Graph, seed: u64) -> Vec<usize> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut of: Vec<usize> = (0..graph.nodes()).collect();
    // Links between the nodes of a level, loops counted at both ends.
    let mut links: Vec<HashMap<usize, f64>> = (0..graph.nodes() as u32)
        .map(|v| {
            graph
                .weighted_neighbours(v)
                .map(|(u, w)| (u as usize, w))
                .collect()
        })
        .collect();
    loop {
        let n = links.len();
        let degrees: Vec<f64> = links.iter().map(|l| l.values().sum()).collect();
        let total: f64 = degrees.iter().sum();
        let (mut group, mut sums): (Vec<usize>, Vec<f64>) = ((0..n).collect(), degrees.clone());
        let mut moved_ever = false;
        loop {
            let mut moved = false;
            for _ in 0..n {
                let v = rng.random_range(0..n);
                let mut towards: HashMap<usize, f64> = HashMap::from([(group[v], 0.0)]);
                for (&u, &w) in links[v].iter().filter(|(u, _)| **u != v) {
                    *towards.entry(group[u]).or_default() += w;
                }
                sums[group[v]] -= degrees[v];
                let gain = |g: usize, w: f64| w - degrees[v] * sums[g] / total;
                let mut best = (group[v], gain(group[v], towards[&group[v]]));
                for (&g, &w) in &towards {
                    let found = gain(g, w);
                    if found > best.1 + 1e-9 {
                        best = (g, found);
                    }
                }
                moved |= best.0 != group[v];
                group[v] = best.0;
                sums[best.0] += degrees[v];
            }
            moved_ever |= moved;
            if !moved {
                break;
            }
        }
        if !moved_ever {
            return of;
        }
        let mut names = HashMap::new();
        let named: Vec<usize> = group
            .iter()
            .map(|g| {
                let next = names.len();
                *names.entry(*g).or_insert(next)
            })
            .collect();
        let mut next = vec![HashMap::new(); names.len()];
        for (v, links) in links.iter().enumerate() {
            for (&u, &w) in links {
                *next[named[v]].entry(named[u]).or_insert(0.0) += w;
            }
        }
        of.iter_mut().for_each(|o| *o = named[*o]);
        links = next;
    }
}

fn real(file: &str, folder: &Option<PathBuf>) -> Option<Value> {
    let root = std::env::var_os("FINGERPOST_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let path = root.join(format!("data/graphs/{file}"));
    let name = file.split('.').next().unwrap_or(file);
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
    let reference = louvain(&part, 1);
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
        "louvain": {"modularity": modularity(&part, &reference), "communities": reference.iter().collect::<HashSet<_>>().len()},
        "random_tree": {"dasgupta": random.dasgupta_cost(&part, &labels)},
    });
    eprintln!("{row}");
    Some(row)
}
