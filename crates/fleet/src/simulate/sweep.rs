//! Many runs: every policy at every rate and staleness over seeds, and the capacity of each.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use serde::Serialize;

use super::{Setting, SimulateError, Summary, Trace, run};
use crate::{
    DualMapConfig, FleetPolicy, LoadBy, LoadConfig, PairChoice, QueueConfig, QueueOrder,
    prefix::adaptive::KeyConfig,
};

/// Shares of requests within the objective that a capacity is told for.
const SHARES: [f64; 2] = [0.99, 0.9];

/// The widest gap, in requests a second, between a rate that was kept and one that was not.
const PRECISION: f64 = 0.1;

/// The highest rate that is tried, a second and instance.
const MOST_PER_INSTANCE: f64 = 64.0;

/// A policy under the name that rows carry.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The policy.
    pub policy: FleetPolicy,
}

/// Which runs are made.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// What is compared.
    pub policies: Vec<Named>,
    /// Arrivals a second.
    pub qps: Vec<f64>,
    /// Seconds between two looks at loads.
    pub stale_s: Vec<f64>,
    /// Seeds 0, 1, … up to this many.
    pub seeds: u64,
    /// Whether capacities are looked for, which takes most of the time.
    pub capacity: bool,
    /// Threads; at least 1.
    pub threads: usize,
    /// All else.
    pub setting: Setting,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The policy's name.
    pub policy: String,
    /// Arrivals a second.
    pub qps: f64,
    /// Seconds between two looks at loads.
    pub stale_s: f64,
    /// Of everything that was drawn.
    pub seed: u64,
    /// What came out.
    #[serde(flatten)]
    pub summary: Summary,
}

/// The highest rate at which enough first tokens come within the objective.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Capacity {
    /// The policy's name.
    pub policy: String,
    /// Seconds between two looks at loads.
    pub stale_s: f64,
    /// Share of requests that is enough.
    pub share: f64,
    /// Requests a second: the mean over seeds.
    pub qps: f64,
    /// Of the least lucky seed.
    pub lowest: f64,
    /// Of the luckiest.
    pub highest: f64,
}

/// What all runs gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Every run.
    pub rows: Vec<Row>,
    /// Capacities, where they were looked for.
    pub capacity: Vec<Capacity>,
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

// === impl Named ===

impl Named {
    /// Every policy with its defaults, and those that look at calls looking at tokens too.
    pub fn all() -> Vec<Self> {
        let by_tokens = || LoadConfig {
            by: LoadBy::Tokens,
            ..LoadConfig::default()
        };
        let mut all: Vec<Self> = FleetPolicy::all().into_iter().map(Self::plain).collect();
        all.extend([
            Self::of("least_load/tokens", FleetPolicy::LeastLoad(by_tokens())),
            Self::of("power_of_two/tokens", FleetPolicy::PowerOfTwo(by_tokens())),
        ]);
        all
    }

    /// DualMap, and DualMap with one part different.
    pub fn ablations() -> Vec<Self> {
        let with = |name: &str, change: &dyn Fn(&mut DualMapConfig)| {
            let mut config = DualMapConfig::default();
            change(&mut config);
            Self::of(&format!("dualmap{name}"), FleetPolicy::DualMap(Box::new(config)))
        };
        let queue = |change: fn(&mut QueueConfig)| {
            move |config: &mut DualMapConfig| {
                if let Some(queue) = &mut config.queue {
                    change(queue);
                }
            }
        };
        vec![
            with("", &|_| {}),
            with("/affinity", &|c| c.choose = PairChoice::Affinity),
            with("/least_loaded", &|c| c.choose = PairChoice::LeastLoaded),
            with("/switch_at_0.25", &|c| c.switch_at = 0.25),
            with("/switch_at_1", &|c| c.switch_at = 1.0),
            with("/no_queue", &|c| c.queue = None),
            with("/no_queue+affinity", &|c| {
                (c.queue, c.choose) = (None, PairChoice::Affinity);
            }),
            with("/no_queue+least_loaded", &|c| {
                (c.queue, c.choose) = (None, PairChoice::LeastLoaded);
            }),
            with(
                "/order_cached_first",
                &queue(|q| q.order = QueueOrder::CachedFirst),
            ),
            with("/order_arrival", &queue(|q| q.order = QueueOrder::Arrival)),
            with("/no_rebalance", &queue(|q| q.rebalance = false)),
            with("/neighbours", &queue(|q| q.neighbours = true)),
            with("/pending_2", &queue(|q| q.pending = 2)),
            with("/fixed_key", &|c| c.key.adaptive = false),
            with("/key_of_1_block", &|c| {
                c.key = KeyConfig {
                    first_tokens: 512,
                    ..KeyConfig::default()
                };
            }),
            with("/key_of_1_block+fixed", &|c| {
                c.key = KeyConfig {
                    first_tokens: 512,
                    adaptive: false,
                    ..KeyConfig::default()
                };
            }),
        ]
    }

