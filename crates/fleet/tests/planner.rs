//! The relations of the card of Workload-Router-Pool (`systems/13`) that need no simulator but their own.
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

use std::{env, fs::File, io::BufReader, path::PathBuf};

use fingerpost_fleet::planner::{
    GpuProfile, Load, PlanError, Shape, Slo, Topology, Trace, Workload, simulate, size,
};
use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::SmallRng};

/// A log of the shared data; says so if it is not there.
fn trace(file: &str) -> Option<Trace> {
    let shared = env::var_os("FINGERPOST_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = shared.join("data").join(file);
    let Ok(file) = File::open(&path) else {
        eprintln!("skipped: no {} (set FINGERPOST_SHARED)", path.display());
        return None;
    };
    Some(Trace::read(BufReader::new(file)).unwrap())
}

/// Mostly short requests and some long ones.
fn mixed(rate: f64) -> Load {
    let mut rng = SmallRng::seed_from_u64(9);
    let mut shape = || {
        let input = if rng.random_bool(0.9) {
            rng.random_range(100..3_000)
        } else {
            rng.random_range(3_000..30_000)
        };
        Shape {
            input,
            output: rng.random_range(20..600),
            cached: 0,
        }
    };
    Load {
        rate,
        arrivals: 1.0,
        shapes: (0..2_000).map(|_| shape()).collect(),
    }
}

fn by_length(boundary: u32) -> Topology {
    Topology::ByLength {
        boundary,
        gamma: 1.0,
        compressible: 0.0,
    }
}

#[test]
fn events_agree_with_the_formula_up_to_a_utilisation_of_85_percent() {
    // Few slots, so that requests do wait; one GPU and several.
    for (max_slots, gpus) in [(1, 1), (4, 1), (8, 2), (64, 3)] {
        let gpu = GpuProfile {
            max_slots,
            ..GpuProfile::default()
        };
        for utilisation in [0.5, 0.7, 0.85] {
            let slo = Slo {
                ttft_p99_ms: 1e9,
                utilisation,
            };
            let mut load = mixed(1.0);
            load.rate = rate_for(&load, &gpu, gpus, utilisation);
            let plan = size(&load, &gpu, Topology::One, slo).unwrap();
            let pool = &plan.pools[0];
            assert_eq!(pool.gpus, gpus);
            let runs = (1..=4).map(|seed| {
                simulate(&load, &gpu, pool.window, gpus, 60_000, seed)
                    .unwrap()
                    .ttft_p99_ms
            });
            let found = runs.sum::<f64>() / 4.0;
            let off = pool.ttft_p99_ms / found - 1.0;
            assert!(
                off.abs() < 0.15,
                "{max_slots} slots, {gpus} GPUs, {utilisation}: {found:.0} ms, off {off:+.3}"
            );
        }
    }
}

/// The rate at which so many GPUs are just enough at a utilisation.
fn rate_for(load: &Load, gpu: &GpuProfile, gpus: u32, utilisation: f64) -> f64 {
    let slo = Slo {
        ttft_p99_ms: 1e9,
        utilisation,
    };
    let (mut low, mut high) = (0.0, 1e6);
    for _ in 0..60 {
        let rate = (low + high) / 2.0;
        let needs =
            size(&Load { rate, ..load.clone() }, gpu, Topology::One, slo).map_or(u32::MAX, |p| p.gpus);
        if needs > gpus { high = rate } else { low = rate }
    }
    low
}

#[test]
fn pools_by_length_need_fewer_gpus_for_the_same_objective() {
    let (gpu, slo) = (
        GpuProfile::default(),
        Slo {
            ttft_p99_ms: 3_000.0,
            utilisation: 0.85,
        },
    );
    let load = mixed(1_000.0);
    let one = size(&load, &gpu, Topology::One, slo).unwrap();
    let two = size(&load, &gpu, by_length(4_096), slo).unwrap();
    assert!(
        two.gpus < one.gpus && two.ttft_p99_ms <= 3_000.0,
        "{} against {}",
        two.gpus,
        one.gpus
    );
    assert!(two.tokens_per_joule > one.tokens_per_joule);
}

#[test]
fn shortening_what_is_just_too_long_saves_more() {
    let (gpu, slo) = (
        GpuProfile::default(),
        Slo {
            ttft_p99_ms: 3_000.0,
            utilisation: 0.85,
        },
    );
    let with = |compressible| Topology::ByLength {
        boundary: 4_096,
        gamma: 2.0,
        compressible,
    };
    let gpus = [0.0, 0.5, 1.0].map(|c| size(&mixed(1_000.0), &gpu, with(c), slo).unwrap().gpus);
    assert!(gpus[0] > gpus[1] && gpus[1] > gpus[2], "{gpus:?}");
}

#[test]
fn real_logs_are_described_and_planned() {
    for (file, fits_2k) in [
        ("azure-llm-2023/AzureLLMInferenceTrace_conv.csv", 0.85),
        ("azure-llm-2023/AzureLLMInferenceTrace_code.csv", 0.60),
        ("mooncake-traces/conversation_trace.jsonl", 0.20),
    ] {
        let Some(trace) = trace(file) else { continue };
        let workload = Workload::of(&trace).unwrap();
        let share = workload.fits.iter().find(|f| f.0 == 2_048).unwrap().1;
        assert!((share - fits_2k).abs() < 0.1, "{file}: {share}");
        let load = workload.load(&trace, Some(2_000.0));
        let slo = Slo {
            ttft_p99_ms: 10_000.0,
            utilisation: 0.85,
        };
        let gpu = GpuProfile::default();
        let one = size(&load, &gpu, Topology::One, slo).unwrap();
        let boundaries = [1_024, 2_048, 4_096, 8_192, 16_384, 32_768];
        let best = boundaries
            .map(|b| size(&load, &gpu, by_length(b), slo).unwrap().gpus)
            .into_iter()
            .min()
            .unwrap();
        assert!(best < one.gpus, "{file}: {best} against {}", one.gpus);
        let apart = Topology::Disaggregated {
            transfer_ms_per_token: 0.003,
        };
        assert!(size(&load, &gpu, apart, slo).is_ok());
    }
}

#[test]
fn what_cannot_be_planned_says_why() {
    let (gpu, slo) = (GpuProfile::default(), Slo::default());
    let said = |load: &Load, gpu: &GpuProfile, topology, slo| {
        size(load, gpu, topology, slo).unwrap_err().to_string()
    };
    let load = mixed(10.0);
    assert_eq!(
        size(
            &Load {
                shapes: vec![],
                ..load
            },
            &gpu,
            Topology::One,
            slo
        ),
        Err(PlanError::NoRequests)
    );
    assert!(
        said(
            &Load {
                rate: f64::NAN,
                ..load.clone()
            },
            &gpu,
            Topology::One,
            slo
        )
        .contains("rate is NaN")
    );
    let small = GpuProfile {
        kv_tokens: 4_000,
        ..gpu
    };
    assert!(said(&load, &small, Topology::One, slo).contains("a GPU holds 4000"));
    let strict = Slo {
        ttft_p99_ms: 1.0,
        ..slo
    };
    assert!(said(&load, &gpu, Topology::One, strict).contains("even alone on a GPU"));
    let busy = Slo {
        utilisation: 1.0,
        ..slo
    };
    assert!(said(&load, &gpu, Topology::One, busy).contains("slo.utilisation is 1"));
    assert!(said(&load, &gpu, by_length(0), slo).contains("boundary is 0"));
    assert!(said(&Load { rate: 1e12, ..load }, &gpu, Topology::One, slo).contains("more than 100000 GPUs"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plans_keep_their_objective_and_more_load_never_needs_fewer(
        rate in 1.0..500.0f64,
        ttft_p99_ms in 500.0..20_000.0f64,
        utilisation in 0.2..0.95f64,
        boundary in 256u32..40_000,
    ) {
        let (gpu, slo) = (GpuProfile::default(), Slo { ttft_p99_ms, utilisation });
        for topology in [Topology::One, by_length(boundary), Topology::Disaggregated { transfer_ms_per_token: 0.001 }] {
            let Ok(plan) = size(&mixed(rate), &gpu, topology, slo) else { continue };
            prop_assert!(plan.ttft_p99_ms <= ttft_p99_ms * 1.01);
            prop_assert!(plan.pools.iter().all(|p| p.utilisation <= utilisation + 1e-9 && p.gpus > 0));
            let more = size(&mixed(1.5 * rate), &gpu, topology, slo).unwrap();
            prop_assert!(more.gpus >= plan.gpus);
        }
    }
}
