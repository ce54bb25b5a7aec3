//! Sets of agents by the trained head.

use fingerpost_agents::tcar::{AgentBank, Judged, Lesson, Partners, TcarHead, Thresholds, overlaps};
use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};
use serde_json::{Value, json};

use crate::{
    Fallible,
    data::{Row, Set},
    reading::Reader,
    round,
};

/// Training rows that the head learns from.
const LESSONS: usize = 2_500;
/// Agents taken on the average, at most: below the bar of 1.5, so that the test rows stay below it too.
const MEAN_SIZE: f64 = 1.4;

/// What sets came to on rows whose right agent is known.
#[derive(Default)]
struct Tally {
    rows: f64,
    single: f64,
    set: f64,
    answered: f64,
    size: f64,
    precision: f64,
}

impl Tally {
    fn shown(&self) -> Value {
        json!({"rows": self.rows, "single": round(self.single / self.rows), "set": round(self.set / self.rows),
            "mean size": round(self.size / self.answered.max(1.0)), "precision": round(self.precision / self.answered.max(1.0))})
    }

    fn add(&mut self, (scores, inside): &(Vec<f64>, f64), gold: usize, thresholds: &Thresholds) {
        let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)));
        let set = thresholds.choose(scores, *inside);
        let hit = f64::from(set.contains(&gold));
        self.rows += 1.0;
        self.single += f64::from(best == Some(gold));
        self.set += hit;
        if !set.is_empty() {
            self.answered += 1.0;
            self.size += set.len() as f64;
            self.precision += hit / set.len() as f64;
        }
    }
}

/// How a head judges a row: every agent's score, and the chance that it is for any.
fn scores(head: &TcarHead, bank: &AgentBank, row: &Row) -> (Vec<f64>, f64) {
    let features = bank.features(&row.text, &row.vector);
    let scores = head.scores(&features);
    let inside = head.inside(&features, &scores);
    (scores, inside)
}

fn judged(head: &TcarHead, bank: &AgentBank, row: &Row, gold: Option<usize>) -> Judged {
    let (scores, inside) = scores(head, bank, row);
    Judged { scores, inside, gold }
}

/// A head learned from the training rows of a bank's agents, whose examples are `agents`' rows.
fn train(set: &Set, bank: &AgentBank, agents: &[(String, Vec<usize>)]) -> Fallible<TcarHead> {
    let mut lessons: Vec<Lesson<'_>> = Vec::new();
    for (agent, (_, rows)) in agents.iter().enumerate() {
        lessons.extend(rows.iter().enumerate().map(|(own, &i)| Lesson {
            text: &set.train[i].text,
            vector: &set.train[i].vector,
            gold: Some(agent),
            own: Some(own),
        }));
    }
    let mut rng = SmallRng::seed_from_u64(20);
    lessons.shuffle(&mut rng);
    lessons.truncate(LESSONS);
    lessons.extend(
        set.train
            .iter()
            .filter(|row| row.gold.is_none())
            .map(|row| Lesson {
                text: &row.text,
                vector: &row.vector,
                gold: None,
                own: None,
            }),
    );
    Ok(TcarHead::train(bank, &lessons, &mut rng)?)
}

fn f1(right: f64, found: f64, there: f64) -> Value {
    json!({"precision": round(right / found.max(1.0)), "recall": round(right / there.max(1.0)), "f1": round(2.0 * right / (found + there).max(1.0))})
}

pub(crate) fn run(set: &Set, reader: &Reader) -> Fallible<(TcarHead, Value)> {
    let agents = set.all();
    let bank = set.bank(&agents, reader)?;
    let head = train(set, &bank, &agents)?;
    let judged: Vec<Judged> = set
        .val
        .iter()
        .map(|row| judged(&head, &bank, row, row.gold))
        .collect();
    let head = head.calibrate(&judged, MEAN_SIZE);
    // The line between in scope and out of it by a cosine alone, as well placed as it can be on the same rows.
    let cosine = |row: &Row, which: usize| {
        let all = bank.agents().iter().map(|agent| match which {
            0 => fingerpost_encode::dot(&row.vector, agent.description()),
            1 => agent
                .examples()
                .iter()
                .map(|e| fingerpost_encode::dot(&row.vector, e))
                .fold(-1.0, f32::max),
            _ => fingerpost_encode::dot(&row.vector, agent.centre()),
        });
        f64::from(all.fold(-1.0_f32, f32::max)).max(0.0)
    };
    let has_outside = set.test.iter().any(|row| row.gold.is_none());
    let mut outside = json!({});
    if has_outside {
        for (which, name) in [
            "cosine to descriptions",
            "cosine to examples",
            "cosine to centres",
        ]
        .iter()
        .enumerate()
        {
            let judged: Vec<Judged> = set
                .val
                .iter()
                .map(|row| Judged {
                    scores: vec![cosine(row, which)],
                    inside: cosine(row, which),
                    gold: row.gold.map(|_| 0),
                })
                .collect();
            let line = Thresholds::calibrate(&judged, 1.0).oos;
            let (mut right, mut found, mut there) = (0.0, 0.0, 0.0);
            for row in &set.test {
                let is_found = cosine(row, which) < line;
                there += f64::from(row.gold.is_none());
                found += f64::from(is_found);
                right += f64::from(is_found && row.gold.is_none());
            }
            outside[*name] = f1(right, found, there);
        }
    }
    let mut tally = Tally::default();
    let (mut right, mut found, mut there) = (0.0, 0.0, 0.0);
    let mut closed = Tally::default();
    let open = Thresholds {
        oos: 0.0,
        ..head.thresholds
    };
    for row in &set.test {
        let scores = scores(&head, &bank, row);
        if let Some(gold) = row.gold {
            tally.add(&scores, gold, &head.thresholds);
            closed.add(&scores, gold, &open);
        }
        let is_found = head.thresholds.choose(&scores.0, scores.1).is_empty();
        there += f64::from(row.gold.is_none());
        found += f64::from(is_found);
        right += f64::from(is_found && row.gold.is_none());
    }
    outside["head"] = f1(right, found, there);
    let example = set
        .test
        .first()
        .map(|row| head.decide(&bank, &row.text, &row.vector).0);
    let figures = json!({"agents": bank.agents().len(), "thresholds": head.thresholds, "test": tally.shown(), "test, nothing out of scope": closed.shown(),
        "out of scope": if has_outside { outside } else { Value::Null }, "a reply": example});
    Ok((head, figures))
}

