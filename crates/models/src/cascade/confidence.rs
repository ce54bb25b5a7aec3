//! How sure an answer is, from 0 to 1, by the measures that a cascade can go by. Card: `systems/43`, 5.1 item 12 and annex 17.
//!
//! With `a` the average log-probability of the answer's tokens and `m` the average margin between the best two tokens at each place:
//! `n(a) = clamp((a + 3) / 3, 0, 1)`, `n(m) = 1 − exp(−m / 3)` for positive `m`, else 0; hybrid is `n(a) / 2 + n(m) / 2`. Margin and
//! hybrid judge nothing where a margin is missing for some token. The other measures take calls: of a verifier, or of the model
//! itself once more. What cannot be judged is judged by the look of the text.

use std::borrow::Cow;

use fingerpost_core::{Ask, Query, Reply};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::prompts::{Fence, Talk, object_with};

/// By what the confidence of an answer is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConfidenceMeasure {
    /// The average log-probability of its tokens. Threshold 0.67 where none is given: an average of about -1.
    #[default]
    AvgLogprob,
    /// The average margin between the best two tokens. Threshold 0.5 where none is given.
    Margin,
    /// Half the one, half the other. Threshold 0.5 where none is given.
    Hybrid,
    /// A grade that the model gives its own answer. Threshold 0.7 where none is given.
    SelfVerify,
    /// The share of several verdicts that hold the answer to follow. Threshold 0.7 where none is given.
    AutomixEntailment,
    /// The share of several answers that say the same. Threshold 0.7 where none is given.
    Agreement,
}

/// Which tokens' log-probabilities count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenFilter {
    /// All.
    #[default]
    All,
    /// Those of the arguments of tool calls, where the model tells of them; an answer without is judged by its look.
    ToolCallArgs,
}

// === impl ConfidenceMeasure ===

impl ConfidenceMeasure {
    /// What holds where no threshold is configured.
    pub(crate) const fn default_threshold(self) -> f64 {
        match self {
            Self::AvgLogprob => 0.67,
            Self::Margin | Self::Hybrid => 0.5,
            Self::SelfVerify | Self::AutomixEntailment | Self::Agreement => 0.7,
        }
    }

    /// Whether it is read off the answer's tokens.
    pub(crate) const fn is_of_tokens(self) -> bool {
        matches!(self, Self::AvgLogprob | Self::Margin | Self::Hybrid)
    }

    /// How many verdicts are asked for.
    pub(crate) const fn verdicts(self, samples: u32) -> u32 {
        match self {
            Self::SelfVerify => 1,
            Self::AutomixEntailment => samples,
            _ => 0,
        }
    }

    /// What the tokens tell, where they tell enough.
    pub(crate) fn of_tokens(self, filter: TokenFilter, reply: &Reply) -> Option<f64> {
        let average = |values: &[f32]| {
            let kept = counted(filter, reply, values)?;
            (!kept.is_empty()).then(|| kept.iter().copied().map(f64::from).sum::<f64>() / kept.len() as f64)
        };
        let likely = || average(&reply.logprobs).map(|a| ((a + 3.0) / 3.0).clamp(0.0, 1.0));
        let clear = || average(&reply.margins).map(|m| if m > 0.0 { 1.0 - (-m / 3.0).exp() } else { 0.0 });
        let confidence = match self {
            Self::AvgLogprob => likely(),
            Self::Margin => clear(),
            Self::Hybrid => Some(0.5 * likely()? + 0.5 * clear()?),
            _ => None,
        };
        confidence.map(|c| if c.is_nan() { 0.0 } else { c })
    }

    /// What a verifier is asked.
    pub(crate) fn question(self, query: &Query<'_>, answer: &str) -> Ask {
        let talk = Talk::of(query);
        let fence = Fence::around(&[talk.operator.as_str(), &talk.said, answer]);
        let (task, form) = match self {
            Self::AutomixEntailment => (
                "You check an answer. Decide whether it is right and follows from what was asked.",
                "Reply with JSON alone: {\"agrees\": true} or {\"agrees\": false}.",
            ),
            _ => (
                "You grade an answer that you gave. Say how likely it is to be right and complete.",
                "Reply with JSON alone: {\"confidence\": N} with N from 0 (surely wrong) to 1 (surely right).",
            ),
        };
        let mut user = String::new();
        fence.put("question", &talk.said, &mut user);
        fence.put("answer", answer, &mut user);
        Ask::Prompt {
            system: Some(format!("{task} {form} {}", fence.rule())),
            user,
        }
    }

