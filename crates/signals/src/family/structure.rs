//! `structure`: how the user's text is built. A feature of a source gives a number, a predicate says what it must be.
//!
//! | feature | over regex or keyword set | over text bytes | over sequences |
//! | --- | --- | --- | --- |
//! | `exists` | 1 where anything is found | 1 where there is text | 1 where one is in order |
//! | `count` | places found | bytes | how many are in order |
//! | `density` | places per text unit | bytes per unit | sequences per unit |
//! | `sequence` | - | - | 1 where one is in order |
//!
//! A text unit is one CJK character or one run of other letters or digits; a text without units has density 0. A sequence is
//! a list of markers that must follow each other ("first" ... "then"). Looks at the first [`SCANNED_BYTES`] of the text and
//! stops counting at [`MAX_COUNT`], so that no pattern makes a long text expensive. Raw: the number.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Number, Problem, Signal,
    facts::Facts,
    phrases::{PhraseSet, PhraseSetBuilder},
    text::{head, units},
};

/// How much of the text is looked at.
pub const SCANNED_BYTES: usize = 128 * 1024;
/// Where counting stops.
pub const MAX_COUNT: usize = 1000;
/// Most memory that one compiled regular expression may take, in bytes.
pub(crate) const REGEX_SIZE: usize = 1 << 20;

/// A number read off the text, and what it must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StructureRule {
    /// What is read.
    pub feature: StructureFeature,
    /// What the number must be. Default: more than 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<Predicate>,
}

/// What is read, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StructureFeature {
    /// How to make a number of it.
    #[serde(rename = "type")]
    pub kind: Feature,
    /// What is looked for.
    pub source: StructureSource,
}

/// How a number is made of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Feature {
    /// 1 where there is any, else 0.
    Exists,
    /// How many.
    Count,
    /// How many per text unit.
    Density,
    /// 1 where the markers stand in order.
    Sequence,
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StructureSource {
    /// Which kind.
    #[serde(rename = "type")]
    pub kind: SourceKind,
    /// The regular expression, for `regex`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The words or phrases, for `keyword_set`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// The lists of markers, for `sequence`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sequences: Vec<Vec<String>>,
    /// Whether case counts. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub case_sensitive: bool,
}

/// The kinds of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// Matches of a regular expression.
    Regex,
    /// Whole words or phrases.
    KeywordSet,
    /// Markers in order.
    Sequence,
    /// The length of the text in bytes.
    TextBytes,
}

/// What a number must be: all bounds that are given hold. NaN meets none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Predicate {
    /// Greater than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gt: Option<Number>,
    /// At least this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gte: Option<Number>,
    /// Less than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lt: Option<Number>,
    /// At most this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lte: Option<Number>,
}

enum Source {
    Regex(Regex),
    Keywords(PhraseSet),
    Sequences { markers: PhraseSet, lengths: Vec<u32> },
    TextBytes,
}

pub(crate) struct Structure {
    rules: Vec<Option<(Feature, Source, Predicate)>>,
}

// === impl Feature ===

impl Feature {
    /// As written in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::Count => "count",
            Self::Density => "density",
            Self::Sequence => "sequence",
        }
    }
}

// === impl Predicate ===

impl Predicate {
    /// More than 0.
    pub fn above_zero() -> Self {
        Self {
            gt: Some(Number::default()),
            ..Self::default()
        }
    }

    /// Whether `value` meets all bounds; NaN never does.
    pub fn holds(&self, value: f64) -> bool {
        !value.is_nan()
            && self.gt.is_none_or(|b| value > b.get())
            && self.gte.is_none_or(|b| value >= b.get())
            && self.lt.is_none_or(|b| value < b.get())
            && self.lte.is_none_or(|b| value <= b.get())
    }

    /// The bounds that are given.
    pub(crate) fn bounds(&self) -> impl Iterator<Item = f64> {
        [self.gt, self.gte, self.lt, self.lte]
            .into_iter()
            .flatten()
            .map(Number::get)
    }

    pub(crate) fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        if self.bounds().next().is_none() {
            problems.push(Problem::error(path, "a predicate needs a bound").allowed("gt, gte, lt, lte"));
        }
    }
}

// === impl Structure ===

impl Structure {
    pub(crate) fn compile(rules: &BTreeMap<String, StructureRule>, problems: &mut Vec<Problem>) -> Self {
        let compiled = rules.iter().map(|(name, rule)| {
            let path = format!("signals.structure.{name}");
            let predicate = rule.predicate.clone().unwrap_or_else(Predicate::above_zero);
            predicate.check(&format!("{path}.predicate"), problems);
            let is_sequence = rule.feature.source.kind == SourceKind::Sequence;
            if rule.feature.kind == Feature::Sequence && !is_sequence {
                problems.push(
                    Problem::error(
                        format!("{path}.feature.source.type"),
                        "the feature `sequence` reads markers",
                    )
                    .allowed("sequence"),
                );
            }
            let source = compile_source(&rule.feature.source, &format!("{path}.feature.source"), problems);
            source.map(|source| (rule.feature.kind, source, predicate))
        });
        Self {
            rules: compiled.collect(),
        }
    }

