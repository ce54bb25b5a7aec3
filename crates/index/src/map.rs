//! A file in memory, read only.

#![allow(unsafe_code)]

use std::{fs::File, io, path::Path};

/// The bytes of a whole file.
#[derive(Debug)]
pub(crate) struct Map(memmap2::Mmap);

// === impl Map ===

impl Map {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the bytes must not change while they are mapped. Index files are never written in place: a new one takes
        // the name of the old by a rename, and the old one's bytes live on for as long as they are mapped. Somebody who
        // overwrites the file by other means breaks this promise, as with every program that maps files.
        unsafe { memmap2::Mmap::map(&file) }.map(Self)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
