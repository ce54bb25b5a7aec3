//! Fleets for real logs: one pool, pools by length, prefill and decode apart; the card's formula beside them, and the check by events.
//!
//! `cargo run --release -p fingerpost-fleet --example pools -- [RATE]`. All fleets keep the same objective: one request in a hundred may
//! take longer than 5 s to its first token, at a utilisation of at most .85. Arrivals are a Poisson stream at that rate, whatever the
//! log's own are.

use std::{env, error::Error, fs::File, io::BufReader, path::PathBuf};

use fingerpost_fleet::planner::{
    FleetPlan, GpuProfile, Load, Shape, Slo, Topology, Trace, Workload, simulate, size,
};

const LOGS: [(&str, &str); 3] = [
    ("conversation", "azure-llm-2023/AzureLLMInferenceTrace_conv.csv"),
    ("code", "azure-llm-2023/AzureLLMInferenceTrace_code.csv"),
    ("mooncake", "mooncake-traces/conversation_trace.jsonl"),
];
const BOUNDARIES: [u32; 7] = [1_024, 2_048, 3_072, 4_096, 8_192, 16_384, 32_768];
const SLO: Slo = Slo {
    ttft_p99_ms: 5_000.0,
    utilisation: 0.85,
};

fn main() -> Result<(), Box<dyn Error>> {
    let rate = env::args().nth(1).map_or(Ok(2_000.0), |r| r.parse::<f64>())?;
    for (name, file) in LOGS {
        let shared = env::var_os("FINGERPOST_SHARED").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
            PathBuf::from,
        );
        let path = shared.join("data").join(file);
        let Ok(opened) = File::open(&path) else {
            eprintln!("skipped: no {} (set FINGERPOST_SHARED)", path.display());
            continue;
        };
        let trace = Trace::read(BufReader::new(opened))?;
        let workload = Workload::of(&trace)?;
        println!(
            "{name}: {} requests, {:.2} a second, gaps vary by {:.2}, input {:?}, output {:?}, {:?}",
            workload.requests,
            workload.rate,
            workload.burstiness,
            workload.input,
            workload.output,
            workload.classes
        );
        let load = Load {
            arrivals: 1.0,
            ..workload.load(&trace, Some(rate))
        };
        compared(&load)?;
        checked(&load)?;
    }
    Ok(())
}

fn compared(load: &Load) -> Result<(), Box<dyn Error>> {
    let gpu = GpuProfile::default();
    let one = size(load, &gpu, Topology::One, SLO)?;
    println!(
        "  {:34} {:>5} {:>7} {:>9} {:>9}",
        "", "GPUs", "saved", "formula", "tokens/J"
    );
    print(&one, &one, None);
    for boundary in BOUNDARIES {
        for compressible in [0.0, 0.5] {
            let gamma = if compressible > 0.0 { 1.5 } else { 1.0 };
            let Ok(plan) = size(
                load,
                &gpu,
                Topology::ByLength {
                    boundary,
                    gamma,
                    compressible,
                },
                SLO,
            ) else {
                continue;
            };
            print(
                &plan,
                &one,
                (gamma == 1.0).then(|| formula(load, boundary, &plan, &one)),
            );
        }
    }
    // 0.13 MB of keys and values a token at 50 GB/s.
    if let Ok(plan) = size(
        load,
        &gpu,
        Topology::Disaggregated {
            transfer_ms_per_token: 0.0026,
        },
        SLO,
    ) {
        print(&plan, &one, None);
    }
    Ok(())
}

fn print(plan: &FleetPlan, one: &FleetPlan, formula: Option<f64>) {
    let saved = 1.0 - f64::from(plan.gpus) / f64::from(one.gpus);
    let formula = formula.map_or(String::new(), |f| format!("{:.1} %", 100.0 * f));
    let pools = plan
        .pools
        .iter()
        .map(|p| format!("{} {}", p.name, p.gpus))
        .collect::<Vec<_>>()
        .join(" + ");
    let what = match plan.topology {
        Topology::ByLength { boundary, gamma, .. } if gamma > 1.0 => {
            format!("{boundary}, half of up to 1.5 x: {pools}")
        }
        Topology::ByLength { boundary, .. } => format!("{boundary}: {pools}"),
        _ => pools,
    };
    println!(
        "  {what:34} {:>5} {:>6.1}% {formula:>9} {:>9.2}",
        plan.gpus,
        100.0 * saved,
        plan.tokens_per_joule
    );
}

/// What the card says is saved: the short requests' share of the one pool's work, times what their own pool's pace saves of it.
fn formula(load: &Load, boundary: u32, two: &FleetPlan, one: &FleetPlan) -> f64 {
    let gpu = GpuProfile::default();
    let work = |s: &Shape| f64::from(gpu.prefill(s.input)) + f64::from(s.output);
    let short = load
        .shapes
        .iter()
        .filter(|s| s.tokens() <= boundary)
        .map(work)
        .sum::<f64>();
    let share = short / load.shapes.iter().map(work).sum::<f64>();
    let of_short = two
        .pools
        .iter()
        .find(|p| p.name == "short")
        .map_or(0.0, |p| f64::from(p.gpus));
    let gain = share * f64::from(one.gpus) / of_short.max(1.0);
    share * (1.0 - 1.0 / gain.max(f64::MIN_POSITIVE))
}

/// Analytic and simulated times to first token, from light to full.
fn checked(load: &Load) -> Result<(), Box<dyn Error>> {
    let gpu = GpuProfile::default();
    for utilisation in [0.5, 0.7, 0.85] {
        let small = Load {
            rate: load.rate / 50.0,
            ..load.clone()
        };
        let plan = size(
            &small,
            &gpu,
            Topology::One,
            Slo {
                ttft_p99_ms: 1e9,
                utilisation,
            },
        )?;
        let pool = &plan.pools[0];
        // Whole GPUs are rarely just enough: as much comes as makes them so.
        let full = Load {
            rate: small.rate * utilisation / pool.utilisation,
            ..small
        };
        let plan = size(
            &full,
            &gpu,
            Topology::One,
            Slo {
                ttft_p99_ms: 1e9,
                utilisation: utilisation + 1e-9,
            },
        )?;
        let pool = &plan.pools[0];
        let found = (1..=3).filter_map(|seed| simulate(&full, &gpu, pool.window, pool.gpus, 60_000, seed));
        let found: Vec<f64> = found.map(|c| c.ttft_p99_ms).collect();
        let mean = found.iter().sum::<f64>() / found.len() as f64;
        println!(
            "  {} GPUs at {:.2}: one request in a hundred over {:.0} ms, by events {mean:.0} ({:+.1} %)",
            pool.gpus,
            pool.utilisation,
            pool.ttft_p99_ms,
            100.0 * (pool.ttft_p99_ms / mean - 1.0)
        );
    }
    Ok(())
}
