//! Logged outcomes: what each model made of each query, and what that cost.
//!
//! Everything at the model level that is trained, measured or replayed starts from such a table. Its constructor validates, so
//! that whoever reads it need not: names differ, every row has a place for each model, scores lie in 0 to 1, costs are not
//! negative. A score or cost that is not known is absent, never zero.

use fingerpost_core::Name;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What each model made of each query.
///
/// ```
/// use fingerpost_models::{Logged, OutcomeTable};
/// let mut table = OutcomeTable::new(["small".into(), "large".into()])?;
/// table.push(Logged { scores: vec![Some(0.0), Some(1.0)], ..Logged::query("1", "prove it") })?;
/// table.push(Logged { scores: vec![None, Some(0.5)], ..Logged::query("2", "name it") })?;
/// assert_eq!(table.mean_score(0), Some(0.0));
/// assert_eq!(table.mean_score(1), Some(0.75));
/// # Ok::<(), fingerpost_models::OutcomeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OutcomeTable {
    models: Vec<Name>,
    rows: Vec<Logged>,
}

/// One query with its outcomes, in the order of the table's models.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Logged {
    /// Names the row in messages.
    pub id: String,
    /// The query.
    pub text: String,
    /// What kind of query it is, where somebody said so. Routers never see it; baselines and reports do.
    pub task: Option<Name>,
    /// How good each model's answer was, 0 to 1.
    pub scores: Vec<Option<f32>>,
    /// What each model's answer cost, in US dollars; empty where nothing is known.
    pub costs: Vec<Option<f64>>,
    /// What each model answered; empty where no answers were logged. Few need them: whoever compares answers does.
    pub responses: Vec<Option<String>>,
}

/// What is wrong with logged outcomes.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum OutcomeError {
    /// A model stands twice.
    #[error("the model `{0}` stands twice among the models; names must differ")]
    DuplicateModel(Name),
    /// No model at all.
    #[error("there are no models; an outcome table needs one at least")]
    NoModels,
    /// A row with more or fewer values than models.
    #[error(
        "row `{id}` has {found} {what} for {models} models; give one a model (null where it is not known)"
    )]
    Ragged {
        /// The row.
        id: String,
        /// `scores`, `costs` or `responses`.
        what: &'static str,
        /// Values found.
        found: usize,
        /// Models of the table.
        models: usize,
    },
    /// A score out of range.
    #[error("row `{id}`: the score of `{model}` must be a number from 0 to 1, found {found}")]
    Score {
        /// The row.
        id: String,
        /// Whose score.
        model: Name,
        /// What was found.
        found: f32,
    },
    /// A cost that is negative or no number.
    #[error("row `{id}`: the cost of `{model}` must be a finite number of at least 0, found {found}")]
    Cost {
        /// The row.
        id: String,
        /// Whose cost.
        model: Name,
        /// What was found, in US dollars.
        found: f64,
    },
}

// === impl OutcomeTable ===

