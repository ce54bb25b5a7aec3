//! How many GPUs a workload needs: in one pool, in pools by length, with prefill and decode apart.

use serde::{Deserialize, Serialize};

use super::{
    GpuProfile, Load, PlanError, Shape,
    pool::Pool,
    queue::{Waiting, waiting},
};

/// GPUs of one pool that sizing goes up to.
const MOST_GPUS: u32 = 100_000;
/// Points of the distribution of prefill times.
const POINTS: usize = 400;

/// What a fleet must keep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Slo {
    /// Time to first token of all but one in a hundred, milliseconds.
    pub ttft_p99_ms: f64,
    /// Share of the full pace that may be asked for, over 0 and below 1.
    pub utilisation: f64,
}

/// One pool of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PoolPlan {
    /// What it is for.
    pub name: String,
    /// Longest context, tokens.
    pub window: u32,
    /// GPUs.
    pub gpus: u32,
    /// Sequences at a time on each.
    pub slots: u32,
    /// Requests a second that come to it.
    pub rate: f64,
    /// Share of the full pace that is asked for.
    pub utilisation: f64,
    /// Busy slots of one GPU, on average.
    pub busy_slots: f64,
    /// Predicted time to first token of all but one in a hundred, milliseconds.
    pub ttft_p99_ms: f64,
    /// Watts.
    pub watts: f64,
    /// US dollars an hour.
    pub usd_per_hour: f64,
}

/// How requests are divided.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Topology {
    /// One pool for all.
    One,
    /// A pool for contexts up to a boundary, and one for the rest.
    ByLength {
        /// Tokens, input and output.
        boundary: u32,
        /// Contexts up to so many times the boundary may be shortened to it, 1 for none.
        gamma: f64,
        /// Share of those that can be shortened safely, 0 to 1.
        compressible: f64,
    },
    /// Prefill on some GPUs, decode on others.
    Disaggregated {
        /// Milliseconds that sending the keys and values of one token takes.
        transfer_ms_per_token: f64,
    },
}

/// A plan for the whole fleet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FleetPlan {
    /// How requests are divided.
    pub topology: Topology,
    /// The pools.
    pub pools: Vec<PoolPlan>,
    /// GPUs of all of them.
    pub gpus: u32,
    /// Time to first token of all but one in a hundred, milliseconds: that of the worst pool.
    pub ttft_p99_ms: f64,
    /// US dollars an hour.
    pub usd_per_hour: f64,
    /// Watts.
    pub watts: f64,
    /// Output tokens per joule.
    pub tokens_per_joule: f64,
}

// === impl Slo ===

impl Default for Slo {
    fn default() -> Self {
        Self {
            ttft_p99_ms: 5000.0,
            utilisation: 0.85,
        }
    }
}

impl Slo {
    fn check(self) -> Result<(), PlanError> {
        let wrong = |key, found, allowed| Err(PlanError::OutOfRange { key, found, allowed });
        if !(self.ttft_p99_ms > 0.0 && self.ttft_p99_ms.is_finite()) {
            return wrong("slo.ttft_p99_ms", self.ttft_p99_ms, "a finite number over 0");
        }
        if !(self.utilisation > 0.0 && self.utilisation < 1.0) {
            return wrong("slo.utilisation", self.utilisation, "over 0 and below 1");
        }
        Ok(())
    }
}

