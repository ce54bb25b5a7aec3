//! Finds the finished answer in a Responses stream while it passes, so that a later request can go on from it.

use fingerpost_protocol::SseDecoder;

/// Finds the finished answer in a Responses stream.
#[derive(Default)]
pub(super) struct Tap {
    decoder: SseDecoder,
    completed: Option<Vec<u8>>,
}

// === impl Tap ===

impl Tap {
    /// A piece of the client's stream.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        // An event too long to be kept is passed on all the same; the answer is then not stored.
        let _ = self.decoder.feed(piece, |event| {
            if let Some(response) = completed(&event.data) {
                self.completed = Some(response);
            }
        });
    }

    /// The finished answer, once.
    pub(super) fn completed(&mut self) -> Option<Vec<u8>> {
        self.completed.take()
    }
}

/// The finished answer in an event of a Responses stream, if this is the event that carries it.
fn completed(data: &[u8]) -> Option<Vec<u8>> {
    #[derive(serde::Deserialize)]
    struct Completed<'a> {
        #[serde(borrow)]
        r#type: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        response: &'a serde_json::value::RawValue,
    }
    let event: Completed<'_> = serde_json::from_slice(data).ok()?;
    (event.r#type == "response.completed").then(|| event.response.get().as_bytes().to_vec())
}
