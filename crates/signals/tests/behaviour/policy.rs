//! A policy as the gateway uses it: from YAML, with reasons, as a router, on the static encoder.

use std::sync::Arc;

use crate::support::{Compass, compile};
use fingerpost_core::{
    CandidateId, Catalogue, Context, Identity, Level, Limits, Profile, Query, Router, Timestamp, Trace,
    TraceId, Turn,
};
use fingerpost_encode::StaticEncoder;
use fingerpost_signals::{Extra, Family, Policy, PolicyConfig, State, check};
use rand::{SeedableRng, rngs::SmallRng};

const YAML: &str = r#"
signals:
  keyword:
    urgent: { any: [asap, "right now"], method: regex }
    polite: { operator: AND, keywords: [please, thanks] }
  context:
    long: { min_tokens: 32K }
  language: { de: {}, zh: { threshold: 0.5 } }
  authz: { staff: { subjects: [ { group: staff }, { user: ann } ] } }
  structure:
    many_questions:
      feature: { type: count, source: { type: regex, pattern: '\?' } }
      predicate: { gte: 3 }
  conversation:
    tool_loop: { feature: { type: exists, source: active_tool_loop } }
    chatty: { feature: { type: count, source: { type: message, role: user } }, predicate: { gt: 4 } }
  event:
    incident: { event_types: [outage], severities: [critical], action_codes: [E17], temporal: true }
  metadata: { batch: { key: job, equals: nightly } }
  embedding:
    billing: { candidates: ["I want a refund", "my invoice is wrong"], threshold: 0.6, aggregation: max }
  domain: { math: {}, office: { categories: [law, business] } }
  complexity:
    reasoning: { threshold: 0.05, hard: ["prove the theorem"], easy: ["say hello"], composer: "not keyword:polite" }
  options: { encoder: static, embedding: { top_k: 1 }, prototypes: { max_prototypes: 4 } }
projections:
  partitions:
    field: { type: domain, members: [math, office], default: office, semantics: softmax_exclusive, temperature: 0.2 }
  scores:
    effort:
      method: weighted_sum
      inputs:
        - { type: complexity, name: reasoning, label: hard, weight: 1 }
        - { type: context, value_source: raw, weight: 0.00001 }
  mappings:
    level:
      source: effort
      method: threshold_bands
      bands: [ { name: light, lt: 0.5 }, { name: heavy, gte: 0.5 } ]
      calibration: { method: sigmoid_distance, slope: 12 }
strategy: priority
decisions:
  - name: math-hard
    description: hard sums
    priority: 100
    when: 'domain:math and not keyword:urgent and (context > 32K or complexity:reasoning:hard)'
  - name: night
    tier: 0
    priority: 90
    when:
      all:
        - metadata:batch
        - { not: authz:staff }
        - any: [ language:de, { type: context, gte: 1K, lt: 32K }, { type: embedding, name: billing, gt: 0.9, on_error: match } ]
  - { name: heavy, priority: 50, when: "projection:heavy and event:incident" }
  - { name: talk, priority: 40, when: "conversation:tool_loop or conversation:chatty or structure:many_questions or language:zh or context:long" }
  - { name: rest }
"#;

fn yaml() -> PolicyConfig {
    serde_saphyr::from_str(YAML).expect("the example is read")
}

#[test]
fn the_documented_shape_is_read_compiled_and_clean() {
    let config = yaml();
    assert_eq!(
        config.decisions[1].when.to_string(),
        "metadata:batch and not authz:staff and (language:de or context >= 1K and context < 32K or embedding:billing > 0.9 on_error match)"
    );
    let problems = check(&config, None);
    assert_eq!(problems, []);
    let written = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<PolicyConfig>(&written).unwrap(), config);
    assert_eq!(compile(&config).names().len(), 5);
}

#[test]
fn unknown_keys_are_refused_by_name() {
    let refused = |from: &str, to: &str| {
        let text = YAML.replacen(from, to, 1);
        assert_ne!(text, YAML);
        serde_saphyr::from_str::<PolicyConfig>(&text)
            .expect_err(to)
            .to_string()
    };
    assert!(refused("min_tokens", "min_token").contains("min_token"));
    assert!(refused("method: regex", "method: regexp").contains("regexp"));
    assert!(refused("aggregation: max", "agregation: max").contains("agregation"));
    let error = refused("'domain:math and not", "'domian:math and not");
    assert!(error.contains("did you mean `domain`?"), "{error}");
}

