//! Agents that cannot be told apart, before and in service.

use std::collections::BTreeMap;

use fingerpost_core::{Decision, Name};
use fingerpost_encode::dot;
use serde::{Deserialize, Serialize};

use super::{MOST_AGENTS, bank::AgentBank};

/// Agents that are looked at beside each one: the nearest by their centres.
const NEAREST: usize = 5;

/// Two agents that overlap.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overlap {
    /// One of them.
    pub one: Name,
    /// The other.
    pub other: Name,
    /// Cosine of their descriptions.
    pub descriptions: f32,
    /// Share of both agents' examples whose nearest other example among the two belongs to the other; about a half where nothing
    /// tells them apart, 0 where everything does or one has none.
    pub examples: f32,
}

/// Who overlaps with whom, by number, so that a set can hold both: the scores of two agents for the same thing stand apart by
/// chance, and one of them alone would be chosen by it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partners(Vec<Vec<usize>>);

/// How often sets of more than one were chosen in service, and whom they held.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Conflicts {
    /// Decisions seen.
    pub decisions: u64,
    /// Those for more than one agent.
    pub sets: u64,
    /// Decisions that held both, by pair in the order of the alphabet.
    pairs: BTreeMap<(Name, Name), u64>,
}

/// The pairs of agents whose descriptions are more alike than `descriptions` (a cosine) or whose examples mix more than
/// `examples` (a share), the most mixed first. Cost: for each agent its examples against those of its five nearest.
pub fn overlaps(bank: &AgentBank, descriptions: f32, examples: f32) -> Vec<Overlap> {
    let agents = bank.agents();
    let mut found = Vec::new();
    let mut seen = rustc_hash::FxHashSet::default();
    for (a, one) in agents.iter().enumerate() {
        let mut others: Vec<usize> = (0..agents.len()).filter(|&b| b != a).collect();
        let near = |b: &usize| dot(one.centre(), agents[*b].centre());
        others.sort_by(|x, y| near(y).total_cmp(&near(x)));
        for b in others.into_iter().take(NEAREST) {
            if !seen.insert((a.min(b), a.max(b))) {
                continue;
            }
            let (first, second) = (&agents[a.min(b)], &agents[a.max(b)]);
            let overlap = Overlap {
                one: first.entry.id.clone(),
                other: second.entry.id.clone(),
                descriptions: dot(first.description(), second.description()),
                examples: mixed(first.examples(), second.examples()),
            };
            if overlap.descriptions > descriptions || overlap.examples > examples {
                found.push(overlap);
            }
        }
    }
    found.sort_by(|x, y| {
        y.examples
            .total_cmp(&x.examples)
            .then(y.descriptions.total_cmp(&x.descriptions))
    });
    found
}

fn mixed(one: &[fingerpost_encode::Vector], other: &[fingerpost_encode::Vector]) -> f32 {
    if one.is_empty() || other.is_empty() {
        return 0.0;
    }
    let strays = |own: &[fingerpost_encode::Vector], foreign: &[fingerpost_encode::Vector]| {
        let is_stray = |(at, example): &(usize, &fingerpost_encode::Vector)| {
            let best = |set: &[fingerpost_encode::Vector], without: Option<usize>| {
                let others = set.iter().enumerate().filter(|(i, _)| Some(*i) != without);
                others
                    .map(|(_, other)| dot(example, other))
                    .fold(f32::NEG_INFINITY, f32::max)
            };
            best(foreign, None) > best(own, Some(*at))
        };
        own.iter().enumerate().filter(is_stray).count()
    };
    (strays(one, other) + strays(other, one)) as f32 / (one.len() + other.len()) as f32
}

// === impl Partners ===

impl Partners {
    /// The agents of a bank whose examples mix more than `examples` (a share); .25 is ours. Cost: that of [`overlaps`].
    pub fn of(bank: &AgentBank, examples: f32) -> Self {
        let place = |name: &Name| bank.agents().iter().position(|agent| agent.entry.id == *name);
        let mut partners = vec![Vec::new(); bank.agents().len()];
        // No cosine exceeds 1: descriptions alone make no partners.
        for overlap in overlaps(bank, 1.5, examples) {
            if let (Some(one), Some(other)) = (place(&overlap.one), place(&overlap.other)) {
                partners[one].push(other);
                partners[other].push(one);
            }
        }
        Self(partners)
    }

