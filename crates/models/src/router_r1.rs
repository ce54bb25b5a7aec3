//! `router_r1`: a model that thinks, asks other models one question after the other, and answers; or a small trained policy that
//! asks one model after the other and serves what they agree on.
//!
//! With `policy: llm` the router is a language model of the catalogue. It is driven with prompts of its own and speaks in tags
//! ([`protocol`]): `<think>`, `<search>NAME:QUESTION</search>`, `<answer>`. Each turn its text up to the first closing search or
//! answer tag counts. A search goes to the model that the name loosely means, with instructions to answer briefly; what it says
//! is put before the router in `<information>`, cut to `observation_tokens`. An action that cannot be done costs the turn:
//! malformed ones bring nothing, an unknown model or a failed call brings `None`. After `max_turns`, or when `max_cost_usd` is
//! spent, the router must answer without asking. The answer is served without the tags ([`Step::Serve`]) under the router
//! model's name, which need not be among the decision's models but must be within the limits.
//!
//! With `policy: trained` no router model is needed: a policy trained on logged answers (`fingerpost train model-router`,
//! [`rounds`]) chooses whom to ask next, always the request as it came, and when to serve the reply that most agree on.
//!
//! Where the router model cannot be asked, fails or gives no answer, where nobody's reply came, and for requests that carry tools
//! or ask for JSON of a schema, the models answer the request as they would without this router, in the order of the decision
//! (what is left unasked first). Score: 1 for the one that answers, 0 for those to fall back on. Evidence: every call with its
//! model, purpose (`route`, `ask`) and cost; with `llm` also `format`, 0 or the grade of what is wrong with the transcript
//! ([`reward`]). Learns nothing in service. Card: `systems/28`.
//!
//! Differs from the card: a colon in a question belongs to it; a size that no model of the family has means none of them; tags
//! in what a model says are taken out; the released code's limit of 512 output tokens a call is left to the models' own.

mod policy;
mod protocol;
mod reward;
mod rounds;
mod talk;

use std::sync::Arc;

use fingerpost_core::{
    Answer, Ask, Call, CallId, Candidate, CandidateId, Context, Decision, Deliberate, Evidence, Learn, Name,
    Query, Reason, Reply, Step, Thread, Usd,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::rounds::{Act, Heard, Standing};
pub use self::{
    policy::{Policy, Taken, Teacher},
    protocol::{Action, Invalid, named},
    reward::{CostWindow, FormatGrades, Violation, raw_cost, reward},
    rounds::{Rounds, RouterR1Settings},
};
use crate::{
    Shared,
    calls::{Calls, admitted, foreign, nobody},
    choice::Offer,
    config::{ConfigError, check},
    costs::Costs,
    features::Featurizer,
    predictor::Predictor,
    ranked::Ranked,
    trained::{State, of_algorithm},
};

const ALGORITHM: &str = "router_r1";

/// Settings of `router_r1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouterR1Config {
    /// Who decides what is asked next. Default `llm`.
    pub policy: RoundsBy,
    /// With `llm`: the model that routes, by its name in the catalogue.
    pub router: Option<String>,
    /// With `trained`: the file of the trained router (`fingerpost train model-router`), relative to the configuration.
    pub trained: Option<String>,
    /// Most turns in which another model can be asked, 1 to 16. Default 4.
    pub max_turns: u32,
    /// With `llm`: so much of a reply is shown to the router model, in tokens of four characters, 1 to 100,000. Default 600.
    pub observation_tokens: u32,
    /// Once so much is spent on a request, in US dollars, nobody else is asked. Default: no limit.
    pub max_cost_usd: Option<f64>,
}

/// Who decides what is asked next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoundsBy {
    /// A language model, in tags.
    #[default]
    Llm,
    /// A policy trained on logged answers.
    Trained,
}

/// A router in rounds.
pub struct RouterR1 {
    name: Name,
    config: RouterR1Config,
    by: By,
}

