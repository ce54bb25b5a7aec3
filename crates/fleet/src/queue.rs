//! Requests held back in front of their instances: their order, when they are sent, and how hot spots are evened out.
//!
//! A request that was sent cannot be moved, so few are: an instance gets the next one when it has computed what it has. What waits is
//! ordered: who can still be in time, then short work first (what is cached most), urgent requests before it. When an instance has more before it than the
//! objective allows, requests move to the other instance that their prefix belongs to, those first that gain most by it (card 53, steps 5 to 7).
//!
//! Bounds that the paper does not have: only the newest waiters are looked at for a move, and only so many moves are made at once, or a deep
//! overload would spend its time on its queues.

mod line;
mod relief;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use fingerpost_core::{CandidateId, Decision, Timestamp};
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::line::{Line, Rank, Waiter};
use crate::{Instance, InstanceQuery, Instances, TokenTime, policy::Holding};

/// First tokens whose 99th percentile tells what is urgent.
const OBSERVED: usize = 256;

/// Who goes first among those that wait for one instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueueOrder {
    /// Urgent ones, then those with more of their prompt cached, then who came first.
    CachedFirst,
    /// Those who can still be in time, who came first before the others; behind them the rest, as in `cached_first`. What comes too
    /// late in any case then makes nobody else late.
    #[default]
    InTime,
    /// Who came first.
    Arrival,
}

/// How requests wait for their instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueueConfig {
    /// Who goes first: `in_time`, `cached_first` or `arrival`. Default `in_time`.
    pub order: QueueOrder,
    /// Most requests of this router at an instance whose first token has not come; at least 1. Default 1.
    pub pending: u32,
    /// Requests that together have no more tokens to compute than this are sent together, however many they are: servers compute short prompts
    /// in one step. Default 512.
    pub batch_tokens: u32,
    /// An instance counts as busy, and gets more than one, only while its last first token is no older than this. Default `2s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub busy: Duration,
    /// Whether requests move from hot spots to their other candidate. Default true.
    pub rebalance: bool,
    /// Whether they may also move to a neighbour that is neither of their two candidates. Default false.
    pub neighbours: bool,
    /// Waiting longer than this makes an instance a hot spot, and no target. Default `3s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub longest_wait: Duration,
    /// Newest waiters that are looked at for a move. Default 64.
    pub looked_at: usize,
    /// Most moves from one instance at once. Default 16.
    pub moves: usize,
    /// How often hot spots are looked for. Default `500ms`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub scan_every: Duration,
    /// Longest that a request waits; then its client is told to come back. Default: as long as the request may take.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>")]
    pub max_wait: Option<Duration>,
}

/// The queues of one router, one an instance. Whoever sends requests drives it; see [`Fleet`](crate::Fleet).
#[derive(Debug)]
pub struct Queues {
    config: QueueConfig,
    slo_s: f64,
    urgent_s: f64,
    token_time: TokenTime,
    instances: Arc<Instances>,
    lines: Vec<Line>,
    /// Where each ticket waits.
    places: FxHashMap<u64, (usize, Rank)>,
    arrivals: u64,
    observed: Observed,
    /// Lines that may have something to send.
    touched: Vec<usize>,
    moved: u64,
}

/// A request that is to be sent now.
#[derive(Debug)]
pub struct Next {
    /// What it was held under.
    pub ticket: u64,
    /// Where it goes.
    pub to: CandidateId,
    /// The request.
    pub query: InstanceQuery,
    /// When it came.
    pub since: Timestamp,
    /// Whether that is another instance than it was routed to.
    pub moved: bool,
}

/// The latest times to first token, in seconds.
#[derive(Debug, Default)]
struct Observed {
    latest: VecDeque<f32>,
    p99: Option<f32>,
}

// === impl QueueConfig ===

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            order: QueueOrder::InTime,
            pending: 1,
            batch_tokens: 512,
            busy: Duration::from_secs(2),
            rebalance: true,
            neighbours: false,
            longest_wait: Duration::from_secs(3),
            looked_at: 64,
            moves: 16,
            scan_every: Duration::from_millis(500),
            max_wait: None,
        }
    }
}

// === impl Queues ===

