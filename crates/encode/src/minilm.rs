//! all-MiniLM-L6-v2 as an [`Encoder`]: a BERT of six layers in plain Rust, one thread a text.
//!
//! The model folder holds `model.safetensors`, `tokenizer.json` and `config.json`. The tokenizer
//! file asks for padding to 128 ids, which would cost six times the work on short prompts; only its
//! vocabulary is used. Texts are cut to 256 ids (254 of their own between `[CLS]` and `[SEP]`), the
//! states of all ids are averaged and brought to length one.

mod linear;
mod math;
mod network;
mod weights;

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use self::network::{Config, Network, Scratch};
use self::weights::Weights;
use crate::encoder::{Encoder, ModelId};
use crate::vector::{Vector, normalize};
use crate::wordpiece::{Vocabulary, VocabularyError, WordPiece};

/// Ids in a text's window, `[CLS]` and `[SEP]` included.
const WINDOW: usize = 256;
/// Ids that go through the network together in a batch: enough to share the reading of weights, few
/// enough for the states to stay in the cache.
const BATCH_IDS: usize = 192;

/// The sentence encoder all-MiniLM-L6-v2: 384 dims, 256 ids of text.
///
/// Cost grows with the ids: some ten milliseconds for twenty words on one core. Wrap it in a
/// [`VectorCache`](crate::VectorCache) where texts come back.
pub struct MiniLm {
    model: ModelId,
    weights_sha256: String,
    wordpiece: WordPiece,
    start: u32,
    end: u32,
    network: Network,
}

/// Why a folder holds no usable model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The folder or one of its files is not there.
    #[error("model file {} is missing: run `fingerpost models pull minilm`", path.display())]
    Missing {
        /// The file looked for.
        path: PathBuf,
    },
    /// It is there but cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It can be read but is not what it should be.
    #[error("{} is damaged or another model's: {what}; run `fingerpost models pull minilm` again", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

thread_local! {
    static SCRATCH: RefCell<(Vec<u32>, Scratch)> = RefCell::default();
}

// === impl MiniLm ===

impl MiniLm {
    /// Names of the files in a model folder.
    pub const FILES: [&str; 3] = ["model.safetensors", "tokenizer.json", "config.json"];