enum By {
    Llm {
        model: String,
    },
    Trained {
        rounds: Arc<Rounds>,
        costs: Arc<Costs>,
        featurizer: Featurizer,
    },
}

/// Between two steps.
#[derive(Debug, Serialize, Deserialize)]
struct Progress {
    router: Name,
    /// The models of the decision, admitted ones, in its order.
    models: Vec<Name>,
    calls: Calls,
    turns: u32,
    state: Talk,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Talk {
    /// The router model was asked to go on; `last`: for the last time.
    Generation { transcript: String, last: bool },
    /// Another model was asked.
    Observation { transcript: String },
    /// The request was forwarded to a model.
    Replies {
        offers: Vec<(f64, f64)>,
        asked: Vec<usize>,
        heard: Vec<(u32, Heard)>,
    },
}

impl Default for RouterR1Config {
    fn default() -> Self {
        Self {
            policy: RoundsBy::Llm,
            router: None,
            trained: None,
            max_turns: 4,
            observation_tokens: 600,
            max_cost_usd: None,
        }
    }
}

// === impl RouterR1Config ===

impl RouterR1Config {
    /// Looks whether every setting is in its range, and whether the one that its policy needs is there.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let whole = |key, value: u32, allowed, most: u32| {
            check(ALGORITHM, key, f64::from(value), allowed, |v| {
                (1.0..=f64::from(most)).contains(&v)
            })
        };
        whole("max_turns", self.max_turns, "a whole number from 1 to 16", 16)?;
        let allowed = "a whole number from 1 to 100000";
        whole("observation_tokens", self.observation_tokens, allowed, 100_000)?;
        if let Some(most) = self.max_cost_usd {
            check(
                ALGORITHM,
                "max_cost_usd",
                most,
                "a finite number of at least 0",
                |v| v >= 0.0 && v.is_finite(),
            )?;
        }
        let (key, value, allowed) = match self.policy {
            RoundsBy::Llm => ("router", &self.router, "the name of a model, which routes"),
            RoundsBy::Trained => (
                "trained",
                &self.trained,
                "the file of a trained router (`fingerpost train model-router`)",
            ),
        };
        if value.is_none() {
            return Err(ConfigError {
                algorithm: ALGORITHM,
                key: key.to_owned(),
                allowed,
                found: "null".to_owned(),
            });
        }
        Ok(())
    }
}

// === impl RouterR1 ===

impl RouterR1 {
    /// A router of this name; `shared` holds its trained file and the encoder where its policy needs them.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range or missing, or a file of another algorithm or encoder.
    pub fn new(config: &RouterR1Config, name: Name, shared: &Shared) -> Result<Self, ConfigError> {
        config.check()?;
        let by = match (config.policy, &config.router, &config.trained) {
            (RoundsBy::Trained, _, Some(file)) => {
                let (trained, featurizer) = of_algorithm(ALGORITHM, file, shared)?;
                let State::RouterR1(rounds) = trained.state() else {
                    return Err(ConfigError {
                        algorithm: ALGORITHM,
                        key: "trained".to_owned(),
                        allowed: "a file trained for this algorithm",
                        found: format!("one of `{}`", trained.about.algorithm),
                    });
                };
                By::Trained {
                    rounds: Arc::new(rounds.clone()),
                    costs: Arc::new(trained.costs.clone()),
                    featurizer,
                }
            }
            (_, router, _) => By::Llm {
                model: router.clone().unwrap_or_default(),
            },
        };
        Ok(Self {
            name,
            config: config.clone(),
            by,
        })
    }

    fn spent_all(&self, calls: &Calls) -> bool {
        self.config.max_cost_usd.is_some_and(|most| calls.spent() >= most)
    }

    fn evidence(&self, calls: &Calls) -> Evidence {
        calls.tell(Evidence::of(self.name.clone()))
    }