/// The fewest GPUs in this topology that keep the objective.
///
/// # Errors
/// [`PlanError`]: numbers out of range, a load without requests, contexts that do not fit a GPU, an objective that no number of GPUs
/// can keep.
pub fn size(load: &Load, gpu: &GpuProfile, topology: Topology, slo: Slo) -> Result<FleetPlan, PlanError> {
    gpu.check()?;
    slo.check()?;
    load.check()?;
    let pools = match topology {
        Topology::One => vec![one_pool("all", load, longest(&load.shapes), gpu, slo)?],
        Topology::ByLength {
            boundary,
            gamma,
            compressible,
        } => {
            check_split(boundary, gamma, compressible)?;
            by_length(load, gpu, slo, boundary, gamma, compressible)?
        }
        Topology::Disaggregated {
            transfer_ms_per_token,
        } => apart(load, gpu, slo, transfer_ms_per_token)?,
    };
    let output = load.shapes.iter().map(|s| f64::from(s.output)).sum::<f64>() / load.shapes.len() as f64;
    let watts: f64 = pools.iter().map(|p| p.watts).sum();
    let ttft = pools.iter().map(|p| p.ttft_p99_ms);
    Ok(FleetPlan {
        topology,
        gpus: pools.iter().map(|p| p.gpus).sum(),
        ttft_p99_ms: match topology {
            Topology::Disaggregated { .. } => ttft.sum(),
            _ => ttft.fold(0.0, f64::max),
        },
        usd_per_hour: pools.iter().map(|p| p.usd_per_hour).sum(),
        watts,
        tokens_per_joule: load.rate * output / watts.max(f64::MIN_POSITIVE),
        pools,
    })
}

/// Longest context of some requests.
fn longest(shapes: &[Shape]) -> u32 {
    shapes.iter().map(|s| s.tokens()).max().unwrap_or(0)
}

fn check_split(boundary: u32, gamma: f64, compressible: f64) -> Result<(), PlanError> {
    let wrong = |key, found, allowed| Err(PlanError::OutOfRange { key, found, allowed });
    if boundary == 0 {
        return wrong("boundary", 0.0, "at least 1 token");
    }
    if !(gamma >= 1.0 && gamma.is_finite()) {
        return wrong("gamma", gamma, "a finite number of at least 1");
    }
    if !(0.0..=1.0).contains(&compressible) {
        return wrong("compressible", compressible, "from 0 to 1");
    }
    Ok(())
}

/// Which requests go to the short pool, and what each is like there: every so many-th of those near the boundary is shortened, the
/// share without chance.
pub(super) fn divided(
    shapes: impl Iterator<Item = Shape>,
    boundary: u32,
    gamma: f64,
    compressible: f64,
) -> impl Iterator<Item = (Shape, bool)> {
    let mut due = 0.0;
    shapes.map(move |shape| {
        if shape.tokens() <= boundary {
            return (shape, true);
        }
        let near = f64::from(shape.tokens()) <= gamma * f64::from(boundary) && shape.output < boundary;
        due += if near { compressible } else { 0.0 };
        if !near || due < 1.0 {
            return (shape, false);
        }
        due -= 1.0;
        let input = boundary - shape.output;
        (Shape { input, ..shape }, true)
    })
}

fn by_length(
    load: &Load,
    gpu: &GpuProfile,
    slo: Slo,
    boundary: u32,
    gamma: f64,
    compressible: f64,
) -> Result<Vec<PoolPlan>, PlanError> {
    let (mut short, mut long) = (Vec::new(), Vec::new());
    for (shape, is_short) in divided(load.shapes.iter().copied(), boundary, gamma, compressible) {
        if is_short { &mut short } else { &mut long }.push(shape);
    }
    let part = |shapes: Vec<Shape>| Load {
        rate: load.rate * shapes.len() as f64 / load.shapes.len() as f64,
        // A random part of a stream is closer to Poisson than the whole.
        arrivals: 1.0 + (load.arrivals - 1.0) * shapes.len() as f64 / load.shapes.len() as f64,
        shapes,
    };
    let window = longest(&long);
    let mut pools = Vec::new();
    if !short.is_empty() {
        pools.push(one_pool("short", &part(short), boundary, gpu, slo)?);
    }
    if !long.is_empty() {
        pools.push(one_pool("long", &part(long), window, gpu, slo)?);
    }
    Ok(pools)
}

