//! What it costs to find a path anew after a tool has failed: in graphs of 50 and 1,000 tools, without preconditions and with ten facts.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::{hint::black_box, time::Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use fingerpost_agents::self_healing::{
    Effect, End, GraphFile, Seen, SelfHealing, Task, Tool, ToolGraph, file::EdgeLine,
};
use fingerpost_core::{Name, Timestamp};
use rand::{Rng, SeedableRng, rngs::SmallRng};

/// Stages of five, each tool connected to all of the next stage; `facts` of them are needed somewhere.
fn graph(tools: usize, facts: usize) -> ToolGraph {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut file = GraphFile::empty("bench");
    let mut before = vec![file.start.clone()];
    for stage in 0..tools / 5 {
        let names: Vec<Name> = (0..5).map(|i| Name::from(format!("s{stage}t{i}"))).collect();
        for (i, name) in names.iter().enumerate() {
            let mut tool = Tool {
                effect: Effect::None,
                ..Tool::named(name.clone())
            };
            if stage < facts && i < 3 {
                tool.gives = vec![format!("f{stage}").as_str().into()];
            }
            if stage + 1 == tools / 5 {
                tool.needs = (0..facts).map(|f| Name::from(format!("f{f}"))).collect();
            }
            file.tools.push(tool);
            file.edges.extend(
                before
                    .iter()
                    .map(|from| EdgeLine::Costly(from.clone(), name.clone(), rng.random_range(1.0..3.0))),
            );
        }
        before = names;
    }
    file.edges.extend(
        before
            .iter()
            .map(|from| EdgeLine::Pair(from.clone(), file.goal.clone())),
    );
    ToolGraph::new(&file).unwrap().0
}

fn recompute(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("path anew");
    for (tools, facts) in [(50, 0), (50, 5), (1000, 0), (1000, 5)] {
        let router = SelfHealing::new(graph(tools, facts), "bench");
        let (task, now) = (Task::new("x"), Timestamp::from_millis(1));
        // A few tools have failed.
        for (path, _) in (0..3).filter_map(|_| router.plan(&task, now)) {
            let seen = Seen {
                at: now,
                latency: None,
                end: End::Gone,
            };
            router.probed(&path[path.len() / 2], seen);
        }
        let name = format!("{tools} tools, {facts} facts");
        group.bench_function(&name, |bench| bench.iter(|| black_box(router.plan(&task, now))));
        let mut times: Vec<f64> = (0..2000)
            .map(|_| {
                let began = Instant::now();
                black_box(router.plan(&task, now));
                began.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("{name}: p50 {:.1} us, p99 {:.1} us", times[1000], times[1980]);
    }
    group.finish();
}

criterion_group!(benches, recompute);
criterion_main!(benches);
