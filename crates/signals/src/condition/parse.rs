//! Reads the one-line form of a condition by recursive descent.
//!
//! ```text
//! any    := all ("or" all)*
//! all    := factor ("and" factor)*
//! factor := "not" factor | "(" any ")" | "always" | "never" | leaf
//! leaf   := family [":" name [":" label]] [(">" | ">=" | "<" | "<=") number] ["on_error" ("match" | "no_match")]
//! ```
//! Words may be written in any case; a name with blanks or signs is quoted. Written by hand rather than with a parser
//! library: the grammar is these four rules, and the caret and the suggestions need the tokens anyway.

use std::{fmt, iter::Peekable, str::CharIndices};

use thiserror::Error;

use super::{Comparison, Condition, Kind, Leaf, MAX_DEPTH, OnError, Test, print::bare};
use crate::problem::nearest;

/// Why a line is no condition, and where. Shows the line with a caret under the place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ConditionError {
    /// Line of the place, from 1.
    pub line: usize,
    /// Column of the place, in characters, from 1.
    pub column: usize,
    /// What is wrong, what is allowed, and the nearest suggestion.
    pub message: String,
    /// The line of text in which it is.
    pub source_line: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Quoted(&'a str),
    Colon,
    Open,
    Close,
    Compare(Comparison),
    End,
}

#[derive(Debug, Clone, Copy)]
struct Spanned<'a> {
    token: Token<'a>,
    at: usize,
}

struct Parser<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
    next: Spanned<'a>,
}

pub(super) fn parse(text: &str) -> Result<Condition, ConditionError> {
    let mut parser = Parser {
        text,
        chars: text.char_indices().peekable(),
        next: Spanned {
            token: Token::End,
            at: 0,
        },
    };
    parser.advance()?;
    if parser.next.token == Token::End {
        // An empty condition is the unconditional fallback.
        return Ok(Condition::ALWAYS);
    }
    let condition = parser.any(0)?;
    match parser.next.token {
        Token::End => Ok(condition),
        Token::Close => Err(parser.error_here("this `)` closes nothing")),
        _ => {
            let mut message = format!("expected `and`, `or` or the end, found {}", parser.next.token);
            if let Token::Word(word) = parser.next.token
                && let Some(near) = nearest(word, ["and", "or", "on_error"])
            {
                message.push_str(&format!("; did you mean `{near}`?"));
            }
            Err(parser.error_here(message))
        }
    }
}

// === impl Parser ===

impl<'a> Parser<'a> {
    fn any(&mut self, depth: usize) -> Result<Condition, ConditionError> {
        let mut children = vec![self.all(depth + 1)?];
        while self.word("or") {
            self.advance()?;
            children.push(self.all(depth + 1)?);
        }
        Ok(Condition::any(children))
    }

    fn all(&mut self, depth: usize) -> Result<Condition, ConditionError> {
        let mut children = vec![self.factor(depth)?];
        while self.word("and") {
            self.advance()?;
            children.push(self.factor(depth)?);
        }
        Ok(Condition::all(children))
    }

