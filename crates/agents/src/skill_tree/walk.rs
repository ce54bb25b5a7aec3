//! Down the tree for a vector.

use serde::Serialize;

use super::{Child, SkillTree};

/// How many ways are followed at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Beam {
    /// Most groups that are followed a level, from 1.
    pub width: usize,
    /// A group is followed beside the best where its cosine is at most so much lower; 0 follows ties only.
    pub margin: f32,
}

/// What was looked at on one level.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stage {
    /// Children on the page.
    pub shown: usize,
    /// Cosine of the best.
    pub score: f32,
    /// By how much the best exceeds the second; infinite where it is alone.
    pub margin: f32,
    /// Those that were followed, best first: groups, and on the last page entries.
    pub kept: Vec<Child>,
}

/// A way down.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Walk {
    /// Entries that were compared, best first, with their cosines; ties by place in the catalogue.
    pub leaves: Vec<(u32, f32)>,
    /// The levels, top first.
    pub stages: Vec<Stage>,
    /// Cosines taken.
    pub compared: usize,
}

impl Default for Beam {
    fn default() -> Self {
        Self {
            width: 2,
            margin: 0.05,
        }
    }
}

// === impl SkillTree ===

impl SkillTree {
    /// Descends from the top for a query, a vector of [`dimension`](Self::dimension) values of length one. Cost: a page of groups
    /// (times their faces) a level and way, and the entries of the last page.
    pub fn walk(&self, query: &[f32], beam: Beam) -> Walk {
        let mut walk = Walk {
            leaves: Vec::new(),
            stages: Vec::new(),
            compared: 0,
        };
        let mut page: Vec<Child> = self.top().to_vec();
        while !page.is_empty() {
            let mut scored: Vec<(Child, f32)> = page
                .iter()
                .map(|&child| (child, self.likeness(query, child)))
                .collect();
            walk.compared += page.iter().map(|&child| self.faces(child)).sum::<usize>();
            // A stable sort: equal ones stay in the order of the page.
            scored.sort_by(|a, b| b.1.total_cmp(&a.1));
            let best = scored.first().map_or(f32::NEG_INFINITY, |s| s.1);
            let second = scored.get(1).map_or(f32::NEG_INFINITY, |s| s.1);
            let entries = scored.iter().filter_map(|&(child, score)| match child {
                Child::Entry(entry) => Some((entry, score)),
                Child::Group(_) => None,
            });
            walk.leaves.extend(entries);
            let near = |score: f32| best - score <= beam.margin;
            let kept: Vec<Child> = scored
                .iter()
                .enumerate()
                .take(beam.width.max(1))
                .filter(|(place, (_, score))| *place == 0 || near(*score))
                .map(|(_, (child, _))| *child)
                .collect();
            page = kept
                .iter()
                .flat_map(|child| self.under(*child))
                .copied()
                .collect();
            walk.stages.push(Stage {
                shown: scored.len(),
                score: best,
                margin: best - second,
                kept,
            });
        }
        walk.leaves
            .sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        walk
    }
}
