//! Words of a text, as a lexical index counts them.

/// Bytes of a word that count; what follows is cut off.
const LONGEST: usize = 40;

/// Visits the words of a text in their order: runs of letters and digits in lower case, `camelCase` and `snake_case` taken
/// apart, each character of a script that writes without spaces a word of its own, English plurals and the endings `-ing` and
/// `-ed` and a last mute `e` taken off (after the manner of Harman's S stemmer, 1991: a light touch that never merges what begins differently).
///
/// Anything that is no letter and no digit only separates: control characters and marks of direction are in no word.
///
/// ```
/// let mut words = Vec::new();
/// fingerpost_index::words("getHTTPHeaders of snake_case files", &mut |word| words.push(word.to_owned()));
/// assert_eq!(words, ["get", "http", "header", "of", "snak", "cas", "fil"]);
/// ```
pub fn words(text: &str, visit: &mut impl FnMut(&str)) {
    let mut word = String::with_capacity(LONGEST);
    let mut end = |word: &mut String| {
        if !word.is_empty() {
            stem(word);
            visit(word);
            word.clear();
        }
    };
    let mut before = Class::Other;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let class = Class::of(c);
        let starts = match (before, class) {
            (_, Class::Other | Class::Alone) | (Class::Alone, _) => true,
            (Class::Lower | Class::Digit, Class::Upper) => true,
            // The last capital of a run begins the next word: HTTPHeaders.
            (Class::Upper, Class::Upper) => characters.peek().is_some_and(|n| Class::of(*n) == Class::Lower),
            _ => false,
        };
        if starts {
            end(&mut word);
        }
        if class != Class::Other {
            for lower in c.to_lowercase() {
                if word.len() + lower.len_utf8() <= LONGEST {
                    word.push(lower);
                }
            }
        }
        before = class;
    }
    end(&mut word);
}

#[derive(Clone, Copy, PartialEq)]
enum Class {
    Lower,
    Upper,
    Digit,
    /// A word by itself.
    Alone,
    Other,
}

// === impl Class ===

impl Class {
    fn of(c: char) -> Self {
        match c {
            'a'..='z' => Self::Lower,
            'A'..='Z' => Self::Upper,
            '0'..='9' => Self::Digit,
            '\0'..='\x7f' => Self::Other,
            // Kana, Han, Thai, Lao, Khmer.
            '\u{3040}'..='\u{30ff}'
            | '\u{3400}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{3ffff}'
            | '\u{e00}'..='\u{eff}'
            | '\u{1780}'..='\u{17ff}' => Self::Alone,
            c if c.is_uppercase() => Self::Upper,
            c if c.is_alphabetic() => Self::Lower,
            c if c.is_numeric() => Self::Digit,
            _ => Self::Other,
        }
    }
}

/// Takes an English ending off, where enough of the word is left.
fn stem(word: &mut String) {
    if word.len() < 4 || !word.is_ascii() {
        return;
    }
    let has_vowel = |stem: &str| stem.bytes().any(|b| b"aeiouy".contains(&b));
    if word.ends_with('s') {
        if word.ends_with("ies") && word.len() > 4 {
            word.truncate(word.len() - 3);
            word.push('y');
        } else if ["sses", "shes", "ches", "xes", "zes"]
            .iter()
            .any(|e| word.ends_with(e))
        {
            word.truncate(word.len() - 2);
        } else if !["ss", "us", "is"].iter().any(|e| word.ends_with(e)) {
            word.truncate(word.len() - 1);
        }
    }
    for ending in ["ing", "ed"] {
        let Some(rest) = word.strip_suffix(ending) else {
            continue;
        };
        if rest.len() >= 3 && has_vowel(rest) {
            word.truncate(rest.len());
            let bytes = word.as_bytes();
            let doubled = bytes.len() > 3
                && bytes.last() == bytes.get(bytes.len() - 2)
                && !b"lsz".contains(&bytes[bytes.len() - 1]);
            if doubled {
                word.pop();
            }
            break;
        }
    }
    // The mute e that -ing and -ed took with them: create, creating, created.
    if word.len() > 3 && word.ends_with('e') {
        word.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        words(text, &mut |word| all.push(word.to_owned()));
        all
    }

    #[test]
    fn names_are_taken_apart() {
        assert_eq!(of("readPDFFile"), ["read", "pdf", "fil"]);
        assert_eq!(of("math.factorial_v2"), ["math", "factorial", "v2"]);
        assert_eq!(of("  --  "), Vec::<String>::new());
        assert_eq!(of("sha256Sum"), ["sha256", "sum"]);
    }

    #[test]
    fn forms_of_one_word_meet() {
        for forms in [
            ["creates", "creating", "created"],
            ["files", "file", "filed"],
            ["queries", "query", "query"],
            ["running", "runs", "run"],
            ["batches", "batch", "batched"],
        ] {
            let stems: Vec<String> = forms.iter().flat_map(|f| of(f)).collect();
            assert!(stems.iter().all(|s| *s == stems[0]), "{stems:?}");
        }
        assert_eq!(of("news bus analysis class"), ["new", "bus", "analysis", "class"]);
    }

    #[test]
    fn other_scripts_and_hidden_marks() {
        assert_eq!(of("必应搜索 Über"), ["必", "应", "搜", "索", "über"]);
        assert_eq!(of("pay\u{202e}ment\u{0}"), ["pay", "ment"]);
        let long = "x".repeat(1000);
        assert_eq!(of(&long), [&long[..LONGEST]]);
    }
}
