//! Which headers travel, in either direction, and those that Fingerpost adds.

use fingerpost_core::{Identity, Trace, TraceId};
use fingerpost_signals::SignalReport;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE,
        DATE, EXPECT, HOST, PROXY_AUTHORIZATION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};

use crate::config::IdentityHeaders;

/// The decision that held.
pub(crate) const DECISION: HeaderName = HeaderName::from_static("x-fingerpost-decision");
/// The model that answered.
pub(crate) const MODEL: HeaderName = HeaderName::from_static("x-fingerpost-model");
/// The endpoint that answered.
pub(crate) const ENDPOINT: HeaderName = HeaderName::from_static("x-fingerpost-endpoint");
/// Why, in brief.
pub(crate) const WHY: HeaderName = HeaderName::from_static("x-fingerpost-why");
/// The trace's id, for feedback and `GET /v1/traces/ID`.
pub(crate) const TRACE: HeaderName = HeaderName::from_static("x-fingerpost-trace");
/// What a change of format could not carry.
pub(crate) const WARNING: HeaderName = HeaderName::from_static("x-fingerpost-warning");
/// Asks for, and then carries, the value of every signal.
pub(crate) const DEBUG: HeaderName = HeaderName::from_static("x-fingerpost-debug");
/// Calls made before the one that answered.
pub(crate) const ATTEMPTS: HeaderName = HeaderName::from_static("x-fingerpost-attempts");
/// What the cache of the decision did.
pub(crate) const CACHE: HeaderName = HeaderName::from_static("x-fingerpost-cache");
/// Which tools of the request were left out.
pub(crate) const TOOLS: HeaderName = HeaderName::from_static("x-fingerpost-tools");
/// Every call that a router had made before the answer, in order, with what it cost in US dollars or how it failed.
pub(crate) const CALLS: HeaderName = HeaderName::from_static("x-fingerpost-calls");
/// The models of the choices, in their order, where several models' answers are served side by side.
pub(crate) const CHOICES: HeaderName = HeaderName::from_static("x-fingerpost-choices");
/// The common prefix of our own headers; a client's are not passed on.
const OURS: &str = "x-fingerpost-";

/// Where clients put their keys, besides `authorization`: Anthropic's, Azure's and Google's.
const KEYS: [HeaderName; 3] = [
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Headers that most messages have, ours among them: with room for them a map need not grow.
const ROOM: usize = 16;
/// Longest explanation in a header; the whole of it is in the trace.
const LONGEST_WHY: usize = 300;
/// Longest list of calls.
pub(crate) const LONGEST_CALLS: usize = 1000;
/// Longest list of what could not be carried.
const LONGEST_WARNINGS: usize = 1000;
/// Longest list of signals in a header; `fingerpost route` shows all.
const LONGEST_DEBUG: usize = 6000;

/// Whether a header belongs to one connection only (RFC 9110, 7.6.1).
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(*name, CONNECTION | TE | TRAILER | TRANSFER_ENCODING | UPGRADE)
        || *name == KEEP_ALIVE
        || *name == PROXY_CONNECTION
}

/// The headers that the sender itself names as its connection's, in lower case; mostly none.
fn named_by_connection(headers: &HeaderMap) -> Vec<String> {
    let Some(named) = headers.get(CONNECTION).and_then(|v| v.to_str().ok()) else {
        return Vec::new();
    };
    let names = named.split(',').map(|n| n.trim().to_ascii_lowercase());
    names
        .filter(|n| n != "keep-alive" && n != "close" && !n.is_empty())
        .collect()
}