    /// The models answer as without this router: those that were not asked yet, in their order, then those that were.
    fn plainly(&self, why: &'static str, models: &[Name], calls: &Calls, cx: &Context<'_>) -> Step {
        let asked = |name: &Name| calls.iter().any(|c| c.model == *name);
        let (again, fresh): (Vec<&Name>, Vec<&Name>) = models.iter().partition(|m| asked(m));
        let failed = |name: &&Name| calls.iter().any(|c| c.model == **name && c.failed);
        let order = fresh.into_iter().chain(again.into_iter().filter(|m| !failed(m)));
        let mut ranked = Ranked::default();
        ranked.extend(order.filter_map(|name| Some((admitted(name, cx)?, 0.0))));
        let reason = Reason::new(why).with("calls", calls.len() as f64);
        match ranked.decide(reason, self.evidence(calls)) {
            Some(mut decision) => {
                decision.picks[0].score = 1.0;
                Step::Done(decision)
            }
            None => Step::Fail(nobody(models, cx)),
        }
    }

    fn ask(&self, calls: Vec<Call>, progress: &Progress, cx: &Context<'_>) -> Step {
        match Thread::keep(progress) {
            Ok(thread) => Step::Ask(calls, thread),
            Err(_) => self.plainly(
                "the deliberation could not go on",
                &progress.models,
                &progress.calls,
                cx,
            ),
        }
    }

    fn offers(&self, query: &Query<'_>, candidates: &[&Candidate]) -> Vec<(f64, f64)> {
        let By::Trained {
            rounds,
            costs,
            featurizer,
        } = &self.by
        else {
            return Vec::new();
        };
        let names: Vec<&Name> = candidates.iter().map(|c| &c.profile.name).collect();
        let (mut estimates, bytes) = (Vec::new(), query.text_bytes());
        let features = featurizer.features(&query.user_text());
        rounds.expects().estimate(&features, &names, &mut estimates);
        let known = estimates.iter().flatten().map(|e| e.quality);
        let lowest = known.reduce(f64::min).unwrap_or(0.0);
        let offer = |((candidate, estimate), cost): ((&&Candidate, &Option<crate::Estimate>), &Usd)| {
            let declared = || {
                candidate
                    .profile
                    .quality
                    .map_or(lowest, fingerpost_core::Quality::get)
            };
            let quality = estimate.map_or_else(declared, |e| e.quality);
            (quality, cost.get())
        };
        let expected = costs.expect(candidates, &features, bytes);
        candidates
            .iter()
            .zip(&estimates)
            .zip(&expected)
            .map(offer)
            .collect()
    }

    /// Asks whom the policy says, or serves what there is.
    fn go_on(&self, rounds: &Rounds, mut progress: Progress, cx: &Context<'_>) -> Step {
        let Talk::Replies { offers, asked, heard } = &mut progress.state else {
            return Step::Fail(foreign());
        };
        let open: Vec<bool> = progress
            .models
            .iter()
            .enumerate()
            .map(|(i, m)| !asked.contains(&i) && admitted(m, cx).is_some())
            .collect();
        let expected: Vec<Offer> = offers
            .iter()
            .map(|&(quality, cost)| Offer { quality, cost })
            .collect();
        let replies: Vec<Heard> = heard.iter().map(|(_, h)| h.clone()).collect();
        let standing = Standing {
            offers: &expected,
            open: &open,
            heard: &replies,
            turns: progress.turns,
            max_turns: self.config.max_turns,
        };
        let enough = self.spent_all(&progress.calls);
        let act = if enough {
            rounds.serves(&standing).map(Act::Serve)
        } else {
            rounds.next(&standing)
        };
        match act {
            Some(Act::Ask(who)) => {
                let Some(candidate) = progress.models.get(who).and_then(|m| admitted(m, cx)) else {
                    return Step::Fail(foreign());
                };
                asked.push(who);
                progress.turns += 1;
                let id = CallId(progress.calls.begin(candidate.profile.name.clone(), "ask"));
                let call = Call {
                    id,
                    target: candidate.id,
                    ask: Ask::Forward,
                };
                self.ask(vec![call], &progress, cx)
            }
            Some(Act::Serve(at)) => {
                let (call, reply) = &heard[at];
                let why = if enough {
                    "enough is spent"
                } else {
                    "good enough by the policy"
                };
                let reason = Reason::new(why)
                    .with("replies", heard.len() as f64)
                    .with("cost in USD", progress.calls.spent());
                let model = &progress.models[reply.who];
                let Some(candidate) = cx.catalogue.id(model).and_then(|id| cx.catalogue.get(id)) else {
                    return self.plainly(why, &progress.models, &progress.calls, cx);
                };
                let pick = fingerpost_core::Pick::of(candidate, 1.0);
                let mut decision = Decision::single(pick, reason, self.evidence(&progress.calls));
                decision.answered = Some(CallId(*call));
                Step::Done(decision)
            }
            None => {
                let why = "no reply came: the models that are left";
                self.plainly(why, &progress.models, &progress.calls, cx)
            }
        }
    }
}

