//! Walks through graphs of tools, in a made-up world.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails panics")]

#[path = "../examples/self_healing/random.rs"]
#[allow(dead_code, reason = "shared with the example")]
mod random;
#[path = "../examples/self_healing/scenarios.rs"]
#[allow(dead_code, reason = "shared with the example")]
mod scenarios;

use fingerpost_agents::{
    SelfHealing,
    self_healing::{
        Ending, EventKind, GraphFile, Task, ToolGraph,
        simulate::{Behaviour, Fault, World},
    },
};
use fingerpost_core::Timestamp;
use proptest::prelude::*;
use rand::{SeedableRng, rngs::SmallRng};

fn rng() -> SmallRng {
    SmallRng::seed_from_u64(1)
}

#[test]
fn all_scenarios_come_to_what_they_must() {
    for scenario in &scenarios::ALL {
        let router = SelfHealing::new(scenarios::graph(scenario.graph), "r");
        let mut world = World::without(scenario.down.iter().copied());
        world.approves = true;
        let run = world
            .run(&router, &scenario.task(), Timestamp::default(), &mut rng())
            .unwrap();
        let about = format!("{} / {}: {:#?}", scenario.graph, scenario.name, run.report);
        assert_eq!(
            (run.report.ending, &*run.report.goal),
            (scenario.ending, scenario.goal),
            "{about}"
        );
        assert_eq!(
            (run.report.llm_calls, run.llm_calls),
            (scenario.llm_calls, scenario.llm_calls),
            "{about}"
        );
        assert!(run.is_told(), "{about}");
    }
}

#[test]
fn correct_in_all_states_of_eight_tools() {
    let graph = random::eight();
    let names: Vec<_> = graph.tools().map(|t| t.name.clone()).collect();
    assert_eq!(names.len(), 8);
    let mut with_a_path = 0;
    for state in 0..256u32 {
        let down: Vec<_> = (0..8)
            .filter(|i| state >> i & 1 == 1)
            .map(|i| names[i].clone())
            .collect();
        let exists = random::cheapest(&graph, &down).is_some();
        let router = SelfHealing::new(graph.clone(), "r");
        let run = World::without(down.clone())
            .run(&router, &Task::new("x"), Timestamp::default(), &mut rng())
            .unwrap();
        assert_eq!(
            run.report.ending == Ending::Completed,
            exists,
            "{down:?}: {:#?}",
            run.report
        );
        assert!(!exists || run.llm_calls == 0, "{down:?}");
        assert!(run.is_told(), "{down:?}");
        with_a_path += u32::from(exists);
    }
    assert!(with_a_path > 20 && with_a_path < 240, "{with_a_path}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    /// Random graphs, random faults of all kinds: each failure is told of, a walk without a path does not claim one.
    #[test]
    fn every_failure_is_a_reroute_or_an_escalation(seed in any::<u64>()) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let graph = random::wild(&mut rng);
        let world = random::faulty(&graph, &mut rng);
        let router = SelfHealing::new(graph, "r");
        let mut at = Timestamp::default();
        for _ in 0..3 {
            let run = world.run(&router, &random::task(&mut rng), at, &mut rng).unwrap();
            let seen = run.calls.iter().filter(|(_, failed)| *failed).count();
            let told = run.report.log.iter().filter(|e| e.failed.is_some());
            prop_assert!(told.clone().all(|e| matches!(e.kind, EventKind::Reroute | EventKind::Escalate)));
            prop_assert_eq!(told.count(), run.report.failures as usize);
            prop_assert!(run.report.failures as usize >= seen, "{:#?}", run.report);
            // No tool is run again once it has succeeded.
            let mut run_tools = run.report.executed.clone();
            run_tools.sort();
            run_tools.dedup();
            prop_assert_eq!(run_tools.len(), run.report.executed.len());
            prop_assert_eq!(run.calls.len() - seen, run.report.executed.len());
            if matches!(run.report.ending, Ending::Held | Ending::HandedOver) {
                prop_assert!(run.report.count(EventKind::Escalate) > 0);
            }
            at = Timestamp::from_micros(at.micros() + 7_000_000);
        }
    }
}

#[test]
fn random_worlds_come_to_all_ends() {
    let mut ends = std::collections::HashMap::new();
    let (mut reroutes, mut llm_calls) = (0, 0);
    for seed in 0..1000 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let graph = random::wild(&mut rng);
        let world = random::faulty(&graph, &mut rng);
        let router = SelfHealing::new(graph, "r");
        let run = world
            .run(&router, &random::task(&mut rng), Timestamp::default(), &mut rng)
            .unwrap();
        *ends.entry(run.report.ending).or_insert(0) += 1;
        reroutes += run.report.count(EventKind::Reroute);
        llm_calls += run.llm_calls;
        assert_eq!(run.llm_calls, run.report.llm_calls);
    }
    // Were one of these missing, the property above would say little.
    for ending in [
        Ending::Completed,
        Ending::Demoted,
        Ending::Held,
        Ending::HandedOver,
    ] {
        assert!(ends.get(&ending).is_some_and(|n| *n >= 20), "{ends:?}");
    }
    assert!(reroutes > 300 && llm_calls > 30, "{reroutes} {llm_calls}");
}

fn small(tools: &str, edges: &str) -> SelfHealing {
    let text = format!("settings: {{human: desk}}\ntools: [{tools}]\nedges: [{edges}]");
    SelfHealing::new(ToolGraph::new(&GraphFile::parse(&text).unwrap()).unwrap().0, "r")
}

