//! How a decision chooses among its models: `select: latency_aware`, or with settings `select: { algorithm: weighted, … }`.

use std::{borrow::Cow, fmt};

use fingerpost_models::Algorithm;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{
        MapAccess, Visitor,
        value::{MapAccessDeserializer, MapDeserializer},
    },
};

/// An algorithm of the model level with its settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Select(pub Algorithm);

impl<'de> Deserialize<'de> for Select {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Algorithm;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(
                    f,
                    "an algorithm ({}), alone or as `{{ algorithm: NAME, … }}`",
                    Algorithm::ALGORITHMS.join(", ")
                )
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Algorithm, E> {
                Algorithm::deserialize(MapDeserializer::new(std::iter::once(("algorithm", name))))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Algorithm, A::Error> {
                Algorithm::deserialize(MapAccessDeserializer::new(map))
            }
        }
        from.deserialize_any(Either).map(Self)
    }
}

impl JsonSchema for Select {
    fn schema_name() -> Cow<'static, str> {
        "Select".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let settings = generator.subschema_for::<Algorithm>();
        json_schema!({"anyOf": [{"type": "string", "enum": Algorithm::ALGORITHMS}, settings]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_or_with_settings() {
        let read = |yaml: &str| {
            serde_saphyr::from_str::<Select>(yaml)
                .map(|s| s.0)
                .map_err(|e| e.to_string())
        };
        assert!(matches!(read("latency_aware"), Ok(Algorithm::LatencyAware(_))));
        assert!(matches!(
            read("{ algorithm: weighted, weights: { a: 2 } }"),
            Ok(Algorithm::Weighted(_))
        ));
        assert!(read("latency_awre").unwrap_err().contains("latency_awre"));
        assert!(read("3").is_err());
    }
}
