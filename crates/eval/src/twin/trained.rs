//! A router that is learned from a bank.
//!
//! What the next call needs is hinted at in what users and tools said last, but only hinted at; and runs have a course of their
//! own: some are easy throughout, some stay hard once they were hard. So two regressions are learned, and a filter puts them
//! together. **Evidence**: P(tier | words of a turn). **Course**: P(tier | tiers so far, place in the run, words of the system
//! message). At each step the filter goes through the turns from the first, keeps the weights of all tier histories that can be
//! told apart by what the course looks at, and multiplies course and evidence (over how frequent the tier is). The result is a
//! belief, from which [`Caution`] takes the tier.
//!
//! The true tiers of earlier steps are not known in service, so the filter never uses them: its histories are weighed guesses.
//! What it reads is [`Step`](super::Step) and nothing else. The paper's own router has one regression on an embedding of the last
//! request; it looks neither back nor at thresholds.

use std::collections::BTreeMap;

use super::{
    Bank, Caution, Prices, RouteError, Step, Tier, TierRouter, TokenCounter,
    decide::most_probable,
    features::{Reading, Sparse, Vocabulary},
    softmax::{ByTier, Softmax, probabilities},
    tuning,
};

/// How a router is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainedOptions {
    /// Weight of the squared weights of the evidence.
    pub evidence_l2: f64,
    /// The same of the course.
    pub course_l2: f64,
    /// Folds, by run, over which the thresholds are chosen; 2 or more.
    pub folds: usize,
    /// How many times the runs are sorted into folds anew for that; 1 or more.
    pub rounds: u64,
}

/// A trained router of tiers.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    belief: Beliefs,
    rule: Rule,
}

/// From a belief to a tier.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    MostProbable,
    Cautious(Caution),
}

/// Why a router cannot be trained.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
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
}

/// What the four tiers are believed to be worth at a step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Beliefs {
    words: Vocabulary,
    system: Vocabulary,
    evidence: Softmax,
    course: Softmax,
    /// How frequent each tier is.
    shares: ByTier,
}

/// What the course looks at of the tiers so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct History {
    counts: [u16; 4],
    last: Option<Tier>,
}

/// Features of the course before the words of the system message.
const COURSE_FEATURES: usize = 14;
/// Steps after which the shares of past tiers weigh fully.
const SETTLED: f64 = 4.0;
/// What evidence and course give every tier, lest one of them rules a tier out alone.
const EVIDENCE_FLOOR: f64 = 1e-3;
const COURSE_FLOOR: f64 = 1e-4;
/// Histories kept at each turn, the weightiest. More change beliefs by less than a thousandth.
const MOST_HISTORIES: usize = 64;

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
    /// Learns from a bank. The thresholds are those with the best mean Combined ([`Scores`](super::Scores)) over predictions for
    /// runs that were not learned from, within this bank.
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
        let caution = tuning::choose(bank, options, prices, counter);
        Ok(Self {
            belief: Beliefs::learn(bank, options),
            rule: Rule::Cautious(caution),
        })
    }

    /// The same without thresholds: the most probable tier. To be compared with.
    #[must_use]
    pub fn most_probable(self) -> Self {
        Self {
            rule: Rule::MostProbable,
            ..self
        }
    }

    /// The thresholds chosen, if it has some.
    pub fn caution(&self) -> Option<Caution> {
        match self.rule {
            Rule::MostProbable => None,
            Rule::Cautious(caution) => Some(caution),
        }
    }

    /// The probability of each tier of being the cheapest sufficient one, by [`Tier::id`].
    pub fn belief(&self, step: &Step<'_>) -> [f64; 4] {
        self.belief.at(step)
    }
}

