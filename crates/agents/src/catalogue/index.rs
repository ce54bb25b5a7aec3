//! The index of a catalogue: every entry by its words and by its meaning, changed one entry at a time, kept in a folder.
//!
//! Words stand in a fielded index (BM25F over [`Field`]s), one vector an entry in an index of vectors that becomes a graph as it
//! grows. Only what changed is read for words again, and encoded again only if name, description or the start of a body did.

mod disk;
mod error;
mod field;
mod search;

use std::{collections::HashMap, sync::Arc};

use fingerpost_core::Name;
use fingerpost_encode::{Encoder, ModelId};
use fingerpost_index::{Adaptive, DEFAULT_THRESHOLD, Fielded, Metric, Options};

pub use self::{
    disk::Opened,
    error::Error,
    field::Field,
    search::{Candidates, Found, Search, Stage},
};
use crate::entry::Entry;

/// Texts that are encoded between two looks at whether to go on.
const CHUNK: usize = 64;

/// A searchable catalogue.
///
/// ```
/// use std::sync::Arc;
/// use fingerpost_agents::{Entry, Kind, catalogue::Index};
/// use fingerpost_encode::StaticEncoder;
///
/// let tool = |id: &str, description: &str| Entry {
///     description: description.to_owned(),
///     ..Entry::named(id, Kind::Tool)
/// };
/// let mut index = Index::new(Arc::new(StaticEncoder::bundled()))?;
/// index.insert(tool("weather", "The weather forecast of a city"))?;
/// index.insert(tool("transfer", "Send money to another account"))?;
/// let found = index.search("will it rain in Oslo tomorrow?", 1);
/// assert_eq!(found[0].entry.id, "weather");
/// // What a reranker builds on: each stage's own ranking, each field's own score, vectors.
/// assert!(found[0].dense.is_some());
/// assert!(index.by_field("weather in Oslo", "weather").unwrap()[0] > 0.0);
/// assert_eq!(index.vector("weather").unwrap().len(), index.dimension());
/// # Ok::<(), fingerpost_agents::catalogue::Error>(())
/// ```
pub struct Index {
    encoder: Arc<dyn Encoder>,
    /// By slot; the numbers that the two indexes know entries by.
    entries: Vec<Option<Entry>>,
    slots: HashMap<Name, u32>,
    free: Vec<u32>,
    words: Fielded,
    vectors: Adaptive,
    /// Of what is saved in the folder.
    generation: u64,
}

/// What a change did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Changes {
    /// Entries that are new.
    pub added: usize,
    /// Entries that differ from those that had their ids.
    pub updated: usize,
    /// Entries that went.
    pub removed: usize,
    /// Entries that stayed.
    pub same: usize,
    /// Texts that were encoded.
    pub encoded: usize,
    /// Whether it was stopped before its end; what is done stays done.
    pub is_stopped: bool,
}

/// How far a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many of so many changed entries are read and encoded.
    Encoding(usize, usize),
    /// So many of so many vectors are linked.
    Linking(usize, usize),
}

// === impl Index ===

impl Index {
    /// An empty index for an encoder.
    ///
    /// # Errors
    /// [`Error::Index`] if the encoder's vectors are too long for any index.
    pub fn new(encoder: Arc<dyn Encoder>) -> Result<Self, Error> {
        let vectors = Adaptive::new(encoder.dims(), Self::options(), DEFAULT_THRESHOLD)?;
        Ok(Self {
            encoder,
            entries: Vec::new(),
            slots: HashMap::new(),
            free: Vec::new(),
            words: Fielded::new(&Field::ALL.map(Field::counts), field::K1)?,
            vectors,
            generation: 0,
        })
    }

    fn options() -> Options {
        Options {
            metric: Metric::Cosine,
            ..Options::default()
        }
    }

    /// Makes the index hold exactly these entries: what is new goes in, what differs is replaced, what is missing goes, what
    /// is equal costs a comparison. Of two with one id the first counts. `progress` hears how far it is and stops it by
    /// returning false; what is done by then stays, and the next call goes on from there.
    ///
    /// # Errors
    /// [`Error::Index`] if a vector cannot be taken.
    pub fn sync(
        &mut self,
        entries: Vec<Entry>,
        progress: &(dyn Fn(Progress) -> bool + Sync),
    ) -> Result<Changes, Error> {
        let mut changes = Changes::default();
        let mut wanted = std::collections::HashSet::with_capacity(entries.len());
        let mut changed = Vec::new();
        for entry in entries {
            if !wanted.insert(entry.id.clone()) {
                continue;
            }
            match self.get(&entry.id) {
                Some(old) if *old == entry => changes.same += 1,
                _ => changed.push(entry),
            }
        }
        let gone: Vec<Name> = self
            .slots
            .keys()
            .filter(|id| !wanted.contains(*id))
            .cloned()
            .collect();
        for id in gone {
            changes.removed += usize::from(self.remove(&id)?);
        }
        self.put(changed, &mut changes, progress)?;
        Ok(changes)
    }

