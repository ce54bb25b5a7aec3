//! Categories first, and masks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fingerpost_agents::moma::{Categories, CategoryOptions, Event, Moma, MomaConfig, Phase, State};
use rand::{SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use serde_json::{Value, json};

use crate::{Fallible, data::Set, reading::Reader, round};

/// Categories as the data gives them, or clusters where it gives none.
pub(crate) fn categories(
    set: &Set,
    bank: &fingerpost_agents::tcar::AgentBank,
    given: bool,
) -> Fallible<Categories> {
    let domains: Vec<_> = set
        .domains
        .iter()
        .map(|d| d.as_deref().filter(|_| given).map(Into::into))
        .collect();
    let vectors: Vec<f32> = bank.agents().iter().flat_map(|a| a.centre().to_vec()).collect();
    let options = CategoryOptions {
        parts: 8,
        ..CategoryOptions::default()
    };
    Ok(Categories::new(&domains, &vectors, &options)?)
}

pub(crate) fn run(set: &Set, reader: &Reader) -> Fallible<Value> {
    let bank = Arc::new(set.bank(&set.all(), reader)?);
    let rows: Vec<_> = set.test.iter().filter_map(|row| Some((row, row.gold?))).collect();
    let likeness: Vec<Vec<f32>> = rows
        .iter()
        .map(|(row, _)| bank.agents().iter().map(|a| a.likeness(&row.vector)).collect())
        .collect();
    let best = |scores: &[f32], open: &dyn Fn(usize) -> bool| {
        (0..scores.len())
            .filter(|&i| open(i))
            .max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)))
    };
    let flat = rows
        .iter()
        .zip(&likeness)
        .filter(|((_, gold), s)| best(s, &|_| true) == Some(*gold))
        .count() as f64;
    let mut figures = Vec::new();
    let ways: &[bool] = if set.domains.iter().any(Option::is_some) {
        &[true, false]
    } else {
        &[false]
    };
    for &given in ways {
        let categories = categories(set, &bank, given)?;
        for k in 3..=5 {
            let (mut right, mut held, mut compared) = (0.0, 0.0, 0.0);
            for ((row, gold), scores) in rows.iter().zip(&likeness) {
                let nearest = categories.nearest(&row.vector, k);
                let open: BTreeSet<u32> = nearest
                    .iter()
                    .flat_map(|(c, _)| categories.agents(*c))
                    .copied()
                    .collect();
                compared += open.len() as f64;
                held += f64::from(open.contains(&(*gold as u32)));
                right += f64::from(best(scores, &|i| open.contains(&(i as u32))) == Some(*gold));
            }
            let n = rows.len() as f64;
            figures.push(json!({"categories": if given { "given domains" } else { "clusters" }, "of": categories.len(), "k": k,
                "flat": round(flat / n), "category first": round(right / n), "kept": round(right / flat), "right agent among candidates": round(held / n),
                "agents compared": round(compared / n / bank.agents().len() as f64), "category vectors": categories.faces()}));
        }
    }
    Ok(json!({"recall": figures, "masks": masks(set, &bank)?}))
}

/// A fifth of the agents is barred for each query, by chance.
fn masks(set: &Set, bank: &Arc<fingerpost_agents::tcar::AgentBank>) -> Fallible<Value> {
    let config = MomaConfig {
        categories: 1_000,
        threshold: -1.0,
        ..MomaConfig::default()
    };
    let moma = Moma::new(
        &config,
        bank.clone(),
        categories(set, bank, true)?,
        BTreeMap::new(),
    )?;
    let names: Vec<_> = bank.agents().iter().map(|a| a.entry.id.clone()).collect();
    let mut rng = SmallRng::seed_from_u64(31);
    let rights = BTreeSet::new();
    let (mut illegal, mut legal, mut changed, mut barred_best) = (0, 0, 0, 0);
    for row in set.test.iter().filter(|row| row.gold.is_some()) {
        let free = moma
            .step(State::default(), &Event::Said, &row.vector, &rights)
            .1
            .agent;
        let failed: BTreeSet<_> = names
            .choose_multiple(&mut rng, names.len() / 5)
            .cloned()
            .collect();
        let state = State {
            phase: Phase::Candidate,
            failed: failed.clone(),
            ..State::default()
        };
        let masked = moma.step(state, &Event::Failed, &row.vector, &rights).1.agent;
        illegal += usize::from(masked.as_ref().is_some_and(|agent| failed.contains(agent)));
        if free.as_ref().is_some_and(|agent| failed.contains(agent)) {
            barred_best += 1;
        } else {
            legal += 1;
            changed += usize::from(masked != free);
        }
    }
    Ok(
        json!({"queries whose best agent was barred": barred_best, "illegal picks": illegal, "queries whose best agent was not": legal, "changed picks among them": changed}),
    )
}
