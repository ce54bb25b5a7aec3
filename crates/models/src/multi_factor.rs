//! `multi_factor`: the best mix of quality, latency, cost and load.
//!
//! First every candidate above a ceiling is dropped; what is not known of a candidate never drops it. Over the survivors each
//! factor is brought to 0..1 between its least and its greatest value (0.5 where all known values are equal, 0 where the
//! candidate's is unknown), and the score is `wQ·Q + wL·(1−T) + wC·(1−C) + wN·(1−N)`; the highest wins. Negative weights count
//! as 0, and the weights are divided by their sum. Card: `systems/43`, 5.1 item 4.
//!
//! Quality comes from the profile, cost is its blended price, load the calls under way. The time factor `T` is the mean of
//! the time to first token and the time per output token, each brought to 0..1, over those that are known. Unknown times and
//! prices thus count as the best, so that a new model gets its first requests; an unknown quality counts as the worst.
//! Learns times from outcomes, in bounded windows.

use std::sync::Arc;

use fingerpost_core::{
    Candidate, CandidateId, Context, Decision, Evidence, Exclusion, Learn, Limit, Millis, Name, NoRoute,
    Outcome, Query, Reason, Router, UsdPerMillion,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{
    config::{ConfigError, check, check_percentile},
    latencies::{Latencies, Metric, View},
    ranked::Ranked,
};

/// Settings of `multi_factor`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MultiFactorConfig {
    /// How much each factor counts.
    pub weights: Weights,
    /// Highest time to first token, in milliseconds, at `percentile`.
    pub max_ttft_ms: Option<f64>,
    /// Highest time per output token, in milliseconds, at `percentile`.
    pub max_tpot_ms: Option<f64>,
    /// Highest price, in US dollars per million tokens, input and output weighed three to one.
    pub max_cost_per_1m: Option<f64>,
    /// Most calls under way at one model.
    pub max_inflight: Option<u32>,
    /// Which percentile of the measured times counts, over 0 and up to 100. Default 50.
    pub percentile: f64,
    /// What to do where every candidate is above a ceiling. Default `cheapest`.
    pub on_no_candidates: OnNoCandidates,
}

/// How much each factor counts. Negative ones count as 0; all are divided by their sum. Where that is 0 all count the same.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// High quality. Default 0.25.
    pub quality: f64,
    /// Short times. Default 0.25.
    pub latency: f64,
    /// Low price. Default 0.25.
    pub cost: f64,
    /// Few calls under way. Default 0.25.
    pub load: f64,
}

/// What to do where every candidate is above a ceiling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnNoCandidates {
    /// Take the cheapest all the same; those of unknown price come last.
    #[default]
    Cheapest,
    /// Take the first in the declared order all the same.
    First,
    /// Answer that there is no route.
    Fail,
}

impl Default for MultiFactorConfig {
    fn default() -> Self {
        Self {
            weights: Weights::default(),
            max_ttft_ms: None,
            max_tpot_ms: None,
            max_cost_per_1m: None,
            max_inflight: None,
            percentile: 50.0,
            on_no_candidates: OnNoCandidates::Cheapest,
        }
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            quality: 0.25,
            latency: 0.25,
            cost: 0.25,
            load: 0.25,
        }
    }
}

/// The best mix of quality, latency, cost and load.
#[derive(Debug)]
pub struct MultiFactor {
    name: Name,
    weights: Weights,
    max_ttft: f64,
    max_tpot: f64,
    max_price: f64,
    max_in_flight: u32,
    percentile: f64,
    on_no_candidates: OnNoCandidates,
    latencies: Arc<Latencies>,
}

/// The factors, in the order of [`Facts::values`].
const FACTORS: usize = 5;

/// What is known of a candidate.
struct Facts {
    quality: Option<f64>,
    ttft: Option<f64>,
    tpot: Option<f64>,
    price: Option<f64>,
    in_flight: u32,
}

/// The least and the greatest known value of a factor.
#[derive(Clone, Copy)]
struct Range {
    least: f64,
    greatest: f64,
}

