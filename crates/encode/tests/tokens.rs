//! Token counts on real texts: exact families against their reference, the estimate against both.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod support;

use fingerpost_encode::{TokenCounter, TokenFamily, estimate_tokens};

/// Sum of estimates over sum of exact counts for the texts of a folder.
fn ratio(folder: &str, family: TokenFamily) -> Option<f64> {
    let data = support::shared_data()?;
    let counter = TokenCounter::of_family(family);
    let (mut estimated, mut exact) = (0, 0);
    support::for_each_text(&data.join(folder), &mut |text| {
        estimated += estimate_tokens(text);
        exact += counter.count(text);
    });
    assert!(exact > 1_000, "{exact} tokens in {folder}");
    let ratio = estimated as f64 / exact as f64;
    eprintln!("{folder}: estimate / {family} = {ratio:.3} over {exact} tokens");
    Some(ratio)
}

#[test]
fn english_prompts_are_estimated_within_ten_per_cent() {
    for folder in ["clinc150", "metatool", "gorilla-tools", "skills-full", "text/lm"] {
        for family in [TokenFamily::O200k, TokenFamily::Cl100k] {
            let Some(ratio) = ratio(folder, family) else {
                return;
            };
            assert!((0.9..1.1).contains(&ratio), "{folder}, {family}: {ratio}");
        }
    }
}

#[test]
fn other_languages_are_estimated_within_thirty_per_cent() {
    let Some(ratio) = ratio("text/udhr", TokenFamily::O200k) else {
        return;
    };
    assert!((0.7..1.3).contains(&ratio), "{ratio}");
}

#[test]
fn a_tokenizer_file_counts_as_its_ids_do() {
    let folder = support::minilm_folder();
    let counter = TokenCounter::open(&folder.join("tokenizer.json")).unwrap();
    assert_eq!(counter.family(), TokenFamily::File);
    assert_eq!(counter.count("What is the capital of France?"), 7);
    assert_eq!(counter.count(&"word ".repeat(500)), 500, "neither cut nor padded");
}
