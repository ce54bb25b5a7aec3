//! Whatever a model that routes writes is read as an action, and a transcript of it is graded.
#![no_main]

use fingerpost_core::Name;
use fingerpost_models::router_r1::{Action, Violation, named};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let names = ["qwen2.5-7b-instruct", "meta/llama-3.1-8b", "m"].map(Name::from);
    let (counted, action) = Action::read(&text);
    assert!(text.starts_with(counted), "what counts is the beginning");
    if let Action::Search { model, .. } = action {
        assert!(named(&model, &names).is_none_or(|place| place < names.len()));
    }
    let _ = Violation::of(&text, &names);
});
