//! `language`: which language the user writes.
//!
//! A rule's name is the language's code: two letters (ISO 639-1: `de`, `zh`), three (ISO 639-3: `deu`, `cmn`), or either with
//! a region behind it, which is ignored (`pt-BR`). It matches when the detector names that language with a confidence of at
//! least the threshold; 0 or absent means 0.3. Confidence and raw: the detector's, 0 for other languages.
//!
//! The detector is the library whatlang (69 languages, by script and trigrams). It takes tens of microseconds on Latin
//! script, since it compares the text with every profile; so a text in one of the most used languages is first recognised
//! by its function words ([`common`]), in about a microsecond, and only where these leave a doubt the library is asked. Both
//! look at the first [`DETECTED_BYTES`] only: a few sentences decide as well as a book.

mod common;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use whatlang::Lang;

use crate::{Problem, Signal, facts::Facts, text::head};

/// How much of the text is looked at.
pub const DETECTED_BYTES: usize = 600;

/// Confidence that suffices where a rule names none.
pub const DEFAULT_THRESHOLD: f64 = 0.3;

/// A language, by the rule's name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LanguageRule {
    /// Lowest confidence of the detector, 0 to 1. Default, also for 0: 0.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
}

pub(crate) struct Language {
    rules: Vec<Option<(Lang, f64)>>,
}

/// Codes of two letters and whatlang's of three.
const CODES: [(&str, &str); 71] = [
    ("af", "afr"),
    ("ak", "aka"),
    ("am", "amh"),
    ("ar", "ara"),
    ("az", "aze"),
    ("be", "bel"),
    ("bg", "bul"),
    ("bn", "ben"),
    ("ca", "cat"),
    ("cs", "ces"),
    ("cy", "cym"),
    ("da", "dan"),
    ("de", "deu"),
    ("el", "ell"),
    ("en", "eng"),
    ("eo", "epo"),
    ("es", "spa"),
    ("et", "est"),
    ("fa", "pes"),
    ("fi", "fin"),
    ("fr", "fra"),
    ("gu", "guj"),
    ("he", "heb"),
    ("hi", "hin"),
    ("hr", "hrv"),
    ("hu", "hun"),
    ("hy", "hye"),
    ("id", "ind"),
    ("it", "ita"),
    ("ja", "jpn"),
    ("jv", "jav"),
    ("ka", "kat"),
    ("km", "khm"),
    ("kn", "kan"),
    ("ko", "kor"),
    ("la", "lat"),
    ("lt", "lit"),
    ("lv", "lav"),
    ("mk", "mkd"),
    ("ml", "mal"),
    ("mr", "mar"),
    ("my", "mya"),
    ("nb", "nob"),
    ("ne", "nep"),
    ("nl", "nld"),
    ("no", "nob"),
    ("or", "ori"),
    ("pa", "pan"),
    ("pl", "pol"),
    ("pt", "por"),
    ("ro", "ron"),
    ("ru", "rus"),
    ("si", "sin"),
    ("sk", "slk"),
    ("sl", "slv"),
    ("sn", "sna"),
    ("sr", "srp"),
    ("sv", "swe"),
    ("ta", "tam"),
    ("te", "tel"),
    ("th", "tha"),
    ("tk", "tuk"),
    ("tl", "tgl"),
    ("tr", "tur"),
    ("uk", "ukr"),
    ("ur", "urd"),
    ("uz", "uzb"),
    ("vi", "vie"),
    ("yi", "yid"),
    ("zh", "cmn"),
    ("zu", "zul"),
];

fn language(name: &str) -> Option<Lang> {
    let code = name.split(['-', '_']).next()?.to_ascii_lowercase();
    let three = CODES
        .iter()
        .find(|(two, _)| *two == code)
        .map_or(code.as_str(), |(_, three)| three);
    Lang::from_code(three)
}

/// The code of three letters that a rule's name stands for.
pub(crate) fn code(name: &str) -> Option<&'static str> {
    language(name).map(|lang| lang.code())
}

