//! The decision engine and the signals, on a prompt of 200 words.

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use fingerpost_core::{Identity, Query};
use fingerpost_encode::{Encoder, StaticEncoder};
use fingerpost_signals::{Extra, Policy, PolicyConfig};

/// A question of 200 words, in plain English.
fn prompt() -> String {
    let sentence = "I am looking at the monthly report of our sales team and I wonder whether the drop in the second \
                    quarter comes from the new prices or from the late delivery of the spring catalogue to our partners ";
    let words: Vec<&str> = sentence.split_whitespace().cycle().take(200).collect();
    words.join(" ")
}

const HEURISTIC: &str = r#"
    "keyword": { "urgent": { "any": ["asap", "right now", "immediately", "urgent(ly)?"] },
                 "code": { "any": ["python", "rust", "function", "compile", "stack trace"] },
                 "secret": { "none": ["confidential", "internal only"] } },
    "context": { "long": { "min_tokens": "32K" }, "short": { "max_tokens": 500 } },
    "language": { "de": {}, "en": {}, "zh": {} },
    "authz": { "staff": { "subjects": [ { "group": "staff" }, { "user": "ann" } ] } },
    "structure": { "asks": { "feature": { "type": "count", "source": { "type": "regex", "pattern": "\\?" } }, "predicate": { "gte": 3 } } },
    "conversation": { "loop": { "feature": { "type": "exists", "source": "active_tool_loop" } } },
    "event": { "incident": { "event_types": ["outage", "payment_failed"], "severities": ["critical"], "temporal": true } },
    "metadata": { "batch": { "key": "job", "equals": "nightly" } }"#;

const LEARNED: &str = r#",
    "embedding": { "billing": { "candidates": ["I want a refund", "my invoice is wrong", "cancel my subscription"] },
                   "travel": { "candidates": ["book a flight", "find a hotel near the beach"] } },
    "domain": { "math": {}, "law": {}, "business": {} },
    "complexity": { "reasoning": {} }"#;

fn policy(signals: &str, decisions: &str) -> Policy {
    let json = format!(r#"{{"signals":{{{signals}}},"decisions":[{decisions}]}}"#);
    let config: PolicyConfig = serde_json::from_str(&json).expect("the configuration is read");
    Policy::compile(&config, Arc::new(StaticEncoder::bundled())).expect("the policy compiles")
}

fn query(text: &str) -> Query<'_> {
    Query {
        metadata: vec![("job".into(), "hourly".into())],
        identity: Identity {
            user: Some("bob".into()),
            groups: vec!["guests".into()],
        },
        ..Query::text(text)
    }
}

