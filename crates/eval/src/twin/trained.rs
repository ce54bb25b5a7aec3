//! A router that is learned from a bank.
//!
//! What the next call needs is hinted at in what users and tools said last, but only hinted at; and runs have a course of their
//! own: some are easy throughout, some stay hard once they were hard; and some are one call and some eleven. So four things are
//! learned. **Evidence**: how likely a turn is where each tier is needed, by its clauses ([`Cues`]), or by a regression on its
//! words where it has none that is known. **Course**: P(tier | tier of the step before, system message). **Stakes**
//! ([`Stakes`]): how long runs of this kind are and what they cost. And how much the steps to come may be relied on, by
//! cross-validation. At each step a filter goes through the turns from the first and multiplies course and evidence; the
//! tier that is [worth most](worthiest) by its belief is taken.
//!
//! The true tiers of earlier steps are not known in service, so the filter never uses them. What it knows is which tiers it chose
//! itself, and so how likely the run has not failed yet. What it reads is [`Step`](super::Step) and nothing else. The
//! paper's own router has one regression on an embedding of the last request; it looks neither back nor at stakes.

use std::collections::BTreeSet;

use super::{
    Bank, BytesOverFour, Prices, RouteError, Step, Tier, TierRouter, TokenCounter,
    cues::Cues,
    decide::{Belief, Offer, most_probable, worthiest},
    features::{Reading, Sparse, Text, Vocabulary},
    softmax::{ByTier, Softmax, probabilities},
    stakes::Stakes,
    tuning,
};

/// How a router is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainedOptions {
    /// Weight of the squared weights of the evidence.
    pub evidence_l2: f64,
    /// The same of the course.
    pub course_l2: f64,
    /// Folds, by run, over which the rule of choice is tuned; 2 or more.
    pub folds: usize,
    /// How many times the runs are sorted into folds anew for that; 1 or more.
    pub rounds: u64,
}

/// A trained router of tiers.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    model: Model,
    rule: Rule,
}

/// From a belief to a tier.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rule {
    MostProbable,
    /// The tier that is worth most, where each later step suffices with this probability.
    Worthiest {
        later: f64,
    },
}

/// Why a router cannot be trained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Fewer runs than folds.
    #[error("{found} runs cannot be sorted into {folds} folds: give more runs or fewer folds")]
    TooFewRuns {
        /// Runs of the bank.
        found: usize,
        /// Folds asked for.
        folds: usize,
    },
    /// An option out of its range.
    #[error("{key} must be {allowed}, found {found}")]
    Option {
        /// The option.
        key: &'static str,
        /// What is allowed, in words.
        allowed: &'static str,
        /// What was found.
        found: f64,
    },
    /// A policy could not be trained.
    #[error(transparent)]
    Policy(#[from] fingerpost_models::TrainError),
}

/// What the four tiers are believed to be worth at a step, and what is at stake there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Model {
    cues: Cues,
    words: Vocabulary,
    evidence: Softmax,
    /// How frequent each tier is.
    shares: ByTier,
    system: Vocabulary,
    course: Softmax,
    stakes: Stakes,
    prices: Prices,
}

/// Features of the course before those of the system message: the tier of the step before, or that there is none.
const BEFORE: usize = 5;
const FIRST: usize = 4;
/// What evidence and course give every tier, lest one of them rules a tier out alone.
const EVIDENCE_FLOOR: f64 = 1e-3;
const COURSE_FLOOR: f64 = 1e-4;

impl Default for TrainedOptions {
    fn default() -> Self {
        Self {
            evidence_l2: 10.0 / 3.0,
            course_l2: 10.0 / 3.0,
            folds: 5,
            rounds: 3,
        }
    }
}

// === impl Trained ===

impl Trained {
    /// Learns from a bank. The rule of choice is tuned to the best mean Combined ([`Scores`](super::Scores)) over predictions for
    /// runs that were not learned from, within this bank. `counter` measures the runs of the bank; a router that is asked
    /// estimates tokens as [`BytesOverFour`] does.
    ///
    /// # Errors
    /// [`TrainError`] where there are fewer runs than folds or an option is out of range.
    pub fn train(
        bank: &Bank,
        options: &TrainedOptions,
        prices: &Prices,
        counter: &dyn TokenCounter,
    ) -> Result<Self, TrainError> {
        options.check(bank)?;
        let later = tuning::choose(bank, options, prices, counter);
        Ok(Self::new(
            Model::learn(bank, options, prices, counter),
            Rule::Worthiest { later },
        ))
    }

