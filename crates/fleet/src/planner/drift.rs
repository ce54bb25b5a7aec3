//! When a workload has become another one: the distance between the token histograms of windows of a log.

use serde::Serialize;

use super::{LoggedRequest, Trace};

/// Bins of a histogram: half octaves of tokens.
const BINS: usize = 64;
/// With fewer requests chance alone looks like a drift (at this many, one window in twenty is further than 0.1 from its like).
const FEWEST: usize = 300;

/// How many requests have how many tokens, input and output together, by half octaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    bins: [u32; BINS],
}

/// One window of a log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Watched<P> {
    /// When it begins, in seconds of the log.
    pub from_s: f64,
    /// Requests in it.
    pub requests: usize,
    /// Requests a second.
    pub rate: f64,
    /// Distance to the window that was planned for, from 0 to 1; `None` where too few came to tell.
    pub distance: Option<f64>,
    /// The plan made at its end; `None` where the one before stays.
    pub plan: Option<P>,
}

// === impl Histogram ===

impl Histogram {
    /// Of these requests.
    pub fn of<'a>(requests: impl IntoIterator<Item = &'a LoggedRequest>) -> Self {
        let mut bins = [0; BINS];
        for request in requests {
            let tokens = f64::from(request.input) + f64::from(request.output);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 66")]
            let bin = (2.0 * tokens.max(1.0).log2()) as usize;
            bins[bin.min(BINS - 1)] += 1;
        }
        Self { bins }
    }

    /// Requests in it.
    pub fn count(&self) -> u64 {
        self.bins.iter().map(|n| u64::from(*n)).sum()
    }

    /// The Jensen-Shannon distance, the root of the divergence in bits: 0 for the same distribution, 1 for two that have nothing in
    /// common. What two samples of one distribution differ by on average (with `k` bins in use and `n` and `m` requests
    /// `(k − 1)(1/n + 1/m)/8` nats) is taken off the divergence first, or few requests would always look like a drift. 0 where one is empty.
    pub fn distance(&self, other: &Self) -> f64 {
        let [n, m] = [self, other].map(|h| h.count() as f64);
        if n == 0.0 || m == 0.0 {
            return 0.0;
        }
        let (mut divergence, mut used) = (0.0, 0.0);
        for (a, b) in self.bins.iter().zip(&other.bins) {
            let (p, q) = (f64::from(*a) / n, f64::from(*b) / m);
            let mean = (p + q) / 2.0;
            let part = |x: f64| if x > 0.0 { x * (x / mean).log2() } else { 0.0 };
            divergence += (part(p) + part(q)) / 2.0;
            used += f64::from(u8::from(mean > 0.0));
        }
        let by_chance = (used - 1.0) * (1.0 / n + 1.0 / m) / 8.0 / std::f64::consts::LN_2;
        (divergence - by_chance).max(0.0).sqrt()
    }
}

