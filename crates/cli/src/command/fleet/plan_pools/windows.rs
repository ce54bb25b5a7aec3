//! Over a log that changes: where it would have been planned anew, and what that changes.

use fingerpost_fleet::planner::{Optimiser, PlanError, Topology, Trace, Watched, Workload, watch};
use serde::Serialize;

use super::{analytic::named, fewest, plans};

/// A plan, in short.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Planned {
    /// Where policies are in the loop.
    policy: Option<String>,
    topology: Topology,
    pools: Vec<(String, u32)>,
    gpus: u32,
}

/// Goes through the log; each plan is for its window, at the window's own rate or the one asked for.
pub(super) fn watched(
    trace: &Trace,
    optimiser: &Optimiser,
    rate: Option<f64>,
) -> Result<Vec<Watched<Planned>>, PlanError> {
    let wrp = &optimiser.wrp;
    watch(
        trace,
        wrp.window_s,
        wrp.reopt_distance,
        wrp.min_interval_s,
        |window| {
            if optimiser.policies.is_empty() {
                let load = Workload::of(window)?.load(window, rate);
                let plans = plans(&load, &optimiser.gpu, wrp)?;
                let plan = &plans[fewest(&plans)];
                return Ok(Planned {
                    policy: None,
                    topology: plan.topology,
                    pools: plan.pools.iter().map(|p| (p.name.clone(), p.gpus)).collect(),
                    gpus: plan.gpus,
                });
            }
            let optimised = optimiser.optimise(window, rate)?;
            let best = optimised.best.and_then(|at| optimised.verified.get(at));
            let best = best.ok_or(PlanError::NotKept)?;
            let pools = best.corrected.iter().flat_map(|r| &r.pools);
            Ok(Planned {
                policy: Some(best.candidate.policy.clone()),
                topology: best.candidate.analytic.topology,
                pools: pools.map(|p| (p.name.clone(), p.gpus)).collect(),
                gpus: best.gpus.unwrap_or(0),
            })
        },
    )
}

/// As a table.
pub(super) fn shown(watched: &[Watched<Planned>]) -> String {
    let mut text = format!(
        "{:>9} {:>9} {:>9} {:>9}",
        "from, s", "requests", "a second", "distance"
    );
    let mut last: Option<&Planned> = None;
    for window in watched {
        let distance = window.distance.map_or("-".to_owned(), |d| format!("{d:.3}"));
        text.push_str(&format!(
            "\n{:>9.0} {:>9} {:>9.2} {distance:>9}",
            window.from_s, window.requests, window.rate
        ));
        if let Some(plan) = &window.plan {
            text.push_str(&match last {
                None => format!("  planned: {}", plan.said()),
                Some(before) if before == plan => format!("  planned anew, nothing changes: {}", plan.said()),
                Some(before) => format!("  planned anew: {} -> {}", before.said(), plan.said()),
            });
            last = Some(plan);
        }
    }
    text
}

// === impl Planned ===

impl Planned {
    fn said(&self) -> String {
        let pools = self.pools.iter().map(|(name, gpus)| format!("{name} {gpus}"));
        let pools = pools.collect::<Vec<_>>().join(" + ");
        let policy = self.policy.as_ref().map_or(String::new(), |p| format!("{p}, "));
        format!("{policy}{} ({pools})", named(self.topology))
    }
}
