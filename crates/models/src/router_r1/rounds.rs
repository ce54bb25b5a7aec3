//! The trained policy in service: which model to ask next with the request as it came, and when to serve what there is.
//!
//! It is trained by replay of logged answers: an episode asks models for a logged query one after the other, at the cost that was
//! logged, and ends by serving the reply that most others agree with; its reward is that of the card ([`super::reward`]), with the
//! format always kept. What it sees of a model it has not asked is the quality that `linear` expects of it for this query
//! and what it should cost; of the replies, how long they are, whether they evade, and how many of them agree.

use fingerpost_core::{Name, Reply};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde::{Deserialize, Serialize};

use super::{
    policy::{Policy, Taken, Teacher},
    reward::{CostWindow, reward},
};
use crate::{
    answers::agree,
    cascade::look,
    choice::Offer,
    config::check,
    linear::{Linear, LinearSettings},
    predictor::Predictor,
    training::{TrainError, Training},
};

/// Features of an action.
const INPUTS: usize = 12;
/// Parts that the training is split into, so that no quality is expected of a query that was learned from.
const FOLDS: usize = 5;
/// Longest part of a reply that is compared, in bytes.
const COMPARED: usize = 4_000;

/// Settings of the training of `router_r1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouterR1Settings {
    /// Weight of cost in the reward, 0 (none) to 1. Default 0.
    pub cost_weight: f64,
    /// Most calls of an episode, 1 to 16. Default 4.
    pub max_turns: u32,
    /// Episodes, 1,000 to 10,000,000. Default 40,000.
    pub episodes: usize,
    /// Hidden units of the policy, 1 to 256. Default 12.
    pub hidden: usize,
}

/// What was trained.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rounds {
    policy: Policy,
    expects: Linear,
}

/// A reply, as far as it bears on what to do next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Heard {
    /// Which candidate said it, by its place among the offers.
    pub(super) who: usize,
    /// How it looks, 0 (empty) to 1.
    look: f64,
    words: usize,
    text: String,
}

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Ask this candidate.
    Ask(usize),
    /// Serve this reply, by its place among those heard.
    Serve(usize),
}

/// Where an episode stands.
pub(super) struct Standing<'a> {
    /// What is expected of each candidate.
    pub(super) offers: &'a [Offer],
    /// Whether each can still be asked.
    pub(super) open: &'a [bool],
    /// What was heard.
    pub(super) heard: &'a [Heard],
    /// Turns taken, those that came to nothing among them.
    pub(super) turns: u32,
    /// Most turns.
    pub(super) max_turns: u32,
}

impl Default for RouterR1Settings {
    fn default() -> Self {
        Self {
            cost_weight: 0.0,
            max_turns: 4,
            episodes: 40_000,
            hidden: 12,
        }
    }
}

// === impl RouterR1Settings ===

impl RouterR1Settings {
    fn check(&self) -> Result<(), TrainError> {
        let within = |key, value: f64, allowed, low: f64, high: f64| {
            check("router_r1", key, value, allowed, |v| (low..=high).contains(&v)).map(drop)
        };
        within("cost_weight", self.cost_weight, "a number from 0 to 1", 0.0, 1.0)?;
        let (turns, episodes, hidden) = (
            f64::from(self.max_turns),
            self.episodes as f64,
            self.hidden as f64,
        );
        within("max_turns", turns, "a whole number from 1 to 16", 1.0, 16.0)?;
        within(
            "episodes",
            episodes,
            "a whole number from 1000 to 10000000",
            1e3,
            1e7,
        )?;
        within("hidden", hidden, "a whole number from 1 to 256", 1.0, 256.0)?;
        Ok(())
    }
}

// === impl Heard ===

impl Heard {
    pub(super) fn of(who: usize, reply: &Reply) -> Self {
        let end = reply.text.floor_char_boundary(COMPARED);
        Self {
            who,
            look: look(reply),
            words: reply.text.split_whitespace().count(),
            text: reply.text[..end].to_owned(),
        }
    }
}

// === impl Standing ===

/// The reply to serve: the most expected of those that most agree with, by expected quality times look.
struct Served {
    at: usize,
    /// Its group's share of the weight of all replies.
    share: f64,
    /// Groups of replies that agree.
    groups: usize,
}