    pub(crate) fn one(&self, rule: usize, facts: &Facts<'_>) -> Signal {
        let Some(Some((feature, source, predicate))) = self.rules.get(rule) else {
            return Signal::FAILED;
        };
        let text = head(facts.text(), SCANNED_BYTES);
        let most = if matches!(feature, Feature::Exists | Feature::Sequence) {
            1
        } else {
            MAX_COUNT
        };
        let count = source.count(facts, most) as f64;
        let value = match feature {
            Feature::Exists | Feature::Sequence => count.min(1.0),
            Feature::Count => count,
            Feature::Density => match units(text) {
                0 => 0.0,
                units => count / units as f64,
            },
        };
        Signal::certain(predicate.holds(value), value)
    }
}

fn compile_source(source: &StructureSource, path: &str, problems: &mut Vec<Problem>) -> Option<Source> {
    let given = [
        ("pattern", source.pattern.is_some(), SourceKind::Regex),
        ("keywords", !source.keywords.is_empty(), SourceKind::KeywordSet),
        ("sequences", !source.sequences.is_empty(), SourceKind::Sequence),
    ];
    for (key, given, kind) in given {
        if given != (source.kind == kind) {
            let message = if given {
                format!("`{key}` does not go with this type of source")
            } else {
                format!("this type of source needs `{key}`")
            };
            problems.push(Problem::error(format!("{path}.{key}"), message));
            return None;
        }
    }
    let mut too_large = |e: aho_corasick::BuildError| {
        problems.push(Problem::error(
            path,
            format!("the phrases cannot be compiled: {e}"),
        ));
    };
    match source.kind {
        SourceKind::Regex => {
            let pattern = source.pattern.as_deref().unwrap_or_default();
            let regex = RegexBuilder::new(pattern)
                .case_insensitive(!source.case_sensitive)
                .size_limit(REGEX_SIZE)
                .build();
            match regex {
                Ok(regex) => Some(Source::Regex(regex)),
                Err(e) => {
                    problems.push(bad_regex(format!("{path}.pattern"), pattern, &e));
                    None
                }
            }
        }
        SourceKind::KeywordSet => {
            let mut set = PhraseSetBuilder::default();
            for keyword in &source.keywords {
                set.add(keyword, source.case_sensitive, 0);
            }
            set.build().map_err(&mut too_large).ok().map(Source::Keywords)
        }
        SourceKind::Sequence => {
            let mut set = PhraseSetBuilder::default();
            let mut next = 0;
            let mut lengths = Vec::new();
            for markers in &source.sequences {
                for marker in markers {
                    set.add(marker, source.case_sensitive, next);
                    next += 1;
                }
                lengths.push(markers.len() as u32);
            }
            let markers = set.build().map_err(&mut too_large).ok()?;
            Some(Source::Sequences { markers, lengths })
        }
        SourceKind::TextBytes => Some(Source::TextBytes),
    }
}

/// The problem of a regular expression that does not compile: names key and pattern, and what the library says of it.
pub(crate) fn bad_regex(path: String, pattern: &str, error: &regex::Error) -> Problem {
    let why = error.to_string();
    let last = why.lines().last().unwrap_or_default().trim().to_owned();
    Problem::error(path, "bad regular expression")
        .found(pattern)
        .allowed(last.strip_prefix("error: ").unwrap_or(&last))
}

// === impl Source ===

impl Source {
    fn count(&self, facts: &Facts<'_>, most: usize) -> usize {
        let text = head(facts.text(), SCANNED_BYTES);
        match self {
            Self::Regex(regex) if most == 1 => usize::from(regex.is_match(text)),
            Self::Regex(regex) => regex.find_iter(text).take(most).count(),
            Self::Keywords(set) => {
                let mut count = 0;
                set.scan(facts, |_, _, _| count += 1);
                count.min(most)
            }
            Self::Sequences { markers, lengths } => in_order(markers, lengths, facts).min(most),
            Self::TextBytes => facts.text().len(),
        }
    }
}

