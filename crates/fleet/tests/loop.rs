//! Plans with the routing policy in the loop: what events say of the formula, and what comes of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails panics")]

use fingerpost_fleet::{
    planner::{
        GpuProfile, LoggedRequest, Mix, Optimiser, Replay, Slo, Stream, Topology, Trace, Workload, Wrp,
        gateway, replay, size,
    },
    simulate::Named,
};

fn named(name: &str) -> Named {
    Named::find(&[name.to_owned()]).unwrap().remove(0)
}

fn optimiser(policies: &[&str], requests: usize) -> Optimiser {
    Optimiser {
        gpu: GpuProfile::default(),
        wrp: Wrp {
            slo: Slo {
                ttft_p99_ms: 2_000.0,
                utilisation: 0.85,
            },
            boundaries: vec![2_048, 4_096],
            ..Wrp::default()
        },
        policies: policies.iter().map(|p| named(p)).collect(),
        verify: 3,
        requests,
        seed: 1,
    }
}

fn played(trace: &Trace, rate: f64, topology: Topology, policy: &str, gpus: &[u32]) -> Replay {
    let stream = Stream::of(trace, rate, trace.requests.len());
    let policy = named(policy).policy;
    replay(&stream, &GpuProfile::default(), topology, &policy, gpus, None, 1).unwrap()
}

/// Requests all alike, evenly spaced.
fn alike(count: u32, input: u32, output: u32) -> Trace {
    let one = |i: u32| LoggedRequest {
        arrival_s: f64::from(i),
        input,
        output,
        ..LoggedRequest::default()
    };
    Trace {
        requests: (0..count).map(one).collect(),
        out_of_order: 0,
    }
}

#[test]
fn a_lone_request_takes_its_chunks_and_a_cached_one_does_not() {
    // Two chunks at 8 ms and what one sequence of 1,029 tokens adds.
    let trace = alike(100, 1_024, 10);
    let found = played(&trace, 1.0, Topology::One, "round_robin", &[2]);
    let iteration = 8.0 + 0.65 * 1_029.0 / 8_192.0;
    assert!((found.ttft_p50_ms - 2.0 * iteration).abs() < 1e-6, "{found:?}");
    assert_eq!((found.requests, found.hit_ratio), (90, 0.0));
    let pool = &found.pools[0];
    assert!(
        (pool.busy_slots - 12.0 * iteration / 2e3).abs() < 1e-3,
        "{pool:?}"
    );
    // The same prompt again and again: all of it is there but the last token, which takes one iteration.
    let mut warm = trace;
    for request in &mut warm.requests {
        request.blocks = Some([1, 2].into());
    }
    let found = played(&warm, 1.0, Topology::One, "consistent_hash", &[2]);
    assert!(
        (found.ttft_p50_ms - iteration).abs() < 0.1 && found.hit_ratio > 0.99,
        "{found:?}"
    );
}

#[test]
fn prefill_apart_adds_the_transfer_and_an_iteration() {
    let trace = alike(100, 1_024, 10);
    let apart = Topology::Disaggregated {
        transfer_ms_per_token: 0.01,
    };
    let found = played(&trace, 1.0, apart, "least_load", &[1, 1]);
    let names: Vec<&str> = found.pools.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["prefill", "decode"]);
    let (prompt, answer) = (8.0 + 0.65 * 1_024.0 / 8_192.0, 8.0 + 0.65 * 1_029.0 / 8_192.0);
    let expected = 2.0 * prompt + 10.24 + answer;
    assert!(
        (found.ttft_p50_ms - expected).abs() < 0.01,
        "{found:?} {expected}"
    );
}

#[test]
fn those_without_patience_ask_again_and_make_it_worse() {
    let trace = Mix::Agent.log(3_000, 60.0, 3);
    let stream = Stream::of(&trace, 60.0, 3_000);
    let gpu = GpuProfile::default();
    let policy = named("least_load").policy;
    let with = |patience| replay(&stream, &gpu, Topology::One, &policy, &[2], patience, 1).unwrap();
    let (patient, impatient) = (with(None), with(Some(2.0)));
    assert_eq!(patient.asked_again, 0.0);
    assert!(impatient.asked_again > 0.05, "{impatient:?}");
    assert!(impatient.ttft_p99_ms > patient.ttft_p99_ms);
}