    pub(super) fn new(model: Model, rule: Rule) -> Self {
        Self { model, rule }
    }

    /// The same with the most probable tier, whatever is at stake. To be compared with.
    #[must_use]
    pub fn most_probable(self) -> Self {
        Self {
            rule: Rule::MostProbable,
            ..self
        }
    }

    /// The probability with which each later step is taken to suffice, if the rule asks for it.
    pub fn later(&self) -> Option<f64> {
        match self.rule {
            Rule::MostProbable => None,
            Rule::Worthiest { later } => Some(later),
        }
    }

    /// The probability of each tier of being the cheapest sufficient one, by [`Tier::id`].
    pub fn belief(&self, step: &Step<'_>) -> [f64; 4] {
        self.model.belief(&Reading::of(step.messages), step.before).needed
    }
}

impl TierRouter for Trained {
    fn tier(&self, step: &Step<'_>) -> Result<Tier, RouteError> {
        let reading = Reading::of(step.messages);
        let belief = self.model.belief(&reading, step.before);
        Ok(match self.rule {
            Rule::MostProbable => most_probable(&belief.needed),
            Rule::Worthiest { later } => {
                let kind = self.model.stakes.of(&reading.system);
                let previous = step.before.last().copied().flatten();
                let offer = Offer::new(
                    step.messages,
                    previous,
                    kind.output(),
                    &self.model.prices,
                    &BytesOverFour,
                );
                worthiest(&belief, &offer, kind, step.before.len() + 1, later)
            }
        })
    }
}

// === impl TrainedOptions ===

impl TrainedOptions {
    pub(super) fn check(&self, bank: &Bank) -> Result<(), TrainError> {
        let option = |key, allowed, found: f64, ok: bool| {
            if ok {
                Ok(())
            } else {
                Err(TrainError::Option { key, allowed, found })
            }
        };
        for (key, l2) in [("evidence_l2", self.evidence_l2), ("course_l2", self.course_l2)] {
            option(key, "a finite number over 0", l2, l2 > 0.0 && l2.is_finite())?;
        }
        option("folds", "2 or more", self.folds as f64, self.folds >= 2)?;
        option("rounds", "1 or more", self.rounds as f64, self.rounds >= 1)?;
        let found = bank.runs().len();
        if found < self.folds {
            return Err(TrainError::TooFewRuns {
                found,
                folds: self.folds,
            });
        }
        Ok(())
    }
}

// === impl Model ===

impl Model {
    pub(super) fn learn(
        bank: &Bank,
        options: &TrainedOptions,
        prices: &Prices,
        counter: &dyn TokenCounter,
    ) -> Self {
        let readings: Vec<Reading> = bank.rows().iter().map(|row| Reading::of(&row.messages)).collect();
        let stakes = Stakes::learn(bank, &readings, prices, counter);
        let words = Vocabulary::learn(readings.iter().filter_map(Reading::last_turn).map(|t| &t.words));
        let tiers: Vec<usize> = bank.rows().iter().map(|row| row.target.id()).collect();
        let turns: Vec<Sparse> = readings
            .iter()
            .map(|reading| {
                reading
                    .last_turn()
                    .map_or_else(Vec::new, |turn| words.vector(&turn.words))
            })
            .collect();
        let evidence = Softmax::fit(&turns, &tiers, words.len(), options.evidence_l2);
        let cues = Cues::learn(
            readings
                .iter()
                .filter_map(Reading::last_turn)
                .map(|turn| &turn.clauses)
                .zip(tiers.iter().copied()),
        );
        // A run says its system message once, however often it is repeated.
        let first = |run: &Vec<usize>| Some(&readings[*run.first()?].system.clauses);
        let system = Vocabulary::learn(bank.runs().iter().filter_map(first));
        let (mut courses, mut course_tiers) = (Vec::new(), Vec::new());
        for run in bank.runs() {
            let mut before = FIRST;
            for &at in run {
                courses.push(course_features(
                    before,
                    system.vector(&readings[at].system.clauses),
                ));
                course_tiers.push(tiers[at]);
                before = tiers[at];
            }
        }
        let course = Softmax::fit(&courses, &course_tiers, BEFORE + system.len(), options.course_l2);
        let mut shares = [1.0; 4];
        for &tier in &tiers {
            shares[tier] += 1.0;
        }
        let sum: f64 = shares.iter().sum();
        Self {
            cues,
            words,
            evidence,
            shares: shares.map(|count| count / sum),
            system,
            course,
            stakes,
            prices: *prices,
        }
    }

