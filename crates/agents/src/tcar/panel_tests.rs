use fingerpost_core::{Failure, Feature, Limits};

use super::*;
use crate::{
    asking::tests::{Ran, catalogue, prompt, run},
    tcar::{Thresholds, bank::tests::bank, head::tests::trained},
};

const RAIN: &str = "will it rain in Oslo";

fn tcar(mode: TcarMode, thresholds: Thresholds, config: TcarConfig) -> Tcar {
    let bank = Arc::new(bank());
    let mut head = trained(&bank);
    head.thresholds = thresholds;
    let config = TcarConfig {
        mode,
        model: Some("judge".into()),
        ..config
    };
    Tcar::new(
        &config,
        "t".into(),
        bank,
        (mode != TcarMode::Model).then_some(head),
    )
    .unwrap()
}

const NARROW: Thresholds = Thresholds {
    t: 0.5,
    delta: 0.0,
    oos: 0.0,
};
const WIDE: Thresholds = Thresholds {
    t: 0.0,
    delta: 1.0,
    oos: 0.0,
};

fn ask(router: &Tcar, answer: impl FnMut(&Call) -> Result<String, Failure>) -> Ran {
    let catalogue = catalogue(&["weather", "money", "cook", "judge", "chat"]);
    run(
        router,
        &Query::text(RAIN),
        &catalogue.ids()[..3],
        &catalogue,
        answer,
    )
}

fn number(decision: &Decision, name: &str) -> f64 {
    match decision.evidence.feature(name) {
        Some(Feature::Number(number)) => *number,
        other => unreachable!("{name}: {other:?}"),
    }
}

#[test]
fn one_agent_answers_as_it_comes() {
    let ran = ask(&tcar(TcarMode::Head, NARROW, TcarConfig::default()), |_| {
        Ok("never".into())
    });
    assert!(ran.rounds.is_empty());
    let Step::Finish(decision, call) = ran.step else {
        unreachable!("passed on")
    };
    assert_eq!(
        (decision.first().name.as_str(), call.ask),
        ("weather", Ask::Forward)
    );
    assert!(decision.reason.text.contains("like its example"));
}

#[test]
fn several_answers_are_refined_and_charged() {
    let router = tcar(TcarMode::Head, WIDE, TcarConfig::default());
    let ran = ask(&router, |call| Ok(format!("answer of {}", call.target.0)));
    assert_eq!((ran.rounds.len(), ran.rounds[0].len()), (1, 3));
    assert_eq!(ran.manners[0].within.map(Millis::get), Some(30_000.0));
    let Step::Finish(decision, call) = ran.step else {
        unreachable!("refined")
    };
    assert_eq!(decision.first().name.as_str(), "judge");
    assert_eq!((number(&decision, "cost"), number(&decision, "set")), (3.0, 4.0));
    let (user, system) = prompt(&call);
    assert!(user.contains("answer of 2") && system.contains("contradict"));
}

#[test]
fn one_usable_answer_passes_and_refusals_are_polite() {
    let router = tcar(TcarMode::Head, WIDE, TcarConfig::default());
    let ran = ask(&router, |call| match call.target.0 {
        0 => Err(Failure::Timeout("total".into())),
        1 => Ok("I'm sorry, I can't help with that.".into()),
        _ => Ok("Soup.".into()),
    });
    let Step::Done(decision) = ran.step else {
        unreachable!("served")
    };
    assert_eq!(decision.first().name.as_str(), "cook");
    let cook = ran.rounds[0].iter().find(|call| call.target.0 == 2).unwrap();
    assert_eq!(decision.answered, Some(cook.id));

    let ran = ask(&router, |_| Ok("I cannot help with that.".into()));
    assert!(matches!(ran.step, Step::Serve(d, text) if text == REFUSAL && d.answered == Some(CallId(0))));
    let ran = ask(&router, |_| Err(Failure::RateLimited));
    assert!(matches!(ran.step, Step::Fail(none) if none.excluded.len() == 3));
}

#[test]
fn without_a_refiner_the_best_answer_stands() {
    let config = TcarConfig {
        refiner: Some("nobody".into()),
        ..TcarConfig::default()
    };
    let ran = ask(&tcar(TcarMode::Head, WIDE, config), |_| Ok("yes".into()));
    assert!(
        matches!(ran.step, Step::Done(d) if d.answered == Some(CallId(0)) && d.first().name.as_str() == "weather")
    );
}