impl Queues {
    pub(crate) fn new(holding: Holding, instances: Arc<Instances>) -> Self {
        Self {
            config: holding.queue,
            slo_s: holding.slo_s,
            urgent_s: holding.urgent_s,
            token_time: holding.token_time,
            lines: instances.iter().map(|_| Line::default()).collect(),
            instances,
            places: FxHashMap::default(),
            arrivals: 0,
            observed: Observed::default(),
            touched: Vec::new(),
            moved: 0,
        }
    }

    /// How it is set.
    pub fn config(&self) -> &QueueConfig {
        &self.config
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many requests have been moved since the start.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Seconds that so many tokens take to compute.
    pub fn seconds(&self, tokens: u64) -> f64 {
        self.token_time.of(tokens)
    }

    /// Holds a request back that came at `since`, for the first pick of `decision`; the second is where it may move. A ticket is the caller's
    /// own name for the request and must not wait already. Returns whether it is held: not for an instance that is unknown.
    pub fn hold(
        &mut self,
        ticket: u64,
        query: InstanceQuery,
        decision: &Decision,
        since: Timestamp,
        now: Timestamp,
    ) -> bool {
        let home = decision.first().id;
        let at = home.0 as usize;
        let Some(instance) = self.instances.get(home) else {
            return false;
        };
        let missing = instance.missing(query.prefix.as_ref(), query.tokens.0);
        let ttft_s = self.token_time.of(instance.own_backlog() + u64::from(missing));
        self.arrivals += 1;
        let waiter = Waiter {
            ticket,
            other: decision.picks.get(1).map(|p| p.id),
            is_urgent: ttft_s > self.observed.p99.map_or(self.urgent_s, f64::from),
            missing,
            since,
            arrival: self.arrivals,
            moved: false,
            query,
        };
        self.insert(at, waiter);
        let other = decision.picks.get(1).map(|p| p.id.0 as usize);
        if self.config.rebalance && other.is_some_and(|other| self.is_hot(other, now)) && self.is_hot(at, now)
        {
            self.relieve(at, now);
        }
        true
    }

    /// The next request to send, if any is due. To be asked until there is none after each [`hold`](Self::hold), first token, end and
    /// [`rebalance`](Self::rebalance), and each request sent before the next is asked for.
    pub fn next(&mut self, now: Timestamp) -> Option<Next> {
        while let Some(&at) = self.touched.last() {
            if let Some(next) = self.from(at, now) {
                return Some(next);
            }
            self.touched.pop();
            self.lines[at].is_touched = false;
        }
        None
    }

    /// A first token came from `from` after `ttft` since the request came.
    pub fn computed(&mut self, from: CandidateId, ttft: Duration) {
        self.observed.add(ttft.as_secs_f32());
        self.touch(from.0 as usize);
    }

    /// `at` may have room again.
    pub fn freed(&mut self, at: CandidateId) {
        self.touch(at.0 as usize);
    }

    /// Looks for hot spots and relieves them. Returns how many requests moved.
    pub fn rebalance(&mut self, now: Timestamp) -> usize {
        self.touch_all();
        if !self.config.rebalance {
            return 0;
        }
        (0..self.lines.len())
            .map(|at| {
                if self.is_hot(at, now) {
                    self.relieve(at, now)
                } else {
                    0
                }
            })
            .sum()
    }

    /// Any line may have something to send.
    pub fn touch_all(&mut self) {
        for at in 0..self.lines.len() {
            if !self.lines[at].is_empty() {
                self.touch(at);
            }
        }
    }

    /// The request of `ticket` is no longer wanted. Returns whether it waited.
    pub fn cancel(&mut self, ticket: u64) -> bool {
        match self.places.get(&ticket) {
            Some(&(at, rank)) => self.remove(at, &rank).is_some(),
            None => false,
        }
    }

    /// Nothing is sent to `id` any more. Returns the tickets that waited for it, in their order, to be routed anew.
    pub fn close(&mut self, id: CandidateId) -> Vec<u64> {
        let at = id.0 as usize;
        let Some(line) = self.lines.get_mut(at) else {
            return Vec::new();
        };
        line.is_closed = true;
        let ranks: Vec<Rank> = line.ranks().collect();
        let removed = ranks.iter().filter_map(|rank| self.remove(at, rank));
        removed.map(|waiter| waiter.ticket).collect()
    }

    /// `id` takes requests again.
    pub fn open(&mut self, id: CandidateId) {
        if let Some(line) = self.lines.get_mut(id.0 as usize) {
            line.is_closed = false;
        }
        self.touch(id.0 as usize);
    }

    fn from(&mut self, at: usize, now: Timestamp) -> Option<Next> {
        let line = self.lines.get(at).filter(|line| !line.is_closed)?;
        let (rank, waiter) = self.in_time(line, now).or_else(|| line.first())?;
        let id = CandidateId(u32::try_from(at).ok()?);
        let instance = self.instances.get(id)?;
        let pending = instance.pending_calls();
        let tokens = instance.pending() + u64::from(waiter.missing);
        if pending > 0 && tokens > u64::from(self.config.batch_tokens) {
            let is_busy = instance
                .last_prefill()
                .is_some_and(|last| now.since(last) <= self.config.busy);
            if pending >= self.config.pending || !is_busy || tokens > self.token_time.tokens(self.slo_s) {
                return None;
            }
        }
        let waiter = self.remove(at, &rank)?;
        Some(Next {
            ticket: waiter.ticket,
            to: id,
            query: waiter.query,
            since: waiter.since,
            moved: waiter.moved,
        })
    }

    /// Who came first of those who can still be in time, where that is the order.
    fn in_time<'l>(&self, line: &'l Line, now: Timestamp) -> Option<(Rank, &'l Waiter)> {
        if self.config.order != QueueOrder::InTime {
            return None;
        }
        let keeps = |waiter: &Waiter| {
            let wait = now.since(waiter.since).as_secs_f64();
            wait + self.token_time.of(waiter.missing.into()) <= self.slo_s
        };
        line.since(before(now, self.slo_s))
            .take(self.config.looked_at)
            .find(|(_, waiter)| keeps(waiter))
    }

