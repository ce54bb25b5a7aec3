//! Many runs: every policy at every rate and staleness over seeds, and the capacity of each.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::{Capacity, Named, Report, Row, Setting, SimulateError, Trace, run};

/// Shares of requests within the objective that a capacity is told for.
pub(super) const SHARES: [f64; 2] = [0.99, 0.9];

/// The widest gap, in requests a second, between a rate that was kept and one that was not.
const PRECISION: f64 = 0.1;

/// The highest rate that is tried, a second and instance.
const MOST_PER_INSTANCE: f64 = 64.0;

/// Which runs are made.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// What is compared.
    pub policies: Vec<Named>,
    /// Arrivals a second.
    pub qps: Vec<f64>,
    /// Seconds between two looks at loads.
    pub stale_s: Vec<f64>,
    /// The first seed.
    pub first_seed: u64,
    /// How many seeds from there.
    pub seeds: u64,
    /// Whether capacities are looked for, which takes most of the time.
    pub capacity: bool,
    /// Threads; at least 1.
    pub threads: usize,
    /// All else.
    pub setting: Setting,
}

/// A piece of work for one thread.
#[derive(Debug, Clone, Copy)]
enum Task {
    Run {
        policy: usize,
        stale_s: f64,
        seed: u64,
        qps: f64,
    },
    Capacity {
        policy: usize,
        stale_s: f64,
        seed: u64,
    },
}

enum Done {
    Row(Row),
    /// A capacity for each of [`SHARES`].
    Rates {
        policy: usize,
        stale_s: f64,
        rates: [f64; 2],
    },
}

// === impl Sweep ===

