//! A summary as a file, with the ids that its graph's file gave the nodes.
//!
//! ```text
//! magic "FPSUMRY\0" | version u32 | sections: sizes, ids, parents, edges
//! a section: bytes u64 | crc32 of its content u32 | content
//! ```
//! Contents are whole numbers in base 128, low digits first, the high bit on all but the last byte: the sizes; each id less the
//! one before; each parent less its child, 0 for a root; by supernode the count of edges to itself and to those after it, and
//! for each twice the step from the edge before (from the supernode at first), plus 1 if it is negative. Words are
//! little-endian. Written beside the target and renamed over it once it is on disk: the name leads to the old file or to the
//! new, whole.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{
    MOST_NODES,
    draft::NONE,
    model::{Lists, Summary},
};
use crate::Ids;

const MAGIC: &[u8; 8] = b"FPSUMRY\0";
/// Version of the format. A reader refuses any other.
const VERSION: u32 = 1;

/// Why a summary was not saved or read back.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// The file cannot be read or written.
    #[error("cannot {what} {path}")]
    Io {
        /// `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no summary, or not a whole one.
    #[error("{path} is not a whole summary ({why}): summarise the graph again")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// There are not as many ids as nodes.
    #[error("{ids} ids for {nodes} nodes: a summary is saved with the ids of the graph that it is of")]
    Ids {
        /// Ids that were given.
        ids: usize,
        /// Nodes of the summary.
        nodes: usize,
    },
}

/// A section's content while it is read.
struct Section<'a> {
    name: &'static str,
    left: &'a [u8],
}

// === impl Summary ===

impl Summary {
    /// Saves it, with what the graph's file calls its nodes.
    ///
    /// # Errors
    /// [`SavedError::Io`]; [`SavedError::Ids`] if the ids are those of another graph.
    pub fn save(&self, ids: &Ids, path: &Path) -> Result<(), SavedError> {
        if ids.len() != self.nodes() {
            return Err(SavedError::Ids {
                ids: ids.len(),
                nodes: self.nodes(),
            });
        }
        write_whole(path, &self.to_bytes(ids)).map_err(|source| SavedError::Io {
            what: "write",
            path: path.to_owned(),
            source,
        })
    }

    /// Reads a saved summary and the ids of its nodes. The graph is not decoded: memory and time go with the summary's size.
    ///
    /// # Errors
    /// [`SavedError::Io`], or [`SavedError::Corrupt`] with what does not fit.
    pub fn open(path: &Path) -> Result<(Self, Ids), SavedError> {
        let bytes = fs::read(path).map_err(|source| SavedError::Io {
            what: "read",
            path: path.to_owned(),
            source,
        })?;
        Self::from_bytes(&bytes).map_err(|why| SavedError::Corrupt {
            path: path.to_owned(),
            why,
        })
    }

    fn to_bytes(&self, ids: &Ids) -> Vec<u8> {
        let supernodes = self.supernodes() as u32;
        let sizes = [self.nodes(), self.graph_edges(), self.supernodes()];
        let steps = ids
            .all()
            .iter()
            .scan(0, |last, &id| Some(id - std::mem::replace(last, id)));
        let parents = (0..supernodes).map(|id| self.parent(id).map_or(0, |parent| u64::from(parent - id)));
        let edges = (0..supernodes).flat_map(|id| {
            let edges = self.edges_at(id);
            let after = &edges[edges.partition_point(|e| e.0 < id)..];
            let steps = after.iter().scan(id, |last, &(to, sign)| {
                let step = to - std::mem::replace(last, to);
                Some(u64::from(step) << 1 | u64::from(sign < 0))
            });
            std::iter::once(after.len() as u64).chain(steps)
        });
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        put_section(&mut bytes, sizes.into_iter().map(|size| size as u64));
        put_section(&mut bytes, steps);
        put_section(&mut bytes, parents);
        put_section(&mut bytes, edges);
        bytes
    }

    /// The error says what does not fit.
    fn from_bytes(bytes: &[u8]) -> Result<(Self, Ids), String> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            return Err("it does not start like one".to_owned());
        };
        let Some((version, mut rest)) = rest.split_first_chunk() else {
            return Err("it ends inside its version".to_owned());
        };
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(format!(
                "its format has version {version}, this program reads {VERSION}"
            ));
        }
        let mut sizes = take_section(&mut rest, "sizes")?;
        let mut ids = take_section(&mut rest, "ids")?;
        let mut parents = take_section(&mut rest, "parents")?;
        let mut edges = take_section(&mut rest, "edges")?;
        if !rest.is_empty() {
            return Err("something follows its end".to_owned());
        }
        let (nodes, graph_edges, supernodes) = (sizes.number()?, sizes.number()?, sizes.number()?);
        sizes.finish()?;
        if nodes > MOST_NODES as u64 || supernodes < nodes || supernodes >= u64::from(NONE) {
            return Err(format!("{nodes} nodes in {supernodes} supernodes cannot be"));
        }
        let ids = read_ids(&mut ids, nodes)?;
        let parents = read_parents(&mut parents, nodes as u32, supernodes as u32)?;
        let edges = read_edges(&mut edges, supernodes as u32)?;
        Ok((Self::new(nodes as usize, graph_edges, parents, edges), ids))
    }
}

