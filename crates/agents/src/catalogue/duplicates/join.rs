//! Pairs of texts that share more than so much of their trigrams of words, without comparing all.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Trigrams that a text needs to be compared at all: of fewer, chance is too great a part.
const FEWEST: usize = 5;

/// Visits pairs whose Jaccard coefficient is above `least`. The visitor is asked with `None` first whether the pair is
/// worth comparing, and then told the coefficient.
///
/// Two sets that are so alike share one of the rarest trigrams of each, and neither is much smaller (Bayardo et al. 2007).
pub(super) fn pairs(texts: &[&str], least: f32, visit: &mut dyn FnMut(usize, usize, Option<f32>) -> bool) {
    if least >= 1.0 {
        return;
    }
    let least = f64::from(least.max(0.0));
    let mut sets: Vec<(usize, Vec<u64>)> = Vec::new();
    let mut equal: HashMap<Vec<u64>, usize> = HashMap::new();
    for (at, text) in texts.iter().enumerate() {
        let set = trigrams(text);
        if set.len() < FEWEST {
            continue;
        }
        match equal.get(&set) {
            // Equal sets are compared once for all, however many there are.
            Some(first) => drop(visit(*first, at, None) && visit(*first, at, Some(1.0))),
            None => {
                equal.insert(set.clone(), at);
                sets.push((at, set));
            }
        }
    }
    drop(equal);
    let mut held: HashMap<u64, u32> = HashMap::new();
    for trigram in sets.iter().flat_map(|(_, set)| set) {
        *held.entry(*trigram).or_default() += 1;
    }
    sets.sort_by_key(|(at, set)| (set.len(), *at));
    let mut lists: HashMap<u64, Vec<u32>> = HashMap::new();
    // The last set that looked at each, so that none is looked at twice.
    let mut looked = vec![u32::MAX; sets.len()];
    for (now, (at, set)) in sets.iter().enumerate() {
        let mut rarest = set.clone();
        rarest.sort_unstable_by_key(|t| (held.get(t).copied(), *t));
        let prefix = set.len() - (least * set.len() as f64).ceil() as usize + 1;
        for trigram in rarest.iter().take(prefix) {
            // Whom nobody shares leads nowhere.
            if held.get(trigram).is_none_or(|count| *count < 2) {
                continue;
            }
            let list = lists.entry(*trigram).or_default();
            for other in list.iter() {
                let (other_at, other_set) = &sets[*other as usize];
                if looked[*other as usize] == now as u32
                    || (other_set.len() as f64) < least * set.len() as f64
                {
                    continue;
                }
                looked[*other as usize] = now as u32;
                if visit(*other_at, *at, None) {
                    let jaccard = jaccard(set, other_set);
                    if f64::from(jaccard) > least {
                        visit(*other_at, *at, Some(jaccard));
                    }
                }
            }
            list.push(now as u32);
        }
    }
}

/// The trigrams of words of a text as numbers, rising, each once.
fn trigrams(text: &str) -> Vec<u64> {
    let mut words: Vec<u64> = Vec::new();
    fingerpost_index::words(text, &mut |word| words.push(hash(&word)));
    let mut all: Vec<u64> = words.windows(3).map(hash).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Of two rising lists.
fn jaccard(one: &[u64], other: &[u64]) -> f32 {
    let (mut a, mut b, mut shared) = (0, 0, 0_usize);
    while let (Some(x), Some(y)) = (one.get(a), other.get(b)) {
        a += usize::from(x <= y);
        b += usize::from(y <= x);
        shared += usize::from(x == y);
    }
    shared as f32 / (one.len() + other.len() - shared).max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(texts: &[&str], least: f32) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        pairs(texts, least, &mut |one, other, score| {
            if score.is_some() {
                all.push((one.min(other), one.max(other)));
            }
            true
        });
        all.sort_unstable();
        all
    }

    #[test]
    fn by_hand() {
        assert!((jaccard(&[1, 2, 3, 4], &[2, 3, 5]) - 0.4).abs() < 1e-6);
        let one = "read the file and count the words that are in it";
        // Eleven words, nine trigrams; the last word differs, so eight of ten are shared.
        let other = "read the file and count the words that are in them";
        let third = "something else that has nothing to do with any of those";
        assert_eq!(found(&[one, third, other, one], 0.6), [(0, 2), (0, 3)]);
        assert_eq!(found(&[one, other], 0.8), []);
        assert_eq!(found(&["a b c", "a b c"], 0.6), []);
        assert_eq!(found(&[one, one], 1.0), []);
    }

    proptest! {
        #[test]
        fn none_is_missed_and_none_too_many(
            texts in proptest::collection::vec("([ab] ){5,12}", 2..14), least in 0.1_f32..0.95
        ) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let sets: Vec<Vec<u64>> = texts.iter().map(|t| trigrams(t)).collect();
            let mut firsts: Vec<usize> = Vec::new();
            let mut expected = Vec::new();
            for at in 0..sets.len() {
                if sets[at].len() < FEWEST {
                    continue;
                }
                if let Some(first) = firsts.iter().find(|f| sets[**f] == sets[at]) {
                    expected.push((*first, at));
                    continue;
                }
                for first in &firsts {
                    if f64::from(jaccard(&sets[*first], &sets[at])) > f64::from(least) {
                        expected.push((*first, at));
                    }
                }
                firsts.push(at);
            }
            expected.sort_unstable();
            prop_assert_eq!(found(&texts, least), expected);
        }
    }
}
