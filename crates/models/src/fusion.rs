//! `fusion`: a panel answers, a judge compares, and one model writes the answer from both.
//!
//! All candidates within the limits answer the request at once. Then the judge is given the question and the answers, and writes a
//! short analysis: what they agree on, where they contradict, what only some cover, what only one saw, what none saw. At last the
//! synthesizer writes the answer from question, answers and analysis, and that goes to the client as it comes. With one answer there
//! is nothing to fuse: it is served as it is. So is the best one (the model of highest declared quality, the first of equals) where
//! at least half of the answers call tools, which no text can stand for. Where the judge fails the answer is written without it.
//! Card: `systems/43`, 5.1 item 15.
//!
//! Grounding: each answer's agreement is its mean likeness to the others, likeness being the share of common words among all words
//! of two answers (Jaccard). `weight` tells the synthesizer the agreement of each, `annotate` marks those below `min_agreement`,
//! `filter` leaves them out, but never all. The card's authors found filtering harmful where opinions differ: it removes the one who
//! is right alone. What differs: they measure entailment with a model of its own; words cost no call.
//!
//! Judge and synthesizer see the texts of the conversation, neither images nor tools. Scores: 1 for the synthesizer. Learns nothing.

use std::collections::HashSet;

use fingerpost_core::{
    Answer, Ask, Call, Candidate, CandidateId, Context, Decision, Deliberate, Learn, Manner, Millis, Name,
    NoRoute, Query, Reason, Step, Thread,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, check},
    panel::{Minutes, Said, best, decision, speaker},
    prompts::{Fence, Talk, tail},
};

/// Settings of `fusion`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FusionConfig {
    /// The model that compares the answers, any of the configured ones. Default: the synthesizer.
    pub judge: Option<String>,
    /// The model that writes the answer, any of the configured ones. Default: the candidate of highest declared quality, the first of
    /// equals.
    pub synthesizer: Option<String>,
    /// Whether the answers are compared before one is written. Default true.
    pub analysis: bool,
    /// What is made of how far the answers agree. Default `weight`.
    pub grounding: Grounding,
    /// Below this agreement an answer is marked or left out, from 0 to 1. Default 0.1.
    pub min_agreement: f64,
    /// Fewest answers to go on with, from 1. Default 1.
    pub quorum: u32,
    /// So many answers are enough: the others are not waited for. Default: all are.
    pub enough: Option<u32>,
    /// The longest that a member may take, in milliseconds. Default: as long as the request may.
    pub member_timeout_ms: Option<f64>,
    /// Most models asked at the same time, from 1. Default 8; the gateway asks no more than 16.
    pub max_concurrent: u32,
    /// What judge and synthesizer see of each answer: its last so many tokens, about. Default 2000.
    pub answer_tokens: u32,
}

/// What is made of how far the answers agree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grounding {
    /// The synthesizer is told the agreement of each.
    #[default]
    Weight,
    /// Those that agree with few are marked.
    Annotate,
    /// Those that agree with few are left out, but never all.
    Filter,
    /// Nothing.
    Off,
}

impl Default for FusionConfig {
    fn default() -> Self {
        Self {
            judge: None,
            synthesizer: None,
            analysis: true,
            grounding: Grounding::Weight,
            min_agreement: 0.1,
            quorum: 1,
            enough: None,
            member_timeout_ms: None,
            max_concurrent: 8,
            answer_tokens: 2000,
        }
    }
}

/// A panel answers, a judge compares, one model writes.
#[derive(Debug, Clone)]
pub struct Fusion {
    name: Name,
    config: FusionConfig,
}

/// Between two steps.
#[derive(Debug, Serialize, Deserialize)]
struct Progress {
    router: Name,
    among: Vec<Name>,
    minutes: Minutes,
    /// How many were on the panel; the calls after them are the judge's.
    members: usize,
}

/// What is made of the answers.
enum Task {
    /// An analysis.
    Compare,
    /// The answer, with the analysis, if there is one.
    Write(Option<String>),
}

// === impl Fusion ===

impl Fusion {
    /// A router of this name.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range.
    pub fn new(config: &FusionConfig, name: Name) -> Result<Self, ConfigError> {
        let counts = [
            ("quorum", Some(config.quorum)),
            ("enough", config.enough),
            ("max_concurrent", Some(config.max_concurrent)),
            ("answer_tokens", Some(config.answer_tokens)),
        ];
        for (key, value) in counts {
            check("fusion", key, value.unwrap_or(1).into(), "at least 1", |v| {
                v >= 1.0
            })?;
        }
        let share = |v: f64| (0.0..=1.0).contains(&v);
        check(
            "fusion",
            "min_agreement",
            config.min_agreement,
            "a number from 0 to 1",
            share,
        )?;
        let positive = |v: f64| v.is_finite() && v > 0.0;
        let within = config.member_timeout_ms.unwrap_or(1.0);
        check("fusion", "member_timeout_ms", within, "a number over 0", positive)?;
        Ok(Self {
            name,
            config: config.clone(),
        })
    }

