//! The form of an index on disk: a header, then sections of plain little-endian values, each checksummed.
//!
//! ```text
//! magic "FPINDEX\0" | version u32 | header bytes u32 | header (JSON) | crc32 of all that u32 | padding
//! per section, aligned to 64: length u64 | crc32 u32 | zero u32 | ... 48 bytes of zero | values, padded to 64
//! ```
//! Written beside the target and renamed over it once it is on disk: the name leads to the old file or to the new, whole.

use std::{
    fs,
    io::{BufWriter, Write},
    path::Path,
    sync::Arc,
};

use bytemuck::Pod;
use serde::{Serialize, de::DeserializeOwned};

use crate::{block::Block, error::Error, map::Map};

const MAGIC: &[u8; 8] = b"FPINDEX\0";
/// Version of the format. A reader refuses any other.
const VERSION: u32 = 1;
const ALIGN: usize = 64;

/// Writes a file in sections.
pub(crate) struct Writer<'a> {
    out: BufWriter<&'a fs::File>,
    at: usize,
    failure: Option<std::io::Error>,
}

/// Reads it back, through a map.
pub(crate) struct Reader<'a> {
    map: Arc<Map>,
    path: &'a Path,
    at: usize,
}

/// Writes a file whole or not at all.
pub(crate) fn save(
    path: &Path,
    header: &impl Serialize,
    body: impl FnOnce(&mut Writer),
) -> Result<(), Error> {
    let failed = |e| Error::io("write", path, e);
    if cfg!(target_endian = "big") {
        return Err(failed(std::io::Error::other(
            "index files are for little-endian machines",
        )));
    }
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".index-");
    // A temporary file is for its owner alone; an index is for whom other files are, as the process's mask says.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    let mut writer = Writer {
        out: BufWriter::with_capacity(1 << 20, file.as_file()),
        at: 0,
        failure: None,
    };
    let header = serde_json::to_vec(header).map_err(|e| failed(e.into()))?;
    let mut head = MAGIC.to_vec();
    head.extend(VERSION.to_le_bytes());
    head.extend((header.len() as u32).to_le_bytes());
    head.extend(header);
    let sum = crc32fast::hash(&head);
    head.extend(sum.to_le_bytes());
    writer.put(&head);
    writer.pad();
    body(&mut writer);
    if let Some(e) = writer.failure.take() {
        return Err(failed(e));
    }
    writer.out.flush().map_err(failed)?;
    drop(writer);
    file.as_file_mut().sync_all().map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    // The rename itself is on disk once the folder is; some file systems do not offer that.
    if let Ok(folder) = fs::File::open(folder) {
        drop(folder.sync_all());
    }
    Ok(())
}

/// Opens a file and reads its header.
pub(crate) fn open<H: DeserializeOwned>(path: &Path) -> Result<(H, Reader<'_>), Error> {
    let map = Map::open(path).map_err(|e| Error::io("read", path, e))?;
    let bytes = map.bytes();
    let word = |at: usize| -> Result<u32, Error> {
        let word = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
        word.map(u32::from_le_bytes)
            .ok_or_else(|| Error::corrupt(path, "it ends inside its header"))
    };
    if bytes.get(..8) != Some(MAGIC) {
        return Err(Error::corrupt(path, "it does not start like an index"));
    }
    let version = word(8)?;
    if version != VERSION {
        return Err(Error::corrupt(
            path,
            format!("its format has version {version}, this program reads {VERSION}"),
        ));
    }
    let end = 16_usize.saturating_add(word(12)? as usize);
    if word(end)? != crc32fast::hash(&bytes[..end]) {
        return Err(Error::corrupt(path, "the checksum of its header is wrong"));
    }
    let header = serde_json::from_slice(&bytes[16..end])
        .map_err(|e| Error::corrupt(path, format!("its header: {e}")))?;
    let at = (end + 4).next_multiple_of(ALIGN);
    let reader = Reader {
        map: Arc::new(map),
        path,
        at,
    };
    Ok((header, reader))
}

// === impl Writer ===

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.at += bytes.len();
        if self.failure.is_none() {
            self.failure = self.out.write_all(bytes).err();
        }
    }

    fn pad(&mut self) {
        let missing = self.at.next_multiple_of(ALIGN) - self.at;
        self.put(&[0; ALIGN][..missing]);
    }

    /// Appends values.
    pub(crate) fn section<T: Pod>(&mut self, values: &[T]) {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        self.put(&(bytes.len() as u64).to_le_bytes());
        self.put(&crc32fast::hash(bytes).to_le_bytes());
        self.pad();
        self.put(bytes);
        self.pad();
    }
}

// === impl Reader ===

impl Reader<'_> {
    /// The next section, which must hold so many values.
    pub(crate) fn section<T: Pod>(&mut self, name: &str, values: usize) -> Result<Block<T>, Error> {
        let truncated = || Error::corrupt(self.path, format!("it ends inside its {name}"));
        let head = self
            .map
            .bytes()
            .get(self.at..self.at.saturating_add(12))
            .ok_or_else(truncated)?;
        let length = u64::from_le_bytes(head[..8].try_into().unwrap_or_default());
        let sum = u32::from_le_bytes(head[8..].try_into().unwrap_or_default());
        let expected = values.checked_mul(size_of::<T>()).ok_or_else(truncated)?;
        if length != expected as u64 {
            return Err(Error::corrupt(
                self.path,
                format!("its {name} take {length} bytes where {expected} belong"),
            ));
        }
        let at = self.at + ALIGN;
        let block = Block::mapped(&self.map, at, expected).ok_or_else(truncated)?;
        if crc32fast::hash(bytemuck::cast_slice(block.as_slice())) != sum {
            return Err(Error::corrupt(
                self.path,
                format!("the checksum of its {name} is wrong"),
            ));
        }
        self.at = (at + expected).next_multiple_of(ALIGN);
        Ok(block)
    }

    /// Nothing may follow.
    pub(crate) fn finish(self) -> Result<(), Error> {
        if self.map.bytes().len() > self.at {
            return Err(Error::corrupt(self.path, "something follows its end"));
        }
        Ok(())
    }
}
