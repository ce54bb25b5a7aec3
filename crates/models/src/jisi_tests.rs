use fingerpost_core::{
    Catalogue, DriveError, Failure, Limits, Outcome, Profile, Reply, Timestamp, Usd, drive,
};
use fingerpost_encode::StaticEncoder;
use proptest::prelude::*;
use rand::{SeedableRng, rngs::SmallRng};

use super::*;
use crate::{
    Algorithm, ModelRouter, Settings, Trained,
    outcomes::{Logged, OutcomeTable},
};

const QUESTION: &str = "which of them is it?";
const APPLES: &str = "red apples grow on the trees of the garden";
const WHALES: &str = "blue whales swim through the northern sea";

fn featurizer() -> Featurizer {
    Featurizer::new(Arc::new(StaticEncoder::bundled()))
}

/// Five times one question: twice `a` spoke of apples, where `c` was best, and three times of whales, where `a` was.
/// Support scores: a 0.84, b 0.82, c 0.4, d 0.
fn table() -> OutcomeTable {
    let mut table = OutcomeTable::new(["a".into(), "b".into(), "c".into(), "d".into()]).unwrap();
    for i in 0..5 {
        let (said, scores) = if i < 2 {
            (APPLES, [0.6, 0.7, 1.0, 0.0])
        } else {
            (WHALES, [1.0, 0.9, 0.0, 0.0])
        };
        let row = Logged {
            scores: scores.map(Some).to_vec(),
            responses: vec![Some(said.to_owned()), None, None, None],
            ..Logged::query(i.to_string(), QUESTION)
        };
        table.push(row).unwrap();
    }
    table
}

fn trained() -> Trained {
    let settings = Settings::named("jisi").unwrap();
    Trained::train(&settings, &table(), &featurizer(), 1, &|_, _, _| true).unwrap()
}

fn config(threshold: f64, merge: Merge) -> JisiConfig {
    JisiConfig {
        support: 5,
        filtered: 2,
        probes: 2,
        threshold,
        merge,
        ..JisiConfig::default()
    }
}

fn jisi(config: &JisiConfig) -> Jisi {
    let State::Jisi(bank) = trained().state().clone() else {
        unreachable!("trained as such")
    };
    let searched = Searched::new(bank).unwrap();
    Jisi::new(config, "j".into(), Arc::new(searched), featurizer()).unwrap()
}

/// What each model says, `None` for a failure.
type Script<'a> = [Option<&'a str>; 4];

/// What came out, and the calls, in order.
fn run(
    router: &dyn for<'a> Deliberate<Query<'a>>,
    script: &Script<'_>,
    limits: &Limits,
    query: &Query<'_>,
) -> (Result<Decision, DriveError>, Vec<Call>) {
    let catalogue = Catalogue::new(["a", "b", "c", "d"].map(Profile::named)).unwrap();
    let mut rng = SmallRng::seed_from_u64(1);
    let mut cx = Context::new(&catalogue, limits, Timestamp::default(), &mut rng);
    let mut calls = Vec::new();
    let decision = drive(router, query, &catalogue.ids(), &mut cx, |call| {
        calls.push(call.clone());
        let reply = script[call.target.0 as usize].map(|text| Reply {
            text: text.to_owned(),
            ..Reply::default()
        });
        Answer {
            call: call.id,
            reply: reply.ok_or(Failure::RateLimited),
            outcome: Outcome {
                cost: Usd::new(0.25).ok(),
                ..Outcome::default()
            },
        }
    });
    (decision, calls)
}

fn play(config: &JisiConfig, script: &Script<'_>) -> (Decision, Vec<u32>) {
    let (decision, calls) = run(&jisi(config), script, &Limits::NONE, &Query::text(QUESTION));
    (decision.unwrap(), calls.iter().map(|c| c.target.0).collect())
}

fn picks(decision: &Decision) -> Vec<&str> {
    decision.picks.iter().map(|p| p.name.as_str()).collect()
}

