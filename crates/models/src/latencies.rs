//! How fast each model has been lately: bounded windows of measured times, read through a snapshot.
//!
//! Writing (off the hot path) sorts the window of one model and swaps a new snapshot in; reading a percentile is one hash
//! look-up and one index.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use fingerpost_core::{Decision, Failure, Name, Outcome};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// How many of the latest times of a model count.
const WINDOW: usize = 128;

/// Version of the saved state.
const VERSION: u32 = 1;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Time to first token, in milliseconds.
    Ttft,
    /// Time per output token after the first, in milliseconds.
    Tpot,
}

/// The latest times of every model.
#[derive(Debug, Default)]
pub struct Latencies {
    windows: Mutex<FxHashMap<Name, Window>>,
    snapshot: ArcSwap<FxHashMap<Name, Arc<Sorted>>>,
}

/// In the order in which they came, the oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Window {
    ttft: VecDeque<f64>,
    tpot: VecDeque<f64>,
}

#[derive(Debug, Default)]
struct Sorted {
    ttft: Vec<f64>,
    tpot: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    windows: FxHashMap<Name, Window>,
}

/// A view of one moment, for the length of one decision.
pub(crate) struct View(arc_swap::Guard<Arc<FxHashMap<Name, Arc<Sorted>>>>);

// === impl Latencies ===

impl Latencies {
    /// Takes up the times of an outcome. A call that timed out before its first token counts as one whose first token came
    /// when it was given up: its true time is longer, and to leave it out would make a model that hangs look fast.
    pub fn learn(&self, decision: &Decision, outcome: &Outcome) {
        let gave_up = matches!(outcome.failure, Some(Failure::Timeout(_)))
            .then_some(outcome.latency)
            .flatten();
        let ttft = outcome.first_token.or(gave_up);
        let tpot = outcome
            .is_success()
            .then(|| outcome.time_per_output_token())
            .flatten();
        if ttft.is_none() && tpot.is_none() {
            return;
        }
        let model = &decision.first().name;
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(model.clone()).or_default();
        push(&mut window.ttft, ttft.map(|t| t.get()));
        push(&mut window.tpot, tpot.map(|t| t.get()));
        let sorted = Arc::new(window.sorted());
        let mut snapshot = FxHashMap::clone(&self.snapshot.load());
        snapshot.insert(model.clone(), sorted);
        // Swapped in under the lock, so that no later outcome is overwritten by an earlier one.
        self.snapshot.store(Arc::new(snapshot));
    }

    /// The time below which `percentile` of a hundred lie, by nearest rank, in milliseconds; `None` without measurements.
    pub fn percentile(&self, model: &str, metric: Metric, percentile: f64) -> Option<f64> {
        self.view().percentile(model, metric, percentile)
    }

    pub(crate) fn view(&self) -> View {
        View(self.snapshot.load())
    }

    pub(crate) fn save(&self) -> Option<Vec<u8>> {
        let windows = self
            .windows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        serde_json::to_vec(&Saved {
            version: VERSION,
            windows,
        })
        .ok()
    }

    pub(crate) fn restore(&self, state: &[u8]) -> bool {
        let Ok(Saved {
            version: VERSION,
            mut windows,
        }) = serde_json::from_slice(state)
        else {
            return false;
        };
        for window in windows.values_mut() {
            for times in [&mut window.ttft, &mut window.tpot] {
                times.retain(|t| t.is_finite());
                times.drain(..times.len().saturating_sub(WINDOW));
            }
        }
        let snapshot = windows
            .iter()
            .map(|(model, w)| (model.clone(), Arc::new(w.sorted())))
            .collect();
        let mut kept = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = windows;
        self.snapshot.store(Arc::new(snapshot));
        true
    }
}

fn push(times: &mut VecDeque<f64>, time: Option<f64>) {
    if let Some(time) = time {
        if times.len() == WINDOW {
            times.pop_front();
        }
        times.push_back(time);
    }
}

// === impl Window ===

impl Window {
    fn sorted(&self) -> Sorted {
        let sort = |times: &VecDeque<f64>| {
            let mut times: Vec<f64> = times.iter().copied().collect();
            times.sort_unstable_by(f64::total_cmp);
            times
        };
        Sorted {
            ttft: sort(&self.ttft),
            tpot: sort(&self.tpot),
        }
    }
}

