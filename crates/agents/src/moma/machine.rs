//! From state and event to the next state and the choice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fingerpost_core::Name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    category::Categories,
    state::{Event, Mask, Phase, State},
};
use crate::tcar::AgentBank;

/// Settings of the choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MomaConfig {
    /// Categories whose agents are looked at, from 1. Default 3.
    pub categories: u32,
    /// Likeness of `none`: an agent must exceed it to be chosen, from -1 to 1. Default 0.5.
    pub threshold: f32,
    /// Another agent takes over from the one at work only where its likeness exceeds the other's by this much, from 0 to 2. Default 0.2.
    pub margin: f32,
    /// Likeness that another agent needs to take over on a follow-up, from -1 to 1: few words are a little like many things.
    /// Default 0.7.
    pub takeover: f32,
    /// Logits per unit of likeness, above 0; shapes the probabilities, not the choice. Default 20.
    pub sharpness: f32,
}

/// A setting that is out of range.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("moma_agents.{key} must be {allowed}, found {found}")]
pub struct MomaConfigError {
    key: &'static str,
    allowed: &'static str,
    found: f64,
}

/// When an agent is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Slots that must be filled.
    pub slots: Vec<String>,
    /// A right that the user must have.
    pub permission: Option<String>,
    /// Most calls in one task; unlimited where absent.
    pub quota: Option<u32>,
    /// Whether it can be called only while a task is under way, not to begin one (a handler of cancellations, say). Default false.
    pub within_task: bool,
}

/// What is decided.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Move {
    /// Who acts: an agent, or none, which leaves the query to a model.
    pub agent: Option<Name>,
    /// Its probability under the masked softmax over agents and none; 1 where nothing was to be chosen.
    pub probability: f32,
    /// Whether the agent goes on that was at work.
    pub kept: bool,
    /// Who was not allowed, and why.
    pub masked: Vec<Masked>,
    /// Agents that the query was compared with.
    pub compared: usize,
}

/// An agent that was not allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Masked {
    /// Who.
    pub agent: Name,
    /// Why.
    pub why: Mask,
}

/// Chooses agents turn by turn.
pub struct Moma {
    config: MomaConfig,
    bank: Arc<AgentBank>,
    categories: Categories,
    rules: BTreeMap<Name, Rules>,
}

impl Default for MomaConfig {
    fn default() -> Self {
        Self {
            categories: 3,
            threshold: 0.5,
            margin: 0.2,
            takeover: 0.7,
            sharpness: 20.0,
        }
    }
}

// === impl Moma ===

impl Moma {
    /// Over these agents, whose numbers in the categories are their places in the bank. Agents without rules are always allowed.
    ///
    /// # Errors
    /// [`MomaConfigError`] for a setting out of range.
    pub fn new(
        config: &MomaConfig,
        bank: Arc<AgentBank>,
        categories: Categories,
        rules: BTreeMap<Name, Rules>,
    ) -> Result<Self, MomaConfigError> {
        let cosine = |v: f32| (-1.0..=1.0).contains(&v);
        let checks = [
            (
                "categories",
                config.categories as f32,
                "at least 1",
                config.categories >= 1,
            ),
            (
                "threshold",
                config.threshold,
                "a number from -1 to 1",
                cosine(config.threshold),
            ),
            (
                "takeover",
                config.takeover,
                "a number from -1 to 1",
                cosine(config.takeover),
            ),
            (
                "margin",
                config.margin,
                "a number from 0 to 2",
                (0.0..=2.0).contains(&config.margin),
            ),
            (
                "sharpness",
                config.sharpness,
                "a number over 0",
                config.sharpness.is_finite() && config.sharpness > 0.0,
            ),
        ];
        for (key, found, allowed, holds) in checks {
            if !holds {
                return Err(MomaConfigError {
                    key,
                    allowed,
                    found: f64::from(found),
                });
            }
        }
        Ok(Self {
            config: config.clone(),
            bank,
            categories,
            rules,
        })
    }

    /// The categories.
    pub fn categories(&self) -> &Categories {
        &self.categories
    }

    /// Why an agent is not allowed in a state, for a user with these rights; `None` where it is.
    pub fn mask(&self, agent: &Name, state: &State, rights: &BTreeSet<String>) -> Option<Mask> {
        if state.failed.contains(agent) {
            return Some(Mask::Failed);
        }
        let rules = self.rules.get(agent)?;
        if let Some(permission) = rules.permission.as_ref().filter(|p| !rights.contains(*p)) {
            return Some(Mask::Permission(permission.clone()));
        }
        if let Some(slot) = rules.slots.iter().find(|slot| !state.slots.contains_key(*slot)) {
            return Some(Mask::Slot(slot.clone()));
        }
        if let Some(quota) = rules
            .quota
            .filter(|q| state.calls.get(agent).is_some_and(|calls| calls >= q))
        {
            return Some(Mask::Quota(quota));
        }
        (rules.within_task && state.phase != Phase::Active).then_some(Mask::Phase(state.phase))
    }

