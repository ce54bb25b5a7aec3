use fingerpost_core::{Millis, Timestamp};

use super::{End, Health, Seen, Standing};
use crate::self_healing::{GraphFile, ToolGraph};

fn graph(settings: &str, tool: &str) -> ToolGraph {
    let text =
        format!("settings: {{{settings}}}\ntools: [{{name: a{tool}}}]\nedges: [[start, a], [a, goal]]");
    ToolGraph::new(&GraphFile::parse(&text).unwrap()).unwrap().0
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1000 * seconds)
}

fn seen(seconds: u64, ms: f64, end: End) -> Seen {
    Seen {
        at: at(seconds),
        latency: Millis::new(ms).ok(),
        end,
    }
}

fn factor(health: &Health, now: Timestamp) -> f64 {
    health.settle(now);
    health.soft()[0]
}

#[test]
fn factors_on_hand_computed_numbers() {
    let graph = graph("latency_ms: 100", "");
    let health = Health::new(&graph);
    assert!((factor(&health, at(1)) - 1.0).abs() < 1e-12);
    // Mean of 300 and 100 over the usual 100: 2. One of two failed, with two imagined successes: 1 / (1 - 1/4).
    health.record(0, seen(2, 300.0, End::Well));
    health.record(0, seen(3, 100.0, End::Badly));
    assert!(
        (factor(&health, at(30)) - 1.0).abs() < 1e-12,
        "the cooldown is not over"
    );
    assert!((factor(&health, at(31)) - 2.0 * 4.0 / 3.0).abs() < 1e-12);
    // A quarter of an hour later all is forgotten.
    assert!((factor(&health, at(1000)) - 1.0).abs() < 1e-12);
    // However fast or slow: half and ten times.
    health.record(0, seen(1000, 1e6, End::Well));
    assert!((factor(&health, at(1030)) - 10.0).abs() < 1e-12);
    for second in 0..100 {
        health.record(0, seen(1031 + second, 1.0, End::Well));
    }
    assert!(
        (factor(&health, at(1200)) - 0.5).abs() < 1e-12,
        "the window holds a hundred"
    );
}

#[test]
fn the_breaker_opens_probes_and_recovers_slowly() {
    let graph = graph("latency_ms: 100", "");
    let health = Health::new(&graph);
    health.settle(at(1));
    for second in [1, 2] {
        health.record(0, seen(second, 100.0, End::Badly));
    }
    assert_eq!(health.standing(0, at(2)), Some(Standing::Closed));
    health.record(0, seen(3, 100.0, End::Badly));
    assert_eq!(health.standing(0, at(32)), Some(Standing::Open));
    assert!(!health.is_callable(0, at(32)) && health.due(at(32)).is_empty());
    assert_eq!(health.standing(0, at(33)), Some(Standing::HalfOpen));
    // One probe at a time, and told only now and then that one is due.
    assert_eq!(health.due(at(33)), [0]);
    assert!(health.due(at(34)).is_empty());
    health.begin(0, at(34));
    assert!(!health.is_callable(0, at(35)));
    // It fails: spared for twice as long.
    health.record(0, seen(35, 100.0, End::Badly));
    assert_eq!(health.standing(0, at(94)), Some(Standing::Open));
    assert_eq!(health.standing(0, at(95)), Some(Standing::HalfOpen));
    health.record(0, seen(95, 100.0, End::Well));
    assert_eq!(health.standing(0, at(95)), Some(Standing::HalfOpen));
    health.record(0, seen(96, 100.0, End::Well));
    assert_eq!(health.standing(0, at(96)), Some(Standing::Closed));
    // Four times its weight, of six calls four failed: 1 / (1 - 4/8).
    assert!((factor(&health, at(96)) - 4.0 * 2.0).abs() < 1e-12);
    health.record(0, seen(97, 100.0, End::Well));
    assert!((factor(&health, at(126)) - 2.0 * 9.0 / 5.0).abs() < 1e-12);
}

#[test]
fn what_cannot_be_reached_is_spared_at_once_and_what_is_refused_is_not() {
    let graph = graph("", "");
    let health = Health::new(&graph);
    for second in 0..9 {
        health.record(0, seen(second, 1.0, End::Elsewhere));
    }
    assert_eq!(health.standing(0, at(9)), Some(Standing::Closed));
    health.record(0, seen(9, 1.0, End::Gone));
    assert_eq!(health.standing(0, at(9)), Some(Standing::Open));
}

#[test]
fn a_quota_weighs_when_it_runs_low_and_bars_when_it_is_used_up() {
    let graph = graph("cooldown_ms: 0", ", quota: {calls: 20, per_ms: 60000}");
    let health = Health::new(&graph);
    for _ in 0..19 {
        assert!(health.is_callable(0, at(60)));
        health.begin(0, at(60));
    }
    // 1 + 0.05 · 0.95 / 0.05.
    assert!((factor(&health, at(61)) - 1.95).abs() < 1e-9);
    health.begin(0, at(62));
    assert!(!health.is_callable(0, at(62)) && !health.is_callable(0, at(119)));
    assert!(health.is_callable(0, at(120)));
    assert!((factor(&health, at(120)) - 1.0).abs() < 1e-12);
}

#[test]
fn what_is_known_survives_a_restart_and_nonsense_does_not_harm() {
    let graph = graph("latency_ms: 100", "");
    let health = Health::new(&graph);
    health.record(0, seen(1, 300.0, End::Well));
    health.record(0, seen(2, 100.0, End::Gone));
    let again = Health::new(&graph);
    assert!(again.restore(&graph, &health.save(&graph).unwrap()));
    assert_eq!(again.standing(0, at(3)), Some(Standing::Open));
    assert_eq!(factor(&again, at(3)), factor(&health, at(40)));
    assert!(!again.restore(&graph, b"{}") && !again.restore(&graph, b"\xff"));
    let other = br#"{"version":1,"tools":[["nobody",0,{"calls":[],"failures":0,"timed":0,"total_ms":0,"in_a_row":0,"openings":0,"probes_ok":0,"recovering":0,"quota_began":0,"quota_used":0,"probed":0}]]}"#;
    assert!(again.restore(&graph, other));
}
