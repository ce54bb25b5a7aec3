//! Vectors that are kept in a file between runs, so that a slow encoder reads each text once.
//!
//! ```text
//! records of: first 16 bytes of SHA-256 over model and text | the vector, f32 little endian
//! ```

use std::{
    collections::{HashMap, HashSet},
    fs::{File, OpenOptions},
    io::{BufWriter, Read, Write},
    num::NonZero,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use fingerpost_encode::{Encoder, ModelId, Vector};
use sha2::{Digest, Sha256};

type Key = [u8; 16];

/// An encoder that remembers, in memory and in a file where there is one.
pub struct VectorFile {
    inner: Arc<dyn Encoder>,
    known: Mutex<Known>,
    bypassed: AtomicBool,
}

struct Known {
    vectors: HashMap<Key, Vector>,
    file: Option<BufWriter<File>>,
}

// === impl Known ===

impl Known {
    fn remember(&mut self, key: Key, vector: Vector) {
        if let Some(file) = &mut self.file {
            let mut record = key.to_vec();
            record.extend(vector.iter().flat_map(|v| v.to_le_bytes()));
            // A record that is not written is encoded again another time.
            drop(file.write_all(&record));
        }
        self.vectors.insert(key, vector);
    }
}

// === impl VectorFile ===

impl VectorFile {
    /// Remembers in memory, and in the file that is named: it is read where it is there, and added to. A record that was cut short is
    /// passed over.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn new(inner: Arc<dyn Encoder>, path: Option<&Path>) -> std::io::Result<Self> {
        let mut vectors = HashMap::new();
        let mut file = None;
        if let Some(path) = path {
            let record = size_of::<Key>() + inner.dims() * size_of::<f32>();
            let mut bytes = Vec::new();
            if path.is_file() {
                File::open(path)?.read_to_end(&mut bytes)?;
            }
            let (records, _) = bytes.split_at(bytes.len() - bytes.len() % record);
            for record in records.chunks_exact(record) {
                let (key, values) = record.split_at(size_of::<Key>());
                let values = values.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
                if let Ok(key) = key.try_into() {
                    vectors.insert(key, Vector::from(values.collect::<Vec<f32>>()));
                }
            }
            let opened = OpenOptions::new().create(true).append(true).open(path)?;
            opened.set_len(records.len() as u64)?;
            file = Some(BufWriter::new(opened));
        }
        Ok(Self {
            inner,
            known: Mutex::new(Known { vectors, file }),
            bypassed: AtomicBool::new(false),
        })
    }

    /// Whether every text is encoded anew, for the sake of measuring.
    pub fn bypass(&self, on: bool) {
        self.bypassed.store(on, Ordering::Relaxed);
    }

    fn key(&self, text: &str) -> Key {
        let mut hash = Sha256::new();
        hash.update(self.inner.model().to_string());
        hash.update([0]);
        hash.update(text);
        std::array::from_fn({
            let digest = hash.finalize();
            move |byte| digest[byte]
        })
    }
}

impl Encoder for VectorFile {
    fn model(&self) -> &ModelId {
        self.inner.model()
    }

    fn dims(&self) -> usize {
        self.inner.dims()
    }

    fn encode_into(&self, text: &str, out: &mut [f32]) {
        out.copy_from_slice(&self.encode(text));
    }

    fn encode(&self, text: &str) -> Vector {
        if self.bypassed.load(Ordering::Relaxed) {
            return self.inner.encode(text);
        }
        let key = self.key(text);
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(vector) = known().vectors.get(&key) {
            return vector.clone();
        }
        let vector = self.inner.encode(text);
        known().remember(key, vector.clone());
        vector
    }

    /// What is not known yet is shared out over the machine's cores.
    fn encode_batch(&self, texts: &[&str]) -> Vec<Vector> {
        if self.bypassed.load(Ordering::Relaxed) {
            return self.inner.encode_batch(texts);
        }
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut asked = HashSet::new();
        let new: Vec<(Key, &str)> = {
            let known = known();
            let keyed = texts.iter().map(|text| (self.key(text), *text));
            keyed
                .filter(|(key, _)| !known.vectors.contains_key(key) && asked.insert(*key))
                .collect()
        };
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let encode = |part: &[(Key, &str)]| {
            let texts: Vec<&str> = part.iter().map(|(_, text)| *text).collect();
            self.inner.encode_batch(&texts)
        };
        std::thread::scope(|scope| {
            let parts = new.chunks(new.len().div_ceil(threads).max(1));
            let running: Vec<_> = parts
                .map(|part| (part, scope.spawn(move || encode(part))))
                .collect();
            for (part, encoded) in running {
                // A thread that ended early left its texts to be encoded one by one below.
                for ((key, _), vector) in part.iter().zip(encoded.join().unwrap_or_default()) {
                    known().remember(*key, vector);
                }
            }
        });
        texts.iter().map(|text| self.encode(text)).collect()
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_encode::StaticEncoder;

    use super::*;

    #[test]
    fn vectors_are_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vectors");
        let inner: Arc<dyn Encoder> = Arc::new(StaticEncoder::bundled());
        let first = VectorFile::new(inner.clone(), Some(&path))
            .unwrap()
            .encode("a text");
        let again = VectorFile::new(inner.clone(), Some(&path)).unwrap();
        assert_eq!(again.known.lock().unwrap().vectors.len(), 1);
        assert_eq!(again.encode("a text"), first);
        assert_eq!(first, inner.encode("a text"));
        let texts = ["a text", "another", "a third", "another"];
        let one_by_one: Vec<Vector> = texts.iter().map(|t| inner.encode(t)).collect();
        assert_eq!(again.encode_batch(&texts), one_by_one);
        assert_eq!(again.known.lock().unwrap().vectors.len(), 3);
    }
}
