//! `stay`: whether a conversation stays with the model that answered last or goes to the one that was selected. No algorithm of its
//! own: a part of a decision that works with every selector.
//!
//! A switch costs: the provider's prompt cache is lost, the new model reads the whole context at its full price, calls of tools
//! under way may mean nothing to it. So after selection, for a conversation of which something is remembered ([`Session`]):
//!
//! 1. **Limits win.** A model that is barred, out of service or too small is never stayed with.
//! 2. **Rescue**: a model that failed `rescue_after` times in a row in this conversation is left, and not selected again there.
//! 3. **Lock**: in the middle of a tool loop it stays.
//! 4. Under another decision than before, the selector is free again.
//! 5. Else the advantage of a switch must be as great as the rule asks ([`StayRule`], `rules.rs`).
//!
//! After `idle_timeout` without a request the selector is free again; where nothing says which conversation a request belongs to,
//! it is as if there were no such rule (fail open), as where the scores that the rule needs are missing.
//! Card: `systems/43`, 5.3, 5.4 and the annex.
//!
//! Differs from the card: warmth of the cache falls in a line from 1 to 0 over the idle time; scores beyond -1 to 1 are first
//! divided by the largest among the picks, so that margins mean the same for every selector; only the selected model is weighed
//! against the current one; contexts are always portable here (the gateway sends the whole conversation), so there is no lock for
//! those that are not; no prior of the turns that remain.

mod memory;
mod rules;

use std::{collections::BTreeMap, time::Duration};

use fingerpost_core::{
    Candidate, CandidateId, Context, Decision, Evidence, Name, Pick, Picks, Query, Reason,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::rules::Bearing;
pub use self::{
    memory::{Session, SessionKey, Sessions},
    rules::StayRule,
};
use crate::{
    config::{ConfigError, check},
    history::History,
    ranked::MOST,
};

/// Whether a conversation stays with its model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StayConfig {
    /// Whether it is done, only told, or neither. Default `apply`.
    pub mode: StayMode,
    /// How a switch is weighed. Default `protection`.
    pub rule: StayRule,
    /// By how much more than its cost a switch must gain, 0 to 1, in the selector's scores. Default 0.05.
    pub switch_margin: f64,
    /// How much the cost of a switch counts, 0 and more. Default 1.
    pub stability_weight: f64,
    /// Whether a conversation stays with its model in the middle of a tool loop, whatever would be gained. Default true.
    pub lock_tool_loops: bool,
    /// Failures in a row in one conversation after which it leaves the model; 0 for never. Default 2.
    pub rescue_after: u32,
    /// Answers that a model gives before it may be left. Default 1.
    pub min_turns: u32,
    /// How long nothing may be heard of a conversation before it is free again. Default `300s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub idle_timeout: Duration,
    /// What a switch costs, in the selector's scores.
    pub costs: SwitchCosts,
    /// By how much one model is known to be better than another: from which, to which, -1 to 1.
    pub quality_gaps: BTreeMap<String, BTreeMap<String, f64>>,
}

/// Whether it is done, only told, or neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StayMode {
    /// The decision is changed.
    #[default]
    Apply,
    /// The decision tells what would have been changed.
    Observe,
    /// Nothing is looked at and nothing remembered.
    Bypass,
}

/// What a switch costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SwitchCosts {
    /// Every switch. Default 0.05.
    pub handoff: f64,
    /// A long context that the provider has in its cache. Default 0.2.
    pub prefix: f64,
    /// By how much that counts more where the cache saves the whole price of reading, 1 and more. Default 2.5.
    pub cost_multiplier: f64,
    /// A conversation that has changed its model eight times. Default 0.04.
    pub history: f64,
    /// What speaks for the current model under `session_aware`. Default 0.1.
    pub stay_bias: f64,
    /// What speaks for it, and against the others, in a tool loop under `session_aware`. Default 0.35.
    pub tool_loop_bias: f64,
}

/// The rule of one decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Stay {
    config: StayConfig,
    /// What decides where a deliberation is passed over.
    name: Name,
}

/// What the rule says of a selection.
enum Ruling<'a> {
    /// Let it be.
    Free,
    /// Take this one first instead.
    Instead(&'a Candidate, Reason),
}

impl Default for StayConfig {
    fn default() -> Self {
        Self {
            mode: StayMode::Apply,
            rule: StayRule::Protection,
            switch_margin: 0.05,
            stability_weight: 1.0,
            lock_tool_loops: true,
            rescue_after: 2,
            min_turns: 1,
            idle_timeout: Duration::from_secs(300),
            costs: SwitchCosts::default(),
            quality_gaps: BTreeMap::new(),
        }
    }
}

impl Default for SwitchCosts {
    fn default() -> Self {
        Self {
            handoff: 0.05,
            prefix: 0.2,
            cost_multiplier: 2.5,
            history: 0.04,
            stay_bias: 0.1,
            tool_loop_bias: 0.35,
        }
    }
}

// === impl StayConfig ===

