//! `cascade`: asks one model after the other until an answer is sure enough.
//!
//! The first model answers the request as it came. Its confidence is read off the answer; at or above the threshold the
//! answer is served, below it the next model is asked, and so on. The last model's answer is served whatever its confidence.
//! A call that fails escalates too (or ends the cascade, `on_error: fail`); where all later models fail, the best of the
//! earlier answers is served. Before each call the limits are looked at again, so that a budget that ran out ends the
//! cascade with what there is. Card: `systems/43`, 5.1 item 12 and annex 17.
//!
//! Confidence, from 0 to 1:
//! - with log-probabilities `a` on average: `clamp((a + 3) / 3, 0, 1)`;
//! - else with margins `m` between the best two tokens on average: `1 − exp(−m / 3)` for positive `m`, else 0;
//! - else by [`WithoutLogprobs`]: by default the look of the text (nothing at all 0, a refusal or "I don't know" 0.25, anything
//!   else 0.75; a call of a tool counts as something else).
//!
//! A threshold of 1 asks every model, since no answer short of the last is ever that sure. The decision's `answered` names
//! the call whose answer is served; its evidence has model, confidence and cost of every call. Scores: the confidence.
//! Learns nothing yet.

use std::borrow::Cow;

use fingerpost_core::{
    Answer, Ask, Call, CallId, Candidate, CandidateId, Context, Decision, Deliberate, Evidence, Exclusion,
    Feature, Learn, Limit, Name, NoRoute, Pick, Query, Reason, Reply, Step, Thread,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, check};

/// Settings of `cascade`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CascadeConfig {
    /// An answer at or above this confidence is served, from 0 (the first answer) to 1 (the last). Default 0.67, which is an
    /// average log-probability of about -1.
    pub threshold: f64,
    /// In which order the models are asked. Default `declared`.
    pub order: CascadeOrder,
    /// What an answer without log-probabilities is worth. Default `heuristic`.
    pub without_logprobs: WithoutLogprobs,
    /// What a failed call leads to. Default `skip`.
    pub on_error: OnError,
}

/// In which order the models of a cascade are asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CascadeOrder {
    /// As the decision lists them.
    #[default]
    Declared,
    /// The cheapest first; those of unknown price last.
    Price,
}

/// What an answer without log-probabilities is worth.
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
            threshold: 0.67,
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
    config: CascadeConfig,
}

/// Between two steps: what was asked, and who is still to ask.
#[derive(Debug, Serialize, Deserialize)]
struct Progress {
    router: Name,
    asked: Vec<Asked>,
    left: Vec<Name>,
}

/// One call so far; without a confidence it failed, or is under way.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    model: Name,
    confidence: Option<f64>,
    cost: Option<f64>,
}

// === impl Cascade ===

impl Cascade {
    /// A router of this name.
    ///
    /// # Errors
    /// [`ConfigError`] for a threshold out of range.
    pub fn new(config: &CascadeConfig, name: Name) -> Result<Self, ConfigError> {
        let allowed = |t: f64| (0.0..=1.0).contains(&t);
        check(
            "cascade",
            "threshold",
            config.threshold,
            "a number from 0 to 1",
            allowed,
        )?;
        Ok(Self {
            name,
            config: config.clone(),
        })
    }

    fn confidence(&self, reply: &Reply) -> f64 {
        let mean = |values: &[f32]| values.iter().copied().map(f64::from).sum::<f64>() / values.len() as f64;
        let confidence = if !reply.logprobs.is_empty() {
            ((mean(&reply.logprobs) + 3.0) / 3.0).clamp(0.0, 1.0)
        } else if !reply.margins.is_empty() {
            let margin = mean(&reply.margins);
            if margin > 0.0 {
                1.0 - (-margin / 3.0).exp()
            } else {
                0.0
            }
        } else {
            match self.config.without_logprobs {
                WithoutLogprobs::Heuristic => look(reply),
                WithoutLogprobs::Accept => f64::from(look(reply) > 0.0),
                WithoutLogprobs::Escalate => 0.0,
            }
        };
        if confidence.is_nan() { 0.0 } else { confidence }
    }

    fn is_sure(&self, confidence: f64) -> bool {
        confidence >= self.config.threshold && self.config.threshold < 1.0
    }

    /// Asks the next model that the limits still admit, or ends.
    fn next(&self, mut progress: Progress, cx: &Context<'_>) -> Step {
        while !progress.left.is_empty() {
            let model = progress.left.remove(0);
            let candidate = cx.catalogue.id(&model).and_then(|id| cx.catalogue.get(id));
            let Some(candidate) = candidate.filter(|c| cx.limits.admit(c).is_ok()) else {
                continue;
            };
            let id = CallId(u32::try_from(progress.asked.len()).unwrap_or(u32::MAX));
            progress.asked.push(Asked {
                model,
                confidence: None,
                cost: None,
            });
            let call = Call {
                id,
                target: candidate.id,
                ask: Ask::Forward,
            };
            return match Thread::keep(&progress) {
                Ok(thread) => Step::Ask(vec![call], thread),
                Err(_) => self.end(&progress, "answer kept: the cascade could not go on", cx),
            };
        }
        self.end(&progress, "last of the cascade", cx)
    }

