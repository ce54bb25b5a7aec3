//! Reads the hierarchies that language models write.
//!
//! The expected answer (card 54) has two parts, "\[Response 1\]" with the top aspects and "\[Response 2\]" with nested
//! categories that cite claims: `- 1.1: Parent counselling (Claim 2, 4-6)`. Models drift from it in every way, so each line
//! is read on its own into indent, marker (bullet, number, "Aspect 2:", none), name and cited claims; nesting then follows
//! from a stack of the styles seen above. A style that stands in the stack marks a sibling; a new one, at the same or a
//! deeper indent, a child. Lines that name an aspect of the first part are always at the top.

use rustc_hash::FxHashMap;
use thiserror::Error;

use super::{Category, MAX_DEPTH, Taxonomy};

/// Largest claim number that is believed; a greater one is a dose or a year.
const MAX_CLAIM: u32 = 9_999;
/// Longest range ("Claims 3-9") that is believed.
const MAX_RANGE: u32 = 500;
/// Longest name of a line without marker and claims that may still be a category rather than prose.
const MAX_BARE_NAME: usize = 90;

/// What was read, and what was not.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The hierarchy; its title is the review's name, its number of items the greatest cited claim and one.
    pub taxonomy: Taxonomy,
    /// Lines that were taken for prose or for categories without any claim, with their numbers (from 1).
    pub skipped: Vec<(usize, String)>,
}

/// An answer in which no hierarchy can be found.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("review {review}, line {line}: {fault}")]
pub struct ParseError {
    /// Which review's answer.
    pub review: String,
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: ParseFault,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseFault {
    /// Only spaces.
    #[error("the answer is empty; ask again")]
    Empty,
    /// No line is an aspect.
    #[error("no line is an aspect like \"- Aspect 1: name\"; the last line reads {last:?}")]
    NoAspect {
        /// The last line with text, cut to 80 characters.
        last: String,
    },
    /// No line is a category.
    #[error(
        "no line is a category that cites claims like \"- name (Claim 0, 2)\"; the last line reads {last:?}"
    )]
    NoCategory {
        /// The last line with text, cut to 80 characters.
        last: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    Aspect,
    None,
    Number(usize),
    Letter,
    Bullet(char),
}

struct Line<'a> {
    indent: usize,
    marker: Marker,
    name: &'a str,
    claims: Vec<u32>,
}

struct Draft {
    category: Category,
    parent: Option<usize>,
    line: usize,
}

/// Reads the answer `text` of a model about `review`.
///
/// Never panics; cost linear in the text.
///
/// # Errors
/// [`ParseError`] with review and line where there is no category with claims.
pub fn parse(review: &str, text: &str) -> Result<Parsed, ParseError> {
    let lines = numbered_lines(text);
    let second = lines.iter().position(|(_, line)| is_response(line, '2'));
    let (first, body) = lines.split_at(second.unwrap_or(0));
    let aspects: Vec<String> = first.iter().filter_map(|(_, line)| aspect_name(line)).collect();
    read(review, body, &aspects)
}

/// Reads an answer that is a tree and nothing else; `aspects` are the names of its top categories.
pub(super) fn parse_tree(review: &str, text: &str, aspects: &[String]) -> Result<Parsed, ParseError> {
    let aspects: Vec<String> = aspects.iter().map(|name| normal(name)).collect();
    read(review, &numbered_lines(text), &aspects)
}

/// Reads an answer that lists aspects, one a line with a marker; other lines are prose.
pub(super) fn read_aspects(review: &str, text: &str) -> Result<Vec<String>, ParseError> {
    let lines = numbered_lines(text);
    let mut names: Vec<String> = Vec::new();
    for (_, text) in &lines {
        let line = read_line(text);
        let name = without_words(line.name);
        if line.marker != Marker::None && !name.is_empty() && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    let Some(&(line, last)) = lines.last() else {
        return Err(fault(review, 1, ParseFault::Empty));
    };
    if names.is_empty() {
        return Err(fault(
            review,
            line,
            ParseFault::NoAspect {
                last: shortened(last),
            },
        ));
    }
    Ok(names)
}

/// The lines with text, numbered from 1.
fn numbered_lines(text: &str) -> Vec<(usize, &str)> {
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty())
        .collect()
}

fn shortened(line: &str) -> String {
    line.trim().chars().take(80).collect()
}

