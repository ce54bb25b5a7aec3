//! The whole way: who, then all of them, then one answer.

use std::{fmt::Write, sync::Arc};

use fingerpost_core::{
    Answer, Ask, Call, CallId, Candidate, CandidateId, Context, Decision, Deliberate, Learn, Manner, Millis,
    Name, NoRoute, Query, Reason, Step, Thread,
};
use fingerpost_encode::{dot, estimate_tokens};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    Chosen, MOST_AGENTS, RouteReply,
    bank::AgentBank,
    head::TcarHead,
    reply::{parse_reply, refused},
    router::{Set, TcarRouter, decision, nobody},
};
use crate::asking::{Asked, Asks, Fence, one_line, said};

/// Characters of a description that a list shows.
const LINE: usize = 240;
/// What is said where every agent refused.
const REFUSAL: &str = "Sorry, none of those who could be asked is able to help with this.";

/// Who chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TcarMode {
    /// The trained head.
    Head,
    /// A model that reads the descriptions.
    Model,
    /// The head, and the model where the head's margin is small.
    #[default]
    Cascade,
}

/// Settings of a set of agents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TcarConfig {
    /// Who chooses. Default `cascade`.
    pub mode: TcarMode,
    /// The model that chooses in the modes `model` and `cascade`: any of the configured ones.
    pub model: Option<String>,
    /// The model that makes one answer of several: any of the configured ones. Default: `model`; without either, the answer of the
    /// best agent is served as it is.
    pub refiner: Option<String>,
    /// Who takes what no agent is there for. Default: nobody.
    pub otherwise: Option<String>,
    /// The head's margin below which the model is asked, from 0 to 1. Default 0.2.
    pub margin: f64,
    /// Most tokens of the list of agents, about; a longer list is cut to those nearest to the query. Default 6000.
    pub list_tokens: u32,
    /// The longest that an agent may take, in milliseconds. Default 30000.
    pub agent_timeout_ms: f64,
}

/// A setting that is out of range.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("tcar.{key} must be {allowed}, found {found}")]
pub struct TcarConfigError {
    key: &'static str,
    allowed: &'static str,
    found: String,
}

/// Chooses a set of agents, asks all of them at once, and makes one answer of theirs.
///
/// - One agent: the request is passed on to it and its answer comes as it comes.
/// - Several: all are asked, each with a time limit. One usable answer is served as it is; several are refined (merge what is
///   right, drop repeats and errors, state real conflicts); where all refuse, a polite refusal is served.
/// - A query out of scope goes to `otherwise`, or is no route.
///
/// The list of agents stands in the instructions, so that it stays the same from query to query. A reply of the model that names
/// nobody known counts as out of scope and as a parse error; where its call fails the head decides, if it knows. Evidence:
/// `asked.0`, `cost.0` and so on of every call and `cost`, their sum: the fan-out is charged; `set`, `margin` of the head,
/// `parse_errors`. Scores: the head's, or 1 where the model chose. Learns nothing in service.
pub struct Tcar {
    name: Name,
    config: TcarConfig,
    head: Option<TcarRouter>,
    bank: Arc<AgentBank>,
}

/// Between two steps.
#[derive(Debug, Serialize, Deserialize)]
struct Progress {
    router: Name,
    among: Vec<Name>,
    phase: Phase,
    asks: Asks,
    reason: String,
    margin: Option<f64>,
    parse_errors: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Phase {
    /// The model chooses; what the head would have chosen.
    Choosing(Vec<(Name, f64)>),
    /// These agents answer, from this call on.
    Answering(Vec<(Name, f64)>, usize),
}

impl Default for TcarConfig {
    fn default() -> Self {
        Self {
            mode: TcarMode::Cascade,
            model: None,
            refiner: None,
            otherwise: None,
            margin: 0.2,
            list_tokens: 6_000,
            agent_timeout_ms: 30_000.0,
        }
    }
}

// === impl Tcar ===

impl Tcar {
    /// A router of this name over these agents; `head` may be absent in the mode `model` only.
    ///
    /// # Errors
    /// [`TcarConfigError`] for a setting out of range or absent.
    pub fn new(
        config: &TcarConfig,
        name: Name,
        bank: Arc<AgentBank>,
        head: Option<TcarHead>,
    ) -> Result<Self, TcarConfigError> {
        let error = |key, allowed, found: String| Err(TcarConfigError { key, allowed, found });
        if config.mode != TcarMode::Head && config.model.is_none() {
            return error(
                "model",
                "the name of a model in the modes model and cascade",
                "nothing".to_owned(),
            );
        }
        if config.mode != TcarMode::Model && head.is_none() {
            return error(
                "mode",
                "`model` where no head is trained",
                format!("{:?}", config.mode).to_lowercase(),
            );
        }
        if !(0.0..=1.0).contains(&config.margin) {
            return error("margin", "a number from 0 to 1", config.margin.to_string());
        }
        if !(config.agent_timeout_ms.is_finite() && config.agent_timeout_ms > 0.0) {
            return error(
                "agent_timeout_ms",
                "a number over 0",
                config.agent_timeout_ms.to_string(),
            );
        }
        if config.list_tokens == 0 {
            return error("list_tokens", "at least 1", "0".to_owned());
        }
        let otherwise = config.otherwise.as_deref().map(Name::from);
        Ok(Self {
            head: head.map(|head| TcarRouter::new(name.clone(), bank.clone(), head, otherwise)),
            config: config.clone(),
            name,
            bank,
        })
    }