impl OutcomeTable {
    /// A table of these models, without rows.
    ///
    /// # Errors
    /// [`OutcomeError::NoModels`], [`OutcomeError::DuplicateModel`].
    pub fn new(models: impl IntoIterator<Item = Name>) -> Result<Self, OutcomeError> {
        let models: Vec<Name> = models.into_iter().collect();
        if models.is_empty() {
            return Err(OutcomeError::NoModels);
        }
        if let Some(twice) = (1..models.len()).find(|&i| models[..i].contains(&models[i])) {
            return Err(OutcomeError::DuplicateModel(models[twice].clone()));
        }
        Ok(Self {
            models,
            rows: Vec::new(),
        })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// What is wrong with it, by its id; the table is unchanged then.
    pub fn push(&mut self, row: Logged) -> Result<(), OutcomeError> {
        self.check_length(&row, "scores", row.scores.len())?;
        if !row.costs.is_empty() {
            self.check_length(&row, "costs", row.costs.len())?;
        }
        if !row.responses.is_empty() {
            self.check_length(&row, "responses", row.responses.len())?;
        }
        for (model, score) in self.models.iter().zip(&row.scores) {
            if let Some(found) = score.filter(|s| !(0.0..=1.0).contains(s)) {
                let (id, model) = (row.id, model.clone());
                return Err(OutcomeError::Score { id, model, found });
            }
        }
        for (model, cost) in self.models.iter().zip(&row.costs) {
            if let Some(found) = cost.filter(|c| !(*c >= 0.0 && c.is_finite())) {
                let (id, model) = (row.id, model.clone());
                return Err(OutcomeError::Cost { id, model, found });
            }
        }
        self.rows.push(row);
        Ok(())
    }

    fn check_length(&self, row: &Logged, what: &'static str, found: usize) -> Result<(), OutcomeError> {
        if found == self.models.len() {
            return Ok(());
        }
        Err(OutcomeError::Ragged {
            id: row.id.clone(),
            what,
            found,
            models: self.models.len(),
        })
    }

    /// The models, in the order of every row.
    pub fn models(&self) -> &[Name] {
        &self.models
    }

    /// The rows, in the order in which they came.
    pub fn rows(&self) -> &[Logged] {
        &self.rows
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A table of the same models with the rows that `keep` accepts.
    #[must_use]
    pub fn filtered(&self, mut keep: impl FnMut(&Logged) -> bool) -> Self {
        Self {
            models: self.models.clone(),
            rows: self.rows.iter().filter(|r| keep(r)).cloned().collect(),
        }
    }

    /// The mean score of a model over the rows where it is known; `None` where it is known nowhere.
    pub fn mean_score(&self, model: usize) -> Option<f64> {
        let known = self
            .rows
            .iter()
            .filter_map(|r| r.scores.get(model).copied().flatten());
        mean(known.map(f64::from))
    }

    /// The mean cost of a model in US dollars over the rows where it is known; `None` where it is known nowhere.
    pub fn mean_cost(&self, model: usize) -> Option<f64> {
        mean(
            self.rows
                .iter()
                .filter_map(|r| r.costs.get(model).copied().flatten()),
        )
    }
}

// === impl Logged ===

impl Logged {
    /// A query without outcomes.
    pub fn query(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            text: text.into(),
            ..Self::default()
        }
    }

    /// The highest known score; `None` where none is known.
    pub fn best_score(&self) -> Option<f32> {
        self.scores.iter().flatten().copied().reduce(f32::max)
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), v| (sum + v, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> OutcomeTable {
        OutcomeTable::new(["a".into(), "b".into()]).unwrap()
    }

    #[test]
    fn what_is_wrong_with_a_row_is_said_by_its_id() {
        let row = |scores: &[Option<f32>], costs: &[Option<f64>]| Logged {
            scores: scores.to_vec(),
            costs: costs.to_vec(),
            ..Logged::query("q7", "text")
        };
        let refused = |row| table().push(row).unwrap_err().to_string();
        assert_eq!(
            refused(row(&[Some(1.0)], &[])),
            "row `q7` has 1 scores for 2 models; give one a model (null where it is not known)"
        );
        assert_eq!(
            refused(row(&[Some(1.0), Some(f32::NAN)], &[])),
            "row `q7`: the score of `b` must be a number from 0 to 1, found NaN"
        );
        assert_eq!(
            refused(row(&[Some(1.0), None], &[Some(-0.5), None])),
            "row `q7`: the cost of `a` must be a finite number of at least 0, found -0.5"
        );
        assert!(refused(row(&[None, None], &[None])).contains("1 costs for 2 models"));
        let answered = Logged {
            responses: vec![None],
            ..row(&[None, None], &[])
        };
        assert!(refused(answered).contains("1 responses for 2 models"));
    }

    #[test]
    fn models_have_names_of_their_own() {
        assert_eq!(OutcomeTable::new([]).unwrap_err(), OutcomeError::NoModels);
        let twice = OutcomeTable::new(["a".into(), "b".into(), "a".into()]);
        assert_eq!(twice.unwrap_err(), OutcomeError::DuplicateModel("a".into()));
    }

    #[test]
    fn means_leave_out_what_is_not_known() {
        let mut table = table();
        for (score, cost) in [(Some(1.0), Some(0.2)), (None, None), (Some(0.5), Some(0.4))] {
            let row = Logged {
                scores: vec![score, None],
                costs: vec![cost, None],
                ..Logged::default()
            };
            table.push(row).unwrap();
        }
        assert_eq!(table.mean_score(0), Some(0.75));
        assert!((table.mean_cost(0).unwrap() - 0.3).abs() < 1e-12);
        assert_eq!((table.mean_score(1), table.mean_cost(1)), (None, None));
        assert_eq!(table.filtered(|r| r.scores[0].is_some()).len(), 2);
    }
}
