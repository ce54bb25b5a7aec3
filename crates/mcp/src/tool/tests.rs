use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::listing::MOST_PROBLEMS;

fn read(raw: Vec<Value>) -> Listing<Offered> {
    Listing::read(&McpServer::started("s", "x"), &McpLimits::default(), raw)
}

fn tool(name: &str) -> Value {
    json!({"name": name, "inputSchema": {"type": "object"}})
}

fn why_left_out(schema: &Value) -> String {
    let listing = read(vec![json!({"name": "t", "inputSchema": schema}), tool("other")]);
    assert_eq!(listing.items.len(), 1, "{schema}");
    assert_eq!(listing.problems.len(), 1);
    listing.problems[0].clone()
}

#[test]
fn what_is_no_schema_is_left_out_and_said() {
    assert!(why_left_out(&json!("text")).contains("`t` left out: its inputSchema is no JSON object"));
    assert!(why_left_out(&json!({"type": "string"})).contains("has the type \"string\"; allowed"));
    assert!(why_left_out(&json!({"type": 42})).contains("has the type 42"));
    assert!(why_left_out(&json!({"properties": []})).contains("`properties` must be an object"));
    assert!(why_left_out(&json!({"properties": {"a": 3}})).contains("3 where a schema belongs"));
    assert!(why_left_out(&json!({"required": "a"})).contains("`required` must be a list of texts"));
    assert!(
        why_left_out(&json!({"properties": {"a": {"items": {"enum": 1}}}})).contains("`enum` must be a list")
    );
    let mut deep = json!({});
    for _ in 0..60 {
        deep = json!({"properties": {"a": deep}});
    }
    assert!(why_left_out(&deep).contains("nested deeper"));
    assert!(why_left_out(&json!({"x": "y".repeat(70_000)})).contains("mcp.limits.schema"));
    let listing = read(vec![
        json!({"name": "t"}),
        json!("text"),
        json!({"name": ""}),
        json!({"name": 7}),
    ]);
    assert!(listing.items.is_empty());
    assert_eq!(listing.problems.len(), 4);
}

#[test]
fn a_sound_schema_is_kept_as_it_is() {
    let schema = json!({"type": "object", "required": ["a"], "additionalProperties": false, "properties": {
        "a": {"type": ["string", "null"], "enum": ["x"]}, "b": true, "c": {"anyOf": [{"type": "array", "items": {}}]}}});
    let listing = read(vec![json!({"name": "t", "inputSchema": schema})]);
    assert!(listing.problems.is_empty(), "{:?}", listing.problems);
    assert_eq!(
        Value::Object((*listing.items[0].shown.input_schema).clone()),
        schema
    );
}

#[test]
fn texts_are_cut_and_cleaned() {
    let mut long = tool("t");
    long["description"] = json!(format!("\u{1b}[2J{}", "x".repeat(1_000_000)));
    let listing = read(vec![long]);
    let shown = listing.items[0].shown.description.as_deref().unwrap();
    assert!(
        shown.starts_with("[2Jxxx") && shown.len() < 4200,
        "{}",
        shown.len()
    );
    assert!(
        listing.problems[0].contains("description of 1000004 bytes cut"),
        "{:?}",
        listing.problems
    );
}

#[test]
fn names_are_exposed_once_and_kept() {
    let listing = read(vec![tool("a b"), tool("a b"), tool("a\nb")]);
    let names: Vec<&str> = listing.items.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["a b", "a\nb"]);
    assert_ne!(listing.items[0].shown.name, listing.items[1].shown.name);
    assert_eq!(listing.items[0].id, "s::a b");
    assert!(listing.problems[0].starts_with("tool `a b` left out: the server lists another"));
}

#[test]
fn what_may_be_called_twice_is_what_its_server_or_the_configuration_says() {
    let hinted = |hints: Value| {
        let mut tool = tool("t");
        tool["annotations"] = hints;
        read(vec![tool]).items[0].repeatable
    };
    assert!(hinted(json!({"readOnlyHint": true})));
    assert!(hinted(json!({"idempotentHint": true})));
    assert!(!hinted(json!({"readOnlyHint": false})));
    assert!(!read(vec![tool("t")]).items[0].repeatable);
    let mut server = McpServer::started("s", "x");
    let own = fingerpost_agents::mcp::McpTool {
        cost: 0.5,
        timeout: Some(Duration::from_secs(1)),
        idempotent: Some(true),
    };
    server.tools.insert("t".to_owned(), own);
    let listing = Listing::<Offered>::read(&server, &McpLimits::default(), vec![tool("t"), tool("u")]);
    assert!(listing.items[0].repeatable && !listing.items[1].repeatable);
    assert_eq!((listing.items[0].cost, listing.items[1].cost), (0.5, 0.0));
    assert_eq!(listing.items[1].timeout, Duration::from_secs(60));
}

#[test]
fn too_many_tools_are_left_out() {
    let limits = McpLimits {
        tools: 3,
        ..McpLimits::default()
    };
    let raw = (0..5).map(|i| tool(&i.to_string())).collect();
    let listing = Listing::<Offered>::read(&McpServer::started("s", "x"), &limits, raw);
    assert_eq!(listing.items.len(), 3);
    assert_eq!(listing.problems, ["2 of 5 tools left out: mcp.limits.tools"]);
    let broken = (0..50).map(|_| json!({})).collect();
    assert_eq!(read(broken).problems.len(), MOST_PROBLEMS + 1);
}

/// Any JSON, with the words of tools and schemas in it.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z_]{0,6}|\\PC{0,6}|object".prop_map(Value::from),
    ];
    let word = "name|description|title|inputSchema|outputSchema|annotations|readOnlyHint|type|properties|required|items|enum|icons|_meta|[a-z]{1,3}";
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(word, inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_a_server_lists_becomes_sound_tools_or_problems(raw in prop::collection::vec(anything(), 0..8), schema in anything()) {
        let count = raw.len() + 1;
        let own = json!({"name": "own", "inputSchema": schema});
        let listing = read(raw.into_iter().chain([own]).collect());
        prop_assert!(listing.items.len() <= count);
        prop_assert!(listing.items.len() + listing.problems.len() >= count.min(MOST_PROBLEMS));
        for tool in &listing.items {
            prop_assert!(tool.shown.name.starts_with("s__"));
            let schema = Value::Object((*tool.shown.input_schema).clone());
            prop_assert_eq!(flaw(&schema, usize::MAX), None);
        }
        for problem in &listing.problems {
            prop_assert!(!problem.contains(char::is_control), "{:?}", problem);
        }
    }
}
