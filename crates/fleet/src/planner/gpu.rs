//! A GPU as events: its sequences advance together, one iteration each at a time, at a pace that depends on what is in it.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::pool::Pool;

/// One GPU.
#[derive(Debug, Default)]
pub(super) struct Gpu {
    /// Iterations since the beginning, and when that was so.
    done: f64,
    at_s: f64,
    /// Sequences in it.
    pub(super) busy: u32,
    /// Slot seconds since the beginning.
    pub(super) busy_s: f64,
    /// Prompt tokens that an iteration computes now.
    prefilling: f64,
    /// What ends at which count of iterations.
    due: BinaryHeap<Reverse<Due>>,
    /// Changes so far: an event announced before the last one is void.
    version: u64,
}

/// What came to an end on a GPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ended {
    /// The prompt of this request: its first token is there.
    Prefill(usize),
    /// The whole request; its slot is free.
    Request(usize),
}

/// The next end on some GPU, if nothing changes before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Event {
    pub(super) at_s: f64,
    pub(super) gpu: usize,
    version: u64,
}

#[derive(Debug, PartialEq)]
struct Due {
    iterations: f64,
    what: Ended,
    /// Prompt tokens an iteration that end with it.
    prefilling: f64,
}

/// Events of all GPUs of a pool, in order of time.
#[derive(Debug, Default)]
pub(super) struct Gpus {
    pub(super) all: Vec<Gpu>,
    events: BinaryHeap<Reverse<Event>>,
}

// === impl Gpus ===

impl Gpus {
    pub(super) fn new(count: u32) -> Self {
        Self {
            all: (0..count.max(1)).map(|_| Gpu::default()).collect(),
            events: BinaryHeap::new(),
        }
    }

    /// When the next thing ends.
    pub(super) fn next_s(&mut self) -> Option<f64> {
        while let Some(Reverse(event)) = self.events.peek() {
            if self.all[event.gpu].version == event.version {
                return Some(event.at_s);
            }
            self.events.pop();
        }
        None
    }

    /// Ends what is next: on which GPU, and what. `None` where nothing is under way, or the event was void.
    pub(super) fn happen(&mut self, pool: &Pool<'_>) -> Option<(usize, Ended)> {
        let Reverse(event) = self.events.pop()?;
        let gpu = &mut self.all[event.gpu];
        if gpu.version != event.version {
            return None;
        }
        let ended = gpu.happen(pool, event.at_s);
        self.announce(pool, event.gpu);
        Some((event.gpu, ended?))
    }

    /// A request takes a slot of GPU number `at`: so many prompt tokens to compute, so many of an answer.
    pub(super) fn start(&mut self, pool: &Pool<'_>, at: usize, now: f64, ticket: usize, tokens: [u32; 2]) {
        self.all[at].start(pool, now, ticket, tokens);
        self.announce(pool, at);
    }

    fn announce(&mut self, pool: &Pool<'_>, at: usize) {
        let gpu = &mut self.all[at];
        gpu.version += 1;
        if let Some(Reverse(due)) = gpu.due.peek() {
            let at_s = gpu.at_s + (due.iterations - gpu.done).max(0.0) * gpu.iteration_s(pool);
            self.events.push(Reverse(Event {
                at_s,
                gpu: at,
                version: gpu.version,
            }));
        }
    }
}

// === impl Gpu ===

impl Gpu {
    fn iteration_s(&self, pool: &Pool<'_>) -> f64 {
        let busy = f64::from(self.busy.max(1));
        pool.gpu.iteration_s(busy, pool.context) + pool.gpu.prefill_s(self.prefilling)
    }

    /// Brings the count of iterations to now, at the pace of what was in it.
    fn catch_up(&mut self, pool: &Pool<'_>, now: f64) {
        self.done += (now - self.at_s) / self.iteration_s(pool);
        self.busy_s += (now - self.at_s) * f64::from(self.busy);
        self.at_s = now;
    }

    fn start(&mut self, pool: &Pool<'_>, now: f64, ticket: usize, [prompt, answer]: [u32; 2]) {
        self.catch_up(pool, now);
        let prefill = f64::from(pool.gpu.prefill(prompt));
        let prefilling = f64::from(prompt) / prefill;
        self.busy += 1;
        self.prefilling += prefilling;
        let mut due = |iterations, what, prefilling| {
            self.due.push(Reverse(Due {
                iterations: self.done + iterations,
                what,
                prefilling,
            }));
        };
        due(prefill, Ended::Prefill(ticket), prefilling);
        due(prefill + f64::from(answer), Ended::Request(ticket), 0.0);
    }

    fn happen(&mut self, pool: &Pool<'_>, now: f64) -> Option<Ended> {
        self.catch_up(pool, now);
        let Reverse(due) = self.due.pop()?;
        self.done = self.done.max(due.iterations);
        match due.what {
            Ended::Prefill(_) => self.prefilling = (self.prefilling - due.prefilling).max(0.0),
            Ended::Request(_) => self.busy -= 1,
        }
        Some(due.what)
    }
}

// === impl Due, Event: both are ordered by their times, which are never NaN ===

impl Due {
    /// A prefill that ends with its request ends first.
    fn order(&self) -> (bool, usize) {
        match self.what {
            Ended::Prefill(ticket) => (false, ticket),
            Ended::Request(ticket) => (true, ticket),
        }
    }
}

impl Eq for Due {}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let order = self.iterations.total_cmp(&other.iterations);
        order.then(self.order().cmp(&other.order()))
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
