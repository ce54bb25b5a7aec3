use fingerpost_core::{
    Catalogue, DriveError, Failure, Limits, Outcome, Price, Profile, Timestamp, Usd, UsdPerMillion, drive,
};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::SmallRng};

use super::*;

/// What one model will say, at which cost.
#[derive(Debug, Clone)]
struct Script {
    reply: Result<Reply, Failure>,
    cost: f64,
}

fn sure(mean_logprob: f32, cost: f64) -> Script {
    let reply = Reply {
        text: "an answer".to_owned(),
        logprobs: vec![mean_logprob; 3],
        ..Reply::default()
    };
    Script {
        reply: Ok(reply),
        cost,
    }
}

fn fails(cost: f64) -> Script {
    Script {
        reply: Err(Failure::RateLimited),
        cost,
    }
}

/// Runs a cascade over models `0`, `1`, ... with these scripts; gives what came out and who was asked.
fn run(config: &CascadeConfig, scripts: &[Script]) -> (Result<Decision, DriveError>, Vec<u32>) {
    let price = |cost: f64| {
        let usd = UsdPerMillion::new(cost).unwrap();
        Some(Price {
            input: usd,
            cached_input: None,
            output: usd,
        })
    };
    let profiles = scripts.iter().enumerate().map(|(i, s)| Profile {
        price: price(s.cost),
        ..Profile::named(i.to_string())
    });
    let catalogue = Catalogue::new(profiles).unwrap();
    let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
    let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
    let cascade = Cascade::new(config, "c".into()).unwrap();
    let mut asked = Vec::new();
    let decision = drive(&cascade, &Query::text("hi"), &catalogue.ids(), &mut cx, |call| {
        assert_eq!(call.ask, Ask::ForwardWithLogprobs);
        asked.push(call.target.0);
        let script = &scripts[call.target.0 as usize];
        let outcome = Outcome {
            cost: Some(Usd::new(script.cost).unwrap()),
            ..Outcome::default()
        };
        Answer {
            call: call.id,
            reply: script.reply.clone(),
            outcome,
        }
    });
    (decision, asked)
}

fn at(threshold: f64) -> CascadeConfig {
    CascadeConfig {
        threshold: Some(threshold),
        ..CascadeConfig::default()
    }
}

#[test]
fn a_sure_answer_ends_it_and_the_numbers_are_told() {
    let (decision, asked) = run(&at(0.7), &[sure(-1.5, 1.0), sure(-0.6, 5.0), sure(0.0, 50.0)]);
    let decision = decision.unwrap();
    assert_eq!(asked, [0, 1]);
    assert_eq!(decision.first().name, "1");
    assert_eq!(decision.answered, Some(CallId(1)));
    assert_eq!(
        decision.reason.to_string(),
        "sure enough (confidence 0.8, threshold 0.7, calls 2)"
    );
    let number = |name: &str| match decision.evidence.feature(name) {
        Some(Feature::Number(n)) => Some((n * 1e6).round() / 1e6),
        _ => None,
    };
    assert_eq!(
        ["cost.0", "cost.1", "cost.2"].map(number),
        [Some(1.0), Some(5.0), None]
    );
    assert_eq!(
        ["confidence.0", "confidence.1"].map(number),
        [Some(0.5), Some(0.8)]
    );
    assert_eq!(
        decision.evidence.feature("model.0"),
        Some(&Feature::Text("0".into()))
    );
}

#[test]
fn the_last_answer_is_served_whatever_its_confidence() {
    let (decision, asked) = run(&at(0.9), &[sure(-1.0, 1.0), sure(-2.0, 2.0)]);
    let decision = decision.unwrap();
    assert_eq!(
        (asked.as_slice(), decision.first().name.as_str()),
        ([0, 1].as_slice(), "1")
    );
    assert_eq!(decision.reason.text, "last of the cascade");
}

#[test]
fn a_threshold_of_one_asks_all_and_of_zero_the_first_alone() {
    let scripts = [sure(0.0, 1.0), sure(0.0, 1.0), sure(0.0, 1.0)];
    assert_eq!(run(&at(1.0), &scripts).1, [0, 1, 2]);
    assert_eq!(run(&at(0.0), &[sure(-9.0, 1.0), sure(0.0, 1.0)]).1, [0]);
}

