//! Any text is read as an answer of a model, as a file of documents and as a taxonomy, or refused; what is read is valid, and
//! stays so when it is tidied.
#![no_main]

use std::path::Path;

use fingerpost_hierarchy::taxonomy::{Dialogue, Documents, Taxonomy, TidyOptions, parse};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    drop(Documents::from_bytes(bytes, Path::new("fuzz"), "text"));
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    drop(Taxonomy::from_json(text));
    if let Ok(mut parsed) = parse("fuzz", text) {
        parsed.taxonomy.validate().unwrap();
        parsed.taxonomy.tidy(&TidyOptions::default());
        parsed.taxonomy.validate().unwrap();
    }
    let mut dialogue = Dialogue::new("fuzz", &["a", "b"]).unwrap();
    drop(dialogue.hear(text));
    if let Ok(Some(placed)) = dialogue.hear(text) {
        placed.taxonomy.validate().unwrap();
        assert_eq!(placed.taxonomy.coverage(), 1.0);
    }
});
