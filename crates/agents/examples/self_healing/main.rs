//! The self-healing router against an agent that asks a model before each step and a workflow made beforehand.
//!
//! `cargo run --release -p fingerpost-agents --example self_healing -- scenarios|random|states|latency [--json]`
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an experiment")]

mod baselines;
#[allow(dead_code, reason = "shared with the tests")]
mod random;
#[allow(dead_code, reason = "shared with the tests")]
mod scenarios;

use std::process::ExitCode;

use baselines::{End, fixed, react};
use fingerpost_agents::{
    SelfHealing,
    self_healing::{
        Ending, EventKind, GraphFile, Task, ToolGraph,
        simulate::{Behaviour, Fault, World},
    },
};
use fingerpost_core::{Name, Timestamp};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (result, text) = match arguments.first().map(String::as_str) {
        Some("scenarios") => run_scenarios(),
        Some("random") => run_random(1000),
        Some("states") => run_states(),
        Some("latency") => run_latency(),
        _ => {
            eprintln!("usage: self_healing scenarios|random|states|latency [--json]");
            return ExitCode::from(2);
        }
    };
    if arguments.iter().any(|a| a == "--json") {
        println!("{result}");
    } else {
        println!("{text}");
    }
    ExitCode::SUCCESS
}

/// Counts of one system over all scenarios.
#[derive(Debug, Default)]
struct Count {
    right: u32,
    silent: u32,
    llm_calls: u32,
    tool_calls: u32,
    reroutes: usize,
}

fn run_scenarios() -> (Value, String) {
    let (mut ours, mut agent, mut workflow) = (Count::default(), Count::default(), Count::default());
    let mut lines = Vec::new();
    for scenario in &scenarios::ALL {
        let file = GraphFile::parse(
            scenarios::GRAPHS
                .iter()
                .find(|g| g.0 == scenario.graph)
                .unwrap()
                .1,
        )
        .unwrap();
        let graph = scenarios::graph(scenario.graph);
        let down: Vec<Name> = scenario.down.iter().map(|n| Name::from(*n)).collect();
        let risky = scenario.amount.is_some();
        let mut world = World::without(down.clone());
        world.approves = true;
        let router = SelfHealing::new(graph.clone(), "r");
        let mut rng = SmallRng::seed_from_u64(1);
        let run = world
            .run(&router, &scenario.task(), Timestamp::default(), &mut rng)
            .unwrap();
        let right = (run.report.ending, &*run.report.goal) == (scenario.ending, scenario.goal);
        ours.right += u32::from(right);
        ours.silent += u32::from(!run.is_told());
        ours.llm_calls += run.llm_calls;
        ours.tool_calls += run.calls.len() as u32;
        ours.reroutes += run.report.count(EventKind::Reroute);
        let reaches = scenario.ending == Ending::Completed;
        let asked = react(&file, &graph, &down, risky);
        agent.right += u32::from((asked.end == End::Reached) == reaches);
        agent.llm_calls += asked.llm_calls;
        agent.tool_calls += asked.tool_calls;
        let made = fixed(&file, &graph, &down);
        let expected = if reaches { End::Reached } else { End::Told };
        workflow.right += u32::from(made.end == expected);
        workflow.silent += u32::from(made.end == End::Silent);
        workflow.tool_calls += made.tool_calls;
        lines.push(format!(
            "{:<8} {:<32} {:<16} model {} (ReAct {}), tools {} ({}, fixed {}), {} reroutes; fixed: {:?}",
            scenario.graph,
            scenario.name,
            run.report.ending.to_string(),
            run.llm_calls,
            asked.llm_calls,
            run.calls.len(),
            asked.tool_calls,
            made.tool_calls,
            run.report.count(EventKind::Reroute),
            made.end,
        ));
    }
    let less = 1.0 - f64::from(ours.llm_calls) / f64::from(agent.llm_calls);
    let of = scenarios::ALL.len();
    let row = |name: &str, c: &Count| {
        format!(
            "{name:<14} {}/{of} right, {} silent, {} model calls, {} tool calls, {} reroutes",
            c.right, c.silent, c.llm_calls, c.tool_calls, c.reroutes
        )
    };
    lines.extend([
        row("self-healing", &ours),
        row("ReAct, scripted", &agent),
        row("fixed workflow", &workflow),
        format!("model calls below ReAct's: {:.1} %", 100.0 * less),
    ]);
    let object = |c: &Count| json!({"right": c.right, "silent": c.silent, "llm_calls": c.llm_calls, "tool_calls": c.tool_calls, "reroutes": c.reroutes});
    let json = json!({"scenarios": of, "self_healing": object(&ours), "react": object(&agent), "fixed": object(&workflow), "fewer_llm_calls": less});
    (json, lines.join("\n"))
}