// === impl View ===

impl View {
    pub(crate) fn percentile(&self, model: &str, metric: Metric, percentile: f64) -> Option<f64> {
        let sorted = self.0.get(model)?;
        let times = match metric {
            Metric::Ttft => &sorted.ttft,
            Metric::Tpot => &sorted.tpot,
        };
        let rank = (percentile / 100.0 * times.len() as f64).ceil() as usize;
        times.get(rank.clamp(1, times.len().max(1)) - 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{CandidateId, Catalogue, Evidence, Millis, Pick, Profile, Reason, TokenCount};

    use super::*;

    fn decision(model: &str) -> Decision {
        let catalogue = Catalogue::new([Profile::named(model)]).unwrap();
        let pick = Pick::of(catalogue.get(CandidateId(0)).unwrap(), 1.0);
        Decision::single(pick, Reason::new("test"), Evidence::of("r"))
    }

    fn ms(value: f64) -> Option<Millis> {
        Some(Millis::new(value).unwrap())
    }

    fn first_token(after: f64) -> Outcome {
        Outcome {
            first_token: ms(after),
            ..Outcome::default()
        }
    }

    #[test]
    fn percentiles_go_by_nearest_rank() {
        let latencies = Latencies::default();
        for time in [40.0, 10.0, 30.0, 20.0] {
            latencies.learn(&decision("m"), &first_token(time));
        }
        let at = |p| latencies.percentile("m", Metric::Ttft, p).unwrap();
        assert_eq!(
            [at(1.0), at(25.0), at(26.0), at(50.0), at(99.0), at(100.0)],
            [10.0, 10.0, 20.0, 20.0, 40.0, 40.0]
        );
        assert_eq!(latencies.percentile("m", Metric::Tpot, 50.0), None);
        assert_eq!(latencies.percentile("n", Metric::Ttft, 50.0), None);
    }

    #[test]
    fn the_window_forgets_the_oldest() {
        let latencies = Latencies::default();
        for time in 0..WINDOW + 10 {
            latencies.learn(&decision("m"), &first_token(time as f64));
        }
        assert_eq!(latencies.percentile("m", Metric::Ttft, 0.1), Some(10.0));
        assert_eq!(
            latencies.percentile("m", Metric::Ttft, 100.0),
            Some((WINDOW + 9) as f64)
        );
    }

    #[test]
    fn a_model_that_hangs_does_not_look_fast() {
        let latencies = Latencies::default();
        let hung = Outcome {
            latency: ms(5000.0),
            failure: Some(Failure::Timeout("first byte".into())),
            ..Outcome::default()
        };
        latencies.learn(&decision("m"), &hung);
        assert_eq!(latencies.percentile("m", Metric::Ttft, 50.0), Some(5000.0));
        let refused = Outcome {
            latency: ms(3.0),
            failure: Some(Failure::Status(500)),
            ..Outcome::default()
        };
        latencies.learn(&decision("n"), &refused);
        assert_eq!(
            latencies.percentile("n", Metric::Ttft, 50.0),
            None,
            "a quick error is no speed"
        );
    }

    #[test]
    fn what_was_learned_survives() {
        let latencies = Latencies::default();
        let outcome = Outcome {
            latency: ms(500.0),
            tokens_out: Some(TokenCount(5)),
            ..first_token(100.0)
        };
        latencies.learn(&decision("m"), &outcome);
        let again = Latencies::default();
        assert!(again.restore(&latencies.save().unwrap()));
        assert_eq!(again.percentile("m", Metric::Ttft, 50.0), Some(100.0));
        assert_eq!(again.percentile("m", Metric::Tpot, 50.0), Some(100.0));
        again.learn(&decision("m"), &first_token(50.0));
        assert_eq!(again.percentile("m", Metric::Ttft, 50.0), Some(50.0));
        assert!(!again.restore(b"{\"version\":2,\"windows\":{}}"));
        assert!(!again.restore(b"nonsense"));
        assert_eq!(
            again.percentile("m", Metric::Ttft, 50.0),
            Some(50.0),
            "left alone"
        );
    }
}
