//! Matrices of 8-bit numbers, and their product with activations, as an operation of candle.
//!
//! candle has such matrices of its own, but its product runs on one pool of threads for the whole process that spins
//! at a barrier after every matrix and admits one caller at a time. That is fast on an idle machine and harmful in a
//! server: with other work on the cores a token took 450 ms on two threads where one thread needs 60, and the spinning
//! takes the cores from the requests being served. This product runs on the thread that asks for it, so generations
//! neither wait for each other nor disturb anybody. The instruction set is chosen at run time by `pulp`; the loops are
//! plain Rust that the compiler turns into vector instructions.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use pulp::Arch;

/// Numbers that share one scale: a power of two that divides the width of the usual models.
const BLOCK: usize = 32;

/// Rows of activations that are multiplied with a row of weights while it is in the fastest cache.
const TILE: usize = 16;

/// A matrix, row after row, each number as `scale * quant` with a scale per [`BLOCK`] numbers.
pub(crate) struct EightBit {
    rows: usize,
    columns: usize,
    quants: Vec<i8>,
    scales: Vec<f32>,
    arch: Arch,
}

// === impl EightBit ===

impl EightBit {
    /// Rounds a matrix to eight bits. The number of columns must be a multiple of 32.
    pub(crate) fn round(matrix: &Tensor) -> Result<Self> {
        let (rows, columns) = matrix.dims2()?;
        if !columns.is_multiple_of(BLOCK) {
            bail!("a matrix of {columns} columns cannot be stored in blocks of {BLOCK}");
        }
        let values = matrix.flatten_all()?.to_vec1::<f32>()?;
        let mut quants = vec![0; values.len()];
        let mut scales = vec![0.0; values.len() / BLOCK];
        let arch = Arch::new();
        arch.dispatch(|| round_into(&values, &mut quants, &mut scales));
        Ok(Self {
            rows,
            columns,
            quants,
            scales,
            arch,
        })
    }

    /// The given rows, in single precision, below each other.
    ///
    /// # Errors
    /// When there is no such row.
    pub(crate) fn rows(&self, rows: &[u32]) -> Result<Tensor> {
        let mut values = Vec::with_capacity(rows.len() * self.columns);
        for row in rows {
            let from = *row as usize * self.columns;
            let Some(quants) = self.quants.get(from..from + self.columns) else {
                bail!("no row {row} in a matrix of {} rows", self.rows);
            };
            let scales = &self.scales[from / BLOCK..];
            for (block, scale) in quants.as_chunks::<BLOCK>().0.iter().zip(scales) {
                values.extend(block.iter().map(|quant| f32::from(*quant) * scale));
            }
        }
        Tensor::from_vec(values, (rows.len(), self.columns), &candle_core::Device::Cpu)
    }

    /// Each row of `x` times each row of the matrix: `[m, columns]` to `[m, rows]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.apply_op1_no_bwd(self)
    }

    fn multiply(&self, x: &[f32]) -> Vec<f32> {
        let (k, n) = (self.columns, self.rows);
        let m = x.len() / k;
        let mut quants = vec![0; x.len()];
        let mut scales = vec![0.0; x.len() / BLOCK];
        let mut out = vec![0.0; m * n];
        self.arch.dispatch(|| {
            round_into(x, &mut quants, &mut scales);
            for first in (0..m).step_by(TILE) {
                for row in 0..n {
                    let weights = &self.quants[row * k..][..k];
                    let weight_scales = &self.scales[row * k / BLOCK..][..k / BLOCK];
                    for i in first..m.min(first + TILE) {
                        let x = &quants[i * k..][..k];
                        out[i * n + row] =
                            dot(weights, weight_scales, x, &scales[i * k / BLOCK..][..k / BLOCK]);
                    }
                }
            }
        });
        out
    }
}

