//! Keys of answers: 128 bits of keyed hash over everything that two requests must have in common. The keys are drawn once a
//! cache, so nobody can craft a request that finds another's answer, and what was hashed cannot be told from it.

use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};

/// The keys of one cache's hashes.
#[derive(Default)]
pub(crate) struct Keys([RandomState; 2]);

/// Everything of a request but its last user text, hashed.
#[derive(Clone)]
pub(crate) struct Frame([DefaultHasher; 2]);

// === impl Keys ===

impl Keys {
    /// A frame of nothing yet.
    pub(crate) fn frame(&self) -> Frame {
        Frame(self.0.each_ref().map(BuildHasher::build_hasher))
    }
}

// === impl Frame ===

impl Frame {
    /// Adds bytes. Where one piece ends and the next begins is the caller's to tell.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for hasher in &mut self.0 {
            hasher.write(bytes);
        }
    }

    /// Adds a text of its own.
    pub(crate) fn add_text(&mut self, text: &str) {
        self.add(&(text.len() as u64).to_le_bytes());
        self.add(text.as_bytes());
    }

    /// The key of this text in the frame.
    pub(crate) fn with(&self, text: &str) -> u128 {
        let mut frame = self.clone();
        frame.add_text(text);
        frame.key()
    }

    /// The key of all texts in the frame that name the numbers of this one, in its order: to an encoder 5 and 6 are much the
    /// same, to the answer they are not.
    pub(crate) fn with_numbers(&self, text: &str) -> u128 {
        let mut frame = self.clone();
        frame.add(b"numbers");
        for number in text.split(|c: char| !c.is_numeric()).filter(|n| !n.is_empty()) {
            frame.add_text(number);
        }
        frame.key()
    }

    fn key(&self) -> u128 {
        let [high, low] = self.0.each_ref().map(|hasher| u128::from(hasher.finish()));
        high << 64 | low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_frames_and_texts_have_equal_keys_and_no_others() {
        let keys = Keys::default();
        let frame = |parts: &[&str]| {
            let mut frame = keys.frame();
            parts.iter().for_each(|part| frame.add_text(part));
            frame
        };
        assert_eq!(frame(&["a", "b"]).with("x"), frame(&["a", "b"]).with("x"));
        assert_ne!(frame(&["a", "b"]).with("x"), frame(&["ab"]).with("x"));
        assert_ne!(frame(&["a"]).with("x"), frame(&["a"]).with("y"));
        assert_ne!(
            Keys::default().frame().with("x"),
            keys.frame().with("x"),
            "other keys"
        );
    }

    #[test]
    fn texts_with_other_numbers_are_kept_apart() {
        let frame = Keys::default().frame();
        let key = |text: &str| frame.with_numbers(text);
        assert_eq!(key("What is 2+2?"), key("what's 2 + 2"));
        assert_ne!(key("5 EUR in USD"), key("6 EUR in USD"));
        assert_ne!(key("from 2 to 3"), key("from 3 to 2"));
        assert_ne!(key("12 3"), key("1 23"));
        assert_eq!(key("no number"), key("none at all"));
    }
}
