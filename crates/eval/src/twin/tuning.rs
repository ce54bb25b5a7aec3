//! Tuning the rule of choice, and predictions for runs that were not learned from.

use super::{
    Bank, Prediction, Prices, RouteError, Scorer, TierRouter, TokenCounter, TrainError, Trained,
    TrainedOptions, folds, predict,
    trained::{Model, Rule},
};

/// Probabilities of a later step to suffice that are tried.
const LATERS: [f64; 7] = [1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7];

/// That with the best mean Combined over all rounds of cross-validation by run; of equals the first tried, the more cautious.
pub(super) fn choose(
    bank: &Bank,
    options: &TrainedOptions,
    prices: &Prices,
    counter: &dyn TokenCounter,
) -> f64 {
    let scorer = Scorer::new(bank, prices, counter);
    let mut sums = LATERS.map(|later| (later, 0.0));
    for round in 0..options.rounds {
        let fold_of = folds(bank, options.folds, round);
        let mut said = LATERS.map(|_| unsaid(bank));
        for fold in 0..options.folds {
            let model = Model::learn(&without(bank, &fold_of, fold), options, prices, counter);
            for (said, later) in said.iter_mut().zip(LATERS) {
                let router = Trained::new(model.clone(), Rule::Worthiest { later });
                say(&router, bank, &fold_of, fold, said);
            }
        }
        for (sum, said) in sums.iter_mut().zip(&said) {
            sum.1 += scorer.report(said).scores.combined;
        }
    }
    let best = sums
        .into_iter()
        .reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map_or(1.0, |(later, _)| later)
}

fn unsaid(bank: &Bank) -> Vec<Prediction> {
    vec![Err(RouteError::new("the row is in no fold")); bank.rows().len()]
}

/// What a router says of the runs of one fold.
fn say(router: &dyn TierRouter, bank: &Bank, fold_of: &[usize], fold: usize, said: &mut [Prediction]) {
    let kept = (bank.runs().iter().zip(fold_of)).filter(|(_, of)| **of == fold);
    let rows: Vec<usize> = kept.flat_map(|(run, _)| run.iter().copied()).collect();
    let part = Bank::new(rows.iter().map(|&at| bank.rows()[at].clone()).collect()).unwrap_or_default();
    for (at, prediction) in rows.into_iter().zip(predict(router, &part)) {
        said[at] = prediction;
    }
}

/// Predictions for every row of a bank, each from a router that was trained, tuning included, on the runs of the other
/// folds. Another seed sorts the runs into folds otherwise. With `most_probable` the most probable tier is taken.
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
    cross_fitted_by(bank, options.folds, seed.wrapping_add(1 << 32), |part| {
        let trained = Trained::train(part, options, prices, counter)?;
        Ok(if most_probable {
            trained.most_probable()
        } else {
            trained
        })
    })
}

/// Predictions for every row of a bank, each from what `learn` makes of the runs of the other folds.
///
/// # Errors
/// What `learn` has.
pub fn cross_fitted_by<R: TierRouter, E>(
    bank: &Bank,
    count: usize,
    seed: u64,
    learn: impl Fn(&Bank) -> Result<R, E>,
) -> Result<Vec<Prediction>, E> {
    let fold_of = folds(bank, count, seed);
    let mut said = unsaid(bank);
    for fold in 0..count {
        say(
            &learn(&without(bank, &fold_of, fold))?,
            bank,
            &fold_of,
            fold,
            &mut said,
        );
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
