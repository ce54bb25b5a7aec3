//! The check of a plan with the routing policy in the loop: the very [`Fleet`] that serves, over GPUs as events.
//!
//! Requests come at a log's own times (stretched to a rate) with its lengths and beginnings. Each pool has a fleet; what it routes to a
//! GPU takes a slot there or waits for one, first come first served. A GPU computes what of the prompt its own cache does not hold, and
//! keeps it when it is done. Requests are sent at once, as the gateway does: a policy's own queue stays out. Loads are always known. The
//! pool of a request follows from its true length, which a gateway has to estimate ([`TokenBudget`](super::TokenBudget)).

mod pool;
mod stream;

use std::collections::{BTreeSet, VecDeque};

use serde::Serialize;

use self::pool::{PoolRun, Step};
pub use self::stream::{Asked, Stream};
use super::{
    GpuProfile, PlanError, Shape, Topology,
    check::quantile,
    pool::Pool,
    sizing::{decoded, decoding, prefilled, prefilling},
};
use crate::FleetPolicy;

/// Share of the requests that come before anything is measured: pools and caches begin empty.
const WARM_UP: f64 = 0.1;

/// What became of one pool.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PoolReplay {
    /// What it is for.
    pub name: String,
    /// GPUs.
    pub gpus: u32,
    /// Share of the full pace that was asked for.
    pub utilisation: f64,
    /// Busy slots of one GPU, on average over time.
    pub busy_slots: f64,
    /// Time to first token of all but one in a hundred, milliseconds; of the part that this pool has in it.
    pub ttft_p99_ms: f64,
    /// Watts.
    pub watts: f64,
}

/// What became of all requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replay {
    /// Requests measured.
    pub requests: usize,
    /// Time to first token of one in two, milliseconds.
    pub ttft_p50_ms: f64,
    /// Time to first token of all but one in a hundred, milliseconds.
    pub ttft_p99_ms: f64,
    /// Share of them that waited longer than they had patience for, and asked again; 0 where all are patient.
    pub asked_again: f64,
    /// Share of prompt tokens that were cached.
    pub hit_ratio: f64,
    /// Output tokens per joule.
    pub tokens_per_joule: f64,
    /// The pools.
    pub pools: Vec<PoolReplay>,
}

/// Plays a stream against the pools of a plan, with so many GPUs each, under a policy. Those who have waited `patience_s` for a first
/// token ask once more, and both are served; `None`: nobody does.
///
/// # Errors
/// [`PlanError`] where a pool holds no context of its window, or there are no requests.
pub fn replay(
    stream: &Stream,
    gpu: &GpuProfile,
    topology: Topology,
    policy: &FleetPolicy,
    gpus: &[u32],
    patience_s: Option<f64>,
    seed: u64,
) -> Result<Replay, PlanError> {
    let parts = stream.divided(topology);
    let used = parts.iter().filter(|(_, asked)| !asked.is_empty());
    let mut replays = Vec::new();
    for ((name, asked), count) in used.zip(gpus) {
        let part = Part {
            name,
            asked,
            policy,
            patience_s,
            seed,
        };
        replays.push(match topology {
            Topology::Disaggregated {
                transfer_ms_per_token,
            } => {
                let decode = gpus.get(1).copied().unwrap_or(1);
                part.apart(gpu, [*count, decode], transfer_ms_per_token / 1e3)?
            }
            _ => part.together(gpu, *count)?,
        });
    }
    let mut all: Vec<Outcome> = Vec::new();
    let mut pools = Vec::new();
    for (outcomes, of) in replays {
        all.extend(outcomes);
        pools.extend(of);
    }
    if all.is_empty() {
        return Err(PlanError::NoRequests);
    }
    let ttft = ascending(all.iter().map(|o| o.ttft_s));
    let sum = |of: fn(&Outcome) -> f64| all.iter().map(of).sum::<f64>();
    let watts: f64 = pools.iter().map(|p| p.watts).sum();
    Ok(Replay {
        requests: all.len(),
        ttft_p50_ms: 1e3 * quantile(&ttft, 0.5),
        ttft_p99_ms: 1e3 * quantile(&ttft, 0.99),
        asked_again: sum(|o| f64::from(u8::from(o.asked_again))) / all.len() as f64,
        hit_ratio: sum(|o| f64::from(o.cached)) / sum(|o| f64::from(o.input)).max(1.0),
        tokens_per_joule: stream.output_rate() / watts.max(f64::MIN_POSITIVE),
        pools,
    })
}

/// Of one request.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    ttft_s: f64,
    input: u32,
    cached: u32,
    asked_again: bool,
}

/// The requests of one pool, or of prefill and decode together.
struct Part<'a> {
    name: &'a str,
    asked: &'a [Asked],
    policy: &'a FleetPolicy,
    patience_s: Option<f64>,
    seed: u64,
}

type Played = (Vec<Outcome>, Vec<PoolReplay>);

// === impl Part ===

