//! Any text is either refused as a graph of tools or walked: once with all tools up, once with none, and every failure is told.
#![no_main]

use fingerpost_agents::self_healing::{GraphFile, SelfHealing, Task, ToolGraph, simulate::World};
use fingerpost_core::Timestamp;
use libfuzzer_sys::fuzz_target;
use rand::{SeedableRng, rngs::SmallRng};

fuzz_target!(|data: &[u8]| {
    let Ok(mut file) = GraphFile::parse(&String::from_utf8_lossy(data)) else {
        return;
    };
    file.settings.max_states = file.settings.max_states.min(10_000);
    let Ok((graph, defects)) = ToolGraph::new(&file) else {
        return;
    };
    for defect in defects {
        assert!(!defect.to_string().is_empty());
    }
    let names: Vec<_> = graph.tools().map(|t| t.name.clone()).collect();
    for world in [World::default(), World::without(names)] {
        let router = SelfHealing::new(graph.clone(), "fuzzed");
        let mut rng = SmallRng::seed_from_u64(1);
        let run = world.run(&router, &Task::new("x"), Timestamp::from_millis(1), &mut rng).unwrap();
        assert!(run.is_told(), "{:?}", run.report);
    }
});
