//! The access log: a request, a line of JSON.
//!
//! Lines gather in a buffer and leave together at the end of a batch, so that a batch costs one write. What a client or a
//! provider sent (the asked model, an error's text) is cut to a bounded length; prompts, answers and keys are not in a
//! [`Record`] to begin with.

use std::{
    fmt,
    io::{self, Write},
    time::{Duration, SystemTime},
};

use fingerpost_core::{Hop, Timestamp, Trace, TraceId};
use serde::{Serialize, Serializer, ser::SerializeSeq};

use crate::{CacheUse, CallRecord, Record, attempt::Attempt};

/// Writes one JSON line a record.
///
/// | field | what |
/// | --- | --- |
/// | `time` | when the request came, RFC 3339 in UTC |
/// | `trace` | its trace id |
/// | `format`, `stream`, `status` | what the client asked in, and what it got |
/// | `asked` | the model that the client named, at most 120 characters of it |
/// | `decision`, `model`, `endpoint`, `upstream_model` | what it came to; absent where it came to none |
/// | `cache` | `hit`, `miss` or `bypass`, and `similarity` of a hit; absent where the decision has no cache |
/// | `why` | the reasons of the decisions, top down, at most 240 characters |
/// | `tokens` | `input` (of which `cached_input`), `output` (of which `reasoning`) |
/// | `cost_usd` | of all calls together; absent where there is no price |
/// | `latency_ms`, `ttft_ms`, `routing_us` | from the request: to the end of the answer, to its first token (streams), to the choice of the first endpoint |
/// | `attempts` | the calls in order: `endpoint`, `kind` (`first`, `retry`, `fallback`, `hedge`, `next`), `failure`, `cost_usd` (of calls made before the router decided), `ms` |
/// | `error` | why it failed, at most 240 characters |
#[derive(Debug)]
pub struct AccessLog<W> {
    out: W,
    buffer: Vec<u8>,
}

/// Past this many bytes the buffer is written out before its batch ends.
const ENOUGH: usize = 64 * 1024;
/// Longest model name that a client sent, in characters.
const NAME: usize = 120;
/// Longest reason or error, in characters.
const SENTENCE: usize = 240;

// === impl AccessLog ===

impl<W: Write> AccessLog<W> {
    /// A log to standard error, a file, or anything else. It buffers by itself.
    pub const fn new(out: W) -> Self {
        Self {
            out,
            buffer: Vec::new(),
        }
    }

    /// Adds a record's line. It is written at the latest by the next [`flush`](Self::flush).
    pub fn note(&mut self, record: &Record) {
        let start = self.buffer.len();
        if serde_json::to_writer(&mut self.buffer, &Line::of(record)).is_err() {
            // Nothing in a line can fail to serialise; half a line would still be worse than none.
            self.buffer.truncate(start);
            return;
        }
        self.buffer.push(b'\n');
        if self.buffer.len() >= ENOUGH {
            // The error comes again at the flush, if it lasts.
            let _ = self.write_out();
        }
    }

    /// Writes out what was noted.
    ///
    /// # Errors
    /// Those of the writer. The lines in question are lost, so that a full disk does not become full memory.
    pub fn flush(&mut self) -> io::Result<()> {
        self.write_out()?;
        self.out.flush()
    }

    /// The writer; lines that were not flushed are lost.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn write_out(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let result = self.out.write_all(&self.buffer);
        self.buffer.clear();
        result
    }
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(serialize_with = "rfc3339")]
    time: Timestamp,
    #[serde(serialize_with = "displayed")]
    trace: TraceId,
    format: &'static str,
    stream: bool,
    status: u16,
    asked: Cut<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    similarity: Option<f64>,
    #[serde(skip_serializing_if = "Why::is_silent")]
    why: Why<'a>,
    tokens: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
    latency_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttft_ms: Option<f64>,
    routing_us: u64,
    #[serde(skip_serializing_if = "Attempts::is_empty")]
    attempts: Attempts<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Counts {
    input: u32,
    cached_input: u32,
    output: u32,
    reasoning: u32,
}

/// The beginning of a text.
struct Cut<'a>(&'a str);

