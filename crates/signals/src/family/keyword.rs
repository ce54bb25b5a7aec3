//! `keyword`: words and patterns in the user's text.
//!
//! A rule joins its keywords by `any` (OR), `all` (AND) or `none` (NOR). How a keyword is sought is its method:
//!
//! | method | a keyword matches when | its confidence |
//! | --- | --- | --- |
//! | `regex` (default) | the regular expression matches whole words | 1 |
//! | `literal` | the text contains it, as whole words, signs taken literally | 1 |
//! | `bm25` | its BM25 score is above `bm25_threshold` | its share of the highest possible score |
//! | `ngram` | some run of words has a Jaccard index of character n-grams of at least `ngram_threshold` | the index |
//! | `fuzzy` | some run of words is similar by edit distance, at least `fuzzy_threshold` of 100 | similarity / 100 |
//!
//! Confidence of the rule: the largest for `any`, the mean for `all`, 1 for `none`. Raw: how many keywords matched. All
//! literal keywords of all rules are sought in one Aho-Corasick pass, all regular expressions in one `RegexSet` pass; a
//! keyword without signs that mean something in a regular expression is a literal. Word boundaries do not apply next to CJK
//! characters, which stand without blanks.

mod approximate;
mod patterns;

use std::{cell::OnceCell, collections::BTreeMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{
    approximate::{Approximate, Words},
    patterns::{Patterns, check_regex, regex_syntax_free},
};
use crate::{
    Problem, Signal,
    facts::Facts,
    phrases::{PhraseSet, PhraseSetBuilder},
};

/// Keywords, how they are joined and how they are sought. Exactly one of `any`, `all`, `none`, or `operator` with `keywords`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KeywordRule {
    /// Matches when one of these does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub any: Vec<String>,
    /// Matches when all of these do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub all: Vec<String>,
    /// Matches when none of these does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub none: Vec<String>,
    /// How `keywords` are joined: the other spelling of `any`, `all`, `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<Operator>,
    /// The keywords that `operator` joins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// How a keyword is sought. Default: `regex`.
    pub method: Method,
    /// Whether case counts. Default: false.
    pub case_sensitive: bool,
    /// Score above which a keyword matches by `bm25`. Default: 0.1.
    pub bm25_threshold: f64,
    /// Lowest Jaccard index at which a keyword matches by `ngram`, 0 to 1. Default: 0.4.
    pub ngram_threshold: f64,
    /// Characters in an n-gram, 1 to 8. Default: 3.
    pub ngram_arity: usize,
    /// Lowest similarity at which a keyword matches by `fuzzy`, 0 to 100. Default: 80.
    pub fuzzy_threshold: f64,
}

/// How keywords are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// All of them.
    #[serde(rename = "and", alias = "AND", alias = "all")]
    And,
    /// Any of them.
    #[serde(rename = "or", alias = "OR", alias = "any")]
    Or,
    /// None of them.
    #[serde(rename = "nor", alias = "NOR", alias = "none")]
    Nor,
}

/// How a keyword is sought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// As a regular expression over whole words.
    #[default]
    Regex,
    /// As it stands, over whole words.
    Literal,
    /// By the relevance of the text to the keyword's words.
    Bm25,
    /// By shared character n-grams.
    Ngram,
    /// By edit distance.
    Fuzzy,
}

struct Rule {
    operator: Operator,
    keywords: Keywords,
}

enum Keywords {
    /// Bits in the hits of the one pass.
    Exact(std::ops::Range<usize>),
    Approximate {
        list: Vec<Approximate>,
        case_sensitive: bool,
    },
}

pub(crate) struct Keyword {
    rules: Vec<Rule>,
    phrases: PhraseSet,
    patterns: Patterns,
    /// Exact keywords in all rules.
    exact: usize,
}

/// What the approximate rules share of one request.
#[derive(Default)]
pub(crate) struct KeywordFacts {
    folded: OnceCell<Words>,
    cased: OnceCell<Words>,
}

// === impl KeywordRule ===

impl Default for KeywordRule {
    fn default() -> Self {
        Self {
            any: Vec::new(),
            all: Vec::new(),
            none: Vec::new(),
            operator: None,
            keywords: Vec::new(),
            method: Method::Regex,
            case_sensitive: false,
            bm25_threshold: 0.1,
            ngram_threshold: 0.4,
            ngram_arity: 3,
            fuzzy_threshold: 80.0,
        }
    }
}