impl StayConfig {
    /// Looks whether every setting is in its range.
    ///
    /// # Errors
    /// [`ConfigError`] for the first that is not.
    pub fn check(&self) -> Result<(), ConfigError> {
        let least = |key: &str, value: f64, allowed, least: f64| {
            check("stay", key, value, allowed, |v| v >= least && v.is_finite()).map(drop)
        };
        check(
            "stay",
            "switch_margin",
            self.switch_margin,
            "a number from 0 to 1",
            |v| (0.0..=1.0).contains(&v),
        )?;
        let (zero, one) = ("a finite number of at least 0", "a finite number of at least 1");
        least("stability_weight", self.stability_weight, zero, 0.0)?;
        let costs = &self.costs;
        for (key, value) in [
            ("costs.handoff", costs.handoff),
            ("costs.prefix", costs.prefix),
            ("costs.history", costs.history),
            ("costs.stay_bias", costs.stay_bias),
            ("costs.tool_loop_bias", costs.tool_loop_bias),
        ] {
            least(key, value, zero, 0.0)?;
        }
        least("costs.cost_multiplier", costs.cost_multiplier, one, 1.0)?;
        least(
            "idle_timeout",
            self.idle_timeout.as_secs_f64(),
            "more than 0",
            f64::MIN_POSITIVE,
        )?;
        for (from, row) in &self.quality_gaps {
            for (to, gap) in row {
                let key = format!("quality_gaps.{from}.{to}");
                check("stay", key, *gap, "a number from -1 to 1", |v| {
                    (-1.0..=1.0).contains(&v)
                })?;
            }
        }
        Ok(())
    }
}

// === impl Stay ===

impl Stay {
    /// The rule of this configuration.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range.
    pub fn new(config: &StayConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            config: config.clone(),
            name: "stay".into(),
        })
    }

    /// Its settings.
    pub fn config(&self) -> &StayConfig {
        &self.config
    }

    /// Whether conversations are remembered for it.
    pub fn remembers(&self) -> bool {
        self.config.mode != StayMode::Bypass
    }

    /// The selection, or the model to stay with before it. `under` names the decision whose models `among` are. A pick is always
    /// within the limits of the context; what was selected stays behind it to fall back on. The evidence remains the selector's,
    /// with a propensity of 1: given what was selected, what is taken is certain.
    pub fn pass(
        &self,
        selected: Decision,
        session: Option<&Session>,
        query: &Query<'_>,
        under: &Name,
        among: &[CandidateId],
        cx: &Context<'_>,
    ) -> Decision {
        let Some(session) = session.filter(|s| self.holds(s, cx)) else {
            return selected;
        };
        // The answer is there already: there is nothing left to choose.
        if selected.answered.is_some() {
            return selected;
        }
        match self.rule(&selected, session, query, under, among, cx) {
            Ruling::Free => selected,
            Ruling::Instead(candidate, _) if !may_run(&selected, candidate) => selected,
            Ruling::Instead(candidate, reason) if self.config.mode == StayMode::Observe => {
                observed(selected, candidate, &reason)
            }
            Ruling::Instead(candidate, reason) => instead(selected, candidate, reason),
        }
    }

    /// The model that a conversation is locked to in a tool loop, for routers that would ask before they decide: nobody needs to be
    /// asked then. `None` where it is free. The evidence is of no router, so that none learns from it.
    pub fn locked(
        &self,
        session: Option<&Session>,
        query: &Query<'_>,
        among: &[CandidateId],
        cx: &Context<'_>,
    ) -> Option<Decision> {
        let session = session.filter(|s| self.config.mode == StayMode::Apply && self.holds(s, cx))?;
        let current = self.current(session, among, cx)?;
        let locked = self.config.lock_tool_loops && query.in_tool_loop();
        locked.then(|| {
            let evidence = Evidence::of(self.name.clone());
            Decision::single(Pick::of(current, 1.0), in_tool_loop(current), evidence)
        })
    }

    fn holds(&self, session: &Session, cx: &Context<'_>) -> bool {
        self.remembers() && !session.is_idle(cx.now, self.config.idle_timeout)
    }

    fn rule<'a>(
        &self,
        selected: &Decision,
        session: &Session,
        query: &Query<'_>,
        under: &Name,
        among: &[CandidateId],
        cx: &Context<'a>,
    ) -> Ruling<'a> {
        let first = selected.first();
        if self.is_failing(session, &first.name) {
            return self.rescue(selected, session, among, cx);
        }
        let Some(current) = self.current(session, among, cx).filter(|c| c.id != first.id) else {
            return Ruling::Free;
        };
        let tool_loop = query.in_tool_loop();
        if tool_loop && self.config.lock_tool_loops {
            return Ruling::Instead(current, in_tool_loop(current));
        }
        if session.decision.as_ref() != Some(under) {
            return Ruling::Free;
        }
        if session.turns < self.config.min_turns {
            let text = format!(
                "stayed with {}: its first turns are not over",
                current.profile.name
            );
            return Ruling::Instead(current, Reason::new(text));
        }
        let Some(gain) = gain(selected, current) else {
            return Ruling::Free;
        };
        let bearing = self.bearing(gain, first, current, session, query, tool_loop, cx);
        let weighed = self.config.rule.weigh(&self.config, &bearing);
        if weighed.switch {
            return Ruling::Free;
        }
        let text = format!(
            "stayed with {}: advantage {} below {}",
            current.profile.name,
            short(weighed.advantage),
            short(weighed.needed)
        );
        let reason = Reason::new(text)
            .with("advantage", weighed.advantage)
            .with("needed", weighed.needed);
        Ruling::Instead(current, reason)
    }

    /// The model that answered last, where it may be picked and does not fail.
    fn current<'a>(
        &self,
        session: &Session,
        among: &[CandidateId],
        cx: &Context<'a>,
    ) -> Option<&'a Candidate> {
        let name = session
            .model
            .as_ref()
            .filter(|name| !self.is_failing(session, name))?;
        cx.admitted(among).find(|c| c.profile.name == *name)
    }

    fn is_failing(&self, session: &Session, model: &str) -> bool {
        self.config.rescue_after > 0 && session.failures_of(model) >= self.config.rescue_after
    }

    /// The best that does not fail; where all do, the selector's word stands.
    fn rescue<'a>(
        &self,
        selected: &Decision,
        session: &Session,
        among: &[CandidateId],
        cx: &Context<'a>,
    ) -> Ruling<'a> {
        let failing = &selected.first().name;
        let picks = selected.picks.iter().filter_map(|p| cx.catalogue.get(p.id));
        let picks = picks.filter(|c| among.contains(&c.id) && cx.limits.admit(c).is_ok());
        // Within a conversation: rather the one it is with than the next best.
        let mut others = self
            .current(session, among, cx)
            .into_iter()
            .chain(picks)
            .chain(cx.admitted(among));
        match others.find(|c| !self.is_failing(session, &c.profile.name)) {
            Some(other) => {
                let times = session.failures_of(failing);
                let text = format!("left {failing}: it failed {times} times in a row in this conversation");
                Ruling::Instead(other, Reason::new(text))
            }
            None => Ruling::Free,
        }
    }

    #[allow(clippy::too_many_arguments, reason = "all that bears on a switch")]
    fn bearing(
        &self,
        gain: f64,
        selected: &Pick,
        current: &Candidate,
        session: &Session,
        query: &Query<'_>,
        tool_loop: bool,
        cx: &Context<'_>,
    ) -> Bearing {
        let row = self.config.quality_gaps.get(current.profile.name.as_str());
        let idle = cx.now.since(session.last).as_secs_f64() / self.config.idle_timeout.as_secs_f64();
        let saved = current.profile.price.and_then(|p| {
            let (fresh, cached) = (p.input.get(), p.cached_input?.get());
            (fresh > 0.0).then(|| ((fresh - cached) / fresh).clamp(0.0, 1.0))
        });
        Bearing {
            gain,
            gap: row.and_then(|row| row.get(selected.name.as_str()).copied()),
            mass: History::of(query).mass(),
            warmth: (1.0 - idle).clamp(0.0, 1.0),
            pressure: saved.unwrap_or(0.0),
            tool_loop,
            switches: session.switches,
        }
    }
}

