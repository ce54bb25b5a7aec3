//! Those that wait for one instance, in the order in which they are sent.

use std::{cmp::Reverse, collections::BTreeMap};

use fingerpost_core::{CandidateId, Timestamp};

use crate::InstanceQuery;

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) ticket: u64,
    pub(super) query: InstanceQuery,
    /// The other instance that its prefix belongs to.
    pub(super) other: Option<CandidateId>,
    pub(super) is_urgent: bool,
    /// Tokens that are to be computed for it, as estimated when it came here.
    pub(super) missing: u32,
    pub(super) since: Timestamp,
    /// Its place among all that ever came.
    pub(super) arrival: u64,
    pub(super) moved: bool,
}

/// A place in a line; smaller ones are sent first, and no two are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    not_urgent: bool,
    cached: Reverse<u32>,
    arrival: u64,
}

/// Those that wait for one instance.
#[derive(Debug, Default)]
pub(super) struct Line {
    by_rank: BTreeMap<Rank, Waiter>,
    /// The same by when they came.
    by_age: BTreeMap<(Timestamp, u64), Rank>,
    /// Nothing is sent.
    pub(super) is_closed: bool,
    /// It may have something to send.
    pub(super) is_touched: bool,
}

// === impl Rank ===

impl Rank {
    pub(super) fn cached_first(waiter: &Waiter, missing: u32) -> Self {
        Self {
            not_urgent: !waiter.is_urgent,
            cached: Reverse(waiter.query.tokens.0.saturating_sub(missing)),
            arrival: waiter.arrival,
        }
    }

    pub(super) fn arrival(waiter: &Waiter) -> Self {
        Self {
            not_urgent: true,
            cached: Reverse(0),
            arrival: waiter.arrival,
        }
    }
}

// === impl Line ===

impl Line {
    pub(super) fn len(&self) -> usize {
        self.by_rank.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_rank.is_empty()
    }

    pub(super) fn insert(&mut self, rank: Rank, waiter: Waiter) {
        self.by_age.insert((waiter.since, waiter.arrival), rank);
        self.by_rank.insert(rank, waiter);
    }

    pub(super) fn remove(&mut self, rank: &Rank) -> Option<Waiter> {
        let waiter = self.by_rank.remove(rank)?;
        self.by_age.remove(&(waiter.since, waiter.arrival));
        Some(waiter)
    }

    /// Who is sent next.
    pub(super) fn first(&self) -> Option<(Rank, &Waiter)> {
        self.by_rank
            .first_key_value()
            .map(|(rank, waiter)| (*rank, waiter))
    }

    /// Who has waited longest.
    pub(super) fn oldest(&self) -> Option<&Waiter> {
        let (_, rank) = self.by_age.first_key_value()?;
        self.by_rank.get(rank)
    }

    /// Who came at `from` or later, the first of them first.
    pub(super) fn since(&self, from: Timestamp) -> impl Iterator<Item = (Rank, &Waiter)> {
        let ranks = self.by_age.range((from, 0)..);
        ranks.filter_map(|(_, rank)| Some((*rank, self.by_rank.get(rank)?)))
    }

    pub(super) fn ranks(&self) -> impl Iterator<Item = Rank> {
        self.by_rank.keys().copied()
    }

    /// The newest `count`, each with its rank, newest first.
    pub(super) fn newest(&self, count: usize) -> impl Iterator<Item = (Rank, &Waiter)> {
        let ranks = self.by_age.values().rev().take(count);
        ranks.filter_map(|rank| Some((*rank, self.by_rank.get(rank)?)))
    }

    /// Everybody in order, each with the tokens of those before.
    pub(super) fn with_tokens_before(&self) -> impl Iterator<Item = (Rank, &Waiter, u64)> {
        let mut before = 0;
        self.by_rank.iter().map(move |(rank, waiter)| {
            let mine = before;
            before += u64::from(waiter.missing);
            (*rank, waiter, mine)
        })
    }

    /// Tokens of those that stand before `rank`.
    pub(super) fn tokens_before(&self, rank: &Rank) -> u64 {
        self.by_rank
            .range(..rank)
            .map(|(_, w)| u64::from(w.missing))
            .sum()
    }
}
