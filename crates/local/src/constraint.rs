//! Constraints as grammars of `llguidance`, made from schemas that a small model can follow to their end ([`narrow`]).

mod narrow;

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, SimpleVob, TokEnv, TokRxInfo, TokTrie, TokenizerEnv};
use llguidance::{Matcher, ParserFactory};
use serde_json::Value;

pub(crate) use self::narrow::schema;
use crate::error::Error;
use crate::landing::Landing;
use crate::tokenizer::Tokenizer;

/// Longest smallest instance, in bytes; a schema that needs more is refused by the demo model.
const SMALLEST: usize = 20_000;

/// Makes grammars over the vocabulary of one model.
pub(crate) struct Grammars {
    factory: ParserFactory,
}

/// A grammar in the middle of a text.
pub(crate) struct Grammar {
    matcher: Matcher,
}

/// The vocabulary as the grammar library wants it.
struct Vocabulary {
    tokenizer: Arc<Tokenizer>,
    trie: TokTrie,
}

// === impl Grammars ===

impl Grammars {
    /// Over the tokens of a model; costs some ten milliseconds.
    pub(crate) fn over(tokenizer: &Arc<Tokenizer>) -> Result<Self, Error> {
        let words: Vec<Vec<u8>> = (0..tokenizer.len() as u32)
            .map(|token| {
                let mut word = Vec::new();
                if tokenizer.is_control(token) {
                    word.push(TokTrie::SPECIAL_TOKEN_MARKER);
                }
                word.extend_from_slice(tokenizer.bytes(token));
                word
            })
            .collect();
        let info = TokRxInfo::new(words.len() as u32, tokenizer.end);
        let trie = TokTrie::from(&info, &words);
        Self::from_env(
            &(Arc::new(Vocabulary {
                tokenizer: tokenizer.clone(),
                trie,
            }) as TokEnv),
        )
    }

    /// Over single bytes: for making the smallest instance of a schema.
    fn over_bytes() -> Result<Self, Error> {
        Self::from_env(&ApproximateTokEnv::single_byte_env())
    }

    fn from_env(env: &TokEnv) -> Result<Self, Error> {
        let mut factory =
            ParserFactory::new_simple(env).map_err(|error| Error::Compute(error.to_string()))?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Self { factory })
    }

    /// The grammar of a schema as made by [`schema`].
    pub(crate) fn start(&self, schema: &Value) -> Result<Grammar, Error> {
        let parser = self
            .factory
            .create_parser(TopLevelGrammar::from_json_schema(schema.clone()));
        let matcher = Matcher::new(parser);
        match matcher.get_error() {
            Some(reason) => Err(Error::Schema { tool: None, reason }),
            None => Ok(Grammar { matcher }),
        }
    }
}

// === impl Grammar ===

impl Grammar {
    /// The tokens that may come next.
    pub(crate) fn allowed(&mut self) -> Result<SimpleVob, Error> {
        self.matcher
            .compute_mask_or_eos()
            .map_err(|error| Error::Compute(error.to_string()))
    }

    /// The tokens that must come next, if there is no choice. They are not consumed yet.
    pub(crate) fn forced(&mut self) -> Vec<u32> {
        self.matcher.compute_ff_tokens()
    }

    /// Goes on by a token.
    pub(crate) fn consume(&mut self, token: u32) -> Result<(), Error> {
        self.matcher
            .consume_token(token)
            .map_err(|error| Error::Compute(error.to_string()))
    }

    /// Whether nothing can follow any more.
    pub(crate) fn is_done(&self) -> bool {
        self.matcher.is_stopped()
    }

    /// Whether the text so far is complete.
    fn is_complete(&mut self) -> bool {
        self.matcher.is_accepting().unwrap_or(false)
    }
}

// === impl Vocabulary ===

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<u32> {
        self.trie
            .tokenize_with_greedy_fallback(bytes, |text| self.tokenizer.encode(text))
    }
}

