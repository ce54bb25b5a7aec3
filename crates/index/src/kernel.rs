//! Distances between vectors by the widest instructions of the machine, chosen at run time.
//!
//! Every kernel has a scalar twin ([`Width::Scalar`]) that the tests hold it against. A kernel reads two slices of one length
//! and nothing else; the callers here cut the slices, so that a wrong length is a panic of the slice and never a stray read.
//! Sums are taken in another order than the twin's: results agree to about 1e-6 of the sum of magnitudes.

#![allow(unsafe_code)]

/// The loops over rows of a width, compiled with its instructions so that its `dot`, `squared_l2` and `dot_wide` fold into them.
macro_rules! row_loops {
    ($features:literal) => {
        #[target_feature(enable = $features)]
        pub(super) fn dot_rows(query: &[f32], rows: &[f32], slots: &[u32], out: &mut [f32]) {
            for (slot, out) in slots.iter().zip(out) {
                *out = dot(query, super::row(rows, query.len(), *slot));
            }
        }

        #[target_feature(enable = $features)]
        pub(super) fn squared_l2_rows(query: &[f32], rows: &[f32], slots: &[u32], out: &mut [f32]) {
            for (slot, out) in slots.iter().zip(out) {
                *out = squared_l2(query, super::row(rows, query.len(), *slot));
            }
        }

        #[target_feature(enable = $features)]
        pub(super) fn dot_code_rows(query: &[i16], rows: &[i8], slots: &[u32], out: &mut [i32]) {
            for (slot, out) in slots.iter().zip(out) {
                *out = dot_wide(query, super::row(rows, query.len(), *slot));
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use std::sync::OnceLock;

/// The instructions that a [`Kernel`] uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// Plain Rust.
    Scalar,
    /// 256 bits, with fused multiply-add (x86-64).
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512 bits (x86-64: F and BW).
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 128 bits (AArch64).
    #[cfg(target_arch = "aarch64")]
    Neon,
}

/// The distance functions of one width. Only widths that this machine has can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel(Width);

/// Calls the function of the kernel's width.
macro_rules! dispatch {
    ($kernel:expr, $function:ident($($argument:expr),*)) => {
        match $kernel.0 {
            Width::Scalar => scalar::$function($($argument),*),
            // SAFETY: a kernel of this width is made only by `Kernel::of`, after the machine was asked for its features.
            #[cfg(target_arch = "x86_64")]
            Width::Avx2 => unsafe { avx2::$function($($argument),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Width::Avx512 => unsafe { avx512::$function($($argument),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Width::Neon => unsafe { neon::$function($($argument),*) },
        }
    };
}

// === impl Kernel ===

impl Kernel {
    /// The widest kernel of this machine; found once.
    pub fn detect() -> Self {
        static WIDEST: OnceLock<Kernel> = OnceLock::new();
        *WIDEST.get_or_init(|| *Self::available().last().unwrap_or(&Self(Width::Scalar)))
    }

    /// The kernel of a width, if this machine has the instructions.
    pub fn of(width: Width) -> Option<Self> {
        let has = match width {
            Width::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Width::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Width::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw"),
            #[cfg(target_arch = "aarch64")]
            Width::Neon => std::arch::is_aarch64_feature_detected!("neon"),
        };
        has.then_some(Self(width))
    }

    /// All kernels of this machine, the scalar one first and the widest last.
    pub fn available() -> Vec<Self> {
        let widths = [
            Width::Scalar,
            #[cfg(target_arch = "x86_64")]
            Width::Avx2,
            #[cfg(target_arch = "x86_64")]
            Width::Avx512,
            #[cfg(target_arch = "aarch64")]
            Width::Neon,
        ];
        widths.into_iter().filter_map(Self::of).collect()
    }

    /// The instructions it uses.
    pub fn width(self) -> Width {
        self.0
    }

    /// The sum of products of two vectors of one length.
    #[inline]
    pub fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "vectors of one length");
        dispatch!(self, dot(a, b))
    }

    /// The sum of squared differences of two vectors of one length.
    #[inline]
    pub fn squared_l2(self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "vectors of one length");
        dispatch!(self, squared_l2(a, b))
    }

    /// The sum of products of two code vectors of one length, exact (at most 131,072 components).
    #[inline]
    pub fn dot_codes(self, a: &[i8], b: &[i8]) -> i32 {
        assert_eq!(a.len(), b.len(), "vectors of one length");
        dispatch!(self, dot_codes(a, b))
    }

    /// [`dot`](Self::dot) of a query with the rows of a matrix (row-major, as wide as the query) named by `slots`.
    #[inline]
    pub fn dot_rows(self, query: &[f32], rows: &[f32], slots: &[u32], out: &mut [f32]) {
        dispatch!(self, dot_rows(query, rows, slots, out));
    }

    /// [`squared_l2`](Self::squared_l2) of a query with the rows of a matrix named by `slots`.
    #[inline]
    pub fn squared_l2_rows(self, query: &[f32], rows: &[f32], slots: &[u32], out: &mut [f32]) {
        dispatch!(self, squared_l2_rows(query, rows, slots, out));
    }

    /// The sums of products of a 16-bit query with the rows of codes named by `slots`. Exact while
    /// max |query| * 127 * components stays below 2^31.
    #[inline]
    pub fn dot_code_rows(self, query: &[i16], rows: &[i8], slots: &[u32], out: &mut [i32]) {
        dispatch!(self, dot_code_rows(query, rows, slots, out));
    }
}

/// The row of a matrix.
#[inline(always)]
fn row<T>(rows: &[T], width: usize, slot: u32) -> &[T] {
    let at = slot as usize * width;
    &rows[at..at + width]
}

/// Asks the processor for what will be read soon. Nothing is read, so nothing can go wrong.
#[inline(always)]
pub(crate) fn prefetch<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start = values.as_ptr().cast::<i8>();
        for at in (0..size_of_val(values)).step_by(64) {
            // SAFETY: a prefetch touches no memory as the language sees it; the address lies inside the slice.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.add(at)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
        (0..300_usize).prop_flat_map(|n| {
            let vector = || prop::collection::vec(-100.0..100.0_f32, n);
            (vector(), vector())
        })
    }

    fn codes() -> impl Strategy<Value = (Vec<i8>, Vec<i8>)> {
        (0..300_usize).prop_flat_map(|n| {
            let vector = || prop::collection::vec(-127..=127_i8, n);
            (vector(), vector())
        })
    }

    proptest! {
        #[test]
        fn every_width_agrees_with_its_scalar_twin((a, b) in pairs()) {
            let magnitude: f32 = a.iter().zip(&b).map(|(x, y)| x.abs().max(y.abs()).powi(2)).sum();
            for kernel in Kernel::available() {
                prop_assert!((kernel.dot(&a, &b) - scalar::dot(&a, &b)).abs() <= 1e-5 * magnitude);
                prop_assert!((kernel.squared_l2(&a, &b) - scalar::squared_l2(&a, &b)).abs() <= 4e-5 * magnitude);
            }
        }

        #[test]
        fn codes_are_summed_exactly((a, b) in codes()) {
            let expected: i32 = a.iter().zip(&b).map(|(x, y)| i32::from(*x) * i32::from(*y)).sum();
            let wide: Vec<i16> = a.iter().map(|&x| i16::from(x)).collect();
            for kernel in Kernel::available() {
                prop_assert_eq!(kernel.dot_codes(&a, &b), expected);
                let mut out = [0];
                kernel.dot_code_rows(&wide, &b, &[0], &mut out);
                prop_assert_eq!(out[0], expected);
            }
        }

        #[test]
        fn rows_are_the_rows_named((query, row) in pairs(), slots in prop::collection::vec(0..5_u32, 0..9)) {
            let rows: Vec<f32> = (0..5).flat_map(|i| row.iter().map(move |x| x * i as f32)).collect();
            for kernel in Kernel::available() {
                let (mut dots, mut squares) = (vec![0.0; slots.len()], vec![0.0; slots.len()]);
                kernel.dot_rows(&query, &rows, &slots, &mut dots);
                kernel.squared_l2_rows(&query, &rows, &slots, &mut squares);
                for (i, &slot) in slots.iter().enumerate() {
                    let row = super::row(&rows, query.len(), slot);
                    prop_assert_eq!(dots[i], kernel.dot(&query, row));
                    prop_assert_eq!(squares[i], kernel.squared_l2(&query, row));
                }
            }
        }
    }

    #[test]
    fn by_hand() {
        for kernel in Kernel::available() {
            assert_eq!(kernel.dot(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), 32.0);
            assert_eq!(kernel.squared_l2(&[1.0, 2.0, 3.0], &[4.0, 5.0, 7.0]), 34.0);
            assert_eq!(kernel.dot(&[], &[]), 0.0);
            assert_eq!(kernel.dot_codes(&[-127; 40], &[127; 40]), -645_160);
        }
    }

    #[test]
    #[should_panic(expected = "one length")]
    fn lengths_must_agree() {
        Kernel::detect().dot(&[1.0], &[1.0, 2.0]);
    }
}
