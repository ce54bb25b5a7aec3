//! How many tokens a text has, for budgets, prices and context limits.
//!
//! Three ways, cheapest first. The [estimate](estimate) reads the text once, knows scripts, and needs
//! no vocabulary; it is the default, because a router asks at each request and seldom needs the
//! last per cent. OpenAI's two vocabularies are compiled in (feature `openai-tokens`) and counted exactly;
//! any `tokenizer.json` can be loaded from a file (feature `file-tokens`). Vocabularies are unpacked when a
//! count first needs them: tens of megabytes that a router on estimates never pays.

mod estimate;

use std::fmt;
#[cfg(feature = "file-tokens")]
use std::{path::Path, sync::Arc};

pub use estimate::estimate;

/// Counts tokens by one vocabulary; cheap to clone.
///
/// ```
/// use fingerpost_encode::{TokenCounter, TokenFamily};
/// let counter = TokenCounter::for_model("openai/gpt-4o-mini");
/// # #[cfg(feature = "openai-tokens")]
/// assert_eq!((counter.family(), counter.count("hello world")), (TokenFamily::O200k, 2));
/// let unknown = TokenCounter::for_model("my-own-model");
/// assert_eq!(unknown.family(), TokenFamily::Estimate);
/// ```
#[derive(Clone, Debug, Default)]
pub struct TokenCounter {
    vocabulary: Vocabulary,
}

/// Which vocabulary a counter goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenFamily {
    /// None: an estimate.
    Estimate,
    /// `cl100k_base`: GPT-4, GPT-3.5, text-embedding-3.
    Cl100k,
    /// `o200k_base`: GPT-4o and all later OpenAI models.
    O200k,
    /// A tokenizer file.
    File,
}

/// Why a tokenizer file cannot be used.
#[cfg(feature = "file-tokens")]
#[derive(Debug, thiserror::Error)]
#[error("cannot use the tokenizer {path}: {reason}; it must be a `tokenizer.json` of the tokenizers library")]
pub struct TokenizerFileError {
    path: String,
    reason: String,
}

#[derive(Clone, Default)]
enum Vocabulary {
    #[default]
    Estimate,
    #[cfg(feature = "openai-tokens")]
    Cl100k,
    #[cfg(feature = "openai-tokens")]
    O200k,
    #[cfg(feature = "file-tokens")]
    File(Arc<tokenizers::Tokenizer>),
}

// === impl TokenCounter ===

impl TokenCounter {
    /// Counts by [`estimate`].
    #[must_use]
    pub fn estimating() -> Self {
        Self::default()
    }

    /// The vocabulary that the named model is known to use, else the estimate; ask
    /// [`family`](Self::family) which it is. A provider's prefix (`openai/`) and `ft:` are passed over.
    #[must_use]
    pub fn for_model(model: &str) -> Self {
        Self::of_family(TokenFamily::of_model(model))
    }

    /// Counts by a family; [`TokenFamily::File`], which needs a file, and families that are not compiled
    /// in give the estimate.
    #[must_use]
    pub fn of_family(family: TokenFamily) -> Self {
        let vocabulary = match family {
            #[cfg(feature = "openai-tokens")]
            TokenFamily::Cl100k => Vocabulary::Cl100k,
            #[cfg(feature = "openai-tokens")]
            TokenFamily::O200k => Vocabulary::O200k,
            _ => Vocabulary::Estimate,
        };
        Self { vocabulary }
    }

    /// Counts by a `tokenizer.json`, without the special tokens that the model's template adds.
    ///
    /// # Errors
    /// If the file cannot be read or is no tokenizer.
    #[cfg(feature = "file-tokens")]
    pub fn open(path: &Path) -> Result<Self, TokenizerFileError> {
        let error = |reason: String| TokenizerFileError {
            path: path.display().to_string(),
            reason,
        };
        let mut tokenizer =
            tokenizers::Tokenizer::from_file(path).map_err(|reason| error(reason.to_string()))?;
        // Files made for sentence encoders cut and pad, which would falsify the count.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|reason| error(reason.to_string()))?;
        Ok(Self {
            vocabulary: Vocabulary::File(Arc::new(tokenizer)),
        })
    }

    /// Which vocabulary is used.
    #[must_use]
    pub fn family(&self) -> TokenFamily {
        match self.vocabulary {
            Vocabulary::Estimate => TokenFamily::Estimate,
            #[cfg(feature = "openai-tokens")]
            Vocabulary::Cl100k => TokenFamily::Cl100k,
            #[cfg(feature = "openai-tokens")]
            Vocabulary::O200k => TokenFamily::O200k,
            #[cfg(feature = "file-tokens")]
            Vocabulary::File(_) => TokenFamily::File,
        }
    }