/// Prefill and decode on GPUs of their own. Each pool gets half of the objective's time: prefill with what the transfer leaves of it,
/// decode for its wait.
fn apart(load: &Load, gpu: &GpuProfile, slo: Slo, transfer_ms: f64) -> Result<Vec<PoolPlan>, PlanError> {
    if !(transfer_ms >= 0.0 && transfer_ms.is_finite()) {
        let allowed = "a finite number of at least 0";
        return Err(PlanError::OutOfRange {
            key: "transfer_ms_per_token",
            found: transfer_ms,
            allowed,
        });
    }
    let of = |keep: fn(&Shape) -> Shape| Load {
        shapes: load.shapes.iter().map(keep).collect(),
        ..load.clone()
    };
    let mut inputs: Vec<u32> = load.shapes.iter().map(|s| s.input).collect();
    inputs.sort_unstable();
    let transfer = transfer_ms * f64::from(inputs[(inputs.len() - 1) * 99 / 100]);
    let left = slo.ttft_p99_ms - transfer;
    let tight = Slo {
        ttft_p99_ms: left.max(f64::MIN_POSITIVE) / 2.0,
        ..slo
    };
    let window = longest(&load.shapes);
    let alone = prefilling(gpu);
    let mut prefill = one_pool("prefill", &of(prefilled), window, &alone, tight)?;
    prefill.ttft_p99_ms += transfer;
    // The context is there; a decode slot gives its first token in one iteration.
    let decode = of(decoded);
    let fast = decoding(gpu);
    Ok(vec![prefill, one_pool("decode", &decode, window, &fast, tight)?])
}

/// A GPU that only prefills: a prompt has it to itself, since what it computes, not its memory, is the limit.
pub(super) fn prefilling(gpu: &GpuProfile) -> GpuProfile {
    GpuProfile {
        max_slots: 1,
        ..gpu.clone()
    }
}

/// A GPU that only decodes: what comes to it is computed already.
pub(super) fn decoding(gpu: &GpuProfile) -> GpuProfile {
    GpuProfile {
        chunk_tokens: u32::MAX,
        ..gpu.clone()
    }
}

/// A request where it is only prefilled.
pub(super) fn prefilled(shape: &Shape) -> Shape {
    Shape { output: 0, ..*shape }
}

/// A request where it is only decoded.
pub(super) fn decoded(shape: &Shape) -> Shape {
    Shape {
        output: shape.output.max(1),
        cached: shape.input,
        ..*shape
    }
}

/// The fewest GPUs of one pool.
fn one_pool(name: &str, load: &Load, window: u32, gpu: &GpuProfile, slo: Slo) -> Result<PoolPlan, PlanError> {
    let pool = Pool::new(gpu, window, &load.shapes).ok_or_else(|| PlanError::Window {
        pool: name.to_owned(),
        window,
        kv_tokens: gpu.kv_tokens,
    })?;
    let floor = floor_ms(&pool, load);
    if floor > slo.ttft_p99_ms {
        return Err(PlanError::Objective {
            pool: name.to_owned(),
            floor_ms: floor,
            asked_ms: slo.ttft_p99_ms,
        });
    }
    let least = (load.rate / (pool.full_pace() * slo.utilisation)).ceil().max(1.0);
    let too_many = || PlanError::TooMany {
        pool: name.to_owned(),
        most: MOST_GPUS,
    };
    if least > f64::from(MOST_GPUS) {
        return Err(too_many());
    }
    let keeps = |gpus: u32| predicted(&pool, load, gpus).filter(|p| p.ttft_p99_ms <= slo.ttft_p99_ms);
    // Doubles until it is kept, then halves the step: more GPUs never make it slower.
    let (mut low, mut step) = (least as u32, 1);
    if let Some(first) = keeps(low) {
        return Ok(first.named(name, window));
    }
    while keeps(low.saturating_add(step)).is_none() {
        low = low.saturating_add(step);
        step = step.saturating_mul(2);
        if low > MOST_GPUS {
            return Err(too_many());
        }
    }
    let mut high = low + step;
    while high - low > 1 {
        let middle = low.midpoint(high);
        if keeps(middle).is_some() {
            high = middle;
        } else {
            low = middle;
        }
    }
    keeps(high).map(|p| p.named(name, window)).ok_or_else(too_many)
}

