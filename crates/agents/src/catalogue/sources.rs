//! Files and folders that entries are read from, again and again: a file that did not change is not read twice.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    content::ContentHash,
    limits,
    problem::{Fault, Problem, SameId},
    reading::{Form, Place, Reading},
};

/// How deep folders are walked.
const DEEPEST: usize = 32;
/// Folders that hold what others wrote for machines.
const PASSED_OVER: [&str; 4] = [".git", "node_modules", "target", "__pycache__"];
/// A file that changed so short a while ago may change again without its time telling.
const UNSETTLED: Duration = Duration::from_secs(2);

/// Files and folders of entries.
///
/// Folders are walked in the order of names. Links to folders are not followed. A folder with a `SKILL.md` is a skill's own:
/// of what lies in it only other skills are read.
#[derive(Debug, Default)]
pub struct Sources {
    roots: Vec<PathBuf>,
    files: BTreeMap<PathBuf, Known>,
    /// Folders and files that could not be looked at.
    unseen: Vec<Problem>,
}

/// A file that was read.
#[derive(Debug)]
struct Known {
    root: PathBuf,
    stamp: Stamp,
    /// Its time was too near to be told from a later one.
    is_unsettled: bool,
    reading: Reading,
}

/// What tells that a file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

// === impl Sources ===

impl Sources {
    /// Nothing is read yet.
    pub fn new(roots: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            roots: roots.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Looks at every file and reads those that are new or changed since. True if anything is different now; the first
    /// time always. `now` is only compared with the files' times. Cost: one look at each file; of memory, all entries.
    pub fn refresh(&mut self, now: SystemTime) -> bool {
        let mut walk = Walk::default();
        for root in &self.roots {
            walk.root(root);
        }
        let is_first = self.files.is_empty() && self.unseen.is_empty();
        let mut is_changed = is_first || self.unseen != walk.unseen;
        self.unseen = walk.unseen;
        let before = self.files.len();
        self.files.retain(|file, _| walk.files.contains_key(file));
        is_changed |= self.files.len() < before;
        for (file, (root, stamp)) in walk.files {
            let known = self.files.get(&file);
            if known.is_some_and(|known| known.stamp == stamp && !known.is_unsettled) {
                continue;
            }
            let reading = read(&root, &file, stamp.bytes);
            is_changed |= known.is_none_or(|known| known.reading != reading);
            let age = stamp
                .modified
                .and_then(|modified| now.duration_since(modified).ok());
            let is_unsettled = age.is_none_or(|age| age < UNSETTLED);
            let known = Known {
                root,
                stamp,
                is_unsettled,
                reading,
            };
            self.files.insert(file, known);
        }
        is_changed
    }

    /// All that stands in the files now. Ids are unique: of two equal entries one is left out, of two that differ the later
    /// one's id gets a mark of its content, `~` and eight digits.
    pub fn reading(&self) -> Reading {
        let mut all = Reading::default();
        all.problems.clone_from(&self.unseen);
        let mut taken: HashMap<fingerpost_core::Name, ContentHash> = HashMap::new();
        // In the order of the roots, so that who comes first hangs on the user.
        for root in &self.roots {
            for (file, known) in self.files.iter().filter(|(_, known)| known.root == *root) {
                all.problems.extend_from_slice(&known.reading.problems);
                for entry in &known.reading.entries {
                    let hash = ContentHash::of(entry);
                    let mut entry = entry.clone();
                    let endpoint = known.reading.endpoints.get(&entry.id).cloned();
                    if taken.contains_key(&entry.id) {
                        let own = entry.id.clone();
                        let other = format!("{own}~{}", hash.brief());
                        let is_equal = taken.get(&own) == Some(&hash) || taken.contains_key(other.as_str());
                        let fault = if is_equal {
                            SameId::Equal
                        } else {
                            SameId::Renamed(other.clone())
                        };
                        all.problems.push(Problem {
                            file: file.clone(),
                            place: Some(own.to_string()),
                            fault: Fault::SameId(fault),
                            is_left_out: is_equal,
                        });
                        if is_equal {
                            continue;
                        }
                        entry.id = other.into();
                    }
                    taken.insert(entry.id.clone(), hash);
                    if let Some(endpoint) = endpoint {
                        all.endpoints.insert(entry.id.clone(), endpoint);
                    }
                    all.entries.push(entry);
                }
            }
        }
        all
    }

    /// Files that are read.
    pub fn files(&self) -> usize {
        self.files.len()
    }
}

/// Reads everything once.
pub fn read_all(roots: impl IntoIterator<Item = PathBuf>) -> Reading {
    let mut sources = Sources::new(roots);
    sources.refresh(SystemTime::UNIX_EPOCH);
    sources.reading()
}

fn read(root: &Path, file: &Path, bytes: u64) -> Reading {
    let failed = |fault| Reading {
        problems: vec![Problem {
            file: file.to_owned(),
            place: None,
            fault,
            is_left_out: true,
        }],
        ..Reading::default()
    };
    if bytes > limits::FILE {
        return failed(Fault::TooLarge(bytes));
    }
    match fs::read(file) {
        Ok(bytes) => Reading::of_file(Place { file, root }, &bytes),
        Err(error) => failed(Fault::Unreadable(error.to_string())),
    }
}

/// The files below some roots.
#[derive(Debug, Default)]
struct Walk {
    files: BTreeMap<PathBuf, (PathBuf, Stamp)>,
    unseen: Vec<Problem>,
}

// === impl Walk ===

impl Walk {
    fn root(&mut self, root: &Path) {
        match fs::metadata(root) {
            Ok(data) if data.is_dir() => self.folder(root, root, 0, false),
            Ok(data) if data.is_file() => self.file(root, root, &data),
            Ok(_) => self.problem(root, "it is neither a file nor a folder".to_owned()),
            Err(error) => self.problem(root, error.to_string()),
        }
    }

