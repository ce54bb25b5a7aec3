//! `cascade`: asks one model after the other until an answer is sure enough.
//!
//! The first model answers the request as it came. Its confidence is told by the measure that is configured
//! ([`ConfidenceMeasure`]); at or above the threshold the answer is served, below it the next model is asked, and so on. The last
//! model's answer is served whatever its confidence, so nobody judges it. A call that fails escalates too (or ends the cascade,
//! `on_error: fail`); where all later models fail, the best of the earlier answers is served. Before each call the limits are looked at
//! again, so that a budget that ran out ends the cascade with what there is. Card: `systems/43`, 5.1 item 12 and annex 17.
//!
//! What a measure takes: `avg_logprob`, `margin` and `hybrid` have the models tell log-probabilities (the client sees none that it did
//! not ask for); `self_verify` and `automix_entailment` ask a verifier about each answer but the last; `agreement` has a model answer
//! `samples` times at once, or as many models answer at once, and serves the first of the answers that most gave.
//!
//! Where a measure cannot judge (no log-probabilities, a verdict that cannot be read), [`WithoutLogprobs`] does: by default the look of
//! the text (nothing at all 0, a refusal or "I don't know" 0.25, anything else 0.75; a call of a tool counts as something else). By
//! default, too, an answer that evades is worth 0.25 at most, however likely its tokens are.
//!
//! A threshold of 1 asks every model, since no answer short of the last is ever that sure; one of 0 serves the first answer that comes.
//! The decision's `answered` names the call whose answer is served; its evidence has model, confidence and cost of every answer, and
//! what it cost to judge it. Scores: the confidence. Learns nothing yet.

mod confidence;
mod order;

use std::borrow::Cow;

use fingerpost_core::{
    Answer, Ask, Call, CallId, Candidate, CandidateId, Context, Decision, Deliberate, Evidence, Exclusion,
    Feature, Learn, Limit, Name, NoRoute, Pick, Query, Reason, Reply, Step, Thread,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::confidence::look;
use self::confidence::{EVASIVE, agreement};
pub use self::{
    confidence::{ConfidenceMeasure, TokenFilter},
    order::CascadeOrder,
};
use crate::config::{ConfigError, check};

/// Settings of `cascade`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CascadeConfig {
    /// An answer at or above this confidence is served, from 0 (the first answer) to 1 (the last). Default: by the measure, 0.67 for
    /// `avg_logprob`.
    pub threshold: Option<f64>,
    /// By what the confidence of an answer is told. Default `avg_logprob`.
    pub confidence: ConfidenceMeasure,
    /// Which tokens count. Default `all`.
    pub token_filter: TokenFilter,
    /// How many verdicts (`automix_entailment`) or answers (`agreement`) are asked for, from 1 to 16. Default 3.
    pub samples: u32,
    /// Whose answers must agree (`agreement`). Default `samples`.
    pub agree: Agree,
    /// The model that gives verdicts, any of the configured ones. Default: the one that answered.
    pub verifier: Option<String>,
    /// In which order the models are asked. Default `declared`.
    pub order: CascadeOrder,
    /// What an answer is worth that the measure cannot judge. Default `heuristic`.
    pub without_logprobs: WithoutLogprobs,
    /// What a failed call leads to. Default `skip`.
    pub on_error: OnError,
}

/// Whose answers must agree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Agree {
    /// Several answers of one model.
    #[default]
    Samples,
    /// The answers of the next so many models.
    Models,
}

/// What an answer is worth that the measure cannot judge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WithoutLogprobs {
    /// What the look of its text tells: empty, evasive, or neither.
    #[default]
    Heuristic,
    /// It is served, unless it is empty.
    Accept,
    /// The next model is asked.
    Escalate,
}

/// What a failed call leads to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The next model is asked.
    #[default]
    Skip,
    /// The cascade ends: an earlier answer is served if there is one.
    Fail,
}

impl Default for CascadeConfig {
    fn default() -> Self {
        Self {
            threshold: None,
            confidence: ConfidenceMeasure::AvgLogprob,
            token_filter: TokenFilter::All,
            samples: 3,
            agree: Agree::Samples,
            verifier: None,
            order: CascadeOrder::Declared,
            without_logprobs: WithoutLogprobs::Heuristic,
            on_error: OnError::Skip,
        }
    }
}