#[test]
fn what_the_probes_say_tells_which_questions_are_alike() {
    let alone = config(1.0, Merge::Auto);
    let (decision, asked) = play(&alone, &[Some(WHALES), Some("x"), None, None]);
    assert_eq!(
        (asked.as_slice(), picks(&decision)),
        ([0, 1].as_slice(), vec!["a"])
    );
    assert_eq!(decision.answered, Some(CallId(0)));
    assert_eq!(
        decision.reason.to_string(),
        "the best of the probes (score 1, calls 2)"
    );

    // The same question, another answer: now whoever was best beside it, though it was not asked.
    let (decision, asked) = play(&alone, &[Some(APPLES), Some("x"), None, None]);
    assert_eq!(asked, [0, 1]);
    assert_eq!((decision.answered, decision.first().name.as_str()), (None, "c"));
    let scores: Vec<f64> = decision
        .picks
        .iter()
        .map(|p| (p.score * 1e6).round() / 1e6)
        .collect();
    assert_eq!(
        (picks(&decision), scores),
        (vec!["c", "b", "a", "d"], vec![1.0, 0.7, 0.6, 0.0])
    );
}

#[test]
fn with_the_queries_alone_answers_have_no_say() {
    let by_query = JisiConfig {
        query_weight: 1.0,
        filtered: 5,
        ..config(1.0, Merge::Auto)
    };
    for said in [APPLES, WHALES] {
        let (decision, _) = play(&by_query, &[Some(said), Some("x"), None, None]);
        assert_eq!(decision.first().name, "a");
        assert!((decision.first().score - 0.84).abs() < 1e-6);
    }
}

#[test]
fn who_reaches_the_bar_answers_and_short_answers_are_voted_on() {
    // Scores by apples: c 1, b 0.7. The bar lets both answer, so c is asked too.
    let (decision, asked) = play(
        &config(0.65, Merge::Vote),
        &[Some(APPLES), Some("(B)"), Some("(C)"), None],
    );
    assert_eq!(asked, [0, 1, 2]);
    assert_eq!(
        (decision.first().name.as_str(), decision.answered),
        ("c", Some(CallId(2)))
    );
    assert_eq!(decision.reason.text, "what the candidates agree on");
    let text = |name: &str| decision.evidence.feature(name).cloned();
    let feature = |name: &str| Some(Feature::Text(name.into()));
    assert_eq!(
        ["purpose.0", "purpose.2", "model.2", "aggregator"].map(text),
        [feature("probe"), feature("candidate"), feature("c"), feature("a")]
    );
    assert_eq!(text("cost.2"), Some(Feature::Number(0.25)));

    // Both are short: by themselves they are voted on.
    let (decision, _) = play(
        &config(0.65, Merge::Auto),
        &[Some(APPLES), Some("(B)"), Some("(C)"), None],
    );
    assert_eq!(decision.reason.text, "what the candidates agree on");
}

#[test]
fn long_answers_go_to_the_aggregator_as_the_last_call() {
    let long = "it is neither of them, as far as anybody who was there at the time can tell";
    let script = [Some(APPLES), Some(long), Some("(C)"), None];
    let (decision, calls) = run(
        &jisi(&config(0.65, Merge::Auto)),
        &script,
        &Limits::NONE,
        &Query::text(QUESTION),
    );
    let decision = decision.unwrap();
    assert_eq!(calls.iter().map(|c| c.target.0).collect::<Vec<_>>(), [0, 1, 2, 0]);
    let last = calls.last().unwrap();
    assert!(calls[..3].iter().all(|c| c.ask == Ask::Forward));
    let Ask::Prompt { user, .. } = &last.ask else {
        unreachable!("merging takes a prompt")
    };
    assert!(
        user.contains(QUESTION) && user.contains(long) && user.contains("(C)"),
        "{user}"
    );
    assert!(!user.contains(APPLES), "a is below the bar: {user}");
    assert_eq!(
        (decision.first().name.as_str(), decision.answered),
        ("a", Some(last.id))
    );
    assert_eq!(
        decision.evidence.feature("purpose.3"),
        Some(&Feature::Text("merge".into()))
    );
}

