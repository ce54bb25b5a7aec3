use fingerpost_core::{Catalogue, Limits, Price, Profile, Role, Timestamp, TokenCount, Turn, UsdPerMillion};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::SmallRng};
use smallvec::SmallVec;

use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

/// Three models; `a` has a prompt cache that saves four fifths.
fn catalogue() -> Catalogue {
    let usd = |v| UsdPerMillion::new(v).unwrap();
    let a = Profile {
        price: Some(Price {
            input: usd(5.0),
            cached_input: Some(usd(1.0)),
            output: usd(5.0),
        }),
        context_window: Some(TokenCount(100_000)),
        ..Profile::named("a")
    };
    Catalogue::new([a, Profile::named("b"), Profile::named("c")]).unwrap()
}

fn stay(change: impl FnOnce(&mut StayConfig)) -> Stay {
    let mut config = StayConfig::default();
    change(&mut config);
    Stay::new(&config).unwrap()
}

/// One that `a` has answered twice under `d`, last at 1000 s.
fn session() -> Session {
    Session {
        model: Some("a".into()),
        decision: Some("d".into()),
        turns: 2,
        last: at(1000),
        ..Session::default()
    }
}

/// A selection of these models with these scores, best first.
fn selected(catalogue: &Catalogue, scores: &[(u32, f64)]) -> Decision {
    let pick = |(id, score): &(u32, f64)| Pick::of(catalogue.get(CandidateId(*id)).unwrap(), *score);
    let picks: Picks = scores.iter().map(pick).collect();
    Decision::ranked(
        picks,
        Reason::new("selected"),
        Evidence::of("r").with_propensity(0.25),
    )
    .unwrap()
}

fn turn(role: Role, bytes: usize, calls: u32, results: u32) -> Turn<'static> {
    Turn {
        role,
        texts: vec!["x".repeat(bytes).into()],
        tool_calls: calls,
        tool_results: results,
        ..Turn::default()
    }
}

fn in_loop() -> Query<'static> {
    Query {
        turns: vec![
            turn(Role::User, 9, 0, 0),
            turn(Role::Assistant, 0, 1, 0),
            turn(Role::Tool, 9, 0, 1),
        ],
        ..Query::default()
    }
}

/// Passes a selection at this time, under a decision.
fn pass_at(
    stay: &Stay,
    session: Option<&Session>,
    scores: &[(u32, f64)],
    query: &Query<'_>,
    limits: &Limits,
    under: &str,
    now: Timestamp,
) -> Decision {
    let catalogue = catalogue();
    let mut rng = SmallRng::seed_from_u64(1);
    let cx = Context::new(&catalogue, limits, now, &mut rng);
    let selected = selected(&catalogue, scores);
    stay.pass(selected, session, query, &under.into(), &catalogue.ids(), &cx)
}

fn pass(stay: &Stay, session: &Session, scores: &[(u32, f64)], query: &Query<'_>) -> Decision {
    pass_at(stay, Some(session), scores, query, &Limits::NONE, "d", at(1000))
}

fn names(decision: &Decision) -> Vec<&str> {
    decision.picks.iter().map(|p| p.name.as_str()).collect()
}

const SCORES: [(u32, f64); 3] = [(1, 0.58), (0, 0.5), (2, 0.1)];

#[test]
fn a_small_advantage_does_not_switch_and_the_trace_says_by_how_much() {
    let query = Query::text("hi");
    let decision = pass(&stay(|_| ()), &session(), &SCORES, &query);
    assert_eq!(names(&decision), ["a", "b", "c"]);
    // Margin 0.05 and handoff 0.05.
    assert_eq!(decision.reason.text, "stayed with a: advantage 0.08 below 0.1");
    assert_eq!((decision.first().score, decision.evidence.propensity), (0.5, 1.0));
    assert_eq!(decision.evidence.router, "r", "the selector learns");
    let scores = [(1, 0.61), (0, 0.5), (2, 0.1)];
    assert_eq!(
        names(&pass(&stay(|_| ()), &session(), &scores, &query)),
        ["b", "a", "c"]
    );
}

