//! One run: events in order of time, from the first arrival until every request has its first token or has failed.

use std::{cmp::Reverse, collections::BinaryHeap};

use fingerpost_core::{CandidateId, Timestamp};
use rand::{SeedableRng, rngs::SmallRng};
use serde::Serialize;

use super::{
    Setting, SimulateError, Trace, micros,
    routers::{Placed, RouterAt, informed},
    seconds,
    servers::Server,
};
use crate::{Call, FleetPolicy};

/// How often a request is tried elsewhere after its instance failed.
const TRIES: u8 = 5;

/// What came out of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Requests that were counted.
    pub requests: usize,
    /// Share of them whose first token came within the objective.
    pub within_slo: f64,
    /// Share of their prompt tokens that were cached.
    pub hit_ratio: f64,
    /// Half of the first tokens came within this many seconds; infinite (null) where half failed.
    pub ttft_p50: f64,
    /// Nine tenths did within this.
    pub ttft_p90: f64,
    /// 99 of 100 did within this.
    pub ttft_p99: f64,
    /// Prompts of the instance that got most of them, over the mean.
    pub max_over_mean: f64,
    /// Requests that moved between queues.
    pub moved: u64,
    /// Requests that nobody could take, or whose instance failed before their first token, too often.
    pub failed: usize,
    /// Answers that broke off.
    pub broken: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// An instance, in its nth life, has computed a prompt.
    Computed {
        server: usize,
        life: u32,
    },
    /// An answer is over.
    Answered {
        server: usize,
        life: u32,
        request: usize,
    },
    Fails(usize),
    Recovers(usize),
    Restart,
    Look,
    Scan,
}

struct Run<'a> {
    trace: &'a Trace,
    setting: &'a Setting,
    policy: FleetPolicy,
    arrivals: Vec<u64>,
    routers: Vec<RouterAt>,
    servers: Vec<Server>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    count: u64,
    calls: Vec<Option<Call>>,
    tries: Vec<u8>,
    /// Seconds to the first token; NaN until it is there, infinite for one that failed.
    ttft: Vec<f32>,
    cached: Vec<u32>,
    routed: Vec<u32>,
    open: usize,
    late: usize,
    broken: usize,
    moved: u64,
}

/// Runs `trace` over a fleet under `policy`. Once more than `most_late` requests are too late it may stop, and what it says then is of the
/// requests until then; `usize::MAX` runs to the end.
///
/// # Errors
/// [`SimulateError`] where the setting makes no sense.
pub fn run(
    trace: &Trace,
    policy: &FleetPolicy,
    setting: &Setting,
    most_late: usize,
) -> Result<Summary, SimulateError> {
    let count = trace.requests.len();
    setting.check(count)?;
    let policy = informed(policy, setting, trace.block_tokens);
    let routers: Result<Vec<RouterAt>, _> = (0..setting.routers)
        .map(|at| RouterAt::new(&policy, setting, at))
        .collect();
    let server = |_| Server::new(setting, trace.block_tokens.get());
    let mut run = Run {
        arrivals: trace.arrivals(setting.qps, &mut SmallRng::seed_from_u64(setting.seed)),
        routers: routers.map_err(|_| SimulateError::Nobody)?,
        servers: (0..setting.instances).map(server).collect(),
        events: BinaryHeap::new(),
        count: 0,
        calls: (0..count).map(|_| None).collect(),
        tries: vec![0; count],
        ttft: vec![f32::NAN; count],
        cached: vec![0; count],
        routed: vec![0; setting.instances],
        open: count,
        late: 0,
        broken: 0,
        moved: 0,
        trace,
        setting,
        policy,
    };
    run.all(most_late);
    Ok(run.summary())
}

// === impl Run ===

