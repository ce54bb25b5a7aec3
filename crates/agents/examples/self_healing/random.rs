//! Graphs, worlds and tasks at random, and the plain search that they are held against.

use fingerpost_agents::self_healing::{
    Effect, GraphFile, Task, Tool, ToolGraph,
    file::{Branch, EdgeLine, FanOut},
    simulate::{Behaviour, Fault, World},
};
use fingerpost_core::Name;
use rand::{Rng, rngs::SmallRng, seq::IndexedRandom};

/// Weight and nodes of the cheapest path from start to goal by base costs, by relaxing all edges until nothing changes: nothing in
/// common with the search that is tested. No preconditions.
pub(crate) fn cheapest(graph: &ToolGraph, down: &[Name]) -> Option<(f64, Vec<Name>)> {
    let (start, goal) = graph.ends();
    between(graph, start, goal, down)
}

/// The same between any two nodes.
pub(crate) fn between(
    graph: &ToolGraph,
    start: &Name,
    goal: &Name,
    down: &[Name],
) -> Option<(f64, Vec<Name>)> {
    let mut best: std::collections::BTreeMap<&Name, (f64, Vec<Name>)> = [(start, (0.0, Vec::new()))].into();
    let mut changed = true;
    while changed {
        changed = false;
        for (from, to, cost) in graph.edges() {
            let Some((before, path)) = best.get(from).cloned() else {
                continue;
            };
            let cost = before + cost;
            if !down.contains(to) && best.get(to).is_none_or(|(known, _)| cost < *known) {
                let path = path.into_iter().chain([to.clone()]).collect();
                best.insert(to, (cost, path));
                changed = true;
            }
        }
    }
    best.remove(goal)
}

/// A graph in stages, each with a first choice and 1 to 4 backups, 10 to 50 tools; some edges leave a stage out. Nothing that tools do
/// stays.
pub(crate) fn staged(rng: &mut SmallRng) -> (GraphFile, ToolGraph) {
    let most = rng.random_range(10..=50);
    let mut file = GraphFile::empty("staged");
    let mut stages: Vec<Vec<Name>> = vec![vec![file.start.clone()]];
    while file.tools.len() < most {
        let wide = (1 + rng.random_range(1..=4)).min(most - file.tools.len());
        let stage: Vec<Name> = (0..wide)
            .map(|i| Name::from(format!("s{}t{i}", stages.len())))
            .collect();
        file.tools.extend(stage.iter().map(|name| Tool {
            effect: Effect::None,
            ..Tool::named(name.clone())
        }));
        stages.push(stage);
    }
    stages.push(vec![file.goal.clone()]);
    for (i, stage) in stages.iter().enumerate() {
        for from in stage {
            for (rank, to) in stages.get(i + 1).into_iter().flatten().enumerate() {
                file.edges
                    .push(EdgeLine::Costly(from.clone(), to.clone(), 1.0 + rank as f64));
            }
            for to in stages.get(i + 2).into_iter().flatten() {
                if rng.random_bool(0.05) {
                    file.edges.push(EdgeLine::Costly(
                        from.clone(),
                        to.clone(),
                        rng.random_range(3.0..9.0),
                    ));
                }
            }
        }
    }
    let graph = ToolGraph::new(&file).expect("a staged graph stands").0;
    (file, graph)
}

/// Eight tools in four stages of two, with a way around the middle.
pub(crate) fn eight() -> ToolGraph {
    let mut file = GraphFile::empty("eight");
    let names = ["a1", "a2", "b1", "b2", "c1", "c2", "d1", "d2"];
    file.tools = names
        .map(|name| Tool {
            effect: Effect::None,
            ..Tool::named(name)
        })
        .into();
    let edges = [
        ("start", "a1", 1.0),
        ("start", "a2", 2.0),
        ("a1", "b1", 1.0),
        ("a1", "b2", 2.0),
        ("a2", "b2", 1.0),
        ("b1", "c1", 1.0),
        ("b2", "c1", 2.0),
        ("b2", "c2", 1.0),
        ("c1", "d1", 1.0),
        ("c2", "d1", 1.0),
        ("c2", "d2", 2.0),
        ("a2", "d2", 7.0),
        ("d1", "goal", 1.0),
        ("d2", "goal", 1.0),
    ];
    file.edges = edges
        .map(|(a, b, cost)| EdgeLine::Costly(a.into(), b.into(), cost))
        .into();
    ToolGraph::new(&file).expect("stands").0
}

