//! The finished form of a character beyond ASCII: cleaned, decomposed, without accents, lower-cased.
//!
//! All steps of the reference look at one character at a time (but for the order of marks, see the
//! parent), so their joint result can be kept by character. Pages of 256 characters are made when a
//! text first needs one, in some ten microseconds, and kept: a text in one script touches a few.

use std::ops::ControlFlow;
use std::sync::OnceLock;

use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::UnicodeNormalization;

/// What a folded character does to the word being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Belongs to the word.
    Letter,
    /// Ends the word.
    Space,
    /// Ends the word and is one of its own: punctuation and Chinese characters.
    Alone,
}

/// Folded forms of the basic plane, page by page; rarer characters are folded anew each time.
pub(super) struct Folding {
    pages: Box<[OnceLock<Page>; 256]>,
}

struct Page {
    /// Where the form of each character ends in `forms`; it starts where the one before ends.
    ends: [u16; 256],
    forms: Box<[(char, Class)]>,
}

// === impl Folding ===

impl Folding {
    /// Hands the folded characters of `character` to `take`: mostly one, none where it is dropped.
    pub(super) fn fold<B>(
        &self,
        character: char,
        mut take: impl FnMut(char, Class) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let code = u32::from(character);
        let Some(page) = self.pages.get((code >> 8) as usize) else {
            return fold_one(character, take);
        };
        let page = page.get_or_init(|| Page::new(code >> 8));
        page.form((code & 255) as usize)
            .iter()
            .try_for_each(|&(folded, class)| take(folded, class))
    }
}

impl Default for Folding {
    fn default() -> Self {
        Self {
            pages: Box::new([const { OnceLock::new() }; 256]),
        }
    }
}

// === impl Page ===

impl Page {
    fn new(number: u32) -> Self {
        let mut ends = [0; 256];
        let mut forms = Vec::with_capacity(256);
        for (low, end) in (0..256).zip(&mut ends) {
            // Surrogates are no characters and never asked for.
            if let Some(character) = char::from_u32(number << 8 | low) {
                let _: ControlFlow<()> = fold_one(character, |folded, class| {
                    forms.push((folded, class));
                    ControlFlow::Continue(())
                });
            }
            // The longest forms have 18 characters: far below the range of u16 in a page.
            *end = u16::try_from(forms.len()).unwrap_or(u16::MAX);
        }
        Self {
            ends,
            forms: forms.into(),
        }
    }

    fn form(&self, low: usize) -> &[(char, Class)] {
        let start = if low == 0 { 0 } else { self.ends[low - 1] };
        &self.forms[usize::from(start)..usize::from(self.ends[low])]
    }
}

/// The rules themselves.
fn fold_one<B>(character: char, mut take: impl FnMut(char, Class) -> ControlFlow<B>) -> ControlFlow<B> {
    if character == '\u{fffd}' || character.is_other() {
        return ControlFlow::Continue(());
    }
    if character.is_whitespace() {
        return take(' ', Class::Space);
    }
    let chinese = is_chinese(character);
    if chinese {
        take(' ', Class::Space)?;
    }
    for (part, _) in std::iter::once(character).nfd() {
        if part.is_mark_nonspacing() {
            continue;
        }
        for lower in part.to_lowercase() {
            let class = if lower.is_whitespace() {
                Class::Space
            } else if lower.is_ascii_punctuation() || lower.is_punctuation() {
                Class::Alone
            } else {
                Class::Letter
            };
            take(lower, class)?;
        }
    }
    if chinese {
        take(' ', Class::Space)
    } else {
        ControlFlow::Continue(())
    }
}

/// The blocks that BERT puts spaces around.
fn is_chinese(character: char) -> bool {
    matches!(u32::from(character),
        0x4E00..=0x9FFF | 0x3400..=0x4DBF | 0x20000..=0x2A6DF | 0x2A700..=0x2B73F
        | 0x2B740..=0x2B81F | 0x2B920..=0x2CEAF | 0xF900..=0xFAFF | 0x2F800..=0x2FA1F)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(character: char) -> Vec<(char, Class)> {
        let mut forms = Vec::new();
        let _: ControlFlow<()> = Folding::default().fold(character, |form, class| {
            forms.push((form, class));
            ControlFlow::Continue(())
        });
        forms
    }

    #[test]
    fn accents_and_capitals_are_folded() {
        assert_eq!(folded('É'), [('e', Class::Letter)]);
        assert_eq!(folded('ß'), [('ß', Class::Letter)]);
        assert_eq!(folded('\u{301}'), []);
    }

    #[test]
    fn a_decomposition_may_turn_out_punctuation() {
        assert_eq!(folded('≠'), [('=', Class::Alone)]);
        assert_eq!(folded('\u{37e}'), [(';', Class::Alone)]);
    }

    #[test]
    fn hangul_falls_apart_into_letters() {
        assert_eq!(folded('한').len(), 3);
    }

    #[test]
    fn chinese_characters_are_fenced_by_spaces() {
        assert_eq!(
            folded('中'),
            [(' ', Class::Space), ('中', Class::Letter), (' ', Class::Space)]
        );
    }

    #[test]
    fn the_upper_planes_fold_too() {
        assert_eq!(folded('𝒜'), [('𝒜', Class::Letter)]);
        assert_eq!(folded('𐐀'), [('𐐨', Class::Letter)]);
    }
}
