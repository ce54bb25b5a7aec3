//! Deliberations replayed on logged answers, for the examples beside it.

use fingerpost_core::{
    Answer, Ask, CandidateId, Catalogue, Context, Deliberate, Failure, Feature, Limits, Outcome, Query,
    Reply, Timestamp, Usd, drive,
};
use fingerpost_eval::metrics::{bootstrap, mean};
use fingerpost_models::{Logged, OutcomeTable};
use rand::{SeedableRng, rngs::SmallRng};

pub(crate) const RESAMPLES: usize = 10_000;

/// What came of a row.
pub(crate) struct Replayed {
    pub(crate) score: f64,
    /// US dollars, of all calls.
    pub(crate) cost: f64,
    #[allow(dead_code, reason = "not every example asks")]
    pub(crate) calls: usize,
    /// The model that the evidence names as aggregator.
    #[allow(dead_code, reason = "not every example asks")]
    pub(crate) aggregator: Option<usize>,
}

/// Runs a deliberation on a row: each call brings the answer that was logged, at the cost that was logged. A prompt of the router's
/// own brings nothing, since nobody logged an answer to it.
pub(crate) fn replay(
    router: &dyn for<'a> Deliberate<Query<'a>>,
    catalogue: &Catalogue,
    row: &Logged,
    among: &[CandidateId],
) -> Replayed {
    let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
    let mut cx = Context::new(catalogue, &limits, Timestamp::default(), &mut rng);
    let (mut cost, mut calls) = (0.0, 0);
    let decision = drive(router, &Query::text(&row.text), among, &mut cx, |call| {
        let model = call.target.0 as usize;
        let paid = row.costs[model].unwrap_or(0.0);
        (cost, calls) = (cost + paid, calls + 1);
        let logged = row.responses.get(model).cloned().flatten();
        let reply = logged.filter(|_| call.ask == Ask::Forward).map(|text| Reply {
            text,
            ..Reply::default()
        });
        Answer {
            call: call.id,
            reply: reply.ok_or(Failure::NoRoute),
            outcome: Outcome {
                cost: Usd::new(paid).ok(),
                ..Outcome::default()
            },
        }
    })
    .expect("there are candidates");
    let pick = decision.first().id.0 as usize;
    if decision.answered.is_none() {
        (cost, calls) = (cost + row.costs[pick].unwrap_or(0.0), calls + 1);
    }
    let aggregator = match decision.evidence.feature("aggregator") {
        Some(Feature::Text(name)) => catalogue.id(name).map(|id| id.0 as usize),
        _ => None,
    };
    Replayed {
        score: f64::from(row.scores[pick].unwrap_or(0.0)),
        cost,
        calls,
        aggregator,
    }
}

/// Mean score, in percent.
pub(crate) fn quality(all: &[Replayed]) -> f64 {
    100.0 * mean(all.iter().map(|r| r.score))
}

/// Mean cost, in US dollars a thousand requests.
pub(crate) fn cost(all: &[Replayed]) -> f64 {
    1e3 * mean(all.iter().map(|r| r.cost))
}

/// The mean difference in points, with its 95 % interval by paired bootstrap.
pub(crate) fn difference(a: &[f64], b: &[f64]) -> String {
    let each: Vec<f64> = a.iter().zip(b).map(|(a, b)| 100.0 * (a - b)).collect();
    let interval = bootstrap(&each, RESAMPLES, 1);
    format!(
        "{:+.2} [{:+.2}, {:+.2}]",
        mean(each.iter().copied()),
        interval.low,
        interval.high
    )
}

/// The model of highest mean score.
pub(crate) fn best_single(table: &OutcomeTable) -> usize {
    let mean_of = |m: usize| table.mean_score(m).unwrap_or(0.0);
    (0..table.models().len()).fold(0, |b, m| if mean_of(m) > mean_of(b) { m } else { b })
}

/// Prints what random choice, the best single model of the training and the oracle come to.
pub(crate) fn baselines(table: &OutcomeTable, train: &OutcomeTable) {
    let (models, best) = (table.models().len(), best_single(train));
    let row = |what: &str, score: &dyn Fn(&Logged) -> f64, cost: &dyn Fn(&Logged) -> f64| {
        let (q, c) = (
            mean(table.rows().iter().map(score)),
            mean(table.rows().iter().map(cost)),
        );
        println!("  {what:<70} {:>5.1} %  {:.4} USD a thousand", 100.0 * q, 1e3 * c);
    };
    let score = |r: &Logged, m: usize| f64::from(r.scores[m].unwrap_or(0.0));
    let paid = |r: &Logged, m: usize| r.costs[m].unwrap_or(0.0);
    row("random", &|r| mean((0..models).map(|m| score(r, m))), &|r| {
        mean((0..models).map(|m| paid(r, m)))
    });
    let name = &train.models()[best];
    let best_name = format!("best single of the train part ({name})");
    row(&best_name, &|r| score(r, best), &|r| paid(r, best));
    let oracle = |r: &Logged| (0..models).fold(0, |b, m| if score(r, m) > score(r, b) { m } else { b });
    row("oracle", &|r| score(r, oracle(r)), &|r| paid(r, oracle(r)));
}
