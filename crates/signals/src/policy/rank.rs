//! Which of several matching decisions wins, and in which order they are looked at.
//!
//! The order (`systems/43-vllm-semantic-router.md`, 4): if a decision of a tier above 0 matches, lowest tier, then highest
//! confidence, then highest priority, then name; else by strategy: priority, confidence, name, or confidence, priority, name.
//! Within a contest only confidence is open, and a static rank breaks its ties; so a decision whose highest possible
//! confidence cannot beat the best so far is not computed further.

use super::{
    run::Run,
    tree::{Holds, Reading},
};
use crate::{DecisionRule, Strategy};

/// The winner so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Winner {
    pub(crate) decision: u32,
    pub(crate) confidence: f64,
}

/// Decisions among which the higher confidence wins, then the lower rank; in the order in which they are looked at.
type Contest = Vec<u32>;

pub(crate) struct Plan {
    /// Place of each decision by priority, then name: what breaks ties of confidence.
    rank: Vec<u32>,
    /// Contests one after the other: the first that has a winner decides.
    contests: Vec<Contest>,
    /// Where tiers are mixed: see [`Mixed`].
    mixed: Option<Mixed>,
}

/// Decisions of tier 0 beside others, under the strategy `priority`: whether those of tier 0 go by priority or by
/// confidence depends on whether one of a higher tier matches.
struct Mixed {
    by_priority: Vec<Contest>,
    by_confidence: Contest,
    tiered: Vec<u32>,
}

// === impl Plan ===

impl Plan {
    /// `cost` is how dear each decision's dearest signal is.
    pub(crate) fn new(decisions: &[DecisionRule], strategy: Strategy, cost: &[u8]) -> Self {
        let mut order: Vec<u32> = (0..decisions.len() as u32).collect();
        let of = |i: &u32| &decisions[*i as usize];
        order.sort_by(|a, b| {
            of(b)
                .priority
                .cmp(&of(a).priority)
                .then_with(|| of(a).name.cmp(&of(b).name))
        });
        let mut rank = vec![0; decisions.len()];
        for (place, decision) in order.iter().enumerate() {
            rank[*decision as usize] = place as u32;
        }
        // In a contest the cheap are looked at first: a sure one among them spares the dear.
        let cheap_first = |mut contest: Contest| {
            contest.sort_by_key(|d| (cost[*d as usize], rank[*d as usize]));
            contest
        };
        let by_priority = |members: &[u32]| -> Vec<Contest> {
            let groups = members.chunk_by(|a, b| of(a).priority == of(b).priority);
            groups.map(|group| cheap_first(group.to_vec())).collect()
        };
        let by_tier = |members: &[u32]| -> Vec<Contest> {
            let mut members = members.to_vec();
            members.sort_by_key(|d| of(d).tier);
            let groups = members.chunk_by(|a, b| of(a).tier == of(b).tier);
            groups.map(|group| cheap_first(group.to_vec())).collect()
        };
        let (zero, tiered): (Vec<u32>, Vec<u32>) = order.iter().partition(|d| of(d).tier == 0);
        let (contests, mixed) = match (strategy, zero.is_empty(), tiered.is_empty()) {
            (Strategy::Priority, _, true) => (by_priority(&zero), None),
            (Strategy::Priority, false, false) => {
                let mixed = Mixed {
                    by_priority: by_priority(&zero),
                    by_confidence: cheap_first(zero),
                    tiered: cheap_first(tiered.clone()),
                };
                (by_tier(&tiered), Some(mixed))
            }
            // With confidence first, tier 0 is ordered alike either way.
            _ => (by_tier(&order), None),
        };
        Self {
            rank,
            contests,
            mixed,
        }
    }

    pub(crate) fn decide(&self, run: &mut Run<'_, '_>, admitted: Option<&[bool]>) -> Option<Winner> {
        if let Some(mixed) = &self.mixed
            && let Some(winner) = self.decide_mixed(mixed, run, admitted)
        {
            return Some(winner);
        }
        self.first_with_winner(&self.contests, run, admitted)
    }

    fn decide_mixed(
        &self,
        mixed: &Mixed,
        run: &mut Run<'_, '_>,
        admitted: Option<&[bool]>,
    ) -> Option<Winner> {
        let by_priority = self.first_with_winner(&mixed.by_priority, run, admitted)?;
        let by_confidence = self.contest(&mixed.by_confidence, run, admitted)?;
        if by_priority.decision == by_confidence.decision {
            return Some(by_priority);
        }
        let is_admitted = |d: &u32| admitted.is_none_or(|a| a[*d as usize]);
        let tier_matches = mixed
            .tiered
            .iter()
            .filter(|d| is_admitted(d))
            .any(|d| run.holds(*d));
        Some(if tier_matches { by_confidence } else { by_priority })
    }

    fn first_with_winner(
        &self,
        contests: &[Contest],
        run: &mut Run<'_, '_>,
        admitted: Option<&[bool]>,
    ) -> Option<Winner> {
        contests
            .iter()
            .find_map(|contest| self.contest(contest, run, admitted))
    }

    fn contest(&self, contest: &[u32], run: &mut Run<'_, '_>, admitted: Option<&[bool]>) -> Option<Winner> {
        let mut best: Option<Winner> = None;
        for &decision in contest {
            if admitted.is_some_and(|a| !a[decision as usize]) {
                continue;
            }
            let can_win = |reading: &Reading| {
                best.is_none_or(|best| {
                    let ahead = self.rank[decision as usize] < self.rank[best.decision as usize];
                    reading.high > best.confidence || (reading.high == best.confidence && ahead)
                })
            };
            loop {
                let reading = run.read_decision(decision);
                if reading.holds == Holds::No || !can_win(&reading) {
                    break;
                }
                if reading.is_settled() {
                    best = Some(Winner {
                        decision,
                        confidence: reading.low,
                    });
                    break;
                }
                run.compute(reading.next);
            }
        }
        best
    }
}