    fn folder(&mut self, root: &Path, folder: &Path, depth: usize, in_skill: bool) {
        let listed = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut items = match listed {
            Ok(items) => items,
            Err(error) => return self.problem(folder, error.to_string()),
        };
        items.sort_unstable_by_key(fs::DirEntry::file_name);
        let is_skill = |item: &fs::DirEntry| Form::of(&item.path()) == Some(Form::Skill);
        let in_skill = in_skill || items.iter().any(is_skill);
        for item in items {
            let path = item.path();
            // Files may be linked; folders that are could lead in a circle.
            let data = match item.file_type() {
                Ok(kind) if kind.is_symlink() => fs::metadata(&path).ok().filter(fs::Metadata::is_file),
                Ok(_) => item.metadata().ok(),
                Err(_) => None,
            };
            let Some(data) = data else {
                continue;
            };
            if data.is_dir() {
                let is_passed_over = PASSED_OVER.iter().any(|name| item.file_name() == *name);
                if depth < DEEPEST && !is_passed_over {
                    self.folder(root, &path, depth + 1, in_skill);
                }
            } else if data.is_file() {
                let form = Form::of(&path);
                if form == Some(Form::Skill) || form.is_some() && !in_skill {
                    self.file(root, &path, &data);
                }
            }
        }
    }

    fn file(&mut self, root: &Path, file: &Path, data: &fs::Metadata) {
        let stamp = Stamp {
            bytes: data.len(),
            modified: data.modified().ok(),
        };
        self.files
            .entry(file.to_owned())
            .or_insert_with(|| (root.to_owned(), stamp));
    }

    fn problem(&mut self, file: &Path, why: String) {
        self.unseen.push(Problem {
            file: file.to_owned(),
            place: None,
            fault: Fault::Unreadable(why),
            is_left_out: true,
        });
    }
}

#[cfg(test)]
mod tests;
