//! Traffic: the published traces of Mooncake (JSONL) and of Azure (CSV), or made up.

use std::{
    fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde::Deserialize;
use thiserror::Error;

use super::micros;
use crate::{Prefix, PrefixHasher};

/// A request of a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Microseconds since the first.
    pub stamp: u64,
    /// Tokens of the prompt.
    pub input: u32,
    /// Tokens of the answer.
    pub output: u32,
    /// The prompt's beginning.
    pub prefix: Prefix,
    /// The adapter that it wants.
    pub adapter: Option<u16>,
}

/// Requests in order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Tokens in a block of its prefixes.
    pub block_tokens: NonZeroU32,
    /// The requests.
    pub requests: Vec<Request>,
}

/// Made-up traffic: conversations that all begin with one system prompt of a block, each turn with the whole conversation before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Synthetic {
    /// How many requests.
    pub requests: usize,
    /// Share of them that go on with a conversation, from 0 to 1.
    pub continued: f64,
    /// Conversations that may be gone on with: the latest so many.
    pub open: usize,
    /// Blocks (of 512 tokens) that a turn adds, on average.
    pub mean_blocks: f64,
    /// Adapters among which each conversation has one; 0: none has.
    pub adapters: u16,
    /// Of everything that is drawn.
    pub seed: u64,
}

/// Why a trace cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TraceError {
    /// It cannot be read.
    #[error("cannot read the trace {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Neither of the two formats.
    #[error(
        "{path} is no trace: its first line is neither a JSON object (Mooncake: timestamp, input_length, output_length, \
         hash_ids) nor the header TIMESTAMP,ContextTokens,GeneratedTokens (Azure)"
    )]
    Format {
        /// Which file.
        path: PathBuf,
    },
    /// A row is not what its format says.
    #[error("line {line}: {what}")]
    Row {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// A number of tokens that cannot be.
    #[error("line {line}: {field} is {found}; it must be from 0 to 4294967295")]
    Length {
        /// From 1.
        line: usize,
        /// Which number.
        field: &'static str,
        /// What stands there.
        found: i64,
    },
    /// A row before its time.
    #[error("line {line}: its time is {by} ms before that of the line above; sort the trace by time")]
    OutOfOrder {
        /// From 1.
        line: usize,
        /// How far.
        by: u64,
    },
    /// No rows.
    #[error("the trace holds no requests{}", if *.dropped > 0 { format!(" of fewer than {most} tokens ({dropped} are longer)") } else { String::new() })]
    Empty {
        /// Rows that were left out.
        dropped: usize,
        /// Because they have at least so many tokens.
        most: u32,
    },
}

/// Tokens of a block of Mooncake's traces.
const BLOCK: NonZeroU32 = NonZeroU32::new(512).unwrap();

#[derive(Deserialize)]
struct MooncakeRow {
    timestamp: f64,
    input_length: i64,
    output_length: i64,
    hash_ids: Vec<u64>,
}

// === impl Trace ===

impl Trace {
    /// Reads a trace of either format.
    ///
    /// # Errors
    /// [`TraceError`] with the line, for a file or row that is not as it should be.
    pub fn read(path: &Path) -> Result<Self, TraceError> {
        let text = fs::read_to_string(path).map_err(|source| TraceError::Read {
            path: path.to_owned(),
            source,
        })?;
        match text.trim_start().chars().next() {
            Some('{') => Self::mooncake(&text),
            _ if text.trim_start().starts_with("TIMESTAMP") => Self::azure(&text),
            _ => Err(TraceError::Format {
                path: path.to_owned(),
            }),
        }
    }

