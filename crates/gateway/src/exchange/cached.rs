//! Answers given before: whether the cache of a request's decision is asked, what becomes of what it has, and which answers go
//! into it.
//!
//! An answer is written anew for whom it is given again, with an id and a time of its own, whole or as a stream, from the whole
//! answer that was kept in the client's format.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use fingerpost_core::{CandidateId, Decision, Evidence, HopId, Level, Name, Pick, Reason, Turn};
use fingerpost_protocol::{
    Answer, Finish, Format, Gather, Head, Usage, Warnings, conversation::PartContent, frame,
};
use fingerpost_telemetry::CacheUse;
use http::{HeaderMap, HeaderValue};

use super::{ask::Ask, headers, journey::Journey, stored::Keeper};
use crate::cache::{AnswerCache, Hit, Kept, Looked, Place};

/// What a decision's cache has to say about a request.
pub(crate) enum Cached {
    /// An answer.
    Hit(Hit),
    /// Nothing: the answer is to be kept.
    Miss(Ticket),
    /// It was not asked, and for this reason.
    Bypass(&'static str),
}

/// Keeps an answer when it is there.
pub(crate) struct Ticket {
    cache: Arc<AnswerCache>,
    place: Place,
    format: Format,
}

/// Puts a stream together while it passes, to keep what it told.
pub(crate) struct Gathering {
    ticket: Ticket,
    gather: Gather,
    left: usize,
}

/// An answer given again, ready to go.
pub(crate) struct Again {
    pub(crate) body: Bytes,
    pub(crate) headers: HeaderMap,
    /// The model that gave it first.
    pub(crate) model: Name,
}

/// An explicit temperature from which on a client asks for variety: what the formats sample with where none is given.
const VARIETY: f64 = 1.0;
/// Longest answer that is kept, in bytes.
const LONGEST: usize = 256 << 10;
/// Longest stream that is put together, in bytes: a small text comes in many events.
const LONGEST_STREAM: usize = 64 * LONGEST;
/// Longest header that tells what the cache did.
const LONGEST_HEADER: usize = 100;

/// Asks the cache.
pub(crate) fn look(journey: &mut Journey, ask: &Ask<'_>, cache: &Arc<AnswerCache>) -> Cached {
    let mut frame = cache.frame();
    frame.add_text(journey.format.name());
    let looked = match comparable(ask, &mut |bytes| frame.add(bytes)) {
        Ok(text) => {
            let who = &ask.envelope.query.identity;
            frame.add_text(who.user.as_deref().unwrap_or_default());
            who.groups.iter().for_each(|group| frame.add_text(group));
            for (name, value) in headers::telling(ask.client) {
                frame.add_text(name.as_str());
                frame.add(value.as_bytes());
            }
            cache.look(&frame, &text, journey.at)
        }
        Err(reason) => {
            cache.bypassed();
            journey.cache = Some(CacheUse::Bypass);
            return Cached::Bypass(reason);
        }
    };
    match looked {
        Looked::Hit(hit) => {
            journey.cache = Some(CacheUse::Hit(hit.similarity));
            Cached::Hit(hit)
        }
        Looked::Miss(place) => {
            journey.cache = Some(CacheUse::Miss);
            Cached::Miss(Ticket {
                cache: Arc::clone(cache),
                place,
                format: journey.format,
            })
        }
    }
}

/// The text that is to be compared, once everything else has been fed to `feed`; or why this request shares no answer.
fn comparable<'a>(ask: &Ask<'a>, feed: &mut dyn FnMut(&[u8])) -> Result<Cow<'a, str>, &'static str> {
    let (envelope, query) = (ask.envelope, &ask.envelope.query);
    let any = |count: fn(&Turn<'_>) -> u32| query.turns.iter().any(|turn| count(turn) > 0);
    if headers::wants_fresh(ask.client) {
        Err("cache-control")
    } else if ask.previous.is_some() {
        Err("previous-response")
    // The provider is to have it: of a Responses answer we are the one that stores.
    } else if envelope.store == Some(true) && envelope.format == Format::Chat {
        Err("store")
    } else if envelope.answers != 1 {
        Err("several-answers")
    } else if any(|turn| turn.tool_results + turn.tool_calls) {
        Err("tool-results")
    } else if any(|turn| turn.images + turn.audio) {
        Err("media")
    } else {
        let framed = frame(envelope.format, ask.body, feed).ok_or("no-text")?;
        match framed.temperature {
            Some(temperature) if temperature >= VARIETY => Err("temperature"),
            _ => Ok(framed.text),
        }
    }
}

/// Gives an answer again. `None` where it cannot be read, which it could when it was kept.
pub(crate) fn again(
    journey: &mut Journey,
    ask: &Ask<'_>,
    hit: &Hit,
    parent: Option<HopId>,
    keeper: &mut Option<Keeper>,
) -> Option<Again> {
    let Hit {
        kept,
        similarity,
        age,
    } = hit;
    let answer = Answer::read(ask.envelope.format, &kept.body, &mut Warnings::default()).ok()?;
    let pick = Pick {
        id: ask
            .snapshot
            .catalogue()
            .id(&kept.model)
            .unwrap_or(CandidateId(u32::MAX)),
        name: kept.model.clone(),
        score: f64::from(*similarity),
        weight: 1.0,
    };
    let decision = journey.decision.as_deref().unwrap_or_default();
    let reason = Reason::new("answered before")
        .with("similarity", f64::from(*similarity))
        .with("age_s", age.as_secs_f64().floor());
    let evidence = Evidence::of(format!("cache/{decision}"));
    journey
        .leg
        .decided(parent, Level::Cache, Decision::single(pick, reason, evidence));
    let whole = || ask.whole_of(&answer, false).body;
    if let Some(keeper) = keeper.take() {
        keeper.keep(journey, &whole());
    }
    let body = if ask.stream() {
        ask.stream_of(&answer)
    } else {
        whole()
    };
    let mut added = HeaderMap::new();
    if let Some(warnings) = &kept.warnings {
        added.insert(headers::WARNING, warnings.clone());
    }
    Some(Again {
        body,
        headers: added,
        model: kept.model.clone(),
    })
}

// === impl Cached ===

impl Cached {
    /// What it says, as a header.
    pub(crate) fn header(&self) -> HeaderValue {
        match self {
            Self::Hit(hit) => {
                let (similarity, age) = (hit.similarity, hit.age.as_secs());
                headers::text(
                    &format!("hit; similarity={similarity:.3}; age={age}"),
                    LONGEST_HEADER,
                )
            }
            Self::Miss(_) => HeaderValue::from_static("miss"),
            Self::Bypass(reason) => headers::text(&format!("bypass; reason={reason}"), LONGEST_HEADER),
        }
    }
}

// === impl Ticket ===

impl Ticket {
    /// Keeps a whole answer in the client's format, if it is one to give again: all there, nothing but text and thoughts, and
    /// read without loss.
    pub(crate) fn keep(self, journey: &Journey, body: &Bytes, model: Name, warnings: Option<HeaderValue>) {
        if !is_lasting(self.format, body) {
            return;
        }
        let kept = Kept {
            // A copy of its own: the bytes may be a slice of something larger.
            body: Bytes::copy_from_slice(body),
            model,
            warnings,
            at: journey.at,
        };
        let keeping = self.cache.keep(self.place, kept, journey.at);
        if keeping.is_needed() {
            // Off the hot path: now and then it rebuilds a graph.
            drop(tokio::task::spawn_blocking(move || keeping.run()));
        }
    }
}

// === impl Gathering ===

impl Gathering {
    pub(crate) fn new(ticket: Ticket) -> Self {
        Self {
            gather: Gather::new(ticket.format),
            ticket,
            left: LONGEST_STREAM,
        }
    }

    /// A piece of the client's stream.
    pub(crate) fn feed(&mut self, piece: &Bytes) {
        self.left = self.left.saturating_sub(piece.len());
        if self.left > 0 {
            self.gather.feed(piece);
        }
    }

    /// The stream is over, and was whole: keeps its answer. `usage` is what the upstream told, of which the client may have
    /// heard nothing.
    pub(crate) fn keep(self, journey: &Journey, model: Name, usage: Usage, warnings: Option<HeaderValue>) {
        let answer = self.gather.finish().filter(|_| self.left > 0);
        if let Some(mut answer) = answer {
            answer.usage = answer.usage.or(Some(usage));
            // Whoever is given it again gets a head of their own.
            let body = answer.to_body(self.ticket.format, &Head::default());
            self.ticket.keep(journey, &body.into(), model, warnings);
        }
    }
}

fn is_lasting(format: Format, body: &[u8]) -> bool {
    if body.len() > LONGEST {
        return false;
    }
    let mut warnings = Warnings::default();
    let Ok(answer) = Answer::read(format, body, &mut warnings) else {
        return false;
    };
    let is_plain =
        |content: &PartContent<'_>| matches!(content, PartContent::Text(_) | PartContent::Reasoning(_));
    warnings.is_empty()
        && matches!(answer.finish, Finish::Stop | Finish::StopSequence)
        && answer.parts.iter().all(|part| is_plain(&part.content))
        && answer
            .parts
            .iter()
            .filter_map(|part| part.as_text())
            .any(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(message: &str, finish: &str) -> String {
        format!(
            r#"{{"id":"a","object":"chat.completion","created":1,"model":"m","system_fingerprint":"f","choices":[{{"index":0,"finish_reason":"{finish}","logprobs":null,"message":{{"role":"assistant",{message}}}}}],"usage":{{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}}}"#
        )
    }

    #[test]
    fn only_whole_answers_of_text_last() {
        let lasts = |body: &str| is_lasting(Format::Chat, body.as_bytes());
        let text = r#""content":"hi""#;
        assert!(lasts(&chat(text, "stop")));
        assert!(!lasts(&chat(text, "length")), "cut off");
        assert!(!lasts(&chat(text, "content_filter")));
        assert!(!lasts(&chat(r#""content":"""#, "stop")), "nothing said");
        assert!(!lasts(&chat(r#""content":null,"refusal":"no""#, "stop")));
        let call = r#""content":"hi","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]"#;
        assert!(!lasts(&chat(call, "tool_calls")));
        assert!(!lasts(r#"{"error":{"message":"boom"}}"#));
        assert!(!lasts(&chat(
            &format!(r#""content":"{}""#, "x".repeat(LONGEST)),
            "stop"
        )));
    }
}