/// By how much the first pick's score is above the current model's; of a model that is not among the picks, above the last one's,
/// which it cannot have reached. `None` where a score is missing.
fn gain(selected: &Decision, current: &Candidate) -> Option<f64> {
    let (first, others) = selected.picks.split_first()?;
    let own = others.iter().find(|p| p.id == current.id).or(others.last())?;
    let largest = selected.picks.iter().map(|p| p.score.abs()).fold(1.0, f64::max);
    let gain = (first.score - own.score) / largest;
    gain.is_finite().then_some(gain)
}

fn in_tool_loop(current: &Candidate) -> Reason {
    Reason::new(format!("stayed with {}: in a tool loop", current.profile.name))
}

/// A number as people write it.
fn short(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Whether the selector lets it be run at all.
fn may_run(selected: &Decision, candidate: &Candidate) -> bool {
    !selected.only || selected.picks.iter().any(|p| p.id == candidate.id)
}

fn instead(selected: Decision, candidate: &Candidate, reason: Reason) -> Decision {
    let found = selected.picks.iter().find(|p| p.id == candidate.id);
    let first = found.cloned().unwrap_or_else(|| Pick::of(candidate, f64::NAN));
    let mut picks: Picks = Picks::new();
    picks.push(first);
    picks.extend(
        selected
            .picks
            .into_iter()
            .filter(|p| p.id != candidate.id)
            .take(MOST - 1),
    );
    Decision {
        picks,
        reason,
        evidence: selected.evidence.with_propensity(1.0),
        answered: None,
        beside: Vec::new(),
        only: selected.only,
    }
}

/// What would have been.
fn observed(mut selected: Decision, candidate: &Candidate, reason: &Reason) -> Decision {
    let text = format!(
        "{}; observed, would take {}: {}",
        selected.reason.text, candidate.profile.name, reason.text
    );
    selected.reason.text = text.into();
    selected.reason.facts.extend(reason.facts.iter().cloned());
    selected
}

#[cfg(test)]
#[path = "stay_tests.rs"]
mod tests;
