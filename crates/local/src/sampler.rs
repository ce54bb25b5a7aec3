//! Choosing the next token from its scores.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::text_model::{Sampling, TopLogprob};

/// The state of the choice over one generation.
#[derive(Clone)]
pub(crate) struct Sampler {
    temperature: f32,
    top_p: f32,
    top_k: usize,
    presence: f32,
    frequency: f32,
    counts: HashMap<u32, u32>,
    random: SplitMix,
}

/// A small generator of good random numbers whose sequence will stay the same for all time, so that a seed means
/// the same text in every version. (SplitMix64, by Steele, Lea and Flood.)
#[derive(Clone)]
struct SplitMix(u64);

// === impl Sampler ===

impl Sampler {
    pub(crate) fn new(sampling: &Sampling) -> Self {
        // A fresh `RandomState` is seeded by the operating system.
        let seed = sampling.seed.unwrap_or_else(|| RandomState::new().hash_one(0u8));
        Self {
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            top_k: sampling.top_k.unwrap_or(usize::MAX),
            presence: sampling.presence_penalty,
            frequency: sampling.frequency_penalty,
            counts: HashMap::new(),
            random: SplitMix(seed),
        }
    }

    /// Chooses among the tokens that `allowed` admits; `None` if it admits none. Ties go to the lower id.
    pub(crate) fn choose(&mut self, scores: &[f32], allowed: impl Fn(u32) -> bool) -> Option<u32> {
        let penalties = self.presence != 0.0 || self.frequency != 0.0;
        let mut candidates: Vec<(u32, f32)> = scores
            .iter()
            .enumerate()
            .map(|(id, score)| (id as u32, *score))
            .filter(|(id, score)| !score.is_nan() && allowed(*id))
            .collect();
        if penalties {
            for (id, score) in &mut candidates {
                if let Some(count) = self.counts.get(id) {
                    *score -= self.presence + self.frequency * *count as f32;
                }
            }
        }
        let best = candidates
            .iter()
            .copied()
            .reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        if self.temperature <= 0.0 || self.top_k == 1 {
            return Some(best.0);
        }
        let mut sum = 0.0;
        for (_, score) in &mut candidates {
            *score = ((*score - best.1) / self.temperature).exp();
            sum += *score;
        }
        if self.top_p < 1.0 || self.top_k < candidates.len() {
            // Tokens below a millionth of the best cannot matter for a set that holds nearly everything; leaving
            // them out before sorting saves most of the sorting.
            let floor = 1e-6;
            candidates.retain(|(_, weight)| *weight >= floor);
            candidates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            candidates.truncate(self.top_k);
            let (mut reached, mut kept) = (0.0, 0);
            for (_, weight) in &candidates {
                reached += weight;
                kept += 1;
                if reached >= self.top_p * sum {
                    break;
                }
            }
            candidates.truncate(kept);
            sum = candidates.iter().map(|(_, weight)| weight).sum();
        }
        let mut left = self.random.unit() * sum;
        for (id, weight) in &candidates {
            left -= weight;
            if left < 0.0 {
                return Some(*id);
            }
        }
        candidates
            .iter()
            .rev()
            .find(|(_, weight)| *weight > 0.0)
            .map(|(id, _)| *id)
    }

    /// Remembers a token of the answer for the penalties.
    pub(crate) fn produced(&mut self, token: u32) {
        if self.presence != 0.0 || self.frequency != 0.0 {
            *self.counts.entry(token).or_insert(0) += 1;
        }
    }
}

/// Log-probability of `token`, and the `top` likeliest tokens with theirs, under the plain distribution.
pub(crate) fn logprobs<'a>(
    scores: &[f32],
    token: u32,
    top: usize,
    bytes: impl Fn(u32) -> &'a [u8],
) -> (f32, Vec<TopLogprob>) {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = scores.iter().map(|score| (score - max).exp()).sum();
    let base = max + sum.ln();
    let mut best: Vec<u32> = Vec::new();
    if top > 0 {
        let mut ids: Vec<u32> = (0..scores.len() as u32).collect();
        let by_score = |a: &u32, b: &u32| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b));
        let top = top.min(ids.len());
        if top < ids.len() {
            ids.select_nth_unstable_by(top, by_score);
        }
        ids.truncate(top);
        ids.sort_by(by_score);
        best = ids;
    }
    let of = |id: u32| {
        scores
            .get(id as usize)
            .map_or(f32::NEG_INFINITY, |score| score - base)
    };
    let top = best
        .iter()
        .map(|id| TopLogprob {
            bytes: bytes(*id).to_vec(),
            logprob: of(*id),
        })
        .collect();
    (of(token), top)
}

