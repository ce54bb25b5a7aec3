//! Finding entries: by words, by meaning, and by both.

use fingerpost_index::{Filter, Fusion, Hit};
use serde::Serialize;

use super::{Field, Index};
use crate::entry::{Entry, Kind};

/// Entries that each stage hands to the fusion, at least.
const DEPTH: usize = 50;

/// What is looked for.
#[derive(Clone, Copy)]
pub struct Search<'a> {
    /// The request in words.
    pub text: &'a str,
    /// Entries wanted.
    pub k: usize,
    /// Only these.
    pub kind: Option<Kind>,
    /// Entries a stage looks at; at least 50 and twice `k` are.
    pub depth: usize,
}

/// An entry's place in one stage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stage {
    /// From 1.
    pub rank: usize,
    /// BM25F (above 0) or the cosine.
    pub score: f32,
}

/// What one stage and the other found, best first.
#[derive(Debug, Clone)]
pub struct Candidates<'a> {
    /// By words; scores are BM25F. Entries that share no word with the request are not among them.
    pub lexical: Vec<(&'a Entry, f32)>,
    /// By meaning; scores are cosines. Empty if the request holds nothing to encode.
    pub dense: Vec<(&'a Entry, f32)>,
}

/// An entry found.
#[derive(Debug, Clone)]
pub struct Found<'a> {
    /// The entry.
    pub entry: &'a Entry,
    /// The sum over the stages of 1 / (60 + rank).
    pub score: f32,
    /// Its place by words, if it was among the first.
    pub lexical: Option<Stage>,
    /// Its place by meaning, if it was among the first.
    pub dense: Option<Stage>,
    /// How well each field fits by itself, in the order of [`Field::ALL`]; 0 where no word meets.
    pub by_field: [f32; Field::ALL.len()],
}

// === impl Search ===

impl<'a> Search<'a> {
    /// The `k` best entries of any kind.
    pub fn new(text: &'a str, k: usize) -> Self {
        Self {
            text,
            k,
            kind: None,
            depth: 0,
        }
    }

    fn depth(&self) -> usize {
        self.depth.max(DEPTH).max(self.k.saturating_mul(2))
    }
}

// === impl Found ===

impl Found<'_> {
    /// Fields that share a word with the request, best first.
    pub fn fields(&self) -> Vec<Field> {
        let mut fields: Vec<(Field, f32)> = Field::ALL
            .into_iter()
            .zip(self.by_field)
            .filter(|(_, s)| *s > 0.0)
            .collect();
        fields.sort_by(|a, b| b.1.total_cmp(&a.1));
        fields.into_iter().map(|(field, _)| field).collect()
    }
}

// === impl Index ===

impl Index {
    /// The `k` best entries for a request, best first: by words and by meaning, joined by reciprocal rank (k = 60). Equal
    /// scores go by age in the index.
    ///
    /// The text of entries is compared and nothing else: an entry has its own place by its own words, whatever it says of
    /// others.
    pub fn search(&self, text: &str, k: usize) -> Vec<Found<'_>> {
        self.find(&Search::new(text, k))
    }

    /// The same, where more is to be said.
    pub fn find(&self, search: &Search<'_>) -> Vec<Found<'_>> {
        let [lexical, dense] = self.stages(search);
        let place = |hits: &[Hit], id: u64| {
            let rank = hits.iter().position(|hit| hit.id == id)?;
            let score = hits[rank].score;
            Some(Stage {
                rank: rank + 1,
                score,
            })
        };
        let rankings = [(lexical, 1.0), (dense, 1.0)];
        let fused = Fusion::ReciprocalRank { k: 60.0 }.fuse(&rankings, search.k);
        let [(lexical, _), (dense, _)] = &rankings;
        let found = fused.into_iter().filter_map(|hit| {
            Some(Found {
                entry: self.at(hit.id as u32)?,
                score: hit.score,
                lexical: place(lexical, hit.id),
                dense: place(dense, hit.id),
                by_field: self.scores(search.text, hit.id as u32),
            })
        });
        found.collect()
    }

    /// What each stage finds by itself, for whoever ranks anew.
    pub fn candidates(&self, search: &Search<'_>) -> Candidates<'_> {
        let entries = |hits: Vec<Hit>| {
            let entry = |hit: Hit| Some((self.at(hit.id as u32)?, hit.score));
            hits.into_iter().filter_map(entry).collect()
        };
        let [lexical, dense] = self.stages(search);
        Candidates {
            lexical: entries(lexical),
            dense: entries(dense),
        }
    }

    /// How well each field of one entry fits a request, in the order of [`Field::ALL`]: BM25 of that field alone. None if
    /// there is no such entry.
    pub fn by_field(&self, text: &str, id: &str) -> Option<[f32; Field::ALL.len()]> {
        Some(self.scores(text, *self.slots.get(id)?))
    }

    /// The entries nearest to an entry by meaning, without itself, with their cosines.
    pub fn nearest(&self, id: &str, k: usize) -> Vec<(&Entry, f32)> {
        let near = || {
            let own = u64::from(*self.slots.get(id)?);
            let vector = self.vectors.vector(own)?;
            let found = self.vectors.search_with(&vector, k + 1, 4 * (k + 1), None).ok()?;
            let metric = self.vectors.options().metric;
            let others = found.neighbours.into_iter().filter(|n| n.id != own).take(k);
            let entry =
                |n: fingerpost_index::Neighbour| Some((self.at(n.id as u32)?, metric.similarity(n.distance)));
            Some(others.filter_map(entry).collect())
        };
        near().unwrap_or_default()
    }

    fn scores(&self, text: &str, slot: u32) -> [f32; Field::ALL.len()] {
        let mut scores = [0.0; Field::ALL.len()];
        for (score, found) in scores.iter_mut().zip(self.words.by_field(text, slot)) {
            *score = found;
        }
        scores
    }

    fn stages(&self, search: &Search<'_>) -> [Vec<Hit>; 2] {
        if search.k == 0 || self.is_empty() {
            return [Vec::new(), Vec::new()];
        }
        let of_kind = |id: u64| {
            self.at(id as u32)
                .is_some_and(|entry| Some(entry.kind) == search.kind)
        };
        let filter: Option<Filter<'_>> = search.kind.map(|_| &of_kind as Filter<'_>);
        let depth = search.depth();
        let lexical = self.words.search(search.text, depth, filter);
        // A request without a direction is no error: it has no neighbours.
        let vector = self.encoder.encode(search.text);
        let found = self
            .vectors
            .search_with(&vector, depth, depth.saturating_mul(2), filter);
        let metric = self.vectors.options().metric;
        let hit = |n: &fingerpost_index::Neighbour| Hit {
            id: n.id,
            score: metric.similarity(n.distance),
        };
        let dense = found
            .map(|found| found.neighbours.iter().map(hit).collect())
            .unwrap_or_default();
        [lexical, dense]
    }
}
