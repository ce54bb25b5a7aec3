//! What routers share that ask several models at once ([`Ratings`](crate::Ratings), [`Fusion`](crate::Fusion),
//! [`Remom`](crate::Remom)): who said what, who sums up, and what is left when members fail.
//!
//! A panel survives failing members: it goes on with those that answered, as long as they are enough. Calls are numbered through all
//! rounds. Evidence has, per call, `model.0`, `cost.0` (US dollars) and `failed.0`; what is unknown is left out.

use std::borrow::Cow;

use fingerpost_core::{
    Answer, Ask, Call, CallId, Candidate, CandidateId, Context, Decision, Evidence, Exclusion, Feature,
    Limit, Name, NoRoute, Pick, Picks, Reason,
};
use serde::{Deserialize, Serialize};

/// One call and what it came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) call: CallId,
    pub(crate) model: Name,
    /// The answer; `None` while it is awaited and where the call failed.
    pub(crate) text: Option<String>,
    pub(crate) calls_tools: bool,
    pub(crate) cost: Option<f64>,
    pub(crate) failed: bool,
}

/// The calls so far, of all rounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Minutes(Vec<Said>);

// === impl Said ===

impl Said {
    /// The answer, if there is one that says something or calls a tool.
    pub(crate) fn answer(&self) -> Option<&str> {
        self.text
            .as_deref()
            .filter(|text| self.calls_tools || !text.trim().is_empty())
    }
}

// === impl Minutes ===

impl Minutes {
    /// Asks `model`.
    pub(crate) fn ask(&mut self, model: &Candidate, ask: Ask) -> Call {
        let id = CallId(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        self.0.push(Said {
            call: id,
            model: model.profile.name.clone(),
            text: None,
            calls_tools: false,
            cost: None,
            failed: false,
        });
        Call {
            id,
            target: model.id,
            ask,
        }
    }

    /// Notes what calls came to.
    pub(crate) fn hear(&mut self, answers: Vec<Answer>) {
        for answer in answers {
            let Some(said) = self.0.get_mut(answer.call.0 as usize) else {
                continue;
            };
            said.cost = answer.outcome.cost.map(|c| c.get());
            match answer.reply {
                Ok(reply) => {
                    said.calls_tools = reply.tool_calls > 0;
                    said.text = Some(reply.text);
                }
                Err(_) => said.failed = true,
            }
        }
    }

    /// The answers to the calls from `first` on.
    pub(crate) fn answers(&self, first: usize) -> Vec<&Said> {
        let since = self.0.get(first..).unwrap_or_default();
        since.iter().filter(|said| said.answer().is_some()).collect()
    }

    /// How many calls there were.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn evidence(&self, router: &Name) -> Evidence {
        let mut evidence = Evidence::of(router.clone());
        for (i, said) in self.0.iter().enumerate() {
            let name = |what: &str| Cow::Owned(format!("{what}.{i}"));
            evidence = evidence.with(name("model"), Feature::Text(said.model.clone()));
            if let Some(cost) = said.cost {
                evidence = evidence.with(name("cost"), Feature::Number(cost));
            }
            if said.failed {
                evidence = evidence.with(name("failed"), Feature::Number(1.0));
            }
        }
        evidence
    }

    /// Everybody was asked, and too few answered.
    pub(crate) fn nobody(&self) -> NoRoute {
        let tried = self.0.iter().map(|said| Exclusion {
            candidate: said.model.clone(),
            limit: Limit::Barred,
        });
        NoRoute {
            excluded: tried.collect(),
        }
    }
}

/// Who sums up: the model of this name, if it is there and within the limits, else the one among `models` of highest declared
/// quality, the first of equals.
pub(crate) fn speaker<'c>(
    named: Option<&str>,
    models: &[CandidateId],
    cx: &Context<'c>,
) -> Option<&'c Candidate> {
    let named = named.and_then(|name| cx.catalogue.id(name)).map(|id| [id]);
    if let Some(found) = named.as_ref().and_then(|id| cx.admitted(id).next()) {
        return Some(found);
    }
    best(cx.admitted(models))
}

/// The one of highest declared quality, the first of equals; an unknown quality is the lowest.
pub(crate) fn best<'c>(models: impl Iterator<Item = &'c Candidate>) -> Option<&'c Candidate> {
    let quality = |c: &Candidate| c.profile.quality.map_or(-1.0, |q| q.get());
    models.fold(None, |best: Option<&Candidate>, model| match best {
        Some(best) if quality(best) >= quality(model) => Some(best),
        _ => Some(model),
    })
}

