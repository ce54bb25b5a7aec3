//! `jisi`: looks up similar past questions, asks a few models, and lets one answer or several whose answers are merged.
//!
//! A bank of logged queries holds what each model answered and how good that was ([`bank`]). For a request:
//! 1. its support set is the `support` nearest remembered queries; a model's support score is its mean score among them, each
//!    with the weight `max(cos, 0)^power`;
//! 2. the aggregator is the model of highest `(1 - overall_weight) · support score + overall_weight · mean over the bank`;
//! 3. the `probes` models of highest support score are asked; a remembered query is then as near as `query_weight · cosine of the
//!    queries + (1 - query_weight) · mean cosine of the probes' answers now and then`; the `filtered` nearest of the support set
//!    score every model anew, by the cosines of the queries;
//! 4. of the `probes` best by the new score those at or above `threshold` answer. Two or more: their answers are merged, by a vote
//!    where all are short (weighed by the scores; the aggregator's own answer wins a tie; no call), else by the aggregator with a
//!    prompt, whose text goes to the client as it comes. One or none: the best one's answer is served.
//!
//! A probe that fails has no say; where all fail the best of the others is taken. A model that the bank does not know counts with
//! its declared quality, or with the lowest score. Requests that carry tools or ask for JSON of a schema are routed by the
//! support scores at once, since answers to them cannot be merged. Scores: the new ones, quality 0 to 1. Evidence: every call
//! with its model, purpose (`probe`, `candidate`, `merge`) and cost, and the aggregator; the cost of merging is that of the request
//! itself. Learns nothing in service: the bank's answers must come from the models that serve. Card: `systems/56`.
//!
//! Differs from the card: answers are compared by how they differ from the mean of their model's answers; one that was not logged
//! leaves the queries' cosine to speak for that row. Cost: a search, and one
//! product of vectors a probe and row of the support set.

mod bank;
mod merge;

use std::sync::Arc;

use fingerpost_core::{
    Answer, Ask, Call, CallId, CandidateId, Context, Decision, Deliberate, Evidence, Feature, Learn, Name,
    Pick, Quality, Query, Reason, Step, Thread,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{bank::Near, merge::Said};
pub use self::{
    bank::{Bank, Searched},
    merge::Merge,
};
use crate::{
    Shared,
    calls::{Calls, admitted, foreign, nobody},
    config::{ConfigError, check},
    features::Featurizer,
    ranked::Ranked,
    trained::{State, of_algorithm},
};

const ALGORITHM: &str = "jisi";

/// Settings of `jisi`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JisiConfig {
    /// The file of the bank (`fingerpost train model-router`), relative to the configuration.
    pub trained: Option<String>,
    /// How many remembered queries are looked at, 1 to 1,000. Default 100.
    pub support: u32,
    /// How many of them are left once answers have been compared, 1 to 1,000. Default 40.
    pub filtered: u32,
    /// How many models are asked first, and how many may answer, 1 to 8. Default 3.
    pub probes: u32,
    /// Power of the cosine that weighs a remembered score, 0 and more. Default 2.
    pub power: f64,
    /// How much the queries count beside the answers, 0 to 1. Default 0.5.
    pub query_weight: f64,
    /// How much a model's mean over the bank counts when the aggregator is chosen, 0 to 1. Default 0.3.
    pub overall_weight: f64,
    /// Models at or above this score answer together, 0 (all that were asked) to 1 (one alone). Default 0.3.
    pub threshold: f64,
    /// How answers are merged. Default `auto`.
    pub merge: Merge,
}

/// Settings of the training of `jisi`: there are none, the bank remembers everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JisiSettings {}

/// A router by remembered queries and answers.
pub struct Jisi {
    name: Name,
    config: JisiConfig,
    searched: Arc<Searched>,
    featurizer: Featurizer,
}