    /// The next state and what is done. `query` is the vector (of length one) of what the user said last: with
    /// [`Event::Said`] and [`Event::FollowUp`] the new turn, with the others the turn that the task is about. Pure: one input, one output.
    pub fn step(
        &self,
        state: State,
        event: &Event,
        query: &[f32],
        rights: &BTreeSet<String>,
    ) -> (State, Move) {
        let mut state = state;
        let rest = |agent: Option<Name>| Move {
            agent,
            probability: 1.0,
            kept: true,
            masked: Vec::new(),
            compared: 0,
        };
        match event {
            Event::Said => self.said(state, query, rights, self.config.threshold),
            Event::FollowUp => self.said(state, query, rights, self.config.takeover),
            Event::ToolResult(slots) => {
                state.slots.extend(slots.clone());
                let agent = state.agent.clone().filter(|_| state.phase == Phase::Active);
                (state, rest(agent))
            }
            Event::Completed => {
                if state.phase == Phase::Active {
                    state.phase = Phase::Done;
                }
                (state, rest(None))
            }
            Event::Cancelled => {
                let mut next = state.next_task();
                next.phase = Phase::Failed;
                (next, rest(None))
            }
            Event::Failed => {
                if let Some(agent) = state.agent.take().filter(|_| state.phase == Phase::Active) {
                    state.failed.insert(agent);
                }
                state.phase = Phase::Candidate;
                self.choose(state, query, rights, None)
            }
        }
    }

    /// The user said something: the agent at work goes on, or another takes over.
    fn said(
        &self,
        mut state: State,
        query: &[f32],
        rights: &BTreeSet<String>,
        takeover: f32,
    ) -> (State, Move) {
        let at_work = matches!(state.phase, Phase::Active | Phase::Done);
        let agent = state.agent.clone().filter(|_| at_work);
        let place = agent.as_ref().and_then(|name| self.place(name));
        let Some((agent, place)) = agent.zip(place) else {
            state = state.next_task();
            state.phase = Phase::Category;
            return self.choose(state, query, rights, None);
        };
        // What is not allowed any more cannot go on.
        if let Some(why) = self.mask(&agent, &state, rights) {
            state.phase = Phase::Category;
            let (state, mut choice) = self.choose(state, query, rights, None);
            if !choice.masked.iter().any(|m| m.agent == agent) {
                choice.masked.push(Masked { agent, why });
            }
            return (state, choice);
        }
        let own = self.likeness(place, query);
        self.choose(state, query, rights, Some(&(agent, own, takeover)))
    }

    /// The best of the agents that are allowed, or none. With somebody `at_work` (who, its likeness, the least that another needs)
    /// whoever takes over must be better by the margin.
    fn choose(
        &self,
        mut state: State,
        query: &[f32],
        rights: &BTreeSet<String>,
        at_work: Option<&(Name, f32, f32)>,
    ) -> (State, Move) {
        let nearest = self.categories.nearest(query, self.config.categories as usize);
        let mut masked = Vec::new();
        let mut open: Vec<(usize, f32)> = Vec::new();
        let mut compared = 0;
        for agent in nearest
            .iter()
            .flat_map(|(category, _)| self.categories.agents(*category))
        {
            let Some(known) = self.bank.agents().get(*agent as usize) else {
                continue;
            };
            compared += 1;
            match self.mask(&known.entry.id, &state, rights) {
                Some(why) => masked.push(Masked {
                    agent: known.entry.id.clone(),
                    why,
                }),
                None => open.push((*agent as usize, self.likeness(*agent as usize, query))),
            }
        }
        // Ties go to the agent that stands first in the bank.
        open.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let best = open.first().copied();
        let keep = at_work.filter(|(name, own, takeover)| {
            best.is_none_or(|(place, score)| {
                self.bank.agents()[place].entry.id == *name
                    || score - own <= self.config.margin
                    || score < *takeover
            })
        });
        let (agent, score, kept) = match (keep, best) {
            (Some((name, own, _)), _) => (Some(name.clone()), *own, true),
            (None, Some((place, score))) if score >= self.config.threshold => {
                (Some(self.bank.agents()[place].entry.id.clone()), score, false)
            }
            _ => (None, self.config.threshold, false),
        };
        // The softmax over those that are allowed and none; what is masked has weight 0.
        let weight = |s: f32| ((s - score) * self.config.sharpness).exp();
        let known = open
            .iter()
            .any(|(place, _)| Some(&self.bank.agents()[*place].entry.id) == agent.as_ref());
        let mut total: f32 =
            open.iter().map(|(_, s)| weight(*s)).sum::<f32>() + weight(self.config.threshold);
        if agent.is_some() && !known {
            total += 1.0;
        }
        if !kept && at_work.is_some() {
            // Another task begins.
            state = state.next_task();
        }
        if let Some(name) = &agent {
            *state.calls.entry(name.clone()).or_default() += 1;
            state.phase = Phase::Active;
            let category = self
                .place(name)
                .and_then(|place| self.categories.of(place as u32));
            state.category = category.map(|c| self.categories.name(c));
        } else {
            state.phase = if state.failed.is_empty() {
                Phase::Idle
            } else {
                Phase::Failed
            };
            state.category = None;
        }
        state.agent = agent.clone();
        let choice = Move {
            agent,
            probability: 1.0 / total,
            kept,
            masked,
            compared,
        };
        (state, choice)
    }

    fn place(&self, name: &Name) -> Option<usize> {
        self.bank
            .agents()
            .iter()
            .position(|agent| agent.entry.id == *name)
    }

    fn likeness(&self, place: usize, query: &[f32]) -> f32 {
        self.bank
            .agents()
            .get(place)
            .map_or(f32::NEG_INFINITY, |agent| agent.likeness(query))
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
