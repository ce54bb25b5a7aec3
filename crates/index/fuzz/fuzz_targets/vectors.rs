//! Any bytes are read as vectors of one length or refused, in each of the forms.
#![no_main]

use std::path::Path;

use fingerpost_index::Vectors;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzz");
    let read = [
        Vectors::from_json_lines(bytes, path),
        Vectors::from_fvecs(bytes, path),
        Vectors::from_npy(bytes, path),
    ];
    for vectors in read.into_iter().flatten() {
        assert_eq!(vectors.values.len(), vectors.len() * vectors.dimension);
    }
});
