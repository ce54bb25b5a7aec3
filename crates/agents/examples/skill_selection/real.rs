//! Retrievers on real libraries of growing size: what is hit, and what the tree saves.

use std::{path::Path, time::Instant};

use fingerpost_agents::{
    Beam, SkillTree, TreeOptions,
    single_agent_skills::{Audit, Curve, Laws, Measured, accuracy_svg},
};
use fingerpost_encode::estimate_tokens;
use fingerpost_index::{Lexical, Query as Words, Retrieve};
use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};
use serde_json::{Value, json};

use crate::{Fallible, data::Set, reading::Reader, simulated::round};

/// Tasks of one library.
const TASKS: usize = 400;

#[derive(Default, Clone)]
struct Point {
    tasks: f64,
    words: f64,
    flat: f64,
    tree: f64,
    flat_us: f64,
    tree_us: f64,
    compared: f64,
    shown: f64,
    listed: f64,
    confusability: f64,
    draws: f64,
}

pub(crate) fn run(
    data: &Path,
    reader: &Reader,
    seeds: u64,
    options: &TreeOptions,
) -> Fallible<(Value, Option<String>)> {
    let mut figures = json!({});
    let mut curves = Vec::new();
    let sets: [(Set, &[usize]); 2] = [
        (Set::metatool(data, reader)?, &[5, 10, 20, 50, 100, 199]),
        (
            Set::gorilla(data, reader)?,
            &[5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000],
        ),
    ];
    for (set, sizes) in &sets {
        let mut rows = Vec::new();
        let mut laws = [const { Vec::new() }; 2];
        let mut curve = [const { Vec::new() }; 3];
        for &size in *sizes {
            let mut point = Point::default();
            for seed in 0..seeds {
                // Small libraries have few tasks, so there are more of them.
                for repeat in 0..(60 / size).max(1) as u64 {
                    let mut rng = SmallRng::seed_from_u64(seed * 100 + repeat);
                    one(set, size, options, &mut rng, &mut point)?;
                }
            }
            let share = |x: f64| round(x / point.tasks);
            let measured = |accuracy: f64| Measured {
                size: size as f64,
                confusability: point.confusability / point.draws,
                accuracy: accuracy / point.tasks,
            };
            laws[0].push(measured(point.words));
            laws[1].push(measured(point.flat));
            for (curve, hits) in curve.iter_mut().zip([point.words, point.flat, point.tree]) {
                curve.push((size as f64, hits / point.tasks));
            }
            rows.push(json!({"tools": size, "tasks": point.tasks, "BM25": share(point.words), "encoder": share(point.flat), "encoder down the tree": share(point.tree),
                "us": {"flat": round(point.flat_us / point.tasks), "tree": round(point.tree_us / point.tasks)},
                "vectors compared": {"flat": size, "tree": (point.compared / point.tasks).round()},
                "tokens a model would be shown": {"flat": (point.listed / point.draws).round(), "tree": (point.shown / point.tasks).round()},
                "confusability": round(point.confusability / point.draws)}));
            eprintln!("{} {size}", set.name);
        }
        for (name, points) in ["BM25", "encoder", "encoder, tree"].iter().zip(curve) {
            curves.push(Curve {
                name: format!("{} {name}", set.name),
                points,
            });
        }
        figures[set.name] =
            json!({"rows": rows, "laws": {"BM25": Laws::fit(&laws[0]), "encoder": Laws::fit(&laws[1])}});
    }
    let picture = accuracy_svg(
        "Retrievers choose among tools (Hit@1)",
        "tools in the library",
        &curves,
    );
    Ok((figures, Some(picture)))
}

fn one(set: &Set, size: usize, options: &TreeOptions, rng: &mut SmallRng, point: &mut Point) -> Fallible<()> {
    let all: Vec<usize> = (0..set.tasks.len()).collect();
    let (library, mut tasks) = set.draw(size, 200, &all, rng);
    tasks.shuffle(rng);
    tasks.truncate(TASKS);
    let (entries, vectors) = set.library(&library);
    let flat = SkillTree::flat(&entries, &vectors)?;
    let tree = SkillTree::build(&entries, &vectors, options)?;
    let texts: Vec<String> = entries
        .iter()
        .map(|e| format!("{}: {}", e.name, e.description))
        .collect();
    let lexical = Lexical::new(texts.iter().enumerate().map(|(i, t)| (i as u64, t.as_str())));
    point.confusability += Audit::of(&flat, 0.85).confusability;
    point.listed += flat
        .top()
        .iter()
        .map(|&c| estimate_tokens(&flat.line(c)))
        .sum::<usize>() as f64;
    point.draws += 1.0;
    for (task, gold) in tasks {
        let own = &set.tasks[task];
        let query = Words {
            text: Some(&own.text),
            vector: None,
        };
        let hits = lexical.retrieve(query, 1, None)?;
        point.words += f64::from(hits.first().is_some_and(|hit| hit.id == gold as u64));
        let before = Instant::now();
        let walk = flat.walk(&own.vector, Beam::default());
        point.flat_us += before.elapsed().as_secs_f64() * 1e6;
        point.flat += f64::from(walk.leaves.first().is_some_and(|leaf| leaf.0 == gold as u32));
        let before = Instant::now();
        let walk = tree.walk(&own.vector, Beam::default());
        point.tree_us += before.elapsed().as_secs_f64() * 1e6;
        point.tree += f64::from(walk.leaves.first().is_some_and(|leaf| leaf.0 == gold as u32));
        point.compared += walk.compared as f64;
        let mut page = tree.top().to_vec();
        for stage in &walk.stages {
            point.shown += page
                .iter()
                .map(|&c| estimate_tokens(&tree.line(c)))
                .sum::<usize>() as f64;
            page = stage.kept.iter().flat_map(|c| tree.under(*c)).copied().collect();
        }
        point.tasks += 1.0;
    }
    Ok(())
}