#[test]
fn failures_escalate_and_the_best_earlier_answer_is_kept() {
    let (decision, asked) = run(&at(0.9), &[sure(-1.0, 1.0), sure(-2.0, 1.0), fails(1.0)]);
    let decision = decision.unwrap();
    assert_eq!(asked, [0, 1, 2]);
    assert_eq!(
        (decision.first().name.as_str(), decision.answered),
        ("0", Some(CallId(0)))
    );
    assert_eq!(decision.reason.text, "best answer so far: later calls failed");

    let (decision, asked) = run(&at(0.9), &[fails(1.0), sure(-1.0, 1.0)]);
    assert_eq!(
        (asked.as_slice(), decision.unwrap().first().name.as_str()),
        ([0, 1].as_slice(), "1")
    );

    let (decision, _) = run(&at(0.9), &[fails(1.0), fails(1.0)]);
    let error = decision.unwrap_err().to_string();
    assert_eq!(
        error,
        "no route: 0 tried or barred for this request; 1 tried or barred for this request"
    );
}

#[test]
fn on_error_fail_ends_at_the_first_failure() {
    let config = CascadeConfig {
        on_error: OnError::Fail,
        ..at(0.9)
    };
    let (decision, asked) = run(&config, &[fails(1.0), sure(0.0, 1.0)]);
    assert!(decision.is_err());
    assert_eq!(asked, [0]);
}

#[test]
fn by_price_the_cheapest_is_asked_first() {
    let config = CascadeConfig {
        order: CascadeOrder::Price,
        ..at(1.0)
    };
    assert_eq!(
        run(&config, &[sure(-1.0, 5.0), sure(-1.0, 1.0), sure(-1.0, 1.0)]).1,
        [1, 2, 0]
    );
}

#[test]
fn what_cannot_be_measured_is_told_by_its_look() {
    let cascade = |without_logprobs| {
        let config = CascadeConfig {
            without_logprobs,
            ..CascadeConfig::default()
        };
        Cascade::new(&config, "c".into()).unwrap()
    };
    let by_look = cascade(WithoutLogprobs::Heuristic);
    let text = |text: &str| Reply {
        text: text.to_owned(),
        ..Reply::default()
    };
    assert_eq!(by_look.own_confidence(&text(" \n")), 0.0);
    let evasive = text("I\u{2019}m sorry, but I can't help with that.");
    assert_eq!(by_look.own_confidence(&evasive), 0.25);
    assert_eq!(by_look.own_confidence(&text("4, because 2 + 2 is 4.")), 0.75);
    let calls = Reply {
        tool_calls: 1,
        ..Reply::default()
    };
    assert_eq!(by_look.own_confidence(&calls), 0.75);
    // However sure of it the model is.
    let surely_evasive = Reply {
        logprobs: vec![0.0; 9],
        ..evasive
    };
    assert_eq!(by_look.own_confidence(&surely_evasive), 0.25);
    let accept = cascade(WithoutLogprobs::Accept);
    assert_eq!(accept.own_confidence(&surely_evasive), 1.0);
    assert_eq!(accept.own_confidence(&text("I don't know")), 1.0);
    assert_eq!(accept.own_confidence(&text("")), 0.0);
    assert_eq!(cascade(WithoutLogprobs::Escalate).own_confidence(&text("4")), 0.0);
}

#[test]
fn each_measure_has_its_own_threshold() {
    let threshold = |confidence| {
        let config = CascadeConfig {
            confidence,
            ..CascadeConfig::default()
        };
        Cascade::new(&config, "c".into()).unwrap().threshold
    };
    assert_eq!(threshold(ConfidenceMeasure::AvgLogprob), 0.67);
    assert_eq!(threshold(ConfidenceMeasure::Margin), 0.5);
    assert_eq!(threshold(ConfidenceMeasure::Hybrid), 0.5);
    assert_eq!(threshold(ConfidenceMeasure::SelfVerify), 0.7);
    assert_eq!(threshold(ConfidenceMeasure::Agreement), 0.7);
}

/// Runs a cascade whose models `a`, `b`, … say what `say` says; gives what came out and every call's target and kind.
fn talk(
    config: &CascadeConfig,
    models: &[&str],
    mut say: impl FnMut(&Call) -> Result<String, Failure>,
) -> (Result<Decision, DriveError>, Vec<(u32, char)>) {
    let catalogue = Catalogue::new(models.iter().map(|name| Profile::named(*name))).unwrap();
    let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
    let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
    let cascade = Cascade::new(config, "c".into()).unwrap();
    let mut asked = Vec::new();
    let decision = drive(
        &cascade,
        &Query::text("2 + 2?"),
        &catalogue.ids(),
        &mut cx,
        |call| {
            let kind = match call.ask {
                Ask::Forward => 'f',
                Ask::ForwardWithLogprobs => 'l',
                _ => 'p',
            };
            asked.push((call.target.0, kind));
            Answer {
                call: call.id,
                reply: say(call).map(|text| Reply {
                    text,
                    ..Reply::default()
                }),
                outcome: Outcome {
                    cost: Some(Usd::new(0.5).unwrap()),
                    ..Outcome::default()
                },
            }
        },
    );
    (decision, asked)
}

