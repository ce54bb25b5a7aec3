//! Plays POLAR and what one would do without it over rows of which every adapter's quality is known, and counts what each loses.
//!
//! Every load costs its page-in, whoever asked for it; all have the same slots. What is lost is counted against the best fixed set with
//! the best linear choice in hindsight, which pays page-in for what it serves outside of its set.

use std::collections::VecDeque;

use fingerpost_core::{
    Catalogue, CatalogueError, Context, Learn, Limits, Name, Outcome, Profile, Quality, Router, Timestamp,
};
use nalgebra::DVector;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use thiserror::Error;

use super::{
    AdapterQuery, CacheAction, Polar, PolarConfig, PolarError,
    arm::Arm,
    control::{Worth, keep},
};

/// Width of the baselines' bounds: best for them on the logged outcomes on which POLAR's own default was chosen.
const BASELINE_ALPHA: f64 = 0.25;
/// Points of a curve of losses.
const POINTS: u64 = 64;

/// Queries with what every adapter makes of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    features: Vec<Vec<f32>>,
    /// Quality by query and adapter, 0 to 1.
    rewards: Vec<Vec<f64>>,
    /// By query: what the best fixed set gains.
    yardstick: Vec<f64>,
    page_in: f64,
    slots: usize,
}

/// Why rows cannot be played.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RowsError {
    /// Too little of everything, or rows of different shapes.
    #[error(
        "{features} rows of features and {rewards} of qualities: give as many of both, at least one, all features of one length and \
         all qualities of as many adapters, each from 0 to 1"
    )]
    Shape {
        /// Rows of features.
        features: usize,
        /// Rows of qualities.
        rewards: usize,
    },
    /// A setting out of range.
    #[error(transparent)]
    Config(#[from] PolarError),
    /// Too many adapters.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

/// Who decides.
#[derive(Debug, Clone, PartialEq)]
pub enum Policy {
    /// POLAR; its slots and the price of a load are those of the rows.
    Polar(PolarConfig),
    /// The adapters that a linear bandit picked most during so many first requests stay; the bandit goes on among them.
    StaticTop {
        /// Requests.
        after: u64,
    },
    /// The best by estimate, whatever is loaded; the least recently used makes room.
    LruGreedy,
    /// The highest bound, whatever is loaded; the least recently used makes room.
    LruBlind,
    /// The same; the least frequently used makes room.
    LfuBlind,
    /// Any; the least recently used makes room.
    Random,
}

/// What became of a play.
#[derive(Debug, Clone, PartialEq)]
pub struct Play {
    /// Mean quality of a request.
    pub quality: f64,
    /// Mean quality less loads.
    pub net: f64,
    /// Loads.
    pub loads: u64,
    /// How often the controller changed the kept set; 0 for whom has none.
    pub changes: u64,
    /// What was lost up to a request, at some places.
    pub regret: Vec<(u64, f64)>,
}

/// A policy at work.
trait Player {
    /// Serves: the adapter, and how many loads that took.
    fn serve(&mut self, features: &[f32], rng: &mut SmallRng) -> (usize, u64);
    fn learn(&mut self, reward: f64);
    fn changes(&self) -> u64 {
        0
    }
}

// === impl Rows ===

impl Rows {
    /// Rows for so many slots, a load costing `page_in` of quality. Finds the yardstick: least squares on all rows, the best set
    /// for it, and what that choice gains on each row.
    ///
    /// # Errors
    /// [`RowsError::Shape`].
    pub fn new(
        features: Vec<Vec<f32>>,
        rewards: Vec<Vec<f64>>,
        page_in: f64,
        slots: usize,
    ) -> Result<Self, RowsError> {
        let (dims, adapters) = (
            features.first().map_or(0, Vec::len),
            rewards.first().map_or(0, Vec::len),
        );
        let sound = |row: &Vec<f64>| row.len() == adapters && row.iter().all(|r| (0.0..=1.0).contains(r));
        let even = features.iter().all(|f| f.len() == dims) && rewards.iter().all(sound);
        if features.len() != rewards.len() || features.is_empty() || adapters == 0 || !even {
            return Err(RowsError::Shape {
                features: features.len(),
                rewards: rewards.len(),
            });
        }
        let mut rows = Self {
            features,
            rewards,
            yardstick: Vec::new(),
            page_in,
            slots,
        };
        rows.yardstick = rows.hindsight();
        Ok(rows)
    }

    fn adapters(&self) -> usize {
        self.rewards[0].len()
    }

    fn hindsight(&self) -> Vec<f64> {
        let contexts: Vec<DVector<f64>> = self.features.iter().map(|f| context(f)).collect();
        let arms: Vec<Arm> = (0..self.adapters()).map(|a| self.fitted(a, &contexts)).collect();
        let scores: Vec<Vec<f64>> = contexts
            .iter()
            .map(|x| arms.iter().map(|arm| arm.at(x).0).collect())
            .collect();
        let worth = Worth {
            scores,
            page_in: vec![self.page_in; arms.len()],
            load: vec![0.0; arms.len()],
            weight: 1.0,
        };
        let set = keep(&worth, self.slots);
        let cost = |a: usize| if set.contains(&a) { 0.0 } else { self.page_in };
        let gain = |(scores, rewards): (&Vec<f64>, &Vec<f64>)| {
            let best = best_of(arms.len(), |a| scores[a] - cost(a));
            rewards[best] - cost(best)
        };
        worth.scores.iter().zip(&self.rewards).map(gain).collect()
    }

    fn fitted(&self, adapter: usize, contexts: &[DVector<f64>]) -> Arm {
        // Nearly least squares: a learner that sees a row a hundred times is drawn to its guess a hundred times less.
        let mut arm = Arm::new(contexts[0].len(), 1e-3);
        for (x, rewards) in contexts.iter().zip(&self.rewards) {
            arm.learn(x, rewards[adapter]);
        }
        arm
    }
}

/// Features, and a constant.
fn context(features: &[f32]) -> DVector<f64> {
    let half = std::f64::consts::FRAC_1_SQRT_2;
    DVector::from_iterator(
        features.len() + 1,
        features.iter().map(|v| f64::from(*v) * half).chain([half]),
    )
}

/// The first of the highest.
fn best_of(count: usize, score: impl Fn(usize) -> f64) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for a in 0..count {
        let found = score(a);
        if found > best.1 {
            best = (a, found);
        }
    }
    best.0
}

