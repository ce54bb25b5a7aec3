//! Near copies of one another.
//!
//! Two entries are kin where more than [`ALIKE`] of their neighbouring pairs of words are in both (Jaccard; the bound is
//! SkillRouter's). Entries of the same name are compared, and so are those that share the lowest hash of a band of their pairs
//! (min-wise hashing, Broder 1997), so that nobody compares all with all.

use rustc_hash::FxHashMap;

use super::lexical::Lexical;

const ALIKE: f32 = 0.6;
/// Bands of two hashes each.
const BANDS: u32 = 12;
/// Kin of one key beyond so many are compared with the first ones only.
const CROWD: usize = 32;

/// The first entry of each entry's family; entries without kin are their own.
pub(crate) fn families(names: &[String], lexical: &Lexical) -> Vec<u32> {
    let mut first: Vec<u32> = (0..names.len() as u32).collect();
    let mut keyed: FxHashMap<u64, Vec<u32>> = FxHashMap::default();
    for (entry, name) in (0_u32..).zip(names) {
        let mut keys = Vec::with_capacity(BANDS as usize + 1);
        let pairs = lexical.pairs(entry as usize);
        if !name.is_empty() {
            keys.push(text_hash(name));
        }
        if !pairs.is_empty() {
            for band in 0..BANDS {
                let lowest = |seed: u32| pairs.iter().map(|p| mixed(*p, seed)).min().unwrap_or(0);
                let band_key = u64::from(lowest(2 * band)) << 32 | u64::from(lowest(2 * band + 1));
                keys.push(band_key ^ u64::from(band).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            }
        }
        for key in keys {
            let kin = keyed.entry(key).or_default();
            for &other in kin.iter().take(CROWD) {
                let (a, b) = (root(&mut first, entry), root(&mut first, other));
                if a != b && jaccard(pairs, lexical.pairs(other as usize)) > ALIKE {
                    first[a.max(b) as usize] = a.min(b);
                }
            }
            kin.push(entry);
        }
    }
    (0..first.len() as u32)
        .map(|entry| root(&mut first, entry))
        .collect()
}

fn root(first: &mut [u32], mut entry: u32) -> u32 {
    while first[entry as usize] != entry {
        first[entry as usize] = first[first[entry as usize] as usize];
        entry = first[entry as usize];
    }
    entry
}

/// Shared of all, over two sorted sets; two empty sets have nothing in common.
pub(crate) fn jaccard(a: &[u32], b: &[u32]) -> f32 {
    let (mut i, mut j, mut both) = (0, 0, 0_usize);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        both += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    let all = a.len() + b.len() - both;
    if all == 0 { 0.0 } else { both as f32 / all as f32 }
}

fn mixed(value: u32, seed: u32) -> u32 {
    let mut x = value ^ seed.wrapping_mul(0x9e37_79b1);
    x = (x ^ x >> 16).wrapping_mul(0x7feb_352d);
    x = (x ^ x >> 15).wrapping_mul(0x846c_a68b);
    x ^ x >> 16
}

fn text_hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entry, Kind, skill_router::words::Stem};

    #[test]
    fn near_copies_are_kin() {
        let entry = |name: &str, description: &str| Entry {
            description: description.to_owned(),
            ..Entry::named(name, Kind::Skill)
        };
        let entries = [
            entry("weather", "tells the weather of a city for the next seven days"),
            entry("mail", "sends an email to a person of the address book"),
            entry(
                "forecast",
                "tells the weather of a city for the next seven days ahead",
            ),
            entry("weather", "is something else altogether in spite of its name"),
        ];
        let names: Vec<String> = entries.iter().map(|e| e.name.clone()).collect();
        let lexical = Lexical::new(&entries, Stem::Light);
        assert_eq!(families(&names, &lexical), [0, 1, 0, 3]);
    }

    #[test]
    fn jaccard_by_hand() {
        assert_eq!(jaccard(&[1, 2, 3], &[2, 3, 4, 5]), 0.4);
        assert_eq!((jaccard(&[], &[]), jaccard(&[1], &[])), (0.0, 0.0));
    }
}
