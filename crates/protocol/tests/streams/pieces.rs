//! Streams cut anywhere, and bytes that are none.

use fingerpost_protocol::{Format, Format::*, Translator};
use proptest::prelude::*;

use crate::{fixtures::*, watched::watched};

proptest! {
    #[test]
    fn any_split_gives_the_same_stream(cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..10)) {
        for from in Format::ALL {
            let bytes = fixture(from).as_bytes();
            let mut places: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len())).collect();
            places.extend([0, bytes.len()]);
            places.sort_unstable();
            let pieces: Vec<&[u8]> = places.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            for to in Format::ALL {
                let mut translator = Translator::new(from, to, head(), true);
                let mut out = Vec::new();
                for piece in &pieces {
                    translator.feed(piece, &mut out).unwrap();
                }
                translator.finish(&mut out).unwrap();
                prop_assert_eq!(out, translate(from, to, bytes).0);
            }
            for hide in [false, true] {
                let (out, watch, whole) = watched(from, hide, &pieces);
                let (want, _, _) = watched(from, hide, &[bytes]);
                prop_assert_eq!(out, want);
                prop_assert!(whole && watch.seen().usage == Some(USAGE));
            }
        }
    }

    #[test]
    fn any_bytes_are_a_stream_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "(data: ?[\\[{\"a-z:0-9}\\],]{0,40}\n){0,4}\n") {
        for from in Format::ALL {
            for stream in [bytes.as_slice(), text.as_bytes()] {
                let mut translator = Translator::new(from, Responses, head(), true);
                let mut out = Vec::new();
                if translator.feed(stream, &mut out).is_ok() {
                    let _ = translator.finish(&mut out);
                }
                let (passed, _, _) = watched(from, false, &[stream]);
                prop_assert!(stream.starts_with(&passed));
            }
        }
    }
}
