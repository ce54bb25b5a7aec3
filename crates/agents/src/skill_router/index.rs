//! The entries, made ready to be searched and judged.

use std::sync::Arc;

use fingerpost_encode::{Encoder, Vector, dot, normalize};
use rustc_hash::FxHashMap;

use super::{
    arguments::{Arguments, numbers},
    clauses::clauses,
    family::families,
    lexical::{Lexical, Words},
    vectors::Rows,
    words::{Stem, spoken},
};
use crate::Entry;

/// Letters of a description and of a body that are encoded.
const DESCRIPTION: usize = 600;
const BODY: usize = 2_000;
/// Entries that are encoded together.
const BATCH: usize = 256;

/// Entries by words and by vectors, in memory.
///
/// The first encoder also compares single words, so it should be a quick one. Building costs two encodings an entry and encoder
/// and one a distinct word.
pub struct SkillIndex {
    pub(crate) entries: Vec<Entry>,
    pub(crate) lexical: Lexical,
    pub(crate) spaces: Vec<Space>,
    /// A vector for each term of the lexicon, by the first encoder.
    pub(crate) terms: Rows,
    pub(crate) arguments: Vec<Arguments>,
    /// Whom each entry belongs to; entries without a group are of group 0.
    pub(crate) groups: Vec<u32>,
    /// Its first tag; 0 where it has none.
    pub(crate) tags: Vec<u32>,
    /// Entries of each group.
    pub(crate) members: Vec<Vec<u32>>,
    /// The first entry of each entry's family of near copies.
    pub(crate) families: Vec<u32>,
    /// Entries of the same spoken name.
    /// By entry: the place of its name.
    pub(crate) names: Vec<u32>,
    /// By name: entries of it.
    pub(crate) namesakes: Vec<u32>,
}

/// What one encoder makes of the entries.
pub(crate) struct Space {
    pub(crate) encoder: Arc<dyn Encoder>,
    /// Name and description.
    pub(crate) heads: Rows,
    /// Zeros for an entry without one; empty where no entry has one.
    pub(crate) bodies: Rows,
}

/// A request made ready.
pub(crate) struct Asked {
    pub(crate) words: Words,
    /// By space.
    pub(crate) vectors: Vec<Vector>,
    /// A vector for each of the words, by the first encoder.
    pub(crate) soft: Rows,
    pub(crate) numbers: usize,
    /// The parts of a request for several things, each with its words and its vector by space.
    pub(crate) clauses: Vec<(Words, Vec<Vector>)>,
}

// === impl SkillIndex ===

impl SkillIndex {
    /// Indexes entries with one or more encoders, the quickest first.
    pub fn new(entries: Vec<Entry>, encoders: &[Arc<dyn Encoder>]) -> Self {
        let lexical = Lexical::new(&entries, Stem::Light);
        let spaces: Vec<Space> = encoders.iter().map(|e| Space::new(e, &entries)).collect();
        let mut terms = Rows::default();
        if let Some(first) = encoders.first() {
            terms = Rows::new(first.dims());
            for term in lexical.vocabulary() {
                terms.push(&first.encode(term));
            }
        }
        let of = |key: fn(&Entry) -> Option<&str>| {
            let mut places: FxHashMap<&str, u32> = FxHashMap::default();
            let mut next = |entry| {
                key(entry).map_or(0, |key| {
                    let fresh = places.len() as u32 + 1;
                    *places.entry(key).or_insert(fresh)
                })
            };
            entries.iter().map(&mut next).collect::<Vec<u32>>()
        };
        let groups = of(|e| e.group.as_deref());
        let tags = of(|e| e.tags.first().map(String::as_str));
        let mut members = vec![Vec::new(); groups.iter().max().map_or(1, |g| *g as usize + 1)];
        for (entry, &group) in groups.iter().enumerate() {
            members[group as usize].push(entry as u32);
        }
        let names: Vec<String> = entries.iter().map(|e| spoken(&e.name)).collect();
        let mut places: FxHashMap<&str, u32> = FxHashMap::default();
        let (mut name_places, mut namesakes) = (Vec::with_capacity(names.len()), Vec::new());
        for name in &names {
            let fresh = places.len() as u32;
            let place = *places.entry(name).or_insert(fresh);
            if place == fresh {
                namesakes.push(0);
            }
            namesakes[place as usize] += 1;
            name_places.push(place);
        }
        let families = families(&names, &lexical);
        Self {
            arguments: entries.iter().map(|e| Arguments::of(&e.body)).collect(),
            lexical,
            spaces,
            terms,
            groups,
            tags,
            members,
            families,
            names: name_places,
            namesakes,
            entries,
        }
    }

