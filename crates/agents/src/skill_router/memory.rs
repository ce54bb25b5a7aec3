//! Requests that were answered before, and what they say about a new one.
//!
//! Each is kept by its vectors with the entries that were right for it; one that none was right for is kept too. A new request
//! asks its nearest ones (a soft vote over the nearest [`VOTERS`]), each entry its own ones.

use super::vectors::{Rows, best};

/// Neighbours that have a say.
const VOTERS: usize = 24;
/// How fast a neighbour's say falls with its cosine.
const SOFTNESS: f32 = 0.07;

/// Requests with the places of the entries that were right for them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    /// By request; empty where nothing fitted.
    pub(crate) gold: Vec<Vec<u32>>,
    /// By space.
    pub(crate) spaces: Vec<Rows>,
    /// The requests of each entry.
    of_entry: Vec<Vec<u32>>,
}

/// What the memory says of a request, in one space.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recalled {
    /// Cosine with every request.
    cosines: Vec<f32>,
    /// Shares of the vote by entry, for those that have any, by place.
    votes: Vec<(u32, f32)>,
    /// The share of requests for which nothing fitted.
    pub(crate) nothing: f32,
    /// Cosine of the nearest request that something fitted.
    pub(crate) nearest: f32,
    /// Cosine of the nearest request that nothing fitted.
    pub(crate) nearest_nothing: f32,
}

// === impl Memory ===

impl Memory {
    /// Remembers requests: right entries and one row a space for each.
    pub(crate) fn new(entries: usize, gold: Vec<Vec<u32>>, spaces: Vec<Rows>) -> Self {
        let mut of_entry = vec![Vec::new(); entries];
        for (request, gold) in gold.iter().enumerate() {
            for &entry in gold {
                of_entry[entry as usize].push(request as u32);
            }
        }
        Self {
            gold,
            spaces,
            of_entry,
        }
    }

    /// What is remembered near a vector of a space.
    pub(crate) fn recall(&self, space: usize, vector: &[f32]) -> Recalled {
        let Some(rows) = self.spaces.get(space) else {
            return Recalled::default();
        };
        let cosines: Vec<f32> = rows.near(vector).collect();
        let voters = best(&cosines, VOTERS, 0.0);
        let highest = voters.first().map_or(0.0, |&v| cosines[v as usize]);
        let mut recalled = Recalled::default();
        let mut total = 0.0;
        for &voter in &voters {
            let gold = &self.gold[voter as usize];
            let say = ((cosines[voter as usize] - highest) / SOFTNESS).exp();
            total += say;
            if gold.is_empty() {
                recalled.nothing += say;
            }
            for &entry in gold {
                match recalled.votes.iter_mut().find(|v| v.0 == entry) {
                    Some(vote) => vote.1 += say / gold.len() as f32,
                    None => recalled.votes.push((entry, say / gold.len() as f32)),
                }
            }
        }
        for vote in &mut recalled.votes {
            vote.1 /= total;
        }
        recalled
            .votes
            .sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        recalled.nothing /= if total > 0.0 { total } else { 1.0 };
        for (cosine, gold) in cosines.iter().zip(&self.gold) {
            let nearest = if gold.is_empty() {
                &mut recalled.nearest_nothing
            } else {
                &mut recalled.nearest
            };
            *nearest = nearest.max(*cosine);
        }
        recalled.cosines = cosines;
        recalled
    }

    /// The cosine of an entry's nearest request and the mean of its nearest three; 0 where it has none.
    pub(crate) fn own(&self, recalled: &Recalled, entry: u32) -> (f32, f32) {
        let mut top = [0.0_f32; 3];
        let own = self.of_entry.get(entry as usize).map_or(&[][..], Vec::as_slice);
        for &request in own {
            let cosine = recalled.cosines.get(request as usize).copied().unwrap_or(0.0);
            if let Some(place) = top.iter().position(|t| cosine > *t) {
                top[place..].rotate_right(1);
                top[place] = cosine;
            }
        }
        (top[0], top.iter().sum::<f32>() / own.len().clamp(1, 3) as f32)
    }
}

// === impl Recalled ===

impl Recalled {
    /// Entries by share of the vote, highest first.
    pub(crate) fn votes(&self) -> &[(u32, f32)] {
        &self.votes
    }

    /// An entry's share of the vote.
    pub(crate) fn vote(&self, entry: u32) -> f32 {
        self.votes.iter().find(|v| v.0 == entry).map_or(0.0, |v| v.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_requests_vote_for_their_entries() {
        let mut rows = Rows::new(2);
        for row in [[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]] {
            rows.push(&row);
        }
        let memory = Memory::new(3, vec![vec![0], vec![0], vec![], vec![2]], vec![rows]);
        let recalled = memory.recall(0, &[1.0, 0.0]);
        assert_eq!(recalled.votes()[0].0, 0);
        // exp(-0.2 / 0.07) and exp(-0.4 / 0.07) beside 1; a right angle has no say.
        let says = [1.0, (-0.2_f32 / 0.07).exp(), (-0.4_f32 / 0.07).exp()];
        let total: f32 = says.iter().sum();
        assert!((recalled.vote(0) - (says[0] + says[1]) / total).abs() < 1e-5);
        assert!((recalled.nothing - says[2] / total).abs() < 1e-5);
        assert_eq!((recalled.nearest, recalled.nearest_nothing), (1.0, 0.6));
        assert_eq!(memory.own(&recalled, 0), (1.0, 0.9));
        assert_eq!(memory.own(&recalled, 1), (0.0, 0.0));
        assert_eq!(memory.recall(1, &[1.0]).votes(), []);
    }
}