/// The client's headers on their way upstream: neither its keys nor its cookies nor what belongs to its connection. There is
/// room for those that will be added.
pub(crate) fn forwarded(client: &HeaderMap, identity: &IdentityHeaders) -> HeaderMap {
    let hop_by_hop = named_by_connection(client);
    let trusted = |name: &HeaderName| {
        [&identity.user, &identity.groups]
            .into_iter()
            .flatten()
            .any(|t| t.eq_ignore_ascii_case(name.as_str()))
    };
    let stays = |name: &HeaderName| {
        // The answer is looked at on its way back, so it must come in plain text.
        matches!(
            *name,
            AUTHORIZATION
                | COOKIE
                | PROXY_AUTHORIZATION
                | HOST
                | CONTENT_LENGTH
                | EXPECT
                | ACCEPT_ENCODING
                | CONTENT_TYPE
        ) || is_hop_by_hop(name)
            || KEYS.contains(name)
            || name.as_str().starts_with(OURS)
            || trusted(name)
            || hop_by_hop.iter().any(|n| n == name.as_str())
    };
    let mut headers = HeaderMap::with_capacity(ROOM);
    for (name, value) in client {
        if !stays(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// The headers of a client that tell its requests from another's although the bodies are the same: its keys, who it says it
/// is, and what it asks of the provider's interface.
pub(crate) fn telling(client: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    let asks = ["anthropic-", "openai-"];
    client.iter().filter(move |(name, _)| {
        **name == AUTHORIZATION
            || KEYS.contains(name)
            || asks.iter().any(|prefix| name.as_str().starts_with(prefix))
    })
}

/// Whether a client wants neither an answer given before nor its own to be given again (`cache-control`, RFC 9111, 5.2.1).
pub(crate) fn wants_fresh(client: &HeaderMap) -> bool {
    let directives = client.get_all(CACHE_CONTROL).iter();
    directives
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|directive| {
            let directive = directive.trim();
            ["no-cache", "no-store"]
                .iter()
                .any(|d| directive.eq_ignore_ascii_case(d))
        })
}

/// The upstream's headers on their way to the client, with room for ours.
pub(crate) fn returned(upstream: &HeaderMap) -> HeaderMap {
    let hop_by_hop = named_by_connection(upstream);
    let stays = |name: &HeaderName| {
        matches!(*name, CONTENT_LENGTH | SET_COOKIE | CONTENT_TYPE | DATE)
            || is_hop_by_hop(name)
            || name.as_str().starts_with(OURS)
            || hop_by_hop.iter().any(|n| n == name.as_str())
    };
    let mut headers = HeaderMap::with_capacity(ROOM);
    for (name, value) in upstream {
        if !stays(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// Who asks, by the headers that the operator trusts.
pub(crate) fn identity<'h>(headers: &'h HeaderMap, trusted: &IdentityHeaders) -> Identity<'h> {
    let value = |name: &Option<String>| headers.get(name.as_deref()?)?.to_str().ok();
    let groups = value(&trusted.groups).unwrap_or_default();
    Identity {
        user: value(&trusted.user).map(|u| u.trim().into()),
        groups: groups
            .split(',')
            .map(str::trim)
            .filter(|g| !g.is_empty())
            .map(Into::into)
            .collect(),
    }
}

/// The trace's decisions as one line that a header can carry: who and why. The numbers are on the trace.
pub(crate) fn why(trace: &Trace) -> HeaderValue {
    let mut line = String::with_capacity(160);
    for (i, hop) in trace.hops.iter().enumerate() {
        if i > 0 {
            line.push_str("; ");
        }
        line.push_str(&hop.decision.first().name);
        line.push_str(": ");
        line.push_str(&hop.decision.reason.text);
    }
    text(&line, LONGEST_WHY)
}

/// A trace's id as a header's value.
pub(crate) fn trace_id(id: TraceId) -> HeaderValue {
    let mut digits = [0; 32];
    for (i, byte) in id.0.to_be_bytes().into_iter().enumerate() {
        digits[2 * i] = b"0123456789abcdef"[usize::from(byte >> 4)];
        digits[2 * i + 1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    HeaderValue::from_bytes(&digits).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Every signal with its value, as one line that a header can carry.
pub(crate) fn signals(all: &[SignalReport]) -> HeaderValue {
    // Names, numbers and fixed words always serialise.
    text(&serde_json::to_string(all).unwrap_or_default(), LONGEST_DEBUG)
}

/// What a change of format could not carry, as a header's value.
pub(crate) fn warnings(told: &str) -> HeaderValue {
    text(told, LONGEST_WARNINGS)
}

/// Any text as a header's value: what a header cannot carry becomes a question mark, and it is cut at `longest` bytes.
pub(crate) fn text(text: &str, longest: usize) -> HeaderValue {
    let fits = text.len() <= longest && text.bytes().all(|b| (0x20..0x7f).contains(&b));
    if fits && let Ok(value) = HeaderValue::from_str(text) {
        return value;
    }
    let plain: String = text
        .chars()
        .map(|c| if (' '..='~').contains(&c) { c } else { '?' })
        .take(longest)
        .collect();
    HeaderValue::from_str(&plain).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
            .collect()
    }

    #[test]
    fn keys_and_connection_headers_stay_here() {
        let client = map(&[
            ("authorization", "Bearer sk-client"),
            ("x-api-key", "sk-client"),
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "1"),
            ("x-user", "ann"),
            ("x-fingerpost-debug", "1"),
            ("anthropic-beta", "tools"),
            ("cookie", "c=1"),
        ]);
        let identity = IdentityHeaders {
            user: Some("x-user".into()),
            groups: None,
        };
        let sent = forwarded(&client, &identity);
        assert_eq!(sent, map(&[("anthropic-beta", "tools")]));
    }

    #[test]
    fn nobody_is_believed_by_default() {
        let headers = map(&[("x-user", "ann"), ("x-groups", "staff, ops")]);
        assert_eq!(
            identity(&headers, &IdentityHeaders::default()),
            Identity::default()
        );
        let trusted = IdentityHeaders {
            user: Some("x-user".into()),
            groups: Some("x-groups".into()),
        };
        let who = identity(&headers, &trusted);
        assert_eq!(who.user.as_deref(), Some("ann"));
        assert_eq!(who.groups, ["staff", "ops"]);
    }

    #[test]
    fn a_trace_id_is_written_as_everywhere() {
        let id = TraceId(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(trace_id(id), id.to_string().as_str());
    }

    #[test]
    fn any_text_fits_a_header() {
        assert_eq!(text("plain", 10), "plain");
        assert_eq!(text("naïve\r\nx: y", 20), "na?ve??x: y");
        assert_eq!(text("abcdef", 3), "abc");
    }
}