/// A fifth of the agents join once the head is trained, with a description and five examples each.
pub(crate) fn newcomers(set: &Set, reader: &Reader) -> Fallible<Value> {
    let mut order: Vec<usize> = (0..set.intents.len()).collect();
    order.shuffle(&mut SmallRng::seed_from_u64(7));
    let (new, old) = order.split_at(set.intents.len() / 5);
    let old_agents: Vec<(String, Vec<usize>)> = old
        .iter()
        .map(|&i| (set.intents[i].clone(), set.rows_of(i)))
        .collect();
    let bank = set.bank(&old_agents, reader)?;
    let head = train(set, &bank, &old_agents)?;
    let place = |intent: usize, among: &[usize]| among.iter().position(|&other| other == intent);
    let judged: Vec<Judged> = set
        .val
        .iter()
        .filter(|row| row.gold.is_none_or(|gold| old.contains(&gold)))
        .map(|row| judged(&head, &bank, row, row.gold.and_then(|gold| place(gold, old))))
        .collect();
    let head = head.calibrate(&judged, MEAN_SIZE);
    let mut all = old_agents;
    let mut rng = SmallRng::seed_from_u64(5);
    for &intent in new {
        let mut rows = set.rows_of(intent);
        rows.shuffle(&mut rng);
        rows.truncate(5);
        all.push((set.intents[intent].clone(), rows));
    }
    let joined = set.bank(&all, reader)?;
    let numbers: Vec<usize> = old.iter().chain(new).copied().collect();
    let (mut before, mut after, mut newcomers) = (Tally::default(), Tally::default(), Tally::default());
    for row in &set.test {
        let Some(gold) = row.gold.and_then(|gold| place(gold, &numbers)) else {
            continue;
        };
        let now = scores(&head, &joined, row);
        if gold < old.len() {
            before.add(&scores(&head, &bank, row), gold, &head.thresholds);
            after.add(&now, gold, &head.thresholds);
        } else {
            newcomers.add(&now, gold, &head.thresholds);
        }
    }
    Ok(
        json!({"joined": new.len(), "seen, before": before.shown(), "seen, after": after.shown(), "newcomers": newcomers.shown()}),
    )
}

/// Intents that two agents each have half of.
pub(crate) fn overlapping(set: &Set, reader: &Reader, head: &TcarHead) -> Fallible<Value> {
    let mut order: Vec<usize> = (0..set.intents.len()).collect();
    order.shuffle(&mut SmallRng::seed_from_u64(3));
    let doubled = &order[..10];
    let mut agents = set.all();
    let mut rng = SmallRng::seed_from_u64(4);
    for &intent in doubled {
        agents[intent].1.shuffle(&mut rng);
        let half = agents[intent].1.len() / 2;
        let other = agents[intent].1.split_off(half);
        agents.push((format!("{} too", set.intents[intent]), other));
    }
    let bank = set.bank(&agents, reader)?;
    let partners = Partners::of(&bank, 0.25);
    let (mut shared, mut both, mut either, mut by_scores, mut size) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for row in &set.test {
        let Some(pair) = row.gold.and_then(|gold| doubled.iter().position(|&d| d == gold)) else {
            continue;
        };
        let (scores, inside) = scores(head, &bank, row);
        let mut taken = head.thresholds.choose(&scores, inside);
        let pair = [doubled[pair], set.intents.len() + pair];
        by_scores += f64::from(pair.iter().all(|agent| taken.contains(agent)));
        partners.widen(&mut taken, |_| true);
        let has = pair.map(|agent| taken.contains(&agent));
        size += taken.len() as f64;
        shared += 1.0;
        both += f64::from(has == [true, true]);
        either += f64::from(has != [false, false]);
    }
    let found = overlaps(&bank, 2.0, 0.25);
    let is_pair =
        |o: &&fingerpost_agents::tcar::Overlap| o.other.strip_suffix(" too") == Some(o.one.as_str());
    let right = found.iter().filter(is_pair).count();
    Ok(
        json!({"pairs": doubled.len(), "shared queries": shared, "both returned": round(both / shared), "both by scores alone": round(by_scores / shared), "mean size": round(size / shared), "one returned": round(either / shared),
        "found before any query": right, "found beside them": found.len() - right,
        "some beside them": found.iter().filter(|o| !is_pair(o)).take(3).collect::<Vec<_>>()}),
    )
}
