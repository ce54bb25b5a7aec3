//! Which conversation a request belongs to, and what is remembered of it: who answered, who failed. What that means for the choice
//! of a model is `fingerpost_models::Stay`'s to say.

use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hasher},
    sync::Arc,
    time::Duration,
};

use fingerpost_core::{Context, Decision, Failure, Hop, Level, Name, Query, Role, Timestamp, Trace};
use fingerpost_models::{Session, SessionKey, Sessions, Stay};
use http::HeaderMap;

use crate::{
    config::SessionConfig,
    snapshot::{DecisionSlot, Snapshot},
};

/// The place of one request in its conversation.
pub(crate) struct Seat {
    sessions: Arc<Sessions>,
    key: SessionKey,
    decision: Name,
    idle: Duration,
}

/// What names the conversation: the first of the headers that is there, or, where the operator wants that, its beginning.
pub(crate) fn named<'h>(
    headers: &'h HeaderMap,
    query: &Query<'_>,
    config: &SessionConfig,
) -> Option<Cow<'h, str>> {
    let value = |name: &String| headers.get(name.as_str())?.to_str().ok().map(str::trim);
    let header = config
        .headers
        .iter()
        .filter_map(value)
        .find(|value| !value.is_empty());
    match header {
        Some(name) => Some(name.into()),
        None if config.fingerprint => beginning(query).map(Cow::Owned),
        None => None,
    }
}

/// A hash of all texts up to the first of the user's, which every later request of the conversation repeats. `None` without one.
fn beginning(query: &Query<'_>) -> Option<String> {
    let first = query.turns.iter().position(|t| t.role == Role::User)?;
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(salt);
        for turn in &query.turns[..=first] {
            hasher.write_u8(turn.role as u8);
            for text in &turn.texts {
                hasher.write_usize(text.len());
                hasher.write(text.as_bytes());
            }
        }
        hasher.finish()
    };
    Some(format!("begins {:016x}{:016x}", half(1), half(2)))
}

/// The key of the request's conversation, where the decision may keep it with its model.
pub(crate) fn of(slot: &DecisionSlot, query: &Query<'_>) -> Option<SessionKey> {
    slot.stay.as_ref().filter(|stay| stay.remembers())?;
    Some(SessionKey::of(
        query.session.as_deref()?,
        query.identity.user.as_deref(),
    ))
}

/// The model that answered the turn before.
pub(crate) fn previous(session: &Session) -> Option<Cow<'static, str>> {
    session.model.as_ref().map(|model| Cow::Owned(model.to_string()))
}

/// The selection, or the model to stay with before it.
pub(crate) fn pass(
    selected: Decision,
    slot: &DecisionSlot,
    session: Option<&Session>,
    query: &Query<'_>,
    cx: &Context<'_>,
) -> Decision {
    match &slot.stay {
        Some(stay) => stay.pass(selected, session, query, &slot.name, &slot.among, cx),
        None => selected,
    }
}

/// The model to stay with without asking anybody first.
pub(crate) fn locked(
    slot: &DecisionSlot,
    session: Option<&Session>,
    query: &Query<'_>,
    cx: &Context<'_>,
) -> Option<Decision> {
    slot.stay.as_ref()?.locked(session, query, &slot.among, cx)
}

// === impl Seat ===

impl Seat {
    /// The place of a request whose conversation is remembered.
    pub(crate) fn of(slot: &DecisionSlot, query: &Query<'_>, snapshot: &Snapshot) -> Option<Self> {
        Some(Self {
            sessions: Arc::clone(snapshot.sessions()),
            key: of(slot, query)?,
            decision: slot.name.clone(),
            idle: slot.stay.as_ref().map(Stay::config)?.idle_timeout,
        })
    }

    /// The model that the trace ends with has begun to answer. Noted before the client hears of it, so that its next request finds
    /// it.
    pub(crate) fn answered(&self, trace: &Trace, now: Timestamp) {
        if let Some(hop) = models(trace).last() {
            let model = &hop.decision.first().name;
            self.note(now, |session| session.answered(model, &self.decision, now));
        }
    }

    /// The request is over: counts what failed on the way to its answer, or in the middle of it.
    pub(crate) fn over(&self, trace: &Trace, failure: Option<&Failure>, now: Timestamp) {
        let mut hops = models(trace).peekable();
        if hops.peek().is_none() {
            return;
        }
        self.note(now, |session| {
            while let Some(hop) = hops.next() {
                let model = &hop.decision.first().name;
                let own = hop.outcome.as_ref().and_then(|o| o.failure.as_ref());
                let is_last = hops.peek().is_none();
                match own.or(failure.filter(|_| is_last)) {
                    Some(failure) if failure.is_retryable() => session.failed(model, now),
                    Some(_) => {}
                    None => session.succeeded(model),
                }
            }
        });
    }

    fn note(&self, now: Timestamp, change: impl FnOnce(&mut Session)) {
        self.sessions.note(self.key, now, self.idle, change);
    }
}

/// The choices of models on a trace, the failed ones first.
fn models(trace: &Trace) -> impl Iterator<Item = &Hop> {
    trace.hops.iter().filter(|hop| hop.level == Level::Model)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair =
            |(n, v): &(&'static str, &'static str)| (HeaderName::from_static(n), HeaderValue::from_static(v));
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn the_first_header_that_is_there_names_it() {
        let config = SessionConfig::default();
        let found = |pairs| named(&headers(pairs), &Query::text("hi"), &config).map(Cow::into_owned);
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[("x-conversation-id", "c")]).as_deref(), Some("c"));
        assert_eq!(
            found(&[("x-conversation-id", "c"), ("x-session-id", " s ")]).as_deref(),
            Some("s")
        );
        assert_eq!(
            found(&[("x-conversation-id", "c"), ("x-session-id", " ")]).as_deref(),
            Some("c")
        );
    }

    #[test]
    fn a_beginning_is_known_again_as_the_conversation_grows() {
        let config = SessionConfig {
            fingerprint: true,
            ..SessionConfig::default()
        };
        let found = |query: &Query<'_>| named(&HeaderMap::new(), query, &config).map(Cow::into_owned);
        let mut query = Query::text("hi");
        let begins = found(&query);
        assert!(begins.is_some());
        query.turns.extend(Query::text("more").turns);
        assert_eq!(found(&query), begins);
        assert_ne!(found(&Query::text("ho")), begins);
        assert_eq!(found(&Query::default()), None);
    }
}
