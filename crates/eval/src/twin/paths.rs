//! What a path through a run costs: which tokens come from the cache, and what each step is billed.

use super::{Buckets, Prices, Tier};

/// What pricing needs to know of a run, whatever the path.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    pub(super) steps: Vec<MeasuredStep>,
}

/// One step of a run, measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MeasuredStep {
    /// Its index within the run, from 1.
    pub(super) index: u32,
    /// Tokens of the prompt, as each tier counts them.
    pub(super) prompt: [u64; 4],
    /// Whether the messages of the step before begin this prompt. False for the first.
    pub(super) continues: bool,
    /// Output tokens, the same on all paths.
    pub(super) output: u64,
}

/// What follows a step that was not priced because its router failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterError {
    /// The next step finds no cache: the predicted path, on which nothing ran.
    Cold,
    /// The next step finds what the path would have left: the paths of comparison.
    AsBefore,
}

/// The cost of each step in US dollars; `None` where `priced` says that it is left out. `tiers` and `priced` have an entry a step.
///
/// The prompt is written to the cache whole at the first step, after a change of tier, when the tier was last used more than
/// [`Prices::ttl_steps`] ago, and when the conversation does not go on from the step before. Otherwise the prompt of the step
/// before is read from the cache and the rest is written. Nothing is plain input in this model.
pub(super) fn costs(
    run: &Measured,
    tiers: &[Tier],
    priced: &[bool],
    after: AfterError,
    prices: &Prices,
) -> Vec<Option<f64>> {
    let mut last_used: [Option<u32>; 4] = [None; 4];
    let mut previous: Option<Tier> = None;
    let mut costs = Vec::with_capacity(tiers.len());
    for (at, ((step, &tier), &is_priced)) in run.steps.iter().zip(tiers).zip(priced).enumerate() {
        if !is_priced {
            previous = match after {
                AfterError::Cold => None,
                AfterError::AsBefore => Some(tier),
            };
            costs.push(None);
            continue;
        }
        // A tier that was never used has nothing that could be too old: after a change of tier there is no cache anyway, and on the
        // paths of comparison a first step that is not priced leaves its messages as the beginning all the same.
        let is_fresh =
            last_used[tier.id()].is_none_or(|used| step.index.saturating_sub(used) <= prices.ttl_steps);
        let is_warm = at > 0 && previous == Some(tier) && is_fresh && step.continues;
        let prompt = step.prompt[tier.id()];
        let cache_read = if is_warm {
            run.steps[at - 1].prompt[tier.id()]
        } else {
            0
        };
        let buckets = Buckets {
            input: 0,
            cache_read,
            cache_write: prompt.saturating_sub(cache_read),
            output: step.output,
        };
        costs.push(Some(prices.tiers[tier.id()].of(buckets)));
        last_used[tier.id()] = Some(step.index);
        previous = Some(tier);
    }
    costs
}

#[cfg(test)]
mod tests {
    use super::*;
    use Tier::{High, Low};

    /// Prices that show the buckets: one dollar a token read, a thousand a token written, nothing for output.
    fn shown() -> Prices {
        let mut prices = Prices::PUBLISHED;
        for tier in &mut prices.tiers {
            (tier.cache_read, tier.cache_write, tier.output) = (1e6, 1e9, 0.0);
        }
        prices
    }

    fn run(steps: &[(u32, u64, bool)]) -> Measured {
        let steps = steps.iter().map(|&(index, tokens, continues)| MeasuredStep {
            index,
            prompt: [tokens; 4],
            continues,
            output: 7,
        });
        Measured {
            steps: steps.collect(),
        }
    }

    fn split(run: &Measured, tiers: &[Tier]) -> Vec<(f64, f64)> {
        costs(run, tiers, &vec![true; tiers.len()], AfterError::Cold, &shown())
            .into_iter()
            .map(|cost| {
                let cost = cost.unwrap();
                (cost % 1000.0, (cost / 1000.0).floor())
            })
            .collect()
    }

    #[test]
    fn the_step_before_is_read_and_the_rest_written() {
        let run = run(&[(1, 10, false), (2, 14, true), (3, 20, true)]);
        assert_eq!(split(&run, &[Low; 3]), [(0.0, 10.0), (10.0, 4.0), (14.0, 6.0)]);
    }

    #[test]
    fn a_change_of_tier_or_of_the_past_is_a_cold_start() {
        let run = run(&[(1, 10, false), (2, 14, true), (3, 20, true), (4, 30, false)]);
        let expected = [(0.0, 10.0), (0.0, 14.0), (0.0, 20.0), (0.0, 30.0)];
        assert_eq!(split(&run, &[Low, High, Low, Low]), expected);
    }

    #[test]
    fn what_was_cached_more_than_three_steps_ago_is_gone() {
        let within = run(&[(1, 10, false), (4, 14, true)]);
        assert_eq!(split(&within, &[Low; 2])[1], (10.0, 4.0));
        let past = run(&[(1, 10, false), (5, 14, true)]);
        assert_eq!(split(&past, &[Low; 2])[1], (0.0, 14.0));
    }

    #[test]
    fn a_shorter_prompt_writes_nothing() {
        let run = run(&[(1, 10, false), (2, 8, true)]);
        assert_eq!(split(&run, &[Low; 2])[1], (10.0, 0.0));
    }

    #[test]
    fn a_step_without_a_prediction_is_free_and_leaves_the_next_cold() {
        let run = run(&[(1, 10, false), (2, 14, true), (3, 20, true)]);
        let priced = [true, false, true];
        let cold = costs(&run, &[Low; 3], &priced, AfterError::Cold, &shown());
        assert_eq!(cold, [Some(1e4), None, Some(2e4)]);
        let kept = costs(&run, &[Low; 3], &priced, AfterError::AsBefore, &shown());
        assert_eq!(kept[2], Some(14.0 + 6000.0));
        let first = costs(
            &run,
            &[Low; 3],
            &[false, true, true],
            AfterError::AsBefore,
            &shown(),
        );
        assert_eq!(first[1], Some(10.0 + 4000.0));
    }
}
