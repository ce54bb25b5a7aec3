//! A plan as configurations: of the gateway, as `fingerpost check` takes it, and of the pools behind it.

use std::fmt::Write;

use serde_json::json;

use super::{LoggedRequest, Topology, Trace, Verified, Wrp};
use crate::{FleetPolicy, simulate::Named};

/// The gateway's configuration for a plan: a model for each pool with an endpoint for each GPU (names to be replaced by addresses that are there), the
/// policy on each, and a decision that sends to the short pool what fits it. A gateway does not know how long an answer gets, so
/// the short pool's limit leaves room for all but one in a hundred of the answers of its requests in the log. `None` for a plan that
/// does not keep its objective, or whose policy is not among `policies`.
pub fn gateway(verified: &Verified, policies: &[Named], trace: &Trace) -> Option<String> {
    let policy = &policies
        .iter()
        .find(|n| n.name == verified.candidate.policy)?
        .policy;
    let replay = verified.corrected.as_ref()?;
    let plan = &verified.candidate.analytic;
    let is_apart = matches!(plan.topology, Topology::Disaggregated { .. });
    let mut text = String::from(
        "# Made by `fingerpost fleet plan-pools`. The addresses are placeholders: one for each GPU.\n",
    );
    if is_apart {
        text.push_str(
            "# Prompts go to the prefill pool; handing keys and values to the decode pool is the servers' own work.\n",
        );
    }
    // A request enters a fleet apart by its prefill pool.
    let pools = || {
        replay
            .pools
            .iter()
            .take(if is_apart { 1 } else { replay.pools.len() })
    };
    text.push_str("providers:\n");
    for pool in pools() {
        for gpu in 0..pool.gpus {
            let name = format!("{}-{gpu}", pool.name);
            writeln!(
                text,
                "  {name}: {{ type: openai, base_url: \"http://{name}:8000/v1\" }}"
            )
            .ok()?;
        }
    }
    text.push_str("models:\n");
    for (pool, planned) in pools().zip(&plan.pools) {
        let endpoints: Vec<String> = (0..pool.gpus)
            .map(|gpu| format!("{{ provider: {}-{gpu}, model: served }}", pool.name))
            .collect();
        writeln!(
            text,
            "  {}:\n    context_window: {}\n    endpoints: [{}]\n    # JSON is YAML.\n    fleet: {}",
            pool.name,
            planned.window,
            endpoints.join(", "),
            sent_at_once(policy),
        )
        .ok()?;
    }
    let names: Vec<&str> = pools().map(|p| p.name.as_str()).collect();
    if let (Topology::ByLength { boundary, gamma, .. }, ["short", "long"]) = (plan.topology, &names[..]) {
        let limit = boundary.saturating_sub(answers_p99(trace, boundary)).max(1);
        if gamma > 1.0 {
            writeln!(text, "# Planned for prompts that are shortened where they exceed {boundary} tokens by less than {gamma} times.").ok()?;
        }
        writeln!(text, "signals:\n  context:\n    short: {{ max_tokens: {limit} }}").ok()?;
        text.push_str("decisions:\n  - { name: short, when: \"context:short\", models: [short, long] }\n");
        text.push_str("default_model: long\n");
    } else {
        writeln!(text, "default_model: {}", names.first()?).ok()?;
    }
    Some(text)
}

/// The pools of a plan for whatever starts the servers, and what the plan was made for: one JSON object, which is YAML too.
pub fn pools(verified: &Verified, wrp: &Wrp) -> serde_json::Value {
    let plan = &verified.candidate.analytic;
    let played = verified.corrected.as_ref();
    let pool = |at: usize, planned: &super::PoolPlan| {
        let played = played.and_then(|r| r.pools.get(at));
        json!({
            "name": planned.name,
            "gpus": played.map_or(planned.gpus, |p| p.gpus),
            "max_model_len": planned.window,
            "max_num_seqs": planned.slots,
        })
    };
    let pools: Vec<_> = plan.pools.iter().enumerate().map(|(at, p)| pool(at, p)).collect();
    json!({
        "policy": verified.candidate.policy,
        "topology": plan.topology,
        "pools": pools,
        "ttft_p99_ms": {"analytic": plan.ttft_p99_ms, "simulated": played.map(|r| r.ttft_p99_ms)},
        "usd_per_hour": verified.usd_per_hour,
        "wrp": wrp,
    })
}

/// A policy as JSON, without the queue that the gateway does not keep.
fn sent_at_once(policy: &FleetPolicy) -> String {
    let mut policy = policy.clone();
    if let FleetPolicy::DualMap(config) = &mut policy {
        config.queue = None;
    }
    serde_json::to_string(&policy).unwrap_or_default()
}

/// Tokens that all but one in a hundred of the answers up to a boundary have.
fn answers_p99(trace: &Trace, boundary: u32) -> u32 {
    let fits = |r: &&LoggedRequest| r.input.saturating_add(r.output) <= boundary;
    let mut answers: Vec<u32> = trace.requests.iter().filter(fits).map(|r| r.output).collect();
    answers.sort_unstable();
    let last = answers.len().saturating_sub(1);
    answers.get(last * 99 / 100).copied().unwrap_or(0)
}
