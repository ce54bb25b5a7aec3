//! `fingerpost fleet plan-pools`: how many GPUs a log of requests needs, and how it is best divided among them.

use std::{fs::File, io::BufReader, path::PathBuf, process::ExitCode};

use clap::Args;
use fingerpost_fleet::{
    chart::{Series, curves_svg},
    planner::{
        Checked, FleetPlan, GpuProfile, Load, PlanError, Slo, Topology, Trace, Workload, simulate, size,
    },
};
use serde_json::json;

use super::{read, write};
use crate::{failure::Failure, output::Output};

/// Requests that a check plays.
const CHECKED: usize = 60_000;

/// Sizes a fleet for a log of requests: one pool, pools by length, prefill and decode apart (Workload-Router-Pool).
#[derive(Debug, Args)]
pub(crate) struct PlanPools {
    /// The log: CSV with TIMESTAMP, ContextTokens and GeneratedTokens, or JSON Lines with timestamp, input_length and output_length
    #[arg(long, value_name = "FILE")]
    trace: PathBuf,
    /// One GPU, as JSON; keys that are left out have their defaults
    #[arg(long, value_name = "FILE")]
    gpu: Option<PathBuf>,
    /// Requests a second; those of the log where absent
    #[arg(long)]
    rate: Option<f64>,
    /// Milliseconds that only one request in a hundred may take longer to its first token
    #[arg(long, default_value_t = Slo::default().ttft_p99_ms)]
    ttft_ms: f64,
    /// Share of the full pace that may be asked for
    #[arg(long, default_value_t = Slo::default().utilisation)]
    utilisation: f64,
    /// Boundaries between short and long requests to try, tokens of input and output
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1024,2048,4096,8192,16384,32768"
    )]
    boundaries: Vec<u32>,
    /// Requests up to so many times a boundary may be shortened to it
    #[arg(long, default_value_t = 1.0)]
    gamma: f64,
    /// Share of those that can be shortened safely
    #[arg(long, default_value_t = 0.0)]
    compressible: f64,
    /// Milliseconds that sending the keys and values of one token from prefill to decode takes
    #[arg(long, default_value_t = 0.0026)]
    transfer_ms: f64,
    /// Plays the best plan by events, pool by pool
    #[arg(long)]
    check: bool,
    /// Where a picture goes of the GPUs needed at each boundary
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

// === impl PlanPools ===

