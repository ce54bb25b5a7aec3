//! The arguments of a tool: a JSON Schema of an object, read for its words.

use serde_json::Value;

/// How deep arguments inside arguments are read.
const DEEPEST: usize = 8;
/// Bytes of arguments that are collected; more would be cut off anyway.
const MOST: usize = crate::catalogue::limits::BODY;

/// Appends the names and texts of all arguments, a line each.
///
/// # Errors
/// What is no JSON Schema about it; the text then holds what was right before.
pub(super) fn arguments(schema: &Value, out: &mut String) -> Result<(), String> {
    let object = schema.as_object().ok_or("it is no object")?;
    match object.get("type") {
        None => {}
        Some(Value::String(kind)) if kind == "object" => {}
        Some(other) => return Err(format!("`type` is {}, not \"object\"", brief(other))),
    }
    walk(schema, "", 0, out)
}

fn walk(schema: &Value, path: &str, depth: usize, out: &mut String) -> Result<(), String> {
    if depth > DEEPEST || out.len() > MOST {
        return Ok(());
    }
    if let Some(properties) = schema.get("properties") {
        let properties = properties.as_object().ok_or_else(|| {
            let at = if path.is_empty() {
                String::new()
            } else {
                format!(" of {path}")
            };
            format!("`properties`{at} is {}, not an object", brief(properties))
        })?;
        for (name, argument) in properties {
            if !argument.is_object() && !argument.is_boolean() {
                return Err(format!("argument `{name}` is {}, not a schema", brief(argument)));
            }
            line(name, argument, out);
            walk(argument, name, depth + 1, out)?;
        }
    }
    match schema.get("required") {
        None => {}
        Some(Value::Array(names)) if names.iter().all(Value::is_string) => {}
        // OpenAPI habits put a truth value on the argument itself; harmless.
        Some(Value::Bool(_)) if depth > 0 => {}
        Some(other) => return Err(format!("`required` is {}, not a list of names", brief(other))),
    }
    if let Some(items) = schema.get("items").filter(|items| items.is_object()) {
        walk(items, path, depth + 1, out)?;
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        for part in schema.get(key).and_then(Value::as_array).into_iter().flatten() {
            walk(part, path, depth + 1, out)?;
        }
    }
    for key in ["$defs", "definitions"] {
        for (_, part) in schema.get(key).and_then(Value::as_object).into_iter().flatten() {
            walk(part, path, depth + 1, out)?;
        }
    }
    Ok(())
}

/// One argument: its name, what it says of itself and what it may be.
fn line(name: &str, argument: &Value, out: &mut String) {
    out.push_str(name);
    for key in ["title", "description"] {
        if let Some(said) = argument.get(key).and_then(Value::as_str) {
            out.push_str(": ");
            out.push_str(said);
        }
    }
    let choices = argument
        .get("enum")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    for choice in choices.filter_map(Value::as_str).take(64) {
        out.push(' ');
        out.push_str(choice);
    }
    out.push('\n');
}

/// A value in a few characters.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    let mut brief: String = text.chars().take(40).collect();
    if brief.len() < text.len() {
        brief.push('…');
    }
    brief
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_texts_and_choices_are_read_at_every_depth() {
        let schema = json!({"type": "object", "required": ["city"], "properties": {
            "city": {"type": "string", "description": "Where"},
            "unit": {"enum": ["celsius", "kelvin"]},
            "days": {"type": "array", "items": {"type": "object", "properties": {"from": {"title": "First day"}}}},
            "any": true,
        }});
        let mut out = String::new();
        arguments(&schema, &mut out).unwrap();
        assert_eq!(
            out,
            "city: Where\nunit celsius kelvin\ndays\nfrom: First day\nany\n"
        );
        arguments(&json!({}), &mut out).unwrap();
    }

    #[test]
    fn what_is_no_schema_is_named() {
        for (schema, said) in [
            (json!("string"), "no object"),
            (json!({"type": "array"}), "\"array\""),
            (json!({"type": ["object"]}), "[\"object\"]"),
            (json!({"properties": ["a"]}), "`properties`"),
            (json!({"properties": {"a": 7}}), "argument `a` is 7"),
            (json!({"properties": {"a": {"properties": 1}}}), "of a"),
            (json!({"required": [1]}), "`required`"),
        ] {
            let found = arguments(&schema, &mut String::new()).unwrap_err();
            assert!(found.contains(said), "{found}");
        }
    }

    #[test]
    fn a_deep_schema_ends() {
        let mut schema = json!({"properties": {"x": {}}});
        for _ in 0..50 {
            schema = json!({"properties": {"x": schema}});
        }
        let mut out = String::new();
        arguments(&schema, &mut out).unwrap();
        assert_eq!(out.lines().count(), DEEPEST + 1);
    }
}
