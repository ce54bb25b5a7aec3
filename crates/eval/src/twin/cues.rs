//! What clauses say of the tier that is needed.
//!
//! What stands verbatim in several runs was written by somebody's template, and templates name what comes next: a tool's status
//! line, an instruction. A clause either names one tier, in whose rows it is frequent and elsewhere as rare as chance makes it,
//! or it names none and is as frequent everywhere. Which of the five it is, is weighed by how likely its counts are. Counts of a
//! clause at a tier are Poisson; its rate there has a gamma prior whose mean, for clauses that name the tier and for those that
//! do not, is learned from all clauses together (empirical Bayes). So a tier with few rows has sharp evidence all the same,
//! where a regression of each clause by itself has to shrink it.

use std::collections::{BTreeMap, BTreeSet};

use super::{features::COMMON, softmax::ByTier};

/// How frequent each clause is at each tier.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cues {
    rates: BTreeMap<String, ByTier>,
}

/// A gamma prior of rates.
#[derive(Debug, Clone, Copy)]
struct Prior {
    shape: f64,
    mean: f64,
}

/// What is expected of a clause before it is counted.
#[derive(Debug, Clone, Copy)]
struct Priors {
    /// Its rate at the tier that it names, and at the others.
    named: Prior,
    other: Prior,
    /// How likely it names a tier at all.
    names: f64,
}

/// How alike the rates of clauses are that name a tier; those that do not are more alike.
const NAMING: f64 = 8.0;
const PLAIN: f64 = 20.0;
/// Rounds of expectation and maximisation, after which nothing moves any more.
const ROUNDS: usize = 40;

impl Default for Priors {
    fn default() -> Self {
        let prior = |shape, mean| Prior { shape, mean };
        Self {
            named: prior(NAMING, 0.2),
            other: prior(PLAIN, 0.02),
            names: 0.5,
        }
    }
}

// === impl Cues ===

impl Cues {
    /// Learns from the clauses of rows with their tiers.
    pub(super) fn learn<'a>(rows: impl Iterator<Item = (&'a BTreeSet<String>, usize)>) -> Self {
        let mut counts: BTreeMap<&str, [u32; 4]> = BTreeMap::new();
        let mut of_tier = [0.0; 4];
        for (clauses, tier) in rows {
            of_tier[tier] += 1.0;
            for clause in clauses {
                counts.entry(clause).or_default()[tier] += 1;
            }
        }
        counts.retain(|_, counts| counts.iter().sum::<u32>() as usize >= COMMON);
        let mut priors = Priors::default();
        for _ in 0..ROUNDS {
            priors = priors.refined(counts.values(), &of_tier);
        }
        let rates = counts.iter().map(|(clause, counts)| {
            let (rates, _) = priors.weigh(counts, &of_tier);
            ((*clause).to_owned(), rates)
        });
        Self {
            rates: rates.collect(),
        }
    }

    /// How likely these clauses are at each tier, up to a factor; `None` where no clause is known.
    pub(super) fn likelihood(&self, clauses: &BTreeSet<String>) -> Option<ByTier> {
        let mut known = clauses.iter().filter_map(|c| self.rates.get(c)).peekable();
        known.peek()?;
        let mut logs = [0.0; 4];
        for rates in known {
            for (log, rate) in logs.iter_mut().zip(rates) {
                *log += rate.ln();
            }
        }
        Some(normalised(logs))
    }
}

// === impl Priors ===

impl Priors {
    /// The rates to expect of a clause with these counts in so many rows, and how likely it names each tier.
    fn weigh(&self, counts: &[u32; 4], rows: &ByTier) -> (ByTier, ByTier) {
        let share = counts.iter().sum::<u32>() as f64 / rows.iter().sum::<f64>();
        let everywhere = Prior {
            shape: PLAIN,
            mean: share,
        };
        let likelihood =
            |prior: Prior| -> ByTier { std::array::from_fn(|t| prior.log_likelihood(counts[t], rows[t])) };
        let (on, off) = (likelihood(self.named), likelihood(self.other));
        let all_off: f64 = off.iter().sum();
        let mut kinds = [0.0; 5];
        for t in 0..4 {
            kinds[t] = (self.names / 4.0).ln() + all_off - off[t] + on[t];
        }
        kinds[4] = (1.0 - self.names).ln() + likelihood(everywhere).iter().sum::<f64>();
        let [low, mid, mid_high, high, none] = normalised(kinds);
        let names = [low, mid, mid_high, high];
        let rates = std::array::from_fn(|t| {
            let at = |prior: Prior| prior.rate(counts[t], rows[t]);
            let elsewhere = 1.0 - none - names[t];
            names[t] * at(self.named) + elsewhere * at(self.other) + none * at(everywhere)
        });
        (rates, names)
    }

