//! The registry of strategies of routing and cascading that three surveys name, and what this product offers of them.
//!
//! Each [`Strategy`] says when it decides, from what, how, and what it needs. What offers it is named, and whether that is so is
//! looked up, not claimed: a strategy offered by an algorithm counts as offered only while [`Algorithm::ALGORITHMS`] has one of
//! the names. Cards: 05 (Towards Efficient Multi-LLM Inference), 18 (Dynamic Model Routing and Cascading), 21 (Doing More with
//! Less). An id is unique within its card: `18.L1` and `21.L1` are different rows of different lists.

mod card05;
mod card18;
mod card21;
mod guide;

use fingerpost_models::Algorithm;
use serde::Serialize;

pub use guide::{Advice, GUIDE};

/// One strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Strategy {
    /// The card that lists it: 5, 18 or 21.
    pub card: u8,
    /// Its id within the card.
    pub id: &'static str,
    /// What it is called.
    pub name: &'static str,
    /// When it decides.
    pub when: When,
    /// From what.
    pub what: &'static [What],
    /// How.
    pub how: How,
    /// What it must be given before it can decide well.
    pub needs: &'static [Need],
    /// Whether a new model can be chosen only after training again.
    pub retrain_on_new_model: bool,
    /// What offers it.
    pub by: By,
}

/// When a strategy decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// For a batch, before any request is served.
    Offline,
    /// Before an answer is begun.
    BeforeGeneration,
    /// After some tokens.
    DuringGeneration,
    /// When an answer is there.
    AfterGeneration,
    /// Between turns or steps.
    BetweenTurns,
}

/// What a strategy decides from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The text of the query.
    QueryText,
    /// Its embedding.
    Embedding,
    /// Who asks, and what else is said beside the query.
    Metadata,
    /// What was said and done before.
    History,
    /// What is known of the candidates.
    CandidateProfile,
    /// Load, price and latency as they are now.
    LiveState,
    /// The beginning of an answer.
    PartialOutput,
    /// A whole answer.
    FullOutput,
    /// What was said of earlier answers.
    Feedback,
}

/// How a strategy decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// By rules that somebody wrote.
    Rules,
    /// By the nearest known queries or descriptions.
    NearestNeighbour,
    /// By clusters.
    Clustering,
    /// By a classifier or regressor.
    Supervised,
    /// By the order of pairs.
    PairwiseRanking,
    /// By a statistical test.
    StatisticalTest,
    /// By a bandit.
    Bandit,
    /// By reinforcement learning.
    Reinforcement,
    /// By what a model says.
    Generative,
    /// By several of these.
    Combination,
}

/// What a strategy must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Graded answers of the candidates.
    Labels,
    /// Which of two answers somebody liked better.
    Votes,
    /// Log-probabilities of tokens.
    Logprobs,
    /// Outcomes of the product's own decisions.
    Feedback,
}

/// What offers a strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// One of these algorithms (`algorithm:` of a decision), where this build has it.
    Algorithm(&'static [&'static str]),
    /// Another part of the product, named by its place in the configuration.
    Part(&'static str),
    /// Nothing, for this reason.
    Nothing(&'static str),
}

/// Whether a strategy is offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Offer {
    /// By this.
    Offered(String),
    /// Not, for this reason.
    NotOffered(String),
}

/// All strategies, card by card in the cards' order.
pub fn all() -> impl Iterator<Item = &'static Strategy> {
    [card05::ROUTING, card05::INFERENCE, card18::ALL, card21::ALL]
        .into_iter()
        .flatten()
}

// === impl Strategy ===

impl Strategy {
    /// Whether this build offers it, and by what.
    pub fn offer(&self) -> Offer {
        match self.by {
            By::Part(part) => Offer::Offered(part.to_owned()),
            By::Nothing(why) => Offer::NotOffered(why.to_owned()),
            By::Algorithm(names) => {
                let here: Vec<&str> = names
                    .iter()
                    .copied()
                    .filter(|name| Algorithm::ALGORITHMS.contains(name))
                    .collect();
                if here.is_empty() {
                    Offer::NotOffered(format!("this build has no algorithm {}", names.join(" or ")))
                } else {
                    Offer::Offered(here.join(", "))
                }
            }
        }
    }

    /// Its id with its card: `05.R1`.
    pub fn full_id(&self) -> String {
        format!("{:02}.{}", self.card, self.id)
    }
}

/// A row of a list.
const fn row(
    card: u8,
    id: &'static str,
    name: &'static str,
    axes: (When, &'static [What], How),
    needs: &'static [Need],
    retrain_on_new_model: bool,
    by: By,
) -> Strategy {
    let (when, what, how) = axes;
    Strategy {
        card,
        id,
        name,
        when,
        what,
        how,
        needs,
        retrain_on_new_model,
        by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids of the three cards, with how many of each letter.
    const CARDS: [(u8, &[(&str, usize)]); 3] = [
        (5, &[("R", 12), ("H", 12)]),
        (
            18,
            &[
                ("D", 4),
                ("P", 6),
                ("C", 3),
                ("U", 5),
                ("L", 4),
                ("M", 3),
                ("K", 5),
                ("O", 3),
            ],
        ),
        (21, &[("S", 5), ("V", 5), ("L", 3), ("G", 6), ("K", 4)]),
    ];

    #[test]
    fn every_id_of_the_cards_is_there_once_and_nothing_else() {
        let mut expected = Vec::new();
        for (card, letters) in CARDS {
            for (letter, count) in letters {
                expected.extend((1..=*count).map(|n| format!("{card:02}.{letter}{n}")));
            }
        }
        let found: Vec<String> = all().map(Strategy::full_id).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_offered_is_what_this_build_has() {
        for strategy in all() {
            match (strategy.by, strategy.offer()) {
                (By::Algorithm(names), Offer::Offered(by)) => {
                    assert!(
                        names.iter().any(|name| by.contains(name)),
                        "{}",
                        strategy.full_id()
                    );
                    assert!(by.split(", ").all(|name| Algorithm::ALGORITHMS.contains(&name)));
                }
                (By::Algorithm(names), Offer::NotOffered(why)) => {
                    assert!(names.iter().all(|name| !Algorithm::ALGORITHMS.contains(name)));
                    assert!(why.contains(names[0]));
                }
                (By::Part(_), offer) => assert!(matches!(offer, Offer::Offered(_))),
                (By::Nothing(why), offer) => {
                    assert_eq!(offer, Offer::NotOffered(why.to_owned()));
                    assert!(why.len() > 20, "a reason: {why}");
                }
            }
        }
        let of = |id: &str| all().find(|s| s.full_id() == id).map(Strategy::offer);
        assert_eq!(of("18.K1"), Some(Offer::Offered("cascade".to_owned())));
        assert_eq!(of("18.C2"), Some(Offer::Offered("knn".to_owned())));
    }

    #[test]
    fn the_guide_names_strategies_that_exist() {
        for advice in GUIDE {
            for id in advice.take.iter().chain(advice.avoid) {
                assert!(all().any(|s| s.full_id() == *id), "{id}");
            }
        }
    }
}
