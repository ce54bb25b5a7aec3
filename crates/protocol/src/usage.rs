//! Tokens used, in one shape for all formats.

use fingerpost_core::TokenCount;
use serde::Deserialize;

use crate::{Format, json::Object};

/// Tokens used by one answer. Absent counts are 0.
///
/// `input` is the whole input, as OpenAI counts: tokens read from and written to the provider's prompt cache are in it.
/// (Anthropic counts them apart; reading and writing its format converts.)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens, cached ones included.
    pub input: u32,
    /// Input tokens read from the provider's prompt cache.
    pub cached_input: u32,
    /// Input tokens written to the provider's prompt cache.
    pub cache_write: u32,
    /// Output tokens, reasoning included.
    pub output: u32,
    /// Output tokens spent on reasoning.
    pub reasoning: u32,
}

/// Usage as any of the formats writes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Wire {
    #[serde(default)]
    prompt_tokens: Option<u32>,
    #[serde(default)]
    completion_tokens: Option<u32>,
    #[serde(default, alias = "input_tokens_details")]
    prompt_tokens_details: Option<Details>,
    #[serde(default, alias = "output_tokens_details")]
    completion_tokens_details: Option<Details>,
    #[serde(default)]
    input_tokens: Option<u32>,
    #[serde(default)]
    output_tokens: Option<u32>,
    #[serde(default)]
    cache_read_input_tokens: Option<u32>,
    #[serde(default)]
    cache_creation_input_tokens: Option<u32>,
    /// DeepSeek's own name.
    #[serde(default)]
    prompt_cache_hit_tokens: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Option<u32>,
    #[serde(default)]
    cache_write_tokens: Option<u32>,
    #[serde(default, alias = "thinking_tokens")]
    reasoning_tokens: Option<u32>,
}

// === impl Usage ===

impl Usage {
    /// Input and output together.
    pub const fn total(&self) -> u32 {
        self.input.saturating_add(self.output)
    }

    /// Input tokens, for prices.
    pub const fn input_tokens(&self) -> TokenCount {
        TokenCount(self.input)
    }

    /// Output tokens, for prices.
    pub const fn output_tokens(&self) -> TokenCount {
        TokenCount(self.output)
    }

    /// Writes the members of a usage object.
    pub(crate) fn write(&self, format: Format, o: &mut Object<'_>) {
        match format {
            Format::Chat => {
                o.field("prompt_tokens", self.input);
                o.field("completion_tokens", self.output);
                o.field("total_tokens", self.total());
                o.object("prompt_tokens_details", |d| {
                    d.field("cached_tokens", self.cached_input);
                    if self.cache_write > 0 {
                        d.field("cache_write_tokens", self.cache_write);
                    }
                });
                o.object("completion_tokens_details", |d| {
                    d.field("reasoning_tokens", self.reasoning);
                });
            }
            Format::Responses => {
                o.field("input_tokens", self.input);
                o.object("input_tokens_details", |d| {
                    d.field("cached_tokens", self.cached_input);
                    d.field("cache_write_tokens", self.cache_write);
                });
                o.field("output_tokens", self.output);
                o.object("output_tokens_details", |d| {
                    d.field("reasoning_tokens", self.reasoning);
                });
                o.field("total_tokens", self.total());
            }
            Format::Messages => {
                let fresh = self
                    .input
                    .saturating_sub(self.cached_input)
                    .saturating_sub(self.cache_write);
                o.field("input_tokens", fresh);
                o.field("cache_creation_input_tokens", self.cache_write);
                o.field("cache_read_input_tokens", self.cached_input);
                o.field("output_tokens", self.output);
                if self.reasoning > 0 {
                    o.object("output_tokens_details", |d| {
                        d.field("thinking_tokens", self.reasoning);
                    });
                }
            }
        }
    }
}

// === impl Wire ===

impl Wire {
    /// A later report over an earlier one (Anthropic reports input at the start and output at the end).
    pub(crate) fn over(self, earlier: Self) -> Self {
        Self {
            prompt_tokens: self.prompt_tokens.or(earlier.prompt_tokens),
            completion_tokens: self.completion_tokens.or(earlier.completion_tokens),
            prompt_tokens_details: self.prompt_tokens_details.or(earlier.prompt_tokens_details),
            completion_tokens_details: self
                .completion_tokens_details
                .or(earlier.completion_tokens_details),
            input_tokens: self.input_tokens.or(earlier.input_tokens),
            output_tokens: self.output_tokens.or(earlier.output_tokens),
            cache_read_input_tokens: self.cache_read_input_tokens.or(earlier.cache_read_input_tokens),
            cache_creation_input_tokens: self
                .cache_creation_input_tokens
                .or(earlier.cache_creation_input_tokens),
            prompt_cache_hit_tokens: self.prompt_cache_hit_tokens.or(earlier.prompt_cache_hit_tokens),
        }
    }

    pub(crate) fn usage(self, format: Format) -> Usage {
        let input = self.prompt_tokens_details.unwrap_or_default();
        let output = self.completion_tokens_details.unwrap_or_default();
        let cached = input.cached_tokens.or(self.prompt_cache_hit_tokens);
        let cached = cached.or(self.cache_read_input_tokens).unwrap_or(0);
        let written = self
            .cache_creation_input_tokens
            .or(input.cache_write_tokens)
            .unwrap_or(0);
        let mut total = self.prompt_tokens.or(self.input_tokens).unwrap_or(0);
        if format == Format::Messages {
            total = total.saturating_add(cached).saturating_add(written);
        }
        Usage {
            input: total,
            cached_input: cached,
            cache_write: written,
            output: self.completion_tokens.or(self.output_tokens).unwrap_or(0),
            reasoning: output.reasoning_tokens.unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glance;

    #[test]
    fn usage_of_each_format_is_one() {
        let want = Usage {
            input: 100,
            cached_input: 60,
            cache_write: 10,
            output: 20,
            reasoning: 5,
        };
        let of = |format, json: &[u8]| glance(format, json).unwrap();
        let chat = br#"{"choices":[{"message":{"usage":"x"}}],"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":10},"completion_tokens_details":{"reasoning_tokens":5}}}"#;
        assert_eq!(of(Format::Chat, chat), Some(want));
        let responses = br#"{"output":[],"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":60,"cache_write_tokens":10},"output_tokens":20,"output_tokens_details":{"reasoning_tokens":5}}}"#;
        assert_eq!(of(Format::Responses, responses), Some(want));
        let messages = br#"{"type":"message","content":[],"usage":{"input_tokens":30,"cache_read_input_tokens":60,"cache_creation_input_tokens":10,"output_tokens":20,"output_tokens_details":{"thinking_tokens":5}}}"#;
        assert_eq!(of(Format::Messages, messages), Some(want));
        assert_eq!(of(Format::Chat, br#"{"choices":[1],"usage":null}"#), None);
        for format in Format::ALL {
            let mut out = Vec::new();
            crate::json::object(&mut out, |o| want.write(format, o));
            let read: Wire = serde_json::from_slice(&out).unwrap();
            assert_eq!(read.usage(format), want, "{format}");
        }
    }
}
