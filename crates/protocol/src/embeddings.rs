//! Embeddings: `POST /v1/embeddings`.

use base64::Engine;
use serde_json::value::RawValue;

use crate::{
    BadRequest,
    fields::{Fields, Read, Within, Wrong, is_text, text},
    json,
};

/// A request for embeddings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddingsRequest {
    /// The model's name; empty where the client named none.
    pub model: String,
    /// The texts, at least one.
    pub input: Vec<String>,
    /// How vectors are written.
    pub encoding: EmbeddingEncoding,
    /// How many dimensions the client wants, at least 1; the model's own where `None`.
    pub dimensions: Option<u32>,
    /// The end user. Untrusted.
    pub user: Option<String>,
}

/// How vectors are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EmbeddingEncoding {
    /// As an array of numbers.
    #[default]
    Float,
    /// As base64 of little-endian 32-bit floats.
    Base64,
}

/// Most texts in one request, as OpenAI allows.
pub const MOST_INPUTS: usize = 2048;

impl EmbeddingsRequest {
    /// Reads a request body.
    ///
    /// # Errors
    /// [`BadRequest`] names the field: no input, an empty text, token ids (our encoders have their own vocabularies), an
    /// encoding that does not exist.
    pub fn parse(body: &[u8]) -> Result<Self, BadRequest> {
        let raw: &RawValue = serde_json::from_slice(body)
            .map_err(|e| BadRequest::body(format_args!("not valid JSON: {e}")))?;
        Ok(Self::read(raw)?)
    }

    fn read(raw: &RawValue) -> Read<Self> {
        let mut f = Fields::of(raw)?;
        let input = f.take("input");
        let input = f.need("input", input)?;
        let encoding = match f.text("encoding_format")?.as_deref() {
            None | Some("float") => EmbeddingEncoding::Float,
            Some("base64") => EmbeddingEncoding::Base64,
            Some(other) => {
                return Err(Wrong::new(format!("found \"{other}\", allowed: float, base64")))
                    .within("encoding_format");
            }
        };
        let dimensions = f.number("dimensions")?;
        if dimensions == Some(0) {
            return Err(Wrong::new("found 0, allowed: a whole number from 1")).within("dimensions");
        }
        Ok(Self {
            model: f.text("model")?.unwrap_or_default().into_owned(),
            input: texts(input).within("input")?,
            encoding,
            dimensions,
            user: f.text("user")?.map(Into::into),
        })
    }
}

fn texts(raw: &RawValue) -> Read<Vec<String>> {
    let allowed = "a string or an array of strings";
    if is_text(raw) {
        return Ok(vec![one(raw)?]);
    }
    let list = crate::fields::array(raw).map_err(|_| Wrong::found(raw, allowed))?;
    if list.is_empty() {
        return Err(Wrong::new("found an empty array, allowed: at least one string"));
    }
    if list.len() > MOST_INPUTS {
        return Err(Wrong::new(format!(
            "found {} texts, allowed: at most {MOST_INPUTS}",
            list.len()
        )));
    }
    let is_tokens = |raw: &&RawValue| matches!(raw.get().as_bytes().first(), Some(b'0'..=b'9' | b'['));
    if list.first().is_some_and(is_tokens) {
        return Err(Wrong::new(format!("found token ids, allowed: {allowed}")));
    }
    list.into_iter()
        .enumerate()
        .map(|(i, raw)| one(raw).at(i))
        .collect()
}

fn one(raw: &RawValue) -> Read<String> {
    let text = text(raw)?;
    if text.is_empty() {
        return Err(Wrong::new("found an empty string, allowed: some text"));
    }
    Ok(text.into_owned())
}

/// Writes an answer body: the vectors in the order of the inputs, and the tokens read.
pub fn write_embeddings(
    model: &str,
    vectors: &[Vec<f32>],
    tokens: u32,
    encoding: EmbeddingEncoding,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(vectors.iter().map(|v| v.len() * 11 + 64).sum());
    json::object(&mut out, |o| {
        o.field("object", "list");
        o.array("data", |a| {
            for (index, vector) in vectors.iter().enumerate() {
                a.object(|e| {
                    e.field("object", "embedding");
                    e.field("index", index);
                    match encoding {
                        EmbeddingEncoding::Float => e.field("embedding", vector),
                        EmbeddingEncoding::Base64 => {
                            let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                            e.field(
                                "embedding",
                                base64::engine::general_purpose::STANDARD.encode(bytes),
                            );
                        }
                    }
                });
            }
        });
        o.field("model", model);
        o.object("usage", |u| {
            u.field("prompt_tokens", tokens);
            u.field("total_tokens", tokens);
        });
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let one = EmbeddingsRequest::parse(
            br#"{"model":"m","input":"a","encoding_format":"base64","dimensions":8}"#,
        );
        let one = one.unwrap();
        assert_eq!(
            (one.input.as_slice(), one.encoding),
            (&["a".to_owned()][..], EmbeddingEncoding::Base64)
        );
        assert_eq!(one.dimensions, Some(8));
        let two = EmbeddingsRequest::parse(br#"{"input":["a","b\n"]}"#).unwrap();
        assert_eq!(two.input, ["a", "b\n"]);
        for (body, message) in [
            (r#"{"model":"m"}"#, "`input`: missing"),
            (
                r#"{"input":[]}"#,
                "`input`: found an empty array, allowed: at least one string",
            ),
            (
                r#"{"input":[1,2]}"#,
                "`input`: found token ids, allowed: a string or an array of strings",
            ),
            (
                r#"{"input":[[1]]}"#,
                "`input`: found token ids, allowed: a string or an array of strings",
            ),
            (
                r#"{"input":["a",""]}"#,
                "`input[1]`: found an empty string, allowed: some text",
            ),
            (
                r#"{"input":["a",5]}"#,
                "`input[1]`: found a number, allowed: a string",
            ),
            (
                r#"{"input":"a","encoding_format":"int8"}"#,
                "`encoding_format`: found \"int8\", allowed: float, base64",
            ),
            (
                r#"{"input":"a","dimensions":0}"#,
                "`dimensions`: found 0, allowed: a whole number from 1",
            ),
        ] {
            assert_eq!(
                EmbeddingsRequest::parse(body.as_bytes()).unwrap_err().message,
                message
            );
        }
    }

    #[test]
    fn answers() {
        let float = write_embeddings("m", &[vec![0.5, -1.0]], 3, EmbeddingEncoding::Float);
        assert_eq!(
            String::from_utf8(float).unwrap(),
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1.0]}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}"#
        );
        let base64 = write_embeddings("m", &[vec![0.5, -1.0]], 3, EmbeddingEncoding::Base64);
        // 0.5 is 3f000000 and −1 is bf800000, little end first.
        assert!(
            String::from_utf8(base64)
                .unwrap()
                .contains(r#""embedding":"AAAAPwAAgL8=""#)
        );
    }
}