/// The reasons of the decisions.
struct Why<'a>(&'a Trace);

struct Attempts<'a>(&'a [CallRecord]);

#[derive(Serialize)]
struct Tried<'a> {
    endpoint: &'a str,
    kind: Attempt,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
    ms: f64,
}

/// A writer of at most so many characters; the rest falls away.
struct Bounded {
    text: String,
    left: usize,
}

// === impl Line ===

impl<'a> Line<'a> {
    fn of(record: &'a Record) -> Self {
        let call = record.answered_by();
        let tokens = record.tokens;
        Self {
            time: record.at,
            trace: record.trace.id,
            format: record.format,
            stream: record.stream,
            status: record.status,
            asked: Cut(&record.asked),
            decision: record.decision.as_deref(),
            model: call.map(|c| c.model.as_str()),
            endpoint: call.map(|c| c.endpoint.as_str()),
            upstream_model: call.map(|c| c.upstream_model.as_str()),
            cache: record.cache.map(CacheUse::name),
            similarity: match record.cache {
                Some(CacheUse::Hit(similarity)) => Some(rounded(similarity.into())),
                _ => None,
            },
            why: Why(&record.trace),
            tokens: Counts {
                input: tokens.input.0,
                cached_input: tokens.cached_input.0,
                output: tokens.output.0,
                reasoning: tokens.reasoning.0,
            },
            cost_usd: record.outcome.cost.map(f64::from),
            latency_ms: millis(record.total),
            ttft_ms: record
                .outcome
                .first_token
                .filter(|_| record.stream)
                .map(|ms| rounded(ms.get())),
            routing_us: u64::try_from(record.routing.as_micros()).unwrap_or(u64::MAX),
            attempts: Attempts(&record.calls),
            error: record
                .outcome
                .failure
                .as_ref()
                .map(|f| bounded(SENTENCE, |out| write!(out, "{f}"))),
        }
    }
}

/// Milliseconds to the microsecond.
fn millis(span: Duration) -> f64 {
    rounded(span.as_secs_f64() * 1e3)
}

/// To three places.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

fn displayed<S: Serializer>(value: &impl fmt::Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

fn rfc3339<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    // The year 9999 is the last one that RFC 3339 can write.
    const LAST: u64 = 253_402_300_799_000_000;
    let time = SystemTime::UNIX_EPOCH + Duration::from_micros(at.micros().min(LAST));
    to.collect_str(&humantime::format_rfc3339_micros(time))
}

impl Serialize for Cut<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let end = self
            .0
            .char_indices()
            .nth(NAME)
            .map_or(self.0.len(), |(end, _)| end);
        to.serialize_str(&self.0[..end])
    }
}

// === impl Why ===

impl Why<'_> {
    fn is_silent(&self) -> bool {
        self.0.hops.is_empty()
    }
}

impl Serialize for Why<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let text = bounded(SENTENCE, |out| {
            for (i, Hop { decision, .. }) in self.0.hops.iter().enumerate() {
                let between = if i == 0 { "" } else { "; " };
                let first = decision.picks.first().map_or("nothing", |p| p.name.as_str());
                write!(out, "{between}{first}: {}", decision.reason)?;
            }
            Ok(())
        });
        to.serialize_str(&text)
    }
}

// === impl Attempts ===

impl Attempts<'_> {
    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Attempts<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(Some(self.0.len()))?;
        for (i, call) in self.0.iter().enumerate() {
            list.serialize_element(&Tried {
                endpoint: &call.endpoint,
                kind: Attempt::of(self.0, i),
                failure: call.failure.as_ref().map(|f| f.kind()),
                cost_usd: call.cost.map(f64::from),
                ms: millis(call.took),
            })?;
        }
        list.end()
    }
}

// === impl Bounded ===

/// What `write` writes, as far as it fits.
pub(crate) fn bounded(most: usize, write: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) -> String {
    let mut out = Bounded {
        text: String::new(),
        left: most,
    };
    // An error means that the text is full, which is what the bound is for.
    let _ = write(&mut out);
    out.text
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(c);
        }
        Ok(())
    }
}
