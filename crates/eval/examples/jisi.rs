//! `jisi` replayed on logged answers, with the vote as stand-in for a model that merges (card `systems/56`).
//!
//! `cargo run --release -p fingerpost-eval --example jisi -- DIR`, with a data set whose rows hold `responses` (routeprofile8). The
//! bank is the train part; what is tuned is tuned by cross-validation on it; figures are of the val part. Costs are those of all
//! calls of a request, probes among them.

#[path = "replay/mod.rs"]
mod replay;

use std::{path::PathBuf, sync::Arc};

use fingerpost_core::{CandidateId, Catalogue};
use fingerpost_encode::StaticEncoder;
use fingerpost_eval::{
    DataSet,
    metrics::{bootstrap, mean},
};
use fingerpost_models::{
    Bank, Features, Featurizer, Jisi, JisiConfig, Logged, Merge, OutcomeTable, Searched, Training,
};
use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};
use replay::{RESAMPLES, Replayed, baselines, best_single, cost, difference, quality, replay};

const FOLDS: usize = 5;
/// Tasks of routeprofile8 whose answers are options.
const CHOICE: [&str; 5] = [
    "agentverse-logicgrid",
    "arc_challenge",
    "commonsense_qa",
    "mmlu",
    "openbook_qa",
];

/// A bank and the rows that it is judged on.
struct Part {
    searched: Arc<Searched>,
    rows: Vec<Logged>,
}

struct Lab {
    featurizer: Featurizer,
    catalogue: Catalogue,
}

// === impl Lab ===

impl Lab {
    fn part(
        &self,
        train: &OutcomeTable,
        features: &[Features],
        keep: &dyn Fn(usize) -> bool,
        rows: Vec<Logged>,
    ) -> Part {
        let training = Training::new(train, features, 1, &|_, _, _| true).expect("rows");
        let bank = Bank::train(&training.reading(&self.featurizer).part(keep)).expect("a bank");
        let searched = Arc::new(Searched::new(bank).expect("vectors"));
        Part { searched, rows }
    }

    fn replay(&self, part: &Part, config: &JisiConfig, among: &[CandidateId]) -> Vec<Replayed> {
        let router = Jisi::new(
            config,
            "jisi".into(),
            part.searched.clone(),
            self.featurizer.clone(),
        )
        .expect("in range");
        part.rows
            .iter()
            .map(|row| replay(&router, &self.catalogue, row, among))
            .collect()
    }

    /// Quality in percent and mean cost in US dollars a thousand requests.
    fn judge(&self, parts: &[Part], config: &JisiConfig) -> (f64, f64) {
        let all: Vec<Replayed> = parts
            .iter()
            .flat_map(|p| self.replay(p, config, &self.catalogue.ids()))
            .collect();
        (quality(&all), cost(&all))
    }
}

fn routed(k: u32, probes: u32, query_weight: f64, base: &JisiConfig) -> JisiConfig {
    let by_query = query_weight >= 1.0;
    JisiConfig {
        support: if by_query { k } else { base.support.max(k) },
        filtered: k,
        probes,
        query_weight,
        threshold: 1.0,
        ..base.clone()
    }
}

