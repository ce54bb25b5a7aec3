//! What a pool is made of, and what one of its GPUs does in an iteration.

use serde::{Deserialize, Serialize};

use super::PlanError;

/// One GPU (or group of GPUs that serves as one) under continuous batching: an iteration of `n` sequences of `L` tokens each takes
/// `base_ms + per_sequence_ms · n · L / reference_tokens`, gives every sequence that decodes a token, and every one that prefills
/// a chunk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GpuProfile {
    /// Milliseconds of an iteration whatever is in it. Default 8.
    pub base_ms: f64,
    /// Milliseconds more for each sequence of the reference length. Default 0.65.
    pub per_sequence_ms: f64,
    /// The reference length, tokens. Default 8192.
    pub reference_tokens: f64,
    /// Tokens of a prompt that one iteration prefills. Default 512.
    pub chunk_tokens: u32,
    /// Microseconds more for each prompt token that an iteration computes. Default 0, as in the card's model, where only iterations count.
    pub prefill_us_per_token: f64,
    /// Tokens whose keys and values its memory holds. Default 1048576.
    pub kv_tokens: u64,
    /// Sequences at a time at most, whatever memory allows. Default 256.
    pub max_slots: u32,
    /// Tokens of prompts whose keys and values are kept beside for prompts that begin alike; 0: none. Default 1198080.
    pub cached_tokens: u64,
    /// Watts without work. Default 150.
    pub idle_watts: f64,
    /// Watts with all slots busy. Default 700.
    pub busy_watts: f64,
    /// US dollars an hour. Default 2.2.
    pub usd_per_hour: f64,
}

/// A request as a pool sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// Input tokens.
    pub input: u32,
    /// Output tokens.
    pub output: u32,
    /// Input tokens that are cached where it goes.
    pub cached: u32,
}

/// Requests of a pool, and what they need.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Requests a second.
    pub rate: f64,
    /// Squared coefficient of variation of the times between arrivals: 1 for a Poisson stream.
    pub arrivals: f64,
    /// Equally likely requests.
    pub shapes: Vec<Shape>,
}

/// GPUs of one kind that admit contexts up to a window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pool<'a> {
    pub(crate) gpu: &'a GpuProfile,
    /// Sequences at a time on one GPU.
    pub(crate) slots: u32,
    /// Iterations of a request: mean, and squared coefficient of variation.
    pub(crate) iterations: f64,
    pub(crate) variation: f64,
    /// Mean tokens of a sequence in a slot, over the time that it is there.
    pub(crate) context: f64,
    /// Mean prompt tokens that an iteration computes for a sequence.
    pub(crate) prefilling: f64,
}

// === impl GpuProfile ===

impl Default for GpuProfile {
    fn default() -> Self {
        Self {
            base_ms: 8.0,
            per_sequence_ms: 0.65,
            reference_tokens: 8192.0,
            chunk_tokens: 512,
            prefill_us_per_token: 0.0,
            kv_tokens: 1 << 20,
            max_slots: 256,
            cached_tokens: 1_198_080,
            idle_watts: 150.0,
            busy_watts: 700.0,
            usd_per_hour: 2.2,
        }
    }
}

impl GpuProfile {
    /// Whether all numbers are in their ranges.
    ///
    /// # Errors
    /// [`PlanError::OutOfRange`] for the first that is not.
    pub fn check(&self) -> Result<(), PlanError> {
        let over_0 = [
            ("gpu.base_ms", self.base_ms),
            ("gpu.reference_tokens", self.reference_tokens),
            ("gpu.chunk_tokens", f64::from(self.chunk_tokens)),
            ("gpu.kv_tokens", self.kv_tokens as f64),
            ("gpu.max_slots", f64::from(self.max_slots)),
        ];
        let from_0 = [
            ("gpu.per_sequence_ms", self.per_sequence_ms),
            ("gpu.prefill_us_per_token", self.prefill_us_per_token),
            ("gpu.idle_watts", self.idle_watts),
            ("gpu.busy_watts", self.busy_watts),
            ("gpu.usd_per_hour", self.usd_per_hour),
        ];
        let bad_0 = over_0.into_iter().find(|(_, v)| !(v.is_finite() && *v > 0.0));
        let bad = from_0.into_iter().find(|(_, v)| !(v.is_finite() && *v >= 0.0));
        let wrong = |(key, found), allowed| PlanError::OutOfRange { key, found, allowed };
        bad_0.map_or(Ok(()), |b| Err(wrong(b, "a finite number over 0")))?;
        bad.map_or(Ok(()), |b| Err(wrong(b, "a finite number of at least 0")))
    }

    /// Sequences at a time where each may grow to `window` tokens: none where not even one fits.
    pub fn slots(&self, window: u32) -> u32 {
        let by_memory = self.kv_tokens / u64::from(window.max(1));
        u32::try_from(by_memory).unwrap_or(u32::MAX).min(self.max_slots)
    }

    /// Seconds of an iteration with so many sequences of so many tokens.
    pub fn iteration_s(&self, sequences: f64, context: f64) -> f64 {
        (self.base_ms + self.per_sequence_ms * sequences * context / self.reference_tokens) / 1e3
    }

    /// Output tokens per joule of a GPU whose slots are all busy with sequences of half their window. A window twice as wide leaves
    /// half the slots at the same pace, so it halves them, nearly: what an idle GPU draws does not shrink with its slots.
    pub fn tokens_per_joule(&self, window: u32) -> f64 {
        let slots = f64::from(self.slots(window));
        slots / self.iteration_s(slots, f64::from(window) / 2.0) / self.busy_watts.max(f64::MIN_POSITIVE)
    }

