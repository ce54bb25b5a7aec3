//! The promise that every sentence encoder makes.

use std::fmt;
use std::sync::Arc;

use crate::vector::Vector;

/// Which weights made a vector: a name that a person knows and a fingerprint of the weights.
///
/// Vectors (and thresholds on their similarity) may only be compared under one `ModelId`; store it
/// beside whatever is derived from vectors and refuse what does not match. Shown as
/// `name@0123456789abcdef`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelId {
    name: Arc<str>,
    fingerprint: u64,
}

/// Turns text into a direction in space: texts of like meaning point alike.
///
/// What callers may rely on:
/// * Every vector has [`dims`](Encoder::dims) values and Euclidean length one. A text that holds
///   nothing to encode (empty, or only spaces and control characters) may give all zeros, which is
///   unrelated to everything.
/// * The same text gives the same vector, whichever method and thread is used (to within 1e-5 for
///   batches).
/// * Any text is legal and nothing panics on it. Cost grows with the length of the text up to the
///   encoder's own window; the encoder's docs tell window and cost.
/// * No locks are shared between callers, so one encoder serves all threads.
///
/// ```
/// use fingerpost_encode::{Encoder, StaticEncoder};
/// let encoder = StaticEncoder::bundled();
/// let a = encoder.encode("I forgot the PIN of my card");
/// let b = encoder.encode("How do I reset my card PIN?");
/// let c = encoder.encode("Stock markets fell sharply on Monday.");
/// assert!(a.similarity(&b) > a.similarity(&c));
/// ```
pub trait Encoder: Send + Sync {
    /// Which weights these are; ties thresholds and stored vectors to them.
    fn model(&self) -> &ModelId;

    /// Values in a vector.
    fn dims(&self) -> usize;

    /// Writes the vector of `text` into `out` without allocating (scratch space is reused).
    ///
    /// # Panics
    /// If `out` does not have exactly [`dims`](Encoder::dims) values: a mistake of the caller, never
    /// of the text.
    fn encode_into(&self, text: &str, out: &mut [f32]);

    /// A name for logs and configuration, such as `static` or `minilm`.
    fn name(&self) -> &str {
        self.model().name()
    }

    /// The vector of `text`.
    fn encode(&self, text: &str) -> Vector {
        let mut values = vec![0.0; self.dims()];
        self.encode_into(text, &mut values);
        Vector::from(values)
    }

    /// The vectors of several texts, in their order.
    fn encode_batch(&self, texts: &[&str]) -> Vec<Vector> {
        texts.iter().map(|text| self.encode(text)).collect()
    }
}

// === impl ModelId ===

impl ModelId {
    /// Names weights; `fingerprint` must change whenever the vectors change.
    #[must_use]
    pub fn new(name: &str, fingerprint: u64) -> Self {
        Self {
            name: name.into(),
            fingerprint,
        }
    }

    /// The name without the fingerprint.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Changes whenever the weights change.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{:016x}", self.name, self.fingerprint)
    }
}

// === impl Encoder for shared pointers ===

macro_rules! forward_encoder {
    ($pointer:ty) => {
        impl<E: Encoder + ?Sized> Encoder for $pointer {
            fn model(&self) -> &ModelId {
                (**self).model()
            }
            fn dims(&self) -> usize {
                (**self).dims()
            }
            fn encode_into(&self, text: &str, out: &mut [f32]) {
                (**self).encode_into(text, out);
            }
            fn encode(&self, text: &str) -> Vector {
                (**self).encode(text)
            }
            fn encode_batch(&self, texts: &[&str]) -> Vec<Vector> {
                (**self).encode_batch(texts)
            }
        }
    };
}

forward_encoder!(Arc<E>);
forward_encoder!(Box<E>);
forward_encoder!(&E);
