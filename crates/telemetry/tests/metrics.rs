//! What is counted is what is scraped, exactly; and clients cannot make it grow.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod support;

use std::{collections::BTreeMap, time::Duration};

use fingerpost_core::{Failure, Timestamp};
use fingerpost_telemetry::{
    Breaker, Build, CacheMoment, InFlight, Known, Metrics, Moment, Reported, StoreMoment, TracesStats,
};
use support::{call, record, refused};

/// Series by name and labels, as they stand in the text. Every line must be one that the format allows.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let (body, end) = text.split_at(text.len() - "# EOF\n".len());
    assert_eq!(end, "# EOF\n");
    let mut series = BTreeMap::new();
    let mut types = BTreeMap::new();
    for line in body.lines() {
        if let Some(of_type) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of_type.split_once(' ').unwrap();
            assert!(
                types.insert(name.to_owned(), kind.to_owned()).is_none(),
                "{name} is told of twice"
            );
        } else if line.starts_with('#') {
            assert!(
                line.starts_with("# HELP ") || line.starts_with("# UNIT "),
                "{line}"
            );
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(
                series.insert(name.to_owned(), value.parse().unwrap()).is_none(),
                "{name} twice"
            );
            let bare = name.split('{').next().unwrap();
            assert!(
                types.keys().any(|family| bare.starts_with(family.as_str())),
                "{bare} has no type"
            );
        }
    }
    series
}

fn names(names: &[&str]) -> Vec<fingerpost_core::Name> {
    names.iter().map(|n| (*n).into()).collect()
}

fn known() -> Known {
    Known {
        decisions: names(&["math"]),
        models: names(&["small", "large"]),
        endpoints: names(&["a", "b"]),
    }
}

fn metrics() -> Metrics {
    Metrics::new(
        &Build {
            version: "1.2.3",
            revision: "abc",
        },
        Timestamp::from_millis(1_500),
        &known(),
    )
}