    /// Seconds that computing so many prompt tokens adds.
    pub fn prefill_s(&self, tokens: f64) -> f64 {
        self.prefill_us_per_token * tokens / 1e6
    }

    /// Iterations that prefill a prompt.
    pub fn prefill(&self, input: u32) -> u32 {
        input.div_ceil(self.chunk_tokens.max(1)).max(1)
    }
}

// === impl Pool ===

impl<'a> Pool<'a> {
    /// A pool that admits contexts up to `window` and serves these shapes; `None` where no sequence of the window fits.
    pub(crate) fn new(gpu: &'a GpuProfile, window: u32, shapes: &[Shape]) -> Option<Self> {
        let slots = gpu.slots(window);
        if slots == 0 || shapes.is_empty() {
            return None;
        }
        let (mut iterations, mut squares, mut context, mut prompt) = (0.0, 0.0, 0.0, 0.0);
        for shape in shapes {
            let own = f64::from(gpu.prefill(shape.missing())) + f64::from(shape.output);
            prompt += f64::from(shape.missing());
            iterations += own;
            squares += own * own;
            context += own * (f64::from(shape.input) + f64::from(shape.output) / 2.0);
        }
        let n = shapes.len() as f64;
        let mean = iterations / n;
        Some(Self {
            gpu,
            slots,
            iterations: mean,
            variation: (squares / n / (mean * mean) - 1.0).max(0.0),
            context: context / iterations,
            prefilling: prompt / iterations,
        })
    }

    /// Seconds of an iteration where so many sequences are on the GPU.
    pub(crate) fn iteration_s(&self, sequences: f64) -> f64 {
        self.gpu.iteration_s(sequences, self.context) + self.gpu.prefill_s(sequences * self.prefilling)
    }

    /// Requests a second that one full GPU completes.
    pub(crate) fn full_pace(&self) -> f64 {
        let slots = f64::from(self.slots);
        slots / (self.iterations * self.iteration_s(slots))
    }

    /// Requests a second that `gpus` with `busy` slots together complete, evenly spread.
    pub(crate) fn pace(&self, busy: u64, gpus: u32) -> f64 {
        let each = busy as f64 / f64::from(gpus.max(1));
        // Below one sequence a GPU, those that have one still need a whole iteration with one.
        busy as f64 / (self.iterations * self.iteration_s(each.max(1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_gpu_completes_what_its_iterations_allow() {
        let gpu = GpuProfile {
            kv_tokens: 81_920,
            ..GpuProfile::default()
        };
        let shapes = [Shape {
            input: 1_000,
            output: 98,
            ..Shape::default()
        }; 3];
        let pool = Pool::new(&gpu, 8_192, &shapes).unwrap();
        // Ten slots; two chunks and 98 tokens; 1,049 tokens on average.
        assert_eq!(
            (pool.slots, pool.iterations, pool.context, pool.variation),
            (10, 100.0, 1_049.0, 0.0)
        );
        let iteration = (8.0 + 0.65 * 10.0 * 1_049.0 / 8_192.0) / 1e3;
        assert!((pool.full_pace() - 10.0 / (100.0 * iteration)).abs() < 1e-9);
        assert!((pool.pace(20, 2) - 2.0 * pool.full_pace()).abs() < 1e-9);
        assert!(Pool::new(&gpu, 100_000, &shapes).is_none(), "not even one fits");
    }

    #[test]
    fn what_is_cached_is_not_computed_and_what_is_computed_takes_its_time() {
        let gpu = GpuProfile {
            per_sequence_ms: 0.0,
            prefill_us_per_token: 10.0,
            ..GpuProfile::default()
        };
        let shape = |cached| Shape {
            input: 1_024,
            output: 8,
            cached,
        };
        // Two chunks and eight tokens: 102.4 prompt tokens an iteration, a millisecond of them.
        let pool = Pool::new(&gpu, 2_048, &[shape(0)]).unwrap();
        assert!((pool.iteration_s(1.0) - 0.009_024).abs() < 1e-12);
        let warm = Pool::new(&gpu, 2_048, &[shape(512)]).unwrap();
        assert_eq!((warm.iterations, warm.context), (9.0, 1_028.0));
        // The last token is computed in any case.
        assert_eq!((shape(5_000).missing(), shape(1_000).missing()), (1, 24));
    }

    #[test]
    fn a_window_twice_as_wide_halves_the_tokens_per_joule() {
        let gpu = GpuProfile {
            max_slots: u32::MAX,
            ..GpuProfile::default()
        };
        for window in [4_096, 8_192, 16_384, 32_768] {
            let ratio = gpu.tokens_per_joule(2 * window) / gpu.tokens_per_joule(window);
            assert!((0.45..0.55).contains(&ratio), "{window}: {ratio}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let gpu = GpuProfile {
            kv_tokens: 0,
            ..GpuProfile::default()
        };
        assert!(
            gpu.check()
                .unwrap_err()
                .to_string()
                .contains("gpu.kv_tokens is 0")
        );
        let gpu = GpuProfile {
            busy_watts: f64::NAN,
            ..GpuProfile::default()
        };
        assert!(gpu.check().unwrap_err().to_string().contains("gpu.busy_watts"));
    }
}
