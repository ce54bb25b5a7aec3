//! What a training leaves behind, in a form that is kept in a file.
//!
//! ```text
//! magic "FPSKILLS" | version u32 | state (postcard) | crc32 of all that, u32      (little endian)
//! ```

use fingerpost_core::Name;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    abstain::Abstain,
    classes::{Classes, GONE, NOTHING},
    habits::Habits,
    head::{Head, Objective},
    index::SkillIndex,
    knowledge::Knowledge,
    memory::Memory,
    vectors::Rows,
};

const MAGIC: &[u8; 8] = b"FPSKILLS";
/// Version of the format. A reader refuses any other.
const VERSION: u32 = 2;

/// A trained second stage with the requests that it remembers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Trained {
    /// What it is and where it comes from.
    pub about: About,
    /// Ids that the rest names by place.
    pub(crate) ids: Vec<Name>,
    /// The right entries of each remembered request.
    pub(crate) gold: Vec<Vec<u32>>,
    /// Entries that were offered and wrong, by request.
    pub(crate) wrong: Vec<Vec<u32>>,
    /// The requests' vectors by space, one after the other.
    pub(crate) vectors: Vec<Vec<f32>>,
    pub(crate) classes: Option<Classes>,
    pub(crate) head: Head,
    pub(crate) abstain: Abstain,
}

/// What was trained, and on what.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The weights behind the vectors, as `name@fingerprint`, in the order of the spaces.
    pub encoders: Vec<String>,
    /// What the head was taught by.
    pub objective: Objective,
    /// Requests.
    pub requests: usize,
    /// Those of them that nothing fits.
    pub without: usize,
    /// Whether requests need several entries and are taken apart.
    pub several: bool,
    /// The head's features, in their order.
    pub features: Vec<String>,
    /// The seed of everything left to chance.
    pub seed: u64,
}

/// Why bytes are no trained second stage, or not this index's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TrainedError {
    /// Something else altogether.
    #[error("it is no trained skill reranker; make one with `fingerpost train skill-reranker`")]
    Foreign,
    /// Of another version of the format.
    #[error("it is of version {found}, this program reads version {VERSION}; train it again")]
    Version {
        /// Version found.
        found: u32,
    },
    /// Cut short or changed.
    #[error("it is damaged ({0}); train it again or bring it back from a copy")]
    Damaged(&'static str),
    /// Trained with other encoders than the index has.
    #[error(
        "it was trained with the encoders {trained:?}, the index has {index:?}; train it again or index with the former"
    )]
    Encoders {
        /// Those of the training.
        trained: Vec<String>,
        /// Those of the index.
        index: Vec<String>,
    },
}

// === impl Trained ===

impl Trained {
    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        // Writing into memory cannot fail; a reader refuses the empty state.
        bytes.extend(postcard::to_allocvec(self).unwrap_or_default());
        let sum = crc32fast::hash(&bytes);
        bytes.extend(sum.to_le_bytes());
        bytes
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`TrainedError`] for bytes that [`Self::to_bytes`] did not make.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TrainedError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(TrainedError::Foreign)?;
        let (version, rest) = rest
            .split_first_chunk::<4>()
            .ok_or(TrainedError::Damaged("cut short"))?;
        let found = u32::from_le_bytes(*version);
        if found != VERSION {
            return Err(TrainedError::Version { found });
        }
        let (state, sum) = rest
            .split_last_chunk::<4>()
            .ok_or(TrainedError::Damaged("cut short"))?;
        if crc32fast::hash(&bytes[..bytes.len() - 4]) != u32::from_le_bytes(*sum) {
            return Err(TrainedError::Damaged("its checksum is another"));
        }
        let trained: Self = postcard::from_bytes(state).map_err(|_| TrainedError::Damaged("unreadable"))?;
        let names = trained.ids.len() as u32;
        let named = trained
            .gold
            .iter()
            .chain(&trained.wrong)
            .flatten()
            .all(|g| *g < names)
            && trained
                .classes
                .iter()
                .all(|c| c.entries.iter().all(|e| *e < names || *e == NOTHING));
        if !named || !trained.head.is_sound(trained.about.features.len()) {
            return Err(TrainedError::Damaged("its parts do not fit together"));
        }
        Ok(trained)
    }

    /// What it knows, by the places of an index; entries that the index does not have are left out.
    pub(crate) fn knowledge(&self, index: &SkillIndex) -> Result<Knowledge, TrainedError> {
        let encoders = index.encoders();
        if encoders != self.about.encoders {
            return Err(TrainedError::Encoders {
                trained: self.about.encoders.clone(),
                index: encoders,
            });
        }
        let places: FxHashMap<&str, u32> = (0..)
            .zip(&index.entries)
            .map(|(place, entry)| (entry.id.as_str(), place))
            .collect();
        let place = |id: &u32| {
            let name = self.ids.get(*id as usize)?;
            places.get(name.as_str()).copied()
        };
        let mut spaces: Vec<Rows> = index.spaces.iter().map(|s| Rows::new(s.encoder.dims())).collect();
        let mut gold = Vec::with_capacity(self.gold.len());
        for (request, ids) in self.gold.iter().enumerate() {
            let known: Vec<u32> = ids.iter().filter_map(place).collect();
            if known.is_empty() && !ids.is_empty() {
                continue;
            }
            gold.push(known);
            for (rows, values) in spaces.iter_mut().zip(&self.vectors) {
                let dims = rows.dims();
                let row = values.get(request * dims..(request + 1) * dims);
                rows.push(row.ok_or(TrainedError::Damaged("a vector is missing"))?);
            }
        }
        let mut classes = self.classes.clone();
        if let Some(classes) = &mut classes {
            if !classes.is_sound(index.spaces.iter().map(|s| s.encoder.dims()).sum()) {
                return Err(TrainedError::Damaged("its classifier is of another size"));
            }
            for entry in &mut classes.entries {
                if *entry != NOTHING {
                    *entry = place(entry).unwrap_or(GONE);
                }
            }
        }
        let wrong: Vec<Vec<u32>> = (self.wrong.iter())
            .map(|ids| ids.iter().filter_map(place).collect())
            .collect();
        Ok(Knowledge {
            habits: Habits::new(index, gold.iter(), wrong.iter()),
            memory: Memory::new(index.entries.len(), gold, spaces),
            classes,
            several: self.about.several,
        })
    }
}