/// Between two steps.
#[derive(Debug, Serialize, Deserialize)]
struct Progress {
    router: Name,
    /// The models of the decision, admitted ones, in its order.
    models: Vec<Name>,
    calls: Calls,
    said: Vec<Said>,
    /// Once the probes have answered: the scores of all models, who is to answer, and who merges.
    judged: Option<Judged>,
}

/// What the probes' answers led to. Numbers are places among the models.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Judged {
    scores: Vec<f64>,
    answering: Vec<usize>,
    aggregator: usize,
}

impl Default for JisiConfig {
    fn default() -> Self {
        Self {
            trained: None,
            support: 100,
            filtered: 40,
            probes: 3,
            power: 2.0,
            query_weight: 0.5,
            overall_weight: 0.3,
            threshold: 0.3,
            merge: Merge::Auto,
        }
    }
}

// === impl JisiConfig ===

impl JisiConfig {
    /// Looks whether every setting is in its range, and whether a bank is named.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.check_numbers()?;
        if self.trained.is_none() {
            return Err(ConfigError {
                algorithm: ALGORITHM,
                key: "trained".to_owned(),
                allowed: "the file of a trained router (`fingerpost train model-router`)",
                found: "null".to_owned(),
            });
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), ConfigError> {
        for (key, value) in [("support", self.support), ("filtered", self.filtered)] {
            let allowed = "a whole number from 1 to 1000";
            check(ALGORITHM, key, f64::from(value), allowed, |v| {
                (1.0..=1000.0).contains(&v)
            })?;
        }
        let (probes, allowed) = (f64::from(self.probes), "a whole number from 1 to 8");
        check(ALGORITHM, "probes", probes, allowed, |v| (1.0..=8.0).contains(&v))?;
        check(
            ALGORITHM,
            "power",
            self.power,
            "a finite number of at least 0",
            |v| v >= 0.0 && v.is_finite(),
        )?;
        for (key, value) in [
            ("query_weight", self.query_weight),
            ("overall_weight", self.overall_weight),
            ("threshold", self.threshold),
        ] {
            check(ALGORITHM, key, value, "a number from 0 to 1", |v| {
                (0.0..=1.0).contains(&v)
            })?;
        }
        Ok(())
    }
}

// === impl Jisi ===

impl Jisi {
    /// A router of this name over the bank of its file.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range, or a file that is missing, of another algorithm or encoder.
    pub(crate) fn build(config: &JisiConfig, name: Name, shared: &Shared) -> Result<Self, ConfigError> {
        config.check()?;
        let wrong = |allowed, found: String| ConfigError {
            algorithm: ALGORITHM,
            key: "trained".to_owned(),
            allowed,
            found,
        };
        let file = config.trained.as_deref().unwrap_or_default();
        let (trained, featurizer) = of_algorithm(ALGORITHM, file, shared)?;
        let State::Jisi(bank) = trained.state() else {
            let found = format!("one of `{}`", trained.about.algorithm);
            return Err(wrong("a file trained for this algorithm", found));
        };
        let searched = Searched::new(bank.clone())
            .map_err(|e| wrong("a file whose vectors can be searched", e.to_string()))?;
        Self::new(config, name, Arc::new(searched), featurizer)
    }

    /// A router of this name over a bank that is at hand; `trained` is not looked at.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range.
    pub fn new(
        config: &JisiConfig,
        name: Name,
        searched: Arc<Searched>,
        featurizer: Featurizer,
    ) -> Result<Self, ConfigError> {
        config.check_numbers()?;
        Ok(Self {
            name,
            config: config.clone(),
            searched,
            featurizer,
        })
    }

    fn most(&self) -> usize {
        self.config.probes as usize
    }

