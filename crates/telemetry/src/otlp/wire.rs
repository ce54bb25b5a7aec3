//! Protobuf, as much of it as OTLP traces need: fields written to the end of a buffer, and one answer read.

/// A field's value is a number of varying length.
const VARINT: u8 = 0;
/// A field's value takes eight bytes.
const FIXED64: u8 = 1;
/// A field's value has its length before it.
const LENGTH: u8 = 2;
/// A field's value takes four bytes.
const FIXED32: u8 = 5;

fn tag(out: &mut Vec<u8>, field: u32, kind: u8) {
    varint(out, u64::from(field) << 3 | u64::from(kind));
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "seven bits and the continuation bit"
        )]
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 128")]
    out.push(value as u8);
}

/// An unsigned number, a Boolean, an enumeration, or a signed number that is not negative.
pub(super) fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, VARINT);
    varint(out, value);
}

pub(super) fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn fixed32(out: &mut Vec<u8>, field: u32, value: u32) {
    tag(out, field, FIXED32);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn double(out: &mut Vec<u8>, field: u32, value: f64) {
    fixed64(out, field, value.to_bits());
}

/// Text or bytes.
pub(super) fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    tag(out, field, LENGTH);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// A message, written by `write`. Its length is known only afterwards: one byte is kept for it, and the message moves up where
/// that is not enough, which is rare for attributes and cheap for spans.
pub(super) fn message(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    tag(out, field, LENGTH);
    let at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    match u8::try_from(length) {
        Ok(short @ 0..=0x7f) => out[at] = short,
        _ => {
            out.remove(at);
            let end = out.len();
            varint(out, length as u64);
            let width = out.len() - end;
            out[at..].rotate_right(width);
        }
    }
}

/// How many spans the collector says it rejected: `partial_success.rejected_spans` of an `ExportTraceServiceResponse`. An
/// answer that is no such message rejects nothing, as a collector that answers with JSON or nothing does.
pub(super) fn rejected(answer: &[u8]) -> u64 {
    find(answer, 1)
        .and_then(|partial| match partial {
            Value::Bytes(inner) => find(inner, 1),
            Value::Number(_) => None,
        })
        .map_or(0, |count| match count {
            Value::Number(count) => count,
            Value::Bytes(_) => 0,
        })
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The first value of a field in a message.
fn find(mut message: &[u8], field: u64) -> Option<Value<'_>> {
    while !message.is_empty() {
        let key = read_varint(&mut message)?;
        let value = match u8::try_from(key & 7).ok()? {
            VARINT => Value::Number(read_varint(&mut message)?),
            LENGTH => {
                let length = usize::try_from(read_varint(&mut message)?).ok()?;
                Value::Bytes(message.split_off(..length)?)
            }
            FIXED64 => Value::Bytes(message.split_off(..8)?),
            FIXED32 => Value::Bytes(message.split_off(..4)?),
            _ => return None,
        };
        if key >> 3 == field {
            return Some(value);
        }
    }
    None
}

fn read_varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *from.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceResponse,
    };
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    #[test]
    fn numbers_are_written_as_the_encoding_guide_shows() {
        let mut out = Vec::new();
        number(&mut out, 1, 150);
        assert_eq!(out, [0x08, 0x96, 0x01]);
        out.clear();
        bytes(&mut out, 2, b"testing");
        assert_eq!(out, [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
        out.clear();
        message(&mut out, 3, |out| number(out, 1, 150));
        assert_eq!(out, [0x1a, 0x03, 0x08, 0x96, 0x01]);
    }

    proptest! {
        #[test]
        fn a_message_of_any_length_is_what_its_bytes_would_be(inner in prop::collection::vec(any::<u8>(), 0..40_000)) {
            let (mut whole, mut built) = (vec![7], vec![7]);
            bytes(&mut whole, 2, &inner);
            message(&mut built, 2, |out| out.extend_from_slice(&inner));
            prop_assert_eq!(whole, built);
        }

        #[test]
        fn what_the_collector_rejected_is_read(rejected_spans in 0i64.., error_message in ".{0,20}") {
            let partial_success = Some(ExportTracePartialSuccess { rejected_spans, error_message });
            let answer = ExportTraceServiceResponse { partial_success }.encode_to_vec();
            prop_assert_eq!(rejected(&answer), u64::try_from(rejected_spans).unwrap());
        }

        #[test]
        fn any_answer_is_read_without_harm(answer in prop::collection::vec(any::<u8>(), 0..64)) {
            let once = rejected(&answer);
            prop_assert_eq!(once, rejected(&answer));
        }
    }

    #[test]
    fn an_empty_or_foreign_answer_rejects_nothing() {
        assert_eq!(rejected(b""), 0);
        assert_eq!(rejected(b"{}"), 0);
        assert_eq!(
            rejected(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            0,
            "longer than it is"
        );
    }
}
