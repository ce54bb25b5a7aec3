//! 512 bits: two accumulators of sixteen lanes, then a masked rest.

use std::arch::x86_64::*;

/// Folds pairs of lanes of two slices: `$step(accumulator, a, b)`.
macro_rules! fold {
    ($a:expr, $b:expr, $step:expr) => {{
        let (a, b) = ($a, $b);
        let length = a.len().min(b.len());
        let (pa, pb) = (a.as_ptr(), b.as_ptr());
        let mut sums = [_mm512_setzero_ps(); 2];
        let mut at = 0;
        while at + 32 <= length {
            for (lane, sum) in sums.iter_mut().enumerate() {
                // SAFETY: at + 32 <= length, so sixteen floats from at + 16 * lane lie inside both slices.
                let (x, y) = unsafe {
                    (
                        _mm512_loadu_ps(pa.add(at + 16 * lane)),
                        _mm512_loadu_ps(pb.add(at + 16 * lane)),
                    )
                };
                *sum = $step(*sum, x, y);
            }
            at += 32;
        }
        let mut lane = 0;
        while at < length {
            let rest = (length - at).min(16);
            let mask = ((1_u32 << rest) - 1) as __mmask16;
            // SAFETY: only the first `rest` lanes are read, and at + rest <= length.
            let (x, y) = unsafe {
                (
                    _mm512_maskz_loadu_ps(mask, pa.add(at)),
                    _mm512_maskz_loadu_ps(mask, pb.add(at)),
                )
            };
            sums[lane] = $step(sums[lane], x, y);
            lane ^= 1;
            at += rest;
        }
        _mm512_reduce_add_ps(_mm512_add_ps(sums[0], sums[1]))
    }};
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    fold!(a, b, |sum, x, y| _mm512_fmadd_ps(x, y, sum))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn squared_l2(a: &[f32], b: &[f32]) -> f32 {
    fold!(a, b, |sum, x, y| {
        let difference = _mm512_sub_ps(x, y);
        _mm512_fmadd_ps(difference, difference, sum)
    })
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn dot_codes(a: &[i8], b: &[i8]) -> i32 {
    let length = a.len().min(b.len());
    let mut sum = _mm512_setzero_si512();
    let mut at = 0;
    while at + 32 <= length {
        // SAFETY: at + 32 <= length.
        let (x, y) = unsafe {
            (
                _mm256_loadu_si256(a.as_ptr().add(at).cast()),
                _mm256_loadu_si256(b.as_ptr().add(at).cast()),
            )
        };
        sum = _mm512_add_epi32(
            sum,
            _mm512_madd_epi16(_mm512_cvtepi8_epi16(x), _mm512_cvtepi8_epi16(y)),
        );
        at += 32;
    }
    _mm512_reduce_add_epi32(sum) + super::scalar::dot_codes(&a[at..length], &b[at..length])
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn dot_wide(query: &[i16], codes: &[i8]) -> i32 {
    let length = query.len().min(codes.len());
    let mut sum = _mm512_setzero_si512();
    let mut at = 0;
    while at + 32 <= length {
        // SAFETY: at + 32 <= length.
        let (x, y) = unsafe {
            (
                _mm512_loadu_si512(query.as_ptr().add(at).cast()),
                _mm256_loadu_si256(codes.as_ptr().add(at).cast()),
            )
        };
        sum = _mm512_add_epi32(sum, _mm512_madd_epi16(x, _mm512_cvtepi8_epi16(y)));
        at += 32;
    }
    let rest: i32 = query[at..length]
        .iter()
        .zip(&codes[at..length])
        .map(|(x, y)| i32::from(*x) * i32::from(*y))
        .sum();
    _mm512_reduce_add_epi32(sum) + rest
}

row_loops!("avx512f,avx512bw");