impl KeywordRule {
    /// The operator, its keywords and the key under which they stand.
    fn joined(&self) -> Option<(Operator, &[String], &'static str)> {
        let mut given = Vec::new();
        for (operator, list, key) in [
            (Operator::Or, &self.any, "any"),
            (Operator::And, &self.all, "all"),
            (Operator::Nor, &self.none, "none"),
        ] {
            if !list.is_empty() {
                given.push((operator, list.as_slice(), key));
            }
        }
        match (self.operator, self.keywords.is_empty()) {
            (Some(operator), false) => given.push((operator, &self.keywords, "keywords")),
            (None, true) => {}
            _ => return None,
        }
        match given.as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        let mut range = |key: &str, value: f64, low: f64, high: f64| {
            if !(low..=high).contains(&value) {
                problems.push(
                    Problem::error(format!("{path}.{key}"), "out of range")
                        .found(value.to_string())
                        .allowed(format!("{low} to {high}")),
                );
            }
        };
        range("bm25_threshold", self.bm25_threshold, 0.0, 1e3);
        range("ngram_threshold", self.ngram_threshold, 0.0, 1.0);
        range("ngram_arity", self.ngram_arity as f64, 1.0, 8.0);
        range("fuzzy_threshold", self.fuzzy_threshold, 0.0, 100.0);
    }
}

// === impl Keyword ===

impl Keyword {
    pub(crate) fn compile(rules: &BTreeMap<String, KeywordRule>, problems: &mut Vec<Problem>) -> Self {
        let mut phrases = PhraseSetBuilder::default();
        let mut patterns: Vec<(String, bool, u32)> = Vec::new();
        let mut exact = 0;
        let mut compiled = Vec::with_capacity(rules.len());
        for (name, rule) in rules {
            let path = format!("signals.keyword.{name}");
            rule.check(&path, problems);
            let Some((operator, keywords, key)) = rule.joined() else {
                problems.push(
                    Problem::error(&path, "a keyword rule has one list of keywords, not empty")
                        .allowed("one of any, all, none, or operator with keywords"),
                );
                compiled.push(Rule {
                    operator: Operator::Or,
                    keywords: Keywords::Exact(exact..exact),
                });
                continue;
            };
            let from = exact;
            let mut list = Vec::new();
            for (i, keyword) in keywords.iter().enumerate() {
                let at = || format!("{path}.{key}[{i}]");
                if keyword.trim().is_empty() {
                    problems.push(Problem::error(at(), "an empty keyword"));
                    continue;
                }
                let literal = rule.method == Method::Literal
                    || (rule.method == Method::Regex && regex_syntax_free(keyword));
                match rule.method {
                    Method::Regex | Method::Literal => {
                        if literal {
                            phrases.add(keyword, rule.case_sensitive, exact as u32);
                        } else if check_regex(keyword, at(), problems) {
                            patterns.push((keyword.clone(), rule.case_sensitive, exact as u32));
                        }
                        exact += 1;
                    }
                    Method::Bm25 => list.push(Approximate::bm25(keyword, rule)),
                    Method::Ngram => list.push(Approximate::ngram(keyword, rule)),
                    Method::Fuzzy => list.push(Approximate::fuzzy(keyword, rule)),
                }
            }
            let keywords = match rule.method {
                Method::Regex | Method::Literal => Keywords::Exact(from..exact),
                _ => Keywords::Approximate {
                    list,
                    case_sensitive: rule.case_sensitive,
                },
            };
            compiled.push(Rule { operator, keywords });
        }
        let mut too_large = |e: &dyn std::fmt::Display| {
            problems.push(Problem::error(
                "signals.keyword",
                format!("the keywords cannot be compiled: {e}"),
            ));
        };
        Self {
            rules: compiled,
            phrases: phrases.build().unwrap_or_else(|e| {
                too_large(&e);
                PhraseSet::default()
            }),
            patterns: Patterns::new(&patterns).unwrap_or_else(|e| {
                too_large(&e);
                Patterns::none()
            }),
            exact,
        }
    }

    /// Whether the rule is decided by the one pass that decides all such rules.
    pub(crate) fn is_exact(&self, rule: usize) -> bool {
        matches!(
            self.rules.get(rule),
            Some(Rule {
                keywords: Keywords::Exact(_),
                ..
            })
        )
    }