    /// Puts one entry in; the one that had its id goes.
    ///
    /// # Errors
    /// [`Error::Index`] if its vector cannot be taken.
    pub fn insert(&mut self, entry: Entry) -> Result<(), Error> {
        self.put(vec![entry], &mut Changes::default(), &|_| true)
    }

    /// Takes one out; false if it is not there.
    ///
    /// # Errors
    /// [`Error::Index`] if the index of vectors does not know it.
    pub fn remove(&mut self, id: &str) -> Result<bool, Error> {
        let Some(slot) = self.slots.remove(id) else {
            return Ok(false);
        };
        self.entries[slot as usize] = None;
        self.words.remove(slot);
        self.forget_vector(slot)?;
        self.free.push(slot);
        Ok(true)
    }

    fn put(
        &mut self,
        entries: Vec<Entry>,
        changes: &mut Changes,
        progress: &(dyn Fn(Progress) -> bool + Sync),
    ) -> Result<(), Error> {
        let total = entries.len();
        let (mut ids, mut values) = (Vec::new(), Vec::new());
        let mut entries = entries.into_iter();
        let mut done = 0;
        loop {
            let chunk: Vec<Entry> = entries.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                break;
            }
            let heads: Vec<Option<String>> = chunk.iter().map(|entry| self.new_head(entry)).collect();
            let texts: Vec<&str> = heads.iter().flatten().map(String::as_str).collect();
            let mut vectors = self.encoder.encode_batch(&texts).into_iter();
            changes.encoded += texts.len();
            done += chunk.len();
            for (entry, head) in chunk.into_iter().zip(&heads) {
                let slot = match self.slots.get(&entry.id) {
                    Some(slot) => {
                        changes.updated += 1;
                        *slot
                    }
                    None => {
                        changes.added += 1;
                        self.free_slot()
                    }
                };
                self.index_words(slot, &entry);
                self.slots.insert(entry.id.clone(), slot);
                self.entries[slot as usize] = Some(entry);
                if head.is_some() {
                    self.forget_vector(slot)?;
                    // A text without anything to encode has no direction, and is found by its words alone.
                    let vector = vectors.next().filter(|v| v.iter().all(|x| x.is_finite()));
                    if let Some(vector) = vector.filter(|v| v.iter().any(|x| *x != 0.0)) {
                        ids.push(u64::from(slot));
                        values.extend_from_slice(&vector);
                    }
                }
            }
            if !progress(Progress::Encoding(done, total)) && done < total {
                changes.is_stopped = true;
                break;
            }
        }
        let vectors = ids.len();
        // Linking goes on to its end: without it, what was encoded would be lost.
        let heard = |linked| {
            progress(Progress::Linking(linked, vectors));
            true
        };
        match ids.as_slice() {
            [] => {}
            [id] => self.vectors.insert(*id, &values)?,
            _ => self.vectors.extend(&ids, &values, &heard)?,
        }
        Ok(())
    }

    /// The text to encode for an entry, unless the one it replaces had the same.
    fn new_head(&self, entry: &Entry) -> Option<String> {
        let head = field::head(entry);
        let is_same = self.get(&entry.id).is_some_and(|old| field::head(old) == head);
        (!is_same).then_some(head)
    }

    fn free_slot(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() as u32 - 1
        })
    }

    fn index_words(&mut self, slot: u32, entry: &Entry) {
        let texts = Field::ALL.map(|field| field.texts(entry));
        let texts: Vec<&[&str]> = texts.iter().map(Vec::as_slice).collect();
        self.words.insert(slot, &texts);
    }

    fn forget_vector(&mut self, slot: u32) -> Result<(), Error> {
        match self.vectors.remove(u64::from(slot)) {
            Ok(()) | Err(fingerpost_index::Error::UnknownId(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// An entry by its id.
    pub fn get(&self, id: &str) -> Option<&Entry> {
        self.at(*self.slots.get(id)?)
    }

    fn at(&self, slot: u32) -> Option<&Entry> {
        self.entries.get(slot as usize)?.as_ref()
    }

    /// All entries, in no order that means anything.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().flatten()
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The vector of an entry's name, description and start of its body; of length one. None if it has nothing to encode.
    pub fn vector(&self, id: &str) -> Option<Vec<f32>> {
        self.vectors.vector(u64::from(*self.slots.get(id)?))
    }

    /// Components of a vector.
    pub fn dimension(&self) -> usize {
        self.encoder.dims()
    }

    /// The encoder of entries and queries.
    pub fn encoder(&self) -> &Arc<dyn Encoder> {
        &self.encoder
    }

    /// Which weights made the vectors.
    pub fn model(&self) -> &ModelId {
        self.encoder.model()
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let model = self.model().to_string();
        f.debug_struct("Index")
            .field("entries", &self.len())
            .field("model", &model)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
