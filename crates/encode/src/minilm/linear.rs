//! Dense layers: `y = x W' + b` for a few rows of `x` and a weight matrix that never changes.
//!
//! A general matrix product would lay the weights out anew in each call, which for the few rows of a
//! prompt costs as much as the product itself. Here they are laid out once, at load: panels of
//! sixteen outputs, within a panel input by input, so that the kernel reads them in one straight run,
//! each panel once a block of rows. The kernel keeps a tile of up to six rows by sixteen outputs
//! in registers; lane width and fused multiply-add are chosen at run time by `pulp`.

use pulp::{Arch, Simd, WithSimd};

/// Outputs in a panel; two registers of AVX2.
pub(super) const PANEL: usize = 16;
/// Rows in a tile: 6 rows x 2 registers of sums leave room for weights and one input.
const TILE: usize = 6;

/// A weight matrix in panels, with its bias.
pub(super) struct Linear {
    inputs: usize,
    outputs: usize,
    panels: Vec<f32>,
    bias: Vec<f32>,
}

// === impl Linear ===

impl Linear {
    /// Lays out `weight`, given row by row: `outputs` rows of `inputs`, `bias.len()` outputs
    /// (a multiple of 16).
    pub(super) fn new(weight: &[f32], bias: Vec<f32>, inputs: usize) -> Self {
        let outputs = bias.len();
        let mut panels = vec![0.0; inputs * outputs];
        for (panel, rows) in panels
            .chunks_exact_mut(inputs * PANEL)
            .zip(weight.chunks_exact(inputs * PANEL))
        {
            for (input, place) in panel.chunks_exact_mut(PANEL).enumerate() {
                for (output, value) in place.iter_mut().enumerate() {
                    *value = rows[output * inputs + input];
                }
            }
        }
        Self {
            inputs,
            outputs,
            panels,
            bias,
        }
    }

    /// Writes the layer's outputs for every row of `x` into `y`.
    pub(super) fn apply(&self, arch: Arch, x: &[f32], y: &mut [f32]) {
        if x.is_empty() {
            return;
        }
        for (number, (panel, bias)) in self
            .panels
            .chunks_exact(self.inputs * PANEL)
            .zip(self.bias.chunks_exact(PANEL))
            .enumerate()
        {
            multiply(
                arch,
                Product {
                    x,
                    x_stride: self.inputs,
                    inputs: self.inputs,
                    panel,
                    bias,
                    scale: 1.0,
                    y: &mut y[number * PANEL..],
                    y_stride: self.outputs,
                },
            );
        }
    }
}

/// One panel's outputs for all rows: `y[r] = scale * x[r] . panel + bias`.
pub(super) struct Product<'a> {
    /// Rows, each `x_stride` after the last; the first `inputs` values of each are used.
    pub(super) x: &'a [f32],
    pub(super) x_stride: usize,
    pub(super) inputs: usize,
    /// `inputs` groups of 16 weights.
    pub(super) panel: &'a [f32],
    /// 16 values.
    pub(super) bias: &'a [f32],
    pub(super) scale: f32,
    /// Rows of 16 values, each `y_stride` after the last.
    pub(super) y: &'a mut [f32],
    pub(super) y_stride: usize,
}

pub(super) fn multiply(arch: Arch, product: Product<'_>) {
    arch.dispatch(product);
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.tiles::<S, 1>(simd),
            8 => self.tiles::<S, 2>(simd),
            4 => self.tiles::<S, 4>(simd),
            _ => self.tiles_scalar(),
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const V: usize>(mut self, simd: S) {
        let (x, stride, inputs) = (self.x, self.x_stride, self.inputs);
        let rows = (x.len() + stride - inputs) / stride;
        let mut row = 0;
        while row < rows {
            let at = |i: usize| &x[(row + i) * stride..][..inputs];
            // A last tile of seven or eight rows is cut into halves rather than six and a rest of one.
            let left = rows - row;
            let taken = match left {
                8 => 4,
                7 => 4,
                _ => left.min(TILE),
            };
            match taken {
                6 => self.tile::<S, V, 6>(simd, [at(0), at(1), at(2), at(3), at(4), at(5)], row),
                5 => self.tile::<S, V, 5>(simd, [at(0), at(1), at(2), at(3), at(4)], row),
                4 => self.tile::<S, V, 4>(simd, [at(0), at(1), at(2), at(3)], row),
                3 => self.tile::<S, V, 3>(simd, [at(0), at(1), at(2)], row),
                2 => self.tile::<S, V, 2>(simd, [at(0), at(1)], row),
                _ => self.tile::<S, V, 1>(simd, [at(0)], row),
            }
            row += taken;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const V: usize, const R: usize>(&mut self, simd: S, rows: [&[f32]; R], first: usize) {
        let (weights, _) = S::as_simd_f32s(self.panel);
        let (groups, _) = weights.as_chunks::<V>();
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        for (input, group) in groups.iter().enumerate().take(self.inputs) {
            for r in 0..R {
                let value = simd.splat_f32s(rows[r][input]);
                for v in 0..V {
                    sums[r][v] = simd.mul_add_e_f32s(value, group[v], sums[r][v]);
                }
            }
        }
        let (bias, _) = S::as_simd_f32s(self.bias);
        let scale = simd.splat_f32s(self.scale);
        #[allow(
            clippy::needless_range_loop,
            reason = "constant bounds let the compiler unroll"
        )]
        for r in 0..R {
            let place = &mut self.y[(first + r) * self.y_stride..][..PANEL];
            let (place, _) = S::as_mut_simd_f32s(place);
            for v in 0..V {
                place[v] = simd.mul_add_e_f32s(sums[r][v], scale, bias[v]);
            }
        }
    }

    /// For machines without known vector units; plain loops that the compiler may still widen.
    #[inline(always)]
    fn tiles_scalar(self) {
        let rows = (self.x.len() + self.x_stride - self.inputs) / self.x_stride;
        for row in 0..rows {
            let x = &self.x[row * self.x_stride..][..self.inputs];
            let mut sums = [0.0_f32; PANEL];
            for (value, group) in x.iter().zip(self.panel.as_chunks::<PANEL>().0) {
                for lane in 0..PANEL {
                    sums[lane] += value * group[lane];
                }
            }
            let place = &mut self.y[row * self.y_stride..][..PANEL];
            for lane in 0..PANEL {
                place[lane] = sums[lane] * self.scale + self.bias[lane];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_plain_product_for_any_number_of_rows() {
        let (inputs, outputs) = (40, 32);
        let weight: Vec<f32> = (0..inputs * outputs)
            .map(|i| ((i * 7919) % 101) as f32 / 50.0 - 1.0)
            .collect();
        let bias: Vec<f32> = (0..outputs).map(|i| i as f32 / 10.0).collect();
        let layer = Linear::new(&weight, bias.clone(), inputs);
        for arch in [Arch::new(), Arch::Scalar] {
            for rows in 0..20 {
                let x: Vec<f32> = (0..rows * inputs)
                    .map(|i| ((i * 31) % 17) as f32 / 8.0 - 1.0)
                    .collect();
                let mut y = vec![0.0; rows * outputs];
                layer.apply(arch, &x, &mut y);
                for r in 0..rows {
                    for o in 0..outputs {
                        let expected: f32 = bias[o]
                            + (0..inputs)
                                .map(|i| x[r * inputs + i] * weight[o * inputs + i])
                                .sum::<f32>();
                        let found = y[r * outputs + o];
                        assert!(
                            (found - expected).abs() < 1e-4,
                            "row {r} output {o}: {found} for {expected}"
                        );
                    }
                }
            }
        }
    }
}
