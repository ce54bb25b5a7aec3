//! What a head is taught by: losses over one list of candidates.

use serde::{Deserialize, Serialize};

/// The loss of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Each candidate on its own: right or not (logistic loss).
    Pointwise,
    /// Each right candidate against each wrong one of its list (RankNet, Burges et al. 2005).
    Pairwise,
    /// Each right candidate against each wrong one, by what it would change in nDCG to swap the two (LambdaRank, Burges et al. 2006).
    #[default]
    LambdaRank,
    /// The list's softmax against the right ones (ListNet's top-one loss, Cao et al. 2007).
    Listwise,
}

// === impl Objective ===

impl Objective {
    /// What a part is taught by that takes few long steps: LambdaRank's slopes jump where two candidates change places.
    pub(crate) fn smooth(self) -> Self {
        match self {
            Self::LambdaRank => Self::Listwise,
            other => other,
        }
    }

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
            Self::LambdaRank => lambdas(scores, grades, slopes, bends),
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

/// Ranks from which on nobody looks: of a pair, one has to stand before it.
const LOOKED_AT: usize = 10;

/// LambdaRank's slopes, each pair's damped by how far its scores are apart and a list's sum brought to its logarithm, so that no
/// list outweighs the others.
fn lambdas(scores: &[f32], grades: &[f32], slopes: &mut [f32], bends: &mut [f32]) {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let discount = |rank: usize| 1.0 / (rank as f32 + 2.0).log2();
    let right = grades.iter().filter(|g| **g > 0.0).count();
    let ideal: f32 = (0..right).map(discount).sum();
    let mut total = 0.0;
    for (rank_i, &i) in order.iter().enumerate().filter(|(_, i)| grades[**i] > 0.0) {
        for (rank_j, &j) in order.iter().enumerate().filter(|(_, j)| grades[**j] <= 0.0) {
            if rank_i.min(rank_j) >= LOOKED_AT {
                break;
            }
            let gap = scores[i] - scores[j];
            let worth = (discount(rank_i) - discount(rank_j)).abs() / ideal / (0.01 + gap.abs());
            let p = logistic(-gap);
            let slope = worth * p;
            slopes[i] -= slope;
            slopes[j] += slope;
            bends[i] += slope * (1.0 - p);
            bends[j] += slope * (1.0 - p);
            total += 2.0 * slope;
        }
    }
    if total > 0.0 {
        let by = (1.0 + total).log2() / total;
        for value in slopes.iter_mut().chain(bends) {
            *value *= by;
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
        // The right one comes last: with the first it would win 1 - 1 / log2(3) of the discount, damped by 0.01 + 1, the slope of a gap of
        // one against it 1 / (1 + 1/e). One pair, so twice the slope is brought to its logarithm.
        let lambdas = slopes(Objective::LambdaRank, &[1.0, 0.0], &[0.0, 1.0]);
        let pair = (1.0 - 1.0 / 3.0_f32.log2()) / 1.01 / (1.0 + (-1.0_f32).exp());
        let slope = (1.0 + 2.0 * pair).log2() / 2.0;
        assert!((lambdas[0] - slope).abs() < 1e-5 && (lambdas[1] + slope).abs() < 1e-5);
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