    /// Those of these names; `all` and `ablations` stand for all of theirs.
    ///
    /// # Errors
    /// [`SimulateError::UnknownPolicy`] with those that there are.
    pub fn find(names: &[String]) -> Result<Vec<Self>, SimulateError> {
        let known = || {
            Self::all()
                .into_iter()
                .chain(Self::ablations().into_iter().skip(1))
        };
        let mut found: Vec<Self> = Vec::new();
        for name in names {
            let named = match name.as_str() {
                "all" => Self::all(),
                "ablations" => Self::ablations(),
                name => known().filter(|n| n.name == name).collect(),
            };
            if named.is_empty() {
                let allowed: Vec<String> = known().map(|n| n.name).collect();
                return Err(SimulateError::UnknownPolicy {
                    name: name.clone(),
                    allowed: allowed.join(", "),
                });
            }
            found.extend(
                named
                    .into_iter()
                    .filter(|n| !found.contains(n))
                    .collect::<Vec<_>>(),
            );
        }
        Ok(found)
    }

    fn plain(policy: FleetPolicy) -> Self {
        Self::of(policy.name(), policy)
    }

    fn of(name: &str, policy: FleetPolicy) -> Self {
        Self {
            name: name.to_owned(),
            policy,
        }
    }
}

// === impl Sweep ===

impl Sweep {
    /// Makes all runs, over as many threads as it says; the order of rows is that of the policies, stalenesses, rates and seeds. After each
    /// run `look_on` is told how many of how many are done, and may say `false` to end it.
    ///
    /// # Errors
    /// [`SimulateError`] where the setting makes no sense, or when it was interrupted.
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
                let result = self.task(*task, trace, &stopped)?;
                results
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((at, result));
                let finished = done.fetch_add(1, Ordering::Relaxed) + 1;
                if !look_on(finished, tasks.len()) {
                    stopped.store(true, Ordering::Relaxed);
                }
                if stopped.load(Ordering::Relaxed) {
                    return Err(SimulateError::Interrupted);
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
        Ok(self.report(results.into_iter().map(|(_, done)| done)))
    }

    fn tasks(&self) -> Vec<Task> {
        let mut tasks = Vec::new();
        for policy in 0..self.policies.len() {
            for &stale_s in &self.stale_s {
                for &qps in &self.qps {
                    tasks.extend((0..self.seeds).map(|seed| Task::Run {
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
                    tasks.extend((0..self.seeds).map(|seed| Task::Capacity {
                        policy,
                        stale_s,
                        seed,
                    }));
                }
            }
        }
        tasks
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

    fn report(&self, results: impl Iterator<Item = Done>) -> Report {
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
        }
    }
}

// === impl Report ===

impl Report {
    /// The mean of `what` over the rows of `policy` at `qps` and `stale_s`; `None` where there are none.
    pub fn mean(&self, policy: &str, qps: f64, stale_s: f64, what: impl Fn(&Summary) -> f64) -> Option<f64> {
        let rows = || {
            let is_asked = |r: &&Row| r.policy == policy && r.qps == qps && r.stale_s == stale_s;
            self.rows.iter().filter(is_asked)
        };
        #[allow(clippy::cast_precision_loss, reason = "few rows")]
        let count = rows().count() as f64;
        (count > 0.0).then(|| rows().map(|r| what(&r.summary)).sum::<f64>() / count)
    }

    /// The rows' policies, each once.
    pub fn policies(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !names.contains(&row.policy.as_str()) {
                names.push(&row.policy);
            }
        }
        names
    }

    /// As tables to be read: means over seeds.
    pub fn text(&self) -> String {
        let mut points: Vec<(f64, f64)> = Vec::new();
        for row in &self.rows {
            if !points.contains(&(row.stale_s, row.qps)) {
                points.push((row.stale_s, row.qps));
            }
        }
        let names = self.policies();
        let width = names.iter().map(|n| n.len()).max().unwrap_or(0).max(24);
        let mut text = format!("{:<width$}", "within the objective / cached");
        for (stale_s, qps) in &points {
            text.push_str(&format!(" {:>13}", format!("{qps}/s, {stale_s} s")));
        }
        for name in &names {
            text.push_str(&format!("\n{name:<width$}"));
            for (stale_s, qps) in &points {
                let mean =
                    |what: fn(&Summary) -> f64| self.mean(name, *qps, *stale_s, what).unwrap_or(f64::NAN);
                text.push_str(&format!(
                    "   {:.3} / {:.3}",
                    mean(|s| s.within_slo),
                    mean(|s| s.hit_ratio)
                ));
            }
        }
        if !self.capacity.is_empty() {
            text.push_str(&format!(
                "\n\n{:<width$} {:>8} {:>8} {:>8}",
                "capacity", "stale, s", "99 %", "90 %"
            ));
            for pair in self.capacity.chunks(SHARES.len()) {
                let [first, second] = pair else { continue };
                text.push_str(&format!(
                    "\n{:<width$} {:>8} {:>8.2} {:>8.2}",
                    first.policy, first.stale_s, first.qps, second.qps
                ));
            }
        }
        text
    }
}
