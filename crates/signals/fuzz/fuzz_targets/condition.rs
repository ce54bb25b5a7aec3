//! Any text is read as a condition or refused; what is read prints to a line that reads the same.
#![no_main]

use fingerpost_signals::Condition;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(tree) = text.parse::<Condition>() {
        let line = tree.to_string();
        assert_eq!(line.parse::<Condition>().as_ref(), Ok(&tree), "{line}");
    }
});
