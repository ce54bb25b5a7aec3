//! Logged decisions and the estimates made of them.

use serde::Serialize;

/// One logged decision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Taken {
    /// The action taken, from 0.
    pub action: usize,
    /// The probability with which the logging policy took it: over 0, up to 1.
    pub propensity: f64,
    /// What it earned, finite, in the caller's unit.
    pub reward: f64,
}

/// Logged decisions between the same actions.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    actions: usize,
    rows: Vec<Taken>,
}

/// What a policy is estimated to earn a decision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The estimate, in the unit of the rewards.
    pub value: f64,
    /// Its standard error; NaN of a single row.
    pub standard_error: f64,
    /// Lower end of the 95 % confidence interval (normal approximation).
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// As many decisions of the target policy itself would be about as informative: (Σw)² / Σw².
    pub effective_rows: f64,
}

/// What is wrong with a log, a policy or a model of rewards.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// No decision.
    #[error("the log has no decisions; an estimate needs one at least")]
    Empty,
    /// A propensity that no decision can have been taken with.
    #[error(
        "row {row}: the propensity is {found}; it is over 0 and up to 1 (log the probability with which the action was taken)"
    )]
    Propensity {
        /// From 0.
        row: usize,
        /// What was found.
        found: f64,
    },
    /// A reward that is no finite number.
    #[error("row {row}: the reward is {found}; it must be finite")]
    Reward {
        /// From 0.
        row: usize,
        /// What was found.
        found: f64,
    },
    /// An action that does not exist.
    #[error("row {row}: action {found} of {actions}; actions are counted from 0")]
    Action {
        /// From 0.
        row: usize,
        /// What was found.
        found: usize,
        /// Actions of the log.
        actions: usize,
    },
    /// More or fewer rows than the log has.
    #[error("{what} has {found} rows for {rows} decisions; give one a decision")]
    Rows {
        /// `the policy` or `the model`.
        what: &'static str,
        /// Rows found.
        found: usize,
        /// Decisions of the log.
        rows: usize,
    },
    /// A row of a policy or a model that does not fit.
    #[error("row {row}: {what}")]
    Row {
        /// From 0.
        row: usize,
        /// What is wrong, and what would be right.
        what: &'static str,
    },
    /// The logging policy never took what the target takes.
    #[error("no logged decision is one that this policy would take; it cannot be judged from this log")]
    NoOverlap,
}

/// Half the width of a 95 % interval in standard errors.
const TWO_SIDED_95: f64 = 1.959_963_984_540_054;
/// How far probabilities may be from adding up to 1.
const ROUNDING: f64 = 1e-6;

// === impl Log ===

impl Log {
    /// A log of decisions between `actions` actions.
    ///
    /// # Errors
    /// [`LogError`] for the first row that is not as [`Taken`] says, or where there is none.
    pub fn new(actions: usize, rows: Vec<Taken>) -> Result<Self, LogError> {
        if rows.is_empty() {
            return Err(LogError::Empty);
        }
        for (row, taken) in rows.iter().enumerate() {
            if taken.action >= actions {
                return Err(LogError::Action {
                    row,
                    found: taken.action,
                    actions,
                });
            }
            if !(taken.propensity > 0.0 && taken.propensity <= 1.0) {
                return Err(LogError::Propensity {
                    row,
                    found: taken.propensity,
                });
            }
            if !taken.reward.is_finite() {
                return Err(LogError::Reward {
                    row,
                    found: taken.reward,
                });
            }
        }
        Ok(Self { actions, rows })
    }

    /// The decisions.
    pub fn rows(&self) -> &[Taken] {
        &self.rows
    }

    /// Actions to choose from.
    pub fn actions(&self) -> usize {
        self.actions
    }

    /// Inverse propensity scoring. `target` has the probability of each action for each decision.
    ///
    /// # Errors
    /// [`LogError`] where `target` does not fit.
    pub fn ips(&self, target: &[Vec<f64>]) -> Result<Estimate, LogError> {
        let weights = self.weights(target)?;
        let earned = weights.iter().zip(&self.rows).map(|(w, row)| w * row.reward);
        Ok(Estimate::of_mean(&earned.collect::<Vec<_>>(), &weights))
    }

