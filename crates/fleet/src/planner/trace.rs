//! Logs of requests: when each came, how long it was and how long its answer.
//!
//! Two forms are read. CSV with a header that names `TIMESTAMP`, `ContextTokens` and `GeneratedTokens` (the Azure traces): the time
//! is a date or a number of seconds. JSON Lines with `timestamp` (milliseconds), `input_length` and `output_length` (the Mooncake
//! traces), and where they are known `hash_ids` (blocks of the prompt), `category`, `bytes`, `turns`, `tools` and `tool_results`.

use std::{io::BufRead, num::NonZeroU32, sync::Arc};

use rustc_hash::FxHashSet;
use serde::Deserialize;
use thiserror::Error;

/// Tokens of a block of a log.
pub const BLOCK_TOKENS: NonZeroU32 = NonZeroU32::new(512).unwrap();
/// Tokens that a length may have.
const MOST_TOKENS: f64 = u32::MAX as f64;

/// One request of a log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoggedRequest {
    /// Seconds since the first.
    pub arrival_s: f64,
    /// Input tokens.
    pub input: u32,
    /// Output tokens.
    pub output: u32,
    /// What kind it is, where the log says so.
    pub category: Option<String>,
    /// Bytes of its input, where the log says so.
    pub bytes: Option<u32>,
    /// Turns of its user so far, where the log says so.
    pub turns: Option<u32>,
    /// Whether it defines tools and brings their results, where the log says so.
    pub tool_loop: Option<bool>,
    /// Share of its input that an earlier prompt of the log began with, where the log names blocks.
    pub prefix_hit: Option<f64>,
    /// Names of the blocks of its input ([`BLOCK_TOKENS`] each), where the log has them: equal first ones are the same beginning.
    pub blocks: Option<Arc<[u64]>>,
}

/// A log, in the order of arrival.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    /// The requests.
    pub requests: Vec<LoggedRequest>,
    /// How many stood after one that came later; they were put in order.
    pub out_of_order: usize,
}

/// Why a log cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TraceError {
    /// It cannot be read at all.
    #[error("the trace cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// A line that is no request.
    #[error("line {line} of the trace: {why}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it, and what is allowed.
        why: String,
    },
    /// No request.
    #[error("the trace holds no request; give a CSV with a header or JSON Lines, at least one request")]
    Empty,
}

#[derive(Deserialize)]
struct JsonLine {
    timestamp: f64,
    input_length: f64,
    output_length: f64,
    #[serde(default)]
    hash_ids: Vec<u64>,
    category: Option<String>,
    bytes: Option<u32>,
    turns: Option<u32>,
    tools: Option<u32>,
    tool_results: Option<u32>,
}

// === impl Trace ===

impl Trace {
    /// Reads a log. Arrivals at the same moment, as in logs with a coarse clock, are spread evenly up to the next one.
    ///
    /// # Errors
    /// [`TraceError`] with the line and what is wrong with it.
    pub fn read(mut from: impl BufRead) -> Result<Self, TraceError> {
        let begins = from
            .fill_buf()?
            .iter()
            .find(|b| !b.is_ascii_whitespace())
            .copied();
        let mut requests = match begins {
            None => return Err(TraceError::Empty),
            Some(b'{') => json_lines(from)?,
            Some(_) => csv_rows(from)?,
        };
        if requests.is_empty() {
            return Err(TraceError::Empty);
        }
        let out_of_order = requests
            .windows(2)
            .filter(|w| w[1].arrival_s < w[0].arrival_s)
            .count();
        requests.sort_by(|a, b| a.arrival_s.total_cmp(&b.arrival_s));
        let first = requests[0].arrival_s;
        requests.iter_mut().for_each(|r| r.arrival_s -= first);
        spread_ticks(&mut requests);
        Ok(Self {
            requests,
            out_of_order,
        })
    }