fn run_random(count: u64) -> (Value, String) {
    let (mut right, mut with_path, mut told, mut llm, mut llm_with_path, mut react_llm) = (0, 0, 0, 0, 0, 0);
    let (mut failures, mut fixed_right, mut fixed_silent, mut tools) = (0, 0, 0, 0);
    for seed in 0..count {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (file, graph) = random::staged(&mut rng);
        let share = rng.random_range(0.0..0.6);
        let down: Vec<Name> = graph
            .tools()
            .filter(|_| rng.random_bool(share))
            .map(|t| t.name.clone())
            .collect();
        let mut world = World::default();
        for tool in &down {
            let fault = [Fault::Down, Fault::Error, Fault::Timeout, Fault::Lies][rng.random_range(0..4)];
            world.set(
                tool.clone(),
                Behaviour {
                    fails: Some(fault),
                    ..Behaviour::default()
                },
            );
        }
        let exists = random::cheapest(&graph, &down).is_some();
        let router = SelfHealing::new(graph.clone(), "r");
        let run = world
            .run(&router, &Task::new("x"), Timestamp::default(), &mut rng)
            .unwrap();
        let correct = (run.report.ending == Ending::Completed) == exists;
        right += u32::from(correct);
        with_path += u32::from(exists);
        told += u32::from(run.is_told());
        llm += run.llm_calls;
        llm_with_path += if exists { run.llm_calls } else { 0 };
        failures += run.report.failures;
        tools += graph.tools().count();
        react_llm += react(&file, &graph, &down, false).llm_calls;
        let made = fixed(&file, &graph, &down);
        fixed_right += u32::from((made.end == End::Reached) == exists && made.end != End::Silent);
        fixed_silent += u32::from(made.end == End::Silent);
    }
    let text = format!(
        "{count} staged graphs of {:.0} tools on average, {with_path} with a path: {right} right, {told} with every failure told ({failures} failures)\n\
         model calls {llm}, where a path exists {llm_with_path}; ReAct {react_llm}\n\
         fixed workflow: {fixed_right} right, {fixed_silent} silent",
        tools as f64 / count as f64
    );
    let json = json!({"graphs": count, "with_path": with_path, "right": right, "told": told, "failures": failures, "llm_calls": llm,
        "llm_calls_with_path": llm_with_path, "react_llm_calls": react_llm, "fixed_right": fixed_right, "fixed_silent": fixed_silent});
    (json, text)
}