impl Standing<'_> {
    fn quality(&self, heard: &Heard) -> f64 {
        self.offers.get(heard.who).map_or(0.0, |o| o.quality)
    }

    fn served(&self, agree: &dyn Fn(usize, usize) -> bool) -> Option<Served> {
        // The first of a group stands for it.
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for i in 0..self.heard.len() {
            match groups.iter_mut().find(|g| agree(g[0], i)) {
                Some(group) => group.push(i),
                None => groups.push(vec![i]),
            }
        }
        let weight = |i: &usize| {
            let heard = &self.heard[*i];
            (self.quality(heard) * heard.look).max(1e-6)
        };
        let weigh = |group: &[usize]| group.iter().map(weight).sum::<f64>();
        let heavier = |a: Vec<usize>, b: Vec<usize>| if weigh(&b) > weigh(&a) { b } else { a };
        let count = groups.len();
        let best = groups.into_iter().reduce(heavier)?;
        let total: f64 = (0..self.heard.len()).map(|i| weight(&i)).sum();
        let share = weigh(&best) / total;
        let at = best
            .into_iter()
            .reduce(|a, b| if weight(&b) > weight(&a) { b } else { a })?;
        Some(Served {
            at,
            share,
            groups: count,
        })
    }

    /// Every action with its features; serving comes last, and only where there is something to serve.
    fn actions(&self, agree: &dyn Fn(usize, usize) -> bool) -> (Vec<Act>, Vec<Vec<f64>>) {
        let served = self.served(agree);
        let dearest = self.offers.iter().map(|o| o.cost).fold(1e-12, f64::max);
        let most = f64::from(self.max_turns.max(1));
        let left: Vec<usize> = (0..self.offers.len())
            .filter(|i| self.turns < self.max_turns && self.open.get(*i).copied().unwrap_or(false))
            .collect();
        let now = served.as_ref().map_or(0.0, |s| self.quality(&self.heard[s.at]));
        let best_left = left.iter().map(|i| self.offers[*i].quality).fold(0.0, f64::max);
        let (look, words) = served.as_ref().map_or((0.0, 0), |s| {
            let heard = &self.heard[s.at];
            (heard.look, heard.words)
        });
        let spent: f64 = self
            .heard
            .iter()
            .filter_map(|h| Some(self.offers.get(h.who)?.cost))
            .sum();
        let common = [
            f64::from(self.turns) / most,
            look,
            served.as_ref().map_or(0.0, |s| s.share),
            now,
            best_left - now,
            spent / dearest / most,
            (words as f64).ln_1p() / 8.0,
            served.as_ref().map_or(0.0, |s| s.groups as f64 / most),
        ];
        let describe = |ask: bool, quality: f64, cost: f64| -> Vec<f64> {
            let own = [
                f64::from(u8::from(ask)),
                f64::from(u8::from(!ask)),
                quality,
                cost / dearest,
            ];
            own.into_iter().chain(common).collect()
        };
        let mut acts: Vec<Act> = left.iter().map(|i| Act::Ask(*i)).collect();
        let mut features: Vec<Vec<f64>> = left
            .iter()
            .map(|i| describe(true, self.offers[*i].quality - now, self.offers[*i].cost))
            .collect();
        if let Some(served) = served {
            acts.push(Act::Serve(served.at));
            features.push(describe(false, 0.0, 0.0));
        }
        (acts, features)
    }
}

// === impl Rounds ===

/// A logged query that episodes are replayed on.
struct Replayed {
    /// By candidate: its place in the table, what was expected, what came of it.
    offers: Vec<Offer>,
    heard: Vec<Heard>,
    scores: Vec<f64>,
    costs: Vec<f64>,
    /// Row after row, whether two replies agree.
    agree: Vec<bool>,
}

impl Rounds {
    /// Replays logged answers.
    ///
    /// # Errors
    /// A setting out of range, outcomes without answers of several models to a query, or that somebody stopped it.
    pub fn train(settings: &RouterR1Settings, training: &Training<'_>) -> Result<Self, TrainError> {
        const LEARNING: &str = "replaying answers";
        settings.check()?;
        let rows = replayed(training)?;
        if rows.is_empty() {
            return Err(TrainError::TooLittle {
                algorithm: "router_r1",
                needs: "the answers of two models or more to a query (`responses`)",
                found: "none".to_owned(),
            });
        }
        let mut rng = SmallRng::seed_from_u64(training.seed);
        let mut teacher = Teacher::new(Policy::new(INPUTS, settings.hidden, &mut rng), 256, 0.01);
        let mut window = CostWindow::seeded([]);
        for episode in 0..settings.episodes {
            if episode % 1_000 == 0 {
                training.report(LEARNING, episode, settings.episodes)?;
            }
            let row = &rows[rng.random_range(0..rows.len())];
            let (taken, score, cost) = replay(row, &teacher.policy, settings.max_turns, &mut rng);
            let cheapness = window.cheapness(cost);
            teacher.learn(taken, reward(0.0, Some(score), cheapness, settings.cost_weight));
        }
        Ok(Self {
            policy: teacher.policy,
            expects: Linear::train(&LinearSettings::default(), training)?,
        })
    }

