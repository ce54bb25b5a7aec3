//! The check of a plan by events: requests, one queue, GPUs whose iterations grow with what is in them.

use std::collections::VecDeque;

use rand::{Rng, SeedableRng, rngs::SmallRng};
use rand_distr::Gamma;
use serde::Serialize;

use super::{
    GpuProfile, Load, Shape,
    gpu::{Ended, Gpus},
    pool::Pool,
};

/// Share of the requests that come before anything is measured: the pool begins empty.
const WARM_UP: f64 = 0.1;

/// What the events showed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Checked {
    /// Requests measured.
    pub requests: usize,
    /// Time to first token of all but one in a hundred, milliseconds.
    pub ttft_p99_ms: f64,
    /// The same for one in two.
    pub ttft_p50_ms: f64,
    /// Share of requests that found all slots busy.
    pub waited: f64,
    /// Busy slots of one GPU, on average over arrivals.
    pub busy_slots: f64,
}

/// Plays so many requests drawn at random from a load, at times between arrivals that vary as it says (gamma distributed: a Poisson
/// stream at 1), against `gpus` that admit contexts up to `window`. `None` where no sequence of that window fits, or for a rate
/// that is none. Cost: a few microseconds a request.
pub fn simulate(
    load: &Load,
    gpu: &GpuProfile,
    window: u32,
    gpus: u32,
    requests: usize,
    seed: u64,
) -> Option<Checked> {
    let pool = Pool::new(gpu, window, &load.shapes)?;
    let mut rng = SmallRng::seed_from_u64(seed);
    let gaps = match load.arrivals {
        0.0 => None,
        variation => Some(Gamma::new(1.0 / variation, variation / load.rate).ok()?),
    };
    let warm_up = (requests as f64 * WARM_UP) as usize;
    let mut run = Run {
        pool: &pool,
        gpus: Gpus::new(gpus),
        queue: VecDeque::new(),
        arrived: Vec::with_capacity(requests),
        warm_up,
        ttft_s: Vec::new(),
        waited: 0,
        busy: 0.0,
    };
    let mut now = 0.0;
    for _ in 0..requests {
        now += gaps.map_or(1.0 / load.rate, |gaps| rng.sample(gaps));
        run.advance(now);
        run.arrive(now, load.shapes[rng.random_range(0..load.shapes.len())]);
    }
    run.advance(f64::INFINITY);
    Some(run.result())
}

struct Run<'a> {
    pool: &'a Pool<'a>,
    gpus: Gpus,
    queue: VecDeque<usize>,
    arrived: Vec<(f64, Shape)>,
    /// First requests that are not measured.
    warm_up: usize,
    ttft_s: Vec<f64>,
    waited: usize,
    busy: f64,
}

// === impl Run ===

impl Run<'_> {
    /// Lets everything happen up to a time.
    fn advance(&mut self, until_s: f64) {
        while let Some(now) = self.gpus.next_s().filter(|at| *at <= until_s) {
            match self.gpus.happen(self.pool) {
                Some((_, Ended::Prefill(ticket))) if ticket >= self.warm_up => {
                    self.ttft_s.push(now - self.arrived[ticket].0);
                }
                Some((gpu, Ended::Request(_))) => {
                    if let Some(next) = self.queue.pop_front() {
                        self.start(gpu, now, next);
                    }
                }
                _ => {}
            }
        }
    }

    fn arrive(&mut self, now: f64, shape: Shape) {
        let ticket = self.arrived.len();
        self.arrived.push((now, shape));
        let free = self.gpus.all.iter().enumerate().min_by_key(|(_, g)| g.busy);
        let free = free.filter(|(_, g)| g.busy < self.pool.slots).map(|(i, _)| i);
        if ticket >= self.warm_up {
            self.waited += usize::from(free.is_none());
            let busy: u32 = self.gpus.all.iter().map(|g| g.busy).sum();
            self.busy += f64::from(busy) / self.gpus.all.len() as f64;
        }
        match free {
            Some(gpu) => self.start(gpu, now, ticket),
            None => self.queue.push_back(ticket),
        }
    }

    fn start(&mut self, gpu: usize, now: f64, ticket: usize) {
        let shape = self.arrived[ticket].1;
        let tokens = [shape.missing(), shape.output];
        self.gpus.start(self.pool, gpu, now, ticket, tokens);
    }

    fn result(mut self) -> Checked {
        self.ttft_s.sort_by(f64::total_cmp);
        let arrived = (self.arrived.len() - self.warm_up).max(1) as f64;
        Checked {
            requests: self.ttft_s.len(),
            ttft_p99_ms: 1e3 * quantile(&self.ttft_s, 0.99),
            ttft_p50_ms: 1e3 * quantile(&self.ttft_s, 0.5),
            waited: self.waited as f64 / arrived,
            busy_slots: self.busy / arrived,
        }
    }
}

/// The value that so large a share of ascending ones does not exceed; 0 of none.
pub(super) fn quantile(ascending: &[f64], share: f64) -> f64 {
    let place = (ascending.len() as f64 * share) as usize;
    let last = ascending.len().saturating_sub(1);
    ascending.get(place.min(last)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_request_takes_its_iterations() {
        let gpu = GpuProfile {
            per_sequence_ms: 0.0,
            ..GpuProfile::default()
        };
        let load = Load {
            rate: 1e-3,
            arrivals: 1.0,
            shapes: vec![Shape {
                input: 1_024,
                output: 10,
                ..Shape::default()
            }],
        };
        let found = simulate(&load, &gpu, 2_048, 1, 100, 1).unwrap();
        assert!(
            (found.ttft_p50_ms - 16.0).abs() < 1e-6 && found.waited == 0.0,
            "two chunks of 8 ms: {found:?}"
        );
        assert_eq!(found.requests, 90);
        assert!(simulate(&load, &gpu, u32::MAX, 1, 100, 1).is_none());
    }

    #[test]
    fn one_slot_waits_as_the_formula_of_its_queue_says() {
        // M/D/1 at utilisation one half: the chance to wait is one half, the mean wait half a service.
        let gpu = GpuProfile {
            per_sequence_ms: 0.0,
            max_slots: 1,
            ..GpuProfile::default()
        };
        let load = Load {
            rate: 0.5 / 0.08,
            arrivals: 1.0,
            shapes: vec![Shape {
                input: 1,
                output: 9,
                ..Shape::default()
            }],
        };
        let found = simulate(&load, &gpu, 2_048, 1, 40_000, 1).unwrap();
        assert!((found.waited - 0.5).abs() < 0.02, "{found:?}");
    }
}
