//! The file of a static encoder: a vocabulary and a row of four-bit integers for each entry.
//!
//! Layout, all numbers little-endian:
//! ```text
//! 8 bytes   magic "FPSTATIC"
//! u32       version, 1
//! u32       H, length of the header
//! H bytes   header, JSON: rows, dims, vocabulary_bytes, provenance
//! V bytes   the entries, each ended by a line feed
//! R*D/2     rows, four bits a value
//! 32 bytes  SHA-256 of all before
//! ```
//! A value v of -8..=7 is stored as v + 8; within each 32 values of a row, byte i holds value i in its
//! low half and value i + 16 in its high half, so that a vector unit takes them apart with a mask and a
//! shift. Four bits proved as good as eight in nearest-centroid accuracy once the few largest values
//! are cut off, at half the file and half the memory to walk through. No scale is kept: the sum of a
//! text's rows is brought to length one, so a common factor has no effect. Row and id are one; ids that no text can produce (`[unused7]`) are left out when the table
//! is made, so ids here are not those of the model's own tokenizer.

use std::borrow::Cow;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::wordpiece::{Vocabulary, VocabularyError};

const MAGIC: &[u8; 8] = b"FPSTATIC";
const VERSION: u32 = 1;
const CHECKSUM_BYTES: usize = 32;
/// Widest row, so that sums fit on the stack.
pub(crate) const MAX_DIMS: usize = 512;
/// Rows come in whole blocks of this many values, which lets the inner loop run without a rest.
pub(crate) const DIMS_STEP: usize = 32;
/// What is added to a value to store it.
pub(crate) const OFFSET: i8 = 8;

/// Where a table comes from: enough to make it again and to give credit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Name of the encoder made of it.
    pub name: String,
    /// The teacher, with its licence.
    pub source: String,
    /// SHA-256 of the teacher's weights.
    pub source_sha256: String,
    /// Which texts it was learned on.
    pub corpus: String,
    /// SHA-256 over those texts in order.
    pub corpus_sha256: String,
    /// The recipe and its settings, as the distiller was given them.
    pub recipe: serde_json::Value,
}

/// A checked table, read from a file or compiled into the binary.
pub struct StaticTable {
    pub(crate) vocabulary: Vocabulary,
    pub(crate) dims: usize,
    pub(crate) rows: Cow<'static, [u8]>,
    pub(crate) checksum: [u8; CHECKSUM_BYTES],
    provenance: Provenance,
}

/// Why bytes are no static table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The file could not be read or written.
    #[error("cannot read or write the static table {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It begins like something else.
    #[error("not a static table: it does not begin with FPSTATIC")]
    Magic,
    /// Made by a later (or broken) program.
    #[error(
        "static table of version {found}; this program reads version {VERSION}: make it anew with `fingerpost models distill`"
    )]
    Version {
        /// The version found.
        found: u32,
    },
    /// Cut off, or longer than its header says.
    #[error(
        "static table has {found} bytes where its header asks for {expected}: the file is damaged, make it anew with `fingerpost models distill`"
    )]
    Length {
        /// Bytes that the header asks for.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// Bytes changed on the way.
    #[error(
        "static table does not match its checksum: the file is damaged, make it anew with `fingerpost models distill`"
    )]
    Checksum,
    /// The header is not what this program writes.
    #[error("static table header: {0}")]
    Header(String),
    /// The entries make no vocabulary.
    #[error("static table: {0}")]
    Vocabulary(#[from] VocabularyError),
}

#[derive(Serialize, Deserialize)]
struct Header {
    rows: usize,
    dims: usize,
    vocabulary_bytes: usize,
    provenance: Provenance,
}

// === impl StaticTable ===

impl StaticTable {
    /// Puts a table together; `rows` holds `vocabulary.len()` rows of `dims` values in -8..=7 (others are
    /// cut to these).
    ///
    /// # Errors
    /// If `dims` is no multiple of 32 in 32..=512, or the number of values does not fit.
    pub fn new(
        vocabulary: Vocabulary,
        dims: usize,
        rows: &[i8],
        provenance: Provenance,
    ) -> Result<Self, TableError> {
        check_shape(vocabulary.len(), dims)?;
        if rows.len() != vocabulary.len() * dims {
            return Err(TableError::Length {
                expected: vocabulary.len() * dims,
                found: rows.len(),
            });
        }
        let stored = |value: i8| (value.clamp(-OFFSET, OFFSET - 1) + OFFSET).cast_unsigned();
        let rows: Vec<u8> = rows
            .as_chunks::<DIMS_STEP>()
            .0
            .iter()
            .flat_map(|values| {
                let (low, high) = values.split_at(DIMS_STEP / 2);
                low.iter()
                    .zip(high)
                    .map(move |(&low, &high)| stored(low) | stored(high) << 4)
            })
            .collect();
        let mut table = Self {
            vocabulary,
            dims,
            rows: rows.into(),
            checksum: [0; CHECKSUM_BYTES],
            provenance,
        };
        let bytes = table.to_bytes()?;
        table
            .checksum
            .copy_from_slice(&bytes[bytes.len() - CHECKSUM_BYTES..]);
        Ok(table)
    }

