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

/// Bytes that the head of an array may have.
const LONGEST_HEAD: u64 = 65_535;

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
            let from = all.values.len();
            all.values
                .extend(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)));
            finite(&all.values[from..], path, place)?;
        }
        Ok(all)
    }

    /// Reads `.npy`; `path` is for errors only.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_npy(input: impl Read, path: &Path) -> Result<Self, Error> {
        let bad = |e: std::io::Error| fault(path, "the array", e.to_string());
        let npy = npyz::NpyFile::new(countable(input, path)?).map_err(bad)?;
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
        let dimension = dimension as usize;
        for (row, vector) in values.chunks(dimension.max(1)).enumerate() {
            finite(vector, path, || format!("vector {row}"))?;
        }
        Ok(Self {
            dimension,
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
            finite(&vector, path, place)?;
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

/// The array again, once its head is known to be short and its shape to be a number of values that can be counted, both of
/// which the reader of arrays takes for granted.
fn countable<R: Read>(mut input: R, path: &Path) -> Result<impl Read + use<R>, Error> {
    let mut head = Vec::new();
    let take = |input: &mut R, head: &mut Vec<u8>, bytes: u64| {
        let read = input.by_ref().take(bytes).read_to_end(head);
        read.map_err(|e| Error::io("read", path, e))
    };
    take(&mut input, &mut head, 12)?;
    // The magic word and the version, then two bytes or, from version 2 on, four with the length of the text that follows.
    let length = match *head.as_slice() {
        [_, _, _, _, _, _, 1, _, a, b, ..] => u64::from(u16::from_le_bytes([a, b])),
        [_, _, _, _, _, _, _, _, a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
        _ => 0,
    };
    if length > LONGEST_HEAD {
        return Err(fault(
            path,
            "the array",
            format!("its head says it has {length} bytes"),
        ));
    }
    take(&mut input, &mut head, length)?;
    let text = String::from_utf8_lossy(&head);
    let shape = text.split_once("'shape'").map_or("", |(_, after)| after);
    let shape = shape.split([')', '}']).next().unwrap_or_default();
    let numbers = shape
        .split(|c: char| !c.is_ascii_digit())
        .filter(|word| !word.is_empty());
    let count = numbers
        .map(|word| word.parse::<u64>().ok())
        .try_fold(8_u64, |all, number| all.checked_mul(number?));
    match count {
        Some(bytes) if bytes <= isize::MAX as u64 => Ok(std::io::Cursor::new(head).chain(input)),
        _ => Err(fault(
            path,
            "the array",
            "its shape is beyond counting".to_owned(),
        )),
    }
}

fn finite(vector: &[f32], path: &Path, place: impl Fn() -> String) -> Result<(), Error> {
    match vector.iter().position(|x| !x.is_finite()) {
        Some(at) => Err(fault(
            path,
            place(),
            format!("component {at} is no finite number"),
        )),
        None => Ok(()),
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
        let mut nan = 1_i32.to_le_bytes().to_vec();
        nan.extend(f32::NAN.to_le_bytes());
        assert!(fvecs(&nan).unwrap_err().contains("vector 0: component 0"));
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
        let array = |descr: &str, fortran: &str, shape: &str, data: &[u8]| {
            let head = format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
            let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
            bytes.extend((head.len() as u16).to_le_bytes());
            bytes.extend(head.as_bytes());
            bytes.extend(data);
            npy(&bytes)
        };
        let floats = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let two = floats(&[1.0, 2.0]);
        assert_eq!(
            array("'<f4'", "False", "(2, 1)", &two).unwrap().values,
            [1.0, 2.0]
        );
        let big: Vec<u8> = two.chunks(4).flat_map(|c| c.iter().rev().copied()).collect();
        assert_eq!(
            array("'>f4'", "False", "(1, 2)", &big).unwrap().values,
            [1.0, 2.0]
        );
        assert!(array("'<f4'", "False", "(0, 3)", &[]).unwrap().is_empty());
        assert!(array("'<f4'", "False", "(3, 0)", &[]).unwrap().is_empty());
        let refused = |descr, fortran, shape, data: &[u8]| array(descr, fortran, shape, data).unwrap_err();
        assert!(refused("'<f4'", "True", "(1, 2)", &two).contains("Fortran"));
        assert!(refused("'<f4'", "False", "(2,)", &two).contains("shape"));
        assert!(refused("'<i4'", "False", "(1, 2)", &two).contains("i4"));
        assert!(refused("'<f2'", "False", "(1, 4)", &two).contains("f2"));
        assert!(refused("[('f4', '<i8')]", "False", "(1, 1)", &two).contains("the array"));
        assert!(refused("'<f4'", "False", "(3, 1)", &two).contains("the array"));
        assert!(
            refused("'<f4'", "False", "(2, 1)", &floats(&[1.0, f32::NAN])).contains("vector 1: component 0")
        );
        assert!(refused("'<f8'", "False", "(1, 1)", &1e300_f64.to_le_bytes()).contains("vector 0"));
        let endless = [&b"\x93NUMPY\x02\x00"[..], &u32::MAX.to_le_bytes()].concat();
        assert!(
            npy(&endless)
                .unwrap_err()
                .contains("its head says it has 4294967295 bytes")
        );
        // More than memory holds, and more than can be counted.
        assert!(refused("'<f4'", "False", "(1000000000000, 100000)", &two).contains("the array"));
        assert!(
            refused(
                "'<f4'",
                "False",
                "(18446744073709551615, 18446744073709551615)",
                &two
            )
            .contains("the array")
        );
    }
}
