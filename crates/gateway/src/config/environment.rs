//! `${NAME}` and `${NAME:-default}` in values stand for variables of the environment; `$${` is a plain `${`.
//!
//! A value is put in after parsing, so no variable can change the shape of the file. Messages show the file as written, never
//! what a variable stands for.

use fingerpost_signals::Problem;

use super::{
    node::{Node, Value},
    span::is_variable_name,
};

/// Looks a variable up.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What was put in, so that messages can be cleaned of it.
#[derive(Debug, Default)]
pub(super) struct Substituted(Vec<(String, String)>);

/// Puts the variables into all values of the tree; reports those that are not set, and sets their values aside.
pub(super) fn substitute(root: &mut Node, lookup: Lookup<'_>, problems: &mut Vec<Problem>) -> Substituted {
    let mut put_in = Substituted::default();
    root.walk_mut(&mut |node| {
        let Value::Text(text) = &node.value else { return };
        if !text.contains("${") {
            return;
        }
        match expand(text, lookup, &mut put_in.0) {
            Ok((expanded, used)) => {
                let is_plain = !node.written.starts_with(['"', '\'', '|', '>']);
                node.from_environment = used;
                node.literal.clone_from(&expanded);
                node.value = if used && is_plain {
                    scalar(expanded)
                } else {
                    Value::Text(expanded)
                };
            }
            Err((message, found)) => {
                let problem = Problem::error(node.path.clone(), message).found(found);
                problems.push(problem.allowed("${NAME} of a variable that is set, or ${NAME:-default}"));
                node.is_aside = true;
            }
        }
    });
    // The longest first, so that a value within another leaves no remainder of it.
    put_in.0.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    put_in
}

/// The text with its variables, and whether there were any; or what is wrong and with which piece.
fn expand(
    text: &str,
    lookup: Lookup<'_>,
    put_in: &mut Vec<(String, String)>,
) -> Result<(String, bool), (&'static str, String)> {
    let (mut out, mut rest, mut used) = (String::with_capacity(text.len()), text, false);
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            out.push_str(&rest[..start]);
            out.push('{');
            rest = &rest[start + 2..];
            continue;
        }
        out.push_str(&rest[..start]);
        let after = &rest[start + 2..];
        let end = after
            .find('}')
            .ok_or_else(|| ("no closing brace after", rest[start..].to_owned()))?;
        let (name, default) = match after[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&after[..end], None),
        };
        if !is_variable_name(name) {
            return Err(("no name of a variable:", name.to_owned()));
        }
        // Like a shell: an empty variable counts as unset where there is a default.
        let value = lookup(name).filter(|value| default.is_none() || !value.is_empty());
        match (value, default) {
            (Some(value), _) => {
                if !value.is_empty() {
                    put_in.push((value.clone(), format!("${{{name}}}")));
                }
                out.push_str(&value);
            }
            (None, Some(default)) => out.push_str(default),
            (None, None) => return Err(("environment variable that is not set:", name.to_owned())),
        }
        used = true;
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    Ok((out, used))
}

/// What an unquoted text means in YAML.
fn scalar(text: String) -> Value {
    match text.as_str() {
        "" | "~" | "null" => return Value::Null,
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        _ => {}
    }
    let is_numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    if is_numeric && let Ok(number) = text.parse() {
        return Value::Integer(number);
    }
    if is_numeric && let Ok(number) = text.parse() {
        return Value::Float(number);
    }
    Value::Text(text)
}

// === impl Substituted ===

/// Shorter values ("1", "on") are no secrets, and blotting them out everywhere would garble messages.
const SHORTEST_SECRET: usize = 4;

impl Substituted {
    /// The message with every variable's value replaced by its name.
    pub(super) fn hide(&self, message: &str) -> String {
        let long = self.0.iter().filter(|(value, _)| value.len() >= SHORTEST_SECRET);
        long.fold(message.to_owned(), |message, (value, name)| {
            message.replace(value, name)
        })
    }
}
