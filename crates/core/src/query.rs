//! What a gateway-level router sees of a request: borrowed from its body, whatever the client's format.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{Capabilities, TokenCount};

/// A request, as routers see it. Borrows from the body; making one costs no copy of its texts (except where JSON escapes
/// force one).
#[derive(Debug, Clone, Default)]
pub struct Query<'a> {
    /// The conversation, oldest first, system texts included.
    pub turns: Vec<Turn<'a>>,
    /// The model that the client asked for; empty where it named none.
    pub model: Cow<'a, str>,
    /// Whether the client wants a stream.
    pub stream: bool,
    /// The most tokens that the client lets the answer have.
    pub max_output: Option<TokenCount>,
    /// How many tool definitions came along.
    pub tools: u32,
    /// Whether the answer must be JSON of a schema.
    pub structured: bool,
    /// Whether the request refers to an earlier, stored answer.
    pub continues: bool,
    /// What the client says of the request. Untrusted: it must never grant a right.
    pub metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Who asks, from headers that an operator trusts.
    pub identity: Identity<'a>,
    /// The conversation that it belongs to, where something says so. Untrusted: it must never grant a right.
    pub session: Option<Cow<'a, str>>,
    /// The model that answered the turn before, where that is known.
    pub previous: Option<Cow<'a, str>>,
}

/// One message of the conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Turn<'a> {
    /// Whose it is.
    pub role: Role,
    /// Its text parts, in order. Most messages have one.
    pub texts: Vec<Cow<'a, str>>,
    /// Tool calls that it makes.
    pub tool_calls: u32,
    /// Tool results that it carries.
    pub tool_results: u32,
    /// Images that it carries.
    pub images: u32,
    /// Audio clips that it carries.
    pub audio: u32,
}

/// Whose message it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A person, or the program that asks.
    #[default]
    User,
    /// A model.
    Assistant,
    /// The operator of the application.
    System,
    /// The developer of the application (OpenAI's later name for `system`).
    Developer,
    /// A tool's result.
    Tool,
}

/// Who asks. Empty where no trusted header says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The user.
    pub user: Option<Cow<'a, str>>,
    /// The groups that the user is in.
    pub groups: Vec<Cow<'a, str>>,
}

// === impl Query ===

impl<'a> Query<'a> {
    /// A question of one user turn, for tests, the command line and offline evaluation.
    pub fn text(text: &'a str) -> Self {
        let turn = Turn {
            texts: vec![Cow::Borrowed(text)],
            ..Turn::default()
        };
        Self {
            turns: vec![turn],
            ..Self::default()
        }
    }

    /// The last turn that a person wrote: has the role user and some text. `None` in a conversation without one.
    pub fn last_user(&self) -> Option<&Turn<'a>> {
        self.turns
            .iter()
            .rev()
            .find(|t| t.role == Role::User && t.texts.iter().any(|x| !x.trim().is_empty()))
    }

    /// The text of the last user turn: borrowed where it has one part, joined by line feeds where it has more.
    pub fn user_text(&self) -> Cow<'_, str> {
        self.last_user().map_or(Cow::Borrowed(""), Turn::text)
    }

    /// Whether the conversation stands in the middle of a tool loop: its last message is a tool result, or its last user turn
    /// directly follows one, or more calls were made than results came back.
    pub fn in_tool_loop(&self) -> bool {
        let turns = &self.turns;
        if turns.last().is_some_and(Turn::brings_results) {
            return true;
        }
        let last_user = turns
            .iter()
            .rposition(|t| t.role == Role::User && !t.is_bare_result());
        if last_user.is_some_and(|i| i > 0 && turns[i - 1].brings_results()) {
            return true;
        }
        let calls: u64 = turns.iter().map(|t| u64::from(t.tool_calls)).sum();
        // A tool turn whose results were not counted one by one still brings one.
        let results: u64 = turns
            .iter()
            .map(|t| u64::from(t.tool_results).max(u64::from(t.role == Role::Tool)))
            .sum();
        calls > results
    }

    /// Bytes of text in the whole conversation.
    pub fn text_bytes(&self) -> usize {
        self.turns.iter().flat_map(|t| &t.texts).map(|t| t.len()).sum()
    }

    /// What a model must be able to do in order to answer.
    pub fn needs(&self) -> Capabilities {
        let mut needs = Capabilities::NONE;
        if self.tools > 0 {
            needs = needs.and(Capabilities::TOOLS);
        }
        if self.structured {
            needs = needs.and(Capabilities::STRUCTURED);
        }
        if self.turns.iter().any(|t| t.images > 0) {
            needs = needs.and(Capabilities::VISION);
        }
        if self.turns.iter().any(|t| t.audio > 0) {
            needs = needs.and(Capabilities::AUDIO);
        }
        needs
    }
}

// === impl Turn ===

impl Turn<'_> {
    /// Whether it brings tool results.
    pub fn brings_results(&self) -> bool {
        self.role == Role::Tool || self.tool_results > 0
    }

    /// Whether it is a user's by its role and brings tool results and no text, as one of the wire formats writes them.
    pub fn is_bare_result(&self) -> bool {
        self.role == Role::User && self.tool_results > 0 && self.texts.iter().all(|t| t.trim().is_empty())
    }

    /// Its text: borrowed where it has one part, joined by line feeds where it has more.
    pub fn text(&self) -> Cow<'_, str> {
        match self.texts.as_slice() {
            [] => Cow::Borrowed(""),
            [one] => Cow::Borrowed(one),
            many => Cow::Owned(many.join("\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_user_turn_skips_tool_results() {
        let mut query = Query::text("find it");
        query.turns.push(Turn {
            role: Role::Assistant,
            tool_calls: 1,
            ..Turn::default()
        });
        query.turns.push(Turn {
            role: Role::User,
            tool_results: 1,
            ..Turn::default()
        });
        assert_eq!(query.user_text(), "find it");
        assert_eq!(Query::default().user_text(), "");
    }

    #[test]
    fn a_tool_loop_is_open_until_the_model_has_answered() {
        let turn = |role, calls, results, text: &'static str| Turn {
            role,
            texts: vec![text.into()],
            tool_calls: calls,
            tool_results: results,
            ..Turn::default()
        };
        let mut query = Query::text("find it");
        let mut then = |turn| {
            query.turns.push(turn);
            query.in_tool_loop()
        };
        assert!(then(turn(Role::Assistant, 2, 0, "")), "called, nothing came back");
        assert!(then(turn(Role::Tool, 0, 1, "x")));
        assert!(then(turn(Role::User, 0, 1, "")));
        assert!(then(turn(Role::User, 0, 0, "and then?")), "right after a result");
        assert!(
            then(turn(Role::Assistant, 0, 0, "done")),
            "the user's turn still follows it"
        );
        assert!(!then(turn(Role::User, 0, 0, "thanks")));
        assert!(!Query::default().in_tool_loop());
    }

    #[test]
    fn needs_follow_the_content() {
        let mut query = Query::text("look");
        assert!(query.needs().is_empty());
        query.turns[0].images = 1;
        query.tools = 2;
        assert_eq!(query.needs(), Capabilities::TOOLS.and(Capabilities::VISION));
    }
}
