//! What arrives: rates, lengths, and classes that policies may depend on.

use serde::Serialize;

use super::{Load, LoggedRequest, PlanError, Shape, Trace};

/// Requests that a class is read from.
const WINDOW: usize = 200;
/// The newest of them, which are compared with the others: where they differ by more than chance, the others are forgotten.
const NEWEST: usize = 32;
/// Standard errors that are more than chance, however often one looks.
const FAR: f64 = 4.5;

/// What a log is like.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Workload {
    /// Requests.
    pub requests: usize,
    /// Requests a second.
    pub rate: f64,
    /// Coefficient of variation of the times between arrivals: 1 for a Poisson stream.
    pub burstiness: f64,
    /// Input tokens: median, and all but one in twenty and in a hundred.
    pub input: [u32; 3],
    /// Output tokens, the same.
    pub output: [u32; 3],
    /// Share of requests whose input and output fit these many tokens.
    pub fits: Vec<(u32, f64)>,
    /// The classes at its end.
    pub classes: Classes,
    /// How often a class changed in it.
    pub class_changes: usize,
}

/// Classes of a workload; `None` where the log does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Classes {
    /// Requests with tools and their results are at least half.
    pub agent: Option<bool>,
    /// Conversations have two user turns and more, on average.
    pub multi_turn: Option<bool>,
    /// At least half of the input was there before.
    pub warm: Option<bool>,
    /// At least eight input tokens for each output token.
    pub prefill_heavy: bool,
    /// No more input tokens than output tokens.
    pub decode_heavy: bool,
}

/// Follows the classes over a window of requests. A class is entered at its bound and left at four fifths of it, so that a workload at
/// the bound does not make policies change with every request. What came before a change is forgotten as soon as the change shows, or
/// half a window would go by under the old class.
#[derive(Debug, Clone, Default)]
pub struct Classifier {
    recent: std::collections::VecDeque<LoggedRequest>,
    classes: Classes,
    changes: usize,
}

// === impl Workload ===

impl Workload {
    /// What a log is like. Cost: a sort of its lengths, and a pass over the window for each request.
    ///
    /// # Errors
    /// [`PlanError::NoRequests`] for a log without requests.
    pub fn of(trace: &Trace) -> Result<Self, PlanError> {
        let requests = &trace.requests;
        if requests.is_empty() {
            return Err(PlanError::NoRequests);
        }
        let mut classifier = Classifier::default();
        requests.iter().for_each(|r| {
            classifier.see(r);
        });
        let totals: Vec<u64> = requests
            .iter()
            .map(|r| u64::from(r.input) + u64::from(r.output))
            .collect();
        let share = |bound: u32| {
            let fitting = totals.iter().filter(|t| **t <= u64::from(bound)).count();
            fitting as f64 / totals.len() as f64
        };
        Ok(Self {
            requests: requests.len(),
            rate: rate(trace),
            burstiness: burstiness(requests),
            input: percentiles(requests.iter().map(|r| r.input)),
            output: percentiles(requests.iter().map(|r| r.output)),
            fits: (9..=17)
                .map(|power| 1_u32 << power)
                .map(|bound| (bound, share(bound)))
                .collect(),
            classes: classifier.classes,
            class_changes: classifier.changes,
        })
    }

    /// It as a load for sizing, at its own rate or another.
    pub fn load(&self, trace: &Trace, rate: Option<f64>) -> Load {
        Load {
            rate: rate.unwrap_or(self.rate),
            arrivals: self.burstiness * self.burstiness,
            shapes: trace
                .requests
                .iter()
                .map(|r| Shape {
                    input: r.input,
                    output: r.output,
                    cached: 0,
                })
                .collect(),
        }
    }
}

fn rate(trace: &Trace) -> f64 {
    let span = trace.span_s();
    if span > 0.0 {
        (trace.requests.len() - 1) as f64 / span
    } else {
        trace.requests.len() as f64
    }
}

/// 1 where there are too few arrivals to tell.
fn burstiness(requests: &[LoggedRequest]) -> f64 {
    let gaps: Vec<f64> = requests
        .windows(2)
        .map(|w| w[1].arrival_s - w[0].arrival_s)
        .collect();
    let n = gaps.len().max(1) as f64;
    let mean = gaps.iter().sum::<f64>() / n;
    if mean <= 0.0 {
        return 1.0;
    }
    (gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / n).sqrt() / mean
}

fn percentiles(values: impl Iterator<Item = u32>) -> [u32; 3] {
    let mut sorted: Vec<u32> = values.collect();
    sorted.sort_unstable();
    let at = |percent: usize| {
        sorted
            .get((sorted.len().saturating_sub(1)) * percent / 100)
            .copied()
            .unwrap_or(0)
    };
    [50, 95, 99].map(at)
}

// === impl Classifier ===

