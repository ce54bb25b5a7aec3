//! The static scorer: pure arithmetic over saved steps.

use std::collections::BTreeMap;

use super::{
    Accounting, Bank, Prices, Report, RouteError, Row, Scores, Tier, TokenCounter, Workload,
    paths::{AfterError, Measured, MeasuredStep, costs},
    tokens::{of_message, of_messages},
};

/// What a router said of a row.
pub type Prediction = Result<Tier, RouteError>;

/// Scores predictions for the rows of one bank. Tokens are counted once, when it is made; a report then costs a few operations a
/// row.
pub struct Scorer {
    prices: Prices,
    runs: Vec<Run>,
    /// Names of the workloads, in order of appearance.
    workloads: Vec<String>,
    rows: usize,
}

/// A run, ready to be priced.
struct Run {
    /// Positions of its steps in the bank.
    rows: Vec<usize>,
    /// Position of its workload.
    workload: usize,
    gold: Vec<Tier>,
    measured: Measured,
}

/// The sums of one workload.
#[derive(Clone, Default)]
struct Sums {
    rows: usize,
    failed: usize,
    high: f64,
    net: f64,
}

// === impl Scorer ===

impl Scorer {
    /// Measures a bank.
    pub fn new(bank: &Bank, prices: &Prices, counter: &dyn TokenCounter) -> Self {
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        let mut workloads: Vec<String> = Vec::new();
        let runs = bank.runs().iter().map(|rows| {
            let steps: Vec<&Row> = rows.iter().map(|&at| &bank.rows()[at]).collect();
            let name = steps.first().map_or("", |row| row.benchmark.as_str());
            let workload = *places.entry(name).or_insert_with(|| {
                workloads.push(name.to_owned());
                workloads.len() - 1
            });
            Run {
                rows: rows.clone(),
                workload,
                gold: steps.iter().map(|row| row.target).collect(),
                measured: measure(&steps, prices, counter),
            }
        });
        let runs = runs.collect();
        Self {
            prices: *prices,
            runs,
            workloads,
            rows: bank.rows().len(),
        }
    }

    /// Scores predictions, one a row in the bank's order. A row that has none counts as an error.
    pub fn report(&self, predictions: &[Prediction]) -> Report {
        let mut sums = vec![Sums::default(); self.workloads.len()];
        let (mut row_pass, mut row_exact, mut run_pass, mut run_exact) = (0, 0, 0, 0);
        let (mut rows_of_passing, mut gold_saves) = (0, 0.0);
        for run in &self.runs {
            let said: Vec<Option<Tier>> = run
                .rows
                .iter()
                .map(|&at| predictions.get(at).and_then(|p| p.as_ref().ok().copied()))
                .collect();
            let passes = |(said, gold): (&Option<Tier>, &Tier)| said.is_some_and(|tier| tier >= *gold);
            let exact = |(said, gold): (&Option<Tier>, &Tier)| *said == Some(*gold);
            let passing = said.iter().zip(&run.gold).filter(|x| passes(*x)).count();
            let matching = said.iter().zip(&run.gold).filter(|x| exact(*x)).count();
            let is_passing = passing == run.rows.len();
            row_pass += passing;
            row_exact += matching;
            run_pass += usize::from(is_passing);
            run_exact += usize::from(matching == run.rows.len());
            rows_of_passing += if is_passing { run.rows.len() } else { 0 };

            let sums = &mut sums[run.workload];
            sums.rows += run.rows.len();
            sums.failed += usize::from(!is_passing);
            let (high, gold, predicted) = self.price(run, &said);
            sums.high += high;
            sums.net += if is_passing { high - predicted } else { -predicted };
            gold_saves += high - gold;
        }
        let percent = |part: usize, of: usize| 100.0 * part as f64 / of as f64;
        let by_benchmark: Vec<Workload> = self
            .workloads
            .iter()
            .zip(&sums)
            .map(|(name, sums)| Workload {
                name: name.clone(),
                rows: sums.rows,
                denominator: sums.high,
                numerator: sums.net,
                cost_savings: 100.0 * sums.net / sums.high,
                failed_runs: sums.failed,
            })
            .collect();
        let weighted = |w: &Workload| w.rows as f64 / self.rows as f64 * w.cost_savings;
        let (row_pass, row_exact) = (percent(row_pass, self.rows), percent(row_exact, self.rows));
        let (trajectory_pass, cost_savings) = (
            percent(rows_of_passing, self.rows),
            by_benchmark.iter().map(weighted).sum::<f64>(),
        );
        let numerator: f64 = sums.iter().map(|s| s.net).sum();
        let (pass, exact) = (
            percent(run_pass, self.runs.len()),
            percent(run_exact, self.runs.len()),
        );
        let savings = 100.0 * numerator / gold_saves;
        Report {
            scores: Scores {
                row_pass,
                row_exact,
                trajectory_pass,
                cost_savings,
                combined: (row_pass + row_exact + trajectory_pass + cost_savings) / 4.0,
            },
            by_benchmark,
            accounting: Accounting {
                pass,
                exact,
                savings,
                overall: (pass + exact + savings) / 3.0,
                denominator: gold_saves,
                numerator,
            },
        }
    }

