//! Any bytes are read or refused; what is read and edited can be read again.
#![no_main]

use bytes::Bytes;
use fingerpost_protocol::{Edit, Envelope, Format};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let body = Bytes::copy_from_slice(data);
    for format in Format::ALL {
        let Ok(envelope) = Envelope::parse(format, &body) else { continue };
        let edit = Edit {
            model: Some("new"),
            include_usage: true,
        };
        let sent = envelope.body_for(&body, edit).into_bytes();
        let again = Envelope::parse(format, &sent).expect("an edited body can be read");
        assert_eq!(again.query.model, "new");
        assert_eq!(again.query.turns, envelope.query.turns);
    }
});
