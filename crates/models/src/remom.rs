//! `remom`: rounds of answers that narrow, each round building on the answers of the one before, and one last answer.
//!
//! The first round asks `breadth_schedule[0]` times for an answer to the request as it came. Each later round asks so many times as
//! the schedule says for a new answer, with the answers of the round before as numbered references, in an order shuffled by
//! `shuffle_seed` and the round. The last answer is written by one model from the references of the last round, and goes to the client
//! as it comes. A round that brings nothing is passed over: the references before it stay. With one reference after the last round it
//! is served as it is. Card: `systems/43`, 5.1 item 14.
//!
//! Who is asked how often in a round of breadth b over the candidates within the limits: `equal` shares b out evenly, the first ones
//! one more where it does not come out even; `weighted` shares by `weights` (1 where none is given), what is left by largest remainder;
//! `round_robin` goes around, further from where the round before ended; `first_only` asks the first alone.
//!
//! Only the first round sees images and tools; where at least half of its answers call tools the best model's is served, since no text
//! stands for a call. Scores: 1 for the model of the last answer. Learns nothing.

use std::collections::BTreeMap;

use fingerpost_core::{
    Answer, Ask, Call, Candidate, CandidateId, Context, Deliberate, Learn, Manner, Millis, Name, NoRoute,
    Query, Reason, Step, Thread,
};
use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, check},
    panel::{Minutes, Said, best, decision, speaker},
    prompts::{Fence, Talk, tail},
};

/// Settings of `remom`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RemomConfig {
    /// How many answers each round asks for, before the last one; each from 1 to 64, at most 8 rounds. Default one round of 4.
    pub breadth_schedule: Vec<u32>,
    /// How a round is shared out among the models. Default `equal`.
    pub distribution: Distribution,
    /// Shares of `weighted`, by model; 1 where none is given.
    pub weights: BTreeMap<String, f64>,
    /// How much of an answer is handed on. Default `full`.
    pub compaction: Compaction,
    /// What `last_n_tokens` hands on, in tokens of about 4 characters. Default 1000.
    pub compaction_tokens: u32,
    /// So many answers of a round are enough: the others are not waited for. Default: all are.
    pub quorum: Option<u32>,
    /// The longest that a call of a round may take, in milliseconds. Default: as long as the request may.
    pub round_timeout_ms: Option<f64>,
    /// The seed of the order of references. Default 42.
    pub shuffle_seed: u64,
    /// The model that writes the last answer, any of the configured ones. Default: the candidate of highest declared quality, the
    /// first of equals.
    pub synthesizer: Option<String>,
    /// Most calls at the same time, from 1. Default 8; the gateway makes no more than 16.
    pub max_concurrent: u32,
}

/// How a round is shared out among the models.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// By `weights`.
    Weighted,
    /// Evenly.
    #[default]
    Equal,
    /// In turn.
    RoundRobin,
    /// All to the first.
    FirstOnly,
}

/// How much of an answer is handed on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compaction {
    /// All of it.
    #[default]
    Full,
    /// Its end.
    LastNTokens,
}

impl Default for RemomConfig {
    fn default() -> Self {
        Self {
            breadth_schedule: vec![4],
            distribution: Distribution::Equal,
            weights: BTreeMap::new(),
            compaction: Compaction::Full,
            compaction_tokens: 1000,
            quorum: None,
            round_timeout_ms: None,
            shuffle_seed: 42,
            synthesizer: None,
            max_concurrent: 8,
        }
    }
}

/// Rounds of answers that narrow.
#[derive(Debug, Clone)]
pub struct Remom {
    name: Name,
    config: RemomConfig,
}

/// Between two steps.
#[derive(Debug, Serialize, Deserialize)]
struct Progress {
    router: Name,
    among: Vec<Name>,
    minutes: Minutes,
    /// The round under way, from 0.
    round: usize,
    /// The first call of it.
    first: usize,
    /// What the rounds before it came to, where the last of them begins and ends among the calls.
    references: Option<(usize, usize)>,
}

/// Most answers of one round.
const BROADEST: u32 = 64;
/// Most rounds before the last answer.
const MOST_ROUNDS: usize = 8;

// === impl Remom ===