#[test]
fn a_long_conversation_in_the_cache_holds_more_and_less_as_it_cools() {
    let query = Query {
        turns: vec![
            turn(Role::User, 4096, 0, 0),
            turn(Role::Assistant, 4096, 0, 0),
            turn(Role::User, 9, 0, 0),
        ],
        ..Query::default()
    };
    let needed = |now| {
        let scores = [(1, 0.52), (0, 0.5)];
        let decision = pass_at(
            &stay(|_| ()),
            Some(&session()),
            &scores,
            &query,
            &Limits::NONE,
            "d",
            now,
        );
        decision.reason.facts.iter().find(|f| f.0 == "needed").unwrap().1
    };
    // Mass 2048/4096; the cache saves 0.8 of the price: multiplier 1 + 1.5 · 0.8 = 2.2; prefix 0.2 · 0.5 · 2.2 = 0.22.
    assert!((needed(at(1000)) - 0.32).abs() < 1e-12);
    assert!((needed(at(1150)) - 0.21).abs() < 1e-12);
    assert!((needed(at(1300)) - 0.1).abs() < 1e-12);
}

#[test]
fn in_a_tool_loop_it_stays_whatever_would_be_gained() {
    let scores = [(1, 0.9), (0, 0.1)];
    let decision = pass(&stay(|_| ()), &session(), &scores, &in_loop());
    assert_eq!(names(&decision), ["a", "b"]);
    assert_eq!(decision.reason.text, "stayed with a: in a tool loop");
    // Under another decision too, as long as that has the model.
    let under = |under| {
        pass_at(
            &stay(|_| ()),
            Some(&session()),
            &scores,
            &in_loop(),
            &Limits::NONE,
            under,
            at(1000),
        )
    };
    assert_eq!(names(&under("another")), ["a", "b"]);
    let free = pass(
        &stay(|c| c.lock_tool_loops = false),
        &session(),
        &scores,
        &in_loop(),
    );
    assert_eq!(names(&free), ["b", "a"]);
}

#[test]
fn without_a_session_after_the_idle_time_and_under_another_decision_the_selector_is_free() {
    let query = Query::text("hi");
    let free = |session: Option<&Session>, under, now| {
        names(&pass_at(
            &stay(|_| ()),
            session,
            &SCORES,
            &query,
            &Limits::NONE,
            under,
            now,
        )) == ["b", "a", "c"]
    };
    assert!(free(None, "d", at(1000)));
    assert!(!free(Some(&session()), "d", at(1300)));
    assert!(free(Some(&session()), "d", at(1301)));
    assert!(free(Some(&session()), "another", at(1000)));
    assert!(free(
        Some(&Session {
            model: Some("gone".into()),
            ..session()
        }),
        "d",
        at(1000)
    ));
}

#[test]
fn limits_go_before_staying() {
    for query in [Query::text("hi"), in_loop()] {
        let barred = Limits {
            barred: vec![CandidateId(0)],
            ..Limits::NONE
        };
        let scores = [(1, 0.58), (2, 0.1)];
        let decision = pass_at(
            &stay(|_| ()),
            Some(&session()),
            &scores,
            &query,
            &barred,
            "d",
            at(1000),
        );
        assert_eq!(names(&decision), ["b", "c"]);
    }
}

#[test]
fn a_model_that_fails_again_and_again_is_left() {
    let failing = |model: &str, times| Session {
        failures: SmallVec::from_iter([(Name::from(model), times)]),
        ..session()
    };
    let query = in_loop();
    let scores = [(0, 0.9), (1, 0.1)];
    let with = |session: &Session| pass(&stay(|_| ()), session, &scores, &query);
    assert_eq!(names(&with(&failing("a", 1))), ["a", "b"]);
    let left = with(&failing("a", 2));
    assert_eq!(names(&left), ["b", "a"]);
    assert_eq!(
        left.reason.text,
        "left a: it failed 2 times in a row in this conversation"
    );
    // One that failed is not gone back to; the conversation's own model goes before the next best.
    let other = Session {
        model: Some("c".into()),
        ..failing("a", 2)
    };
    assert_eq!(names(&with(&other)), ["c", "a", "b"]);
    let all = Session {
        failures: ["a", "b", "c"].map(|m| (Name::from(m), 5)).into_iter().collect(),
        ..session()
    };
    assert_eq!(names(&with(&all)), ["a", "b"], "nobody is better: as selected");
    let never = stay(|c| c.rescue_after = 0);
    assert_eq!(
        names(&pass(&never, &failing("a", 9), &scores, &query)),
        ["a", "b"]
    );
}

