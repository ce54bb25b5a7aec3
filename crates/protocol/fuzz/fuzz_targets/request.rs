//! Any request is refused or translated into JSON.
#![no_main]

use fingerpost_protocol::{Dialect, Format, translate_request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for from in Format::ALL {
        for to in Format::ALL {
            if let Ok((out, _)) = translate_request(from, to, data, "m", Dialect::default()) {
                serde_json::from_slice::<serde_json::Value>(&out).expect("a translated request is JSON");
            }
        }
    }
});
