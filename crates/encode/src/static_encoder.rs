//! The encoder that is always there: the sum of a text's WordPiece rows, brought to length one.
//!
//! The rows are learned so that their sum points where MiniLM's vector of the whole text points
//! (`distill`); nothing but look-ups and additions is left to do at run time. Rows have
//! four bits a value: seventeen of them add up in a byte without overflow, so the sums run in whole
//! vector registers and reach `f32` once in some hundred words.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use pulp::{Arch, Simd, WithSimd};

use crate::encoder::{Encoder, ModelId};
use crate::table::{DIMS_STEP, MAX_DIMS, OFFSET, StaticTable, TableError};
use crate::vector::normalize;
use crate::wordpiece::WordPiece;

static BUNDLED: &[u8] = include_bytes!("../data/static.fpt");

/// Rows whose sum cannot leave a byte: 17 * 15 = 255.
const ROWS_A_SUM: usize = 17;
/// Ids that wait for their rows to be added; a few sums' worth, to call the vector code seldom.
const IDS_A_CALL: usize = 8 * ROWS_A_SUM;

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
        self.arch.dispatch(AddRows { ids, rows, out });
    }
}

/// The sum of rows, compiled for each kind of vector unit. (A closure would not be: the compiler keeps it a call.)
///
/// Eight values are added at a time, as the bytes of a word: none of them can carry into the next, which the compiler
/// cannot know of bytes.
struct AddRows<'a> {
    ids: &'a [u32],
    rows: &'a [u8],
    out: &'a mut [f32],
}

/// Bytes of a word.
const WORD: usize = size_of::<u64>();
/// Words of the longest row.
const WORDS: usize = MAX_DIMS / 2 / WORD;
const NIBBLES: u64 = 0x0f0f_0f0f_0f0f_0f0f;
const EVEN_BYTES: u64 = 0x00ff_00ff_00ff_00ff;

impl WithSimd for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { ids, rows, out } = self;
        let width = out.len() / 2;
        // Of each word of a row the low halves of its bytes, and the high ones: as even bytes and odd ones, in sixteen bits.
        let mut totals = [[0_u64; WORDS]; 4];
        for ids in ids.chunks(ROWS_A_SUM) {
            let (mut low, mut high) = ([0_u64; WORDS], [0_u64; WORDS]);
            for &id in ids {
                let start = id as usize * width;
                let row = rows[start..start + width].as_chunks::<WORD>().0;
                for (at, bytes) in row.iter().enumerate().take(WORDS) {
                    let word = u64::from_le_bytes(*bytes);
                    low[at] += word & NIBBLES;
                    high[at] += word >> 4 & NIBBLES;
                }
            }
            for at in 0..WORDS {
                totals[0][at] += low[at] & EVEN_BYTES;
                totals[1][at] += low[at] >> 8 & EVEN_BYTES;
                totals[2][at] += high[at] & EVEN_BYTES;
                totals[3][at] += high[at] >> 8 & EVEN_BYTES;
            }
        }
        let offset = i32::from(OFFSET) * ids.len() as i32;
        for (at, total) in out.iter_mut().enumerate() {
            let (block, lane) = (at / DIMS_STEP, at % DIMS_STEP);
            let (half, byte) = (lane / (DIMS_STEP / 2), lane % (DIMS_STEP / 2));
            let word = totals[half * 2 + byte % 2][block * (DIMS_STEP / 2 / WORD) + byte / WORD];
            let sum = (word >> (byte % WORD / 2 * 16)) as u16;
            *total += (i32::from(sum) - offset) as f32;
        }
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
