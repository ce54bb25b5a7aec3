//! What a constraint asks for as one schema that a small model can follow to its end.
//!
//! The schema of the request is narrowed: strings and lists get an upper limit, objects are closed, "anything" becomes something
//! of bounded depth. What is valid by the narrowed schema is valid by the given one. A tool call is itself JSON,
//! `{"name": ..., "arguments": ...}`, under a schema made here.

use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::text_model::{Constraint, Tool, ToolChoice};

/// Most characters of a string whose schema has no limit.
const STRING: usize = 300;
/// Most items of a list, or free properties of an object, whose schema has no limit.
const ITEMS: usize = 16;
/// Largest number, either way, whose schema has no limit: the largest whole one that every reader tells exactly.
const NUMBER: i64 = (1 << 53) - 1;
/// How deep a value of free form may be nested.
const DEPTH: usize = 2;

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
    use super::*;

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
}
