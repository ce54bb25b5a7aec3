//! One pool in a replay: a fleet that routes, GPUs that serve, and who waits for a slot.

use std::collections::VecDeque;

use fingerpost_core::{CandidateId, Catalogue, Context, Limits, Profile, Timestamp, TokenCount};
use rand::{SeedableRng, rngs::SmallRng};

use super::{Asked, PoolReplay};
use crate::{
    CacheModel, Call, Fleet, FleetPolicy, InstanceQuery, TokenTime,
    planner::{
        gpu::{Ended, Gpus},
        pool::Pool,
        trace::BLOCK_TOKENS,
    },
};

/// What a caller must hear of.
pub(super) enum Step {
    /// This request's first token is there.
    First(usize),
}

/// A pool at work.
pub(super) struct PoolRun<'a> {
    pool: &'a Pool<'a>,
    gpus: Gpus,
    caches: Vec<CacheModel>,
    lines: Vec<VecDeque<usize>>,
    fleet: Fleet,
    catalogue: Catalogue,
    ids: Vec<CandidateId>,
    rng: SmallRng,
    calls: Vec<Option<Call>>,
    cached: Vec<u32>,
    /// Iterations of all that started, and prompt tokens computed.
    iterations: f64,
    prompt: f64,
    started: usize,
    first_s: f64,
    last_s: f64,
}

// === impl PoolRun ===

impl<'a> PoolRun<'a> {
    pub(super) fn new(pool: &'a Pool<'a>, policy: &FleetPolicy, gpus: u32, seed: u64) -> Self {
        let gpus = gpus.max(1);
        let names = (0..gpus).map(|i| Profile::named(format!("{seed}/{i}")));
        // Names differ, so that there is a catalogue.
        let catalogue = Catalogue::new(names).unwrap_or_default();
        let blocks = pool.gpu.cached_tokens / u64::from(BLOCK_TOKENS.get());
        let blocks = usize::try_from(blocks).unwrap_or(usize::MAX);
        Self {
            fleet: Fleet::new(&informed(policy, pool), "planned", &catalogue),
            ids: catalogue.ids(),
            catalogue,
            gpus: Gpus::new(gpus),
            caches: (0..gpus).map(|_| CacheModel::new(blocks)).collect(),
            lines: (0..gpus).map(|_| VecDeque::new()).collect(),
            rng: SmallRng::seed_from_u64(seed),
            calls: Vec::new(),
            cached: Vec::new(),
            iterations: 0.0,
            prompt: 0.0,
            started: 0,
            first_s: f64::INFINITY,
            last_s: 0.0,
            pool,
        }
    }

    /// When something next happens here.
    pub(super) fn next_s(&mut self) -> Option<f64> {
        self.gpus.next_s()
    }

    /// A request comes; `asked` holds it at `ticket`.
    pub(super) fn arrive(&mut self, now: f64, ticket: usize, asked: &[Asked]) {
        (self.first_s, self.last_s) = (self.first_s.min(now), self.last_s.max(now));
        let request = &asked[ticket];
        let query = InstanceQuery {
            tokens: TokenCount(request.shape.input),
            prefix: request.prefix.clone(),
        };
        let (limits, at) = (Limits::NONE, moment(now));
        let mut cx = Context::new(&self.catalogue, &limits, at, &mut self.rng);
        // Nobody is ever out of service here, so somebody is always picked.
        let Ok(decision) = self.fleet.router().route(&query, &self.ids, &mut cx) else {
            return;
        };
        let to = decision.first().id;
        if let Some(candidate) = self.catalogue.get(to) {
            candidate.live.begin();
        }
        if self.calls.len() <= ticket {
            self.calls.resize_with(ticket + 1, || None);
            self.cached.resize(ticket + 1, 0);
        }
        self.calls[ticket] = self.fleet.sent(to, &query, at, at);
        let gpu = to.0 as usize;
        if self.gpus.all[gpu].busy < self.pool.slots {
            self.start(gpu, now, ticket, asked);
        } else {
            self.lines[gpu].push_back(ticket);
        }
    }

