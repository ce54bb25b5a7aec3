//! Any text gives legal ids, the same by the walk and by the list.
#![no_main]

use std::ops::ControlFlow;

use fingerpost_encode::{Encoder, StaticEncoder};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let encoder = StaticEncoder::bundled();
    let wordpiece = encoder.wordpiece();
    let ids = wordpiece.ids(text);
    assert!(ids.iter().all(|&id| wordpiece.vocabulary().entry(id).is_some()));
    assert!(ids.len() <= 4 * text.len());
    let mut walked = Vec::new();
    let _: ControlFlow<()> = wordpiece.walk(text, |id| {
        walked.push(id);
        ControlFlow::Continue(())
    });
    assert_eq!(ids, walked);
    assert!(encoder.encode(text).iter().all(|value| value.is_finite()));
});
