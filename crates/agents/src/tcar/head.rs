//! The trained head: one set of weights for all agents.

use fingerpost_hierarchy::taxonomy::{FitError, Logistic};
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    Chosen, RouteReply,
    bank::{AgentBank, FEATURES, Features, NEAR},
    rehearsal::rehearse,
    thresholds::{Judged, Thresholds},
};

/// Wrong agents a lesson that are learned from beside the right one: those that come nearest.
const HARD: usize = 8;
/// Weight of half the squared length of w beside the sum of log-likelihoods.
const RIDGE: f64 = 1.0;

/// Scores agents for a query, and takes a set of them. Plain data: it can be stored and read again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TcarHead {
    weights: Logistic,
    /// Whether a query is for anybody, by how it looks to the agent of the highest score; for everybody's, where none was learned
    /// from that is for nobody.
    scope: Option<Logistic>,
    /// Who is taken.
    pub thresholds: Thresholds,
}

/// A query to learn from.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesson<'a> {
    /// Its text.
    pub text: &'a str,
    /// Its vector, by the bank's encoder.
    pub vector: &'a [f32],
    /// The right agent, by number; none for a query out of scope.
    pub gold: Option<usize>,
    /// The place among the right agent's examples, where it is one of them: it is hidden from itself.
    pub own: Option<usize>,
}

/// Why no head can be trained.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum TcarError {
    /// An agent that is not in the bank.
    #[error("lesson {lesson} names agent {agent}, and the bank has {agents}")]
    Unknown {
        /// Which lesson, from 0.
        lesson: usize,
        /// Which agent.
        agent: usize,
        /// How many there are.
        agents: usize,
    },
    /// Nothing to learn from.
    #[error(transparent)]
    Fit(#[from] FitError),
}

// === impl TcarHead ===

impl TcarHead {
    /// Learns the weights from lessons, each as it looks to a bank that does not hold it; thresholds are t = .5, delta = 0, nothing
    /// out of scope, until they are calibrated. Cost: five indexes of the bank's words, and its features a lesson.
    ///
    /// # Errors
    /// [`TcarError`].
    pub fn train(bank: &AgentBank, lessons: &[Lesson<'_>], rng: &mut SmallRng) -> Result<Self, TcarError> {
        let agents = bank.agents().len();
        for (lesson, gold) in lessons.iter().map(|lesson| lesson.gold).enumerate() {
            if let Some(agent) = gold.filter(|&gold| gold >= agents) {
                return Err(TcarError::Unknown {
                    lesson,
                    agent,
                    agents,
                });
            }
        }
        let (mut rows, mut labels) = (Vec::new(), Vec::new());
        let mut looks = Vec::with_capacity(lessons.len());
        rehearse(bank, lessons, true, rng, |i, features| {
            let gold = lessons[i].gold;
            let mut order: Vec<usize> = (0..agents).filter(|&a| Some(a) != gold).collect();
            order.sort_by(|&a, &b| features[b].near.total_cmp(&features[a].near));
            for agent in order.into_iter().take(HARD).chain(gold) {
                rows.extend(features[agent].values());
                labels.push(gold == Some(agent));
            }
            looks.push((features.to_vec(), gold.is_some()));
        });
        let weights = Logistic::fit(&rows, FEATURES, &labels, RIDGE)?;
        let mut head = Self {
            weights,
            scope: None,
            thresholds: Thresholds {
                t: 0.5,
                delta: 0.0,
                oos: 0.0,
            },
        };
        if looks.iter().any(|(_, is_inside)| !is_inside) {
            let best = looks.iter().map(|(features, is_inside)| {
                let best = best(&head.scores(features)).map(|at| features[at].near());
                (best.unwrap_or_default(), *is_inside)
            });
            let (near, labels): (Vec<[f64; NEAR]>, Vec<bool>) = best.unzip();
            head.scope = Some(Logistic::fit(near.as_flattened(), NEAR, &labels, RIDGE)?);
        }
        Ok(head)
    }

    /// The same with thresholds for validation queries; see [`Thresholds::calibrate`].
    #[must_use]
    pub fn calibrate(self, judged: &[Judged], mean_size: f64) -> Self {
        Self {
            thresholds: Thresholds::calibrate(judged, mean_size),
            ..self
        }
    }

    /// How it would have judged lessons that the bank does not hold, for calibration; each agent with all its other examples.
    pub fn judge(&self, bank: &AgentBank, lessons: &[Lesson<'_>], rng: &mut SmallRng) -> Vec<Judged> {
        let mut judged = Vec::with_capacity(lessons.len());
        rehearse(bank, lessons, false, rng, |i, features| {
            let scores = self.scores(features);
            judged.push(Judged {
                inside: self.inside(features, &scores),
                scores,
                gold: lessons[i].gold,
            });
        });
        judged
    }

    /// The score of every agent, by number, from 0 to 1.
    pub fn scores(&self, features: &[Features]) -> Vec<f64> {
        features
            .iter()
            .map(|f| self.weights.probability(&f.values()))
            .collect()
    }

    /// The chance that a query is for any of the agents, 0 to 1, by how it looks to the one of the highest score.
    pub fn inside(&self, features: &[Features], scores: &[f64]) -> f64 {
        match (&self.scope, best(scores)) {
            (Some(scope), Some(at)) => scope.probability(&features[at].near()),
            (None, Some(_)) => 1.0,
            (_, None) => 0.0,
        }
    }

    /// The set for a query, with its reason, and every agent's score.
    pub fn decide(&self, bank: &AgentBank, text: &str, query: &[f32]) -> (RouteReply, Vec<f64>) {
        let features = bank.features(text, query);
        let scores = self.scores(&features);
        let set = self.thresholds.choose(&scores, self.inside(&features, &scores));
        let reply = RouteReply {
            reason: self.reason(bank, &features, &scores, &set),
            chosen: if set.is_empty() {
                Chosen::OutOfScope
            } else {
                Chosen::Agents(set.iter().map(|&i| bank.agents()[i].entry.id.clone()).collect())
            },
        };
        (reply, scores)
    }

    /// What spoke for each agent of a set: its nearest example, and the strongest of its other features.
    pub(super) fn reason(
        &self,
        bank: &AgentBank,
        features: &[Features],
        scores: &[f64],
        set: &[usize],
    ) -> String {
        if set.is_empty() {
            let best = scores.iter().copied().fold(0.0, f64::max);
            return format!("no agent comes near enough (best score {best:.2})");
        }
        let one = |&i: &usize| {
            let (agent, f) = (&bank.agents()[i].entry, &features[i]);
            let mut why = match f.example.and_then(|at| agent.examples.get(at)) {
                Some(example) => format!("like its example \"{example}\" ({:.2})", f.nearest),
                None => format!("like its description ({:.2})", f.description),
            };
            if f.words >= 0.99 {
                why.push_str(", most words in common");
            }
            if f.lead > 0.0 {
                why.push_str(&format!(", {:.2} ahead of the next", f.lead));
            }
            format!("{} {:.2}: {why}", agent.id, scores[i])
        };
        set.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

/// The agent of the highest score, by number; the first of equals.
fn best(scores: &[f64]) -> Option<usize> {
    let known = (0..scores.len()).filter(|&i| !scores[i].is_nan());
    known.max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)))
}

#[cfg(test)]
pub(crate) mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::tcar::bank::tests::{agent, bank};

