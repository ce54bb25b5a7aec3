//! Plans of batches with real lengths against the baselines, and what each part of a plan is worth.
//!
//! `cargo run --release -p fingerpost-fleet --example zeppelin -- [SEEDS]`. Figures are geometric means over the seeds of the
//! baseline's predicted time over the plan's, with the least in brackets. `bound` is the plan's time over that of all work shared
//! out evenly without any transfer, which no plan can beat.

mod batches;

use batches::{Lengths, batch, spec};
use fingerpost_fleet::zeppelin::{Baseline, Cluster, Costs, PlanOptions, ZeppelinError, plan};
use rand::{SeedableRng, rngs::SmallRng};

/// Nodes and tokens of a batch.
const SIZES: [(u32, u64); 4] = [(2, 262_144), (4, 262_144), (4, 1_048_576), (8, 1_048_576)];
/// Parts switched off: name, spread, remap.
const PARTS: [(&str, bool, bool); 3] = [
    ("no spread", false, true),
    ("no remap", true, false),
    ("neither", false, false),
];

fn main() -> Result<(), ZeppelinError> {
    let seeds = std::env::args()
        .nth(1)
        .and_then(|s| s.parse().ok())
        .unwrap_or(20_u64);
    print!(
        "{:13} {:>5} {:>8} {:>6} {:>6}",
        "lengths", "nodes", "tokens", "ms", "bound"
    );
    let heads = Baseline::ALL.iter().map(|b| b.name()).chain(PARTS.map(|p| p.0));
    heads.for_each(|head| print!(" {head:>16}"));
    println!(" {:>9}", "plan, ms");
    for kind in Lengths::ALL {
        let Some(lengths) = kind.read() else { continue };
        for (nodes, tokens) in SIZES {
            row(kind, &lengths, nodes, tokens, seeds)?;
        }
    }
    Ok(())
}

fn row(kind: Lengths, lengths: &[u32], nodes: u32, tokens: u64, seeds: u64) -> Result<(), ZeppelinError> {
    let (cluster, costs) = (
        Cluster {
            nodes,
            ..spec().cluster
        },
        spec().costs,
    );
    let mut ratios = vec![Vec::new(); Baseline::ALL.len() + PARTS.len()];
    let (mut step, mut took, mut bound) = (0.0, 0.0, 0.0);
    for seed in 0..seeds {
        let batch = batch(lengths, tokens, &mut SmallRng::seed_from_u64(seed));
        let start = std::time::Instant::now();
        let best = plan(&batch, &cluster, &costs, &PlanOptions::default())?;
        took += start.elapsed().as_secs_f64() * 1e3;
        step += best.times.step_ms;
        bound += batch.iter().map(|l| work_ms(*l, &costs)).sum::<f64>() / f64::from(cluster.devices());
        let of_baselines = best.baselines.iter().map(|b| b.speed_up);
        let without = |(_, spread, remap): (&str, bool, bool)| {
            let poorer = plan(&batch, &cluster, &costs, &PlanOptions { spread, remap })?;
            Ok(poorer.times.step_ms / best.times.step_ms)
        };
        let of_parts = PARTS
            .into_iter()
            .map(without)
            .collect::<Result<Vec<f64>, ZeppelinError>>()?;
        for (all, ratio) in ratios.iter_mut().zip(of_baselines.chain(of_parts)) {
            all.push(ratio);
        }
    }
    let n = seeds.max(1) as f64;
    print!(
        "{:13} {nodes:>5} {tokens:>8} {:>6.0} {:>6.2}",
        format!("{kind:?}"),
        step / n,
        step / bound
    );
    for all in &ratios {
        let mean = (all.iter().map(|r| r.ln()).sum::<f64>() / n).exp();
        let least = all.iter().copied().fold(f64::INFINITY, f64::min);
        print!(" {:>16}", format!("{mean:.2} ({least:.2})"));
    }
    println!(" {:>9.1}", took / n);
    Ok(())
}

/// What a sequence costs one device.
fn work_ms(length: u32, costs: &Costs) -> f64 {
    let length = f64::from(length);
    length * (length + 1.0) / 2.0 * costs.attention_ns_per_pair / 1e6
        + length * costs.linear_us_per_token / 1e3
}
