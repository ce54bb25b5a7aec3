//! What a plan of sequences promises: every token once, memory kept, no baseline faster; and the card's relations on real lengths.
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

#[path = "../examples/zeppelin/batches.rs"]
mod batches;

use batches::{Lengths, batch, spec};
use fingerpost_fleet::zeppelin::{Baseline, Cluster, Costs, Placement, Plan, PlanOptions, plan};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::SmallRng};

fn planned(lengths: &[u32], cluster: &Cluster) -> Plan {
    plan(lengths, cluster, &Costs::default(), &PlanOptions::default()).unwrap()
}

fn against(plan: &Plan, baseline: Baseline) -> f64 {
    plan.baselines
        .iter()
        .find(|b| b.baseline == baseline)
        .unwrap()
        .speed_up
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_places_every_token_once_and_no_baseline_is_faster(
        short in prop::collection::vec(1u32..4_000, 1..60),
        long in prop::collection::vec(4_000u32..120_000, 0..6),
        nodes in 1u32..4,
        devices_per_node in 1u32..5,
        tokens_per_device in 40_000u32..200_000,
        spread: bool,
        remap: bool,
    ) {
        let lengths = [short, long].concat();
        let cluster = Cluster { nodes, devices_per_node, tokens_per_device, ..Cluster::default() };
        let options = PlanOptions { spread, remap };
        let plan = match plan(&lengths, &cluster, &Costs::default(), &options) {
            Ok(plan) => plan,
            Err(error) => {
                let total: u64 = lengths.iter().map(|l| u64::from(*l)).sum();
                let why = format!("{total} tokens, and no way");
                prop_assert!(error.to_string().starts_with(&why));
                return Ok(());
            }
        };
        for baseline in plan.baselines.iter().filter(|b| b.fits) {
            prop_assert!(plan.times.step_ms <= baseline.step_ms, "{baseline:?} {:?}", plan.times);
        }
        let mut ranges = vec![Vec::<(u32, u32)>::new(); lengths.len()];
        let mut held = vec![0u64; cluster.devices() as usize];
        for chunk in plan.groups.iter().flat_map(|g| &g.chunks) {
            ranges[chunk.sequence as usize].extend(&chunk.ranges);
            held[chunk.device as usize] += chunk.ranges.iter().map(|(a, b)| u64::from(b - a)).sum::<u64>();
        }
        for (mut own, length) in ranges.into_iter().zip(&lengths) {
            own.sort_unstable();
            prop_assert!(own[0].0 == 0 && own.last().unwrap().1 == *length);
            prop_assert!(own.windows(2).all(|w| w[0].1 == w[1].0));
        }
        prop_assert_eq!(&held, &plan.tokens);
        prop_assert!(held.iter().all(|h| *h <= u64::from(tokens_per_device)));
        prop_assert!(remap || plan.moves.is_empty());
        let read: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
        prop_assert_eq!(read.groups, plan.groups);
    }
}

#[test]
fn equal_short_sequences_need_nothing_but_an_even_deal() {
    for per_device in [1, 4] {
        let lengths = vec![1_000; 32 * per_device];
        let plan = planned(&lengths, &Cluster::default());
        let gain = against(&plan, Baseline::LeastAttention);
        assert!((1.0..1.02).contains(&gain), "{gain}");
    }
}

#[test]
fn one_long_sequence_among_short_ones_is_cut() {
    let mut lengths = vec![500; 200];
    lengths.push(300_000);
    let plan = planned(&lengths, &Cluster::default());
    assert!(matches!(plan.placement, Placement::Hierarchical { .. }));
    assert!(
        against(&plan, Baseline::LeastAttention) > 8.0,
        "{:?}",
        plan.baselines
    );
    assert!(!plan.transfers.is_empty());
    let bytes =
        |t: &fingerpost_fleet::zeppelin::Transfer| t.bytes_per_nic.iter().filter(|b| **b > 0.0).count();
    assert!(
        plan.transfers.iter().all(|t| bytes(t) == 8),
        "spread over all cards"
    );
}

#[test]
fn what_cannot_be_planned_says_why() {
    let (options, costs) = (PlanOptions::default(), Costs::default());
    let said = |lengths: &[u32], cluster: &Cluster, costs: &Costs| {
        plan(lengths, cluster, costs, &options).unwrap_err().to_string()
    };
    let sound = Cluster::default();
    assert!(said(&[], &sound, &costs).contains("no lengths"));
    assert!(said(&[5, 0], &sound, &costs).starts_with("entry 2: 0 is no length"));
    assert!(
        said(
            &[5],
            &Cluster {
                devices_per_node: 0,
                ..sound
            },
            &costs
        )
        .contains("4 nodes of 0 devices")
    );
    assert!(said(&[u32::MAX], &sound, &costs).contains("4294967295 tokens, and no way to place them"));
    let broken = Costs {
        attention_ns_per_pair: f64::INFINITY,
        ..costs
    };
    assert!(said(&[5], &sound, &broken).contains("costs.attention_ns_per_pair is inf"));
}

#[test]
fn on_real_lengths_a_step_is_half_as_long_again_under_an_even_split() {
    let spec = spec();
    for kind in Lengths::ALL {
        let Some(lengths) = kind.read() else { continue };
        for seed in 1..=3 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let plan = planned(&batch(&lengths, 400_000, &mut rng), &spec.cluster);
            for baseline in &plan.baselines {
                assert!(
                    !baseline.fits || baseline.speed_up >= 1.0,
                    "{kind:?} {seed}: {baseline:?}"
                );
            }
            let gain = against(&plan, Baseline::EvenSplit);
            assert!(gain >= 1.5, "{kind:?} {seed}: {gain}");
            assert!(against(&plan, Baseline::RingAll) >= 1.5, "{kind:?} {seed}");
        }
    }
}
