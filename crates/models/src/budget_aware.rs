//! `budget_aware`: for each step of an agent the small or the large model, by a trained policy, within a budget a conversation.
//!
//! The policy sees the step (calls and tool results so far, errors and whether the last result is one, how hard task and step look) and the
//! money (spent, left, share of large steps), and gives the probability of the large model; from `threshold` on it is taken. It is
//! trained on runs of tasks: two boundary policies tell how hard each is ([`survey`]), cost-efficient runs are shown
//! ([`demonstrations`], [`Policy::imitate`]), then it tries ([`Bopo`]). Without a trained file the large model is taken after an error.
//!
//! The budget is hard: the large model is masked where spend, an upper forecast of its step and the least that the expected
//! remaining small steps cost exceed it; where even a small step may not fit there is no route, and the limit says
//! `budget_exhausted`. A forecast is the price of the step's estimated tokens with the longest answer that the client allows, times
//! the upper quantile of what steps cost against that. Spend is learned from outcomes, by conversation; steps whose outcomes are not
//! in yet count as large ones at their forecast. Who has no identity has no budget: nothing can be added up. Card: `systems/48`.
//!
//! The small model is the cheapest admitted one and the large the dearest, unless named; others are never taken. Scores: the
//! probability of the pick. Differs from the card: the reference of a group that runs within a budget is the small policy's, since the
//! large one is out of reach there.

mod bopo;
mod budget;
mod policy;
mod rollout;
mod taxonomy;
mod view;
mod warm_start;

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use fingerpost_core::{
    Candidate, CandidateId, Context, Decision, Evidence, Exclusion, Feature, Learn, Limit, Name, NoRoute,
    Outcome, Pick, Picks, Query, Reason, Router, TokenCount, Usd,
};
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::budget::Forecast;
pub use self::{
    bopo::{Bopo, Reward},
    budget::{Allowed, Purse},
    policy::Policy,
    taxonomy::{Boundary, Hardness, Worth, survey},
    view::{STATE, TEXT, View, size},
    warm_start::demonstrations,
};
use crate::{
    Shared,
    config::{ConfigError, check},
    features::Featurizer,
};

/// Conversations whose spend is remembered; the one that was quiet for longest is forgotten first.
const CONVERSATIONS: usize = 4096;
/// Output tokens that are assumed where the client sets no limit, and where the least is asked for.
const OUTPUT: u32 = 256;
/// Version of the saved state and of the evidence.
const VERSION: u32 = 1;

/// Settings of `budget_aware`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetAwareConfig {
    /// The file of the trained policy, relative to the configuration. Without one the large model is taken after an error.
    pub trained: Option<String>,
    /// The small model; the cheapest where none is named.
    pub small: Option<String>,
    /// The large model; the dearest where none is named.
    pub large: Option<String>,
    /// Probability from which the large model is taken, 0 (always) to 1. Default 0.5.
    pub threshold: f64,
    /// US dollars that a conversation may cost. Without it there is no budget.
    pub budget: Option<f64>,
    /// Steps that a conversation is expected to have. Default 12.
    pub expected_steps: u32,
    /// Which quantile of the steps' costs a forecast is, over 0 and up to 1 (the highest seen). Default 1.
    pub quantile: f64,
}

/// What is done at one step of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The small model is asked.
    Small,
    /// The large model is asked.
    Large,
    /// Nobody is asked any more.
    Stop,
}

/// Tasks that a policy can be trained on, because they can be run again and again.
pub trait Tasks {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Runs a task to its end, asking `act` at each step. The same seed and acts give the same ending; costs are in US dollars.
    fn run(
        &self,
        task: usize,
        seed: u64,
        budget: Option<f64>,
        act: &mut dyn FnMut(&View, &Purse) -> Act,
    ) -> Ending;
}

/// How a run of a task ended.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Ending {
    /// Whether the task was solved.
    pub success: bool,
    /// What all its steps cost, in US dollars.
    pub cost: f64,
}

/// A policy over the steps of conversations, with what these have spent.
pub struct BudgetAware {
    name: Name,
    config: BudgetAwareConfig,
    policy: Option<Policy>,
    /// For policies that read.
    featurizer: Option<Featurizer>,
    learned: ArcSwap<Learned>,
    writing: Mutex<()>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Learned {
    accounts: FxHashMap<Name, Account>,
    forecasts: FxHashMap<Name, Forecast>,
    /// Outcomes so far: the age of an account is counted in them.
    outcomes: u64,
}

/// What is known of one conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Account {
    spent: f64,
    steps: u32,
    large: u32,
    touched: u64,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    learned: Learned,
}

