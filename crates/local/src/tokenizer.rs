//! Byte-level BPE, built from the header of a GGUF file.
//!
//! Text is always encoded as plain text: what looks like a control token in a message stays what it is, letters, and
//! cannot end a turn or open another. Control tokens are put in by the chat format alone, by their ids.

use candle_core::quantized::gguf_file::{Content, Value};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;

/// Encodes text, and knows the bytes of every token.
pub(crate) struct Tokenizer {
    bpe: tokenizers::Tokenizer,
    bytes: Vec<Vec<u8>>,
    control: Vec<bool>,
    /// Opens a turn.
    pub(crate) start: u32,
    /// Ends a turn.
    pub(crate) end: u32,
}

/// Why a header has no tokenizer that this crate can build: the property, what it is, what is supported.
pub(crate) type Unsupported = (&'static str, String, &'static str);

// === impl Tokenizer ===

impl Tokenizer {
    pub(crate) fn from_gguf(header: &Content) -> Result<Self, Unsupported> {
        let kind = text(header, "tokenizer.ggml.model").unwrap_or("none");
        if kind != "gpt2" {
            return Err(("its tokenizer", kind.to_owned(), "gpt2 (byte-level BPE)"));
        }
        let tokens = texts(header, "tokenizer.ggml.tokens")?;
        let merges = texts(header, "tokenizer.ggml.merges")?
            .into_iter()
            .filter_map(|merge| merge.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())))
            .collect::<Vec<_>>();
        // Types 1 and 6 of a GGUF vocabulary are ordinary tokens and bytes; all others are control tokens.
        let mut control = vec![false; tokens.len()];
        if let Some(Value::Array(kinds)) = header.metadata.get("tokenizer.ggml.token_type") {
            for (control, kind) in control.iter_mut().zip(kinds) {
                *control = !matches!(number(kind), Some(1 | 6));
            }
        }
        let bytes = tokens
            .iter()
            .zip(&control)
            .map(|(token, control)| {
                if *control {
                    token.as_bytes().to_vec()
                } else {
                    bytes_of(token)
                }
            })
            .collect();
        let vocabulary: Vec<(String, u32)> = tokens
            .iter()
            .enumerate()
            .map(|(id, token)| ((*token).to_owned(), id as u32))
            .collect();
        let of_name = |name: &str| tokens.iter().position(|token| *token == name).map(|id| id as u32);
        let (Some(start), Some(end)) = (of_name("<|im_start|>"), of_name("<|im_end|>")) else {
            return Err(("its chat format", "another one".to_owned(), "ChatML"));
        };
        let model = BPE::builder()
            .vocab_and_merges(vocabulary.into_iter().collect::<Vocab>(), merges)
            .build()
            .map_err(|error| ("its vocabulary", error.to_string(), "byte-level BPE"))?;
        let mut bpe = tokenizers::Tokenizer::new(model);
        let mut steps = Vec::new();
        if text(header, "tokenizer.ggml.pre") == Some("smollm") {
            steps.push(PreTokenizerWrapper::Digits(Digits::new(true)));
        }
        steps.push(PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true)));
        bpe.with_pre_tokenizer(Some(Sequence::new(steps)));
        Ok(Self {
            bpe,
            bytes,
            control,
            start,
            end,
        })
    }

    /// The tokens of a text, none of them a control token.
    pub(crate) fn encode(&self, text: &str) -> Vec<u32> {
        // Byte-level BPE knows every byte, so encoding cannot fail.
        self.bpe
            .encode_fast(text, false)
            .map(|encoding| encoding.get_ids().to_vec())
            .unwrap_or_default()
    }

    /// Number of tokens in the vocabulary.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes that a token stands for; none for an unknown id. A control token's are those of its name.
    pub(crate) fn bytes(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], Vec::as_slice)
    }

    /// Whether the token is not text.
    pub(crate) fn is_control(&self, token: u32) -> bool {
        self.control.get(token as usize).copied().unwrap_or(true)
    }
}

fn text<'a>(header: &'a Content, key: &str) -> Option<&'a str> {
    header
        .metadata
        .get(key)
        .and_then(|value| value.to_string().ok())
        .map(String::as_str)
}

fn texts<'a>(header: &'a Content, key: &'static str) -> Result<Vec<&'a str>, Unsupported> {
    let missing = || (key, "not a list of texts".to_owned(), "a list of texts");
    let Some(Value::Array(values)) = header.metadata.get(key) else {
        return Err(missing());
    };
    values
        .iter()
        .map(|value| value.to_string().map(String::as_str).map_err(|_| missing()))
        .collect()
}

fn number(value: &Value) -> Option<i64> {
    value
        .to_i32()
        .map(i64::from)
        .or_else(|_| value.to_u32().map(i64::from))
        .ok()
}

/// The bytes behind the visible letters of a byte-level token: printable Latin-1 letters stand for themselves, the
/// other 68 bytes, in order, for U+0100 and up.
fn bytes_of(token: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(token.len());
    for letter in token.chars() {
        match u32::from(letter) {
            code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => bytes.push(code as u8),
            code @ 0x100..=0x120 => bytes.push((code - 0x100) as u8),
            code @ 0x121..=0x142 => bytes.push((code - 0x121 + 0x7f) as u8),
            0x143 => bytes.push(0xad),
            _ => {
                let mut buffer = [0; 4];
                bytes.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_letter() {
        let mut seen = [false; 256];
        for code in (0x21..=0x7e)
            .chain(0xa1..=0xac)
            .chain(0xae..=0xff)
            .chain(0x100..=0x143)
        {
            let letter = char::from_u32(code).unwrap();
            let bytes = bytes_of(&letter.to_string());
            assert_eq!(bytes.len(), 1);
            assert!(
                !std::mem::replace(&mut seen[bytes[0] as usize], true),
                "{code:x} twice"
            );
        }
        assert!(seen.iter().all(|seen| *seen));
        assert_eq!(bytes_of("Ġthe"), b" the");
        assert_eq!(bytes_of("Ċ"), b"\n");
    }
}
