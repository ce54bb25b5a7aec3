//! OpenAI Embeddings and the lists of models.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::ask::{ApiError, count, model, text};
use crate::completion::CREATED;

const DEFAULT_DIMENSIONS: usize = 8;

/// Unit vectors that depend on the text alone, as numbers or base64 of little-endian floats.
pub(crate) fn answer(body: &Value) -> Result<Value, ApiError> {
    let model = model(body)?;
    let inputs: Vec<String> = match body.get("input") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) if many.iter().all(Value::is_number) => vec![json!(many).to_string()],
        Some(Value::Array(many)) if !many.is_empty() => many
            .iter()
            .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
            .collect(),
        _ => {
            return Err(ApiError::field(
                "input",
                "'input' must be a non-empty string or array",
            ));
        }
    };
    let dimensions = count(body, "dimensions")
        .unwrap_or(DEFAULT_DIMENSIONS)
        .clamp(1, 4096);
    let base64 = text(body, "encoding_format") == "base64";
    let entry = |(index, input): (usize, &String)| {
        let vector = vector(input, dimensions);
        let embedding = if base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
            json!(base64::engine::general_purpose::STANDARD.encode(bytes))
        } else {
            json!(vector)
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    };
    let tokens: usize = inputs.iter().map(|i| i.split_whitespace().count()).sum();
    Ok(json!({
        "object": "list",
        "data": inputs.iter().enumerate().map(entry).collect::<Vec<_>>(),
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }))
}

/// FNV-1a over the text seeds a linear congruential sequence; the vector is scaled to length 1.
fn vector(input: &str, dimensions: usize) -> Vec<f32> {
    let mut state = input.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32) / ((1_u64 << 23) as f32) - 1.0
    };
    let raw: Vec<f32> = (0..dimensions).map(|_| next()).collect();
    let length = raw
        .iter()
        .map(|x| x * x)
        .sum::<f32>()
        .sqrt()
        .max(f32::MIN_POSITIVE);
    raw.iter().map(|x| x / length).collect()
}

/// The list of models, in Anthropic's form when its version header came with the request.
pub(crate) fn models(names: &[String], anthropic: bool) -> Value {
    let entries: Vec<Value> = names.iter().map(|name| model_entry(name, anthropic)).collect();
    if anthropic {
        return json!({"data": entries, "has_more": false, "first_id": names.first(), "last_id": names.last()});
    }
    json!({"object": "list", "data": entries})
}

/// One model.
pub(crate) fn model_entry(name: &str, anthropic: bool) -> Value {
    if anthropic {
        return json!({"type": "model", "id": name, "display_name": name, "created_at": "2026-01-02T03:00:00Z"});
    }
    json!({"id": name, "object": "model", "created": CREATED, "owned_by": "scripted"})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_and_numbers_are_the_same_unit_vector() {
        let numbers = answer(&json!({"model": "e", "input": ["a", "b"], "dimensions": 4})).unwrap();
        let coded =
            answer(&json!({"model": "e", "input": "a", "dimensions": 4, "encoding_format": "base64"}))
                .unwrap();
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(coded["data"][0]["embedding"].as_str().unwrap())
            .unwrap();
        let decoded: Vec<f32> = bytes
            .chunks(4)
            .map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]]))
            .collect();
        let listed: Vec<f32> = serde_json::from_value(numbers["data"][0]["embedding"].clone()).unwrap();
        assert_eq!(decoded, listed);
        assert!((listed.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
        assert_ne!(numbers["data"][0]["embedding"], numbers["data"][1]["embedding"]);
    }
}