/// The two that are chosen between, and what a step of either may cost.
struct Pair<'a> {
    small: &'a Candidate,
    large: &'a Candidate,
    /// By price alone.
    expected: [f64; 2],
    /// What either may cost at most.
    forecast: [f64; 2],
}

impl Default for BudgetAwareConfig {
    fn default() -> Self {
        Self {
            trained: None,
            small: None,
            large: None,
            threshold: 0.5,
            budget: None,
            expected_steps: 12,
            quantile: 1.0,
        }
    }
}

// === impl BudgetAwareConfig ===

impl BudgetAwareConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let number = |key: &str, value: f64, allowed, is_allowed: fn(f64) -> bool| {
            check("budget_aware", key, value, allowed, is_allowed)
        };
        number("threshold", self.threshold, "a number from 0 to 1", |v| {
            (0.0..=1.0).contains(&v)
        })?;
        let budget = self.budget.unwrap_or_default();
        number("budget", budget, "a finite number of at least 0", |v| {
            v >= 0.0 && v.is_finite()
        })?;
        number("quantile", self.quantile, "a number over 0 and up to 1", |v| {
            v > 0.0 && v <= 1.0
        })?;
        Ok(())
    }
}

// === impl BudgetAware ===

impl BudgetAware {
    /// A router of this name that has seen no conversation; without a policy it takes the large model after an error.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range, or a policy of no use here: one that reads needs a featurizer.
    pub fn new(
        config: &BudgetAwareConfig,
        name: Name,
        policy: Option<Policy>,
        featurizer: Option<Featurizer>,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        if let Some(policy) = &policy {
            let fits = [0, TEXT].contains(&policy.text()) && policy.inputs() >= STATE && policy.is_sound();
            if !fits || (policy.text() > 0 && featurizer.is_none()) {
                return Err(wrong(
                    "a policy for the states of this version",
                    format!("{} inputs", policy.inputs()),
                ));
            }
        }
        Ok(Self {
            name,
            config: config.clone(),
            policy,
            featurizer,
            learned: ArcSwap::default(),
            writing: Mutex::default(),
        })
    }

    /// A router with the policy of its file.
    pub(crate) fn build(
        config: &BudgetAwareConfig,
        name: Name,
        shared: &Shared,
    ) -> Result<Self, ConfigError> {
        let Some(file) = &config.trained else {
            return Self::new(config, name, None, None);
        };
        let trained = shared
            .trained
            .get(file)
            .ok_or_else(|| wrong("a file that can be read", file.clone()))?;
        let policy = trained.policy().cloned().ok_or_else(|| {
            let found = format!("one of `{}`", trained.about.algorithm);
            wrong("a file trained for this algorithm", found)
        })?;
        let featurizer = shared.featurizer.clone();
        let encoder = featurizer.as_ref().map(|f| f.model().to_string());
        if policy.text() > 0 && encoder.as_ref() != Some(&trained.about.encoder) {
            let found = format!("one of `{}`", trained.about.encoder);
            return Err(wrong("a file trained with the encoder in use", found));
        }
        let named = |at: usize, own: &Option<String>| {
            own.clone()
                .or_else(|| Some(trained.about.models.get(at)?.to_string()))
        };
        let config = BudgetAwareConfig {
            small: named(0, &config.small),
            large: named(1, &config.large),
            ..config.clone()
        };
        Self::new(&config, name, Some(policy), featurizer)
    }

    /// What a request shows of its step.
    pub fn view(&self, query: &Query<'_>) -> View {
        let reads = self.policy.as_ref().is_some_and(|policy| policy.text() > 0);
        View::of(query, self.featurizer.as_ref().filter(|_| reads))
    }

