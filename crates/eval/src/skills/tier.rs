//! Harder catalogues, made from given ones.

use fingerpost_agents::Entry;
use rustc_hash::FxHashSet;

use super::{Folder, folder::first_words, ranking::copy_of};

/// What is taken away from entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cut {
    /// Words of a description that stay.
    pub description: Option<usize>,
    /// Whether names go.
    pub name: bool,
    /// Whether bodies go.
    pub body: bool,
}

// === impl Cut ===

impl Cut {
    /// Takes it away.
    pub fn apply(self, entries: &mut [Entry]) {
        for entry in entries {
            if let Some(words) = self.description {
                entry.description = first_words(&entry.description, words);
            }
            if self.name {
                entry.name.clear();
            }
            if self.body {
                entry.body.clear();
            }
        }
    }
}

/// Adds a degraded copy of every right entry: half of its body's lines are gone, and so is the second half of its description (but
/// for its first sentence). Gives the copies' ids.
pub fn hard_tier(folder: &mut Folder) -> FxHashSet<fingerpost_core::Name> {
    let all = folder.requests.iter().chain(folder.test.iter().flatten());
    let gold: FxHashSet<_> = all.flat_map(|r| r.steps.iter().flatten().cloned()).collect();
    let degraded: Vec<Entry> = (folder.entries.iter().filter(|e| gold.contains(&e.id)))
        .map(degrade)
        .collect();
    let ids = degraded.iter().map(|e| e.id.clone()).collect();
    folder.entries.extend(degraded);
    ids
}

fn degrade(entry: &Entry) -> Entry {
    let half = |text: &str| {
        let lines = text.lines().filter(|l| !l.trim().is_empty()).enumerate();
        lines
            .filter(|(line, _)| line % 2 == 0)
            .map(|(_, l)| l)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let words = entry.description.split_whitespace().count();
    Entry {
        id: copy_of(&entry.id),
        description: first_words(&entry.description, words.div_ceil(2)),
        body: half(&entry.body),
        ..entry.clone()
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_agents::Kind;

    use super::*;

    #[test]
    fn a_degraded_copy_has_half_of_it() {
        let entry = Entry {
            description: "one two three four five".to_owned(),
            body: "1\n\n2\n3".to_owned(),
            ..Entry::named("a", Kind::Skill)
        };
        let copy = degrade(&entry);
        assert_eq!(
            (copy.id.as_str(), copy.description.as_str(), copy.body.as_str()),
            ("a#degraded", "one two three", "1\n3")
        );
    }

    #[test]
    fn what_is_cut_is_gone() {
        let mut entries = [Entry {
            description: "one two three".to_owned(),
            ..Entry::named("a", Kind::Skill)
        }];
        let cut = Cut {
            description: Some(2),
            name: true,
            body: false,
        };
        cut.apply(&mut entries);
        assert_eq!(
            (entries[0].description.as_str(), entries[0].name.as_str()),
            ("one two", "")
        );
    }
}
