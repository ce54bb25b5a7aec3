//! What is known of a list of candidates, column by column.

use super::field::Field;

/// A feature: what it is called, and the field that it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Feature {
    pub(crate) name: String,
    pub(crate) field: Field,
}

/// Features of a list of candidates.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sheet {
    pub(crate) features: Vec<Feature>,
    columns: Vec<Vec<f32>>,
}

// === impl Sheet ===

impl Sheet {
    /// Adds a column.
    pub(crate) fn add(&mut self, name: impl Into<String>, field: Field, column: Vec<f32>) {
        let name = name.into();
        self.features.push(Feature { name, field });
        self.columns.push(column);
    }

    /// Adds a column and how each value stands to the others: below the highest, and as a share.
    pub(crate) fn add_ranked(&mut self, name: &str, field: Field, column: Vec<f32>) {
        let highest = column.iter().copied().fold(0.0, f32::max);
        let below = column.iter().map(|v| v - highest).collect();
        let mut sorted = column.clone();
        sorted.sort_unstable_by(|a, b| b.total_cmp(a));
        let rank = |v: &f32| 1.0 / (1.0 + sorted.partition_point(|s| s > v) as f32);
        let ranks = column.iter().map(rank).collect();
        self.add(name, field, column);
        self.add(format!("{name}, below the best"), field, below);
        self.add(format!("{name}, inverse rank"), field, ranks);
    }

    /// The candidates' rows.
    pub(crate) fn rows(&self) -> Vec<Vec<f32>> {
        let candidates = self.columns.first().map_or(0, Vec::len);
        (0..candidates)
            .map(|row| self.columns.iter().map(|column| column[row]).collect())
            .collect()
    }
}