    /// Reads Mooncake's format: an object a line.
    ///
    /// # Errors
    /// [`TraceError`] with the line, for a row that is not as it should be.
    pub fn mooncake(text: &str) -> Result<Self, TraceError> {
        let hasher = PrefixHasher::new(BLOCK, None);
        let mut requests = Vec::new();
        for (line, row) in (1..).zip(text.lines()).filter(|(_, row)| !row.trim().is_empty()) {
            let row: MooncakeRow = serde_json::from_str(row).map_err(|e| TraceError::Row {
                line,
                what: e.to_string(),
            })?;
            if !(row.timestamp >= 0.0 && row.timestamp < 1e15) {
                return Err(TraceError::Row {
                    line,
                    what: format!(
                        "timestamp is {}; it must be milliseconds of at least 0",
                        row.timestamp
                    ),
                });
            }
            let request = Request {
                stamp: micros(row.timestamp / 1000.0),
                input: length(line, "input_length", row.input_length)?,
                output: length(line, "output_length", row.output_length)?,
                prefix: hasher.named(&row.hash_ids),
                adapter: None,
            };
            push(&mut requests, line, request)?;
        }
        Self {
            block_tokens: BLOCK,
            requests,
        }
        .starting_at_zero()
    }

    /// Reads Azure's format: a table with a header. It tells nothing of prefixes, so no two prompts share any.
    ///
    /// # Errors
    /// [`TraceError`] with the line, for a row that is not as it should be.
    pub fn azure(text: &str) -> Result<Self, TraceError> {
        let hasher = PrefixHasher::new(BLOCK, None);
        let mut requests = Vec::new();
        let mut rows = csv::Reader::from_reader(text.as_bytes());
        for (at, row) in rows.records().enumerate() {
            let line = at + 2;
            let wrong = |what: String| TraceError::Row { line, what };
            let row = row.map_err(|e| wrong(e.to_string()))?;
            let [time, input, output] = [0, 1, 2].map(|field| row.get(field).unwrap_or_default());
            let time = humantime::parse_rfc3339_weak(time)
                .map_err(|e| wrong(format!("`{time}` is no time (YYYY-MM-DD hh:mm:ss.ffffff): {e}")))?;
            let number = |field: &str, text: &str| {
                text.parse::<i64>()
                    .map_err(|_| wrong(format!("{field} is `{text}`; it must be a whole number")))
            };
            let input = length(line, "ContextTokens", number("ContextTokens", input)?)?;
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            let blocks: Vec<u64> = (0..u64::from(input.div_ceil(BLOCK.get())))
                .map(|block| ((at as u64) << 24) | block)
                .collect();
            let request = Request {
                stamp: u64::try_from(since.as_micros()).unwrap_or(u64::MAX),
                input,
                output: length(line, "GeneratedTokens", number("GeneratedTokens", output)?)?,
                prefix: hasher.named(&blocks),
                adapter: None,
            };
            push(&mut requests, line, request)?;
        }
        Self {
            block_tokens: BLOCK,
            requests,
        }
        .starting_at_zero()
    }