    /// A score for every model: by the bank, else as declared, else the lowest.
    fn scores(&self, near: &[Near], models: &[Name], cx: &Context<'_>) -> Vec<f64> {
        let bank = self.searched.bank();
        let known = |name: &Name| {
            let column = bank.column(name)?;
            Some(
                bank.score(near, column, self.config.power)
                    .unwrap_or_else(|| bank.mean(column)),
            )
        };
        let scores: Vec<Option<f64>> = models.iter().map(known).collect();
        let lowest = scores.iter().flatten().copied().reduce(f64::min).unwrap_or(0.0);
        let declared = |name: &Name| {
            let candidate = cx.catalogue.get(cx.catalogue.id(name)?)?;
            candidate.profile.quality.map(Quality::get)
        };
        let score = |(score, name): (&Option<f64>, &Name)| score.or_else(|| declared(name)).unwrap_or(lowest);
        scores.iter().zip(models).map(score).collect()
    }

    /// Step 2: the model that is best by the support set and by the whole bank together.
    fn aggregator(&self, scores: &[f64], models: &[Name]) -> usize {
        let (bank, share) = (self.searched.bank(), self.config.overall_weight);
        let both: Vec<f64> = scores
            .iter()
            .zip(models)
            .map(|(score, name)| {
                let mean = bank.column(name).map_or(*score, |c| bank.mean(c));
                (1.0 - share) * score + share * mean
            })
            .collect();
        by_score(&both).first().copied().unwrap_or(0)
    }

    /// Step 3: the part of the support set that is nearest by query and answers together.
    fn filtered(&self, near: Vec<Near>, progress: &Progress) -> Vec<Near> {
        let (bank, share) = (self.searched.bank(), self.config.query_weight);
        let said: Vec<(usize, Vec<f32>)> = progress
            .said
            .iter()
            .filter_map(|s| {
                let column = bank.column(progress.models.get(s.model)?)?;
                Some((column, bank.off_centre(column, &self.featurizer.vector(&s.text))))
            })
            .collect();
        let mixed = |n: &Near| {
            let alike = said
                .iter()
                .filter_map(|(c, v)| bank.answer_similarity(n.row, *c, v));
            let (sum, count) = alike.fold((0.0, 0.0), |(s, c), v| (s + v, c + 1.0));
            let answers = if count > 0.0 { sum / count } else { n.similarity };
            share * n.similarity + (1.0 - share) * answers
        };
        let mut mixed: Vec<(f64, Near)> = near.into_iter().map(|n| (mixed(&n), n)).collect();
        mixed.sort_by(|a, b| b.0.total_cmp(&a.0));
        mixed.truncate(self.config.filtered as usize);
        mixed.into_iter().map(|(_, n)| n).collect()
    }

    fn support(&self, query: &Query<'_>) -> Vec<Near> {
        let vector = self.featurizer.vector(&query.user_text());
        self.searched.support(&vector, self.config.support as usize)
    }

    fn evidence(&self, progress: &Progress) -> Evidence {
        let evidence = progress.calls.tell(Evidence::of(self.name.clone()));
        match &progress.judged {
            Some(judged) => {
                let aggregator = progress.models[judged.aggregator].clone();
                evidence.with("aggregator", Feature::Text(aggregator))
            }
            None => evidence,
        }
    }

    /// The request goes to the best that has not failed, with the next best to fall back on.
    fn route(&self, why: &'static str, scores: &[f64], progress: &Progress, cx: &Context<'_>) -> Step {
        let has_failed = |name: &Name| progress.calls.iter().any(|c| c.failed && c.model == *name);
        let left = progress.models.iter().zip(scores).filter(|(m, _)| !has_failed(m));
        let mut ranked = Ranked::default();
        ranked.extend(left.filter_map(|(name, score)| Some((admitted(name, cx)?, *score))));
        let reason = Reason::new(why).with("calls", progress.calls.len() as f64);
        match ranked.decide(reason, self.evidence(progress)) {
            Some(decision) => Step::Done(decision),
            None => Step::Fail(nobody(&progress.models, cx)),
        }
    }