// === impl MultiFactor ===

impl MultiFactor {
    /// A router of this name over these windows.
    ///
    /// # Errors
    /// [`ConfigError`] for a ceiling that is negative, a weight that is no number, a percentile out of range.
    pub fn new(
        config: &MultiFactorConfig,
        name: Name,
        latencies: Arc<Latencies>,
    ) -> Result<Self, ConfigError> {
        let ceiling = |key, value: Option<f64>| match value {
            Some(value) => check("multi_factor", key, value, "a number of at least 0", |v| v >= 0.0),
            None => Ok(f64::INFINITY),
        };
        Ok(Self {
            name,
            weights: config.weights.normalised()?,
            max_ttft: ceiling("max_ttft_ms", config.max_ttft_ms)?,
            max_tpot: ceiling("max_tpot_ms", config.max_tpot_ms)?,
            max_price: ceiling("max_cost_per_1m", config.max_cost_per_1m)?,
            max_in_flight: config.max_inflight.unwrap_or(u32::MAX),
            percentile: check_percentile("multi_factor", "percentile", config.percentile)?,
            on_no_candidates: config.on_no_candidates,
            latencies,
        })
    }

    fn facts(&self, candidate: &Candidate, view: &View) -> Facts {
        let time = |metric| view.percentile(&candidate.profile.name, metric, self.percentile);
        Facts {
            quality: candidate.profile.quality.map(|q| q.get()),
            ttft: time(Metric::Ttft),
            tpot: time(Metric::Tpot),
            price: candidate.profile.price.map(|p| p.blended().get()),
            in_flight: candidate.live.in_flight(),
        }
    }

    /// The first ceiling that a candidate is above.
    fn above(&self, facts: &Facts) -> Option<Limit> {
        let ms = Millis::clamped;
        let time = |metric: &'static str, found: Option<f64>, max: f64| {
            let found = found.filter(|t| *t > max)?;
            Some(Limit::Latency {
                metric: metric.into(),
                found: ms(found),
                max: ms(max),
            })
        };
        let price = |price: f64| Limit::Price {
            price: UsdPerMillion::clamped(price),
            max: UsdPerMillion::clamped(self.max_price),
        };
        let load = Limit::InFlight {
            now: facts.in_flight,
            max: self.max_in_flight,
        };
        time("tpot", facts.tpot, self.max_tpot)
            .or_else(|| time("ttft", facts.ttft, self.max_ttft))
            .or_else(|| facts.price.filter(|p| *p > self.max_price).map(price))
            .or_else(|| (facts.in_flight > self.max_in_flight).then_some(load))
    }

    fn score(&self, facts: &Facts, ranges: &[Range; FACTORS]) -> f64 {
        let [quality, ttft, tpot, price, load] = facts.values();
        let [in_quality, in_ttft, in_tpot, in_price, in_load] = ranges;
        let time = match (ttft, tpot) {
            (Some(_), Some(_)) => f64::midpoint(in_ttft.place(ttft), in_tpot.place(tpot)),
            (None, tpot) => in_tpot.place(tpot),
            (ttft, None) => in_ttft.place(ttft),
        };
        let w = &self.weights;
        w.quality * in_quality.place(quality)
            + w.latency * (1.0 - time)
            + w.cost * (1.0 - in_price.place(price))
            + w.load * (1.0 - in_load.place(load))
    }

    /// Everybody admitted is above a ceiling.
    fn nobody(&self, view: &View, among: &[CandidateId], cx: &Context<'_>) -> Result<Decision, NoRoute> {
        let mut ranked = Ranked::default();
        let reason = match self.on_no_candidates {
            OnNoCandidates::Cheapest => {
                let price = |c: &Candidate| c.profile.price.map_or(f64::INFINITY, |p| p.blended().get());
                ranked.extend(cx.admitted(among).map(|c| (c, -price(c))));
                Reason::new("all above a ceiling: the cheapest")
            }
            OnNoCandidates::First => {
                ranked.extend(cx.admitted(among).map(|c| (c, 0.0)));
                Reason::new("all above a ceiling: the first in the declared order")
            }
            OnNoCandidates::Fail => Reason::new("all above a ceiling"),
        };
        ranked
            .decide(reason, Evidence::of(self.name.clone()))
            .ok_or_else(|| {
                let mut none = cx.no_route(among);
                let above = cx.admitted(among).filter_map(|c| {
                    let limit = self.above(&self.facts(c, view))?;
                    Some(Exclusion {
                        candidate: c.profile.name.clone(),
                        limit,
                    })
                });
                none.excluded.extend(above);
                none
            })
    }
}

