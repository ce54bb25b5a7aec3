//! A stranger's text, fit to be looked at.

use std::fmt::{self, Write};

/// Characters that are shown of a text.
const MOST: usize = 240;

/// A stranger's text as a terminal or a log may have it: one line, cut, with everything that is unseen or moves what is
/// seen (control characters, marks of direction, characters without width) written out as `\u{…}`.
///
/// ```
/// use fingerpost_agents::catalogue::shown;
/// assert_eq!(shown("pay\u{1b}[2J\u{202e}me\nnow").to_string(), r"pay\u{1b}[2J\u{202e}me now");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(&'a str);

/// Shows a stranger's text.
pub fn shown(text: &str) -> Shown<'_> {
    Shown(text)
}

/// Whether a character is unseen, or moves those around it.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

// === impl Shown ===

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        for c in characters.by_ref().take(MOST) {
            match c {
                '\n' | '\r' | '\t' => f.write_char(' ')?,
                c if is_hidden(c) => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        if characters.next().is_some() {
            f.write_char('…')?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_unseen_is_left_and_long_texts_end() {
        let all: String = (0..=0x2100_u32).filter_map(char::from_u32).collect();
        for chunk in all.chars().collect::<Vec<_>>().chunks(100) {
            let text: String = chunk.iter().collect();
            assert!(!shown(&text).to_string().chars().any(is_hidden));
        }
        assert_eq!(
            shown(&"x".repeat(300)).to_string(),
            format!("{}…", "x".repeat(240))
        );
    }
}
