//! Keys never leave in a message: whatever looks like a credential is blotted out.

use std::borrow::Cow;

/// What stands in place of a key.
pub const BLOT: &str = "[redacted]";

/// Beginnings that only keys have. What follows must be long enough to be one.
const PREFIXES: [&str; 11] = [
    "sk-", "sk_", "pk-", "rk_", "gsk_", "xai-", "hf_", "ghp_", "AKIA", "AIza", "eyJ",
];

/// Shorter tails than this are words ("sk-learn"), not keys.
const SHORTEST_KEY: usize = 10;

/// Blots out whatever looks like an API key: a word beginning like one (`sk-…`, `AIza…`), and the word after `Bearer`,
/// `x-api-key:`, `api_key=` and the like. Borrowed where there is nothing to hide.
///
/// ```
/// use fingerpost_protocol::redact;
/// assert_eq!(redact("bad key sk-proj-abcdefghijk123, sorry"), "bad key [redacted], sorry");
/// assert!(matches!(redact("nothing here"), std::borrow::Cow::Borrowed(_)));
/// ```
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    let mut announced = false;
    while at < text.len() {
        let start = at + word_start(&text[at..]);
        let end = start + word_len(&text[start..]);
        if start == end {
            break;
        }
        let word = &text[start..end];
        if is_key(word) || (announced && !is_scheme(word)) {
            out.push_str(&text[copied..start]);
            out.push_str(BLOT);
            copied = end;
            announced = false;
        } else {
            announced = announces_key(word, &text[end..]);
        }
        at = end;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/' | '~' | '*')
}

fn word_start(text: &str) -> usize {
    text.find(is_word).unwrap_or(text.len())
}

fn word_len(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}

fn is_key(word: &str) -> bool {
    PREFIXES.iter().any(|prefix| {
        // A key can hang on to a path or a word: look for the beginning at each boundary of the word.
        word.match_indices(prefix).any(|(i, _)| {
            let boundary = i == 0 || word.as_bytes()[i - 1] == b'/' || word.as_bytes()[i - 1] == b'.';
            boundary && word.len() - i - prefix.len() >= SHORTEST_KEY
        })
    })
}

fn is_scheme(word: &str) -> bool {
    ["bearer", "basic", "token"]
        .iter()
        .any(|s| word.eq_ignore_ascii_case(s))
}

fn announces_key(word: &str, rest: &str) -> bool {
    if word.eq_ignore_ascii_case("bearer") {
        return rest.starts_with(' ');
    }
    let named = [
        "authorization",
        "api-key",
        "api_key",
        "apikey",
        "x-api-key",
        "basic",
    ];
    let named = named.iter().any(|n| word.eq_ignore_ascii_case(n));
    let sign = rest.trim_start_matches(['"', '\'', ' ']);
    named && (sign.starts_with(':') || sign.starts_with('=') || is_scheme(word) && rest.starts_with(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_many_makes() {
        for (text, want) in [
            (
                "Incorrect API key provided: sk-abc123def456ghi.",
                "Incorrect API key provided: [redacted]",
            ),
            ("Authorization: Bearer abc", "Authorization: Bearer [redacted]"),
            ("{\"x-api-key\": \"short\"}", "{\"x-api-key\": \"[redacted]\"}"),
            ("api_key=whatever&x=1", "api_key=[redacted]&x=1"),
            ("AIzaSyA1234567890abcdef in the URL", "[redacted] in the URL"),
            ("scikit: sk-learn is fine", "scikit: sk-learn is fine"),
            ("the bearer of news", "the bearer [redacted] news"),
            ("naïve · ünïcode", "naïve · ünïcode"),
            ("", ""),
        ] {
            assert_eq!(redact(text), want, "{text}");
        }
    }
}