    /// Puts the best agent's partners behind it, those first that are in the set already; at most [`MOST_AGENTS`] stay. A set of
    /// nobody stays one. `open` says whether an agent may be chosen.
    pub fn widen(&self, set: &mut Vec<usize>, open: impl Fn(usize) -> bool) {
        let Some(best) = set.first().copied() else {
            return;
        };
        let partners = self.0.get(best).map_or(&[][..], Vec::as_slice);
        let (with, others): (Vec<usize>, Vec<usize>) =
            set[1..].iter().partition(|agent| partners.contains(agent));
        let new = partners
            .iter()
            .filter(|agent| !set.contains(agent) && open(**agent));
        *set = [best]
            .into_iter()
            .chain(with)
            .chain(new.copied())
            .chain(others)
            .take(MOST_AGENTS)
            .collect();
    }
}

// === impl Conflicts ===

impl Conflicts {
    /// Notes a decision: the picks of weight above 0 are its set, the others are there to fall back on.
    pub fn note(&mut self, decision: &Decision) {
        let mut set: Vec<&Name> = decision
            .picks
            .iter()
            .filter(|p| p.weight > 0.0)
            .map(|p| &p.name)
            .collect();
        set.sort();
        self.decisions += 1;
        self.sets += u64::from(set.len() > 1);
        for (i, one) in set.iter().enumerate() {
            for other in &set[i + 1..] {
                *self.pairs.entry(((*one).clone(), (*other).clone())).or_default() += 1;
            }
        }
    }

    /// The pairs that were chosen together, the most frequent first.
    pub fn pairs(&self) -> Vec<(&Name, &Name, u64)> {
        let mut pairs: Vec<_> = self.pairs.iter().map(|((a, b), count)| (a, b, *count)).collect();
        pairs.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
        pairs
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fingerpost_core::{Catalogue, Evidence, Pick, Profile, Reason};
    use fingerpost_encode::StaticEncoder;

    use super::*;
    use crate::tcar::bank::tests::agent;

    #[test]
    fn agents_for_the_same_are_found() {
        let agents = vec![
            agent(
                "rain",
                "Tells the weather",
                &["will it rain today", "is it hot in Rome", "snow tomorrow"],
            ),
            agent(
                "sun",
                "Tells the weather of a place",
                &["will it rain tomorrow", "is it hot in Oslo", "snow today"],
            ),
            agent(
                "money",
                "Moves money",
                &["send money to Ann", "transfer to savings", "pay my bill"],
            ),
        ];
        let bank = AgentBank::new(agents, Arc::new(StaticEncoder::bundled())).unwrap();
        let found = overlaps(&bank, 0.95, 0.25);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].one.as_str(), found[0].other.as_str()), ("rain", "sun"));
        assert!(found[0].examples > 0.9);
        let partners = Partners::of(&bank, 0.25);
        let widened = |mut set: Vec<usize>, barred: usize| {
            partners.widen(&mut set, |agent| agent != barred);
            set
        };
        assert_eq!(widened(vec![1], 9), [1, 0]);
        assert_eq!(widened(vec![0, 2], 9), [0, 1, 2]);
        assert_eq!(widened(vec![2, 0], 9), [2, 0]);
        assert_eq!(widened(vec![0, 2, 1], 9), [0, 1, 2]);
        assert_eq!(widened(vec![1], 0), [1]);
        assert!(widened(Vec::new(), 9).is_empty());
    }

    #[test]
    fn sets_in_service_are_counted() {
        let catalogue = Catalogue::new(["b", "a", "c"].map(Profile::named)).unwrap();
        let picks = catalogue.iter().map(|c| Pick::of(c, 1.0));
        let picks = picks
            .enumerate()
            .map(|(i, p)| if i == 2 { p.weighing(0.0) } else { p });
        let decision = Decision::ranked(picks.collect(), Reason::new("x"), Evidence::of("r")).unwrap();
        let mut conflicts = Conflicts::default();
        conflicts.note(&decision);
        conflicts.note(&decision);
        assert_eq!((conflicts.decisions, conflicts.sets), (2, 2));
        assert_eq!(conflicts.pairs(), [(&"a".into(), &"b".into(), 2)]);
    }
}