    pub(crate) fn trained(bank: &AgentBank) -> TcarHead {
        let texts = [
            ("is rain coming", Some(0)),
            ("what is the weather in Oslo", Some(0)),
            ("send 5 dollars to Bob", Some(1)),
            ("move money between accounts", Some(1)),
            ("a recipe for soup", Some(2)),
            ("who won the match", None),
        ];
        let vectors: Vec<_> = texts
            .iter()
            .map(|(text, _)| bank.encoder().encode(text))
            .collect();
        let lessons: Vec<Lesson<'_>> = texts
            .iter()
            .zip(&vectors)
            .map(|((text, gold), vector)| Lesson {
                text,
                vector,
                gold: *gold,
                own: None,
            })
            .collect();
        TcarHead::train(bank, &lessons, &mut SmallRng::seed_from_u64(1)).unwrap()
    }

    #[test]
    fn it_tells_agents_apart_and_a_newcomer_too() {
        let bank = bank();
        let mut head = trained(&bank);
        head.thresholds.oos = 0.1;
        let decide = |bank: &AgentBank, text: &str| head.decide(bank, text, &bank.encoder().encode(text)).0;
        let reply = decide(&bank, "will it snow in Oslo");
        assert_eq!(reply.chosen, Chosen::Agents(vec!["weather".into()]));
        assert!(
            reply.reason.starts_with("weather ") && reply.reason.contains("like its example \""),
            "{}",
            reply.reason
        );
        // Nothing is trained again.
        let joined = bank
            .with(agent("music", "Plays songs", &["play a song", "play some jazz"]))
            .unwrap();
        assert_eq!(
            decide(&joined, "play a jazz song").chosen,
            Chosen::Agents(vec!["music".into()])
        );
        let stored: TcarHead = serde_json::from_str(&serde_json::to_string(&head).unwrap()).unwrap();
        assert_eq!(stored.thresholds, head.thresholds);
    }

    #[test]
    fn lessons_that_do_not_fit_are_refused() {
        let bank = bank();
        let mut rng = SmallRng::seed_from_u64(1);
        assert!(matches!(
            TcarHead::train(&bank, &[], &mut rng),
            Err(TcarError::Fit(_))
        ));
        let vector = bank.encoder().encode("x");
        let lesson = Lesson {
            text: "x",
            vector: &vector,
            gold: Some(3),
            own: None,
        };
        let error = TcarHead::train(&bank, &[lesson], &mut rng).unwrap_err();
        assert_eq!(error.to_string(), "lesson 0 names agent 3, and the bank has 3");
    }
}
