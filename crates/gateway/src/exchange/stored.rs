//! Answers that a later request can go on from (`previous_response_id` of the Responses format).
//!
//! Kept here, not at a provider: the whole conversation goes upstream each time, so any model can take the next turn.

use bytes::Bytes;
use fingerpost_core::Name;
use fingerpost_protocol::{Envelope, ErrorBody, ErrorKind, Format, Items};
use fingerpost_store::{ResponseRecord, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Refusal, journey::Journey};

/// Keeps an answer when it is there.
pub(crate) struct Keeper {
    /// Everything that was said before the answer.
    conversation: Items,
    parent: Option<Name>,
    owner: Option<Name>,
}

/// A request with what came before it in its place.
pub(crate) struct Expanded {
    pub(crate) body: Bytes,
    /// The stored answer that it goes on from.
    pub(crate) previous: Option<Name>,
    pub(crate) keeper: Option<Keeper>,
}

/// What is stored of an answer.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stored<'a> {
    /// The answer, as the client got it.
    #[serde(borrow)]
    pub(crate) response: &'a RawValue,
    /// The items of the request that it answers.
    #[serde(borrow)]
    pub(crate) input: &'a RawValue,
}

/// The id of an answer.
#[derive(Deserialize)]
struct Id<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
}

/// Puts what came before in front of a request that goes on from a stored answer, and says how its own answer is kept.
pub(crate) async fn expand(journey: &Journey, body: Bytes, owner: Option<&str>) -> Result<Expanded, Refusal> {
    if journey.format != Format::Responses {
        return Ok(Expanded {
            body,
            previous: None,
            keeper: None,
        });
    }
    let bad = |bad: &fingerpost_protocol::BadRequest| Refusal::from(ErrorBody::from(bad));
    let envelope = Envelope::parse(Format::Responses, &body).map_err(|e| bad(&e))?;
    let parent: Option<Name> = envelope.previous_response_id.as_deref().map(Into::into);
    let keep = envelope.store != Some(false);
    let own = Items::of_request(&body).map_err(|e| bad(&e))?;
    let (conversation, expanded) = match &parent {
        None => (own, None),
        Some(id) => {
            let mut items = before(journey, id, owner).await?;
            items.append(own);
            let expanded = items.into_request(&body).map_err(|e| bad(&e))?;
            (items, Some(Bytes::from(expanded)))
        }
    };
    drop(envelope);
    let keeper = keep.then(|| Keeper {
        conversation,
        parent: parent.clone(),
        owner: owner.map(Into::into),
    });
    Ok(Expanded {
        body: expanded.unwrap_or(body),
        previous: parent,
        keeper,
    })
}

/// The conversation up to and with the stored answer `id`.
async fn before(journey: &Journey, id: &str, owner: Option<&str>) -> Result<Items, Refusal> {
    let (which, whose) = (Name::from(id), owner.map(Name::from));
    let read = move |store: &dyn Store| store.response(&which, whose.as_deref());
    let record = journey
        .worker
        .ask_store(read)
        .await
        .map_err(|e| Refusal::from(failed(&e)))?;
    let record = record.ok_or_else(|| Refusal::from(not_found(id)))?;
    let unreadable = |e: String| {
        Refusal::from(ErrorBody::new(
            ErrorKind::Internal,
            &format!("the stored response `{id}` cannot be read: {e}"),
        ))
    };
    let stored: Stored<'_> = serde_json::from_slice(&record.body).map_err(|e| unreadable(e.to_string()))?;
    let mut items = Items::from_json(stored.input.get().as_bytes()).map_err(|e| unreadable(e.to_string()))?;
    items.append(Items::of_answer(stored.response.get().as_bytes()).map_err(|e| unreadable(e.to_string()))?);
    Ok(items)
}

/// No such answer, or somebody else's.
pub(crate) fn not_found(id: &str) -> ErrorBody {
    let id: String = id.chars().take(100).collect();
    let message =
        format!("previous response `{id}` is not stored here: unknown, deleted, or past its retention");
    ErrorBody::new(ErrorKind::NotFound, &message)
        .param("previous_response_id")
        .code("previous_response_not_found")
}

/// The store did not answer: for the moment (503), or for good.
pub(crate) fn failed(error: &StoreError) -> ErrorBody {
    let kind = if error.is_passing() {
        ErrorKind::Overloaded
    } else {
        ErrorKind::Internal
    };
    ErrorBody::new(kind, &error.to_string())
}

// === impl Keeper ===

impl Keeper {
    /// Keeps `answer`, a finished answer in the Responses format. That it could not be kept is logged: the client has its
    /// answer all the same.
    pub(crate) fn keep(self, journey: &Journey, answer: &[u8]) {
        let kept = serde_json::from_slice::<&RawValue>(answer).and_then(|response| {
            let id: Id<'_> = serde_json::from_str(response.get())?;
            let input = serde_json::value::to_raw_value(&self.conversation.iter().collect::<Vec<_>>())?;
            let body = serde_json::to_vec(&Stored {
                response,
                input: &input,
            })?;
            Ok((Name::from(id.id.as_ref()), body))
        });
        match kept {
            Ok((id, body)) => {
                let record = ResponseRecord {
                    id,
                    parent: self.parent,
                    owner: self.owner,
                    at: journey.at,
                    body,
                };
                if let Err(error) = journey.worker.shared.store().put_response(record) {
                    tracing::warn!(%error, "a response was not stored");
                }
            }
            Err(error) => tracing::warn!(%error, "a response without an id was not stored"),
        }
    }
}
