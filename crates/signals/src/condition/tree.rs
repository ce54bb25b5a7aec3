//! The nested form of a condition, for YAML and JSON: a line of text, or a map with `all`, `any`, `not`, or a leaf's keys.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Error as _, MapAccess, SeqAccess},
};

use super::{Comparison, Condition, Kind, Leaf, OnError, Test};
use crate::{Number, problem::nearest};

const KEYS: [&str; 11] = [
    "all", "any", "not", "type", "name", "label", "gt", "gte", "lt", "lte", "on_error",
];

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Condition;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a condition: one line such as `domain:math and not keyword:urgent`, or a map with `all`, `any`, `not` \
             or `type`",
        )
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Condition, E> {
        text.parse().map_err(E::custom)
    }

    /// A bare list would leave open whether all or any is meant.
    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Condition, A::Error> {
        Err(A::Error::custom(
            "a list alone is no condition; write `all: [...]` or `any: [...]`",
        ))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Condition, E> {
        Ok(Condition::ALWAYS)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Condition, A::Error> {
        let mut tree: Option<Condition> = None;
        let mut kind: Option<Kind> = None;
        let (mut name, mut label): (Option<String>, Option<String>) = (None, None);
        let mut tests: Vec<Test> = Vec::new();
        let mut on_error = None;
        let mut keys = 0_usize;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            keys += 1;
            let mut test = |comparison, bound| tests.push(Test { comparison, bound });
            match &*key {
                "all" => tree = Some(Condition::all(map.next_value()?)),
                "any" => tree = Some(Condition::any(map.next_value()?)),
                "not" => tree = Some(Condition::negate(map.next_value()?)),
                "type" => {
                    let text: Cow<'de, str> = map.next_value()?;
                    let known = Kind::from_name(&text);
                    kind = Some(known.ok_or_else(|| unknown("signal family", &text, Kind::names()))?);
                }
                "name" => name = Some(map.next_value()?),
                "label" => label = Some(map.next_value()?),
                "gt" => test(Comparison::Gt, map.next_value::<Number>()?),
                "gte" => test(Comparison::Gte, map.next_value()?),
                "lt" => test(Comparison::Lt, map.next_value()?),
                "lte" => test(Comparison::Lte, map.next_value()?),
                "on_error" => {
                    let text: Cow<'de, str> = map.next_value()?;
                    on_error = Some(match &*text {
                        "match" => OnError::Match,
                        "no_match" => OnError::NoMatch,
                        other => return Err(unknown("choice", other, ["match", "no_match"].into_iter())),
                    });
                }
                other => return Err(unknown("key", other, KEYS.into_iter())),
            }
        }
        match (tree, kind) {
            (None, None) if keys == 0 => Ok(Condition::ALWAYS),
            (Some(tree), None) if keys == 1 => Ok(tree),
            (Some(_), _) => Err(A::Error::custom(
                "`all`, `any` and `not` stand alone in their map; put further conditions into the list",
            )),
            (None, None) => Err(A::Error::missing_field("type")),
            (None, Some(kind)) => {
                if name.is_none() && tests.is_empty() {
                    return Err(A::Error::missing_field("name"));
                }
                let leaf = |test| {
                    Condition::Leaf(Leaf {
                        kind,
                        name: name.clone(),
                        label: label.clone(),
                        test,
                        on_error: on_error.unwrap_or_default(),
                    })
                };
                // Several bounds are several leaves: each holds with confidence 1, and so does their mean.
                Ok(if tests.is_empty() {
                    leaf(None)
                } else {
                    Condition::all(tests.iter().map(|t| leaf(Some(*t))).collect())
                })
            }
        }
    }
}

fn unknown<E: de::Error>(what: &str, found: &str, allowed: impl Iterator<Item = &'static str> + Clone) -> E {
    let names: Vec<&str> = allowed.clone().collect();
    let near = nearest(found, allowed).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    E::custom(format!(
        "unknown {what} `{found}`{near} (allowed: {})",
        names.join(", ")
    ))
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Visitor)
    }
}

/// Written as one line.
impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl JsonSchema for Condition {
    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let this = generator.subschema_for::<Self>();
        let number = generator.subschema_for::<Number>();
        let kinds: Vec<&str> = Kind::names().collect();
        json_schema!({
            "description": "When a decision holds: one line, or nested `all` / `any` / `not`.",
            "anyOf": [
                {
                    "type": "string",
                    "examples": ["domain:math and not keyword:urgent and (context > 32K or complexity:reasoning:hard)"]
                },
                {
                    "type": "object",
                    "properties": { "all": { "type": "array", "items": this } },
                    "required": ["all"], "additionalProperties": false
                },
                {
                    "type": "object",
                    "properties": { "any": { "type": "array", "items": this } },
                    "required": ["any"], "additionalProperties": false
                },
                {
                    "type": "object",
                    "properties": { "not": this },
                    "required": ["not"], "additionalProperties": false
                },
                {
                    "type": "object",
                    "properties": {
                        "type": { "enum": kinds },
                        "name": { "type": "string" },
                        "label": { "type": "string" },
                        "gt": number, "gte": number, "lt": number, "lte": number,
                        "on_error": { "enum": ["match", "no_match"] }
                    },
                    "required": ["type"], "additionalProperties": false
                },
                { "type": "object", "maxProperties": 0 }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Condition, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn both_forms_give_one_tree() {
        let nested = read(
            r#"{"all":["domain:math",{"not":"keyword:urgent"},
                {"any":[{"type":"context","gt":"32K"},{"type":"complexity","name":"reasoning","label":"hard"}]}]}"#,
        );
        let line = "domain:math and not keyword:urgent and (context > 32K or complexity:reasoning:hard)";
        assert_eq!(nested, Ok(line.parse().unwrap()));
    }

    #[test]
    fn several_bounds_are_several_leaves() {
        let range = read(r#"{"type":"context","gte":1000,"lt":"32K"}"#).unwrap();
        assert_eq!(range.to_string(), "context >= 1K and context < 32K");
    }

    #[test]
    fn empty_is_the_fallback() {
        assert_eq!(read("{}"), Ok(Condition::ALWAYS));
        assert_eq!(read("null"), Ok(Condition::ALWAYS));
        assert_eq!(read(r#"{"all":[]}"#), Ok(Condition::ALWAYS));
        assert_eq!(read(r#"{"all":["domain:a"]}"#), Ok("domain:a".parse().unwrap()));
    }

    #[test]
    fn mistakes_are_named() {
        let error = |json: &str| read(json).unwrap_err();
        assert!(error(r#"{"al":[]}"#).contains("unknown key `al`; did you mean `all`?"));
        assert!(error(r#"{"type":"domian","name":"x"}"#).contains("did you mean `domain`?"));
        assert!(error(r#"{"all":[],"any":[]}"#).contains("stand alone"));
        assert!(error(r#"["domain:a"]"#).contains("a list alone"));
        assert!(error(r#"{"type":"domain"}"#).contains("missing field `name`"));
        assert!(error(r#""domain:a and""#).contains("line 1, column 13"));
        assert!(error(r#"{"type":"domain","name":"a","on_error":"x"}"#).contains("unknown choice `x`"));
    }
}
