//! Router and pools planned together (Workload-Router-Pool, co-optimiser): policies by divisions of the requests, each sized by the formula, the best
//! checked by events with the policy in the loop and corrected.
//!
//! What a policy keeps of prompts decides how much there is to compute. So each policy is first played on one pool, and the share of
//! the log's cached tokens that it found there goes into the formula; ties of the formula go to the lower time to first token of that run.

use serde::{Deserialize, Serialize};

use super::{
    FleetPlan, GpuProfile, Load, LoggedRequest, PlanError, Replay, Slo, Stream, Topology, Trace, Workload,
    replay, size,
};
use crate::simulate::Named;

/// GPUs that a correction goes up to: so many times those of the formula, and a few more.
const MOST_TIMES: u32 = 4;
const MOST_MORE: u32 = 16;

/// What is asked of a plan, and when it is to be made anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wrp {
    /// Seconds of a window of the log that drift is looked for in. Default 300.
    pub window_s: f64,
    /// What must be kept.
    pub slo: Slo,
    /// Boundaries between short and long requests to try, tokens of input and output.
    pub boundaries: Vec<u32>,
    /// Requests up to so many times a boundary may be shortened to it: values to try. Default 1, none.
    pub gamma: Vec<f64>,
    /// Share of those that can be shortened safely. Default 0.
    pub compressible: f64,
    /// Milliseconds that sending the keys and values of one token from prefill to decode takes. Default 0.0026.
    pub transfer_ms_per_token: f64,
    /// Distance of token histograms from which on a plan is made anew. Default 0.1.
    pub reopt_distance: f64,
    /// Seconds between two plans at least. Default 600.
    pub min_interval_s: f64,
}

/// Plans with policies in the loop.
#[derive(Debug, Clone)]
pub struct Optimiser {
    /// One GPU.
    pub gpu: GpuProfile,
    /// What is asked.
    pub wrp: Wrp,
    /// Policies to try.
    pub policies: Vec<Named>,
    /// How many of the best by the formula are checked by events.
    pub verify: usize,
    /// Requests that a check plays.
    pub requests: usize,
    /// Of everything that is drawn.
    pub seed: u64,
}

/// A policy with a division of the requests, by the formula.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// The policy's name.
    pub policy: String,
    /// Share of the prompt tokens that it found cached, on one pool.
    pub hit_ratio: f64,
    /// What the formula says.
    pub analytic: FleetPlan,
    /// By the run on one pool, milliseconds: what ties are decided by.
    #[serde(skip)]
    probe_ms: f64,
}

/// A candidate that was played by events.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verified {
    /// The candidate.
    pub candidate: Candidate,
    /// As many GPUs as the formula says.
    pub as_planned: Replay,
    /// As many as it takes; `None` where even four times as many do not keep the objective.
    pub corrected: Option<Replay>,
    /// GPUs of the corrected one, all pools together.
    pub gpus: Option<u32>,
    /// US dollars an hour of these.
    pub usd_per_hour: Option<f64>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Optimised {
    /// All candidates, the best first.
    pub candidates: Vec<Candidate>,
    /// Those that were played.
    pub verified: Vec<Verified>,
    /// Which of them needs the fewest GPUs (then the fewest watts); `None` where none keeps the objective.
    pub best: Option<usize>,
}

// === impl Wrp ===

impl Default for Wrp {
    fn default() -> Self {
        Self {
            window_s: 300.0,
            slo: Slo::default(),
            boundaries: vec![1_024, 2_048, 4_096, 8_192, 16_384, 32_768],
            gamma: vec![1.0],
            compressible: 0.0,
            transfer_ms_per_token: 0.0026,
            reopt_distance: 0.1,
            min_interval_s: 600.0,
        }
    }
}

impl Wrp {
    /// Whether all numbers are in their ranges; those of sizing are checked there.
    ///
    /// # Errors
    /// [`PlanError::OutOfRange`] for the first that is not.
    pub fn check(&self) -> Result<(), PlanError> {
        let wrong = |key, found, allowed| Err(PlanError::OutOfRange { key, found, allowed });
        if !(self.window_s > 0.0 && self.window_s.is_finite()) {
            return wrong("wrp.window_s", self.window_s, "a finite number over 0");
        }
        if !(0.0..=1.0).contains(&self.reopt_distance) {
            return wrong("wrp.reopt_distance", self.reopt_distance, "from 0 to 1");
        }
        if !(self.min_interval_s >= 0.0 && self.min_interval_s.is_finite()) {
            return wrong(
                "wrp.min_interval_s",
                self.min_interval_s,
                "a finite number of at least 0",
            );
        }
        Ok(())
    }