impl Part<'_> {
    /// Prompt and answer on one GPU.
    fn together(&self, gpu: &GpuProfile, count: u32) -> Result<Played, PlanError> {
        let pool = self.pool(self.name, gpu, |s| *s)?;
        let mut run = PoolRun::new(&pool, self.policy, count, self.seed);
        let mut asked: Vec<Asked> = self.asked.to_vec();
        let mut first: Vec<Option<f64>> = vec![None; asked.len()];
        let mut again = vec![false; asked.len()];
        // Who loses patience when, in order, since all have the same.
        let mut impatient = VecDeque::new();
        let mut next = 0;
        loop {
            let arrival = asked.get(next).filter(|_| next < self.asked.len());
            let arrival = arrival.map(|a| a.arrival_s);
            let patience = impatient.front().map(|(at, _)| *at);
            let soonest = [arrival, patience]
                .into_iter()
                .flatten()
                .fold(f64::INFINITY, f64::min);
            if let Some(now) = run.next_s().filter(|at| *at <= soonest) {
                if let Some(Step::First(ticket)) = run.happen(&asked) {
                    first[ticket] = Some(now);
                }
                continue;
            }
            if arrival.is_some_and(|at| at <= soonest) {
                run.arrive(soonest, next, &asked);
                if let Some(patience_s) = self.patience_s {
                    impatient.push_back((soonest + patience_s, next));
                }
                next += 1;
            } else if let Some((now, ticket)) = impatient.pop_front() {
                if first[ticket].is_none() {
                    again[ticket] = true;
                    let more = Asked {
                        arrival_s: now,
                        ..asked[ticket].clone()
                    };
                    asked.push(more);
                    first.push(None);
                    run.arrive(now, asked.len() - 1, &asked);
                }
            } else {
                break;
            }
        }
        let outcomes = self.measured().map(|at| Outcome {
            ttft_s: first[at].map_or(f64::INFINITY, |f| f - asked[at].arrival_s),
            input: asked[at].shape.input,
            cached: run.cached(at),
            asked_again: again[at],
        });
        let outcomes: Vec<Outcome> = outcomes.collect();
        let ttft = ascending(outcomes.iter().map(|o| o.ttft_s));
        let told = run.told(self.name, quantile(&ttft, 0.99));
        Ok((outcomes, vec![told]))
    }

    /// Prompt on one GPU, answer on another; patience counts for nothing here.
    fn apart(
        &self,
        gpu: &GpuProfile,
        [count, decoders]: [u32; 2],
        transfer_s: f64,
    ) -> Result<Played, PlanError> {
        let (alone, fast) = (prefilling(gpu), decoding(gpu));
        let (prefill, decode) = (
            self.pool("prefill", &alone, prefilled)?,
            self.pool("decode", &fast, decoded)?,
        );
        let as_shape = |of: fn(&Shape) -> Shape| -> Vec<Asked> {
            let one = |a: &Asked| Asked {
                shape: of(&a.shape),
                ..a.clone()
            };
            self.asked.iter().map(one).collect()
        };
        let (prompts, mut answers) = (as_shape(prefilled), as_shape(decoded));
        // The context is there whatever the GPU holds.
        answers.iter_mut().for_each(|a| a.prefix = None);
        let mut front = PoolRun::new(&prefill, self.policy, count, self.seed);
        let mut back = PoolRun::new(&decode, self.policy, decoders, self.seed);
        let (mut computed, mut first) = (vec![0.0; prompts.len()], vec![f64::INFINITY; prompts.len()]);
        // Transfers differ in length, so they end in another order than they began.
        let mut moving = BTreeSet::new();
        let mut next = 0;
        loop {
            let arrival = prompts.get(next).map(|a| a.arrival_s);
            let moved = moving.first().map(|(at, _)| f64::from_bits(*at));
            let times = [arrival, moved, front.next_s(), back.next_s()];
            let soonest = times.into_iter().flatten().fold(f64::INFINITY, f64::min);
            if back.next_s() == Some(soonest) {
                if let Some(Step::First(ticket)) = back.happen(&answers) {
                    first[ticket] = soonest;
                }
            } else if front.next_s() == Some(soonest) {
                if let Some(Step::First(ticket)) = front.happen(&prompts) {
                    computed[ticket] = soonest;
                    let there = soonest + transfer_s * f64::from(prompts[ticket].shape.input);
                    // Times are not negative, so their bits are in their order.
                    moving.insert((there.to_bits(), ticket));
                }
            } else if moved == Some(soonest) {
                if let Some((_, ticket)) = moving.pop_first() {
                    back.arrive(soonest, ticket, &answers);
                }
            } else if arrival == Some(soonest) {
                front.arrive(soonest, next, &prompts);
                next += 1;
            } else {
                break;
            }
        }
        let outcomes = self.measured().map(|at| Outcome {
            ttft_s: first[at] - self.asked[at].arrival_s,
            input: self.asked[at].shape.input,
            cached: front.cached(at),
            asked_again: false,
        });
        let in_front = ascending(self.measured().map(|at| computed[at] - self.asked[at].arrival_s));
        let behind = ascending(self.measured().map(|at| first[at] - computed[at]));
        let pools = vec![
            front.told("prefill", quantile(&in_front, 0.99)),
            back.told("decode", quantile(&behind, 0.99)),
        ];
        Ok((outcomes.collect(), pools))
    }

    fn measured(&self) -> std::ops::Range<usize> {
        (self.asked.len() as f64 * WARM_UP) as usize..self.asked.len()
    }

    fn pool<'g>(
        &self,
        name: &str,
        gpu: &'g GpuProfile,
        of: fn(&Shape) -> Shape,
    ) -> Result<Pool<'g>, PlanError> {
        let window = self.asked.iter().map(|a| a.window).max().unwrap_or(1);
        let shapes: Vec<Shape> = self.asked.iter().map(|a| of(&a.shape)).collect();
        Pool::new(gpu, window, &shapes).ok_or_else(|| PlanError::Window {
            pool: name.to_owned(),
            window,
            kv_tokens: gpu.kv_tokens,
        })
    }
}

fn ascending(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}