    /// How likely a turn is where each tier is needed, up to a factor: by its clauses where one of them is known, else by its
    /// words.
    fn likelihood(&self, turn: &Text) -> ByTier {
        let likelihood = self.cues.likelihood(&turn.clauses).unwrap_or_else(|| {
            let by_words = probabilities(self.evidence.logits(&self.words.vector(&turn.words)));
            std::array::from_fn(|t| by_words[t] / self.shares[t])
        });
        let sum: f64 = likelihood.iter().sum();
        likelihood.map(|l| l / sum + EVIDENCE_FLOOR)
    }

    /// P(tier | tier of the step before, system message), by the tier before; [`FIRST`] where there is none.
    fn course(&self, system: &BTreeSet<String>) -> [ByTier; BEFORE] {
        std::array::from_fn(|before| {
            let features = course_features(before, self.system.vector(system));
            probabilities(self.course.logits(&features)).map(|p| p + COURSE_FLOOR)
        })
    }

    /// The belief at a step, from its messages and from what was chosen at the earlier ones.
    pub(super) fn belief(&self, reading: &Reading, before: &[Option<Tier>]) -> Belief {
        let course = self.course(&reading.system.clauses);
        let mut belief = Belief {
            needed: [0.0; 4],
            unfailed: [0.0; 4],
            next: [0.0; 4],
        };
        // How likely each tier was needed at the step before; and that, with every tier chosen so far sufficient.
        let (mut last, mut whole) = ([0.0; BEFORE], [0.0; BEFORE]);
        (last[FIRST], whole[FIRST]) = (1.0, 1.0);
        let unasked = (reading.turns.len() - 1).saturating_sub(before.len());
        for (at, turn) in reading.turns.iter().enumerate() {
            let likelihood = self.likelihood(turn);
            let weigh = |by: &[f64; BEFORE]| -> ByTier {
                let along = |t: usize| {
                    by.iter()
                        .zip(&course)
                        .map(|(w, course)| w * course[t])
                        .sum::<f64>()
                };
                std::array::from_fn(|t| along(t) * likelihood[t])
            };
            (belief.needed, belief.unfailed) = (weigh(&last), weigh(&whole));
            let sum: f64 = belief.needed.iter().sum();
            belief.needed = belief.needed.map(|w| w / sum);
            belief.unfailed = belief.unfailed.map(|w| w / sum);
            let said = at.checked_sub(unasked).and_then(|asked| before.get(asked));
            (last, whole) = ([0.0; BEFORE], [0.0; BEFORE]);
            for tier in Tier::ALL {
                let t = tier.id();
                last[t] = belief.needed[t];
                let sufficed = said.is_none_or(|said| said.is_some_and(|said| said >= tier));
                whole[t] = if sufficed { belief.unfailed[t] } else { 0.0 };
            }
        }
        belief.next =
            std::array::from_fn(|t| last.iter().zip(&course).map(|(w, course)| w * course[t]).sum());
        belief
    }
}

