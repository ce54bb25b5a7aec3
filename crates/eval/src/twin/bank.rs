//! Rows, sorted into runs.

use rustc_hash::FxHashMap;

use super::Row;

/// Rows in their order, and the runs (trajectories) that they are steps of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bank {
    rows: Vec<Row>,
    /// Positions of rows a run, by step; runs in the order in which they first appear.
    runs: Vec<Vec<usize>>,
}

/// Rows that do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BankError {
    /// A step of a run stands twice.
    #[error("step {step_index} of `{instance_id}` stands twice; a run has each step once")]
    StepTwice {
        /// Position of the second row, from 0.
        at: usize,
        /// The run.
        instance_id: String,
        /// The step.
        step_index: u32,
    },
    /// A run in two workloads.
    #[error("`{instance_id}` is in `{found}` here and in `{first}` before; a run belongs to one benchmark")]
    TwoBenchmarks {
        /// Position of the row, from 0.
        at: usize,
        /// The run.
        instance_id: String,
        /// The benchmark of its first row.
        first: String,
        /// The benchmark of this row.
        found: String,
    },
}

// === impl Bank ===

impl Bank {
    /// Sorts rows into runs.
    ///
    /// # Errors
    /// [`BankError`] for the first row that does not fit.
    pub fn new(rows: Vec<Row>) -> Result<Self, BankError> {
        let mut places: FxHashMap<&str, usize> = FxHashMap::default();
        let mut runs: Vec<Vec<usize>> = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let place = *places.entry(&row.instance_id).or_insert_with(|| {
                runs.push(Vec::new());
                runs.len() - 1
            });
            let run = &mut runs[place];
            if let Some(&first) = run.first()
                && rows[first].benchmark != row.benchmark
            {
                return Err(BankError::TwoBenchmarks {
                    at,
                    instance_id: row.instance_id.clone(),
                    first: rows[first].benchmark.clone(),
                    found: row.benchmark.clone(),
                });
            }
            let after = run.partition_point(|&other| rows[other].step_index < row.step_index);
            if run
                .get(after)
                .is_some_and(|&other| rows[other].step_index == row.step_index)
            {
                return Err(BankError::StepTwice {
                    at,
                    instance_id: row.instance_id.clone(),
                    step_index: row.step_index,
                });
            }
            run.insert(after, at);
        }
        Ok(Self { rows, runs })
    }

    /// The rows, in their order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The runs, each as positions in [`rows`](Self::rows) by step.
    pub fn runs(&self) -> &[Vec<usize>] {
        &self.runs
    }

    /// The runs that `keep` holds for, asked by instance id.
    pub fn part(&self, keep: impl Fn(&str) -> bool) -> Self {
        let rows: Vec<Row> = self
            .rows
            .iter()
            .filter(|row| keep(&row.instance_id))
            .cloned()
            .collect();
        // Rows that fitted together fit together in part.
        Self::new(rows).unwrap_or_default()
    }
}

impl BankError {
    /// Position of the row that does not fit, from 0.
    pub fn at(&self) -> usize {
        match self {
            Self::StepTwice { at, .. } | Self::TwoBenchmarks { at, .. } => *at,
        }
    }
}
