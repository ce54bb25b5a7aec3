//! Answers that are changed without being understood stay JSON.
#![no_main]

use fingerpost_protocol::{side_by_side, without_logprobs};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let json = |out: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&out).expect("a changed answer is JSON");
    if let Some(out) = without_logprobs(data) {
        json(out);
    }
    let halves = data.split_at(data.len() / 2);
    for answers in [vec![data], vec![data, data], vec![halves.0, halves.1], vec![]] {
        if let Some(out) = side_by_side(&answers) {
            json(out);
        }
    }
});
