//! k-means++ with restarts (Lloyd 1982; Arthur and Vassilvitskii 2007).

use fingerpost_index::kernel::Kernel;
use rand::{Rng, rngs::SmallRng};
use rayon::prelude::*;

/// How long k-means looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Starts; the one with the least sum of squares wins.
    pub starts: usize,
    /// Most rounds a start.
    pub rounds: usize,
}

/// Rows up to which one thread assigns them.
const SMALL: usize = 1_024;

// === impl Effort ===

impl Effort {
    /// Ten starts, or two short ones where a round takes more than a hundred million products.
    pub fn thrifty(values: usize, k: usize) -> Self {
        let (starts, rounds) = if values.saturating_mul(k) > 100_000_000 {
            (2, 15)
        } else {
            (10, 100)
        };
        Self { starts, rounds }
    }
}

/// A group for each point (row after row, `dimension` values each): numbers from 0 without gaps in the order of appearance, at
/// most `k` of them. `go_on` is asked before every round; `None` once it says no.
pub fn k_means(
    points: &[f32],
    dimension: usize,
    k: usize,
    effort: Effort,
    rng: &mut SmallRng,
    go_on: &mut dyn FnMut() -> bool,
) -> Option<Vec<usize>> {
    let n = points.len() / dimension.max(1);
    let (mut best, mut least) = (vec![0; n], f64::INFINITY);
    if k < 2 || n == 0 {
        return Some(best);
    }
    for _ in 0..effort.starts.max(1) {
        let mut centres = seeds(points, dimension, k.min(n), rng);
        let mut groups = vec![u32::MAX; n];
        let mut sum = 0.0;
        for _ in 0..effort.rounds.max(1) {
            if !go_on() {
                return None;
            }
            let nearest = assign(points, dimension, &centres);
            sum = nearest.iter().map(|&(_, square)| f64::from(square)).sum();
            let settled = nearest.iter().zip(&groups).all(|((new, _), old)| new == old);
            if settled {
                break;
            }
            groups = nearest.into_iter().map(|(group, _)| group).collect();
            move_centres(points, dimension, &groups, &mut centres);
        }
        if sum < least {
            best = groups.into_iter().map(|g| g as usize).collect();
            least = sum;
        }
    }
    Some(in_order_of_appearance(best))
}

/// Moves points to the nearest centre and centres to the means of their points, from given groups (numbers from 0 without gaps)
/// on, at most `rounds` times. Groups that lose all their points are gone; the rest are numbered as by [`k_means`]. `None` once
/// `go_on` says no.
pub(crate) fn refine(
    points: &[f32],
    dimension: usize,
    groups: &[usize],
    rounds: usize,
    go_on: &mut dyn FnMut() -> bool,
) -> Option<Vec<usize>> {
    let mut groups: Vec<u32> = groups.iter().map(|&group| group as u32).collect();
    let count = groups.iter().max().map_or(0, |&most| most as usize + 1);
    let mut centres = vec![0.0; count * dimension];
    for _ in 0..rounds {
        if !go_on() {
            return None;
        }
        move_centres(points, dimension, &groups, &mut centres);
        let nearest: Vec<u32> = assign(points, dimension, &centres)
            .into_iter()
            .map(|(group, _)| group)
            .collect();
        let settled = nearest == groups;
        groups = nearest;
        if settled {
            break;
        }
    }
    Some(in_order_of_appearance(
        groups.into_iter().map(|group| group as usize).collect(),
    ))
}

/// The same groups, numbered from 0 without gaps as they appear.
fn in_order_of_appearance(mut groups: Vec<usize>) -> Vec<usize> {
    let mut names = rustc_hash::FxHashMap::default();
    for group in &mut groups {
        let next = names.len();
        *group = *names.entry(*group).or_insert(next);
    }
    groups
}