    /// Decides all exact rules; leaves the others as they are.
    pub(crate) fn fill(&self, facts: &Facts<'_>, out: &mut [Signal]) {
        let mut hits: smallvec::SmallVec<[bool; 64]> = smallvec::smallvec![false; self.exact];
        self.phrases.scan(facts, |id, _, _| hits[id as usize] = true);
        self.patterns.scan(facts.text(), |id| hits[id as usize] = true);
        for (rule, signal) in self.rules.iter().zip(out) {
            if let Keywords::Exact(range) = &rule.keywords {
                let hits = &hits[range.clone()];
                *signal = rule.operator.join(hits.iter().map(|hit| hit.then_some(1.0)));
            }
        }
    }

    /// Decides one approximate rule.
    pub(crate) fn one(&self, rule: usize, facts: &Facts<'_>, shared: &KeywordFacts) -> Signal {
        let Some(Rule {
            operator,
            keywords: Keywords::Approximate { list, case_sensitive },
        }) = self.rules.get(rule)
        else {
            return Signal::FAILED;
        };
        let words = if *case_sensitive {
            shared.cased.get_or_init(|| Words::of(facts.text()))
        } else {
            shared.folded.get_or_init(|| Words::of(facts.folded()))
        };
        let text = if *case_sensitive {
            facts.text()
        } else {
            facts.folded()
        };
        operator.join(list.iter().map(|keyword| keyword.find(text, words)))
    }
}

// === impl Operator ===

