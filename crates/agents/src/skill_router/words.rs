//! What a text's terms are.
//!
//! Runs of letters and digits, lower-cased, with `camelCase` and `ABCWord` split where a new word begins; letters of scripts
//! without spaces stand alone. A light stem (plurals, `-ing`, `-ed`) lets a request's "cats" meet a tool's "cat"; words of up to
//! three letters stay as they are.

/// Whether terms are brought to their stem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stem {
    /// As they stand.
    No,
    /// Without the usual English endings.
    Light,
}

/// Hands each term of a text on, in order.
pub(crate) fn each_term(text: &str, stem: Stem, mut take: impl FnMut(&str)) {
    let mut word = String::new();
    let mut flush = |word: &mut String| {
        if !word.is_empty() {
            take(match stem {
                Stem::No => word.as_str(),
                Stem::Light => stem_of(word),
            });
            word.clear();
        }
    };
    let mut before = ' ';
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if !letter.is_alphanumeric() {
            flush(&mut word);
        } else if stands_alone(letter) {
            flush(&mut word);
            word.push(letter);
            flush(&mut word);
        } else {
            let begins = letter.is_uppercase()
                && (before.is_lowercase()
                    || before.is_uppercase() && letters.peek().is_some_and(|after| after.is_lowercase()));
            if begins {
                flush(&mut word);
            }
            word.extend(letter.to_lowercase());
        }
        before = letter;
    }
    flush(&mut word);
}

/// A name as words: `getUserInfo_v2` is "get user info v2".
pub(crate) fn spoken(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 8);
    each_term(name, Stem::No, |term| {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(term);
    });
    words
}

/// Han, kana and hangul.
fn stands_alone(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}')
}

/// A word without its usual ending; only letters of ASCII are cut off, so the cut is at a letter's border.
fn stem_of(word: &str) -> &str {
    if word.len() <= 3 || !word.is_ascii() {
        return word;
    }
    let cut = |ending: &str, at_least: usize| word.strip_suffix(ending).filter(|stem| stem.len() >= at_least);
    // "sses" before "es", "ss" is no plural.
    if let Some(stem) = cut("sses", 2) {
        return &word[..stem.len() + 2];
    }
    let word = match word.strip_suffix('s') {
        Some(stem) if !stem.ends_with(['s', 'u', 'i']) => stem,
        _ => word,
    };
    let cut = |ending: &str, at_least: usize| word.strip_suffix(ending).filter(|stem| stem.len() >= at_least);
    let stem = cut("ing", 4)
        .or_else(|| cut("ed", 4))
        .or_else(|| cut("ly", 4))
        .unwrap_or(word);
    // "planned" and "plan", "create" and "creating" meet without the last letter.
    let stem = match stem.as_bytes() {
        [.., a, b] if stem.len() < word.len() && a == b && !matches!(b, b'l' | b's' | b'z' | b'e') => {
            &stem[..stem.len() - 1]
        }
        _ => stem,
    };
    stem.strip_suffix(['e', 'y', 'i'])
        .filter(|s| s.len() >= 3)
        .unwrap_or(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str, stem: Stem) -> Vec<String> {
        let mut terms = Vec::new();
        each_term(text, stem, |t| terms.push(t.to_owned()));
        terms
    }

    #[test]
    fn camel_case_is_split_where_a_word_begins() {
        assert_eq!(
            terms("getHTTPServer_v2", Stem::No),
            ["get", "http", "server", "v2"]
        );
        assert_eq!(
            terms("Trains_1_FindTrains", Stem::No),
            ["trains", "1", "find", "trains"]
        );
        assert_eq!(terms("天气 now", Stem::No), ["天", "气", "now"]);
        assert_eq!(spoken("math.factorial"), "math factorial");
    }

    #[test]
    fn forms_of_a_word_meet() {
        for forms in [
            &["plan", "plans", "planned", "planning"][..],
            &["create", "creates", "creating", "created"],
            &["convert", "converting", "converts"],
            &["class", "classes"],
        ] {
            let stems: Vec<String> = forms.iter().flat_map(|f| terms(f, Stem::Light)).collect();
            assert!(stems.windows(2).all(|w| w[0] == w[1]), "{stems:?}");
        }
        assert_eq!(terms("bus gas is", Stem::Light), ["bus", "gas", "is"]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_legal(text in ".{0,60}") {
            each_term(&text, Stem::Light, |term| assert!(!term.is_empty()));
        }
    }
}
