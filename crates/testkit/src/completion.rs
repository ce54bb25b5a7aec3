//! What the upstream says: made from the request and the behaviour, before any format writes it.

use serde_json::{Value, json};

use crate::ask::{Ask, Choice};
use crate::schema::instance;
use crate::script::{Behavior, Garbage, Usage};

/// Why the answer ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    Length,
    ToolCalls,
    StopSequence(String),
}

/// A call of a tool with its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// The id's running part; each format puts its own prefix before it.
    pub(crate) id: String,
    pub(crate) name: String,
    /// JSON text.
    pub(crate) arguments: String,
}

/// An answer of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Completion {
    pub(crate) id: u64,
    pub(crate) model: String,
    pub(crate) reasoning: Option<String>,
    /// The text in the pieces in which it is streamed; none when only tools are called.
    pub(crate) text: Option<Vec<String>>,
    pub(crate) refusal: Option<String>,
    pub(crate) calls: Vec<Call>,
    pub(crate) finish: Finish,
    pub(crate) usage: Usage,
}

/// Seconds since 1970 that all answers carry: fixed, so that two runs give the same bytes.
pub(crate) const CREATED: u64 = 1_767_322_800;

// === impl Completion ===

impl Completion {
    pub(crate) fn new(ask: &Ask, behavior: &Behavior, body: &str, id: u64) -> Self {
        let calls = calls(ask, behavior, id);
        let said = said(ask, behavior, body);
        let text = match said {
            Some(text) => Some(text),
            None if calls.is_empty() && behavior.refusal.is_none() => Some(default_text(ask)),
            None => None,
        };
        let mut finish = if calls.is_empty() {
            Finish::Stop
        } else {
            Finish::ToolCalls
        };
        let mut text = text.unwrap_or_default();
        let spoken = !text.is_empty() || (calls.is_empty() && behavior.refusal.is_none());
        for stop in &ask.stop {
            if let Some(at) = text.find(stop.as_str()).filter(|_| !stop.is_empty()) {
                text.truncate(at);
                finish = Finish::StopSequence(stop.clone());
            }
        }
        let mut pieces = pieces(&text, behavior.chunks);
        if let Some(most) = ask
            .max_tokens
            .filter(|most| pieces.len() > *most && behavior.chunks.is_none())
        {
            pieces.truncate(most);
            finish = Finish::Length;
        }
        let reasoning = behavior.reasoning.clone().or_else(|| {
            ask.reasoning
                .then(|| "The user wants an answer; a short one will do.".to_owned())
        });
        let usage = behavior.usage.unwrap_or_else(|| {
            let words = |text: &Option<String>| text.as_ref().map_or(0, |t| t.split_whitespace().count());
            let reasoning = words(&reasoning) as u64;
            let called: usize = calls.iter().map(|c| c.arguments.len() / 4 + 1).sum();
            let output = (pieces.len() + called + words(&behavior.refusal)) as u64 + reasoning;
            Usage {
                input: (body.len() / 4) as u64,
                output,
                reasoning,
                ..Usage::default()
            }
        });
        Self {
            id,
            model: ask.model.clone(),
            reasoning,
            text: spoken.then_some(pieces),
            refusal: behavior.refusal.clone(),
            calls,
            finish,
            usage,
        }
    }

    /// The whole text; none when only tools are called or the model refuses.
    pub(crate) fn whole_text(&self) -> Option<String> {
        self.text.as_ref().map(|pieces| pieces.concat())
    }
}

/// What the behaviour or the wanted output format makes the model say, if anything.
fn said(ask: &Ask, behavior: &Behavior, body: &str) -> Option<String> {
    if let Some(Garbage::Huge(bytes)) = behavior.garbage {
        return Some("lorem ipsum ".chars().cycle().take(bytes).collect());
    }
    if behavior.echo {
        return Some(body.to_owned());
    }
    if let Some(text) = &behavior.text {
        return Some(text.clone());
    }
    if let Some(json) = &behavior.json {
        return Some(json.to_string());
    }
    if let Some(chunks) = behavior.chunks {
        return Some((0..chunks).map(|i| format!("w{i} ")).collect());
    }
    if behavior.refusal.is_some() || !behavior.tool_calls.is_empty() {
        return None;
    }
    match &ask.schema {
        Some(schema) => Some(instance(schema).to_string()),
        None if ask.json_object => Some(json!({"answer": "yes"}).to_string()),
        None => None,
    }
}

fn default_text(ask: &Ask) -> String {
    if let Some(result) = ask.tool_results.last() {
        return format!("The tool says: {result}");
    }
    let seen = match ask.images {
        0 => String::new(),
        1 => "I see 1 image. ".to_owned(),
        n => format!("I see {n} images. "),
    };
    let heard: String = ask.text.chars().take(80).collect();
    format!("{seen}You said: {heard}")
}

