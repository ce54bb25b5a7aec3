//! What instances tell of themselves: the numbers that routing wants out of the Prometheus text of vLLM, SGLang and llama.cpp.
//!
//! The text is read line by line, and only lines of the names below are looked at, so a page of megabytes costs one pass and a page
//! that is no metrics at all gives an empty report. Several lines of one name (one per model or engine of the process) are added
//! up; of shares the largest counts. Numbers that are no counts (negative, NaN, infinite) are left out: an endpoint that lies in this
//! way is one that said nothing.
//!
//! | | vLLM | SGLang | llama.cpp |
//! | --- | --- | --- | --- |
//! | waiting | `vllm:num_requests_waiting` | `sglang:num_queue_reqs` | `llamacpp:requests_deferred` |
//! | running | `vllm:num_requests_running` | `sglang:num_running_reqs` | `llamacpp:requests_processing` |
//! | share of cache in use | `vllm:kv_cache_usage_perc`, `vllm:gpu_cache_usage_perc` | `sglang:token_usage` | `llamacpp:kv_cache_usage_ratio` |

use std::time::Duration;

use fingerpost_core::Timestamp;

/// A value and when it was true.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aged<T> {
    /// The value.
    pub value: T,
    /// When it was true.
    pub at: Timestamp,
}

/// What an instance says of itself. What it did not say is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Report {
    /// Requests that wait there.
    pub waiting: Option<Aged<u32>>,
    /// Requests that run there.
    pub running: Option<Aged<u32>>,
    /// Share of its cache of keys and values that is in use, from 0 to 1.
    pub kv_usage: Option<Aged<f64>>,
    /// Prompt tokens that it has yet to compute, waiting or under way. No server exports this; the simulator and fellow routers do.
    pub backlog_tokens: Option<Aged<u64>>,
    /// Tokens that its prefix cache holds, by its own events ([`kv_events`](crate::kv_events)).
    pub cached_tokens: Option<Aged<u64>>,
}

/// What a line of metrics is about.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Metric {
    Waiting,
    Running,
    KvUsage,
}

// === impl Aged ===

impl<T> Aged<T> {
    /// How old the value is at `now`.
    pub fn age(&self, now: Timestamp) -> Duration {
        now.since(self.at)
    }
}

// === impl Report ===

