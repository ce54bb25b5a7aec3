//! What two answers have in common: their words after normalisation, and the short answer that a text comes to.
//!
//! Pure text, no model: for grading against a reference (exact match and token F1, as question answering is graded), and for
//! telling whether two models gave the same answer.

use rustc_hash::FxHashMap;

/// Longest text, in words, that is a short answer as a whole.
const SHORT_WORDS: usize = 8;
/// Of a long text so many characters at the end are searched for what it comes to.
const TAIL: usize = 240;
/// After these the answer stands.
const MARKERS: [&str; 9] = [
    "####",
    "answer is",
    "answer:",
    "final answer",
    "option is",
    "therefore",
    "thus",
    "correct option",
    "so,",
];

/// Lower case, without punctuation and English articles, words parted by one space.
///
/// ```
/// assert_eq!(fingerpost_models::normalise(" The  Eiffel-Tower, "), "eiffel tower");
/// ```
pub fn normalise(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty() && !matches!(*w, "a" | "an" | "the"));
    words.collect::<Vec<_>>().join(" ")
}

/// Whether two answers are the same after normalisation. Two answers without words are not.
pub fn exact_match(answer: &str, reference: &str) -> bool {
    let answer = normalise(answer);
    !answer.is_empty() && answer == normalise(reference)
}

/// The harmonic mean of how many of the answer's words the reference has and the other way round, 0 to 1.
pub fn token_f1(answer: &str, reference: &str) -> f64 {
    let (answer, reference) = (normalise(answer), normalise(reference));
    let count = |text: &str| text.split_whitespace().count() as f64;
    let mut left: FxHashMap<&str, u32> = FxHashMap::default();
    for word in reference.split_whitespace() {
        *left.entry(word).or_default() += 1;
    }
    let mut common = 0.0;
    for word in answer.split_whitespace() {
        if let Some(n) = left.get_mut(word).filter(|n| **n > 0) {
            *n -= 1;
            common += 1.0;
        }
    }
    if common > 0.0 {
        2.0 * common / (count(&answer) + count(&reference))
    } else {
        0.0
    }
}

/// The short answer that a text comes to: what it puts in a box, an option's letter, a number after the words that announce
/// one, or the whole of a text of a few words. `None` where there is no telling.
pub(crate) fn short(text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(boxed) = boxed(text) {
        return Some(number(boxed).unwrap_or_else(|| normalise(boxed))).filter(|b| !b.is_empty());
    }
    if let Some(letter) = leading_option(text) {
        return Some(letter);
    }
    let announced = announced(text);
    if let Some(letter) = announced.and_then(option_within) {
        return Some(letter);
    }
    if let Some(number) = announced.and_then(last_number) {
        return Some(number);
    }
    if text.split_whitespace().count() > SHORT_WORDS {
        return None;
    }
    Some(number(text).unwrap_or_else(|| normalise(text))).filter(|s| !s.is_empty())
}

/// Whether two texts give the same answer: the same short one where both come to one, else nearly the same words.
pub(crate) fn agree(a: &str, b: &str) -> bool {
    const NEAR: f64 = 0.8;
    match (short(a), short(b)) {
        (Some(a), Some(b)) => a == b,
        _ => token_f1(a, b) >= NEAR,
    }
}

/// What stands in the last `\boxed{..}`.
fn boxed(text: &str) -> Option<&str> {
    const OPENING: &str = "\\boxed{";
    let inside = &text[text.rfind(OPENING)? + OPENING.len()..];
    let mut depth = 1;
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(inside[..at].trim());
        }
    }
    None
}

/// An option's letter that the text begins with: `(B)`, `B.`, `B)`, `B:`, or alone.
fn leading_option(text: &str) -> Option<String> {
    let (opened, rest) = text.strip_prefix('(').map_or((false, text), |rest| (true, rest));
    let letter = rest.chars().next().filter(char::is_ascii_uppercase)?;
    let after = rest[1..].chars().next();
    let closed = match after {
        None => true,
        Some(')') => true,
        Some('.' | ':') => !opened && !rest[2..].starts_with(|c: char| c.is_alphanumeric()),
        _ => false,
    };
    closed.then(|| letter.to_string())
}

/// The end of the text after the last words that announce an answer.
fn announced(text: &str) -> Option<&str> {
    let from = text.len().saturating_sub(TAIL);
    let tail = &text[text.ceil_char_boundary(from)..];
    let lower = tail.to_ascii_lowercase();
    let ends = MARKERS.iter().filter_map(|m| Some(lower.rfind(m)? + m.len()));
    // ASCII lower case keeps the places of bytes.
    ends.max().map(|at| &tail[at..])
}