    fn factor(&mut self, depth: usize) -> Result<Condition, ConditionError> {
        // Parentheses count as nesting here although they may vanish in the tree: the parser recurses for them.
        if depth > 4 * MAX_DEPTH {
            return Err(self.error_here(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        if self.word("not") {
            self.advance()?;
            return Ok(Condition::negate(self.factor(depth + 1)?));
        }
        if self.word("always") || self.word("never") {
            let always = self.word("always");
            self.advance()?;
            return Ok(if always {
                Condition::ALWAYS
            } else {
                Condition::NEVER
            });
        }
        if self.next.token == Token::Open {
            let opened = self.next;
            self.advance()?;
            let inner = self.any(depth + 1)?;
            if self.next.token == Token::End {
                return Err(self.error_at(opened.at, "this `(` is never closed"));
            }
            if self.next.token != Token::Close {
                let message = format!("expected `)`, `and` or `or`, found {}", self.next.token);
                return Err(self.error_here(message));
            }
            self.advance()?;
            return Ok(inner);
        }
        self.leaf().map(Condition::Leaf)
    }

    fn leaf(&mut self) -> Result<Leaf, ConditionError> {
        let Token::Word(family) = self.next.token else {
            let message = format!(
                "expected a signal such as `domain:math`, found {}",
                self.next.token
            );
            return Err(self.error_here(message));
        };
        let Some(kind) = Kind::from_name(family) else {
            let mut message = format!("unknown signal family `{family}`");
            let words = ["and", "or", "not", "always", "never"];
            if let Some(near) = nearest(family, Kind::names().chain(words)) {
                message.push_str(&format!("; did you mean `{near}`?"));
            }
            let names: Vec<&str> = Kind::names().collect();
            message.push_str(&format!(" (allowed: {})", names.join(", ")));
            return Err(self.error_here(message));
        };
        let at = self.next.at;
        self.advance()?;
        let name = self.part()?;
        let label = if name.is_some() { self.part()? } else { None };
        let test = self.test()?;
        let on_error = self.on_error()?;
        if name.is_none() && test.is_none() {
            let message = format!(
                "`{family}` alone names no signal; write `{family}:NAME`, or compare a number, like `context > 32K`"
            );
            return Err(self.error_at(at, message));
        }
        Ok(Leaf {
            kind,
            name,
            label,
            test,
            on_error,
        })
    }

    fn part(&mut self) -> Result<Option<String>, ConditionError> {
        if self.next.token != Token::Colon {
            return Ok(None);
        }
        self.advance()?;
        let part = match self.next.token {
            Token::Word(word) => word.to_owned(),
            Token::Quoted(raw) => unescape(raw),
            other => return Err(self.error_here(format!("expected a name after `:`, found {other}"))),
        };
        self.advance()?;
        Ok(Some(part))
    }

    fn test(&mut self) -> Result<Option<Test>, ConditionError> {
        let Token::Compare(comparison) = self.next.token else {
            return Ok(None);
        };
        self.advance()?;
        let (Token::Word(word) | Token::Quoted(word)) = self.next.token else {
            let message = format!(
                "expected a number after `{}`, found {}",
                comparison.as_str(),
                self.next.token
            );
            return Err(self.error_here(message));
        };
        let bound = word
            .parse()
            .map_err(|e: crate::size::NumberError| self.error_here(e.to_string()))?;
        self.advance()?;
        Ok(Some(Test { comparison, bound }))
    }

    fn on_error(&mut self) -> Result<OnError, ConditionError> {
        if !self.word("on_error") {
            return Ok(OnError::NoMatch);
        }
        self.advance()?;
        let choice = if self.word("match") {
            OnError::Match
        } else if self.word("no_match") {
            OnError::NoMatch
        } else {
            let message = format!(
                "expected `match` or `no_match` after `on_error`, found {}",
                self.next.token
            );
            return Err(self.error_here(message));
        };
        self.advance()?;
        Ok(choice)
    }

    fn word(&self, word: &str) -> bool {
        matches!(self.next.token, Token::Word(w) if w.eq_ignore_ascii_case(word))
    }

    fn advance(&mut self) -> Result<(), ConditionError> {
        while self.chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let Some((at, c)) = self.chars.next() else {
            self.next = Spanned {
                token: Token::End,
                at: self.text.len(),
            };
            return Ok(());
        };
        let token = match c {
            ':' => Token::Colon,
            '(' => Token::Open,
            ')' => Token::Close,
            '>' | '<' => {
                let equal = self.chars.next_if(|(_, c)| *c == '=').is_some();
                Token::Compare(match (c, equal) {
                    ('>', false) => Comparison::Gt,
                    ('>', true) => Comparison::Gte,
                    ('<', false) => Comparison::Lt,
                    _ => Comparison::Lte,
                })
            }
            '"' => self.quoted(at)?,
            // `+` starts or continues a number such as 1e+3.
            _ if bare(c) || c == '+' => {
                while self.chars.next_if(|(_, c)| bare(*c) || *c == '+').is_some() {}
                let end = self.chars.peek().map_or(self.text.len(), |(i, _)| *i);
                Token::Word(&self.text[at..end])
            }
            _ => {
                let hint = match c {
                    '&' => "; write `and`",
                    '|' => "; write `or`",
                    '!' => "; write `not`",
                    '=' => "; compare with >, >=, < or <=",
                    _ => "",
                };
                return Err(self.error_at(at, format!("unexpected `{c}`{hint}")));
            }
        };
        self.next = Spanned { token, at };
        Ok(())
    }

    fn quoted(&mut self, at: usize) -> Result<Token<'a>, ConditionError> {
        while let Some((i, c)) = self.chars.next() {
            match c {
                '"' => return Ok(Token::Quoted(&self.text[at + 1..i])),
                '\\' => {
                    self.chars.next();
                }
                _ => {}
            }
        }
        Err(self.error_at(at, "this quotation is never closed"))
    }

    fn error_here(&self, message: impl Into<String>) -> ConditionError {
        self.error_at(self.next.at, message)
    }

    fn error_at(&self, at: usize, message: impl Into<String>) -> ConditionError {
        let before = &self.text[..at];
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        ConditionError {
            line: before.matches('\n').count() + 1,
            column: self.text[start..at].chars().count() + 1,
            message: message.into(),
            source_line: self.text[start..].lines().next().unwrap_or("").to_owned(),
        }
    }
}

fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => {}
            },
            _ => out.push(c),
        }
    }
    out
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "`{word}`"),
            Self::Quoted(raw) => write!(f, "\"{raw}\""),
            Self::Colon => f.write_str("`:`"),
            Self::Open => f.write_str("`(`"),
            Self::Close => f.write_str("`)`"),
            Self::Compare(comparison) => write!(f, "`{}`", comparison.as_str()),
            Self::End => f.write_str("the end"),
        }
    }
}

impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        writeln!(f, "  {}", self.source_line)?;
        write!(f, "  {}^", " ".repeat(self.column.saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Condition {
        text.parse().unwrap()
    }

    #[test]
    fn not_binds_before_and_before_or() {
        let tree = read("domain:math and not keyword:urgent or language:de");
        assert_eq!(
            tree.to_string(),
            "domain:math and not keyword:urgent or language:de"
        );
        let Condition::Any(children) = tree else {
            panic!("an `or` at the top")
        };
        assert_eq!(children.len(), 2);
    }

    #[test]
    fn nesting_is_kept_and_idle_parentheses_are_not() {
        assert_eq!(
            read("((domain:a)) AND (domain:b and domain:c)").to_string(),
            "domain:a and (domain:b and domain:c)"
        );
        assert_eq!(
            read("not (domain:a or domain:b)").to_string(),
            "not (domain:a or domain:b)"
        );
        assert_eq!(read("not not domain:a").to_string(), "not not domain:a");
    }

    #[test]
    fn numbers_labels_and_quotes() {
        let line = "context > 32K and complexity:r:hard and domain:\"computer science\" and language:de >= 0.5 on_error match";
        assert_eq!(read(line).to_string(), line);
        assert_eq!(read("").to_string(), "always");
        assert_eq!(read("never").to_string(), "never");
        assert_eq!(
            read(r#"domain:"a \"b\" \\""#).to_string(),
            r#"domain:"a \"b\" \\""#
        );
    }

    #[test]
    fn errors_point_at_the_place() {
        let error = "domain:math and\n  domian:law".parse::<Condition>().unwrap_err();
        assert_eq!((error.line, error.column), (2, 3));
        assert!(error.message.contains("did you mean `domain`?"), "{error}");
        assert!(error.to_string().ends_with("\n    domian:law\n    ^"), "{error}");

        let place = |text: &str| {
            let error = text.parse::<Condition>().unwrap_err();
            (error.column, error.message)
        };
        assert_eq!(place("(domain:a"), (1, "this `(` is never closed".into()));
        assert_eq!(place("domain:a)"), (9, "this `)` closes nothing".into()));
        assert_eq!(
            place("domain:a && domain:b"),
            (10, "unexpected `&`; write `and`".into())
        );
        assert!(place("domain:a adn domain:b").1.contains("did you mean `and`?"));
        assert!(place("context > many").1.contains("`many` is no number"));
        assert!(place("context").1.contains("names no signal"));
        assert_eq!(place("domain:\"a").1, "this quotation is never closed");
        assert_eq!(place("ä").0, 1);
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        let deep = format!("{}domain:a{}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(
            deep.parse::<Condition>()
                .unwrap_err()
                .message
                .contains("nested deeper")
        );
        let nots = format!("{}domain:a", "not ".repeat(100_000));
        assert!(nots.parse::<Condition>().is_err());
    }
}
