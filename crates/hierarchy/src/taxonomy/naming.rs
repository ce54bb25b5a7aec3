//! Names for groups of texts: terms that are frequent in the group and rare in its siblings (class TF-IDF).

use rustc_hash::{FxHashMap, FxHashSet};

/// Terms in a name.
const TERMS: usize = 3;
/// Terms kept a group, so that a clash of names can be solved by adding one.
const SPARE: usize = 8;

/// Lower-case words of at least two characters.
pub(crate) fn terms(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '\''))
        .map(|word| word.trim_matches('\'').to_lowercase())
        .filter(|word| word.chars().nth(1).is_some())
}

/// A name for every group of texts, unlike its siblings' and unlike `taken`.
///
/// Weight of a term: its share of the group's texts x ln(1 + siblings' mean share / its share over all siblings) with the
/// mean taken over groups, so that a term that all siblings have weighs next to nothing. `groups` hold places in `texts`; a place
/// that is none counts as an empty text. Cost: the words of all texts.
pub fn names(texts: &[&str], groups: &[&[u32]], taken: &str) -> Vec<String> {
    let counts: Vec<FxHashMap<String, f64>> = groups.iter().map(|group| shares(texts, group)).collect();
    let mut all: FxHashMap<&str, (f64, f64)> = FxHashMap::default();
    for count in &counts {
        for (term, share) in count {
            let (sum, groups) = all.entry(term).or_default();
            *sum += share;
            *groups += 1.0;
        }
    }
    let above: FxHashSet<String> = terms(taken).collect();
    let siblings = groups.len() as f64;
    let mut used: FxHashSet<String> = FxHashSet::default();
    let mut names = Vec::with_capacity(groups.len());
    for (number, count) in counts.iter().enumerate() {
        let weigh = |(term, share): (&String, &f64)| {
            let (sum, _) = all.get(term.as_str()).copied().unwrap_or((*share, 1.0));
            let excess = share / (sum / siblings).max(f64::MIN_POSITIVE);
            let letters = term.chars().any(char::is_alphabetic) && term.len() > 2;
            let weight = share
                * (if siblings > 1.0 {
                    (1.0 + excess).ln() * excess.min(4.0)
                } else {
                    1.0
                });
            (
                weight * if above.contains(term) { 0.25 } else { 1.0 } * if letters { 1.0 } else { 0.1 },
                term.clone(),
            )
        };
        let mut best: Vec<(f64, String)> = count.iter().map(weigh).collect();
        best.sort_by(|x, y| y.0.total_cmp(&x.0).then_with(|| x.1.cmp(&y.1)));
        best.truncate(SPARE);
        let best: Vec<String> = best.into_iter().map(|(_, term)| term).collect();
        let candidates = (TERMS..=SPARE).map(|n| {
            best.iter()
                .take(n)
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        });
        let free = candidates
            .filter(|name| !name.is_empty())
            .find(|name| !used.contains(name));
        let name = free.unwrap_or_else(|| {
            let stem = if best.is_empty() {
                "group".to_owned()
            } else {
                best.join(", ")
            };
            format!("{stem} ({})", number + 1)
        });
        used.insert(name.clone());
        names.push(name);
    }
    names
}

/// The words that most texts hold, the commonest first, of equals in the order of the alphabet. Words of fewer than four letters
/// are left out: most of them have a grammatical task only.
pub(crate) fn common_words(texts: &[&str], most: usize) -> Vec<String> {
    let all: Vec<u32> = (0..texts.len() as u32).collect();
    let mut words: Vec<(f64, String)> = shares(texts, &all)
        .into_iter()
        .filter(|(word, _)| word.chars().count() > 3 && word.chars().all(char::is_alphabetic))
        .map(|(word, share)| (share, word))
        .collect();
    words.sort_by(|x, y| y.0.total_cmp(&x.0).then_with(|| x.1.cmp(&y.1)));
    words.into_iter().take(most).map(|(_, word)| word).collect()
}

/// Share of the group's texts that hold each term.
fn shares(texts: &[&str], group: &[u32]) -> FxHashMap<String, f64> {
    let mut counts: FxHashMap<String, f64> = FxHashMap::default();
    for &item in group {
        let text = texts.get(item as usize).copied().unwrap_or_default();
        for term in terms(text).collect::<FxHashSet<String>>() {
            *counts.entry(term).or_default() += 1.0;
        }
    }
    counts
        .values_mut()
        .for_each(|count| *count /= group.len().max(1) as f64);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_siblings_apart() {
        let texts = [
            "my card please",
            "a card please",
            "the loan please",
            "some loan please",
        ];
        let names = names(&texts, &[&[0, 1], &[2, 3]], "");
        assert!(
            names[0].starts_with("card") && names[1].starts_with("loan"),
            "{names:?}"
        );
        assert_ne!(
            super::names(&["", ""], &[&[0], &[1]], "")[0],
            super::names(&["", ""], &[&[0], &[1]], "")[1]
        );
    }

    #[test]
    fn common_words_are_counted_once_a_text() {
        assert_eq!(
            common_words(&["card card card", "loan from me", "loan card"], 2),
            ["card", "loan"]
        );
    }
}
