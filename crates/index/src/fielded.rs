//! Texts in several fields, found by their words, one change at a time: BM25F (Robertson, Zaragoza and Taylor 2004).
//!
//! A word's frequency is added up over the fields, each weighted and brought to its field's usual length, and saturates once:
//! `w = Σ weight · tf / (1 - b + b · length / mean)`, score `Σ idf · (k1 + 1) · w / (k1 + w)`. So a word that stands in two
//! fields counts little more than once. Texts are a stranger's, so a field's sixteenth copy of a word is the last that counts for
//! it, while all of them count as length; and of a long field at most 1,024 words go into the mean.
//!
//! Unlike [`Lexical`](crate::Lexical) it takes texts out as well as in without being built again; after any changes it scores
//! as one that was built of what is left.

mod persist;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    found::Filter,
    hybrid::best_first,
    retrieve::{Hit, Query, Retrieve},
    words::words,
};

/// Words of a query that are looked up: of more, those that are rarest in the index.
const MOST_WORDS: usize = 96;
/// Fields there can be.
const MOST_FIELDS: usize = 16;
/// Occurrences of a word in a field that a posting can hold.
const MOST_TIMES: u32 = (1 << 24) - 1;
/// Occurrences of a word in a field that speak for it; more only make the text long.
const SPEAKING: u32 = 16;
/// Words of a field that go into its usual length: one endless text does not make all others short.
const USUAL: u32 = 1_024;

/// How much a field counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// An occurrence here counts so many times, above 0.
    pub weight: f32,
    /// How far a long text's words count less, 0 to 1.
    pub b: f32,
}

/// A lexical index of texts in fields. Ids are small numbers: memory grows with the largest.
#[derive(Debug, Clone)]
pub struct Fielded {
    fields: Vec<Field>,
    k1: f32,
    /// Numbers of words. Keyed at random: the words are a stranger's.
    terms: HashMap<Box<str>, u32>,
    /// By number of the word.
    lists: Vec<List>,
    /// By id.
    texts: Vec<Option<Text>>,
    live: usize,
    /// Words by field that go into its usual length, over all texts.
    totals: Vec<u64>,
}

/// Where a word stands.
#[derive(Debug, Clone, Default)]
struct List {
    /// Rising.
    postings: Vec<Posting>,
    /// Texts that hold it.
    texts: u32,
}

/// A word in a field of a text: id, field and times in one number, which rises as they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Posting(u64);

#[derive(Debug, Clone, Default)]
struct Text {
    /// Numbers of its words, each once.
    terms: Box<[u32]>,
    /// Words by field.
    lengths: Box<[u32]>,
}

// === impl Field ===

impl Default for Field {
    /// Weight 1, b .75.
    fn default() -> Self {
        Self { weight: 1.0, b: 0.75 }
    }
}

// === impl Fielded ===

impl Fielded {
    /// An empty index of texts with these fields (1 to 16) and the saturation `k1` (1.2 is usual).
    ///
    /// # Errors
    /// [`Error::Parameter`] for a number out of range.
    pub fn new(fields: &[Field], k1: f32) -> Result<Self, Error> {
        let range = |name, fits: bool, found: String, allowed| {
            (!fits)
                .then_some(Error::Parameter { name, found, allowed })
                .map_or(Ok(()), Err)
        };
        let count = fields.len();
        range(
            "number of fields",
            (1..=MOST_FIELDS).contains(&count),
            count.to_string(),
            "1 to 16",
        )?;
        range("k1", k1.is_finite() && k1 >= 0.0, k1.to_string(), "0 and more")?;
        for Field { weight, b } in fields {
            let fits = weight.is_finite() && *weight > 0.0;
            range("weight of a field", fits, weight.to_string(), "above 0")?;
            range("b of a field", (0.0..=1.0).contains(b), b.to_string(), "0 to 1")?;
        }
        Ok(Self {
            fields: fields.to_vec(),
            k1,
            terms: HashMap::new(),
            lists: Vec::new(),
            texts: Vec::new(),
            live: 0,
            totals: vec![0; count],
        })
    }

