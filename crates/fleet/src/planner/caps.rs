//! Do rules by similarity fire together? A rule `cos(x, c) > t` holds on a cap of the sphere around `c` with the angle `acos t`; two
//! caps meet where the angle between their centres is less than the sum of theirs. Card: `systems/13`, D5. The cure is one softmax over the
//! group in place of thresholds of their own: then every query falls into one cell.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A rule by similarity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cap {
    /// Its name.
    pub name: String,
    /// Its centre, of any length but 0.
    pub centre: Vec<f32>,
    /// The cosine above which it holds, -1 to 1.
    pub threshold: f64,
}

/// Two rules that some query fires both of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conflict {
    /// The one.
    pub a: String,
    /// The other.
    pub b: String,
    /// By how many degrees their caps overlap.
    pub degrees: f64,
}

/// A rule that is none.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum CapError {
    /// No direction.
    #[error("the centre of rule `{0}` has no direction; give a vector of finite numbers, not all 0")]
    Centre(String),
    /// Another space.
    #[error(
        "the centre of rule `{name}` has {found} values, those before it {expected}; use one encoder for all"
    )]
    Dims {
        /// The rule.
        name: String,
        /// Its values.
        found: usize,
        /// Those of the first.
        expected: usize,
    },
    /// No cosine.
    #[error("the threshold of rule `{name}` is {found}; it must be a cosine from -1 to 1")]
    Threshold {
        /// The rule.
        name: String,
        /// What it is.
        found: f64,
    },
}

/// All pairs of rules that can fire together, in order. Cost: a product a pair.
///
/// # Errors
/// [`CapError`] for the first rule that is none.
pub fn conflicts(rules: &[Cap]) -> Result<Vec<Conflict>, CapError> {
    let expected = rules.first().map_or(0, |r| r.centre.len());
    let units = rules
        .iter()
        .map(|r| unit(r, expected))
        .collect::<Result<Vec<_>, _>>()?;
    let mut found = Vec::new();
    for (i, a) in rules.iter().enumerate() {
        for (j, b) in rules.iter().enumerate().skip(i + 1) {
            let cosine: f64 = units[i].iter().zip(&units[j]).map(|(x, y)| x * y).sum();
            let overlap = a.threshold.acos() + b.threshold.acos() - cosine.clamp(-1.0, 1.0).acos();
            if overlap > 0.0 {
                found.push(Conflict {
                    a: a.name.clone(),
                    b: b.name.clone(),
                    degrees: overlap.to_degrees(),
                });
            }
        }
    }
    Ok(found)
}

fn unit(rule: &Cap, expected: usize) -> Result<Vec<f64>, CapError> {
    let name = || rule.name.clone();
    if rule.centre.len() != expected {
        return Err(CapError::Dims {
            name: name(),
            found: rule.centre.len(),
            expected,
        });
    }
    if !(-1.0..=1.0).contains(&rule.threshold) {
        return Err(CapError::Threshold {
            name: name(),
            found: rule.threshold,
        });
    }
    let values: Vec<f64> = rule.centre.iter().map(|v| f64::from(*v)).collect();
    let length = values.iter().map(|v| v * v).sum::<f64>().sqrt();
    if !(length > 0.0 && length.is_finite()) {
        return Err(CapError::Centre(name()));
    }
    Ok(values.iter().map(|v| v / length).collect())
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::SmallRng};
    use rand_distr::StandardNormal;

    use super::*;

    fn cap(name: &str, centre: &[f32], threshold: f64) -> Cap {
        Cap {
            name: name.to_owned(),
            centre: centre.to_vec(),
            threshold,
        }
    }

    #[test]
    fn caps_meet_where_their_angles_reach() {
        let at = |threshold| {
            conflicts(&[cap("x", &[2.0, 0.0], threshold), cap("y", &[0.0, 1.0], threshold)]).unwrap()
        };
        // 60 degrees each over 90 between them.
        let found = at(0.5);
        assert!(
            found.len() == 1 && (found[0].degrees - 30.0).abs() < 1e-9,
            "{found:?}"
        );
        assert!(at(0.8).is_empty() && conflicts(&[]).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_rule_is_named() {
        let said = |second: Cap| {
            conflicts(&[cap("x", &[1.0, 0.0], 0.5), second])
                .unwrap_err()
                .to_string()
        };
        assert!(said(cap("y", &[0.0, 0.0], 0.5)).contains("`y` has no direction"));
        assert!(said(cap("y", &[1.0], 0.5)).contains("has 1 values, those before it 2"));
        assert!(said(cap("y", &[1.0, 0.0], f64::NAN)).contains("is NaN"));
    }

    #[test]
    fn no_sample_fires_two_rules_that_are_said_to_be_apart() {
        let mut rng = SmallRng::seed_from_u64(7);
        let mut met = 0;
        for _ in 0..1_000 {
            let mut draw = || -> Vec<f32> { (0..3).map(|_| rng.sample(StandardNormal)).collect() };
            let (a, b, samples) = (draw(), draw(), (0..200).map(|_| draw()).collect::<Vec<_>>());
            let rules = [cap("a", &a, 0.7), cap("b", &b, 0.8)];
            let apart = conflicts(&rules).unwrap().is_empty();
            let units = rules.each_ref().map(|r| unit(r, 3).unwrap());
            let fires = |x: &Vec<f64>, i: usize| {
                x.iter().zip(&units[i]).map(|(x, y)| x * y).sum::<f64>() > rules[i].threshold
            };
            let both = samples.iter().filter_map(|s| unit(&cap("s", s, 0.0), 3).ok());
            let both = both.filter(|x| fires(x, 0) && fires(x, 1)).count();
            assert!(!apart || both == 0);
            met += usize::from(both > 0);
        }
        assert!(met > 100, "{met}");
    }
}
