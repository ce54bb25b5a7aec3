//! What a router reads off a conversation: its turns, as clauses and as words.

use std::collections::{BTreeMap, BTreeSet};

use super::Message;

/// A conversation as a router reads it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    /// What the system's messages say.
    pub(super) system: Text,
    /// Each turn: what users and tools said between two messages of the assistant. Never empty.
    pub(super) turns: Vec<Text>,
}

/// What is distinct in a text.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Text {
    /// Its clauses: what stands between two marks of punctuation, in lower case.
    pub(super) clauses: BTreeSet<String>,
    /// Its words: lower-case runs of letters, digits and underscores.
    pub(super) words: BTreeSet<String>,
}

/// Words that weigh, with their weights: half the logarithm of how rare they are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Vocabulary {
    words: BTreeMap<String, (u32, f64)>,
}

/// Texts that a word or a clause must stand in to be learned from.
pub(super) const COMMON: usize = 3;

/// Entries of a sparse vector: place and value.
pub(super) type Sparse = Vec<(u32, f64)>;

// === impl Reading ===

impl Reading {
    pub(super) fn of(messages: &[Message]) -> Self {
        let (mut system, mut turns) = (Text::default(), Vec::new());
        let mut turn = Text::default();
        for message in messages {
            match message.role.as_str() {
                "system" => system.read(&message.text()),
                "assistant" => {
                    if !turn.is_empty() {
                        turns.push(std::mem::take(&mut turn));
                    }
                }
                _ => turn.read(&message.text()),
            }
        }
        if !turn.is_empty() || turns.is_empty() {
            turns.push(turn);
        }
        Self { system, turns }
    }

    /// The last turn, on which the next call depends most.
    pub(super) fn last_turn(&self) -> Option<&Text> {
        self.turns.last()
    }
}

// === impl Text ===

impl Text {
    fn read(&mut self, text: &str) {
        let is_inside = |c: char| c.is_alphanumeric() || c == '_';
        for clause in text.split(['.', ',', ':', ';', '!', '?', '\n']) {
            let clause = clause.to_lowercase();
            let words = clause.split(|c| !is_inside(c)).filter(|word| !word.is_empty());
            self.words.extend(words.map(str::to_owned));
            let spaced: Vec<&str> = clause.split_whitespace().collect();
            if !spaced.is_empty() {
                self.clauses.insert(spaced.join(" "));
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.clauses.is_empty()
    }
}

// === impl Vocabulary ===

impl Vocabulary {
    /// The words that stand in [`COMMON`] of these texts at least.
    pub(super) fn learn<'a>(texts: impl Iterator<Item = &'a BTreeSet<String>>) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut total = 0;
        for text in texts {
            total += 1;
            for word in text {
                *counts.entry(word).or_default() += 1;
            }
        }
        let common = counts.into_iter().filter(|(_, count)| *count >= COMMON);
        let weigh = |count: usize| (total as f64 / count as f64).ln() / 2.0;
        let words = common
            .zip(0..)
            .map(|((word, count), place)| (word.to_owned(), (place, weigh(count))))
            .collect();
        Self { words }
    }

    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// The vector of a text; words that were not learned weigh nothing.
    pub(super) fn vector(&self, text: &BTreeSet<String>) -> Sparse {
        text.iter()
            .filter_map(|word| self.words.get(word).copied())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_turn_is_what_was_said_between_two_answers() {
        let messages = [
            Message::new("system", "Be brief."),
            Message::new("user", "Fix  it_now: 2 files!"),
            Message::new("assistant", "Run"),
            Message::new("tool", "ok, OK"),
            Message::new("tool", "fail"),
        ];
        let reading = Reading::of(&messages);
        assert_eq!(reading.system.words, set(&["be", "brief"]));
        assert_eq!(reading.system.clauses, set(&["be brief"]));
        assert_eq!(reading.turns.len(), 2);
        assert_eq!(reading.turns[0].words, set(&["fix", "it_now", "2", "files"]));
        assert_eq!(reading.turns[0].clauses, set(&["fix it_now", "2 files"]));
        assert_eq!(reading.turns[1].clauses, set(&["fail", "ok"]));
        assert_eq!(Reading::of(&messages[..1]).turns, [Text::default()]);
    }

    #[test]
    fn rare_words_are_left_out_and_words_of_every_text_weigh_nothing() {
        let texts = [
            set(&["a", "b"]),
            set(&["a", "b"]),
            set(&["a", "b"]),
            set(&["a", "c"]),
        ];
        let vocabulary = Vocabulary::learn(texts.iter());
        assert_eq!(vocabulary.len(), 2);
        let vector = vocabulary.vector(&set(&["a", "b", "c", "d"]));
        assert_eq!(vector, [(0, 0.0), (1, (4.0_f64 / 3.0).ln() / 2.0)]);
    }
}