    /// What the three paths through a run cost over its rows without error: always the highest, the proven, the predicted tiers.
    fn price(&self, run: &Run, said: &[Option<Tier>]) -> (f64, f64, f64) {
        let priced: Vec<bool> = said.iter().map(Option::is_some).collect();
        let of = |tiers: &[Tier], after| -> f64 {
            costs(&run.measured, tiers, &priced, after, &self.prices)
                .into_iter()
                .flatten()
                .sum()
        };
        let high = vec![Tier::High; said.len()];
        let predicted: Vec<Tier> = said.iter().map(|tier| tier.unwrap_or(Tier::High)).collect();
        (
            of(&high, AfterError::AsBefore),
            of(&run.gold, AfterError::AsBefore),
            of(&predicted, AfterError::Cold),
        )
    }
}

/// Measures a run, its steps in order.
pub(super) fn measure(steps: &[&Row], prices: &Prices, counter: &dyn TokenCounter) -> Measured {
    let outputs = outputs(steps, prices, counter);
    let measured = steps.iter().zip(outputs).enumerate().map(|(at, (row, output))| {
        let before = at.checked_sub(1).map(|before| &steps[before].messages);
        MeasuredStep {
            index: row.step_index,
            prompt: Tier::ALL.map(|tier| of_messages(&row.messages, tier, counter)),
            continues: before.is_some_and(|before| row.messages.starts_with(before)),
            output,
        }
    });
    Measured {
        steps: measured.collect(),
    }
}

