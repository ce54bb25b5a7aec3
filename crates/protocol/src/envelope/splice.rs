//! The body on its way to an upstream of the same format: slices of the client's bytes with small pieces between them.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes};
use smallvec::SmallVec;

use super::{Envelope, Usage};

/// A range of the body's bytes. Bodies over 4 GiB are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// What to change on the way to the upstream.
#[derive(Debug, Clone, Copy, Default)]
pub struct Edit<'m> {
    /// The upstream's name of the model; the client's stays where `None`.
    pub model: Option<&'m str>,
    /// Ask for a usage chunk (Chat streams only; ignored otherwise).
    pub include_usage: bool,
}

/// A request body in pieces, no byte of the client's copied. It is a [`Buf`], so that an HTTP client writes it vectored
/// (`http_body_util::Full::new(body)`).
#[derive(Debug, Clone, Default)]
pub struct Body {
    pieces: VecDeque<Bytes>,
}

// === impl Span ===

impl Span {
    /// Where `part` stands in `whole`. `None` unless it is a slice of it.
    pub(super) fn of(part: &str, whole: &str) -> Option<Self> {
        let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
        let end = start.checked_add(part.len())?;
        (end <= whole.len()).then_some(())?;
        Some(Self {
            start: u32::try_from(start).ok()?,
            end: u32::try_from(end).ok()?,
        })
    }

    const fn at(position: u32) -> Self {
        Self {
            start: position,
            end: position,
        }
    }
}

// === impl Envelope ===

impl Envelope<'_> {
    /// The body for an upstream of the same format. `body` must be the bytes that this was parsed from, so that they are
    /// shared; other bytes are not looked at, and what was parsed is copied instead.
    pub fn body_for(&self, body: &Bytes, edit: Edit<'_>) -> Body {
        let same = body.as_ptr() == self.body.as_ptr() && body.len() == self.body.len();
        let body = if same {
            body.clone()
        } else {
            Bytes::copy_from_slice(self.body)
        };
        let mut changes: SmallVec<[(Span, Bytes); 2]> = SmallVec::new();
        let comma = |empty: bool| if empty { "" } else { "," };
        if let Some(model) = edit.model {
            // A plain string always serialises.
            let name = serde_json::to_string(model).unwrap_or_default();
            match self.spans.model {
                Some(_) if self.query.model == model => {}
                Some(span) => changes.push((span, Bytes::from(name))),
                None => {
                    let text = format!("\"model\":{name}{}", comma(self.spans.empty));
                    changes.push((Span::at(self.spans.open), Bytes::from(text)));
                }
            }
        }
        if edit.include_usage && self.query.stream && self.format == crate::Format::Chat {
            const ON: &[u8] = b"{\"include_usage\":true}";
            match self.spans.usage {
                Usage::On => {}
                Usage::Replace(span) => changes.push((span, Bytes::from_static(b"true"))),
                Usage::Null(span) => changes.push((span, Bytes::from_static(ON))),
                Usage::Insert { at, empty: true } => {
                    changes.push((Span::at(at), Bytes::from_static(b"\"include_usage\":true")));
                }
                Usage::Insert { at, empty: false } => {
                    changes.push((Span::at(at), Bytes::from_static(b"\"include_usage\":true,")));
                }
                // A Chat stream has at least the members `stream` and `messages`: the comma is always right.
                Usage::Absent => changes.push((
                    Span::at(self.spans.open),
                    Bytes::from_static(b"\"stream_options\":{\"include_usage\":true},"),
                )),
            }
        }
        changes.sort_by_key(|(span, _)| span.start);
        let mut pieces = VecDeque::with_capacity(2 * changes.len() + 1);
        let mut from = 0;
        for (span, text) in changes {
            pieces.push_back(body.slice(from..span.start as usize));
            pieces.push_back(text);
            from = span.end as usize;
        }
        pieces.push_back(if from == 0 { body } else { body.slice(from..) });
        Body { pieces }
    }
}

// === impl Body ===

impl Body {
    /// Bytes in all pieces.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One run of bytes: the very same where there is one piece, else a copy.
    pub fn into_bytes(mut self) -> Bytes {
        if self.pieces.len() == 1 {
            return self.pieces.pop_front().unwrap_or_default();
        }
        self.copy_to_bytes(self.len())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self {
            pieces: VecDeque::from([bytes]),
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl Buf for Body {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.iter().find(|p| !p.is_empty()).map_or(&[], |p| p)
    }

    fn chunks_vectored<'b>(&'b self, out: &mut [IoSlice<'b>]) -> usize {
        let pieces = self.pieces.iter().filter(|p| !p.is_empty());
        let mut filled = 0;
        for (slot, piece) in out.iter_mut().zip(pieces) {
            *slot = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(piece) = self.pieces.front_mut() {
            if piece.len() > count {
                piece.advance(count);
                return;
            }
            count -= piece.len();
            self.pieces.pop_front();
        }
        assert!(count == 0, "advanced past the end of a body");
    }
}