    /// What a model said already is the answer.
    fn serve(
        &self,
        why: &'static str,
        said: &Said,
        scores: &[f64],
        progress: &Progress,
        cx: &Context<'_>,
    ) -> Step {
        let name = &progress.models[said.model];
        let Some(candidate) = cx.catalogue.id(name).and_then(|id| cx.catalogue.get(id)) else {
            return self.route(why, scores, progress, cx);
        };
        let reason = Reason::new(why)
            .with("score", scores[said.model])
            .with("calls", progress.calls.len() as f64);
        let pick = Pick::of(candidate, scores[said.model]);
        let mut decision = Decision::single(pick, reason, self.evidence(progress));
        decision.answered = Some(CallId(said.call));
        Step::Done(decision)
    }

    /// Asks these models, with the request as it came.
    fn ask(
        &self,
        whom: &[usize],
        purpose: &'static str,
        mut progress: Progress,
        scores: &[f64],
        cx: &Context<'_>,
    ) -> Step {
        let mut calls = Vec::with_capacity(whom.len());
        for &model in whom {
            let Some(candidate) = progress.models.get(model).and_then(|m| admitted(m, cx)) else {
                continue;
            };
            calls.push(Call {
                id: CallId(progress.calls.begin(candidate.profile.name.clone(), purpose)),
                target: candidate.id,
                ask: Ask::Forward,
            });
        }
        match Thread::keep(&progress) {
            Ok(thread) if !calls.is_empty() => Step::Ask(calls, thread),
            _ => self.route("nobody could be asked: by the scores", scores, &progress, cx),
        }
    }

    /// Steps 3 and 4, once the probes have answered.
    fn judge(&self, query: &Query<'_>, mut progress: Progress, cx: &Context<'_>) -> Step {
        let near = self.support(query);
        let before = self.scores(&near, &progress.models, cx);
        if progress.said.is_empty() {
            return self.route(
                "no probe answered: the best of the others",
                &before,
                &progress,
                cx,
            );
        }
        let scores = self.scores(&self.filtered(near, &progress), &progress.models, cx);
        let has_failed = |name: &Name| progress.calls.iter().any(|c| c.failed && c.model == *name);
        let mut best = by_score(&scores);
        best.retain(|i| !has_failed(&progress.models[*i]) && admitted(&progress.models[*i], cx).is_some());
        best.truncate(self.most());
        let bar = self.config.threshold;
        let mut answering = best.clone();
        answering.retain(|i| scores[*i] >= bar && bar < 1.0);
        let aggregator = self.aggregator(&before, &progress.models);
        progress.judged = Some(Judged {
            scores: scores.clone(),
            answering: answering.clone(),
            aggregator,
        });
        let said = |model: usize| progress.said.iter().find(|s| s.model == model);
        if answering.len() < 2 {
            let Some(&first) = best.first() else {
                return self.route("nobody is left: by the scores", &scores, &progress, cx);
            };
            return match said(first) {
                Some(said) => self.serve("the best of the probes", said, &scores, &progress, cx),
                None => self.route("the best by what the probes said", &scores, &progress, cx),
            };
        }
        let missing: Vec<usize> = answering.iter().copied().filter(|i| said(*i).is_none()).collect();
        if missing.is_empty() {
            self.merge(query, progress, cx)
        } else {
            self.ask(&missing, "candidate", progress, &scores, cx)
        }
    }