    fn insert(&mut self, at: usize, waiter: Waiter) {
        if let Some(instance) = self.instance(at) {
            instance.queued(waiter.missing);
        }
        let rank = self.rank(&waiter, waiter.missing);
        self.places.insert(waiter.ticket, (at, rank));
        self.lines[at].insert(rank, waiter);
        self.touch(at);
    }

    fn remove(&mut self, at: usize, rank: &Rank) -> Option<Waiter> {
        let waiter = self.lines.get_mut(at)?.remove(rank)?;
        self.places.remove(&waiter.ticket);
        if let Some(instance) = self.instance(at) {
            instance.unqueued(waiter.missing);
        }
        Some(waiter)
    }

    /// The place of `waiter` in a line where `missing` of its tokens are to be computed.
    fn rank(&self, waiter: &Waiter, missing: u32) -> Rank {
        match self.config.order {
            QueueOrder::CachedFirst | QueueOrder::InTime => Rank::cached_first(waiter, missing),
            QueueOrder::Arrival => Rank::arrival(waiter),
        }
    }

    fn touch(&mut self, at: usize) {
        if let Some(line) = self.lines.get_mut(at).filter(|line| !line.is_touched) {
            line.is_touched = true;
            self.touched.push(at);
        }
    }

    fn instance(&self, at: usize) -> Option<&Arc<Instance>> {
        self.instances.get(CandidateId(u32::try_from(at).ok()?))
    }
}

/// `seconds` before `at`.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates"
)]
fn before(at: Timestamp, seconds: f64) -> Timestamp {
    Timestamp::from_micros(at.micros().saturating_sub((seconds * 1e6) as u64))
}

// === impl Observed ===

impl Observed {
    fn add(&mut self, ttft_s: f32) {
        if self.latest.len() == OBSERVED {
            self.latest.pop_front();
        }
        self.latest.push_back(ttft_s);
        // Fewer than these tell nothing of a 99th percentile.
        if self.latest.len() == OBSERVED {
            let mut sorted: Vec<f32> = self.latest.iter().copied().collect();
            let (_, p99, _) = sorted.select_nth_unstable_by(OBSERVED * 99 / 100, f32::total_cmp);
            self.p99 = Some(*p99);
        }
    }
}

#[cfg(test)]
mod tests;