/// A decision for `first`, with the others that the limits admit to fall back on.
pub(crate) fn decision(
    first: &Candidate,
    among: &[CandidateId],
    reason: Reason,
    evidence: Evidence,
    cx: &Context<'_>,
) -> Option<Decision> {
    let others = cx.admitted(among).filter(|c| c.id != first.id);
    let mut picks: Picks = [Pick::of(first, 1.0)].into_iter().collect();
    picks.extend(others.take(crate::ranked::MOST - 1).map(|c| Pick::of(c, 0.0)));
    Decision::ranked(picks, reason, evidence)
}

#[cfg(test)]
pub(crate) mod tests {
    //! What the tests of all panels use: models that answer by a script.

    use fingerpost_core::{
        Catalogue, Deliberate, Failure, Limits, Manner, Outcome, Profile, Quality, Query, Reply, Step,
        Timestamp, Usd,
    };
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    /// What came of a run: its last step, and every step's calls.
    pub(crate) struct Ran {
        pub(crate) step: Step,
        pub(crate) rounds: Vec<Vec<Call>>,
        pub(crate) manners: Vec<Manner>,
    }

    /// Models `a`, `b`, … with these qualities.
    pub(crate) fn models(qualities: &[f64]) -> Catalogue {
        let names = ('a'..).map(|c| c.to_string());
        let profiles = names.zip(qualities).map(|(name, q)| Profile {
            quality: Some(Quality::new(*q).unwrap()),
            ..Profile::named(name)
        });
        Catalogue::new(profiles).unwrap()
    }

    /// Runs a router until it asks no more; `answer` says what a call comes to.
    pub(crate) fn run(
        router: &dyn for<'q> Deliberate<Query<'q>>,
        query: &Query<'_>,
        catalogue: &Catalogue,
        mut answer: impl FnMut(&Call) -> Result<String, Failure>,
    ) -> Ran {
        let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
        let mut cx = Context::new(catalogue, &limits, Timestamp::default(), &mut rng);
        let mut ran = Ran {
            step: router.start(query, &catalogue.ids(), &mut cx),
            rounds: Vec::new(),
            manners: Vec::new(),
        };
        for _ in 0..20 {
            let (calls, thread) = match ran.step {
                Step::Ask(calls, thread) => (calls, thread),
                over => {
                    ran.step = over;
                    return ran;
                }
            };
            let answers = calls.iter().map(|call| {
                let reply = answer(call).map(|text| Reply {
                    tool_calls: u32::from(text.starts_with("tool:")),
                    text,
                    ..Reply::default()
                });
                Answer {
                    call: call.id,
                    outcome: Outcome {
                        cost: reply.is_ok().then(|| Usd::new(1.0).unwrap()),
                        failure: reply.as_ref().err().cloned(),
                        ..Outcome::default()
                    },
                    reply,
                }
            });
            let answers = answers.collect();
            ran.manners.push(router.manner(&calls));
            ran.rounds.push(calls);
            ran.step = router.resume(query, thread, answers, &mut cx);
        }
        ran
    }

    /// The user text and the instructions of a prompt.
    pub(crate) fn prompt(call: &Call) -> (&str, &str) {
        match &call.ask {
            Ask::Prompt { system, user } => (user, system.as_deref().unwrap_or_default()),
            other => unreachable!("a prompt, not {other:?}"),
        }
    }

    #[test]
    fn who_speaks() {
        let catalogue = models(&[0.5, 0.9, 0.9]);
        let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
        let cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        let name = |named| speaker(named, &catalogue.ids(), &cx).map(|c| c.profile.name.to_string());
        assert_eq!(name(None).as_deref(), Some("b"));
        assert_eq!(name(Some("a")).as_deref(), Some("a"));
        assert_eq!(name(Some("nobody")).as_deref(), Some("b"));
        catalogue.get(CandidateId(0)).unwrap().live.set_available(false);
        assert_eq!(name(Some("a")).as_deref(), Some("b"));
    }

    #[test]
    fn an_empty_answer_is_none() {
        let catalogue = models(&[0.5, 0.5]);
        let mut minutes = Minutes::default();
        let calls: Vec<Call> = catalogue.iter().map(|c| minutes.ask(c, Ask::Forward)).collect();
        let answers = calls.iter().zip(["  ", "4"]).map(|(call, text)| Answer {
            call: call.id,
            reply: Ok(Reply {
                text: text.to_owned(),
                ..Reply::default()
            }),
            outcome: Outcome::default(),
        });
        minutes.hear(answers.collect());
        assert_eq!(minutes.answers(0).len(), 1);
        assert_eq!(minutes.answers(2).len(), 0);
    }
}
