//! Taxonomies against the truth: `--answers FILE.csv` reads the hierarchies of language models, `--intents FILE.jsonl` builds
//! one over texts with known intents and domains.

use std::{error::Error, fs, path::PathBuf};

use fingerpost_encode::{Encoder, StaticEncoder};
use fingerpost_hierarchy::{
    Criterion, agreement,
    taxonomy::{Options, build, parse},
    vector_linkage,
};

fn main() -> Result<(), Box<dyn Error>> {
    let shared = PathBuf::from(std::env::var("FINGERPOST_SHARED")?).join("data");
    let mode = std::env::args().nth(1).unwrap_or_default();
    if mode == "parse" {
        let mut reader = csv::Reader::from_path(shared.join("chime/raw_generated_hierarchy.csv"))?;
        let (mut ok, mut roots, mut nodes) = (0, 0, 0);
        let mut hist = std::collections::BTreeMap::new();
        for row in reader.records() {
            let row = row?;
            match parse(&row[1], &row[2]) {
                Ok(p) => {
                    ok += 1;
                    let r = p.taxonomy.categories.len();
                    roots += r;
                    nodes += p.taxonomy.walk().len();
                    *hist.entry(r).or_insert(0) += 1;
                    if !(3..=6).contains(&r) {
                        println!(
                            "ODD {} {r} {:?}",
                            &row[1],
                            p.taxonomy
                                .categories
                                .iter()
                                .map(|c| c.name.clone())
                                .collect::<Vec<_>>()
                        );
                    }
                    for s in &p.skipped {
                        println!("SKIP {} {} {}", &row[1], s.0, s.1);
                    }
                }
                Err(e) => println!("ERR {e}"),
            }
        }
        println!("{ok} {roots} {nodes} {hist:?}");
        return Ok(());
    }
    let text = fs::read_to_string(shared.join(format!("clinc150/{mode}.jsonl")))?;
    let (mut texts, mut intents, mut domains) = (vec![], vec![], vec![]);
    let mut ids = std::collections::HashMap::new();
    for line in text.lines() {
        let v: serde_json::Value = serde_json::from_str(line)?;
        if v["intent"] == "oos" {
            continue;
        }
        texts.push(v["text"].as_str().unwrap_or_default().to_string());
        let n = ids.len();
        intents.push(*ids.entry(v["intent"].to_string()).or_insert(n));
        let n = ids.len();
        domains.push(*ids.entry(format!("d{}", v["domain"])).or_insert(n));
    }
    let texts: Vec<&str> = texts.iter().map(|s| s.as_str()).collect();
    let enc = StaticEncoder::bundled();
    let flat: Vec<f32> = enc
        .encode_batch(&texts)
        .iter()
        .flat_map(|v| v.iter().copied().collect::<Vec<_>>())
        .collect();
    let d = enc.dims();
    let show = |name: &str, ten: &[usize], leaves: &[usize]| {
        println!(
            "{name}: 10 {:?}\n   150 {:?}",
            agreement(ten, &domains),
            agreement(leaves, &intents)
        );
    };
    let t = std::time::Instant::now();
    for c in [Criterion::Average, Criterion::Ward] {
        let tree = vector_linkage(&flat, d, &vec![1; texts.len()], c);
        show(&format!("{c:?}"), &tree.cut(10), &tree.cut(150));
    }
    println!("{:?}", t.elapsed());
    for (k, s, l) in [
        (0, 0, 150),
        (5, 2, 150),
        (10, 1, 150),
        (10, 2, 150),
        (15, 2, 150),
        (15, 4, 150),
        (10, 2, 225),
        (15, 2, 300),
    ] {
        let b = build(
            &texts,
            &flat,
            d,
            &Options {
                leaves: Some(l),
                neighbours: k,
                smoothing: s,
                top: Some(10),
                ..Options::default()
            },
            &mut |_, _| true,
        )?;
        show(&format!("build k{k} s{s} l{l}"), &b.cut(10), &b.cut(150));
        println!("{:?}", t.elapsed());
        if k == 15 && l == 150 {
            for c in &b.taxonomy.categories {
                println!(
                    "{} {} {:?}",
                    c.name,
                    c.items.len(),
                    c.children.iter().map(|x| x.name.clone()).collect::<Vec<_>>()
                );
            }
        }
    }
    Ok(())
}