fn calls(ask: &Ask, behavior: &Behavior, id: u64) -> Vec<Call> {
    let chosen: Vec<(String, Value)> = if behavior.tool_calls.is_empty() {
        let spoken = behavior.text.is_some()
            || behavior.json.is_some()
            || behavior.echo
            || behavior.chunks.is_some()
            || behavior.refusal.is_some()
            || behavior.garbage.is_some();
        wanted_tool(ask).filter(|_| !spoken).into_iter().collect()
    } else {
        behavior
            .tool_calls
            .iter()
            .map(|c| (c.name.clone(), c.arguments.clone()))
            .collect()
    };
    let call = |(i, (name, arguments)): (usize, (String, Value))| Call {
        id: format!("{id}_{i}"),
        name,
        arguments: arguments.to_string(),
    };
    chosen.into_iter().enumerate().map(call).collect()
}

/// The tool that a plausible model would call: a demanded one always, otherwise one whose name shares a word with
/// the user's text, and none while it answers the result of a tool.
fn wanted_tool(ask: &Ask) -> Option<(String, Value)> {
    let heard = ask.text.to_lowercase();
    let fits = |name: &str| {
        name.to_lowercase()
            .split(['_', '-'])
            .any(|word| word.len() > 3 && heard.contains(word))
    };
    let tool = match &ask.choice {
        Choice::Never => None,
        Choice::Named(name) => ask.tools.iter().find(|t| t.name == *name),
        Choice::Required => ask.tools.iter().find(|t| fits(&t.name)).or(ask.tools.first()),
        Choice::Auto if ask.tool_results.is_empty() => ask.tools.iter().find(|t| fits(&t.name)),
        Choice::Auto => None,
    }?;
    let arguments = instance(&tool.schema);
    Some((
        tool.name.clone(),
        if arguments.is_object() {
            arguments
        } else {
            json!({})
        },
    ))
}

/// A text in words, each with the space before it, or in so many pieces of equal length.
fn pieces(text: &str, chunks: Option<usize>) -> Vec<String> {
    match chunks {
        Some(chunks) if chunks > 0 => {
            let chars: Vec<char> = text.chars().collect();
            let size = chars.len().div_ceil(chunks).max(1);
            chars.chunks(size).map(|piece| piece.iter().collect()).collect()
        }
        _ => {
            let mut pieces: Vec<String> = Vec::new();
            for word in text.split_inclusive(' ') {
                pieces.push(word.to_owned());
            }
            pieces
        }
    }
}

/// JSON text in pieces, as tool arguments are streamed.
pub(crate) fn argument_pieces(arguments: &str) -> Vec<String> {
    let chars: Vec<char> = arguments.chars().collect();
    chars.chunks(7).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::Tool;

    fn ask() -> Ask {
        Ask {
            model: "m".into(),
            text: "What is the weather?".into(),
            n: 1,
            ..Ask::default()
        }
    }

    fn weather() -> Tool {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
        Tool {
            name: "get_weather".into(),
            schema,
        }
    }

    #[test]
    fn tools_are_called_when_demanded_or_fitting_and_not_after_a_result() {
        let mut ask = ask();
        ask.tools = vec![weather()];
        let finish = |ask: &Ask| Completion::new(ask, &Behavior::default(), "{}", 1).finish;
        assert_eq!(finish(&ask), Finish::ToolCalls);
        ask.tool_results = vec!["sunny".into()];
        assert_eq!(finish(&ask), Finish::Stop);
        ask.choice = Choice::Required;
        assert_eq!(finish(&ask), Finish::ToolCalls);
        ask.choice = Choice::Never;
        assert_eq!(finish(&ask), Finish::Stop);
    }

    #[test]
    fn max_tokens_and_stop_cut_the_text() {
        let mut ask = ask();
        ask.max_tokens = Some(2);
        let cut = Completion::new(&ask, &Behavior::text("one two three"), "{}", 1);
        assert_eq!(
            (cut.whole_text().as_deref(), &cut.finish),
            (Some("one two "), &Finish::Length)
        );
        assert_eq!(cut.usage.output, 2);
        ask.stop = vec![" two".into()];
        let cut = Completion::new(&ask, &Behavior::text("one two three"), "{}", 1);
        assert_eq!(cut.whole_text().as_deref(), Some("one"));
        assert_eq!(cut.finish, Finish::StopSequence(" two".into()));
    }

    #[test]
    fn chunks_split_a_text_into_so_many_pieces() {
        let said = Completion::new(&ask(), &Behavior::text("abcdefg").paced(3, 0), "{}", 1);
        assert_eq!(said.text.unwrap(), ["abc", "def", "g"]);
        let said = Completion::new(&ask(), &Behavior::default().paced(4, 0), "{}", 1);
        assert_eq!(said.text.unwrap().len(), 4);
    }
}
