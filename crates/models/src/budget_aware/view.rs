//! What is seen of a step, and the state that a policy gets of it.

use fingerpost_core::{Query, Role, TokenCount, Turn};

use super::budget::Purse;
use crate::features::Featurizer;

/// Numbers of a state besides those of the text.
pub const STATE: usize = 10;
/// Numbers of a state that are of the text, for policies that read.
pub const TEXT: usize = 16;
/// Share of the expected steps for which large ones can be paid, from which more makes no difference.
const ENOUGH: f32 = 0.6;
/// Bytes of text a token, as the gateway estimates.
const BYTES_PER_TOKEN: usize = 4;

/// What the request shows of a step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    /// Calls so far.
    pub step: u32,
    /// Tool results so far.
    pub tool_results: u32,
    /// Tool results so far that look like errors.
    pub errors: u32,
    /// How many of them stand at the end.
    pub errors_in_a_row: u32,
    /// How hard the task looks, about −1 to 3; in service the logarithm of its length, [`size`].
    pub hint: f32,
    /// How hard the step looks, in the same unit.
    pub observed: f32,
    /// The text of the step, projected; empty for a policy that does not read.
    pub text: Vec<f32>,
    /// Input tokens, estimated.
    pub tokens_in: TokenCount,
    /// The most tokens that the answer may have.
    pub max_output: Option<TokenCount>,
}

/// How long a text of so many bytes is, in the unit of [`View::hint`]: −1 for some 50 bytes, 1 for 3000.
pub fn size(bytes: usize) -> f32 {
    ((bytes as f32 + 1.0).ln() - 6.0) / 2.0
}

// === impl View ===

impl View {
    /// What a request shows of its step; its last text, projected, where there is a reader.
    pub fn of(query: &Query<'_>, reader: Option<&Featurizer>) -> Self {
        let results: Vec<bool> = query
            .turns
            .iter()
            .filter(|t| is_result(t))
            .map(is_error)
            .collect();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let latest = query.turns.last().map(Turn::text).unwrap_or_default();
        let text = reader.map_or_else(Vec::new, |reader| project(&reader.vector(&latest)));
        Self {
            step: count(query.turns.iter().filter(|t| t.role == Role::Assistant).count()),
            tool_results: count(results.len()),
            errors: count(results.iter().filter(|e| **e).count()),
            errors_in_a_row: count(results.iter().rev().take_while(|e| **e).count()),
            hint: size(query.user_text().len()),
            observed: size(latest.len()),
            text,
            tokens_in: TokenCount(count(query.text_bytes() / BYTES_PER_TOKEN)),
            max_output: query.max_output,
        }
    }

    /// The state: what is seen of the step, and of the money.
    pub fn state(&self, purse: &Purse) -> Vec<f32> {
        let per_large = |usd: f64| {
            if purse.large > 0.0 {
                (usd / purse.large) as f32
            } else {
                0.0
            }
        };
        let count = |n: u32, of: f32| (n as f32 / of).min(3.0);
        // Who can pay for large steps at most of what is expected is as free as without a budget.
        let left = purse.left.map_or(ENOUGH, |left| {
            (per_large(left) / (1.0 + purse.remaining as f32)).clamp(0.0, ENOUGH)
        });
        let mut state = vec![
            count(self.step, 20.0),
            count(self.tool_results, 20.0),
            count(self.errors, 5.0),
            f32::from(u8::from(self.errors_in_a_row > 0)),
            count(self.errors_in_a_row, 3.0),
            purse.large_steps as f32 / self.step.max(1) as f32,
            per_large(purse.spent).ln_1p() / 2.0,
            left,
            self.hint,
            self.observed,
        ];
        state.extend(&self.text);
        for value in &mut state {
            *value = if value.is_finite() {
                value.clamp(-8.0, 8.0)
            } else {
                0.0
            };
        }
        state
    }
}

fn is_result(turn: &Turn<'_>) -> bool {
    turn.role == Role::Tool || turn.tool_results > 0
}

/// Whether a tool's result looks like an error: by English words near its beginning or its end.
fn is_error(turn: &Turn<'_>) -> bool {
    const EDGE: usize = 300;
    const MARKS: [&str; 9] = [
        "error",
        "exception",
        "traceback",
        "failed",
        "failure",
        "not found",
        "denied",
        "timed out",
        "no such file",
    ];
    let text = turn.text();
    let head = &text[..text.floor_char_boundary(EDGE.min(text.len()))];
    let tail = &text[text.ceil_char_boundary(text.len().saturating_sub(EDGE))..];
    [head, tail].iter().any(|part| {
        let part = part
            .to_lowercase()
            .replace("no errors", "")
            .replace("0 failed", "");
        let part = part.replace("0 errors", "").replace("without error", "");
        MARKS.iter().any(|mark| part.contains(mark))
    })
}

/// A projection of a text's vector to [`TEXT`] values: signs by a fixed hash, since trained files depend on it.
fn project(vector: &[f32]) -> Vec<f32> {
    let scale = 4.0 / (TEXT as f32).sqrt();
    let row = |i: usize| {
        let signed = vector.iter().enumerate().map(|(j, v)| {
            // SplitMix64's finaliser over the place.
            let mut z = ((i << 32 | j) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            if (z ^ (z >> 31)) & 1 == 0 { *v } else { -v }
        });
        scale * signed.sum::<f32>()
    };
    (0..TEXT).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget_aware::Policy;

    #[test]
    fn states_are_finite_and_of_fixed_length() {
        let view = View {
            hint: f32::NAN,
            observed: f32::INFINITY,
            step: u32::MAX,
            ..View::default()
        };
        let state = view.state(&Purse::default());
        assert_eq!(state.len(), STATE);
        assert!(state.iter().all(|v| v.is_finite()));
        let policy = Policy::new(STATE, 1);
        assert!(policy.large(&state).is_finite() && policy.large(&[1.0]).is_finite());
    }
}