impl Operator {
    /// Joins the confidences of the keywords, `None` for one that did not match.
    fn join(self, keywords: impl ExactSizeIterator<Item = Option<f64>>) -> Signal {
        let total = keywords.len();
        let (mut count, mut sum, mut best) = (0_usize, 0.0, 0.0_f64);
        for confidence in keywords.flatten() {
            count += 1;
            sum += confidence;
            best = best.max(confidence);
        }
        let raw = count as f64;
        match self {
            Self::Or => Signal::new(count > 0, best, raw),
            Self::And => Signal::new(total > 0 && count == total, sum / raw.max(1.0), raw),
            Self::Nor => Signal::new(count == 0, 1.0, raw),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fingerpost_core::Query;

    fn compile(rule: &str) -> (Keyword, Vec<Problem>) {
        let rules = BTreeMap::from([("r".to_owned(), serde_json::from_str(rule).unwrap())]);
        let mut problems = Vec::new();
        let family = Keyword::compile(&rules, &mut problems);
        (family, problems)
    }

    fn read(rule: &str, text: &str) -> Signal {
        let (family, problems) = compile(rule);
        assert!(problems.is_empty(), "{problems:?}");
        let query = Query::text(text);
        let facts = Facts::new(&query, None, None);
        if family.is_exact(0) {
            let mut out = [Signal::UNKNOWN];
            family.fill(&facts, &mut out);
            out[0]
        } else {
            family.one(0, &facts, &KeywordFacts::default())
        }
    }

    #[test]
    fn any_all_none_and_their_other_spelling() {
        let any = r#"{"any":["asap","right now"]}"#;
        assert_eq!(read(any, "do it ASAP"), Signal::new(true, 1.0, 1.0));
        assert_eq!(read(any, "bright nowhere"), Signal::new(false, 0.0, 0.0));
        let all = r#"{"operator":"AND","keywords":["asap","right now"]}"#;
        assert!(!read(all, "asap").matched());
        assert_eq!(read(all, "right now, asap"), Signal::new(true, 1.0, 2.0));
        let none = r#"{"none":["asap","right now"]}"#;
        assert_eq!(read(none, "take your time"), Signal::new(true, 1.0, 0.0));
        assert!(!read(none, "asap").matched());
        assert!(read(none, "").matched());
    }

    #[test]
    fn regular_expressions_match_whole_words() {
        let rule = r#"{"any":["err(or)?s?","\\d{3}-\\d{4}"]}"#;
        assert!(read(rule, "two Errors").matched());
        assert!(!read(rule, "terrors").matched());
        assert!(read(rule, "call 555-1234!").matched());
        assert!(!read(rule, "call 555-12345").matched());
        assert!(!read(rule, "émerrors").matched());
        assert!(read(r#"{"any":["紧急(情况)?"]}"#, "这是紧急情况吗").matched());
        let sensitive = r#"{"any":["[A-Z]{3}"],"case_sensitive":true}"#;
        assert!(read(sensitive, "the NSA").matched());
        assert!(!read(sensitive, "the nsa").matched());
        assert!(read(r#"{"any":["C++"],"method":"literal"}"#, "modern C++ code").matched());
        assert!(!read(r#"{"any":["C++"],"method":"literal"}"#, "modern C code").matched());
    }

    #[test]
    fn a_bad_regex_names_key_and_pattern() {
        let (_, problems) = compile(r#"{"any":["fine","(a"]}"#);
        assert_eq!(
            problems[0].to_string(),
            "error: signals.keyword.r.any[1]: bad regular expression `(a` (allowed: unclosed group)"
        );
        let (_, problems) = compile(r#"{"any":["C++"]}"#);
        assert!(!problems[0].is_error() && problems[0].message.contains("read as a regular expression"));
        let (_, problems) = compile(r#"{"any":[".*"]}"#);
        assert!(problems[0].message.contains("matches every text"));
    }

    #[test]
    fn one_list_and_values_in_range() {
        assert!(compile("{}").1[0].is_error());
        assert!(compile(r#"{"any":["a"],"all":["b"]}"#).1[0].is_error());
        assert!(compile(r#"{"operator":"or"}"#).1[0].is_error());
        assert!(compile(r#"{"any":["  "]}"#).1[0].path.ends_with("any[0]"));
        let (_, problems) = compile(r#"{"any":["a"],"fuzzy_threshold":101,"ngram_arity":0}"#);
        assert_eq!(problems.len(), 2);
    }

    #[test]
    fn bm25_scores_a_text_against_each_keyword() {
        let rule = r#"{"any":["payment refund"],"method":"bm25"}"#;
        let one = read(rule, "where is my refund");
        assert!(
            one.matched() && one.confidence > 0.2 && one.confidence < 0.5,
            "{one:?}"
        );
        assert!(read(rule, "payment and refund, refund!").confidence > one.confidence);
        assert!(!read(rule, "where is my order").matched());
        let buried = format!("refund {}", "word ".repeat(4000));
        assert!(
            !read(rule, &buried).matched(),
            "one mention in a long text is below 0.1"
        );
        assert!(read(&rule.replace("bm25\"", "bm25\",\"bm25_threshold\":0"), &buried).matched());
    }

    #[test]
    fn ngrams_forgive_typing_errors() {
        // Padded trigrams: 8 of `urgent`, 7 of `urgnt`, 5 in common: 5 / 10.
        let rule = r#"{"any":["urgent"],"method":"ngram"}"#;
        let signal = read(rule, "an URGNT thing");
        assert!((signal.confidence - 0.5).abs() < 1e-12, "{signal:?}");
        assert!(!read(rule, "an order").matched());
        assert!((read(rule, "urgent").confidence - 1.0).abs() < 1e-12);
        assert!(
            !read(
                &rule.replace("ngram\"", "ngram\",\"ngram_threshold\":0.51"),
                "urgnt"
            )
            .matched()
        );
        assert!(
            read(
                r#"{"any":["right now"],"method":"ngram"}"#,
                "do it rigth now please"
            )
            .matched()
        );
    }

    #[test]
    fn fuzzy_is_one_minus_edits_over_length() {
        let rule = r#"{"any":["refund"],"method":"fuzzy"}"#;
        // One edit in six letters.
        let signal = read(rule, "my refumd!");
        assert!((signal.confidence - 5.0 / 6.0).abs() < 1e-12, "{signal:?}");
        assert!(!read(rule, "my refer").matched());
        assert!(
            !read(
                &rule.replace("fuzzy\"", "fuzzy\",\"fuzzy_threshold\":90"),
                "refumd"
            )
            .matched()
        );
        assert!(
            !read(
                &rule.replace("fuzzy\"", "fuzzy\",\"case_sensitive\":true"),
                "REFUND"
            )
            .matched()
        );
        assert!(
            read(
                r#"{"all":["credit card","refund"],"method":"fuzzy"}"#,
                "a refund on my credit crad"
            )
            .raw == 2.0
        );
        assert!(read(r#"{"any":["credit card"],"method":"fuzzy"}"#, "my credti card").matched());
    }

    #[test]
    fn a_megabyte_and_an_empty_text_are_fine() {
        let text = "urgnt ü ".repeat(125_000);
        for method in ["regex", "literal", "bm25", "ngram", "fuzzy"] {
            let rule = format!(r#"{{"any":["urgent","x(y|z)+"],"method":"{method}"}}"#);
            read(&rule, &text);
            assert!(!read(&rule, "").matched(), "{method}");
        }
    }
}