/// An option's letter in brackets, or the first word where it is one: `is (B)`, `: B.`.
fn option_within(text: &str) -> Option<String> {
    let open = text.find('(').map(|at| &text[at + 1..]);
    let bracketed = open.and_then(|rest| {
        let letter = rest.chars().next().filter(char::is_ascii_uppercase)?;
        rest[1..].starts_with(')').then(|| letter.to_string())
    });
    bracketed.or_else(|| {
        let text = text.trim_start_matches(|c: char| !c.is_alphanumeric());
        let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
        let word = &text[..end];
        let is_letter = word.len() == 1 && word.starts_with(|c: char| c.is_ascii_uppercase());
        // "I" and "A" begin sentences: only as the last word or before a mark are they options.
        let rest = &text[end..];
        let ends = rest.is_empty() || rest.starts_with(['.', ')', ':', '\n', ',']);
        (is_letter && ends).then(|| word.to_owned())
    })
}

/// The last number of a text, as it is compared.
fn last_number(text: &str) -> Option<String> {
    let numeric = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
    let mut end = text.rfind(|c: char| c.is_ascii_digit())? + 1;
    let begin = text[..end]
        .rfind(|c: char| !numeric(c))
        .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    let mut digits = &text[begin..end];
    while let Some(rest) = digits.strip_prefix(['.', ',']) {
        digits = rest;
        end = end.saturating_sub(1);
    }
    let negative = text[..begin].ends_with('-');
    number(digits).map(|n| if negative { format!("-{n}") } else { n })
}

/// A text that is a number and nothing else but a currency, a percent sign or separators, as it is compared.
fn number(text: &str) -> Option<String> {
    let bare: String = text
        .trim()
        .trim_start_matches(['$', '\\'])
        .trim_end_matches(['.', '%', '\\'])
        .replace([',', ' ', '$'], "");
    let value: f64 = bare.parse().ok().filter(|v: &f64| v.is_finite())?;
    bare.contains(|c: char| c.is_ascii_digit())
        .then(|| format!("{value}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn grades_on_hand_computed_numbers() {
        assert!(exact_match("The  Beatles!", "beatles"));
        assert!(!exact_match("", "") && !exact_match("the", "a"));
        // Two of three words of the answer, two of two of the reference.
        assert!((token_f1("red cross society", "the Red Cross") - 0.8).abs() < 1e-12);
        // A word counts as often as both have it.
        assert!((token_f1("no no", "no") - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((token_f1("x", "y"), token_f1("", "")), (0.0, 0.0));
    }

    #[test]
    fn what_a_text_comes_to() {
        for (text, expected) in [
            ("(B)", Some("B")),
            ("C", Some("C")),
            (
                " A. often have to be made quickly and without any authorization.",
                Some("A"),
            ),
            ("B) street", Some("B")),
            (
                "Reading the clues one by one, we see that the answer is (D) text, as they say.",
                Some("D"),
            ),
            ("The correct option is the last one. Answer: C.", Some("C")),
            (
                "Adding up gives 840 + 756, that is \\boxed{1,596}. Done, as I said before it.",
                Some("1596"),
            ),
            ("\\boxed{\\frac{1}{2}}", Some("frac 1 2")),
            (
                "We know that 40% are boys. Therefore, there are $1,360.50 girls in the school.",
                Some("1360.5"),
            ),
            (
                "After a long way of many words the result is found: #### -7",
                Some("-7"),
            ),
            ("42.0", Some("42")),
            ("The Red Cross", Some("red cross")),
            ("A man walks down the street and sees a dog that he knows", None),
            (
                "It was in 1901 that the committee was founded by him, as many books tell us",
                None,
            ),
            ("", None),
            ("...", None),
        ] {
            assert_eq!(short(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn answers_agree_by_what_they_come_to_or_by_their_words() {
        assert!(agree("(B)", "After some thought I say that the answer is B."));
        assert!(!agree("(B)", "(C)"));
        let long = "the animals died after somebody took the bush away from where they used to live";
        assert!(agree(long, &long.replace("bush", "shrub")));
        assert!(!agree(
            long,
            "nobody knows why any of this should have happened to them at all, say experts"
        ));
    }

    proptest! {
        #[test]
        fn any_text_is_read(a in "\\PC{0,400}", b in "[(A-D).,:$0-9\\\\boxed{} #answeri-]{0,80}") {
            for text in [&a, &b] {
                let found = short(text);
                prop_assert!(found.is_none_or(|f| !f.is_empty()));
            }
            let f1 = token_f1(&a, &b);
            prop_assert!((0.0..=1.0).contains(&f1));
            prop_assert_eq!(f1, token_f1(&b, &a));
        }
    }
}