#[test]
fn the_schema_names_every_family() {
    let schema = serde_json::to_string(&schemars::schema_for!(PolicyConfig)).unwrap();
    for family in Family::ALL {
        assert!(schema.contains(&format!("\"{family}\"")), "{family}");
    }
}

#[test]
fn reasons_show_what_held_with_its_numbers() {
    let config: PolicyConfig = serde_json::from_str(
        r#"{"signals":{"keyword":{"urgent":{"any":["asap"]}},"domain":{"math":{"examples":["0"]}},
                "event":{"alarm":{"severities":["critical","low"],"temporal":true}}},
            "decisions":[
                {"name":"math","priority":2,"when":"domain:math and not keyword:urgent and (context > 2 or event:alarm)"},
                {"name":"alarm","priority":1,"when":"not (domain:math or context > 1K) and event:alarm"},
                {"name":"rest"}]}"#,
    )
    .unwrap();
    let policy = compile(&config);
    let reason = |text: &str| {
        let query = Query::text(text);
        policy.reason(&policy.decide(&query, &Extra::default()))
    };
    assert_eq!(
        reason("30 degrees and more"),
        "domain:math .87 and not keyword:urgent and context 5 > 2"
    );
    assert_eq!(
        reason("asap"),
        "not (domain:math or context > 1K) and event:alarm .75"
    );
    assert_eq!(reason("nothing"), "always");
    let nothing = PolicyConfig::default();
    let policy = compile(&nothing);
    let verdict = policy.decide(&Query::text("x"), &Extra::default());
    assert_eq!(
        (verdict.name(), policy.reason(&verdict).as_str()),
        (None, "no decision matched")
    );
}

#[test]
fn signals_are_reported_once_and_by_name() {
    let policy = compile(&yaml());
    let query = Query::text("Please do it right now: 5");
    let all = policy.signals_all(&query, &Extra::default());
    let names: Vec<String> = all
        .iter()
        .map(|r| format!("{}:{}:{}", r.kind, r.name, r.label.unwrap_or("")))
        .collect();
    let mut unique = names.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), names.len(), "{names:?}");
    assert!(all.iter().all(|r| r.state != State::Unknown));
    assert!(names.contains(&"complexity:reasoning:medium".to_owned()));
    let verdict = policy.decide(&query, &Extra::default());
    assert!(policy.signals(&verdict).len() < all.len());
}

#[test]
fn a_router_among_the_admitted_decisions() {
    let config: PolicyConfig = serde_json::from_str(
        r#"{"signals":{"keyword":{"red":{"any":["red"]}}},"decisions":[
            {"name":"first","priority":2,"when":"keyword:red"},{"name":"second","priority":1}]}"#,
    )
    .unwrap();
    let policy = compile(&config);
    let catalogue = Catalogue::new(["second", "first", "stranger"].map(Profile::named)).unwrap();
    let limits = Limits::NONE;
    let mut rng = SmallRng::seed_from_u64(1);
    let mut cx = Context::new(&catalogue, &limits, Timestamp::from_millis(0), &mut rng);
    let query = Query::text("red");
    let decision = policy.route(&query, &catalogue.ids(), &mut cx).unwrap();
    assert_eq!(
        (decision.first().name.as_str(), decision.first().id),
        ("first", CandidateId(1))
    );
    let mut trace = Trace::new(TraceId(1), Timestamp::from_millis(0));
    trace.push(None, Level::Decision, decision);
    assert!(
        trace
            .to_string()
            .contains("Decision → first  by signals: keyword:red (confidence 1)"),
        "{trace}"
    );

    let others = [CandidateId(0), CandidateId(2)];
    let decision = policy.route(&query, &others, &mut cx).unwrap();
    assert_eq!(decision.first().name.as_str(), "second");
    assert!(policy.route(&query, &[CandidateId(2)], &mut cx).is_err());
    catalogue.get(CandidateId(0)).unwrap().live.set_available(false);
    let error = policy.route(&Query::text("blue"), &others, &mut cx).unwrap_err();
    assert_eq!(error.excluded.len(), 1);
}