// === impl Section ===

impl Section<'_> {
    fn number(&mut self) -> Result<u64, String> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let Some((&byte, left)) = self.left.split_first() else {
                return Err(format!("its {} end too early", self.name));
            };
            self.left = left;
            let digit = u64::from(byte & 127);
            if digit << shift >> shift != digit {
                break;
            }
            number |= digit << shift;
            if byte < 128 {
                return Ok(number);
            }
        }
        Err(format!("a number among its {} is too large", self.name))
    }

    /// Nothing may be left.
    fn finish(&self) -> Result<(), String> {
        if self.left.is_empty() {
            Ok(())
        } else {
            Err(format!("its {} go on where they should end", self.name))
        }
    }
}

fn read_ids(section: &mut Section, nodes: u64) -> Result<Ids, String> {
    let mut ids = Vec::new();
    let mut last = 0_u64;
    for node in 0..nodes {
        let step = section.number()?;
        last = last
            .checked_add(step)
            .filter(|_| node == 0 || step > 0)
            .ok_or_else(|| format!("the id of node {node} does not follow the one before"))?;
        ids.push(last);
    }
    section.finish()?;
    Ok(Ids::of_sorted(ids))
}

fn read_parents(section: &mut Section, nodes: u32, supernodes: u32) -> Result<Vec<u32>, String> {
    let mut parents = Vec::new();
    for id in 0..supernodes {
        let step = section.number()?;
        let parent = u64::from(id) + step.min(u64::from(NONE));
        if step > 0 && !(u64::from(nodes)..u64::from(supernodes)).contains(&parent) {
            return Err(format!("the parent of supernode {id} is none of its supernodes"));
        }
        parents.push(if step == 0 { NONE } else { parent as u32 });
    }
    section.finish()?;
    let mut has_children = vec![false; supernodes as usize];
    for &parent in parents.iter().filter(|&&p| p != NONE) {
        has_children[parent as usize] = true;
    }
    match (nodes..supernodes).find(|&id| !has_children[id as usize]) {
        Some(id) => Err(format!("supernode {id} holds nothing")),
        None => Ok(parents),
    }
}

fn read_edges(section: &mut Section, supernodes: u32) -> Result<Lists<(u32, i8)>, String> {
    let mut ends: Vec<(u32, u32, i8)> = Vec::new();
    for id in 0..supernodes {
        let mut last = id;
        for at in 0..section.number()? {
            let number = section.number()?;
            let (step, sign) = (number >> 1, if number & 1 == 1 { -1 } else { 1 });
            let to = u64::from(last) + step.min(u64::from(NONE));
            if to >= u64::from(supernodes) || (at > 0 && step == 0) {
                return Err(format!(
                    "an edge of supernode {id} leads to none of its supernodes"
                ));
            }
            last = to as u32;
            ends.push((id, last, sign));
        }
    }
    section.finish()?;
    // Each at its higher end first: these come before the edges to what is after it.
    let up = ends
        .iter()
        .filter(|e| e.0 != e.1)
        .map(|&(a, b, sign)| (b, (a, sign)));
    let down = ends.iter().map(|&(a, b, sign)| (a, (b, sign)));
    Ok(Lists::placed(supernodes as usize, up.chain(down)))
}

fn put_section(bytes: &mut Vec<u8>, numbers: impl Iterator<Item = u64>) {
    let head = bytes.len();
    bytes.extend([0; 12]);
    for mut number in numbers {
        while number >= 128 {
            bytes.push(number as u8 | 128);
            number >>= 7;
        }
        bytes.push(number as u8);
    }
    let content = head + 12;
    let (length, sum) = (bytes.len() - content, crc32fast::hash(&bytes[content..]));
    bytes[head..head + 8].copy_from_slice(&(length as u64).to_le_bytes());
    bytes[head + 8..content].copy_from_slice(&sum.to_le_bytes());
}

