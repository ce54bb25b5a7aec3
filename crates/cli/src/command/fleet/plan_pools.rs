//! `fingerpost fleet plan-pools`: how many GPUs a log of requests needs, and how it is best divided among them; with policies in the loop,
//! and over a log that changes.

mod analytic;
mod asked;
mod looped;
mod windows;

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use fingerpost_fleet::{
    planner::{
        Checked, FleetPlan, GpuProfile, Load, Optimiser, PlanError, Topology, Trace, Workload, Wrp, simulate,
        size,
    },
    simulate::Named,
};
use serde_json::json;

pub(super) use self::asked::Asked;
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
    #[command(flatten)]
    asked: Asked,
    /// Routing policies to put in the loop (all, or some by name): each is sized with each division, the best are played by events and their
    /// GPUs corrected
    #[arg(long, value_name = "A,B|all", value_delimiter = ',')]
    policies: Vec<String>,
    /// How many of the best by the formula are played
    #[arg(long, value_name = "N", default_value_t = 3, requires = "policies")]
    verify: usize,
    /// Requests that are played, from the log's beginning and around again
    #[arg(long, value_name = "N", default_value_t = 20_000, requires = "policies")]
    requests: usize,
    /// Of everything that is drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where gateway.yaml (for `fingerpost check`) and pools.json of the best plan go
    #[arg(
        long,
        value_name = "FOLDER",
        requires = "policies",
        conflicts_with = "windows"
    )]
    emit: Option<PathBuf>,
    /// Goes through the log window by window instead, and says where it would have been planned anew and what changes
    #[arg(long, conflicts_with_all = ["check", "svg"])]
    windows: bool,
    /// Plays the best plan of the formula by events, pool by pool, without a policy
    #[arg(long)]
    check: bool,
    /// Where a picture goes of the GPUs needed at each boundary
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

// === impl PlanPools ===

impl PlanPools {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let trace = self.log(output)?;
        let gpu: GpuProfile = match &self.gpu {
            Some(path) => serde_json::from_str(&read(path)?)
                .map_err(|e| Failure::from(e).with_way_out("an object with keys of the GPU's profile"))?,
            None => GpuProfile::default(),
        };
        let wrp = self.asked.wrp()?;
        let optimiser = Optimiser {
            gpu,
            wrp,
            policies: Named::find(&self.policies)?,
            verify: self.verify,
            requests: self.requests,
            seed: self.seed,
        };
        if self.windows {
            let watched = windows::watched(&trace, &optimiser, self.rate)?;
            output.result(
                &windows::shown(&watched),
                &json!({"wrp": optimiser.wrp, "windows": watched}),
            );
            return Ok(ExitCode::SUCCESS);
        }
        let workload = Workload::of(&trace)?;
        let load = workload.load(&trace, self.rate);
        let plans = plans(&load, &optimiser.gpu, &optimiser.wrp)?;
        let best = fewest(&plans);
        let checks = if self.check {
            checks(&plans[best], &load, &optimiser.gpu)
        } else {
            Vec::new()
        };
        let mut text = analytic::shown(&workload, &load, &plans, best, &checks);
        let mut object =
            json!({"workload": workload, "rate": load.rate, "plans": plans, "best": best, "checks": checks});
        let mut found = None;
        if !optimiser.policies.is_empty() {
            let optimised = optimiser.optimise(&trace, self.rate)?;
            text.push_str("\n\n");
            text.push_str(&looped::shown(&optimised));
            object["policies"] = json!(optimised);
            if let Some(folder) = &self.emit {
                looped::emit(folder, &optimised, &optimiser, &trace)?;
            }
            found = Some(optimised);
        }
        if let Some(path) = &self.svg {
            let picture = found.map_or_else(|| analytic::drawn(&plans), |found| looped::drawn(&found));
            write(path, &picture)?;
        }
        output.result(&text, &object);
        Ok(ExitCode::SUCCESS)
    }

    fn log(&self, output: Output) -> Result<Trace, Failure> {
        let trace = read_log(&self.trace)?;
        if trace.out_of_order > 0 {
            output.note(&format!(
                "{} requests were out of order and have been sorted",
                trace.out_of_order
            ));
        }
        Ok(trace)
    }
}

/// Reads a log of requests.
pub(super) fn read_log(path: &Path) -> Result<Trace, Failure> {
    let opened = File::open(path).map_err(|e| {
        Failure::from(format!("cannot read {}: {e}", path.display())).with_way_out("a file that is there")
    })?;
    Ok(Trace::read(BufReader::new(opened))?)
}

/// The place of the plan with the fewest GPUs.
fn fewest(plans: &[FleetPlan]) -> usize {
    let best = plans.iter().enumerate().min_by_key(|(_, p)| p.gpus);
    best.map_or(0, |(i, _)| i)
}

/// One pool first; those of other ways that cannot keep the objective are left out.
fn plans(load: &Load, gpu: &GpuProfile, wrp: &Wrp) -> Result<Vec<FleetPlan>, PlanError> {
    let mut plans = vec![size(load, gpu, Topology::One, wrp.slo)?];
    for topology in wrp.topologies().into_iter().skip(1) {
        match size(load, gpu, topology, wrp.slo) {
            Ok(plan) => plans.push(plan),
            Err(PlanError::Objective { .. } | PlanError::Window { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(plans)
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