impl PlanPools {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let opened = File::open(&self.trace).map_err(|e| {
            Failure::from(format!("cannot read {}: {e}", self.trace.display()))
                .with_way_out("a file that is there")
        })?;
        let trace = Trace::read(BufReader::new(opened))?;
        if trace.out_of_order > 0 {
            output.note(&format!(
                "{} requests were out of order and have been sorted",
                trace.out_of_order
            ));
        }
        let gpu: GpuProfile = match &self.gpu {
            Some(path) => serde_json::from_str(&read(path)?)
                .map_err(|e| Failure::from(e).with_way_out("an object with keys of the GPU's profile"))?,
            None => GpuProfile::default(),
        };
        let workload = Workload::of(&trace)?;
        let load = workload.load(&trace, self.rate);
        let plans = self.plans(&load, &gpu)?;
        let best = plans
            .iter()
            .enumerate()
            .min_by_key(|(_, p)| p.gpus)
            .map_or(0, |(i, _)| i);
        let checks = if self.check {
            checks(&plans[best], &load, &gpu)
        } else {
            Vec::new()
        };
        if let Some(path) = &self.svg {
            write(path, &drawn(&plans))?;
        }
        let object =
            json!({"workload": workload, "rate": load.rate, "plans": plans, "best": best, "checks": checks});
        output.result(&shown(&workload, &load, &plans, best, &checks), &object);
        Ok(ExitCode::SUCCESS)
    }

    /// One pool first; those of other ways that cannot keep the objective are left out.
    fn plans(&self, load: &Load, gpu: &GpuProfile) -> Result<Vec<FleetPlan>, Failure> {
        let slo = Slo {
            ttft_p99_ms: self.ttft_ms,
            utilisation: self.utilisation,
        };
        let mut plans = vec![size(load, gpu, Topology::One, slo)?];
        let by_length = |boundary| Topology::ByLength {
            boundary,
            gamma: self.gamma,
            compressible: self.compressible,
        };
        let apart = Topology::Disaggregated {
            transfer_ms_per_token: self.transfer_ms,
        };
        for topology in self.boundaries.iter().copied().map(by_length).chain([apart]) {
            match size(load, gpu, topology, slo) {
                Ok(plan) => plans.push(plan),
                Err(PlanError::Objective { .. } | PlanError::Window { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(plans)
    }
}

/// The pools of a plan by events; those of a division by length each with their own requests.
fn checks(plan: &FleetPlan, load: &Load, gpu: &GpuProfile) -> Vec<Checked> {
    let check = |pool: &fingerpost_fleet::planner::PoolPlan| {
        let fits = |tokens: u32| match pool.name.as_str() {
            "short" => tokens <= pool.window,
            "long" => plan
                .pools
                .first()
                .is_none_or(|short| short.name != "short" || tokens > short.window),
            _ => true,
        };
        let shapes = load.shapes.iter().copied().filter(|s| fits(s.tokens())).collect();
        // A random part of a stream is closer to Poisson than the whole.
        let arrivals = 1.0 + (load.arrivals - 1.0) * pool.rate / load.rate;
        let own = Load {
            rate: pool.rate,
            arrivals,
            shapes,
        };
        simulate(&own, gpu, pool.window, pool.gpus, CHECKED, 1)
    };
    match plan.topology {
        Topology::Disaggregated { .. } => Vec::new(),
        _ => plan.pools.iter().filter_map(check).collect(),
    }
}

fn named(topology: Topology) -> String {
    match topology {
        Topology::One => "one pool".to_owned(),
        Topology::ByLength { boundary, .. } => format!("up to {boundary} tokens, and beyond"),
        Topology::Disaggregated { .. } => "prefill and decode apart".to_owned(),
    }
}

fn shown(workload: &Workload, load: &Load, plans: &[FleetPlan], best: usize, checks: &[Checked]) -> String {
    let mut text = format!(
        "{} requests, planned at {:.2} a second (gaps vary by {:.2})\ninput tokens {:?}, output {:?} (of 50, 95, 99 in a hundred)\n\n\
         {:32} {:>6} {:>6} {:>9} {:>9} {:>8} {:>9}",
        workload.requests,
        load.rate,
        workload.burstiness,
        workload.input,
        workload.output,
        "",
        "GPUs",
        "used",
        "p99, ms",
        "USD/h",
        "kW",
        "tokens/J"
    );
    for (i, plan) in plans.iter().enumerate() {
        let pools = plan
            .pools
            .iter()
            .map(|p| format!("{} {}", p.name, p.gpus))
            .collect::<Vec<_>>()
            .join(" + ");
        let used = plan.pools.iter().map(|p| p.utilisation).fold(0.0, f64::max);
        let mark = if i == best { "  best" } else { "" };
        text.push_str(&format!(
            "\n{:32} {:>6} {used:>6.2} {:>9.0} {:>9.0} {:>8.1} {:>9.2}  {pools}{mark}",
            named(plan.topology),
            plan.gpus,
            plan.ttft_p99_ms,
            plan.usd_per_hour,
            plan.watts / 1e3,
            plan.tokens_per_joule
        ));
    }
    for (pool, check) in plans[best].pools.iter().zip(checks) {
        text.push_str(&format!(
            "\n{}: by events {:.0} ms, {:.0} predicted",
            pool.name, check.ttft_p99_ms, pool.ttft_p99_ms
        ));
    }
    text
}

/// GPUs over the boundary, beside the two ways that have none.
fn drawn(plans: &[FleetPlan]) -> String {
    let split: Vec<(f64, &FleetPlan)> = plans
        .iter()
        .filter_map(|plan| match plan.topology {
            Topology::ByLength { boundary, .. } => Some((f64::from(boundary), plan)),
            _ => None,
        })
        .collect();
    let line = |name: &str, of: &dyn Fn(&FleetPlan) -> u32| Series {
        name: name.to_owned(),
        points: split
            .iter()
            .map(|(at, plan)| (*at, f64::from(of(plan))))
            .collect(),
    };
    let of_pool =
        |plan: &FleetPlan, name: &str| plan.pools.iter().filter(|p| p.name == name).map(|p| p.gpus).sum();
    let mut series = vec![
        line("by length", &|p| p.gpus),
        line("of them short", &|p| of_pool(p, "short")),
        line("of them long", &|p| of_pool(p, "long")),
    ];
    for plan in plans
        .iter()
        .filter(|p| !matches!(p.topology, Topology::ByLength { .. }))
    {
        series.push(line(&named(plan.topology), &|_| plan.gpus));
    }
    curves_svg("GPUs needed", "boundary, tokens", "GPUs", &series)
}
