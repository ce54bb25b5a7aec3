//! How well encoders tell intents apart: nearest-centroid accuracy on clinc150 and banking77.
//!
//! `cargo run -p fingerpost-encode --release --example centroid -- --data DIR [--minilm DIR] [--split val]`
//!
//! A centroid is the normalised mean of an intent's training vectors; a row of the judged split counts
//! as right if its own centroid is the most similar. Out-of-scope rows are left out. With `--minilm`
//! the teacher itself and the plain recipe at 256 dims are judged beside the bundled encoder.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use fingerpost_encode::distill::{DistillOptions, Recipe, distill};
use fingerpost_encode::{Encoder, MiniLm, StaticEncoder, Vector};
use serde_json::{Value, json};

type Rows = Vec<(String, String)>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (mut data, mut minilm, mut split) = (None, None, "test".to_string());
    while let Some(option) = arguments.next() {
        let value = arguments
            .next()
            .ok_or_else(|| format!("{option} needs a value"))?;
        match option.as_str() {
            "--data" => data = Some(PathBuf::from(value)),
            "--minilm" => minilm = Some(PathBuf::from(value)),
            "--split" => split = value,
            _ => return Err(format!("unknown option {option}; known: --data --minilm --split").into()),
        }
    }
    let data = data.ok_or("--data DIR is needed: the folder with clinc150 and banking77")?;
    let mut encoders: Vec<(&str, Box<dyn Encoder>)> = vec![("static", Box::new(StaticEncoder::bundled()))];
    if let Some(folder) = minilm {
        let teacher = MiniLm::open(&folder)?;
        let plain = DistillOptions {
            dims: 256,
            recipe: Recipe::Plain,
        };
        let plain = distill(&teacher, &plain, &mut |progress| eprintln!("{progress:?}"))?;
        encoders.push(("plain_256", Box::new(StaticEncoder::new(plain)?)));
        encoders.push(("minilm", Box::new(teacher)));
    }
    let mut result = serde_json::Map::new();
    for (name, encoder) in &encoders {
        let mut figures = serde_json::Map::new();
        figures.insert("model".into(), json!(encoder.model().to_string()));
        for set in ["clinc150", "banking77"] {
            let judged = data.join(set).join(format!("{split}.jsonl"));
            if judged.exists() {
                let train = read(&data.join(set).join("train.jsonl"))?;
                figures.insert(
                    set.into(),
                    json!(accuracy(encoder.as_ref(), &train, &read(&judged)?)),
                );
            }
        }
        result.insert((*name).into(), Value::Object(figures));
    }
    println!(
        "{}",
        serde_json::to_string_pretty(&json!({ "split": split, "nearest_centroid": result }))?
    );
    Ok(())
}

/// Texts and intents of the in-scope rows.
fn read(path: &Path) -> Result<Rows, Box<dyn Error>> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut rows = Vec::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line)?;
        let field = |name: &str| {
            row[name]
                .as_str()
                .map(str::to_string)
                .ok_or(format!("row without {name}: {line}"))
        };
        let intent = field("intent")?;
        if intent != "oos" {
            rows.push((field("text")?, intent));
        }
    }
    Ok(rows)
}

fn accuracy(encoder: &dyn Encoder, train: &Rows, judged: &Rows) -> f64 {
    let encode = |rows: &Rows| {
        let texts: Vec<&str> = rows.iter().map(|(text, _)| text.as_str()).collect();
        encoder.encode_batch(&texts)
    };
    let mut members: BTreeMap<&str, Vec<Vector>> = BTreeMap::new();
    for ((_, intent), vector) in train.iter().zip(encode(train)) {
        members.entry(intent).or_default().push(vector);
    }
    let centroids: Vec<(&str, Vector)> = members
        .iter()
        .filter_map(|(intent, vectors)| Some((*intent, Vector::centroid(vectors)?)))
        .collect();
    let right = judged.iter().zip(encode(judged)).filter(|((_, intent), vector)| {
        let nearest = centroids
            .iter()
            .max_by(|a, b| vector.dot(&a.1).total_cmp(&vector.dot(&b.1)));
        nearest.is_some_and(|(name, _)| name == intent)
    });
    right.count() as f64 / judged.len() as f64
}
