//! Requests as they come, made of a log.

use crate::{Prefix, PrefixHasher};

use super::super::{LoggedRequest, Shape, Topology, Trace, sizing::divided, trace::BLOCK_TOKENS};

/// A request that comes.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Seconds since the first.
    pub arrival_s: f64,
    /// Its lengths; what of them is cached turns out.
    pub shape: Shape,
    /// Its beginning, where the log names blocks.
    pub prefix: Option<Prefix>,
    /// The longest context that its pool admits.
    pub(super) window: u32,
}

/// Requests in order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// The requests.
    pub requests: Vec<Asked>,
}

// === impl Stream ===

impl Stream {
    /// So many requests of a log at a mean rate: its own times stretched, and the log again where it is too short, with blocks of other
    /// names, so that no round is warm from the one before.
    pub fn of(trace: &Trace, rate: f64, count: usize) -> Self {
        let logged = &trace.requests;
        let (n, span) = (logged.len().max(1), trace.span_s());
        // A round is as long as its requests take at the rate, the gap to the next one included.
        let round_s = n as f64 / rate;
        let stretch = if span > 0.0 {
            round_s * (n - 1) as f64 / n as f64 / span
        } else {
            0.0
        };
        let asked = |at: usize| {
            let (round, request) = (at / n, logged.get(at % n)?);
            let spread = if span > 0.0 { 0.0 } else { (at % n) as f64 / rate };
            Some(Asked {
                arrival_s: round as f64 * round_s + request.arrival_s * stretch + spread,
                shape: Shape {
                    input: request.input,
                    output: request.output,
                    cached: 0,
                },
                prefix: prefix(request, round),
                window: 0,
            })
        };
        Self {
            requests: (0..count).map_while(asked).collect(),
        }
    }

    /// Output tokens a second.
    pub fn output_rate(&self) -> f64 {
        let span = self.requests.last().map_or(0.0, |r| r.arrival_s);
        let output: f64 = self.requests.iter().map(|r| f64::from(r.shape.output)).sum();
        output / span.max(f64::MIN_POSITIVE)
    }

    /// The requests of each pool of a topology, in the order of its plan's pools.
    pub(super) fn divided(&self, topology: Topology) -> Vec<(&'static str, Vec<Asked>)> {
        let longest = |asked: &[Asked]| asked.iter().map(|a| a.shape.tokens()).max().unwrap_or(0);
        let within = |asked: Vec<Asked>, window: u32| -> Vec<Asked> {
            asked.into_iter().map(|a| Asked { window, ..a }).collect()
        };
        match topology {
            Topology::ByLength {
                boundary,
                gamma,
                compressible,
            } => {
                let (mut short, mut long) = (Vec::new(), Vec::new());
                let shapes = self.requests.iter().map(|a| a.shape);
                let divided = divided(shapes, boundary, gamma, compressible);
                for (asked, (shape, is_short)) in self.requests.iter().zip(divided) {
                    let asked = Asked {
                        shape,
                        ..asked.clone()
                    };
                    if is_short { &mut short } else { &mut long }.push(asked);
                }
                let window = longest(&long);
                vec![("short", within(short, boundary)), ("long", within(long, window))]
            }
            Topology::One | Topology::Disaggregated { .. } => {
                let window = longest(&self.requests);
                vec![("all", within(self.requests.clone(), window))]
            }
        }
    }
}

/// A request's beginning in a round of its log.
fn prefix(request: &LoggedRequest, round: usize) -> Option<Prefix> {
    let blocks = request.blocks.as_deref()?;
    let round = (round > 0).then(|| format!("round {round}"));
    Some(PrefixHasher::new(BLOCK_TOKENS, round.as_deref()).named(blocks))
}
