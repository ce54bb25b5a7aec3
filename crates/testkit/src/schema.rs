//! The smallest plausible instance of a JSON Schema, for tool arguments and structured answers.
//!
//! Follows `$ref` into the same document, takes the first of `anyOf` / `oneOf`, merges `allOf`, prefers `const`,
//! `default`, `examples` and `enum`, fills every listed property and keeps lower bounds. It does not solve patterns.

use serde_json::{Map, Value, json};

const MAX_DEPTH: usize = 24;

/// An instance of `schema`; `null` where the schema is no object or nests without end.
pub fn instance(schema: &Value) -> Value {
    build(schema, schema, "value", MAX_DEPTH)
}

fn build(schema: &Value, root: &Value, name: &str, depth: usize) -> Value {
    let Some(depth) = depth.checked_sub(1) else {
        return Value::Null;
    };
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let found = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return found.map_or(Value::Null, |found| build(found, root, name, depth));
    }
    for fixed in ["const", "default"] {
        if let Some(value) = schema.get(fixed).filter(|v| !v.is_null()) {
            return value.clone();
        }
    }
    for list in ["examples", "enum"] {
        if let Some(value) = schema.get(list).and_then(|l| l.get(0)) {
            return value.clone();
        }
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(first) = schema.get(choice).and_then(|l| l.get(0)) {
            return build(first, root, name, depth);
        }
    }
    if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
        let built = parts.iter().map(|part| build(part, root, name, depth));
        return built.reduce(merge).unwrap_or(Value::Null);
    }
    match kind(schema) {
        "object" => object(schema, root, depth),
        "array" => array(schema, root, name, depth),
        "integer" => json!(lower_bound(schema).ceil() as i64),
        "number" => json!(lower_bound(schema)),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => json!(string(schema, name)),
    }
}

fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => kinds.iter().find_map(Value::as_str).unwrap_or("string"),
        _ if schema.get("properties").is_some() => "object",
        _ if schema.get("items").is_some() => "array",
        _ => "string",
    }
}

fn object(schema: &Value, root: &Value, depth: usize) -> Value {
    let mut fields = Map::new();
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (name, property) in properties {
            fields.insert(name.clone(), build(property, root, name, depth));
        }
    }
    Value::Object(fields)
}

fn array(schema: &Value, root: &Value, name: &str, depth: usize) -> Value {
    let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1).max(1);
    let item = schema
        .get("items")
        .map_or(json!(name), |items| build(items, root, name, depth));
    Value::Array((0..least).map(|_| item.clone()).collect())
}

/// The least multiple of `multipleOf` that keeps the lower bound; 1 without one, unless an upper bound forbids it.
fn lower_bound(schema: &Value) -> f64 {
    let number = |name: &str| schema.get(name).and_then(Value::as_f64);
    let step = number("multipleOf").unwrap_or(1.0);
    let least = match (number("minimum"), number("exclusiveMinimum")) {
        (Some(least), _) => least,
        (None, Some(above)) => above + step,
        (None, None) => number("maximum").unwrap_or(1.0).min(1.0),
    };
    (least / step).ceil() * step
}

fn string(schema: &Value, name: &str) -> String {
    let fixed = match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => "2026-01-02T03:04:05Z",
        Some("date") => "2026-01-02",
        Some("time") => "03:04:05Z",
        Some("email") => "ann@example.com",
        Some("uuid") => "00000000-0000-4000-8000-000000000001",
        Some("uri") => "https://example.com/",
        _ => "",
    };
    let mut text = if fixed.is_empty() {
        format!("some {name}")
    } else {
        fixed.to_owned()
    };
    let bound = |key: &str| {
        schema
            .get(key)
            .and_then(Value::as_u64)
            .and_then(|n| usize::try_from(n).ok())
    };
    while text.chars().count() < bound("minLength").unwrap_or(0) {
        text.push('x');
    }
    if let Some(most) = bound("maxLength") {
        text = text.chars().take(most).collect();
    }
    text
}

fn merge(into: Value, from: Value) -> Value {
    match (into, from) {
        (Value::Object(mut into), Value::Object(from)) => {
            into.extend(from);
            Value::Object(into)
        }
        (into, _) => into,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_as_the_python_clients_write_it_is_filled() {
        let schema = json!({
            "type": "object",
            "$defs": {"Step": {"type": "object", "properties": {"why": {"type": "string"}}, "required": ["why"]}},
            "properties": {
                "steps": {"type": "array", "items": {"$ref": "#/$defs/Step"}, "minItems": 2},
                "unit": {"enum": ["c", "f"]},
                "age": {"anyOf": [{"type": "integer", "minimum": 3}, {"type": "null"}]},
                "rate": {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.5},
                "ok": {"type": ["boolean", "null"]},
            },
        });
        let expected = json!({
            "steps": [{"why": "some why"}, {"why": "some why"}],
            "unit": "c", "age": 3, "rate": 0.5, "ok": true,
        });
        assert_eq!(instance(&schema), expected);
    }

    #[test]
    fn a_schema_without_end_ends() {
        let schema = json!({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"});
        assert_eq!(instance(&schema), Value::Null);
    }
}
