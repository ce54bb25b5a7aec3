//! Libraries and tasks, with their vectors.

use std::path::Path;

use fingerpost_agents::{Entry, Kind};
use rand::{rngs::SmallRng, seq::SliceRandom};
use serde_json::Value;

use crate::{
    Fallible,
    reading::{Reader, lines},
};

/// A catalogue and the tasks that one of its entries is right for.
pub(crate) struct Set {
    pub(crate) name: &'static str,
    pub(crate) entries: Vec<Entry>,
    pub(crate) vectors: Vec<f32>,
    pub(crate) tasks: Vec<Task>,
}

pub(crate) struct Task {
    pub(crate) text: String,
    pub(crate) gold: usize,
    pub(crate) vector: Vec<f32>,
}

// === impl Set ===

impl Set {
    /// gorilla-tools: all 8,470 entries; the questions of the function-calling sets that one tool answers.
    pub(crate) fn gorilla(data: &Path, reader: &Reader) -> Fallible<Self> {
        let rows = lines(&data.join("gorilla-tools/catalogue.jsonl"))?;
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let entries: Vec<Entry> = rows
            .iter()
            .map(|row| Entry {
                name: text(row, "name"),
                description: text(row, "description"),
                group: Some(
                    format!("{}/{}", text(row, "source"), text(row, "group"))
                        .as_str()
                        .into(),
                ),
                ..Entry::named(text(row, "id"), Kind::Tool)
            })
            .collect();
        let queries = lines(&data.join("gorilla-tools/queries.jsonl"))?;
        let one = |row: &&Value| {
            row["set"].as_str().is_some_and(|set| set.starts_with("bfcl_"))
                && row["gold"].as_array().is_some_and(|gold| gold.len() == 1)
        };
        let asked = queries.iter().filter(one).map(|row| {
            (
                text(row, "query"),
                row["gold"][0].as_str().unwrap_or_default().to_owned(),
            )
        });
        Self::of("gorilla", entries, asked.collect(), reader)
    }

    /// metatool: 199 entries; at most forty questions a tool.
    pub(crate) fn metatool(data: &Path, reader: &Reader) -> Fallible<Self> {
        let rows = lines(&data.join("metatool/tools.jsonl"))?;
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let entries: Vec<Entry> = rows
            .iter()
            .map(|row| Entry {
                description: text(row, "description"),
                ..Entry::named(text(row, "id"), Kind::Tool)
            })
            .collect();
        let mut count = std::collections::HashMap::<String, usize>::new();
        let queries = lines(&data.join("metatool/queries_single.jsonl"))?;
        let asked = queries.iter().filter_map(|row| {
            let gold = row["gold"][0].as_str()?.to_owned();
            let seen = count.entry(gold.clone()).or_default();
            *seen += 1;
            (*seen <= 40).then(|| (text(row, "query"), gold))
        });
        let asked = asked.collect();
        Self::of("metatool", entries, asked, reader)
    }

    fn of(
        name: &'static str,
        entries: Vec<Entry>,
        asked: Vec<(String, String)>,
        reader: &Reader,
    ) -> Fallible<Self> {
        let places: std::collections::HashMap<&str, usize> = entries
            .iter()
            .enumerate()
            .map(|(i, e)| (e.id.as_str(), i))
            .collect();
        let shown: Vec<String> = entries
            .iter()
            .map(|e| format!("{}: {}", e.name, e.description))
            .collect();
        let vectors = reader.read(&format!("{name}-entries"), &shown)?;
        let known: Vec<(String, usize)> = asked
            .into_iter()
            .filter_map(|(text, gold)| Some((text, *places.get(gold.as_str())?)))
            .collect();
        let texts: Vec<String> = known.iter().map(|(text, _)| text.clone()).collect();
        let rows = reader.read(&format!("{name}-tasks"), &texts)?;
        let wide = reader.encoder.dims();
        let tasks = known
            .into_iter()
            .zip(rows.chunks(wide))
            .map(|((text, gold), vector)| Task {
                text,
                gold,
                vector: vector.to_vec(),
            })
            .collect();
        Ok(Self {
            name,
            entries,
            vectors,
            tasks,
        })
    }

    pub(crate) fn vector(&self, entry: usize) -> &[f32] {
        let wide = self.vectors.len() / self.entries.len().max(1);
        &self.vectors[entry * wide..(entry + 1) * wide]
    }

    /// Entries and their vectors of a library.
    pub(crate) fn library(&self, places: &[usize]) -> (Vec<Entry>, Vec<f32>) {
        (
            places.iter().map(|&at| self.entries[at].clone()).collect(),
            places.iter().flat_map(|&at| self.vector(at)).copied().collect(),
        )
    }

    /// A random library of `size` that holds up to `most` of the golds of these tasks, and the tasks with their gold's place in it.
    pub(crate) fn draw(
        &self,
        size: usize,
        most: usize,
        tasks: &[usize],
        rng: &mut SmallRng,
    ) -> (Vec<usize>, Vec<(usize, usize)>) {
        let mut golds: Vec<usize> = tasks.iter().map(|&t| self.tasks[t].gold).collect();
        golds.sort_unstable();
        golds.dedup();
        golds.shuffle(rng);
        golds.truncate(most.min(size));
        let held: std::collections::HashSet<usize> = golds.iter().copied().collect();
        let mut others: Vec<usize> = (0..self.entries.len()).filter(|e| !held.contains(e)).collect();
        others.shuffle(rng);
        let mut library = golds;
        library.extend(others.into_iter().take(size - library.len()));
        library.shuffle(rng);
        let place: std::collections::HashMap<usize, usize> =
            library.iter().enumerate().map(|(at, e)| (*e, at)).collect();
        let own = tasks.iter().filter(|t| held.contains(&self.tasks[**t].gold));
        let own = own.map(|&t| (t, place[&self.tasks[t].gold])).collect();
        (library, own)
    }
}
