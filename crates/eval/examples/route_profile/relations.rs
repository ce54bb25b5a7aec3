//! Which way of making profiles is better than which, by how much, and whether that is more than noise: paired over queries.

use std::{collections::BTreeMap, error::Error};

use fingerpost_core::{Catalogue, Context, Limits, Name, Profile, Query, Router, Timestamp};
use fingerpost_models::{
    Learning, ModelCard, Organisation, OutcomeTable, ProfileSettings, Representation, RouterDc,
    RouterDcConfig, Settings, Trained, Training,
};
use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};

use crate::{
    Bench, Run, always,
    data::{self, Data, Read},
    mean, paired, val,
};

/// Tasks that a made-up description names.
const NAMED: usize = 3;
/// Times that descriptions are dealt out anew.
const SHUFFLES: u64 = 20;

type Done = Result<(), Box<dyn Error>>;

pub(crate) fn print(bench: &Bench<'_>) -> Done {
    println!("\nEach: all outcomes, then val; difference, its standard error over pairs, and their ratio.");
    structure(bench)?;
    new_model(bench)?;
    domains(bench)?;
    later_model(bench)?;
    descriptions(bench)
}

fn masked(data: &Data) -> ProfileSettings {
    ProfileSettings {
        learning: Learning::Masked,
        cards: data.cards.clone(),
        ..ProfileSettings::default()
    }
}

fn frozen(data: &Data) -> ProfileSettings {
    ProfileSettings {
        learning: Learning::Frozen,
        ..masked(data)
    }
}

fn flat(data: &Data, representation: Representation) -> ProfileSettings {
    ProfileSettings {
        organisation: Organisation::Flat,
        representation,
        ..frozen(data)
    }
}

fn compare(data: &Data, name: &str, a: &[f64], b: &[f64]) {
    let one = |a: &[f64], b: &[f64]| {
        let (difference, error) = paired(a, b);
        let ratio = difference / error.max(1e-12);
        let (a, b) = (mean(a), mean(b));
        format!("{a:.3} against {b:.3}, {difference:+.3} +- {error:.3} ({ratio:+.1})")
    };
    println!("{name}: {}; val {}", one(a, b), one(&val(data, a), &val(data, b)));
}

fn structure(bench: &Bench<'_>) -> Done {
    println!("\n(a) all models known, sim");
    let data = bench.data;
    let run = |settings: &ProfileSettings| bench.run(settings, &data.standard);
    let text = run(&flat(data, Representation::Text))?.scores;
    let index = run(&flat(data, Representation::Index))?.scores;
    let vector = run(&frozen(data))?.scores;
    let bare = ProfileSettings {
        queries: false,
        ..frozen(data)
    };
    let bare = run(&bare)?.scores;
    let trained = run(&masked(data))?.scores;
    compare(data, "structured vector, frozen, over flat text", &vector, &text);
    compare(data, "structured vector, masked, over flat text", &trained, &text);
    compare(data, "flat text over index", &text, &index);
    compare(data, "frozen with query nodes over without", &vector, &bare);
    Ok(())
}

fn new_model(bench: &Bench<'_>) -> Done {
    println!("\n(b) {} in no preference, sim", data::NEW);
    let data = bench.data;
    let best = best_known(&data.without);
    let known = always(data, best);
    println!("best of the known: {}", data.models[best]);
    let flat = bench.run(&flat(data, Representation::Text), &data.without)?;
    println!("flat text: {:.3}, cold {:.2}", mean(&flat.scores), flat.cold);
    let scores = ProfileSettings {
        representation: Representation::Scores,
        ..frozen(data)
    };
    let scores = bench.run(&scores, &data.without)?;
    println!("structured scores: cold {:.2}", scores.cold);
    compare(
        data,
        "  over always the best of the known",
        &scores.scores,
        &known,
    );
    for hops in 1..=4 {
        let run = |settings: ProfileSettings| -> Result<Run, Box<dyn Error>> {
            bench.run(&ProfileSettings { hops, ..settings }, &data.without)
        };
        let (trained, propagated) = (run(masked(data))?, run(frozen(data))?);
        println!(
            "{hops} hops: cold {:.2} masked, {:.2} frozen",
            trained.cold, propagated.cold
        );
        compare(data, "  masked over frozen", &trained.scores, &propagated.scores);
        compare(
            data,
            "  masked over always the best of the known",
            &trained.scores,
            &known,
        );
    }
    Ok(())
}

