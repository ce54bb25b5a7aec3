//! Any stream is translated or refused, every frame of it JSON; a watched one passes untouched.
#![no_main]

use bytes::Bytes;
use fingerpost_protocol::{Format, Head, SseDecoder, StreamWatch, Translator};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for from in Format::ALL {
        for to in Format::ALL {
            let mut translator = Translator::new(from, to, Head::default(), true);
            let mut out = Vec::new();
            if translator.feed(data, &mut out).is_ok() {
                let _ = translator.finish(&mut out);
            }
            let read = SseDecoder::default().feed(&out, |event| {
                let done = event.data.as_ref() == b"[DONE]";
                assert!(done || serde_json::from_slice::<serde_json::Value>(&event.data).is_ok());
            });
            assert!(read.is_ok());
        }
        let mut passed = Vec::new();
        let mut watch = StreamWatch::new(from);
        let fed = watch.feed(&Bytes::copy_from_slice(data), |piece| passed.extend_from_slice(&piece));
        if fed.is_ok() {
            let _ = watch.finish(|piece| passed.extend_from_slice(&piece));
        }
        assert!(data.starts_with(&passed));
    }
});