    /// The list of agents that a model chooses from: all, in the order of the bank, or those nearest to the query where the list
    /// would be longer than the budget.
    fn listed(&self, query: &Query<'_>, among: &[Name]) -> Vec<String> {
        let open: rustc_hash::FxHashSet<&Name> = among.iter().collect();
        let line = |i: usize| {
            let entry = &self.bank.agents()[i].entry;
            format!(
                "{}: {}",
                one_line(&entry.id, LINE),
                one_line(&entry.description, LINE)
            )
        };
        let all = (0..self.bank.agents().len()).filter(|&i| open.contains(&self.bank.agents()[i].entry.id));
        let mut places: Vec<usize> = all.collect();
        let budget = self.config.list_tokens as usize;
        let tokens: usize = places.iter().map(|&i| estimate_tokens(&line(i))).sum();
        if tokens > budget {
            let text = query.user_text();
            let vector = self.bank.encoder().encode(&text);
            let features = self.bank.features(&text, &vector);
            let near = |i: &usize| {
                features[*i]
                    .near
                    .max(dot(&vector, self.bank.agents()[*i].description()))
            };
            places.sort_by(|a, b| near(b).total_cmp(&near(a)));
            let mut used = 0;
            places.retain(|&i| {
                used += estimate_tokens(&line(i));
                used <= budget
            });
            places.sort_unstable();
        }
        places.into_iter().map(line).collect()
    }

    fn question(&self, query: &Query<'_>, among: &[Name]) -> Ask {
        let list = self.listed(query, among).join("\n");
        let task = said(query);
        let fence = Fence::around(&[&list, &task]);
        let mut system = format!(
            "Decide which agents a request should go to. Each line of the list is an agent's id and what it does. {}\nWrite first a \
             line `REASON: ` and one sentence, then for each agent that fits a line `AGENT: ` and its id, the best first: one where \
             one is clearly right, up to {MOST_AGENTS} where several could answer. Where no agent fits write `AGENT: none`.\n",
            fence.rule()
        );
        fence.put("agents", &list, &mut system);
        let mut user = String::new();
        fence.put("request", &task, &mut user);
        Ask::Prompt {
            system: Some(system),
            user,
        }
    }

    /// The model has chosen.
    fn chosen(&self, mut progress: Progress, fallback: Vec<(Name, f64)>, cx: &Context<'_>) -> Step {
        let Some(text) = progress.asks.last().map(str::to_owned) else {
            // The call failed.
            if self.head.is_none() {
                return Step::Fail(progress.asks.nobody());
            }
            return self.fan_out(progress, fallback, cx);
        };
        let (RouteReply { reason, chosen }, read) = parse_reply(&text, &progress.among);
        progress.parse_errors += u32::from(!read);
        progress.reason = if reason.is_empty() {
            "the model gave no reason".to_owned()
        } else {
            reason
        };
        let set = match chosen {
            Chosen::Agents(names) => names.into_iter().map(|name| (name, 1.0)).collect(),
            Chosen::OutOfScope => Vec::new(),
        };
        self.fan_out(progress, set, cx)
    }

