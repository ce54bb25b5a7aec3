//! The index of words as a file.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Field, Fielded, List, Posting, Text, USUAL};
use crate::{error::Error, file};

#[derive(Serialize, Deserialize)]
struct Header {
    fields: Vec<Field>,
    k1: f32,
    words: usize,
    bytes: usize,
    postings: usize,
    texts: usize,
}

// === impl Fielded ===

impl Fielded {
    /// Saves it. The file is the old one or the new one, whatever happens meanwhile.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        // Words that no text holds any more stay behind; the rest in an order that does not hang on chance.
        let mut words: Vec<(&str, &List)> = (self.terms.iter())
            .map(|(word, term)| (&**word, &self.lists[*term as usize]))
            .filter(|(_, list)| list.texts > 0)
            .collect();
        words.sort_unstable_by_key(|(word, _)| *word);
        let letters: Vec<u8> = words.iter().flat_map(|(word, _)| word.bytes()).collect();
        let lengths: Vec<u32> = words.iter().map(|(word, _)| word.len() as u32).collect();
        let counts: Vec<u32> = words.iter().map(|(_, list)| list.postings.len() as u32).collect();
        let postings: Vec<u64> = words
            .iter()
            .flat_map(|(_, list)| list.postings.iter().map(|p| p.0))
            .collect();
        let live: Vec<u8> = self.texts.iter().map(|t| u8::from(t.is_some())).collect();
        let header = Header {
            fields: self.fields.clone(),
            k1: self.k1,
            words: words.len(),
            bytes: letters.len(),
            postings: postings.len(),
            texts: self.texts.len(),
        };
        file::save(path, &header, |writer| {
            writer.section(&letters);
            writer.section(&lengths);
            writer.section(&counts);
            writer.section(&postings);
            writer.section(&live);
        })
    }

    /// Opens a saved one. Every checksum and every posting is checked.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Corrupt`] with what does not fit.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let (header, mut reader) = file::open::<Header>(path)?;
        let corrupt = |why: &str| Error::corrupt(path, why);
        let letters = reader.section::<u8>("words", header.bytes)?;
        let lengths = reader.section::<u32>("words", header.words)?;
        let counts = reader.section::<u32>("words", header.words)?;
        let postings = reader.section::<u64>("postings", header.postings)?;
        let live = reader.section::<u8>("texts", header.texts)?;
        reader.finish()?;
        let mut index = Self::new(&header.fields, header.k1).map_err(|e| corrupt(&e.to_string()))?;
        let fields = index.fields.len();
        let mut terms: Vec<Vec<u32>> = vec![Vec::new(); header.texts];
        let mut by_field = vec![0_u32; header.texts.saturating_mul(fields)];
        let (mut letters, mut rest) = (letters.as_slice(), postings.as_slice());
        for (term, (length, count)) in lengths.as_slice().iter().zip(counts.as_slice()).enumerate() {
            let (word, others) = letters
                .split_at_checked(*length as usize)
                .ok_or_else(|| corrupt("its words are cut off"))?;
            let (own, after) = rest
                .split_at_checked(*count as usize)
                .ok_or_else(|| corrupt("its postings are cut off"))?;
            (letters, rest) = (others, after);
            let word = std::str::from_utf8(word).map_err(|_| corrupt("a word is no text"))?;
            if index.terms.insert(word.into(), term as u32).is_some() {
                return Err(corrupt("a word stands twice"));
            }
            let own: Vec<Posting> = own.iter().map(|p| Posting(*p)).collect();
            let place = |p: &Posting| p.0 >> 24;
            if own.windows(2).any(|pair| place(&pair[0]) >= place(&pair[1])) {
                return Err(corrupt("postings are out of order"));
            }
            let mut texts = 0;
            for posting in &own {
                let id = posting.id() as usize;
                if posting.field() >= fields || live.as_slice().get(id) != Some(&1) {
                    return Err(corrupt("a posting leads nowhere"));
                }
                if terms[id].last() != Some(&(term as u32)) {
                    terms[id].push(term as u32);
                    texts += 1;
                }
                let length = &mut by_field[id * fields + posting.field()];
                *length = length.saturating_add(posting.times());
            }
            index.lists.push(List { postings: own, texts });
        }
        if !letters.is_empty() || !rest.is_empty() {
            return Err(corrupt("postings are left over"));
        }
        for (id, terms) in terms.into_iter().enumerate() {
            let lengths = &by_field[id * fields..(id + 1) * fields];
            let text = (live.as_slice()[id] == 1).then(|| Text {
                terms: terms.into(),
                lengths: lengths.into(),
            });
            for (total, length) in index.totals.iter_mut().zip(lengths) {
                *total += u64::from((*length).min(USUAL));
            }
            index.live += usize::from(text.is_some());
            index.texts.push(text);
        }
        Ok(index)
    }
}
