//! `conversation`: how the conversation is built. Counts messages, tool definitions, tool calls, images, or tells whether
//! the model is in the middle of a tool loop.
//!
//! A turn of role user that carries tool results and no text (as one of the wire formats writes them) counts as a tool
//! message, not as a user's. Raw: the count.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use fingerpost_core::{Query, Role, Turn};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Error as _, MapAccess},
};

use super::structure::{Feature, Predicate};
use crate::{Problem, Signal, facts::Facts, problem::nearest};

/// A number read off the conversation, and what it must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConversationRule {
    /// What to count.
    pub feature: ConversationFeature,
    /// What the number must be. Default: more than 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<Predicate>,
}

/// What to count, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConversationFeature {
    /// `count`, or `exists` (1 where the count is above 0, else 0).
    #[serde(rename = "type")]
    pub kind: Feature,
    /// What is counted.
    pub source: ConversationSource,
}

/// What is counted. Written as its name, or as a map `{ type: message, role: user }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConversationSource {
    /// Messages of a role.
    Message(MessageRole),
    /// Tool definitions of the request.
    ToolDefinition,
    /// Tool calls that the model made.
    AssistantToolCall,
    /// Assistant messages with tool calls that are followed directly by a tool result.
    AssistantToolCycle,
    /// 1 in the middle of a tool loop: the last message is a tool result, or the last user turn directly follows a tool
    /// result, or more calls were made than results came back.
    ActiveToolLoop,
    /// Images.
    ImageContent,
}

/// Whose messages are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MessageRole {
    /// The user's.
    User,
    /// The model's.
    Assistant,
    /// System messages.
    System,
    /// Developer messages.
    Developer,
    /// Tool results.
    Tool,
    /// All but the user's.
    NonUser,
    /// All.
    #[default]
    Any,
}

pub(crate) struct Conversation {
    rules: Vec<(ConversationSource, Feature, Predicate)>,
}

const SOURCES: [&str; 6] = [
    "message",
    "tool_definition",
    "assistant_tool_call",
    "assistant_tool_cycle",
    "active_tool_loop",
    "image_content",
];

const ROLES: [(&str, MessageRole); 7] = [
    ("user", MessageRole::User),
    ("assistant", MessageRole::Assistant),
    ("system", MessageRole::System),
    ("developer", MessageRole::Developer),
    ("tool", MessageRole::Tool),
    ("non_user", MessageRole::NonUser),
    ("any", MessageRole::Any),
];

/// Whose message it is, for counting.
fn role_of(turn: &Turn<'_>) -> Role {
    if turn.is_bare_result() {
        Role::Tool
    } else {
        turn.role
    }
}

// === impl ConversationSource ===

impl ConversationSource {
    fn count(self, query: &Query<'_>) -> u64 {
        let turns = &query.turns;
        match self {
            Self::Message(role) => turns.iter().filter(|t| role.includes(role_of(t))).count() as u64,
            Self::ToolDefinition => u64::from(query.tools),
            Self::AssistantToolCall => turns
                .iter()
                .filter(|t| t.role == Role::Assistant)
                .map(|t| u64::from(t.tool_calls))
                .sum(),
            Self::AssistantToolCycle => turns
                .windows(2)
                .filter(|w| w[0].role == Role::Assistant && w[0].tool_calls > 0 && w[1].brings_results())
                .count() as u64,
            Self::ActiveToolLoop => u64::from(query.in_tool_loop()),
            Self::ImageContent => turns.iter().map(|t| u64::from(t.images)).sum(),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Message(_) => "message",
            Self::ToolDefinition => "tool_definition",
            Self::AssistantToolCall => "assistant_tool_call",
            Self::AssistantToolCycle => "assistant_tool_cycle",
            Self::ActiveToolLoop => "active_tool_loop",
            Self::ImageContent => "image_content",
        }
    }

    fn from_names<E: de::Error>(kind: &str, role: Option<&str>) -> Result<Self, E> {
        let source = match kind {
            "message" => {
                let name = role.unwrap_or("any");
                let found = ROLES.iter().find(|(n, _)| *n == name);
                let (_, role) = found.ok_or_else(|| unknown("role", name, ROLES.iter().map(|(n, _)| *n)))?;
                return Ok(Self::Message(*role));
            }
            "tool_definition" => Self::ToolDefinition,
            "assistant_tool_call" => Self::AssistantToolCall,
            "assistant_tool_cycle" => Self::AssistantToolCycle,
            "active_tool_loop" => Self::ActiveToolLoop,
            "image_content" => Self::ImageContent,
            other => return Err(unknown("source", other, SOURCES.into_iter())),
        };
        if role.is_some() {
            return Err(E::custom(format!(
                "`role` goes with the source `message` only, found `{kind}`"
            )));
        }
        Ok(source)
    }
}

