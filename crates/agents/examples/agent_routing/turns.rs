//! Conversations of several turns: with a state, and each turn alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fingerpost_agents::moma::{Categories, Event, Moma, MomaConfig, State};
use fingerpost_agents::tcar::AgentBank;
use fingerpost_encode::Vector;
use rand::{SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use serde_json::{Value, json};

use crate::{
    Fallible,
    categories::categories,
    data::{Row, Set},
    reading::Reader,
    round,
};

/// What people say to go on; the first half serves to set thresholds, the second to judge them.
const FOLLOW_UPS: [&str; 20] = [
    "and tomorrow?",
    "what about the other one?",
    "can you say that again",
    "why is that",
    "ok and after that?",
    "are you sure about it",
    "the second one please",
    "yes, do it",
    "how long does it take",
    "no, I meant the first",
    "and for next week?",
    "same thing but for my wife",
    "could you check once more",
    "what does that mean",
    "and how about Friday",
    "thanks, anything else I should know?",
    "go ahead",
    "not that one, the other",
    "is there another way",
    "can it be done sooner",
];
const SCRIPTS: usize = 300;

/// A turn: what it looks like by its words, its vector, the right agent, and whether it is a follow-up.
type Turn = (Event, Vector, usize, bool);

#[derive(Default)]
struct Tally {
    follow: (f64, f64),
    begin: (f64, f64),
}

impl Tally {
    fn add(&mut self, right: bool, is_follow: bool) {
        let (hits, all) = if is_follow {
            &mut self.follow
        } else {
            &mut self.begin
        };
        *hits += f64::from(right);
        *all += 1.0;
    }

    fn shares(&self) -> (f64, f64) {
        (
            self.follow.0 / self.follow.1.max(1.0),
            self.begin.0 / self.begin.1.max(1.0),
        )
    }
}

pub(crate) fn run(set: &Set, reader: &Reader) -> Fallible<Value> {
    let bank = Arc::new(set.bank(&set.all(), reader)?);
    let tree = categories(set, &bank, true)?;
    let follow: Vec<(Event, Vector)> = FOLLOW_UPS
        .iter()
        .map(|text| (Event::said(text), reader.encoder.encode(text)))
        .collect();
    let (learn, judge) = (
        scripts(&set.val, &follow[..10], 80, 1),
        scripts(&set.test, &follow[10..], SCRIPTS, 2),
    );
    let mut best: Option<(f64, MomaConfig)> = None;
    for threshold in [0.3, 0.4, 0.5] {
        for margin in [0.0, 0.1, 0.2] {
            for takeover in [0.5, 0.6, 0.7] {
                let config = MomaConfig {
                    categories: 5,
                    threshold,
                    margin,
                    takeover,
                    ..MomaConfig::default()
                };
                let (followed, begun) = play(&config, &bank, &tree, &learn, true)?.shares();
                let both = followed + begun;
                if best.as_ref().is_none_or(|(most, _)| both > *most) {
                    best = Some((both, config));
                }
            }
        }
    }
    let config = best.map(|(_, config)| config).unwrap_or_default();
    let shown = |tally: &Tally| {
        let (followed, begun) = tally.shares();
        json!({"follow-ups": round(followed), "beginnings": round(begun)})
    };
    Ok(
        json!({"scripts": judge.len(), "turns": judge.iter().map(Vec::len).sum::<usize>(), "settings": config,
        "with a state": shown(&play(&config, &bank, &tree, &judge, true)?), "each turn alone": shown(&play(&config, &bank, &tree, &judge, false)?)}),
    )
}

/// Two tasks of different agents, each with two follow-ups.
fn scripts(rows: &[Row], follow: &[(Event, Vector)], count: usize, seed: u64) -> Vec<Vec<Turn>> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let known: Vec<&Row> = rows.iter().filter(|row| row.gold.is_some()).collect();
    let mut all = Vec::new();
    while all.len() < count {
        let (Some(one), Some(other)) = (known.choose(&mut rng), known.choose(&mut rng)) else {
            break;
        };
        if one.gold == other.gold {
            continue;
        }
        let mut script = Vec::new();
        for row in [one, other] {
            let gold = row.gold.unwrap_or_default();
            script.push((Event::said(&row.text), row.vector.clone(), gold, false));
            for _ in 0..2 {
                script.extend(
                    follow
                        .choose(&mut rng)
                        .map(|(event, v)| (event.clone(), v.clone(), gold, true)),
                );
            }
        }
        all.push(script);
    }
    all
}

/// A turn is right where the right agent of its task acts; a follow-up of a task that began with the wrong one is wrong too.
fn play(
    config: &MomaConfig,
    bank: &Arc<AgentBank>,
    tree: &Categories,
    scripts: &[Vec<Turn>],
    keeps: bool,
) -> Fallible<Tally> {
    let moma = Moma::new(config, bank.clone(), tree.clone(), BTreeMap::new())?;
    let rights = BTreeSet::new();
    let mut tally = Tally::default();
    for script in scripts {
        let mut state = State::default();
        for (event, vector, gold, is_follow) in script {
            if !keeps {
                state = State::default();
            }
            let choice;
            (state, choice) = moma.step(state, event, vector, &rights);
            let name = &bank.agents()[*gold].entry.id;
            tally.add(choice.agent.as_ref() == Some(name), *is_follow);
        }
    }
    Ok(tally)
}
