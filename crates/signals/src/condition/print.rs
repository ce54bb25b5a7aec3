//! A condition as one line, with as few parentheses as keep its nesting.

use std::fmt::{self, Write as _};

use super::{Condition, Leaf, OnError};

/// How tightly a node binds: an operand is put in parentheses unless it binds tighter than its parent.
fn binding(node: &Condition) -> u8 {
    match node {
        Condition::Any(children) if !children.is_empty() => 0,
        Condition::All(children) if !children.is_empty() => 1,
        Condition::Not(_) => 2,
        _ => 3,
    }
}

fn operand(node: &Condition, above: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if binding(node) > above {
        write!(f, "{node}")
    } else {
        write!(f, "({node})")
    }
}

fn joined(children: &[Condition], word: &str, level: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (i, child) in children.iter().enumerate() {
        if i > 0 {
            write!(f, " {word} ")?;
        }
        operand(child, level, f)?;
    }
    Ok(())
}

/// Letters and digits of any script and `_ - . /` stand bare in a line; other names are quoted.
pub(super) fn bare(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')
}

pub(crate) fn write_name(name: &str, f: &mut impl fmt::Write) -> fmt::Result {
    if !name.is_empty() && name.chars().all(bare) {
        return f.write_str(name);
    }
    f.write_char('"')?;
    for c in name.chars() {
        match c {
            '"' | '\\' => {
                f.write_char('\\')?;
                f.write_char(c)?;
            }
            '\n' => f.write_str("\\n")?,
            _ => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(children) if children.is_empty() => f.write_str("always"),
            Self::Any(children) if children.is_empty() => f.write_str("never"),
            Self::Any(children) => joined(children, "or", 0, f),
            Self::All(children) => joined(children, "and", 1, f),
            Self::Not(child) => {
                f.write_str("not ")?;
                // `not not x` needs no parentheses.
                operand(child, 1, f)
            }
            Self::Leaf(leaf) => write!(f, "{leaf}"),
        }
    }
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        for part in [&self.name, &self.label].into_iter().flatten() {
            f.write_char(':')?;
            write_name(part, f)?;
        }
        if let Some(test) = self.test {
            write!(f, " {} {}", test.comparison.as_str(), test.bound)?;
        }
        if self.on_error == OnError::Match {
            f.write_str(" on_error match")?;
        }
        Ok(())
    }
}
