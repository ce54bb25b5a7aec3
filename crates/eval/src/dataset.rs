//! Data sets of outcomes: what each of several models made of each of many queries, with the parts they are split into.
//!
//! A folder holds `models.json` (an array of model cards: `{"name", "description"?, "family"?, "benchmark_scores"?: {task: percent},
//! "input_price_usd_per_m"?, "output_price_usd_per_m"?}`), if it likes `task_feature.json` (what each task is) and
//! `domain_task_map.json` (the tasks of each domain), and `outcomes.jsonl` or `outcomes.jsonl.gz`, a row a line:
//! `{"id", "text", "task"?, "split", "scores": [..], "cost_usd"?: [..], "responses"?: [..], "orig_split"?, "contaminated"?}`,
//! scores, costs and responses in the order of the cards, `null` where not known. Costs that are not there are estimated from the cards' prices: a token for
//! every four bytes in, 128 out. Rows marked as contaminated are left out.

mod about;

use std::path::{Path, PathBuf};

use fingerpost_core::{Name, Profile};
use fingerpost_models::{Cards, Logged, OutcomeError, OutcomeTable};
use serde::Deserialize;
use thiserror::Error;

use self::about::About;
use crate::lines::{LinesError, read_lines};

/// Output tokens that an estimated cost counts.
const OUTPUT_TOKENS: f64 = 128.0;

/// A data set of outcomes.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// The name of its folder.
    pub name: String,
    /// What is known of the models, in the order of every row.
    pub profiles: Vec<Profile>,
    /// What is published of models, tasks and domains; much of it may be absent.
    pub cards: Cards,
    /// Whether costs were estimated from prices; `None` where there are none at all.
    pub costs: Option<CostSource>,
    table: OutcomeTable,
    /// The part and, where the data name one, the part of the original of each row.
    parts: Vec<(Name, Option<Name>)>,
}

/// Where costs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostSource {
    /// They are logged.
    Logged,
    /// They are estimated from prices and lengths.
    Estimated,
}

/// Why a data set cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file that cannot be read, or a line of it.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// Neither form of the outcomes is there.
    #[error("{} holds neither outcomes.jsonl nor outcomes.jsonl.gz", .0.display())]
    NoOutcomes(PathBuf),
    /// A file on models or tasks is not what it should be.
    #[error("{}: {why}", path.display())]
    Models {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No row of that part.
    #[error("no row of the split `{asked}`; there are: {there}")]
    NoSplit {
        /// What was asked for.
        asked: String,
        /// What there is.
        there: String,
    },
}

#[derive(Deserialize)]
struct Line {
    id: String,
    text: String,
    task: Option<Name>,
    split: Name,
    orig_split: Option<Name>,
    scores: Vec<Option<f32>>,
    cost_usd: Option<Vec<Option<f64>>>,
    #[serde(default)]
    responses: Vec<Option<String>>,
    #[serde(default)]
    contaminated: bool,
}

// === impl DataSet ===

impl DataSet {
    /// Reads the data set of a folder.
    ///
    /// # Errors
    /// What is wrong with one of its files, by line and row.
    pub fn open(folder: &Path) -> Result<Self, DataError> {
        let About { profiles, cards } = About::open(folder)?;
        let path = ["outcomes.jsonl.gz", "outcomes.jsonl"].map(|f| folder.join(f));
        let Some(path) = path.into_iter().find(|p| p.exists()) else {
            return Err(DataError::NoOutcomes(folder.to_owned()));
        };
        let mut table =
            OutcomeTable::new(profiles.iter().map(|p| p.name.clone())).map_err(|e| DataError::Models {
                path: folder.join("models.json"),
                why: e.to_string(),
            })?;
        let (mut parts, mut logged, mut estimated) = (Vec::new(), false, false);
        read_lines(&path, |number, line: Line| {
            if line.contaminated {
                return Ok(());
            }
            let costs = match line.cost_usd {
                Some(costs) => {
                    logged = true;
                    costs
                }
                None => {
                    let costs: Vec<Option<f64>> = profiles.iter().map(|p| estimate(p, &line.text)).collect();
                    estimated |= costs.iter().any(Option::is_some);
                    costs
                }
            };
            let row = Logged {
                id: line.id,
                text: line.text,
                task: line.task,
                scores: line.scores,
                costs,
                responses: line.responses,
            };
            table
                .push(row)
                .map_err(|e: OutcomeError| LinesError::line(&path, number, &e))?;
            parts.push((line.split, line.orig_split));
            Ok(())
        })?;
        let costs = match (logged, estimated) {
            (true, _) => Some(CostSource::Logged),
            (false, true) => Some(CostSource::Estimated),
            (false, false) => None,
        };
        let name = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let name = name.file_name().map(|n| n.to_string_lossy().into_owned());
        Ok(Self {
            name: name.unwrap_or_default(),
            profiles,
            cards,
            costs,
            table,
            parts,
        })
    }

