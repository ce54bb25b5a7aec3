//! How sure the probed model was: `exp` of the mean log-probability of the tokens that matter.

use fingerpost_core::Reply;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProbeConfig {
    /// Which tokens count. Default `tool_call_args`.
    pub tokens: ProbeTokens,
    /// Below this area under the ROC curve the confidence tells too little, and difficulty alone decides, 0.5 to 1. Default 0.6.
    pub min_auroc: f64,
}

/// Which tokens of an answer count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbeTokens {
    /// All.
    All,
    /// Those that spell values of arguments, as in `{"x": 12}` or `click(x=12)`: marks and names are nearly certain whatever the
    /// model thinks. All where there are none, or the texts of the tokens are not known.
    #[default]
    ToolCallArgs,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self {
            tokens: ProbeTokens::ToolCallArgs,
            min_auroc: 0.6,
        }
    }
}

/// The confidence in an answer, 0 to 1; `None` without log-probabilities.
pub(super) fn confidence(reply: &Reply, which: ProbeTokens) -> Option<f64> {
    let counts = match which {
        ProbeTokens::ToolCallArgs if reply.tokens.len() == reply.logprobs.len() => values(&reply.tokens),
        _ => Vec::new(),
    };
    let all = !counts.iter().any(|c| *c);
    let counted = reply
        .logprobs
        .iter()
        .enumerate()
        .filter(|(i, _)| all || counts[*i]);
    let (sum, n) = counted.fold((0.0, 0_u32), |(sum, n), (_, l)| (sum + f64::from(*l), n + 1));
    let confidence = (sum / f64::from(n)).exp();
    (n > 0 && !confidence.is_nan()).then(|| confidence.min(1.0))
}

/// Which tokens spell values: words that no colon, equals sign or parenthesis follows, from `arguments` on where that word stands.
fn values(tokens: &[String]) -> Vec<bool> {
    let text: String = tokens.concat();
    let begin = text
        .find("\"arguments\"")
        .map_or(0, |at| at + "\"arguments\"".len());
    let mut ends = tokens.iter().scan(0, |end, token| {
        *end += token.len();
        Some(*end)
    });
    let mut spells = vec![false; tokens.len()];
    let (mut token, mut token_end) = (0, ends.next().unwrap_or(0));
    for (start, end) in words(&text).filter(|w| w.0 >= begin && !is_name(&text[w.1..])) {
        while token_end <= start && token + 1 < tokens.len() {
            token += 1;
            token_end = ends.next().unwrap_or(text.len());
        }
        spells[token] = true;
        while token_end < end && token + 1 < tokens.len() {
            token += 1;
            token_end = ends.next().unwrap_or(text.len());
            spells[token] = true;
        }
    }
    spells
}

/// Runs of letters, digits and what numbers are written with, by their places.
fn words(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '+' | '_');
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].find(is_word)?;
        at = start + text[start..].find(|c| !is_word(c)).unwrap_or(text.len() - start);
        Some((start, at))
    })
}

/// Whether what follows a word makes it a name.
fn is_name(rest: &str) -> bool {
    rest.trim_start_matches(|c: char| matches!(c, '"' | '\'' | '\\') || c.is_whitespace())
        .starts_with([':', '=', '('])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(tokens: &[&str]) -> String {
        let tokens: Vec<String> = tokens.iter().map(|t| (*t).to_owned()).collect();
        let spells = values(&tokens);
        let chosen = tokens.iter().zip(spells).filter(|(_, s)| *s);
        chosen.map(|(t, _)| t.as_str()).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn values_of_arguments_are_found() {
        let json = [
            "{\"name",
            "\": \"cl",
            "ick\", ",
            "\"arguments\"",
            ": {",
            "\"x\"",
            ": ",
            "12",
            ", \"",
            "y\": 4",
            "0}}",
        ];
        assert_eq!(counted(&json), "12|y\": 4|0}}");
        let escaped = [
            "\"arguments\"",
            ": \"{\\\"",
            "q",
            "\\\": \\\"",
            "red",
            " shoes",
            "\\\"}\"",
        ];
        assert_eq!(counted(&escaped), "red| shoes");
        assert_eq!(
            counted(&["click", "(", "x", "=", "0.", "52", ", y", "=", "0.31", ")"]),
            "0.|52|0.31"
        );
        assert_eq!(counted(&["{", "}", "(", ")"]), "");
        assert_eq!(counted(&[]), "");
    }

    #[test]
    fn confidence_by_hand() {
        let reply = Reply {
            logprobs: vec![0.0, -2.0, 0.0, -1.0],
            tokens: ["(x=", "1", ", y=", "2"].map(str::to_owned).to_vec(),
            ..Reply::default()
        };
        let near = |which, mean: f64| (confidence(&reply, which).unwrap() - mean.exp()).abs() < 1e-12;
        assert!(near(ProbeTokens::ToolCallArgs, -1.5) && near(ProbeTokens::All, -0.75));
        let without = Reply {
            tokens: Vec::new(),
            ..reply.clone()
        };
        assert!((confidence(&without, ProbeTokens::ToolCallArgs).unwrap() - (-0.75_f64).exp()).abs() < 1e-12);
        assert_eq!(confidence(&Reply::default(), ProbeTokens::All), None);
        let nan = Reply {
            logprobs: vec![f32::NAN],
            ..Reply::default()
        };
        assert_eq!(confidence(&nan, ProbeTokens::All), None);
    }

    proptest! {
        #[test]
        fn any_tokens_are_read(tokens in prop::collection::vec("\\PC{0,6}", 0..12)) {
            prop_assert_eq!(values(&tokens).len(), tokens.len());
        }
    }
}