impl std::fmt::Debug for RouterR1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouterR1")
            .field("name", &self.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Learn for RouterR1 {}

impl Deliberate<Query<'_>> for RouterR1 {
    fn start(&self, query: &Query<'_>, among: &[CandidateId], cx: &mut Context<'_>) -> Step {
        let candidates: Vec<&Candidate> = cx.admitted(among).collect();
        if candidates.is_empty() {
            return Step::Fail(cx.no_route(among));
        }
        let mut progress = Progress {
            router: self.name.clone(),
            models: candidates.iter().map(|c| c.profile.name.clone()).collect(),
            calls: Calls::default(),
            turns: 0,
            state: Talk::Observation {
                transcript: String::new(),
            },
        };
        if query.tools > 0 || query.structured {
            let why = "tools or a schema: without deliberation";
            return self.plainly(why, &progress.models, &progress.calls, cx);
        }
        match &self.by {
            By::Llm { .. } => self.generate(query, progress, String::new(), cx),
            By::Trained { rounds, .. } => {
                progress.state = Talk::Replies {
                    offers: self.offers(query, &candidates),
                    asked: Vec::new(),
                    heard: Vec::new(),
                };
                self.go_on(rounds, progress, cx)
            }
        }
    }

    fn resume(&self, query: &Query<'_>, thread: Thread, answers: Vec<Answer>, cx: &mut Context<'_>) -> Step {
        let progress = thread.take::<Progress>().ok().filter(|p| p.router == self.name);
        let Some(mut progress) = progress else {
            return Step::Fail(foreign());
        };
        let number = progress.calls.len().saturating_sub(1);
        let answer = answers.into_iter().find(|a| a.call.0 as usize == number);
        if let Some(answer) = &answer {
            progress.calls.end(answer);
        }
        let reply: Option<Reply> = answer.and_then(|a| a.reply.ok());
        match (&self.by, &mut progress.state) {
            (By::Llm { .. }, Talk::Generation { transcript, last }) => {
                let (transcript, last) = (std::mem::take(transcript), *last);
                match reply {
                    Some(said) => self.act(query, progress, transcript, last, &said.text, cx),
                    None => {
                        let why = "the router model failed: without it";
                        self.plainly(why, &progress.models, &progress.calls, cx)
                    }
                }
            }
            (By::Llm { .. }, Talk::Observation { transcript }) => {
                let tokens = self.config.observation_tokens as usize;
                let said = reply.as_ref().map(|r| r.text.as_str());
                let transcript = std::mem::take(transcript) + &protocol::information(said, tokens);
                progress.turns += 1;
                self.generate(query, progress, transcript, cx)
            }
            (By::Trained { rounds, .. }, Talk::Replies { asked, heard, .. }) => {
                if let (Some(reply), Some(who)) = (reply, asked.last()) {
                    heard.push((u32::try_from(number).unwrap_or(u32::MAX), Heard::of(*who, &reply)));
                }
                self.go_on(rounds, progress, cx)
            }
            _ => Step::Fail(foreign()),
        }
    }
}

#[cfg(test)]
#[path = "router_r1_tests.rs"]
mod tests;
