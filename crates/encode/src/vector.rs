//! The one vector type that encoders hand out, and the similarity between two of them.
//!
//! A [`Vector`] is shared by reference count, because the same vector sits in a cache, in a
//! request's signals and in a trace at once. Encoders return vectors of Euclidean length one (or
//! all zeros where the text holds nothing to encode), so that [`Vector::dot`] is the cosine.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A cosine similarity in `[-1, 1]`; 1 means the same direction, 0 unrelated.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Similarity(f32);

/// An immutable `f32` vector, cheap to clone.
#[derive(Clone, PartialEq)]
pub struct Vector(Arc<[f32]>);

// === impl Similarity ===

impl Similarity {
    /// Takes a raw cosine; rounding beyond the ends is cut, and not-a-number becomes 0.
    #[must_use]
    pub fn new(cosine: f32) -> Self {
        if cosine.is_nan() {
            Self(0.0)
        } else {
            Self(cosine.clamp(-1.0, 1.0))
        }
    }

    /// The cosine, in `[-1, 1]`.
    #[must_use]
    pub fn get(self) -> f32 {
        self.0
    }
}

impl fmt::Display for Similarity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4}", self.0)
    }
}

// === impl Vector ===

impl Vector {
    /// Takes the values as they are, without normalising them.
    #[must_use]
    pub fn new(values: impl Into<Arc<[f32]>>) -> Self {
        Self(values.into())
    }

    /// Takes the values scaled to length one; all zeros stay zeros.
    #[must_use]
    pub fn normalized(mut values: Vec<f32>) -> Self {
        normalize(&mut values);
        Self(values.into())
    }

    /// The mean direction of several vectors of equal length, normalised; `None` if there is none.
    ///
    /// ```
    /// use fingerpost_encode::Vector;
    /// let x = Vector::new([1.0, 0.0]);
    /// let y = Vector::new([0.0, 1.0]);
    /// let middle = Vector::centroid([&x, &y]).unwrap();
    /// assert!((middle[0] - 0.5_f32.sqrt()).abs() < 1e-6);
    /// ```
    pub fn centroid<'a>(members: impl IntoIterator<Item = &'a Vector>) -> Option<Self> {
        let mut members = members.into_iter();
        let mut sum = members.next()?.to_vec();
        for member in members {
            for (total, value) in sum.iter_mut().zip(member.iter()) {
                *total += value;
            }
        }
        Some(Self::normalized(sum))
    }

    /// The inner product; for two vectors from one encoder this is their cosine.
    #[must_use]
    pub fn dot(&self, other: &[f32]) -> f32 {
        dot(self, other)
    }

    /// Cosine of two unit vectors. Vectors of different lengths (from different encoders) are
    /// unrelated: 0.
    #[must_use]
    pub fn similarity(&self, other: &Vector) -> Similarity {
        if self.len() == other.len() {
            Similarity::new(self.dot(other))
        } else {
            Similarity(0.0)
        }
    }
}

impl Deref for Vector {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl AsRef<[f32]> for Vector {
    fn as_ref(&self) -> &[f32] {
        &self.0
    }
}

impl From<Vec<f32>> for Vector {
    fn from(values: Vec<f32>) -> Self {
        Self(values.into())
    }
}

impl fmt::Debug for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = &self.0[..self.0.len().min(4)];
        write!(f, "Vector({} dims, {head:.4?}..)", self.0.len())
    }
}

/// Inner product over the shorter of the two lengths.
///
/// Eight running sums, because one sum would force the additions into one serial chain.
#[must_use]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let length = a.len().min(b.len());
    let (a_blocks, a_rest) = a[..length].as_chunks::<8>();
    let (b_blocks, b_rest) = b[..length].as_chunks::<8>();
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}

/// Scales to Euclidean length one in place; all zeros (and lengths that overflow) become zeros.
pub fn normalize(values: &mut [f32]) {
    let length = dot(values, values).sqrt();
    let scale = if length > 0.0 && length.is_finite() {
        1.0 / length
    } else {
        0.0
    };
    for value in values {
        *value *= scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_normalised_vector_has_length_one_and_keeps_its_direction() {
        let v = Vector::normalized(vec![3.0, 4.0]);
        assert_eq!(&v[..], &[0.6, 0.8]);
        assert_eq!(v.similarity(&v).get(), 1.0);
    }

    #[test]
    fn zeros_stay_zeros_and_are_unrelated_to_everything() {
        let zero = Vector::normalized(vec![0.0; 3]);
        let other = Vector::new([0.0, 1.0, 0.0]);
        assert_eq!(zero.similarity(&other).get(), 0.0);
    }

    #[test]
    fn vectors_of_two_encoders_are_unrelated() {
        assert_eq!(Vector::new([1.0]).similarity(&Vector::new([1.0, 0.0])).get(), 0.0);
    }

    #[test]
    fn dot_counts_blocks_and_rest() {
        let a: Vec<f32> = (0..19).map(|i| i as f32).collect();
        // sum of squares 0..=18 = 18 * 19 * 37 / 6
        assert_eq!(dot(&a, &a), 2109.0);
    }

    #[test]
    fn not_a_number_is_no_similarity() {
        assert_eq!(Similarity::new(f32::NAN).get(), 0.0);
        assert_eq!(Similarity::new(1.000_001).get(), 1.0);
    }
}
