//! How long requests wait for a slot: many servers whose pace depends on how many of them are busy.
//!
//! The number of busy slots is a birth-death process with the pace of each state, which gives the chance that a request must wait; with
//! a pace that is the same in all states that is Erlang's C. Beyond, waiting is exponential with the spare rate of the full pool,
//! stretched by how variable arrivals and services are (Kimura; Allen and Cunneen), as for M/G/c.

/// What a request meets in a pool of `slots` slots.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Waiting {
    /// Chance that all slots are busy when it comes.
    pub chance: f64,
    /// Mean wait of those that wait, seconds.
    pub mean_s: f64,
    /// Busy slots when it comes, on average.
    pub busy: f64,
    /// Share of the full pool's pace that is asked for.
    pub utilisation: f64,
}

/// Waiting where `rate` requests a second come and a pool with `k` busy slots completes `pace(k)` a second, `pace` growing with `k`.
/// `arrivals` and `services` are squared coefficients of variation. `None` where more comes than a full pool completes. Cost: one
/// pass over the slots.
pub fn waiting(
    rate: f64,
    slots: u64,
    pace: impl Fn(u64) -> f64,
    arrivals: f64,
    services: f64,
) -> Option<Waiting> {
    let full = pace(slots);
    let utilisation = rate / full;
    if slots == 0 || !(utilisation < 1.0 && rate >= 0.0) {
        return None;
    }
    // Unnormalised, scaled down whenever they grow: only ratios count.
    let (mut weight, mut sum, mut busy) = (1.0_f64, 1.0_f64, 0.0_f64);
    for k in 1..=slots {
        weight *= rate / pace(k);
        sum += weight;
        busy += weight * k as f64;
        if sum > 1e250 {
            [&mut weight, &mut sum, &mut busy]
                .into_iter()
                .for_each(|v| *v *= 1e-250);
        }
    }
    // States with a queue: a geometric series after the last.
    let queued = weight * utilisation / (1.0 - utilisation);
    let all = sum + queued;
    Some(Waiting {
        chance: (weight + queued) / all,
        mean_s: (arrivals + services) / 2.0 / (full - rate),
        busy: (busy + queued * slots as f64) / all,
        utilisation,
    })
}

// === impl Waiting ===

impl Waiting {
    /// The time that wait and `work` together exceed in a share `beyond` of requests; `work` are equally likely times in seconds,
    /// ascending. 0 for no work. Found by halving, to a microsecond.
    pub fn quantile_s(&self, work: &[f64], beyond: f64) -> f64 {
        let Some(longest) = work.last() else { return 0.0 };
        let exceeds = |t: f64| {
            let still = |w: &f64| {
                if *w >= t {
                    1.0
                } else {
                    self.chance * (-(t - w) / self.mean_s).exp()
                }
            };
            work.iter().map(still).sum::<f64>() / work.len() as f64
        };
        let (mut low, mut high) = (0.0, longest + 1e-6);
        while exceeds(high) > beyond && high < 1e9 {
            high *= 2.0;
        }
        while high - low > 1e-6 {
            let middle = (low + high) / 2.0;
            if exceeds(middle) > beyond {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_one_pace_it_is_erlangs_c() {
        // Two servers of one a second, one request a second: C = 1/3, and the mean wait of those that wait is one second.
        let found = waiting(1.0, 2, |k| k as f64, 1.0, 1.0).unwrap();
        assert!(
            (found.chance - 1.0 / 3.0).abs() < 1e-12 && (found.mean_s - 1.0).abs() < 1e-12,
            "{found:?}"
        );
        assert!((found.busy - 1.0).abs() < 1e-12 && (found.utilisation - 0.5).abs() < 1e-12);
        // One server: the chance is the utilisation.
        assert!((waiting(0.7, 1, |k| k as f64, 1.0, 1.0).unwrap().chance - 0.7).abs() < 1e-12);
        let many = waiting(9_000.0, 10_000, |k| k as f64, 1.0, 1.0).unwrap();
        assert!(
            many.chance < 1e-10 && (many.busy - 9_000.0).abs() < 1e-3,
            "{many:?}"
        );
    }

    #[test]
    fn what_cannot_keep_up_has_no_wait() {
        assert_eq!(waiting(2.0, 2, |k| k as f64, 1.0, 1.0), None);
        assert_eq!(waiting(f64::NAN, 2, |k| k as f64, 1.0, 1.0), None);
        assert_eq!(waiting(0.0, 0, |_| 0.0, 1.0, 1.0), None);
    }

    #[test]
    fn quantiles_join_wait_and_work() {
        let at = |chance| Waiting {
            chance,
            mean_s: 2.0,
            busy: 0.0,
            utilisation: 0.5,
        };
        let work: Vec<f64> = (1..=100).map(f64::from).collect();
        assert!((at(0.0).quantile_s(&work, 0.015) - 99.0).abs() < 1e-5);
        // Without work: .1 e^(-t/2) = .01 at 2 ln 10.
        assert!((at(0.1).quantile_s(&[0.0], 0.01) - 2.0 * 10_f64.ln()).abs() < 1e-5);
        assert_eq!(at(0.1).quantile_s(&[], 0.01), 0.0);
    }
}
