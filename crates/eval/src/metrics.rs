//! What a choice of models is measured by. Quality is 0 to 1 here; reports show it in percent.

use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde::Serialize;

/// A confidence interval, in JSON `[low, high]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(into = "[f64; 2]")]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl From<Interval> for [f64; 2] {
    fn from(interval: Interval) -> Self {
        [interval.low, interval.high]
    }
}

/// The 95 % interval of a mean, by so many bootstrap resamples. Without values both ends are NaN.
pub fn bootstrap(values: &[f64], resamples: usize, seed: u64) -> Interval {
    let mut rng = SmallRng::seed_from_u64(seed);
    let means = (0..if values.is_empty() { 0 } else { resamples })
        .map(|_| mean((0..values.len()).map(|_| values[rng.random_range(0..values.len())])));
    percentiles(means.collect())
}

/// From the 2.5th to the 97.5th percentile of what resamples gave. Without any both ends are NaN.
pub fn percentiles(mut resampled: Vec<f64>) -> Interval {
    resampled.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (share * (resampled.len().max(1) - 1) as f64).round() as usize;
        resampled.get(place).copied().unwrap_or(f64::NAN)
    };
    Interval {
        low: at(0.025),
        high: at(0.975),
    }
}

/// The mean; NaN without values.
pub fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values.into_iter().fold((0.0, 0.0), |(s, c), v| (s + v, c + 1.0));
    sum / count
}

/// How much of the way from the best single model to the oracle a choice covers: 0 at the former, 1 at the latter; NaN where the
/// two are the same.
pub fn gap_closed(quality: f64, best_single: f64, oracle: f64) -> f64 {
    if oracle > best_single {
        (quality - best_single) / (oracle - best_single)
    } else {
        f64::NAN
    }
}

/// Average improvement in quality (RouterBench): the mean height of the non-decreasing upper hull of (cost, quality) points
/// between two costs, the cheapest and the dearest single model's. A hull that ends early stays at its height; before it
/// begins its height is 0. NaN where the costs do not differ.
pub fn aiq(points: &[(f64, f64)], cheapest: f64, dearest: f64) -> f64 {
    if dearest <= cheapest {
        return f64::NAN;
    }
    let hull = upper_hull(points);
    let height = |cost: f64| -> f64 {
        let Some(after) = hull.iter().position(|p| p.0 > cost) else {
            return hull.last().map_or(0.0, |p| p.1);
        };
        let ((x0, y0), (x1, y1)) = (hull[after.max(1) - 1], hull[after]);
        y0 + (y1 - y0) * (cost - x0) / (x1 - x0)
    };
    // The hull is piecewise linear, so trapezes between its corners are exact.
    let mut corners: Vec<f64> = hull
        .iter()
        .map(|p| p.0)
        .filter(|x| (cheapest..=dearest).contains(x))
        .collect();
    corners.extend([cheapest, dearest]);
    corners.sort_by(f64::total_cmp);
    let begin = hull.first().map_or(f64::INFINITY, |p| p.0);
    let trapeze = |w: &[f64]| (w[1] - w[0]) * (height(w[0]) + height(w[1])) / 2.0;
    let area: f64 = corners.windows(2).filter(|w| w[0] >= begin).map(trapeze).sum();
    area / (dearest - cheapest)
}

/// The least cost at which the non-decreasing upper hull of (cost, quality) points reaches a quality; between two corners a share of the
/// queries goes by the one and the rest by the other. `None` where it is never reached.
pub fn cost_at(points: &[(f64, f64)], quality: f64) -> Option<f64> {
    let hull = upper_hull(points);
    let after = hull.iter().position(|p| p.1 >= quality)?;
    let (x1, y1) = hull[after];
    Some(match after.checked_sub(1).map(|before| hull[before]) {
        Some((x0, y0)) => x0 + (x1 - x0) * (quality - y0) / (y1 - y0),
        None => x1,
    })
}

/// The corners of the non-decreasing, concave hull over points (x, y), by rising x.
pub fn upper_hull(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut sorted: Vec<(f64, f64)> = points
        .iter()
        .copied()
        .filter(|p| p.0.is_finite() && p.1.is_finite())
        .collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let mut hull: Vec<(f64, f64)> = Vec::new();
    for point in sorted {
        // More for the same or less would be thrown away: nothing is gained by it.
        if hull.last().is_some_and(|last| point.1 <= last.1) {
            continue;
        }
        while let [.., a, b] = hull[..] {
            let turns_up = (b.0 - a.0) * (point.1 - a.1) - (b.1 - a.1) * (point.0 - a.0) >= 0.0;
            if !turns_up {
                break;
            }
            hull.pop();
        }
        hull.push(point);
    }
    hull
}

/// How well a ranking of queries by "the strong model gains most" spends calls of the strong model (RouteLLM).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GapRecovered {
    /// Average performance gap recovered: the area under the share of the gap that is recovered, over the share of queries sent
    /// to the strong model; 0.5 for a random ranking.
    pub apgr: f64,
    /// The smallest share of queries at which half the gap is recovered.
    pub cpt50: f64,
    /// The smallest share of queries at which four fifths of the gap are recovered.
    pub cpt80: f64,
}

