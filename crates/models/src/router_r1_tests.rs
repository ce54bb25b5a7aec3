use fingerpost_core::{
    Catalogue, DriveError, Failure, Feature, Limits, Outcome, Profile, Quality, Timestamp, Usd, drive_served,
};
use fingerpost_encode::StaticEncoder;
use proptest::prelude::*;
use rand::{SeedableRng, rngs::SmallRng};

use super::*;
use crate::{
    Algorithm, ModelRouter, Settings, Trained,
    outcomes::{Logged, OutcomeTable},
};

const MODELS: [&str; 4] = ["qwen-7b", "llama-8b", "llama-70b", "boss"];

fn llm() -> RouterR1Config {
    RouterR1Config {
        router: Some("boss".to_owned()),
        ..RouterR1Config::default()
    }
}

struct Played {
    end: Result<(Decision, Option<String>), DriveError>,
    calls: Vec<Call>,
}

// === impl Played ===

impl Played {
    fn decision(&self) -> &Decision {
        &self.end.as_ref().unwrap().0
    }

    fn text(&self) -> Option<&str> {
        self.end.as_ref().unwrap().1.as_deref()
    }

    fn asked(&self) -> Vec<u32> {
        self.calls.iter().map(|c| c.target.0).collect()
    }

    /// The user's part of the prompt of a call.
    fn prompt(&self, number: usize) -> &str {
        match &self.calls[number].ask {
            Ask::Prompt { user, .. } => user,
            other => unreachable!("{other:?}"),
        }
    }
}

/// Plays replies in the order of the calls, `None` for a failure; the last one again and again.
fn play_with(
    config: &RouterR1Config,
    replies: &[Option<&str>],
    limits: &Limits,
    query: &Query<'_>,
) -> Played {
    let router = RouterR1::new(config, "r".into(), &Shared::default()).unwrap();
    play_router(&router, replies, limits, query)
}