/// How many of the sequences stand in order: each marker starts at or behind the end of the one before it.
fn in_order(markers: &PhraseSet, lengths: &[u32], facts: &Facts<'_>) -> usize {
    let mut places: Vec<(usize, usize, u32)> = Vec::new();
    markers.scan(facts, |marker, start, end| places.push((end, start, marker)));
    // By end: taking the earliest end for each marker leaves the most room for the next.
    places.sort_unstable();
    let mut first = 0;
    let mut count = 0;
    for length in lengths {
        let mut wanted = first;
        let mut from = 0;
        for (end, start, marker) in &places {
            if wanted < first + length && *marker == wanted && *start >= from {
                wanted += 1;
                from = *end;
            }
        }
        count += usize::from(wanted == first + length);
        first += length;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use fingerpost_core::Query;

    fn read(rule: &str, text: &str) -> Signal {
        let rules = BTreeMap::from([("r".to_owned(), serde_json::from_str(rule).unwrap())]);
        let mut problems = Vec::new();
        let family = Structure::compile(&rules, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        let query = Query::text(text);
        family.one(0, &Facts::new(&query, None, None))
    }

    #[test]
    fn counting_a_regex() {
        let rule =
            r#"{"feature":{"type":"count","source":{"type":"regex","pattern":"\\?"}},"predicate":{"gte":3}}"#;
        assert_eq!(read(rule, "Why? How? When?"), Signal::certain(true, 3.0));
        assert_eq!(read(rule, "Why? How?"), Signal::certain(false, 2.0));
        assert_eq!(read(rule, ""), Signal::certain(false, 0.0));
    }

    #[test]
    fn density_counts_each_cjk_character() {
        // 9 CJK characters and one run of letters make 10 units; one mark beside them.
        let rule = r#"{"feature":{"type":"density","source":{"type":"regex","pattern":"。"}}}"#;
        let signal = read(rule, "请用Python写一个排序函数。");
        assert!((signal.raw - 0.1).abs() < 1e-12 && signal.matched());
        assert_eq!(read(rule, "?!").raw, 0.0);
        let words = r#"{"feature":{"type":"density","source":{"type":"keyword_set","keywords":["must"]}}}"#;
        assert_eq!(read(words, "You must, MUST do it").raw, 2.0 / 5.0);
    }

    #[test]
    fn markers_in_order() {
        let rule = r#"{"feature":{"type":"sequence","source":{"type":"sequence",
            "sequences":[["first","then","finally"],["1.","2."]]}}}"#;
        assert!(read(rule, "First mix, then bake, and finally eat").matched());
        assert!(!read(rule, "Then bake, first mix, finally eat").matched());
        assert!(!read(rule, "first then").matched());
        assert!(read(rule, "then first finally then finally").matched());
        let count = rule.replace(r#""type":"sequence","source""#, r#""type":"count","source""#);
        assert_eq!(read(&count, "1. first 2. then 3. finally").raw, 2.0);
        // Markers may not overlap.
        let overlap =
            r#"{"feature":{"type":"sequence","source":{"type":"sequence","sequences":[["a b","b c"]]}}}"#;
        assert!(!read(overlap, "a b c").matched());
        assert!(read(overlap, "a b b c").matched());
    }

    #[test]
    fn bytes_and_existence() {
        let bytes =
            r#"{"feature":{"type":"count","source":{"type":"text_bytes"}},"predicate":{"gt":3,"lte":5}}"#;
        assert_eq!(read(bytes, "äb1"), Signal::certain(true, 4.0));
        assert!(!read(bytes, "abc").matched());
        let exists = r#"{"feature":{"type":"exists","source":{"type":"keyword_set","keywords":["TODO"],"case_sensitive":true}}}"#;
        assert_eq!(read(exists, "TODO TODO").raw, 1.0);
        assert!(!read(exists, "todo").matched());
    }

    #[test]
    fn nan_meets_no_predicate() {
        assert!(!Predicate::default().holds(f64::NAN));
        assert!(!Predicate::above_zero().holds(f64::NAN));
    }

    #[test]
    fn bad_rules_are_named() {
        let problems = |rule: &str| {
            let rules = BTreeMap::from([("r".to_owned(), serde_json::from_str(rule).unwrap())]);
            let mut problems = Vec::new();
            Structure::compile(&rules, &mut problems);
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let bad = problems(r#"{"feature":{"type":"count","source":{"type":"regex","pattern":"(a"}}}"#);
        assert_eq!(
            bad,
            [
                "error: signals.structure.r.feature.source.pattern: bad regular expression `(a` (allowed: unclosed group)"
            ]
        );
        let bad = problems(r#"{"feature":{"type":"count","source":{"type":"regex"}}}"#);
        assert!(bad[0].contains("needs `pattern`"), "{bad:?}");
        let bad = problems(r#"{"feature":{"type":"count","source":{"type":"text_bytes","pattern":"x"}}}"#);
        assert!(bad[0].contains("does not go with"), "{bad:?}");
        let bad =
            problems(r#"{"feature":{"type":"sequence","source":{"type":"text_bytes"}},"predicate":{}}"#);
        assert_eq!(bad.len(), 2, "{bad:?}");
        let huge =
            problems(r#"{"feature":{"type":"count","source":{"type":"regex","pattern":"\\w{9999}"}}}"#);
        assert!(huge[0].contains("bad regular expression"), "{huge:?}");
    }

    #[test]
    fn a_megabyte_is_cut_not_counted_through() {
        let text = "a ".repeat(500_000);
        let rule = r#"{"feature":{"type":"count","source":{"type":"regex","pattern":"a"}}}"#;
        assert_eq!(read(rule, &text).raw, MAX_COUNT as f64);
        // Each match of this pattern looks to the end of the text first.
        let looking_ahead = r#"{"feature":{"type":"count","source":{"type":"regex","pattern":".*zzz|a"}}}"#;
        assert_eq!(read(looking_ahead, &text).raw, MAX_COUNT as f64);
    }
}
