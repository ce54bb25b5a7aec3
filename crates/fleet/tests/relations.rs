//! What the fleet's parts promise whatever happens to them: balance of two choices, and a breaker under random histories.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use fingerpost_core::{Catalogue, Context, Limits, Profile, Timestamp};
use fingerpost_fleet::{
    Breaker, BreakerConfig, BreakerState, Fleet, FleetPolicy, HedgeBudget, HedgeConfig, InstanceQuery,
    LoadConfig, NoOptions,
};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::SmallRng};

/// By how much the most loaded of 64 instances exceeds the mean after 3,200 calls that never end.
fn excess(policy: &FleetPolicy, seed: u64) -> u32 {
    let catalogue = Catalogue::new((0..64).map(|i| Profile::named(format!("i{i}")))).unwrap();
    let (fleet, ids, mut rng) = (
        Fleet::new(policy, "fleet", &catalogue),
        catalogue.ids(),
        SmallRng::seed_from_u64(seed),
    );
    let limits = Limits::NONE;
    let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
    for _ in 0..64 * 50 {
        let decision = fleet
            .router()
            .route(&InstanceQuery::default(), &ids, &mut cx)
            .unwrap();
        catalogue.get(decision.first().id).unwrap().live.begin();
    }
    catalogue.iter().map(|c| c.live.in_flight()).max().unwrap() - 50
}

#[test]
fn two_choices_balance_far_better_than_one() {
    for seed in 0..5 {
        let (two, one) = (
            excess(&FleetPolicy::PowerOfTwo(LoadConfig::default()), seed),
            excess(&FleetPolicy::Random(NoOptions {}), seed),
        );
        assert!(
            two <= 4 && one >= 10,
            "seed {seed}: {two} above the mean against {one}"
        );
        assert_eq!(excess(&FleetPolicy::LeastLoad(LoadConfig::default()), seed), 0);
    }
}

#[test]
fn hedges_stay_a_share_of_the_requests() {
    let config = HedgeConfig {
        budget_ratio: 0.1,
        ..HedgeConfig::default()
    };
    let budget = HedgeBudget::new(Some(&config));
    let now = Timestamp::from_millis(1000);
    while budget.withdraw(now) {}
    let hedged = (0..1000).filter(|_| {
        budget.deposit();
        budget.withdraw(now)
    });
    assert_eq!(hedged.count(), 100);
}

#[derive(Debug, Clone)]
enum Event {
    Wait(u64),
    Call { fails: bool },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (1..30_000_u64).prop_map(Event::Wait),
        any::<bool>().prop_map(|fails| Event::Call { fails })
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Nothing passes while it is open; what it says of its state, of its wait and of its admittance agrees; it opens on a
    /// failure only; and once the other side is sound it closes within its longest open time and the probes that it asks for.
    #[test]
    fn a_breaker_keeps_its_word(events in prop::collection::vec(event(), 0..120), seed in any::<u64>()) {
        let config = BreakerConfig { consecutive_failures: 3, min_calls: 6, ..BreakerConfig::default() };
        let (breaker, mut rng) = (Breaker::new(config.clone()), SmallRng::seed_from_u64(seed));
        let mut now = Timestamp::from_millis(1_000_000);
        let later = |now: Timestamp, ms: u64| Timestamp::from_micros(now.micros() + ms * 1000);
        for event in events {
            let fails = match event {
                Event::Wait(ms) => {
                    now = later(now, ms);
                    continue;
                }
                Event::Call { fails } => fails,
            };
            prop_assert_eq!(breaker.admits(now), breaker.wait(now).is_zero());
            prop_assert!(breaker.wait(now) <= config.max_open_for.mul_f64(1.1));
            let (before, openings) = (breaker.state(now), breaker.openings());
            let passed = breaker.enter(now);
            prop_assert!(!(before == BreakerState::Open && passed));
            prop_assert!(before != BreakerState::Closed || passed);
            if passed && fails {
                let opened = breaker.failed(now, &mut rng);
                prop_assert_eq!(breaker.openings() - openings, u64::from(opened));
                prop_assert_eq!(breaker.state(now) == BreakerState::Open, opened);
            } else if passed {
                breaker.succeeded(now);
                prop_assert_eq!(breaker.openings(), openings);
            }
        }
        now = later(now, u64::try_from(config.max_open_for.mul_f64(1.1).as_millis()).unwrap());
        for _ in 0..config.probes {
            prop_assert!(breaker.enter(now));
            breaker.succeeded(now);
        }
        prop_assert_eq!(breaker.state(now), BreakerState::Closed);
        prop_assert_eq!(breaker.wait(now), Duration::ZERO);
    }
}