fn main() {
    let folder = std::env::args()
        .nth(1)
        .map(PathBuf::from)
        .expect("the folder of a data set");
    let data = DataSet::open(&folder).expect("a data set");
    let featurizer = Featurizer::new(Arc::new(StaticEncoder::bundled()));
    let lab = Lab {
        featurizer,
        catalogue: Catalogue::new(data.profiles.iter().cloned()).expect("names differ"),
    };
    let (train, val) = (data.part("train").expect("train"), data.part("val").expect("val"));
    let features = fingerpost_models::features(&train, &lab.featurizer, &|_, _, _| true).expect("features");
    let folds: Vec<Part> = (0..FOLDS)
        .map(|fold| {
            let rows = train.rows().iter().enumerate().filter(|(i, _)| i % FOLDS == fold);
            let rows = rows.map(|(_, r)| r.clone()).collect();
            lab.part(&train, &features, &|i| i % FOLDS != fold, rows)
        })
        .collect();
    let val_part = [lab.part(&train, &features, &|_| true, val.rows().to_vec())];
    println!(
        "{}: bank {} queries, judged on {}\n",
        data.name,
        train.len(),
        val.len()
    );

    println!("tuning, cross-validated on the bank: routed by three probes, mean of k 20 and 40");
    let mut tuned = (f64::NEG_INFINITY, JisiConfig::default());
    for power in [1.0, 2.0, 4.0] {
        for support in [50, 100] {
            for query_weight in [0.0, 0.15, 0.3, 0.5, 0.7, 1.0] {
                let base = JisiConfig {
                    power,
                    support,
                    ..JisiConfig::default()
                };
                let found = mean([20, 40].map(|k| lab.judge(&folds, &routed(k, 3, query_weight, &base)).0));
                println!("  power {power} support {support:>3} query weight {query_weight:<4}: {found:.2} %");
                if query_weight < 1.0 && found > tuned.0 {
                    tuned = (found, JisiConfig { query_weight, ..base });
                }
            }
        }
    }
    let tuned = tuned.1;
    println!(
        "  taken: power {}, support {}, query weight {}\n",
        tuned.power, tuned.support, tuned.query_weight
    );

    println!("val part");
    baselines(&val, &train);
    mixed_against_query_only(&lab, &val_part, &tuned);
    vote_against_single(&lab, &val_part, &folds, &tuned);
    switch(&lab, &folds, &val_part, &tuned);
    more_models(&lab, &val_part, &tuned);
    aggregators(&lab, &folds, &val_part, &train, &tuned);
}

fn scores(all: &[Replayed]) -> Vec<f64> {
    all.iter().map(|r| r.score).collect()
}

/// (a) Mixed routing against the queries alone.
fn mixed_against_query_only(lab: &Lab, parts: &[Part; 1], tuned: &JisiConfig) {
    println!("\n(a) routing by query and answers, against the query alone (always one answer)");
    let ids = lab.catalogue.ids();
    for (what, query_weight) in [
        ("tuned", tuned.query_weight),
        ("card, 0.5", 0.5),
        ("card, 0.3", 0.3),
    ] {
        let (mut with, mut without) = (vec![0.0; parts[0].rows.len()], vec![0.0; parts[0].rows.len()]);
        for k in [20, 40] {
            for probes in [2, 3] {
                let mixed = lab.replay(&parts[0], &routed(k, probes, query_weight, tuned), &ids);
                let query = lab.replay(&parts[0], &routed(k, probes, 1.0, tuned), &ids);
                println!(
                    "  {what}: k {k} K {probes}: {:.1} % against {:.1} %, {:.4} against {:.4} USD a thousand",
                    quality(&mixed),
                    quality(&query),
                    cost(&mixed),
                    cost(&query)
                );
                for (sum, all) in [(&mut with, &mixed), (&mut without, &query)] {
                    sum.iter_mut().zip(all).for_each(|(s, r)| *s += r.score / 4.0);
                }
            }
        }
        println!("  {what}: mean difference {} points", difference(&with, &without));
    }
}

/// (b) A vote of the candidates against the best of them, where answers are options.
fn vote_against_single(lab: &Lab, val: &[Part; 1], folds: &[Part], tuned: &JisiConfig) {
    println!("\n(b) a vote of K against the best single one, on multiple choice (val, then cross-validated)");
    let ids = lab.catalogue.ids();
    for probes in [3, 5, 8] {
        let (alone, together) = (
            routed(40, probes, tuned.query_weight, tuned),
            JisiConfig {
                threshold: 0.0,
                merge: Merge::Vote,
                ..routed(40, probes, tuned.query_weight, tuned)
            },
        );
        for parts in [val.as_slice(), folds] {
            let (mut voted, mut single) = (Vec::new(), Vec::new());
            for part in parts {
                let is_choice = part
                    .rows
                    .iter()
                    .map(|r| r.task.as_ref().is_some_and(|t| CHOICE.contains(&t.as_str())));
                let (v, s) = (lab.replay(part, &together, &ids), lab.replay(part, &alone, &ids));
                for ((v, s), _) in v.iter().zip(&s).zip(is_choice).filter(|(_, choice)| *choice) {
                    voted.push(v.score);
                    single.push(s.score);
                }
            }
            println!(
                "  K {probes}, {} rows: {:.1} % against {:.1} %, difference {} points",
                voted.len(),
                100.0 * mean(voted.iter().copied()),
                100.0 * mean(single.iter().copied()),
                difference(&voted, &single)
            );
        }
    }
}