impl Sweep {
    /// Makes all runs, over as many threads as it says; the order of rows is that of the policies, stalenesses, rates and seeds. After each
    /// run `look_on` is told how many of how many are done, and may say `false` to end it; the report is then not
    /// [`complete`](Report::complete).
    ///
    /// # Errors
    /// [`SimulateError`] where the setting makes no sense.
    pub fn run(
        &self,
        trace: &Trace,
        look_on: &(dyn Fn(usize, usize) -> bool + Sync),
    ) -> Result<Report, SimulateError> {
        for (qps, stale_s) in self
            .qps
            .iter()
            .flat_map(|q| self.stale_s.iter().map(move |s| (*q, *s)))
        {
            self.at(qps, stale_s, 0).check(trace.requests.len())?;
        }
        let tasks = self.tasks();
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let stopped = AtomicBool::new(false);
        let results = Mutex::new(Vec::with_capacity(tasks.len()));
        let work = || -> Result<(), SimulateError> {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(task) = tasks.get(at) else { return Ok(()) };
                let result = match self.task(*task, trace, &stopped) {
                    Err(SimulateError::Interrupted) => return Ok(()),
                    result => result?,
                };
                results
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((at, result));
                let finished = done.fetch_add(1, Ordering::Relaxed) + 1;
                if !look_on(finished, tasks.len()) {
                    stopped.store(true, Ordering::Relaxed);
                }
                if stopped.load(Ordering::Relaxed) {
                    return Ok(());
                }
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads.max(1)).map(|_| scope.spawn(work)).collect();
            let mut joined = threads.into_iter().map(|t| t.join());
            joined.try_for_each(|one| one.unwrap_or(Err(SimulateError::Interrupted)))
        })?;
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_by_key(|(at, _)| *at);
        let complete = results.len() == tasks.len();
        Ok(self.report(results.into_iter().map(|(_, done)| done), complete))
    }

    fn tasks(&self) -> Vec<Task> {
        let mut tasks = Vec::new();
        for policy in 0..self.policies.len() {
            for &stale_s in &self.stale_s {
                for &qps in &self.qps {
                    tasks.extend(self.each_seed().map(|seed| Task::Run {
                        policy,
                        stale_s,
                        seed,
                        qps,
                    }));
                }
            }
        }
        if self.capacity {
            for policy in 0..self.policies.len() {
                for &stale_s in &self.stale_s {
                    tasks.extend(self.each_seed().map(|seed| Task::Capacity {
                        policy,
                        stale_s,
                        seed,
                    }));
                }
            }
        }
        tasks
    }

    fn each_seed(&self) -> std::ops::Range<u64> {
        self.first_seed..self.first_seed.saturating_add(self.seeds)
    }

    fn at(&self, qps: f64, stale_s: f64, seed: u64) -> Setting {
        Setting {
            qps,
            stale_s,
            seed,
            ..self.setting.clone()
        }
    }

    fn task(&self, task: Task, trace: &Trace, stopped: &AtomicBool) -> Result<Done, SimulateError> {
        match task {
            Task::Run {
                policy,
                stale_s,
                seed,
                qps,
            } => {
                let Named { name, policy } = &self.policies[policy];
                let summary = run(trace, policy, &self.at(qps, stale_s, seed), usize::MAX)?;
                Ok(Done::Row(Row {
                    policy: name.clone(),
                    qps,
                    stale_s,
                    seed,
                    summary,
                }))
            }
            Task::Capacity {
                policy,
                stale_s,
                seed,
            } => {
                let mut rates = [0.0; 2];
                for (rate, share) in rates.iter_mut().zip(SHARES) {
                    *rate = self.highest(policy, stale_s, seed, share, trace, stopped)?;
                }
                Ok(Done::Rates {
                    policy,
                    stale_s,
                    rates,
                })
            }
        }
    }

    /// The highest rate that keeps `share` within the objective: doubled until it no longer does, then bisected.
    fn highest(
        &self,
        policy: usize,
        stale_s: f64,
        seed: u64,
        share: f64,
        trace: &Trace,
        stopped: &AtomicBool,
    ) -> Result<f64, SimulateError> {
        let counted = trace.requests.len() - self.setting.warm_up;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a count"
        )]
        let most_late = ((1.0 - share) * counted as f64 + 1e-9) as usize;
        let keeps = |qps: f64| -> Result<bool, SimulateError> {
            if stopped.load(Ordering::Relaxed) {
                return Err(SimulateError::Interrupted);
            }
            let setting = self.at(qps, stale_s, seed);
            let summary = run(trace, &self.policies[policy].policy, &setting, most_late)?;
            Ok(summary.within_slo >= share && summary.requests == counted)
        };
        #[allow(clippy::cast_precision_loss, reason = "few instances")]
        let most = MOST_PER_INSTANCE * self.setting.instances as f64;
        let (mut low, mut high) = (0.0, 1.0);
        while keeps(high)? {
            low = high;
            high *= 2.0;
            if high > most {
                return Ok(low);
            }
        }
        while high - low > PRECISION {
            let middle = f64::midpoint(low, high);
            if keeps(middle)? {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn report(&self, results: impl Iterator<Item = Done>, complete: bool) -> Report {
        let (mut rows, mut rates) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Done::Row(row) => rows.push(row),
                Done::Rates {
                    policy,
                    stale_s,
                    rates: of,
                } => rates.push((policy, stale_s, of)),
            }
        }
        let same = rates.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1));
        let capacity = same.flat_map(|seeds| {
            SHARES.into_iter().enumerate().map(|(at, share)| {
                let of = || seeds.iter().map(|(_, _, rates)| rates[at]);
                #[allow(clippy::cast_precision_loss, reason = "few seeds")]
                let mean = of().sum::<f64>() / seeds.len() as f64;
                Capacity {
                    policy: self.policies[seeds[0].0].name.clone(),
                    stale_s: seeds[0].1,
                    share,
                    qps: mean,
                    lowest: of().fold(f64::INFINITY, f64::min),
                    highest: of().fold(0.0, f64::max),
                }
            })
        });
        Report {
            capacity: capacity.collect(),
            rows,
            complete,
        }
    }
}