fn play_router(
    router: &dyn for<'a> Deliberate<Query<'a>>,
    replies: &[Option<&str>],
    limits: &Limits,
    query: &Query<'_>,
) -> Played {
    let catalogue = Catalogue::new(MODELS.map(Profile::named)).unwrap();
    let among = &catalogue.ids()[..3];
    let mut rng = SmallRng::seed_from_u64(1);
    let mut cx = Context::new(&catalogue, limits, Timestamp::default(), &mut rng);
    let mut calls: Vec<Call> = Vec::new();
    let end = drive_served(router, query, among, &mut cx, |call| {
        let said = replies[calls.len().min(replies.len() - 1)];
        calls.push(call.clone());
        let reply = said.map(|text| Reply {
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
    Played { end, calls }
}

fn play(replies: &[Option<&str>]) -> Played {
    play_with(&llm(), replies, &Limits::NONE, &Query::text("who was first?"))
}

const ANSWER: &str = "<think>clear</think><answer> Ada </answer> that is all";
const SEARCH: &str = "<think>hm</think><search>Qwen: who?</search>";

#[test]
fn it_asks_reads_and_answers_without_tags() {
    let played = play(&[Some(SEARCH), Some("Ada, I think."), Some(ANSWER)]);
    assert_eq!((played.asked(), played.text()), (vec![3, 0, 3], Some("Ada")));
    let decision = played.decision();
    assert_eq!(
        (decision.first().name.as_str(), decision.answered),
        ("boss", Some(CallId(2)))
    );
    assert_eq!(
        decision.reason.to_string(),
        "the router model answers (models asked 1, cost in USD 0.75)"
    );
    let feature = |name: &str| decision.evidence.feature(name).cloned();
    let text = |text: &str| Some(Feature::Text(text.into()));
    assert_eq!(
        ["purpose.0", "model.1", "purpose.1"].map(feature),
        [text("route"), text("qwen-7b"), text("ask")]
    );
    assert_eq!(
        ["cost.0", "cost.1", "cost.2", "format"].map(feature),
        [0.25, 0.25, 0.25, 0.0].map(|n| Some(Feature::Number(n)))
    );
    assert!(
        !serde_json::to_string(decision).unwrap().contains("Ada"),
        "no trace holds the text"
    );

    // What each was told.
    assert_eq!(played.prompt(0), "Question: who was first?\n");
    assert_eq!(played.prompt(1), "who?");
    let transcript = format!("{SEARCH}<information>Ada, I think.</information>");
    assert!(played.prompt(2).contains(&transcript), "{}", played.prompt(2));
    let Ask::Prompt {
        system: Some(system), ..
    } = &played.calls[0].ask
    else {
        unreachable!("the router is told how to speak")
    };
    assert!(system.contains("- qwen-7b\n- llama-8b\n- llama-70b\n") && !system.contains("- boss"));
}

#[test]
fn it_may_answer_at_once() {
    let played = play(&[Some(ANSWER)]);
    assert_eq!((played.asked(), played.text()), (vec![3], Some("Ada")));
    let fallbacks: Vec<&str> = played.decision().picks.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(fallbacks, ["boss", "qwen-7b", "llama-8b", "llama-70b"]);
}

#[test]
fn an_action_that_cannot_be_done_costs_the_turn() {
    for said in [
        "I wonder.",
        "<search>qwen</search>",
        "<answer> </answer>",
        "<search>LLM-Name:Your-Query</search>",
    ] {
        let played = play(&[Some(said), Some(ANSWER)]);
        assert_eq!(
            (played.asked(), played.text()),
            (vec![3, 3], Some("Ada")),
            "{said}"
        );
        assert!(
            !played.prompt(1).contains("<information>"),
            "nothing comes back: {said}"
        );
    }
    // An unknown model and a call that fails bring `None`.
    let played = play(&[
        Some("<think>x</think><search>claude: who?</search>"),
        Some(ANSWER),
    ]);
    assert_eq!(played.asked(), [3, 3]);
    assert!(
        played
            .prompt(1)
            .contains("</search><information>None</information>")
    );
    assert_eq!(
        played.decision().evidence.feature("format"),
        Some(&Feature::Number(-1.0))
    );
    let played = play(&[Some(SEARCH), None, Some(ANSWER)]);
    assert_eq!((played.asked(), played.text()), (vec![3, 0, 3], Some("Ada")));
    assert!(played.prompt(2).contains("<information>None</information>"));
    assert_eq!(
        played.decision().evidence.feature("failed.1"),
        Some(&Feature::Number(1.0))
    );

    // Four lost turns, and then the last word.
    let played = play(&[Some("I wonder.")]);
    assert_eq!(played.asked(), [3; 5]);
    assert!(!played.prompt(3).contains("No more models") && played.prompt(4).contains("No more models"));
}

#[test]
fn after_the_last_turn_nobody_else_is_asked() {
    let script: Vec<Option<&str>> = [Some(SEARCH), Some("Ada")]
        .repeat(4)
        .into_iter()
        .chain([Some(ANSWER)])
        .collect();
    let played = play(&script);
    assert_eq!(played.asked(), [3, 0, 3, 0, 3, 0, 3, 0, 3]);
    assert_eq!(played.text(), Some("Ada"));
    assert!(played.prompt(8).contains("No more models can be asked"));

    // It asks all the same: the models answer, those first that were not asked.
    let played = play(&[Some(SEARCH), Some("Ada")].repeat(5));
    let decision = played.decision();
    assert_eq!((played.text(), decision.answered), (None, None));
    let order: Vec<&str> = decision.picks.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(order, ["llama-8b", "llama-70b", "qwen-7b"]);
    assert_eq!(
        decision.reason.text,
        "the router model gave no answer: without it"
    );
}

#[test]
fn what_was_spent_ends_it() {
    let config = RouterR1Config {
        max_cost_usd: Some(0.5),
        ..llm()
    };
    let query = Query::text("who was first?");
    let played = play_with(
        &config,
        &[Some(SEARCH), Some("Ada"), Some(ANSWER)],
        &Limits::NONE,
        &query,
    );
    assert_eq!((played.asked(), played.text()), (vec![3, 0, 3], Some("Ada")));
    assert!(played.prompt(2).contains("No more models can be asked"));
    let played = play_with(
        &config,
        &[Some(SEARCH), Some("Ada"), Some(SEARCH)],
        &Limits::NONE,
        &query,
    );
    assert_eq!((played.asked(), played.text()), (vec![3, 0, 3], None));
}

#[test]
fn what_is_heard_is_cut() {
    let config = RouterR1Config {
        observation_tokens: 2,
        ..llm()
    };
    let script = [Some(SEARCH), Some("abcdefghij"), Some(ANSWER)];
    let played = play_with(&config, &script, &Limits::NONE, &Query::text("?"));
    assert!(played.prompt(2).contains("<information>abcdefgh</information>"));
}

#[test]
fn without_the_router_model_the_others_answer() {
    let order = |played: &Played| -> Vec<String> {
        played
            .decision()
            .picks
            .iter()
            .map(|p| p.name.to_string())
            .collect()
    };
    let all = ["qwen-7b", "llama-8b", "llama-70b"];
    let played = play(&[None]);
    assert_eq!(
        (played.asked(), order(&played)),
        (vec![3], all.map(String::from).to_vec())
    );
    assert_eq!(
        played.decision().reason.text,
        "the router model failed: without it"
    );
    let barred = |ids: &[u32]| Limits {
        barred: ids.iter().map(|id| CandidateId(*id)).collect(),
        ..Limits::NONE
    };
    let query = Query::text("?");
    let played = play_with(&llm(), &[None], &barred(&[3, 0]), &query);
    assert_eq!(
        (played.asked(), order(&played)),
        (vec![], all[1..].iter().map(|s| (*s).to_owned()).collect())
    );
    let nowhere = RouterR1Config {
        router: Some("gone".to_owned()),
        ..llm()
    };
    assert!(
        play_with(&nowhere, &[None], &Limits::NONE, &query)
            .asked()
            .is_empty()
    );
    let structured = Query {
        structured: true,
        ..Query::text("?")
    };
    let played = play_with(&llm(), &[Some(ANSWER)], &Limits::NONE, &structured);
    assert_eq!(
        (played.asked().len(), played.text(), order(&played).len()),
        (0, None, 3)
    );

    let played = play_with(&llm(), &[Some(ANSWER)], &barred(&[0, 1, 2]), &query);
    assert!(matches!(played.end, Err(DriveError::NoRoute(n)) if n.excluded.len() == 3));
}

#[test]
fn a_barred_model_is_not_asked_by_name_either() {
    let limits = Limits {
        barred: vec![CandidateId(0)],
        ..Limits::NONE
    };
    let played = play_with(&llm(), &[Some(SEARCH), Some(ANSWER)], &limits, &Query::text("?"));
    assert_eq!(played.asked(), [3, 3]);
    assert!(played.prompt(1).contains("<information>None</information>"));
}

#[test]
fn a_thread_of_another_router_is_refused() {
    let catalogue = Catalogue::new(MODELS.map(Profile::named)).unwrap();
    let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
    let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
    let of = |name: &str| RouterR1::new(&llm(), name.into(), &Shared::default()).unwrap();
    let query = Query::text("?");
    let Step::Ask(_, thread) = of("other").start(&query, &catalogue.ids(), &mut cx) else {
        unreachable!("it begins with the router model")
    };
    for thread in [thread, Thread::keep(&7).unwrap()] {
        let step = of("r").resume(&query, thread, Vec::new(), &mut cx);
        assert!(matches!(step, Step::Fail(_)), "{step:?}");
    }
}

#[test]
fn settings_out_of_range_and_missing_ones_are_named() {
    let error = |json: &str| {
        let config: Algorithm = serde_json::from_str(json).unwrap();
        crate::check(&config).unwrap_err().to_string()
    };
    for (json, expected) in [
        (
            r#"{"algorithm":"router_r1"}"#,
            "router_r1.router must be the name of a model, which routes, found null",
        ),
        (
            r#"{"algorithm":"router_r1","policy":"trained","router":"boss"}"#,
            "router_r1.trained must be the file of a trained router (`fingerpost train model-router`), found null",
        ),
        (
            r#"{"algorithm":"router_r1","router":"boss","max_turns":0}"#,
            "router_r1.max_turns must be a whole number from 1 to 16, found 0",
        ),
        (
            r#"{"algorithm":"router_r1","router":"boss","observation_tokens":0}"#,
            "router_r1.observation_tokens must be a whole number from 1 to 100000, found 0",
        ),
        (
            r#"{"algorithm":"router_r1","router":"boss","max_cost_usd":-1}"#,
            "router_r1.max_cost_usd must be a finite number of at least 0, found -1",
        ),
    ] {
        assert_eq!(error(json), expected);
    }
    let config = serde_json::from_str(r#"{"algorithm":"router_r1","router":"boss"}"#).unwrap();
    assert!(crate::check(&config).is_ok());
}

// === by a trained policy ===

/// `qwen-7b` is right on every other query and says so where it cannot; `llama-70b` is always right, and dear.
fn trained(cost_weight: f64) -> (ModelRouter, Arc<Trained>) {
    let mut table = OutcomeTable::new(["qwen-7b".into(), "llama-70b".into()]).unwrap();
    for i in 0..60 {
        let knows = i % 2 == 0;
        let small = if knows { "(A)" } else { "I don't know." };
        let row = Logged {
            scores: vec![Some(f32::from(u8::from(knows))), Some(1.0)],
            costs: vec![Some(1e-5), Some(1e-3)],
            responses: vec![Some(small.to_owned()), Some("(A)".to_owned())],
            ..Logged::query(i.to_string(), format!("is it number {i}?"))
        };
        table.push(row).unwrap();
    }
    let featurizer = Featurizer::new(Arc::new(StaticEncoder::bundled()));
    let settings = Settings::RouterR1(RouterR1Settings {
        cost_weight,
        episodes: 20_000,
        ..RouterR1Settings::default()
    });
    let trained = Trained::train(&settings, &table, &featurizer, 1, &|_, _, _| true).unwrap();
    let trained = Arc::new(Trained::from_bytes(&trained.to_bytes()).unwrap());
    let shared = Shared {
        featurizer: Some(featurizer),
        trained: [("rounds".to_owned(), trained.clone())].into(),
        ..Shared::default()
    };
    let json = r#"{"algorithm":"router_r1","policy":"trained","trained":"rounds","max_cost_usd":0.6}"#;
    let config: Algorithm = serde_json::from_str(json).unwrap();
    (crate::build(&config, "r", &shared).unwrap(), trained)
}

#[test]
fn a_trained_policy_asks_and_serves() {
    let (router, trained) = trained(0.5);
    assert_eq!(trained.about.algorithm, "router_r1");
    let ModelRouter::Deliberate(router) = router else {
        unreachable!("it asks before it decides")
    };
    // `llama-8b` is not known to the training.
    let limits = Limits {
        barred: vec![CandidateId(1)],
        ..Limits::NONE
    };
    let query = Query::text("is it number 7?");
    let play = |replies: &[Option<&str>]| play_router(&*router, replies, &limits, &query);

    let played = play(&[Some("(A)")]);
    assert!(played.calls.iter().all(|c| c.ask == Ask::Forward));
    assert_eq!((played.asked(), played.text()), (vec![0], None));
    let decision = played.decision();
    assert_eq!(
        (decision.first().name.as_str(), decision.answered),
        ("qwen-7b", Some(CallId(0)))
    );
    assert_eq!(decision.evidence.feature("cost.0"), Some(&Feature::Number(0.25)));

    let played = play(&[Some("I don't know."), Some("(A)")]);
    assert_eq!(
        (played.asked(), played.decision().answered),
        (vec![0, 2], Some(CallId(1)))
    );

    // A call that fails is a turn; whoever else there is answers.
    let played = play(&[None, Some("(A)")]);
    assert_eq!(
        (played.asked(), played.decision().answered),
        (vec![0, 2], Some(CallId(1)))
    );
    let played = play(&[None]);
    assert!(matches!(played.end, Err(DriveError::NoRoute(n)) if n.excluded.len() == 2));

    // Enough is spent after three calls of a quarter each.
    let all = play_router(&*router, &[Some("I don't know.")], &Limits::NONE, &query);
    assert!(all.calls.len() <= 3);

    let tools = Query {
        tools: 1,
        ..Query::text("is it number 7?")
    };
    let played = play_router(&*router, &[None], &limits, &tools);
    assert_eq!((played.asked().len(), played.decision().picks.len()), (0, 2));
}

#[test]
fn models_without_a_past_count_as_declared() {
    let (router, _) = trained(0.0);
    let ModelRouter::Deliberate(router) = router else {
        unreachable!("it asks before it decides")
    };
    let profiles = ["newest", "newer"].map(|name| Profile {
        quality: (name == "newer").then(|| Quality::new(0.9).unwrap()),
        ..Profile::named(name)
    });
    let catalogue = Catalogue::new(profiles).unwrap();
    let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
    let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
    let Step::Ask(calls, _) = router.start(&Query::text("?"), &catalogue.ids(), &mut cx) else {
        unreachable!("there is nothing to serve yet")
    };
    assert_eq!(calls[0].target, CandidateId(1));
}

fn generation() -> impl Strategy<Value = Option<String>> {
    let piece = prop::sample::select(vec![
        "<think>t</think>",
        "<search>qwen: who?</search>",
        "<search>llama-70b: what: is it?</search>",
        "<search>claude: who?</search>",
        "<search>",
        "</search>",
        "<answer>x</answer>",
        "<answer></answer>",
        "</information>",
        "Ada",
    ]);
    prop::option::weighted(0.9, prop::collection::vec(piece, 0..3).prop_map(|p| p.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn it_ends_within_its_turns_and_limits(
        replies in prop::collection::vec(generation(), 1..12),
        barred in prop::collection::vec(0..4_u32, 0..3),
    ) {
        let limits = Limits { barred: barred.into_iter().map(CandidateId).collect(), ..Limits::NONE };
        let replies: Vec<Option<&str>> = replies.iter().map(Option::as_deref).collect();
        let played = play_with(&llm(), &replies, &limits, &Query::text("?"));
        prop_assert!(played.calls.len() <= 9);
        prop_assert!(played.calls.iter().all(|c| !limits.barred.contains(&c.target)));
        prop_assert!(played.calls.iter().zip(0..).all(|(c, number)| c.id == CallId(number)));
        if let Ok((decision, text)) = &played.end {
            prop_assert!(decision.picks.iter().all(|p| !limits.barred.contains(&p.id)));
            prop_assert_eq!(text.is_some(), decision.answered.is_some());
            prop_assert!(text.as_ref().is_none_or(|t| !t.is_empty() && !t.contains('<')), "{:?}", text);
        }
    }
}
