//! The vectors of an index, as they are compared: f32, or int8 codes with a scale of their own.
//!
//! A coded vector x is c * s with codes c in -127..=127 and s = max |x| / 127, so nothing has to be trained and every vector uses
//! all of its codes. A query is taken to 13 bits, so that only the stored side is rounded:
//! q . x = s_q * s * (integer dot). Squared distance uses the stored |x|^2 of the decoded vector.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    block::Block,
    error::Error,
    file::{Reader, Writer},
    kernel::{Kernel, prefetch},
    metric::Metric,
};

/// How the components of vectors are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 4 bytes a component.
    #[default]
    F32,
    /// 1 byte a component and up to 8 a vector. Distances are approximate, to about 1 % of a component's range.
    Int8,
    /// Int8 for the search, and the f32 originals to rank its finds again: 5 bytes a component, of which an opened file keeps
    /// 4 on disk until they are needed.
    #[serde(rename = "int8-rerank")]
    Int8Rerank,
}

/// Vectors by slot.
#[derive(Debug)]
pub(crate) struct Rows {
    metric: Metric,
    dim: usize,
    precision: Precision,
    kernel: Kernel,
    /// Row-major; empty with int8 alone.
    floats: Block<f32>,
    codes: Block<i8>,
    scales: Block<f32>,
    /// Squared lengths of the decoded vectors; L2 of codes only.
    squares: Block<f32>,
}

/// A query in the form that rows are compared with.
#[derive(Debug, Default, Clone)]
pub(crate) struct Query {
    pub(crate) floats: Vec<f32>,
    wide: Vec<i16>,
    scale: f32,
    square: f32,
    sums: Vec<i32>,
}

// === impl Rows ===

impl Rows {
    pub(crate) fn new(metric: Metric, dim: usize, precision: Precision) -> Self {
        Self {
            metric,
            dim,
            precision,
            kernel: Kernel::detect(),
            floats: Block::default(),
            codes: Block::default(),
            scales: Block::default(),
            squares: Block::default(),
        }
    }

