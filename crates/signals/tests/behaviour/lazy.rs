//! The lazy engine decides exactly as the plain definition does, and computes no more than it must.

use crate::support::{Compass, Signals, compile, decide_plainly};
use fingerpost_core::{Identity, Query, Role, TokenCount, Turn};
use fingerpost_signals::{Condition, DecisionRule, Extra, Family, PolicyConfig, Strategy};
use rand::{Rng, SeedableRng, rngs::SmallRng, seq::IndexedRandom};

/// Signals of all families, with few distinct confidences so that ties are common.
const SIGNALS: &str = r#"{
    "keyword": {
        "red": { "any": ["red"] }, "both": { "all": ["red", "blue"] }, "none": { "none": ["green", "gr(e|a)y"] },
        "near": { "any": ["urgent"], "method": "fuzzy", "fuzzy_threshold": 50 },
        "like": { "any": ["urgent"], "method": "ngram", "ngram_threshold": 0.2 },
        "about": { "any": ["urgent red"], "method": "bm25" }
    },
    "context": { "long": { "min_tokens": 1000 }, "mid": { "min_tokens": 100, "max_tokens": 5000 } },
    "language": { "de": {}, "en": {} },
    "authz": { "staff": { "subjects": [ { "group": "staff" }, { "user": "ann" } ] } },
    "structure": {
        "asks": { "feature": { "type": "count", "source": { "type": "regex", "pattern": "\\?" } }, "predicate": { "gte": 2 } }
    },
    "conversation": {
        "loop": { "feature": { "type": "exists", "source": "active_tool_loop" } },
        "turns": { "feature": { "type": "count", "source": "message" }, "predicate": { "gt": 1 } }
    },
    "event": {
        "alarm": { "event_types": ["fire"], "severities": ["critical"], "temporal": true },
        "alert": { "severities": ["critical", "high"], "action_codes": ["E1"] }
    },
    "metadata": { "night": { "key": "job", "equals": "nightly" }, "free": { "key": "job", "exists": false } },
    "embedding": {
        "east": { "candidates": ["0"], "threshold": 0.6 }, "north": { "candidates": ["90"], "threshold": 0.6 },
        "west": { "candidates": ["180", "150"], "threshold": 0.2, "aggregation": "mean" }
    },
    "domain": {
        "math": { "examples": ["10"] }, "law": { "examples": ["100"] }, "art": { "examples": ["200", "240"] },
        "any": { "categories": ["math", "law"] }
    },
    "complexity": {
        "hard": { "hard": ["45"], "easy": ["225"], "threshold": 0.3 },
        "gated": { "hard": ["0"], "easy": ["180"], "composer": "keyword:red or domain:law" }
    },
    "options": { "embedding": { "top_k": 0 } }
}"#;

const PROJECTIONS: &str = r#"{
    "partitions": {
        "field": { "type": "domain", "members": ["math", "law", "art"], "default": "art", "semantics": "softmax_exclusive" }
    },
    "scores": {
        "effort": { "inputs": [
            { "type": "complexity", "name": "hard", "value_source": "raw", "weight": 0.5 },
            { "type": "keyword", "name": "red", "weight": -0.25 },
            { "type": "domain", "name": "math", "value_source": "confidence" } ] },
        "total": { "inputs": [
            { "type": "projection", "name": "effort", "weight": 2 },
            { "type": "context", "value_source": "raw", "weight": 0.001 },
            { "type": "event", "name": "alarm", "match": 0.5, "miss": -0.1 } ] }
    },
    "mappings": {
        "level": { "source": "total", "bands": [ { "name": "low", "lt": 0.2 }, { "name": "high", "gte": 0.2 } ],
                   "calibration": {} },
        "marks": { "source": "effort", "method": "multi_emit",
                   "bands": [ { "name": "some", "gt": 0 }, { "name": "much", "gt": 0.4 } ] }
    }
}"#;

