//! 256 bits: four accumulators, then eights, then a masked rest.

use std::arch::x86_64::*;

/// `MASKS[8 - n..]` starts with n set lanes.
static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

#[inline]
#[target_feature(enable = "avx2,fma")]
fn sum(v: __m256) -> f32 {
    let half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
    _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn sum_i32(v: __m256i) -> i32 {
    let half = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
    let pair = _mm_add_epi32(half, _mm_shuffle_epi32::<0b01_00_11_10>(half));
    _mm_cvtsi128_si32(_mm_add_epi32(pair, _mm_shuffle_epi32::<0b10_11_00_01>(pair)))
}

/// Folds pairs of lanes of two slices: `$step(accumulator, a, b)`.
macro_rules! fold {
    ($a:expr, $b:expr, $step:expr) => {{
        let (a, b) = ($a, $b);
        let length = a.len().min(b.len());
        let (pa, pb) = (a.as_ptr(), b.as_ptr());
        let mut sums = [_mm256_setzero_ps(); 4];
        let mut at = 0;
        while at + 32 <= length {
            for (lane, sum) in sums.iter_mut().enumerate() {
                // SAFETY: at + 32 <= length, so eight floats from at + 8 * lane lie inside both slices.
                let (x, y) = unsafe {
                    (
                        _mm256_loadu_ps(pa.add(at + 8 * lane)),
                        _mm256_loadu_ps(pb.add(at + 8 * lane)),
                    )
                };
                *sum = $step(*sum, x, y);
            }
            at += 32;
        }
        let mut lane = 0;
        while at + 8 <= length {
            // SAFETY: at + 8 <= length.
            let (x, y) = unsafe { (_mm256_loadu_ps(pa.add(at)), _mm256_loadu_ps(pb.add(at))) };
            sums[lane] = $step(sums[lane], x, y);
            lane = (lane + 1) & 3;
            at += 8;
        }
        if at < length {
            // SAFETY: MASKS has 16 entries and length - at is 1 to 7; masked lanes are not read.
            let (x, y) = unsafe {
                let mask = _mm256_loadu_si256(MASKS.as_ptr().add(8 - (length - at)).cast());
                (
                    _mm256_maskload_ps(pa.add(at), mask),
                    _mm256_maskload_ps(pb.add(at), mask),
                )
            };
            sums[lane] = $step(sums[lane], x, y);
        }
        sum(_mm256_add_ps(
            _mm256_add_ps(sums[0], sums[1]),
            _mm256_add_ps(sums[2], sums[3]),
        ))
    }};
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    fold!(a, b, |sum, x, y| _mm256_fmadd_ps(x, y, sum))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn squared_l2(a: &[f32], b: &[f32]) -> f32 {
    fold!(a, b, |sum, x, y| {
        let difference = _mm256_sub_ps(x, y);
        _mm256_fmadd_ps(difference, difference, sum)
    })
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn dot_codes(a: &[i8], b: &[i8]) -> i32 {
    let length = a.len().min(b.len());
    let mut sum = _mm256_setzero_si256();
    let mut at = 0;
    while at + 16 <= length {
        // SAFETY: at + 16 <= length.
        let (x, y) = unsafe {
            (
                _mm_loadu_si128(a.as_ptr().add(at).cast()),
                _mm_loadu_si128(b.as_ptr().add(at).cast()),
            )
        };
        sum = _mm256_add_epi32(
            sum,
            _mm256_madd_epi16(_mm256_cvtepi8_epi16(x), _mm256_cvtepi8_epi16(y)),
        );
        at += 16;
    }
    sum_i32(sum) + super::scalar::dot_codes(&a[at..length], &b[at..length])
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn dot_wide(query: &[i16], codes: &[i8]) -> i32 {
    let length = query.len().min(codes.len());
    let mut sums = [_mm256_setzero_si256(); 2];
    let mut at = 0;
    while at + 32 <= length {
        for (lane, sum) in sums.iter_mut().enumerate() {
            // SAFETY: at + 32 <= length, so sixteen values from at + 16 * lane lie inside both slices.
            let (x, y) = unsafe {
                let at = at + 16 * lane;
                (
                    _mm256_loadu_si256(query.as_ptr().add(at).cast()),
                    _mm_loadu_si128(codes.as_ptr().add(at).cast()),
                )
            };
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, _mm256_cvtepi8_epi16(y)));
        }
        at += 32;
    }
    if at + 16 <= length {
        // SAFETY: at + 16 <= length.
        let (x, y) = unsafe {
            (
                _mm256_loadu_si256(query.as_ptr().add(at).cast()),
                _mm_loadu_si128(codes.as_ptr().add(at).cast()),
            )
        };
        sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(x, _mm256_cvtepi8_epi16(y)));
        at += 16;
    }
    let rest: i32 = query[at..length]
        .iter()
        .zip(&codes[at..length])
        .map(|(x, y)| i32::from(*x) * i32::from(*y))
        .sum();
    sum_i32(_mm256_add_epi32(sums[0], sums[1])) + rest
}

row_loops!("avx2,fma");
