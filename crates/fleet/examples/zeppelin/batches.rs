//! Batches of real lengths.

use std::{env, fs::File, io::BufReader, path::PathBuf};

use fingerpost_fleet::{planner::Trace, zeppelin::ClusterSpec};
use rand::{rngs::SmallRng, seq::IndexedRandom};

/// Where lengths come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lengths {
    Code,
    Conversation,
    Mooncake,
}

// === impl Lengths ===

impl Lengths {
    pub(crate) const ALL: [Self; 3] = [Self::Code, Self::Conversation, Self::Mooncake];

    fn file(self) -> &'static str {
        match self {
            Self::Code => "azure-llm-2023/AzureLLMInferenceTrace_code.csv",
            Self::Conversation => "azure-llm-2023/AzureLLMInferenceTrace_conv.csv",
            Self::Mooncake => "mooncake-traces/conversation_trace.jsonl",
        }
    }

    /// Input lengths of its trace; `None`, and says so, where the shared data is not there.
    pub(crate) fn read(self) -> Option<Vec<u32>> {
        let shared = env::var_os("FINGERPOST_SHARED").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
            PathBuf::from,
        );
        let path = shared.join("data").join(self.file());
        let Ok(file) = File::open(&path) else {
            eprintln!("skipped: no {} (set FINGERPOST_SHARED)", path.display());
            return None;
        };
        let trace = Trace::read(BufReader::new(file)).ok()?;
        Some(trace.requests.iter().map(|r| r.input.max(1)).collect())
    }
}

/// The cluster of the figures.
pub(crate) fn spec() -> ClusterSpec {
    ClusterSpec::default()
}

/// Lengths drawn at random up to so many tokens.
pub(crate) fn batch(lengths: &[u32], tokens: u64, rng: &mut SmallRng) -> Vec<u32> {
    let (mut batch, mut sum) = (Vec::new(), 0);
    while let Some(length) = lengths.choose(rng).filter(|_| sum < tokens) {
        sum += u64::from(*length);
        batch.push(*length);
    }
    batch
}
