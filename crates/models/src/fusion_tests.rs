use fingerpost_core::{CallId, Failure, Limits, Role, Timestamp, Turn};
use rand::{SeedableRng, rngs::SmallRng};

use super::*;
use crate::panel::tests::{Ran, models, prompt, run};

const QUESTION: &str = "Where is Oslo?";

fn fused(config: &FusionConfig, said: &[Result<&str, Failure>], judge: &Result<&str, Failure>) -> Ran {
    let router = Fusion::new(config, "f".into()).unwrap();
    run(
        &router,
        &Query::text(QUESTION),
        &models(&[0.2, 0.9, 0.5]),
        |call| match call.ask {
            Ask::Forward => said[call.target.0 as usize].clone().map(str::to_owned),
            _ => judge.clone().map(str::to_owned),
        },
    )
}

fn finish(ran: &Ran) -> (&Decision, &Call) {
    match &ran.step {
        Step::Finish(decision, call) => (decision, call),
        other => unreachable!("a last call, not {other:?}"),
    }
}

fn number(decision: &Decision, name: &str) -> Option<f64> {
    let facts = decision.reason.facts.iter();
    facts.clone().find(|(n, _)| n == name).map(|(_, v)| *v)
}

#[test]
fn a_panel_a_judge_and_the_last_call() {
    let answers = [Ok("in Norway"), Ok("it is in Norway"), Ok("in Sweden")];
    let ran = fused(&FusionConfig::default(), &answers, &Ok("Consensus: Norway"));
    assert_eq!(ran.rounds.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
    let judge = &ran.rounds[1][0];
    assert_eq!((judge.id, judge.target), (CallId(3), CandidateId(1)));
    let (user, system) = prompt(judge);
    assert!(
        system.contains("Blind spots") && !user.contains("analysis"),
        "{system} {user}"
    );
    assert!(user.contains("<question mark-0>\nWhere is Oslo?\n"), "{user}");

    let (decision, call) = finish(&ran);
    assert_eq!((call.id, call.target), (CallId(4), CandidateId(1)));
    assert_eq!(decision.first().name, "b");
    let (user, system) = prompt(call);
    assert!(user.contains("<analysis mark-0>\nConsensus: Norway\n"), "{user}");
    // Words {in, norway}, {it, is, in, norway}, {in, sweden}: likenesses 1/2, 1/3 and 1/5.
    assert!(
        user.contains("<answer-1 agreement=0.42 mark-0>\nin Norway\n"),
        "{user}"
    );
    assert!(
        user.contains("<answer-2 agreement=0.35 mark-0>")
            && user.contains("<answer-3 agreement=0.27 mark-0>"),
        "{user}"
    );
    assert!(system.contains("best answer"), "{system}");
    assert_eq!(
        (number(decision, "members"), number(decision, "answers")),
        (Some(3.0), Some(3.0))
    );
    assert_eq!(
        decision.evidence.feature("cost.3"),
        Some(&fingerpost_core::Feature::Number(1.0))
    );
}

#[test]
fn members_that_fail_are_done_without() {
    let answers = [Err(Failure::RateLimited), Ok("in Norway"), Ok("in Norway")];
    let ran = fused(&FusionConfig::default(), &answers, &Ok("fine"));
    let (decision, call) = finish(&ran);
    assert!(!prompt(call).0.contains("answer-3"));
    assert_eq!(number(decision, "answers"), Some(2.0));
    assert!(decision.evidence.feature("failed.0").is_some());
    // Too few.
    let strict = FusionConfig {
        quorum: 3,
        ..FusionConfig::default()
    };
    assert!(
        matches!(fused(&strict, &answers, &Ok("fine")).step, Step::Fail(none) if none.excluded.len() == 3)
    );
}

#[test]
fn one_answer_is_served_as_it_is() {
    let answers = [Ok("in Norway"), Err(Failure::RateLimited), Ok("  ")];
    let ran = fused(&FusionConfig::default(), &answers, &Ok("never"));
    assert_eq!(ran.rounds.len(), 1);
    let Step::Done(decision) = ran.step else {
        unreachable!("there is nothing to fuse")
    };
    assert_eq!(
        (decision.answered, decision.first().name.as_str()),
        (Some(CallId(0)), "a")
    );
    let none = [const { Err(Failure::RateLimited) }; 3];
    assert!(matches!(
        fused(&FusionConfig::default(), &none, &Ok("never")).step,
        Step::Fail(_)
    ));
}

#[test]
fn calls_of_tools_are_not_fused() {
    let answers = [Ok("tool:weather"), Ok("in Norway"), Ok("tool:map")];
    let Step::Done(decision) = fused(&FusionConfig::default(), &answers, &Ok("never")).step else {
        unreachable!("a call of a tool is served")
    };
    assert_eq!(
        (decision.answered, decision.first().name.as_str()),
        (Some(CallId(2)), "c")
    );
}

#[test]
fn without_a_judge_or_with_a_failing_one_there_is_no_analysis() {
    let answers = [Ok("in Norway"), Ok("in Norway"), Ok("in Norway")];
    let without = FusionConfig {
        analysis: false,
        ..FusionConfig::default()
    };
    for (config, rounds) in [(FusionConfig::default(), 2), (without, 1)] {
        let ran = fused(&config, &answers, &Err(Failure::RateLimited));
        assert_eq!(ran.rounds.len(), rounds);
        let (decision, call) = finish(&ran);
        assert!(!prompt(call).0.contains("analysis"));
        assert!(decision.reason.text.ends_with("without an analysis"));
    }
}

#[test]
fn grounding_marks_or_leaves_out_who_stands_alone() {
    let answers = [
        Ok("oslo is in norway"),
        Ok("oslo is in norway"),
        Ok("perhaps elsewhere"),
    ];
    let user = |grounding| {
        let config = FusionConfig {
            grounding,
            ..FusionConfig::default()
        };
        let ran = fused(&config, &answers, &Ok("fine"));
        prompt(finish(&ran).1).0.to_owned()
    };
    let annotated = user(Grounding::Annotate);
    assert!(
        annotated.contains("<answer-3 few-agree mark-0>") && annotated.contains("<answer-1 mark-0>"),
        "{annotated}"
    );
    let filtered = user(Grounding::Filter);
    assert!(
        !filtered.contains("answer-3") && filtered.contains("<answer-2 mark-0>"),
        "{filtered}"
    );
    assert!(user(Grounding::Off).contains("<answer-3 mark-0>"));
    // Nobody agrees with anybody: nobody is left out.
    let config = FusionConfig {
        grounding: Grounding::Filter,
        ..FusionConfig::default()
    };
    let ran = fused(&config, &[Ok("one"), Ok("two"), Ok("three")], &Ok("fine"));
    assert!(prompt(finish(&ran).1).0.contains("answer-3"));
}

#[test]
fn the_operator_s_instructions_are_the_synthesizer_s_too() {
    let router = Fusion::new(&FusionConfig::default(), "f".into()).unwrap();
    let mut query = Query::text(QUESTION);
    query.turns.insert(
        0,
        Turn {
            role: Role::System,
            texts: vec!["Answer in French.".into()],
            ..Turn::default()
        },
    );
    let ran = run(&router, &query, &models(&[0.5, 0.5]), |_| {
        Ok("en Norvège".to_owned())
    });
    let (user, system) = prompt(finish(&ran).1);
    assert!(
        system.contains("<instructions mark-0>\nAnswer in French.\n"),
        "{system}"
    );
    assert!(!user.contains("French"), "{user}");
}

#[test]
fn named_models_judge_and_write() {
    let config = FusionConfig {
        judge: Some("a".into()),
        synthesizer: Some("c".into()),
        enough: Some(2),
        member_timeout_ms: Some(50.0),
        ..FusionConfig::default()
    };
    let ran = fused(&config, &[Ok("x"), Ok("x"), Ok("x")], &Ok("fine"));
    assert_eq!(ran.rounds[1][0].target, CandidateId(0));
    assert_eq!(finish(&ran).1.target, CandidateId(2));
    assert_eq!(ran.manners[0].enough, Some(2));
    assert_eq!(ran.manners[0].within.map(Millis::get), Some(50.0));
    assert_eq!((ran.manners[1].enough, ran.manners[1].within), (None, None));
}

#[test]
fn an_empty_panel_a_strange_thread_and_wrong_settings() {
    let catalogue = models(&[0.5]);
    let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
    let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
    let router = Fusion::new(&FusionConfig::default(), "f".into()).unwrap();
    assert!(matches!(
        router.start(&Query::text("x"), &[], &mut cx),
        Step::Fail(_)
    ));
    let thread = Thread::keep(&7).unwrap();
    assert!(matches!(
        router.resume(&Query::text("x"), thread, Vec::new(), &mut cx),
        Step::Fail(_)
    ));
    let wrong = FusionConfig {
        min_agreement: f64::NAN,
        ..FusionConfig::default()
    };
    let error = Fusion::new(&wrong, "f".into()).unwrap_err().to_string();
    assert_eq!(
        error,
        "fusion.min_agreement must be a number from 0 to 1, found NaN"
    );
}
