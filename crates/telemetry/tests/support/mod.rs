//! Records to look at.
#![allow(dead_code, reason = "each test file uses its part")]

use std::time::Duration;

use fingerpost_core::{
    CandidateId, Catalogue, Decision, Evidence, Failure, Level, Millis, Outcome, Pick, Profile, Reason,
    Timestamp, TokenCount, Trace, TraceId, Usd,
};
use fingerpost_telemetry::{CallRecord, Record, Tokens};

pub(crate) const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
pub(crate) const SPAN: u64 = 0x1122_3344_5566_7788;
pub(crate) const PARENT: u64 = 0x00f0_67aa_0ba9_02b7;
/// 2026-01-02T03:04:05.678901Z
pub(crate) const AT: u64 = 1_767_323_045_678_901;

pub(crate) fn call(
    model: &str,
    endpoint: &str,
    failure: Option<Failure>,
    began: u64,
    took: u64,
) -> CallRecord {
    CallRecord {
        model: model.into(),
        endpoint: endpoint.into(),
        system: "openai",
        upstream_model: format!("vendor/{model}").into(),
        failure,
        planned: None,
        cost: None,
        began: Duration::from_millis(began),
        took: Duration::from_millis(took),
    }
}

fn decision(name: &str, router: &str, reason: Reason) -> Decision {
    let catalogue = Catalogue::new([Profile::named(name)]).unwrap();
    let pick = Pick::of(catalogue.get(CandidateId(0)).unwrap(), 0.75);
    Decision::single(pick, reason, Evidence::of(router))
}

/// A streamed answer: the small model timed out, then the large one answered.
pub(crate) fn record() -> Record {
    let at = Timestamp::from_micros(AT);
    let mut trace = Trace::new(TraceId(TRACE), at);
    let top = trace.push(
        None,
        Level::Decision,
        decision("math", "rules", Reason::new("domain is math")),
    );
    let reason = Reason::new("cheapest above the bar").with("price", 0.25);
    let model = trace.push(Some(top), Level::Model, decision("small", "static", reason));
    trace.push(
        Some(model),
        Level::Fleet,
        decision("a", "least_load", Reason::new("idle")),
    );
    Record {
        trace,
        at,
        format: "chat",
        stream: true,
        status: 200,
        parent_span: Some(PARENT),
        span: SPAN,
        asked: "auto".into(),
        decision: Some("math".into()),
        cache: None,
        calls: [
            call("small", "a", Some(Failure::Timeout("first byte".into())), 1, 100),
            call("large", "b", None, 101, 900),
        ]
        .into_iter()
        .collect(),
        outcome: Outcome {
            cost: Some(Usd::new(0.0125).unwrap()),
            latency: Some(Millis::new(1001.0).unwrap()),
            first_token: Some(Millis::new(401.0).unwrap()),
            tokens_in: Some(TokenCount(1000)),
            tokens_out: Some(TokenCount(61)),
            ..Outcome::default()
        },
        tokens: Tokens {
            input: TokenCount(1000),
            cached_input: TokenCount(600),
            output: TokenCount(61),
            reasoning: TokenCount(20),
        },
        routing: Duration::from_micros(12),
        total: Duration::from_millis(1001),
    }
}

/// A request that reached no model.
pub(crate) fn refused(status: u16) -> Record {
    Record {
        trace: Trace::new(TraceId(7), Timestamp::from_micros(AT)),
        stream: false,
        status,
        parent_span: None,
        decision: None,
        calls: std::iter::empty().collect(),
        outcome: Outcome::default(),
        tokens: Tokens::default(),
        ..record()
    }
}
