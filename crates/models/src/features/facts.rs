//! Plain facts of a text: what its form gives away of the kind of question it is.

/// How many facts there are.
pub const FACTS: usize = 32;

/// What each fact is. Logarithms are natural, of one more than the count; shares are of all bytes.
pub const FACT_NAMES: [&str; FACTS] = [
    "log bytes",
    "log words",
    "bytes a word",
    "share of digits",
    "share of capitals",
    "share of marks",
    "log line feeds",
    "share of non-ASCII",
    "log lettered options",
    "log signs of code",
    "log signs of formulas",
    "log question marks",
    "ends in a question mark",
    "ends in a full stop",
    "ends in a colon",
    "begins with a question word",
    "begins with a small letter",
    "begins with a capital",
    "log blanks to fill",
    "log dollar amounts",
    "log numbers",
    "commas a word",
    "asks for a boxed answer",
    "defines a function",
    "begins with `write`",
    "quotation marks a word",
    "log longest line",
    "log sentences",
    "log digits of the longest number",
    "log words of rates",
    "log words of multiples",
    "log words of comparison",
];

const QUESTION_WORDS: [&str; 7] = ["what", "who", "when", "where", "which", "how", "why"];
// What word problems are made of: how many steps a question takes shows in them.
const RATES: [&str; 6] = ["each", "every", "per", "%", "percent", "apiece"];
const MULTIPLES: [&str; 10] = [
    "half", "twice", "double", "triple", "third", "thirds", "quarter", "quarters", "times", "thrice",
];
const COMPARISONS: [&str; 10] = [
    "more",
    "less",
    "fewer",
    "than",
    "remaining",
    "left",
    "rest",
    "total",
    "altogether",
    "difference",
];
const CODE: [&str; 8] = [
    ">>>", "return ", "assert ", "function", "import ", "int ", "{", ";\n",
];

/// The facts of a text; of an empty one all are 0.
pub(super) fn of(text: &str) -> [f32; FACTS] {
    if text.is_empty() {
        return [0.0; FACTS];
    }
    let bytes = text.as_bytes();
    let length = bytes.len() as f32;
    let count = |is: fn(u8) -> bool| bytes.iter().filter(|b| is(**b)).count() as f32;
    let share = |is: fn(u8) -> bool| count(is) / length;
    let flag = |yes: bool| f32::from(u8::from(yes));
    let pairs = |first: fn(u8) -> bool, second: fn(u8) -> bool| {
        bytes.windows(2).filter(|w| first(w[0]) && second(w[1])).count() as f32
    };
    // Every run but one at the very beginning begins after a byte that is not of it.
    let runs = |is: fn(u8) -> bool| {
        let inner = bytes.windows(2).filter(|w| !is(w[0]) && is(w[1])).count();
        inner as f32 + flag(is(bytes[0]))
    };
    let words = text.split_whitespace().count().max(1) as f32;
    let first_word = text.split_whitespace().next().unwrap_or_default().to_lowercase();
    let first = text.trim_start().chars().next().unwrap_or(' ');
    let last = text.trim_end().chars().next_back().unwrap_or(' ');
    let longest = text.lines().map(str::len).max().unwrap_or(0) as f32;
    let options = text.lines().filter(|line| is_option(line)).count() as f32;
    let code: usize = CODE.iter().map(|sign| text.matches(sign).count()).sum();
    let number = bytes
        .split(|b| !b.is_ascii_digit())
        .map(<[u8]>::len)
        .max()
        .unwrap_or(0) as f32;
    let [rates, multiples, comparisons] = occurrences(text, [&RATES, &MULTIPLES, &COMPARISONS]);
    let formulas = count(|b| b == b'$') + pairs(|b| b == b'\\', |b| b.is_ascii_lowercase());
    [
        length.ln_1p(),
        words.ln_1p(),
        length / words,
        share(|b| b.is_ascii_digit()),
        share(|b| b.is_ascii_uppercase()),
        share(|b| b.is_ascii_punctuation()),
        count(|b| b == b'\n').ln_1p(),
        share(|b| !b.is_ascii()),
        options.ln_1p(),
        (code as f32).ln_1p(),
        formulas.ln_1p(),
        count(|b| b == b'?').ln_1p(),
        flag(last == '?'),
        flag(last == '.'),
        flag(last == ':'),
        flag(QUESTION_WORDS.contains(&first_word.as_str())),
        flag(first.is_lowercase()),
        flag(first.is_uppercase()),
        runs(|b| b == b'_').ln_1p(),
        pairs(|b| b == b'$', |b| b.is_ascii_digit()).ln_1p(),
        runs(|b| b.is_ascii_digit()).ln_1p(),
        count(|b| b == b',') / words,
        flag(text.contains("boxed")),
        flag(text.contains("def ")),
        flag(first_word == "write"),
        count(|b| b == b'"') / words,
        longest.ln_1p(),
        pairs(|b| matches!(b, b'.' | b'!' | b'?'), |b| b.is_ascii_whitespace()).ln_1p(),
        number.ln_1p(),
        rates.ln_1p(),
        multiples.ln_1p(),
        comparisons.ln_1p(),
    ]
}

