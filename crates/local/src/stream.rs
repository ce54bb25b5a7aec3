//! From tokens to text that may be shown: whole characters, and nothing of a stop string.
//!
//! Bytes go through [`Utf8`] and characters through [`StopStrings`]; each holds back what it cannot decide yet.

/// Turns bytes that come in any cut into whole UTF-8.
#[derive(Debug, Default)]
pub(crate) struct Utf8 {
    held: Vec<u8>,
}

/// Lets text through up to the first stop string, holding back what may become one.
#[derive(Debug)]
pub(crate) struct StopStrings {
    stops: Vec<String>,
    held: String,
}

/// What [`StopStrings::push`] lets through.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Released {
    /// Text that may be shown.
    pub(crate) text: String,
    /// The stop string that was met right behind that text. Nothing comes after it.
    pub(crate) stop: Option<String>,
}

// === impl Utf8 ===

impl Utf8 {
    /// Adds bytes and returns the whole characters so far. Bytes that can never become a character are replaced by
    /// U+FFFD, as [`String::from_utf8_lossy`] does.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let mut text = String::new();
        let mut rest = self.held.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    let Some(invalid) = error.error_len() else {
                        rest = after;
                        break;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &after[invalid..];
                }
            }
        }
        self.held = rest.to_vec();
        text
    }

    /// What remains at the end: nothing, or one U+FFFD for a character that never became whole.
    pub(crate) fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.held)).into_owned()
    }
}

// === impl StopStrings ===

impl StopStrings {
    pub(crate) fn new(stops: &[String]) -> Self {
        Self {
            stops: stops.iter().filter(|stop| !stop.is_empty()).cloned().collect(),
            held: String::new(),
        }
    }

    /// Adds text. With several stop strings the one that begins first ends the text; of those, the longest.
    ///
    /// As in every streaming reader, a stop string counts when it is complete: a longer one that begins earlier but
    /// is not complete yet does not hold up a shorter one inside it.
    pub(crate) fn push(&mut self, text: &str) -> Released {
        self.held.push_str(text);
        let met = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()).map(|at| (at, stop)))
            .min_by_key(|(at, stop)| (*at, std::cmp::Reverse(stop.len())));
        if let Some((at, stop)) = met {
            let stop = Some(stop.clone());
            self.held.truncate(at);
            return Released {
                text: std::mem::take(&mut self.held),
                stop,
            };
        }
        let keep = self
            .stops
            .iter()
            .map(|stop| overlap(&self.held, stop))
            .max()
            .unwrap_or(0);
        let kept = self.held.split_off(self.held.len() - keep);
        Released {
            text: std::mem::replace(&mut self.held, kept),
            stop: None,
        }
    }

    /// What was held back and never became a stop string.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Bytes of the longest end of `text` that is a beginning of `stop`, not all of it.
fn overlap(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len() - 1);
    (1..=longest)
        .rev()
        .find(|n| stop.is_char_boundary(*n) && text.as_bytes().ends_with(&stop.as_bytes()[..*n]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stops(stops: &[&str]) -> StopStrings {
        StopStrings::new(&stops.iter().map(|stop| (*stop).to_owned()).collect::<Vec<_>>())
    }

    fn released(text: &str, stop: Option<&str>) -> Released {
        Released {
            text: text.to_owned(),
            stop: stop.map(str::to_owned),
        }
    }

    #[test]
    fn characters_wait_for_their_last_byte() {
        let mut utf8 = Utf8::default();
        let euro = "€".as_bytes();
        assert_eq!(utf8.push(b"a"), "a");
        assert_eq!(utf8.push(&euro[..1]), "");
        assert_eq!(utf8.push(&euro[1..2]), "");
        assert_eq!(utf8.push(&[euro[2], b'!']), "€!");
        assert_eq!(utf8.push(&[0xff, b'x', 0xe2]), "\u{fffd}x");
        assert_eq!(utf8.finish(), "\u{fffd}");
        assert_eq!(utf8.finish(), "");
    }

    #[test]
    fn a_stop_string_over_several_pieces_is_never_shown() {
        let mut holder = stops(&["END", "stop"]);
        assert_eq!(holder.push("to the E"), released("to the ", None));
        assert_eq!(holder.push("N"), released("", None));
        assert_eq!(holder.push("E"), released("EN", None), "it was not one after all");
        assert_eq!(holder.push("ND and more"), released("", Some("END")));
    }

    #[test]
    fn what_only_looked_like_a_stop_string_comes_at_the_end() {
        let mut holder = stops(&["\n\n"]);
        assert_eq!(holder.push("line\n"), released("line", None));
        assert_eq!(holder.finish(), "\n");
    }

    #[test]
    fn the_first_stop_string_wins_and_empty_ones_are_ignored() {
        assert_eq!(stops(&["c", "b", ""]).push("abc"), released("a", Some("b")));
        assert_eq!(stops(&["b", "bc"]).push("abc"), released("a", Some("bc")));
        assert_eq!(stops(&[]).push("abc"), released("abc", None));
    }

    /// Texts over few letters, some of several bytes, so that stop strings are often met.
    fn text(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
        proptest::collection::vec(prop_oneof![Just('a'), Just('b'), Just('é'), Just('𝄞')], length)
            .prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #[test]
        fn any_cut_of_the_bytes_gives_the_same_text(
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
            cuts in proptest::collection::vec(1..5usize, 1..40),
        ) {
            let mut utf8 = Utf8::default();
            let (mut out, mut rest) = (String::new(), bytes.as_slice());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                out += &utf8.push(now);
                rest = later;
            }
            out += &utf8.finish();
            prop_assert_eq!(out, String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn the_shown_text_is_what_stands_before_a_stop_string(
            pieces in proptest::collection::vec(text(0..4), 0..12),
            stop_strings in proptest::collection::vec(text(1..4), 0..3),
        ) {
            let all: String = pieces.concat();
            let mut holder = StopStrings::new(&stop_strings);
            let mut shown = String::new();
            let mut met = None;
            for piece in &pieces {
                let released = holder.push(piece);
                shown += &released.text;
                met = released.stop;
                if met.is_some() { break; }
            }
            match met {
                Some(stop) => {
                    // What is shown stands right before that stop string, and has none itself.
                    prop_assert!(all.starts_with(&(shown.clone() + &stop)));
                }
                None => {
                    shown += &holder.finish();
                    prop_assert_eq!(&shown, &all);
                }
            }
            for stop in &stop_strings {
                prop_assert!(!shown.contains(stop.as_str()), "{} in {}", stop, shown);
            }
        }
    }
}