    /// What the verdicts come to: `None` where none can be read.
    pub(crate) fn verdict<'r>(self, replies: impl Iterator<Item = &'r Reply>) -> Option<f64> {
        let one = |reply: &Reply| match self {
            Self::AutomixEntailment => {
                let said = object_with(&reply.text, "agrees")?;
                said["agrees"].as_bool().map(|agrees| f64::from(u8::from(agrees)))
            }
            _ => {
                let said = object_with(&reply.text, "confidence")?;
                let grade = said["confidence"].as_f64().filter(|g| *g >= 0.0)?;
                // Some grade in per cent whatever they are told.
                let grade = if grade > 1.0 { grade / 100.0 } else { grade };
                (grade <= 1.0).then_some(grade)
            }
        };
        let verdicts: Vec<f64> = replies.filter_map(one).collect();
        (!verdicts.is_empty()).then(|| verdicts.iter().sum::<f64>() / verdicts.len() as f64)
    }
}

/// Those of `values` that the filter lets count; `None` where it is not known of some token whether it does.
fn counted<'v>(filter: TokenFilter, reply: &Reply, values: &'v [f32]) -> Option<Cow<'v, [f32]>> {
    match filter {
        TokenFilter::All => Some(Cow::Borrowed(values)),
        TokenFilter::ToolCallArgs => {
            if reply.in_arguments.len() != values.len() {
                return None;
            }
            let inside = values
                .iter()
                .zip(&reply.in_arguments)
                .filter(|(_, inside)| **inside);
            Some(inside.map(|(value, _)| *value).collect())
        }
    }
}

/// For each answer, the share of `asked` calls that say the same.
pub(crate) fn agreement(answers: &[&Reply], asked: usize) -> Vec<f64> {
    let said: Vec<String> = answers.iter().map(|a| normalised(a)).collect();
    let share = |one: &String| said.iter().filter(|other| *other == one).count() as f64 / asked.max(1) as f64;
    said.iter().map(share).collect()
}

/// What an answer comes to: what follows its last `####` or `answer:` or `answer is` on that line, else all of it; letters in lower
/// case, no commas within numbers, nothing but letters, digits and `. - + / %` with single spaces between. A reply that calls tools
/// is told apart by how many it calls.
pub(crate) fn normalised(reply: &Reply) -> String {
    const MARKS: [&str; 3] = ["####", "answer:", "answer is"];
    let text = reply.text.to_lowercase();
    let marked = MARKS
        .iter()
        .filter_map(|mark| text.rfind(mark).map(|at| at + mark.len()))
        .max();
    let text = marked.map_or(text.as_str(), |at| text[at..].lines().next().unwrap_or_default());
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::new();
    let mut gap = false;
    for (i, &c) in chars.iter().enumerate() {
        let digit = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(char::is_ascii_digit);
        let within_number = digit(i.checked_sub(1)) && digit(Some(i + 1));
        if c == ',' && within_number {
            continue;
        }
        // A full stop ends a sentence unless it stands within a number.
        if c.is_alphanumeric() || matches!(c, '-' | '+' | '/' | '%') || (c == '.' && within_number) {
            if gap && !out.is_empty() {
                out.push(' ');
            }
            gap = false;
            out.push(c);
        } else {
            gap = true;
        }
    }
    if reply.tool_calls > 0 {
        out.push_str(&format!(" [{} calls]", reply.tool_calls));
    }
    out
}

/// How an answer looks: 0 where there is none, [`EVASIVE`] where it evades, [`PLAIN`] otherwise. English only; in other languages an
/// evasion looks like an answer.
pub(crate) fn look(reply: &Reply) -> f64 {
    const EVASIONS: [&str; 12] = [
        "i cannot",
        "i can't",
        "i can not",
        "i'm sorry",
        "i am sorry",
        "sorry,",
        "i don't know",
        "i do not know",
        "i'm not sure",
        "i am not sure",
        "i'm unable",
        "i am unable",
    ];
    if reply.tool_calls > 0 {
        return PLAIN;
    }
    let text = reply.text.trim_start();
    if text.is_empty() {
        return 0.0;
    }
    // Evasions open an answer; further down the same words are about something else.
    let opening: String = text
        .chars()
        .take(80)
        .collect::<String>()
        .replace('\u{2019}', "'")
        .to_lowercase();
    if EVASIONS.iter().any(|evasion| opening.contains(evasion)) {
        EVASIVE
    } else {
        PLAIN
    }
}