/// Sends the queries of highest `gain` to the strong model first. `weak` and `strong` are what each model scored. `None`
/// without queries, or where the strong model is not the better one. Ties of the gain are taken in the given order.
pub fn gap_recovered(gain: &[f64], weak: &[f64], strong: &[f64]) -> Option<GapRecovered> {
    let gap = mean(strong.iter().copied()) - mean(weak.iter().copied());
    if gap.is_nan() || gap <= 0.0 {
        return None;
    }
    let count = gain.len() as f64;
    let mut order: Vec<usize> = (0..gain.len()).collect();
    order.sort_by(|a, b| gain[*b].total_cmp(&gain[*a]));
    let (mut recovered, mut area) = (0.0, 0.0);
    let (mut cpt50, mut cpt80) = (f64::NAN, f64::NAN);
    for (sent, &query) in (1..).zip(&order) {
        let before = recovered;
        recovered += (strong[query] - weak[query]) / count / gap;
        area += (before + recovered) / 2.0 / count;
        let share = f64::from(sent) / count;
        for (cpt, bar) in [(&mut cpt50, 0.5), (&mut cpt80, 0.8)] {
            if cpt.is_nan() && recovered >= bar - 1e-12 {
                *cpt = share;
            }
        }
    }
    Some(GapRecovered {
        apgr: area,
        cpt50,
        cpt80,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_gap_on_hand_computed_numbers() {
        assert_eq!(gap_closed(0.7, 0.6, 0.8), (0.7 - 0.6) / (0.8 - 0.6));
        assert!(gap_closed(0.7, 0.8, 0.8).is_nan());
    }

    #[test]
    fn the_hull_leaves_out_what_is_dominated_or_below_a_mix() {
        let points = [(1.0, 0.5), (2.0, 0.6), (3.0, 0.9), (4.0, 0.8), (2.5, 0.4)];
        assert_eq!(upper_hull(&points), [(1.0, 0.5), (3.0, 0.9)]);
        // Between 1 and 4: a trapeze of mean height 0.7 over two, then 0.9 over one.
        assert!((aiq(&points, 1.0, 4.0) - (0.7 * 2.0 + 0.9) / 3.0).abs() < 1e-12);
        // Nothing to be had for less than 1.
        assert!((aiq(&points, 0.0, 4.0) - (0.7 * 2.0 + 0.9) / 4.0).abs() < 1e-12);
        assert!(aiq(&points, 1.0, 1.0).is_nan());
        assert_eq!(cost_at(&[(1.0, 0.5), (3.0, 0.75)], 0.625), Some(2.0));
        assert_eq!(cost_at(&[(1.0, 0.5), (3.0, 0.9)], 0.4), Some(1.0));
        assert_eq!(cost_at(&[(1.0, 0.5), (3.0, 0.9)], 0.95), None);
    }

    #[test]
    fn the_gap_recovered_on_four_queries() {
        // The strong model gains 1 on the second and the fourth: a gap of 0.5.
        let (weak, strong) = ([1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0]);
        let perfect = gap_recovered(&[0.0, 0.9, 0.0, 0.8], &weak, &strong).unwrap();
        // Recovered after each: 0.5, 1, 1, 1; trapezes of a quarter: 0.25, 0.75, 1, 1.
        assert_eq!(
            perfect,
            GapRecovered {
                apgr: 0.75,
                cpt50: 0.25,
                cpt80: 0.5
            }
        );
        let worst = gap_recovered(&[1.0, 0.0, 1.0, 0.0], &weak, &strong).unwrap();
        assert_eq!(
            worst,
            GapRecovered {
                apgr: 0.25,
                cpt50: 0.75,
                cpt80: 1.0
            }
        );
        assert_eq!(gap_recovered(&[0.0], &[1.0], &[1.0]), None);
        assert_eq!(gap_recovered(&[], &[], &[]), None);
    }

    #[test]
    fn the_interval_of_a_share_is_about_two_standard_errors() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
        let interval = bootstrap(&values, 2_000, 1);
        // Standard error 0.025.
        assert!(
            (interval.low - 0.451).abs() < 0.01 && (interval.high - 0.549).abs() < 0.01,
            "{interval:?}"
        );
        assert!(bootstrap(&[], 10, 1).low.is_nan());
    }

    proptest! {
        #[test]
        fn no_point_lies_above_the_hull(points in prop::collection::vec((0.0..1.0, 0.0..1.0), 1..20)) {
            let hull = upper_hull(&points);
            prop_assert!(hull.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 < w[1].1));
            for point in &points {
                let above = hull.iter().rev().find(|h| h.0 <= point.0).map_or(0.0, |h| h.1);
                let next = hull.iter().find(|h| h.0 >= point.0).map_or(above, |h| h.1);
                prop_assert!(point.1 <= above.max(next) + 1e-12);
            }
        }
    }
}
