//! Hot spots: when an instance is one, and which of its waiters move where (card 53, step 7).

use fingerpost_core::{CandidateId, Timestamp};

use super::{
    Queues,
    line::{Rank, Waiter},
};

/// A move that would bring a first token earlier.
struct Move {
    rank: Rank,
    to: usize,
    missing: u32,
    /// Seconds by which the first token comes later; negative for a gain.
    gain_s: f64,
}

// === impl Queues ===

impl Queues {
    /// Whether `at` has more before it than the objective allows, or keeps somebody waiting too long.
    pub(super) fn is_hot(&self, at: usize, now: Timestamp) -> bool {
        self.token_time.of(self.backlog(at)) > self.slo_s || self.keeps_waiting(at, now)
    }

    /// Moves waiters of `from` to their other candidate, those first that gain most, until nobody gains or the objective is kept. Those
    /// that moved move nobody in their turn. Returns how many.
    pub(super) fn relieve(&mut self, from: usize, now: Timestamp) -> usize {
        let excess = self
            .backlog(from)
            .saturating_sub(self.token_time.tokens(self.slo_s));
        let (mut moved_tokens, mut moves) = (0, 0);
        while moves < self.config.moves && self.lines[from].len() > 1 {
            let Some(best) = self.best_move(from, now).filter(|best| best.gain_s < 0.0) else {
                break;
            };
            let Some(mut waiter) = self.remove(from, &best.rank) else {
                break;
            };
            moved_tokens += u64::from(waiter.missing);
            waiter.missing = best.missing;
            waiter.other = u32::try_from(from).ok().map(CandidateId);
            waiter.moved = true;
            self.insert(best.to, waiter);
            moves += 1;
            if moved_tokens >= excess {
                break;
            }
        }
        self.moved += moves as u64;
        moves
    }

    fn best_move(&self, from: usize, now: Timestamp) -> Option<Move> {
        let line = &self.lines[from];
        // Who may move at all, before anybody's place is worked out: in a deep overload nobody may.
        let mut movable = line
            .newest(self.config.looked_at)
            .filter_map(|(rank, waiter)| Some((rank, self.target(from, waiter, now)?)))
            .collect::<Vec<_>>();
        movable.sort_unstable_by_key(|(rank, _)| *rank);
        let mut movable = movable.into_iter().peekable();
        let pending = self.pending(from);
        let mut best: Option<Move> = None;
        for (rank, waiter, before) in line.with_tokens_before() {
            let Some((_, (to, missing))) = movable.next_if(|(r, _)| *r == rank) else {
                if movable.peek().is_none() {
                    break;
                }
                continue;
            };
            let stays = pending + before + u64::from(waiter.missing);
            let goes = self.pending(to)
                + self.lines[to].tokens_before(&self.rank(waiter, missing))
                + u64::from(missing);
            let gain_s = self.token_time.of(goes) - self.token_time.of(stays);
            if best.as_ref().is_none_or(|b| gain_s < b.gain_s) {
                best = Some(Move {
                    rank,
                    to,
                    missing,
                    gain_s,
                });
            }
        }
        best
    }

    /// Where `waiter` may move, and how many tokens would be missing there.
    fn target(&self, from: usize, waiter: &Waiter, now: Timestamp) -> Option<(usize, u32)> {
        let other = waiter.other.map(|id| id.0 as usize).filter(|to| *to != from);
        let count = self.lines.len();
        let neighbours = [Some(from), other]
            .into_iter()
            .flatten()
            .map(|at| (at + 1) % count)
            .find(|at| *at != from && Some(*at) != other)
            .filter(|_| self.config.neighbours);
        [other, neighbours]
            .into_iter()
            .flatten()
            .find_map(|to| Some((to, self.room(to, waiter, now)?)))
    }

    /// The tokens that would be missing for `waiter` at `to`, if that keeps the objective there.
    fn room(&self, to: usize, waiter: &Waiter, now: Timestamp) -> Option<u32> {
        let line = self.lines.get(to).filter(|line| !line.is_closed)?;
        let backlog = self.backlog(to);
        if self.token_time.of(backlog) > self.slo_s || (!line.is_empty() && self.keeps_waiting(to, now)) {
            return None;
        }
        let instance = self.instance(to)?;
        let missing = instance.missing(waiter.query.prefix.as_ref(), waiter.query.tokens.0);
        (self.token_time.of(backlog + u64::from(missing)) <= self.slo_s).then_some(missing)
    }

    fn keeps_waiting(&self, at: usize, now: Timestamp) -> bool {
        let oldest = self.lines.get(at).and_then(|line| line.oldest());
        oldest.is_some_and(|waiter| now.since(waiter.since) >= self.config.longest_wait)
    }

    fn backlog(&self, at: usize) -> u64 {
        self.instance(at).map_or(0, |i| i.own_backlog())
    }

    fn pending(&self, at: usize) -> u64 {
        self.instance(at).map_or(0, |i| i.pending())
    }
}
