use fingerpost_core::{CallId, Failure, Limits, Timestamp};
use rand::rngs::SmallRng;

use super::*;
use crate::panel::tests::{Ran, models, prompt, run};

fn config(schedule: &[u32]) -> RemomConfig {
    RemomConfig {
        breadth_schedule: schedule.to_vec(),
        ..RemomConfig::default()
    }
}

/// Every call answers with its number, unless it is among `fails`.
fn rounds(config: &RemomConfig, fails: &[u32]) -> Ran {
    let router = Remom::new(config, "r".into()).unwrap();
    run(&router, &Query::text("why?"), &models(&[0.2, 0.9, 0.5]), |call| {
        if fails.contains(&call.id.0) {
            Err(Failure::RateLimited)
        } else {
            Ok(format!("thought {}.", call.id.0))
        }
    })
}

fn asked(ran: &Ran) -> Vec<Vec<u32>> {
    ran.rounds
        .iter()
        .map(|calls| calls.iter().map(|c| c.target.0).collect())
        .collect()
}

#[test]
fn rounds_narrow_to_one_last_answer() {
    let ran = rounds(&config(&[4, 2]), &[]);
    assert_eq!(asked(&ran), [vec![0, 0, 1, 2], vec![0, 1]]);
    assert!(ran.rounds[0].iter().all(|call| call.ask == Ask::Forward));
    let (user, system) = prompt(&ran.rounds[1][0]);
    for i in 0..4 {
        assert!(user.contains(&format!("thought {i}.")), "{user}");
    }
    assert!(
        user.contains("<reference-4 mark-0>") && system.contains("of your own"),
        "{user} {system}"
    );
    let Step::Finish(decision, call) = &ran.step else {
        unreachable!("the last answer is called for")
    };
    assert_eq!(
        (call.id, call.target, decision.first().name.as_str()),
        (CallId(6), CandidateId(1), "b")
    );
    let (user, system) = prompt(call);
    assert!(
        user.contains("thought 4.") && user.contains("thought 5.") && !user.contains("thought 3."),
        "{user}"
    );
    assert!(system.contains("final answer"), "{system}");
    assert_eq!(
        decision.reason.to_string(),
        "the last of several rounds (rounds 2, calls 6)"
    );
}

#[test]
fn each_distribution() {
    let shared = |distribution, weights: &[(&str, f64)]| {
        let config = RemomConfig {
            distribution,
            weights: weights.iter().map(|(n, w)| ((*n).to_owned(), *w)).collect(),
            ..config(&[5, 2])
        };
        asked(&rounds(&config, &[]))
    };
    assert_eq!(
        shared(Distribution::Equal, &[]),
        [vec![0, 0, 1, 1, 2], vec![0, 1]]
    );
    assert_eq!(
        shared(Distribution::RoundRobin, &[]),
        [vec![0, 1, 2, 0, 1], vec![2, 0]]
    );
    assert_eq!(shared(Distribution::FirstOnly, &[]), [vec![0; 5], vec![0; 2]]);
    // Shares of 5: 0.5, 3, 1.5. Of 2: 0.2, 1.2, 0.6.
    let weights = [("a", 1.0), ("b", 6.0), ("c", 3.0)];
    assert_eq!(
        shared(Distribution::Weighted, &weights),
        [vec![0, 1, 1, 1, 2], vec![1, 2]]
    );
    assert_eq!(
        shared(Distribution::Weighted, &[("a", 0.0), ("b", 0.0), ("c", 0.0)])[0],
        [0, 0, 1, 1, 2]
    );
}

#[test]
fn a_round_that_brings_nothing_is_passed_over() {
    let ran = rounds(&config(&[3, 2]), &[0, 3, 4]);
    let Step::Finish(_, call) = &ran.step else {
        unreachable!("two references are left")
    };
    let (user, _) = prompt(call);
    assert!(
        user.contains("thought 1.") && user.contains("thought 2.") && user.contains("reference-2"),
        "{user}"
    );
    assert!(!user.contains("reference-3"), "{user}");
}

#[test]
fn one_reference_is_served_and_none_is_no_route() {
    let Step::Done(decision) = rounds(&config(&[3]), &[0, 1]).step else {
        unreachable!("there is one answer")
    };
    assert_eq!(
        (decision.answered, decision.first().name.as_str()),
        (Some(CallId(2)), "c")
    );
    assert!(matches!(rounds(&config(&[3]), &[0, 1, 2]).step, Step::Fail(none) if none.excluded.len() == 3));
}

#[test]
fn calls_of_tools_end_it() {
    let router = Remom::new(&config(&[3, 2]), "r".into()).unwrap();
    let ran = run(&router, &Query::text("why?"), &models(&[0.2, 0.9, 0.5]), |call| {
        Ok(if call.target.0 == 2 {
            "words"
        } else {
            "tool:search"
        }
        .to_owned())
    });
    assert_eq!(ran.rounds.len(), 1);
    assert!(matches!(ran.step, Step::Done(d) if d.answered == Some(CallId(1))));
}

#[test]
fn references_are_shuffled_by_the_seed_and_cut_where_told() {
    let user = |shuffle_seed, compaction| {
        let config = RemomConfig {
            shuffle_seed,
            compaction,
            compaction_tokens: 1,
            ..config(&[8])
        };
        let Step::Finish(_, call) = rounds(&config, &[]).step else {
            unreachable!("the last answer is called for")
        };
        prompt(&call).0.to_owned()
    };
    assert_eq!(user(42, Compaction::Full), user(42, Compaction::Full));
    assert_ne!(user(42, Compaction::Full), user(43, Compaction::Full));
    let cut = user(42, Compaction::LastNTokens);
    assert!(
        cut.contains("[\u{2026}] t 7.") && !cut.contains("thought"),
        "{cut}"
    );
}

#[test]
fn the_manner_and_the_settings() {
    let quick = RemomConfig {
        quorum: Some(2),
        round_timeout_ms: Some(30.0),
        max_concurrent: 3,
        ..config(&[3])
    };
    let manner = rounds(&quick, &[]).manners[0];
    assert_eq!((manner.at_once, manner.enough), (Some(3), Some(2)));
    assert_eq!(manner.within.map(Millis::get), Some(30.0));
    for (schedule, key) in [
        (
            &[] as &[u32],
            "remom.breadth_schedule must be 1 to 8 rounds, found 0",
        ),
        (
            &[2, 0],
            "remom.breadth_schedule[1] must be a number from 1 to 64, found 0",
        ),
    ] {
        let error = Remom::new(&config(schedule), "r".into()).unwrap_err().to_string();
        assert_eq!(error, key);
    }
}

#[test]
fn an_empty_panel_and_a_strange_thread_are_no_route() {
    let catalogue = models(&[0.5]);
    let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
    let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
    let router = Remom::new(&config(&[2]), "r".into()).unwrap();
    assert!(matches!(
        router.start(&Query::text("x"), &[], &mut cx),
        Step::Fail(_)
    ));
    let thread = Thread::keep(&7).unwrap();
    assert!(matches!(
        router.resume(&Query::text("x"), thread, Vec::new(), &mut cx),
        Step::Fail(_)
    ));
}
