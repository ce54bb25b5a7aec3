//! The `traceparent` header of W3C Trace Context: which trace and span a request belongs to.
//!
//! Read strictly, as the recommendation asks: what is not exactly well-formed is ignored as a whole, and a new trace begins.

use std::fmt;

use fingerpost_core::TraceId;

/// What a `traceparent` header says.
///
/// ```
/// use fingerpost_telemetry::TraceParent;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let parent = TraceParent::parse(text).unwrap();
/// assert_eq!(parent.span, 0x00f0_67aa_0ba9_02b7);
/// assert!(parent.sampled);
/// assert_eq!(parent.to_string(), text);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The span that made the request; not zero.
    pub span: u64,
    /// Whether the sender may have recorded its part of the trace.
    pub sampled: bool,
}

/// Length of the header in version 00, and of the part of later versions that this one can read.
const LENGTH: usize = 55;

// === impl TraceParent ===

impl TraceParent {
    /// Reads the header's value; `None` for anything that is not well-formed: upper-case digits, an id of only zeros,
    /// version ff, or anything after the flags in version 00. Of a later version the known part is read.
    pub fn parse(text: &str) -> Option<Self> {
        let (known, rest) = text.split_at_checked(LENGTH)?;
        let mut fields = known.split('-');
        let version = hex(fields.next()?, 2)?;
        let trace = hex(fields.next()?, 32)?;
        let span = hex(fields.next()?, 16)?;
        let flags = hex(fields.next()?, 2)?;
        let rest_is_right = if version == 0 {
            rest.is_empty()
        } else {
            rest.is_empty() || rest.starts_with('-')
        };
        if fields.next().is_some() || version == 0xff || trace == 0 || span == 0 || !rest_is_right {
            return None;
        }
        Some(Self {
            trace: TraceId(trace),
            span: u64::try_from(span).ok()?,
            sampled: flags & 1 == 1,
        })
    }
}

/// A number of exactly `digits` lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let right = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    right.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// The value of an outgoing header, in version 00.
impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{}-{:016x}-{:02x}",
            self.trace,
            self.span,
            u8::from(self.sampled)
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_example_of_the_recommendation_is_read() {
        let parent = TraceParent::parse(GOOD).unwrap();
        assert_eq!(parent.trace, TraceId(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736));
        assert_eq!(parent.span, 0x00f0_67aa_0ba9_02b7);
        assert!(parent.sampled);
        assert!(!TraceParent::parse(&GOOD.replace("-01", "-00")).unwrap().sampled);
    }

    #[test]
    fn unknown_flags_do_not_hide_the_known_one() {
        assert!(TraceParent::parse(&GOOD.replace("-01", "-ff")).unwrap().sampled);
        assert!(!TraceParent::parse(&GOOD.replace("-01", "-fe")).unwrap().sampled);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = GOOD.replacen("00", "cc", 1);
        assert_eq!(TraceParent::parse(&later), TraceParent::parse(GOOD));
        assert_eq!(
            TraceParent::parse(&format!("{later}-what-the-future-brings")),
            TraceParent::parse(GOOD)
        );
        assert_eq!(TraceParent::parse(&format!("{later}.more")), None);
    }

    #[test]
    fn what_is_not_well_formed_is_ignored() {
        let cases = [
            String::new(),
            "00".to_owned(),
            GOOD.to_uppercase(),
            GOOD.replacen("00", "ff", 1),
            format!("{GOOD}-"),
            format!("{GOOD}-00"),
            format!(" {GOOD}"),
            GOOD[..54].to_owned(),
            GOOD.replace('-', "_"),
            GOOD.replacen("4bf9", "+bf9", 1),
            GOOD.replacen("4bf9", "gbf9", 1),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16)),
            format!("00-{}ü-00f067aa0ba902b7-01", "a".repeat(30)),
            format!("{}ü", &GOOD[..54]),
        ];
        for case in cases {
            assert_eq!(TraceParent::parse(&case), None, "{case:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(trace in 1u128.., span in 1u64.., sampled: bool) {
            let parent = TraceParent { trace: TraceId(trace), span, sampled };
            let text = parent.to_string();
            prop_assert_eq!(text.len(), LENGTH);
            prop_assert_eq!(TraceParent::parse(&text), Some(parent));
        }

        #[test]
        fn any_text_is_taken_without_harm(text in "\\PC{0,70}") {
            prop_assert_eq!(TraceParent::parse(&text), None);
        }

        #[test]
        fn what_is_read_in_version_00_is_the_text_itself(text in "00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]") {
            if let Some(parent) = TraceParent::parse(&text) {
                prop_assert_eq!(parent.to_string(), text);
            }
        }
    }
}