    pub(crate) fn metric(&self) -> Metric {
        self.metric
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    #[cfg(test)]
    pub(crate) fn use_kernel(&mut self, kernel: Kernel) {
        self.kernel = kernel;
    }

    fn is_coded(&self) -> bool {
        self.precision != Precision::F32
    }

    fn has_floats(&self) -> bool {
        self.precision != Precision::Int8
    }

    fn has_squares(&self) -> bool {
        self.is_coded() && self.metric == Metric::L2
    }

    /// Makes room for so many more vectors, and no more than that.
    pub(crate) fn reserve(&mut self, vectors: usize) {
        if self.has_floats() {
            self.floats.to_mut().reserve_exact(vectors * self.dim);
        }
        if self.is_coded() {
            self.codes.to_mut().reserve_exact(vectors * self.dim);
            self.scales.to_mut().reserve_exact(vectors);
        }
        if self.has_squares() {
            self.squares.to_mut().reserve_exact(vectors);
        }
    }

    /// Appends admitted vectors.
    pub(crate) fn push(&mut self, admitted: &[f32]) {
        if self.has_floats() {
            self.floats.to_mut().extend_from_slice(admitted);
        }
        if self.is_coded() {
            for vector in admitted.chunks_exact(self.dim) {
                let scale = scale_of(vector, 127.0);
                self.scales.to_mut().push(scale);
                let codes = self.codes.to_mut();
                let from = codes.len();
                codes.extend(vector.iter().map(|x| (x / scale).round() as i8));
                if self.metric == Metric::L2 {
                    let square = square_of(&codes[from..], scale);
                    self.squares.to_mut().push(square);
                }
            }
        }
    }

    /// Puts an admitted vector into a slot that is free.
    pub(crate) fn replace(&mut self, slot: u32, admitted: &[f32]) {
        let slot = slot as usize;
        let place = slot * self.dim..(slot + 1) * self.dim;
        if self.has_floats() {
            self.floats.to_mut()[place.clone()].copy_from_slice(admitted);
        }
        if self.is_coded() {
            let scale = scale_of(admitted, 127.0);
            self.scales.to_mut()[slot] = scale;
            let codes = &mut self.codes.to_mut()[place];
            for (code, x) in codes.iter_mut().zip(admitted) {
                *code = (x / scale).round() as i8;
            }
            if self.metric == Metric::L2 {
                let square = square_of(codes, scale);
                self.squares.to_mut()[slot] = square;
            }
        }
    }

    /// Sets the query to an admitted vector.
    pub(crate) fn prepare(&self, query: &mut Query) {
        if !self.is_coded() {
            return;
        }
        // The sum of products must fit 32 bits.
        let limit = (i32::MAX / 127 / self.dim.max(1) as i32).clamp(1, 8191) as f32;
        query.scale = scale_of(&query.floats, limit);
        query.wide.clear();
        query
            .wide
            .extend(query.floats.iter().map(|x| (x / query.scale).round() as i16));
        query.square = query.floats.iter().map(|x| x * x).sum();
    }

    /// Sets the query to the vector of a slot.
    pub(crate) fn prepare_slot(&self, slot: u32, query: &mut Query) {
        let slot = slot as usize;
        let place = slot * self.dim..(slot + 1) * self.dim;
        query.floats.clear();
        if !self.is_coded() {
            query.floats.extend_from_slice(&self.floats.as_slice()[place]);
            return;
        }
        let codes = &self.codes.as_slice()[place];
        query.scale = self.scales.as_slice()[slot];
        query
            .floats
            .extend(codes.iter().map(|c| f32::from(*c) * query.scale));
        query.wide.clear();
        query.wide.extend(codes.iter().map(|c| i16::from(*c)));
        query.square = if self.has_squares() {
            self.squares.as_slice()[slot]
        } else {
            0.0
        };
    }

    /// Distances of the query to the slots, into `out`.
    #[inline]
    pub(crate) fn distances(&self, query: &mut Query, slots: &[u32], out: &mut Vec<f32>) {
        out.clear();
        out.resize(slots.len(), 0.0);
        if !self.is_coded() {
            self.float_distances(&query.floats, slots, out);
            return;
        }
        query.sums.clear();
        query.sums.resize(slots.len(), 0);
        self.kernel
            .dot_code_rows(&query.wide, self.codes.as_slice(), slots, &mut query.sums);
        let scales = self.scales.as_slice();
        for ((out, &slot), &sum) in out.iter_mut().zip(slots).zip(&query.sums) {
            let dot = sum as f32 * query.scale * scales[slot as usize];
            *out = match self.metric {
                Metric::L2 => (query.square + self.squares.as_slice()[slot as usize] - 2.0 * dot).max(0.0),
                Metric::Ip | Metric::Cosine => 1.0 - dot,
            };
        }
    }

    #[inline]
    fn float_distances(&self, query: &[f32], slots: &[u32], out: &mut [f32]) {
        let rows = self.floats.as_slice();
        match self.metric {
            Metric::L2 => self.kernel.squared_l2_rows(query, rows, slots, out),
            Metric::Ip | Metric::Cosine => {
                self.kernel.dot_rows(query, rows, slots, out);
                out.iter_mut().for_each(|d| *d = 1.0 - *d);
            }
        }
    }

    /// Whether finds can be ranked again by the originals.
    pub(crate) fn can_rerank(&self) -> bool {
        self.precision == Precision::Int8Rerank
    }

    /// Distances by the originals; only where [`can_rerank`](Self::can_rerank).
    pub(crate) fn original_distances(&self, query: &Query, slots: &[u32], out: &mut Vec<f32>) {
        out.clear();
        out.resize(slots.len(), 0.0);
        self.float_distances(&query.floats, slots, out);
    }

    /// The distance between two slots.
    #[inline]
    pub(crate) fn between(&self, a: u32, b: u32) -> f32 {
        let (a, b) = (a as usize, b as usize);
        let (pa, pb) = (a * self.dim..(a + 1) * self.dim, b * self.dim..(b + 1) * self.dim);
        if !self.is_coded() {
            let rows = self.floats.as_slice();
            return match self.metric {
                Metric::L2 => self.kernel.squared_l2(&rows[pa], &rows[pb]),
                Metric::Ip | Metric::Cosine => 1.0 - self.kernel.dot(&rows[pa], &rows[pb]),
            };
        }
        let codes = self.codes.as_slice();
        let scales = self.scales.as_slice();
        let dot = self.kernel.dot_codes(&codes[pa], &codes[pb]) as f32 * scales[a] * scales[b];
        match self.metric {
            Metric::L2 => {
                let squares = self.squares.as_slice();
                (squares[a] + squares[b] - 2.0 * dot).max(0.0)
            }
            Metric::Ip | Metric::Cosine => 1.0 - dot,
        }
    }

    /// Fetches the slot's vector ahead of its use.
    #[inline]
    pub(crate) fn prefetch(&self, slot: u32) {
        let at = slot as usize * self.dim;
        if self.is_coded() {
            prefetch(&self.codes.as_slice()[at..at + self.dim]);
        } else {
            prefetch(&self.floats.as_slice()[at..at + self.dim]);
        }
    }

    /// Bytes of what a search reads, and of the originals beside it.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let coded = self.codes.bytes() + self.scales.bytes() + self.squares.bytes();
        match self.precision {
            Precision::F32 => (self.floats.bytes(), 0),
            Precision::Int8 | Precision::Int8Rerank => (coded, self.floats.bytes()),
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.section(self.floats.as_slice());
        writer.section(self.codes.as_slice());
        writer.section(self.scales.as_slice());
        writer.section(self.squares.as_slice());
    }

    pub(crate) fn read(
        reader: &mut Reader,
        path: &Path,
        shape: (Metric, usize, Precision),
        count: usize,
    ) -> Result<Self, Error> {
        let mut rows = Self::new(shape.0, shape.1, shape.2);
        let cells = count
            .checked_mul(shape.1)
            .ok_or_else(|| Error::corrupt(path, "too many components"))?;
        let given = |is: bool, n: usize| if is { n } else { 0 };
        rows.floats = reader.section("vectors", given(rows.has_floats(), cells))?;
        rows.codes = reader.section("codes", given(rows.is_coded(), cells))?;
        rows.scales = reader.section("scales", given(rows.is_coded(), count))?;
        rows.squares = reader.section("squares", given(rows.has_squares(), count))?;
        Ok(rows)
    }
}

/// The value of one step, so that the largest magnitude is `steps` of them. Never zero.
fn scale_of(vector: &[f32], steps: f32) -> f32 {
    let largest = vector.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    (largest / steps).max(f32::MIN_POSITIVE)
}

fn square_of(codes: &[i8], scale: f32) -> f32 {
    let sum: i64 = codes.iter().map(|c| i64::from(*c).pow(2)).sum();
    sum as f32 * scale * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(metric: Metric, precision: Precision) -> Rows {
        let mut rows = Rows::new(metric, 3, precision);
        rows.push(&[1.0, 2.0, 2.0, 0.0, -1.0, 0.5]);
        rows
    }

    #[test]
    fn distances_by_hand() {
        for precision in [Precision::F32, Precision::Int8, Precision::Int8Rerank] {
            for (metric, expected, between) in
                [(Metric::L2, [0.0, 12.25], 12.25), (Metric::Ip, [-8.0, 2.0], 2.0)]
            {
                let mut rows = rows(metric, precision);
                for kernel in Kernel::available() {
                    rows.use_kernel(kernel);
                    let mut query = Query {
                        floats: vec![1.0, 2.0, 2.0],
                        ..Query::default()
                    };
                    rows.prepare(&mut query);
                    let mut out = Vec::new();
                    rows.distances(&mut query, &[0, 1], &mut out);
                    for (found, expected) in out.iter().zip(expected) {
                        assert!(
                            (found - expected).abs() < 0.06,
                            "{metric:?} {precision:?}: {found}"
                        );
                    }
                    assert!((rows.between(0, 1) - between).abs() < 0.06);
                }
            }
        }
    }

    #[test]
    fn a_zero_vector_has_a_scale() {
        let mut rows = Rows::new(Metric::L2, 2, Precision::Int8);
        rows.push(&[0.0, 0.0]);
        rows.replace(0, &[0.0, 3.0]);
        let mut query = Query::default();
        rows.prepare_slot(0, &mut query);
        assert!((query.floats[1] - 3.0).abs() < 1e-6 && query.floats[0] == 0.0);
    }
}
