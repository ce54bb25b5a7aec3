//! Many phrases sought in one pass over the text, each as whole words.

use aho_corasick::{AhoCorasick, BuildError};

use crate::{facts::Facts, text::stands_alone};

/// Phrases and what they stand for. Case is ignored within ASCII on the text itself; a phrase with other letters is sought
/// in the lower-cased text, which is made only when there is such a phrase.
#[derive(Default)]
pub(crate) struct PhraseSet {
    exact: Automaton,
    ascii: Automaton,
    folded: Automaton,
}

#[derive(Default)]
struct Automaton {
    engine: Option<AhoCorasick>,
    /// What each pattern stands for.
    meaning: Vec<u32>,
}

/// Collects phrases for a [`PhraseSet`].
#[derive(Default)]
pub(crate) struct PhraseSetBuilder {
    exact: Vec<(String, u32)>,
    ascii: Vec<(String, u32)>,
    folded: Vec<(String, u32)>,
}

// === impl PhraseSetBuilder ===

impl PhraseSetBuilder {
    /// Adds a phrase that stands for `meaning`; several may stand for one. An empty phrase is found nowhere.
    pub(crate) fn add(&mut self, phrase: &str, case_sensitive: bool, meaning: u32) {
        if phrase.is_empty() {
        } else if case_sensitive {
            self.exact.push((phrase.to_owned(), meaning));
        } else if phrase.is_ascii() {
            self.ascii.push((phrase.to_owned(), meaning));
        } else {
            self.folded.push((phrase.to_lowercase(), meaning));
        }
    }

    pub(crate) fn build(self) -> Result<PhraseSet, BuildError> {
        Ok(PhraseSet {
            exact: Automaton::new(self.exact, false)?,
            ascii: Automaton::new(self.ascii, true)?,
            folded: Automaton::new(self.folded, false)?,
        })
    }
}

// === impl Automaton ===

impl Automaton {
    fn new(phrases: Vec<(String, u32)>, ignore_case: bool) -> Result<Self, BuildError> {
        let (patterns, meaning): (Vec<String>, Vec<u32>) = phrases.into_iter().unzip();
        let engine = if patterns.is_empty() {
            None
        } else {
            Some(
                AhoCorasick::builder()
                    .ascii_case_insensitive(ignore_case)
                    .build(patterns)?,
            )
        };
        Ok(Self { engine, meaning })
    }

    fn scan(&self, text: &str, found: &mut impl FnMut(u32, usize, usize)) {
        let Some(engine) = &self.engine else { return };
        for hit in engine.find_overlapping_iter(text) {
            if stands_alone(text, hit.start(), hit.end()) {
                found(self.meaning[hit.pattern().as_usize()], hit.start(), hit.end());
            }
        }
    }
}

// === impl PhraseSet ===

impl PhraseSet {
    /// Calls `found(meaning, start, end)` for every place where a phrase stands as whole words. Places of phrases with
    /// letters beyond ASCII are places in the lower-cased text. Linear in the text and the number of places.
    pub(crate) fn scan(&self, facts: &Facts<'_>, mut found: impl FnMut(u32, usize, usize)) {
        self.exact.scan(facts.text(), &mut found);
        self.ascii.scan(facts.text(), &mut found);
        if self.folded.engine.is_some() {
            self.folded.scan(facts.folded(), &mut found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fingerpost_core::Query;

    fn found(phrases: &[(&str, bool)], text: &str) -> Vec<(u32, usize)> {
        let mut builder = PhraseSetBuilder::default();
        for (i, (phrase, sensitive)) in phrases.iter().enumerate() {
            builder.add(phrase, *sensitive, i as u32);
        }
        let set = builder.build().unwrap();
        let query = Query::text(text);
        let mut places = Vec::new();
        set.scan(&Facts::new(&query, None, None), |id, start, _| {
            places.push((id, start));
        });
        places.sort_unstable();
        places
    }

    #[test]
    fn whole_words_in_any_case_unless_told() {
        assert_eq!(
            found(&[("asap", false), ("ASAP", true)], "Asap, ASAP! asaps"),
            [(0, 0), (0, 6), (1, 6)]
        );
        assert_eq!(found(&[("right now", false)], "bright now; Right Now"), [(0, 12)]);
        assert_eq!(found(&[("c++", false)], "In C++, not C"), [(0, 3)]);
        assert_eq!(found(&[("", false)], "x"), []);
    }

    #[test]
    fn letters_beyond_ascii() {
        assert_eq!(found(&[("über", false)], "Über den ÜBER"), [(0, 0), (0, 10)]);
        assert_eq!(found(&[("紧急", false)], "这是紧急情况"), [(0, 6)]);
        assert_eq!(found(&[("über", false)], "kürzüber"), []);
    }

    #[test]
    fn overlapping_phrases_are_all_found() {
        assert_eq!(
            found(&[("new york", false), ("york city", false)], "New York City"),
            [(0, 0), (1, 4)]
        );
    }
}
