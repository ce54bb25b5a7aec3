//! What the examples read with: rows of JSON, and an encoder whose vectors are kept between runs.

use std::{error::Error, fs, path::Path, sync::Arc};

use fingerpost_encode::{Encoder, MiniLm, StaticEncoder};
use fingerpost_packages::{ModelFolder, Status};
use serde_json::Value;

type Fallible<T> = Result<T, Box<dyn Error>>;

/// An encoder whose vectors are kept between runs.
pub(crate) struct Reader {
    pub(crate) encoder: Arc<dyn Encoder>,
}

// === impl Reader ===

impl Reader {
    pub(crate) fn open(name: &str) -> Fallible<Self> {
        let encoder: Arc<dyn Encoder> = match name {
            "static" => Arc::new(StaticEncoder::bundled()),
            "minilm" => match ModelFolder::locate(None)?.status("minilm")? {
                Status::Ready { path } => Arc::new(MiniLm::open(&path)?),
                _ => return Err("minilm is not in the model folder: `fingerpost models pull minilm`".into()),
            },
            other => return Err(format!("no encoder `{other}`: static or minilm").into()),
        };
        Ok(Self { encoder })
    }

    /// The vectors of texts, row after row; kept in the system's folder for temporary files under the encoder's fingerprint.
    pub(crate) fn read(&self, what: &str, texts: &[String]) -> Fallible<Vec<f32>> {
        let folder = std::env::temp_dir().join("fingerpost-vectors");
        let bytes: usize = texts.iter().map(String::len).sum();
        let path = folder.join(format!("{}-{what}-{}-{bytes}", self.encoder.model(), texts.len()));
        let wanted = texts.len() * self.encoder.dims();
        if let Ok(kept) = fs::read(&path)
            && kept.len() == wanted * 4
        {
            let (numbers, _) = kept.as_chunks::<4>();
            return Ok(numbers.iter().map(|b| f32::from_le_bytes(*b)).collect());
        }
        let values: Vec<f32> = texts
            .iter()
            .flat_map(|text| self.encoder.encode(text).to_vec())
            .collect();
        fs::create_dir_all(&folder)?;
        fs::write(
            &path,
            values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>(),
        )?;
        Ok(values)
    }
}

pub(crate) fn lines(path: &Path) -> Fallible<Vec<Value>> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}
