//! Router and pools tuned apart against tuned together, on made-up mixes and on a shift from one to another.
//!
//! What a combination costs is the fewest GPUs with which it keeps the objective by events. Apart: the router is tuned on the division of
//! the requests that is there, the division under the router that is there, and then both are put together. Before a shift those that are there
//! were tuned for the mix before it; elsewhere they are `power_of_two` on one pool.

use serde::Serialize;

use super::{Mix, Optimiser, PlanError, Stream, Topology, Workload, size};

/// Requests that a combination is played with.
const REQUESTS: usize = 6_000;

/// One mix.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coupled {
    /// What arrives.
    pub mix: String,
    /// Tuned one by one.
    pub apart: Combination,
    /// The best of all combinations.
    pub together: Combination,
}

/// A router on a division of the requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Combination {
    /// The policy.
    pub policy: String,
    /// The division.
    pub topology: Topology,
    /// The fewest GPUs that keep the objective by events; `None` where no number tried does.
    pub gpus: Option<u32>,
}

/// What every combination costs: a row a policy, a column a division.
struct Costs {
    gpus: Vec<Vec<Option<u32>>>,
}

// === impl Optimiser ===

impl Optimiser {
    /// Compares both ways on the three mixes and on a shift from chat to agents. `rates` are requests a second of each of [`Mix::ALL`].
    /// The first policy and the first division (one pool) are those that are there before anything is tuned.
    ///
    /// # Errors
    /// [`PlanError`] where a mix cannot be planned.
    pub fn coupling(&self, rates: [f64; 3]) -> Result<Vec<Coupled>, PlanError> {
        let costs = Mix::ALL
            .iter()
            .zip(rates)
            .map(|(mix, rate)| self.costs(*mix, rate));
        let costs = costs.collect::<Result<Vec<_>, _>>()?;
        let mut all: Vec<Coupled> = Mix::ALL
            .iter()
            .zip(&costs)
            .map(|(mix, costs)| self.compared(mix.name(), costs, [0, 0]))
            .collect();
        let [chat, agent, ..] = costs.as_slice() else {
            return Ok(all);
        };
        let before = chat.apart([0, 0]);
        all.push(self.compared("chat, then agent", agent, before));
        Ok(all)
    }

    fn costs(&self, mix: Mix, rate: f64) -> Result<Costs, PlanError> {
        let trace = mix.log(REQUESTS, rate, self.seed);
        let load = Workload::of(&trace)?.load(&trace, Some(rate));
        let stream = Stream::of(&trace, rate, REQUESTS);
        let mut gpus = Vec::new();
        for named in &self.policies {
            let mut row = Vec::new();
            for topology in self.wrp.topologies() {
                row.push(match size(&load, &self.gpu, topology, self.wrp.slo) {
                    Ok(plan) => {
                        let counts: Vec<u32> = plan.pools.iter().map(|p| p.gpus).collect();
                        let played = self.fewest(&stream, topology, named, &counts)?;
                        played.map(|r| r.pools.iter().map(|p| p.gpus).sum())
                    }
                    Err(PlanError::Objective { .. } | PlanError::Window { .. }) => None,
                    Err(error) => return Err(error),
                });
            }
            gpus.push(row);
        }
        Ok(Costs { gpus })
    }

    fn compared(&self, mix: &str, costs: &Costs, there: [usize; 2]) -> Coupled {
        let topologies = self.wrp.topologies();
        let of = |[policy, topology]: [usize; 2]| Combination {
            policy: self.policies[policy].name.clone(),
            topology: topologies[topology],
            gpus: costs.gpus[policy][topology],
        };
        Coupled {
            mix: mix.to_owned(),
            apart: of(costs.apart(there)),
            together: of(costs.together()),
        }
    }
}

// === impl Costs ===

impl Costs {
    /// The policy that is cheapest on the division that is there, and the division that is cheapest under the policy that is there;
    /// ties leave things as they are, else go to the first.
    fn apart(&self, [policy, topology]: [usize; 2]) -> [usize; 2] {
        let cost = |c: Option<u32>| c.unwrap_or(u32::MAX);
        let best = |costs: Vec<u32>, there: usize| {
            let least = costs.iter().copied().min().unwrap_or(u32::MAX);
            if costs.get(there) == Some(&least) {
                there
            } else {
                costs.iter().position(|c| *c == least).unwrap_or(there)
            }
        };
        let column = self.gpus.iter().map(|row| cost(row[topology])).collect();
        let row = self.gpus[policy].iter().map(|c| cost(*c)).collect();
        [best(column, policy), best(row, topology)]
    }

    /// The cheapest of all; the first of equals.
    fn together(&self) -> [usize; 2] {
        let cost = |at: &[usize; 2]| self.gpus[at[0]][at[1]].unwrap_or(u32::MAX);
        let all = (0..self.gpus.len()).flat_map(|p| (0..self.gpus[p].len()).map(move |t| [p, t]));
        all.min_by_key(cost).unwrap_or([0, 0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apart_is_tuned_on_what_is_there_and_together_on_everything() {
        let costs = Costs {
            gpus: vec![
                vec![Some(10), Some(9), None],
                vec![Some(8), Some(9), Some(6)],
                vec![Some(8), Some(7), Some(12)],
            ],
        };
        // On the first division policies 1 and 2 cost 8: the first of them. Under policy 0 the second division is cheapest.
        assert_eq!(costs.apart([0, 0]), [1, 1]);
        assert_eq!(costs.apart([2, 1]), [2, 1], "what is there and best stays");
        assert_eq!(costs.together(), [1, 2]);
    }
}