const LEAVES: [&str; 40] = [
    "keyword:red",
    "keyword:both",
    "keyword:none",
    "keyword:near",
    "keyword:like",
    "keyword:about",
    "context:long",
    "context:mid",
    "context > 1K",
    "context <= 200",
    "language:de",
    "language:en",
    "language:en > 0.5",
    "authz:staff",
    "structure:asks",
    "structure:asks >= 1",
    "conversation:loop",
    "conversation:turns",
    "event:alarm",
    "event:alert",
    "event:alert >= 2",
    "metadata:night",
    "metadata:free",
    "metadata:night on_error match",
    "embedding:east",
    "embedding:north",
    "embedding:west",
    "embedding:east > 0.7",
    "domain:math",
    "domain:law",
    "domain:art",
    "domain:any",
    "complexity:hard:hard",
    "complexity:hard:medium",
    "complexity:hard:easy",
    "complexity:gated:hard",
    "complexity:gated > 0.1",
    "projection:low",
    "projection:high",
    "projection:much",
];

const WORDS: [&str; 24] = [
    "red", "blue", "green", "gray", "urgent", "urgnt", "agent", "fire", "critical", "high", "E1", "asap",
    "why?", "how?", "the", "is", "what", "der", "und", "ist", "nicht", "紧急", "plain", "words",
];

fn condition(rng: &mut SmallRng, depth: usize) -> Condition {
    match rng.random_range(0..if depth == 0 { 2 } else { 7 }) {
        0..2 => LEAVES.choose(rng).unwrap().parse().unwrap(),
        2 => Condition::negate(condition(rng, depth - 1)),
        3 if rng.random_bool(0.1) => {
            if rng.random() {
                Condition::ALWAYS
            } else {
                Condition::NEVER
            }
        }
        kind => {
            let children = (0..rng.random_range(2..=4))
                .map(|_| condition(rng, depth - 1))
                .collect();
            if kind % 2 == 0 {
                Condition::all(children)
            } else {
                Condition::any(children)
            }
        }
    }
}

fn policy(rng: &mut SmallRng) -> PolicyConfig {
    let count = rng.random_range(1..=8);
    let (tiers, priorities) = (rng.random_range(1..=3), rng.random_range(1..=3));
    let decision = |i: usize, rng: &mut SmallRng| DecisionRule {
        // Names in another order than places.
        name: format!("{}{i}", ["m", "c", "x", "a"][i % 4]),
        tier: rng.random_range(0..tiers),
        priority: rng.random_range(0..priorities),
        when: condition(rng, 3),
        ..DecisionRule::default()
    };
    PolicyConfig {
        signals: serde_json::from_str(SIGNALS).unwrap(),
        projections: serde_json::from_str(PROJECTIONS).unwrap(),
        decisions: (0..count).map(|i| decision(i, rng)).collect(),
        strategy: if rng.random() {
            Strategy::Priority
        } else {
            Strategy::Confidence
        },
    }
}

fn query(rng: &mut SmallRng) -> Query<'static> {
    let mut words: Vec<String> = (0..rng.random_range(0..10))
        .map(|_| (*WORDS.choose(rng).unwrap()).to_owned())
        .collect();
    if rng.random_bool(0.8) {
        words.push((rng.random_range(0..24) * 15).to_string());
    }
    let turn = |role, rng: &mut SmallRng| Turn {
        role,
        tool_calls: u32::from(role == Role::Assistant && rng.random_bool(0.3)),
        tool_results: u32::from(role == Role::Tool),
        ..Turn::default()
    };
    let mut turns = vec![Turn {
        texts: vec![words.join(" ").into()],
        ..Turn::default()
    }];
    for role in [Role::Assistant, Role::Tool] {
        if rng.random_bool(0.3) {
            turns.push(turn(role, rng));
        }
    }
    let metadata = match rng.random_range(0..5) {
        0 => vec![("job".into(), "nightly".into())],
        1 => (0..33).map(|i| (format!("k{i}").into(), "v".into())).collect(),
        2 => vec![("severity".into(), "high".into())],
        _ => Vec::new(),
    };
    let identity = Identity {
        user: rng.random_bool(0.3).then(|| "ann".into()),
        groups: if rng.random_bool(0.3) {
            vec!["staff".into()]
        } else {
            Vec::new()
        },
    };
    Query {
        turns,
        metadata,
        identity,
        ..Query::default()
    }
}

