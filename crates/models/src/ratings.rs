//! `ratings`: every candidate answers, and all answers are given, a choice each; nothing is merged.
//!
//! All candidates within the limits are asked at once. The answer of the model of highest declared quality (the first of equals)
//! stands first, the others beside it in the order of the decision. Formats without choices (Responses, Messages) and streams get the
//! first alone. Members that fail are left out, as long as `quorum` answered. Card: `systems/43`, 5.1 item 13.
//!
//! Scores: declared quality, 0 where there is none. Learns nothing.

use fingerpost_core::{
    Answer, Ask, Call, CandidateId, Context, Decision, Deliberate, Learn, Manner, Name, NoRoute, Pick, Picks,
    Query, Reason, Step, Thread,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, check},
    panel::{Minutes, best},
};

/// Settings of `ratings`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RatingsConfig {
    /// Most models asked at the same time, from 1. Default 8; the gateway asks no more than 16.
    pub max_concurrent: u32,
    /// Fewest answers that are worth giving, from 1. Default 1.
    pub quorum: u32,
}

impl Default for RatingsConfig {
    fn default() -> Self {
        Self {
            max_concurrent: 8,
            quorum: 1,
        }
    }
}

/// Every candidate answers.
#[derive(Debug, Clone)]
pub struct Ratings {
    name: Name,
    config: RatingsConfig,
}

/// While the candidates answer.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    router: Name,
    minutes: Minutes,
}

// === impl Ratings ===

impl Ratings {
    /// A router of this name.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range.
    pub fn new(config: &RatingsConfig, name: Name) -> Result<Self, ConfigError> {
        for (key, value) in [
            ("max_concurrent", config.max_concurrent),
            ("quorum", config.quorum),
        ] {
            check("ratings", key, value.into(), "at least 1", |v| v >= 1.0)?;
        }
        Ok(Self {
            name,
            config: config.clone(),
        })
    }
}

impl Learn for Ratings {}

impl Deliberate<Query<'_>> for Ratings {
    fn start(&self, _: &Query<'_>, among: &[CandidateId], cx: &mut Context<'_>) -> Step {
        let mut minutes = Minutes::default();
        let calls: Vec<Call> = cx.admitted(among).map(|c| minutes.ask(c, Ask::Forward)).collect();
        if calls.is_empty() {
            return Step::Fail(cx.no_route(among));
        }
        let asked = Asked {
            router: self.name.clone(),
            minutes,
        };
        match Thread::keep(&asked) {
            Ok(thread) => Step::Ask(calls, thread),
            Err(_) => Step::Fail(cx.no_route(among)),
        }
    }

    fn resume(&self, _: &Query<'_>, thread: Thread, answers: Vec<Answer>, cx: &mut Context<'_>) -> Step {
        let Some(mut asked) = thread.take::<Asked>().ok().filter(|a| a.router == self.name) else {
            return Step::Fail(NoRoute { excluded: Vec::new() });
        };
        asked.minutes.hear(answers);
        let by_name = |name: &Name| cx.catalogue.id(name).and_then(|id| cx.catalogue.get(id));
        let mut given: Vec<_> = asked
            .minutes
            .answers(0)
            .into_iter()
            .filter_map(|said| Some((said.call, by_name(&said.model)?)))
            .collect();
        let first = best(given.iter().map(|(_, model)| *model));
        let Some(first) = first.filter(|_| given.len() >= self.config.quorum as usize) else {
            return Step::Fail(asked.minutes.nobody());
        };
        let at = given
            .iter()
            .position(|(_, model)| model.id == first.id)
            .unwrap_or(0);
        let front = given.remove(at);
        given.insert(0, front);
        let score = |c: &fingerpost_core::Candidate| c.profile.quality.map_or(0.0, |q| q.get());
        let picks: Picks = given
            .iter()
            .map(|(_, model)| Pick::of(model, score(model)))
            .collect();
        let reason = Reason::new("every model's answer")
            .with("answers", given.len() as f64)
            .with("calls", asked.minutes.len() as f64);
        let evidence = asked.minutes.evidence(&self.name);
        match Decision::ranked(picks, reason, evidence) {
            Some(mut decision) => {
                let mut calls = given.into_iter().map(|(call, _)| call);
                decision.answered = calls.next();
                decision.beside = calls.collect();
                Step::Done(decision)
            }
            None => Step::Fail(asked.minutes.nobody()),
        }
    }

    fn manner(&self, _: &[Call]) -> Manner {
        Manner {
            at_once: Some(self.config.max_concurrent as usize),
            ..Manner::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{CallId, Failure, Limits, Timestamp};
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;
    use crate::panel::tests::{Ran, models, run};

    fn rated(quorum: u32, fails: &[u32]) -> Ran {
        let config = RatingsConfig {
            quorum,
            max_concurrent: 2,
        };
        let router = Ratings::new(&config, "r".into()).unwrap();
        run(&router, &Query::text("hi"), &models(&[0.2, 0.9, 0.5]), |call| {
            assert_eq!(call.ask, Ask::Forward);
            if fails.contains(&call.target.0) {
                Err(Failure::RateLimited)
            } else {
                Ok(format!("by {}", call.target.0))
            }
        })
    }

    #[test]
    fn the_best_stands_first_and_the_others_beside_it() {
        let ran = rated(1, &[]);
        assert_eq!((ran.rounds.len(), ran.rounds[0].len()), (1, 3));
        assert_eq!(ran.manners[0].at_once, Some(2));
        let Step::Done(decision) = ran.step else {
            unreachable!("all answered")
        };
        let names: Vec<&str> = decision.picks.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["b", "a", "c"]);
        assert_eq!(decision.answered, Some(CallId(1)));
        assert_eq!(decision.beside, [CallId(0), CallId(2)]);
    }

    #[test]
    fn who_fails_is_left_out_as_long_as_enough_are_left() {
        let Step::Done(decision) = rated(2, &[1]).step else {
            unreachable!("two answered")
        };
        assert_eq!(
            (decision.answered, decision.beside),
            (Some(CallId(2)), vec![CallId(0)])
        );
        assert!(matches!(rated(2, &[0, 1]).step, Step::Fail(none) if none.excluded.len() == 3));
    }

    #[test]
    fn an_empty_panel_and_a_strange_thread_are_no_route() {
        let catalogue = models(&[0.5]);
        let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        let router = Ratings::new(&RatingsConfig::default(), "r".into()).unwrap();
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
}
