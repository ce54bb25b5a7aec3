//! The bounded correction for what a provider's prompt cache may hold: at most 0.14, and nothing where the two best differ by
//! 0.20 and more. Card: `systems/43`, annex 17, whose numbers these are.
//!
//! With `reuse` the share of the conversation that was seen, `mass = min(1, seen / 4096)`, `depth = min(1, answers / 4)`:
//! `W = 0.45 reuse + 0.30 mass + 0.25 depth` (at least 0.15 where the request goes on from a stored answer); `λ = 0.14 W (1 − gap / 0.20)`;
//! `E = same (0.50 + 0.35 reuse + 0.15 depth) − 0.35 (1 − same) W + 0.15 (fit − 0.5)`;
//! `C = 0.15 + 0.35 reuse + 0.20 mass + 0.15 depth + 0.15 fit + 0.15 previous`, 0 to 1, times 0.60 where nobody knows who answered
//! before. The correction is `λ C tanh E`.

use fingerpost_core::{Candidate, Query};

use crate::history::History;

/// Answers that make a conversation deep.
const DEEP: f64 = 4.0;
/// Distance of the two best scores from which nothing is corrected.
const CLEAR: f64 = 0.2;
/// The bound of the correction.
const MOST: f64 = 0.14;

/// What a conversation brings into the correction, whichever candidate it is for.
pub(super) struct Affinity<'q> {
    previous: Option<&'q str>,
    continues: bool,
    context: f64,
    reuse: f64,
    mass: f64,
    depth: f64,
    weight: f64,
}

// === impl Affinity ===

impl<'q> Affinity<'q> {
    pub(super) fn of(query: &'q Query<'_>) -> Self {
        let history = History::of(query);
        let (reuse, mass) = (history.reuse(), history.mass());
        let depth = (history.answers / DEEP).min(1.0);
        let weight = 0.45 * reuse + 0.30 * mass + 0.25 * depth;
        Self {
            previous: query.previous.as_deref(),
            continues: query.continues,
            context: history.context,
            reuse,
            mass,
            depth,
            weight: if query.continues { weight.max(0.15) } else { weight },
        }
    }

    /// What is added to a candidate's score where the two best differ by `gap`.
    pub(super) fn correction(&self, candidate: &Candidate, gap: f64) -> f64 {
        let ambiguity = (1.0 - gap / CLEAR).clamp(0.0, 1.0);
        let strength = MOST * self.weight * ambiguity;
        if strength <= 0.0 {
            return 0.0;
        }
        let same = self.previous == Some(candidate.profile.name.as_str());
        let fit = self.fit(candidate);
        let effect = if same {
            0.50 + 0.35 * self.reuse + 0.15 * self.depth
        } else {
            -0.35 * self.weight
        };
        let effect = effect + 0.15 * (fit - 0.5);
        let previous = f64::from(u8::from(self.continues));
        let sure =
            0.15 + 0.35 * self.reuse + 0.20 * self.mass + 0.15 * self.depth + 0.15 * fit + 0.15 * previous;
        let known = if self.previous.is_some() { 1.0 } else { 0.60 };
        strength * sure.clamp(0.0, 1.0) * known * effect.tanh()
    }

