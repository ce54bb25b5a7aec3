//! The answers of language models on the shared data (card 54, test a).
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

use std::path::{Path, PathBuf};

use fingerpost_hierarchy::taxonomy::{Audit, TidyOptions, parse};

#[test]
fn nearly_all_answers_are_read_and_can_be_made_consistent() {
    let shared = std::env::var_os("FINGERPOST_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let file = shared.join("data/chime/raw_generated_hierarchy.csv");
    if !file.is_file() {
        eprintln!("skipped: no {} (set FINGERPOST_SHARED)", file.display());
        return;
    }
    let (mut raw, mut tidied) = (Audit::default(), Audit::default());
    for row in csv::Reader::from_path(file).unwrap().records() {
        let row = row.unwrap();
        if let Ok(mut parsed) = parse(&row[1], &row[2]) {
            raw.add(&parsed.taxonomy);
            parsed.taxonomy.tidy(&TidyOptions::default());
            parsed.taxonomy.validate().unwrap();
            tidied.add(&parsed.taxonomy);
        }
    }
    assert!(raw.taxonomies >= 472, "{raw:?}");
    // The paper counts 2,174 hierarchies, one a root.
    assert!(raw.roots.abs_diff(2_174) < 44, "{raw:?}");
    assert!(
        raw.overflowing > 0 && tidied.overflowing == 0,
        "{raw:?} {tidied:?}"
    );
}