/// Points drawn one after the other, each with a chance that grows with its squared distance to the nearest drawn before.
fn seeds(points: &[f32], dimension: usize, k: usize, rng: &mut SmallRng) -> Vec<f32> {
    let n = points.len() / dimension;
    let kernel = Kernel::detect();
    let mut away = vec![f32::INFINITY; n];
    let mut chosen = rng.random_range(0..n);
    let mut centres = Vec::with_capacity(k * dimension);
    loop {
        let centre = &points[chosen * dimension..(chosen + 1) * dimension];
        centres.extend_from_slice(centre);
        if centres.len() >= k * dimension {
            return centres;
        }
        for (away, point) in away.iter_mut().zip(points.chunks_exact(dimension)) {
            *away = away.min(kernel.squared_l2(point, centre));
        }
        let mut left = rng.random::<f64>() * away.iter().map(|&a| f64::from(a)).sum::<f64>();
        let found = away.iter().position(|&a| {
            left -= f64::from(a);
            left <= 0.0
        });
        chosen = found.unwrap_or(n - 1);
    }
}

/// The nearest centre of each point and the squared distance to it; of equals the first.
fn assign(points: &[f32], dimension: usize, centres: &[f32]) -> Vec<(u32, f32)> {
    let kernel = Kernel::detect();
    let slots: Vec<u32> = (0..(centres.len() / dimension) as u32).collect();
    let nearest = |products: &mut Vec<f32>, point: &[f32]| {
        kernel.squared_l2_rows(point, centres, &slots, products);
        let pairs = slots.iter().copied().zip(products.iter().copied());
        pairs
            .reduce(|x, y| if y.1 < x.1 { y } else { x })
            .unwrap_or((0, 0.0))
    };
    points
        .par_chunks_exact(dimension)
        .with_min_len(SMALL)
        .map_init(|| vec![0.0; slots.len()], nearest)
        .collect()
}

/// Centres to the means of their points; one without points stays.
fn move_centres(points: &[f32], dimension: usize, groups: &[u32], centres: &mut [f32]) {
    let mut counts = vec![0.0_f64; centres.len() / dimension];
    let mut sums = vec![0.0_f64; centres.len()];
    for (point, &group) in points.chunks_exact(dimension).zip(groups) {
        let group = group as usize;
        counts[group] += 1.0;
        let sum = &mut sums[group * dimension..(group + 1) * dimension];
        sum.iter_mut().zip(point).for_each(|(s, &x)| *s += f64::from(x));
    }
    for (group, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
        for at in group * dimension..(group + 1) * dimension {
            centres[at] = (sums[at] / count) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn two_clouds_are_two_groups() {
        let mut rng = SmallRng::seed_from_u64(1);
        let effort = Effort {
            starts: 10,
            rounds: 100,
        };
        let mut groups = |points: &[f32], k| k_means(points, 1, k, effort, &mut rng, &mut || true);
        let points = [0.0, 0.1, 5.0, 5.1, 0.05];
        assert_eq!(groups(&points, 2), Some(vec![0, 0, 1, 1, 0]));
        assert_eq!(groups(&points, 1), Some(vec![0; 5]));
        assert_eq!(groups(&[], 2), Some(vec![]));
        // Fewer places than groups.
        assert_eq!(groups(&[1.0, 1.0, 1.0], 2), Some(vec![0; 3]));
        assert_eq!(k_means(&points, 1, 2, effort, &mut rng, &mut || false), None);
    }

    #[test]
    fn refining_moves_what_is_nearer_elsewhere() {
        // Means 2.5 and 5.1: the point at 5 goes over, then the means are 0.05 and 5.05.
        let points = [5.0, 0.0, 0.1, 5.1];
        assert_eq!(
            refine(&points, 1, &[0, 0, 0, 1], 10, &mut || true),
            Some(vec![0, 1, 1, 0])
        );
        assert_eq!(
            refine(&points, 1, &[0, 0, 0, 1], 0, &mut || true),
            Some(vec![0, 0, 0, 1])
        );
        assert_eq!(refine(&points, 1, &[0, 0, 0, 1], 1, &mut || false), None);
        assert_eq!(refine(&[], 1, &[], 3, &mut || true), Some(vec![]));
    }
}