/// Plays so many requests, drawn from the rows at random; the draws depend on the seed alone, so that all policies see the same.
///
/// # Errors
/// [`RowsError::Config`] for settings of POLAR that cannot be.
pub fn play(rows: &Rows, policy: &Policy, requests: u64, seed: u64) -> Result<Play, RowsError> {
    let mut player = player(rows, policy)?;
    let (mut world, mut chance) = (SmallRng::seed_from_u64(seed), SmallRng::seed_from_u64(!seed));
    let mut play = Play {
        quality: 0.0,
        net: 0.0,
        loads: 0,
        changes: 0,
        regret: Vec::new(),
    };
    let every = (requests / POINTS).max(1);
    let mut lost = 0.0;
    for request in 1..=requests {
        let row = world.random_range(0..rows.features.len());
        let (adapter, loads) = player.serve(&rows.features[row], &mut chance);
        let reward = rows.rewards[row][adapter];
        player.learn(reward);
        let net = reward - rows.page_in * loads as f64;
        lost += rows.yardstick[row] - net;
        play.quality += reward;
        play.net += net;
        play.loads += loads;
        if request % every == 0 {
            play.regret.push((request, lost));
        }
    }
    let n = requests.max(1) as f64;
    Ok(Play {
        quality: play.quality / n,
        net: play.net / n,
        changes: player.changes(),
        ..play
    })
}

fn player<'a>(rows: &'a Rows, policy: &Policy) -> Result<Box<dyn Player + 'a>, RowsError> {
    let alpha = BASELINE_ALPHA;
    let bandit = |alpha, lru, rank| Bandit::new(rows, alpha, lru, rank);
    Ok(match policy {
        Policy::Polar(config) => Box::new(Ours::new(rows, config)?),
        Policy::StaticTop { after } => Box::new(bandit(alpha, true, Rank::Frozen(*after))),
        Policy::LruGreedy => Box::new(bandit(0.0, true, Rank::Score)),
        Policy::LruBlind => Box::new(bandit(alpha, true, Rank::Score)),
        Policy::LfuBlind => Box::new(bandit(alpha, false, Rank::Score)),
        Policy::Random => Box::new(bandit(alpha, true, Rank::Chance)),
    })
}

