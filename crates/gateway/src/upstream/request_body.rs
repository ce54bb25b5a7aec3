//! The body sent upstream: slices of the body that the client sent, with the model's name exchanged. Nothing is copied.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Up to four pieces, sent one after the other. Cloning it clones reference counts, so that a retry costs no copy.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestBody {
    pieces: [Bytes; 4],
    next: usize,
}

// === impl RequestBody ===

impl RequestBody {
    /// These pieces in order; empty ones are passed over.
    pub(crate) fn of<const N: usize>(pieces: [Bytes; N]) -> Self {
        const { assert!(N <= 4) };
        let mut body = Self::default();
        for (slot, piece) in body.pieces.iter_mut().zip(pieces) {
            *slot = piece;
        }
        body
    }

    fn left(&self) -> u64 {
        self.pieces[self.next..].iter().map(|p| p.len() as u64).sum()
    }
}

impl From<Bytes> for RequestBody {
    fn from(all: Bytes) -> Self {
        Self::of([all])
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        while self.next < self.pieces.len() {
            let at = self.next;
            self.next += 1;
            let piece = std::mem::take(&mut self.pieces[at]);
            if !piece.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn pieces_arrive_in_order_and_are_counted() {
        let body = RequestBody::of([Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"c")]);
        assert_eq!(body.size_hint().exact(), Some(3));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
        assert!(RequestBody::default().is_end_stream());
    }
}
