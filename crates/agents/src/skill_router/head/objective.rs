//! What a head is taught by: three losses over one list of candidates.

use serde::{Deserialize, Serialize};

/// The loss of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Each candidate on its own: right or not (logistic loss).
    Pointwise,
    /// Each right candidate against each wrong one of its list (RankNet, Burges et al. 2005).
    Pairwise,
    /// The list's softmax against the right ones (ListNet's top-one loss, Cao et al. 2007).
    #[default]
    Listwise,
}

// === impl Objective ===

impl Objective {
    /// Writes slope and curvature of the loss with respect to each score of a list. A list weighs as much as any other, however
    /// long it is; grades are 0 (wrong) and above (the higher, the more right).
    pub(crate) fn slopes(self, scores: &[f32], grades: &[f32], slopes: &mut [f32], bends: &mut [f32]) {
        slopes.fill(0.0);
        bends.fill(0.0);
        let total: f32 = grades.iter().sum();
        if total <= 0.0 {
            return;
        }
        match self {
            Self::Pointwise => {
                for (place, (score, grade)) in scores.iter().zip(grades).enumerate() {
                    let p = logistic(*score);
                    slopes[place] = p - f32::from(*grade > 0.0);
                    bends[place] = p * (1.0 - p);
                }
            }
            Self::Pairwise => {
                let right = grades.iter().filter(|g| **g > 0.0).count();
                let pairs = (right * (grades.len() - right)).max(1) as f32;
                for (i, a) in grades.iter().enumerate().filter(|(_, g)| **g > 0.0) {
                    for (j, b) in grades.iter().enumerate() {
                        if a <= b {
                            continue;
                        }
                        let p = logistic(scores[j] - scores[i]) / pairs * grades.len() as f32;
                        slopes[i] -= p;
                        slopes[j] += p;
                        let bend = p * (1.0 - logistic(scores[j] - scores[i]));
                        bends[i] += bend;
                        bends[j] += bend;
                    }
                }
            }
            Self::Listwise => {
                softmax(scores, slopes);
                for (place, grade) in grades.iter().enumerate() {
                    let p = slopes[place];
                    bends[place] = p * (1.0 - p);
                    slopes[place] = p - grade / total;
                }
            }
        }
    }
}

/// 1 / (1 + e^-x).
pub(crate) fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Shares of e^score.
pub(crate) fn softmax(scores: &[f32], shares: &mut [f32]) {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for (share, score) in shares.iter_mut().zip(scores) {
        *share = (score - highest).exp();
        total += *share;
    }
    for share in shares {
        *share /= total;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slopes(objective: Objective, scores: &[f32], grades: &[f32]) -> Vec<f32> {
        let (mut slopes, mut bends) = (vec![0.0; scores.len()], vec![0.0; scores.len()]);
        objective.slopes(scores, grades, &mut slopes, &mut bends);
        assert!(bends.iter().all(|b| *b >= 0.0));
        slopes
    }

    #[test]
    fn by_hand() {
        let flat = [0.0; 4];
        let grades = [1.0, 0.0, 0.0, 0.0];
        assert_eq!(
            slopes(Objective::Listwise, &flat, &grades),
            [-0.75, 0.25, 0.25, 0.25]
        );
        assert_eq!(
            slopes(Objective::Pointwise, &flat, &grades),
            [-0.5, 0.5, 0.5, 0.5]
        );
        // Three pairs, each half wrong, weighed by 4 / 3.
        let pairwise = slopes(Objective::Pairwise, &flat, &grades);
        assert!((pairwise[0] + 2.0).abs() < 1e-6 && (pairwise[1] - 2.0 / 3.0).abs() < 1e-6);
        assert_eq!(slopes(Objective::Listwise, &flat, &[0.0; 4]), [0.0; 4]);
    }

    proptest::proptest! {
        /// Lists are only compared within: what one gains the others lose.
        #[test]
        fn list_losses_do_not_care_for_a_shift(scores in proptest::collection::vec(-5.0_f32..5.0, 2..8), shift in -3.0_f32..3.0) {
            let mut grades = vec![0.0; scores.len()];
            grades[0] = 1.0;
            let shifted: Vec<f32> = scores.iter().map(|s| s + shift).collect();
            for objective in [Objective::Pairwise, Objective::Listwise] {
                let (a, b) = (slopes(objective, &scores, &grades), slopes(objective, &shifted, &grades));
                assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-3));
                assert!(a.iter().sum::<f32>().abs() < 1e-3);
            }
        }
    }
}