    /// Lets the next thing happen.
    pub(super) fn happen(&mut self, asked: &[Asked]) -> Option<Step> {
        let now = self.gpus.next_s()?;
        match self.gpus.happen(self.pool)? {
            (gpu, Ended::Prefill(ticket)) => {
                if let Some(prefix) = &asked[ticket].prefix {
                    self.caches[gpu].completed(prefix);
                }
                if let Some(call) = self.calls[ticket].as_mut() {
                    self.fleet.first_token(call, moment(now));
                }
                Some(Step::First(ticket))
            }
            (gpu, Ended::Request(ticket)) => {
                if let Some(call) = self.calls[ticket].take() {
                    if let Some(candidate) = self.catalogue.get(call.to()) {
                        candidate.live.end();
                    }
                    self.fleet.ended(call);
                }
                if let Some(next) = self.lines[gpu].pop_front() {
                    self.start(gpu, now, next, asked);
                }
                None
            }
        }
    }

    /// Prompt tokens of a request that were cached.
    pub(super) fn cached(&self, ticket: usize) -> u32 {
        self.cached.get(ticket).copied().unwrap_or(0)
    }

    /// What it was like, with the time of all but one in a hundred.
    pub(super) fn told(&self, name: &str, ttft_p99_s: f64) -> PoolReplay {
        let (gpu, slots) = (self.pool.gpu, f64::from(self.pool.slots));
        let gpus = self.gpus.all.len() as f64;
        let busy_s: f64 = self.gpus.all.iter().map(|g| g.busy_s).sum();
        // Until the last request came: beyond, the pool only empties.
        let span = (self.last_s - self.first_s).max(f64::MIN_POSITIVE);
        let busy = (busy_s / span / gpus).min(slots);
        let n = self.started.max(1) as f64;
        let (iterations, prompt) = (self.iterations / n, self.prompt / n);
        let full_s =
            gpu.iteration_s(slots, self.pool.context) + gpu.prefill_s(slots * prompt / iterations.max(1.0));
        let full_pace = slots / (iterations * full_s).max(f64::MIN_POSITIVE);
        PoolReplay {
            name: name.to_owned(),
            gpus: u32::try_from(self.gpus.all.len()).unwrap_or(u32::MAX),
            utilisation: (n - 1.0) / span / (full_pace * gpus),
            busy_slots: busy,
            ttft_p99_ms: 1e3 * ttft_p99_s,
            watts: gpus * (gpu.idle_watts + busy / slots * (gpu.busy_watts - gpu.idle_watts).max(0.0)),
        }
    }

    fn start(&mut self, gpu: usize, now: f64, ticket: usize, asked: &[Asked]) {
        let request = &asked[ticket];
        let mut shape = request.shape;
        if let Some(prefix) = &request.prefix {
            shape.cached = self.caches[gpu].matched_tokens(prefix, shape.input);
        }
        self.cached[ticket] = shape.cached;
        self.started += 1;
        self.prompt += f64::from(shape.missing());
        self.iterations += f64::from(self.pool.gpu.prefill(shape.missing())) + f64::from(shape.output);
        let tokens = [shape.missing(), shape.output];
        self.gpus.start(self.pool, gpu, now, ticket, tokens);
    }
}

/// A policy with what is known of a pool, without a queue of its own.
fn informed(policy: &FleetPolicy, pool: &Pool<'_>) -> FleetPolicy {
    let gpu = pool.gpu;
    let mut policy = policy.clone();
    if let Some(state) = policy.state_mut() {
        state.block_tokens = BLOCK_TOKENS;
        state.cached_tokens = gpu.cached_tokens;
    }
    // A chunk takes an iteration.
    let chunk = f64::from(gpu.chunk_tokens.min(1 << 20));
    let a_token = gpu.iteration_s(1.0, pool.context) / chunk + gpu.prefill_s(1.0);
    let time = TokenTime::new(a_token).unwrap_or_default();
    match &mut policy {
        FleetPolicy::MinTtft(config) => config.seconds_per_token = time,
        FleetPolicy::DualMap(config) => {
            config.seconds_per_token = time;
            config.queue = None;
        }
        _ => {}
    }
    policy
}

fn moment(seconds: f64) -> Timestamp {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates"
    )]
    let micros = (seconds * 1e6) as u64;
    Timestamp::from_micros(micros)
}