    /// What to do next; `None` where nothing can be done.
    pub(super) fn next(&self, standing: &Standing<'_>) -> Option<Act> {
        let same = |a: usize, b: usize| agree(&standing.heard[a].text, &standing.heard[b].text);
        let (acts, features) = standing.actions(&same);
        acts.get(self.policy.best(&features)).copied()
    }

    /// What serving would serve.
    pub(super) fn serves(&self, standing: &Standing<'_>) -> Option<usize> {
        let same = |a: usize, b: usize| agree(&standing.heard[a].text, &standing.heard[b].text);
        Some(standing.served(&same)?.at)
    }

    /// The predictor behind the expected qualities.
    pub(crate) fn expects(&self) -> &Linear {
        &self.expects
    }
}

/// The rows of which two or more answers are known, with qualities that were expected without them.
fn replayed(training: &Training<'_>) -> Result<Vec<Replayed>, TrainError> {
    let models: Vec<&Name> = training.table().models().iter().collect();
    let mut rows = Vec::new();
    for fold in 0..FOLDS {
        let rest = training.part(|place| place % FOLDS != fold);
        let expects = if rest.is_empty() {
            Linear::train(&LinearSettings::default(), training)?
        } else {
            Linear::train(&LinearSettings::default(), &rest)?
        };
        let mut estimates = Vec::new();
        for (row, features) in training.part(|place| place % FOLDS == fold).rows() {
            expects.estimate(features, &models, &mut estimates);
            let mut replayed = Replayed {
                offers: Vec::new(),
                heard: Vec::new(),
                scores: Vec::new(),
                costs: Vec::new(),
                agree: Vec::new(),
            };
            for (model, text) in row.responses.iter().enumerate() {
                let (Some(text), Some(score)) = (text, row.scores[model]) else {
                    continue;
                };
                let cost = row.costs.get(model).copied().flatten().unwrap_or(0.0);
                let quality = estimates[model].map_or(0.0, |e| e.quality);
                let reply = Reply {
                    text: text.clone(),
                    ..Reply::default()
                };
                replayed.heard.push(Heard::of(replayed.offers.len(), &reply));
                replayed.offers.push(Offer { quality, cost });
                replayed.scores.push(f64::from(score));
                replayed.costs.push(cost);
            }
            if replayed.offers.len() >= 2 {
                let heard = &replayed.heard;
                let pairs = heard
                    .iter()
                    .flat_map(|a| heard.iter().map(|b| agree(&a.text, &b.text)));
                replayed.agree = pairs.collect();
                rows.push(replayed);
            }
        }
    }
    Ok(rows)
}

/// One episode: the steps, what was served, what it cost. In every other one some of the models are out of reach, so that the
/// policy learns for smaller pools too.
fn replay(row: &Replayed, policy: &Policy, max_turns: u32, rng: &mut SmallRng) -> (Vec<Taken>, f64, f64) {
    let count = row.offers.len();
    let mut open = vec![true; count];
    if rng.random::<bool>() {
        let keep = rng.random_range(2..=count);
        for _ in keep..count {
            let still: Vec<usize> = (0..count).filter(|i| open[*i]).collect();
            open[still[rng.random_range(0..still.len())]] = false;
        }
    }
    let (mut taken, mut heard, mut cost) = (Vec::new(), Vec::<Heard>::new(), 0.0);
    loop {
        let standing = Standing {
            offers: &row.offers,
            open: &open,
            heard: &heard,
            turns: u32::try_from(heard.len()).unwrap_or(u32::MAX),
            max_turns,
        };
        let same = |a: usize, b: usize| row.agree[heard[a].who * count + heard[b].who];
        let (acts, actions) = standing.actions(&same);
        let chosen = policy.draw(&actions, rng);
        let Some(act) = acts.get(chosen).copied() else {
            return (taken, 0.0, cost);
        };
        if actions.len() > 1 {
            taken.push(Taken { actions, chosen });
        }
        match act {
            Act::Serve(at) => return (taken, row.scores[heard[at].who], cost),
            Act::Ask(who) => {
                open[who] = false;
                cost += row.costs[who];
                heard.push(row.heard[who].clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
