//! Lists of candidates as numbers.

/// Lists of candidates, each a row of features and a grade.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lists {
    pub(crate) width: usize,
    /// Row by row.
    pub(crate) values: Vec<f32>,
    /// How right each row is: 0 for wrong.
    pub(crate) grades: Vec<f32>,
    /// Where each list ends.
    pub(crate) ends: Vec<usize>,
}

// === impl Lists ===

impl Lists {
    pub(crate) fn new(width: usize) -> Self {
        Self {
            width,
            ..Self::default()
        }
    }

    /// Adds a list.
    pub(crate) fn push(&mut self, rows: impl IntoIterator<Item = (impl AsRef<[f32]>, f32)>) {
        for (row, grade) in rows {
            debug_assert_eq!(row.as_ref().len(), self.width);
            self.values.extend_from_slice(row.as_ref());
            self.grades.push(grade);
        }
        self.ends.push(self.grades.len());
    }

    pub(crate) fn rows(&self) -> usize {
        self.grades.len()
    }

    pub(crate) fn row(&self, place: usize) -> &[f32] {
        &self.values[place * self.width..(place + 1) * self.width]
    }

    /// Where each list begins and ends.
    pub(crate) fn spans(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        (0..self.ends.len()).map(|list| self.span(list))
    }

    pub(crate) fn span(&self, list: usize) -> std::ops::Range<usize> {
        let begin = list.checked_sub(1).map_or(0, |before| self.ends[before]);
        begin..self.ends[list]
    }
}