/// The smallest text that is valid by a schema made by [`schema`], or nearly: the way out is taken at every byte.
pub(crate) fn smallest(schema: &Value) -> Result<String, Error> {
    let mut grammar = Grammars::over_bytes()?.start(schema)?;
    let mut landing = Landing::default();
    let mut text = Vec::new();
    while !(grammar.is_done() || (landing.depth() == 0 && !text.is_empty() && grammar.is_complete())) {
        let allowed = grammar.allowed()?;
        let byte = (0..=u8::MAX)
            .filter(|byte| allowed.is_allowed(u32::from(*byte)))
            .min_by_key(|byte| {
                (
                    landing.rank(&[*byte]),
                    !byte.is_ascii_alphanumeric(),
                    !byte.is_ascii_graphic(),
                    *byte,
                )
            });
        let Some(byte) = byte.filter(|_| text.len() < SMALLEST) else {
            let reason = "it has no small instance".to_owned();
            return Err(Error::Schema { tool: None, reason });
        };
        grammar.consume(u32::from(byte))?;
        landing.feed(&[byte]);
        text.push(byte);
    }
    String::from_utf8(text).map_err(|error| Error::Compute(error.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use serde_json::{Map, json};

    use super::*;
    use crate::sampler::Sampler;
    use crate::text_model::{Constraint, Sampling, Tool, ToolChoice};

    fn smallest_of(constraint: &Constraint) -> String {
        smallest(&schema(constraint).unwrap().unwrap()).unwrap()
    }

    fn of_schema(schema: Value) -> String {
        smallest_of(&Constraint::JsonSchema(schema))
    }

    #[test]
    fn smallest_instances() {
        let object = |properties: Value, required: Value| json!({ "type": "object", "properties": properties, "required": required });
        assert_eq!(
            of_schema(object(json!({"a": {"type": "string"}}), json!([]))),
            "{}"
        );
        assert_eq!(
            of_schema(object(
                json!({"name": {"type": "string"}, "age": {"type": "integer"}, "ok": {"type": "boolean"}}),
                json!(["name", "age", "ok"])
            )),
            r#"{"name": "", "age": 0, "ok": false}"#
        );
        assert_eq!(of_schema(json!({"enum": ["red", "blue"]})), r#""blue""#);
        assert_eq!(
            of_schema(json!({"type": "array", "items": {"type": "integer"}, "minItems": 2})),
            "[0, 0]"
        );
        assert_eq!(of_schema(json!({"type": "string", "minLength": 3})), r#""000""#);
        assert_eq!(
            of_schema(json!({"type": "integer", "minimum": 12, "maximum": 19})),
            "12"
        );
        assert_eq!(
            of_schema(json!({"type": "string", "pattern": "^[A-Z]{2}-\\d+$"})),
            r#""AA-0""#
        );
        assert_eq!(
            of_schema(json!({"const": {"x": [1, null]}})),
            r#"{"x": [1, null]}"#
        );
        assert_eq!(smallest_of(&Constraint::JsonObject), "{}");
    }

    #[test]
    fn calls_name_the_tool_and_keep_its_own_references() {
        let tool = Tool {
            name: "book".to_owned(),
            description: None,
            parameters: json!({
                "type": "object",
                "properties": { "seat": { "$ref": "#/$defs/Seat" } },
                "required": ["seat"],
                "$defs": { "Seat": { "type": "object", "properties": { "row": { "type": "integer" } }, "required": ["row"] } },
            }),
        };
        let bare = Tool {
            name: "stop".to_owned(),
            description: None,
            parameters: Value::Null,
        };
        let tools = vec![bare, tool];
        let call = |choice| {
            smallest_of(&Constraint::ToolCall {
                tools: tools.clone(),
                choice,
            })
        };
        assert_eq!(
            call(ToolChoice::Named("book".to_owned())),
            r#"{"name": "book", "arguments": {"seat": {"row": 0}}}"#
        );
        assert_eq!(
            call(ToolChoice::Named("stop".to_owned())),
            r#"{"name": "stop", "arguments": {}}"#
        );
        assert_eq!(
            call(ToolChoice::Required),
            r#"{"name": "book", "arguments": {"seat": {"row": 0}}}"#
        );
    }

    #[test]
    fn what_cannot_be_followed_is_said() {
        let error = |constraint: &Constraint| match schema(constraint) {
            Ok(Some(schema)) => smallest(&schema).unwrap_err().to_string(),
            Ok(None) => panic!("free text"),
            Err(error) => error.to_string(),
        };
        assert!(error(&Constraint::JsonSchema(json!("text"))).contains("not an object"));
        let unknown = error(&Constraint::JsonSchema(
            json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}}),
        ));
        assert!(unknown.contains("uniqueItems"), "{unknown}");
        let none = Constraint::ToolCall {
            tools: Vec::new(),
            choice: ToolChoice::Required,
        };
        assert!(error(&none).contains("no tools"));
        let tools = vec![Tool {
            name: "a".to_owned(),
            description: None,
            parameters: Value::Null,
        }];
        let other = Constraint::ToolCall {
            tools,
            choice: ToolChoice::Named("b".to_owned()),
        };
        assert!(error(&other).contains("no tool `b`"));
    }

    /// Small schemas of every supported shape.
    fn schemas() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!({ "type": "string" })),
            Just(json!({ "type": "integer" })),
            Just(json!({ "type": "number", "minimum": -1.5, "maximum": 99 })),
            Just(json!({ "type": "boolean" })),
            Just(json!({ "enum": ["a", "b\"c", 3, null] })),
            Just(json!({ "const": { "k": [1, true] } })),
            Just(json!({})),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            let members = proptest::collection::vec((inner.clone(), any::<bool>()), 0..3);
            prop_oneof![
                (inner.clone(), 0..2u32).prop_map(|(items, least)| {
                    json!({ "type": "array", "items": items, "minItems": least, "maxItems": 3 })
                }),
                members.prop_map(|members| {
                    let name = |i: usize| format!("p{i}");
                    let required: Vec<_> = members
                        .iter()
                        .enumerate()
                        .filter(|(_, (_, need))| *need)
                        .map(|(i, _)| name(i))
                        .collect();
                    let properties: Map<String, Value> = members
                        .into_iter()
                        .enumerate()
                        .map(|(i, (schema, _))| (name(i), schema))
                        .collect();
                    json!({ "type": "object", "properties": properties, "required": required })
                }),
                proptest::collection::vec(inner, 1..3).prop_map(|kinds| json!({ "anyOf": kinds })),
            ]
        })
    }

    /// Whether a value is valid, for the keywords that [`schemas`] uses.
    fn valid(schema: &Value, value: &Value) -> bool {
        if let Some(constant) = schema.get("const") {
            return value == constant;
        }
        if let Some(listed) = schema.get("enum").and_then(Value::as_array) {
            return listed.contains(value);
        }
        if let Some(kinds) = schema.get("anyOf").and_then(Value::as_array) {
            return kinds.iter().any(|kind| valid(kind, value));
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("string") => value.is_string(),
            Some("integer") => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            Some("number") => value
                .as_f64()
                .is_some_and(|number| (-1.5..=99.0).contains(&number)),
            Some("boolean") => value.is_boolean(),
            Some("array") => value.as_array().is_some_and(|items| {
                (schema["minItems"].as_u64().unwrap_or(0)..=3).contains(&(items.len() as u64))
                    && items.iter().all(|item| valid(&schema["items"], item))
            }),
            Some(_) => value.as_object().is_some_and(|fields| {
                let required = schema["required"].as_array().unwrap();
                required
                    .iter()
                    .all(|name| fields.contains_key(name.as_str().unwrap()))
                    && fields.iter().all(|(name, field)| {
                        schema["properties"]
                            .get(name)
                            .is_some_and(|schema| valid(schema, field))
                    })
            }),
            None => true,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn whatever_is_written_to_the_end_is_valid(given in schemas(), seed in any::<u64>()) {
            let narrowed = schema(&Constraint::JsonSchema(given.clone())).unwrap().unwrap();
            let mut grammar = Grammars::over_bytes().unwrap().start(&narrowed).unwrap();
            let mut choice = Sampler::new(&Sampling { seed: Some(seed), ..Sampling::default() });
            let mut landing = Landing::default();
            let mut text = Vec::new();
            let even = [0.0; 256];
            while !grammar.is_done() {
                prop_assert!(text.len() < 3_000, "no end: {}", String::from_utf8_lossy(&text));
                let allowed = grammar.allowed().unwrap();
                let bytes = (0..=u8::MAX).filter(|byte| allowed.is_allowed(u32::from(*byte)));
                let best = bytes.map(|byte| landing.rank(&[byte])).min();
                let steer = text.len() > 100 || landing.endless_number();
                let byte = choice.choose(&even, |byte| {
                    allowed.is_allowed(byte) && (!steer || Some(landing.rank(&[byte as u8])) == best)
                });
                // Nothing but the end mark is left, or the text is complete and long enough.
                let Some(byte) = byte.filter(|_| !(steer && landing.depth() == 0 && grammar.is_complete())) else { break };
                grammar.consume(byte).unwrap();
                landing.feed(&[byte as u8]);
                text.push(byte as u8);
            }
            let value: Value = serde_json::from_slice(&text).unwrap();
            prop_assert!(valid(&given, &value), "{} by {}", value, given);
        }
    }
}