fn unknown<E: de::Error>(what: &str, found: &str, names: impl Iterator<Item = &'static str> + Clone) -> E {
    let near = nearest(found, names.clone()).map_or(String::new(), |n| format!("; did you mean `{n}`?"));
    let allowed: Vec<&str> = names.collect();
    E::custom(format!(
        "unknown {what} `{found}`{near} (allowed: {})",
        allowed.join(", ")
    ))
}

impl<'de> Deserialize<'de> for ConversationSource {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = ConversationSource;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(
                    f,
                    "one of {}, or a map `{{ type: message, role: user }}`",
                    SOURCES.join(", ")
                )
            }
            fn visit_str<E: de::Error>(self, kind: &str) -> Result<ConversationSource, E> {
                ConversationSource::from_names(kind, None)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ConversationSource, A::Error> {
                let (mut kind, mut role) = (None, None);
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    let value: String = map.next_value()?;
                    match &*key {
                        "type" => kind = Some(value),
                        "role" => role = Some(value),
                        other => return Err(unknown("key", other, ["type", "role"].into_iter())),
                    }
                }
                let kind = kind.ok_or_else(|| A::Error::missing_field("type"))?;
                ConversationSource::from_names(&kind, role.as_deref())
            }
        }
        from.deserialize_any(Visitor)
    }
}

impl Serialize for ConversationSource {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let Self::Message(role) = self else {
            return to.serialize_str(self.as_str());
        };
        let name = ROLES.iter().find(|(_, r)| r == role).map_or("any", |(n, _)| n);
        let mut map = to.serialize_map(Some(2))?;
        map.serialize_entry("type", "message")?;
        map.serialize_entry("role", name)?;
        map.end()
    }
}

