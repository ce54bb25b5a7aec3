//! Finds the right tool among many: the catalogue's index, by words in fields and by meaning, and before it, where there is one, what
//! was learned from requests.

use std::{collections::HashMap, sync::Arc};

use fingerpost_agents::{
    Entry,
    catalogue::{Error, Index},
    skill_router::{SkillIndex, SkillRouter, Trained},
};
use fingerpost_core::Name;
use fingerpost_encode::Encoder;

/// Ranks the tools that it was made of.
pub(crate) struct Finder {
    index: Index,
    /// What was learned, over the same tools in the same order.
    learned: Option<SkillRouter>,
    /// The place of each tool among those it was made of.
    places: HashMap<Name, usize>,
}

// === impl Finder ===

impl Finder {
    /// Of two entries with one id the first counts. What was trained with another encoder is left aside, and said in the log.
    ///
    /// # Errors
    /// [`Error`] if a vector cannot be taken.
    pub(crate) fn new(
        entries: Vec<Entry>,
        encoder: Arc<dyn Encoder>,
        trained: Option<&Arc<Trained>>,
    ) -> Result<Self, Error> {
        let mut places = HashMap::with_capacity(entries.len());
        for (place, entry) in entries.iter().enumerate() {
            places.entry(entry.id.clone()).or_insert(place);
        }
        let learned = trained.and_then(|trained| {
            let index = SkillIndex::new(entries.clone(), &[Arc::clone(&encoder)]);
            SkillRouter::new(Arc::new(index), Arc::clone(trained))
                .inspect_err(|why| tracing::error!(%why, "tools are searched without what was trained"))
                .ok()
        });
        let mut index = Index::new(encoder)?;
        index.sync(entries, &|_| true)?;
        Ok(Self {
            index,
            learned,
            places,
        })
    }

    /// The `k` best for a query among those that `admits` accepts, best first: the place of each, and a score that compares within
    /// one answer. Fewer where fewer have anything to do with it; an empty query finds nothing.
    pub(crate) fn find(&self, query: &str, k: usize, admits: &dyn Fn(usize) -> bool) -> Vec<(usize, f32)> {
        if query.trim().is_empty() {
            return Vec::new();
        }
        let others = self.places.values().filter(|place| !admits(**place)).count();
        let deep = k + others;
        let mut best: Vec<(usize, f32)> = Vec::with_capacity(k);
        if let Some(router) = &self.learned {
            let hits = router.search(query, deep).hits;
            best.extend(hits.iter().map(|hit| (hit.entry, hit.share)));
            best.retain(|(place, _)| admits(*place));
        }
        if best.len() < k {
            // Behind what was judged comes what was not, at no share of it.
            for found in self.index.search(query, deep) {
                let Some(&place) = self.places.get(&found.entry.id) else {
                    continue;
                };
                if admits(place) && best.iter().all(|(known, _)| *known != place) {
                    best.push((place, if self.learned.is_some() { 0.0 } else { found.score }));
                }
            }
        }
        best.truncate(k);
        best
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_agents::{
        Kind,
        skill_router::{Options, Request, train},
    };
    use fingerpost_encode::StaticEncoder;

    use super::*;

    fn finder(entries: Vec<Entry>) -> Finder {
        Finder::new(entries, Arc::new(StaticEncoder::bundled()), None).unwrap()
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
    fn what_was_learned_goes_before_words() {
        let entries = vec![
            entry("invoice", "Makes an invoice", ""),
            entry("ledger", "Keeps the books", ""),
            entry("payroll", "Pays salaries", ""),
        ];
        let encoder: Arc<dyn Encoder> = Arc::new(StaticEncoder::bundled());
        let request = |text: &str, gold: &str| Request {
            text: text.to_owned(),
            gold: vec![gold.into()],
            wrong: Vec::new(),
        };
        let requests: Vec<Request> = (1..9)
            .flat_map(|n| {
                [
                    request(&format!("settle invoice {n} in the usual way"), "ledger"),
                    request(&format!("salary of worker {n}"), "payroll"),
                ]
            })
            .collect();
        let index = SkillIndex::new(entries.clone(), &[Arc::clone(&encoder)]);
        let trained = Arc::new(train(&index, &requests, &[], Options::default(), &mut |_, _| ()));
        let asked = "settle invoice 77 in the usual way";
        let plain = finder(entries.clone());
        assert_eq!(plain.find(asked, 1, &|_| true)[0].0, 0);
        let learned = Finder::new(entries, encoder, Some(&trained)).unwrap();
        let found = learned.find(asked, 3, &|_| true);
        assert_eq!(found[0].0, 1);
        assert!(found.windows(2).all(|w| w[0].1 >= w[1].1), "{found:?}");
        assert_eq!(learned.find(asked, 3, &|i| i == 2).len(), 1);
    }

    #[test]
    fn nothing_to_search_finds_nothing() {
        assert!(finder(Vec::new()).find("a", 5, &|_| true).is_empty());
    }
}
