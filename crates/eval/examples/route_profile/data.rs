//! The data: outcomes, preferences turned into outcomes, and what is known of models, tasks and domains in words.

use std::{
    collections::{HashMap, HashSet},
    error::Error,
    path::Path,
};

use fingerpost_core::Name;
use fingerpost_eval::{DataSet, read_lines};
use fingerpost_models::{Cards, Features, Featurizer, Logged, OutcomeTable, features};
use serde::Deserialize;

/// The model that is missing from the preferences of the new-model setting.
pub(crate) const NEW: &str = "mistral-small-24b-instruct-2501-bf16";

/// A table with the features of its rows.
pub(crate) struct Read {
    pub(crate) table: OutcomeTable,
    pub(crate) features: Vec<Features>,
}

pub(crate) struct Data {
    pub(crate) models: Vec<Name>,
    pub(crate) cards: Cards,
    /// Preferences over all models, as outcomes.
    pub(crate) standard: Read,
    /// Preferences in which [`NEW`] is missing.
    pub(crate) without: Read,
    /// Logged outcomes of the train part.
    pub(crate) train: Read,
    /// All of them, and which are of the val part.
    pub(crate) both: Read,
    pub(crate) val: Vec<bool>,
}

#[derive(Deserialize)]
struct Preference {
    id: String,
    task: Name,
    text: String,
    better: Name,
    worse: Name,
}

impl Data {
    pub(crate) fn open(folder: &Path, featurizer: &Featurizer) -> Result<Self, Box<dyn Error>> {
        let outcomes = DataSet::open(folder)?;
        let models = outcomes.table().models().to_vec();
        let tested: HashSet<String> = outcomes.table().rows().iter().map(|r| r.id.clone()).collect();
        let val = outcomes.part("val")?;
        let val: HashSet<String> = val.rows().iter().map(|r| r.id.clone()).collect();
        let read = |table| read(table, featurizer);
        let preferences = |file: &str| preferences(&folder.join(file), &models, &tested);
        Ok(Self {
            cards: outcomes.cards.clone(),
            standard: read(preferences("pairwise_standard.jsonl.gz")?)?,
            without: read(preferences("pairwise_newllm.jsonl.gz")?)?,
            train: read(outcomes.part("train")?)?,
            val: outcomes
                .table()
                .rows()
                .iter()
                .map(|r| val.contains(&r.id))
                .collect(),
            both: read(outcomes.table().clone())?,
            models,
        })
    }

    pub(crate) fn new_model(&self) -> usize {
        self.models.iter().position(|m| m == NEW).unwrap_or(0)
    }
}

fn read(table: OutcomeTable, featurizer: &Featurizer) -> Result<Read, Box<dyn Error>> {
    let features = features(&table, featurizer, &|_, _, _| true)?;
    Ok(Read { table, features })
}

/// A row a query: a model's score is the share of its comparisons that it won. Queries that are tested on are left out.
fn preferences(
    path: &Path,
    models: &[Name],
    tested: &HashSet<String>,
) -> Result<OutcomeTable, Box<dyn Error>> {
    let mut rows: Vec<(Logged, Vec<(f32, f32)>)> = Vec::new();
    let mut by_id: HashMap<String, usize> = HashMap::new();
    read_lines(path, |_, line: Preference| {
        if tested.contains(&line.id) {
            return Ok(());
        }
        let next = rows.len();
        let row = *by_id.entry(line.id.clone()).or_insert(next);
        if row == next {
            let logged = Logged {
                task: Some(line.task),
                ..Logged::query(line.id, line.text)
            };
            rows.push((logged, vec![(0.0, 0.0); models.len()]));
        }
        for (model, won) in [(&line.better, 1.0), (&line.worse, 0.0)] {
            if let Some(column) = models.iter().position(|m| m == model) {
                let (wins, all) = &mut rows[row].1[column];
                *wins += won;
                *all += 1.0;
            }
        }
        Ok(())
    })?;
    let mut table = OutcomeTable::new(models.iter().cloned())?;
    for (mut row, counts) in rows {
        row.scores = counts.iter().map(|(w, n)| (*n > 0.0).then(|| w / n)).collect();
        table.push(row)?;
    }
    Ok(table)
}