    /// Self-normalised inverse propensity scoring; its standard error is that of a ratio (delta method).
    ///
    /// # Errors
    /// [`LogError`] where `target` does not fit, and [`LogError::NoOverlap`].
    pub fn snips(&self, target: &[Vec<f64>]) -> Result<Estimate, LogError> {
        let weights = self.weights(target)?;
        let sum: f64 = weights.iter().sum();
        if sum <= 0.0 {
            return Err(LogError::NoOverlap);
        }
        let pairs = || weights.iter().zip(&self.rows);
        let value = pairs().map(|(w, row)| w * row.reward).sum::<f64>() / sum;
        let spread: f64 = pairs().map(|(w, row)| (w * (row.reward - value)).powi(2)).sum();
        let standard_error = if self.rows.len() > 1 {
            spread.sqrt() / sum
        } else {
            f64::NAN
        };
        Ok(Estimate::new(value, standard_error, &weights))
    }

    /// The doubly robust estimate. `model` has the reward expected of each action for each decision; it should not have been
    /// learned from that decision.
    ///
    /// # Errors
    /// [`LogError`] where `target` or `model` does not fit.
    pub fn doubly_robust(&self, target: &[Vec<f64>], model: &[Vec<f64>]) -> Result<Estimate, LogError> {
        let weights = self.weights(target)?;
        self.check_shape("the model", model)?;
        let mut values = Vec::with_capacity(self.rows.len());
        for (row, taken) in self.rows.iter().enumerate() {
            if model[row].iter().any(|reward| !reward.is_finite()) {
                let what = "an expected reward is not finite; give a number for every action";
                return Err(LogError::Row { row, what });
            }
            let expected: f64 = target[row].iter().zip(&model[row]).map(|(p, r)| p * r).sum();
            values.push(expected + weights[row] * (taken.reward - model[row][taken.action]));
        }
        Ok(Estimate::of_mean(&values, &weights))
    }

    /// Mean reward by action over the decisions for which `keep` holds (asked by row); 0 for actions not among them. The
    /// simplest model of rewards.
    pub fn mean_rewards(&self, keep: impl Fn(usize) -> bool) -> Vec<f64> {
        let mut sums = vec![(0.0, 0.0); self.actions];
        for (_, taken) in self.rows.iter().enumerate().filter(|(row, _)| keep(*row)) {
            let (sum, count) = &mut sums[taken.action];
            *sum += taken.reward;
            *count += 1.0;
        }
        let mean = |(sum, count): (f64, f64)| if count > 0.0 { sum / count } else { 0.0 };
        sums.into_iter().map(mean).collect()
    }

    /// How much more often the target takes each logged action than the logging policy did.
    fn weights(&self, target: &[Vec<f64>]) -> Result<Vec<f64>, LogError> {
        self.check_shape("the policy", target)?;
        let weigh = |(row, taken): (usize, &Taken)| {
            let probabilities = &target[row];
            let sum: f64 = probabilities.iter().sum();
            if probabilities.iter().any(|p| !(0.0..=1.0 + ROUNDING).contains(p))
                || (sum - 1.0).abs() > ROUNDING
            {
                let what = "the probabilities of the policy must be from 0 to 1 and add up to 1";
                return Err(LogError::Row { row, what });
            }
            Ok(probabilities[taken.action] / taken.propensity)
        };
        self.rows.iter().enumerate().map(weigh).collect()
    }

    fn check_shape(&self, what: &'static str, rows: &[Vec<f64>]) -> Result<(), LogError> {
        if rows.len() != self.rows.len() {
            return Err(LogError::Rows {
                what,
                found: rows.len(),
                rows: self.rows.len(),
            });
        }
        match rows.iter().position(|row| row.len() != self.actions) {
            Some(row) => Err(LogError::Row {
                row,
                what: "there must be one number an action",
            }),
            None => Ok(()),
        }
    }
}

// === impl Estimate ===

impl Estimate {
    fn new(value: f64, standard_error: f64, weights: &[f64]) -> Self {
        let (sum, squares) = (
            weights.iter().sum::<f64>(),
            weights.iter().map(|w| w * w).sum::<f64>(),
        );
        Self {
            value,
            standard_error,
            low: value - TWO_SIDED_95 * standard_error,
            high: value + TWO_SIDED_95 * standard_error,
            effective_rows: if squares > 0.0 { sum * sum / squares } else { 0.0 },
        }
    }