/// The tier of the step before, then the clauses of the system message.
fn course_features(before: usize, system: Sparse) -> Sparse {
    let shift = |(place, value)| (place + BEFORE as u32, value);
    let system = system.into_iter().map(shift);
    std::iter::once((before as u32, 1.0)).chain(system).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twin::{BytesOverFour, Message, Row, predict};

    /// Runs whose system message says whether they are hard and whose turns name the next action: `peek` is low, `forge` is high,
    /// in hard runs everything after the first `forge` is high.
    fn bank(runs: usize) -> Bank {
        let mut rows = Vec::new();
        for run in 0..runs {
            let is_hard = run % 3 == 0;
            let mut messages = vec![Message::new("system", if is_hard { "repair" } else { "chat" })];
            for step in 0..4 {
                let is_forge = is_hard && step == 1 + run % 2;
                messages.push(Message::new(
                    "tool",
                    if is_forge { "forge it" } else { "peek at it" },
                ));
                let was_forge = is_hard && step > run % 2;
                rows.push(Row {
                    id: format!("{run}-{step}"),
                    benchmark: if is_hard { "h" } else { "e" }.to_owned(),
                    instance_id: format!("run-{run}"),
                    step_index: step as u32 + 1,
                    messages: messages.clone(),
                    target: if was_forge { Tier::High } else { Tier::Low },
                });
                messages.push(Message::new("assistant", "done"));
            }
        }
        Bank::new(rows).unwrap()
    }

    fn train(bank: &Bank) -> Trained {
        let options = TrainedOptions {
            rounds: 1,
            ..TrainedOptions::default()
        };
        Trained::train(bank, &options, &Prices::PUBLISHED, &BytesOverFour).unwrap()
    }

    #[test]
    fn what_was_hard_stays_hard_though_the_last_turn_does_not_say_so() {
        let bank = bank(60);
        let trained = train(&bank);
        let row = |step: usize| &bank.rows()[12 + step];
        assert_eq!(row(0).instance_id, "run-3");
        let belief = |step| {
            trained.belief(&Step {
                messages: &row(step).messages,
                step_index: row(step).step_index,
                before: &[],
            })
        };
        assert!(belief(0)[3] < 0.3, "{:?}", belief(0));
        assert!(belief(3)[3] > 0.7, "{:?}", belief(3));
        assert!(belief(3).iter().sum::<f64>() - 1.0 < 1e-9);
    }

    #[test]
    fn the_same_bank_gives_the_same_router_and_errors_are_typed() {
        let bank = bank(20);
        let trained = train(&bank);
        assert_eq!(trained, train(&bank));
        assert_eq!(predict(&trained, &bank).len(), 80);
        assert!(trained.later().is_some() && trained.most_probable().later().is_none());
        let few = bank.part(|instance| instance == "run-1");
        let refused = |options: TrainedOptions| {
            let error = Trained::train(&few, &options, &Prices::PUBLISHED, &BytesOverFour);
            error.unwrap_err().to_string()
        };
        assert!(refused(TrainedOptions::default()).contains("1 runs cannot be sorted into 5 folds"));
        let bad = TrainedOptions {
            evidence_l2: f64::NAN,
            ..TrainedOptions::default()
        };
        assert!(refused(bad).contains("evidence_l2 must be a finite number over 0"));
    }

    #[test]
    fn a_turn_without_a_known_clause_speaks_by_its_words() {
        let trained = train(&bank(60));
        let belief = |last: &str| {
            let messages = [Message::new("system", "repair"), Message::new("user", last)];
            trained.belief(&Step {
                messages: &messages,
                step_index: 1,
                before: &[],
            })
        };
        assert_eq!(belief("unheard of"), belief("nothing known"));
        assert!(belief("then forge everything")[3] > belief("unheard of")[3]);
    }

    #[test]
    fn what_was_chosen_too_low_leaves_little_to_lose() {
        let bank = bank(60);
        let trained = train(&bank);
        let row = &bank.rows()[12 + 3];
        let reading = Reading::of(&row.messages);
        let unfailed = |before: &[Option<Tier>]| -> f64 {
            let belief = trained.model.belief(&reading, before);
            assert!((belief.needed.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            assert!((belief.next.iter().sum::<f64>() - 1.0).abs() < 1e-2);
            belief.unfailed.iter().sum()
        };
        let [low, high] = [Tier::Low, Tier::High].map(|tier| unfailed(&[Some(tier); 3]));
        assert!((high - 1.0).abs() < 1e-9 && low < 0.1, "{high} {low}");
        assert_eq!(unfailed(&[None; 3]), 0.0, "a step without a tier fails the run");
        // What was not asked of this router is not held against it.
        assert!((unfailed(&[]) - 1.0).abs() < 1e-9);
        assert!(unfailed(&[Some(Tier::High)]) > 0.99);
    }
}
