//! Which groups and tags requests go to, against how many entries they have.

use serde::{Deserialize, Serialize};

use super::index::SkillIndex;

/// Requests that are taken for granted of every group, in proportion to its entries.
const PRIOR: f32 = 4.0;

/// Logarithms of how much more often than its share of the entries a group or tag is asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Habits {
    groups: Vec<f32>,
    tags: Vec<f32>,
}

// === impl Habits ===

impl Habits {
    pub(crate) fn new(index: &SkillIndex, gold: &[Vec<u32>]) -> Self {
        let asked: Vec<u32> = gold.iter().flatten().copied().collect();
        Self {
            groups: lifts(&index.groups, &asked),
            tags: lifts(&index.tags, &asked),
        }
    }

    pub(crate) fn group(&self, group: u32) -> f32 {
        self.groups.get(group as usize).copied().unwrap_or(0.0)
    }

    pub(crate) fn tag(&self, tag: u32) -> f32 {
        self.tags.get(tag as usize).copied().unwrap_or(0.0)
    }
}

fn lifts(keys: &[u32], asked: &[u32]) -> Vec<f32> {
    let many = keys.iter().max().map_or(0, |k| *k as usize + 1);
    let (mut entries, mut requests) = (vec![0.0_f32; many], vec![0.0_f32; many]);
    for key in keys {
        entries[*key as usize] += 1.0;
    }
    for entry in asked {
        requests[keys[*entry as usize] as usize] += 1.0;
    }
    let lift = |(entries, requests): (&f32, &f32)| {
        let share = entries / keys.len() as f32;
        let expected = share * (asked.len() as f32 + PRIOR);
        if expected > 0.0 {
            ((requests + share * PRIOR) / expected).ln()
        } else {
            0.0
        }
    };
    entries.iter().zip(&requests).map(lift).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Two groups of two entries; all four requests go to the second: (0 + 2) / 4 and (4 + 2) / 4.
        let lifts = lifts(&[0, 0, 1, 1], &[2, 3, 3, 2]);
        assert!((lifts[0] - 0.5_f32.ln()).abs() < 1e-6);
        assert!((lifts[1] - 1.5_f32.ln()).abs() < 1e-6);
    }
}
