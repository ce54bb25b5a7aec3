//! The index in a folder.
//!
//! ```text
//! catalogue.json    which generation counts, its encoder, the checksum of its entries
//! entries-7.jsonl   the entries, each with its slot: what everything else can be made of again
//! words-7.index     the index of words
//! vectors-7.index   the index of vectors
//! ```
//! A generation is written whole beside the one before; then `catalogue.json` is replaced in one step; then the old files go. So
//! a crash at any moment leaves the old index or the new one. What is damaged all the same is made again of the entries; damaged
//! entries are read as far as they go.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use fingerpost_encode::Encoder;
use fingerpost_index::{Adaptive, DEFAULT_THRESHOLD, Fielded};
use serde::{Deserialize, Serialize};

use super::{Changes, Error, Index};
use crate::{
    catalogue::problem::{Fault, Problem},
    entry::Entry,
};

/// Version of the form. A reader refuses any other.
const VERSION: u32 = 1;
const HEAD: &str = "catalogue.json";

/// What stands in `catalogue.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    generation: u64,
    model: String,
    entries: usize,
    /// CRC-32 of the file of entries.
    checksum: u32,
}

#[derive(Serialize)]
struct LineOut<'a> {
    slot: u32,
    entry: &'a Entry,
}

#[derive(Deserialize)]
struct LineIn {
    slot: u32,
    entry: Entry,
}

/// An index that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The index.
    pub index: Index,
    /// What was damaged, and mended.
    pub problems: Vec<Problem>,
}

// === impl Index ===

impl Index {
    /// Whether a folder holds an index.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(HEAD).is_file()
    }

    /// The encoder that the index in a folder was made with, as `name@fingerprint`; none if that is not told.
    pub fn model_in(folder: &Path) -> Option<String> {
        let head: Head = serde_json::from_slice(&fs::read(folder.join(HEAD)).ok()?).ok()?;
        Some(head.model)
    }

    /// Opens the index in a folder. The encoder must be the one it was made with.
    ///
    /// # Errors
    /// [`Error::NotThere`], [`Error::Model`], [`Error::Version`], or [`Error::Io`]. Damage is no error: it is mended and told.
    pub fn open(folder: &Path, encoder: &Arc<dyn Encoder>) -> Result<Opened, Error> {
        let mut problems = Vec::new();
        // Somebody may save meanwhile and take the files away that the head named: then the new head names others.
        for _ in 0..3 {
            problems.clear();
            match Self::open_once(folder, encoder, &mut problems)? {
                Some(index) => return Ok(Opened { index, problems }),
                None => continue,
            }
        }
        Err(Error::NotThere(folder.to_owned()))
    }

    /// None if the head's files are gone.
    fn open_once(
        folder: &Path,
        encoder: &Arc<dyn Encoder>,
        problems: &mut Vec<Problem>,
    ) -> Result<Option<Self>, Error> {
        let head = read_head(folder, problems)?;
        let mut torn = |file: PathBuf, why: String| {
            problems.push(Problem {
                file,
                place: None,
                fault: Fault::Torn(why),
                is_left_out: false,
            });
        };
        let (generation, is_whole_head) = match &head {
            Some(head) => (head.generation, true),
            None => match newest(folder)? {
                Some(generation) => (generation, false),
                None => return Err(Error::NotThere(folder.to_owned())),
            },
        };
        if let Some(head) = &head {
            if head.version != VERSION {
                return Err(Error::Version {
                    folder: folder.to_owned(),
                    found: head.version,
                    known: VERSION,
                });
            }
            let found = encoder.model().to_string();
            if head.model != found {
                return Err(Error::Model {
                    folder: folder.to_owned(),
                    made: head.model.clone(),
                    found,
                });
            }
        }
        let mut index = Self::new(encoder.clone())?;
        index.generation = generation;
        let path = file_of(folder, "entries", generation);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(Error::Io {
                    what: "read",
                    path,
                    source,
                });
            }
        };
        let is_whole = head
            .as_ref()
            .is_some_and(|head| head.checksum == crc32fast::hash(&bytes));
        let lost = index.read_entries(&bytes);
        if !is_whole && is_whole_head || lost > 0 {
            let expected = head
                .as_ref()
                .map_or_else(String::new, |head| format!(" of {}", head.entries));
            torn(path, format!("{}{expected} entries could be read", index.len()));
        }
        // The other two are only worth what the entries are.
        let words = is_whole.then(|| {
            let path = file_of(folder, "words", generation);
            Fielded::open(&path).map_err(|e| (path, e.to_string()))
        });
        match words {
            Some(Ok(words)) if words.len() == index.len() => index.words = words,
            other => {
                if let Some(Err((path, why))) = other {
                    torn(path, format!("{why}; it was made again"));
                }
                index.index_all_words();
            }
        }
        let vectors = is_whole.then(|| {
            let path = file_of(folder, "vectors", generation);
            Adaptive::open(&path, Self::options(), DEFAULT_THRESHOLD).map_err(|e| (path, e.to_string()))
        });
        match vectors {
            Some(Ok(vectors)) if vectors.dimension() == encoder.dims() && vectors.len() <= index.len() => {
                index.vectors = vectors;
            }
            other => {
                if let Some(Err((path, why))) = other {
                    torn(path, format!("{why}; it was made again"));
                }
                index.encode_all()?;
            }
        }
        Ok(Some(index))
    }

    /// Takes in every line that can be read; tells how many could not.
    fn read_entries(&mut self, bytes: &[u8]) -> usize {
        let mut lost = 0;
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // A slot beyond all lines is no slot that this program gives.
            let read = serde_json::from_slice::<LineIn>(line)
                .ok()
                .filter(|l| (l.slot as usize) < bytes.len());
            let Some(LineIn { slot, entry }) = read else {
                lost += 1;
                continue;
            };
            let at = slot as usize;
            if self.entries.len() <= at {
                self.entries.resize(at + 1, None);
            }
            if self.slots.contains_key(&entry.id) || self.entries[at].is_some() {
                lost += 1;
                continue;
            }
            self.slots.insert(entry.id.clone(), slot);
            self.entries[at] = Some(entry);
        }
        let free = self
            .entries
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, entry)| entry.is_none());
        self.free = free.map(|(slot, _)| slot as u32).collect();
        lost
    }

    fn index_all_words(&mut self) {
        for slot in 0..self.entries.len() as u32 {
            if let Some(entry) = self.entries[slot as usize].take() {
                self.index_words(slot, &entry);
                self.entries[slot as usize] = Some(entry);
            }
        }
    }

    /// Encodes every entry again.
    fn encode_all(&mut self) -> Result<(), Error> {
        let entries: Vec<Entry> = self.entries.iter_mut().filter_map(Option::take).collect();
        let mut anew = Self::new(self.encoder.clone())?;
        anew.generation = self.generation;
        anew.put(entries, &mut Changes::default(), &|_| true)?;
        *self = anew;
        Ok(())
    }

    /// Saves it into a folder, which is made if it is not there. What was there before stays whole until this is.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Index`]; the folder then holds what it held.
    pub fn save(&mut self, folder: &Path) -> Result<(), Error> {
        fs::create_dir_all(folder).map_err(|source| io_error("write", folder, source))?;
        let saved = newest(folder)?.unwrap_or_default();
        let generation = self.generation.max(saved) + 1;
        let mut bytes = Vec::new();
        for (slot, entry) in self.entries.iter().enumerate() {
            if let Some(entry) = entry {
                let slot = slot as u32;
                let line = serde_json::to_writer(&mut bytes, &LineOut { slot, entry });
                line.map_err(|e| io_error("write", folder, e.into()))?;
                bytes.push(b'\n');
            }
        }
        let head = Head {
            version: VERSION,
            generation,
            model: self.model().to_string(),
            entries: self.len(),
            checksum: crc32fast::hash(&bytes),
        };
        write(&file_of(folder, "entries", generation), &bytes)?;
        self.words.save(&file_of(folder, "words", generation))?;
        self.vectors.save(&file_of(folder, "vectors", generation))?;
        let head = serde_json::to_vec(&head).map_err(|e| io_error("write", folder, e.into()))?;
        write(&folder.join(HEAD), &head)?;
        self.generation = generation;
        // Files left behind cost room and nothing else.
        for (path, found) in generations(folder)? {
            if found != generation {
                drop(fs::remove_file(path));
            }
        }
        Ok(())
    }
}

