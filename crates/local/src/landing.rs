//! Bringing JSON to its end when tokens run short.
//!
//! A grammar keeps a model from writing wrong JSON, not from writing without end: a small model can fill one string
//! or one number until the last token is spent. So the generation watches where in the JSON it is, and when what is
//! left is needed to close what is open, only those allowed tokens are kept that lead out the fastest.

/// Longest run of digits that is let go on: more digits than a double can tell apart.
const DIGITS: usize = 17;

/// Where in a JSON text we are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Landing {
    string: bool,
    escape: bool,
    depth: usize,
    digits: usize,
    number: bool,
}

// === impl Landing ===

impl Landing {
    /// Follows the text.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.escape {
                self.escape = false;
            } else if self.string {
                match byte {
                    b'\\' => self.escape = true,
                    b'"' => self.string = false,
                    _ => {}
                }
            } else {
                self.number = byte.is_ascii_digit()
                    || (self.number && matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
                self.digits = if byte.is_ascii_digit() { self.digits + 1 } else { 0 };
                match byte {
                    b'"' => self.string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
            }
        }
    }

    /// Objects and lists that are open.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Whether a number has so many digits that it must come to its end.
    pub(crate) fn endless_number(&self) -> bool {
        self.digits >= DIGITS
    }

    /// How far a token leads away from the end: first by how it begins, then by how much it leaves open. Lower is
    /// better, and only tokens of the lowest rank are kept.
    pub(crate) fn rank(&self, token: &[u8]) -> (u8, usize) {
        let mut after = self.clone();
        after.feed(token);
        (self.detour(token), after.depth + usize::from(after.string))
    }

    fn detour(&self, token: &[u8]) -> u8 {
        // A token that says nothing is the end mark.
        let Some(first) = token.first() else { return 0 };
        if self.escape {
            return 1;
        }
        if self.string {
            return u8::from(*first != b'"');
        }
        match first {
            b'}' | b']' => 1,
            b',' if self.number => 2,
            b'0'..=b'9' | b'-' | b't' | b'f' | b'n' | b'"' if !self.number => 3,
            b'0'..=b'9' => 4,
            b' ' | b'\n' | b'\r' | b'\t' => 6,
            _ => 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str) -> Landing {
        let mut landing = Landing::default();
        landing.feed(text.as_bytes());
        landing
    }

    fn best<'a>(landing: &Landing, tokens: &[&'a str]) -> &'a str {
        tokens
            .iter()
            .min_by_key(|token| landing.rank(token.as_bytes()))
            .unwrap()
    }

    #[test]
    fn depth_ignores_brackets_in_strings() {
        assert_eq!(after(r#"{"a": [{"b": "}]\"}""#).depth(), 3);
        assert_eq!(after(r#"{"a": [1]}"#).depth(), 0);
    }

    #[test]
    fn the_way_out_is_preferred() {
        assert_eq!(
            best(&after(r#"{"a": "x"#), &["y", "}", "\"}", "]"]),
            "\"}",
            "brackets in a string are text"
        );
        assert_eq!(best(&after(r#"{"a": "x""#), &[", ", "}"]), "}");
        assert_eq!(best(&after(r#"{"a": "x"#), &["\", \"", "\", ", "\""]), "\", ");
        assert_eq!(best(&after(r#"{"a": "x"#), &["\", \"", "\"}"]), "\"}");
        assert_eq!(
            best(&after(r#"{"a": 12"#), &["3", ", \"b\"", ".", "e"]),
            ", \"b\""
        );
        assert_eq!(best(&after(r#"{"a": 12"#), &["3", ",", "}"]), "}");
        assert_eq!(best(&after(r#"{"a": "#), &["[", "{", "null"]), "null");
    }

    #[test]
    fn numbers_are_watched_outside_of_strings_only() {
        assert!(after("{\"a\": 0.33333333333333333").endless_number());
        assert!(!after("{\"a\": 0.3333").endless_number());
        assert!(!after("{\"a\": \"33333333333333333333").endless_number());
    }
}
