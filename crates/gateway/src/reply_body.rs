//! The body of an answer: whole, or a stream that is passed on as it comes.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::exchange::Streaming;

/// The body of an answer.
pub(crate) enum ReplyBody {
    /// All of it.
    Whole(Bytes),
    /// A stream under way.
    Streaming(Box<Streaming>),
}

// === impl ReplyBody ===

impl From<Bytes> for ReplyBody {
    fn from(all: Bytes) -> Self {
        Self::Whole(all)
    }
}

impl From<Vec<u8>> for ReplyBody {
    fn from(all: Vec<u8>) -> Self {
        Self::Whole(all.into())
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(all) if all.is_empty() => Poll::Ready(None),
            Self::Whole(all) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(all))))),
            Self::Streaming(stream) => stream
                .poll_piece(cx)
                .map(|piece| piece.map(|p| Ok(Frame::data(p)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(all) if all.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(all) => SizeHint::with_exact(all.len() as u64),
            Self::Streaming(_) => SizeHint::default(),
        }
    }
}