#[test]
fn errors_are_all_given_at_once() {
    let config: PolicyConfig = serde_json::from_str(
        r#"{"signals":{"keyword":{"a":{"any":["(x"]}},"language":{"xx":{}}},"decisions":[{"name":"","when":"keyword:b"}]}"#,
    )
    .unwrap();
    let problems = Policy::compile(&config, Arc::new(Compass::new())).unwrap_err();
    let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "signals.keyword.a.any[0]",
            "signals.language.xx",
            "decisions[0].name",
            "decisions[0].when"
        ]
    );
}

#[test]
fn empty_and_huge_requests() {
    let policy = Policy::compile(&yaml(), Arc::new(StaticEncoder::bundled())).unwrap();
    let extra = Extra::default();
    assert_eq!(policy.decide(&Query::default(), &extra).name(), Some("rest"));
    assert_eq!(policy.decide(&Query::text(""), &extra).name(), Some("rest"));
    for part in ["a ", "?", "紧急。", "x", "critical E17 ", "\u{0}\u{301}"] {
        let text = part.repeat(1_000_000 / part.len());
        let query = Query::text(&text);
        assert!(policy.decide(&query, &extra).name().is_some());
        assert!(!policy.signals_all(&query, &extra).is_empty());
    }
    let many = Query {
        turns: vec![
            Turn {
                texts: vec!["hello".into(); 3],
                ..Turn::default()
            };
            10_000
        ],
        identity: Identity {
            user: Some("ann".into()),
            groups: Vec::new(),
        },
        ..Query::default()
    };
    assert!(policy.decide(&many, &extra).name().is_some());
}

/// Fields and difficulty on the static encoder, on plain questions that are not among the built-in examples.
#[test]
fn built_in_examples_tell_fields_apart() {
    let config: PolicyConfig = serde_json::from_str(
        r#"{"signals":{"domain":{"math":{},"law":{},"health":{},"history":{},"computer science":{},"physics":{},"economics":{}},
                "complexity":{"c":{}}},
            "decisions":[{"name":"d","when":"domain:math"}]}"#,
    )
    .unwrap();
    let policy = Policy::compile(&config, Arc::new(StaticEncoder::bundled())).unwrap();
    let matched = |text: &str| -> Vec<String> {
        let all = policy.signals_all(&Query::text(text), &Extra::default());
        all.into_iter()
            .filter(|r| r.state == State::Match && !r.name.is_empty() && r.kind == "domain")
            .map(|r| r.name)
            .collect()
    };
    let cases = [
        ("Find all real solutions of x^2 - 4x + 3 = 0", "math"),
        (
            "Can my employer fire me without notice under the labour contract?",
            "law",
        ),
        (
            "My child has a rash and a high fever, which medicine helps?",
            "health",
        ),
        ("Why did Napoleon invade Russia in 1812?", "history"),
        (
            "Write a C++ function that reverses a linked list",
            "computer science",
        ),
        (
            "What is the acceleration of a block sliding down a frictionless slope?",
            "physics",
        ),
        (
            "How do higher interest rates reduce inflation and demand?",
            "economics",
        ),
    ];
    let right = cases
        .iter()
        .filter(|(text, field)| matched(text) == [*field])
        .count();
    let seen: Vec<_> = cases.iter().map(|(text, _)| matched(text)).collect();
    assert!(right >= 6, "{right} of {}: {seen:?}", cases.len());
    let delta = |text: &str| {
        let all = policy.signals_all(&Query::text(text), &Extra::default());
        all.into_iter()
            .find(|r| r.kind == "complexity" && r.label.is_none())
            .and_then(|r| r.raw)
            .unwrap()
    };
    let hard =
        delta("Prove that every bounded monotone sequence converges and discuss each step of the argument");
    let easy = delta("What is the capital of Italy?");
    assert!(hard > easy + 0.1, "{hard} {easy}");
}