/// The head; none if it is damaged and there are entries to go by.
fn read_head(folder: &Path, problems: &mut Vec<Problem>) -> Result<Option<Head>, Error> {
    let path = folder.join(HEAD);
    let why = match fs::read(&path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(head) => return Ok(Some(head)),
            Err(error) => error.to_string(),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => "it is missing".to_owned(),
        Err(source) => return Err(io_error("read", &path, source)),
    };
    if newest(folder)?.is_none() {
        return Err(Error::NotThere(folder.to_owned()));
    }
    problems.push(Problem {
        file: path,
        place: None,
        fault: Fault::Torn(format!("{why}; the newest entries were taken and encoded again")),
        is_left_out: false,
    });
    Ok(None)
}

fn file_of(folder: &Path, what: &str, generation: u64) -> PathBuf {
    let kind = if what == "entries" { "jsonl" } else { "index" };
    folder.join(format!("{what}-{generation}.{kind}"))
}

/// The files of all generations.
fn generations(folder: &Path) -> Result<Vec<(PathBuf, u64)>, Error> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(io_error("read", folder, source)),
    };
    let generation = |path: &Path| -> Option<u64> {
        let (what, rest) = path.file_name()?.to_str()?.split_once('-')?;
        let (number, kind) = rest.split_once('.')?;
        let is_own = matches!(
            (what, kind),
            ("entries", "jsonl") | ("words" | "vectors", "index")
        );
        number.parse().ok().filter(|_| is_own)
    };
    let paths = listed.filter_map(|item| Some(item.ok()?.path()));
    Ok(paths
        .filter_map(|path| generation(&path).map(|g| (path, g)))
        .collect())
}

/// The newest generation of which there are entries.
fn newest(folder: &Path) -> Result<Option<u64>, Error> {
    let is_entries = |path: &Path| path.extension().is_some_and(|e| e == "jsonl");
    let all = generations(folder)?;
    Ok(all
        .iter()
        .filter(|(path, _)| is_entries(path))
        .map(|(_, g)| *g)
        .max())
}

/// Writes a file whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| io_error("write", path, source);
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".catalogue-");
    // A temporary file is for its owner alone; an index is for whom other files are, as the process's mask says.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder.tempfile_in(folder).map_err(failed)?;
    let mut out = BufWriter::new(file.as_file());
    out.write_all(bytes).and_then(|()| out.flush()).map_err(failed)?;
    drop(out);
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    if let Ok(folder) = fs::File::open(folder) {
        drop(folder.sync_all());
    }
    Ok(())
}

fn io_error(what: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io {
        what,
        path: path.to_owned(),
        source,
    }
}
