//! `latency_aware`: the model that has been fastest lately. For each enabled metric (time to first token, time per output
//! token) a model's percentile is divided by the smallest one among the admitted models; the mean of its quotients is its
//! score, the lowest wins. Models without measurements are passed over; where none has any the first admitted is taken.
//! Learns from the times of outcomes, in bounded windows. Card: `systems/43`, 5.1 item 3.
//!
//! Scores: the negative of that mean, so that higher is better: -1 is the fastest possible.
//!
//! A model that is never picked is never measured. Where that matters, mix in `weighted` decisions, or share the windows with
//! them ([`crate::Shared`]).

use std::sync::Arc;

use fingerpost_core::{
    Candidate, CandidateId, Context, Decision, Evidence, Learn, Name, NoRoute, Outcome, Query, Reason, Router,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{
    config::{ConfigError, check_percentile},
    latencies::{Latencies, Metric},
    ranked::Ranked,
};

/// Times below this many milliseconds are as good as this: keeps the quotients finite.
const SHORTEST: f64 = 1e-3;

/// Settings of `latency_aware`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LatencyAwareConfig {
    /// Which percentile of the time to first token counts, over 0 and up to 100; null to leave it out. Default 50.
    pub ttft_percentile: Option<f64>,
    /// Which percentile of the time per output token counts, over 0 and up to 100; null to leave it out. Default 50.
    pub tpot_percentile: Option<f64>,
}

impl Default for LatencyAwareConfig {
    fn default() -> Self {
        Self {
            ttft_percentile: Some(50.0),
            tpot_percentile: Some(50.0),
        }
    }
}

/// What is known of a model, in the order of [`LatencyAware::metrics`], in milliseconds.
type Times = [Option<f64>; 2];

/// The fastest model lately.
#[derive(Debug)]
pub struct LatencyAware {
    name: Name,
    metrics: [Option<(Metric, f64)>; 2],
    latencies: Arc<Latencies>,
}

// === impl LatencyAware ===

impl LatencyAware {
    /// A router of this name over these windows.
    ///
    /// # Errors
    /// [`ConfigError`] for a percentile out of range, or where both metrics are left out.
    pub fn new(
        config: &LatencyAwareConfig,
        name: Name,
        latencies: Arc<Latencies>,
    ) -> Result<Self, ConfigError> {
        let metric = |metric, key, percentile: Option<f64>| {
            percentile
                .map(|p| Ok((metric, check_percentile("latency_aware", key, p)?)))
                .transpose()
        };
        let metrics = [
            metric(Metric::Ttft, "ttft_percentile", config.ttft_percentile)?,
            metric(Metric::Tpot, "tpot_percentile", config.tpot_percentile)?,
        ];
        if metrics == [None, None] {
            return Err(ConfigError {
                algorithm: "latency_aware",
                key: "ttft_percentile".to_owned(),
                allowed: "set where tpot_percentile is not",
                found: "null".to_owned(),
            });
        }
        Ok(Self {
            name,
            metrics,
            latencies,
        })
    }
}