    /// The panel has answered.
    fn compare(&self, query: &Query<'_>, mut progress: Progress, cx: &Context<'_>) -> Step {
        let answers = progress.minutes.answers(0);
        if answers.len() < self.config.quorum as usize || answers.is_empty() {
            return Step::Fail(progress.minutes.nobody());
        }
        let calling = answers.iter().filter(|said| said.calls_tools).count();
        if answers.len() == 1 || 2 * calling >= answers.len() {
            let served = answers
                .into_iter()
                .filter(|said| calling == 0 || said.calls_tools);
            return self.serve(&progress, &served.collect::<Vec<_>>(), calling > 0, cx);
        }
        let among = ids(&progress.among, cx);
        let synthesizer = speaker(self.config.synthesizer.as_deref(), &among, cx);
        let judge = match &self.config.judge {
            Some(judge) => speaker(Some(judge), &among, cx),
            None => synthesizer,
        };
        let Some(judge) = judge.filter(|_| self.config.analysis) else {
            return self.write(query, progress, cx);
        };
        let ask = self.question(query, &progress, &Task::Compare);
        let call = progress.minutes.ask(judge, ask);
        match Thread::keep(&progress) {
            Ok(thread) => Step::Ask(vec![call], thread),
            Err(_) => self.write(query, progress, cx),
        }
    }

    /// An answer of the panel as it is: the best model's.
    fn serve(&self, progress: &Progress, answers: &[&Said], calling: bool, cx: &Context<'_>) -> Step {
        let models: Vec<&Candidate> = answers
            .iter()
            .filter_map(|said| cx.catalogue.get(cx.catalogue.id(&said.model)?))
            .collect();
        let Some(first) = best(models.into_iter()) else {
            return Step::Fail(progress.minutes.nobody());
        };
        let why = if calling {
            "an answer of the panel that calls tools"
        } else {
            "the only answer of the panel"
        };
        let call = answers
            .iter()
            .find(|said| said.model == first.profile.name)
            .map(|said| said.call);
        match self.decision(why, first, progress, cx) {
            Some(mut decision) => {
                decision.answered = call;
                Step::Done(decision)
            }
            None => Step::Fail(progress.minutes.nobody()),
        }
    }

    /// The last call: the answer from the answers.
    fn write(&self, query: &Query<'_>, mut progress: Progress, cx: &Context<'_>) -> Step {
        let among = ids(&progress.among, cx);
        let Some(synthesizer) = speaker(self.config.synthesizer.as_deref(), &among, cx) else {
            return Step::Fail(cx.no_route(&among));
        };
        let analysis = progress
            .minutes
            .answers(progress.members)
            .first()
            .and_then(|said| said.text.clone());
        let why = match analysis {
            Some(_) => "fused from the answers of a panel",
            None => "fused from the answers of a panel, without an analysis",
        };
        let ask = self.question(query, &progress, &Task::Write(analysis));
        let decision = self.decision(why, synthesizer, &progress, cx);
        let call = progress.minutes.ask(synthesizer, ask);
        match decision {
            Some(decision) => Step::Finish(decision, call),
            None => Step::Fail(cx.no_route(&among)),
        }
    }

    fn decision(
        &self,
        why: &'static str,
        first: &Candidate,
        progress: &Progress,
        cx: &Context<'_>,
    ) -> Option<Decision> {
        let came = |said: &&Said| (said.call.0 as usize) < progress.members;
        let answers = progress.minutes.answers(0).iter().filter(|s| came(s)).count();
        let reason = Reason::new(why)
            .with("members", progress.members as f64)
            .with("answers", answers as f64);
        let evidence = progress.minutes.evidence(&self.name);
        decision(first, &ids(&progress.among, cx), reason, evidence, cx)
    }

    /// What the judge is asked, or the synthesizer.
    fn question(&self, query: &Query<'_>, progress: &Progress, task: &Task) -> Ask {
        let talk = Talk::of(query);
        let members = progress.minutes.answers(0);
        let members = members
            .iter()
            .filter(|said| (said.call.0 as usize) < progress.members);
        let texts: Vec<String> = members
            .filter_map(|said| Some(tail(said.answer()?, self.config.answer_tokens)))
            .collect();
        let agreements = agreements(&texts);
        let analysis = match task {
            Task::Write(Some(analysis)) => analysis.as_str(),
            Task::Write(None) | Task::Compare => "",
        };
        let mut foreign = vec![talk.operator.as_str(), &talk.said, analysis];
        foreign.extend(texts.iter().map(String::as_str));
        let fence = Fence::around(&foreign);
        let mut user = String::new();
        fence.put("question", &talk.said, &mut user);
        for (i, text) in self.heard(&agreements) {
            let number = i + 1;
            let agreement = agreements[i];
            let low = agreement < self.config.min_agreement;
            let note = match self.config.grounding {
                Grounding::Weight => format!(" agreement={agreement:.2}"),
                Grounding::Annotate if low => " few-agree".to_owned(),
                _ => String::new(),
            };
            fence.put(&format!("answer-{number}{note}"), &texts[text], &mut user);
        }
        let system = match task {
            Task::Compare => format!(
                "Several models answered a question. Compare their answers; do not answer it yourself. Write short points under these \
                 heads: Consensus, Contradictions, Partial coverage, Unique insights, Blind spots. {}",
                fence.rule()
            ),
            Task::Write(_) => {
                if !analysis.is_empty() {
                    fence.put("analysis", analysis, &mut user);
                }
                self.writing(&talk, &fence)
            }
        };
        Ask::Prompt {
            system: Some(system),
            user,
        }
    }