    /// Loads the model from its folder (about a fifth of a second, 95 MB of memory).
    ///
    /// # Errors
    /// [`ModelError`] names the file, what is wrong, and how to get a good one.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let [weights, tokenizer, config] = Self::FILES.map(|name| folder.join(name));
        let config: Config =
            serde_json::from_slice(&read(&config)?).map_err(|error| format_error(&config, error))?;
        config
            .check()
            .map_err(|what| format_error(&folder.join(Self::FILES[2]), what))?;
        let vocabulary = Vocabulary::from_tokenizer_json(&read(&tokenizer)?);
        let vocabulary = vocabulary.map_err(|error| format_error(&tokenizer, error))?;
        let [start, end] = ["[CLS]", "[SEP]"].map(|entry| {
            vocabulary
                .id_of(entry)
                .ok_or_else(|| format_error(&tokenizer, format!("no entry `{entry}`")))
        });
        if vocabulary.len() > config.vocab_size || config.max_position_embeddings < WINDOW {
            let what = format!("fewer than {} ids or {WINDOW} positions", vocabulary.len());
            return Err(format_error(&folder.join(Self::FILES[2]), what));
        }
        let wordpiece =
            WordPiece::new(vocabulary).map_err(|error: VocabularyError| format_error(&tokenizer, error))?;
        let file = read(&weights)?;
        let checksum = Sha256::digest(&file);
        let network = Weights::parse(&file).and_then(|tensors| Network::new(config, &tensors));
        Ok(Self {
            model: ModelId::new(
                "minilm",
                checksum.first_chunk().map_or(0, |head| u64::from_be_bytes(*head)),
            ),
            weights_sha256: checksum.iter().map(|byte| format!("{byte:02x}")).collect(),
            wordpiece,
            start: start?,
            end: end?,
            network: network.map_err(|what| format_error(&weights, what))?,
        })
    }

    /// SHA-256 of the weights file, in hexadecimal digits.
    #[must_use]
    pub fn weights_sha256(&self) -> &str {
        &self.weights_sha256
    }

    /// The tokenizer.
    #[must_use]
    pub fn wordpiece(&self) -> &WordPiece {
        &self.wordpiece
    }

    /// The ids that go through the network: `[CLS]`, at most 254 of the text, `[SEP]`.
    #[must_use]
    pub fn ids(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        self.add_ids(text, &mut ids);
        ids
    }

    /// The mean states, not brought to length one, of single ids between `[CLS]` and `[SEP]`.
    pub(crate) fn states_of_ids(&self, ids: &[u32]) -> Vec<f32> {
        let mut batch = Batch::new(self);
        for id in ids {
            batch.push(|room| room.extend([self.start, *id, self.end]));
        }
        batch.finish()
    }

    /// Adds a text's ids and tells how many they are.
    fn add_ids(&self, text: &str, ids: &mut Vec<u32>) -> usize {
        let first = ids.len();
        ids.push(self.start);
        let _: ControlFlow<()> = self.wordpiece.walk(text, |id| {
            ids.push(id);
            if ids.len() - first == WINDOW - 1 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        ids.push(self.end);
        ids.len() - first
    }
}

impl Encoder for MiniLm {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn dims(&self) -> usize {
        self.network.config().hidden_size
    }

    fn encode_into(&self, text: &str, out: &mut [f32]) {
        assert_eq!(
            out.len(),
            self.dims(),
            "the output must have one place for each dimension"
        );
        SCRATCH.with_borrow_mut(|(ids, scratch)| {
            ids.clear();
            let length = self.add_ids(text, ids);
            self.network.run(ids, &[length], scratch, out);
            normalize(out);
        });
    }

    fn encode_batch(&self, texts: &[&str]) -> Vec<Vector> {
        let mut batch = Batch::new(self);
        for text in texts {
            batch.push(|ids| {
                self.add_ids(text, ids);
            });
        }
        let unit = |state: &[f32]| Vector::normalized(state.to_vec());
        batch.finish().chunks_exact(self.dims()).map(unit).collect()
    }
}

/// Texts that wait to go through the network together.
struct Batch<'a> {
    model: &'a MiniLm,
    ids: Vec<u32>,
    lengths: Vec<usize>,
    /// Mean states of the texts that went through.
    states: Vec<f32>,
}

// === impl Batch ===

impl<'a> Batch<'a> {
    fn new(model: &'a MiniLm) -> Self {
        Self {
            model,
            ids: Vec::new(),
            lengths: Vec::new(),
            states: Vec::new(),
        }
    }

    fn push(&mut self, add: impl FnOnce(&mut Vec<u32>)) {
        let before = self.ids.len();
        add(&mut self.ids);
        self.lengths.push(self.ids.len() - before);
        if self.ids.len() >= BATCH_IDS {
            self.run();
        }
    }

    fn run(&mut self) {
        if self.lengths.is_empty() {
            return;
        }
        let before = self.states.len();
        self.states
            .resize(before + self.lengths.len() * self.model.dims(), 0.0);
        SCRATCH.with_borrow_mut(|(_, scratch)| {
            self.model
                .network
                .run(&self.ids, &self.lengths, scratch, &mut self.states[before..]);
        });
        self.ids.clear();
        self.lengths.clear();
    }

    fn finish(mut self) -> Vec<f32> {
        self.run();
        self.states
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    std::fs::read(path).map_err(|source| {
        let path = path.to_owned();
        if source.kind() == std::io::ErrorKind::NotFound {
            ModelError::Missing { path }
        } else {
            ModelError::Io { path, source }
        }
    })
}

#[allow(clippy::needless_pass_by_value, reason = "takes any error as it is")]
fn format_error(path: &Path, what: impl ToString) -> ModelError {
    ModelError::Format {
        path: path.to_owned(),
        what: what.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_tells_how_to_get_the_model() {
        let error = MiniLm::open(Path::new("no/such/folder"))
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("config.json") && error.contains("fingerpost models pull minilm"),
            "{error}"
        );
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        let error = MiniLm::open(folder.path()).err().unwrap().to_string();
        assert!(
            error.contains("config.json") && error.contains("vocab_size"),
            "{error}"
        );
    }
}
