//! BM25 over texts, by the `bm25` crate (Unicode words, English stemming and stop words).

use bm25::{Embedder, EmbedderBuilder, Language, Scorer};

use crate::{
    error::Error,
    found::Filter,
    hybrid::best_first,
    retrieve::{Hit, Query, Retrieve},
};

/// Finds texts by their words.
pub struct Lexical {
    embedder: Embedder,
    scorer: Scorer<u64>,
    texts: usize,
}

// === impl Lexical ===

impl Lexical {
    /// Indexes texts by id; a later text of the same id replaces the earlier. b = .75 and k1 = 1.2, the usual.
    pub fn new<'a>(texts: impl IntoIterator<Item = (u64, &'a str)>) -> Self {
        let (ids, corpus): (Vec<u64>, Vec<&str>) = texts.into_iter().unzip();
        let embedder: Embedder = EmbedderBuilder::with_fit_to_corpus(Language::English, &corpus).build();
        let mut scorer = Scorer::new();
        let mut distinct = rustc_hash::FxHashSet::default();
        for (id, text) in ids.iter().zip(&corpus) {
            scorer.upsert(id, embedder.embed(text));
            distinct.insert(*id);
        }
        Self {
            embedder,
            scorer,
            texts: distinct.len(),
        }
    }
}

/// Scores: BM25, above 0. Texts that share no word with the query are not found.
impl Retrieve for Lexical {
    fn retrieve(&self, query: Query<'_>, k: usize, filter: Option<Filter<'_>>) -> Result<Vec<Hit>, Error> {
        let text = query.text.ok_or(Error::Query("text"))?;
        let matches = self.scorer.matches(&self.embedder.embed(text));
        let mut hits: Vec<Hit> = matches
            .into_iter()
            .filter(|m| m.score > 0.0 && filter.is_none_or(|f| f(m.id)))
            .map(|m| Hit {
                id: m.id,
                score: m.score,
            })
            .collect();
        hits.sort_unstable_by(best_first);
        hits.truncate(k);
        Ok(hits)
    }

    fn items(&self) -> usize {
        self.texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_words_count_more_and_strangers_are_not_found() {
        let lexical = Lexical::new([
            (7, "the weather in Paris tomorrow"),
            (8, "the weather in Rome and the weather in Oslo"),
            (9, "transfer money to my savings account"),
        ]);
        let find = |text| {
            let query = Query {
                text: Some(text),
                vector: None,
            };
            let hits = lexical.retrieve(query, 5, None).unwrap();
            hits.iter().map(|h| h.id).collect::<Vec<_>>()
        };
        assert_eq!(find("weather in paris")[0], 7);
        assert_eq!(find("saving money"), [9]);
        assert!(find("quantum").is_empty() && find("").is_empty());
        assert_eq!(lexical.items(), 3);
        let error = lexical.retrieve(Query::default(), 1, None).unwrap_err();
        assert!(error.to_string().contains("no text"));
    }

    #[test]
    fn an_empty_corpus_finds_nothing() {
        let query = Query {
            text: Some("a"),
            vector: None,
        };
        assert!(Lexical::new([]).retrieve(query, 3, None).unwrap().is_empty());
    }
}