    /// Seconds from the first arrival to the last.
    pub fn span_s(&self) -> f64 {
        self.requests.last().map_or(0.0, |r| r.arrival_s)
    }
}

fn wrong(line: u64, why: impl Into<String>) -> TraceError {
    TraceError::Line {
        line,
        why: why.into(),
    }
}

/// A number of tokens of a line.
fn tokens(line: u64, key: &str, value: f64) -> Result<u32, TraceError> {
    if (0.0..=MOST_TOKENS).contains(&value) && value.fract() == 0.0 {
        Ok(value as u32)
    } else {
        Err(wrong(
            line,
            format!("{key} is {value}; it must be a whole number from 0 to 4294967295"),
        ))
    }
}

fn json_lines(from: impl BufRead) -> Result<Vec<LoggedRequest>, TraceError> {
    let (mut requests, mut seen) = (Vec::new(), FxHashSet::default());
    for (text, line) in from.lines().zip(1..) {
        let text = text?;
        if text.trim().is_empty() {
            continue;
        }
        let row: JsonLine = serde_json::from_str(&text).map_err(|e| wrong(line, e.to_string()))?;
        if !row.timestamp.is_finite() {
            return Err(wrong(line, "timestamp is not finite"));
        }
        let known = row.hash_ids.iter().take_while(|id| seen.contains(*id)).count();
        let prefix_hit = (!row.hash_ids.is_empty()).then(|| known as f64 / row.hash_ids.len() as f64);
        seen.extend(row.hash_ids.iter().copied());
        requests.push(LoggedRequest {
            arrival_s: row.timestamp / 1e3,
            input: tokens(line, "input_length", row.input_length)?,
            output: tokens(line, "output_length", row.output_length)?,
            category: row.category,
            bytes: row.bytes,
            turns: row.turns,
            tool_loop: row
                .tools
                .map(|tools| tools > 0 && row.tool_results.unwrap_or(0) > 0),
            prefix_hit,
            blocks: (!row.hash_ids.is_empty()).then(|| row.hash_ids.into()),
        });
    }
    Ok(requests)
}

fn csv_rows(from: impl BufRead) -> Result<Vec<LoggedRequest>, TraceError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(from);
    let header = reader.headers().map_err(|e| wrong(1, e.to_string()))?.clone();
    let column = |name: &str| {
        let place = header
            .iter()
            .position(|h| h.trim_start_matches('\u{feff}').eq_ignore_ascii_case(name));
        let there = header.iter().collect::<Vec<_>>().join(", ");
        place.ok_or_else(|| wrong(1, format!("no column {name}; there are: {there}")))
    };
    let (time, input, output) = (
        column("TIMESTAMP")?,
        column("ContextTokens")?,
        column("GeneratedTokens")?,
    );
    let mut requests = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|e| wrong(e.position().map_or(0, csv::Position::line), e.to_string()))?;
        let line = row.position().map_or(0, csv::Position::line);
        let count = |at: usize, key: &str| {
            let text = row.get(at).unwrap_or_default();
            let value = text
                .parse()
                .map_err(|_| wrong(line, format!("{key} is `{text}`, no number")))?;
            tokens(line, key, value)
        };
        let text = row.get(time).unwrap_or_default();
        let why =
            || format!("TIMESTAMP is `{text}`; it must be YYYY-MM-DD hh:mm:ss.fff or a number of seconds");
        requests.push(LoggedRequest {
            arrival_s: seconds(text).ok_or_else(|| wrong(line, why()))?,
            input: count(input, "ContextTokens")?,
            output: count(output, "GeneratedTokens")?,
            ..LoggedRequest::default()
        });
    }
    Ok(requests)
}

/// Seconds of a number or of a date with a time, from an origin that is the same for all.
fn seconds(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        return number.is_finite().then_some(number);
    }
    let (date, time) = text.trim_end_matches('Z').split_once(['T', ' '])?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':').map(|part| part.parse::<f64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let in_range = (0..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    in_range.then(|| days(year, month, day) as f64 * 86_400.0 + hour * 3_600.0 + minute * 60.0 + second)
}

/// Days of the Gregorian calendar up to a date: years begin in March, so that the leap day is their last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
}