    fn of_mean(values: &[f64], weights: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let spread: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let standard_error = if values.len() > 1 {
            (spread / (count - 1.0) / count).sqrt()
        } else {
            f64::NAN
        };
        Self::new(mean, standard_error, weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Log {
        let taken = |action, propensity, reward| Taken {
            action,
            propensity,
            reward,
        };
        Log::new(
            2,
            vec![taken(0, 0.8, 1.0), taken(1, 0.2, 0.5), taken(0, 0.5, 0.0)],
        )
        .unwrap()
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
    }

    #[test]
    fn the_three_estimates_by_hand() {
        let log = log();
        let target = vec![vec![0.4, 0.6]; 3];
        // Weights 0.5, 3, 0.8.
        let ips = log.ips(&target).unwrap();
        close(ips.value, (0.5 + 1.5 + 0.0) / 3.0);
        let spread = [0.5, 1.5, 0.0].map(|v: f64| (v - ips.value).powi(2));
        close(
            ips.standard_error,
            (spread.iter().sum::<f64>() / 2.0 / 3.0).sqrt(),
        );
        close(ips.high - ips.value, TWO_SIDED_95 * ips.standard_error);
        close(ips.effective_rows, 4.3 * 4.3 / (0.25 + 9.0 + 0.64));
        let snips = log.snips(&target).unwrap();
        close(snips.value, 2.0 / 4.3);
        let spread = [
            0.5 * (1.0 - snips.value),
            3.0 * (0.5 - snips.value),
            -0.8 * snips.value,
        ];
        close(
            snips.standard_error,
            spread.iter().map(|v| v * v).sum::<f64>().sqrt() / 4.3,
        );
        let model = vec![vec![0.6, 0.3]; 3];
        let robust = log.doubly_robust(&target, &model).unwrap();
        close(robust.value, 0.42 + (0.5 * 0.4 + 3.0 * 0.2 - 0.8 * 0.6) / 3.0);
    }

    #[test]
    fn a_perfect_model_leaves_no_uncertainty_and_no_model_is_inverse_propensity() {
        let log = log();
        let target = vec![vec![0.4, 0.6]; 3];
        let none = vec![vec![0.0, 0.0]; 3];
        assert_eq!(log.doubly_robust(&target, &none), log.ips(&target));
        let perfect = vec![vec![1.0, 0.5], vec![1.0, 0.5], vec![0.0, 1.25]];
        let estimate = log.doubly_robust(&target, &perfect).unwrap();
        close(estimate.value, (0.7 + 0.7 + 0.75) / 3.0);
    }

    #[test]
    fn means_are_of_the_rows_kept() {
        assert_eq!(log().mean_rewards(|_| true), [0.5, 0.5]);
        assert_eq!(log().mean_rewards(|row| row == 2), [0.0, 0.0]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let taken = |propensity, reward| Taken {
            action: 0,
            propensity,
            reward,
        };
        let refused = |rows: Vec<Taken>| Log::new(1, rows).unwrap_err().to_string();
        assert!(refused(Vec::new()).contains("no decisions"));
        assert!(refused(vec![taken(1.0, 1.0), taken(0.0, 1.0)]).contains("row 1: the propensity is 0"));
        assert!(refused(vec![taken(f64::NAN, 1.0)]).contains("propensity is NaN"));
        assert!(refused(vec![taken(1.5, 1.0)]).contains("propensity is 1.5"));
        assert!(refused(vec![taken(0.5, f64::NAN)]).contains("reward is NaN"));
        assert!(
            Log::new(0, vec![taken(0.5, 1.0)])
                .unwrap_err()
                .to_string()
                .contains("action 0 of 0")
        );
        let log = log();
        let wrong = |target: &[Vec<f64>]| log.ips(target).unwrap_err().to_string();
        assert!(wrong(&[vec![1.0, 0.0]]).contains("the policy has 1 rows for 3 decisions"));
        assert!(
            wrong(&[vec![1.0, 0.0], vec![1.0], vec![1.0, 0.0]]).contains("row 1: there must be one number")
        );
        assert!(wrong(&vec![vec![0.5, 0.6]; 3]).contains("add up to 1"));
        let fine = vec![vec![1.0, 0.0]; 3];
        assert!(log.doubly_robust(&fine, &vec![vec![f64::NAN, 0.0]; 3]).is_err());
        let only_first = Log::new(2, vec![taken(1.0, 1.0)]).unwrap();
        assert_eq!(only_first.snips(&[vec![0.0, 1.0]]), Err(LogError::NoOverlap));
    }
}
