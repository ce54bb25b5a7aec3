//! What several families need of one request, computed at most once and only when asked for.

use std::{borrow::Cow, cell::OnceCell};

use fingerpost_core::{Query, TokenCount};
use fingerpost_encode::Encoder;

use crate::text::{head, tail};

/// Longest text handed to the encoder, in bytes; of a longer one the first and the last half of that: the task usually
/// stands at one end of a long paste.
pub const ENCODED_BYTES: usize = 8 * 1024;

/// One request and what has been read off it so far.
pub(crate) struct Facts<'q> {
    pub(crate) query: &'q Query<'q>,
    tokens: Option<TokenCount>,
    given_vector: Option<&'q [f32]>,
    text: OnceCell<Cow<'q, str>>,
    folded: OnceCell<String>,
    vector: OnceCell<Option<Vec<f32>>>,
}

// === impl Facts ===

impl<'q> Facts<'q> {
    pub(crate) fn new(
        query: &'q Query<'q>,
        tokens: Option<TokenCount>,
        given_vector: Option<&'q [f32]>,
    ) -> Self {
        Self {
            query,
            tokens,
            given_vector,
            text: OnceCell::new(),
            folded: OnceCell::new(),
            vector: OnceCell::new(),
        }
    }

    /// The text of the last turn that the user wrote.
    pub(crate) fn text(&self) -> &str {
        self.text.get_or_init(|| self.query.user_text())
    }

    /// The same in lower case.
    pub(crate) fn folded(&self) -> &str {
        self.folded.get_or_init(|| {
            let text = self.text();
            if text.is_ascii() {
                text.to_ascii_lowercase()
            } else {
                text.to_lowercase()
            }
        })
    }

    /// Tokens of the whole conversation: the caller's count, else a quarter of the bytes, rounded up.
    pub(crate) fn tokens(&self) -> f64 {
        self.tokens
            .map_or_else(|| self.query.text_bytes().div_ceil(4) as f64, |t| f64::from(t.0))
    }

    /// The text's vector, made once for all families; `None` where the encoder gave a number that is not finite.
    pub(crate) fn vector(&self, encoder: &dyn Encoder) -> Option<&[f32]> {
        if let Some(given) = self.given_vector.filter(|v| v.len() == encoder.dims()) {
            return Some(given);
        }
        self.vector
            .get_or_init(|| {
                let text = self.text();
                let mut vector = vec![0.0; encoder.dims()];
                if text.len() <= ENCODED_BYTES {
                    encoder.encode_into(text, &mut vector);
                } else {
                    let half = ENCODED_BYTES / 2;
                    let both = format!("{} {}", head(text, half), tail(text, half));
                    encoder.encode_into(&both, &mut vector);
                }
                vector.iter().all(|v| v.is_finite()).then_some(vector)
            })
            .as_deref()
    }
}