    /// Puts a text in under an id; the one that was there goes. `texts` holds the fields in their order, each as parts that no
    /// word spans; missing fields are empty, surplus ones are not looked at.
    pub fn insert(&mut self, id: u32, texts: &[&[&str]]) {
        self.remove(id);
        let mut times: HashMap<(u32, u8), u32> = HashMap::new();
        let mut lengths = vec![0_u32; self.fields.len()];
        for (field, parts) in texts.iter().enumerate().take(self.fields.len()) {
            for part in *parts {
                words(part, &mut |word| {
                    let next = self.lists.len() as u32;
                    let term = match self.terms.get(word) {
                        Some(term) => *term,
                        None => {
                            self.terms.insert(word.into(), next);
                            self.lists.push(List::default());
                            next
                        }
                    };
                    let times = times.entry((term, field as u8)).or_default();
                    *times = (*times + 1).min(MOST_TIMES);
                    lengths[field] = lengths[field].saturating_add(1);
                });
            }
        }
        let mut terms: Vec<u32> = times.keys().map(|(term, _)| *term).collect();
        terms.sort_unstable();
        terms.dedup();
        for term in &terms {
            self.lists[*term as usize].texts += 1;
        }
        for ((term, field), times) in times {
            let postings = &mut self.lists[term as usize].postings;
            let posting = Posting::new(id, field, times);
            let at = postings.partition_point(|p| *p < posting);
            postings.insert(at, posting);
        }
        for (total, length) in self.totals.iter_mut().zip(&lengths) {
            *total += u64::from((*length).min(USUAL));
        }
        if self.texts.len() <= id as usize {
            self.texts.resize(id as usize + 1, None);
        }
        self.live += 1;
        self.texts[id as usize] = Some(Text {
            terms: terms.into(),
            lengths: lengths.into(),
        });
    }

    /// Takes a text out; false if there was none.
    pub fn remove(&mut self, id: u32) -> bool {
        let Some(text) = self.texts.get_mut(id as usize).and_then(Option::take) else {
            return false;
        };
        for term in text.terms {
            let list = &mut self.lists[term as usize];
            let at = list.of(id);
            list.postings.drain(at);
            list.texts -= 1;
        }
        for (total, length) in self.totals.iter_mut().zip(text.lengths) {
            *total -= u64::from(length.min(USUAL));
        }
        self.live -= 1;
        true
    }

    /// The `k` best texts for the words of a query, best first, ties to the lower id, among those that the filter accepts.
    /// Texts that share no word with it are not found. Time: the lists of its words (at most 96, the rarest) are read once.
    pub fn search(&self, query: &str, k: usize, filter: Option<Filter<'_>>) -> Vec<Hit> {
        let mut scores = vec![0.0_f32; self.texts.len()];
        let means = self.means();
        for (term, weight) in self.weigh(query) {
            let list = &self.lists[term as usize];
            for run in list.postings.chunk_by(|a, b| a.id() == b.id()) {
                let id = run[0].id() as usize;
                if let Some(text) = &self.texts[id] {
                    let sum: f32 = run
                        .iter()
                        .map(|p| self.fields[p.field()].weight * self.times(*p, text, &means))
                        .sum();
                    scores[id] += weight * self.saturate(sum);
                }
            }
        }
        let mut hits: Vec<Hit> = (scores.into_iter().enumerate())
            .filter(|(id, score)| *score > 0.0 && filter.is_none_or(|f| f(*id as u64)))
            .map(|(id, score)| Hit { id: id as u64, score })
            .collect();
        if hits.len() > k && k > 0 {
            hits.select_nth_unstable_by(k - 1, best_first);
        }
        hits.truncate(k);
        hits.sort_unstable_by(best_first);
        hits
    }