    /// Makes traffic up, with even chances of arrival at every time (Poisson), one a second on average.
    pub fn synthetic(how: &Synthetic) -> Self {
        let mut rng = SmallRng::seed_from_u64(how.seed);
        let (mut stamp, mut named) = (0.0, 0u64);
        let mut open: Vec<(Vec<u64>, Option<u16>)> = Vec::new();
        let requests = (0..how.requests).map(|at| {
            stamp += -(1.0 - rng.random::<f64>()).ln();
            let place = if !open.is_empty() && rng.random::<f64>() < how.continued {
                rng.random_range(0..open.len())
            } else {
                let adapter = (how.adapters > 0).then(|| rng.random_range(0..how.adapters));
                let started = (vec![0], adapter);
                if open.len() < how.open.max(1) {
                    open.push(started);
                    open.len() - 1
                } else {
                    let place = at % open.len();
                    open[place] = started;
                    place
                }
            };
            let (blocks, adapter) = &mut open[place];
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "few blocks"
            )]
            let added = (1.0 - how.mean_blocks.max(1.0) * (1.0 - rng.random::<f64>()).ln()).min(38.0) as u64;
            if blocks.len() + added as usize > 39 {
                blocks.truncate(1);
            }
            blocks.extend(named + 1..=named + added);
            named += added;
            let name = adapter.map(|a| format!("adapter-{a}"));
            Request {
                stamp: micros(stamp),
                input: BLOCK.get() * u32::try_from(blocks.len()).unwrap_or(u32::MAX),
                output: rng.random_range(1..400),
                prefix: PrefixHasher::new(BLOCK, name.as_deref()).named(blocks),
                adapter: *adapter,
            }
        });
        Self {
            block_tokens: BLOCK,
            requests: requests.collect(),
        }
    }

    /// Without prompts of `most` tokens or more, and of the rest the first `count`.
    ///
    /// # Errors
    /// [`TraceError::Empty`] where nothing is left.
    pub fn cut(mut self, most: u32, count: usize) -> Result<Self, TraceError> {
        let all = self.requests.len();
        self.requests.retain(|r| r.input < most);
        let dropped = all - self.requests.len();
        self.requests.truncate(count);
        if self.requests.is_empty() {
            return Err(TraceError::Empty { dropped, most });
        }
        Ok(self)
    }

    /// Without its first `count` requests; time begins with the next.
    ///
    /// # Errors
    /// [`TraceError::Empty`] where nothing is left.
    pub fn skip(mut self, count: usize) -> Result<Self, TraceError> {
        self.requests.drain(..count.min(self.requests.len()));
        self.starting_at_zero()
    }

    /// When each request arrives, in microseconds, at a mean of `qps` a second: stamps are stretched, and requests of one stamp, which
    /// traces give to all of a tick, are spread at random over the time until the next.
    pub fn arrivals(&self, qps: f64, rng: &mut SmallRng) -> Vec<u64> {
        let count = self.requests.len();
        let mut at = Vec::with_capacity(count);
        let ticks = self.requests.chunk_by(|a, b| a.stamp == b.stamp);
        let mut tick = 1.0;
        let mut next = ticks.clone().skip(1);
        for same in ticks {
            #[allow(clippy::cast_precision_loss, reason = "centuries are below 2^52 microseconds")]
            let (stamp, until) = (same[0].stamp as f64, next.next().map(|n| n[0].stamp as f64));
            // The last tick is as long as the one before.
            tick = until.map_or(tick, |until| until - stamp);
            let first = at.len();
            if same.len() == 1 {
                at.push(stamp);
            } else {
                at.extend(same.iter().map(|_| stamp + rng.random::<f64>() * tick));
            }
            at[first..].sort_unstable_by(f64::total_cmp);
        }
        let span = at.last().copied().unwrap_or(0.0) - at.first().copied().unwrap_or(0.0);
        #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let stretch = if span > 0.0 {
            count as f64 / qps / (span / 1e6)
        } else {
            1.0
        };
        let first = at.first().copied().unwrap_or(0.0);
        at.iter().map(|t| micros((t - first) * stretch / 1e6)).collect()
    }

    fn starting_at_zero(mut self) -> Result<Self, TraceError> {
        let Some(first) = self.requests.first().map(|r| r.stamp) else {
            return Err(TraceError::Empty { dropped: 0, most: 0 });
        };
        self.requests.iter_mut().for_each(|r| r.stamp -= first);
        Ok(self)
    }
}

fn length(line: usize, field: &'static str, found: i64) -> Result<u32, TraceError> {
    u32::try_from(found).map_err(|_| TraceError::Length { line, field, found })
}

fn push(requests: &mut Vec<Request>, line: usize, request: Request) -> Result<(), TraceError> {
    let before = requests.last().map_or(0, |r| r.stamp);
    if request.stamp < before {
        let by = (before - request.stamp).div_ceil(1000);
        return Err(TraceError::OutOfOrder { line, by });
    }
    requests.push(request);
    Ok(())
}

// === impl Synthetic ===