/// A hundred decisions of five leaves each over heuristic signals, of which the last alone holds: every one is looked at.
fn hundred(leaves: &[&str]) -> String {
    let decision = |i: usize| {
        let leaf = |k: usize| leaves[(i * 3 + k * 5) % leaves.len()];
        let when = if i == 99 {
            "not authz:staff and context:short and keyword:secret and context < 2K and not metadata:batch"
                .to_owned()
        } else {
            // Four that hold and, at a varying place, one that does not.
            let mut parts: Vec<&str> = (0..4).map(leaf).collect();
            parts.insert(
                i % 5,
                ["keyword:urgent", "metadata:batch", "authz:staff", "context:long"][i % 4],
            );
            parts.join(" and ")
        };
        format!(r#"{{"name":"d{i:02}","priority":{},"when":"{when}"}}"#, 100 - i)
    };
    (0..100).map(decision).collect::<Vec<_>>().join(",")
}

const HOLDING: [&str; 7] = [
    "keyword:secret",
    "context:short",
    "not authz:staff",
    "not keyword:code",
    "context < 2K",
    "not conversation:loop",
    "not metadata:batch",
];

fn decisions(c: &mut Criterion) {
    let text = prompt();
    let query = query(&text);
    let policy = policy(HEURISTIC, &hundred(&HOLDING));
    assert_eq!(policy.decide(&query, &Extra::default()).name(), Some("d99"));
    let mut group = c.benchmark_group("100 decisions x 5 leaves");
    group.bench_function("with heuristic extraction", |b| {
        b.iter(|| black_box(policy.decide(black_box(&query), &Extra::default())));
    });
    // Nothing to extract: only identity, metadata and a count that is handed in.
    let ready = [
        "not authz:staff",
        "context:short",
        "context < 2K",
        "not metadata:batch",
    ];
    let signals = r#""keyword":{"secret":{"none":["x"]},"urgent":{"any":["y"]}},"context":{"long":{"min_tokens":"32K"},"short":{"max_tokens":500}},
        "authz":{"staff":{"subjects":[{"group":"staff"}]}},"metadata":{"batch":{"key":"job","equals":"nightly"}}"#;
    let policy = self::policy(signals, &hundred(&ready));
    let short = Query {
        turns: Query::text("x").turns,
        ..query.clone()
    };
    group.bench_function("signals at hand", |b| {
        b.iter(|| black_box(policy.decide(black_box(&short), &Extra::default())));
    });
    group.finish();
}

fn signals(c: &mut Criterion) {
    let text = prompt();
    let query = query(&text);
    let rest = r#"{"name":"rest"}"#;
    let mut group = c.benchmark_group("200 words");
    let heuristic = policy(HEURISTIC, rest);
    group.bench_function("eight heuristic families", |b| {
        b.iter(|| black_box(heuristic.signals_all(black_box(&query), &Extra::default())));
    });
    let all = policy(&format!("{HEURISTIC}{LEARNED}"), rest);
    group.bench_function("all eleven families", |b| {
        b.iter(|| black_box(all.signals_all(black_box(&query), &Extra::default())));
    });
    let encoder = StaticEncoder::bundled();
    group.bench_function("the static encoder alone", |b| {
        b.iter(|| black_box(encoder.encode(black_box(&text))));
    });
    for (name, signals, when) in [
        (
            "keyword",
            r#""keyword":{"a":{"any":["asap","right now","urgent(ly)?"]}}"#,
            "keyword:a",
        ),
        (
            "keyword, fuzzy",
            r#""keyword":{"a":{"any":["asap","invoice","refund"],"method":"fuzzy"}}"#,
            "keyword:a",
        ),
        (
            "keyword, ngram",
            r#""keyword":{"a":{"any":["asap","invoice","refund"],"method":"ngram"}}"#,
            "keyword:a",
        ),
        (
            "keyword, bm25",
            r#""keyword":{"a":{"any":["asap","invoice","refund"],"method":"bm25"}}"#,
            "keyword:a",
        ),
        ("language", r#""language":{"de":{}}"#, "language:de"),
        (
            "event",
            r#""event":{"a":{"severities":["critical"],"temporal":true}}"#,
            "event:a",
        ),
        ("context", r#""context":{"a":{"min_tokens":"32K"}}"#, "context:a"),
        (
            "embedding",
            r#""embedding":{"a":{"candidates":["I want a refund","cancel it"]}}"#,
            "embedding:a",
        ),
        ("domain", r#""domain":{"math":{}}"#, "domain:math"),
        ("complexity", r#""complexity":{"a":{}}"#, "complexity:a:hard"),
    ] {
        let policy = policy(signals, &format!(r#"{{"name":"d","when":"{when}"}}"#));
        group.bench_function(name, |b| {
            b.iter(|| black_box(policy.decide(black_box(&query), &Extra::default())));
        });
    }
    let german = "Quartalsbericht Vertriebsteam Umsatzrückgang Frühjahrskatalog Lieferverzug ".repeat(4);
    let german = Query::text(&german);
    let policy = policy(r#""language":{"de":{}}"#, r#"{"name":"d","when":"language:de"}"#);
    group.bench_function("language, no function words", |b| {
        b.iter(|| black_box(policy.decide(black_box(&german), &Extra::default())));
    });
    group.finish();
}

criterion_group!(benches, decisions, signals);
criterion_main!(benches);