    /// What is expected after a look at all clauses. The present expectation counts as one clause more, so that no kind dies out.
    fn refined<'a>(self, clauses: impl Iterator<Item = &'a [u32; 4]>, rows: &ByTier) -> Self {
        let (mut count, mut on, mut off) = (0.0, 1.0, 1.0);
        let (mut rate_on, mut rate_off) = (self.named.mean, self.other.mean);
        for counts in clauses {
            let (_, names) = self.weigh(counts, rows);
            let any: f64 = names.iter().sum();
            count += 1.0;
            for t in 0..4 {
                on += names[t];
                off += any - names[t];
                rate_on += names[t] * self.named.rate(counts[t], rows[t]);
                rate_off += (any - names[t]) * self.other.rate(counts[t], rows[t]);
            }
        }
        let prior = |shape, mean| Prior { shape, mean };
        Self {
            named: prior(NAMING, rate_on / on),
            other: prior(PLAIN, rate_off / off),
            names: on / (count + 2.0),
        }
    }
}

// === impl Prior ===

impl Prior {
    /// The logarithm of the likelihood of `count` in `rows` rows, less what does not depend on the prior.
    fn log_likelihood(self, count: u32, rows: f64) -> f64 {
        let scale = self.shape / self.mean;
        let rising: f64 = (0..count).map(|i| (self.shape + f64::from(i)).ln()).sum();
        rising + self.shape * (scale / (scale + rows)).ln() - f64::from(count) * (scale + rows).ln()
    }

    /// The rate to expect after `count` in `rows` rows.
    fn rate(self, count: u32, rows: f64) -> f64 {
        (self.shape + f64::from(count)) / (self.shape / self.mean + rows)
    }
}

/// Logarithms of weights to shares of 1.
fn normalised<const N: usize>(logs: [f64; N]) -> [f64; N] {
    let most = logs.into_iter().fold(f64::NEG_INFINITY, f64::max);
    let weights = logs.map(|log| (log - most).exp());
    let sum: f64 = weights.iter().sum();
    weights.map(|weight| weight / sum)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn learn(rows: &[(Vec<&str>, usize)]) -> Cues {
        let sets: Vec<(BTreeSet<String>, usize)> = rows
            .iter()
            .map(|(clauses, tier)| (clauses.iter().map(|c| (*c).to_owned()).collect(), *tier))
            .collect();
        Cues::learn(sets.iter().map(|(clauses, tier)| (clauses, *tier)))
    }

    fn said(clause: &str) -> BTreeSet<String> {
        BTreeSet::from([clause.to_owned()])
    }

    #[test]
    fn priors_by_hand() {
        let prior = Prior {
            shape: 2.0,
            mean: 0.5,
        };
        // Scale 4: (2 + 3) / (4 + 6); ln(2 · 3 · 4) + 2 ln(4 / 10) - 3 ln 10.
        assert!((prior.rate(3, 6.0) - 0.5).abs() < 1e-12);
        let expected = 24.0_f64.ln() + 2.0 * 0.4_f64.ln() - 3.0 * 10.0_f64.ln();
        assert!((prior.log_likelihood(3, 6.0) - expected).abs() < 1e-12);
        assert_eq!(prior.log_likelihood(0, 0.0), 0.0);
    }

    #[test]
    fn a_clause_names_a_tier_or_nothing() {
        let mut rows = Vec::new();
        for i in 0..120 {
            // Three clauses name each tier and are wrong one time in ten; `ok` stands in every second row.
            let tier = [0, 0, 0, 3][i % 4];
            let is_wrong = i % 10 == 5;
            let clauses = if (tier == 3) == is_wrong {
                ["list files", "look it up", "say it again"]
            } else {
                ["prove it", "rewrite it", "find the cause"]
            };
            let clause = clauses[i / 4 % 3];
            rows.push((
                if i % 8 < 4 {
                    vec![clause, "ok"]
                } else {
                    vec![clause]
                },
                tier,
            ));
        }
        rows.push((vec!["never again"], 0));
        let cues = learn(&rows);
        let low = cues.likelihood(&said("list files")).unwrap();
        let high = cues.likelihood(&said("prove it")).unwrap();
        assert!(
            low[0] > 3.0 * low[3] && high[3] > 3.0 * high[0],
            "{low:?} {high:?}"
        );
        let neither = cues.likelihood(&said("ok")).unwrap();
        assert!((neither[0] / neither[3] - 1.0).abs() < 0.3, "{neither:?}");
        assert_eq!(cues.likelihood(&said("never again")), None);
        assert_eq!(cues.likelihood(&BTreeSet::new()), None);
        assert_eq!(Cues::learn(std::iter::empty()).likelihood(&said("ok")), None);
    }

    proptest! {
        /// Whatever stands in the rows, likelihoods are shares over nothing.
        #[test]
        fn likelihoods_are_positive_and_sum_to_one(rows in prop::collection::vec((prop::collection::vec(0..6_u8, 0..4), 0..4_usize), 0..60)) {
            let names = ["a", "b", "c", "d", "e", "f"];
            let rows: Vec<(Vec<&str>, usize)> =
                rows.into_iter().map(|(c, t)| (c.into_iter().map(|c| names[c as usize]).collect(), t)).collect();
            let cues = learn(&rows);
            for name in names {
                if let Some(likelihood) = cues.likelihood(&said(name)) {
                    prop_assert!(likelihood.iter().all(|l| *l > 0.0));
                    prop_assert!((likelihood.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                }
            }
        }
    }
}
