//! Any split of any bytes gives the same events. The first byte says where to cut.
#![no_main]

use fingerpost_protocol::SseDecoder;
use libfuzzer_sys::fuzz_target;

fn events(pieces: &[&[u8]]) -> (Vec<(String, Vec<u8>)>, bool) {
    let mut decoder = SseDecoder::default();
    let mut out = Vec::new();
    for piece in pieces {
        let fed = decoder.feed(piece, |e| out.push((e.name.to_owned(), e.data.to_vec())));
        assert!(fed.is_ok());
    }
    let broken = decoder.finish(|e| out.push((e.name.to_owned(), e.data.to_vec())));
    (out, broken)
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, data)) = data.split_first() else { return };
    let cut = usize::from(first).min(data.len());
    assert_eq!(events(&[&data[..cut], &data[cut..]]), events(&[data]));
});