/// One model after the other until an answer is sure enough.
#[derive(Debug, Clone)]
pub struct Cascade {
    name: Name,
    threshold: f64,
    config: CascadeConfig,
}

/// Between two steps: what was asked, and who is still to ask.
#[derive(Debug, Serialize, Deserialize)]
struct Progress {
    router: Name,
    asked: Vec<Asked>,
    left: Vec<Name>,
    /// Calls so far.
    calls: u32,
    /// The first of `asked` that was asked in the last step of answers.
    rung: usize,
    /// The answer that is being judged.
    judged: Option<Judged>,
}

/// One answer so far.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    call: u32,
    model: Name,
    answered: bool,
    confidence: Option<f64>,
    cost: Option<f64>,
    /// What the verdicts on it cost.
    judging: Option<f64>,
}

/// An answer that is being judged.
#[derive(Debug, Serialize, Deserialize)]
struct Judged {
    asked: usize,
    /// What it is worth where no verdict can be read.
    otherwise: f64,
}

// === impl Cascade ===

impl Cascade {
    /// A router of this name.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range.
    pub fn new(config: &CascadeConfig, name: Name) -> Result<Self, ConfigError> {
        let threshold = config.threshold.unwrap_or(config.confidence.default_threshold());
        let share = |t: f64| (0.0..=1.0).contains(&t);
        check("cascade", "threshold", threshold, "a number from 0 to 1", share)?;
        let few = |n: f64| (1.0..=16.0).contains(&n);
        check(
            "cascade",
            "samples",
            config.samples.into(),
            "a number from 1 to 16",
            few,
        )?;
        Ok(Self {
            name,
            threshold,
            config: config.clone(),
        })
    }

    /// What the answer itself tells.
    fn own_confidence(&self, reply: &Reply) -> f64 {
        let measured = self.config.confidence.of_tokens(self.config.token_filter, reply);
        let heuristic = self.config.without_logprobs == WithoutLogprobs::Heuristic;
        match measured {
            // A model can be very sure that it will not answer.
            Some(confidence) if heuristic && look(reply) <= EVASIVE => confidence.min(look(reply)),
            Some(confidence) => confidence,
            None => match self.config.without_logprobs {
                WithoutLogprobs::Heuristic => look(reply),
                WithoutLogprobs::Accept => f64::from(u8::from(look(reply) > 0.0)),
                WithoutLogprobs::Escalate => 0.0,
            },
        }
    }

    fn is_sure(&self, confidence: f64) -> bool {
        confidence >= self.threshold && self.threshold < 1.0
    }

    /// Asks the next model that the limits still admit, or the next few, or ends.
    fn next(&self, mut progress: Progress, cx: &Context<'_>) -> Step {
        let agreement = self.config.confidence == ConfidenceMeasure::Agreement;
        let together = match self.config.agree {
            Agree::Models if agreement => self.config.samples as usize,
            _ => 1,
        };
        let mut rung = Vec::with_capacity(together);
        while rung.len() < together && !progress.left.is_empty() {
            let model = progress.left.remove(0);
            rung.extend(admitted(&model, cx));
        }
        let samples = match (rung.first().copied(), self.config.agree) {
            (Some(model), Agree::Samples) if agreement && is_any_left(&progress, cx) => {
                vec![model; self.config.samples as usize]
            }
            _ => rung,
        };
        if samples.is_empty() {
            return self.end(&progress, "last of the cascade", cx);
        }
        progress.rung = progress.asked.len();
        let ask = if self.config.confidence.is_of_tokens() {
            Ask::ForwardWithLogprobs
        } else {
            Ask::Forward
        };
        let calls = samples.iter().map(|model| {
            progress.asked.push(Asked {
                call: progress.calls,
                model: model.profile.name.clone(),
                answered: false,
                confidence: None,
                cost: None,
                judging: None,
            });
            progress.calls += 1;
            Call {
                id: CallId(progress.calls - 1),
                target: model.id,
                ask: ask.clone(),
            }
        });
        let calls: Vec<Call> = calls.collect();
        match Thread::keep(&progress) {
            Ok(thread) => Step::Ask(calls, thread),
            Err(_) => self.end(&progress, "answer kept: the cascade could not go on", cx),
        }
    }