impl Classifier {
    /// Takes a request in; the classes after it.
    pub fn see(&mut self, request: &LoggedRequest) -> Classes {
        self.recent.push_back(request.clone());
        if self.recent.len() > WINDOW {
            self.recent.pop_front();
        }
        // A few requests are no workload.
        if self.recent.len() < NEWEST {
            return self.classes;
        }
        if self.has_changed() {
            self.recent.drain(..self.recent.len() - NEWEST);
        }
        let before = self.classes;
        let known = |of: fn(&LoggedRequest) -> Option<f64>| mean(self.recent.iter().filter_map(of));
        let tokens =
            |of: fn(&LoggedRequest) -> u32| self.recent.iter().map(|r| f64::from(of(r))).sum::<f64>();
        let (input, output) = (tokens(|r| r.input), tokens(|r| r.output).max(1.0));
        let latched = |value: Option<f64>, bound: f64, was: Option<bool>| {
            value.map(|v| latch(v, bound, was.unwrap_or(false)))
        };
        self.classes = Classes {
            agent: latched(
                known(|r| r.tool_loop.map(|t| f64::from(u8::from(t)))),
                0.5,
                before.agent,
            ),
            multi_turn: latched(known(|r| r.turns.map(f64::from)), 2.0, before.multi_turn),
            warm: latched(known(|r| r.prefix_hit), 0.5, before.warm),
            prefill_heavy: latch(input / output, 8.0, before.prefill_heavy),
            decode_heavy: latch(output / input.max(1.0), 1.0, before.decode_heavy),
        };
        let first = before == Classes::default();
        self.changes += usize::from(!first && self.classes != before);
        self.classes
    }

    /// Whether the newest requests are unlike the others of the window, by more than chance.
    fn has_changed(&self) -> bool {
        let older = self.recent.len() - NEWEST;
        let differ = |of: fn(&LoggedRequest) -> Option<f64>| {
            let before = Sample::of(self.recent.iter().take(older).filter_map(of));
            before.is_far_from(&Sample::of(self.recent.iter().skip(older).filter_map(of)))
        };
        older >= NEWEST
            && [
                |r: &LoggedRequest| r.tool_loop.map(|t| f64::from(u8::from(t))),
                |r: &LoggedRequest| r.turns.map(f64::from),
                |r: &LoggedRequest| r.prefix_hit,
                |r: &LoggedRequest| Some(f64::from(r.input).ln_1p()),
                |r: &LoggedRequest| Some(f64::from(r.output).ln_1p()),
            ]
            .into_iter()
            .any(differ)
    }

    /// How often a class changed after the first reading.
    pub fn changes(&self) -> usize {
        self.changes
    }
}

/// Mean and variance of some values.
struct Sample {
    count: f64,
    mean: f64,
    variance: f64,
}

impl Sample {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
        for value in values {
            count += 1.0;
            let off = value - mean;
            mean += off / count;
            squares += off * (value - mean);
        }
        Self {
            count,
            mean,
            variance: squares / f64::max(count - 1.0, 1.0),
        }
    }

    fn is_far_from(&self, other: &Self) -> bool {
        if self.count < 2.0 || other.count < 2.0 {
            return false;
        }
        // All values of a short sample may be equal by chance: no variance is smaller than that of one value in so many.
        let error = |s: &Self| s.variance.max(1e-3) / s.count;
        (self.mean - other.mean).abs() > FAR * (error(self) + error(other)).sqrt()
    }
}

fn latch(value: f64, bound: f64, was: bool) -> bool {
    value >= if was { 0.8 * bound } else { bound }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), v| (sum + v, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::SmallRng};

    use super::*;

    fn request(arrival_s: f64, input: u32, output: u32) -> LoggedRequest {
        LoggedRequest {
            arrival_s,
            input,
            output,
            ..LoggedRequest::default()
        }
    }

    #[test]
    fn a_log_is_described_by_its_numbers() {
        let requests = (0..101_u32)
            .map(|i| request(f64::from(i) / 2.0, 10 * i, 1_000))
            .collect();
        let trace = Trace {
            requests,
            out_of_order: 0,
        };
        let found = Workload::of(&trace).unwrap();
        assert_eq!((found.rate, found.burstiness), (2.0, 0.0));
        assert_eq!((found.input, found.output), ([500, 950, 990], [1_000; 3]));
        let share = |bound| found.fits.iter().find(|f| f.0 == bound).unwrap().1;
        assert_eq!((share(512), share(2_048)), (0.0, 1.0));
        assert!(found.classes.decode_heavy && !found.classes.prefill_heavy && found.classes.agent.is_none());
        assert!(Workload::of(&Trace::default()).is_err());
    }

    #[test]
    fn classes_follow_a_change_once() {
        let mut rng = SmallRng::seed_from_u64(3);
        let (mut classifier, mut right) = (Classifier::default(), 0);
        for i in 0..4_000 {
            let agent = (i / 1_000) % 2 == 1;
            let now = classifier.see(&LoggedRequest {
                tool_loop: Some(rng.random_bool(if agent { 0.75 } else { 0.15 })),
                turns: Some(if agent { rng.random_range(2..9) } else { 1 }),
                ..request(f64::from(i), 1_000, 300)
            });
            right += i32::from(now.agent == Some(agent));
        }
        assert!(right >= 3_800, "{right}");
        assert!(
            classifier.changes() <= 6,
            "agent and turns at three true changes: {}",
            classifier.changes()
        );
    }

    #[test]
    fn at_the_bound_nothing_flaps() {
        let mut rng = SmallRng::seed_from_u64(4);
        let mut classifier = Classifier::default();
        for i in 0..5_000 {
            let hit = Some(rng.random_range(0.0..1.0));
            classifier.see(&LoggedRequest {
                prefix_hit: hit,
                ..request(f64::from(i), 1_000, 300)
            });
        }
        assert!(classifier.changes() <= 1, "{}", classifier.changes());
    }
}
