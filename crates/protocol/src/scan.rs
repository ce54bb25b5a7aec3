//! A quick walk over JSON that is passed on as it came: its grammar is checked, nothing of it is built.
//!
//! Strings, most of any answer, are passed over eight bytes at a time. Keys are compared as they are written: one with escapes is
//! taken for unknown.

use thiserror::Error;

/// A place in a JSON text.
#[derive(Debug, Clone)]
pub(crate) struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What is no JSON, or not the JSON that was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected {expected} at byte {at}")]
pub(crate) struct Unexpected {
    expected: &'static str,
    at: usize,
}

type Walk<T> = Result<T, Unexpected>;

/// How deep values may stand inside each other.
const DEEPEST: u32 = 127;

impl<'a> Scan<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Walks over an object. `member` is called with each key, quotes left off, and must walk over its value.
    pub(crate) fn object(&mut self, mut member: impl FnMut(&'a [u8], &mut Self) -> Walk<()>) -> Walk<()> {
        self.take(b'{', "a JSON object")?;
        if self.next() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.key()?;
            member(key, self)?;
            match self.next() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.expected("`,` or `}`"),
            }
        }
    }

    /// Walks over an array, and tells whether it has something in it.
    pub(crate) fn is_filled_array(&mut self) -> Walk<bool> {
        if self.next() != Some(b'[') {
            return self.expected("an array");
        }
        let mut ahead = self.clone();
        ahead.at += 1;
        let filled = ahead.next() != Some(b']');
        self.skip()?;
        Ok(filled)
    }

    /// Walks over a value, and tells whether it is more than `null`.
    pub(crate) fn is_there(&mut self) -> Walk<bool> {
        let null = self.next() == Some(b'n');
        self.skip()?;
        Ok(!null)
    }

    /// Whether an object comes next.
    pub(crate) fn at_object(&mut self) -> bool {
        self.next() == Some(b'{')
    }

    /// Walks over a value, and gives it where it is a whole number that fits.
    pub(crate) fn count(&mut self) -> Walk<Option<u32>> {
        self.next();
        let from = self.at;
        self.skip()?;
        let text = std::str::from_utf8(&self.bytes[from..self.at]).unwrap_or_default();
        Ok(text.parse().ok())
    }

    /// Nothing but blanks may be left.
    pub(crate) fn end(&mut self) -> Walk<()> {
        match self.next() {
            None => Ok(()),
            Some(_) => self.expected("the end"),
        }
    }

    /// Walks over any value.
    pub(crate) fn skip(&mut self) -> Walk<()> {
        // One bit for each value that is open: 1 for an object, 0 for an array.
        let mut open: u128 = 0;
        let mut depth = 0;
        loop {
            match self.next() {
                Some(b'"') => self.string()?,
                Some(b'{' | b'[') if depth == DEEPEST => return self.expected("values less deep"),
                Some(b'{') => {
                    self.at += 1;
                    if self.next() == Some(b'}') {
                        self.at += 1;
                    } else {
                        self.key()?;
                        (open, depth) = (open << 1 | 1, depth + 1);
                        continue;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    if self.next() == Some(b']') {
                        self.at += 1;
                    } else {
                        (open, depth) = (open << 1, depth + 1);
                        continue;
                    }
                }
                Some(b't') => self.word(b"true")?,
                Some(b'f') => self.word(b"false")?,
                Some(b'n') => self.word(b"null")?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                _ => return self.expected("a value"),
            }
            // A value has ended; so may those around it.
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let object = open & 1 == 1;
                match (self.next(), object) {
                    (Some(b','), _) => {
                        self.at += 1;
                        if object {
                            self.key()?;
                        }
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => self.at += 1,
                    (_, true) => return self.expected("`,` or `}`"),
                    (_, false) => return self.expected("`,` or `]`"),
                }
                (open, depth) = (open >> 1, depth - 1);
            }
        }
    }

    /// A key and its colon.
    fn key(&mut self) -> Walk<&'a [u8]> {
        if self.next() != Some(b'"') {
            return self.expected("a key");
        }
        let from = self.at + 1;
        self.string()?;
        let key = &self.bytes[from..self.at - 1];
        self.take(b':', "`:`")?;
        Ok(key)
    }

    /// A string, from its first quote to behind its last.
    fn string(&mut self) -> Walk<()> {
        self.at += 1;
        loop {
            self.at += plain(&self.bytes[self.at..]);
            match self.peek(0) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                _ => return self.expected("the rest of a string"),
            }
        }
    }

    fn escape(&mut self) -> Walk<()> {
        match self.peek(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') if (2..6).all(|i| self.peek(i).is_some_and(|b| b.is_ascii_hexdigit())) => self.at += 6,
            _ => return self.expected("an escape"),
        }
        Ok(())
    }

    fn number(&mut self) -> Walk<()> {
        if self.peek(0) == Some(b'-') {
            self.at += 1;
        }
        match self.peek(0) {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek(0) == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(0), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Walk<()> {
        let from = self.at;
        while self.peek(0).is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == from {
            return self.expected("a digit");
        }
        Ok(())
    }

    fn word(&mut self, word: &'static [u8]) -> Walk<()> {
        if !self.bytes[self.at..].starts_with(word) {
            return self.expected("a value");
        }
        self.at += word.len();
        Ok(())
    }

    fn take(&mut self, byte: u8, expected: &'static str) -> Walk<()> {
        if self.next() != Some(byte) {
            return self.expected(expected);
        }
        self.at += 1;
        Ok(())
    }

    /// The next byte that is no blank; `at` is on it.
    fn next(&mut self) -> Option<u8> {
        while let Some(byte) = self.peek(0) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    const fn expected<T>(&self, expected: &'static str) -> Walk<T> {
        Err(Unexpected {
            expected,
            at: self.at,
        })
    }
}

/// Bytes before the first that ends a string or means something in it: a quote, a backslash, a control.
fn plain(bytes: &[u8]) -> usize {
    let mut passed = 0;
    while let Some(word) = bytes[passed..].first_chunk() {
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            return passed + (special.trailing_zeros() / 8) as usize;
        }
        passed += 8;
    }
    let rest = &bytes[passed..];
    let special = |b: &u8| matches!(*b, 0..0x20 | b'"' | b'\\');
    passed + rest.iter().position(special).unwrap_or(rest.len())
}

/// Eight bytes at once: the lowest bit that is set is the highest of the first byte that is a quote, a backslash or a control.
/// (Above it there may be more bits than such bytes: a subtraction borrows from its upper neighbours.)
const fn special(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let quote = word ^ (EACH * b'"' as u64);
    let backslash = word ^ (EACH * b'\\' as u64);
    let control = word.wrapping_sub(EACH * 0x20) & !word;
    let zero = (quote.wrapping_sub(EACH) & !quote) | (backslash.wrapping_sub(EACH) & !backslash);
    (control | zero) & (EACH << 7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn walks(text: &[u8]) -> bool {
        let mut scan = Scan::new(text);
        scan.skip().and_then(|()| scan.end()).is_ok()
    }

    fn parses(text: &[u8]) -> bool {
        serde_json::from_slice::<Value>(text).is_ok()
    }

    #[test]
    fn the_grammar_is_that_of_json() {
        for text in [
            r#"{"a":[1,-0.5e+3,{"b":null}],"c":"\u00e9\n\"\\"} "#,
            "[]",
            " {} ",
            "[[],{},[[]]]",
            "0",
            "-1",
            "1E9",
            "\"a string that is longer than one block of thirty-two bytes, with \\u20ac in it\"",
            "",
            "{",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "[1 2]",
            "[}",
            "{]",
            "01",
            "1.",
            "-",
            "1e",
            "tru",
            "nulls",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"open",
            "\"a\u{1}b\"",
            "1 1",
        ] {
            assert_eq!(walks(text.as_bytes()), parses(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn the_first_special_byte_is_found_at_every_place() {
        for length in 0..40 {
            for (at, byte) in (0..length).flat_map(|at| [0, 0x1f, b'"', b'\\'].map(|b| (at, b))) {
                let mut bytes = vec![0xa0; length];
                bytes[at] = byte;
                assert_eq!(plain(&bytes), at);
                // What stands behind it changes nothing.
                bytes[at + 1..].fill(b'"');
                assert_eq!(plain(&bytes), at);
            }
            assert_eq!(plain(&vec![0x21; length]), length);
            assert_eq!(plain(&vec![0xff; length]), length);
        }
    }

    #[test]
    fn depth_has_an_end() {
        let nested = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        assert!(walks(&nested(127)));
        assert!(!walks(&nested(129)));
        assert!(!walks(&vec![b'['; 1 << 20]));
    }

    #[test]
    fn members_are_met_in_order() {
        let mut scan = Scan::new(br#" {"a":{"b":1},"n":7,"x":-7,"l":[ ],"z":null}"#);
        let mut seen = Vec::new();
        scan.object(|key, scan| {
            seen.push(match key {
                b"a" => format!("a {}", scan.at_object()),
                b"n" | b"x" => return scan.count().map(|n| seen.push(format!("{n:?}"))),
                b"l" => return scan.is_filled_array().map(|l| seen.push(format!("{l}"))),
                _ => return scan.is_there().map(|z| seen.push(format!("{z}"))),
            });
            scan.skip()
        })
        .unwrap();
        assert_eq!(seen, ["a true", "Some(7)", "None", "false", "false"]);
        scan.end().unwrap();
    }

    proptest! {
        /// Bytes that are nearly JSON: the walk agrees with the parser on every one that is text.
        #[test]
        fn the_walk_agrees_with_the_parser(text in r#"[\[\]{}",:0-9a\\ntrue. eE+-]{0,24}"#) {
            // The parser also refuses numbers out of range and lone surrogates, which the walk passes on.
            if !text.contains(['e', 'E']) && !text.contains("\\u") {
                prop_assert_eq!(walks(text.as_bytes()), parses(text.as_bytes()));
            }
        }

        #[test]
        fn whatever_is_written_is_walked_over(words in proptest::collection::vec(any::<String>(), 0..8)) {
            let text = serde_json::to_vec(&serde_json::json!({"w": words, "n": words.len()})).unwrap();
            prop_assert!(walks(&text));
            for cut in 0..text.len() {
                prop_assert!(!walks(&text[..cut]));
            }
        }
    }
}