    /// Every division that is tried, one pool first.
    pub fn topologies(&self) -> Vec<Topology> {
        let by_length = |boundary: u32| {
            self.gamma.iter().map(move |gamma| Topology::ByLength {
                boundary,
                gamma: *gamma,
                compressible: self.compressible,
            })
        };
        let mut all = vec![Topology::One];
        all.extend(self.boundaries.iter().copied().flat_map(by_length));
        all.push(Topology::Disaggregated {
            transfer_ms_per_token: self.transfer_ms_per_token,
        });
        all
    }
}

// === impl Optimiser ===

impl Optimiser {
    /// Plans for a log, at its own rate or another.
    ///
    /// # Errors
    /// [`PlanError`]: numbers out of range, or one pool that cannot keep the objective whatever its size.
    pub fn optimise(&self, trace: &Trace, rate: Option<f64>) -> Result<Optimised, PlanError> {
        self.wrp.check()?;
        let workload = Workload::of(trace)?;
        let load = workload.load(trace, rate);
        let stream = Stream::of(trace, load.rate, self.requests);
        let candidates = self.candidates(trace, &load, &stream)?;
        let verified = candidates.iter().take(self.verify.max(1));
        let verified: Result<Vec<Verified>, _> = verified.map(|c| self.verified(c, &stream)).collect();
        let verified = verified?;
        let cost = |v: &Verified| {
            Some((
                v.gpus?,
                v.corrected.as_ref()?.pools.iter().map(|p| p.watts).sum::<f64>(),
            ))
        };
        let keeping = verified
            .iter()
            .enumerate()
            .filter_map(|(at, v)| Some((at, cost(v)?)));
        let best = keeping.min_by(|(_, a), (_, b)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        Ok(Optimised {
            best: best.map(|(at, _)| at),
            candidates,
            verified,
        })
    }

    /// Every policy with every division, by the formula, the best first. Divisions that cannot keep the objective are left out.
    fn candidates(&self, trace: &Trace, load: &Load, stream: &Stream) -> Result<Vec<Candidate>, PlanError> {
        let slo = self.wrp.slo;
        let one = size(load, &self.gpu, Topology::One, slo)?;
        let known = known(trace);
        let mut all = Vec::new();
        for named in &self.policies {
            let probe = self.replay(stream, Topology::One, named, &[one.gpus])?;
            let share = if known > 0.0 {
                (probe.hit_ratio / known).min(1.0)
            } else {
                0.0
            };
            let warm = warmed(load, trace, share);
            for topology in self.wrp.topologies() {
                match size(&warm, &self.gpu, topology, slo) {
                    Ok(analytic) => all.push(Candidate {
                        policy: named.name.clone(),
                        hit_ratio: probe.hit_ratio,
                        analytic,
                        probe_ms: probe.ttft_p99_ms,
                    }),
                    Err(PlanError::Objective { .. } | PlanError::Window { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        all.sort_by(|a, b| {
            let gpus = a.analytic.gpus.cmp(&b.analytic.gpus);
            gpus.then(a.probe_ms.total_cmp(&b.probe_ms))
        });
        Ok(all)
    }

    fn named(&self, policy: &str) -> Option<&Named> {
        self.policies.iter().find(|n| n.name == policy)
    }

    /// Plays a candidate and corrects its numbers of GPUs.
    fn verified(&self, candidate: &Candidate, stream: &Stream) -> Result<Verified, PlanError> {
        let named = self.named(&candidate.policy).ok_or(PlanError::NoRequests)?;
        let plan = &candidate.analytic;
        let counts: Vec<u32> = plan.pools.iter().map(|p| p.gpus).collect();
        let as_planned = self.replay(stream, plan.topology, named, &counts)?;
        let corrected = self.fewest(stream, plan.topology, named, &counts)?;
        let gpus = corrected.as_ref().map(|r| r.pools.iter().map(|p| p.gpus).sum());
        Ok(Verified {
            candidate: candidate.clone(),
            as_planned,
            corrected,
            gpus,
            usd_per_hour: gpus.map(|g: u32| f64::from(g) * self.gpu.usd_per_hour),
        })
    }

    /// The fewest GPUs of each pool with which a policy keeps the objective by events, looked for from `counts` on; `None` where
    /// even many times as many do not. Pools are looked at one after another, the others as they are.
    ///
    /// # Errors
    /// [`PlanError`] where a pool holds no context of its window.
    pub fn fewest(
        &self,
        stream: &Stream,
        topology: Topology,
        named: &Named,
        counts: &[u32],
    ) -> Result<Option<Replay>, PlanError> {
        let is_apart = matches!(topology, Topology::Disaggregated { .. });
        let mut counts = counts.to_vec();
        if is_apart {
            // The first is looked for while the second is no hindrance.
            counts
                .iter_mut()
                .skip(1)
                .for_each(|c| *c = c.saturating_mul(2).saturating_add(1));
        }
        for at in 0..counts.len() {
            let keeps = |gpus: u32| {
                let mut tried = counts.clone();
                tried[at] = gpus;
                let played = self.replay(stream, topology, named, &tried)?;
                Ok(played.pools.get(at).is_some_and(|pool| {
                    let ttft_ms = if is_apart {
                        played.ttft_p99_ms
                    } else {
                        pool.ttft_p99_ms
                    };
                    ttft_ms <= self.wrp.slo.ttft_p99_ms && pool.utilisation <= self.wrp.slo.utilisation
                }))
            };
            match fewest(counts[at], keeps)? {
                Some(gpus) => counts[at] = gpus,
                None => return Ok(None),
            }
        }
        self.replay(stream, topology, named, &counts).map(Some)
    }

    fn replay(
        &self,
        stream: &Stream,
        topology: Topology,
        named: &Named,
        gpus: &[u32],
    ) -> Result<Replay, PlanError> {
        replay(stream, &self.gpu, topology, &named.policy, gpus, None, self.seed)
    }
}

/// The smallest number that keeps, looked for by doubled and halved steps from `start` on, as though more always keep what fewer do.
fn fewest(
    start: u32,
    mut keeps: impl FnMut(u32) -> Result<bool, PlanError>,
) -> Result<Option<u32>, PlanError> {
    let most = start.saturating_mul(MOST_TIMES).saturating_add(MOST_MORE);
    let (mut low, mut high, mut step) = (0, start.max(1), 1);
    if keeps(high)? {
        while high > low + 1 {
            let tried = high.saturating_sub(step).max(low + 1);
            if keeps(tried)? {
                high = tried;
                step *= 2;
            } else {
                low = tried;
                break;
            }
        }
    } else {
        loop {
            low = high;
            if low >= most {
                return Ok(None);
            }
            high = (high + step).min(most);
            step *= 2;
            if keeps(high)? {
                break;
            }
        }
    }
    while high - low > 1 {
        let middle = low.midpoint(high);
        if keeps(middle)? {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(Some(high))
}

fn known_tokens(request: &LoggedRequest) -> f64 {
    request.prefix_hit.unwrap_or(0.0) * f64::from(request.input)
}

/// Share of a log's prompt tokens that some earlier prompt began with.
fn known(trace: &Trace) -> f64 {
    let input: f64 = trace.requests.iter().map(|r| f64::from(r.input)).sum();
    trace.requests.iter().map(known_tokens).sum::<f64>() / input.max(1.0)
}

/// A load of which such a share of what the log knows is cached.
fn warmed(load: &Load, trace: &Trace, share: f64) -> Load {
    let mut warm = load.clone();
    for (shape, request) in warm.shapes.iter_mut().zip(&trace.requests) {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of tokens"
        )]
        let cached = (share * known_tokens(request)) as u32;
        shape.cached = cached;
    }
    warm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_are_found_from_below_and_above() {
        for start in [1, 5, 17, 40] {
            for wanted in [1, 2, 5, 16, 33] {
                let found = fewest(start, |gpus| Ok(gpus >= wanted)).unwrap();
                let most = start * MOST_TIMES + MOST_MORE;
                assert_eq!(found, (wanted <= most).then_some(wanted), "{start} {wanted}");
            }
        }
        assert_eq!(fewest(3, |_| Ok(false)).unwrap(), None);
    }
}
