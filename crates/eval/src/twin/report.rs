//! What the scorer says.

use std::fmt;

use serde::Serialize;

/// The result of scoring predictions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The four figures and their mean.
    #[serde(rename = "scores_v2")]
    pub scores: Scores,
    /// By workload, in the order in which they first appear.
    #[serde(serialize_with = "as_map")]
    pub by_benchmark: Vec<Workload>,
    /// The older block.
    #[serde(rename = "router_accounting")]
    pub accounting: Accounting,
}

/// Four figures and their mean, in percent; NaN (null in JSON) where one of its parts is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scores {
    /// Rows with a tier that is high enough.
    #[serde(rename = "case_pass_rate_percent")]
    pub row_pass: f64,
    /// Rows with exactly the cheapest sufficient tier.
    #[serde(rename = "case_exact_match_percent")]
    pub row_exact: f64,
    /// Rows in runs of which every step passes.
    #[serde(rename = "trajectory_pass_rate_percent")]
    pub trajectory_pass: f64,
    /// What is saved against always taking the highest tier, workloads weighted by their rows; up to 100, without lower limit.
    #[serde(rename = "cost_savings_score_percent")]
    pub cost_savings: f64,
    /// The mean of the four.
    #[serde(rename = "combined_score_percent")]
    pub combined: f64,
}

/// One workload's part in [`Scores::cost_savings`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Workload {
    /// Its name.
    #[serde(skip)]
    pub name: String,
    /// Its rows.
    #[serde(rename = "row_count")]
    pub rows: usize,
    /// What always taking the highest tier costs, in US dollars, over rows without error.
    #[serde(rename = "D_usd")]
    pub denominator: f64,
    /// What passing runs save and failing ones waste, in US dollars.
    #[serde(rename = "N_usd")]
    pub numerator: f64,
    /// Their ratio, in percent.
    #[serde(rename = "cost_savings_score_percent")]
    pub cost_savings: f64,
    /// Runs that fail.
    #[serde(rename = "failed_trajectory_count")]
    pub failed_runs: usize,
}

/// The older block of figures: runs are counted instead of rows, and savings are measured against those of the proven tiers.
/// Percent; NaN where a part is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Accounting {
    /// Runs of which every step passes.
    #[serde(rename = "pass_rate_percent")]
    pub pass: f64,
    /// Runs of which every step is exact.
    #[serde(rename = "exact_match_rate_percent")]
    pub exact: f64,
    /// `numerator` over `denominator`.
    #[serde(rename = "accounting_savings_score_percent")]
    pub savings: f64,
    /// The mean of the three.
    #[serde(rename = "overall_score_percent")]
    pub overall: f64,
    /// What the proven tiers save against the highest, in US dollars.
    #[serde(rename = "D_usd")]
    pub denominator: f64,
    /// What passing runs save and failing ones waste, in US dollars.
    #[serde(rename = "N_usd")]
    pub numerator: f64,
}

fn as_map<S: serde::Serializer>(workloads: &[Workload], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(workloads.iter().map(|workload| (&workload.name, workload)))
}

// === impl Scores ===

impl Scores {
    /// The mean of several, figure by figure; NaN of none.
    pub fn mean<'a>(of: impl IntoIterator<Item = &'a Self>) -> Self {
        let (mut sums, mut count) = ([0.0; 5], 0.0);
        for scores in of {
            for (sum, value) in sums.iter_mut().zip(scores.figures()) {
                *sum += value;
            }
            count += 1.0;
        }
        let [row_pass, row_exact, trajectory_pass, cost_savings, combined] = sums.map(|sum| sum / count);
        Self {
            row_pass,
            row_exact,
            trajectory_pass,
            cost_savings,
            combined,
        }
    }

    fn figures(&self) -> [f64; 5] {
        [
            self.row_pass,
            self.row_exact,
            self.trajectory_pass,
            self.cost_savings,
            self.combined,
        ]
    }
}

/// The five figures in columns: row pass, row exact, run pass, savings, combined.
impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, figure) in self.figures().into_iter().enumerate() {
            write!(f, "{}{figure:>9.2}", if at == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}