fn fault(review: &str, line: usize, fault: ParseFault) -> ParseError {
    ParseError {
        review: review.to_owned(),
        line,
        fault,
    }
}

fn read(review: &str, lines: &[(usize, &str)], aspects: &[String]) -> Result<Parsed, ParseError> {
    let Some(&(last_at, last)) = lines.last() else {
        return Err(fault(review, 1, ParseFault::Empty));
    };
    let (drafts, mut skipped) = nest(lines, aspects);
    let mut categories = assemble(drafts, &mut skipped);
    skipped.sort_unstable_by_key(|(line, _)| *line);
    if categories.is_empty() {
        return Err(fault(
            review,
            last_at,
            ParseFault::NoCategory {
                last: shortened(last),
            },
        ));
    }
    unwrap_single(&mut categories);
    let mut taxonomy = Taxonomy {
        title: review.to_owned(),
        items: 0,
        categories,
    };
    let greatest = taxonomy
        .walk()
        .iter()
        .filter_map(|visit| visit.category.items.last().copied())
        .max();
    taxonomy.items = greatest.map_or(0, |item| item + 1);
    Ok(Parsed { taxonomy, skipped })
}

/// A single top category that cites nothing itself and has several children is a heading over the aspects.
fn unwrap_single(categories: &mut Vec<Category>) {
    let heading = match categories.as_slice() {
        [only] => only.items.is_empty() && only.children.len() > 1,
        _ => false,
    };
    if heading {
        *categories = categories.pop().map(|only| only.children).unwrap_or_default();
    }
}

fn is_response(line: &str, number: char) -> bool {
    let line = line.trim_start_matches(|c: char| !c.is_alphanumeric());
    let Some(rest) = strip_word(line, "response") else {
        return false;
    };
    rest.trim_start().starts_with(number)
}

/// The rest of `text` after `word`, in any case.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    head.eq_ignore_ascii_case(word).then(|| &text[word.len()..])
}

fn aspect_name(line: &str) -> Option<String> {
    let line = read_line(line);
    let name = without_entities(line.name);
    (!is_response(line.name, '1') && !name.is_empty()).then(|| normal(name))
}

fn normal(name: &str) -> String {
    let words: Vec<String> = name
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .map(str::to_lowercase)
        .collect();
    words.join(" ")
}

/// "Safety (fever, pain)" is "Safety" with its supporting terms; "Heparin (UFH)" keeps its abbreviation.
fn without_entities(name: &str) -> &str {
    match name.rfind('(') {
        Some(open) if open > 0 && name[open..].contains(',') => name[..open].trim_end(),
        _ => name,
    }
}

/// As [`without_entities`], and "Cards (card)" is "Cards" too: a list of aspects gives each its supporting words.
fn without_words(name: &str) -> &str {
    match name.rfind('(') {
        Some(open) if open > 0 && !name[open..].chars().any(char::is_uppercase) => name[..open].trim_end(),
        _ => without_entities(name),
    }
}

fn read_line(text: &str) -> Line<'_> {
    let text = text.trim_end();
    let rest = text.trim_start();
    let indent = text[..text.len() - rest.len()]
        .chars()
        .map(|c| if c == '\t' { 4 } else { 1 })
        .sum();
    let (mut marker, mut rest) = match rest.chars().next() {
        Some(bullet @ ('-' | '*' | '+' | '•' | '–' | '◦' | '▪' | 'o' | '#'))
            if bullet != 'o' || rest[1..].starts_with(' ') =>
        {
            (
                Marker::Bullet(bullet),
                rest.trim_start_matches(bullet).trim_start(),
            )
        }
        _ => (Marker::None, rest),
    };
    rest = rest.trim_start_matches("**");
    if let Some((numbered, after)) = number(rest, marker != Marker::None) {
        (marker, rest) = (numbered, after);
    } else if let Some(after) = aspect(rest) {
        (marker, rest) = (Marker::Aspect, after);
    } else if let Some(after) = letter(rest) {
        (marker, rest) = (Marker::Letter, after);
    }
    let (name, claims) = cited(rest);
    let name = name
        .trim()
        .trim_end_matches([':', '(', '[', ',', '-', '*'])
        .trim_end()
        .trim_end_matches(':');
    Line {
        indent,
        marker,
        name: name.trim(),
        claims,
    }
}

