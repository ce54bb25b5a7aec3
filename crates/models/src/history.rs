//! How much of a conversation lies behind it: what a provider's prompt cache may still hold.

use fingerpost_core::{Query, Role};

/// Bytes of text a token, as the gateway estimates.
const BYTES_PER_TOKEN: f64 = 4.0;
/// Tokens of history that count as much; more count no more.
const MUCH: f64 = 4096.0;

/// How much of a conversation lies behind it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct History {
    /// Tokens of the whole conversation, estimated.
    pub(crate) context: f64,
    /// Of these, all up to the last answer: what the model that gave it has read or written.
    pub(crate) seen: f64,
    /// Answers so far.
    pub(crate) answers: f64,
}

// === impl History ===

impl History {
    pub(crate) fn of(query: &Query<'_>) -> Self {
        let bytes = |turns: &[fingerpost_core::Turn<'_>]| -> usize {
            turns.iter().flat_map(|t| &t.texts).map(|t| t.len()).sum()
        };
        let last = query.turns.iter().rposition(|t| t.role == Role::Assistant);
        let seen = last.map_or(0, |i| bytes(&query.turns[..=i]));
        let answers = query.turns.iter().filter(|t| t.role == Role::Assistant).count();
        Self {
            context: bytes(&query.turns) as f64 / BYTES_PER_TOKEN,
            seen: seen as f64 / BYTES_PER_TOKEN,
            answers: answers as f64,
        }
    }

    /// Share of the conversation that has been seen, 0 to 1.
    pub(crate) fn reuse(&self) -> f64 {
        if self.context > 0.0 {
            self.seen / self.context
        } else {
            0.0
        }
    }

    /// How much has been seen, from 0 (nothing) to 1 (4096 tokens and more).
    pub(crate) fn mass(&self) -> f64 {
        (self.seen / MUCH).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::Turn;

    use super::*;

    #[test]
    fn all_up_to_the_last_answer_has_been_seen() {
        let turn = |role, bytes: usize| Turn {
            role,
            texts: vec!["x".repeat(bytes).into()],
            ..Turn::default()
        };
        let mut query = Query {
            turns: vec![turn(Role::User, 4000)],
            ..Query::default()
        };
        let history = History::of(&query);
        assert_eq!(
            (history.context, history.seen, history.answers),
            (1000.0, 0.0, 0.0)
        );
        assert_eq!((history.reuse(), history.mass()), (0.0, 0.0));
        query.turns.push(turn(Role::Assistant, 4192));
        query.turns.push(turn(Role::User, 8192));
        let history = History::of(&query);
        assert_eq!(
            (history.context, history.seen, history.answers),
            (4096.0, 2048.0, 1.0)
        );
        assert_eq!((history.reuse(), history.mass()), (0.5, 0.5));
        query.turns.push(turn(Role::Assistant, 40_000));
        assert_eq!(History::of(&query).mass(), 1.0);
        assert_eq!(History::of(&Query::default()).reuse(), 0.0);
    }
}
