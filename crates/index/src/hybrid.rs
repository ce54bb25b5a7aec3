//! Several retrievers, one ranking.

use std::cmp::Ordering;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    found::Filter,
    retrieve::{Hit, Query, Retrieve},
};

/// How rankings become one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fusion {
    /// Reciprocal rank fusion (Cormack et al. 2009): the sum of weight / (k + rank), ranks from 1. Blind to scores, so it needs
    /// no scale. `k` is 60 in the paper.
    ReciprocalRank {
        /// How little the first ranks differ.
        k: f32,
    },
    /// The sum of weight * score, each retriever's scores brought to 0 (its last hit) to 1 (its first).
    Weighted,
}

/// Retrievers and their weights behind one trait.
pub struct Hybrid {
    parts: Vec<(Box<dyn Retrieve>, f32)>,
    fusion: Fusion,
    depth: usize,
}

// === impl Fusion ===

impl Default for Fusion {
    fn default() -> Self {
        Self::ReciprocalRank { k: 60.0 }
    }
}

impl Fusion {
    /// One ranking of several, each best first with its weight. At most `k`; ties go to the lower id.
    pub fn fuse(self, rankings: &[(Vec<Hit>, f32)], k: usize) -> Vec<Hit> {
        let mut scores: FxHashMap<u64, f32> = FxHashMap::default();
        for (hits, weight) in rankings {
            let best = hits.first().map_or(0.0, |h| h.score);
            let span = best - hits.last().map_or(0.0, |h| h.score);
            for (rank, hit) in hits.iter().enumerate() {
                let share = match self {
                    Self::ReciprocalRank { k } => 1.0 / (k + rank as f32 + 1.0),
                    // Where all score alike, all are first.
                    Self::Weighted if span > 0.0 => 1.0 - (best - hit.score) / span,
                    Self::Weighted => 1.0,
                };
                *scores.entry(hit.id).or_default() += weight * share;
            }
        }
        let mut hits: Vec<Hit> = scores.into_iter().map(|(id, score)| Hit { id, score }).collect();
        hits.sort_unstable_by(best_first);
        hits.truncate(k);
        hits
    }
}

/// Best first, ties by id.
pub(crate) fn best_first(a: &Hit, b: &Hit) -> Ordering {
    b.score.total_cmp(&a.score).then(a.id.cmp(&b.id))
}

// === impl Hybrid ===

impl Hybrid {
    /// Fuses what each part finds among its best `depth` (at least the `k` asked for).
    pub fn new(parts: Vec<(Box<dyn Retrieve>, f32)>, fusion: Fusion, depth: usize) -> Self {
        Self { parts, fusion, depth }
    }
}

/// A part whose side of the query is missing is left out; all missing is an error.
impl Retrieve for Hybrid {
    fn retrieve(&self, query: Query<'_>, k: usize, filter: Option<Filter<'_>>) -> Result<Vec<Hit>, Error> {
        let mut rankings = Vec::with_capacity(self.parts.len());
        let mut missing = None;
        for (part, weight) in &self.parts {
            match part.retrieve(query, k.max(self.depth), filter) {
                Ok(hits) => rankings.push((hits, *weight)),
                Err(e @ Error::Query(_)) => missing = Some(e),
                Err(e) => return Err(e),
            }
        }
        match missing {
            Some(e) if rankings.is_empty() => Err(e),
            _ => Ok(self.fusion.fuse(&rankings, k)),
        }
    }

    fn items(&self) -> usize {
        self.parts.iter().map(|(part, _)| part.items()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(scores: &[(u64, f32)]) -> Vec<Hit> {
        scores.iter().map(|&(id, score)| Hit { id, score }).collect()
    }

    #[test]
    fn by_hand() {
        let rankings = [
            (hits(&[(1, 9.0), (2, 5.0), (3, 1.0)]), 1.0),
            (hits(&[(2, 0.9), (4, 0.1)]), 2.0),
        ];
        let fused = Fusion::Weighted.fuse(&rankings, 9);
        // 2: .5 + 2; 1: 1; 3 and 4: 0.
        assert_eq!(fused, hits(&[(2, 2.5), (1, 1.0), (3, 0.0), (4, 0.0)]));
        let fused = Fusion::ReciprocalRank { k: 1.0 }.fuse(&rankings, 2);
        // 2: 1/3 + 2/2; 4: 2/3; 1: 1/2; 3: 1/4.
        assert_eq!(fused, hits(&[(2, 1.0 + 1.0 / 3.0), (4, 2.0 / 3.0)]));
        assert!(Fusion::default().fuse(&[], 3).is_empty());
    }
}