    /// The entries, in their order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The first entry of the family of near copies that an entry is in: same words for the most part (more than 0.6 of their
    /// neighbouring pairs, Jaccard).
    pub fn family(&self, entry: usize) -> Option<usize> {
        self.families.get(entry).map(|&f| f as usize)
    }

    /// The weights behind the vectors, as `name@fingerprint`.
    pub fn encoders(&self) -> Vec<String> {
        self.spaces
            .iter()
            .map(|s| s.encoder.model().to_string())
            .collect()
    }

    /// Bytes held by vectors and words, roughly; the texts of the entries come on top.
    pub fn bytes(&self) -> usize {
        let spaces: usize = self
            .spaces
            .iter()
            .map(|s| s.heads.bytes() + s.bodies.bytes())
            .sum();
        let texts = self
            .entries
            .iter()
            .map(|e| e.name.len() + e.description.len() + e.body.len());
        spaces + self.terms.bytes() + self.lexical.bytes() + texts.sum::<usize>()
    }

    /// Makes a request ready; `several` takes it apart as well.
    pub(crate) fn ask(&self, text: &str, several: bool) -> Asked {
        let words = self.lexical.words(text);
        let encode = |text: &str| -> Vec<Vector> {
            self.spaces
                .iter()
                .map(|space| space.encoder.encode(text))
                .collect()
        };
        let mut soft = Rows::default();
        if let Some(first) = self.spaces.first() {
            soft = Rows::new(first.encoder.dims());
            for word in &words.terms {
                match word.term {
                    Some(term) => soft.push(self.terms.row(term as usize)),
                    None => soft.push(&first.encoder.encode(&word.text)),
                }
            }
        }
        let parts = if several { clauses(text) } else { Vec::new() };
        let parts = parts.iter().map(|c| (self.lexical.words(c), encode(c)));
        Asked {
            vectors: encode(text),
            clauses: parts.collect(),
            numbers: numbers(text),
            soft,
            words,
        }
    }
}

// === impl Space ===

impl Space {
    fn new(encoder: &Arc<dyn Encoder>, entries: &[Entry]) -> Self {
        let dims = encoder.dims();
        let (mut heads, mut bodies) = (Rows::new(dims), Rows::new(dims));
        let has_bodies = entries.iter().any(|e| !e.body.is_empty());
        for some in entries.chunks(BATCH) {
            let head = |entry: &Entry| {
                let name = spoken(&entry.name);
                format!("{name}. {}", cut(&entry.description, DESCRIPTION))
            };
            let texts: Vec<String> = some.iter().map(head).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            for vector in encoder.encode_batch(&texts) {
                heads.push(&vector);
            }
            if has_bodies {
                let texts: Vec<&str> = some.iter().map(|e| cut(&e.body, BODY)).collect();
                for vector in encoder.encode_batch(&texts) {
                    bodies.push(&vector);
                }
            }
        }
        Self {
            encoder: encoder.clone(),
            heads,
            bodies,
        }
    }

    /// Cosine of a vector with an entry's name and description.
    pub(crate) fn head(&self, entry: u32, vector: &[f32]) -> f32 {
        dot(self.heads.row(entry as usize), vector)
    }

    /// Cosine with its body; 0 where it has none.
    pub(crate) fn body(&self, entry: u32, vector: &[f32]) -> f32 {
        if self.bodies.len() == 0 {
            return 0.0;
        }
        dot(self.bodies.row(entry as usize), vector)
    }
}

/// At most so many bytes of a text, whole letters.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// The direction of several vectors one after the other.
pub(crate) fn joined(vectors: &[Vector]) -> Vec<f32> {
    let mut joined: Vec<f32> = vectors.iter().flat_map(|v| v.iter().copied()).collect();
    normalize(&mut joined);
    joined
}
