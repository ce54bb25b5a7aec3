//! Fingerpost's own tools: find one, call it, see how they fare.

use std::sync::Arc;

use rmcp::model::{CallToolResult, ContentBlock, JsonObject, Tool, ToolAnnotations};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{catalogue::Known, hub::Hub};

/// Finds tools.
pub(crate) const SEARCH: &str = "search_tools";
/// Calls one.
pub(crate) const CALL: &str = "call_tool";
/// Tells how they fare.
pub(crate) const STATS: &str = "tool_stats";

/// Tools found where nothing is said.
const USUAL: usize = 5;
/// Most tools found at once.
const MOST: usize = 50;

/// What `search_tools` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    query: String,
    #[serde(default)]
    k: Option<usize>,
    #[serde(default)]
    server: Option<String>,
}

/// What `call_tool` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallOther {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) arguments: Option<JsonObject>,
}

/// What `tool_stats` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskStats {
    #[serde(default)]
    server: Option<String>,
    #[serde(default)]
    tool: Option<String>,
}

/// The own tools as clients see them.
pub(crate) fn tools() -> Vec<Tool> {
    let text = |description: &str| json!({"type": "string", "description": description});
    let reading = || ToolAnnotations::new().read_only(true).open_world(false);
    let search = object(
        json!({
            "query": text("What the tool should do, in words"),
            "k": {"type": "integer", "minimum": 1, "maximum": MOST, "default": USUAL, "description": "How many tools"},
            "server": text("Only tools of this server"),
        }),
        &["query"],
    );
    let call = object(
        json!({
            "name": text("The tool's name, as search_tools gives it"),
            "arguments": {"type": "object", "description": "Its arguments, as its input_schema asks for them"},
        }),
        &["name"],
    );
    let stats = object(
        json!({
            "server": text("Only this server"),
            "tool": text("Only this tool"),
        }),
        &[],
    );
    vec![
        Tool::new(SEARCH, "Finds the tools that fit a task, among all connected servers. Call what you find with call_tool.", search)
            .with_annotations(reading()),
        Tool::new(CALL, "Calls a tool that search_tools has found, by its name and with its arguments.", call),
        Tool::new(
            STATS,
            "Tells which servers are connected, and of each tool how often it was called, how long it took, how often it failed and what it cost.",
            stats,
        )
        .with_annotations(reading()),
    ]
}

fn object(properties: Value, required: &[&str]) -> Arc<JsonObject> {
    let mut schema = JsonObject::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), properties);
    schema.insert("required".to_owned(), json!(required));
    schema.insert("additionalProperties".to_owned(), json!(false));
    Arc::new(schema)
}

/// The arguments of an own tool; what is wrong with them, for the model that called.
pub(crate) fn arguments<T: DeserializeOwned>(
    tool: &str,
    given: Option<JsonObject>,
) -> Result<T, CallToolResult> {
    serde_json::from_value(Value::Object(given.unwrap_or_default()))
        .map_err(|error| failed(format!("The arguments of {tool} are not understood: {error}")))
}

/// A result that says why there is none.
pub(crate) fn failed(why: String) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(why)])
}

/// A result as text for models and as structure for programs.
pub(crate) fn structured(value: Value) -> CallToolResult {
    let mut result = CallToolResult::success(vec![ContentBlock::text(value.to_string())]);
    result.structured_content = Some(value);
    result
}

// === impl Search ===

impl Search {
    /// Answers with the tools that fit best, and the servers that could not be searched.
    pub(crate) async fn run(self, hub: &Hub) -> CallToolResult {
        let k = self.k.unwrap_or(USUAL);
        if !(1..=MOST).contains(&k) {
            return failed(format!("k is {k}; allowed: 1 to {MOST}"));
        }
        hub.settled().await;
        let catalogue = hub.catalogue();
        let found = catalogue.find(&self.query, k, self.server.as_deref());
        let found: Vec<Value> = found
            .into_iter()
            .map(|(known, score)| shown(known, score))
            .collect();
        let mut answer = json!({"tools": found});
        let missing = hub.missing();
        if !missing.is_empty() {
            let missing = missing
                .into_iter()
                .map(|(server, why)| json!({"server": server, "why": why}));
            answer["servers_missing"] = missing.collect();
        }
        structured(answer)
    }
}

fn shown(known: &Known, score: f32) -> Value {
    let tool = &known.tool.shown;
    let mut shown = json!({
        "name": tool.name,
        "server": known.server.name(),
        "description": tool.description,
        "input_schema": tool.input_schema,
        "score": score,
    });
    if !known.server.is_usable() {
        shown["available"] = json!(false);
    }
    if let Some(hints) = &tool.annotations {
        shown["annotations"] = json!(hints);
    }
    if known.tool.cost > 0.0 {
        shown["cost_usd"] = json!(known.tool.cost);
    }
    shown
}

// === impl AskStats ===

impl AskStats {
    pub(crate) fn run(self, hub: &Hub) -> CallToolResult {
        structured(hub.stats(self.server.as_deref(), self.tool.as_deref()))
    }
}
