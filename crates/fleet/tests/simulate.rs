//! What the simulator says of policies: the relations of card 53 on small made-up traffic, and on the published traces where they
//! are at hand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::path::PathBuf;

use fingerpost_fleet::{
    FleetPolicy,
    simulate::{Named, Outage, Setting, SimulateError, Summary, Sweep, Synthetic, Trace, run},
};

fn policy(name: &str) -> FleetPolicy {
    Named::find(&[name.to_owned()]).unwrap().remove(0).policy
}

fn within(trace: &Trace, name: &str, setting: &Setting) -> Summary {
    run(trace, &policy(name), setting, usize::MAX).unwrap()
}

fn small() -> Trace {
    Trace::synthetic(&Synthetic {
        requests: 3000,
        ..Synthetic::default()
    })
}

/// One of the published traces, or a line that says what is skipped.
fn published(test: &str, file: &str) -> Option<Trace> {
    let shared = std::env::var_os("FINGERPOST_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let path = shared.join("data").join(file);
    if !path.is_file() {
        eprintln!("skipped: {test}: no shared data here (FINGERPOST_SHARED)");
        return None;
    }
    Some(Trace::read(&path).unwrap())
}

#[test]
fn near_saturation_two_hashes_beat_loads_alone_and_one_hash() {
    let trace = small();
    for seed in 0..3 {
        let at = |qps| Setting {
            qps,
            seed,
            ..Setting::default()
        };
        let share = |name| within(&trace, name, &at(10.0)).within_slo;
        let dualmap = within(&trace, "dualmap", &at(10.0));
        for other in [
            "random",
            "least_load/tokens",
            "power_of_two/tokens",
            "consistent_hash",
            "bounded_hash",
        ] {
            assert!(
                dualmap.within_slo > share(other),
                "seed {seed}: {other} {} {dualmap:?}",
                share(other)
            );
        }
        assert!(dualmap.max_over_mean <= 1.25, "seed {seed}: {dualmap:?}");
        // The pair keeps nearly all that one home would keep, while it need not give it up.
        let (calm, single) = (at(5.0), within(&trace, "consistent_hash", &at(5.0)).hit_ratio);
        assert!(within(&trace, "dualmap", &calm).hit_ratio > single - 0.06);
    }
}

#[test]
fn with_old_loads_the_earliest_of_all_herds_and_the_pair_does_not() {
    let trace = small();
    for seed in 0..3 {
        let old = Setting {
            qps: 9.0,
            stale_s: 3.0,
            seed,
            ..Setting::default()
        };
        let [dualmap, herd, bounded] =
            ["dualmap", "min_ttft", "bounded_hash"].map(|name| within(&trace, name, &old).within_slo);
        assert!(
            dualmap > herd + 0.3 && dualmap > bounded,
            "seed {seed}: {dualmap} {herd} {bounded}"
        );
        let own = Setting {
            own_sends: true,
            ..old
        };
        assert!(
            within(&trace, "min_ttft", &own).within_slo > herd + 0.2,
            "who counts its own sends herds less"
        );
    }
}

#[test]
fn a_key_that_all_share_is_expanded() {
    let trace = small();
    let share = |name| within(&trace, name, &Setting::default()).within_slo;
    let (adaptive, fixed) = (
        share("dualmap/key_of_1_block"),
        share("dualmap/key_of_1_block+fixed"),
    );
    assert!(adaptive > fixed + 0.3, "{adaptive} {fixed}");
}

#[test]
fn one_seed_one_result_and_every_request_is_counted() {
    let trace = small();
    for named in Named::all().into_iter().chain(Named::ablations()) {
        let setting = Setting {
            routers: 2,
            stale_s: 0.5,
            lost_reports: 0.2,
            interference: 0.01,
            outages: vec![Outage {
                instance: 3,
                from_s: 60.0,
                until_s: 120.0,
            }],
            restarts: vec![200.0],
            ..Setting::default()
        };
        let once = run(&trace, &named.policy, &setting, usize::MAX).unwrap();
        assert_eq!(
            once,
            run(&trace, &named.policy, &setting, usize::MAX).unwrap(),
            "{}",
            named.name
        );
        assert_eq!((once.requests, once.failed), (2500, 0), "{}", named.name);
        assert!(
            once.broken > 0,
            "answers of the instance that failed broke off: {}",
            named.name
        );
    }
}

#[test]
fn all_instances_down_fails_requests_and_nothing_else() {
    let trace = small();
    let setting = Setting {
        instances: 2,
        outages: (0..2)
            .map(|instance| Outage {
                instance,
                from_s: 100.0,
                until_s: 200.0,
            })
            .collect(),
        ..Setting::default()
    };
    for name in ["dualmap", "min_ttft"] {
        let summary = within(&trace, name, &setting);
        assert!((700..1500).contains(&summary.failed), "{name}: {summary:?}");
    }
}

#[test]
fn adapters_that_do_not_fit_cost_their_loading() {
    let trace = Trace::synthetic(&Synthetic {
        requests: 2000,
        adapters: 32,
        ..Synthetic::default()
    });
    let share = |adapters| {
        let setting = Setting {
            adapters,
            qps: 5.0,
            ..Setting::default()
        };
        within(&trace, "round_robin", &setting).ttft_p50
    };
    assert!(share(4) > share(32) + 0.2);
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let trace = small();
    let said = |setting: Setting| run(&trace, &policy("random"), &setting, usize::MAX).unwrap_err();
    let base = Setting::default;
    assert_eq!(
        said(Setting {
            instances: 0,
            ..base()
        }),
        SimulateError::Nobody
    );
    let outage = Outage {
        instance: 8,
        from_s: 0.0,
        until_s: 1.0,
    };
    let unknown = said(Setting {
        outages: vec![outage],
        ..base()
    })
    .to_string();
    assert_eq!(
        unknown,
        "an outage names instance 8, but the fleet has 8, numbered from 0"
    );
    for (bad, what) in [
        (Setting { qps: 0.0, ..base() }, "qps"),
        (
            Setting {
                slo_s: f64::NAN,
                ..base()
            },
            "slo_s",
        ),
        (
            Setting {
                stale_s: -1.0,
                ..base()
            },
            "stale_s",
        ),
        (
            Setting {
                lost_reports: 2.0,
                ..base()
            },
            "lost_reports",
        ),
    ] {
        assert!(said(bad).to_string().starts_with(what));
    }
    assert!(matches!(
        said(Setting {
            warm_up: 3000,
            ..base()
        }),
        SimulateError::TooShort { .. }
    ));
    let unknown = Named::find(&["dual_map".to_owned()]).unwrap_err().to_string();
    assert!(
        unknown.contains("`dual_map`; allowed: all, ablations, round_robin"),
        "{unknown}"
    );
}

#[test]
fn a_sweep_is_in_order_can_be_watched_and_stopped() {
    let sweep = Sweep {
        policies: Named::find(&["random".to_owned(), "dualmap".to_owned()]).unwrap(),
        qps: vec![4.0, 12.0],
        stale_s: vec![0.0],
        first_seed: 0,
        seeds: 2,
        capacity: true,
        threads: 2,
        setting: Setting::default(),
    };
    let trace = small();
    let report = sweep.run(&trace, &|done, of| done <= of && of == 12).unwrap();
    let rows: Vec<_> = report
        .rows
        .iter()
        .map(|r| (r.policy.as_str(), r.qps, r.seed))
        .collect();
    assert_eq!(
        rows[..3],
        [("random", 4.0, 0), ("random", 4.0, 1), ("random", 12.0, 0)]
    );
    let capacity = |policy: &str, share| {
        let is_asked = |c: &&fingerpost_fleet::simulate::Capacity| c.policy == policy && c.share == share;
        report.capacity.iter().find(is_asked).unwrap().qps
    };
    assert!(capacity("random", 0.99) < capacity("random", 0.9));
    assert!(capacity("random", 0.9) < capacity("dualmap", 0.9));
    assert!(fingerpost_fleet::simulate::svg(&report).contains("dualmap"));
    assert!(report.text().contains("capacity"));
    assert!(report.complete);
    let stopped = sweep.run(&trace, &|done, _| done < 3).unwrap();
    assert!(!stopped.complete && stopped.text().starts_with("incomplete"));
    assert!((3..=4).contains(&stopped.rows.len()) && stopped.capacity.is_empty());
    assert_eq!(stopped.rows[..3], report.rows[..3]);
}

#[test]
fn the_published_conversations_say_the_same() {
    let test = "the_published_conversations_say_the_same";
    let Some(trace) = published(test, "mooncake-traces/conversation_trace.jsonl") else {
        return;
    };
    let trace = trace.cut(20_480, usize::MAX).unwrap();
    assert_eq!(trace.requests.len(), 10_090);
    let trace = trace.cut(20_480, 6000).unwrap();
    let share = |name, stale_s| {
        let setting = Setting {
            stale_s,
            ..Setting::default()
        };
        within(&trace, name, &setting).within_slo
    };
    let (fresh, best) = (share("dualmap", 0.0), share("min_ttft", 0.0));
    assert!(fresh >= best - 0.01, "{fresh} {best}");
    let [dualmap, herd, bounded] = ["dualmap", "min_ttft", "bounded_hash"].map(|name| share(name, 3.0));
    assert!(
        dualmap >= 0.9 && herd < 0.35 && bounded < dualmap,
        "{dualmap} {herd} {bounded}"
    );
}

#[test]
fn the_published_lengths_can_be_replayed() {
    let test = "the_published_lengths_can_be_replayed";
    let Some(trace) = published(test, "azure-llm-2023/AzureLLMInferenceTrace_conv.csv") else {
        return;
    };
    let trace = trace.cut(20_480, 4000).unwrap();
    let summary = within(
        &trace,
        "dualmap",
        &Setting {
            qps: 30.0,
            ..Setting::default()
        },
    );
    assert!(
        summary.hit_ratio < 0.01 && summary.within_slo > 0.95,
        "{summary:?}"
    );
}