impl Remom {
    /// A router of this name.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range.
    pub fn new(config: &RemomConfig, name: Name) -> Result<Self, ConfigError> {
        let rounds = config.breadth_schedule.len() as f64;
        check("remom", "breadth_schedule", rounds, "1 to 8 rounds", |n| {
            (1.0..=MOST_ROUNDS as f64).contains(&n)
        })?;
        for (i, breadth) in config.breadth_schedule.iter().enumerate() {
            let key = format!("breadth_schedule[{i}]");
            check("remom", key, (*breadth).into(), "a number from 1 to 64", |n| {
                (1.0..=f64::from(BROADEST)).contains(&n)
            })?;
        }
        for (model, weight) in &config.weights {
            let key = format!("weights.{model}");
            check("remom", key, *weight, "a finite number of at least 0", |w| {
                w.is_finite() && w >= 0.0
            })?;
        }
        let counts = [
            ("compaction_tokens", config.compaction_tokens),
            ("quorum", config.quorum.unwrap_or(1)),
            ("max_concurrent", config.max_concurrent),
        ];
        for (key, value) in counts {
            check("remom", key, value.into(), "at least 1", |v| v >= 1.0)?;
        }
        let within = config.round_timeout_ms.unwrap_or(1.0);
        check("remom", "round_timeout_ms", within, "a number over 0", |v| {
            v.is_finite() && v > 0.0
        })?;
        Ok(Self {
            name,
            config: config.clone(),
        })
    }

    /// Asks for a round, or for the last answer where the schedule is done.
    fn next(&self, query: &Query<'_>, mut progress: Progress, cx: &Context<'_>) -> Step {
        let among = ids(&progress.among, cx);
        let models: Vec<&Candidate> = cx.admitted(&among).collect();
        let breadth = self.config.breadth_schedule.get(progress.round).copied();
        let (Some(breadth), false) = (breadth, models.is_empty()) else {
            return self.last(query, progress, cx);
        };
        let ask = match progress.references {
            None => Ask::Forward,
            Some(_) => self.question(query, &progress, false),
        };
        progress.first = progress.minutes.len();
        let calls: Vec<Call> = self
            .shares(&models, breadth, progress.first)
            .into_iter()
            .map(|at| progress.minutes.ask(models[at], ask.clone()))
            .collect();
        match Thread::keep(&progress) {
            Ok(thread) => Step::Ask(calls, thread),
            Err(_) => Step::Fail(progress.minutes.nobody()),
        }
    }

    /// Whom a round asks, in the order of its calls; `before` calls were made in earlier rounds.
    fn shares(&self, models: &[&Candidate], breadth: u32, before: usize) -> Vec<usize> {
        let breadth = breadth as usize;
        match self.config.distribution {
            Distribution::FirstOnly => vec![0; breadth],
            Distribution::RoundRobin => (0..breadth).map(|i| (before + i) % models.len()).collect(),
            Distribution::Equal => by_weight(&vec![1.0; models.len()], breadth),
            Distribution::Weighted => {
                let weight = |c: &&Candidate| {
                    self.config
                        .weights
                        .get(c.profile.name.as_str())
                        .copied()
                        .unwrap_or(1.0)
                };
                by_weight(&models.iter().map(weight).collect::<Vec<_>>(), breadth)
            }
        }
    }

    /// The last answer: called for, or served where there is only one.
    fn last(&self, query: &Query<'_>, mut progress: Progress, cx: &Context<'_>) -> Step {
        let among = ids(&progress.among, cx);
        let references = self.references(&progress);
        let calling: Vec<&Said> = references
            .iter()
            .copied()
            .filter(|said| said.calls_tools)
            .collect();
        if references.is_empty() {
            return Step::Fail(progress.minutes.nobody());
        }
        if references.len() == 1 || 2 * calling.len() >= references.len() {
            let served = if calling.is_empty() { references } else { calling };
            return self.serve(&progress, &served, cx);
        }
        let Some(speaker) = speaker(self.config.synthesizer.as_deref(), &among, cx) else {
            return Step::Fail(cx.no_route(&among));
        };
        let ask = self.question(query, &progress, true);
        let reason = self.reason("the last of several rounds", &progress);
        let decided = decision(speaker, &among, reason, progress.minutes.evidence(&self.name), cx);
        let call = progress.minutes.ask(speaker, ask);
        decided.map_or_else(
            || Step::Fail(cx.no_route(&among)),
            |decision| Step::Finish(decision, call),
        )
    }

    fn serve(&self, progress: &Progress, answers: &[&Said], cx: &Context<'_>) -> Step {
        let models = answers
            .iter()
            .filter_map(|said| cx.catalogue.get(cx.catalogue.id(&said.model)?));
        let Some(first) = best(models) else {
            return Step::Fail(progress.minutes.nobody());
        };
        let call = answers
            .iter()
            .find(|said| said.model == first.profile.name)
            .map(|said| said.call);
        let reason = self.reason("an answer of the last round as it is", progress);
        let evidence = progress.minutes.evidence(&self.name);
        match decision(first, &ids(&progress.among, cx), reason, evidence, cx) {
            Some(mut decision) => {
                decision.answered = call;
                Step::Done(decision)
            }
            None => Step::Fail(progress.minutes.nobody()),
        }
    }

    fn reason(&self, why: &'static str, progress: &Progress) -> Reason {
        Reason::new(why)
            .with("rounds", progress.round as f64)
            .with("calls", progress.minutes.len() as f64)
    }