fn by(confidence: ConfidenceMeasure) -> CascadeConfig {
    CascadeConfig {
        confidence,
        ..CascadeConfig::default()
    }
}

#[test]
fn a_model_grades_itself_and_the_last_is_not_graded() {
    let grade = |grade: &'static str| {
        move |call: &Call| {
            Ok(match &call.ask {
                Ask::Prompt { user, .. } => {
                    assert!(user.contains("2 + 2?") && user.contains("four"), "{user}");
                    grade.to_owned()
                }
                _ => "four".to_owned(),
            })
        }
    };
    let config = by(ConfidenceMeasure::SelfVerify);
    let (decision, asked) = talk(&config, &["a", "b"], grade("{\"confidence\": 0.9}"));
    let decision = decision.unwrap();
    assert_eq!(asked, [(0, 'f'), (0, 'p')]);
    assert_eq!(
        (decision.answered, decision.first().score),
        (Some(CallId(0)), 0.9)
    );
    assert_eq!(
        decision.evidence.feature("judging.0"),
        Some(&Feature::Number(0.5))
    );
    let (decision, asked) = talk(&config, &["a", "b"], grade("{\"confidence\": 0.1}"));
    assert_eq!(asked, [(0, 'f'), (0, 'p'), (1, 'f')]);
    assert_eq!(decision.unwrap().answered, Some(CallId(2)));
    // A grade that cannot be read leaves the look: 0.75 is sure enough.
    let (decision, _) = talk(&config, &["a", "b"], grade("quite good"));
    assert_eq!(decision.unwrap().first().score, 0.75);
}

#[test]
fn a_share_of_verdicts_decides_by_a_verifier_of_its_own() {
    let config = CascadeConfig {
        samples: 4,
        verifier: Some("b".into()),
        ..by(ConfidenceMeasure::AutomixEntailment)
    };
    let mut verdicts = [true, true, true, false].into_iter();
    let (decision, asked) = talk(&config, &["a", "b"], |call| {
        Ok(match call.ask {
            Ask::Prompt { .. } => format!("{{\"agrees\": {}}}", verdicts.next().unwrap()),
            _ => "four".to_owned(),
        })
    });
    assert_eq!(asked, [(0, 'f'), (1, 'p'), (1, 'p'), (1, 'p'), (1, 'p')]);
    assert_eq!(decision.unwrap().first().score, 0.75);
    // Verifiers that fail judge nothing.
    let (decision, _) = talk(&config, &["a", "b"], |call| match call.ask {
        Ask::Prompt { .. } => Err(Failure::RateLimited),
        _ => Ok("I don't know".to_owned()),
    });
    let decision = decision.unwrap();
    assert_eq!(
        (decision.first().name.as_str(), decision.reason.text.as_ref()),
        ("b", "last of the cascade")
    );
}

#[test]
fn answers_that_agree_are_sure() {
    let config = by(ConfidenceMeasure::Agreement);
    let said = |said: [&'static str; 3]| {
        move |call: &Call| Ok(said.get(call.id.0 as usize).copied().unwrap_or("five").to_owned())
    };
    let (decision, asked) = talk(&config, &["a", "b"], said(["4.", "3", "The answer is 4"]));
    // 2/3 is under 0.7: the last is asked once.
    assert_eq!(asked, [(0, 'f'), (0, 'f'), (0, 'f'), (1, 'f')]);
    assert_eq!(decision.unwrap().answered, Some(CallId(3)));
    let two_thirds = CascadeConfig {
        threshold: Some(0.6),
        ..config.clone()
    };
    let (decision, asked) = talk(&two_thirds, &["a", "b"], said(["3", "4.", "The answer is 4"]));
    assert_eq!((asked.len(), decision.unwrap().answered), (3, Some(CallId(1))));

    let models = CascadeConfig {
        agree: Agree::Models,
        samples: 2,
        ..config
    };
    let (decision, asked) = talk(&models, &["a", "b", "c"], said(["4", "four", "5"]));
    assert_eq!(asked, [(0, 'f'), (1, 'f'), (2, 'f')]);
    assert_eq!(decision.unwrap().first().name, "c");
    // A failure agrees with nobody.
    let (decision, _) = talk(&models, &["a", "b", "c"], |call| match call.target.0 {
        0 => Err(Failure::RateLimited),
        _ => Ok("4".to_owned()),
    });
    assert_eq!(decision.unwrap().first().name, "c");
}

