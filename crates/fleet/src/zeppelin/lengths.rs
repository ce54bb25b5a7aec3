//! Lengths of sequences as a file gives them.

use serde_json::Value;

use super::ZeppelinError;

/// Reads lengths in tokens: a JSON array, or numbers separated by white space or commas.
///
/// # Errors
/// [`ZeppelinError::Length`] with the place of the first that is zero, negative, fractional or no number, and
/// [`ZeppelinError::NoLengths`].
pub fn read_lengths(text: &str) -> Result<Vec<u32>, ZeppelinError> {
    let lengths = if text.trim_start().starts_with('[') {
        from_array(text)?
    } else {
        from_lines(text)?
    };
    if lengths.is_empty() {
        return Err(ZeppelinError::NoLengths);
    }
    Ok(lengths)
}

fn from_array(text: &str) -> Result<Vec<u32>, ZeppelinError> {
    let values: Vec<Value> = serde_json::from_str(text).map_err(|e| ZeppelinError::Length {
        place: format!("line {}", e.line()),
        found: format!("what stands there ({e})"),
    })?;
    let numbered = values.iter().enumerate();
    numbered
        .map(|(at, value)| length(&value.to_string(), || format!("entry {}", at + 1)))
        .collect()
}

fn from_lines(text: &str) -> Result<Vec<u32>, ZeppelinError> {
    let mut lengths = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let words = line.split(|c: char| c.is_whitespace() || c == ',');
        for word in words.filter(|w| !w.is_empty()) {
            lengths.push(length(word, || format!("line {}", at + 1))?);
        }
    }
    Ok(lengths)
}

fn length(word: &str, place: impl Fn() -> String) -> Result<u32, ZeppelinError> {
    match word.parse::<u32>() {
        Ok(length) if length > 0 => Ok(length),
        _ => Err(ZeppelinError::Length {
            place: place(),
            found: word.chars().take(40).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_from_lines_and_arrays() {
        assert_eq!(read_lengths("12\n7, 9\n\n").unwrap(), [12, 7, 9]);
        assert_eq!(read_lengths(" [12, 7]").unwrap(), [12, 7]);
    }

    #[test]
    fn what_is_no_length_is_named_with_its_place() {
        let said = |text: &str| read_lengths(text).unwrap_err().to_string();
        assert!(said("5\n-3").starts_with("line 2: -3 is no length"));
        assert!(said("5 0").contains("line 1: 0 is"));
        assert!(said("NaN").contains("NaN"));
        assert!(said("[3, 2.5]").starts_with("entry 2: 2.5"));
        assert!(said("[3, null]").contains("null") && said("[3,").contains("line 1"));
        assert!(said("4294967296").contains("4294967296"));
        assert!(said("  \n").contains("no lengths"));
    }
}
