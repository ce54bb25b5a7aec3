//! The figures of an index over catalogues: time to build, time to search, memory, how often the right entry is found.
//!
//! `cargo run --release -p fingerpost-agents --example catalogue -- DIR [--minilm MODEL]`: DIR holds `skill-registry-meta`,
//! `skills-full`, `gorilla-tools` and `metatool`. One thread. With MiniLM the index is kept in the system's folder of temporary
//! files, as building it takes minutes.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Instant, SystemTime},
};

use fingerpost_agents::catalogue::{Index, Nearness, Opened, Search, Sources, families, read_all};
use fingerpost_encode::{Encoder, MiniLm, StaticEncoder};
use serde_json::Value;

/// A labelled request: its text, and the ids of which each would be right.
type Labelled = (String, Vec<String>);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let data = PathBuf::from(arguments.next().ok_or("usage: catalogue DIR [--minilm MODEL]")?);
    let minilm = arguments.nth(1);
    let encoder: Arc<dyn Encoder> = match &minilm {
        Some(folder) => Arc::new(MiniLm::open(Path::new(folder))?),
        None => Arc::new(StaticEncoder::bundled()),
    };
    registry(&data, &encoder)?;
    for (name, catalogue, queries, limit) in [
        ("skills-full", "skills.jsonl", "queries.jsonl", 1_000),
        ("metatool", "tools.jsonl", "queries_single.jsonl", 1_000),
        ("gorilla-tools", "catalogue.jsonl", "queries.jsonl", 1_000),
    ] {
        found(&data.join(name), catalogue, queries, limit, name, &encoder)?;
    }
    Ok(())
}

/// Build, searches, memory and duplicates of the registry.
fn registry(data: &Path, encoder: &Arc<dyn Encoder>) -> Result<(), Box<dyn Error>> {
    let file = data.join("skill-registry-meta/skills.jsonl");
    let start = Instant::now();
    let reading = read_all([file.clone()]);
    println!(
        "{}: {} entries, {} problems, read in {:.2} s",
        encoder.model(),
        reading.entries.len(),
        reading.problems.len(),
        start.elapsed().as_secs_f64()
    );
    let folder = std::env::temp_dir().join(format!("fingerpost-catalogue-{}", encoder.name()));
    let start = Instant::now();
    let opened = Index::open(&folder, encoder)
        .ok()
        .filter(|_| encoder.name() == "minilm");
    let mut index = match opened {
        Some(Opened { index, .. }) => index,
        None => Index::new(encoder.clone())?,
    };
    let changes = index.sync(reading.entries, &|_| true)?;
    println!(
        "  built in {:.1} s ({} encoded)",
        start.elapsed().as_secs_f64(),
        changes.encoded
    );
    let start = Instant::now();
    index.save(&folder)?;
    let bytes: u64 = fs::read_dir(&folder)?
        .filter_map(|f| f.ok()?.metadata().ok())
        .map(|m| m.len())
        .sum();
    println!(
        "  saved in {:.2} s, {:.1} MiB on disk",
        start.elapsed().as_secs_f64(),
        mib(bytes)
    );
    drop(index);
    let start = Instant::now();
    let Opened { mut index, problems } = Index::open(&folder, encoder)?;
    println!(
        "  opened in {:.2} s, {} problems",
        start.elapsed().as_secs_f64(),
        problems.len()
    );
    // Requests of people, not names of entries: those of the set with bodies.
    let requests: Vec<String> = labelled(&data.join("skills-full/queries.jsonl"))?
        .into_iter()
        .map(|(text, _)| text)
        .collect();
    for _ in 0..2 {
        let mut times: Vec<f64> = requests
            .iter()
            .map(|text| {
                let start = Instant::now();
                std::hint::black_box(index.search(text, 10));
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!(
            "  search of {} requests: p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms",
            times.len(),
            at(0.5),
            at(0.95),
            at(0.99)
        );
    }
    println!("  memory: {}", memory());
    let start = Instant::now();
    let mut entry = index.entries().next().cloned().ok_or("no entries")?;
    entry.description.push_str(" and more");
    index.insert(entry)?;
    println!(
        "  one entry changed in {:.1} ms",
        start.elapsed().as_secs_f64() * 1e3
    );
    let start = Instant::now();
    let families = families(&index, &Nearness::default(), &mut |_, _| true).unwrap_or_default();
    let members: usize = families.iter().map(|f| f.members.len()).sum();
    println!(
        "  duplicates in {:.1} s: {} families of {} entries, the largest {}",
        start.elapsed().as_secs_f64(),
        families.len(),
        members,
        families.first().map_or(0, |f| f.members.len())
    );
    let mut sources = Sources::new([file]);
    let start = Instant::now();
    sources.refresh(SystemTime::now());
    println!("  looked at again: {:.3} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// How often the right entry is found, by words, by meaning and by both.
fn found(
    folder: &Path,
    catalogue: &str,
    queries: &str,
    limit: usize,
    name: &str,
    encoder: &Arc<dyn Encoder>,
) -> Result<(), Box<dyn Error>> {
    let mut index = Index::new(encoder.clone())?;
    index.sync(read_all([folder.join(catalogue)]).entries, &|_| true)?;
    let mut requests = labelled(&folder.join(queries))?;
    // Every so many, so that all kinds are among them.
    let step = requests.len().div_ceil(limit).max(1);
    requests = requests.into_iter().step_by(step).collect();
    let mut hits = [[0_usize; 3]; 3];
    for (text, gold) in &requests {
        let candidates = index.candidates(&Search::new(text, 20));
        let ids = |stage: &[(&fingerpost_agents::Entry, f32)]| -> Vec<String> {
            stage.iter().map(|(e, _)| e.id.to_string()).collect()
        };
        let both: Vec<String> = index
            .search(text, 20)
            .iter()
            .map(|f| f.entry.id.to_string())
            .collect();
        for (stage, ranking) in [ids(&candidates.lexical), ids(&candidates.dense), both]
            .iter()
            .enumerate()
        {
            let rank = ranking.iter().position(|id| gold.contains(id));
            for (column, k) in [1, 5, 20].into_iter().enumerate() {
                hits[stage][column] += usize::from(rank.is_some_and(|rank| rank < k));
            }
        }
    }
    println!(
        "{name}: {} entries, {} requests; hit at 1, 5, 20",
        index.len(),
        requests.len()
    );
    for (stage, hits) in ["words", "meaning", "both"].iter().zip(hits) {
        let share = hits.map(|h| format!("{:.3}", h as f64 / requests.len().max(1) as f64));
        println!("  {stage:8} {}", share.join(" "));
    }
    Ok(())
}

fn labelled(file: &Path) -> Result<Vec<Labelled>, Box<dyn Error>> {
    let text = fs::read_to_string(file)?;
    let mut all = Vec::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line)?;
        let gold: Vec<String> = row["gold"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|g| g.as_str().map(str::to_owned))
            .collect();
        if let Some(text) = row["query"].as_str().filter(|_| !gold.is_empty()) {
            all.push((text.to_owned(), gold));
        }
    }
    Ok(all)
}

/// What this process holds, now and at its height.
fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |key: &str| -> Option<f64> {
        let line = status.lines().find(|line| line.starts_with(key))?;
        Some(mib(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024))
    };
    format!(
        "{:.0} MiB, at its height {:.0} MiB",
        of("VmRSS").unwrap_or_default(),
        of("VmHWM").unwrap_or_default()
    )
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