impl CustomOp1 for EightBit {
    fn name(&self) -> &'static str {
        "eight-bit product"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (m, k) = layout.shape().dims2()?;
        let Some((from, to)) = layout.contiguous_offsets().filter(|_| k == self.columns) else {
            bail!(
                "expected {} contiguous columns, found {:?}",
                self.columns,
                layout.shape()
            );
        };
        let x = &storage.as_slice::<f32>()?[from..to];
        Ok((CpuStorage::F32(self.multiply(x)), Shape::from((m, self.rows))))
    }
}

// Inlined by force: only code inside of the dispatched closure is compiled for the instruction set at hand.
#[inline(always)]
fn round_into(values: &[f32], quants: &mut [i8], scales: &mut [f32]) {
    let blocks = values
        .as_chunks::<BLOCK>()
        .0
        .iter()
        .zip(quants.as_chunks_mut::<BLOCK>().0)
        .zip(scales);
    for ((values, quants), scale) in blocks {
        let largest = values
            .iter()
            .fold(0f32, |largest, value| largest.max(value.abs()));
        *scale = largest / 127.0;
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        for (quant, value) in quants.iter_mut().zip(values) {
            let scaled = value * inverse;
            // Half away from zero; `as` cuts off and saturates, so not-a-number and infinity do no harm either.
            *quant = (scaled + 0.5f32.copysign(scaled)) as i8;
        }
    }
}

#[inline(always)]
fn dot(a: &[i8], a_scales: &[f32], b: &[i8], b_scales: &[f32]) -> f32 {
    let blocks = a.as_chunks::<BLOCK>().0.iter().zip(b.as_chunks::<BLOCK>().0);
    let mut sum = 0.0;
    for ((a, b), (a_scale, b_scale)) in blocks.zip(a_scales.iter().zip(b_scales)) {
        let product: i32 = a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
        sum += product as f32 * (a_scale * b_scale);
    }
    sum
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn values(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    #[test]
    fn a_block_keeps_its_largest_number_and_rounds_the_others() {
        let mut block = vec![0f32; BLOCK];
        block[0] = -254.0;
        block[1] = 3.0;
        block[2] = 0.9;
        let matrix = EightBit::round(&Tensor::from_vec(block, (1, BLOCK), &Device::Cpu).unwrap()).unwrap();
        assert_eq!(matrix.scales, [2.0]);
        assert_eq!(
            matrix.quants[..4],
            [-127, 2, 0, 0],
            "1.5 away from zero, 0.45 to zero"
        );
        let rows = matrix
            .rows(&[0])
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        assert_eq!(rows[..4], [-254.0, 4.0, 0.0, 0.0]);
        assert!(matrix.rows(&[1]).is_err());
    }

    #[test]
    fn the_product_is_near_the_exact_one_for_any_number_of_rows() {
        let (k, n) = (96, 7);
        let weights = Tensor::from_vec(values(n * k, 1), (n, k), &Device::Cpu).unwrap();
        let matrix = EightBit::round(&weights).unwrap();
        for m in [1, 2, 15, 16, 17, 40] {
            let x = Tensor::from_vec(values(m * k, 2), (m, k), &Device::Cpu).unwrap();
            let exact = x.matmul(&weights.t().unwrap()).unwrap();
            let found = matrix.forward(&x).unwrap();
            assert_eq!(found.dims(), [m, n]);
            let error = (exact - found)
                .unwrap()
                .abs()
                .unwrap()
                .max_all()
                .unwrap()
                .to_scalar::<f32>()
                .unwrap();
            // Each of the 96 products is off by at most about 2/254; the errors mostly cancel.
            assert!(error < 0.1, "{error} at {m} rows");
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let matrix =
            EightBit::round(&Tensor::zeros((2, 64), candle_core::DType::F32, &Device::Cpu).unwrap()).unwrap();
        let x = Tensor::zeros((1, 32), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(matrix.forward(&x).is_err());
        assert!(EightBit::round(&x.narrow(1, 0, 31).unwrap().contiguous().unwrap()).is_err());
    }
}