    /// Asks the agents of a set.
    fn fan_out(&self, mut progress: Progress, set: Vec<(Name, f64)>, cx: &Context<'_>) -> Step {
        let agents = candidates(&set, cx);
        match agents.as_slice() {
            [] => {
                let otherwise = self.config.otherwise.as_deref().map(Name::from);
                let among = ids(&progress.among, cx);
                let (reason, evidence) = (self.reason(&progress), self.evidence(&progress));
                nobody(otherwise.as_ref(), reason, evidence, &among, cx).map_or_else(Step::Fail, Step::Done)
            }
            [(only, _)] => {
                let decision = self.decision(&agents, &progress);
                let call = progress.asks.ask(only, Ask::Forward);
                decision.map_or_else(
                    || Step::Fail(cx.no_route(&[])),
                    |decision| Step::Finish(decision, call),
                )
            }
            several => {
                let from = progress.asks.0.len();
                let calls: Vec<Call> = several
                    .iter()
                    .map(|(agent, _)| progress.asks.ask(agent, Ask::Forward))
                    .collect();
                progress.phase = Phase::Answering(set, from);
                match Thread::keep(&progress) {
                    Ok(thread) => Step::Ask(calls, thread),
                    Err(_) => Step::Fail(cx.no_route(&[])),
                }
            }
        }
    }

    /// The agents have answered.
    fn answered(
        &self,
        query: &Query<'_>,
        mut progress: Progress,
        set: &[(Name, f64)],
        from: usize,
        cx: &Context<'_>,
    ) -> Step {
        let own: Vec<(usize, &Asked)> = progress.asks.0.iter().enumerate().skip(from).collect();
        let came =
            |asked: &&Asked| asked.calls_tools || asked.text.as_deref().is_some_and(|t| !t.trim().is_empty());
        let answers: Vec<(usize, &Asked)> = own.into_iter().filter(|(_, asked)| came(asked)).collect();
        let refuses = |asked: &Asked| !asked.calls_tools && asked.text.as_deref().is_some_and(refused);
        let usable: Vec<(usize, &Asked)> = answers.iter().filter(|(_, a)| !refuses(a)).copied().collect();
        let agents = candidates(set, cx);
        let first = |place: usize| {
            let whom = &progress.asks.0[place].whom;
            // The one whose answer stands is first, the others follow.
            let mut order = agents.clone();
            order.sort_by_key(|(c, _)| c.profile.name != *whom);
            let mut decision = self.decision(&order, &progress)?;
            decision.answered = u32::try_from(place).ok().map(CallId);
            Some(decision)
        };
        let fail = || Step::Fail(progress.asks.nobody());
        let calling = usable.iter().find(|(_, asked)| asked.calls_tools);
        match (usable.as_slice(), calling) {
            ([], _) => match answers.first() {
                Some((place, _)) => {
                    first(*place).map_or_else(fail, |decision| Step::Serve(decision, REFUSAL.to_owned()))
                }
                None => fail(),
            },
            // A call of a tool cannot be merged with a text.
            ([(place, _)], _) | (_, Some((place, _))) => first(*place).map_or_else(fail, Step::Done),
            (several, None) => {
                let named = self.config.refiner.as_ref().or(self.config.model.as_ref());
                let refiner = named.and_then(|name| cx.catalogue.get(cx.catalogue.id(name)?));
                let Some(refiner) = refiner.filter(|c| cx.limits.admit(c).is_ok()) else {
                    return first(several[0].0).map_or_else(fail, Step::Done);
                };
                let ask = refine(query, several);
                let mut picks = vec![(refiner, 1.0)];
                picks.extend(agents.iter().filter(|(c, _)| c.id != refiner.id));
                let Some(decision) = self.decision(&picks, &progress) else {
                    return fail();
                };
                let call = progress.asks.ask(refiner, ask);
                Step::Finish(decision, call)
            }
        }
    }

    fn reason(&self, progress: &Progress) -> Reason {
        Reason::new(progress.reason.clone()).with("calls", progress.asks.0.len() as f64)
    }

    fn evidence(&self, progress: &Progress) -> fingerpost_core::Evidence {
        use fingerpost_core::Feature::Number;
        let evidence = progress
            .asks
            .evidence(&self.name)
            .with("parse_errors", Number(f64::from(progress.parse_errors)));
        match progress.margin {
            Some(margin) => evidence.with("margin", Number(margin)),
            None => evidence,
        }
    }