/// POLAR behind the router's own interface.
struct Ours {
    polar: Polar,
    catalogue: Catalogue,
    names: Vec<Name>,
    last: Option<fingerpost_core::Decision>,
    requests: u64,
    changes: u64,
}

// === impl Ours ===

impl Ours {
    fn new(rows: &Rows, config: &PolarConfig) -> Result<Self, RowsError> {
        let mut config = PolarConfig {
            slots: rows.slots,
            ..config.clone()
        };
        config.page_in.per_second = 1.0;
        config.page_in.expected = std::time::Duration::from_secs_f64(rows.page_in.clamp(0.0, 1e6));
        config.page_in.newest = 0.0;
        let names: Vec<Name> = (0..rows.adapters()).map(|a| format!("{a}").into()).collect();
        Ok(Self {
            polar: Polar::new(config, "polar", rows.features[0].len())?,
            catalogue: Catalogue::new(names.iter().cloned().map(Profile::named))?,
            names,
            last: None,
            requests: 0,
            changes: 0,
        })
    }
}

impl Player for Ours {
    fn serve(&mut self, features: &[f32], rng: &mut SmallRng) -> (usize, u64) {
        let now = Timestamp::from_millis(self.requests);
        self.requests += 1;
        let mut actions = self.polar.rebalance(&self.names, now);
        self.changes += u64::from(!actions.is_empty());
        let limits = Limits::NONE;
        let mut cx = Context::new(&self.catalogue, &limits, now, rng);
        let decision = self
            .polar
            .route(&AdapterQuery::new(features), &self.catalogue.ids(), &mut cx)
            .ok();
        actions.extend(decision.iter().flat_map(|d| self.polar.page_in(d)));
        let adapter = decision.as_ref().map_or(0, |d| d.first().id.0 as usize);
        self.last = decision;
        let loads = actions
            .iter()
            .filter(|a| matches!(a, CacheAction::Load(_)))
            .count();
        (adapter, loads as u64)
    }

    fn learn(&mut self, reward: f64) {
        if let Some(decision) = self.last.take() {
            let outcome = Outcome {
                quality: Some(Quality::clamped(reward)),
                ..Outcome::default()
            };
            self.polar.learn(&decision.evidence, &decision, &outcome);
        }
    }

    fn changes(&self) -> u64 {
        self.changes
    }
}

/// How a bandit that knows nothing of loads picks.
enum Rank {
    Score,
    Chance,
    /// By score among the most picked, once so many requests have passed.
    Frozen(u64),
}

/// A bandit beside a cache that follows it.
struct Bandit<'a> {
    rows: &'a Rows,
    arms: Vec<Arm>,
    alpha: f64,
    rank: Rank,
    /// By recency or by frequency.
    lru: bool,
    /// What is loaded, least recently used first.
    cache: VecDeque<usize>,
    picked: Vec<u64>,
    frozen: Option<Vec<usize>>,
    last: (usize, DVector<f64>),
}

// === impl Bandit ===

impl<'a> Bandit<'a> {
    fn new(rows: &'a Rows, alpha: f64, lru: bool, rank: Rank) -> Self {
        let dims = rows.features[0].len() + 1;
        Self {
            rows,
            arms: (0..rows.adapters()).map(|_| Arm::new(dims, 1.0)).collect(),
            alpha,
            rank,
            lru,
            cache: VecDeque::new(),
            picked: vec![0; rows.adapters()],
            frozen: None,
            last: (0, DVector::zeros(dims)),
        }
    }