/// Prompt tokens to compute at some equally likely points, ascending.
fn prompts(load: &Load) -> Vec<u32> {
    let mut all: Vec<u32> = load.shapes.iter().map(|s| s.missing()).collect();
    all.sort_unstable();
    let points = all.len().min(POINTS);
    let at = |i: usize| all[(2 * i + 1) * all.len() / (2 * points)];
    (0..points).map(at).collect()
}

/// Seconds of prefill at those points, ascending, where `others` sequences are on the GPU beside.
fn prefills(pool: &Pool<'_>, load: &Load, others: f64) -> Vec<f64> {
    let gpu = pool.gpu;
    let iteration = gpu.iteration_s(others + 1.0, pool.context) + gpu.prefill_s(others * pool.prefilling);
    let time = |tokens: u32| f64::from(gpu.prefill(tokens)) * iteration + gpu.prefill_s(f64::from(tokens));
    prompts(load).into_iter().map(time).collect()
}

/// Time to first token where nobody else is there, milliseconds.
fn floor_ms(pool: &Pool<'_>, load: &Load) -> f64 {
    let nobody = Waiting {
        chance: 0.0,
        mean_s: 1.0,
        busy: 0.0,
        utilisation: 0.0,
    };
    1e3 * nobody.quantile_s(&prefills(pool, load, 0.0), 0.01)
}

/// What so many GPUs give; `None` where they cannot keep up.
pub(crate) fn predicted(pool: &Pool<'_>, load: &Load, gpus: u32) -> Option<PoolPlan> {
    let slots = u64::from(gpus) * u64::from(pool.slots);
    let wait = waiting(
        load.rate,
        slots,
        |busy| pool.pace(busy, gpus),
        load.arrivals,
        pool.variation,
    )?;
    let busy = wait.busy / f64::from(gpus);
    // The request itself is there too.
    let times = prefills(pool, load, busy.min(f64::from(pool.slots) - 1.0));
    let gpu = pool.gpu;
    let share = (busy / f64::from(pool.slots)).min(1.0);
    Some(PoolPlan {
        name: String::new(),
        window: 0,
        gpus,
        slots: pool.slots,
        rate: load.rate,
        utilisation: wait.utilisation,
        busy_slots: busy,
        ttft_p99_ms: 1e3 * wait.quantile_s(&times, 0.01),
        watts: f64::from(gpus) * (gpu.idle_watts + share * (gpu.busy_watts - gpu.idle_watts).max(0.0)),
        usd_per_hour: f64::from(gpus) * gpu.usd_per_hour,
    })
}

// === impl PoolPlan ===

impl PoolPlan {
    fn named(self, name: &str, window: u32) -> Self {
        Self {
            name: name.to_owned(),
            window,
            ..self
        }
    }
}

// === impl Shape ===

impl Shape {
    /// Input and output.
    pub fn tokens(self) -> u32 {
        self.input.saturating_add(self.output)
    }

    /// Input tokens that are to be computed: those that are not cached, and at least one, from which the answer begins.
    pub fn missing(self) -> u32 {
        self.input.saturating_sub(self.cached).max(1)
    }
}

// === impl Load ===

impl Load {
    fn check(&self) -> Result<(), PlanError> {
        let wrong = |key, found, allowed| Err(PlanError::OutOfRange { key, found, allowed });
        if self.shapes.is_empty() {
            return Err(PlanError::NoRequests);
        }
        if !(self.rate > 0.0 && self.rate.is_finite()) {
            return wrong("rate", self.rate, "a finite number over 0");
        }
        if !(self.arrivals >= 0.0 && self.arrivals.is_finite()) {
            return wrong("arrivals", self.arrivals, "a finite number of at least 0");
        }
        Ok(())
    }
}