#[test]
fn first_turns_scores_of_another_unit_and_missing_scores() {
    let query = Query::text("hi");
    let young = stay(|c| c.min_turns = 3);
    let far = [(1, 9.0), (0, 1.0)];
    assert_eq!(names(&pass(&young, &session(), &far, &query)), ["a", "b"]);
    // In shares of the best: (100 - 92) / 100.
    let milliseconds = [(1, 100.0), (0, 92.0)];
    assert_eq!(
        names(&pass(&stay(|_| ()), &session(), &milliseconds, &query)),
        ["a", "b"]
    );
    for missing in [
        vec![(1, f64::NAN), (0, 0.5)],
        vec![(1, 0.9), (0, f64::NEG_INFINITY)],
        vec![(1, 0.5)],
    ] {
        assert_eq!(
            pass(&stay(|_| ()), &session(), &missing, &query).first().name,
            "b",
            "{missing:?}"
        );
    }
    // Not among the picks: it cannot have reached the last one's score.
    let decision = pass(&stay(|_| ()), &session(), &[(1, 0.5), (2, 0.45)], &query);
    assert_eq!(names(&decision), ["a", "b", "c"]);
    assert!(decision.first().score.is_nan());
}

#[test]
fn the_gap_table_stands_for_the_scores_under_the_gate() {
    let row = BTreeMap::from([("b".to_owned(), 0.5)]);
    let gate = stay(|c| {
        c.rule = StayRule::Gate;
        c.quality_gaps = BTreeMap::from([("a".to_owned(), row)]);
    });
    let query = Query::text("hi");
    // 0.5 - 0.05 - 0.2 · 1 is more than 0.05; by the scores alone it would not be.
    assert_eq!(names(&pass(&gate, &session(), &SCORES, &query)), ["b", "a", "c"]);
    let by_scores = stay(|c| c.rule = StayRule::Gate);
    let decision = pass(&by_scores, &session(), &SCORES, &query);
    assert_eq!(decision.reason.text, "stayed with a: advantage -0.17 below 0.05");
}

#[test]
fn observed_or_passed_by() {
    let query = Query::text("hi");
    let observed = pass(&stay(|c| c.mode = StayMode::Observe), &session(), &SCORES, &query);
    assert_eq!(
        (names(&observed), observed.evidence.propensity),
        (vec!["b", "a", "c"], 0.25)
    );
    assert_eq!(
        observed.reason.text,
        "selected; observed, would take a: stayed with a: advantage 0.08 below 0.1"
    );
    let bypass = stay(|c| c.mode = StayMode::Bypass);
    assert!(!bypass.remembers());
    assert_eq!(pass(&bypass, &session(), &SCORES, &query).reason.text, "selected");
}

#[test]
fn a_locked_conversation_needs_no_deliberation() {
    let catalogue = catalogue();
    let limits = Limits::NONE;
    let mut rng = SmallRng::seed_from_u64(1);
    let cx = Context::new(&catalogue, &limits, at(1000), &mut rng);
    let (ids, session) = (catalogue.ids(), session());
    let locked = |stay: &Stay, query: &Query<'_>| stay.locked(Some(&session), query, &ids, &cx);
    let decision = locked(&stay(|_| ()), &in_loop()).unwrap();
    assert_eq!(
        (names(&decision), decision.evidence.router.as_str()),
        (vec!["a"], "stay")
    );
    assert_eq!(locked(&stay(|_| ()), &Query::text("hi")), None);
    assert_eq!(locked(&stay(|c| c.mode = StayMode::Observe), &in_loop()), None);
    assert_eq!(stay(|_| ()).locked(None, &in_loop(), &ids, &cx), None);
}