/// "Aspect 3: ..." or "Category 3 - ...".
fn aspect(text: &str) -> Option<&str> {
    let rest = strip_word(text, "aspect").or_else(|| strip_word(text, "root aspect"))?;
    let rest = rest.trim_start();
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 {
        return rest.strip_prefix(':').map(str::trim_start);
    }
    let rest = &rest[digits..];
    // "Aspect 1.2: ..." is no top aspect: its number tells the depth.
    (!rest.starts_with('.') || rest[1..].starts_with(' '))
        .then(|| rest.trim_start_matches([':', '.', ')', '-', ' ']))
}

/// "a) ..." or "b. ...".
fn letter(text: &str) -> Option<&str> {
    let mut chars = text.chars();
    let (first, second) = (chars.next()?, chars.next()?);
    let rest = chars.as_str();
    (first.is_ascii_lowercase() && matches!(second, ')' | '.') && rest.starts_with(' '))
        .then(|| rest.trim_start())
}

/// "1. ", "1.2: ", "1.2.3 ": the marker with the number's depth. After a bullet a bare number may be a dose.
fn number(text: &str, bulleted: bool) -> Option<(Marker, &str)> {
    let text = strip_word(text, "aspect ")
        .filter(|rest| rest.contains('.'))
        .unwrap_or(text);
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let parts = digits.split('.').filter(|part| !part.is_empty()).count();
    let plain =
        digits.split('.').all(|part| part.len() <= 2) && digits.starts_with(|c: char| c.is_ascii_digit());
    if parts == 0 || !plain {
        return None;
    }
    let closed = digits.ends_with('.') || rest.starts_with([':', ')']);
    let name = rest.trim_start_matches([':', ')']).trim_start();
    let capital = name
        .chars()
        .next()
        .is_some_and(|c| !c.is_lowercase() && !matches!(c, '-' | '%' | '–'));
    let spaced = rest.starts_with([':', ')', ' ']);
    let marks = spaced && (closed || (parts > 1 && capital) || (parts == 1 && capital && !bulleted));
    (marks && !name.is_empty()).then_some((Marker::Number(parts), name))
}

/// Splits "name (Claim 0, 2-4)" into the name and the numbers. Parentheses may be missing, and the word, if they are not.
fn cited(text: &str) -> (&str, Vec<u32>) {
    let lower = text.to_ascii_lowercase();
    for (at, _) in lower.match_indices("claim") {
        let mut tail = &text[at + "claim".len()..];
        tail = tail.strip_prefix(['s', 'S']).unwrap_or(tail);
        tail = tail.trim_start_matches([' ', ':', '#']);
        if tail.starts_with(|c: char| c.is_ascii_digit()) {
            let name = text[..at].trim_end().trim_end_matches(['(', '[', ' ']);
            return (name, numbers(tail));
        }
    }
    if let Some(open) = text.rfind('(') {
        let inside = text[open + 1..].trim_end().trim_end_matches(')');
        let list = |c: char| c.is_ascii_digit() || matches!(c, ' ' | ',' | '-' | '–');
        if inside.contains(|c: char| c.is_ascii_digit()) && inside.chars().all(list) {
            return (&text[..open], numbers(inside));
        }
    }
    (text, Vec::new())
}

/// All numbers and ranges of a list, ascending, each once.
fn numbers(text: &str) -> Vec<u32> {
    let mut found: Vec<u32> = Vec::new();
    let (mut rest, mut range_from) = (text, None);
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let between = rest[..start].trim();
        let tail = &rest[start..];
        let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let value = tail[..end]
            .parse::<u32>()
            .ok()
            .filter(|&value| value <= MAX_CLAIM);
        if let Some(value) = value {
            match range_from {
                Some(from)
                    if matches!(between, "-" | "–" | "to") && value > from && value - from <= MAX_RANGE =>
                {
                    found.extend(from + 1..=value);
                }
                _ => found.push(value),
            }
        }
        range_from = value;
        rest = &tail[end..];
    }
    found.sort_unstable();
    found.dedup();
    found
}

struct Open {
    indent: usize,
    marker: Marker,
    node: usize,
}

