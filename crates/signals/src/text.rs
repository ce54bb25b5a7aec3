//! Units of text: what counts as a word, and where a word ends, in scripts with and without blanks.

/// Whether `c` belongs to a script of Chinese, Japanese or Korean. Each such character counts as a unit of its own.
pub(crate) fn is_cjk(c: char) -> bool {
    matches!(u32::from(c),
        0x1100..=0x11FF | 0x3040..=0x30FF | 0x3130..=0x318F | 0x31F0..=0x31FF | 0x3400..=0x4DBF
        | 0x4E00..=0x9FFF | 0xAC00..=0xD7AF | 0xF900..=0xFAFF | 0xFF66..=0xFF9D | 0x20000..=0x2FA1F)
}

/// A letter, digit or `_` of a script that writes blanks between words.
fn joins(c: char) -> bool {
    c == '_' || (c.is_alphanumeric() && !is_cjk(c))
}

/// Whether `text[start..end]` stands alone there: not cut out of a longer word. In CJK scripts every place will do.
pub(crate) fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let found = &text[start..end];
    let open =
        |inner: Option<char>, outer: Option<char>| !(inner.is_some_and(joins) && outer.is_some_and(joins));
    open(found.chars().next(), text[..start].chars().next_back())
        && open(found.chars().next_back(), text[end..].chars().next())
}

/// Words as byte ranges: each CJK character, and each run of other letters, digits and `_`.
pub(crate) fn words(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at;
            at = end_of_run(text, start);
            if at > start {
                return Some((start, at));
            }
            let c = text[start..].chars().next()?;
            at = start + c.len_utf8();
            if is_cjk(c) {
                return Some((start, at));
            }
        }
    })
}

/// Where the run of characters that [join](joins) ends. Several families cut every text into words, so ASCII takes a short way.
fn end_of_run(text: &str, mut at: usize) -> usize {
    while let Some(&byte) = text.as_bytes().get(at) {
        if byte.is_ascii() {
            if !IN_WORD[usize::from(byte)] {
                break;
            }
            at += 1;
        } else {
            match text[at..].chars().next() {
                Some(c) if joins(c) => at += c.len_utf8(),
                _ => break,
            }
        }
    }
    at
}

/// Which ASCII characters [join](joins).
const IN_WORD: [bool; 128] = {
    let mut table = [false; 128];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || byte == b'_' as usize;
        byte += 1;
    }
    table
};

/// Text units: each CJK character is one, each run of other letters or digits is one, punctuation none.
pub(crate) fn units(text: &str) -> usize {
    let mut count = 0;
    let mut in_run = false;
    for c in text.chars() {
        let cjk = is_cjk(c) && c.is_alphanumeric();
        let letter = !cjk && c.is_alphanumeric();
        if cjk || (letter && !in_run) {
            count += 1;
        }
        in_run = letter;
    }
    count
}

/// The longest prefix of at most `bytes` bytes that ends between characters.
pub(crate) fn head(text: &str, bytes: usize) -> &str {
    if bytes >= text.len() {
        return text;
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The longest suffix of at most `bytes` bytes that starts between characters.
pub(crate) fn tail(text: &str, bytes: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_count_cjk_by_character_and_the_rest_by_run() {
        assert_eq!(units("请用Python写一个排序函数。"), 9 + 1);
        assert_eq!(units("don't stop, now!"), 4);
        assert_eq!(units("..."), 0);
        assert_eq!(units(""), 0);
    }

    #[test]
    fn words_of_both_kinds() {
        let text = "ab 紧急x, c_1";
        let found: Vec<&str> = words(text).map(|(s, e)| &text[s..e]).collect();
        assert_eq!(found, ["ab", "紧", "急", "x", "c_1"]);
    }

    proptest::proptest! {
        #[test]
        fn words_are_what_joins_and_what_stands_alone(text in "[a-zA-Z0-9_ .,äß紧急-]{0,40}|\\PC{0,20}") {
            let mut expected = Vec::new();
            let mut chars = text.char_indices().peekable();
            while let Some((start, c)) = chars.next() {
                let mut end = start + c.len_utf8();
                while joins(c) && let Some((at, c)) = chars.next_if(|(_, c)| joins(*c)) {
                    end = at + c.len_utf8();
                }
                if joins(c) || is_cjk(c) {
                    expected.push((start, end));
                }
            }
            proptest::prop_assert_eq!(words(&text).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_part_of_a_word_does_not_stand_alone() {
        assert!(stands_alone("go now!", 3, 6));
        assert!(!stands_alone("knowing", 1, 4));
        assert!(!stands_alone("über", 2, 5));
        assert!(stands_alone("这是紧急情况", 6, 12));
        assert!(stands_alone("costs $5", 6, 7));
    }

    #[test]
    fn cuts_fall_between_characters() {
        assert_eq!(head("aé", 2), "a");
        assert_eq!(tail("éa", 2), "a");
        assert_eq!(tail("éa", 9), "éa");
    }
}