/// How often words of each of three lists occur, whatever their case; `5%` has the word `%`.
fn occurrences(text: &str, lists: [&[&str]; 3]) -> [f32; 3] {
    let mut counts = [0.0; 3];
    let letters = |c: char| c.is_ascii_alphabetic();
    let words = text
        .split(|c: char| !letters(c) && c != '%')
        .filter(|w| !w.is_empty());
    for word in words {
        for (count, list) in counts.iter_mut().zip(lists) {
            *count += f32::from(u8::from(list.iter().any(|w| w.eq_ignore_ascii_case(word))));
        }
    }
    counts
}

/// Whether a line begins with a lettered option: `A)`, `(b)`, `C.`, `D:`.
fn is_option(line: &str) -> bool {
    let line = line.trim_start().trim_start_matches('(').as_bytes();
    matches!(line, [b'A'..=b'E' | b'a'..=b'e', b'.' | b')' | b':', ..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn facts_of_a_small_text() {
        // 27 bytes, 7 words.
        let text = "What is $12, or 34?\nA) yes.";
        let facts = of(text);
        for (name, expected) in [
            ("log bytes", 28_f32.ln()),
            ("log words", 8_f32.ln()),
            ("bytes a word", 27.0 / 7.0),
            ("share of digits", 4.0 / 27.0),
            ("share of capitals", 2.0 / 27.0),
            ("log line feeds", 2_f32.ln()),
            ("log lettered options", 2_f32.ln()),
            ("log question marks", 2_f32.ln()),
            ("ends in a full stop", 1.0),
            ("ends in a question mark", 0.0),
            ("begins with a question word", 1.0),
            ("begins with a capital", 1.0),
            ("log dollar amounts", 2_f32.ln()),
            ("log numbers", 3_f32.ln()),
            ("commas a word", 1.0 / 7.0),
            ("log longest line", 20_f32.ln()),
            ("log sentences", 2_f32.ln()),
        ] {
            let found = facts[FACT_NAMES.iter().position(|n| *n == name).unwrap()];
            assert!((found - expected).abs() < 1e-6, "{name}: {found} for {expected}");
        }
    }

    #[test]
    fn what_word_problems_are_made_of() {
        let facts = of("Each pays 5%, twice as much as 1024 others: how many more are left than half?");
        for (name, expected) in [
            ("log digits of the longest number", 5_f32.ln()),
            ("log words of rates", 3_f32.ln()),
            ("log words of multiples", 3_f32.ln()),
            ("log words of comparison", 4_f32.ln()),
        ] {
            let found = facts[FACT_NAMES.iter().position(|n| *n == name).unwrap()];
            assert!((found - expected).abs() < 1e-6, "{name}: {found} for {expected}");
        }
    }

    #[test]
    fn options_stand_at_the_head_of_lines() {
        assert!(is_option("A) one") && is_option("  (b) two") && is_option("C: three"));
        assert!(!is_option("A dog barks.") && !is_option("") && !is_option("1) one"));
    }

    proptest! {
        #[test]
        fn facts_of_any_text_are_finite(text in "\\PC{0,200}") {
            prop_assert!(of(&text).iter().all(|f| f.is_finite()));
        }
    }
}