    /// Tokens in `text`; the first exact count of a family unpacks its vocabulary.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        match &self.vocabulary {
            Vocabulary::Estimate => estimate(text),
            #[cfg(feature = "openai-tokens")]
            Vocabulary::Cl100k => count_by(tiktoken_rs::cl100k_base_singleton(), text),
            #[cfg(feature = "openai-tokens")]
            Vocabulary::O200k => count_by(tiktoken_rs::o200k_base_singleton(), text),
            #[cfg(feature = "file-tokens")]
            Vocabulary::File(tokenizer) => tokenizer
                .encode_fast(text, false)
                .map_or_else(|_| estimate(text), |encoding| encoding.len()),
        }
    }
}

/// The library gives up (by a panic) where its regular expression steps back too often, as on a megabyte
/// of blanks; parts of this many bytes keep it far from that, at most a token too many each.
#[cfg(feature = "openai-tokens")]
const PART_BYTES: usize = 1 << 16;

#[cfg(feature = "openai-tokens")]
fn count_by(vocabulary: &tiktoken_rs::CoreBPE, text: &str) -> usize {
    let mut rest = text;
    let mut total = 0;
    while rest.len() > PART_BYTES {
        let window = (PART_BYTES - 3..=PART_BYTES)
            .rfind(|&at| rest.is_char_boundary(at))
            .unwrap_or(PART_BYTES);
        // A blank opens the token of the word after it, so cut before one.
        let cut = rest[..window]
            .rfind([' ', '\n'])
            .filter(|&at| at > 0)
            .unwrap_or(window);
        total += vocabulary.count_ordinary(&rest[..cut]);
        rest = &rest[cut..];
    }
    total + vocabulary.count_ordinary(rest)
}

// === impl TokenFamily ===

impl TokenFamily {
    /// The family of a model by its name.
    #[must_use]
    pub fn of_model(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
        let name = name.strip_prefix("ft:").unwrap_or(&name);
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        if begins(&[
            "gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-5", "gpt-oss", "chatgpt-", "o1", "o3", "o4",
        ]) {
            Self::O200k
        } else if begins(&[
            "gpt-4",
            "gpt-3.5",
            "gpt-35",
            "text-embedding-3",
            "text-embedding-ada-002",
        ]) {
            Self::Cl100k
        } else {
            Self::Estimate
        }
    }

    /// A name for logs and traces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Estimate => "estimate",
            Self::Cl100k => "cl100k_base",
            Self::O200k => "o200k_base",
            Self::File => "tokenizer.json",
        }
    }
}

impl fmt::Display for TokenFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Estimate => "Estimate",
            #[cfg(feature = "openai-tokens")]
            Self::Cl100k => "Cl100k",
            #[cfg(feature = "openai-tokens")]
            Self::O200k => "O200k",
            #[cfg(feature = "file-tokens")]
            Self::File(_) => "File",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_names_lead_to_their_family() {
        for (model, family) in [
            ("gpt-4o-2024-08-06", TokenFamily::O200k),
            ("openai/GPT-5-mini", TokenFamily::O200k),
            ("o3-mini", TokenFamily::O200k),
            ("ft:gpt-4o:me::id", TokenFamily::O200k),
            ("gpt-4-turbo", TokenFamily::Cl100k),
            ("gpt-3.5-turbo", TokenFamily::Cl100k),
            ("claude-sonnet-4-5", TokenFamily::Estimate),
            ("", TokenFamily::Estimate),
        ] {
            assert_eq!(TokenFamily::of_model(model), family, "{model}");
        }
    }

    #[cfg(feature = "openai-tokens")]
    #[test]
    fn openai_counts_are_exact() {
        // Token counts as OpenAI's own library gives them.
        let text = "tiktoken is great!";
        assert_eq!(TokenCounter::of_family(TokenFamily::Cl100k).count(text), 6);
        assert_eq!(TokenCounter::of_family(TokenFamily::O200k).count(text), 6);
        assert_eq!(
            TokenCounter::for_model("gpt-4").count("antidisestablishmentarianism"),
            6
        );
        assert_eq!(TokenCounter::for_model("gpt-4").count(""), 0);
    }

    #[cfg(feature = "openai-tokens")]
    #[test]
    fn long_texts_are_counted_in_parts() {
        let counter = TokenCounter::for_model("gpt-4o");
        assert_eq!(counter.count(&" word".repeat(50_000)), 50_000);
        assert!(counter.count(&" ".repeat(3_000_000)) > 1_000);
    }

    #[cfg(feature = "file-tokens")]
    #[test]
    fn a_file_that_is_no_tokenizer_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, "{}").unwrap();
        let error = TokenCounter::open(&path).unwrap_err().to_string();
        assert!(
            error.contains("tokenizer.json") && error.contains("cannot use"),
            "{error}"
        );
    }
}
