//! The WordPiece walk against the reference library, on real texts of 42 languages and on random ones.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod support;

use std::collections::HashSet;
use std::sync::LazyLock;

use fingerpost_encode::{StaticEncoder, Vocabulary, WordPiece};
use proptest::prelude::*;
use tokenizers::Tokenizer;

struct Both {
    reference: Tokenizer,
    own: WordPiece,
}

static BOTH: LazyLock<Both> = LazyLock::new(|| {
    let json = std::fs::read(support::minilm_folder().join("tokenizer.json")).unwrap();
    let mut reference = Tokenizer::from_bytes(&json).unwrap();
    reference.with_padding(None);
    reference.with_truncation(None).unwrap();
    Both {
        reference,
        own: WordPiece::new(Vocabulary::from_tokenizer_json(&json).unwrap()).unwrap(),
    }
});

impl Both {
    fn reference(&self, text: &str) -> Vec<u32> {
        self.reference
            .encode_fast(text, false)
            .unwrap()
            .get_ids()
            .to_vec()
    }
}

#[test]
fn every_shared_text_gives_the_ids_of_the_reference() {
    let Some(data) = support::shared_data() else {
        return;
    };
    let (mut seen, mut ids) = (HashSet::new(), 0);
    let files = support::for_each_text(&data, &mut |text| {
        if seen.insert(text.to_string()) {
            let expected = BOTH.reference(text);
            assert_eq!(BOTH.own.ids(text), expected, "{text:?}");
            ids += expected.len();
        }
    });
    eprintln!("{files} files, {} distinct texts, {ids} ids", seen.len());
    assert!(
        files > 100 && seen.len() > 100_000,
        "{files} files, {} texts: the folder is not whole",
        seen.len()
    );
}

#[test]
fn the_bundled_vocabulary_splits_as_the_model_does() {
    let bundled = StaticEncoder::bundled();
    let pieces = |tokenizer: &WordPiece, text: &str| -> Vec<String> {
        let entry = |id| tokenizer.vocabulary().entry(id).unwrap().to_string();
        tokenizer.ids(text).into_iter().map(entry).collect()
    };
    let Some(data) = support::shared_data() else {
        return;
    };
    let mut texts = 0;
    support::for_each_text(&data.join("text/udhr"), &mut |text| {
        assert_eq!(
            pieces(bundled.wordpiece(), text),
            pieces(&BOTH.own, text),
            "{text:?}"
        );
        texts += 1;
    });
    assert!(texts > 2_000, "{texts} texts");
}

#[test]
fn special_and_odd_texts_give_the_ids_of_the_reference() {
    let long_word = "q".repeat(101);
    let odd = [
        "",
        " ",
        "[CLS]",
        "a[SEP]b [sep] [ SEP]",
        "[[MASK]]",
        "[UNK][PAD]x",
        "don't -- stop…",
        "İstanbul ΣΑΣ ǅ",
        "\u{0}\u{1}a\u{7f}b\u{85}c\u{a0}d\u{200d}e\u{fffd}",
        "e\u{301}\u{323}x",
        "한국어 조선",
        "ﬁ ½ ① Ⅷ",
        "中文，测试。",
        "≠ \u{37e} \u{1fef}",
        "𝒜𐐀🙂👩‍👩‍👧",
        "क्षि நி",
        "\u{1680}x\u{2028}y\u{3000}z",
        "##ing # ## ###",
        &long_word,
    ];
    for text in odd {
        assert_eq!(BOTH.own.ids(text), BOTH.reference(text), "{text:?}");
    }
}

#[test]
fn every_character_alone_and_in_a_word_gives_the_ids_of_the_reference() {
    for character in '\u{0}'..=char::MAX {
        // Private use and unassigned planes behave as one.
        if (0xE_0200..0x10_FF00).contains(&u32::from(character)) {
            continue;
        }
        let text = format!("{character} a{character}b");
        assert_eq!(
            BOTH.own.ids(&text),
            BOTH.reference(&text),
            "U+{:04X}",
            u32::from(character)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_gives_the_ids_of_the_reference(text in any::<String>()) {
        prop_assert_eq!(BOTH.own.ids(&text), BOTH.reference(&text));
    }

    #[test]
    fn any_mixture_of_likely_characters_gives_the_ids_of_the_reference(
        text in "([a-zA-Z0-9 .,'\\[\\]#]|[À-ÿ]|[а-яё]|[α-ω]|[\u{300}-\u{36f}]|[一-乿]|[ぁ-ん]|[\u{0}-\u{1f}]|\\[SEP\\]|\u{200b}){0,60}"
    ) {
        prop_assert_eq!(BOTH.own.ids(&text), BOTH.reference(&text));
    }
}