impl Report {
    /// Reads a page of metrics that was fetched at `at`. Never fails: what is not there is absent.
    pub fn parse(text: &str, at: Timestamp) -> Self {
        let (mut waiting, mut running, mut usage) = (None, None, None);
        for line in text.lines() {
            let Some((metric, value)) = sample(line) else {
                continue;
            };
            let into = match metric {
                Metric::Waiting => &mut waiting,
                Metric::Running => &mut running,
                Metric::KvUsage => {
                    usage = Some(f64::max(usage.unwrap_or(0.0), value.min(1.0)));
                    continue;
                }
            };
            *into = Some(into.unwrap_or(0.0) + value);
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and the conversion saturates"
        )]
        let count = |sum: Option<f64>| sum.map(|n| Aged { value: n as u32, at });
        Self {
            waiting: count(waiting),
            running: count(running),
            kv_usage: usage.map(|value| Aged { value, at }),
            ..Self::default()
        }
    }

    /// Takes over what `later` says; what that does not say stays as it was, with its age.
    pub fn update(&mut self, later: &Self) {
        self.waiting = later.waiting.or(self.waiting);
        self.running = later.running.or(self.running);
        self.kv_usage = later.kv_usage.or(self.kv_usage);
        self.backlog_tokens = later.backlog_tokens.or(self.backlog_tokens);
        self.cached_tokens = later.cached_tokens.or(self.cached_tokens);
    }

    /// Every value that was told, with what it is called and its age at `now`.
    pub fn values(&self, now: Timestamp) -> impl Iterator<Item = (&'static str, f64, Duration)> {
        #[allow(clippy::cast_precision_loss, reason = "tokens far below 2^52")]
        let tokens = |told: Aged<u64>| (told.value as f64, told.age(now));
        let count = |told: Aged<u32>| (f64::from(told.value), told.age(now));
        [
            ("waiting", self.waiting.map(count)),
            ("running", self.running.map(count)),
            ("kv_usage", self.kv_usage.map(|told| (told.value, told.age(now)))),
            ("backlog_tokens", self.backlog_tokens.map(tokens)),
            ("cached_tokens", self.cached_tokens.map(tokens)),
        ]
        .into_iter()
        .filter_map(|(name, told)| told.map(|(value, age)| (name, value, age)))
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The metric and value of a line: `name{labels} value [timestamp]`.
fn sample(line: &str) -> Option<(Metric, f64)> {
    let line = line.trim_start();
    let name_end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let metric = match &line[..name_end] {
        "vllm:num_requests_waiting" | "sglang:num_queue_reqs" | "llamacpp:requests_deferred" => {
            Metric::Waiting
        }
        "vllm:num_requests_running" | "sglang:num_running_reqs" | "llamacpp:requests_processing" => {
            Metric::Running
        }
        "vllm:kv_cache_usage_perc"
        | "vllm:gpu_cache_usage_perc"
        | "sglang:token_usage"
        | "llamacpp:kv_cache_usage_ratio" => Metric::KvUsage,
        _ => return None,
    };
    let rest = &line[name_end..];
    let values = match rest.strip_prefix('{') {
        Some(labels) => &labels[labels_end(labels)?..],
        None => rest,
    };
    let value: f64 = values.split_whitespace().next()?.parse().ok()?;
    (value.is_finite() && value >= 0.0).then_some((metric, value))
}

/// Where labels end, after their brace. A quoted value may hold braces and escaped quotes.
fn labels_end(labels: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in labels.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(text: &str) -> (Option<u32>, Option<u32>, Option<f64>) {
        let report = Report::parse(text, Timestamp::from_millis(5));
        (
            report.waiting.map(|w| w.value),
            report.running.map(|r| r.value),
            report.kv_usage.map(|k| k.value),
        )
    }

    #[test]
    fn vllm() {
        let text = r#"# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a {\"odd\"} name"} 7.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 3.0
vllm:num_requests_waiting_by_reason{reason="capacity"} 99.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
"#;
        assert_eq!(numbers(text), (Some(3), Some(9), Some(0.5)));
    }

    #[test]
    fn sglang() {
        let text = "sglang:num_running_reqs{model_name=\"m\"} 12.0\nsglang:num_queue_reqs{model_name=\"m\"} 1e1\n\
                    sglang:token_usage{model_name=\"m\"} 0.28 1700000000000\n";
        assert_eq!(numbers(text), (Some(10), Some(12), Some(0.28)));
    }

    #[test]
    fn llama_cpp() {
        let text = "llamacpp:requests_processing 1\nllamacpp:requests_deferred 4\r\nllamacpp:kv_cache_usage_ratio 0.01\n";
        assert_eq!(numbers(text), (Some(4), Some(1), Some(0.01)));
    }

    #[test]
    fn lies_count_as_silence() {
        let text = "llamacpp:requests_processing -3\nllamacpp:requests_deferred NaN\nllamacpp:kv_cache_usage_ratio +Inf\n";
        assert!(Report::parse(text, Timestamp::default()).is_empty());
        assert_eq!(numbers("sglang:token_usage 17\n"), (None, None, Some(1.0)));
        assert_eq!(
            numbers("<html>vllm:num_requests_running 3</html>"),
            (None, None, None)
        );
    }

    #[test]
    fn a_value_has_an_age() {
        let report = Report::parse("llamacpp:requests_processing 1", Timestamp::from_millis(500));
        let age = report.running.unwrap().age(Timestamp::from_millis(3500));
        assert_eq!(age, Duration::from_secs(3));
    }

    #[test]
    fn what_is_not_said_again_grows_old() {
        let mut known = Report::parse(
            "llamacpp:requests_processing 1\nllamacpp:requests_deferred 2",
            Timestamp::from_millis(1000),
        );
        known.update(&Report::parse(
            "llamacpp:requests_processing 3",
            Timestamp::from_millis(2000),
        ));
        let told: Vec<_> = known.values(Timestamp::from_millis(2500)).collect();
        let ms = Duration::from_millis;
        assert_eq!(told, [("waiting", 2.0, ms(1500)), ("running", 3.0, ms(500))]);
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(
            lines in prop::collection::vec(
                prop_oneof![
                    ".*",
                    r#"(vllm:num_requests_running|sglang:token_usage)(\{[a-z="\\}]{0,9}\}?)? ?[-+.0-9eENaninf]{0,6}.{0,3}"#,
                ],
                0..9,
            ),
        ) {
            let report = Report::parse(&lines.join("\n"), Timestamp::default());
            prop_assert!(report.kv_usage.is_none_or(|k| (0.0..=1.0).contains(&k.value)));
        }
    }
}
