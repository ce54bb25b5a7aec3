//! The nine cells, one function each.

use std::collections::HashSet;

use rand::{Rng, SeedableRng, rngs::SmallRng};
use rand_distr::StandardNormal;

use super::{Axis, Bench, Cell};
use crate::{
    planner::{Cap, Classifier, LoggedRequest, Mix, PlanError, Topology, Trace, conflicts},
    simulate::Named,
};

/// Requests of a made-up phase.
const PHASE: usize = 1_500;
/// Made-up sets of rules, rules of each, dimensions, and queries that each is asked.
const SETS: usize = 1_000;
const RULES: usize = 4;
const DIMS: usize = 8;
const QUERIES: usize = 50;

/// A number of GPUs, infinite where no number does.
fn gpus(found: Option<u32>) -> f64 {
    found.map_or(f64::INFINITY, f64::from)
}

fn said(topology: Topology) -> String {
    match topology {
        Topology::One => "one pool".to_owned(),
        Topology::ByLength { boundary, .. } => format!("pools up to {boundary} tokens and beyond"),
        Topology::Disaggregated { .. } => "prefill and decode apart".to_owned(),
    }
}

impl Bench<'_> {
    /// Does the class follow what arrives, once for each true change?
    pub(super) fn workload_workload(&self) -> Result<Cell, PlanError> {
        let calm: Vec<LoggedRequest> = self.trace.requests.iter().take(PHASE).cloned().collect();
        // What the log does not say of tools is that there were none.
        let calm = calm.into_iter().map(|r| LoggedRequest {
            tool_loop: Some(r.tool_loop.unwrap_or(false)),
            ..r
        });
        let calm: Vec<LoggedRequest> = calm.collect();
        let agent = Mix::Agent.log(PHASE, self.rate, self.optimiser.seed).requests;
        let (mut classifier, mut right, mut all) = (Classifier::default(), 0, 0);
        let (mut by_one, mut by_window) = (Changes::default(), Changes::default());
        for (phase, is_agent) in [(&calm, false), (&agent, true), (&calm, false), (&agent, true)] {
            for request in phase {
                let now = classifier.see(request).agent.unwrap_or(false);
                by_one.see(request.tool_loop == Some(true));
                by_window.see(now);
                right += usize::from(now == is_agent);
                all += 1;
            }
        }
        Ok(Cell {
            changes: Axis::Workload,
            reacts: Axis::Workload,
            metric: "class changes for each true change (1 is right)",
            without: ("each request read by itself".into(), by_one.count as f64 / 3.0),
            with: ("a window with hysteresis".into(), by_window.count as f64 / 3.0),
            note: format!(
                "the log and made-up agents by turns; the class is right for {:.1} % of requests",
                100.0 * right as f64 / f64::from(all)
            ),
        })
    }

    /// One policy for every class, or one for each?
    pub(super) fn workload_router(&self) -> Result<Cell, PlanError> {
        let rate = self.rate;
        let mut costs: Vec<(String, [f64; 2])> = Vec::new();
        for named in &self.optimiser.policies {
            let mut cost = [0.0; 2];
            for (cost, mix) in cost.iter_mut().zip([Mix::Chat, Mix::Agent]) {
                let log = mix.log(self.optimiser.requests.min(6_000), rate, self.optimiser.seed);
                *cost = gpus(self.fewest(&log, rate, Topology::One, named)?);
            }
            costs.push((named.name.clone(), cost));
        }
        let best = |of: &dyn Fn(&[f64; 2]) -> f64| {
            let least = costs.iter().min_by(|a, b| of(&a.1).total_cmp(&of(&b.1)));
            least.map_or((String::new(), f64::INFINITY), |(name, cost)| {
                (name.clone(), of(cost))
            })
        };
        let (one, both) = best(&|c| c[0] + c[1]);
        let ((chat, for_chat), (agent, for_agent)) = (best(&|c| c[0]), best(&|c| c[1]));
        Ok(Cell {
            changes: Axis::Workload,
            reacts: Axis::Router,
            metric: "GPUs for chats and for agents, one pool each",
            without: (format!("the best one policy, {one}"), both),
            with: (
                format!("{chat} for chats, {agent} for agents"),
                for_chat + for_agent,
            ),
            note: "made-up mixes, played by events".into(),
        })
    }

    /// Do pools by length need fewer GPUs?
    pub(super) fn workload_pool(&self) -> Result<Cell, PlanError> {
        let plain = self.policy("power_of_two")?;
        let one = gpus(self.own(Topology::One, &plain)?);
        let mut best = (String::new(), f64::INFINITY);
        for topology in self.optimiser.wrp.topologies() {
            if let Topology::ByLength { .. } = topology {
                let needs = gpus(self.own(topology, &plain)?);
                if needs < best.1 {
                    best = (said(topology), needs);
                }
            }
        }
        Ok(Cell {
            changes: Axis::Workload,
            reacts: Axis::Pool,
            metric: "GPUs",
            without: ("one pool".into(), one),
            with: best,
            note: "power_of_two, played by events".into(),
        })
    }

    /// What a router in front does to what arrives: answers that are given again.
    pub(super) fn router_workload(&self) -> Result<Cell, PlanError> {
        let plain = self.policy("power_of_two")?;
        let mut seen = HashSet::new();
        let is_new = |r: &&LoggedRequest| {
            r.blocks
                .as_ref()
                .is_none_or(|b| seen.insert((b.clone(), r.input)))
        };
        let fresh: Vec<LoggedRequest> = self.trace.requests.iter().filter(is_new).cloned().collect();
        let again = self.trace.requests.len() - fresh.len();
        let share = fresh.len() as f64 / self.trace.requests.len() as f64;
        let fresh = Trace {
            requests: fresh,
            out_of_order: 0,
        };
        let all = gpus(self.own(Topology::One, &plain)?);
        let fewer = gpus(self.fewest(&fresh, self.rate * share, Topology::One, &plain)?);
        let knows = self.trace.requests.iter().any(|r| r.blocks.is_some());
        let note = if knows {
            format!(
                "{again} of {} requests are word for word one before",
                self.trace.requests.len()
            )
        } else {
            "the log names no blocks, so nobody knows which requests are alike".into()
        };
        Ok(Cell {
            changes: Axis::Router,
            reacts: Axis::Workload,
            metric: "GPUs",
            without: ("every request is served".into(), all),
            with: ("equal requests get the answer again".into(), fewer),
            note,
        })
    }

    /// Do rules of one router contradict each other?
    pub(super) fn router_router(&self) -> Result<Cell, PlanError> {
        let mut rng = SmallRng::seed_from_u64(self.optimiser.seed);
        let (mut two, mut asked, mut missed, mut said_to_meet) = (0_usize, 0_usize, 0_usize, 0_usize);
        let mut two_of_group = 0_usize;
        for _ in 0..SETS {
            let mut draw = || -> Vec<f32> { (0..DIMS).map(|_| rng.sample(StandardNormal)).collect() };
            let rules: Vec<Cap> = (0..RULES)
                .map(|i| Cap {
                    name: i.to_string(),
                    centre: draw(),
                    threshold: 0.3 + 0.15 * i as f64,
                })
                .collect();
            let queries: Vec<Vec<f32>> = (0..QUERIES).map(|_| draw()).collect();
            let found = conflicts(&rules).unwrap_or_default();
            said_to_meet += found.len();
            for query in &queries {
                let likeness: Vec<f64> = rules.iter().map(|r| cosine(&r.centre, query)).collect();
                let fires: Vec<usize> = (0..RULES)
                    .filter(|i| likeness[*i] > rules[*i].threshold)
                    .collect();
                asked += 1;
                two += usize::from(fires.len() > 1);
                for (i, a) in fires.iter().enumerate() {
                    for b in &fires[i + 1..] {
                        let is_told =
                            |c: &crate::planner::Conflict| c.a == a.to_string() && c.b == b.to_string();
                        missed += usize::from(!found.iter().any(is_told));
                    }
                }
                // The largest of a softmax, where it passes its rule's threshold.
                let most = likeness.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let of_group =
                    (0..RULES).filter(|i| likeness[*i] == most && likeness[*i] > rules[*i].threshold);
                two_of_group += usize::from(of_group.count() > 1);
            }
        }
        Ok(Cell {
            changes: Axis::Router,
            reacts: Axis::Router,
            metric: "percent of queries that fire two rules",
            without: (
                "a threshold for each rule".into(),
                100.0 * two as f64 / asked as f64,
            ),
            with: (
                "one softmax for the group".into(),
                100.0 * two_of_group as f64 / asked as f64,
            ),
            note: format!(
                "{SETS} made-up sets of {RULES} rules; {said_to_meet} of {} pairs are said to meet, {missed} meetings were missed",
                SETS * RULES * (RULES - 1) / 2
            ),
        })
    }

    /// Does the pool follow the policy: are fewer GPUs needed where the router keeps prompts together?
    pub(super) fn router_pool(&self) -> Result<Cell, PlanError> {
        let plain = self.policy("round_robin")?;
        let sized = gpus(self.own(Topology::One, &plain)?);
        let (name, best) = self.cheapest()?;
        Ok(Cell {
            changes: Axis::Router,
            reacts: Axis::Pool,
            metric: "GPUs",
            without: ("one pool sized for round_robin".into(), sized),
            with: (format!("sized for {name}"), best),
            note: "played by events".into(),
        })
    }

    /// Do delays make more requests?
    pub(super) fn pool_workload(&self) -> Result<Cell, PlanError> {
        let (name, _) = self.cheapest()?;
        let named = self.named(&name)?;
        let Some(enough) = self.own(Topology::One, &named)? else {
            return Err(PlanError::NotKept);
        };
        let patience = self.optimiser.wrp.slo.ttft_p99_ms / 1e3;
        let few = (f64::from(enough) * 0.75).floor().max(1.0) as u32;
        let again = |gpus| Ok::<_, PlanError>(1e3 * self.play(gpus, &named, Some(patience))?.asked_again);
        Ok(Cell {
            changes: Axis::Pool,
            reacts: Axis::Workload,
            metric: "of a thousand requests, those who ask again after waiting as long as the objective",
            without: (format!("{few} GPUs"), again(few)?),
            with: (format!("{enough} GPUs, as sized"), again(enough)?),
            note: format!("{name}; who asks again is served twice"),
        })
    }

    /// Should loads enter the choice?
    pub(super) fn pool_router(&self) -> Result<Cell, PlanError> {
        let (_, best) = self.cheapest()?;
        let gpus = best.min(f64::from(u32::MAX)) as u32;
        let mut played = Vec::new();
        for name in ["consistent_hash", "bounded_hash"] {
            let replay = self.play(gpus, &self.policy(name)?, None)?;
            played.push((name, replay));
        }
        let [(blind, without), (seeing, with)] = &played[..] else {
            return Err(PlanError::NotKept);
        };
        Ok(Cell {
            changes: Axis::Pool,
            reacts: Axis::Router,
            metric: "p99 of the time to first token, ms",
            without: (format!("{blind}, which sees no loads"), without.ttft_p99_ms),
            with: (format!("{seeing}, which does"), with.ttft_p99_ms),
            note: format!(
                "{gpus} GPUs; cached {:.3} and {:.3}",
                without.hit_ratio, with.hit_ratio
            ),
        })
    }

    /// Does another kind of pool need fewer GPUs?
    pub(super) fn pool_pool(&self) -> Result<Cell, PlanError> {
        let plain = self.policy("power_of_two")?;
        let apart = Topology::Disaggregated {
            transfer_ms_per_token: self.optimiser.wrp.transfer_ms_per_token,
        };
        let one = gpus(self.own(Topology::One, &plain)?);
        let two = gpus(self.own(apart, &plain)?);
        let free = self.optimiser.gpu.prefill_us_per_token == 0.0;
        Ok(Cell {
            changes: Axis::Pool,
            reacts: Axis::Pool,
            metric: "GPUs",
            without: (said(Topology::One), one),
            with: (said(apart), two),
            note: if free {
                "prefill costs no arithmetic in this GPU's profile (prefill_us_per_token), so apart cannot pay".into()
            } else {
                "power_of_two, played by events".into()
            },
        })
    }

    /// The policy that needs the fewest GPUs on one pool, and how many.
    fn cheapest(&self) -> Result<(String, f64), PlanError> {
        let mut best = (String::new(), f64::INFINITY);
        for named in &self.optimiser.policies {
            let needs = gpus(self.own(Topology::One, named)?);
            if needs < best.1 {
                best = (named.name.clone(), needs);
            }
        }
        if best.1.is_finite() {
            Ok(best)
        } else {
            Err(PlanError::NotKept)
        }
    }

    fn named(&self, name: &str) -> Result<Named, PlanError> {
        let found = self.optimiser.policies.iter().find(|n| n.name == name);
        found.cloned().ok_or(PlanError::NotKept)
    }
}

/// Counts how often something changes.
#[derive(Default)]
struct Changes {
    last: bool,
    count: usize,
}

impl Changes {
    fn see(&mut self, now: bool) {
        self.count += usize::from(now != self.last);
        self.last = now;
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| {
        x.iter()
            .zip(y)
            .map(|(x, y)| f64::from(*x) * f64::from(*y))
            .sum::<f64>()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f64::MIN_POSITIVE)
}