/// 5,000 random policies, 20 random requests each.
#[test]
fn lazy_equals_plain_in_winner_and_confidence() {
    let mut rng = SmallRng::seed_from_u64(43);
    let (mut decided, mut spared) = (0, 0);
    for _ in 0..5_000 {
        let config = policy(&mut rng);
        let policy = compile(&config);
        for _ in 0..20 {
            let query = query(&mut rng);
            let tokens = TokenCount(*[0, 100, 200, 1000, 1001, 6000].choose(&mut rng).unwrap());
            let extra = Extra {
                tokens: Some(tokens),
                ..Extra::default()
            };
            let signals = Signals::new(policy.signals_all(&query, &extra));
            let plain = decide_plainly(&config, &signals);
            let verdict = policy.decide(&query, &extra);
            let lazy = verdict.decision().map(|d| (d, verdict.confidence().get()));
            assert_eq!(lazy, plain, "{config:#?}\n{query:#?}\n{tokens}");
            decided += usize::from(lazy.is_some());
            spared += 11 - verdict.families().len();
        }
    }
    assert!(decided > 50_000, "too few matches to mean anything: {decided}");
    assert!(spared > 300_000, "the engine is hardly lazy: {spared}");
}

#[test]
fn de_morgan_holds() {
    let mut rng = SmallRng::seed_from_u64(7);
    for _ in 0..2_000 {
        let (a, b) = (condition(&mut rng, 2), condition(&mut rng, 2));
        let not = |c: &Condition| Condition::negate(c.clone());
        let pairs = [
            (
                not(&Condition::all(vec![a.clone(), b.clone()])),
                Condition::any(vec![not(&a), not(&b)]),
            ),
            (
                not(&Condition::any(vec![a.clone(), b.clone()])),
                Condition::all(vec![not(&a), not(&b)]),
            ),
        ];
        let query = query(&mut rng);
        for (left, right) in pairs {
            let decide = |when| {
                let config = PolicyConfig {
                    decisions: vec![DecisionRule::new("d", when)],
                    ..policy(&mut SmallRng::seed_from_u64(1))
                };
                let verdict = compile(&config).decide(&query, &Extra::default());
                verdict.decision().map(|_| verdict.confidence().get())
            };
            // All nodes on either side are negations or sums of them: both hold with confidence 1, or neither does.
            assert_eq!(decide(left.clone()), decide(right.clone()), "{left} / {right}");
        }
    }
}

fn families(decisions: &str, text: &str) -> (Option<String>, Vec<Family>, u32) {
    let config = PolicyConfig {
        signals: serde_json::from_str(SIGNALS).unwrap(),
        projections: serde_json::from_str(PROJECTIONS).unwrap(),
        ..serde_json::from_str(&format!("{{{decisions}}}")).unwrap()
    };
    let verdict = compile(&config).decide(&Query::text(text), &Extra::default());
    let families = verdict.families().iter().collect();
    (verdict.name().map(str::to_owned), families, verdict.evaluations())
}

