//! Any text is a page of metrics; what is read from it makes sense.
#![no_main]

use fingerpost_core::Timestamp;
use fingerpost_fleet::Report;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let at = Timestamp::from_millis(5);
    let report = Report::parse(text, at);
    assert!(report.kv_usage.is_none_or(|usage| (0.0..=1.0).contains(&usage.value)));
    assert!(report.values(at).all(|(_, value, age)| value.is_finite() && age.is_zero()));
});
