//! Constraints as grammars of `llguidance`.
//!
//! The schema of the request is narrowed first: strings and lists get an upper limit, objects are closed, "anything"
//! becomes something of bounded depth. What is valid by the narrowed schema is valid by the given one, and a small
//! model comes to an end. A tool call is itself JSON, `{"name": ..., "arguments": ...}`, under a schema made here.

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, SimpleVob, TokEnv, TokRxInfo, TokTrie, TokenizerEnv};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::landing::Landing;
use crate::text_model::{Constraint, Tool, ToolChoice};
use crate::tokenizer::Tokenizer;

/// Most characters of a string whose schema has no limit.
const STRING: usize = 300;
/// Most items of a list, or free properties of an object, whose schema has no limit.
const ITEMS: usize = 16;
/// Largest number, either way, whose schema has no limit: the largest whole one that every reader tells exactly.
const NUMBER: i64 = (1 << 53) - 1;
/// How deep a value of free form may be nested.
const DEPTH: usize = 2;
/// Longest smallest instance, in bytes; a schema that needs more is refused by the demo model.
const SMALLEST: usize = 20_000;

/// Makes grammars over the vocabulary of one model.
pub(crate) struct Grammars {
    factory: ParserFactory,
}

/// A grammar in the middle of a text.
pub(crate) struct Grammar {
    matcher: Matcher,
}

/// The vocabulary as the grammar library wants it.
struct Vocabulary {
    tokenizer: Arc<Tokenizer>,
    trie: TokTrie,
}

// === impl Grammars ===

impl Grammars {
    /// Over the tokens of a model; costs some ten milliseconds.
    pub(crate) fn over(tokenizer: &Arc<Tokenizer>) -> Result<Self, Error> {
        let words: Vec<Vec<u8>> = (0..tokenizer.len() as u32)
            .map(|token| {
                let mut word = Vec::new();
                if tokenizer.is_control(token) {
                    word.push(TokTrie::SPECIAL_TOKEN_MARKER);
                }
                word.extend_from_slice(tokenizer.bytes(token));
                word
            })
            .collect();
        let info = TokRxInfo::new(words.len() as u32, tokenizer.end);
        let trie = TokTrie::from(&info, &words);
        Self::from_env(
            &(Arc::new(Vocabulary {
                tokenizer: tokenizer.clone(),
                trie,
            }) as TokEnv),
        )
    }

    /// Over single bytes: for making the smallest instance of a schema.
    fn over_bytes() -> Result<Self, Error> {
        Self::from_env(&ApproximateTokEnv::single_byte_env())
    }

    fn from_env(env: &TokEnv) -> Result<Self, Error> {
        let mut factory =
            ParserFactory::new_simple(env).map_err(|error| Error::Compute(error.to_string()))?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Self { factory })
    }

    /// The grammar of a schema as made by [`schema`].
    pub(crate) fn start(&self, schema: &Value) -> Result<Grammar, Error> {
        let parser = self
            .factory
            .create_parser(TopLevelGrammar::from_json_schema(schema.clone()));
        let matcher = Matcher::new(parser);
        match matcher.get_error() {
            Some(reason) => Err(Error::Schema { tool: None, reason }),
            None => Ok(Grammar { matcher }),
        }
    }
}

// === impl Grammar ===

impl Grammar {
    /// The tokens that may come next.
    pub(crate) fn allowed(&mut self) -> Result<SimpleVob, Error> {
        self.matcher
            .compute_mask_or_eos()
            .map_err(|error| Error::Compute(error.to_string()))
    }

    /// The tokens that must come next, if there is no choice. They are not consumed yet.
    pub(crate) fn forced(&mut self) -> Vec<u32> {
        self.matcher.compute_ff_tokens()
    }

    /// Goes on by a token.
    pub(crate) fn consume(&mut self, token: u32) -> Result<(), Error> {
        self.matcher
            .consume_token(token)
            .map_err(|error| Error::Compute(error.to_string()))
    }

    /// Whether nothing can follow any more.
    pub(crate) fn is_done(&self) -> bool {
        self.matcher.is_stopped()
    }

    /// Whether the text so far is complete.
    fn is_complete(&mut self) -> bool {
        self.matcher.is_accepting().unwrap_or(false)
    }
}

// === impl Vocabulary ===

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<u32> {
        self.trie
            .tokenize_with_greedy_fallback(bytes, |text| self.tokenizer.encode(text))
    }
}

