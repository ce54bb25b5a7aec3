//! 128 bits: four accumulators, then fours, then a plain rest.

use std::arch::aarch64::*;

/// Folds pairs of lanes of two slices: `$step(accumulator, a, b)`; the rest is left to `$scalar`.
macro_rules! fold {
    ($a:expr, $b:expr, $step:expr, $scalar:path) => {{
        let (a, b) = ($a, $b);
        let length = a.len().min(b.len());
        let (pa, pb) = (a.as_ptr(), b.as_ptr());
        let mut sums = [vdupq_n_f32(0.0); 4];
        let mut at = 0;
        while at + 16 <= length {
            for (lane, sum) in sums.iter_mut().enumerate() {
                // SAFETY: at + 16 <= length, so four floats from at + 4 * lane lie inside both slices.
                let (x, y) = unsafe { (vld1q_f32(pa.add(at + 4 * lane)), vld1q_f32(pb.add(at + 4 * lane))) };
                *sum = $step(*sum, x, y);
            }
            at += 16;
        }
        while at + 4 <= length {
            // SAFETY: at + 4 <= length.
            let (x, y) = unsafe { (vld1q_f32(pa.add(at)), vld1q_f32(pb.add(at))) };
            sums[0] = $step(sums[0], x, y);
            at += 4;
        }
        vaddvq_f32(vaddq_f32(
            vaddq_f32(sums[0], sums[1]),
            vaddq_f32(sums[2], sums[3]),
        )) + $scalar(&a[at..length], &b[at..length])
    }};
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    fold!(a, b, |sum, x, y| vfmaq_f32(sum, x, y), super::scalar::dot)
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn squared_l2(a: &[f32], b: &[f32]) -> f32 {
    fold!(
        a,
        b,
        |sum, x, y| {
            let difference = vsubq_f32(x, y);
            vfmaq_f32(sum, difference, difference)
        },
        super::scalar::squared_l2
    )
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn dot_codes(a: &[i8], b: &[i8]) -> i32 {
    let length = a.len().min(b.len());
    let mut sum = vdupq_n_s32(0);
    let mut at = 0;
    while at + 16 <= length {
        // SAFETY: at + 16 <= length.
        let (x, y) = unsafe { (vld1q_s8(a.as_ptr().add(at)), vld1q_s8(b.as_ptr().add(at))) };
        sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(x), vget_low_s8(y)));
        sum = vpadalq_s16(sum, vmull_high_s8(x, y));
        at += 16;
    }
    vaddvq_s32(sum) + super::scalar::dot_codes(&a[at..length], &b[at..length])
}

#[inline]
#[target_feature(enable = "neon")]
fn dot_wide(query: &[i16], codes: &[i8]) -> i32 {
    let length = query.len().min(codes.len());
    let mut sum = vdupq_n_s32(0);
    let mut at = 0;
    while at + 8 <= length {
        // SAFETY: at + 8 <= length.
        let (x, y) = unsafe {
            (
                vld1q_s16(query.as_ptr().add(at)),
                vmovl_s8(vld1_s8(codes.as_ptr().add(at))),
            )
        };
        sum = vmlal_s16(sum, vget_low_s16(x), vget_low_s16(y));
        sum = vmlal_high_s16(sum, x, y);
        at += 8;
    }
    let rest: i32 = query[at..length]
        .iter()
        .zip(&codes[at..length])
        .map(|(x, y)| i32::from(*x) * i32::from(*y))
        .sum();
    vaddvq_s32(sum) + rest
}

row_loops!("neon");
