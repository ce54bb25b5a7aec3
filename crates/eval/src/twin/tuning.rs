//! Choosing thresholds, and predictions for runs that were not learned from.

use super::{
    Bank, Caution, Prediction, Prices, RouteError, Scorer, Step, Tier, TokenCounter, TrainError, Trained,
    TrainedOptions, folds, predict, trained::Beliefs,
};

/// Thresholds that are tried: of the highest tier, of the middle ones against it, and of a tier in use against a new one.
const THETAS: [f64; 11] = [0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12, 0.14, 0.2, 0.3];
const MIDDLES: [f64; 3] = [1.0, 1.5, 2.0];
const KEEPS: [f64; 3] = [1.0, 0.7, 0.5];

/// The thresholds with the best mean Combined over all rounds of cross-validation by run; of equals the first tried.
pub(super) fn choose(
    bank: &Bank,
    options: &TrainedOptions,
    prices: &Prices,
    counter: &dyn TokenCounter,
) -> Caution {
    let scorer = Scorer::new(bank, prices, counter);
    let rounds: Vec<Vec<[f64; 4]>> = (0..options.rounds)
        .map(|round| held_out_beliefs(bank, options, round))
        .collect();
    let tried = THETAS
        .into_iter()
        .flat_map(|theta| {
            MIDDLES
                .into_iter()
                .flat_map(move |middle| KEEPS.map(|keep| (theta, middle, keep)))
        })
        .filter_map(|(theta, middle, keep)| Caution::new(theta, middle, keep).ok())
        .map(|caution| {
            let combined =
                |beliefs: &Vec<[f64; 4]>| scorer.report(&decide_all(bank, beliefs, caution)).scores.combined;
            let sum: f64 = rounds.iter().map(combined).sum();
            (caution, sum)
        });
    let best = tried.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map_or(Caution::SAFE, |(caution, _)| caution)
}

/// Beliefs for every row of a bank, each from a model that has not seen its run.
fn held_out_beliefs(bank: &Bank, options: &TrainedOptions, round: u64) -> Vec<[f64; 4]> {
    let fold_of = folds(bank, options.folds, round);
    let mut beliefs = vec![[0.25; 4]; bank.rows().len()];
    for fold in 0..options.folds {
        let model = Beliefs::learn(&without(bank, &fold_of, fold), options);
        for (run, _) in bank.runs().iter().zip(&fold_of).filter(|(_, of)| **of == fold) {
            for &at in run {
                let row = &bank.rows()[at];
                beliefs[at] = model.at(&Step {
                    messages: &row.messages,
                    step_index: row.step_index,
                    before: &[],
                });
            }
        }
    }
    beliefs
}

/// What a router with these beliefs and thresholds says, step by step.
fn decide_all(bank: &Bank, beliefs: &[[f64; 4]], caution: Caution) -> Vec<Prediction> {
    let mut said: Vec<Prediction> = vec![Ok(Tier::High); beliefs.len()];
    for run in bank.runs() {
        let mut previous = None;
        for &at in run {
            let tier = caution.tier(&beliefs[at], previous);
            previous = Some(tier);
            said[at] = Ok(tier);
        }
    }
    said
}

/// Predictions for every row of a bank, each from a router that was trained, thresholds included, on the runs of the other
/// folds. Another seed sorts the runs into folds otherwise. With `most_probable` the thresholds are not used.
///
/// # Errors
/// [`TrainError`] as [`Trained::train`] on the runs of all folds but one.
pub fn cross_fitted(
    bank: &Bank,
    options: &TrainedOptions,
    prices: &Prices,
    counter: &dyn TokenCounter,
    seed: u64,
    most_probable: bool,
) -> Result<Vec<Prediction>, TrainError> {
    options.check(bank)?;
    // The rounds within training sort by small seeds; these must not be the same folds again.
    let fold_of = folds(bank, options.folds, seed.wrapping_add(1 << 32));
    let mut said: Vec<Prediction> = vec![Err(RouteError::new("the row is in no fold")); bank.rows().len()];
    for fold in 0..options.folds {
        let trained = Trained::train(&without(bank, &fold_of, fold), options, prices, counter)?;
        let router = if most_probable {
            trained.most_probable()
        } else {
            trained
        };
        let kept = (bank.runs().iter().zip(&fold_of)).filter(|(_, of)| **of == fold);
        let rows: Vec<usize> = kept.flat_map(|(run, _)| run.iter().copied()).collect();
        let part = Bank::new(rows.iter().map(|&at| bank.rows()[at].clone()).collect()).unwrap_or_default();
        for (at, prediction) in rows.into_iter().zip(predict(&router, &part)) {
            said[at] = prediction;
        }
    }
    Ok(said)
}

/// The runs of all folds but one.
fn without(bank: &Bank, fold_of: &[usize], fold: usize) -> Bank {
    let kept = bank.runs().iter().zip(fold_of).filter(|(_, of)| **of != fold);
    let rows = kept.flat_map(|(run, _)| run.iter().map(|&at| bank.rows()[at].clone()));
    // Rows that fitted together fit together in part.
    Bank::new(rows.collect()).unwrap_or_default()
}