#[test]
fn settings_out_of_range_are_named() {
    let error = |change: fn(&mut StayConfig)| {
        let mut config = StayConfig::default();
        change(&mut config);
        config.check().unwrap_err().to_string()
    };
    assert_eq!(
        error(|c| c.switch_margin = -0.1),
        "stay.switch_margin must be a number from 0 to 1, found -0.1"
    );
    assert_eq!(
        error(|c| c.costs.cost_multiplier = 0.5),
        "stay.costs.cost_multiplier must be a finite number of at least 1, found 0.5"
    );
    assert_eq!(
        error(|c| c.idle_timeout = Duration::ZERO),
        "stay.idle_timeout must be more than 0, found 0"
    );
}

proptest! {
    #[test]
    fn a_pick_is_always_within_the_limits_and_nobody_stands_twice(
        order in Just((0..6_u32).collect::<Vec<_>>()).prop_shuffle(),
        scores in prop::collection::vec(prop_oneof![Just(f64::NAN), Just(f64::INFINITY), -2.0..500.0_f64], 6),
        barred in prop::collection::vec(0..6_u32, 0..6),
        down in prop::collection::vec(any::<bool>(), 6),
        current in 0..7_u32,
        failing in prop::collection::vec((0..6_u32, 0..4_u32), 0..4),
        setting in (any::<bool>(), 0..3_u32, 0..3_usize, any::<bool>()),
        tools in any::<bool>(),
        turns in 0..4_u32,
    ) {
        let catalogue = Catalogue::new((0..6).map(|i| Profile::named(format!("m{i}")))).unwrap();
        for (candidate, down) in catalogue.iter().zip(&down) {
            candidate.live.set_available(!down);
        }
        let limits = Limits { barred: barred.into_iter().map(CandidateId).collect(), ..Limits::NONE };
        let admitted = |id: CandidateId| limits.admit(catalogue.get(id).unwrap()).is_ok();
        // The decision has the first five of them; a selector has picked up to four.
        let among: Vec<CandidateId> = (0..5).map(CandidateId).collect();
        let of = order.iter().map(|i| CandidateId(*i)).filter(|id| among.contains(id) && admitted(*id));
        let picks: Picks = of.take(4).zip(&scores)
            .map(|(id, score)| Pick::of(catalogue.get(id).unwrap(), *score)).collect();
        let Some(decision) = Decision::ranked(picks, Reason::new("x"), Evidence::of("r")) else { return Ok(()) };
        let (lock_tool_loops, rescue_after, rule, same) = setting;
        let stay = Stay::new(&StayConfig {
            lock_tool_loops,
            rescue_after,
            rule: [StayRule::Protection, StayRule::Gate, StayRule::SessionAware][rule],
            ..StayConfig::default()
        }).unwrap();
        let session = Session {
            model: Some(format!("m{current}").into()),
            decision: Some(if same { "d".into() } else { "e".into() }),
            turns,
            failures: failing.iter().map(|(m, n)| (Name::from(format!("m{m}")), *n)).collect(),
            last: at(1000),
            ..Session::default()
        };
        let query = if tools { in_loop() } else { Query::text("hi") };
        let mut rng = SmallRng::seed_from_u64(1);
        let cx = Context::new(&catalogue, &limits, at(1100), &mut rng);
        let passed = stay.pass(decision.clone(), Some(&session), &query, &"d".into(), &among, &cx);
        let ids: Vec<_> = passed.picks.iter().map(|p| p.id).collect();
        prop_assert!(ids.iter().all(|id| among.contains(id) && admitted(*id)), "{passed:?}");
        let mut distinct = ids.clone();
        distinct.sort();
        distinct.dedup();
        prop_assert!(distinct.len() == ids.len() && ids.len() <= MOST);
        prop_assert!(ids.contains(&decision.first().id), "what was selected stays to fall back on");
        if let Some(locked) = stay.locked(Some(&session), &query, &among, &cx) {
            prop_assert!(admitted(locked.first().id));
        }
        let asleep = Context::new(&catalogue, &limits, at(1301), &mut rng);
        let free = stay.pass(decision.clone(), Some(&session), &query, &"d".into(), &among, &asleep);
        prop_assert_eq!(names(&free), names(&decision));
    }
}
