//! Texts of servers, which nobody vouches for: cut to a length, and without what would do something when it is printed.

/// Stands where the rest was cut off.
const CUT: &str = " […]";

/// The text without control characters (line feeds and tabs stay) and without characters that turn the direction of what
/// follows; cut at `longest` bytes, where what stands for the rest is not counted. Whether it was cut.
pub(crate) fn tidy(text: &str, longest: usize) -> (String, bool) {
    let mut out = String::with_capacity(text.len().min(longest));
    for c in text
        .chars()
        .filter(|c| matches!(c, '\n' | '\t') || !is_acting(*c))
    {
        if out.len() + c.len_utf8() > longest {
            out.push_str(CUT);
            return (out, true);
        }
        out.push(c);
    }
    (out, false)
}

/// The text as it may stand in a line of a log: control characters as `\u{…}`, cut at `longest` bytes.
pub(crate) fn escaped(text: &str, longest: usize) -> String {
    let mut out = String::with_capacity(text.len().min(longest));
    for c in text.trim_end().chars() {
        if out.len() >= longest {
            out.push_str(CUT);
            break;
        }
        if is_acting(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Control characters, and those that turn the direction of a text or hide in it.
fn is_acting(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_taken_out_or_escaped() {
        assert_eq!(
            tidy("a\u{1b}[31mb\tc\nd\u{202e}e", 99),
            ("a[31mb\tc\nde".to_owned(), false)
        );
        assert_eq!(escaped("a\u{1b}[31m\nb\r\n", 99), "a\\u{1b}[31m\\nb");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(tidy("ääää", 5), ("ää […]".to_owned(), true));
        assert_eq!(tidy("ääää", 8), ("ääää".to_owned(), false));
        assert_eq!(escaped("abcdef", 3), "abc […]");
    }
}