impl TierRouter for Trained {
    fn tier(&self, step: &Step<'_>) -> Result<Tier, RouteError> {
        let belief = self.belief.at(step);
        Ok(match self.rule {
            Rule::MostProbable => most_probable(&belief),
            Rule::Cautious(caution) => caution.tier(&belief, step.before.last().copied().flatten()),
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

// === impl Beliefs ===

impl Beliefs {
    pub(super) fn learn(bank: &Bank, options: &TrainedOptions) -> Self {
        let readings: Vec<Reading> = bank.rows().iter().map(|row| Reading::of(&row.messages)).collect();
        let words = Vocabulary::learn(readings.iter().filter_map(Reading::last_turn));
        let system = Vocabulary::learn(readings.iter().map(|reading| &reading.system));
        let tiers: Vec<usize> = bank.rows().iter().map(|row| row.target.id()).collect();
        let turns: Vec<Sparse> = readings
            .iter()
            .map(|reading| {
                reading
                    .last_turn()
                    .map_or_else(Vec::new, |turn| words.vector(turn))
            })
            .collect();
        let evidence = Softmax::fit(&turns, &tiers, words.len(), options.evidence_l2);

        let (mut courses, mut course_tiers) = (Vec::new(), Vec::new());
        for run in bank.runs() {
            let mut history = History::default();
            for &at in run {
                let mut row = history.features();
                row.extend(shifted(system.vector(&readings[at].system)));
                courses.push(row);
                course_tiers.push(tiers[at]);
                history = history.then(bank.rows()[at].target);
            }
        }
        let width = COURSE_FEATURES + system.len();
        let course = Softmax::fit(&courses, &course_tiers, width, options.course_l2);
        let mut shares = [1.0; 4];
        for &tier in &tiers {
            shares[tier] += 1.0;
        }
        let sum: f64 = shares.iter().sum();
        Self {
            words,
            system,
            evidence,
            course,
            shares: shares.map(|count| count / sum),
        }
    }

    /// The belief at a step, from its messages alone.
    pub(super) fn at(&self, step: &Step<'_>) -> ByTier {
        let reading = Reading::of(step.messages);
        let base = self.course.logits(&shifted(self.system.vector(&reading.system)));
        let mut histories = vec![(History::default(), 1.0)];
        let mut belief = [0.0; 4];
        for turn in &reading.turns {
            let evidence = probabilities(self.evidence.logits(&self.words.vector(turn)));
            let mut next: BTreeMap<History, f64> = BTreeMap::new();
            belief = [0.0; 4];
            for (history, weight) in histories {
                let mut logits = base;
                self.course.add(&mut logits, &history.features());
                let course = probabilities(logits);
                for tier in Tier::ALL {
                    let t = tier.id();
                    let odds = (evidence[t] + EVIDENCE_FLOOR) / self.shares[t];
                    let weight = weight * (course[t] + COURSE_FLOOR) * odds;
                    *next.entry(history.then(tier)).or_default() += weight;
                    belief[t] += weight;
                }
            }
            let sum: f64 = belief.iter().sum();
            belief = belief.map(|weight| weight / sum);
            histories = next
                .into_iter()
                .map(|(history, weight)| (history, weight / sum))
                .collect();
            // Stable, so that of equals the first stays.
            histories.sort_by(|a, b| b.1.total_cmp(&a.1));
            histories.truncate(MOST_HISTORIES);
        }
        belief
    }
}

/// The words of the system message stand after the features of the history.
fn shifted(system: Sparse) -> Sparse {
    let shift = |(place, value)| (place + COURSE_FEATURES as u32, value);
    system.into_iter().map(shift).collect()
}

// === impl History ===

impl History {
    fn then(self, tier: Tier) -> Self {
        let mut counts = self.counts;
        counts[tier.id()] = counts[tier.id()].saturating_add(1);
        Self {
            counts,
            last: Some(tier),
        }
    }

    /// The last tier; the shares of all; whether it is the first step; the tier that all were, if one; how far the run is.
    fn features(self) -> Sparse {
        let steps: f64 = self.counts.iter().map(|&count| f64::from(count)).sum();
        let Some(last) = self.last else {
            return vec![(8, 1.0)];
        };
        let settled = (steps / SETTLED).min(1.0);
        let mut features = vec![(last.id() as u32, 1.0), (13, (1.0 + steps).ln())];
        for (place, &count) in (4..).zip(&self.counts) {
            features.push((place, f64::from(count) / steps * settled));
        }
        if f64::from(self.counts[last.id()]) == steps {
            features.push((9 + last.id() as u32, settled));
        }
        features
    }
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
        assert!(trained.caution().is_some() && trained.most_probable().caution().is_none());
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
    fn features_of_histories_by_hand() {
        let history = History::default().then(Tier::Low).then(Tier::High);
        let mut features = history.features();
        features.sort_by_key(|(place, _)| *place);
        let expected = [
            (3, 1.0),
            (4, 0.25),
            (5, 0.0),
            (6, 0.0),
            (7, 0.25),
            (13, 3.0_f64.ln()),
        ];
        assert_eq!(features, expected);
        assert!(
            History::default()
                .then(Tier::Mid)
                .features()
                .contains(&(10, 0.25))
        );
        assert_eq!(History::default().features(), [(8, 1.0)]);
    }
}
