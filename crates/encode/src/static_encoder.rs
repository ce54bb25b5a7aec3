//! The encoder that is always there: the sum of a text's WordPiece rows, brought to length one.
//!
//! The rows are learned so that their sum points where MiniLM's vector of the whole text points
//! (`distill`); nothing but look-ups and additions is left to do at run time. Rows have
//! four bits a value: seventeen of them add up in a byte without overflow, so the sums run in whole
//! vector registers and reach `f32` once in seventeen words.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use pulp::Arch;

use crate::encoder::{Encoder, ModelId};
use crate::table::{DIMS_STEP, MAX_DIMS, OFFSET, StaticTable, TableError};
use crate::vector::normalize;
use crate::wordpiece::WordPiece;

static BUNDLED: &[u8] = include_bytes!("../data/static.fpt");

/// Rows whose sum cannot leave a byte: 17 * 15 = 255.
const ROWS_A_SUM: usize = 17;
/// Ids that wait for their rows to be added; a few sums' worth, to call the vector code seldom.
const IDS_A_CALL: usize = 4 * ROWS_A_SUM;

/// Sentence encoder without a transformer; see [`StaticEncoder::bundled`].
///
/// Window: none, the whole text counts; cost: some ten microseconds for 200 words. An empty text
/// has the zero vector.
#[derive(Clone)]
pub struct StaticEncoder {
    parts: Arc<Parts>,
}

struct Parts {
    model: ModelId,
    wordpiece: WordPiece,
    dims: usize,
    rows: std::borrow::Cow<'static, [u8]>,
    arch: Arch,
}

// === impl StaticEncoder ===

impl StaticEncoder {
    /// The encoder that is compiled in, made once a process (some two milliseconds) and shared.
    ///
    /// # Panics
    /// Never in a build whose tests passed: they check the compiled bytes whole.
    #[must_use]
    pub fn bundled() -> Self {
        static ENCODER: LazyLock<StaticEncoder> = LazyLock::new(|| {
            let table = StaticTable::from_static(BUNDLED).and_then(StaticEncoder::new);
            #[expect(clippy::panic, reason = "bytes fixed at compile time, checked by a test")]
            table.unwrap_or_else(|error| panic!("the compiled-in static table is broken: {error}"))
        });
        ENCODER.clone()
    }

    /// The checked bytes of the compiled-in table, for tools that look inside it.
    ///
    /// # Errors
    /// Never in a build whose tests passed.
    pub fn bundled_table() -> Result<StaticTable, TableError> {
        StaticTable::from_bytes(BUNDLED.to_vec())
    }

    /// An encoder on a table of one's own.
    ///
    /// # Errors
    /// If the table's vocabulary has no `[UNK]`.
    pub fn new(table: StaticTable) -> Result<Self, TableError> {
        let fingerprint = table
            .checksum
            .first_chunk()
            .map_or(0, |head| u64::from_be_bytes(*head));
        let model = ModelId::new(&table.provenance().name, fingerprint);
        let StaticTable {
            vocabulary,
            dims,
            rows,
            ..
        } = table;
        let wordpiece = WordPiece::new(vocabulary)?;
        Ok(Self {
            parts: Arc::new(Parts {
                model,
                wordpiece,
                dims,
                rows,
                arch: Arch::new(),
            }),
        })
    }

    /// An encoder on a table file.
    ///
    /// # Errors
    /// If the file cannot be read or is no table.
    pub fn open(path: &Path) -> Result<Self, TableError> {
        Self::new(StaticTable::open(path)?)
    }

    /// The tokenizer; its ids are rows of the table, not ids of the teacher's tokenizer.
    #[must_use]
    pub fn wordpiece(&self) -> &WordPiece {
        &self.parts.wordpiece
    }
}

impl Encoder for StaticEncoder {
    fn model(&self) -> &ModelId {
        &self.parts.model
    }

    fn dims(&self) -> usize {
        self.parts.dims
    }

    fn encode_into(&self, text: &str, out: &mut [f32]) {
        let parts = &*self.parts;
        assert_eq!(
            out.len(),
            parts.dims,
            "the output must have one place for each dimension"
        );
        out.fill(0.0);
        let mut ids = [0_u32; IDS_A_CALL];
        let mut count = 0;
        let _: ControlFlow<()> = parts.wordpiece.walk(text, |id| {
            ids[count] = id;
            count += 1;
            if count == IDS_A_CALL {
                parts.add_rows(&ids, out);
                count = 0;
            }
            ControlFlow::Continue(())
        });
        parts.add_rows(&ids[..count], out);
        normalize(out);
    }
}

// === impl Parts ===

impl Parts {
    /// Adds the rows of `ids` to `out`.
    fn add_rows(&self, ids: &[u32], out: &mut [f32]) {
        let rows = &*self.rows;
        self.arch.dispatch(
            #[inline(always)]
            || {
                const HALF: usize = DIMS_STEP / 2;
                let mut sums = [0_u8; MAX_DIMS];
                let (sums, _) = sums[..out.len()].as_chunks_mut::<DIMS_STEP>();
                let width = out.len() / 2;
                for ids in ids.chunks(ROWS_A_SUM) {
                    sums.fill([0; DIMS_STEP]);
                    for &id in ids {
                        let start = id as usize * width;
                        let (row, _) = rows[start..start + width].as_chunks::<HALF>();
                        for (sum, bytes) in sums.iter_mut().zip(row) {
                            for lane in 0..HALF {
                                sum[lane] = sum[lane].wrapping_add(bytes[lane] & 15);
                                sum[lane + HALF] = sum[lane + HALF].wrapping_add(bytes[lane] >> 4);
                            }
                        }
                    }
                    let offset = f32::from(OFFSET) * ids.len() as f32;
                    for (total, &sum) in out.iter_mut().zip(sums.as_flattened()) {
                        *total += f32::from(sum) - offset;
                    }
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::toy;

    #[test]
    fn rows_are_added_and_brought_to_length_one() {
        let encoder = StaticEncoder::new(toy()).unwrap();
        let v = encoder.encode("South east, EAST? east south");
        // three times east = 21 on axis 0, twice south = -14 on axis 17, over sqrt(13) * 7
        let unit = 13.0_f32.sqrt();
        assert!(
            (v[0] - 3.0 / unit).abs() < 1e-6 && (v[17] + 2.0 / unit).abs() < 1e-6,
            "{v:?}"
        );
        assert!(
            v.iter().enumerate().all(|(i, &x)| i == 0 || i == 17 || x == 0.0),
            "{v:?}"
        );
    }

    #[test]
    fn long_texts_do_not_overflow() {
        let encoder = StaticEncoder::new(toy()).unwrap();
        let v = encoder.encode(&"east ".repeat(100_000));
        assert_eq!(v[0], 1.0);
    }

    #[test]
    fn nothing_to_encode_is_the_zero_vector() {
        let encoder = StaticEncoder::new(toy()).unwrap();
        assert!(encoder.encode(" \n\u{200b}").iter().all(|&x| x == 0.0));
    }

    #[test]
    fn the_fingerprint_follows_the_rows() {
        let toy_id = StaticEncoder::new(toy()).unwrap().model().clone();
        assert_eq!(toy_id, *StaticEncoder::new(toy()).unwrap().model());
        let table = toy();
        let mut rows = vec![0; 96];
        rows[0] = 1;
        let vocabulary = crate::Vocabulary::new(table.vocabulary().entries()).unwrap();
        let other = StaticTable::new(vocabulary, 32, &rows, table.provenance().clone()).unwrap();
        assert_ne!(toy_id, *StaticEncoder::new(other).unwrap().model());
    }
}
