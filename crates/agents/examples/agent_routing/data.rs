//! Intents as agents.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use fingerpost_agents::{
    Entry, Kind,
    tcar::{AgentBank, KnownAgent},
};
use fingerpost_encode::{Vector, dot};
use fingerpost_hierarchy::taxonomy::group_names;
use split::fifth;

use crate::{
    Fallible,
    reading::{Reader, lines},
};

/// A labelled request.
pub(crate) struct Row {
    pub(crate) text: String,
    /// The intent's number; none for out of scope.
    pub(crate) gold: Option<usize>,
    pub(crate) vector: Vector,
}

pub(crate) struct Set {
    pub(crate) intents: Vec<String>,
    /// By intent, where the data names domains.
    pub(crate) domains: Vec<Option<String>>,
    pub(crate) train: Vec<Row>,
    pub(crate) val: Vec<Row>,
    pub(crate) test: Vec<Row>,
}

mod split {
    //! A split that depends on the text alone.

    /// Whether a text is in a fixed fifth of all texts (FNV-1a).
    pub(super) fn fifth(text: &str) -> bool {
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        });
        (hash >> 33).is_multiple_of(5)
    }
}

// === impl Set ===

impl Set {
    pub(crate) fn read(folder: &Path, name: &str, reader: &Reader) -> Fallible<Self> {
        let mut domains_of: BTreeMap<String, Option<String>> = BTreeMap::new();
        let mut parts: Vec<Vec<(String, String)>> = Vec::new();
        for part in ["train", "val", "test"] {
            let path = folder.join(format!("{part}.jsonl"));
            let mut rows = Vec::new();
            if path.exists() {
                for row in lines(&path)? {
                    let field = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
                    let (text, intent) = (field("text"), field("intent"));
                    if intent != "oos" {
                        let domain = row["domain"].as_str().map(str::to_owned);
                        domains_of.entry(intent.clone()).or_insert(domain);
                    }
                    rows.push((text, intent));
                }
            }
            parts.push(rows);
        }
        if parts[1].is_empty() {
            let (val, train) = std::mem::take(&mut parts[0])
                .into_iter()
                .partition(|(text, _)| fifth(text));
            (parts[0], parts[1]) = (train, val);
        }
        let intents: Vec<String> = domains_of.keys().cloned().collect();
        let places: BTreeMap<&str, usize> =
            intents.iter().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
        let mut read = Vec::new();
        for (part, what) in parts.into_iter().zip(["train", "val", "test"]) {
            let texts: Vec<String> = part.iter().map(|(text, _)| text.clone()).collect();
            let vectors = reader.read(&format!("{name}-{what}"), &texts)?;
            let rows = part.into_iter().zip(vectors.chunks(reader.encoder.dims()));
            let row = |((text, intent), vector): ((String, String), &[f32])| Row {
                gold: places.get(intent.as_str()).copied(),
                text,
                vector: Vector::new(vector.to_vec()),
            };
            read.push(rows.map(row).collect::<Vec<_>>());
        }
        let mut read = read.into_iter();
        let mut next = || read.next().unwrap_or_default();
        Ok(Self {
            train: next(),
            val: next(),
            test: next(),
            domains: domains_of.into_values().collect(),
            intents,
        })
    }

    /// The training rows of an intent, by their places.
    pub(crate) fn rows_of(&self, intent: usize) -> Vec<usize> {
        (0..self.train.len())
            .filter(|&i| self.train[i].gold == Some(intent))
            .collect()
    }

    /// An agent made of training rows.
    pub(crate) fn agent(&self, id: &str, rows: &[usize], terms: &str, reader: &Reader) -> Arc<KnownAgent> {
        let vectors: Vec<Vector> = rows.iter().map(|&i| self.train[i].vector.clone()).collect();
        let centre = Vector::centroid(&vectors);
        // The two most typical rows tell what it is for.
        let mut typical = rows.to_vec();
        typical.sort_by(|&a, &b| {
            let near = |i: usize| centre.as_ref().map_or(0.0, |c| dot(c, &self.train[i].vector));
            near(b).total_cmp(&near(a))
        });
        let such: Vec<&str> = typical
            .iter()
            .take(2)
            .map(|&i| self.train[i].text.as_str())
            .collect();
        let description = format!("{terms}: {}", such.join("; "));
        let entry = Entry {
            description: description.clone(),
            examples: rows.iter().map(|&i| self.train[i].text.clone()).collect(),
            ..Entry::named(id, Kind::Agent)
        };
        Arc::new(KnownAgent::with_vectors(
            entry,
            reader.encoder.encode(&description),
            vectors,
        ))
    }

    /// The agents of these rows, one a name, with key terms that tell them apart.
    pub(crate) fn bank(&self, agents: &[(String, Vec<usize>)], reader: &Reader) -> Fallible<AgentBank> {
        let texts: Vec<&str> = self.train.iter().map(|row| row.text.as_str()).collect();
        let groups: Vec<Vec<u32>> = agents
            .iter()
            .map(|(_, rows)| rows.iter().map(|&i| i as u32).collect())
            .collect();
        let groups: Vec<&[u32]> = groups.iter().map(Vec::as_slice).collect();
        let terms = group_names(&texts, &groups, "");
        let known = agents
            .iter()
            .zip(&terms)
            .map(|((id, rows), terms)| self.agent(id, rows, terms, reader));
        Ok(AgentBank::of(known.collect(), reader.encoder.clone())?)
    }

    /// All intents as agents, in their order.
    pub(crate) fn all(&self) -> Vec<(String, Vec<usize>)> {
        self.intents
            .iter()
            .enumerate()
            .map(|(i, name)| (name.clone(), self.rows_of(i)))
            .collect()
    }
}
