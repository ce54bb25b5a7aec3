//! Finds the right tool among many.

use std::sync::Arc;

use fingerpost_agents::Entry;
use fingerpost_encode::Encoder;
use fingerpost_index::{Exact, Fusion, Lexical, Metric, Query, Retrieve};

/// Ranks the entries that it was made of.
pub trait Finder: Send + Sync {
    /// The `k` best for a query among those that `admits` accepts, best first: the place of each in the entries, and a score that
    /// compares within one answer. Fewer where fewer have anything to do with it; an empty query finds nothing.
    fn find(&self, query: &str, k: usize, admits: &(dyn Fn(usize) -> bool + Sync)) -> Vec<(usize, f32)>;
}

/// Makes a [`Finder`] of entries: whenever a server's list of tools has changed.
pub type MakeFinder = Arc<dyn Fn(&[Entry]) -> Box<dyn Finder> + Send + Sync>;

/// How deep each of the two rankings is looked at.
const DEPTH: usize = 50;

/// Words (BM25) and meaning (the encoder's vectors), fused by rank.
struct Fused {
    encoder: Arc<dyn Encoder>,
    words: Lexical,
    meaning: Option<Exact>,
}

/// The finder by words and by meaning.
pub fn fused(encoder: Arc<dyn Encoder>) -> MakeFinder {
    Arc::new(move |entries| {
        let words = entries.iter().map(words_of).collect::<Vec<_>>();
        let words = Lexical::new(
            words
                .iter()
                .enumerate()
                .map(|(i, text)| (i as u64, text.as_str())),
        );
        let mut meaning = Exact::new(encoder.dims(), Metric::Cosine).ok();
        if let Some(meaning) = &mut meaning {
            let texts: Vec<String> = entries.iter().map(meaning_of).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            for (i, vector) in encoder.encode_batch(&texts).iter().enumerate() {
                // A text without a word that the encoder knows has no direction: it is found by its words alone.
                drop(meaning.insert(i as u64, vector));
            }
        }
        Box::new(Fused {
            encoder: Arc::clone(&encoder),
            words,
            meaning,
        })
    })
}

// === impl Fused ===

impl Finder for Fused {
    fn find(&self, query: &str, k: usize, admits: &(dyn Fn(usize) -> bool + Sync)) -> Vec<(usize, f32)> {
        let filter = |id: u64| admits(id as usize);
        let depth = k.max(DEPTH);
        let text = spaced(query);
        let vector = self.encoder.encode(query);
        let query = Query {
            text: Some(&text),
            vector: Some(&vector),
        };
        let by_words = self
            .words
            .retrieve(query, depth, Some(&filter))
            .unwrap_or_default();
        let by_meaning = self
            .meaning
            .as_ref()
            .map(|meaning| meaning.retrieve(query, depth, Some(&filter)));
        // A query without a known word has no direction either.
        let by_meaning = by_meaning.and_then(Result::ok).unwrap_or_default();
        let fused = Fusion::default().fuse(&[(by_words, 1.0), (by_meaning, 1.0)], k);
        fused
            .into_iter()
            .map(|hit| (hit.id as usize, hit.score))
            .collect()
    }
}

/// What is searched by word: the name counts twice.
fn words_of(entry: &Entry) -> String {
    let name = spaced(&entry.name);
    let group = entry.group.as_deref().map(spaced).unwrap_or_default();
    format!(
        "{name} {name} {group} {} {}",
        entry.description,
        spaced(&entry.body)
    )
}

/// What is searched by meaning.
fn meaning_of(entry: &Entry) -> String {
    format!("{}: {}", spaced(&entry.name), entry.description)
}

/// `readFile`, `read_file` and `read-file` as two words.
fn spaced(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    let mut was_lower = false;
    for c in name.chars() {
        if c.is_uppercase() && was_lower {
            out.push(' ');
        }
        out.push(if matches!(c, '_' | '-' | '.' | '/') {
            ' '
        } else {
            c
        });
        was_lower = c.is_lowercase() || c.is_ascii_digit();
    }
    out
}

#[cfg(test)]
mod tests {
    use fingerpost_agents::Kind;
    use fingerpost_encode::StaticEncoder;

    use super::*;

    fn entry(id: &str, description: &str, body: &str) -> Entry {
        Entry {
            description: description.to_owned(),
            body: body.to_owned(),
            ..Entry::named(id, Kind::Tool)
        }
    }

    #[test]
    fn names_are_read_as_words() {
        assert_eq!(spaced("readFile_fast-now"), "read File fast now");
        assert_eq!(spaced("HTTPGet2Now"), "HTTPGet2 Now");
    }

    #[test]
    fn finds_by_word_by_meaning_and_by_argument() {
        let entries = [
            entry("read_file", "Reads a file from disk", "path"),
            entry("send_email", "Sends a message to an address", "recipient subject"),
            entry("get_weather", "Temperature and rain for a city", "city unit"),
        ];
        let finder = fused(Arc::new(StaticEncoder::bundled()))(&entries);
        let best = |query: &str| finder.find(query, 3, &|_| true).first().map(|(i, _)| *i);
        assert_eq!(best("readFile"), Some(0));
        assert_eq!(best("recipient"), Some(1));
        assert_eq!(best("will it be sunny tomorrow in Paris"), Some(2));
        assert_eq!(best(""), None);
        let others = finder.find("file", 3, &|i| i != 0);
        assert!(others.iter().all(|(i, _)| *i != 0));
    }

    #[test]
    fn nothing_to_search_finds_nothing() {
        let finder = fused(Arc::new(StaticEncoder::bundled()))(&[]);
        assert!(finder.find("a", 5, &|_| true).is_empty());
    }
}
