//! What every router has to beat, and what none can: choices that need no learning, or that see what no router may see.

use std::collections::HashMap;

use fingerpost_core::Name;
use fingerpost_models::{Logged, OutcomeTable};
use rand::{Rng, SeedableRng, rngs::SmallRng};

/// A choice of model that is no router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// Any model, by chance.
    Random,
    /// The model that is cheapest on average in the training part; the first where costs are not known.
    Cheapest,
    /// The model that is best on average in the training part.
    BestSingle,
    /// The model that is best in the training part on queries of the same task, which no router is told.
    TaskOracle,
    /// The best model for each query, by its own outcome. What quality can be had at most.
    Oracle,
}

/// A baseline with what it took from the training part.
#[derive(Debug, Clone)]
pub struct Fitted {
    kind: Baseline,
    single: usize,
    by_task: HashMap<Name, usize>,
    rng: SmallRng,
}

// === impl Baseline ===

impl Baseline {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Random,
        Self::Cheapest,
        Self::BestSingle,
        Self::TaskOracle,
        Self::Oracle,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Cheapest => "cheapest",
            Self::BestSingle => "best_single",
            Self::TaskOracle => "task_oracle",
            Self::Oracle => "oracle",
        }
    }

    /// Takes what it needs from the training part.
    pub fn fit(self, train: &OutcomeTable, seed: u64) -> Fitted {
        let single = match self {
            Self::Cheapest => cheapest(train),
            _ => best(train),
        };
        let mut by_task = HashMap::new();
        if self == Self::TaskOracle {
            for row in train.rows() {
                if let Some(task) = row.task.as_ref().filter(|t| !by_task.contains_key(*t)) {
                    let rows = train.filtered(|r| r.task.as_ref() == Some(task));
                    by_task.insert(task.clone(), best(&rows));
                }
            }
        }
        Fitted {
            kind: self,
            single,
            by_task,
            rng: SmallRng::seed_from_u64(seed),
        }
    }
}

// === impl Fitted ===

impl Fitted {
    /// The column of the model for a row of the test part.
    pub fn choose(&mut self, row: &Logged) -> usize {
        match self.kind {
            Baseline::Random => self.rng.random_range(0..row.scores.len()),
            Baseline::Cheapest | Baseline::BestSingle => self.single,
            Baseline::TaskOracle => {
                let known = row.task.as_ref().and_then(|t| self.by_task.get(t));
                known.copied().unwrap_or(self.single)
            }
            Baseline::Oracle => oracle(row),
        }
    }
}

/// The column of highest mean score; the first of equals.
pub fn best(table: &OutcomeTable) -> usize {
    highest((0..table.models().len()).map(|m| table.mean_score(m).unwrap_or(f64::NEG_INFINITY)))
}

fn cheapest(table: &OutcomeTable) -> usize {
    highest((0..table.models().len()).map(|m| -table.mean_cost(m).unwrap_or(f64::INFINITY)))
}

/// The best of a row; of equals the cheapest.
fn oracle(row: &Logged) -> usize {
    let best = row.best_score().unwrap_or(0.0);
    let cost = |m: usize| row.costs.get(m).copied().flatten().unwrap_or(0.0);
    let is_best = |m: usize| row.scores[m] == Some(best);
    highest((0..row.scores.len()).map(|m| if is_best(m) { -cost(m) } else { f64::NEG_INFINITY }))
}

fn highest(values: impl Iterator<Item = f64>) -> usize {
    let pick = |best: (usize, f64), (i, v): (usize, f64)| if v > best.1 { (i, v) } else { best };
    values.enumerate().fold((0, f64::NEG_INFINITY), pick).0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(task: &str, scores: [f32; 3], costs: [f64; 3]) -> Logged {
        Logged {
            task: Some(task.into()),
            scores: scores.map(Some).to_vec(),
            costs: costs.map(Some).to_vec(),
            ..Logged::query("1", "text")
        }
    }

    #[test]
    fn each_baseline_on_a_small_table() {
        let mut train = OutcomeTable::new(["a".into(), "b".into(), "c".into()]).unwrap();
        train.push(row("x", [0.0, 1.0, 0.5], [3.0, 2.0, 1.0])).unwrap();
        train.push(row("y", [1.0, 0.9, 0.0], [3.0, 2.0, 1.0])).unwrap();
        let choose = |baseline: Baseline, row: &Logged| baseline.fit(&train, 1).choose(row);
        let y = row("y", [1.0, 0.0, 1.0], [3.0, 2.0, 1.0]);
        assert_eq!(choose(Baseline::BestSingle, &y), 1);
        assert_eq!(choose(Baseline::Cheapest, &y), 2);
        assert_eq!(choose(Baseline::TaskOracle, &y), 0);
        assert_eq!(choose(Baseline::TaskOracle, &row("new", [1.0; 3], [1.0; 3])), 1);
        assert_eq!(
            choose(Baseline::Oracle, &y),
            2,
            "as good as the first, and cheaper"
        );
        let mut random = Baseline::Random.fit(&train, 1);
        let drawn: std::collections::HashSet<usize> = (0..50).map(|_| random.choose(&y)).collect();
        assert_eq!(drawn.len(), 3);
    }
}