    /// Reads and checks a table, checksum included.
    ///
    /// # Errors
    /// What is wrong with the bytes, see [`TableError`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, TableError> {
        let body = bytes.len().saturating_sub(CHECKSUM_BYTES);
        let table = Self::parse(Cow::Owned(bytes), |bytes| {
            if Sha256::digest(&bytes[..body])[..] == bytes[body..] {
                Ok(())
            } else {
                Err(TableError::Checksum)
            }
        })?;
        Ok(table)
    }

    /// Reads a table without comparing its checksum, which a fuzzer could never guess; all other checks
    /// are made.
    ///
    /// # Errors
    /// What is wrong with the bytes, see [`TableError`].
    #[doc(hidden)]
    pub fn from_bytes_unverified(bytes: Vec<u8>) -> Result<Self, TableError> {
        Self::parse(Cow::Owned(bytes), |_| Ok(()))
    }

    /// Reads a table file.
    ///
    /// # Errors
    /// If it cannot be read, or what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, TableError> {
        let bytes = std::fs::read(path).map_err(|source| io_error(path, source))?;
        Self::from_bytes(bytes)
    }

    /// The table that is compiled in. Its checksum is verified by a test instead of at every start,
    /// which would read all its pages into memory.
    pub(crate) fn from_static(bytes: &'static [u8]) -> Result<Self, TableError> {
        Self::parse(Cow::Borrowed(bytes), |_| Ok(()))
    }

    fn parse(
        bytes: Cow<'static, [u8]>,
        verify: impl FnOnce(&[u8]) -> Result<(), TableError>,
    ) -> Result<Self, TableError> {
        let (header, start) = read_header(&bytes)?;
        check_shape(header.rows, header.dims)?;
        let rows_at = start.checked_add(header.vocabulary_bytes);
        let expected = rows_at.and_then(|at| at.checked_add(header.rows * header.dims / 2 + CHECKSUM_BYTES));
        let (Some(rows_at), Some(expected)) = (rows_at, expected) else {
            return Err(TableError::Header("lengths beyond any file".into()));
        };
        if bytes.len() != expected {
            return Err(TableError::Length {
                expected,
                found: bytes.len(),
            });
        }
        verify(&bytes)?;
        let checksum_at = expected - CHECKSUM_BYTES;
        let entries = std::str::from_utf8(&bytes[start..rows_at])
            .map_err(|error| TableError::Header(format!("vocabulary is not UTF-8: {error}")))?;
        let vocabulary = Vocabulary::new(entries.split_terminator('\n'))?;
        if vocabulary.len() != header.rows {
            let found = vocabulary.len();
            return Err(TableError::Header(format!(
                "{} rows, but {found} vocabulary entries",
                header.rows
            )));
        }
        let mut checksum = [0; CHECKSUM_BYTES];
        checksum.copy_from_slice(&bytes[checksum_at..]);
        let rows = match bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[rows_at..checksum_at]),
            Cow::Owned(bytes) => Cow::Owned(bytes[rows_at..checksum_at].to_vec()),
        };
        Ok(Self {
            vocabulary,
            dims: header.dims,
            rows,
            checksum,
            provenance: header.provenance,
        })
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// If an entry holds a line feed, which would end it.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TableError> {
        let mut entries = String::new();
        for entry in self.vocabulary.entries() {
            if entry.contains('\n') {
                return Err(TableError::Header(format!("entry {entry:?} holds a line feed")));
            }
            entries.push_str(entry);
            entries.push('\n');
        }
        let header = Header {
            rows: self.vocabulary.len(),
            dims: self.dims,
            vocabulary_bytes: entries.len(),
            provenance: self.provenance.clone(),
        };
        let header = serde_json::to_vec(&header).map_err(|error| TableError::Header(error.to_string()))?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((header.len() as u32).to_le_bytes());
        bytes.extend(header);
        bytes.extend(entries.as_bytes());
        bytes.extend(self.rows.as_ref());
        let checksum = Sha256::digest(&bytes);
        bytes.extend(checksum);
        Ok(bytes)
    }

    /// Writes the file so that it is there whole or not at all.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TableError> {
        let bytes = self.to_bytes()?;
        let partial = path.with_extension("partial");
        std::fs::write(&partial, bytes).map_err(|source| io_error(&partial, source))?;
        std::fs::rename(&partial, path).map_err(|source| io_error(path, source))
    }

    /// Where the table comes from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Values in a row.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// The entries, whose ids are row numbers.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The values of an id's row, each in -8..=7.
    pub fn row(&self, id: u32) -> Option<Vec<i8>> {
        let width = self.dims / 2;
        let start = (id as usize).checked_mul(width)?;
        let row = self.rows.get(start..start.checked_add(width)?)?;
        let value = |half: u8| half.cast_signed() - OFFSET;
        let blocks = row.chunks_exact(DIMS_STEP / 2);
        Some(
            blocks
                .flat_map(|block| {
                    block
                        .iter()
                        .map(move |byte| value(byte & 15))
                        .chain(block.iter().map(move |byte| value(byte >> 4)))
                })
                .collect(),
        )
    }
}

