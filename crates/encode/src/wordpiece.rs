//! Text to WordPiece ids, as uncased BERT models expect them, written for speed.
//!
//! One walk over the bytes does what the reference does in four passes (clean, split Chinese
//! characters off, strip accents and lower-case, split words and punctuation) and then takes the
//! longest vocabulary entry from the left again and again until the word is used up. ASCII takes a
//! table look-up a byte; other characters go through lazily built pages of their finished form
//! ([`fold`]). Nothing is allocated: a word lives in a buffer on the stack, since a word of more than
//! a hundred characters is `[UNK]` by rule, and the vocabulary is probed by running hashes of the
//! word's prefixes ([`vocabulary`]).
//!
//! The result equals that of the `tokenizers` library with the model's `tokenizer.json` (special
//! tokens spelled out in the text, such as `[SEP]`, included), with one exception that no real
//! text shows: combining marks that take up space (such as U+1D16D) are not put into canonical
//! order among each other.

mod fold;
mod vocabulary;

use std::ops::ControlFlow;

use self::fold::{Class, Folding};
pub use self::vocabulary::{Vocabulary, VocabularyError};

/// Words with more characters are unknown by the rule of the model.
const MAX_WORD_CHARS: usize = 100;
/// Room for the longest legal word: four bytes a character.
const WORD_BYTES: usize = MAX_WORD_CHARS * 4;
/// Entries that the reference recognises when they are spelled out in a text.
const SPECIALS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// The tokenizer: a vocabulary and the rules of uncased BERT.
///
/// ```
/// # use fingerpost_encode::{Vocabulary, WordPiece};
/// let vocabulary = Vocabulary::new(["[UNK]", "route", "##r", "!"])?;
/// assert_eq!(WordPiece::new(vocabulary)?.ids("Router!  Höhle"), [1, 2, 3, 0]);
/// # Ok::<(), fingerpost_encode::VocabularyError>(())
/// ```
pub struct WordPiece {
    vocabulary: Vocabulary,
    unknown: u32,
    specials: [Option<u32>; SPECIALS.len()],
    folding: Folding,
}

/// The word that is being read, already folded.
struct Word {
    bytes: [u8; WORD_BYTES],
    length: usize,
    chars: usize,
    /// Of the bytes so far, as of an entry that begins a word.
    hash: u64,
}

// === impl WordPiece ===

impl WordPiece {
    /// # Errors
    /// If the vocabulary has no `[UNK]`.
    pub fn new(vocabulary: Vocabulary) -> Result<Self, VocabularyError> {
        let unknown = vocabulary.id_of("[UNK]").ok_or(VocabularyError::NoUnknown)?;
        let specials = SPECIALS.map(|special| vocabulary.id_of(special));
        Ok(Self {
            vocabulary,
            unknown,
            specials,
            folding: Folding::default(),
        })
    }

    /// The entries and their ids.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The ids of `text`, without `[CLS]` and `[SEP]` around them.
    pub fn ids(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 4);
        let _: ControlFlow<()> = self.walk(text, |id| {
            ids.push(id);
            ControlFlow::Continue(())
        });
        ids
    }

    /// Hands the ids of `text` to `take`, one by one, until the text ends or `take` breaks.
    /// Allocates nothing (but for up to 256 pages of character forms in a process).
    pub fn walk<B>(&self, text: &str, mut take: impl FnMut(u32) -> ControlFlow<B>) -> ControlFlow<B> {
        let bytes = text.as_bytes();
        let mut word = Word {
            bytes: [0; WORD_BYTES],
            length: 0,
            chars: 0,
            hash: vocabulary::seed(false),
        };
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match ASCII[usize::from(byte)] {
                Ascii::Word(lower) => {
                    word.push_ascii(lower);
                    at += 1;
                    while let Some(&byte) = bytes.get(at)
                        && let Ascii::Word(lower) = ASCII[usize::from(byte)]
                    {
                        word.push_ascii(lower);
                        at += 1;
                    }
                }
                Ascii::Space => {
                    self.finish(&mut word, &mut take)?;
                    at += 1;
                }
                Ascii::Punctuation => {
                    self.finish(&mut word, &mut take)?;
                    at += match self.special_at(&text[at..]) {
                        Some((id, length)) => {
                            take(id)?;
                            length
                        }
                        None => {
                            take(self.vocabulary.id_of_byte(byte).unwrap_or(self.unknown))?;
                            1
                        }
                    };
                }
                Ascii::Dropped => at += 1,
                Ascii::Beyond => {
                    let Some(character) = text[at..].chars().next() else {
                        break;
                    };
                    self.folding.fold(character, |folded, class| {
                        self.take_folded(&mut word, folded, class, &mut take)
                    })?;
                    at += character.len_utf8();
                }
            }
        }
        self.finish(&mut word, &mut take)
    }

    fn take_folded<B>(
        &self,
        word: &mut Word,
        folded: char,
        class: Class,
        take: &mut impl FnMut(u32) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        match class {
            Class::Letter => {
                word.push(folded);
                ControlFlow::Continue(())
            }
            Class::Space => self.finish(word, take),
            Class::Alone => {
                self.finish(word, take)?;
                word.push(folded);
                self.finish(word, take)
            }
        }
    }

    /// A special entry spelled out at the start of `rest`, with its length in bytes.
    fn special_at(&self, rest: &str) -> Option<(u32, usize)> {
        if !rest.starts_with('[') {
            return None;
        }
        let found = SPECIALS
            .iter()
            .zip(self.specials)
            .find(|(special, _)| rest.starts_with(**special));
        found.and_then(|(special, id)| id.map(|id| (id, special.len())))
    }

    /// Splits the word into pieces and hands them on: all of them, or `[UNK]` where a piece is missing.
    fn finish<B>(&self, word: &mut Word, take: &mut impl FnMut(u32) -> ControlFlow<B>) -> ControlFlow<B> {
        if word.chars == 0 {
            return ControlFlow::Continue(());
        }
        let (length, chars, hash) = (word.length, word.chars, word.hash);
        (word.length, word.chars, word.hash) = (0, 0, vocabulary::seed(false));
        if chars > MAX_WORD_CHARS {
            return take(self.unknown);
        }
        let bytes = &word.bytes[..length];
        if let Some(id) = self.vocabulary.whole(bytes, hash) {
            return take(id);
        }
        let mut pieces = [0; MAX_WORD_CHARS];
        let mut count = 0;
        let mut at = 0;
        while at < bytes.len() {
            let Some((id, taken)) = self.vocabulary.longest(&bytes[at..], at > 0) else {
                return take(self.unknown);
            };
            // Entries are whole characters, so there are never more pieces than characters.
            pieces[count] = id;
            count += 1;
            at += taken;
        }
        pieces[..count].iter().try_for_each(|&id| take(id))
    }
}