/// The language of the text and how sure that is; `None` where nothing can be told (no letters).
pub(crate) fn detect(text: &str) -> Option<(Lang, f64)> {
    let text = head(text, DETECTED_BYTES);
    common::detect(text).or_else(|| whatlang::detect(text).map(|info| (info.lang(), info.confidence())))
}

// === impl Language ===

impl Language {
    pub(crate) fn compile(rules: &BTreeMap<String, LanguageRule>, problems: &mut Vec<Problem>) -> Self {
        let compiled = rules.iter().map(|(name, rule)| {
            let threshold = rule.threshold.unwrap_or(0.0);
            if !(0.0..=1.0).contains(&threshold) {
                problems.push(
                    Problem::error(format!("signals.language.{name}.threshold"), "out of range")
                        .found(threshold.to_string())
                        .allowed("0 to 1"),
                );
            }
            let threshold = if threshold > 0.0 {
                threshold
            } else {
                DEFAULT_THRESHOLD
            };
            let found = language(name);
            if found.is_none() {
                problems.push(
                    Problem::error(
                        format!("signals.language.{name}"),
                        "no code of a language that can be detected",
                    )
                    .found(name)
                    .allowed(CODES.map(|(two, _)| two).join(", ")),
                );
            }
            found.map(|lang| (lang, threshold))
        });
        Self {
            rules: compiled.collect(),
        }
    }

    pub(crate) fn fill(&self, facts: &Facts<'_>, out: &mut [Signal]) {
        let detected = detect(facts.text());
        for (rule, signal) in self.rules.iter().zip(out) {
            let confidence = match (rule, detected) {
                (Some((wanted, _)), Some((found, confidence))) if *wanted == found => confidence,
                _ => 0.0,
            };
            let threshold = rule.map_or(f64::INFINITY, |(_, threshold)| threshold);
            *signal = Signal::new(confidence >= threshold, confidence, confidence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fingerpost_core::Query;

    #[test]
    fn every_code_names_a_language_of_the_library() {
        for (two, three) in CODES {
            assert!(language(two).is_some(), "{two} {three}");
        }
        for lang in Lang::all() {
            assert!(
                CODES.iter().any(|(_, three)| *three == lang.code()),
                "{}",
                lang.code()
            );
        }
    }

    #[test]
    fn rules_match_their_language_only() {
        let rules =
            serde_json::from_str(r#"{"de":{},"en":{"threshold":0},"pt-BR":{},"zh":{"threshold":0.5}}"#)
                .unwrap();
        let mut problems = Vec::new();
        let family = Language::compile(&rules, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        let matched = |text: &str| {
            let query = Query::text(text);
            let mut out = [Signal::UNKNOWN; 4];
            family.fill(&Facts::new(&query, None, None), &mut out);
            out.map(|s| s.matched())
        };
        assert_eq!(
            matched("Wie kann ich meine Rechnung bezahlen und wo finde ich sie?"),
            [true, false, false, false]
        );
        assert_eq!(
            matched("How do I pay the bill, and where can I find it?"),
            [false, true, false, false]
        );
        assert_eq!(
            matched("Você pode me dizer como eu pago a conta?"),
            [false, false, true, false]
        );
        assert_eq!(matched("请告诉我如何支付账单"), [false, false, false, true]);
        assert_eq!(matched(""), [false; 4]);
        assert_eq!(matched("12345 !!"), [false; 4]);
    }

    #[test]
    fn mistakes_are_named() {
        let rules = serde_json::from_str(r#"{"xx":{},"de":{"threshold":2}}"#).unwrap();
        let mut problems = Vec::new();
        Language::compile(&rules, &mut problems);
        let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["signals.language.de.threshold", "signals.language.xx"]);
    }

    #[test]
    fn a_megabyte_costs_no_more_than_its_head() {
        let text = "the quick brown fox jumps over it and runs ".repeat(25_000);
        assert_eq!(detect(&text).map(|(lang, _)| lang), Some(Lang::Eng));
    }
}
