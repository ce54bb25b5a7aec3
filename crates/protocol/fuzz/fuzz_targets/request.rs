//! Any request is refused or translated into JSON; without its tools it still is JSON.
#![no_main]

use fingerpost_protocol::{Dialect, Format, Tools, translate_request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for from in Format::ALL {
        if let Some(tools) = Tools::read(from, data) {
            let kept: Vec<bool> = (0..tools.offers().len()).map(|i| i % 2 == 1).collect();
            let body = tools.keeping(&kept);
            serde_json::from_slice::<serde_json::Value>(&body).expect("a request with fewer tools is JSON");
        }
        for to in Format::ALL {
            if let Ok((out, _)) = translate_request(from, to, data, "m", Dialect::default()) {
                serde_json::from_slice::<serde_json::Value>(&out).expect("a translated request is JSON");
            }
        }
    }
});
