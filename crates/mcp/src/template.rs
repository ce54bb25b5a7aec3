//! Which URIs a template of a server may stand for.
//!
//! RFC 6570 tells how a template becomes a URI. Here the other way is needed, and only as far as it says whom to ask: a URI that
//! fits too easily costs a server one request. So an expression stands for any characters that its kind can bring forth, whatever
//! its variables are called: `{x}` for some without `/`, `?` and `#`, `{+x}` for some of any kind, `{/x}`, `{?x}` and the like for
//! nothing or anything that begins so.

use crate::uri::LONGEST;

/// Most expressions in one template that is taken.
const MOST_EXPRESSIONS: usize = 32;

/// What URIs are matched with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// As it stands.
    Text(String),
    /// One character or more, none of `/?#`.
    Segment,
    /// One character or more.
    Any,
    /// Nothing, or this character and what follows it.
    From(u8),
}

// === impl Pattern ===

impl Pattern {
    /// Reads a template; why it is none.
    pub(crate) fn read(template: &str) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), template);
        while let Some((text, after)) = rest.split_once('{') {
            let Some((expression, after)) = after.split_once('}') else {
                return Err("holds a `{` without its `}`".to_owned());
            };
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
            parts.push(match expression.bytes().next() {
                None => return Err("holds `{}`, which names nothing".to_owned()),
                Some(b'+') => Part::Any,
                Some(sign @ (b'/' | b'.' | b';' | b'?' | b'&' | b'#')) => Part::From(sign),
                Some(_) => Part::Segment,
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let expressions = parts.iter().filter(|part| !matches!(part, Part::Text(_))).count();
        if expressions > MOST_EXPRESSIONS {
            return Err(format!(
                "holds {expressions} expressions; allowed: {MOST_EXPRESSIONS}"
            ));
        }
        Ok(Self(parts))
    }

    /// Whether the template may stand for this URI. Takes as many steps as the URI has bytes for each part at most.
    pub(crate) fn fits(&self, uri: &str) -> bool {
        let uri = uri.as_bytes();
        if uri.len() > LONGEST {
            return false;
        }
        // Where the parts so far may end.
        let mut ends = vec![false; uri.len() + 1];
        if let Some(start) = ends.first_mut() {
            *start = true;
        }
        for part in &self.0 {
            ends = part.ends(uri, &ends);
            if !ends.contains(&true) {
                return false;
            }
        }
        ends.last() == Some(&true)
    }
}

// === impl Part ===

impl Part {
    /// Where this part may end, if it may begin at `starts`.
    fn ends(&self, uri: &[u8], starts: &[bool]) -> Vec<bool> {
        let mut ends = vec![false; starts.len()];
        match self {
            Self::Text(text) => {
                let text = text.as_bytes();
                let begins = starts.iter().enumerate().filter(|(_, is_start)| **is_start);
                for (i, _) in begins {
                    let is_here = uri.get(i..).is_some_and(|rest| rest.starts_with(text));
                    if let (true, Some(end)) = (is_here, ends.get_mut(i + text.len())) {
                        *end = true;
                    }
                }
            }
            Self::Segment | Self::Any | Self::From(_) => {
                // Whether it is under way before this byte.
                let mut is_in = false;
                for (i, &byte) in uri.iter().enumerate() {
                    let begins = starts.get(i) == Some(&true);
                    is_in = match self {
                        Self::Segment => (is_in || begins) && !matches!(byte, b'/' | b'?' | b'#'),
                        Self::From(sign) => is_in || (begins && byte == *sign),
                        _ => is_in || begins,
                    };
                    if let Some(end) = ends.get_mut(i + 1) {
                        *end = is_in;
                    }
                }
                if matches!(self, Self::From(_)) {
                    for (end, start) in ends.iter_mut().zip(starts) {
                        *end |= *start;
                    }
                }
            }
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(template: &str, uri: &str) -> bool {
        Pattern::read(template).unwrap().fits(uri)
    }

    #[test]
    fn by_hand() {
        assert!(fits("file:///{name}.txt", "file:///a.b.txt"));
        assert!(!fits("file:///{name}.txt", "file:///a/b.txt"));
        assert!(!fits("file:///{name}.txt", "file:///.txt"));
        assert!(fits("file:///{+path}", "file:///a/b.txt") && !fits("file:///{+path}", "file:///"));
        assert!(fits(
            "repo://{owner}/{repo}/contents{/path*}",
            "repo://o/r/contents/a/b"
        ));
        assert!(fits(
            "repo://{owner}/{repo}/contents{/path*}",
            "repo://o/r/contents"
        ));
        assert!(!fits(
            "repo://{owner}/{repo}/contents{/path*}",
            "repo://o/contents"
        ));
        assert!(fits("x:search{?q,n}", "x:search?q=1&n=2") && fits("x:search{?q,n}", "x:search"));
        assert!(!fits("x:search{?q}", "x:searchq=1"));
        assert!(fits("x:plain", "x:plain") && !fits("x:plain", "x:plainer") && !fits("x:plain", "x:plai"));
        for bad in ["x:{", "x:{a", "x:{}", &"{a}".repeat(33)] {
            assert!(Pattern::read(bad).is_err(), "{bad}");
        }
        assert!(!fits("{+a}", &"x".repeat(LONGEST + 1)));
    }

    proptest! {
        #[test]
        fn anything_is_read_and_matched(template in "([a-z:/]|[{}+?#/]|ä){0,20}", uri in "\\PC{0,20}") {
            if let Ok(pattern) = Pattern::read(&template) {
                pattern.fits(&uri);
            }
        }

        #[test]
        fn what_a_template_becomes_fits_it(a in "[a-zA-Z0-9%._-]{1,8}", b in "[a-z/]{1,8}", q in prop::option::of("[a-z]{0,4}")) {
            let query = q.map_or(String::new(), |q| format!("?q={q}"));
            let uri = format!("s://{a}/x/{b}{query}");
            prop_assert!(fits("s://{a}/x/{+b}{?q}", &uri), "{}", uri);
        }
    }
}
