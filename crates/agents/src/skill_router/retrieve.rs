//! The first stage: rankings by words, by vectors and by remembered requests become one list of candidates.

use rustc_hash::FxHashMap;

use super::{
    index::{Asked, SkillIndex},
    knowledge::{Knowledge, Said},
    lexical::FIELDED,
    vectors::best,
};

/// Reciprocal rank fusion's k (Cormack et al. 2009).
const FLAT: f32 = 60.0;
/// Groups of up to so many entries come along whole with their best ones, where a request needs several entries.
const SMALL_GROUP: usize = 24;
/// Entries that were right most often come along, where a request needs several: what writes the file, what tells the time.
const OFTEN: usize = 6;
/// Groups that come along.
const GROUPS: usize = 6;

/// Which rankings have a say in the first stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rankings {
    /// BM25F over the fields.
    pub words: bool,
    /// The spaces from this one on.
    pub spaces_from: usize,
    /// Remembered requests.
    pub memory: bool,
}

/// A candidate with its score by fusion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) entry: u32,
    pub(crate) fused: f32,
}

// === impl Rankings ===

impl Default for Rankings {
    fn default() -> Self {
        Self {
            words: true,
            spaces_from: 0,
            memory: true,
        }
    }
}

impl SkillIndex {
    /// At most `depth` candidates by reciprocal rank fusion, best first; ties go to the first entry.
    pub(crate) fn candidates(
        &self,
        asked: &Asked,
        knowledge: &Knowledge,
        said: &Said,
        rankings: Rankings,
        depth: usize,
    ) -> Vec<Candidate> {
        let mut fused: FxHashMap<u32, f32> = FxHashMap::default();
        let mut vote = |ranking: &mut dyn Iterator<Item = u32>, weight: f32| {
            for (rank, entry) in ranking.enumerate() {
                *fused.entry(entry).or_default() += weight / (FLAT + rank as f32 + 1.0);
            }
        };
        let parts = asked.clauses.iter().map(|(words, vectors)| (words, vectors, 0.5));
        let whole = [(&asked.words, &asked.vectors, 1.0)];
        let mut scores = vec![0.0; self.entries.len()];
        for (words, vectors, weight) in whole.into_iter().chain(parts) {
            if rankings.words {
                scores.fill(0.0);
                self.lexical.search(words, &FIELDED, &mut scores);
                vote(&mut best(&scores, depth, 0.0).into_iter(), weight);
            }
            for (space, vector) in self.spaces.iter().zip(vectors).skip(rankings.spaces_from) {
                scores.clear();
                scores.extend(space.heads.near(vector));
                vote(&mut best(&scores, depth, 0.0).into_iter(), weight);
            }
        }
        if rankings.memory && !knowledge.memory.gold.is_empty() {
            for recalled in said.recalled.iter().skip(rankings.spaces_from) {
                vote(&mut recalled.votes().iter().map(|v| v.0), 1.0);
            }
            for member in knowledge.likely_entries(said, depth / 2) {
                vote(&mut member.into_iter(), 2.0);
            }
        }
        let mut candidates: Vec<Candidate> = fused
            .into_iter()
            .map(|(entry, fused)| Candidate { entry, fused })
            .collect();
        candidates.sort_unstable_by(|a, b| b.fused.total_cmp(&a.fused).then(a.entry.cmp(&b.entry)));
        candidates.truncate(depth);
        if !asked.clauses.is_empty() {
            self.bring_siblings(&mut candidates);
        }
        if knowledge.several {
            bring(&mut candidates, knowledge.habits.most_asked(OFTEN));
        }
        candidates
    }

    /// The rest of the small groups that the best candidates are of.
    fn bring_siblings(&self, candidates: &mut Vec<Candidate>) {
        let mut groups: Vec<u32> = Vec::new();
        for candidate in candidates.iter() {
            let group = self.groups[candidate.entry as usize];
            let small = self.members[group as usize].len() <= SMALL_GROUP;
            if group > 0 && small && !groups.contains(&group) && groups.len() < GROUPS {
                groups.push(group);
            }
        }
        for group in groups {
            bring(candidates, self.members[group as usize].iter().copied());
        }
    }
}

/// Adds those that are not there yet.
fn bring(candidates: &mut Vec<Candidate>, entries: impl IntoIterator<Item = u32>) {
    for entry in entries {
        if candidates.iter().all(|c| c.entry != entry) {
            candidates.push(Candidate { entry, fused: 0.0 });
        }
    }
}