// === impl SplitMix ===

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1), in steps of 2^-24.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(sampling: &Sampling) -> Sampler {
        Sampler::new(sampling)
    }

    fn shares(sampling: &Sampling, scores: &[f32]) -> Vec<f32> {
        let mut sampler = sampler(sampling);
        let mut counts = vec![0; scores.len()];
        for _ in 0..20_000 {
            counts[sampler.choose(scores, |_| true).unwrap() as usize] += 1;
        }
        counts.into_iter().map(|count| count as f32 / 20_000.0).collect()
    }

    #[test]
    fn greedy_takes_the_best_that_is_allowed() {
        let mut sampler = sampler(&Sampling::greedy());
        assert_eq!(
            sampler.choose(&[1.0, 3.0, 3.0, 2.0], |_| true),
            Some(1),
            "ties go to the lower id"
        );
        assert_eq!(
            sampler.choose(&[1.0, 3.0, 3.0, 2.0], |id| id == 0 || id == 3),
            Some(3)
        );
        assert_eq!(sampler.choose(&[1.0, 3.0], |_| false), None);
    }

    #[test]
    fn shares_follow_the_softmax_at_the_temperature() {
        let scores = [0.0, 3f32.ln(), 6f32.ln()];
        let with = |temperature| Sampling {
            temperature,
            seed: Some(1),
            ..Sampling::default()
        };
        // Weights 1 : 3 : 6, and at temperature 1/2 their squares 1 : 9 : 36.
        for (temperature, expected) in [
            (1.0, [0.1, 0.3, 0.6]),
            (0.5, [1.0 / 46.0, 9.0 / 46.0, 36.0 / 46.0]),
        ] {
            for (share, expected) in shares(&with(temperature), &scores).iter().zip(expected) {
                assert!((share - expected).abs() < 0.015, "{share} {expected}");
            }
        }
    }

    #[test]
    fn top_p_and_top_k_cut_the_tail() {
        let scores = [0.0, 3f32.ln(), 6f32.ln()];
        let top_p = Sampling {
            top_p: 0.7,
            seed: Some(2),
            ..Sampling::default()
        };
        let found = shares(&top_p, &scores);
        assert_eq!(found[0], 0.0);
        assert!((found[1] - 1.0 / 3.0).abs() < 0.015, "{found:?}");
        let top_p = Sampling {
            top_p: 0.6,
            seed: Some(2),
            ..Sampling::default()
        };
        assert_eq!(
            shares(&top_p, &scores),
            [0.0, 0.0, 1.0],
            "0.6 is reached by the best alone"
        );
        let top_k = Sampling {
            top_k: Some(2),
            seed: Some(3),
            ..Sampling::default()
        };
        let found = shares(&top_k, &scores);
        assert_eq!(found[0], 0.0);
        assert!((found[1] - 1.0 / 3.0).abs() < 0.015, "{found:?}");
    }

    #[test]
    fn penalties_lower_what_was_already_said() {
        let sampling = Sampling {
            presence_penalty: 0.5,
            frequency_penalty: 0.3,
            ..Sampling::greedy()
        };
        let mut sampler = sampler(&sampling);
        let scores = [1.0, 0.1];
        assert_eq!(sampler.choose(&scores, |_| true), Some(0));
        sampler.produced(0);
        assert_eq!(
            sampler.choose(&scores, |_| true),
            Some(0),
            "1 - 0.5 - 0.3 = 0.2 is still above 0.1"
        );
        sampler.produced(0);
        assert_eq!(sampler.choose(&scores, |_| true), Some(1), "1 - 0.5 - 0.6 is not");
    }

    #[test]
    fn equal_seeds_choose_equally() {
        let draw = |seed| {
            let mut sampler = sampler(&Sampling {
                seed: Some(seed),
                ..Sampling::default()
            });
            (0..30)
                .map(|_| sampler.choose(&[0.0; 50], |_| true).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn log_probabilities_of_a_known_distribution() {
        let scores = [0.0, 3f32.ln(), 6f32.ln()];
        let names: [&[u8]; 3] = [b"a", b"b", b"c"];
        let (chosen, top) = logprobs(&scores, 0, 2, |id| names[id as usize]);
        assert!((chosen - 0.1f32.ln()).abs() < 1e-5);
        assert_eq!(
            top.iter().map(|t| t.bytes.as_slice()).collect::<Vec<_>>(),
            [b"c", b"b"]
        );
        assert!((top[0].logprob - 0.6f32.ln()).abs() < 1e-5 && (top[1].logprob - 0.3f32.ln()).abs() < 1e-5);
    }
}
