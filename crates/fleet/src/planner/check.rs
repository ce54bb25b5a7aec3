//! The check of a plan by events: requests, one queue, GPUs whose iterations grow with what is in them.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use rand_distr::Gamma;
use serde::Serialize;

use super::{GpuProfile, Load, Shape, pool::Pool};

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

/// One GPU: its sequences advance together, one iteration each at a time.
#[derive(Debug, Default)]
struct Gpu {
    /// Iterations since the beginning, and when that was so.
    done: f64,
    at_s: f64,
    busy: u32,
    /// What ends at which count of iterations: a prefill (with its arrival) or a whole request.
    due: BinaryHeap<Reverse<Due>>,
    /// Changes so far: an event announced before the last one is void.
    version: u64,
}

/// An end, ordered by when it is due.
#[derive(Debug, PartialEq)]
struct Due {
    iterations: f64,
    /// `None` for the end of a whole request.
    arrived_s: Option<f64>,
}

/// An event of a GPU.
#[derive(Debug, PartialEq)]
struct Event {
    at_s: f64,
    gpu: usize,
    version: u64,
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
    let mut fleet = Fleet::new(&pool, gpus);
    let mut rng = SmallRng::seed_from_u64(seed);
    let gaps = match load.arrivals {
        0.0 => None,
        variation => Some(Gamma::new(1.0 / variation, variation / load.rate).ok()?),
    };
    let mut now = 0.0;
    let warm_up = (requests as f64 * WARM_UP) as usize;
    for request in 0..requests {
        now += gaps.map_or(1.0 / load.rate, |gaps| rng.sample(gaps));
        fleet.advance(now);
        fleet.measuring = request >= warm_up;
        fleet.arrive(now, load.shapes[rng.random_range(0..load.shapes.len())]);
    }
    fleet.advance(f64::INFINITY);
    Some(fleet.result())
}

struct Fleet<'a> {
    pool: &'a Pool<'a>,
    gpus: Vec<Gpu>,
    events: BinaryHeap<Reverse<Event>>,
    /// Arrival, what it is, and whether it is measured.
    queue: VecDeque<(f64, Shape, bool)>,
    measuring: bool,
    ttft_s: Vec<f64>,
    waited: usize,
    busy: f64,
    arrived: usize,
}

// === impl Fleet ===

impl<'a> Fleet<'a> {
    fn new(pool: &'a Pool<'a>, gpus: u32) -> Self {
        Self {
            pool,
            gpus: (0..gpus.max(1)).map(|_| Gpu::default()).collect(),
            events: BinaryHeap::new(),
            queue: VecDeque::new(),
            measuring: false,
            ttft_s: Vec::new(),
            waited: 0,
            busy: 0.0,
            arrived: 0,
        }
    }

    /// Lets everything happen up to a time.
    fn advance(&mut self, until_s: f64) {
        while self.events.peek().is_some_and(|Reverse(e)| e.at_s <= until_s) {
            let Some(Reverse(event)) = self.events.pop() else {
                break;
            };
            if self.gpus[event.gpu].version == event.version {
                self.happen(event.gpu, event.at_s);
            }
        }
    }

    fn arrive(&mut self, now: f64, shape: Shape) {
        let free = self.gpus.iter().enumerate().min_by_key(|(_, g)| g.busy);
        let free = free.filter(|(_, g)| g.busy < self.pool.slots).map(|(i, _)| i);
        if self.measuring {
            self.arrived += 1;
            self.waited += usize::from(free.is_none());
            let busy: u32 = self.gpus.iter().map(|g| g.busy).sum();
            self.busy += f64::from(busy) / self.gpus.len() as f64;
        }
        match free {
            Some(gpu) => self.start(gpu, now, now, shape, self.measuring),
            None => self.queue.push_back((now, shape, self.measuring)),
        }
    }

    fn start(&mut self, gpu: usize, now: f64, arrived_s: f64, shape: Shape, measured: bool) {
        self.catch_up(gpu, now);
        let prefill = f64::from(self.pool.gpu.prefill(shape.input));
        let g = &mut self.gpus[gpu];
        g.busy += 1;
        if measured {
            g.due.push(Reverse(Due {
                iterations: g.done + prefill,
                arrived_s: Some(arrived_s),
            }));
        }
        let whole = g.done + prefill + f64::from(shape.output);
        g.due.push(Reverse(Due {
            iterations: whole,
            arrived_s: None,
        }));
        self.announce(gpu);
    }

    /// The next thing due on a GPU ends now.
    fn happen(&mut self, gpu: usize, now: f64) {
        self.catch_up(gpu, now);
        let Some(Reverse(due)) = self.gpus[gpu].due.pop() else {
            return;
        };
        self.gpus[gpu].done = self.gpus[gpu].done.max(due.iterations);
        if let Some(arrived) = due.arrived_s {
            self.ttft_s.push(now - arrived);
            self.announce(gpu);
            return;
        }
        self.gpus[gpu].busy -= 1;
        match self.queue.pop_front() {
            Some((arrived, shape, measured)) => self.start(gpu, now, arrived, shape, measured),
            None => self.announce(gpu),
        }
    }

    /// Brings a GPU's count of iterations to now, at the pace of what was in it.
    fn catch_up(&mut self, gpu: usize, now: f64) {
        let iteration = self.pool.iteration_s(f64::from(self.gpus[gpu].busy.max(1)));
        let g = &mut self.gpus[gpu];
        g.done += (now - g.at_s) / iteration;
        g.at_s = now;
    }

    /// Says when the next thing on a GPU ends, if nothing changes before.
    fn announce(&mut self, gpu: usize) {
        let g = &mut self.gpus[gpu];
        g.version += 1;
        if let Some(Reverse(due)) = g.due.peek() {
            let iteration = self.pool.iteration_s(f64::from(g.busy.max(1)));
            let at_s = g.at_s + (due.iterations - g.done).max(0.0) * iteration;
            self.events.push(Reverse(Event {
                at_s,
                gpu,
                version: g.version,
            }));
        }
    }

    fn result(mut self) -> Checked {
        self.ttft_s.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (self.ttft_s.len() as f64 * share) as usize;
            self.ttft_s
                .get(place.min(self.ttft_s.len().saturating_sub(1)))
                .map_or(0.0, |t| 1e3 * t)
        };
        let arrived = self.arrived.max(1) as f64;
        Checked {
            requests: self.ttft_s.len(),
            ttft_p99_ms: at(0.99),
            ttft_p50_ms: at(0.5),
            waited: self.waited as f64 / arrived,
            busy_slots: self.busy / arrived,
        }
    }
}

// === impl Due, Event: both are ordered by their times, which are never NaN ===

impl Eq for Due {}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // A prefill that ends with its request ends first.
        let order = self.iterations.total_cmp(&other.iterations);
        order.then(self.arrived_s.is_none().cmp(&other.arrived_s.is_none()))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Event {}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at_s.total_cmp(&other.at_s).then(self.gpu.cmp(&other.gpu))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
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
            shapes: vec![Shape { input: 1, output: 9 }],
        };
        let found = simulate(&load, &gpu, 2_048, 1, 40_000, 1).unwrap();
        assert!((found.waited - 0.5).abs() < 0.02, "{found:?}");
    }
}
