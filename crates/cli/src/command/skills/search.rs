//! `fingerpost skills search`: the entries for a request.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use clap::Args;
use fingerpost_agents::{
    Entry, Kind,
    catalogue::{self, Field, Found, shown},
};
use serde_json::{Value, json};

use super::{KindName, reranked};
use crate::{failure::Failure, output::Output};

/// Finds the skills, tools and agents for a request, by words and by meaning.
#[derive(Debug, Args)]
pub(crate) struct Search {
    /// The request
    text: String,
    /// The folder of the index
    #[arg(long, value_name = "DIR")]
    index: PathBuf,
    /// Entries wanted
    #[arg(long, short, default_value_t = 10)]
    k: usize,
    /// Only entries of this kind
    #[arg(long, value_enum)]
    kind: Option<KindName>,
    /// What is found is ranked by this file of `fingerpost train skill-reranker`, which also says whether anything fits at all
    #[arg(long, value_name = "FILE")]
    reranker: Option<PathBuf>,
}

// === impl Search ===

impl Search {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let (index, problems) = super::open(&self.index, output)?;
        if let Some(file) = &self.reranker {
            let kind: Option<Kind> = self.kind.map(Into::into);
            let entries = index.entries().filter(|e| kind.is_none_or(|k| e.kind == k));
            let router = reranked::router(file, entries.cloned().collect())?;
            let found = router.search(&self.text, self.k);
            let (text, objects) = (
                reranked::text(&router, &found),
                reranked::objects(&router, &found),
            );
            let result =
                json!({"found": objects, "fits": found.fits, "entries": index.len(), "problems": problems});
            output.result(&text, &result);
            return Ok(ExitCode::SUCCESS);
        }
        let found = index.find(&catalogue::Search {
            kind: self.kind.map(Into::into),
            ..catalogue::Search::new(&self.text, self.k)
        });
        let text: Vec<String> = found
            .iter()
            .enumerate()
            .map(|(at, found)| line(at + 1, found))
            .collect();
        let text = if text.is_empty() {
            "nothing found".to_owned()
        } else {
            text.join("\n")
        };
        let found: Vec<Value> = found.iter().map(object).collect();
        output.result(
            &text,
            &json!({"found": found, "entries": index.len(), "problems": problems}),
        );
        Ok(ExitCode::SUCCESS)
    }
}

fn line(rank: usize, found: &Found<'_>) -> String {
    let entry = found.entry;
    let stage = |stage: Option<catalogue::Stage>| {
        stage.map_or_else(
            || "-".to_owned(),
            |stage| format!("{:.2} (#{})", stage.score, stage.rank),
        )
    };
    let fields: Vec<String> = found.fields().iter().map(Field::to_string).collect();
    format!(
        "{rank:3}. {} ({}): {}\n     score {:.4}; words {}, meaning {}; {}",
        shown(&entry.id),
        entry.kind,
        shown(&entry.description),
        found.score,
        stage(found.lexical),
        stage(found.dense),
        if fields.is_empty() {
            "no word in common".to_owned()
        } else {
            format!("in {}", fields.join(", "))
        },
    )
}

fn object(found: &Found<'_>) -> Value {
    let entry = found.entry;
    let fields: BTreeMap<String, f32> = Field::ALL
        .iter()
        .zip(found.by_field)
        .filter(|(_, s)| *s > 0.0)
        .map(|(f, s)| (f.to_string(), s))
        .collect();
    described(
        entry,
        [
            ("score", json!(found.score)),
            ("lexical", json!(found.lexical)),
            ("dense", json!(found.dense)),
            ("fields", json!(fields)),
        ],
    )
}

/// An entry for programs, with what was found of it.
pub(super) fn described<const N: usize>(entry: &Entry, found: [(&str, Value); N]) -> Value {
    let mut object = json!({
        "id": entry.id,
        "kind": entry.kind,
        "name": entry.name,
        "export_name": catalogue::export_name(&entry.id),
        "description": entry.description,
        "group": entry.group,
    });
    for (key, value) in found {
        object[key] = value;
    }
    object
}