impl JsonSchema for ConversationSource {
    fn schema_name() -> Cow<'static, str> {
        "ConversationSource".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What is counted.",
            "anyOf": [
                { "enum": SOURCES },
                {
                    "type": "object",
                    "properties": { "type": { "enum": SOURCES }, "role": { "enum": ROLES.map(|(n, _)| n) } },
                    "required": ["type"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

// === impl MessageRole ===

impl MessageRole {
    fn includes(self, role: Role) -> bool {
        match self {
            Self::User => role == Role::User,
            Self::Assistant => role == Role::Assistant,
            Self::System => role == Role::System,
            Self::Developer => role == Role::Developer,
            Self::Tool => role == Role::Tool,
            Self::NonUser => role != Role::User,
            Self::Any => true,
        }
    }
}

// === impl Conversation ===

impl Conversation {
    pub(crate) fn compile(rules: &BTreeMap<String, ConversationRule>, problems: &mut Vec<Problem>) -> Self {
        for (name, rule) in rules {
            let path = format!("signals.conversation.{name}");
            if !matches!(rule.feature.kind, Feature::Count | Feature::Exists) {
                problems.push(
                    Problem::error(
                        format!("{path}.feature.type"),
                        "a conversation cannot be read this way",
                    )
                    .found(rule.feature.kind.as_str())
                    .allowed("count, exists"),
                );
            }
            if let Some(predicate) = &rule.predicate {
                predicate.check(&format!("{path}.predicate"), problems);
            }
        }
        let compiled = |r: &ConversationRule| {
            (
                r.feature.source,
                r.feature.kind,
                r.predicate.clone().unwrap_or_else(Predicate::above_zero),
            )
        };
        Self {
            rules: rules.values().map(compiled).collect(),
        }
    }

    pub(crate) fn fill(&self, facts: &Facts<'_>, out: &mut [Signal]) {
        for ((source, feature, predicate), signal) in self.rules.iter().zip(out) {
            let count = source.count(facts.query) as f64;
            let value = if *feature == Feature::Exists {
                f64::from(u8::from(count > 0.0))
            } else {
                count
            };
            *signal = Signal::certain(predicate.holds(value), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(role: Role, text: &'static str, tool_calls: u32, tool_results: u32) -> Turn<'static> {
        Turn {
            role,
            texts: if text.is_empty() {
                Vec::new()
            } else {
                vec![text.into()]
            },
            tool_calls,
            tool_results,
            ..Turn::default()
        }
    }

    fn conversation(turns: Vec<Turn<'static>>) -> Query<'static> {
        Query {
            turns,
            ..Query::default()
        }
    }

    #[test]
    fn an_active_tool_loop_has_three_signs() {
        let ask = || turn(Role::User, "find it", 0, 0);
        let call = || turn(Role::Assistant, "", 1, 0);
        let result = || turn(Role::Tool, "found", 0, 1);
        let told = || turn(Role::Assistant, "here it is", 0, 0);
        let active = |turns| conversation(turns).in_tool_loop();

        assert!(!active(vec![]));
        assert!(!active(vec![ask()]));
        assert!(
            active(vec![ask(), call(), result()]),
            "the last message is a result"
        );
        assert!(
            active(vec![ask(), call(), result(), ask()]),
            "a user turn right behind a result"
        );
        assert!(active(vec![ask(), call()]), "a call without its result");
        assert!(
            !active(vec![ask(), call(), result(), told(), ask()]),
            "the loop is closed"
        );
        assert!(
            active(vec![ask(), call(), call(), result(), told(), ask()]),
            "two calls, one result"
        );
        let uncounted = turn(Role::Tool, "found", 0, 0);
        assert!(!active(vec![ask(), call(), uncounted, told(), ask()]));
        let in_user_turn = turn(Role::User, "", 0, 1);
        assert!(active(vec![ask(), call(), in_user_turn]));
    }

    #[test]
    fn counts_of_every_source() {
        let mut query = conversation(vec![
            turn(Role::System, "be brief", 0, 0),
            turn(Role::User, "find it", 0, 0),
            turn(Role::Assistant, "", 2, 0),
            turn(Role::User, "", 0, 2),
            turn(Role::Assistant, "done", 0, 0),
            turn(Role::Developer, "x", 0, 0),
        ]);
        query.tools = 5;
        query.turns[1].images = 3;
        let count = |json: &str| {
            serde_json::from_str::<ConversationSource>(json)
                .unwrap()
                .count(&query)
        };
        assert_eq!(count(r#"{"type":"message","role":"user"}"#), 1);
        assert_eq!(count(r#"{"type":"message","role":"tool"}"#), 1);
        assert_eq!(count(r#"{"type":"message","role":"assistant"}"#), 2);
        assert_eq!(count(r#"{"type":"message","role":"system"}"#), 1);
        assert_eq!(count(r#"{"type":"message","role":"developer"}"#), 1);
        assert_eq!(count(r#"{"type":"message","role":"non_user"}"#), 5);
        assert_eq!(count(r#""message""#), 6);
        assert_eq!(count(r#""tool_definition""#), 5);
        assert_eq!(count(r#""assistant_tool_call""#), 2);
        assert_eq!(count(r#""assistant_tool_cycle""#), 1);
        assert_eq!(count(r#""active_tool_loop""#), 0);
        assert_eq!(count(r#""image_content""#), 3);
    }

    #[test]
    fn predicates_and_their_default() {
        let rules = serde_json::from_str(
            r#"{"few":{"feature":{"type":"count","source":"message"},"predicate":{"lte":1}},
                "loop":{"feature":{"type":"exists","source":"active_tool_loop"}}}"#,
        )
        .unwrap();
        let mut problems = Vec::new();
        let family = Conversation::compile(&rules, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        let query = Query::text("hello");
        let mut out = [Signal::UNKNOWN; 2];
        family.fill(&Facts::new(&query, None, None), &mut out);
        assert_eq!(out, [Signal::certain(true, 1.0), Signal::certain(false, 0.0)]);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |json: &str| {
            serde_json::from_str::<ConversationSource>(json)
                .unwrap_err()
                .to_string()
        };
        assert!(error(r#""active_tool_lop""#).contains("did you mean `active_tool_loop`?"));
        assert!(error(r#"{"type":"message","role":"usr"}"#).contains("did you mean `user`?"));
        assert!(error(r#"{"type":"image_content","role":"user"}"#).contains("`message` only"));
        let rules =
            serde_json::from_str(r#"{"x":{"feature":{"type":"density","source":"message"}}}"#).unwrap();
        let mut problems = Vec::new();
        Conversation::compile(&rules, &mut problems);
        assert_eq!(problems[0].path, "signals.conversation.x.feature.type");
    }
}