fn domains(bench: &Bench<'_>) -> Done {
    println!("\n(c) domain nodes, sim");
    let data = bench.data;
    for (name, settings) in [("frozen", frozen(data)), ("masked", masked(data))] {
        for hops in [2, 3] {
            for (setting, train) in [("all", &data.standard), ("new", &data.without)] {
                let run = |domains| {
                    let settings = ProfileSettings {
                        domains,
                        hops,
                        ..settings.clone()
                    };
                    bench.run(&settings, train)
                };
                let (with, without) = (run(true)?.scores, run(false)?.scores);
                compare(
                    data,
                    &format!("{name}, {hops} hops, {setting}: with over without"),
                    &with,
                    &without,
                );
            }
        }
    }
    Ok(())
}

/// The model that wins the largest share of its comparisons.
fn best_known(train: &Read) -> usize {
    let wins = |m: usize| train.table.mean_score(m).unwrap_or(0.0);
    let models = 0..train.table.models().len();
    models.fold(0, |best, m| if wins(m) > wins(best) { m } else { best })
}

/// A model that the training did not know at all comes into service: by its description alone, then with some outcomes.
fn later_model(bench: &Bench<'_>) -> Done {
    println!(
        "\n(d) {} comes after training, sim; outcomes are drawn from train",
        data::NEW
    );
    let data = bench.data;
    let new = data.new_model();
    let known: Vec<Name> = data.models.iter().filter(|m| *m != data::NEW).cloned().collect();
    let mut table = OutcomeTable::new(known.iter().cloned())?;
    for row in data.without.table.rows() {
        let mut row = row.clone();
        row.scores.remove(new);
        table.push(row)?;
    }
    let description = data
        .cards
        .models
        .get(data::NEW)
        .map(|c: &ModelCard| c.description.clone());
    let profile = Profile {
        description: description.unwrap_or_default(),
        ..Profile::named(data::NEW)
    };
    let models: Vec<&Name> = data.models.iter().collect();
    for outcomes in [0, 10, 30, 100] {
        let mut sum = vec![0.0; data.both.table.len()];
        let mut taken = 0.0;
        for seed in 1..=bench.seeds {
            let training = Training::new(&table, &data.without.features, seed, &|_, _, _| true)?;
            let settings = Settings::RouteProfile(masked(data));
            let trained = Trained::train_on(&settings, &training, bench.featurizer)?;
            let predictor = trained.predictor()?;
            predictor.introduce(&data.both.features[0], &profile, bench.featurizer);
            let mut order: Vec<usize> = (0..data.train.table.len()).collect();
            order.shuffle(&mut SmallRng::seed_from_u64(seed));
            for place in order.into_iter().take(outcomes) {
                if let Some(score) = data.train.table.rows()[place].scores[new] {
                    predictor.observe(&data.train.features[place], models[new], f64::from(score));
                }
            }
            let mut out = Vec::new();
            for (place, features) in data
                .both
                .features
                .iter()
                .enumerate()
                .filter(|(p, _)| data.val[*p])
            {
                predictor.estimate(features, &models, &mut out);
                let quality = |m: usize| out[m].map_or(f64::NEG_INFINITY, |e| e.quality);
                let pick = (0..models.len()).fold(0, |b, m| if quality(m) > quality(b) { m } else { b });
                let score = data.both.table.rows()[place].scores[pick];
                sum[place] += f64::from(score.unwrap_or(0.0)) / bench.seeds as f64;
                taken += f64::from(u8::from(pick == new));
            }
        }
        let sum = val(data, &sum);
        let share = taken / (sum.len() as f64 * bench.seeds as f64);
        println!(
            "{outcomes} outcomes: val {:.3}, taken for {:.0} %",
            mean(&sum),
            100.0 * share
        );
    }
    Ok(())
}