/// Goes through a log window by window. The first window with enough requests is planned for; a later one is where its distance to the one last
/// planned for exceeds `reopt_distance` and `min_interval_s` have passed since, so that caches are not lost for every ripple. A last
/// window that is cut short counts for what it has. Windows without requests are left out.
///
/// # Errors
/// The first error of `plan`.
pub fn watch<P, E>(
    trace: &Trace,
    window_s: f64,
    reopt_distance: f64,
    min_interval_s: f64,
    mut plan: impl FnMut(&Trace) -> Result<P, E>,
) -> Result<Vec<Watched<P>>, E> {
    let window_s = window_s.max(1e-3);
    let number = |r: &LoggedRequest| (r.arrival_s / window_s).floor();
    let mut planned: Option<(Histogram, f64)> = None;
    let mut watched = Vec::new();
    for requests in trace.requests.chunk_by(|a, b| number(a) == number(b)) {
        let from_s = requests.first().map_or(0.0, number) * window_s;
        let end_s = (from_s + window_s).min(trace.span_s());
        let histogram = Histogram::of(requests);
        let is_enough = requests.len() >= FEWEST;
        let distance = planned
            .as_ref()
            .filter(|_| is_enough)
            .map(|(of, _)| histogram.distance(of));
        let is_due = match &planned {
            None => is_enough,
            Some((_, since)) => {
                distance.is_some_and(|d| d > reopt_distance) && end_s - since >= min_interval_s
            }
        };
        let mut made = None;
        if is_due {
            let own = requests.iter().map(|r| LoggedRequest {
                arrival_s: r.arrival_s - requests[0].arrival_s,
                ..r.clone()
            });
            let window = Trace {
                requests: own.collect(),
                out_of_order: 0,
            };
            made = Some(plan(&window)?);
            planned = Some((histogram, end_s));
        }
        watched.push(Watched {
            from_s,
            requests: requests.len(),
            rate: requests.len() as f64 / (end_s - from_s).max(1e-3),
            distance,
            plan: made,
        });
    }
    Ok(watched)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::SmallRng};

    use super::*;

    fn request(arrival_s: f64, input: u32) -> LoggedRequest {
        LoggedRequest {
            arrival_s,
            input,
            ..LoggedRequest::default()
        }
    }

    fn of(inputs: &[(u32, usize)]) -> Histogram {
        let all: Vec<_> = inputs
            .iter()
            .flat_map(|(tokens, count)| vec![request(0.0, *tokens); *count])
            .collect();
        Histogram::of(&all)
    }

    #[test]
    fn distances_are_those_computed_by_hand() {
        let (small, large) = (of(&[(100, 10_000)]), of(&[(9_000, 10_000)]));
        assert_eq!(small.distance(&small), 0.0);
        // Nothing in common is one bit, but for what chance gives two bins: 2e-4 / 8 nats.
        let expected = (1.0 - 2e-4 / 8.0 / std::f64::consts::LN_2).sqrt();
        assert!((small.distance(&large) - expected).abs() < 1e-12);
        // Halves against all: JSD(½,½ ; 1,0) = 0.3113 bits.
        let half = of(&[(100, 5_000), (9_000, 5_000)]);
        assert!((half.distance(&small) - 0.311_f64.sqrt()).abs() < 1e-3);
        assert_eq!(small.distance(&of(&[])), 0.0);
    }

    #[test]
    fn samples_of_one_distribution_rarely_look_like_a_drift() {
        let mut rng = SmallRng::seed_from_u64(5);
        let mut draw = || {
            let all: Vec<_> = (0..500)
                .map(|_| request(0.0, rng.random_range(100..8_000)))
                .collect();
            Histogram::of(&all)
        };
        let far = (0..200).filter(|_| draw().distance(&draw()) > 0.1).count();
        assert!(far <= 4, "{far} of 200");
    }

    #[test]
    fn a_drift_is_planned_for_once_and_not_too_often() {
        // Short for 4,000 s, long for 4,000 s, and short again.
        let length = |t: u32| if (4_000..8_000).contains(&t) { 9_000 } else { 300 };
        let trace = Trace {
            requests: (0..12_000)
                .map(|t| request(f64::from(t), length(t) + t % 7))
                .collect(),
            out_of_order: 0,
        };
        let planned = |interval| -> Vec<f64> {
            let watched = watch(&trace, 400.0, 0.1, interval, |w| Ok::<_, ()>(w.requests.len())).unwrap();
            assert_eq!(watched.len(), 30);
            watched
                .iter()
                .filter(|w| w.plan.is_some())
                .map(|w| w.from_s)
                .collect()
        };
        assert_eq!(planned(0.0), [0.0, 4_000.0, 8_000.0]);
        // No earlier than 6,000 s after the plan at 400 s; and then it is too soon to go back until the end.
        assert_eq!(planned(6_000.0), [0.0, 6_000.0]);
        assert!(watch(&trace, 400.0, 0.1, 0.0, |_| Err::<(), _>("no")).is_err());
    }
}
