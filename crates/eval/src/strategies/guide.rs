//! Which strategy for which deployment (card 18).

use serde::Serialize;

/// What to take where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// What the deployment has or lacks.
    pub given: &'static str,
    /// What then serves, in words.
    pub take_in_words: &'static str,
    /// The strategies that serve, as `CARD.ID`.
    pub take: &'static [&'static str],
    /// Those that do not.
    pub avoid: &'static [&'static str],
}

const fn advice(
    given: &'static str,
    take_in_words: &'static str,
    take: &'static [&'static str],
    avoid: &'static [&'static str],
) -> Advice {
    Advice {
        given,
        take_in_words,
        take,
        avoid,
    }
}

/// The selection guide.
pub const GUIDE: &[Advice] = &[
    advice(
        "no labels",
        "rules, examples of hard and easy questions, nearest neighbours",
        &["05.R11", "18.D2", "18.C2"],
        &[],
    ),
    advice(
        "votes only",
        "what learns from pairs of answers",
        &["18.P1", "18.P2", "18.P3", "18.P4"],
        &[],
    ),
    advice(
        "a table of graded answers",
        "clusters, nearest neighbours, item response theory, a predictor of performance",
        &["18.C1", "18.C2", "18.D4", "21.V3"],
        &[],
    ),
    advice("feedback while serving", "a contextual bandit", &["18.L1"], &[]),
    advice(
        "log-probabilities of tokens",
        "uncertainty thresholds and cascades",
        &["18.U1", "18.K1"],
        &[],
    ),
    advice(
        "less than 20 ms to decide",
        "no router that generates text",
        &["18.C2", "18.D1"],
        &["21.G1", "21.G2", "21.G4", "21.G6", "18.L2"],
    ),
    advice(
        "new models every week",
        "what works from profiles and neighbours, no classifier with a fixed label a model",
        &["18.D4", "18.C2"],
        &["05.R4", "21.V1"],
    ),
];
