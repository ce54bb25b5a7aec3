//! How much of a text is kept.

/// Bytes of a file that is read.
pub const FILE: u64 = 64 << 20;
/// Bytes of an id.
pub const ID: usize = 512;
/// Bytes of a name.
pub const NAME: usize = 256;
/// Bytes of a description.
pub const DESCRIPTION: usize = 8 << 10;
/// Bytes of a body.
pub const BODY: usize = 64 << 10;
/// Examples.
pub const EXAMPLES: usize = 64;
/// Bytes of an example.
pub const EXAMPLE: usize = 1 << 10;
/// Tags.
pub const TAGS: usize = 64;
/// Bytes of a tag.
pub const TAG: usize = 64;

/// Cuts a text to so many bytes, at the end of a character; tells how long it was if it was longer.
pub(super) fn cut(text: &mut String, limit: usize) -> Option<usize> {
    let found = text.len();
    if found <= limit {
        return None;
    }
    text.truncate(
        (0..=limit)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0),
    );
    text.shrink_to_fit();
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_not_cut_in_two() {
        let mut text = "aéé".to_owned();
        assert_eq!(cut(&mut text, 4), Some(5));
        assert_eq!(cut(&mut text, 3), None);
        assert_eq!(text, "aé");
    }
}