    /// Merges the answers of those that are to answer.
    fn merge(&self, query: &Query<'_>, mut progress: Progress, cx: &Context<'_>) -> Step {
        let Some(judged) = progress.judged.clone() else {
            return Step::Fail(foreign());
        };
        let scores = &judged.scores;
        let answers: Vec<&Said> = judged
            .answering
            .iter()
            .filter_map(|i| progress.said.iter().find(|s| s.model == *i))
            .collect();
        match answers.as_slice() {
            [] => {
                return self.route(
                    "no candidate answered: the best of the others",
                    scores,
                    &progress,
                    cx,
                );
            }
            [one] => return self.serve("the only candidate that answered", one, scores, &progress, cx),
            _ => {}
        }
        if self.config.merge.votes(&answers) {
            let winner = merge::vote(&answers, scores, judged.aggregator);
            return self.serve("what the candidates agree on", winner, scores, &progress, cx);
        }
        // Whoever was to merge may be out of reach by now: then the best that is not.
        let by_rank = std::iter::once(judged.aggregator).chain(by_score(scores));
        let Some(aggregator) = by_rank.filter_map(|i| admitted(&progress.models[i], cx)).next() else {
            return self.serve(
                "nobody to merge answers: the best",
                answers[0],
                scores,
                &progress,
                cx,
            );
        };
        let ask = merge::prompt(query, &answers);
        let reason = Reason::new("merges the candidates' answers")
            .with("answers", answers.len() as f64)
            .with("threshold", self.config.threshold);
        let id = CallId(progress.calls.begin(aggregator.profile.name.clone(), "merge"));
        let place = progress.models.iter().position(|m| *m == aggregator.profile.name);
        let score = place.map_or(f64::NEG_INFINITY, |i| scores[i]);
        let decision = Decision::single(Pick::of(aggregator, score), reason, self.evidence(&progress));
        let target = aggregator.id;
        Step::Finish(decision, Call { id, target, ask })
    }
}

impl std::fmt::Debug for Jisi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jisi")
            .field("name", &self.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Learn for Jisi {}

impl Deliberate<Query<'_>> for Jisi {
    fn start(&self, query: &Query<'_>, among: &[CandidateId], cx: &mut Context<'_>) -> Step {
        let models: Vec<Name> = cx.admitted(among).map(|c| c.profile.name.clone()).collect();
        if models.is_empty() {
            return Step::Fail(cx.no_route(among));
        }
        let scores = self.scores(&self.support(query), &models, cx);
        let progress = Progress {
            router: self.name.clone(),
            models,
            calls: Calls::default(),
            said: Vec::new(),
            judged: None,
        };
        if query.tools > 0 || query.structured {
            return self.route("tools or a schema: by the support set", &scores, &progress, cx);
        }
        if progress.models.len() == 1 {
            return self.route("the only one", &scores, &progress, cx);
        }
        let mut probes = by_score(&scores);
        probes.truncate(self.most());
        self.ask(&probes, "probe", progress, &scores, cx)
    }

    fn resume(&self, query: &Query<'_>, thread: Thread, answers: Vec<Answer>, cx: &mut Context<'_>) -> Step {
        let progress = thread.take::<Progress>().ok().filter(|p| p.router == self.name);
        let Some(mut progress) = progress else {
            return Step::Fail(foreign());
        };
        let heard = progress.said.len();
        for answer in answers {
            progress.calls.end(&answer);
            let number = answer.call.0;
            let made = progress.calls.iter().nth(number as usize);
            let model = made.and_then(|c| progress.models.iter().position(|m| *m == c.model));
            if let (Ok(reply), Some(model)) = (answer.reply, model) {
                progress.said.push(Said {
                    call: number,
                    model,
                    text: reply.text,
                });
            }
        }
        // In the order of the calls, whatever that of the answers.
        progress.said[heard..].sort_by_key(|s| s.call);
        if progress.judged.is_some() {
            self.merge(query, progress, cx)
        } else {
            self.judge(query, progress, cx)
        }
    }
}

/// Places by falling score, the first of equals first; what is no number comes last.
fn by_score(scores: &[f64]) -> Vec<usize> {
    let worth = |i: &usize| {
        if scores[*i].is_nan() {
            f64::NEG_INFINITY
        } else {
            scores[*i]
        }
    };
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| worth(b).total_cmp(&worth(a)));
    order
}

#[cfg(test)]
#[path = "jisi_tests.rs"]
mod tests;