    /// The answers of a step are here.
    fn answered(
        &self,
        query: &Query<'_>,
        mut progress: Progress,
        answers: Vec<Answer>,
        cx: &Context<'_>,
    ) -> Step {
        let mut replies: Vec<(usize, Reply)> = Vec::new();
        let mut heard = false;
        for answer in answers {
            let rung = progress.asked.iter_mut().enumerate().skip(progress.rung);
            let Some((at, asked)) = rung.into_iter().find(|(_, asked)| asked.call == answer.call.0) else {
                continue;
            };
            heard = true;
            asked.cost = answer.outcome.cost.map(|c| c.get());
            if let Ok(reply) = answer.reply {
                asked.answered = true;
                replies.push((at, reply));
            }
        }
        if !heard {
            return self.end(&progress, "answer kept: the next call was not answered", cx);
        }
        let Some((at, reply)) = replies.first() else {
            return match self.config.on_error {
                OnError::Fail => self.end(&progress, "a call failed", cx),
                OnError::Skip => self.next(progress, cx),
            };
        };
        let verdicts = self.config.confidence.verdicts(self.config.samples);
        if verdicts > 0 {
            return self.judge(query, progress, *at, reply, verdicts, cx);
        }
        if self.config.confidence == ConfidenceMeasure::Agreement {
            let said: Vec<&Reply> = replies.iter().map(|(_, reply)| reply).collect();
            let shares = agreement(&said, progress.asked.len() - progress.rung);
            for ((at, _), share) in replies.iter().zip(shares) {
                progress.asked[*at].confidence = Some(share);
            }
        } else {
            progress.asked[*at].confidence = Some(self.own_confidence(reply));
        }
        self.settle(progress, cx)
    }

    /// Asks for verdicts on an answer, where they can change anything.
    fn judge(
        &self,
        query: &Query<'_>,
        mut progress: Progress,
        at: usize,
        reply: &Reply,
        verdicts: u32,
        cx: &Context<'_>,
    ) -> Step {
        let otherwise = self.own_confidence(reply);
        let verifier = self.config.verifier.as_ref().and_then(|name| admitted(name, cx));
        let verifier = verifier.or_else(|| admitted(&progress.asked[at].model, cx));
        let pointless = self.threshold <= 0.0 || !is_any_left(&progress, cx) || look(reply) == 0.0;
        let Some(verifier) = verifier.filter(|_| !pointless) else {
            progress.asked[at].confidence = Some(otherwise);
            return self.settle(progress, cx);
        };
        let ask = self.config.confidence.question(query, &reply.text);
        let calls: Vec<Call> = (0..verdicts)
            .map(|i| Call {
                id: CallId(progress.calls + i),
                target: verifier.id,
                ask: ask.clone(),
            })
            .collect();
        progress.calls += verdicts;
        progress.judged = Some(Judged { asked: at, otherwise });
        match Thread::keep(&progress) {
            Ok(thread) => Step::Ask(calls, thread),
            Err(_) => self.end(&progress, "answer kept: the cascade could not go on", cx),
        }
    }

    /// The verdicts on an answer are here.
    fn judged(&self, mut progress: Progress, judged: &Judged, answers: &[Answer], cx: &Context<'_>) -> Step {
        let replies = answers.iter().filter_map(|answer| answer.reply.as_ref().ok());
        let verdict = self.config.confidence.verdict(replies);
        let costs: Vec<f64> = answers
            .iter()
            .filter_map(|a| a.outcome.cost.map(|c| c.get()))
            .collect();
        if let Some(asked) = progress.asked.get_mut(judged.asked) {
            asked.confidence = Some(verdict.unwrap_or(judged.otherwise));
            asked.judging = (!costs.is_empty()).then(|| costs.iter().sum());
        }
        self.settle(progress, cx)
    }

    /// Serves the surest answer of the last step if it is sure enough, else goes on.
    fn settle(&self, progress: Progress, cx: &Context<'_>) -> Step {
        match surest(&progress, progress.rung) {
            Some((at, confidence)) if self.is_sure(confidence) => {
                self.done(&progress, at, confidence, "sure enough", cx)
            }
            _ => self.next(progress, cx),
        }
    }

    /// Serves the surest answer of the last step if it has one, else the best one so far.
    fn end(&self, progress: &Progress, why: &'static str, cx: &Context<'_>) -> Step {
        let (served, why) = match surest(progress, progress.rung) {
            Some(served) => (Some(served), why),
            None => (surest(progress, 0), "best answer so far: later calls failed"),
        };
        match served {
            Some((at, confidence)) => self.done(progress, at, confidence, why, cx),
            None => Step::Fail(no_answer(progress)),
        }
    }

