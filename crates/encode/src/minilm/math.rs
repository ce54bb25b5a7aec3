//! The functions between the matrix products, written so that the compiler can widen them.
//!
//! `exp` and `erf` of the standard library are calls that stop a loop from being widened; here they
//! are short polynomials with errors (2e-7 of the value; 3e-7 absolute) far below what the
//! encoder's result shows.

use pulp::Arch;

/// e to the x. Below -87 the result is about 1e-38 instead of a smaller number.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // Adding and taking away 1.5 * 2^23 rounds to the nearest whole number.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    // ln 2 in two parts, so that the remainder keeps its low bits.
    let rest = x - power * 0.693_359_4 + power * 2.121_944_4e-4;
    // Taylor's series about 0 for |rest| <= ln 2 / 2; the next term is below 6e-8.
    let poly = 1.0
        + rest
            * (1.0
                + rest
                    * (0.5
                        + rest
                            * (1.0 / 6.0
                                + rest * (1.0 / 24.0 + rest * (1.0 / 120.0 + rest * (1.0 / 720.0))))));
    let exponent = (shifted.to_bits() << 23).wrapping_add(0x3f80_0000);
    poly * f32::from_bits(exponent)
}

/// The error function by Abramowitz and Stegun's formula 7.1.26.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let size = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * size);
    let poly =
        t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    (1.0 - poly * exp(-size * size)).copysign(x)
}

/// Replaces each value by `x * Phi(x)`, Phi the normal distribution function.
pub(super) fn gelu(arch: Arch, values: &mut [f32]) {
    arch.dispatch(
        #[inline(always)]
        || {
            for x in values {
                *x = 0.5 * *x * (1.0 + erf(*x * std::f32::consts::FRAC_1_SQRT_2));
            }
        },
    );
}

/// Turns each row of `length` scores (rows lie `stride` apart) into weights that sum to one; what
/// lies between `length` and `stride` becomes zero.
pub(super) fn softmax_rows(arch: Arch, rows: &mut [f32], length: usize, stride: usize) {
    arch.dispatch(
        #[inline(always)]
        || {
            for row in rows.chunks_exact_mut(stride) {
                let (scores, padding) = row.split_at_mut(length);
                let mut top = [f32::NEG_INFINITY; 8];
                let (blocks, rest) = scores.as_chunks::<8>();
                for block in blocks {
                    for lane in 0..8 {
                        top[lane] = if block[lane] > top[lane] {
                            block[lane]
                        } else {
                            top[lane]
                        };
                    }
                }
                let top = rest.iter().chain(&top).fold(f32::NEG_INFINITY, |a, &b| a.max(b));
                for score in scores.iter_mut() {
                    *score = exp(*score - top);
                }
                let mut sums = [0.0; 8];
                let (blocks, rest) = scores.as_chunks::<8>();
                for block in blocks {
                    for lane in 0..8 {
                        sums[lane] += block[lane];
                    }
                }
                let scale = 1.0 / (sums.iter().sum::<f32>() + rest.iter().sum::<f32>());
                for score in scores.iter_mut() {
                    *score *= scale;
                }
                padding.fill(0.0);
            }
        },
    );
}

/// `x = normalise(x + added) * weight + bias` for every row of `weight.len()` values.
pub(super) fn add_and_norm(
    arch: Arch,
    x: &mut [f32],
    added: &[f32],
    weight: &[f32],
    bias: &[f32],
    epsilon: f32,
) {
    arch.dispatch(
        #[inline(always)]
        || {
            let width = weight.len();
            for (row, added) in x.chunks_exact_mut(width).zip(added.chunks_exact(width)) {
                for (value, more) in row.iter_mut().zip(added) {
                    *value += more;
                }
                let mean = lanes_sum(row, |value| value) / width as f32;
                let variance = lanes_sum(row, |value| (value - mean) * (value - mean)) / width as f32;
                let scale = 1.0 / (variance + epsilon).sqrt();
                for ((value, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
                    *value = (*value - mean) * scale * weight + bias;
                }
            }
        },
    );
}

#[inline(always)]
fn lanes_sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0; 16];
    let (blocks, rest) = values.as_chunks::<16>();
    for block in blocks {
        for lane in 0..16 {
            sums[lane] += of(block[lane]);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|&value| of(value)).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_exact_to_a_few_units_in_the_last_place() {
        for i in -8700..=8800_i32 {
            let x = i as f32 / 100.0;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 4e-7, "exp({x}): relative error {error}");
        }
        assert!(exp(-1e9) < 1e-37);
    }

    #[test]
    fn erf_meets_known_values() {
        for (x, expected) in [
            (0.0, 0.0),
            (0.5, 0.520_499_9),
            (1.0, 0.842_700_8),
            (-2.0, -0.995_322_3),
        ] {
            assert!((erf(x) - expected).abs() < 5e-7, "erf({x}) = {}", erf(x));
        }
    }

    #[test]
    fn gelu_meets_known_values() {
        let mut values = [0.0, 1.0, -1.0, 3.0];
        gelu(Arch::new(), &mut values);
        for (found, expected) in values.iter().zip([0.0, 0.841_344_7, -0.158_655_3, 2.995_950_3]) {
            assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
        }
    }

    #[test]
    fn softmax_sums_to_one_and_clears_the_padding() {
        let mut rows = [1.0, 2.0, 3.0, 9.0, 0.0, 0.0, 0.0, 9.0];
        softmax_rows(Arch::new(), &mut rows, 3, 4);
        let expected = [
            0.090_030_57,
            0.244_728_48,
            0.665_240_94,
            0.0,
            1.0 / 3.0,
            1.0 / 3.0,
            1.0 / 3.0,
            0.0,
        ];
        for (found, expected) in rows.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{rows:?}");
        }
    }

    #[test]
    fn a_normalised_row_has_mean_zero_and_variance_one() {
        let mut row = [1.0, 2.0, 3.0, 4.0];
        add_and_norm(Arch::new(), &mut row, &[1.0; 4], &[1.0; 4], &[0.5; 4], 0.0);
        let s = 5.0_f32.sqrt();
        for (found, expected) in row.iter().zip([-3.0 / s, -1.0 / s, 1.0 / s, 3.0 / s]) {
            assert!((found - expected - 0.5).abs() < 1e-6, "{row:?}");
        }
    }
}