fn nest(lines: &[(usize, &str)], aspects: &[String]) -> (Vec<Draft>, Vec<(usize, String)>) {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut skipped = Vec::new();
    let mut stack: Vec<Open> = Vec::new();
    let tops = shallowest(lines, aspects);
    let wrapped = |text: &str| {
        text.trim()
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, ',' | ' ' | ')' | '.' | '-'))
    };
    for (at, &(number, text)) in lines.iter().enumerate() {
        if is_response(text, '2') || is_response(text, '1') {
            continue;
        }
        if let (true, Some(last)) = (wrapped(text), drafts.last_mut()) {
            // A long list of claims that went on in the next line.
            let items = std::mem::take(&mut last.category.items);
            last.category = Category {
                children: Vec::new(),
                ..Category::new(&*last.category.name, items.into_iter().chain(numbers(text)))
            };
            continue;
        }
        let line = read_line(text);
        let named = tops
            .get(&normal(without_entities(line.name)))
            // An indent that differs by one is a slip.
            .is_some_and(|&least| line.indent <= least + 1);
        let top = line.marker == Marker::Aspect || named;
        let followed = lines
            .get(at + 1)
            .map(|(_, next)| read_line(next))
            .is_some_and(|next| next.marker != Marker::None || !next.claims.is_empty());
        let bare = line.marker == Marker::None && line.claims.is_empty() && !top;
        let prose = bare
            && (!followed
                || drafts.is_empty() && text.trim_end().ends_with(':')
                || line.name.chars().count() > MAX_BARE_NAME
                || text.trim_end().ends_with('.'));
        if line.name.is_empty() || prose {
            skipped.push((number, text.trim().to_owned()));
            continue;
        }
        place(&mut stack, &line, top, drafts.len());
        let parent = stack.iter().rev().nth(1).map(|open| open.node);
        let name = if parent.is_none() {
            without_entities(line.name)
        } else {
            line.name
        };
        let name = if name.is_empty() { line.name } else { name };
        drafts.push(Draft {
            category: Category::new(name, line.claims),
            parent,
            line: number,
        });
    }
    (drafts, skipped)
}

/// The least indent at which each aspect is named: at a deeper one the name is that of a sub-category.
fn shallowest(lines: &[(usize, &str)], aspects: &[String]) -> FxHashMap<String, usize> {
    let mut least: FxHashMap<String, usize> = FxHashMap::default();
    for (_, text) in lines {
        let line = read_line(text);
        let name = normal(without_entities(line.name));
        if aspects.contains(&name) {
            let indent = least.entry(name).or_insert(line.indent);
            *indent = line.indent.min(*indent);
        }
    }
    least
}

/// Finds the line's place: pops the stack to its parent and pushes the line.
fn place(stack: &mut Vec<Open>, line: &Line<'_>, top: bool, node: usize) {
    if top {
        stack.clear();
    } else {
        // An indent that differs by one is a slip.
        let same = |open: &Open| open.marker == line.marker && open.indent.abs_diff(line.indent) <= 1;
        let numbered = |open: &Open| matches!((open.marker, line.marker), (Marker::Number(a), Marker::Number(b)) if a >= b);
        let sibling = stack.iter().rposition(same);
        let keep = sibling.unwrap_or_else(|| {
            let deeper = |open: &Open| {
                open.indent > line.indent + 1 || (open.indent + 1 >= line.indent && numbered(open))
            };
            stack.iter().position(deeper).unwrap_or(stack.len())
        });
        stack.truncate(keep.min(MAX_DEPTH - 1));
    }
    stack.push(Open {
        indent: line.indent,
        marker: line.marker,
        node,
    });
}

/// Hangs the drafts under their parents, dropping those that neither cite claims nor have children that do.
fn assemble(mut drafts: Vec<Draft>, skipped: &mut Vec<(usize, String)>) -> Vec<Category> {
    let mut roots = Vec::new();
    // Children come after their parents, so from the end every draft is whole when it is reached.
    while let Some(Draft {
        mut category,
        parent,
        line,
    }) = drafts.pop()
    {
        category.children.reverse();
        if category.items.is_empty() && category.children.is_empty() {
            skipped.push((line, category.name));
            continue;
        }
        match parent.and_then(|parent| drafts.get_mut(parent)) {
            Some(parent) => parent.category.children.push(category),
            None => roots.push(category),
        }
    }
    roots.reverse();
    roots
}

#[cfg(test)]
mod tests;