#[test]
fn a_model_chooses_from_a_list_that_stays() {
    let router = tcar(TcarMode::Model, NARROW, TcarConfig::default());
    let ran = ask(&router, |call| match &call.ask {
        Ask::Prompt { .. } => Ok("REASON: it is about rain\nAGENT: weather\nAGENT: cook".into()),
        _ => Ok("fine".into()),
    });
    let (user, system) = prompt(&ran.rounds[0][0]);
    assert!(
        system.contains("money: Moves money between accounts")
            && !system.contains(RAIN)
            && user.contains(RAIN)
    );
    assert_eq!(ran.rounds[1].len(), 2);
    let Step::Finish(decision, _) = ran.step else {
        unreachable!("refined")
    };
    assert_eq!(
        (decision.reason.text.as_ref(), number(&decision, "cost")),
        ("it is about rain", 3.0)
    );
    // A list over its budget is cut to the nearest.
    let short = TcarConfig {
        list_tokens: 12,
        ..TcarConfig::default()
    };
    let ran = ask(
        &tcar(TcarMode::Model, NARROW, short),
        |_| Ok("AGENT: none".into()),
    );
    let system = prompt(&ran.rounds[0][0]).1;
    assert!(
        system.contains("weather: ") && !system.contains("cook: "),
        "{system}"
    );
    assert!(matches!(ran.step, Step::Fail(none) if none.excluded.len() == 3));
}

#[test]
fn a_cascade_asks_only_where_the_head_is_not_sure() {
    let at = |margin| TcarConfig {
        margin,
        ..TcarConfig::default()
    };
    assert!(
        ask(&tcar(TcarMode::Cascade, NARROW, at(0.0)), |_| Ok(String::new()))
            .rounds
            .is_empty()
    );
    let unsure = tcar(TcarMode::Cascade, NARROW, at(1.0));
    let ran = ask(&unsure, |_| Ok("AGENT: money".into()));
    assert!(matches!(ran.step, Step::Finish(d, _) if d.first().name.as_str() == "money"));
    // A failed call leaves the head's choice; an unreadable reply is out of scope and counted.
    let ran = ask(&unsure, |_| Err(Failure::RateLimited));
    assert!(matches!(ran.step, Step::Finish(d, _) if d.first().name.as_str() == "weather"));
    let chat = TcarConfig {
        otherwise: Some("chat".into()),
        ..at(1.0)
    };
    let ran = ask(&tcar(TcarMode::Cascade, NARROW, chat), |_| Ok("whatever".into()));
    let Step::Done(decision) = ran.step else {
        unreachable!("somebody takes it")
    };
    assert_eq!(
        (decision.first().name.as_str(), number(&decision, "parse_errors")),
        ("chat", 1.0)
    );
}

#[test]
fn wrong_settings_strange_threads_and_nobody() {
    let bank = Arc::new(bank());
    let new = |config: &TcarConfig| {
        Tcar::new(config, "t".into(), bank.clone(), None)
            .err()
            .unwrap()
            .to_string()
    };
    assert!(new(&TcarConfig::default()).starts_with("tcar.model must be the name of a model"));
    let named = TcarConfig {
        model: Some("judge".into()),
        ..TcarConfig::default()
    };
    assert_eq!(
        new(&named),
        "tcar.mode must be `model` where no head is trained, found cascade"
    );
    let model = TcarConfig {
        mode: TcarMode::Model,
        margin: f64::NAN,
        ..named
    };
    assert!(new(&model).starts_with("tcar.margin must be"));
    let router = tcar(TcarMode::Head, NARROW, TcarConfig::default());
    let catalogue = catalogue(&["weather"]);
    let (limits, mut rng) = (Limits::NONE, rand::SeedableRng::seed_from_u64(1));
    let mut cx = Context::new(&catalogue, &limits, Default::default(), &mut rng);
    let thread = Thread::keep(&7).unwrap();
    assert!(matches!(
        router.resume(&Query::text(RAIN), thread, Vec::new(), &mut cx),
        Step::Fail(_)
    ));
    assert!(matches!(
        router.start(&Query::text(RAIN), &[], &mut cx),
        Step::Fail(_)
    ));
}