/// Spreads arrivals of one moment evenly up to the next moment.
fn spread_ticks(requests: &mut [LoggedRequest]) {
    let mut from = 0;
    while from < requests.len() {
        let moment = requests[from].arrival_s;
        let same = requests[from..]
            .iter()
            .take_while(|r| r.arrival_s == moment)
            .count();
        if let Some(next) = requests.get(from + same).map(|r| r.arrival_s) {
            for (i, request) in requests[from..from + same].iter_mut().enumerate() {
                request.arrival_s += (next - moment) * i as f64 / same as f64;
            }
        }
        from += same;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Trace, TraceError> {
        Trace::read(text.as_bytes())
    }

    #[test]
    fn both_forms_are_read_and_put_in_order() {
        let csv = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 23:59:59.5000000,374,44\r\n\
                   2023-11-17 00:00:01.0,10,1\r\n2023-11-17 00:00:00.0,20,2\r\n";
        let trace = read(csv).unwrap();
        assert_eq!(trace.out_of_order, 1);
        let found: Vec<(f64, u32, u32)> = trace
            .requests
            .iter()
            .map(|r| (r.arrival_s, r.input, r.output))
            .collect();
        assert_eq!(found, [(0.0, 374, 44), (0.5, 20, 2), (1.5, 10, 1)]);
        let lines = "{\"timestamp\":0,\"input_length\":9,\"output_length\":1,\"hash_ids\":[1,2]}\n\n\
                     {\"timestamp\":0,\"input_length\":9,\"output_length\":1,\"hash_ids\":[1,3],\"tools\":2,\"tool_results\":1}\n\
                     {\"timestamp\":3000,\"input_length\":9,\"output_length\":1}\n";
        let trace = read(lines).unwrap();
        let arrivals: Vec<f64> = trace.requests.iter().map(|r| r.arrival_s).collect();
        assert_eq!(arrivals, [0.0, 1.5, 3.0], "one tick is spread");
        assert_eq!(trace.requests[1].prefix_hit, Some(0.5));
        assert_eq!(
            (trace.requests[1].tool_loop, trace.requests[2].tool_loop),
            (Some(true), None)
        );
        assert_eq!(trace.span_s(), 3.0);
    }

    #[test]
    fn what_is_no_request_is_named_with_its_line() {
        let said = |text: &str| read(text).unwrap_err().to_string();
        assert!(
            said("").contains("no request")
                && said("TIMESTAMP,ContextTokens,GeneratedTokens\n").contains("no request")
        );
        assert!(
            said("TIMESTAMP,Tokens\n1,2\n").contains("no column ContextTokens; there are: TIMESTAMP, Tokens")
        );
        let csv = |row: &str| {
            said(&format!(
                "TIMESTAMP,ContextTokens,GeneratedTokens\n1,1,1\n{row}\n"
            ))
        };
        assert!(csv("2,-5,1").contains("line 3 of the trace: ContextTokens is -5"));
        assert!(csv("noon,5,1").contains("TIMESTAMP is `noon`"));
        assert!(csv("2,x,1").contains("`x`, no number") && csv("2,5").contains("line"));
        assert!(
            said("{\"timestamp\":0,\"input_length\":-1,\"output_length\":1}").contains("input_length is -1")
        );
        assert!(said("{\"timestamp\":0}").contains("missing field"));
    }

    #[test]
    fn days_follow_the_calendar() {
        assert_eq!(days(2024, 3, 1) - days(2024, 2, 28), 2);
        assert_eq!(days(2100, 3, 1) - days(2100, 2, 28), 1);
        assert_eq!(days(2024, 1, 1) - days(2023, 1, 1), 365);
    }
}