fn fault(fails: Fault) -> Behaviour {
    Behaviour {
        fails: Some(fails),
        ..Behaviour::default()
    }
}

#[test]
fn a_payment_that_timed_out_is_neither_repeated_nor_replaced() {
    let two = "{name: a, attempts: 3}, {name: b}";
    let edges = "[start, a], [start, b, 2], [a, goal], [b, goal]";
    let mut world = World::default();
    world.set("a", fault(Fault::Timeout));
    let run = world
        .run(
            &small(two, edges),
            &Task::new("pay"),
            Timestamp::default(),
            &mut rng(),
        )
        .unwrap();
    assert_eq!(run.report.ending, Ending::HandedOver);
    assert_eq!(run.calls, [("a".into(), true)]);
    assert_eq!(run.decision.first().name, "desk");
    // With a key it is repeated, at a higher weight, which the other one may beat: 1 · 2 + 1 is 2 + 1, and the first declared wins.
    let keyed = small(&two.replace("name: a,", "name: a, key: true,"), edges);
    let run = world
        .run(&keyed, &Task::new("pay"), Timestamp::default(), &mut rng())
        .unwrap();
    assert_eq!(
        run.calls,
        [("a".into(), true), ("a".into(), true), ("b".into(), false)]
    );
    assert_eq!((run.report.ending, run.report.told()), (Ending::Completed, 2));
    // Refused at the door, nothing happened: the other one pays.
    world.set("a", fault(Fault::Down));
    let run = world
        .run(
            &small(two, edges),
            &Task::new("pay"),
            Timestamp::default(),
            &mut rng(),
        )
        .unwrap();
    assert_eq!(run.report.ending, Ending::Completed);
}

#[test]
fn a_walk_does_not_go_back_to_before_a_change() {
    let edges = "[start, a], [a, b], [b, goal], [start, c, 9], [c, goal]";
    let world = World::without(["b"]);
    let tools = |effect: &str| {
        format!("{{name: a, effect: {effect}}}, {{name: b, effect: none}}, {{name: c, effect: none}}")
    };
    let run = |effect| {
        world
            .run(
                &small(&tools(effect), edges),
                &Task::new("x"),
                Timestamp::default(),
                &mut rng(),
            )
            .unwrap()
    };
    assert_eq!(run("none").report.executed, ["a", "c"]);
    assert_eq!(run("none").report.ending, Ending::Completed);
    assert_eq!(run("repeatable").report.ending, Ending::HandedOver);
}

#[test]
fn preconditions_are_kept_where_the_cheapest_path_breaks_them() {
    // The cheap way to `send` skips `consent`.
    let tools = "{name: form, effect: none}, {name: consent, effect: none, gives: [agreed]}, {name: send, effect: none, needs: [agreed]}";
    let edges = "[start, form, 1], [start, consent, 5], [form, send, 1], [consent, send, 1], [send, goal]";
    let run = World::default()
        .run(
            &small(tools, edges),
            &Task::new("x"),
            Timestamp::default(),
            &mut rng(),
        )
        .unwrap();
    assert_eq!(run.report.executed, ["consent", "send"]);
    let task = Task {
        holds: vec!["agreed".into()],
        ..Task::new("x")
    };
    let run = World::default()
        .run(&small(tools, edges), &task, Timestamp::default(), &mut rng())
        .unwrap();
    assert_eq!(run.report.executed, ["form", "send"]);
}

#[test]
fn an_answer_of_no_use_is_a_failure() {
    let tools = "{name: a, effect: none, expects: {fields: [id]}}, {name: b, effect: none}";
    let router = small(tools, "[start, a], [start, b, 2], [a, goal], [b, goal]");
    let run = World::default()
        .run(&router, &Task::new("x"), Timestamp::default(), &mut rng())
        .unwrap();
    assert_eq!(run.report.executed, ["b"]);
    assert!(
        run.report.log[0].reason.contains("no `id`"),
        "{}",
        run.report.log[0]
    );
}

#[test]
fn paths_do_not_flap() {
    // Two tools of one weight whose latencies change places each second, for an hour.
    let router = small(
        "{name: a, effect: none}, {name: b, effect: none}",
        "[start, a], [start, b], [a, goal], [b, goal]",
    );
    let cooldown = router.graph().settings().cooldown_ms;
    let (mut taken, mut switched, mut switches) = (None, 0.0, 0);
    for second in 0..3600u64 {
        let mut world = World::default();
        let slow = if second % 2 == 0 { "a" } else { "b" };
        let behaviour = Behaviour {
            latency_ms: 2000.0 + 500.0 * ((second / 97) % 5) as f64,
            ..Behaviour::default()
        };
        world.set(slow, behaviour);
        let at = Timestamp::from_millis(second * 1000);
        let run = world.run(&router, &Task::new("x"), at, &mut rng()).unwrap();
        let tool = run.report.executed[0].clone();
        if taken.as_ref().is_some_and(|before| *before != tool) {
            let now = second as f64 * 1e3;
            assert!(
                now - switched >= cooldown,
                "switched at {switched} and again at {now}"
            );
            (switched, switches) = (now, switches + 1);
        }
        taken = Some(tool);
    }
    assert!(
        switches > 3,
        "{switches}: nothing was switched, so nothing was tested"
    );
}
