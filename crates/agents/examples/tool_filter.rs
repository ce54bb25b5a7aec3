//! How often the tools that a request needs are among those that the filter keeps.
//!
//! `cargo run -p fingerpost-agents --example tool_filter -- SHARED_DATA [--json]`; reads `metatool` and `livemcp` there.
//!
//! MetaTool: each query's tool among 39 others drawn at random (and among all 199). LiveMCPBench: each step of a task, any of its tools,
//! among all 527.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an experiment")]

use std::{fs, num::NonZeroU32, path::Path, time::Instant};

use fingerpost_agents::{OfferedTool, ToolFilter, ToolFilterConfig};
use fingerpost_encode::StaticEncoder;
use rand::{SeedableRng, rngs::SmallRng, seq::index::sample};
use serde_json::{Value, json};

fn rows(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| {
        eprintln!("{}: {e}", path.display());
        std::process::exit(2);
    });
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn kept(names: &[&(String, String)], query: &str, keep: u32) -> Vec<bool> {
    let filter = ToolFilter::new(ToolFilterConfig {
        keep: NonZeroU32::new(keep).unwrap(),
        adds: 2,
        always: Vec::new(),
    });
    let tools: Vec<OfferedTool<'_>> = names
        .iter()
        .map(|(name, text)| OfferedTool {
            name: Some(name),
            text,
            pinned: false,
        })
        .collect();
    filter
        .select(&tools, &[query], &StaticEncoder::bundled())
        .map_or_else(|| vec![true; tools.len()], |s| s.kept)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let data = Path::new(arguments.first().map_or("../shared/data", String::as_str));
    let mut lines = Vec::new();
    let mut found = serde_json::Map::new();

    let tools: Vec<(String, String)> = rows(&data.join("metatool/tools.jsonl"))
        .iter()
        .map(|t| {
            (
                text(t, "id"),
                format!("{}: {}", text(t, "id"), text(t, "description")),
            )
        })
        .collect();
    let queries: Vec<Value> = rows(&data.join("metatool/queries_single.jsonl"))
        .into_iter()
        .step_by(10)
        .collect();
    let mut rng = SmallRng::seed_from_u64(1);
    for among in [40, tools.len()] {
        for keep in [5, 8, 12] {
            let (mut hits, mut all) = (0, 0);
            let began = Instant::now();
            for query in &queries {
                let Some(gold) = tools.iter().position(|(id, _)| query["gold"][0] == id.as_str()) else {
                    continue;
                };
                let mut offered = sample(&mut rng, tools.len(), among).into_vec();
                if !offered.contains(&gold) {
                    offered[0] = gold;
                }
                offered.sort_unstable();
                let offer: Vec<&(String, String)> = offered.iter().map(|i| &tools[*i]).collect();
                let place = offered.iter().position(|i| *i == gold).unwrap();
                hits += u32::from(kept(&offer, &text(query, "query"), keep)[place]);
                all += 1;
            }
            let share = f64::from(hits) / f64::from(all);
            let ms = began.elapsed().as_secs_f64() * 1e3 / f64::from(all);
            lines.push(format!(
                "MetaTool, {keep} of {among}: {share:.3} of {all} keep theirs ({ms:.2} ms each)"
            ));
            found.insert(format!("metatool_{keep}_of_{among}"), json!(share));
        }
    }
    let tools: Vec<(String, String)> = rows(&data.join("livemcp/tools.jsonl"))
        .iter()
        .map(|t| {
            (
                text(t, "id"),
                format!(
                    "{}. {} {}",
                    text(t, "name").replace('_', " "),
                    text(t, "description"),
                    text(t, "server_title")
                ),
            )
        })
        .collect();
    let tasks = rows(&data.join("livemcp/tasks.jsonl"));
    for keep in [20, 40] {
        let (mut hits, mut all) = (0.0, 0.0);
        for task in &tasks {
            let offer: Vec<&(String, String)> = tools.iter().collect();
            let kept = kept(&offer, &text(task, "query"), keep);
            let has = |id: &Value| {
                tools
                    .iter()
                    .position(|(known, _)| id == known.as_str())
                    .is_some_and(|i| kept[i])
            };
            let steps = task["gold_any_of"].as_array().unwrap();
            let met = steps
                .iter()
                .filter(|step| step.as_array().unwrap().iter().any(has))
                .count();
            hits += met as f64 / steps.len() as f64;
            all += 1.0;
        }
        let share = hits / all;
        lines.push(format!(
            "LiveMCPBench, {keep} of {}: {share:.3} of the steps keep a tool ({all} tasks)",
            tools.len()
        ));
        found.insert(format!("livemcp_{keep}"), json!(share));
    }
    if arguments.iter().any(|a| a == "--json") {
        println!("{}", Value::Object(found));
    } else {
        println!("{}", lines.join("\n"));
    }
}