/// The schema of the answer that a constraint asks for, narrowed; `None` for free text.
///
/// # Errors
/// [`Error::NoTools`], [`Error::UnknownTool`], [`Error::Schema`].
pub(crate) fn schema(constraint: &Constraint) -> Result<Option<Value>, Error> {
    let mut schema = match constraint {
        Constraint::None => return Ok(None),
        Constraint::JsonObject => free_object(DEPTH),
        Constraint::JsonSchema(schema) => narrowed(schema, None)?,
        Constraint::ToolCall {
            tools,
            choice: ToolChoice::Auto,
        } if tools.is_empty() => return Ok(None),
        Constraint::ToolCall { tools, choice } => call_of(tools, choice)?,
    };
    if let Value::Object(fields) = &mut schema {
        // Fixed separators: a model of this size would fill its tokens with white space.
        let layout = json!({ "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": " });
        fields.insert("x-guidance".to_owned(), layout);
    }
    Ok(Some(schema))
}

/// The smallest text that is valid by a schema made by [`schema`], or nearly: the way out is taken at every byte.
pub(crate) fn smallest(schema: &Value) -> Result<String, Error> {
    let mut grammar = Grammars::over_bytes()?.start(schema)?;
    let mut landing = Landing::default();
    let mut text = Vec::new();
    while !(grammar.is_done() || (landing.depth() == 0 && !text.is_empty() && grammar.is_complete())) {
        let allowed = grammar.allowed()?;
        let byte = (0..=u8::MAX)
            .filter(|byte| allowed.is_allowed(u32::from(*byte)))
            .min_by_key(|byte| {
                (
                    landing.rank(&[*byte]),
                    !byte.is_ascii_alphanumeric(),
                    !byte.is_ascii_graphic(),
                    *byte,
                )
            });
        let Some(byte) = byte.filter(|_| text.len() < SMALLEST) else {
            let reason = "it has no small instance".to_owned();
            return Err(Error::Schema { tool: None, reason });
        };
        grammar.consume(u32::from(byte))?;
        landing.feed(&[byte]);
        text.push(byte);
    }
    String::from_utf8(text).map_err(|error| Error::Compute(error.to_string()))
}

/// The schema of a call.
fn call_of(tools: &[Tool], choice: &ToolChoice) -> Result<Value, Error> {
    if tools.is_empty() {
        return Err(Error::NoTools);
    }
    let chosen: Vec<&Tool> = match choice {
        ToolChoice::Auto | ToolChoice::Required => tools.iter().collect(),
        ToolChoice::Named(name) => tools.iter().filter(|tool| tool.name == *name).take(1).collect(),
    };
    if let (ToolChoice::Named(name), true) = (choice, chosen.is_empty()) {
        let known = tools
            .iter()
            .map(|tool| tool.name.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        return Err(Error::UnknownTool {
            name: name.clone(),
            known,
        });
    }
    let mut definitions = Map::new();
    let mut calls = Vec::new();
    for (i, tool) in chosen.into_iter().enumerate() {
        let key = format!("arguments-{i}");
        let given = match &tool.parameters {
            Value::Null => json!({ "type": "object", "properties": {} }),
            given => given.clone(),
        };
        let mut arguments = narrowed(&given, Some(&tool.name))?;
        // References inside start at the root of the tool's own schema, which is no longer the root.
        move_references(&mut arguments, &format!("#/$defs/{key}"));
        calls.push(json!({
            "type": "object",
            "properties": { "name": { "const": tool.name }, "arguments": { "$ref": format!("#/$defs/{key}") } },
            "required": ["name", "arguments"],
            "additionalProperties": false,
        }));
        definitions.insert(key, arguments);
    }
    Ok(json!({ "anyOf": calls, "$defs": definitions }))
}

fn narrowed(schema: &Value, tool: Option<&str>) -> Result<Value, Error> {
    match schema {
        Value::Object(_) | Value::Bool(true) => {
            let mut narrowed = schema.clone();
            narrow(&mut narrowed, DEPTH, true);
            Ok(narrowed)
        }
        _ => Err(Error::Schema {
            tool: tool.map(str::to_owned),
            reason: "it is not an object".to_owned(),
        }),
    }
}

/// Narrows a schema in place. `close` says whether objects may be closed against further properties: not inside
/// `allOf`, where another branch may name them.
fn narrow(schema: &mut Value, depth: usize, close: bool) {
    if *schema == Value::Bool(true) {
        *schema = anything(depth);
        return;
    }
    let Value::Object(fields) = schema else { return };
    const DECIDING: [&str; 9] = [
        "type",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
        "properties",
        "items",
    ];
    if !DECIDING.iter().any(|key| fields.contains_key(*key)) {
        // Only descriptions, if anything: any value is valid.
        let limits = [
            "minLength",
            "pattern",
            "format",
            "minimum",
            "maximum",
            "required",
            "not",
            "if",
            "prefixItems",
        ];
        if !limits.iter().any(|key| fields.contains_key(*key)) {
            let Value::Object(free) = anything(depth) else {
                return;
            };
            fields.extend(free);
        }
        return;
    }
    let is = |fields: &Map<String, Value>, name: &str| match fields.get("type") {
        Some(Value::String(kind)) => kind == name,
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == name),
        _ => false,
    };
    let has = |fields: &Map<String, Value>, keys: &[&str]| keys.iter().any(|key| fields.contains_key(*key));
    let listed = has(fields, &["enum", "const"]);
    let combined = has(fields, &["anyOf", "oneOf", "allOf", "$ref"]);
    if is(fields, "string") && !listed && !has(fields, &["maxLength", "pattern", "format"]) {
        let least = fields.get("minLength").and_then(Value::as_u64).unwrap_or(0) as usize;
        fields.insert("maxLength".to_owned(), json!(STRING.max(least)));
    }
    if (is(fields, "number") || is(fields, "integer")) && !listed {
        // Without limits a number may have an exponent, such as 1e999, which most readers refuse.
        if !has(fields, &["minimum", "exclusiveMinimum"]) {
            fields.insert("minimum".to_owned(), json!(-NUMBER));
        }
        if !has(fields, &["maximum", "exclusiveMaximum"]) {
            fields.insert("maximum".to_owned(), json!(NUMBER));
        }
    }
    if (is(fields, "array") || fields.contains_key("items")) && !listed {
        if !fields.contains_key("maxItems") {
            let least = fields.get("minItems").and_then(Value::as_u64).unwrap_or(0) as usize;
            fields.insert("maxItems".to_owned(), json!(ITEMS.max(least)));
        }
        if !has(fields, &["items", "prefixItems"]) && !combined {
            fields.insert("items".to_owned(), anything(depth.saturating_sub(1)));
        }
    }
    if (is(fields, "object") || fields.contains_key("properties")) && !listed && close && !combined {
        let free = matches!(fields.get("additionalProperties"), None | Some(Value::Bool(true)));
        let named = has(fields, &["properties", "patternProperties"]);
        if free && named {
            fields.insert("additionalProperties".to_owned(), json!(false));
        } else if free {
            fields.insert(
                "additionalProperties".to_owned(),
                anything(depth.saturating_sub(1)),
            );
            fields.entry("maxProperties").or_insert(json!(ITEMS));
        }
    }
    for (key, value) in fields.iter_mut() {
        match (key.as_str(), value) {
            ("properties" | "patternProperties" | "$defs" | "definitions", Value::Object(members)) => {
                members
                    .values_mut()
                    .for_each(|member| narrow(member, depth, true));
            }
            ("items" | "additionalProperties", member) => narrow(member, depth, true),
            ("anyOf" | "oneOf" | "prefixItems", Value::Array(members)) => {
                members.iter_mut().for_each(|member| narrow(member, depth, close));
            }
            ("allOf", Value::Array(members)) => {
                members.iter_mut().for_each(|member| narrow(member, depth, false));
            }
            _ => {}
        }
    }
}

/// A value of free form, nested at most `depth` deep.
fn anything(depth: usize) -> Value {
    let mut kinds = vec![
        json!({ "type": "string", "maxLength": STRING }),
        json!({ "type": "number", "minimum": -NUMBER, "maximum": NUMBER }),
        json!({ "type": "boolean" }),
        json!({ "type": "null" }),
    ];
    if depth > 0 {
        kinds.push(json!({ "type": "array", "items": anything(depth - 1), "maxItems": ITEMS }));
        kinds.push(free_object(depth));
    }
    json!({ "anyOf": kinds })
}

fn free_object(depth: usize) -> Value {
    json!({ "type": "object", "additionalProperties": anything(depth.saturating_sub(1)), "maxProperties": ITEMS })
}

/// Makes `#...` references start at `root`.
fn move_references(schema: &mut Value, root: &str) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                match value {
                    Value::String(target) if key == "$ref" && target.starts_with('#') => {
                        *target = format!("{root}{}", &target[1..]);
                    }
                    // Values that only look like schemas.
                    _ if key == "const" || key == "enum" || key == "default" || key == "examples" => {}
                    value => move_references(value, root),
                }
            }
        }
        Value::Array(members) => members
            .iter_mut()
            .for_each(|member| move_references(member, root)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sampler::Sampler;
    use crate::text_model::Sampling;

    fn smallest_of(constraint: &Constraint) -> String {
        smallest(&schema(constraint).unwrap().unwrap()).unwrap()
    }

    fn of_schema(schema: Value) -> String {
        smallest_of(&Constraint::JsonSchema(schema))
    }

    #[test]
    fn smallest_instances() {
        let object = |properties: Value, required: Value| json!({ "type": "object", "properties": properties, "required": required });
        assert_eq!(
            of_schema(object(json!({"a": {"type": "string"}}), json!([]))),
            "{}"
        );
        assert_eq!(
            of_schema(object(
                json!({"name": {"type": "string"}, "age": {"type": "integer"}, "ok": {"type": "boolean"}}),
                json!(["name", "age", "ok"])
            )),
            r#"{"name": "", "age": 0, "ok": false}"#
        );
        assert_eq!(of_schema(json!({"enum": ["red", "blue"]})), r#""blue""#);
        assert_eq!(
            of_schema(json!({"type": "array", "items": {"type": "integer"}, "minItems": 2})),
            "[0, 0]"
        );
        assert_eq!(of_schema(json!({"type": "string", "minLength": 3})), r#""000""#);
        assert_eq!(
            of_schema(json!({"type": "integer", "minimum": 12, "maximum": 19})),
            "12"
        );
        assert_eq!(
            of_schema(json!({"type": "string", "pattern": "^[A-Z]{2}-\\d+$"})),
            r#""AA-0""#
        );
        assert_eq!(
            of_schema(json!({"const": {"x": [1, null]}})),
            r#"{"x": [1, null]}"#
        );
        assert_eq!(smallest_of(&Constraint::JsonObject), "{}");
    }

    #[test]
    fn calls_name_the_tool_and_keep_its_own_references() {
        let tool = Tool {
            name: "book".to_owned(),
            description: None,
            parameters: json!({
                "type": "object",
                "properties": { "seat": { "$ref": "#/$defs/Seat" } },
                "required": ["seat"],
                "$defs": { "Seat": { "type": "object", "properties": { "row": { "type": "integer" } }, "required": ["row"] } },
            }),
        };
        let bare = Tool {
            name: "stop".to_owned(),
            description: None,
            parameters: Value::Null,
        };
        let tools = vec![bare, tool];
        let call = |choice| {
            smallest_of(&Constraint::ToolCall {
                tools: tools.clone(),
                choice,
            })
        };
        assert_eq!(
            call(ToolChoice::Named("book".to_owned())),
            r#"{"name": "book", "arguments": {"seat": {"row": 0}}}"#
        );
        assert_eq!(
            call(ToolChoice::Named("stop".to_owned())),
            r#"{"name": "stop", "arguments": {}}"#
        );
        assert_eq!(
            call(ToolChoice::Required),
            r#"{"name": "book", "arguments": {"seat": {"row": 0}}}"#
        );
    }

    #[test]
    fn what_cannot_be_followed_is_said() {
        let error = |constraint: &Constraint| match schema(constraint) {
            Ok(Some(schema)) => smallest(&schema).unwrap_err().to_string(),
            Ok(None) => panic!("free text"),
            Err(error) => error.to_string(),
        };
        assert!(error(&Constraint::JsonSchema(json!("text"))).contains("not an object"));
        let unknown = error(&Constraint::JsonSchema(
            json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}}),
        ));
        assert!(unknown.contains("uniqueItems"), "{unknown}");
        let none = Constraint::ToolCall {
            tools: Vec::new(),
            choice: ToolChoice::Required,
        };
        assert!(error(&none).contains("no tools"));
        let tools = vec![Tool {
            name: "a".to_owned(),
            description: None,
            parameters: Value::Null,
        }];
        let other = Constraint::ToolCall {
            tools,
            choice: ToolChoice::Named("b".to_owned()),
        };
        assert!(error(&other).contains("no tool `b`"));
    }

    #[test]
    fn narrowing_limits_what_was_without_limit_and_leaves_the_rest() {
        let mut schema = json!({
            "type": "object",
            "properties": {
                "free": {},
                "text": { "type": ["string", "null"] },
                "code": { "type": "string", "maxLength": 5 },
                "list": { "type": "array" },
                "kind": { "type": "string", "enum": ["a"] },
            },
        });
        narrow(&mut schema, 1, true);
        let properties = &schema["properties"];
        assert_eq!(schema["additionalProperties"], json!(false));
        assert!(properties["free"]["anyOf"].is_array());
        assert_eq!(properties["text"]["maxLength"], json!(STRING));
        assert_eq!(properties["code"]["maxLength"], json!(5));
        assert_eq!(properties["list"]["maxItems"], json!(ITEMS));
        assert_eq!(properties["kind"], json!({ "type": "string", "enum": ["a"] }));
        let mut all = json!({ "allOf": [{ "type": "object", "properties": { "a": { "type": "null" } } }] });
        let before = all.clone();
        narrow(&mut all, 1, true);
        assert_eq!(all, before, "branches of allOf stay open for each other");
    }

    /// Small schemas of every supported shape.
    fn schemas() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!({ "type": "string" })),
            Just(json!({ "type": "integer" })),
            Just(json!({ "type": "number", "minimum": -1.5, "maximum": 99 })),
            Just(json!({ "type": "boolean" })),
            Just(json!({ "enum": ["a", "b\"c", 3, null] })),
            Just(json!({ "const": { "k": [1, true] } })),
            Just(json!({})),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            let members = proptest::collection::vec((inner.clone(), any::<bool>()), 0..3);
            prop_oneof![
                (inner.clone(), 0..2u32).prop_map(|(items, least)| {
                    json!({ "type": "array", "items": items, "minItems": least, "maxItems": 3 })
                }),
                members.prop_map(|members| {
                    let name = |i: usize| format!("p{i}");
                    let required: Vec<_> = members
                        .iter()
                        .enumerate()
                        .filter(|(_, (_, need))| *need)
                        .map(|(i, _)| name(i))
                        .collect();
                    let properties: Map<String, Value> = members
                        .into_iter()
                        .enumerate()
                        .map(|(i, (schema, _))| (name(i), schema))
                        .collect();
                    json!({ "type": "object", "properties": properties, "required": required })
                }),
                proptest::collection::vec(inner, 1..3).prop_map(|kinds| json!({ "anyOf": kinds })),
            ]
        })
    }

    /// Whether a value is valid, for the keywords that [`schemas`] uses.
    fn valid(schema: &Value, value: &Value) -> bool {
        if let Some(constant) = schema.get("const") {
            return value == constant;
        }
        if let Some(listed) = schema.get("enum").and_then(Value::as_array) {
            return listed.contains(value);
        }
        if let Some(kinds) = schema.get("anyOf").and_then(Value::as_array) {
            return kinds.iter().any(|kind| valid(kind, value));
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("string") => value.is_string(),
            Some("integer") => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            Some("number") => value
                .as_f64()
                .is_some_and(|number| (-1.5..=99.0).contains(&number)),
            Some("boolean") => value.is_boolean(),
            Some("array") => value.as_array().is_some_and(|items| {
                (schema["minItems"].as_u64().unwrap_or(0)..=3).contains(&(items.len() as u64))
                    && items.iter().all(|item| valid(&schema["items"], item))
            }),
            Some(_) => value.as_object().is_some_and(|fields| {
                let required = schema["required"].as_array().unwrap();
                required
                    .iter()
                    .all(|name| fields.contains_key(name.as_str().unwrap()))
                    && fields.iter().all(|(name, field)| {
                        schema["properties"]
                            .get(name)
                            .is_some_and(|schema| valid(schema, field))
                    })
            }),
            None => true,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn whatever_is_written_to_the_end_is_valid(given in schemas(), seed in any::<u64>()) {
            let narrowed = schema(&Constraint::JsonSchema(given.clone())).unwrap().unwrap();
            let mut grammar = Grammars::over_bytes().unwrap().start(&narrowed).unwrap();
            let mut choice = Sampler::new(&Sampling { seed: Some(seed), ..Sampling::default() });
            let mut landing = Landing::default();
            let mut text = Vec::new();
            let even = [0.0; 256];
            while !grammar.is_done() {
                prop_assert!(text.len() < 3_000, "no end: {}", String::from_utf8_lossy(&text));
                let allowed = grammar.allowed().unwrap();
                let bytes = (0..=u8::MAX).filter(|byte| allowed.is_allowed(u32::from(*byte)));
                let best = bytes.map(|byte| landing.rank(&[byte])).min();
                let steer = text.len() > 100 || landing.endless_number();
                let byte = choice.choose(&even, |byte| {
                    allowed.is_allowed(byte) && (!steer || Some(landing.rank(&[byte as u8])) == best)
                });
                // Nothing but the end mark is left, or the text is complete and long enough.
                let Some(byte) = byte.filter(|_| !(steer && landing.depth() == 0 && grammar.is_complete())) else { break };
                grammar.consume(byte).unwrap();
                landing.feed(&[byte as u8]);
                text.push(byte as u8);
            }
            let value: Value = serde_json::from_slice(&text).unwrap();
            prop_assert!(valid(&given, &value), "{} by {}", value, given);
        }
    }
}