    fn decision(&self, agents: &[(&Candidate, f64)], progress: &Progress) -> Option<Decision> {
        decision(agents, self.reason(progress), self.evidence(progress))
    }
}

/// What is asked of the model that makes one answer of several.
fn refine(query: &Query<'_>, answers: &[(usize, &Asked)]) -> Ask {
    let task = said(query);
    let mut foreign: Vec<&str> = vec![&task];
    foreign.extend(answers.iter().filter_map(|(_, asked)| asked.text.as_deref()));
    let fence = Fence::around(&foreign);
    let mut user = String::new();
    fence.put("request", &task, &mut user);
    for (i, (_, asked)) in answers.iter().enumerate() {
        fence.put(
            &format!("answer-{}", i + 1),
            asked.text.as_deref().unwrap_or_default(),
            &mut user,
        );
    }
    let mut system = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        system,
        "Several specialists answered one request. Write the one answer that the person should read. Join what each does well, say \
         everything once, and leave out what is wrong. Where two contradict each other on a fact and you cannot tell who is \
         right, say so plainly and give both. Add nothing of your own, and do not mention the specialists. {}",
        fence.rule()
    );
    Ask::Prompt {
        system: Some(system),
        user,
    }
}

fn ids(names: &[Name], cx: &Context<'_>) -> Vec<CandidateId> {
    names.iter().filter_map(|name| cx.catalogue.id(name)).collect()
}

fn candidates<'c>(set: &[(Name, f64)], cx: &Context<'c>) -> Vec<(&'c Candidate, f64)> {
    let admitted = |(name, score): &(Name, f64)| {
        let candidate = cx.catalogue.get(cx.catalogue.id(name)?)?;
        cx.limits.admit(candidate).is_ok().then_some((candidate, *score))
    };
    set.iter().filter_map(admitted).collect()
}

impl Learn for Tcar {}

impl Deliberate<Query<'_>> for Tcar {
    fn start(&self, query: &Query<'_>, among: &[CandidateId], cx: &mut Context<'_>) -> Step {
        let known: rustc_hash::FxHashSet<&Name> = self.bank.agents().iter().map(|a| &a.entry.id).collect();
        let open = cx.admitted(among).map(|c| c.profile.name.clone());
        let open: Vec<Name> = open.filter(|name| known.contains(name)).collect();
        if open.is_empty() {
            return Step::Fail(cx.no_route(among));
        }
        let mut progress = Progress {
            router: self.name.clone(),
            among: open,
            phase: Phase::Choosing(Vec::new()),
            asks: Asks::default(),
            reason: String::new(),
            margin: None,
            parse_errors: 0,
        };
        let mut own = Vec::new();
        if let Some(head) = &self.head {
            debug_assert!(std::ptr::eq(head.bank(), &*self.bank), "one bank");
            let Set {
                reply,
                agents,
                margin,
            } = head.set(&query.user_text(), among, cx);
            own = agents
                .iter()
                .map(|(c, score)| (c.profile.name.clone(), *score))
                .collect();
            progress.reason = reply.reason;
            progress.margin = Some(margin);
            let sure = self.config.mode == TcarMode::Cascade && margin >= self.config.margin;
            if self.config.mode == TcarMode::Head || sure {
                return self.fan_out(progress, own, cx);
            }
        }
        let model = self
            .config
            .model
            .as_ref()
            .and_then(|name| cx.catalogue.get(cx.catalogue.id(name)?));
        let Some(model) = model.filter(|c| cx.limits.admit(c).is_ok()) else {
            // Without the second opinion the first one stands.
            return match self.head {
                Some(_) => self.fan_out(progress, own, cx),
                None => Step::Fail(cx.no_route(among)),
            };
        };
        let ask = self.question(query, &progress.among);
        let call = progress.asks.ask(model, ask);
        progress.phase = Phase::Choosing(own);
        match Thread::keep(&progress) {
            Ok(thread) => Step::Ask(vec![call], thread),
            Err(_) => Step::Fail(cx.no_route(among)),
        }
    }

    fn resume(&self, query: &Query<'_>, thread: Thread, answers: Vec<Answer>, cx: &mut Context<'_>) -> Step {
        let Some(mut progress) = thread.take::<Progress>().ok().filter(|p| p.router == self.name) else {
            return Step::Fail(NoRoute { excluded: Vec::new() });
        };
        progress.asks.hear(answers);
        match progress.phase.clone() {
            Phase::Choosing(own) => self.chosen(progress, own, cx),
            Phase::Answering(set, from) => self.answered(query, progress, &set, from, cx),
        }
    }

    fn manner(&self, calls: &[Call]) -> Manner {
        let is_fan_out = calls.iter().all(|call| call.ask == Ask::Forward);
        Manner {
            within: is_fan_out.then(|| Millis::clamped(self.config.agent_timeout_ms)),
            ..Manner::default()
        }
    }
}

#[cfg(test)]
#[path = "panel_tests.rs"]
mod tests;