    /// How well each field of one text fits the query, by itself: BM25 of that field, with how rare a word is taken over all
    /// fields. 0 where no word meets, also for an id that is not there. Time: a binary search a word.
    pub fn by_field(&self, query: &str, id: u32) -> Vec<f32> {
        let mut scores = vec![0.0; self.fields.len()];
        let Some(Some(text)) = self.texts.get(id as usize) else {
            return scores;
        };
        let means = self.means();
        for (term, weight) in self.weigh(query) {
            let list = &self.lists[term as usize];
            for posting in &list.postings[list.of(id)] {
                scores[posting.field()] += weight * self.saturate(self.times(*posting, text, &means));
            }
        }
        scores
    }

    /// Texts.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Bytes it holds, about.
    pub fn bytes(&self) -> usize {
        let lists: usize = self
            .lists
            .iter()
            .map(|l| l.postings.capacity() * size_of::<Posting>())
            .sum();
        let words: usize = self.terms.keys().map(|word| word.len() + 40).sum();
        let texts: usize = self
            .texts
            .iter()
            .flatten()
            .map(|t| 4 * (t.terms.len() + t.lengths.len()))
            .sum();
        lists + words + texts + self.lists.len() * size_of::<List>() + self.texts.len() * size_of::<Text>()
    }

    /// The query's words that are known, each with how rare it is times how often the query says it.
    fn weigh(&self, query: &str) -> Vec<(u32, f32)> {
        let mut known: Vec<u32> = Vec::new();
        words(query, &mut |word| known.extend(self.terms.get(word)));
        known.sort_unstable();
        let weight = |run: &[u32]| {
            let holds = self.lists[run[0] as usize].texts as f32;
            // In every text, and still above zero.
            let rare = (1.0 + (self.live as f32 - holds + 0.5) / (holds + 0.5)).ln();
            (holds > 0.0).then_some((run[0], rare, rare * run.len() as f32))
        };
        let mut weighed: Vec<(u32, f32, f32)> = known.chunk_by(|a, b| a == b).filter_map(weight).collect();
        weighed.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        weighed.truncate(MOST_WORDS);
        weighed
            .into_iter()
            .map(|(term, _, weight)| (term, weight))
            .collect()
    }

    /// Times a word stands in a field, brought to the field's usual length.
    #[inline]
    fn times(&self, posting: Posting, text: &Text, means: &[f32; MOST_FIELDS]) -> f32 {
        let field = posting.field();
        let b = self.fields[field].b;
        posting.times().min(SPEAKING) as f32 / (1.0 - b + b * text.lengths[field] as f32 / means[field])
    }

    fn saturate(&self, times: f32) -> f32 {
        (self.k1 + 1.0) * times / (self.k1 + times)
    }

    /// Words a text, by field, over the texts there are.
    fn means(&self) -> [f32; MOST_FIELDS] {
        let mut means = [1.0; MOST_FIELDS];
        for (mean, total) in means.iter_mut().zip(&self.totals) {
            *mean = (*total as f64 / self.live.max(1) as f64).max(1e-3) as f32;
        }
        means
    }
}

/// Scores: BM25F, above 0.
impl Retrieve for Fielded {
    fn retrieve(&self, query: Query<'_>, k: usize, filter: Option<Filter<'_>>) -> Result<Vec<Hit>, Error> {
        let text = query.text.ok_or(Error::Query("text"))?;
        Ok(self.search(text, k, filter))
    }

    fn items(&self) -> usize {
        self.live
    }
}

// === impl List ===

impl List {
    /// Where the postings of a text lie.
    fn of(&self, id: u32) -> std::ops::Range<usize> {
        let from = self.postings.partition_point(|p| p.id() < id);
        let count = self.postings[from..].iter().take_while(|p| p.id() == id).count();
        from..from + count
    }
}

// === impl Posting ===

impl Posting {
    fn new(id: u32, field: u8, times: u32) -> Self {
        Self(u64::from(id) << 32 | u64::from(field) << 24 | u64::from(times.min(MOST_TIMES)))
    }

    #[inline]
    fn id(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline]
    fn field(self) -> usize {
        (self.0 >> 24) as u8 as usize
    }

    #[inline]
    fn times(self) -> u32 {
        self.0 as u32 & MOST_TIMES
    }
}

#[cfg(test)]
mod tests;