#[test]
fn exactly_the_families_that_are_needed() {
    use Family::{Authz, Context, Domain, Embedding, Keyword, Language};
    // The cheap signal of an `and` decides first, wherever it stands.
    let and = r#""decisions":[{"name":"d","when":"embedding:east and keyword:red"}]"#;
    assert_eq!(families(and, "blue 0"), (None, vec![Keyword], 1));
    assert_eq!(
        families(and, "red 0"),
        (Some("d".into()), vec![Keyword, Embedding], 2)
    );
    // A certain alternative settles an `or`; an uncertain one leaves its confidence open.
    let or = r#""decisions":[{"name":"d","when":"embedding:east or keyword:red"}]"#;
    assert_eq!(families(or, "red 0"), (Some("d".into()), vec![Keyword], 1));
    assert_eq!(
        families(or, "blue 0"),
        (Some("d".into()), vec![Keyword, Embedding], 2)
    );
    let open = r#""decisions":[{"name":"d","when":"embedding:east or event:alert"}]"#;
    assert_eq!(families(open, "critical 0").1, [Family::Event, Embedding]);
    // The first decision by priority that holds ends it.
    let two = r#""decisions":[{"name":"low","priority":1,"when":"domain:any"},{"name":"top","priority":2,"when":"keyword:red"}]"#;
    assert_eq!(families(two, "red 10"), (Some("top".into()), vec![Keyword], 1));
    assert_eq!(
        families(two, "blue 10"),
        (Some("low".into()), vec![Keyword, Domain], 2)
    );
    // With confidence first, a certain decision of higher rank spares the uncertain one.
    let sure = r#""strategy":"confidence","decisions":[{"name":"b","when":"embedding:east"},{"name":"a","when":"keyword:red"}]"#;
    assert_eq!(families(sure, "red 0"), (Some("a".into()), vec![Keyword], 1));
    // ... and what is half sure already cannot catch up.
    let bounded = r#""strategy":"confidence","decisions":[
        {"name":"a","when":"context < 1K"},{"name":"b","when":"event:alert and embedding:east"}]"#;
    assert_eq!(families(bounded, "high 0").1, [Context]);
    // All rules of a family in one go, and each family once.
    let many = r#""decisions":[{"name":"d","when":"keyword:red and keyword:both and keyword:none and not authz:staff and context < 1K"}]"#;
    assert_eq!(
        families(many, "red blue"),
        (Some("d".into()), vec![Keyword, Context, Authz], 3)
    );
    // A composer that does not hold spares the encoder.
    let gated = r#""decisions":[{"name":"d","when":"complexity:gated:hard and language:en"}]"#;
    let (name, computed, _) = families(gated, "what is the weather and why is it so");
    assert_eq!((name, computed.contains(&Language)), (None, true));
    // Nothing at all for the unconditional.
    assert_eq!(
        families(r#""decisions":[{"name":"d"}]"#, "red"),
        (Some("d".into()), vec![], 0)
    );
}

#[test]
fn at_most_the_families_that_are_referred_to() {
    let mut rng = SmallRng::seed_from_u64(11);
    for _ in 0..2_000 {
        let mut config = policy(&mut rng);
        config.projections = serde_json::from_str("{}").unwrap();
        config.signals.complexity.get_mut("gated").unwrap().composer = None;
        let mut referred: Vec<&str> = Vec::new();
        for decision in &mut config.decisions {
            if decision.when.to_string().contains("projection:") {
                decision.when = "keyword:red".parse().unwrap();
            }
        }
        for decision in &config.decisions {
            referred.extend(decision.when.leaves().iter().map(|l| l.kind.as_str()));
        }
        let verdict = compile(&config).decide(&query(&mut rng), &Extra::default());
        assert!(
            verdict.families().iter().all(|f| referred.contains(&f.as_str())),
            "{config:#?}"
        );
    }
}

#[test]
fn a_clock_times_the_families_that_were_computed() {
    let config = PolicyConfig {
        signals: serde_json::from_str(SIGNALS).unwrap(),
        decisions: vec![DecisionRule::new(
            "d",
            "keyword:red and embedding:east".parse().unwrap(),
        )],
        ..PolicyConfig::default()
    };
    let ticks = std::cell::Cell::new(0);
    let clock = || ticks.replace(ticks.get() + 5);
    let extra = Extra {
        clock: Some(&clock),
        ..Extra::default()
    };
    let verdict = compile(&config).decide(&Query::text("red 0"), &extra);
    assert_eq!(
        verdict.nanos().collect::<Vec<_>>(),
        [(Family::Keyword, 5), (Family::Embedding, 5)]
    );
}

#[test]
fn a_vector_of_the_caller_is_used() {
    let config = PolicyConfig {
        signals: serde_json::from_str(SIGNALS).unwrap(),
        decisions: vec![DecisionRule::new("d", "embedding:north".parse().unwrap())],
        ..PolicyConfig::default()
    };
    let policy = compile(&config);
    let query = Query::text("0");
    assert_eq!(policy.decide(&query, &Extra::default()).decision(), None);
    let extra = Extra {
        vector: Some(&[0.0, 1.0]),
        ..Extra::default()
    };
    assert_eq!(policy.decide(&query, &extra).decision(), Some(0));
    let of_another_encoder = Extra {
        vector: Some(&[0.0, 1.0, 0.0]),
        ..Extra::default()
    };
    assert_eq!(policy.decide(&query, &of_another_encoder).decision(), None);
    let _ = Compass::new();
}