#[test]
fn every_count_is_exact() {
    let metrics = metrics();
    metrics.observe_all(&[record(), record()]);
    metrics.observe(&refused(400));
    let told = parse(&metrics.encode());
    let expect = |series: &str, value: f64| {
        let found = told
            .get(series)
            .unwrap_or_else(|| panic!("no {series} in {told:#?}"));
        assert!((found - value).abs() < 1e-9, "{series} is {found}, not {value}");
    };
    expect(
        r#"fingerpost_requests_total{format="chat",decision="math",model="large",status="2xx"}"#,
        2.0,
    );
    expect(
        r#"fingerpost_requests_total{format="chat",decision="none",model="none",status="4xx"}"#,
        1.0,
    );
    expect(r#"fingerpost_errors_total{reason="request"}"#, 1.0);
    expect(r#"fingerpost_tokens_total{model="large",kind="input"}"#, 2000.0);
    expect(
        r#"fingerpost_tokens_total{model="large",kind="cached_input"}"#,
        1200.0,
    );
    expect(r#"fingerpost_tokens_total{model="large",kind="output"}"#, 122.0);
    expect(r#"fingerpost_tokens_total{model="large",kind="reasoning"}"#, 40.0);
    expect(r#"fingerpost_cost_usd_total{model="large"}"#, 0.025);
    expect(
        r#"fingerpost_time_to_first_token_seconds_sum{model="large"}"#,
        0.802,
    );
    expect(
        r#"fingerpost_time_to_first_token_seconds_bucket{le="0.25",model="large"}"#,
        0.0,
    );
    expect(
        r#"fingerpost_time_to_first_token_seconds_bucket{le="0.5",model="large"}"#,
        2.0,
    );
    // 600 ms for the 60 tokens after the first.
    expect(
        r#"fingerpost_time_per_output_token_seconds_sum{model="large"}"#,
        0.02,
    );
    expect(r#"fingerpost_request_duration_seconds_sum{model="large"}"#, 2.002);
    expect(r#"fingerpost_request_duration_seconds_count{model="none"}"#, 1.0);
    expect("fingerpost_routing_duration_seconds_count", 3.0);
    expect(r#"fingerpost_routing_duration_seconds_bucket{le="0.00001"}"#, 0.0);
    expect(r#"fingerpost_routing_duration_seconds_bucket{le="0.00002"}"#, 3.0);
    expect(
        r#"fingerpost_upstream_calls_total{endpoint="a",result="timeout"}"#,
        2.0,
    );
    expect(
        r#"fingerpost_upstream_calls_total{endpoint="b",result="ok"}"#,
        2.0,
    );
    expect(r#"fingerpost_upstream_duration_seconds_sum{endpoint="b"}"#, 1.8);
    expect(r#"fingerpost_fallbacks_total{from="small",to="large"}"#, 2.0);
    expect("process_start_time_seconds", 1.5);
    expect(r#"fingerpost_build_info{version="1.2.3",revision="abc"}"#, 1.0);
}

#[test]
fn retries_and_hedges_are_told_apart() {
    let metrics = metrics();
    let mut retried = record();
    retried.calls = [
        call("large", "a", Some(Failure::RateLimited), 0, 5),
        call("large", "b", None, 9, 5),
    ]
    .into_iter()
    .collect();
    metrics.observe(&retried);
    let mut hedged = record();
    hedged.calls = [
        call("large", "a", Some(Failure::Cancelled), 0, 50),
        call("large", "b", None, 9, 5),
    ]
    .into_iter()
    .collect();
    metrics.observe(&hedged);
    let told = parse(&metrics.encode());
    assert_eq!(told[r#"fingerpost_retries_total{model="large"}"#], 1.0);
    assert_eq!(told[r#"fingerpost_hedges_total{model="large"}"#], 1.0);
    assert_eq!(
        told[r#"fingerpost_upstream_calls_total{endpoint="a",result="rate_limited"}"#],
        1.0
    );
}

#[test]
fn the_time_of_a_whole_answer_is_no_time_to_first_token() {
    let metrics = metrics();
    metrics.observe(&fingerpost_telemetry::Record {
        stream: false,
        ..record()
    });
    let told = parse(&metrics.encode());
    assert_eq!(
        told[r#"fingerpost_time_to_first_token_seconds_count{model="large"}"#],
        0.0
    );
    assert_eq!(
        told[r#"fingerpost_request_duration_seconds_count{model="large"}"#],
        1.0
    );
}

#[test]
fn names_that_are_not_configured_make_no_series() {
    let metrics = metrics();
    metrics.observe(&record());
    let few = |i: u32| {
        let mut stranger = record();
        stranger.asked = format!("asked-{i}").into();
        stranger.decision = Some(format!("decision-{i}").into());
        stranger.calls = [
            call(
                &format!("model-{i}"),
                &format!("endpoint-{i}"),
                Some(Failure::RateLimited),
                0,
                5,
            ),
            call(&format!("other-{i}"), &format!("endpoint-{i}"), None, 9, 5),
        ]
        .into_iter()
        .collect();
        metrics.observe(&stranger);
    };
    few(0);
    let before = parse(&metrics.encode()).len();
    (1..1000).for_each(few);
    let told = parse(&metrics.encode());
    assert_eq!(told.len(), before);
    let unknown =
        r#"fingerpost_requests_total{format="chat",decision="unknown",model="unknown",status="2xx"}"#;
    assert_eq!(told[unknown], 1000.0);
    assert_eq!(
        told[r#"fingerpost_upstream_calls_total{endpoint="unknown",result="ok"}"#],
        1000.0
    );
    assert!(
        !told
            .keys()
            .any(|name| name.contains("asked-") || name.contains("model-7"))
    );
}

#[test]
fn a_new_configuration_keeps_the_counts_of_what_stays_and_forgets_what_goes() {
    let metrics = metrics();
    metrics.observe(&record());
    // Twice, so that a name without traffic in between is not lost sight of; and in another order.
    for _ in 0..2 {
        metrics.configure(&Known {
            decisions: names(&["new", "math"]),
            models: names(&["new", "large"]),
            endpoints: names(&["new", "b"]),
        });
    }
    metrics.observe(&record());
    let told = parse(&metrics.encode());
    assert_eq!(
        told[r#"fingerpost_tokens_total{model="large",kind="input"}"#],
        2000.0
    );
    assert_eq!(
        told[r#"fingerpost_upstream_calls_total{endpoint="b",result="ok"}"#],
        2.0
    );
    assert_eq!(
        told[r#"fingerpost_upstream_calls_total{endpoint="unknown",result="timeout"}"#],
        1.0
    );
    assert!(
        !told
            .keys()
            .any(|name| name.contains(r#""a""#) || name.contains(r#""small""#)),
        "{told:#?}"
    );
    metrics.configure(&Known::default());
    let left = parse(&metrics.encode());
    assert!(
        !left
            .keys()
            .any(|name| name.contains(r#""large""#) || name.contains(r#""math""#)),
        "{left:#?}"
    );
}

#[test]
fn what_holds_now_is_asked_for_at_each_scrape() {
    let metrics = metrics();
    assert!(!metrics.encode().contains("fingerpost_in_flight"));
    metrics.watch(|| Moment {
        in_flight: vec![InFlight {
            model: "large".into(),
            endpoint: "b".into(),
            calls: 3,
        }],
        breakers: vec![("b".into(), Breaker::Open)],
        reported: vec![Reported {
            endpoint: "b".into(),
            value: "waiting",
            told: 2.5,
            age: Duration::from_millis(1500),
        }],
        queued: 4,
        records_dropped: 5,
        store: StoreMoment {
            up: true,
            waiting: 11,
            dropped: 12,
            behind: Some(Duration::from_millis(250)),
            exchange: Some((13, 14)),
        },
        caches: vec![CacheMoment {
            decision: "math".into(),
            hits: 15,
            misses: 16,
            bypasses: 17,
            entries: 18,
            bytes: 19,
        }],
        snapshot: 6,
        reloads_ok: 7,
        reloads_failed: 8,
        last_reload: Some((Timestamp::from_millis(2_500), false)),
        traces: Some(TracesStats {
            exported: 9,
            dropped: 10,
        }),
    });
    let told = parse(&metrics.encode());
    assert_eq!(told[r#"fingerpost_in_flight{model="large",endpoint="b"}"#], 3.0);
    assert_eq!(told[r#"fingerpost_breaker{endpoint="b",state="open"}"#], 1.0);
    assert_eq!(told[r#"fingerpost_breaker{endpoint="b",state="closed"}"#], 0.0);
    let waiting = r#"{endpoint="b",value="waiting"}"#;
    assert_eq!(told[&format!("fingerpost_endpoint_reported{waiting}")], 2.5);
    assert_eq!(
        told[&format!("fingerpost_endpoint_report_age_seconds{waiting}")],
        1.5
    );
    assert_eq!(told["fingerpost_queue_length"], 4.0);
    assert_eq!(told["fingerpost_records_dropped_total"], 5.0);
    assert_eq!(told["fingerpost_store_up"], 1.0);
    assert_eq!(told["fingerpost_store_waiting"], 11.0);
    assert_eq!(told["fingerpost_store_dropped_total"], 12.0);
    assert_eq!(told["fingerpost_store_lag_seconds"], 0.25);
    for (result, count) in [("hit", 15.0), ("miss", 16.0), ("bypass", 17.0)] {
        let series = format!(r#"fingerpost_cache_requests_total{{decision="math",result="{result}"}}"#);
        assert_eq!(told[&series], count);
    }
    assert_eq!(told[r#"fingerpost_cache_entries{decision="math"}"#], 18.0);
    assert_eq!(told[r#"fingerpost_cache_bytes{decision="math"}"#], 19.0);
    assert_eq!(told[r#"fingerpost_store_outcomes_total{result="learned"}"#], 13.0);
    assert_eq!(told[r#"fingerpost_store_outcomes_total{result="missed"}"#], 14.0);
    assert_eq!(told["fingerpost_snapshot_version"], 6.0);
    assert_eq!(told[r#"fingerpost_config_reloads_total{result="ok"}"#], 7.0);
    assert_eq!(told[r#"fingerpost_config_reloads_total{result="failed"}"#], 8.0);
    assert_eq!(told["fingerpost_config_last_reload_ok"], 0.0);
    assert_eq!(told["fingerpost_config_last_reload_time_seconds"], 2.5);
    assert_eq!(told[r#"fingerpost_spans_total{result="exported"}"#], 9.0);
    assert_eq!(told[r#"fingerpost_spans_total{result="dropped"}"#], 10.0);
}

#[test]
fn an_endpoint_named_twice_is_still_one_series() {
    let metrics = metrics();
    let in_flight = |calls| InFlight {
        model: "large".into(),
        endpoint: "b".into(),
        calls,
    };
    metrics.watch(move || Moment {
        in_flight: vec![in_flight(1), in_flight(2)],
        breakers: vec![("b".into(), Breaker::Open), ("b".into(), Breaker::Closed)],
        ..Moment::default()
    });
    let told = parse(&metrics.encode());
    assert_eq!(told[r#"fingerpost_in_flight{model="large",endpoint="b"}"#], 3.0);
    assert_eq!(told[r#"fingerpost_breaker{endpoint="b",state="open"}"#], 1.0);
    assert_eq!(told[r#"fingerpost_breaker{endpoint="b",state="closed"}"#], 0.0);
}

#[test]
fn a_name_with_quotes_and_line_breaks_stays_one_label() {
    let odd = "a\"b\\c\nd";
    let known = Known {
        models: names(&[odd]),
        ..known()
    };
    let metrics = Metrics::new(
        &Build {
            version: "1",
            revision: "r",
        },
        Timestamp::default(),
        &known,
    );
    let mut odd_one = record();
    odd_one.calls = [call(odd, "a", None, 0, 1)].into_iter().collect();
    metrics.observe(&odd_one);
    let told = parse(&metrics.encode());
    assert_eq!(told[r#"fingerpost_cost_usd_total{model="a\"b\\c\nd"}"#], 0.0125);
}

#[test]
fn a_predicted_first_token_is_compared_with_what_came() {
    use fingerpost_core::{CandidateId, Decision, Evidence, Level, Pick, Reason};
    let metrics = metrics();
    let mut record = record();
    // It came after 401 ms.
    let reason = Reason::new("earliest first token").with("ttft_s", 0.5);
    let pick = Pick {
        id: CandidateId(0),
        name: "a".into(),
        score: 0.5,
        weight: 1.0,
    };
    let decision = Decision::single(pick, reason, Evidence::of("fleet/large"));
    record.trace.push(None, Level::Fleet, decision);
    metrics.observe(&record);
    let told = parse(&metrics.encode());
    let sum = told[r#"fingerpost_time_to_first_token_prediction_error_seconds_sum{model="large"}"#];
    assert!((sum - 0.099).abs() < 1e-9, "{sum}");
}