/// Output tokens by step: what the assistant says in the step after, beyond the messages of this one. The last step has the mean
/// of those that are positive, without its fraction; where there is none, [`Prices::fallback_output`].
fn outputs(steps: &[&Row], prices: &Prices, counter: &dyn TokenCounter) -> Vec<u64> {
    let mut outputs: Vec<u64> = steps
        .windows(2)
        .map(|pair| {
            let new = pair[1].messages.get(pair[0].messages.len()..).unwrap_or_default();
            let said = new.iter().filter(|m| m.role == "assistant");
            said.map(|m| of_message(m, pair[0].target, counter)).sum()
        })
        .collect();
    let positive: Vec<u64> = outputs.iter().copied().filter(|&tokens| tokens > 0).collect();
    let mean = positive.iter().sum::<u64>().checked_div(positive.len() as u64);
    outputs.push(mean.unwrap_or(prices.fallback_output));
    outputs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twin::{BytesOverFour, Message};

    /// A step whose conversation has these messages (an `a` at the front: the assistant's).
    fn row(run: &str, step_index: u32, target: Tier, messages: &[&str]) -> Row {
        let message = |text: &&str| match text.strip_prefix("a:") {
            Some(text) => Message::new("assistant", text),
            None => Message::new("user", *text),
        };
        Row {
            id: format!("{run}{step_index}"),
            benchmark: "w".to_owned(),
            instance_id: run.to_owned(),
            step_index,
            messages: messages.iter().map(message).collect(),
            target,
        }
    }

    fn scorer(rows: Vec<Row>) -> Scorer {
        Scorer::new(&Bank::new(rows).unwrap(), &Prices::PUBLISHED, &BytesOverFour)
    }

    fn output_of(rows: &[Row]) -> Vec<u64> {
        let rows: Vec<&Row> = rows.iter().collect();
        outputs(&rows, &Prices::PUBLISHED, &BytesOverFour)
    }

    #[test]
    fn outputs_are_read_off_the_next_step_and_the_last_is_their_mean() {
        let steps = [
            row("r", 1, Tier::Low, &["1234"]),
            row("r", 2, Tier::Low, &["1234", "a:12345678", "x", "a:1"]),
            row("r", 3, Tier::Low, &["1234", "a:12345678", "x", "a:1", "y"]),
            row(
                "r",
                4,
                Tier::Low,
                &["1234", "a:12345678", "x", "a:1", "y", "a:1234"],
            ),
        ];
        // (2 + 4) + (1 + 4), nobody spoke, 1 + 4, and the mean of 11 and 5.
        assert_eq!(output_of(&steps), [11, 0, 5, 8]);
        assert_eq!(output_of(&steps[..1]), [500]);
        assert_eq!(output_of(&steps[1..3]), [0, 500]);
    }

    #[test]
    fn one_step_is_priced_by_hand() {
        // 3 + 4 + 2 = 9 tokens written, 500 out.
        let scorer = scorer(vec![row("r", 1, Tier::Low, &["123456789"])]);
        let high = (9.0 * 6.25 + 500.0 * 25.0) / 1e6;
        let low = (9.0 * 0.26 + 500.0 * 0.5) / 1e6;
        let report = scorer.report(&[Ok(Tier::Low)]);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        close(report.by_benchmark[0].denominator, high);
        close(report.by_benchmark[0].numerator, high - low);
        close(report.scores.cost_savings, 100.0 * (high - low) / high);
        close(report.accounting.savings, 100.0);
    }

    #[test]
    fn one_step_too_low_fails_the_whole_run_and_wastes_its_cost() {
        let rows = vec![
            row("r", 1, Tier::Low, &["u"]),
            row("r", 2, Tier::High, &["u", "a:x", "v"]),
            row("s", 1, Tier::Mid, &["u"]),
        ];
        let scorer = scorer(rows);
        let report = scorer.report(&[Ok(Tier::Low), Ok(Tier::MidHigh), Ok(Tier::High)]);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        close(report.scores.row_pass, 200.0 / 3.0);
        close(report.scores.row_exact, 100.0 / 3.0);
        close(report.scores.trajectory_pass, 100.0 / 3.0);
        close(report.accounting.pass, 50.0);
        assert_eq!(report.by_benchmark[0].failed_runs, 1);
        assert!(report.by_benchmark[0].numerator < 0.0);
    }

    #[test]
    fn an_error_fails_its_row_and_run_and_is_not_priced() {
        let rows = vec![row("r", 1, Tier::Low, &["u"]), row("s", 1, Tier::Low, &["u"])];
        let scorer = scorer(rows);
        let error = || Err(RouteError::new("no answer"));
        let report = scorer.report(&[Ok(Tier::Low), error()]);
        assert_eq!((report.scores.row_pass, report.scores.row_exact), (50.0, 50.0));
        let one = scorer.report(&[Ok(Tier::Low), Ok(Tier::Low)]).by_benchmark[0].denominator / 2.0;
        assert!((report.by_benchmark[0].denominator - one).abs() < 1e-12);
        assert!(scorer.report(&[error(), error()]).scores.combined.is_nan());
    }

    #[test]
    fn the_highest_tier_saves_nothing_and_the_proven_ones_pass_everything() {
        let rows = vec![
            row("r", 1, Tier::Low, &["u"]),
            row("r", 2, Tier::High, &["u", "a:x", "v"]),
        ];
        let scorer = scorer(rows);
        let high = scorer.report(&[Ok(Tier::High), Ok(Tier::High)]).scores;
        assert_eq!((high.cost_savings, high.trajectory_pass), (0.0, 100.0));
        let gold = scorer.report(&[Ok(Tier::Low), Ok(Tier::High)]);
        assert_eq!((gold.scores.row_exact, gold.accounting.overall), (100.0, 100.0));
    }
}