#[test]
fn settings_out_of_range_are_refused() {
    let many = CascadeConfig {
        samples: 17,
        ..CascadeConfig::default()
    };
    let error = Cascade::new(&many, "c".into()).unwrap_err().to_string();
    assert_eq!(error, "cascade.samples must be a number from 1 to 16, found 17");
    assert!(Cascade::new(&at(f64::NAN), "c".into()).is_err());
}

#[test]
fn a_model_that_breaks_a_limit_meanwhile_is_not_asked() {
    let catalogue = Catalogue::new(["a", "b", "c"].map(Profile::named)).unwrap();
    let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
    let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
    let cascade = Cascade::new(&at(1.0), "c".into()).unwrap();
    let mut asked = Vec::new();
    let decision = drive(&cascade, &Query::default(), &catalogue.ids(), &mut cx, |call| {
        asked.push(call.target.0);
        catalogue.get(CandidateId(1)).unwrap().live.set_available(false);
        let reply = sure(-1.0, 0.0).reply;
        Answer {
            call: call.id,
            reply,
            outcome: Outcome::default(),
        }
    });
    assert_eq!(asked, [0, 2]);
    assert_eq!(decision.unwrap().first().name, "c");
}

#[test]
fn a_thread_of_another_router_is_refused() {
    let catalogue = Catalogue::new([Profile::named("a")]).unwrap();
    let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
    let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
    let of = |name: &str| Cascade::new(&at(1.0), name.into()).unwrap();
    let Step::Ask(_, thread) = of("other").start(&Query::default(), &catalogue.ids(), &mut cx) else {
        unreachable!("a cascade begins with a call");
    };
    for thread in [thread, Thread::keep(&7).unwrap()] {
        let step = of("c").resume(&Query::default(), thread, Vec::new(), &mut cx);
        assert!(matches!(step, Step::Fail(_)), "{step:?}");
    }
}

fn script() -> impl Strategy<Value = Script> {
    (prop::option::weighted(0.8, -4.0..0.0_f32), 0.0..10.0_f64)
        .prop_map(|(logprob, cost)| logprob.map_or_else(|| fails(cost), |l| sure(l, cost)))
}

proptest! {
    /// A lower threshold never asks more, so it never costs more.
    #[test]
    fn cost_falls_with_the_threshold(scripts in prop::collection::vec(script(), 1..6), a in 0.0..=1.0_f64, b in 0.0..=1.0_f64) {
        let (low, high) = (run(&at(a.min(b)), &scripts).1, run(&at(a.max(b)), &scripts).1);
        prop_assert!(high.starts_with(&low), "{low:?} {high:?}");
        prop_assert_eq!(run(&at(1.0), &scripts).1.len(), scripts.len());
    }

    /// The same where verdicts cost as well: they are asked for whatever the threshold.
    #[test]
    fn cost_of_verdicts_falls_with_the_threshold(grades in prop::collection::vec(0.0..=1.0_f64, 1..6), a in 0.01..=1.0_f64, b in 0.01..=1.0_f64) {
        let names = ["a", "b", "c", "d", "e"];
        let models = &names[..grades.len()];
        let calls = |threshold: f64| {
            let config = CascadeConfig {
                threshold: Some(threshold),
                ..by(ConfidenceMeasure::SelfVerify)
            };
            let said = |call: &Call| Ok(match call.ask {
                Ask::Prompt { .. } => format!("{{\"confidence\": {}}}", grades[call.target.0 as usize]),
                _ => "four".to_owned(),
            });
            talk(&config, models, said).1
        };
        let (low, high) = (calls(a.min(b)), calls(a.max(b)));
        prop_assert!(high.starts_with(&low), "{low:?} {high:?}");
        let chain = calls(1.0).iter().filter(|(_, kind)| *kind == 'f').count();
        prop_assert_eq!(chain, grades.len());
    }

    /// What is served is an answer that came, and never one that was less sure than another while later calls failed.
    #[test]
    fn what_is_served_came(scripts in prop::collection::vec(script(), 1..6), threshold in 0.0..=1.0_f64) {
        let (decision, asked) = run(&at(threshold), &scripts);
        match decision {
            Ok(decision) => {
                let call = decision.answered.unwrap().0 as usize;
                prop_assert_eq!(asked[call], decision.first().id.0);
                prop_assert!(scripts[call].reply.is_ok());
            }
            Err(_) => prop_assert!(scripts.iter().all(|s| s.reply.is_err())),
        }
    }
}