/// (c) The switch from all to one.
fn switch(lab: &Lab, folds: &[Part], val: &[Part; 1], tuned: &JisiConfig) {
    println!("\n(c) the switch: quality and cost a thousand requests, cross-validated on the bank | on val");
    for t in [0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0] {
        let config = JisiConfig {
            filtered: 40,
            threshold: t,
            merge: Merge::Vote,
            ..tuned.clone()
        };
        let (cv, on_val) = (lab.judge(folds, &config), lab.judge(val, &config));
        println!(
            "  t {t:<4}: {:.2} % {:.4} USD | {:.2} % {:.4} USD",
            cv.0, cv.1, on_val.0, on_val.1
        );
    }
}

/// (d) Models added in random order.
fn more_models(lab: &Lab, val: &[Part; 1], tuned: &JisiConfig) {
    const ORDERS: u64 = 10;
    println!("\n(d) models added in random order, {ORDERS} orders: mean quality by number of models");
    let config = JisiConfig {
        filtered: 40,
        merge: Merge::Vote,
        threshold: 0.6,
        ..tuned.clone()
    };
    let counts = 2..=lab.catalogue.len();
    let mut found = vec![Vec::new(); lab.catalogue.len() + 1];
    for seed in 1..=ORDERS {
        let mut ids = lab.catalogue.ids();
        ids.shuffle(&mut SmallRng::seed_from_u64(seed));
        for count in counts.clone() {
            found[count].push(quality(&lab.replay(&val[0], &config, &ids[..count])));
        }
    }
    for count in counts {
        let spread = bootstrap(&found[count], RESAMPLES, 1);
        println!(
            "  {count}: {:.1} % [{:.1}, {:.1}]",
            mean(found[count].iter().copied()),
            spread.low,
            spread.high
        );
    }
}

/// (e) The aggregator of the support set against a fixed one, by the quality of its own answer.
fn aggregators(lab: &Lab, folds: &[Part], val: &[Part; 1], train: &OutcomeTable, tuned: &JisiConfig) {
    println!(
        "\n(e) the aggregator's own answers: chosen by the support set, against the best single one always"
    );
    let best = best_single(train);
    let config = JisiConfig {
        filtered: 40,
        threshold: 0.0,
        merge: Merge::Vote,
        ..tuned.clone()
    };
    for (what, parts) in [("val", val.as_slice()), ("cross-validated", folds)] {
        let (mut chosen, mut fixed) = (Vec::new(), Vec::new());
        for part in parts {
            for (row, replayed) in part
                .rows
                .iter()
                .zip(lab.replay(part, &config, &lab.catalogue.ids()))
            {
                let own = |m: usize| f64::from(row.scores[m].unwrap_or(0.0));
                chosen.push(own(replayed.aggregator.unwrap_or(best)));
                fixed.push(own(best));
            }
        }
        println!(
            "  {what}: {:.1} % against {:.1} %, difference {} points",
            100.0 * mean(chosen.iter().copied()),
            100.0 * mean(fixed.iter().copied()),
            difference(&chosen, &fixed)
        );
    }
    let all = JisiConfig {
        probes: 8,
        filtered: 40,
        threshold: 0.0,
        merge: Merge::Vote,
        ..tuned.clone()
    };
    let voted = scores(&lab.replay(&val[0], &all, &lab.catalogue.ids()));
    println!(
        "\nvote of all models, weighed by their scores: {:.1} %",
        100.0 * mean(voted)
    );
}
