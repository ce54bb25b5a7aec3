//! Reading a GGUF file: finding it, its settings, its tensors.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Tensor};

use crate::error::Error;
use crate::tokenizer::Tokenizer;

/// An open model file.
pub(crate) struct Gguf {
    path: PathBuf,
    content: Content,
    reader: BufReader<File>,
}

/// The shape of a llama.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) blocks: usize,
    pub(crate) width: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) context: usize,
    pub(crate) rope_base: f32,
    pub(crate) norm_eps: f32,
}

// === impl Gguf ===

impl Gguf {
    /// Opens the file, or the only GGUF file of a folder.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let path = if path.is_dir() {
            only_gguf_in(path)?
        } else {
            path.to_owned()
        };
        let file = File::open(&path).map_err(|error| Error::NoModel {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let content = Content::read(&mut reader).map_err(|error| Error::Broken {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            path,
            content,
            reader,
        })
    }

    /// The name in the header, else the file's.
    pub(crate) fn name(&self) -> String {
        self.path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    pub(crate) fn shape(&self) -> Result<Shape, Error> {
        let architecture = self
            .content
            .metadata
            .get("general.architecture")
            .and_then(|v| v.to_string().ok());
        if architecture.map(String::as_str) != Some("llama") {
            let found = architecture.cloned().unwrap_or_else(|| "none".to_owned());
            return Err(self.unsupported("its architecture", found, "llama"));
        }
        if self
            .optional("llama.expert_count")
            .is_some_and(|experts| experts > 0.0)
        {
            return Err(self.unsupported("its architecture", "llama with experts".to_owned(), "llama"));
        }
        let shape = Shape {
            blocks: self.count("llama.block_count")?,
            width: self.count("llama.embedding_length")?,
            heads: self.count("llama.attention.head_count")?,
            kv_heads: self.count("llama.attention.head_count_kv")?,
            context: self.count("llama.context_length")?,
            rope_base: self.optional("llama.rope.freq_base").unwrap_or(10_000.0),
            norm_eps: self
                .optional("llama.attention.layer_norm_rms_epsilon")
                .unwrap_or(1e-5),
        };
        if !shape.width.is_multiple_of(shape.heads) || !shape.heads.is_multiple_of(shape.kv_heads) {
            let found = format!("width {}, heads {}/{}", shape.width, shape.heads, shape.kv_heads);
            return Err(self.unsupported("its shape", found, "heads that divide the width"));
        }
        Ok(shape)
    }

    pub(crate) fn tokenizer(&self) -> Result<Tokenizer, Error> {
        Tokenizer::from_gguf(&self.content)
            .map_err(|(what, found, supported)| self.unsupported(what, found, supported))
    }

    /// Whether there is a tensor of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.content.tensor_infos.contains_key(name)
    }

    /// A tensor in single precision.
    pub(crate) fn tensor(&mut self, name: &str) -> Result<Tensor, Error> {
        let read = self.content.tensor(&mut self.reader, name, &Device::Cpu);
        read.and_then(|tensor| tensor.dequantize(&Device::Cpu))
            .map_err(|error| Error::Broken {
                path: self.path.clone(),
                reason: format!("tensor {name}: {error}"),
            })
    }

    fn count(&self, key: &'static str) -> Result<usize, Error> {
        match self.optional(key) {
            Some(count) if count >= 1.0 => Ok(count as usize),
            _ => Err(self.unsupported(key, "missing".to_owned(), "a count")),
        }
    }

    fn optional(&self, key: &str) -> Option<f32> {
        let value = self.content.metadata.get(key)?;
        value
            .to_f32()
            .or_else(|_| value.to_u32().map(|n| n as f32))
            .or_else(|_| value.to_u64().map(|n| n as f32))
            .ok()
    }

    fn unsupported(&self, what: &'static str, found: String, supported: &'static str) -> Error {
        Error::Unsupported {
            path: self.path.clone(),
            what,
            found,
            supported,
        }
    }
}

fn only_gguf_in(folder: &Path) -> Result<PathBuf, Error> {
    let no_model = |reason: String| Error::NoModel {
        path: folder.to_owned(),
        reason,
    };
    let entries = folder.read_dir().map_err(|error| no_model(error.to_string()))?;
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|end| end.eq_ignore_ascii_case("gguf"))
        })
        .collect();
    match (found.pop(), found.len()) {
        (Some(path), 0) => Ok(path),
        (None, _) => Err(no_model("the folder has no .gguf file".to_owned())),
        (_, more) => Err(no_model(format!(
            "the folder has {} .gguf files, name one",
            more + 1
        ))),
    }
}
