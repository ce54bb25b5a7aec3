//! Look-alikes against strangers at one size: the same skills and tasks, once beside their nearest others, once beside any.

use std::path::Path;

use fingerpost_agents::SkillTree;
use fingerpost_agents::single_agent_skills::Audit;
use fingerpost_encode::dot;
use fingerpost_index::{Lexical, Query as Words, Retrieve};
use rand::{
    SeedableRng,
    rngs::SmallRng,
    seq::{IndexedRandom, SliceRandom},
};
use serde_json::{Value, json};

use crate::{
    Fallible,
    data::Set,
    simulated::{How, Tally, choose, round, solvable},
};

const DRAWS: u64 = 20;

pub(crate) fn run(data: &Path, seeds: u64, how: How<'_>) -> Fallible<Value> {
    let set = Set::gorilla(data, how.reader)?;
    let all: Vec<usize> = (0..set.tasks.len()).collect();
    let solvable = solvable(&set);
    let mut rows = Vec::new();
    for base in [10_usize, 20, 40] {
        let mut differences = [const { Vec::new() }; 3];
        let mut means = [[0.0; 2]; 3];
        let mut confusability = [0.0; 2];
        let draws = DRAWS.max(seeds);
        for draw in 0..draws {
            let mut rng = SmallRng::seed_from_u64(draw);
            let pools = [&solvable, &all, &all];
            let mut results = [[0.0; 2]; 3];
            for (which, pool) in pools.iter().enumerate() {
                let (own, _) = set.draw(base, base, pool, &mut SmallRng::seed_from_u64(draw));
                for (kind, library) in [
                    beside(&set, &own, true, &mut rng),
                    beside(&set, &own, false, &mut rng),
                ]
                .into_iter()
                .enumerate()
                {
                    let tasks: Vec<(usize, usize)> = pool
                        .iter()
                        .filter_map(|&t| {
                            Some((
                                t,
                                library
                                    .iter()
                                    .position(|e| own.contains(e) && *e == set.tasks[t].gold)?,
                            ))
                        })
                        .collect();
                    results[which][kind] = match which {
                        0 => {
                            let mut tally = Tally::default();
                            let mut noise = SmallRng::seed_from_u64(draw);
                            let tree = choose(&set, &library, &tasks, None, how, &mut noise, &mut tally)?;
                            confusability[kind] += Audit::of(&tree, 0.85).confusability / draws as f64;
                            tally.accuracy()
                        }
                        1 => by_vector(&set, &library, &tasks),
                        _ => by_words(&set, &library, &tasks)?,
                    };
                }
                differences[which].push(results[which][0] - results[which][1]);
                for kind in 0..2 {
                    means[which][kind] += results[which][kind] / draws as f64;
                }
            }
        }
        for (which, who) in ["scripted model", "encoder", "BM25"].iter().enumerate() {
            let n = differences[which].len() as f64;
            let mean = differences[which].iter().sum::<f64>() / n;
            let spread =
                (differences[which].iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
            rows.push(json!({"size": 2 * base, "who": who, "draws": draws,
                "beside look-alikes": round(means[which][0]), "beside strangers": round(means[which][1]),
                "paired difference": round(mean), "t": round(mean / (spread / n.sqrt())),
                "draws lower": differences[which].iter().filter(|d| **d < 0.0).count(),
                "confusability": confusability.map(round)}));
        }
    }
    let (entries, vectors) = set.library(&(0..2000).collect::<Vec<_>>());
    let audit = Audit::of(&SkillTree::flat(&entries, &vectors)?, 0.85);
    Ok(
        json!({"paired": rows, "of the first 2000 entries": {"confusability": round(audit.confusability), "pairs above .85": audit.look_alikes.len(),
        "some": audit.look_alikes.iter().skip(audit.look_alikes.len() / 2).take(3).collect::<Vec<_>>()}}),
    )
}

/// The entries, and as many others: their nearest that are no copies, or any.
fn beside(set: &Set, own: &[usize], look_alikes: bool, rng: &mut SmallRng) -> Vec<usize> {
    let mut library = own.to_vec();
    for &entry in own {
        let free = (0..set.entries.len()).filter(|e| !library.contains(e));
        let other = if look_alikes {
            let near = |e: usize| dot(set.vector(entry), set.vector(e));
            // A copy of the same words would be another gold, not a competitor.
            free.filter(|&e| near(e) < 0.98 && set.entries[e].description != set.entries[entry].description)
                .max_by(|&a, &b| near(a).total_cmp(&near(b)))
        } else {
            free.collect::<Vec<_>>().choose(rng).copied()
        };
        library.extend(other);
    }
    library.shuffle(rng);
    library
}

fn by_vector(set: &Set, library: &[usize], tasks: &[(usize, usize)]) -> f64 {
    let right = tasks.iter().filter(|(task, gold)| {
        let near = |at: &usize| dot(&set.tasks[*task].vector, set.vector(library[*at]));
        (0..library.len()).max_by(|a, b| near(a).total_cmp(&near(b))) == Some(*gold)
    });
    right.count() as f64 / tasks.len().max(1) as f64
}

fn by_words(set: &Set, library: &[usize], tasks: &[(usize, usize)]) -> Fallible<f64> {
    let texts: Vec<String> = library
        .iter()
        .map(|&e| format!("{}: {}", set.entries[e].name, set.entries[e].description))
        .collect();
    let lexical = Lexical::new(texts.iter().enumerate().map(|(i, t)| (i as u64, t.as_str())));
    let mut right = 0;
    for (task, gold) in tasks {
        let query = Words {
            text: Some(&set.tasks[*task].text),
            vector: None,
        };
        right += usize::from(
            lexical
                .retrieve(query, 1, None)?
                .first()
                .is_some_and(|hit| hit.id == *gold as u64),
        );
    }
    Ok(right as f64 / tasks.len().max(1) as f64)
}
