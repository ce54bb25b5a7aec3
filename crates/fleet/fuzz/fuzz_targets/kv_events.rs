//! Any bytes are batches of events or are refused; the books stay right whatever comes, and a share is a share.
#![no_main]

use fingerpost_fleet::kv_events::{Batch, Heard, Ledger};

libfuzzer_sys::fuzz_target!(|batches: Vec<&[u8]>| {
    let mut ledger = Ledger::default();
    for (number, payload) in (0..).zip(batches) {
        let is_batch = Batch::parse(payload).is_ok();
        match ledger.hear(number, payload, 1000) {
            Ok(Heard::Change(change)) => assert!(is_batch && (0.0..=1.0).contains(&change.kept)),
            Ok(_) => unreachable!("numbers without gaps"),
            Err(_) => ledger.forget(),
        }
    }
});