impl Learn for LatencyAware {
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

impl Router<Query<'_>> for LatencyAware {
    fn route(&self, _: &Query<'_>, among: &[CandidateId], cx: &mut Context<'_>) -> Result<Decision, NoRoute> {
        let view = self.latencies.view();
        let mut shortest = [f64::INFINITY; 2];
        let times = |candidate: &Candidate| {
            let time = |(metric, percentile)| view.percentile(&candidate.profile.name, metric, percentile);
            self.metrics
                .map(|metric| metric.and_then(time).map(|t| t.max(SHORTEST)))
        };
        let mut known: SmallVec<[(&Candidate, Times); 32]> = SmallVec::new();
        for candidate in cx.admitted(among) {
            let times = times(candidate);
            for (shortest, time) in shortest.iter_mut().zip(times) {
                *shortest = shortest.min(time.unwrap_or(f64::INFINITY));
            }
            if times != [None, None] {
                known.push((candidate, times));
            }
        }
        let mut best = Ranked::default();
        for (candidate, times) in &known {
            let quotients = times
                .iter()
                .zip(shortest)
                .filter_map(|(time, least)| Some((*time)? / least));
            let (sum, count) = quotients.fold((0.0, 0.0), |(sum, count), q| (sum + q, count + 1.0));
            best.offer(candidate, -sum / count);
        }
        let evidence = Evidence::of(self.name.clone());
        let reason = if known.is_empty() {
            best.extend(cx.admitted(among).map(|c| (c, 0.0)));
            Reason::new("nothing measured yet: first in the declared order")
        } else {
            Reason::new("fastest lately").with("measured models", known.len() as f64)
        };
        best.decide(reason, evidence).ok_or_else(|| cx.no_route(among))
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{Catalogue, Limits, Millis, Pick, Profile, Timestamp, TokenCount};
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    struct Bed {
        router: LatencyAware,
        catalogue: Catalogue,
    }

    impl Bed {
        fn new(config: &LatencyAwareConfig) -> Self {
            let router = LatencyAware::new(config, "l".into(), Arc::default()).unwrap();
            Self {
                router,
                catalogue: Catalogue::new(["a", "b", "c"].map(Profile::named)).unwrap(),
            }
        }

        /// One answer of eleven tokens: the first after `ttft`, each further one after `tpot` milliseconds.
        fn answered(&self, model: &str, ttft: f64, tpot: f64) {
            let candidate = self.catalogue.get(self.catalogue.id(model).unwrap()).unwrap();
            let evidence = Evidence::of("l");
            let decision = Decision::single(Pick::of(candidate, 1.0), Reason::new("test"), evidence.clone());
            let outcome = Outcome {
                first_token: Some(Millis::new(ttft).unwrap()),
                latency: Some(Millis::new(ttft + 10.0 * tpot).unwrap()),
                tokens_out: Some(TokenCount(11)),
                ..Outcome::default()
            };
            self.router.learn(&evidence, &decision, &outcome);
        }

        fn route(&self) -> Decision {
            let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
            let mut cx = Context::new(&self.catalogue, &limits, Timestamp::default(), &mut rng);
            self.router
                .route(&Query::default(), &self.catalogue.ids(), &mut cx)
                .unwrap()
        }
    }

    #[test]
    fn the_mean_of_the_quotients_decides() {
        let bed = Bed::new(&LatencyAwareConfig::default());
        bed.answered("a", 100.0, 30.0); // 100/100 and 30/10: mean 2
        bed.answered("b", 180.0, 10.0); // 180/100 and 10/10: mean 1.4
        let decision = bed.route();
        assert_eq!(decision.first().name, "b");
        assert!((decision.picks[0].score + 1.4).abs() < 1e-12);
        assert!(
            (decision.picks[1].score + 2.0).abs() < 1e-12,
            "c has no data and is passed over"
        );
        assert_eq!(decision.picks[1].name, "a");
    }

    #[test]
    fn one_metric_alone() {
        let config = LatencyAwareConfig {
            tpot_percentile: None,
            ..LatencyAwareConfig::default()
        };
        let bed = Bed::new(&config);
        bed.answered("a", 100.0, 30.0);
        bed.answered("b", 180.0, 10.0);
        assert_eq!(bed.route().first().name, "a");
    }

    #[test]
    fn without_data_the_first_is_taken_and_ties_go_to_the_first() {
        let bed = Bed::new(&LatencyAwareConfig::default());
        assert_eq!(bed.route().first().name, "a");
        bed.answered("c", 0.0, 0.0);
        bed.answered("b", 0.0, 0.0);
        let decision = bed.route();
        assert_eq!(decision.first().name, "b");
        assert_eq!(decision.first().score, -1.0);
    }
}