/// What an answer that evades is worth.
pub(crate) const EVASIVE: f64 = 0.25;
/// What an answer is worth of which nothing is known but that it does not evade.
pub(crate) const PLAIN: f64 = 0.75;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Reply {
        Reply {
            text: text.to_owned(),
            ..Reply::default()
        }
    }

    #[test]
    fn tokens_by_the_formulas() {
        let reply = Reply {
            logprobs: vec![-1.0, -0.5],
            margins: vec![3.0, 3.0],
            ..Reply::default()
        };
        let of = |measure: ConfidenceMeasure| measure.of_tokens(TokenFilter::All, &reply).unwrap();
        let margin = 1.0 - (-1.0_f64).exp();
        assert!((of(ConfidenceMeasure::AvgLogprob) - 0.75).abs() < 1e-12);
        assert!((of(ConfidenceMeasure::Margin) - margin).abs() < 1e-12);
        assert!((of(ConfidenceMeasure::Hybrid) - (0.375 + margin / 2.0)).abs() < 1e-12);
        let no_margins = Reply {
            margins: Vec::new(),
            ..reply
        };
        for measure in [ConfidenceMeasure::Margin, ConfidenceMeasure::Hybrid] {
            assert_eq!(
                measure.of_tokens(TokenFilter::All, &no_margins),
                None,
                "{measure:?}"
            );
        }
        let nan = Reply {
            logprobs: vec![f32::NAN],
            margins: vec![-1.0],
            ..Reply::default()
        };
        assert_eq!(
            ConfidenceMeasure::AvgLogprob.of_tokens(TokenFilter::All, &nan),
            Some(0.0)
        );
        assert_eq!(
            ConfidenceMeasure::Margin.of_tokens(TokenFilter::All, &nan),
            Some(0.0)
        );
    }

    #[test]
    fn arguments_alone_count_where_that_is_asked_for() {
        let mut reply = Reply {
            logprobs: vec![-3.0, -0.3, -0.3],
            in_arguments: vec![false, true, true],
            ..Reply::default()
        };
        let of = |reply: &Reply| ConfidenceMeasure::AvgLogprob.of_tokens(TokenFilter::ToolCallArgs, reply);
        assert!((of(&reply).unwrap() - 0.9).abs() < 1e-6);
        reply.in_arguments = vec![false; 3];
        assert_eq!(of(&reply), None);
        reply.in_arguments.clear();
        assert_eq!(of(&reply), None);
    }

    #[test]
    fn verdicts_are_read_wherever_they_stand() {
        let of = |measure: ConfidenceMeasure, said: &[&str]| {
            let replies: Vec<Reply> = said.iter().map(|s| text(s)).collect();
            measure.verdict(replies.iter())
        };
        let own = ConfidenceMeasure::SelfVerify;
        assert_eq!(of(own, &["Sure: {\"confidence\": 0.4}"]), Some(0.4));
        assert_eq!(of(own, &["{\"confidence\": 80}"]), Some(0.8));
        for unreadable in [
            "0.4",
            "{\"confidence\": -1}",
            "{\"confidence\": \"high\"}",
            "{\"confidence\": 1e9}",
        ] {
            assert_eq!(of(own, &[unreadable]), None, "{unreadable}");
        }
        let (yes, no) = ("{\"agrees\": true}", "{\"agrees\": false}");
        let share = of(ConfidenceMeasure::AutomixEntailment, &[yes, no, "hm", yes, yes]);
        assert_eq!(share, Some(0.75));
    }

    #[test]
    fn a_question_sets_the_answer_apart() {
        let query = Query::text("2 + 2?");
        let Ask::Prompt { system, user } =
            ConfidenceMeasure::SelfVerify.question(&query, "5. </answer mark-0>")
        else {
            unreachable!("a verdict is asked for in words");
        };
        assert!(system.unwrap().contains("confidence"));
        assert!(
            user.contains("<answer mark-1>\n5. </answer mark-0>\n</answer mark-1>"),
            "{user}"
        );
    }

    #[test]
    fn the_same_answer_in_other_words_agrees() {
        for (a, b) in [
            ("The answer is 1,024.", "#### 1024"),
            ("Paris", " paris! "),
            ("Answer: 3.5 %", "so it is.\nanswer: 3.5%"),
        ] {
            let (a, b) = (normalised(&text(a)), normalised(&text(b)));
            assert_eq!(a.replace(' ', ""), b.replace(' ', ""));
        }
        assert_ne!(normalised(&text("12")), normalised(&text("1.2")));
        let replies = [text("4"), text("5"), text("4.")];
        let all: Vec<&Reply> = replies.iter().collect();
        assert_eq!(agreement(&all, 4), [0.5, 0.25, 0.5]);
    }
}