    fn done(
        &self,
        progress: &Progress,
        at: usize,
        confidence: f64,
        why: &'static str,
        cx: &Context<'_>,
    ) -> Step {
        let asked = &progress.asked[at];
        let Some(candidate) = cx.catalogue.id(&asked.model).and_then(|id| cx.catalogue.get(id)) else {
            // Gone from the catalogue between two steps, its answer with it.
            return Step::Fail(no_answer(progress));
        };
        let reason = Reason::new(why)
            .with("confidence", confidence)
            .with("threshold", self.threshold)
            .with("calls", f64::from(progress.calls));
        let pick = Pick::of(candidate, confidence);
        let mut decision = Decision::single(pick, reason, self.evidence(progress));
        decision.answered = Some(CallId(asked.call));
        Step::Done(decision)
    }

    /// Per answer: `model.0`, `confidence.0`, `cost.0` and `judging.0` (US dollars), then `model.1` and so on; what is unknown is left
    /// out.
    fn evidence(&self, progress: &Progress) -> Evidence {
        let mut evidence = Evidence::of(self.name.clone());
        for (i, asked) in progress.asked.iter().enumerate() {
            let name = |what: &str| Cow::Owned(format!("{what}.{i}"));
            evidence = evidence.with(name("model"), Feature::Text(asked.model.clone()));
            let numbers = [
                ("confidence", asked.confidence),
                ("cost", asked.cost),
                ("judging", asked.judging),
            ];
            for (what, value) in numbers {
                if let Some(value) = value {
                    evidence = evidence.with(name(what), Feature::Number(value));
                }
            }
        }
        evidence
    }
}

impl Learn for Cascade {}

impl Deliberate<Query<'_>> for Cascade {
    fn start(&self, _: &Query<'_>, among: &[CandidateId], cx: &mut Context<'_>) -> Step {
        let mut order: Vec<&Candidate> = cx.admitted(among).collect();
        self.config.order.sort(&mut order);
        if order.is_empty() {
            return Step::Fail(cx.no_route(among));
        }
        let left = order.into_iter().map(|c| c.profile.name.clone()).collect();
        let progress = Progress {
            router: self.name.clone(),
            asked: Vec::new(),
            left,
            calls: 0,
            rung: 0,
            judged: None,
        };
        self.next(progress, cx)
    }

    fn resume(&self, query: &Query<'_>, thread: Thread, answers: Vec<Answer>, cx: &mut Context<'_>) -> Step {
        let progress = thread.take::<Progress>().ok().filter(|p| p.router == self.name);
        let Some(mut progress) = progress else {
            return Step::Fail(NoRoute { excluded: Vec::new() });
        };
        match progress.judged.take() {
            Some(judged) => self.judged(progress, &judged, &answers, cx),
            None => self.answered(query, progress, answers, cx),
        }
    }
}

/// The model of this name, where the limits admit it.
fn admitted<'c>(name: &str, cx: &Context<'c>) -> Option<&'c Candidate> {
    let candidate = cx.catalogue.id(name).and_then(|id| cx.catalogue.get(id));
    candidate.filter(|c| cx.limits.admit(c).is_ok())
}

/// Whether somebody is still to ask.
fn is_any_left(progress: &Progress, cx: &Context<'_>) -> bool {
    progress.left.iter().any(|name| admitted(name, cx).is_some())
}

/// The surest answer from `from` on, the first of equals.
fn surest(progress: &Progress, from: usize) -> Option<(usize, f64)> {
    let asked = progress.asked.iter().enumerate().skip(from);
    let answers = asked.filter_map(|(at, a)| a.answered.then_some((at, a.confidence.unwrap_or(0.0))));
    answers.fold(None, |best: Option<(usize, f64)>, answer| match best {
        Some(best) if best.1 >= answer.1 => Some(best),
        _ => Some(answer),
    })
}

/// Everybody was asked and failed, or went out of reach meanwhile.
fn no_answer(progress: &Progress) -> NoRoute {
    let tried = progress.asked.iter().map(|a| Exclusion {
        candidate: a.model.clone(),
        limit: Limit::Barred,
    });
    NoRoute {
        excluded: tried.collect(),
    }
}

#[cfg(test)]
#[path = "cascade_tests.rs"]
mod tests;
