//! How several answers become one: by a vote, or by a model that is shown them all.

use std::fmt::Write;

use fingerpost_core::{Ask, Query};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answers::{agree, short};

/// Longest part of an answer that is shown to whoever merges, in bytes.
const SHOWN: usize = 16_000;

/// How answers are merged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    /// By a vote where every answer comes to a short one (an option, a number, a few words), else by the aggregator.
    #[default]
    Auto,
    /// By the aggregator, which is shown all of them.
    Prompt,
    /// By a vote; long answers vote together where they have nearly the same words.
    Vote,
}

/// What a model said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    /// In which call.
    pub(super) call: u32,
    /// Which model, by its place among those of the decision.
    pub(super) model: usize,
    pub(super) text: String,
}

// === impl Merge ===

impl Merge {
    /// Whether these answers are merged by a vote.
    pub(super) fn votes(self, answers: &[&Said]) -> bool {
        match self {
            Self::Auto => answers.iter().all(|a| short(&a.text).is_some()),
            Self::Prompt => false,
            Self::Vote => true,
        }
    }
}

/// The answer of highest score among those that most of the scores stand behind; on a tie the group of the aggregator's own
/// answer wins, then that of the first. Empty answers have no vote beside others.
pub(super) fn vote<'a>(answers: &[&'a Said], scores: &[f64], aggregator: usize) -> &'a Said {
    let score = |said: &Said| {
        let known = scores.get(said.model).copied().filter(|s| s.is_finite());
        if said.text.trim().is_empty() {
            0.0
        } else {
            known.unwrap_or(0.0)
        }
    };
    let mut groups: Vec<Vec<&'a Said>> = Vec::new();
    for said in answers {
        match groups.iter_mut().find(|g| agree(&g[0].text, &said.text)) {
            Some(group) => group.push(said),
            None => groups.push(vec![said]),
        }
    }
    let weight = |group: &[&Said]| group.iter().map(|s| score(s)).sum::<f64>();
    let own = |group: &[&Said]| group.iter().any(|s| s.model == aggregator);
    let better = |a: Vec<&'a Said>, b: Vec<&'a Said>| {
        let (wa, wb) = (weight(&a), weight(&b));
        let tie = (wa - wb).abs() <= 1e-9;
        if (!tie && wb > wa) || (tie && own(&b) && !own(&a)) {
            b
        } else {
            a
        }
    };
    let best = groups.into_iter().reduce(better).unwrap_or_default();
    let first = |a: &'a Said, b: &'a Said| if score(b) > score(a) { b } else { a };
    best.into_iter().reduce(first).unwrap_or(answers[0])
}

/// What the aggregator is asked: the conversation, the answers, and to make one of them.
pub(super) fn prompt(query: &Query<'_>, answers: &[&Said]) -> Ask {
    const SYSTEM: &str = "Several assistants have answered the same request, each by itself. Make the best single answer out of \
        theirs. Judge for yourself: an answer may be wrong, and so may most of them. Correct mistakes, keep what is right, and leave \
        out what does not belong. Reply with the final answer alone, in the form and language that the request asks for, and do not \
        mention the other answers.";
    let mut user = String::new();
    match query.turns.as_slice() {
        [_] => {
            let _ = write!(user, "The request:\n{}\n", query.user_text());
        }
        turns => {
            user.push_str("The conversation, of which the last message is to be answered:\n");
            for turn in turns {
                let _ = writeln!(user, "[{:?}] {}", turn.role, turn.text());
            }
        }
    }
    for (number, said) in (1..).zip(answers) {
        let text = &said.text[..said.text.floor_char_boundary(SHOWN)];
        let _ = write!(user, "\nAnswer {number}:\n{text}\n");
    }
    Ask::Prompt {
        system: Some(SYSTEM.to_owned()),
        user,
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{Role, Turn};

    use super::*;

    fn said(texts: &[&str]) -> Vec<Said> {
        let say = |(model, text): (usize, &&str)| Said {
            call: model as u32,
            model,
            text: (*text).to_owned(),
        };
        texts.iter().enumerate().map(say).collect()
    }

    fn winner(texts: &[&str], scores: &[f64], aggregator: usize) -> usize {
        let said = said(texts);
        vote(&said.iter().collect::<Vec<_>>(), scores, aggregator).model
    }

    #[test]
    fn scores_stand_behind_answers() {
        // 0.6 + 0.5 against 0.9; of the two the better one.
        assert_eq!(winner(&["(A)", "(B)", "B."], &[0.9, 0.5, 0.6], 0), 2);
        assert_eq!(winner(&["(A)", "(B)", "B."], &[1.2, 0.5, 0.6], 1), 0);
        assert_eq!(winner(&["", "(B)"], &[0.9, 0.5], 0), 1, "nothing said");
        assert_eq!(winner(&["", ""], &[0.9, 0.5], 0), 0);
        assert_eq!(winner(&["(A)", "(B)"], &[f64::NAN, 0.1], 0), 1);
    }

    #[test]
    fn the_aggregator_breaks_a_tie() {
        assert_eq!(winner(&["(A)", "(B)"], &[0.5, 0.5], 1), 1);
        assert_eq!(winner(&["(A)", "(B)"], &[0.5, 0.5], 0), 0);
        assert_eq!(
            winner(&["(A)", "(B)"], &[0.5, 0.5], 7),
            0,
            "it did not answer: the first"
        );
    }

    #[test]
    fn only_short_answers_are_voted_on_unless_asked_for() {
        let long = "a long text that says many things about the question and comes to nothing in particular";
        for (merge, texts, votes) in [
            (Merge::Auto, ["(A)", "42"], true),
            (Merge::Auto, ["(A)", long], false),
            (Merge::Prompt, ["(A)", "42"], false),
            (Merge::Vote, [long, "42"], true),
        ] {
            let said = said(&texts);
            assert_eq!(
                merge.votes(&said.iter().collect::<Vec<_>>()),
                votes,
                "{merge:?} {texts:?}"
            );
        }
    }

    #[test]
    fn the_aggregator_is_shown_the_request_and_every_answer() {
        let said = said(&["one", "two"]);
        let answers: Vec<&Said> = said.iter().collect();
        let user = |query: &Query<'_>| match prompt(query, &answers) {
            Ask::Prompt {
                user,
                system: Some(_),
            } => user,
            other => unreachable!("{other:?}"),
        };
        let mut query = Query::text("why?");
        assert_eq!(
            user(&query),
            "The request:\nwhy?\n\nAnswer 1:\none\n\nAnswer 2:\ntwo\n"
        );
        let turn = Turn {
            role: Role::System,
            texts: vec!["be brief".into()],
            ..Turn::default()
        };
        query.turns.insert(0, turn);
        assert!(
            user(&query).contains("[System] be brief\n[User] why?\n"),
            "{}",
            user(&query)
        );
    }
}
