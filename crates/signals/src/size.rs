//! Numbers as people write them in a configuration: `32K`, `1M`, `0.5`.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// A finite number; may be written with a suffix: K is 1,000, M is 1,000,000, G is 1,000,000,000 (upper or lower case).
/// Serialises as a plain number.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Number(f64);

/// A text that is no number.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no number; allowed: a finite number, also with K, M or G behind it, like 32K")]
pub struct NumberError(String);

// === impl Number ===

impl Number {
    /// The bare number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Takes a finite number.
    ///
    /// # Errors
    /// [`NumberError`] for infinities and NaN.
    pub fn new(value: f64) -> Result<Self, NumberError> {
        if value.is_finite() {
            Ok(Self(value))
        } else {
            Err(NumberError(value.to_string()))
        }
    }
}

impl FromStr for Number {
    type Err = NumberError;
    fn from_str(text: &str) -> Result<Self, NumberError> {
        let error = || NumberError(text.chars().take(40).collect());
        let trimmed = text.trim();
        let (digits, factor) = match trimmed.as_bytes().last() {
            Some(b'k' | b'K') => (&trimmed[..trimmed.len() - 1], 1e3),
            Some(b'm' | b'M') => (&trimmed[..trimmed.len() - 1], 1e6),
            Some(b'g' | b'G') => (&trimmed[..trimmed.len() - 1], 1e9),
            _ => (trimmed, 1.0),
        };
        // `inf`, `nan` and `infinity` parse as f64 but are not meant here.
        if digits
            .bytes()
            .any(|b| b.is_ascii_alphabetic() && !matches!(b, b'e' | b'E'))
        {
            return Err(error());
        }
        let value: f64 = digits.trim_end().parse().map_err(|_| error())?;
        Self::new(value * factor).map_err(|_| error())
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        for (factor, suffix) in [(1e6, "M"), (1e3, "K")] {
            let short = value / factor;
            // Only where reading it back gives the very same number.
            if short.abs() >= 1.0 && short.fract() == 0.0 && short * factor == value && short.abs() < 1e6 {
                return write!(f, "{short}{suffix}");
            }
        }
        if value != 0.0 && !(1e-6..1e15).contains(&value.abs()) {
            write!(f, "{value:e}")
        } else {
            write!(f, "{value}")
        }
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, also with K, M or G behind it, like 32K")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Number, E> {
                Number::new(value).map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }
        }
        from.deserialize_any(Visitor)
    }
}

impl JsonSchema for Number {
    fn schema_name() -> Cow<'static, str> {
        "Number".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number, also with K (1,000), M (1,000,000) or G behind it, like 32K.",
            "anyOf": [
                { "type": "number" },
                { "type": "string", "pattern": "^\\s*[-+]?[0-9.]+([eE][-+]?[0-9]+)?\\s*[kKmMgG]?\\s*$" }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_multiply() {
        let read = |t: &str| t.parse::<Number>().map(Number::get);
        assert_eq!(read("32K"), Ok(32_000.0));
        assert_eq!(read("1.5m"), Ok(1_500_000.0));
        assert_eq!(read("-0.25"), Ok(-0.25));
        assert_eq!(read("1e3"), Ok(1000.0));
        for bad in ["", "K", "nan", "inf", "1KK", "32 thousand", "1e999"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_printed_reads_back_the_same() {
        for value in [
            0.0, 32e3, 1e6, 1.5e6, 0.1, -2e3, 1e-9, 1e300, 1234.5, 1e21, 999_999e6,
        ] {
            let number = Number::new(value).unwrap();
            assert_eq!(number.to_string().parse::<Number>().unwrap(), number);
        }
        assert_eq!(Number::new(32e3).unwrap().to_string(), "32K");
    }

    #[test]
    fn serde_takes_both_forms() {
        let numbers: Vec<Number> = serde_json::from_str(r#"[3, -1, 0.5, "32K"]"#).unwrap();
        assert_eq!(
            numbers.iter().map(|n| n.get()).collect::<Vec<_>>(),
            [3.0, -1.0, 0.5, 32e3]
        );
        assert!(serde_json::from_str::<Number>(r#""many""#).is_err());
    }
}
