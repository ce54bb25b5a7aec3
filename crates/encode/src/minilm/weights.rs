//! Reading a safetensors file: a JSON header of names, shapes and places, then the numbers.

use std::collections::HashMap;
use std::ops::Range;

use serde::Deserialize;

/// The tensors of one file, checked against its length.
pub(super) struct Weights<'a> {
    tensors: HashMap<String, Tensor>,
    data: &'a [u8],
}

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Tensor(Tensor),
    // `__metadata__`, a map of texts, is passed over.
    Other(serde::de::IgnoredAny),
}

// === impl Weights ===

impl<'a> Weights<'a> {
    /// # Errors
    /// In words: what is wrong with the header.
    pub(super) fn parse(file: &'a [u8]) -> Result<Self, String> {
        let (length, rest) = file
            .split_first_chunk()
            .ok_or("shorter than its header's length")?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|error| error.to_string())?;
        let header = rest
            .get(..length)
            .ok_or_else(|| format!("header of {length} bytes is cut off"))?;
        let items: HashMap<String, Item> =
            serde_json::from_slice(header).map_err(|error| format!("header: {error}"))?;
        let tensors = items.into_iter().filter_map(|(name, item)| match item {
            Item::Tensor(tensor) => Some((name, tensor)),
            Item::Other(_) => None,
        });
        Ok(Self {
            tensors: tensors.collect(),
            data: &rest[length..],
        })
    }

    /// The values of tensor `name`, which must be F32 of this shape.
    ///
    /// # Errors
    /// In words: absent, of another shape or type, or outside the file.
    pub(super) fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let tensor = self
            .tensors
            .get(name)
            .ok_or_else(|| format!("no tensor `{name}`"))?;
        if tensor.dtype != "F32" || tensor.shape != shape {
            let (dtype, found) = (&tensor.dtype, &tensor.shape);
            return Err(format!(
                "tensor `{name}` is {dtype} {found:?}, F32 {shape:?} is needed"
            ));
        }
        let range = Range {
            start: tensor.data_offsets[0],
            end: tensor.data_offsets[1],
        };
        let bytes = self
            .data
            .get(range)
            .ok_or_else(|| format!("tensor `{name}` lies outside the file"))?;
        let values: usize = shape.iter().product();
        if bytes.len() != values * 4 {
            return Err(format!(
                "tensor `{name}` has {} bytes for {values} values",
                bytes.len()
            ));
        }
        Ok(bytes
            .as_chunks()
            .0
            .iter()
            .map(|&value| f32::from_le_bytes(value))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn a_tensor_is_read_and_metadata_passed_over() {
        let header =
            r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        let data: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let bytes = file(header, &data);
        let weights = Weights::parse(&bytes).unwrap();
        assert_eq!(weights.floats("a", &[2]).unwrap(), [1.5, -2.0]);
        assert!(weights.floats("a", &[1, 2]).unwrap_err().contains("[2]"));
        assert!(weights.floats("b", &[2]).unwrap_err().contains("no tensor `b`"));
    }

    #[test]
    fn lies_about_places_are_found() {
        for offsets in ["[0,99]", "[8,0]", "[0,4]", "[18446744073709551615,3]"] {
            let header = format!(r#"{{"a":{{"dtype":"F32","shape":[2],"data_offsets":{offsets}}}}}"#);
            let bytes = file(&header, &[0; 8]);
            assert!(
                Weights::parse(&bytes).unwrap().floats("a", &[2]).is_err(),
                "{offsets}"
            );
        }
    }

    #[test]
    fn cut_files_are_refused() {
        assert!(Weights::parse(&[1, 2, 3]).is_err());
        assert!(Weights::parse(&u64::MAX.to_le_bytes()).is_err());
        assert!(Weights::parse(&file("{", &[])).is_err());
    }
}
