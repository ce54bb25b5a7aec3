//! Plans with the policies in the loop: as text, as a picture, and as configurations.

use std::{fs, path::Path};

use fingerpost_fleet::{
    chart::{Series, curves_svg},
    planner::{Optimised, Optimiser, Replay, Topology, Trace, Verified, gateway, pools},
};

use super::{analytic::named, write};
use crate::failure::Failure;

/// What was played, against the formula.
pub(super) fn shown(optimised: &Optimised) -> String {
    let mut text = format!(
        "with the policies in the loop: {} candidates, {} of them played\n{:22} {:34} {:>9} {:>9} {:>9} {:>9} {:>9} {:>6} {:>7} {:>8} {:>8}",
        optimised.candidates.len(),
        optimised.verified.len(),
        "policy",
        "",
        "formula",
        "p99, ms",
        "played",
        "corrected",
        "p99, ms",
        "used",
        "cached",
        "USD/h",
        "tokens/J"
    );
    for (at, one) in optimised.verified.iter().enumerate() {
        let (candidate, plan) = (&one.candidate, &one.candidate.analytic);
        text.push_str(&format!(
            "\n{:22} {:34} {:>9} {:>9.0} {:>9.0}",
            candidate.policy,
            named(plan.topology),
            plan.gpus,
            plan.ttft_p99_ms,
            one.as_planned.ttft_p99_ms,
        ));
        match (&one.corrected, one.gpus, one.usd_per_hour) {
            (Some(played), Some(gpus), Some(usd)) => text.push_str(&format!(
                " {gpus:>9} {:>9.0} {:>6.2} {:>7.3} {usd:>8.1} {:>8.2}  {}{}",
                played.ttft_p99_ms,
                played.pools.iter().map(|p| p.utilisation).fold(0.0, f64::max),
                played.hit_ratio,
                played.tokens_per_joule,
                counts(played),
                if optimised.best == Some(at) { "  best" } else { "" },
            )),
            _ => text.push_str("  keeps the objective at no number tried"),
        }
    }
    text
}

fn counts(played: &Replay) -> String {
    let pools = played.pools.iter().map(|p| format!("{} {}", p.name, p.gpus));
    pools.collect::<Vec<_>>().join(" + ")
}

/// GPUs by the formula over the boundary, a curve a policy, and those that were played.
pub(super) fn drawn(optimised: &Optimised) -> String {
    let at = |topology: Topology| match topology {
        Topology::ByLength { boundary, gamma, .. } if gamma <= 1.0 => Some(f64::from(boundary)),
        _ => None,
    };
    let mut series: Vec<Series> = Vec::new();
    for candidate in &optimised.candidates {
        let Some(boundary) = at(candidate.analytic.topology) else {
            continue;
        };
        let point = (boundary, f64::from(candidate.analytic.gpus));
        match series.iter_mut().find(|s| s.name == candidate.policy) {
            Some(of) => of.points.push(point),
            None => series.push(Series {
                name: candidate.policy.clone(),
                points: vec![point],
            }),
        }
    }
    for one in &mut series {
        one.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    let played = |one: &Verified| Some((at(one.candidate.analytic.topology)?, f64::from(one.gpus?)));
    series.push(Series {
        name: "played and corrected".to_owned(),
        points: optimised.verified.iter().filter_map(played).collect(),
    });
    curves_svg("GPUs needed, by policy", "boundary, tokens", "GPUs", &series)
}

/// Writes the configurations of the best plan.
pub(super) fn emit(
    folder: &Path,
    optimised: &Optimised,
    optimiser: &Optimiser,
    trace: &Trace,
) -> Result<(), Failure> {
    let best = optimised
        .best
        .and_then(|at| optimised.verified.get(at))
        .ok_or_else(|| {
            Failure::from("no plan that was played keeps the objective")
                .with_way_out("--verify with more candidates, or a longer --ttft-ms")
        })?;
    let text = gateway(best, &optimiser.policies, trace).unwrap_or_default();
    fs::create_dir_all(folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    write(&folder.join("gateway.yaml"), &text)?;
    let pools = serde_json::to_string_pretty(&pools(best, &optimiser.wrp))?;
    write(&folder.join("pools.json"), &pools)
}