fn check_shape(rows: usize, dims: usize) -> Result<(), TableError> {
    if dims == 0 || dims > MAX_DIMS || !dims.is_multiple_of(DIMS_STEP) {
        let what = format!("{dims} dims; allowed are multiples of {DIMS_STEP} up to {MAX_DIMS}");
        return Err(TableError::Header(what));
    }
    if rows > usize::from(u16::MAX) {
        return Err(TableError::Header(format!(
            "{rows} rows; at most {} are allowed",
            u16::MAX
        )));
    }
    Ok(())
}

/// The header and where the vocabulary starts.
fn read_header(bytes: &[u8]) -> Result<(Header, usize), TableError> {
    let short = |expected| TableError::Length {
        expected,
        found: bytes.len(),
    };
    let rest = bytes.strip_prefix(MAGIC).ok_or(TableError::Magic)?;
    let (version, rest) = rest.split_first_chunk().ok_or_else(|| short(16))?;
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(TableError::Version { found: version });
    }
    let (length, rest) = rest.split_first_chunk().ok_or_else(|| short(16))?;
    let length = u32::from_le_bytes(*length) as usize;
    let header = rest
        .get(..length)
        .ok_or_else(|| short(length.saturating_add(16)))?;
    let header = serde_json::from_slice(header).map_err(|error| TableError::Header(error.to_string()))?;
    Ok((header, bytes.len() - rest.len() + length))
}

fn io_error(path: &Path, source: std::io::Error) -> TableError {
    TableError::Io {
        path: path.display().to_string(),
        source,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn provenance() -> Provenance {
        Provenance {
            name: "toy".into(),
            source: "by hand".into(),
            source_sha256: String::new(),
            corpus: "none".into(),
            corpus_sha256: String::new(),
            recipe: serde_json::json!({"by": "hand"}),
        }
    }

    /// Two words on two axes of 32, and an unknown row of zeros.
    pub(crate) fn toy() -> StaticTable {
        let mut rows = [0_i8; 96];
        rows[32] = 7;
        rows[64 + 17] = -7;
        let vocabulary = Vocabulary::new(["[UNK]", "east", "south"]).unwrap();
        StaticTable::new(vocabulary, 32, &rows, provenance()).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let table = toy();
        let again = StaticTable::from_bytes(table.to_bytes().unwrap()).unwrap();
        assert_eq!(again.rows, table.rows);
        assert_eq!(again.checksum, table.checksum);
        assert_eq!(again.provenance(), &provenance());
        assert_eq!(again.vocabulary().id_of("south"), Some(2));
        assert_eq!((again.row(2).unwrap()[17], again.row(1).unwrap()[0]), (-7, 7));
        assert!(again.row(3).is_none());
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let bytes = toy().to_bytes().unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(StaticTable::from_bytes(changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        let bytes = toy().to_bytes().unwrap();
        for length in 0..bytes.len() {
            assert!(
                StaticTable::from_bytes(bytes[..length].to_vec()).is_err(),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn errors_tell_the_way_out() {
        let mut bytes = toy().to_bytes().unwrap();
        bytes[8] = 9;
        let error = StaticTable::from_bytes(bytes).err().unwrap().to_string();
        assert!(
            error.contains("version 9") && error.contains("models distill"),
            "{error}"
        );
    }

    #[test]
    fn odd_widths_are_refused() {
        let vocabulary = Vocabulary::new(["[UNK]"]).unwrap();
        assert!(StaticTable::new(vocabulary, 16, &[0; 16], provenance()).is_err());
    }

    #[test]
    fn a_saved_file_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("toy.fpt");
        toy().save(&path).unwrap();
        assert_eq!(StaticTable::open(&path).unwrap().checksum, toy().checksum);
        let missing = StaticTable::open(&folder.path().join("none"))
            .err()
            .unwrap()
            .to_string();
        assert!(missing.contains("none"), "{missing}");
    }
}
