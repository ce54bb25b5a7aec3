//! The plans of the formula: as text, and as a picture over the boundary.

use fingerpost_fleet::{
    chart::{Series, curves_svg},
    planner::{Checked, FleetPlan, Load, Topology, Workload},
};

/// A division in words.
pub(super) fn named(topology: Topology) -> String {
    match topology {
        Topology::One => "one pool".to_owned(),
        Topology::ByLength { boundary, gamma, .. } if gamma > 1.0 => {
            format!("up to {boundary} tokens (x {gamma}), and beyond")
        }
        Topology::ByLength { boundary, .. } => format!("up to {boundary} tokens, and beyond"),
        Topology::Disaggregated { .. } => "prefill and decode apart".to_owned(),
    }
}

/// All plans as a table.
pub(super) fn shown(
    workload: &Workload,
    load: &Load,
    plans: &[FleetPlan],
    best: usize,
    checks: &[Checked],
) -> String {
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
pub(super) fn drawn(plans: &[FleetPlan]) -> String {
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
