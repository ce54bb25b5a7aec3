//! The teacher's vectors of a corpus, kept in a file so that an interrupted run goes on.
//!
//! The file begins with the teacher's fingerprint; then one record a text: the first sixteen bytes of
//! the text's SHA-256 and its vector in signed sixteen-bit steps of 1/32767. Records are appended as
//! they are made; a record cut off by an interruption is overwritten by the next run.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{DistillError, Progress};
use crate::encoder::Encoder;
use crate::minilm::MiniLm;

const MAGIC: &[u8; 8] = b"FPTEACH1";
const KEY_BYTES: usize = 16;
/// Texts that one thread encodes between two writes.
const SHARE: usize = 128;

type Key = [u8; KEY_BYTES];

/// One row of sixteen-bit values for each text of a corpus.
pub(super) struct Lessons {
    pub(super) dims: usize,
    rows: Vec<i16>,
}

impl Lessons {
    /// Encodes every text that the file at `path` does not yet hold.
    pub(super) fn take(
        teacher: &MiniLm,
        texts: &[String],
        path: &Path,
        threads: usize,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, DistillError> {
        let failed = |source| DistillError::Io {
            path: path.to_owned(),
            source,
        };
        let dims = teacher.dims();
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .read(true)
            .open(path)
            .map_err(failed)?;
        let mut known = read_records(&std::fs::read(path).map_err(failed)?, teacher, dims);
        let record = KEY_BYTES + dims * 2;
        let head = MAGIC.len() + 8;
        let keys: Vec<Key> = texts.iter().map(|text| key(text)).collect();
        let end = head + known.len() * record;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        file.write_all(MAGIC).map_err(failed)?;
        file.write_all(&teacher.model().fingerprint().to_le_bytes())
            .map_err(failed)?;
        file.set_len(end as u64).map_err(failed)?;
        file.seek(SeekFrom::Start(end as u64)).map_err(failed)?;
        let missing: Vec<usize> = (0..texts.len())
            .filter(|&i| !known.contains_key(&keys[i]))
            .collect();
        let mut done = texts.len() - missing.len();
        for round in missing.chunks(SHARE * threads.max(1)) {
            progress(Progress::Teaching {
                done,
                total: texts.len(),
            });
            let shares: Option<Vec<Vec<Vec<i16>>>> = std::thread::scope(|scope| {
                let workers: Vec<_> = round
                    .chunks(SHARE)
                    .map(|share| {
                        scope.spawn(move || {
                            let share: Vec<&str> = share.iter().map(|&i| texts[i].as_str()).collect();
                            teacher
                                .encode_batch(&share)
                                .iter()
                                .map(|vector| steps(vector))
                                .collect()
                        })
                    })
                    .collect();
                workers.into_iter().map(|worker| worker.join().ok()).collect()
            });
            // A share that is missing would give its place, and so its keys, to the one after it.
            let shares = shares.ok_or(DistillError::Interrupted)?;
            let mut bytes = Vec::with_capacity(round.len() * record);
            for (&i, row) in round.iter().zip(shares.into_iter().flatten()) {
                bytes.extend(keys[i]);
                bytes.extend(row.iter().flat_map(|value| value.to_le_bytes()));
                known.insert(keys[i], row);
            }
            file.write_all(&bytes).map_err(failed)?;
            done += round.len();
        }
        progress(Progress::Teaching {
            done,
            total: texts.len(),
        });
        let mut rows = Vec::with_capacity(texts.len() * dims);
        for key in &keys {
            let row = known.get(key).ok_or(DistillError::Interrupted)?;
            rows.extend(row);
        }
        Ok(Self { dims, rows })
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len() / self.dims
    }

    /// The vector of text `i`.
    pub(super) fn row(&self, i: usize) -> impl Iterator<Item = f32> + '_ {
        self.rows[i * self.dims..(i + 1) * self.dims]
            .iter()
            .map(|&value| f32::from(value) / 32_767.0)
    }
}

fn key(text: &str) -> Key {
    Sha256::digest(text).first_chunk().copied().unwrap_or_default()
}

fn steps(vector: &[f32]) -> Vec<i16> {
    vector
        .iter()
        .map(|value| (value * 32_767.0).round() as i16)
        .collect()
}

/// The whole records of a file of this teacher; none if the file is another teacher's.
fn read_records(bytes: &[u8], teacher: &MiniLm, dims: usize) -> HashMap<Key, Vec<i16>> {
    let mut head = MAGIC.to_vec();
    head.extend(teacher.model().fingerprint().to_le_bytes());
    let records = bytes.strip_prefix(&head[..]).unwrap_or_default();
    let record = |bytes: &[u8]| {
        let (key, row) = bytes.split_first_chunk::<KEY_BYTES>()?;
        Some((
            *key,
            row.as_chunks()
                .0
                .iter()
                .map(|&value| i16::from_le_bytes(value))
                .collect(),
        ))
    };
    records
        .chunks_exact(KEY_BYTES + dims * 2)
        .filter_map(record)
        .collect()
}