fn take_section<'a>(rest: &mut &'a [u8], name: &'static str) -> Result<Section<'a>, String> {
    let taken = rest.split_first_chunk().and_then(|(length, rest)| {
        let (sum, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (content, rest) = rest.split_at_checked(length)?;
        Some((content, u32::from_le_bytes(*sum), rest))
    });
    let (content, sum, after) = taken.ok_or_else(|| format!("it ends inside its {name}"))?;
    if crc32fast::hash(content) != sum {
        return Err(format!("the checksum of its {name} is wrong"));
    }
    *rest = after;
    Ok(Section { name, left: content })
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".summary-");
    // For whom other new files are, as the process's mask says.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    // The rename itself is on disk once the folder is; some file systems do not offer that.
    if let Ok(folder) = fs::File::open(folder) {
        drop(folder.sync_all());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Graph, summary::summarize};

    /// Two cliques of five and an edge, under ids with gaps.
    fn saved() -> (Summary, Ids, Vec<u8>) {
        let clique = |from: u32| (from..from + 5).flat_map(move |a| (from..a).map(move |b| (a, b)));
        let edges: Vec<_> = clique(0).chain(clique(5)).chain([(0, 5)]).collect();
        let graph = Graph::new(11, &edges, None);
        let summary = summarize(&graph, &Default::default(), &mut |_, _| true).unwrap();
        let ids = Ids::from_ascending((0..11).map(|node| 7 + node * 1000).collect()).unwrap();
        let bytes = summary.to_bytes(&ids);
        (summary, ids, bytes)
    }

    #[test]
    fn what_is_saved_comes_back() {
        let (summary, ids, bytes) = saved();
        assert!(summary.supernodes() > 11, "nothing was merged");
        assert_eq!(Summary::from_bytes(&bytes), Ok((summary, ids)));
        let empty = Summary::new(0, 0, Vec::new(), Lists::new(&[]));
        let bytes = empty.to_bytes(&Ids::default());
        assert_eq!(Summary::from_bytes(&bytes), Ok((empty, Ids::default())));
    }

    #[test]
    fn damage_is_found_and_named() {
        let (_, _, bytes) = saved();
        for end in 0..bytes.len() {
            Summary::from_bytes(&bytes[..end]).unwrap_err();
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            Summary::from_bytes(&damaged).unwrap_err();
        }
        let why = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut damaged = bytes.clone();
            change(&mut damaged);
            Summary::from_bytes(&damaged).unwrap_err()
        };
        assert_eq!(why(&|b| b[0] = b'G'), "it does not start like one");
        assert_eq!(
            why(&|b| b[8] = 2),
            "its format has version 2, this program reads 1"
        );
        assert_eq!(why(&|b| b.push(0)), "something follows its end");
        assert_eq!(
            why(&|b| *b.last_mut().unwrap() ^= 1),
            "the checksum of its edges is wrong"
        );
        assert_eq!(why(&|b| b.truncate(b.len() - 1)), "it ends inside its edges");
    }

    /// Files whose checksums are right and whose content is not: made by another program.
    #[test]
    fn contents_that_do_not_fit_are_named() {
        let why = |sections: [&[u64]; 4]| {
            let mut bytes = MAGIC.to_vec();
            bytes.extend(VERSION.to_le_bytes());
            for section in sections {
                put_section(&mut bytes, section.iter().copied());
            }
            Summary::from_bytes(&bytes).map(drop)
        };
        let fits: [&[u64]; 4] = [&[2, 1, 3], &[5, 1], &[2, 1, 0], &[0, 0, 1, 0]];
        assert_eq!(why(fits), Ok(()));
        let [sizes, ids, parents, edges] = fits;
        let faults: [([&[u64]; 4], &str); 10] = [
            ([&[2, 1], ids, parents, edges], "its sizes end too early"),
            ([&[2, 1, 1], ids, parents, edges], "2 nodes in 1 supernodes"),
            ([&[1 << 40, 1, 1 << 41], ids, parents, edges], "cannot be"),
            ([sizes, &[5, 0], parents, edges], "the id of node 1"),
            ([sizes, &[5, u64::MAX], parents, edges], "the id of node 1"),
            ([sizes, &[5, 1, 1], parents, edges], "its ids go on"),
            ([sizes, ids, &[1, 1, 0], edges], "the parent of supernode 0"),
            ([sizes, ids, &[0, 0, 0], edges], "supernode 2 holds nothing"),
            ([sizes, ids, parents, &[0, 0, 1, 2]], "an edge of supernode 2"),
            ([sizes, ids, parents, &[2, 4, 0, 0, 0]], "an edge of supernode 0"),
        ];
        for (sections, expected) in faults {
            let found = why(sections).unwrap_err();
            assert!(found.contains(expected), "{found}, not {expected}");
        }
    }
}
