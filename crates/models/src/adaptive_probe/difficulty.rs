//! Contrast: how much nearer a vector is to one set of exemplars than to another.

/// Two sets of exemplars.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contrast {
    toward: Vec<Vec<f32>>,
    away: Vec<Vec<f32>>,
}

/// Where an action stands by its difficulty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Band {
    Easy,
    Unclear,
    Hard,
}

// === impl Contrast ===

impl Contrast {
    /// A contrast of these exemplars, of any length each.
    pub fn new(toward: Vec<Vec<f32>>, away: Vec<Vec<f32>>) -> Self {
        Self { toward, away }
    }

    /// The highest cosine with an exemplar of the first set, less that with one of the second: −2 to 2. `None` where a set is
    /// empty, or the vector fits none of its exemplars (another length, all zeros, not-a-number): then there is nothing to say.
    pub fn of(&self, vector: &[f32]) -> Option<f64> {
        Some(nearest(&self.toward, vector)? - nearest(&self.away, vector)?)
    }
}

fn nearest(exemplars: &[Vec<f32>], vector: &[f32]) -> Option<f64> {
    exemplars
        .iter()
        .filter_map(|e| cosine(e, vector))
        .reduce(f64::max)
}

/// `None` for vectors that have no cosine.
pub(super) fn cosine(a: &[f32], b: &[f32]) -> Option<f64> {
    if a.len() != b.len() {
        return None;
    }
    let (mut dot, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b).map(|(x, y)| (f64::from(*x), f64::from(*y))) {
        dot += x * y;
        aa += x * x;
        bb += y * y;
    }
    let cosine = dot / (aa * bb).sqrt();
    cosine.is_finite().then_some(cosine)
}

// === impl Band ===

impl Band {
    pub(super) fn of(difficulty: f64, delta: f64) -> Self {
        if difficulty <= -delta {
            Self::Easy
        } else if difficulty >= delta {
            Self::Hard
        } else {
            Self::Unclear
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_on_hand_computed_numbers() {
        let contrast = Contrast::new(vec![vec![0.0, 2.0], vec![1.0, 1.0]], vec![vec![3.0, 0.0]]);
        // cos with (1, 1)/√2 is 1, with (1, 0) it is 1/√2.
        let found = contrast.of(&[5.0, 5.0]).unwrap();
        assert!((found - (1.0 - 0.5_f64.sqrt())).abs() < 1e-9, "{found}");
        assert_eq!(contrast.of(&[0.0, 1.0]), Some(1.0));
    }

    #[test]
    fn what_cannot_be_compared_says_nothing() {
        let contrast = Contrast::new(vec![vec![1.0, 0.0]], vec![vec![0.0, 1.0]]);
        for vector in [vec![], vec![0.0, 0.0], vec![f32::NAN, 1.0], vec![1.0]] {
            assert_eq!(contrast.of(&vector), None, "{vector:?}");
        }
        assert_eq!(Contrast::new(vec![vec![1.0]], vec![]).of(&[1.0]), None);
    }

    #[test]
    fn bands() {
        let band = |d| Band::of(d, 0.1);
        assert_eq!(
            [-0.1, -0.09, 0.09, 0.1].map(band),
            [Band::Easy, Band::Unclear, Band::Unclear, Band::Hard]
        );
        assert_eq!(band(f64::NAN), Band::Unclear);
    }
}