/// `router_dc` with descriptions made from where each model is ahead on the train part, and with the same dealt out anew.
fn descriptions(bench: &Bench<'_>) -> Done {
    println!("\n(e) router_dc; descriptions are made from the train part, so val alone counts");
    let data = bench.data;
    let texts = informative(data);
    let mean_score = |row: &fingerpost_models::Logged| {
        let scores = row.scores.iter().map(|s| f64::from(s.unwrap_or(0.0)));
        scores.sum::<f64>() / data.models.len() as f64
    };
    let chance: Vec<f64> = data.both.table.rows().iter().map(mean_score).collect();
    compare(data, "informative over chance", &choose(bench, &texts)?, &chance);
    let mut dealt = vec![0.0; chance.len()];
    for seed in 1..=SHUFFLES {
        let mut shuffled = texts.clone();
        shuffled.shuffle(&mut SmallRng::seed_from_u64(seed));
        let scores = choose(bench, &shuffled)?;
        dealt
            .iter_mut()
            .zip(scores)
            .for_each(|(d, s)| *d += s / SHUFFLES as f64);
    }
    compare(
        data,
        &format!("shuffled {SHUFFLES} times over chance"),
        &dealt,
        &chance,
    );
    let described = |m: &Name| data.cards.models.get(m).map_or("", |c| &c.description).to_owned();
    let own: Vec<String> = data.models.iter().map(described).collect();
    compare(
        data,
        "the vendors' descriptions over chance",
        &choose(bench, &own)?,
        &chance,
    );
    Ok(())
}

/// What each model is ahead in, in the words of the tasks and of a question of each.
fn informative(data: &Data) -> Vec<String> {
    let mut sums: BTreeMap<&Name, (Vec<f64>, f64, &str)> = BTreeMap::new();
    for row in data.train.table.rows() {
        let Some(task) = &row.task else { continue };
        let entry = sums.entry(task);
        let (scores, count, _) = entry.or_insert((vec![0.0; data.models.len()], 0.0, &row.text));
        *count += 1.0;
        let scored = scores.iter_mut().zip(&row.scores);
        scored.for_each(|(sum, s)| *sum += f64::from(s.unwrap_or(0.0)));
    }
    let describe = |model: usize| {
        // Where it is the best, at least jointly; the wins of the train part.
        let mut ahead: Vec<(f64, String)> = Vec::new();
        for (task, (scores, count, example)) in &sums {
            let most = scores.iter().copied().fold(0.0, f64::max);
            if scores[model] >= most {
                let text = data.cards.tasks.get(*task).map_or("", String::as_str);
                let example: String = example.chars().take(300).collect();
                ahead.push((scores[model] / count, format!("{text} {example}")));
            }
        }
        ahead.sort_by(|a, b| b.0.total_cmp(&a.0));
        let named: Vec<String> = ahead.into_iter().take(NAMED).map(|a| a.1).collect();
        named.join("\n")
    };
    (0..data.models.len()).map(describe).collect()
}

/// The scores of what `router_dc` takes.
fn choose(bench: &Bench<'_>, texts: &[String]) -> Result<Vec<f64>, Box<dyn Error>> {
    let profiles = bench.data.models.iter().zip(texts).map(|(name, text)| Profile {
        description: text.clone(),
        ..Profile::named(name.clone())
    });
    let catalogue = Catalogue::new(profiles)?;
    let router = RouterDc::new(
        &RouterDcConfig::default(),
        "dc".into(),
        Some(bench.featurizer.clone()),
    )?;
    let (ids, limits, mut rng) = (catalogue.ids(), Limits::NONE, SmallRng::seed_from_u64(1));
    let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
    let mut scores = Vec::new();
    for row in bench.data.both.table.rows() {
        let decision = router.route(&Query::text(&row.text), &ids, &mut cx)?;
        let pick = decision.first().id.0 as usize;
        scores.push(f64::from(row.scores[pick].unwrap_or(0.0)));
    }
    Ok(scores)
}