/// Anything that stands: circles, preconditions, effects, quotas, fan-outs, lesser goals.
pub(crate) fn wild(rng: &mut SmallRng) -> ToolGraph {
    loop {
        let count = rng.random_range(1..14);
        let mut file = GraphFile::empty("wild");
        let names: Vec<Name> = (0..count).map(|i| Name::from(format!("t{i}"))).collect();
        let facts: [Name; 3] = ["f".into(), "g".into(), "h".into()];
        for name in &names {
            let mut some = |share| facts.iter().filter(|_| rng.random_bool(share)).cloned().collect();
            let (needs, unless, gives) = (some(0.1), some(0.05), some(0.3));
            file.tools.push(Tool {
                needs,
                unless,
                gives,
                effect: *[Effect::None, Effect::Repeatable, Effect::Once]
                    .choose(rng)
                    .expect("three"),
                key: rng.random(),
                attempts: rng.random_range(1..3),
                ..Tool::named(name.clone())
            });
        }
        let places: Vec<Name> = ["start", "goal", "x", "y", "z"]
            .map(Name::from)
            .into_iter()
            .chain(names.iter().cloned())
            .collect();
        for _ in 0..rng.random_range(count..4 * count + 8) {
            let ends = (
                places.choose(rng).expect("some").clone(),
                places.choose(rng).expect("some").clone(),
            );
            file.edges.push(EdgeLine::Costly(
                ends.0,
                ends.1,
                f64::from(rng.random_range(1..4u8)),
            ));
        }
        if rng.random() {
            file.demotions = vec!["x".into(), names[0].clone()];
        }
        if rng.random_bool(0.4) {
            let required = rng.random();
            file.fan_out = Some(FanOut {
                from: if rng.random() {
                    "start".into()
                } else {
                    names[0].clone()
                },
                branches: [("y", required), ("z", false), ("x", false)]
                    .map(|(to, required)| Branch {
                        to: to.into(),
                        required,
                    })
                    .into(),
                quorum: Some(rng.random_range(0..3)),
                join: "x".into(),
            });
        }
        if rng.random_bool(0.2) {
            file.settings.max_failures = Some(3);
        }
        if let Ok((graph, _)) = ToolGraph::new(&file) {
            return graph;
        }
    }
}

/// A world in which about half of a graph's tools fail in one way or another.
pub(crate) fn faulty(graph: &ToolGraph, rng: &mut SmallRng) -> World {
    let mut world = World::default();
    world.approves = rng.random();
    for tool in graph.tools() {
        let faults = [
            Fault::Down,
            Fault::Timeout,
            Fault::Error,
            Fault::Limited,
            Fault::Lies,
        ];
        let behaviour = Behaviour {
            fails: rng.random_bool(0.5).then(|| *faults.choose(rng).expect("five")),
            share: if rng.random() { 1.0 } else { 0.5 },
            after: rng.random_range(0..2),
            ..Behaviour::default()
        };
        world.set(tool.name.clone(), behaviour);
    }
    world
}

/// A task, sometimes a risky one.
pub(crate) fn task(rng: &mut SmallRng) -> Task {
    Task {
        amount: rng.random_bool(0.1).then_some(20_000.0),
        holds: if rng.random() {
            vec!["f".into()]
        } else {
            Vec::new()
        },
        ..Task::new("do it")
    }
}
