//! The two steps between the matrices, as operations of candle: causal softmax and the gate of the feed-forward part.
//!
//! candle hands large tensors to its spinning pool here too (see [`crate::eight_bit`]); these run on the thread that
//! asks, and each does in one pass over the numbers what would otherwise take three.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

/// Softmax over the last dimension of scores `[heads, n, len]`, where row `i` of the `n` may look at the first
/// `len - n + i + 1` columns only; the others become 0.
pub(crate) fn causal_softmax(scores: &Tensor) -> Result<Tensor> {
    scores.apply_op1_no_bwd(&CausalSoftmax)
}

/// `silu(gate) * up` for rows `[gate, up]` of equal halves.
pub(crate) fn gated(gate_up: &Tensor) -> Result<Tensor> {
    gate_up.apply_op1_no_bwd(&Gated)
}

struct CausalSoftmax;

struct Gated;

impl CustomOp1 for CausalSoftmax {
    fn name(&self) -> &'static str {
        "causal softmax"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, n, len) = layout.shape().dims3()?;
        let mut values = contiguous(storage, layout)?.to_vec();
        if n > len {
            bail!("{n} tokens cannot look at {len}");
        }
        for (i, row) in values.chunks_exact_mut(len).enumerate() {
            let (seen, hidden) = row.split_at_mut(len - n + i % n + 1);
            let largest = seen.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for value in seen.iter_mut() {
                *value = (*value - largest).exp();
                sum += *value;
            }
            seen.iter_mut().for_each(|value| *value /= sum);
            hidden.fill(0.0);
        }
        Ok((CpuStorage::F32(values), layout.shape().clone()))
    }
}

impl CustomOp1 for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, both) = layout.shape().dims2()?;
        let values = contiguous(storage, layout)?;
        let mut out = Vec::with_capacity(values.len() / 2);
        for row in values.chunks_exact(both) {
            let (gate, up) = row.split_at(both / 2);
            out.extend(
                gate.iter()
                    .zip(up)
                    .map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up),
            );
        }
        Ok((CpuStorage::F32(out), Shape::from((n, both / 2))))
    }
}

fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&storage.as_slice::<f32>()?[from..to]),
        None => bail!("expected a contiguous tensor, found {layout:?}"),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn rows_look_at_what_is_before_them_and_no_further() {
        let third = 3f32.ln();
        // One head, two new tokens behind one old one.
        let scores = Tensor::new(&[[[0.0, third, 9.0], [0.0, 0.0, 0.0f32]]], &Device::Cpu).unwrap();
        let weights = causal_softmax(&scores)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        let expected = [0.25, 0.75, 0.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0];
        assert!(
            weights.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
            "{weights:?}"
        );
        let more_rows_than_columns = Tensor::new(&[[[0.0f32], [0.0]]], &Device::Cpu).unwrap();
        assert!(causal_softmax(&more_rows_than_columns).is_err());
    }

    #[test]
    fn the_gate_is_the_silu_of_the_first_half() {
        let both = Tensor::new(&[[0.0, 3f32.ln(), 7.0, 2.0]], &Device::Cpu).unwrap();
        let out = gated(&both)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        // The logistic function of ln 3 is 3/4.
        assert!(
            out[0] == 0.0 && (out[1] - 1.5 * 3f32.ln()).abs() < 1e-6,
            "{out:?}"
        );
    }
}