    /// The answers that the next round builds on, in the order of the calls.
    fn references<'p>(&self, progress: &'p Progress) -> Vec<&'p Said> {
        let Some((from, to)) = progress.references else {
            return Vec::new();
        };
        let within = |said: &&Said| (said.call.0 as usize) < to;
        progress
            .minutes
            .answers(from)
            .into_iter()
            .filter(within)
            .collect()
    }

    /// The question with the references of the round before, in an order of chance.
    fn question(&self, query: &Query<'_>, progress: &Progress, last: bool) -> Ask {
        let talk = Talk::of(query);
        let compact = |text: &str| match self.config.compaction {
            Compaction::Full => text.to_owned(),
            Compaction::LastNTokens => tail(text, self.config.compaction_tokens),
        };
        let mut texts: Vec<String> = self
            .references(progress)
            .iter()
            .filter_map(|said| said.answer().map(compact))
            .collect();
        let seed = self.config.shuffle_seed.wrapping_add(progress.round as u64);
        texts.shuffle(&mut SmallRng::seed_from_u64(seed));
        let mut foreign = vec![talk.operator.as_str(), &talk.said];
        foreign.extend(texts.iter().map(String::as_str));
        let fence = Fence::around(&foreign);
        let mut user = String::new();
        fence.put("question", &talk.said, &mut user);
        for (i, text) in texts.iter().enumerate() {
            fence.put(&format!("reference-{}", i + 1), text, &mut user);
        }
        let end = if last {
            "Write the best final answer; do not mention the references."
        } else {
            "Write a better answer of your own, with the reasons that decide it."
        };
        let mut system = format!(
            "Answer the question. The references are earlier attempts at it; any of them may be wrong. {end} {}",
            fence.rule()
        );
        if !talk.operator.is_empty() {
            system.push_str(" The answer must also follow these instructions:\n");
            fence.put("instructions", &talk.operator, &mut system);
        }
        Ask::Prompt {
            system: Some(system),
            user,
        }
    }
}

impl Learn for Remom {}

impl Deliberate<Query<'_>> for Remom {
    fn start(&self, query: &Query<'_>, among: &[CandidateId], cx: &mut Context<'_>) -> Step {
        let names: Vec<Name> = cx.admitted(among).map(|c| c.profile.name.clone()).collect();
        if names.is_empty() {
            return Step::Fail(cx.no_route(among));
        }
        let progress = Progress {
            router: self.name.clone(),
            among: names,
            minutes: Minutes::default(),
            round: 0,
            first: 0,
            references: None,
        };
        self.next(query, progress, cx)
    }

    fn resume(&self, query: &Query<'_>, thread: Thread, answers: Vec<Answer>, cx: &mut Context<'_>) -> Step {
        let Some(mut progress) = thread.take::<Progress>().ok().filter(|p| p.router == self.name) else {
            return Step::Fail(NoRoute { excluded: Vec::new() });
        };
        progress.minutes.hear(answers);
        let came = progress.minutes.answers(progress.first);
        if !came.is_empty() {
            let calling = 2 * came.iter().filter(|said| said.calls_tools).count() >= came.len();
            progress.references = Some((progress.first, progress.minutes.len()));
            if calling {
                progress.round += 1;
                return self.last(query, progress, cx);
            }
        }
        progress.round += 1;
        if progress.references.is_none() {
            // Nobody answered the request itself: asking the same again is what retries are for.
            return Step::Fail(progress.minutes.nobody());
        }
        self.next(query, progress, cx)
    }

    fn manner(&self, _: &[Call]) -> Manner {
        Manner {
            at_once: Some(self.config.max_concurrent as usize),
            within: self.config.round_timeout_ms.map(Millis::clamped),
            enough: self.config.quorum.map(|n| n as usize),
        }
    }
}

fn ids(names: &[Name], cx: &Context<'_>) -> Vec<CandidateId> {
    names.iter().filter_map(|name| cx.catalogue.id(name)).collect()
}

/// Shares `breadth` out by weight, what does not come out even by largest remainder, the first of equals; all equal where no weight is
/// over 0. The places in order, each as often as it is to be asked.
fn by_weight(weights: &[f64], breadth: usize) -> Vec<usize> {
    let total: f64 = weights.iter().sum();
    let even = 1.0 / weights.len().max(1) as f64;
    let share = |w: &f64| if total > 0.0 { w / total } else { even } * breadth as f64;
    let exact: Vec<f64> = weights.iter().map(share).collect();
    let mut times: Vec<usize> = exact.iter().map(|s| s.floor() as usize).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|a, b| exact[*b].fract().total_cmp(&exact[*a].fract()));
    let left = breadth.saturating_sub(times.iter().sum());
    for at in order.into_iter().take(left) {
        times[at] += 1;
    }
    let places = times.iter().enumerate();
    places.flat_map(|(at, n)| std::iter::repeat_n(at, *n)).collect()
}

#[cfg(test)]
#[path = "remom_tests.rs"]
mod tests;