    /// Decides for a step that is at hand; `session` names its conversation.
    ///
    /// # Errors
    /// [`NoRoute`] where no candidate satisfies the limits, or the budget is exhausted.
    pub fn route_step(
        &self,
        view: &View,
        session: Option<&str>,
        among: &[CandidateId],
        cx: &Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let learned = self.learned.load();
        let pair = self
            .pair(view, among, &learned, cx)
            .ok_or_else(|| cx.no_route(among))?;
        let purse = self.purse(view, session, &pair, &learned);
        let allowed = purse.allowed();
        let probability = self.probability(view, &purse);
        let wanted = probability >= self.config.threshold;
        let picks = pair.picks(wanted, probability, allowed);
        let large = picks.first().is_some_and(|p| p.id == pair.large.id);
        let place = usize::from(large);
        let mut evidence = Evidence::of(self.name.clone())
            .with("step", Feature::Number(f64::from(view.step)))
            .with("large", Feature::Number(f64::from(u8::from(large))))
            .with("expected", Feature::Number(pair.expected[place]));
        evidence.version = VERSION;
        if let Some(session) = session {
            evidence = evidence.with("session", Feature::Text(session.into()));
        }
        let reason = match (wanted, large) {
            (true, true) => "the large one: the step needs it",
            (false, false) => "the small one will do",
            (true, false) => "the small one: the budget allows no more",
            (false, true) => "the large one: only it fits",
        };
        let mut reason = Reason::new(reason)
            .with("probability of the large one", probability)
            .with("spent in USD", purse.spent);
        if let Some(left) = purse.left {
            reason = reason.with("left in USD", left);
        }
        let decision = Decision::ranked(picks, reason, evidence).ok_or_else(|| pair.exhausted(&purse))?;
        // What the budget does not allow is not fallen back on either.
        Ok(if purse.left.is_some() {
            decision.only()
        } else {
            decision
        })
    }

    fn probability(&self, view: &View, purse: &Purse) -> f64 {
        match &self.policy {
            Some(policy) => policy.large(&view.state(purse)),
            None => f64::from(u8::from(view.errors_in_a_row > 0)),
        }
    }

    fn pair<'a>(
        &self,
        view: &View,
        among: &[CandidateId],
        learned: &Learned,
        cx: &Context<'a>,
    ) -> Option<Pair<'a>> {
        let expected = |c: &Candidate| {
            let output = view.max_output.unwrap_or(TokenCount(OUTPUT));
            let price = c.profile.price;
            price.map_or(0.0, |p| p.cost(view.tokens_in, TokenCount(0), output).get())
        };
        let named = |name: &Option<String>| {
            let name = name.as_ref()?;
            cx.admitted(among).find(|c| c.profile.name == name.as_str())
        };
        // Of equally dear ones the first is the small one and the last the large.
        let cheapest = cx
            .admitted(among)
            .min_by(|a, b| expected(a).total_cmp(&expected(b)))?;
        let dearest = cx
            .admitted(among)
            .max_by(|a, b| expected(a).total_cmp(&expected(b)))?;
        let small = named(&self.config.small).unwrap_or(cheapest);
        let large = named(&self.config.large).unwrap_or(dearest);
        let both = [small, large];
        let factor = |c: &Candidate| {
            let forecast = learned.forecasts.get(&c.profile.name);
            forecast.map_or(1.0, |f| f.factor(self.config.quantile))
        };
        Some(Pair {
            small,
            large,
            expected: both.map(expected),
            forecast: both.map(|c| expected(c) * factor(c)),
        })
    }

    fn purse(&self, view: &View, session: Option<&str>, pair: &Pair<'_>, learned: &Learned) -> Purse {
        // A conversation without an answer so far is a new one, whatever its name was used for before.
        let account = session
            .filter(|_| view.step > 0)
            .and_then(|s| learned.accounts.get(s).copied())
            .unwrap_or_default();
        let unknown = view.step.saturating_sub(account.steps);
        let spent = account.spent + f64::from(unknown) * pair.forecast[1];
        let budget = self.config.budget.filter(|_| session.is_some());
        let least = pair.small.profile.price.map_or(0.0, |p| {
            p.cost(view.tokens_in, TokenCount(0), TokenCount(0)).get()
        });
        Purse {
            spent,
            left: budget.map(|b| (b - spent).max(0.0)),
            large_steps: account.large,
            remaining: self
                .config
                .expected_steps
                .saturating_sub(view.step.saturating_add(1)),
            small: pair.forecast[0],
            large: pair.forecast[1],
            least,
        }
    }
}

