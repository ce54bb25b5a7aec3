//! Rows of one length, and how near each is to a vector.

use fingerpost_encode::dot;

/// Vectors of one length, one after the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    dims: usize,
    values: Vec<f32>,
}

// === impl Rows ===

impl Rows {
    pub(crate) fn new(dims: usize) -> Self {
        Self {
            dims,
            values: Vec::new(),
        }
    }

    pub(crate) fn dims(&self) -> usize {
        self.dims
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(crate) fn push(&mut self, row: &[f32]) {
        debug_assert_eq!(row.len(), self.dims);
        self.values.extend_from_slice(row);
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len().checked_div(self.dims).unwrap_or(0)
    }

    pub(crate) fn row(&self, place: usize) -> &[f32] {
        &self.values[place * self.dims..(place + 1) * self.dims]
    }

    /// The inner product of a vector with every row, in their order.
    pub(crate) fn near(&self, vector: &[f32]) -> impl Iterator<Item = f32> {
        self.values
            .chunks_exact(self.dims.max(1))
            .map(move |row| dot(row, vector))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<f32>()
    }
}

/// The places of the `k` highest scores above `floor`, best first; ties go to the first place.
pub(crate) fn best(scores: &[f32], k: usize, floor: f32) -> Vec<u32> {
    let mut places: Vec<u32> = (0..scores.len() as u32)
        .filter(|&p| scores[p as usize] > floor)
        .collect();
    let order = |a: &u32, b: &u32| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b));
    if k < places.len() {
        if k > 0 {
            places.select_nth_unstable_by(k - 1, order);
        }
        places.truncate(k);
    }
    places.sort_unstable_by(order);
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first_and_ties_by_place() {
        assert_eq!(best(&[0.1, 0.9, 0.5, 0.9, 0.0], 3, 0.0), [1, 3, 2]);
        assert_eq!(best(&[0.1, 0.0], 5, 0.0), [0]);
        assert!(best(&[1.0], 0, 0.0).is_empty());
        let mut rows = Rows::new(2);
        rows.push(&[1.0, 0.0]);
        rows.push(&[0.0, 2.0]);
        assert_eq!(rows.near(&[3.0, 4.0]).collect::<Vec<_>>(), [3.0, 8.0]);
        assert_eq!((rows.len(), rows.row(1)), (2, &[0.0, 2.0][..]));
    }
}