impl Learn for MultiFactor {
    fn learn(&self, _evidence: &Evidence, decision: &Decision, outcome: &Outcome) {
        self.latencies.learn(decision, outcome);
    }

    fn save(&self) -> Option<Vec<u8>> {
        self.latencies.save()
    }

    fn restore(&self, state: &[u8]) -> bool {
        self.latencies.restore(state)
    }
}

impl Router<Query<'_>> for MultiFactor {
    fn route(&self, _: &Query<'_>, among: &[CandidateId], cx: &mut Context<'_>) -> Result<Decision, NoRoute> {
        let view = self.latencies.view();
        let mut ranges = [Range::EMPTY; FACTORS];
        let mut survivors: SmallVec<[(&Candidate, Facts); 32]> = SmallVec::new();
        for candidate in cx.admitted(among) {
            let facts = self.facts(candidate, &view);
            if self.above(&facts).is_some() {
                continue;
            }
            for (range, value) in ranges.iter_mut().zip(facts.values()) {
                range.take_in(value);
            }
            survivors.push((candidate, facts));
        }
        if survivors.is_empty() {
            return self.nobody(&view, among, cx);
        }
        let mut ranked = Ranked::default();
        ranked.extend(
            survivors
                .iter()
                .map(|(candidate, facts)| (*candidate, self.score(facts, &ranges))),
        );
        let reason =
            Reason::new("best mix of quality, latency, cost and load").with("among", survivors.len() as f64);
        ranked
            .decide(reason, Evidence::of(self.name.clone()))
            .ok_or_else(|| cx.no_route(among))
    }
}

// === impl Weights ===

impl Weights {
    fn normalised(self) -> Result<Self, ConfigError> {
        let clamp = |key: &str, weight: f64| {
            let is_number = |w: f64| w.abs() <= f64::from(f32::MAX);
            check(
                "multi_factor",
                format!("weights.{key}"),
                weight,
                "a finite number",
                is_number,
            )
            .map(|w| w.max(0.0))
        };
        let quality = clamp("quality", self.quality)?;
        let latency = clamp("latency", self.latency)?;
        let cost = clamp("cost", self.cost)?;
        let load = clamp("load", self.load)?;
        let sum = quality + latency + cost + load;
        if sum <= 0.0 {
            return Ok(Self::default());
        }
        Ok(Self {
            quality: quality / sum,
            latency: latency / sum,
            cost: cost / sum,
            load: load / sum,
        })
    }
}

// === impl Facts ===

impl Facts {
    fn values(&self) -> [Option<f64>; FACTORS] {
        [
            self.quality,
            self.ttft,
            self.tpot,
            self.price,
            Some(f64::from(self.in_flight)),
        ]
    }
}

// === impl Range ===

impl Range {
    const EMPTY: Self = Self {
        least: f64::INFINITY,
        greatest: f64::NEG_INFINITY,
    };

    fn take_in(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.least = self.least.min(value);
            self.greatest = self.greatest.max(value);
        }
    }

    fn place(self, value: Option<f64>) -> f64 {
        match value {
            None => 0.0,
            Some(_) if self.greatest <= self.least => 0.5,
            Some(value) => (value - self.least) / (self.greatest - self.least),
        }
    }
}

#[cfg(test)]
mod tests;