#[test]
fn events_with_a_balancing_policy_agree_with_the_formula() {
    // Nothing is cached, loads are even: the formula's case.
    let mut trace = Mix::Chat.log(8_000, 200.0, 4);
    trace.requests.iter_mut().for_each(|r| r.blocks = None);
    let load = Workload::of(&trace).unwrap().load(&trace, None);
    let slo = Slo {
        ttft_p99_ms: 2_000.0,
        utilisation: 0.85,
    };
    let plan = size(&load, &GpuProfile::default(), Topology::One, slo).unwrap();
    let found = played(&trace, load.rate, Topology::One, "least_load", &[plan.gpus]);
    let off = plan.ttft_p99_ms / found.ttft_p99_ms - 1.0;
    assert!(off.abs() < 0.15, "{} {}", plan.ttft_p99_ms, found.ttft_p99_ms);
    let used = plan.pools[0].utilisation / found.pools[0].utilisation - 1.0;
    assert!(used.abs() < 0.1, "{plan:?} {found:?}");
}

#[test]
fn the_best_are_played_corrected_and_can_be_configured() {
    let trace = Mix::Mixed.log(4_000, 120.0, 2);
    let optimiser = optimiser(&["round_robin", "least_load", "dualmap"], 4_000);
    let found = optimiser.optimise(&trace, None).unwrap();
    // Three policies on one pool, two boundaries, and apart where the objective allows it.
    assert!(found.candidates.len() >= 9, "{}", found.candidates.len());
    assert_eq!(found.verified.len(), 3);
    let gpus: Vec<u32> = found.candidates.iter().map(|c| c.analytic.gpus).collect();
    assert!(gpus.is_sorted());
    let hits = |policy: &str| {
        let of = found.candidates.iter().find(|c| c.policy == policy);
        of.unwrap().hit_ratio
    };
    assert!(
        hits("dualmap") > hits("round_robin") + 0.05,
        "{} {}",
        hits("dualmap"),
        hits("round_robin")
    );
    let best = &found.verified[found.best.unwrap()];
    let played = best.corrected.as_ref().unwrap();
    assert!(played.ttft_p99_ms <= 2_000.0);
    assert!(played.pools.iter().all(|p| p.utilisation <= 0.85));
    // One GPU fewer in any pool does not keep it.
    for at in 0..played.pools.len() {
        let mut fewer: Vec<u32> = played.pools.iter().map(|p| p.gpus).collect();
        if fewer[at] == 1 {
            continue;
        }
        fewer[at] -= 1;
        let policy = &best.candidate.policy;
        let stream = Stream::of(&trace, Workload::of(&trace).unwrap().rate, 4_000);
        let less = replay(
            &stream,
            &optimiser.gpu,
            best.candidate.analytic.topology,
            &named(policy).policy,
            &fewer,
            None,
            1,
        )
        .unwrap();
        assert!(less.pools[at].ttft_p99_ms > 2_000.0 || less.pools[at].utilisation > 0.85);
    }
    let text = gateway(best, &optimiser.policies, &trace).unwrap();
    assert!(
        text.contains("providers:\n") && text.contains("\"policy\":"),
        "{text}"
    );
}

#[test]
fn tuned_together_never_costs_more() {
    let mut optimiser = optimiser(&["power_of_two", "bounded_hash"], 2_000);
    optimiser.wrp.boundaries = vec![2_048];
    for coupled in optimiser.coupling([150.0, 40.0, 70.0]).unwrap() {
        let cost = |g: Option<u32>| g.unwrap_or(u32::MAX);
        assert!(
            cost(coupled.together.gpus) <= cost(coupled.apart.gpus),
            "{coupled:?}"
        );
    }
}

#[test]
fn nine_cells_are_measured() {
    let trace = Mix::Mixed.log(2_000, 60.0, 2);
    let mut optimiser = optimiser(&["power_of_two", "bounded_hash"], 2_000);
    optimiser.wrp.boundaries = vec![4_096];
    let cells = optimiser.matrix(&trace, None).unwrap();
    assert_eq!(cells.len(), 9);
    for cell in &cells {
        assert!(cell.without.1 >= 0.0 && cell.with.1 >= 0.0, "{cell:?}");
        assert!(cell.gain() <= 1.0);
    }
    // Rules: queries do fire two of them, and never in a group; no meeting is missed.
    assert!(cells[4].without.1 > 1.0 && cells[4].with.1 == 0.0 && cells[4].note.contains(" 0 meetings"));
    // Few GPUs make more of those who ask again.
    assert!(cells[6].without.1 >= cells[6].with.1, "{:?}", cells[6]);
    assert!(fingerpost_fleet::planner::page(&cells, "a <log>").contains("a &lt;log&gt;"));
}
