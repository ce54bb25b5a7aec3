//! Files of vectors: `.fvecs`, `.npy`, JSON lines.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use serde::Deserialize;

use crate::error::Error;

/// Vectors of one length, row after row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vectors {
    /// Components of a vector.
    pub dimension: usize,
    /// All components.
    pub values: Vec<f32>,
    /// Ids in the same order, where the file has them.
    pub ids: Option<Vec<u64>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Bare(Vec<f32>),
    Named { id: u64, vector: Vec<f32> },
}

// === impl Vectors ===

impl Vectors {
    /// Vectors in the file.
    pub fn len(&self) -> usize {
        self.values.len() / self.dimension.max(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Reads a file, by its ending: `.fvecs` (a little-endian i32 with the length before each vector of f32), `.npy` (two
    /// dimensions, f32 or f64), and `.jsonl`, `.json` or `.ndjson` (a line each: `[..]` or `{"id": 7, "vector": [..]}`).
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Input`] with the line or the vector at fault.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
        let input = BufReader::with_capacity(1 << 20, file);
        match path.extension().and_then(|e| e.to_str()) {
            Some("fvecs") => Self::from_fvecs(input, path),
            Some("npy") => Self::from_npy(input, path),
            Some("jsonl" | "json" | "ndjson") => Self::from_json_lines(input, path),
            _ => Err(fault(
                path,
                "its name",
                "ends in none of .fvecs, .npy, .jsonl".to_owned(),
            )),
        }
    }

    /// Reads `.fvecs`; `path` is for errors only.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_fvecs(mut input: impl Read, path: &Path) -> Result<Self, Error> {
        let mut all = Self::default();
        let mut bytes = Vec::new();
        for row in 0.. {
            let place = || format!("vector {row}");
            let mut head = Vec::with_capacity(4);
            input
                .by_ref()
                .take(4)
                .read_to_end(&mut head)
                .map_err(|e| Error::io("read", path, e))?;
            if head.is_empty() {
                break;
            }
            let length = <[u8; 4]>::try_from(head.as_slice())
                .map_err(|_| fault(path, place(), "the file ends inside its length".to_owned()))?;
            let length = i32::from_le_bytes(length);
            if !(1..=65_536).contains(&length) {
                return Err(fault(
                    path,
                    place(),
                    format!("its length is {length}, allowed is 1 to 65536"),
                ));
            }
            all.agree(length as usize, path, place)?;
            bytes.clear();
            let whole = 4 * u64::from(length.unsigned_abs());
            input
                .by_ref()
                .take(whole)
                .read_to_end(&mut bytes)
                .map_err(|e| Error::io("read", path, e))?;
            if bytes.len() as u64 != whole {
                return Err(fault(path, place(), "the file ends inside it".to_owned()));
            }
            all.values
                .extend(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)));
        }
        Ok(all)
    }

    /// Reads `.npy`; `path` is for errors only.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_npy(input: impl Read, path: &Path) -> Result<Self, Error> {
        let bad = |e: std::io::Error| fault(path, "the array", e.to_string());
        let npy = npyz::NpyFile::new(input).map_err(bad)?;
        let &[rows, dimension] = npy.shape() else {
            let why = format!(
                "it has the shape {:?}, and vectors need (count, components)",
                npy.shape()
            );
            return Err(fault(path, "the array", why));
        };
        if npy.order() != npyz::Order::C {
            return Err(fault(
                path,
                "the array",
                "it is in Fortran order: save it row-major".to_owned(),
            ));
        }
        let values = match npy.dtype().descr().as_str() {
            kind if kind.contains("f4") => npy.into_vec::<f32>().map_err(bad)?,
            kind if kind.contains("f8") => npy
                .into_vec::<f64>()
                .map_err(bad)?
                .into_iter()
                .map(|x| x as f32)
                .collect(),
            kind => {
                return Err(fault(
                    path,
                    "the array",
                    format!("it holds {kind}, allowed are f32 and f64"),
                ));
            }
        };
        if values.len() as u64 != rows.saturating_mul(dimension) {
            return Err(fault(
                path,
                "the array",
                "it is not as long as it says".to_owned(),
            ));
        }
        Ok(Self {
            dimension: dimension as usize,
            values,
            ids: None,
        })
    }

    /// Reads JSON lines; `path` is for errors only. Empty lines are passed over. Ids are given on all lines or on none.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_json_lines(input: impl BufRead, path: &Path) -> Result<Self, Error> {
        let mut all = Self::default();
        let mut ids = Vec::new();
        for (number, line) in (1..).zip(input.lines()) {
            let place = || format!("line {number}");
            let line = line.map_err(|e| fault(path, place(), e.to_string()))?;
            if line.trim().is_empty() {
                continue;
            }
            let (id, vector) = match serde_json::from_str(&line) {
                Ok(Line::Bare(vector)) => (None, vector),
                Ok(Line::Named { id, vector }) => (Some(id), vector),
                Err(_) => {
                    let why = r#"neither [numbers] nor {"id": number, "vector": [numbers]}"#;
                    return Err(fault(path, place(), why.to_owned()));
                }
            };
            if let Some(at) = vector.iter().position(|x| !x.is_finite()) {
                return Err(fault(
                    path,
                    place(),
                    format!("component {at} is no finite number"),
                ));
            }
            all.agree(vector.len(), path, place)?;
            if !all.is_empty() && id.is_some() == ids.is_empty() {
                return Err(fault(
                    path,
                    place(),
                    "ids are given on all lines or on none".to_owned(),
                ));
            }
            ids.extend(id);
            all.values.extend(vector);
        }
        all.ids = (!ids.is_empty()).then_some(ids);
        Ok(all)
    }

    /// Takes the first vector's length, and holds the others to it.
    fn agree(&mut self, length: usize, path: &Path, place: impl Fn() -> String) -> Result<(), Error> {
        if self.values.is_empty() {
            self.dimension = length;
        }
        if length == 0 || length != self.dimension {
            let why = format!("it has {length} components, the first has {}", self.dimension);
            return Err(fault(path, place(), why));
        }
        Ok(())
    }
}

fn fault(path: &Path, place: impl Into<String>, why: String) -> Error {
    Error::Input {
        path: path.to_owned(),
        place: place.into(),
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Result<Vectors, String> {
        Vectors::from_json_lines(text.as_bytes(), Path::new("v.jsonl")).map_err(|e| e.to_string())
    }

    fn fvecs(bytes: &[u8]) -> Result<Vectors, String> {
        Vectors::from_fvecs(bytes, Path::new("v.fvecs")).map_err(|e| e.to_string())
    }

    #[test]
    fn json_lines() {
        let read = json("[1,2]\n\n[3,4.5]\n").unwrap();
        assert_eq!(
            (read.dimension, read.len(), read.values, read.ids),
            (2, 2, vec![1.0, 2.0, 3.0, 4.5], None)
        );
        let read = json("{\"id\":9,\"vector\":[1]}\n{\"id\":4,\"vector\":[2]}").unwrap();
        assert_eq!(read.ids, Some(vec![9, 4]));
        assert!(json("").unwrap().is_empty());
    }

    #[test]
    fn json_lines_at_fault_are_named() {
        assert!(
            json("[1,2]\n[3]")
                .unwrap_err()
                .contains("line 2: it has 1 components, the first has 2")
        );
        assert!(json("[1,2]\n[3,null]").unwrap_err().contains("line 2: neither"));
        assert!(json("[1,1e99]").unwrap_err().contains("line 1: component 1"));
        assert!(
            json("[1]\n{\"id\":4,\"vector\":[2]}")
                .unwrap_err()
                .contains("line 2: ids")
        );
        assert!(
            json("{\"id\":4,\"vector\":[2]}\n[1]")
                .unwrap_err()
                .contains("line 2: ids")
        );
        assert!(json("[]").unwrap_err().contains("line 1"));
    }

    #[test]
    fn fvecs_whole_and_cut() {
        let mut bytes = Vec::new();
        for row in [[1.0_f32, 2.0], [3.0, 4.0]] {
            bytes.extend(2_i32.to_le_bytes());
            row.iter().for_each(|x| bytes.extend(x.to_le_bytes()));
        }
        assert_eq!(fvecs(&bytes).unwrap().values, [1.0, 2.0, 3.0, 4.0]);
        assert!(
            fvecs(&bytes[..23])
                .unwrap_err()
                .contains("vector 1: the file ends inside it")
        );
        assert!(
            fvecs(&bytes[..14])
                .unwrap_err()
                .contains("vector 1: the file ends inside its length")
        );
        assert!(
            fvecs(&(-1_i32).to_le_bytes())
                .unwrap_err()
                .contains("vector 0: its length is -1")
        );
    }

    #[test]
    fn what_is_no_array_is_refused() {
        let npy = |bytes: &[u8]| Vectors::from_npy(bytes, Path::new("v.npy")).map_err(|e| e.to_string());
        assert!(npy(b"not an array").is_err() && npy(b"").is_err());
    }
}