impl std::fmt::Debug for BudgetAware {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BudgetAware")
            .field("name", &self.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

// === impl Pair ===

impl Pair<'_> {
    /// The one that is wanted, then the other, as far as the budget allows either.
    fn picks(&self, large: bool, probability: f64, allowed: Allowed) -> Picks {
        let both = [
            (self.small, 1.0 - probability, allowed.small),
            (self.large, probability, allowed.large),
        ];
        let one = self.small.id == self.large.id;
        let order = if large { [1, 0] } else { [0, 1] };
        let allowed = order.into_iter().filter(|i| both[*i].2 && !(one && *i == 1));
        allowed.map(|i| Pick::of(both[i].0, both[i].1)).collect()
    }

    fn exhausted(&self, purse: &Purse) -> NoRoute {
        let left = Usd::clamped(purse.left.unwrap_or_default());
        let exclusion = |(candidate, cost): (&Candidate, f64)| Exclusion {
            candidate: candidate.profile.name.clone(),
            limit: Limit::ConversationBudget {
                cost: Usd::clamped(cost),
                left,
            },
        };
        let mut excluded = vec![exclusion((self.small, purse.small))];
        if self.large.id != self.small.id {
            excluded.push(exclusion((self.large, purse.large)));
        }
        NoRoute { excluded }
    }
}

// === impl Learned ===

impl Learned {
    fn account(&mut self, session: Name) -> &mut Account {
        if self.accounts.len() >= CONVERSATIONS && !self.accounts.contains_key(&session) {
            let quietest = self
                .accounts
                .iter()
                .min_by_key(|(_, a)| a.touched)
                .map(|(name, _)| name.clone());
            quietest.and_then(|name| self.accounts.remove(&name));
        }
        self.accounts.entry(session).or_default()
    }
}

impl Learn for BudgetAware {
    /// Only outcomes with a cost teach: what was said of an answer later does not bill it again.
    fn learn(&self, evidence: &Evidence, decision: &Decision, outcome: &Outcome) {
        let number = |name: &str| match evidence.feature(name) {
            Some(Feature::Number(n)) if n.is_finite() => Some(*n),
            _ => None,
        };
        let (Some(cost), Some(step)) = (outcome.cost, number("step")) else {
            return;
        };
        if evidence.version != VERSION {
            return;
        }
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut learned = Learned::clone(&self.learned.load());
        learned.outcomes += 1;
        let touched = learned.outcomes;
        if let Some(expected) = number("expected") {
            let model = decision.first().name.clone();
            learned
                .forecasts
                .entry(model)
                .or_default()
                .learn(cost.get(), expected);
        }
        if let Some(Feature::Text(session)) = evidence.feature("session") {
            let account = learned.account(session.clone());
            if step == 0.0 {
                *account = Account::default();
            }
            account.spent += cost.get();
            account.steps += 1;
            account.large += u32::from(number("large") == Some(1.0));
            account.touched = touched;
        }
        self.learned.store(Arc::new(learned));
    }

    fn save(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(&Saved {
            version: VERSION,
            learned: Learned::clone(&self.learned.load()),
        })
        .ok()
    }

    fn restore(&self, state: &[u8]) -> bool {
        match serde_json::from_slice::<Saved>(state) {
            Ok(saved) if saved.version == VERSION => {
                self.learned.store(Arc::new(saved.learned));
                true
            }
            _ => false,
        }
    }
}

impl Router<Query<'_>> for BudgetAware {
    fn route(
        &self,
        query: &Query<'_>,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        self.route_step(&self.view(query), session(query).as_deref(), among, cx)
    }
}

/// What names the conversation: its session, of this user where one is known; the user alone where no session is named.
fn session<'q>(query: &'q Query<'_>) -> Option<Cow<'q, str>> {
    match (query.session.as_deref(), query.identity.user.as_deref()) {
        (Some(session), Some(user)) => Some(format!("{user}/{session}").into()),
        (named, user) => named.or(user).map(Cow::Borrowed),
    }
}

fn wrong(allowed: &'static str, found: String) -> ConfigError {
    ConfigError {
        algorithm: "budget_aware",
        key: "trained".to_owned(),
        allowed,
        found,
    }
}

#[cfg(test)]
#[path = "budget_aware/tests.rs"]
mod tests;