// === impl Word ===

impl Word {
    fn push_ascii(&mut self, lower: u8) {
        if self.chars < MAX_WORD_CHARS {
            self.bytes[self.length] = lower;
            self.length += 1;
            self.hash = vocabulary::step(self.hash, lower);
        }
        self.chars += 1;
    }

    fn push(&mut self, character: char) {
        if self.chars < MAX_WORD_CHARS {
            let end = self.length + character.len_utf8();
            let encoded = character.encode_utf8(&mut self.bytes[self.length..end]);
            self.hash = encoded.bytes().fold(self.hash, vocabulary::step);
            self.length = end;
        }
        self.chars += 1;
    }
}

/// What a byte means where a character starts.
#[derive(Clone, Copy)]
enum Ascii {
    /// Part of a word, in lower case.
    Word(u8),
    Space,
    Punctuation,
    /// Control characters.
    Dropped,
    /// First byte of a longer character.
    Beyond,
}

static ASCII: [Ascii; 256] = {
    let mut table = [Ascii::Beyond; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => Ascii::Space,
            _ if byte.is_ascii_control() => Ascii::Dropped,
            _ if byte.is_ascii_punctuation() => Ascii::Punctuation,
            _ => Ascii::Word(byte.to_ascii_lowercase()),
        };
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> WordPiece {
        let entries = [
            "[UNK]", "[SEP]", "un", "##aff", "##able", "cafe", ",", "中", "a", "##a", "[", "sep",
        ];
        WordPiece::new(Vocabulary::new(entries).unwrap()).unwrap()
    }

    #[test]
    fn the_longest_piece_comes_first() {
        assert_eq!(tokenizer().ids("UNaffable, un"), [2, 3, 4, 6, 2]);
    }

    #[test]
    fn a_word_with_a_missing_piece_is_unknown_as_a_whole() {
        assert_eq!(tokenizer().ids("unaffableness"), [0]);
    }

    #[test]
    fn accents_go_and_chinese_characters_stand_alone() {
        assert_eq!(tokenizer().ids("Cafe\u{301} café中a"), [5, 5, 7, 8]);
    }

    #[test]
    fn control_characters_vanish_inside_a_word() {
        assert_eq!(tokenizer().ids("c\u{0}a\u{200b}f\u{ad}e"), [5]);
    }

    #[test]
    fn specials_count_only_in_their_own_spelling() {
        assert_eq!(tokenizer().ids("a[SEP]a [sep"), [8, 1, 8, 10, 11]);
    }

    #[test]
    fn words_over_a_hundred_characters_are_unknown() {
        assert_eq!(tokenizer().ids(&"a".repeat(100)).len(), 100);
        assert_eq!(tokenizer().ids(&"a".repeat(101)), [0]);
        assert_eq!(tokenizer().ids(&format!("{} a", "é".repeat(1000))), [0, 8]);
    }

    #[test]
    fn a_walk_stops_when_told() {
        let mut seen = 0;
        let end = tokenizer().walk("a a a a", |id| {
            seen += 1;
            if seen == 2 {
                ControlFlow::Break(id)
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!((end, seen), (ControlFlow::Break(8), 2));
    }
}
