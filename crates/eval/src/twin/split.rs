//! Which runs are trained on, and which are kept apart.

use sha2::{Digest, Sha256};

use super::Bank;

/// A part of a bank, by run: all steps of a run are on one side.
///
/// A run is in the development part when the first four bytes of the SHA-256 of its instance id, read as a big-endian number,
/// leave less than 3 when divided by 10: about 30 % of all runs, the same on every machine, whatever else is in the bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// All runs.
    All,
    /// Those kept apart for reports.
    Dev,
    /// Those that may be learned from and tuned on.
    Train,
}

// === impl Split ===

impl Split {
    /// The runs of this part.
    pub fn of(self, bank: &Bank) -> Bank {
        bank.part(|instance| self == Self::All || (self == Self::Dev) == is_dev(instance))
    }
}

fn is_dev(instance: &str) -> bool {
    hash(instance.as_bytes()) % 10 < 3
}

fn hash(bytes: &[u8]) -> u32 {
    let digest = Sha256::digest(bytes);
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// Sorts the runs of a bank into `count` folds whose sizes differ by one at most; the fold of each run, in the order of
/// [`Bank::runs`]. Another seed sorts otherwise.
pub fn folds(bank: &Bank, count: usize, seed: u64) -> Vec<usize> {
    let runs = bank.runs();
    let mut order: Vec<(u32, usize)> = runs
        .iter()
        .enumerate()
        .map(|(at, run)| {
            let instance = run
                .first()
                .map_or("", |&row| bank.rows()[row].instance_id.as_str());
            (hash(format!("{seed}:{instance}").as_bytes()), at)
        })
        .collect();
    order.sort_unstable();
    let mut folds = vec![0; runs.len()];
    for (place, (_, run)) in order.into_iter().enumerate() {
        folds[run] = place % count.max(1);
    }
    folds
}