fn run_states() -> (Value, String) {
    let graph = random::eight();
    let names: Vec<Name> = graph.tools().map(|t| t.name.clone()).collect();
    let (mut right, mut with_path, mut llm_with_path, mut told, mut optimal) = (0, 0, 0, 0, 0);
    for state in 0..1u32 << names.len() {
        let down: Vec<Name> = names
            .iter()
            .enumerate()
            .filter(|(i, _)| state >> i & 1 == 1)
            .map(|(_, n)| n.clone())
            .collect();
        let best = random::cheapest(&graph, &down);
        let router = SelfHealing::new(graph.clone(), "r");
        let mut rng = SmallRng::seed_from_u64(1);
        let run = World::without(down)
            .run(&router, &Task::new("x"), Timestamp::default(), &mut rng)
            .unwrap();
        right += u32::from((run.report.ending == Ending::Completed) == best.is_some());
        with_path += u32::from(best.is_some());
        llm_with_path += if best.is_some() { run.llm_calls } else { 0 };
        told += u32::from(run.is_told());
        // A second task knows what is down and takes the cheapest path at once.
        let again = World::default()
            .run(&router, &Task::new("x"), Timestamp::from_millis(20), &mut rng)
            .unwrap();
        optimal +=
            u32::from(best.is_none_or(|(_, path)| path[..path.len() - 1] == again.report.executed[..]));
    }
    let text = format!(
        "256 states of 8 tools, {with_path} with a path: {right} right, {told} with every failure told, {llm_with_path} model calls where a path \
         exists; the task after takes the cheapest path at once in {optimal}"
    );
    let json = json!({"states": 256, "with_path": with_path, "right": right, "told": told, "llm_calls_with_path": llm_with_path, "next_optimal": optimal});
    (json, text)
}

/// One tool of the usual path takes ten times its time: mean latency with weights that learn and with weights that stay.
fn run_latency() -> (Value, String) {
    let mut lines = Vec::new();
    let mut ratios = Vec::new();
    for name in ["linear", "DAG", "fan-out"] {
        for slow in usual(&scenarios::graph(name)) {
            let run = |learns: bool| {
                let mut file =
                    GraphFile::parse(scenarios::GRAPHS.iter().find(|g| g.0 == name).unwrap().1).unwrap();
                if !learns {
                    // A cooldown longer than the run: what is seen never bears on the weights.
                    (
                        file.settings.cooldown_ms,
                        file.settings.open_ms,
                        file.settings.max_open_ms,
                    ) = (1e9, 1e9, 1e9);
                }
                let router = SelfHealing::new(ToolGraph::new(&file).unwrap().0, "r");
                let mut world = World::default();
                for tool in router.graph().tools() {
                    let usual = tool.latency_ms.unwrap_or(100.0);
                    let latency_ms = if tool.name == slow { 10.0 * usual } else { usual };
                    world.set(
                        tool.name.clone(),
                        Behaviour {
                            latency_ms,
                            ..Behaviour::default()
                        },
                    );
                }
                let mut rng = SmallRng::seed_from_u64(1);
                let times = (0..600u64).map(|second| {
                    world
                        .run(
                            &router,
                            &Task::new("x"),
                            Timestamp::from_millis(second * 1000),
                            &mut rng,
                        )
                        .unwrap()
                        .elapsed_ms
                });
                times.sum::<f64>() / 600.0
            };
            let (learns, stays) = (run(true), run(false));
            ratios.push(learns / stays);
            lines.push(format!(
                "{name:<8} {slow:<14} {learns:6.0} ms against {stays:6.0} ms: {:.2}",
                learns / stays
            ));
        }
    }
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    let worst = ratios.iter().copied().fold(0.0, f64::max);
    lines.push(format!("mean of the ratios {mean:.3}, worst {worst:.3}"));
    (
        json!({"ratios": ratios, "mean": mean, "worst": worst}),
        lines.join("\n"),
    )
}

/// Tools of the usual walk that have another in their place.
fn usual(graph: &ToolGraph) -> Vec<Name> {
    let router = SelfHealing::new(graph.clone(), "r");
    let walk = |world: World| {
        let mut rng = SmallRng::seed_from_u64(1);
        world
            .run(&router, &Task::new("x"), Timestamp::default(), &mut rng)
            .unwrap()
            .report
    };
    let all = walk(World::default()).executed;
    let has_another = |tool: &Name| {
        let router = SelfHealing::new(graph.clone(), "r");
        let mut rng = SmallRng::seed_from_u64(1);
        let run = World::without([tool.clone()])
            .run(&router, &Task::new("x"), Timestamp::default(), &mut rng)
            .unwrap();
        run.report.ending == Ending::Completed && run.report.executed.len() == all.len()
    };
    all.iter().filter(|tool| has_another(tool)).cloned().collect()
}