    /// The synthesizer's instructions.
    fn writing(&self, talk: &Talk, fence: &Fence) -> String {
        let grounding = match self.config.grounding {
            Grounding::Weight => {
                " The number beside an answer is how far it agrees with the others, from 0 to 1; one that stands alone may still be right."
            }
            Grounding::Annotate => " An answer marked few-agree stands alone; it may still be right.",
            Grounding::Filter | Grounding::Off => "",
        };
        let mut system = format!(
            "Write the best answer to the question, using the answers of several models. Keep what is right, decide where they differ, \
             and do not mention that there were several.{grounding} {}",
            fence.rule()
        );
        if !talk.operator.is_empty() {
            system.push_str(" The answer must also follow these instructions:\n");
            fence.put("instructions", &talk.operator, &mut system);
        }
        system
    }

    /// The answers to go on with: by number and place.
    fn heard(&self, agreements: &[f64]) -> Vec<(usize, usize)> {
        let all = (0..agreements.len()).map(|i| (i, i));
        if self.config.grounding != Grounding::Filter {
            return all.collect();
        }
        let kept: Vec<_> = all
            .clone()
            .filter(|(i, _)| agreements[*i] >= self.config.min_agreement)
            .collect();
        if kept.is_empty() { all.collect() } else { kept }
    }
}

impl Learn for Fusion {}

impl Deliberate<Query<'_>> for Fusion {
    fn start(&self, _: &Query<'_>, among: &[CandidateId], cx: &mut Context<'_>) -> Step {
        let members: Vec<&Candidate> = cx.admitted(among).collect();
        if members.is_empty() {
            return Step::Fail(cx.no_route(among));
        }
        let mut minutes = Minutes::default();
        let calls: Vec<Call> = members.iter().map(|c| minutes.ask(c, Ask::Forward)).collect();
        let progress = Progress {
            router: self.name.clone(),
            among: members.iter().map(|c| c.profile.name.clone()).collect(),
            members: calls.len(),
            minutes,
        };
        match Thread::keep(&progress) {
            Ok(thread) => Step::Ask(calls, thread),
            Err(_) => Step::Fail(cx.no_route(among)),
        }
    }

    fn resume(&self, query: &Query<'_>, thread: Thread, answers: Vec<Answer>, cx: &mut Context<'_>) -> Step {
        let Some(mut progress) = thread.take::<Progress>().ok().filter(|p| p.router == self.name) else {
            return Step::Fail(NoRoute { excluded: Vec::new() });
        };
        progress.minutes.hear(answers);
        if progress.minutes.len() > progress.members {
            self.write(query, progress, cx)
        } else {
            self.compare(query, progress, cx)
        }
    }

    fn manner(&self, calls: &[Call]) -> Manner {
        let is_panel = calls.iter().all(|call| call.ask == Ask::Forward);
        Manner {
            at_once: Some(self.config.max_concurrent as usize),
            within: self
                .config
                .member_timeout_ms
                .filter(|_| is_panel)
                .map(Millis::clamped),
            enough: self.config.enough.filter(|_| is_panel).map(|n| n as usize),
        }
    }
}

fn ids(names: &[Name], cx: &Context<'_>) -> Vec<CandidateId> {
    names.iter().filter_map(|name| cx.catalogue.id(name)).collect()
}

/// For each text, its mean likeness to the others; 1 for a text alone.
fn agreements(texts: &[String]) -> Vec<f64> {
    let words: Vec<HashSet<String>> = texts
        .iter()
        .map(|text| {
            let words = text
                .split(|c: char| !c.is_alphanumeric())
                .filter(|w| !w.is_empty());
            words.map(str::to_lowercase).collect()
        })
        .collect();
    let likeness = |a: &HashSet<String>, b: &HashSet<String>| {
        let common = a.intersection(b).count() as f64;
        let all = (a.len() + b.len()) as f64 - common;
        if all > 0.0 { common / all } else { 1.0 }
    };
    let mean = |i: usize| {
        let others = words.iter().enumerate().filter(|(j, _)| *j != i);
        let sum: f64 = others.map(|(_, other)| likeness(&words[i], other)).sum();
        if words.len() > 1 {
            sum / (words.len() - 1) as f64
        } else {
            1.0
        }
    };
    (0..words.len()).map(mean).collect()
}

#[cfg(test)]
#[path = "fusion_tests.rs"]
mod tests;
