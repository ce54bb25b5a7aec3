//! Any bytes are opened as an index or refused; what is opened can be searched and changed.
#![no_main]

use fingerpost_index::Hnsw;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    if let Ok(index) = Hnsw::open(file.path()) {
        let vector = vec![1.0; index.dimension()];
        drop(index.search(&vector, 5, 20));
        drop(index.insert(u64::MAX, &vector));
    }
});