    /// Serves the last answer if it is the last call's, else the best one so far.
    fn end(&self, progress: &Progress, why: &'static str, cx: &Context<'_>) -> Step {
        let answers = || {
            progress
                .asked
                .iter()
                .enumerate()
                .filter_map(|(i, a)| Some((i, a, a.confidence?)))
        };
        let last_answered = progress.asked.last().is_some_and(|a| a.confidence.is_some());
        let (served, why) = if last_answered {
            (answers().next_back(), why)
        } else {
            let best = answers().fold(None, |best: Option<(usize, &Asked, f64)>, answer| match best {
                Some(best) if best.2 >= answer.2 => Some(best),
                _ => Some(answer),
            });
            (best, "best answer so far: later calls failed")
        };
        match served {
            Some((index, asked, confidence)) => self.done(progress, index, &asked.model, confidence, why, cx),
            None => Step::Fail(no_answer(progress)),
        }
    }

    fn done(
        &self,
        progress: &Progress,
        index: usize,
        model: &Name,
        confidence: f64,
        why: &'static str,
        cx: &Context<'_>,
    ) -> Step {
        let Some(candidate) = cx.catalogue.id(model).and_then(|id| cx.catalogue.get(id)) else {
            // Gone from the catalogue between two steps, its answer with it.
            return Step::Fail(no_answer(progress));
        };
        let reason = Reason::new(why)
            .with("confidence", confidence)
            .with("threshold", self.config.threshold)
            .with("calls", progress.asked.len() as f64);
        let pick = Pick::of(candidate, confidence);
        let mut decision = Decision::single(pick, reason, self.evidence(progress));
        decision.answered = Some(CallId(u32::try_from(index).unwrap_or(u32::MAX)));
        Step::Done(decision)
    }

    /// Per call: `model.0`, `confidence.0` and `cost.0` (US dollars), then `model.1` and so on; what is unknown is left out.
    fn evidence(&self, progress: &Progress) -> Evidence {
        let mut evidence = Evidence::of(self.name.clone());
        for (i, asked) in progress.asked.iter().enumerate() {
            let name = |what: &str| Cow::Owned(format!("{what}.{i}"));
            evidence = evidence.with(name("model"), Feature::Text(asked.model.clone()));
            for (what, value) in [("confidence", asked.confidence), ("cost", asked.cost)] {
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
        if self.config.order == CascadeOrder::Price {
            let price = |c: &Candidate| c.profile.price.map_or(f64::INFINITY, |p| p.blended().get());
            order.sort_by(|a, b| price(a).total_cmp(&price(b)));
        }
        if order.is_empty() {
            return Step::Fail(cx.no_route(among));
        }
        let left = order.into_iter().map(|c| c.profile.name.clone()).collect();
        self.next(
            Progress {
                router: self.name.clone(),
                asked: Vec::new(),
                left,
            },
            cx,
        )
    }

    fn resume(&self, _: &Query<'_>, thread: Thread, answers: Vec<Answer>, cx: &mut Context<'_>) -> Step {
        let progress = thread.take::<Progress>().ok().filter(|p| p.router == self.name);
        let Some(mut progress) = progress else {
            return Step::Fail(NoRoute { excluded: Vec::new() });
        };
        let index = progress.asked.len().saturating_sub(1);
        let answer = answers.into_iter().find(|a| a.call.0 as usize == index);
        let Some((asked, answer)) = progress.asked.last_mut().zip(answer) else {
            return self.end(&progress, "answer kept: the next call was not answered", cx);
        };
        asked.cost = answer.outcome.cost.map(|c| c.get());
        match answer.reply {
            Ok(reply) => {
                let confidence = self.confidence(&reply);
                asked.confidence = Some(confidence);
                if self.is_sure(confidence) {
                    let model = asked.model.clone();
                    return self.done(&progress, index, &model, confidence, "sure enough", cx);
                }
                self.next(progress, cx)
            }
            Err(_) if self.config.on_error == OnError::Fail => self.end(&progress, "a call failed", cx),
            Err(_) => self.next(progress, cx),
        }
    }
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

/// How an answer looks: 0 where there is none, 0.25 where it evades, 0.75 otherwise. English only; in other languages an
/// evasion looks like an answer.
pub(crate) fn look(reply: &Reply) -> f64 {
    const EVASIONS: [&str; 12] = [
        "i cannot",
        "i can't",
        "i can not",
        "i'm sorry",
        "i am sorry",
        "sorry,",
        "i don't know",
        "i do not know",
        "i'm not sure",
        "i am not sure",
        "i'm unable",
        "i am unable",
    ];
    if reply.tool_calls > 0 {
        return 0.75;
    }
    let text = reply.text.trim_start();
    if text.is_empty() {
        return 0.0;
    }
    // Evasions open an answer; further down the same words are about something else.
    let opening: String = text
        .chars()
        .take(80)
        .collect::<String>()
        .replace('\u{2019}', "'")
        .to_lowercase();
    if EVASIONS.iter().any(|evasion| opening.contains(evasion)) {
        0.25
    } else {
        0.75
    }
}

#[cfg(test)]
#[path = "cascade_tests.rs"]
mod tests;