#[test]
fn the_switch_goes_from_all_to_one() {
    let asked = |threshold| {
        play(
            &config(threshold, Merge::Vote),
            &[Some(APPLES), Some("(B)"), Some("(C)"), None],
        )
        .1
    };
    assert_eq!(asked(0.0), [0, 1, 2]);
    assert_eq!(asked(0.69), [0, 1, 2]);
    // c alone is above: it is routed to, by whoever performs the decision.
    assert_eq!(asked(0.71), [0, 1]);
    assert_eq!(asked(1.0), [0, 1]);
}

#[test]
fn failures_have_no_say() {
    // a fails: b was never logged saying anything, so the queries speak alone.
    let (decision, asked) = play(&config(1.0, Merge::Auto), &[None, Some("x"), None, None]);
    assert_eq!(asked, [0, 1]);
    assert!(!picks(&decision).contains(&"a"), "{:?}", picks(&decision));

    let (decision, asked) = play(&config(0.0, Merge::Auto), &[None, None, Some("x"), Some("y")]);
    assert_eq!(
        (asked.as_slice(), picks(&decision)),
        ([0, 1].as_slice(), vec!["c", "d"])
    );
    assert_eq!(decision.answered, None);
    assert_eq!(decision.reason.text, "no probe answered: the best of the others");

    // The candidate that was asked later fails: the other one's answer is served.
    let (decision, asked) = play(
        &config(0.65, Merge::Auto),
        &[Some(APPLES), Some("(B)"), None, None],
    );
    assert_eq!(asked, [0, 1, 2]);
    assert_eq!(
        (decision.first().name.as_str(), decision.answered),
        ("b", Some(CallId(1)))
    );

    let only_two = Limits {
        barred: vec![CandidateId(2), CandidateId(3)],
        ..Limits::NONE
    };
    let router = jisi(&config(0.0, Merge::Auto));
    let (decision, _) = run(&router, &[None; 4], &only_two, &Query::text(QUESTION));
    let error = decision.unwrap_err().to_string();
    let expected = "no route: a tried or barred for this request; b tried or barred for this request";
    assert_eq!(error, expected);
}

#[test]
fn nobody_one_alone_and_tools_take_no_probes() {
    let router = jisi(&config(0.0, Merge::Auto));
    let barred = |ids: &[u32]| Limits {
        barred: ids.iter().map(|id| CandidateId(*id)).collect(),
        ..Limits::NONE
    };
    let (decision, calls) = run(
        &router,
        &[None; 4],
        &barred(&[0, 1, 2, 3]),
        &Query::text(QUESTION),
    );
    assert!(matches!(decision, Err(DriveError::NoRoute(n)) if n.excluded.len() == 4));
    assert!(calls.is_empty());
    let (decision, calls) = run(&router, &[None; 4], &barred(&[0, 1, 2]), &Query::text(QUESTION));
    assert_eq!((picks(&decision.unwrap()), calls.len()), (vec!["d"], 0));
    let query = Query {
        tools: 1,
        ..Query::text(QUESTION)
    };
    let (decision, calls) = run(&router, &[None; 4], &Limits::NONE, &query);
    assert_eq!(
        (picks(&decision.unwrap()), calls.len()),
        (vec!["a", "b", "c", "d"], 0)
    );
}

#[test]
fn a_model_that_the_bank_does_not_know_counts_as_declared() {
    let known = fingerpost_core::Quality::new(0.83).unwrap();
    let profiles = ["a", "b", "new", "newer"].map(|name| Profile {
        quality: (name == "new").then_some(known),
        ..Profile::named(name)
    });
    let catalogue = Catalogue::new(profiles).unwrap();
    let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
    let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
    let query = Query {
        tools: 1,
        ..Query::text(QUESTION)
    };
    let step = jisi(&config(0.0, Merge::Auto)).start(&query, &catalogue.ids(), &mut cx);
    let Step::Done(decision) = step else {
        unreachable!("{step:?}")
    };
    assert_eq!(picks(&decision), ["a", "new", "b", "newer"]);
}

