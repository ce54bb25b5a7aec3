//! Finds the right tool among many: the catalogue's index, by words in fields and by meaning.

use std::{collections::HashMap, sync::Arc};

use fingerpost_agents::{
    Entry,
    catalogue::{Error, Index},
};
use fingerpost_core::Name;
use fingerpost_encode::Encoder;

/// Ranks the tools that it was made of.
pub(crate) struct Finder {
    index: Index,
    /// The place of each tool among those it was made of.
    places: HashMap<Name, usize>,
}

// === impl Finder ===

impl Finder {
    /// Of two entries with one id the first counts.
    ///
    /// # Errors
    /// [`Error`] if a vector cannot be taken.
    pub(crate) fn new(entries: Vec<Entry>, encoder: Arc<dyn Encoder>) -> Result<Self, Error> {
        let mut places = HashMap::with_capacity(entries.len());
        for (place, entry) in entries.iter().enumerate() {
            places.entry(entry.id.clone()).or_insert(place);
        }
        let mut index = Index::new(encoder)?;
        index.sync(entries, &|_| true)?;
        Ok(Self { index, places })
    }

    /// The `k` best for a query among those that `admits` accepts, best first: the place of each, and a score that compares within
    /// one answer. Fewer where fewer have anything to do with it; an empty query finds nothing.
    pub(crate) fn find(&self, query: &str, k: usize, admits: &dyn Fn(usize) -> bool) -> Vec<(usize, f32)> {
        if query.trim().is_empty() {
            return Vec::new();
        }
        let others = self.places.values().filter(|place| !admits(**place)).count();
        let found = self.index.search(query, k + others);
        let placed = found
            .iter()
            .filter_map(|found| Some((*self.places.get(&found.entry.id)?, found.score)));
        placed.filter(|(place, _)| admits(*place)).take(k).collect()
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_agents::Kind;
    use fingerpost_encode::StaticEncoder;

    use super::*;

    fn finder(entries: Vec<Entry>) -> Finder {
        Finder::new(entries, Arc::new(StaticEncoder::bundled())).unwrap()
    }

    fn entry(id: &str, description: &str, body: &str) -> Entry {
        Entry {
            description: description.to_owned(),
            body: body.to_owned(),
            ..Entry::named(id, Kind::Tool)
        }
    }

    #[test]
    fn finds_by_word_by_meaning_and_by_argument() {
        let finder = finder(vec![
            entry("read_file", "Reads a file from disk", "path"),
            entry("send_email", "Sends a message to an address", "recipient subject"),
            entry("get_weather", "Temperature and rain for a city", "city unit"),
        ]);
        let best = |query: &str| finder.find(query, 3, &|_| true).first().map(|(i, _)| *i);
        assert_eq!(best("readFile"), Some(0));
        assert_eq!(best("recipient"), Some(1));
        assert_eq!(best("will it be sunny tomorrow in Paris"), Some(2));
        assert_eq!(best(" "), None);
        let others = finder.find("file", 1, &|i| i != 0);
        assert!(others.len() == 1 && others[0].0 != 0, "{others:?}");
    }

    #[test]
    fn nothing_to_search_finds_nothing() {
        assert!(finder(Vec::new()).find("a", 5, &|_| true).is_empty());
    }
}