impl Run<'_> {
    fn all(&mut self, most_late: usize) {
        for outage in &self.setting.outages {
            self.push(micros(outage.from_s), Event::Fails(outage.instance));
            self.push(micros(outage.until_s), Event::Recovers(outage.instance));
        }
        for at in &self.setting.restarts {
            self.push(micros(*at), Event::Restart);
        }
        if self.setting.stale_s > 0.0 {
            self.push(0, Event::Look);
        }
        if self.scan_every().is_some() {
            self.push(0, Event::Scan);
        }
        let mut arrived = 0;
        while self.open > 0 && self.late <= most_late {
            let next = self.events.peek().map(|Reverse((at, ..))| *at);
            match self.arrivals.get(arrived) {
                Some(&at) if next.is_none_or(|next| at < next) => {
                    self.arrives(arrived, at);
                    arrived += 1;
                }
                _ => match self.events.pop() {
                    Some(Reverse((now, _, event))) => self.happens(event, now),
                    None => break,
                },
            }
        }
    }

    fn push(&mut self, at: u64, event: Event) {
        self.count += 1;
        self.events.push(Reverse((at, self.count, event)));
    }

    fn router_of(&self, request: usize) -> usize {
        request % self.routers.len()
    }

    fn arrives(&mut self, request: usize, now: u64) {
        // Nothing stale, but several routers: each sees at every decision what all have done.
        if !self.setting.sees_all() && self.setting.stale_s <= 0.0 {
            self.look(now);
        }
        self.place(request, now);
    }

    fn place(&mut self, request: usize, now: u64) {
        let router = self.router_of(request);
        let (about, since) = (&self.trace.requests[request], self.arrivals[request]);
        match self.routers[router].place(request, about, since, now) {
            Placed::Sent(call) => self.deliver(request, call, now),
            Placed::Held => self.due(router, now),
            Placed::Nowhere => self.fails(request),
        }
    }

    /// Sends what a router has held back, as far as it is due.
    fn due(&mut self, router: usize, now: u64) {
        while let Some(due) = self.routers[router].fleet.next(Timestamp::from_micros(now)) {
            let request = usize::try_from(due.ticket).unwrap_or(usize::MAX);
            self.deliver(request, due.call, now);
        }
    }

    fn deliver(&mut self, request: usize, call: Call, now: u64) {
        let (to, router) = (call.to(), self.router_of(request));
        let at = to.0 as usize;
        if !self.servers[at].is_up() {
            self.routers[router].fleet.ended(call);
            self.misses(router, to, now);
            self.again(request, now);
            return;
        }
        if self.setting.sees_all() {
            self.routers[router].count(to, true);
        }
        self.calls[request] = Some(call);
        self.routed[at] += 1;
        self.servers[at].take(request);
        self.begin(at, now);
    }

    fn begin(&mut self, at: usize, now: u64) {
        let server = &mut self.servers[at];
        if let Some(begun) = server.begin(&self.trace.requests, self.setting) {
            let life = server.life;
            self.cached[begun.request] = begun.cached;
            self.push(now + begun.takes, Event::Computed { server: at, life });
        }
    }

    fn happens(&mut self, event: Event, now: u64) {
        match event {
            Event::Computed { server, life } if life == self.servers[server].life => {
                self.computed(server, now);
            }
            Event::Answered {
                server,
                life,
                request,
            } if life == self.servers[server].life => {
                self.servers[server].answered(request);
                self.ended(request);
            }
            Event::Computed { .. } | Event::Answered { .. } => {}
            Event::Fails(server) => self.breaks(server, now),
            Event::Recovers(server) => {
                self.servers[server].recover();
                let id = CandidateId(u32::try_from(server).unwrap_or(u32::MAX));
                self.routers.iter_mut().for_each(|r| r.back(id));
            }
            Event::Restart => self.restart(now),
            Event::Look => {
                self.look(now);
                self.push(now + micros(self.setting.stale_s).max(1), Event::Look);
            }
            Event::Scan => {
                for router in 0..self.routers.len() {
                    self.routers[router].fleet.rebalance(Timestamp::from_micros(now));
                    self.due(router, now);
                }
                if let Some(every) = self.scan_every() {
                    self.push(now + every, Event::Scan);
                }
            }
        }
    }

    fn computed(&mut self, server: usize, now: u64) {
        if let Some(request) = self.servers[server].computed(&self.trace.requests) {
            let router = self.router_of(request);
            if let Some(call) = &mut self.calls[request] {
                self.routers[router]
                    .fleet
                    .first_token(call, Timestamp::from_micros(now));
            }
            let output = f64::from(self.trace.requests[request].output);
            let takes = micros(output * self.setting.seconds_per_output);
            let life = self.servers[server].life;
            self.push(
                now + takes,
                Event::Answered {
                    server,
                    life,
                    request,
                },
            );
            self.counts(request, seconds(now - self.arrivals[request]));
            self.due(router, now);
        }
        self.begin(server, now);
    }

    fn ended(&mut self, request: usize) {
        let router = self.router_of(request);
        if let Some(call) = self.calls[request].take() {
            if self.setting.sees_all() {
                self.routers[router].count(call.to(), false);
            }
            self.routers[router].fleet.ended(call);
        }
    }

    /// An instance fails with all it has: prompts are tried elsewhere, answers have broken off.
    fn breaks(&mut self, server: usize, now: u64) {
        let id = CandidateId(u32::try_from(server).unwrap_or(u32::MAX));
        let (prompts, answers) = self.servers[server].fail();
        self.broken += answers.len();
        answers.into_iter().for_each(|request| self.ended(request));
        for request in &prompts {
            self.ended(*request);
            self.misses(self.router_of(*request), id, now);
        }
        prompts.into_iter().for_each(|request| self.again(request, now));
    }

    /// A router has seen that an instance does not answer.
    fn misses(&mut self, router: usize, id: CandidateId, now: u64) {
        for ticket in self.routers[router].lost(id) {
            self.place(usize::try_from(ticket).unwrap_or(usize::MAX), now);
        }
    }

    fn again(&mut self, request: usize, now: u64) {
        self.tries[request] += 1;
        if self.tries[request] < TRIES {
            self.place(request, now);
        } else {
            self.fails(request);
        }
    }

    /// Every router forgets all; those that waited in it are asked about anew. Calls under way are heard of no more.
    fn restart(&mut self, now: u64) {
        for router in 0..self.routers.len() {
            let instances = u32::try_from(self.setting.instances).unwrap_or(u32::MAX);
            let held: Vec<u64> = (0..instances)
                .flat_map(|id| self.routers[router].fleet.lost(CandidateId(id)))
                .collect();
            self.moved += self.routers[router].fleet.held_and_moved().1;
            let policy = self.policy.clone();
            self.routers[router].restart(&policy);
            for ticket in held {
                self.place(usize::try_from(ticket).unwrap_or(usize::MAX), now);
            }
        }
    }

    /// Every router is told all loads as they are.
    fn look(&mut self, now: u64) {
        let ids = 0..self.servers.len();
        let backlog = |at: usize| {
            let id = CandidateId(u32::try_from(at).unwrap_or(u32::MAX));
            let of = |r: &RouterAt| r.fleet.instances().get(id).map_or(0, |i| i.own_backlog());
            self.routers.iter().map(of).sum()
        };
        let backlogs: Vec<u64> = ids.map(backlog).collect();
        let calls: Vec<usize> = self.servers.iter().map(Server::in_flight).collect();
        for router in &mut self.routers {
            router.look(
                &backlogs,
                &calls,
                self.setting.lost_reports,
                Timestamp::from_micros(now),
            );
        }
    }

    fn scan_every(&self) -> Option<u64> {
        let every = self.routers.first()?.fleet.scan_every()?;
        Some(u64::try_from(every.as_micros()).unwrap_or(u64::MAX).max(1000))
    }

    fn fails(&mut self, request: usize) {
        self.counts(request, f64::INFINITY);
    }

    fn counts(&mut self, request: usize, ttft_s: f64) {
        self.open -= 1;
        #[allow(clippy::cast_possible_truncation, reason = "seconds need no more digits")]
        let ttft = ttft_s as f32;
        self.ttft[request] = ttft;
        if request >= self.setting.warm_up && ttft_s > self.setting.slo_s {
            self.late += 1;
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn summary(&self) -> Summary {
        let warm_up = self.setting.warm_up;
        let is_done = |at: &usize| !self.ttft[*at].is_nan();
        let counted: Vec<usize> = (warm_up..self.ttft.len()).filter(is_done).collect();
        let mut ttft: Vec<f32> = counted.iter().map(|at| self.ttft[*at]).collect();
        ttft.sort_unstable_by(f32::total_cmp);
        let quantile = |share: f64| {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a length"
            )]
            let at = ((share * ttft.len() as f64).ceil() as usize).max(1) - 1;
            ttft.get(at)
                .map_or(f64::NAN, |t| (f64::from(*t) * 1e6).round() / 1e6)
        };
        let served = || counted.iter().filter(|at| self.ttft[**at].is_finite());
        let sum = |of: &dyn Fn(usize) -> u32| served().map(|at| u64::from(of(*at))).sum::<u64>() as f64;
        let most = self.routed.iter().copied().max().unwrap_or(0);
        let mean = self.routed.iter().map(|n| f64::from(*n)).sum::<f64>() / self.routed.len() as f64;
        let moved: u64 = self.routers.iter().map(|r| r.fleet.held_and_moved().1).sum();
        Summary {
            requests: counted.len(),
            within_slo: (counted.len() - self.late) as f64 / counted.len().max(1) as f64,
            hit_ratio: sum(&|at| self.cached[at]) / sum(&|at| self.trace.requests[at].input).max(1.0),
            ttft_p50: quantile(0.5),
            ttft_p90: quantile(0.9),
            ttft_p99: quantile(0.99),
            max_over_mean: f64::from(most) / mean.max(1.0),
            moved: self.moved + moved,
            failed: self.ttft.iter().filter(|t| t.is_infinite()).count(),
            broken: self.broken,
        }
    }
}