#[test]
fn a_thread_of_another_router_is_refused() {
    let catalogue = Catalogue::new(["a", "b"].map(Profile::named)).unwrap();
    let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
    let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
    let mine = jisi(&config(0.0, Merge::Auto));
    let mut other = jisi(&config(0.0, Merge::Auto));
    other.name = "other".into();
    let query = Query::text(QUESTION);
    let Step::Ask(calls, thread) = other.start(&query, &catalogue.ids(), &mut cx) else {
        unreachable!("it begins with probes")
    };
    assert_eq!(calls.len(), 2);
    for thread in [thread, Thread::keep(&7).unwrap()] {
        let step = mine.resume(&query, thread, Vec::new(), &mut cx);
        assert!(matches!(step, Step::Fail(_)), "{step:?}");
    }
}

#[test]
fn it_is_built_from_the_file_that_the_configuration_names() {
    let trained = Trained::from_bytes(&trained().to_bytes()).unwrap();
    assert_eq!(
        (trained.about.algorithm.as_str(), trained.about.rows),
        ("jisi", 5)
    );
    let shared = Shared {
        featurizer: Some(featurizer()),
        trained: [("bank".to_owned(), Arc::new(trained))].into(),
        ..Shared::default()
    };
    let build = |json: &str| {
        let mut config: Algorithm = serde_json::from_str(json).unwrap();
        assert_eq!(config.trained().cloned(), config.trained_mut().cloned());
        crate::build(&config, "j", &shared).map_err(|e| e.to_string())
    };
    let router =
        build(r#"{"algorithm":"jisi","trained":"bank","support":5,"filtered":2,"probes":2,"threshold":1}"#);
    let ModelRouter::Deliberate(router) = router.unwrap() else {
        unreachable!("it asks before it decides")
    };
    let script = [Some(WHALES), Some("x"), None, None];
    let (decision, _) = run(&*router, &script, &Limits::NONE, &Query::text(QUESTION));
    assert_eq!(decision.unwrap().answered, Some(CallId(0)));
    for (json, expected) in [
        (
            r#"{"algorithm":"jisi","trained":"gone"}"#,
            "jisi.trained must be a file that can be read, found gone",
        ),
        (
            r#"{"algorithm":"jisi","trained":"bank","probes":0}"#,
            "jisi.probes must be a whole number from 1 to 8, found 0",
        ),
        (
            r#"{"algorithm":"jisi","trained":"bank","threshold":2}"#,
            "jisi.threshold must be a number from 0 to 1, found 2",
        ),
        (
            r#"{"algorithm":"jisi"}"#,
            "jisi.trained must be the file of a trained router (`fingerpost train model-router`), found null",
        ),
        (
            r#"{"algorithm":"knn","trained":"bank"}"#,
            "knn.trained must be a file trained for this algorithm, found one of `jisi`",
        ),
    ] {
        assert_eq!(build(json).unwrap_err(), expected);
    }
    let named = r#"{"algorithm":"jisi","trained":"not read yet"}"#;
    assert!(crate::check(&serde_json::from_str(named).unwrap()).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_is_served_came_and_limits_hold(
        said in prop::array::uniform4(prop::option::of(prop::sample::select(vec![APPLES, WHALES, "(A)", "(B)", ""]))),
        barred in prop::collection::vec(0..4_u32, 0..3),
        threshold in 0.0..=1.0_f64,
        merge in prop::sample::select(vec![Merge::Auto, Merge::Prompt, Merge::Vote]),
    ) {
        let limits = Limits { barred: barred.into_iter().map(CandidateId).collect(), ..Limits::NONE };
        let router = jisi(&config(threshold, merge));
        let (decision, calls) = run(&router, &said, &limits, &Query::text(QUESTION));
        prop_assert!(calls.iter().all(|c| !limits.barred.contains(&c.target)));
        prop_assert!(calls.windows(2).all(|w| w[0].id < w[1].id));
        match decision {
            Ok(decision) => {
                prop_assert!(decision.picks.iter().all(|p| !limits.barred.contains(&p.id)));
                if let Some(id) = decision.answered {
                    let call = calls.iter().find(|c| c.id == id).unwrap();
                    prop_assert_eq!(call.target, decision.first().id);
                    prop_assert!(call.ask != Ask::Forward || said[call.target.0 as usize].is_some());
                }
            }
            Err(_) => prop_assert!(calls.iter().all(|c| said[c.target.0 as usize].is_none())),
        }
    }
}