    /// The rows of a part: `SPLIT`, or `SPLIT:ORIGINAL` for those of them that stood in this part of the original data, or
    /// `SPLIT:!ORIGINAL` for the others.
    ///
    /// # Errors
    /// [`DataError::NoSplit`] where there is no such row; it says which parts there are.
    pub fn part(&self, asked: &str) -> Result<OutcomeTable, DataError> {
        let (split, original) = asked.split_once(':').map_or((asked, None), |(s, o)| (s, Some(o)));
        let fits = |(own, own_original): &(Name, Option<Name>)| {
            let original_fits = original.is_none_or(|wanted| {
                let is = |name: &str| own_original.as_ref().is_some_and(|o| *o == *name);
                wanted
                    .strip_prefix('!')
                    .map_or_else(|| is(wanted), |not| !is(not))
            });
            *own == *split && original_fits
        };
        let mut fitting = self.parts.iter().map(fits);
        let part = self.table.filtered(|_| fitting.next().unwrap_or(false));
        if part.is_empty() {
            let mut there: Vec<&str> = self.parts.iter().map(|(s, _)| s.as_str()).collect();
            there.sort_unstable();
            there.dedup();
            return Err(DataError::NoSplit {
                asked: asked.to_owned(),
                there: there.join(", "),
            });
        }
        Ok(part)
    }

    /// All rows.
    pub fn table(&self) -> &OutcomeTable {
        &self.table
    }
}

/// What an answer of a model would cost by its prices: a token for every four bytes in, 128 out.
fn estimate(profile: &Profile, text: &str) -> Option<f64> {
    let price = profile.price?;
    let input = text.len().div_ceil(4) as f64;
    Some((price.input.get() * input + price.output.get() * OUTPUT_TOKENS) / 1e6)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(models: &str, outcomes: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("models.json"), models).unwrap();
        fs::write(folder.path().join("outcomes.jsonl"), outcomes).unwrap();
        folder
    }

    const MODELS: &str =
        r#"[{"name":"a","input_price_usd_per_m":1.0,"output_price_usd_per_m":2.0},{"name":"b"}]"#;

    #[test]
    fn parts_and_estimated_costs() {
        let data = folder(
            MODELS,
            concat!(
                r#"{"id":"1","text":"12345","split":"train","orig_split":"ood","scores":[1,null]}"#,
                "\n\n",
                r#"{"id":"2","text":"x","split":"train","scores":[0,1]}"#,
                "\n",
                r#"{"id":"3","text":"x","split":"val","scores":[0,1],"contaminated":true}"#,
            ),
        );
        let data = DataSet::open(data.path()).unwrap();
        assert_eq!(data.costs, Some(CostSource::Estimated));
        let train = data.part("train").unwrap();
        assert_eq!(train.len(), 2);
        // Two tokens in at 1, 128 out at 2 dollars a million.
        assert_eq!(train.rows()[0].costs, [Some(258e-6), None]);
        assert_eq!(data.part("train:ood").unwrap().rows()[0].id, "1");
        assert_eq!(data.part("train:!ood").unwrap().rows()[0].id, "2");
        let error = data.part("val").unwrap_err().to_string();
        assert_eq!(error, "no row of the split `val`; there are: train");
    }

    #[test]
    fn cards_tell_what_is_published() {
        let models = r#"[{"name":"a","description":"A model.","family":"f","benchmark_scores":{"m":80,"elo":1200,"n":null}}]"#;
        let data = folder(models, "");
        fs::write(data.path().join("task_feature.json"), r#"{"m":"Sums."}"#).unwrap();
        let cards = DataSet::open(data.path()).unwrap().cards;
        let card = &cards.models["a"];
        assert_eq!(
            (&*card.description, card.family.as_deref()),
            ("A model.", Some("f"))
        );
        assert_eq!(card.scores, [("m".into(), 0.8)].into(), "no percentage, no share");
        assert_eq!(cards.tasks["m"], "Sums.");
        assert!(cards.domains.is_empty());
        fs::write(data.path().join("domain_task_map.json"), "[]").unwrap();
        let error = DataSet::open(data.path()).unwrap_err().to_string();
        assert!(error.contains("domain_task_map.json: invalid type"), "{error}");
    }

    #[test]
    fn faults_are_named_by_line() {
        let refused = |models: &str, outcomes: &str| {
            let data = folder(models, outcomes);
            let error = DataSet::open(data.path()).unwrap_err().to_string();
            error.replace(&data.path().display().to_string(), "DIR")
        };
        assert!(refused(MODELS, "{\"id\":1}").starts_with("DIR/outcomes.jsonl line 1: invalid type"));
        let ragged = r#"{"id":"1","text":"","split":"s","scores":[1]}"#;
        assert!(refused(MODELS, ragged).contains("line 1: row `1` has 1 scores for 2 models"));
        let negative = r#"{"id":"1","text":"","split":"s","scores":[1,1],"cost_usd":[-1,0]}"#;
        assert!(refused(MODELS, negative).contains("the cost of `a` must be a finite number of at least 0"));
        assert!(refused("[]", "").contains("there are no models"));
        let not_a_number = r#"{"id":"1","text":"","split":"s","scores":[NaN,1]}"#;
        assert!(refused(MODELS, not_a_number).starts_with("DIR/outcomes.jsonl line 1: "));
        assert!(
            refused(
                r#"[{"name":"a","input_price_usd_per_m":-1,"output_price_usd_per_m":1}]"#,
                ""
            )
            .contains("price of `a`")
        );
        let empty = tempfile::tempdir().unwrap();
        fs::write(empty.path().join("models.json"), MODELS).unwrap();
        assert!(matches!(
            DataSet::open(empty.path()),
            Err(DataError::NoOutcomes(_))
        ));
    }
}
