//! Any answer is refused or translated into JSON.
#![no_main]

use fingerpost_protocol::{ErrorBody, Format, Head, glance, translate_answer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for from in Format::ALL {
        let _ = glance(from, data);
        let _ = ErrorBody::read(500, data).to_body(from);
        for to in Format::ALL {
            if let Ok((out, _)) = translate_answer(from, to, data, &Head::default()) {
                serde_json::from_slice::<serde_json::Value>(&out).expect("a translated answer is JSON");
            }
        }
    }
});