impl Default for Synthetic {
    fn default() -> Self {
        Self {
            requests: 10_000,
            continued: 0.6,
            open: 500,
            mean_blocks: 6.0,
            adapters: 0,
            seed: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"{"timestamp": 5, "input_length": 600, "output_length": 3, "hash_ids": [0, 1]}
{"timestamp": 5, "input_length": 30000, "output_length": 3, "hash_ids": [0, 2]}

{"timestamp": 3005, "input_length": 10, "output_length": 3, "hash_ids": [0]}
"#;

    #[test]
    fn both_formats() {
        let trace = Trace::mooncake(TWO).unwrap();
        let stamps: Vec<u64> = trace.requests.iter().map(|r| r.stamp).collect();
        assert_eq!(stamps, [0, 0, 3_000_000]);
        assert_eq!(trace.requests[0].prefix.shared(&trace.requests[1].prefix), 1);
        assert_eq!(trace.cut(20_480, 10).unwrap().requests.len(), 2);
        let csv = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,4808,10\r\n2023-11-16 18:17:04.0319600,3180,8\r\n";
        let trace = Trace::azure(csv).unwrap();
        assert_eq!((trace.requests[1].stamp, trace.requests[1].input), (52_000, 3180));
        assert_eq!(trace.requests[0].prefix.blocks().len(), 10);
        assert_eq!(trace.requests[0].prefix.shared(&trace.requests[1].prefix), 0);
    }

    #[test]
    fn rows_that_are_wrong_are_named() {
        let said = |text: &str| Trace::mooncake(text).unwrap_err().to_string();
        let row = |time, input| {
            format!(r#"{{"timestamp": {time}, "input_length": {input}, "output_length": 1, "hash_ids": []}}"#)
        };
        assert_eq!(
            said(&row(0, -7)),
            "line 1: input_length is -7; it must be from 0 to 4294967295"
        );
        let swapped = said(&format!("{}\n{}", row(9, 1), row(3, 1)));
        assert_eq!(
            swapped,
            "line 2: its time is 6 ms before that of the line above; sort the trace by time"
        );
        assert!(said("{\"timestamp\": 1}").contains("line 1: missing field `input_length`"));
        assert!(said("").contains("no requests"));
        assert!(said(&row(-1, 1)).contains("at least 0"));
        let azure = |row: &str| {
            Trace::azure(&format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{row}\n"))
                .unwrap_err()
                .to_string()
        };
        assert!(azure("soon,1,1").starts_with("line 2: `soon` is no time"));
        assert!(azure("2023-11-16 18:17:03.97,-4,1").contains("ContextTokens is -4"));
        assert!(azure("2023-11-16 18:17:03.97,x,1").contains("`x`"));
        let long = Trace::mooncake(TWO).unwrap().cut(5, 10).unwrap_err().to_string();
        assert_eq!(
            long,
            "the trace holds no requests of fewer than 5 tokens (3 are longer)"
        );
    }

    #[test]
    fn ticks_are_spread_and_rates_kept() {
        let rows: Vec<String> = (0..3000)
            .map(|i| {
                format!(
                    r#"{{"timestamp": {}, "input_length": 1, "output_length": 1, "hash_ids": [{i}]}}"#,
                    i / 10 * 3000
                )
            })
            .collect();
        let trace = Trace::mooncake(&rows.join("\n")).unwrap();
        let at = trace.arrivals(10.0, &mut SmallRng::seed_from_u64(1));
        assert!(at.is_sorted());
        assert!((*at.last().unwrap() as f64 / 1e6 - 300.0).abs() < 0.1);
        // Ten requests a tick of about one second: gaps have no clumps of ten.
        let same = at.windows(2).filter(|w| w[1] - w[0] < 1000).count();
        assert!(same < 100, "{same}");
    }

    #[test]
    fn made_up_traffic_shares_its_first_block_and_is_the_same_for_one_seed() {
        let how = Synthetic {
            requests: 500,
            ..Synthetic::default()
        };
        let trace = Trace::synthetic(&how);
        assert_eq!(trace, Trace::synthetic(&how));
        assert!(
            trace
                .requests
                .iter()
                .all(|r| r.prefix.shared(&trace.requests[0].prefix) >= 1)
        );
        assert!(trace.requests.iter().all(|r| r.input < 20_480));
        let adapted = Trace::synthetic(&Synthetic { adapters: 3, ..how });
        let first = &adapted.requests[0];
        let other = adapted
            .requests
            .iter()
            .find(|r| r.adapter != first.adapter)
            .unwrap();
        assert_eq!(first.prefix.shared(&other.prefix), 0);
    }
}