    /// How well the context fits the window.
    fn fit(&self, candidate: &Candidate) -> f64 {
        let Some(window) = candidate.profile.context_window.filter(|w| w.0 > 0) else {
            return 0.5;
        };
        match self.context / f64::from(window.0) {
            share if share <= 0.50 => 1.0,
            share if share <= 0.75 => 0.7,
            share if share <= 1.0 => 0.3,
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{CandidateId, Catalogue, Profile, Role, TokenCount, Turn};
    use proptest::prelude::*;

    use super::*;

    fn catalogue(window: Option<u32>) -> Catalogue {
        let profile = |name: &str| Profile {
            context_window: window.map(TokenCount),
            ..Profile::named(name)
        };
        Catalogue::new([profile("a"), profile("b")]).unwrap()
    }

    /// A conversation of two answers: 2048 tokens seen of 4096.
    fn query(previous: Option<&'static str>) -> Query<'static> {
        let turn = |role, bytes: usize| Turn {
            role,
            texts: vec!["x".repeat(bytes).into()],
            ..Turn::default()
        };
        Query {
            turns: vec![
                turn(Role::User, 2000),
                turn(Role::Assistant, 2000),
                turn(Role::User, 2192),
                turn(Role::Assistant, 2000),
                turn(Role::User, 8192),
            ],
            previous: previous.map(Into::into),
            ..Query::default()
        }
    }

    fn correction(query: &Query<'_>, window: Option<u32>, model: u32, gap: f64) -> f64 {
        let catalogue = catalogue(window);
        Affinity::of(query).correction(catalogue.get(CandidateId(model)).unwrap(), gap)
    }

    #[test]
    fn corrections_on_hand_computed_numbers() {
        let query = query(Some("a"));
        // reuse 0.5, mass 0.5, depth 0.5: W = 0.5. Gap 0.05: ambiguity 0.75, λ = 0.14 · 0.5 · 0.75 = 0.0525.
        // Window 10000: fit 1. E = 0.5 + 0.175 + 0.075 + 0.075 = 0.825; C = 0.15 + 0.175 + 0.1 + 0.075 + 0.15 = 0.65.
        let expected = 0.0525 * 0.65 * 0.825_f64.tanh();
        assert!((correction(&query, Some(10_000), 0, 0.05) - expected).abs() < 1e-12);
        // The other: E = -0.35 · 0.5 + 0.075 = -0.1.
        let expected = 0.0525 * 0.65 * (-0.1_f64).tanh();
        assert!((correction(&query, Some(10_000), 1, 0.05) - expected).abs() < 1e-12);
        // Window 4096: 100 % used, fit 0.3. E = 0.75 - 0.03, C = 0.5 + 0.045.
        let expected = 0.0525 * 0.545 * 0.72_f64.tanh();
        assert!((correction(&query, Some(4096), 0, 0.05) - expected).abs() < 1e-12);
        // Nobody knows who answered: C · 0.6, and unknown windows: fit 0.5. E = -0.175, C = 0.575.
        let expected = 0.0525 * 0.575 * 0.6 * (-0.175_f64).tanh();
        assert!((correction(&self::query(None), None, 0, 0.05) - expected).abs() < 1e-12);
    }

    #[test]
    fn it_fades_where_the_choice_is_clear_and_where_nothing_lies_behind() {
        assert_eq!(correction(&query(Some("a")), None, 0, 0.2), 0.0);
        assert_eq!(correction(&query(Some("a")), None, 0, 5.0), 0.0);
        assert_eq!(correction(&Query::text("hi"), None, 0, 0.0), 0.0);
        // A stored answer lies behind: W is 0.15 at least.
        let stored = Query {
            continues: true,
            ..Query::text("hi")
        };
        assert!(correction(&stored, None, 0, 0.0) < 0.0);
    }

    proptest! {
        #[test]
        fn it_is_bounded(
            bytes in prop::collection::vec(0..40_000_usize, 0..9),
            gap in -1.0..2.0_f64,
            window in prop::option::of(0..20_000_u32),
            known in any::<bool>(),
            continues in any::<bool>(),
        ) {
            let turn = |(i, bytes): (usize, &usize)| Turn {
                role: if i % 2 == 1 { Role::Assistant } else { Role::User },
                texts: vec!["x".repeat(*bytes).into()],
                ..Turn::default()
            };
            let query = Query {
                turns: bytes.iter().enumerate().map(turn).collect(),
                previous: known.then(|| "a".into()),
                continues,
                ..Query::default()
            };
            for model in 0..2 {
                let found = correction(&query, window, model, gap);
                prop_assert!(found.is_finite() && found.abs() <= MOST);
            }
        }
    }
}
