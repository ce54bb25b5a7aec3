//! Any bytes are either refused as a table or make an encoder that works.
#![no_main]

use fingerpost_encode::{Encoder, StaticEncoder, StaticTable};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(encoder) = StaticTable::from_bytes_unverified(bytes.to_vec()).and_then(StaticEncoder::new) {
        let vector = encoder.encode("Any text, also a strange one: \u{301}[SEP]");
        assert_eq!(vector.len(), encoder.dims());
    }
});