    fn pick(&mut self, x: &DVector<f64>, rng: &mut SmallRng) -> usize {
        let served: u64 = self.picked.iter().sum();
        if matches!(self.rank, Rank::Chance) {
            return rng.random_range(0..self.arms.len());
        }
        if let Rank::Frozen(after) = self.rank
            && self.frozen.is_none()
            && served >= after
        {
            let mut order: Vec<usize> = (0..self.arms.len()).collect();
            order.sort_by_key(|a| std::cmp::Reverse(self.picked[*a]));
            order.truncate(self.rows.slots.max(1));
            self.frozen = Some(order);
        }
        // Everybody once, so that those without bounds have met them all.
        if let Some(new) = (0..self.arms.len())
            .find(|a| self.picked[*a] == 0)
            .filter(|_| self.frozen.is_none())
        {
            return new;
        }
        let bound = |a: usize| {
            let (estimate, width) = self.arms[a].at(x);
            estimate + self.alpha * width
        };
        match &self.frozen {
            Some(set) => set[best_of(set.len(), |i| bound(set[i]))],
            None => best_of(self.arms.len(), bound),
        }
    }

    /// Makes an adapter resident; how many loads that took.
    fn load(&mut self, adapter: usize) -> u64 {
        let place = self.cache.iter().position(|a| *a == adapter);
        if place.is_none() && self.cache.len() >= self.rows.slots.max(1) {
            let rarest = self
                .cache
                .iter()
                .enumerate()
                .min_by_key(|(_, a)| self.picked[**a])
                .map(|(i, _)| i);
            self.cache.remove(if self.lru { 0 } else { rarest.unwrap_or(0) });
        }
        if let Some(place) = place {
            self.cache.remove(place);
        }
        self.cache.push_back(adapter);
        u64::from(place.is_none())
    }
}

impl Player for Bandit<'_> {
    fn serve(&mut self, features: &[f32], rng: &mut SmallRng) -> (usize, u64) {
        let x = context(features);
        let adapter = self.pick(&x, rng);
        self.picked[adapter] += 1;
        self.last = (adapter, x);
        (adapter, self.load(adapter))
    }

    fn learn(&mut self, reward: f64) {
        // The same guess before anything is known as POLAR's default, so that bounds compare.
        self.arms[self.last.0].learn(&self.last.1, reward - 0.5);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(page_in: f64, slots: usize) -> Rows {
        let features = (0..8_u16)
            .map(|i| vec![f32::from(i % 2), f32::from((i + 1) % 2)])
            .collect();
        let rewards = (0..8).map(|i| {
            if i % 2 == 0 {
                vec![0.9, 0.2, 0.1]
            } else {
                vec![0.1, 0.2, 0.9]
            }
        });
        Rows::new(features, rewards.collect(), page_in, slots).unwrap()
    }

    #[test]
    fn the_yardstick_pays_for_what_its_set_lacks() {
        assert_eq!(rows(0.1, 2).yardstick, [0.9; 8]);
        let one = rows(0.1, 1).yardstick;
        assert!(
            (one.iter().sum::<f64>() - 4.0 * 0.9 - 4.0 * 0.8).abs() < 1e-9,
            "{one:?}"
        );
    }

    #[test]
    fn rows_of_different_shapes_are_refused() {
        let said = |f: Vec<Vec<f32>>, r: Vec<Vec<f64>>| Rows::new(f, r, 0.1, 1).unwrap_err().to_string();
        assert!(said(vec![vec![1.0]], vec![]).starts_with("1 rows of features and 0 of qualities"));
        assert!(said(vec![vec![1.0], vec![]], vec![vec![0.5]; 2]).contains("of one length"));
        assert!(said(vec![vec![1.0]], vec![vec![1.5]]).contains("from 0 to 1"));
    }

    #[test]
    fn everybody_sees_the_same_requests_and_all_find_what_is_easy() {
        let rows = rows(0.2, 2);
        let polar = Policy::Polar(PolarConfig::default());
        for policy in [
            polar,
            Policy::StaticTop { after: 200 },
            Policy::LruGreedy,
            Policy::LruBlind,
            Policy::LfuBlind,
        ] {
            let found = play(&rows, &policy, 2_000, 1).unwrap();
            assert_eq!(found, play(&rows, &policy, 2_000, 1).unwrap());
            assert!(
                found.net > 0.75 && found.net <= found.quality,
                "{policy:?} {found:?}"
            );
        }
        assert!(play(&rows, &Policy::Random, 2_000, 1).unwrap().net < 0.4);
    }
}
