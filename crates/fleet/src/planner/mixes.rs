//! Made-up logs of known kinds: chats, agents in tool loops, and both.

use rand::{Rng, SeedableRng, rngs::SmallRng};
use rustc_hash::FxHashSet;
use serde::Serialize;

use super::{BLOCK_TOKENS, LoggedRequest, Trace};

/// Conversations and agents that may go on at a time.
const OPEN: usize = 40;

/// What a made-up log is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mix {
    /// Conversations of one to three turns, some hundred tokens each, with answers of some hundred.
    Chat,
    /// Tool loops of six to twenty steps over a prompt of thousands of tokens that grows with each result; short answers.
    Agent,
    /// Every other session of either kind.
    Mixed,
}

/// Somebody who asks more than once.
struct Session {
    is_agent: bool,
    blocks: Vec<u64>,
    /// Tokens of the context so far.
    tokens: u32,
    step: u32,
    steps: u32,
}

// === impl Mix ===

impl Mix {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Chat, Self::Agent, Self::Mixed];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Agent => "agent",
            Self::Mixed => "mixed",
        }
    }

    /// So many requests, a Poisson stream at `rate` a second. Equal seeds give equal logs.
    pub fn log(self, requests: usize, rate: f64, seed: u64) -> Trace {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (mut now, mut named) = (0.0, 0_u64);
        let mut open: Vec<Session> = Vec::new();
        let mut seen = FxHashSet::default();
        let mut begun = 0_u32;
        let mut all = Vec::with_capacity(requests);
        while all.len() < requests {
            if open.len() < OPEN {
                begun += 1;
                let is_agent = match self {
                    Self::Chat => false,
                    Self::Agent => true,
                    Self::Mixed => begun.is_multiple_of(2),
                };
                open.push(Session::new(is_agent, &mut rng));
            }
            let at = rng.random_range(0..open.len());
            let session = &mut open[at];
            let mut request = session.ask(&mut named, &mut rng);
            request.arrival_s = now;
            now -= (1.0 - rng.random::<f64>()).ln() / rate;
            let blocks = request.blocks.as_deref().unwrap_or_default();
            let known = blocks.iter().take_while(|b| seen.contains(*b)).count();
            request.prefix_hit = Some(known as f64 / blocks.len().max(1) as f64);
            seen.extend(blocks.iter().copied());
            all.push(request);
            if session.step == session.steps {
                open.swap_remove(at);
            }
        }
        Trace {
            requests: all,
            out_of_order: 0,
        }
    }
}

// === impl Session ===

impl Session {
    fn new(is_agent: bool, rng: &mut SmallRng) -> Self {
        // All sessions of a kind begin with its system prompt; an agent's is long, since its tools are in it.
        let (system, steps) = if is_agent {
            (6, rng.random_range(6..=20))
        } else {
            (1, rng.random_range(1..=3))
        };
        let base = if is_agent { 1 << 40 } else { 1 << 41 };
        Self {
            is_agent,
            blocks: (0..system).map(|b| base + b).collect(),
            tokens: 0,
            step: 0,
            steps,
        }
    }

    fn ask(&mut self, named: &mut u64, rng: &mut SmallRng) -> LoggedRequest {
        let (added, output) = if self.is_agent {
            (rng.random_range(300..1_800), rng.random_range(15..160))
        } else {
            (rng.random_range(80..900), rng.random_range(60..420))
        };
        let system = if self.step == 0 {
            self.blocks.len() as u32 * BLOCK_TOKENS.get()
        } else {
            0
        };
        let input = self.tokens + system + added;
        while (self.blocks.len() as u32) < input.div_ceil(BLOCK_TOKENS.get()) {
            *named += 1;
            self.blocks.push(*named);
        }
        self.tokens = input + output;
        self.step += 1;
        LoggedRequest {
            input,
            output,
            turns: Some(if self.is_agent { 1 } else { self.step }),
            tool_loop: Some(self.is_agent && self.step > 1),
            blocks: Some(self.blocks.as_slice().into()),
            ..LoggedRequest::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::{Classifier, Workload};

    #[test]
    fn mixes_are_of_their_kinds() {
        let of = |mix: Mix| Workload::of(&mix.log(3_000, 20.0, 1)).unwrap();
        let (chat, agent) = (of(Mix::Chat), of(Mix::Agent));
        assert_eq!(
            (chat.classes.agent, agent.classes.agent),
            (Some(false), Some(true))
        );
        assert!(agent.classes.warm == Some(true) && agent.classes.prefill_heavy);
        assert!(
            chat.input[1] < 4_000 && agent.input[0] > 5_000,
            "{:?} {:?}",
            chat.input,
            agent.input
        );
        assert!((chat.rate - 20.0).abs() < 1.5 && (chat.burstiness - 1.0).abs() < 0.1);
        assert_eq!(Mix::Mixed.log(50, 1.0, 7), Mix::Mixed.log(50, 1.0, 7));
    }

    #[test]
    fn generated_streams_are_told_apart_and_change_once_a_change() {
        for seed in 0..5 {
            let (mut classifier, mut right, mut changes) = (Classifier::default(), 0, 0);
            let mut last = None;
            for phase in 0..6 {
                let is_agent = phase % 2 == 1;
                let mix = if is_agent { Mix::Agent } else { Mix::Chat };
                for request in mix.log(1_000, 10.0, 10 * seed + phase).requests {
                    let now = classifier.see(&request).agent;
                    right += usize::from(now.unwrap_or(false) == is_agent);
                    changes += usize::from(last.is_some_and(|l| Some(l) != now));
                    last = now.or(last);
                }
            }
            assert!(right >= 5_700, "seed {seed}: {right} of 6000");
            assert!(changes <= 5, "seed {seed}: {changes} changes of five");
        }
    }
}
