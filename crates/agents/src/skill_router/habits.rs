//! What requests go to by habit: groups and tags against how many entries they have, and single entries, some of which stand where
//! near copies of them are never the right ones.

use super::index::SkillIndex;

/// Requests that are taken for granted of every group, in proportion to its entries.
const PRIOR: f32 = 4.0;

/// Logarithms of how much more often than its share of the entries a group or tag is asked for, and counts of entries.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Habits {
    groups: Vec<f32>,
    tags: Vec<f32>,
    entries: Vec<Habit>,
    /// By name: requests that any entry of the name was right for.
    names: Vec<u32>,
}

/// What became of an entry in requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Habit {
    /// Requests it was right for.
    pub(crate) right: u32,
    /// Requests it was offered for and not right.
    pub(crate) wrong: u32,
}

// === impl Habits ===

impl Habits {
    /// Counts the right entries of requests, and those that were offered and wrong.
    pub(crate) fn new<'a>(
        index: &SkillIndex,
        right: impl Iterator<Item = &'a Vec<u32>>,
        wrong: impl Iterator<Item = &'a Vec<u32>>,
    ) -> Self {
        let asked: Vec<u32> = right.flatten().copied().collect();
        let mut entries = vec![Habit::default(); index.entries.len()];
        let mut names = vec![0; index.namesakes.len()];
        for &entry in &asked {
            entries[entry as usize].right += 1;
            names[index.names[entry as usize] as usize] += 1;
        }
        for &entry in wrong.flatten() {
            entries[entry as usize].wrong += 1;
        }
        Self {
            groups: lifts(&index.groups, &asked),
            tags: lifts(&index.tags, &asked),
            entries,
            names,
        }
    }

    /// What became of an entry; nothing for one that is not known.
    pub(crate) fn entry(&self, entry: u32) -> Habit {
        self.entries.get(entry as usize).copied().unwrap_or_default()
    }

    /// Requests that any entry of a name was right for.
    pub(crate) fn name(&self, name: u32) -> u32 {
        self.names.get(name as usize).copied().unwrap_or(0)
    }

    /// The entries that were right most often, at most so many.
    pub(crate) fn most_asked(&self, most: usize) -> Vec<u32> {
        let mut asked: Vec<u32> = (0..self.entries.len() as u32)
            .filter(|e| self.entry(*e).right > 1)
            .collect();
        asked.sort_by_key(|e| std::cmp::Reverse(self.entry(*e).right));
        asked.truncate(most);
        asked
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
    use crate::{Entry, Kind};

    #[test]
    fn entries_are_counted_and_so_are_their_namesakes() {
        let mut entries = ["get_weather", "get_weather", "sing"].map(|n| Entry::named(n, Kind::Tool));
        entries[1].id = "other".into();
        let index = SkillIndex::new(entries.to_vec(), &[]);
        let (right, wrong) = ([vec![0], vec![0, 2], vec![1]], [vec![1], vec![1, 2]]);
        let habits = Habits::new(&index, right.iter(), wrong.iter());
        assert_eq!(habits.entry(0), Habit { right: 2, wrong: 0 });
        assert_eq!(habits.entry(1), Habit { right: 1, wrong: 2 });
        assert_eq!(habits.entry(9), Habit::default());
        assert_eq!(habits.name(index.names[1]), 3);
        assert_eq!(habits.most_asked(5), [0]);
    }

    #[test]
    fn by_hand() {
        // Two groups of two entries; all four requests go to the second: (0 + 2) / 4 and (4 + 2) / 4.
        let lifts = lifts(&[0, 0, 1, 1], &[2, 3, 3, 2]);
        assert!((lifts[0] - 0.5_f32.ln()).abs() < 1e-6);
        assert!((lifts[1] - 1.5_f32.ln()).abs() < 1e-6);
    }
}
