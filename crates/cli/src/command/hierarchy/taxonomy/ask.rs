//! `--endpoint`: a language model is asked for the taxonomy. Each question is asked a second time where the reply cannot be
//! had or read; then the command fails, and what the model said last is kept in a file.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use fingerpost_gateway::client::{CallError, post_json};
use fingerpost_hierarchy::taxonomy::{Dialogue, DialogueError, Placed, Prompt};
use serde_json::{Value, json};
use thiserror::Error;

use crate::output::Output;

/// Whom to ask, and how.
pub(super) struct Ask<'a> {
    pub(super) endpoint: &'a str,
    pub(super) model: &'a str,
    /// The variable that holds the key.
    pub(super) key: Option<&'a str>,
    /// Time for one answer.
    pub(super) limit: Duration,
    /// Where a reply that cannot be read is kept.
    pub(super) reply_file: PathBuf,
}

/// Why a model gave no taxonomy.
#[derive(Debug, Error)]
pub(super) enum AskError {
    #[error("the variable {0} for the API key is not set; set it, or leave --api-key-env out")]
    Key(String),
    #[error("the model gave no answer, twice; try again later, or without --endpoint")]
    Call(#[source] CallError),
    #[error(
        "what the server answered, twice, is no chat completion ({why}); it is kept in {kept}: check that the URL is the base of \
         an OpenAI-compatible API, like https://host/v1"
    )]
    Garbage { why: String, kept: String },
    #[error("{source}, twice; the reply is kept in {kept}: try a larger model, or without --endpoint")]
    Reply { source: DialogueError, kept: String },
    #[error(transparent)]
    Texts(#[from] DialogueError),
}

/// A reply that is of no use.
enum Fault {
    Call(CallError),
    Garbage(String, Vec<u8>),
    Reply(DialogueError, String),
}

/// Beside the result, or in the current folder.
pub(super) fn reply_file(out: Option<&Path>) -> PathBuf {
    out.unwrap_or(Path::new("taxonomy.json"))
        .with_extension("reply.txt")
}

// === impl Ask ===

impl Ask<'_> {
    /// Holds the dialogue; `progress` hears how many questions are answered.
    pub(super) fn taxonomy(
        &self,
        title: &str,
        texts: &[&str],
        output: Output,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Placed, AskError> {
        let key = match self.key {
            None => None,
            Some(name) => Some(std::env::var(name).map_err(|_| AskError::Key(name.to_owned()))?),
        };
        let mut dialogue = Dialogue::new(title, texts)?;
        let mut answered = 0;
        loop {
            let heard = match self.once(&mut dialogue, key.as_deref()) {
                Ok(heard) => heard,
                Err(fault) => {
                    output.note(&format!("asking a second time: {}", fault.said()));
                    self.once(&mut dialogue, key.as_deref())
                        .map_err(|fault| self.keep(fault))?
                }
            };
            answered += 1;
            progress(answered);
            if let Some(placed) = heard {
                return Ok(placed);
            }
        }
    }

    fn once(&self, dialogue: &mut Dialogue, key: Option<&str>) -> Result<Option<Placed>, Fault> {
        let body = self.body(&dialogue.prompt());
        let answer =
            post_json(self.endpoint, "/chat/completions", key, body, self.limit).map_err(Fault::Call)?;
        let reply = content(&answer).map_err(|why| Fault::Garbage(why, answer.to_vec()))?;
        dialogue.hear(&reply).map_err(|error| Fault::Reply(error, reply))
    }

    fn body(&self, prompt: &Prompt) -> Vec<u8> {
        let messages = json!([
            {"role": "system", "content": prompt.system},
            {"role": "user", "content": prompt.user},
        ]);
        json!({"model": self.model, "messages": messages, "temperature": 0})
            .to_string()
            .into_bytes()
    }

    fn keep(&self, fault: Fault) -> AskError {
        let kept = |bytes: &[u8]| match fs::write(&self.reply_file, bytes) {
            Ok(()) => self.reply_file.display().to_string(),
            Err(e) => format!("no file ({}: {e})", self.reply_file.display()),
        };
        match fault {
            Fault::Call(error) => AskError::Call(error),
            Fault::Garbage(why, bytes) => AskError::Garbage {
                why,
                kept: kept(&bytes),
            },
            Fault::Reply(source, reply) => AskError::Reply {
                source,
                kept: kept(reply.as_bytes()),
            },
        }
    }
}

// === impl Fault ===

impl Fault {
    fn said(&self) -> String {
        match self {
            Self::Call(error) => error.to_string(),
            Self::Garbage(why, _) => format!("the answer is no chat completion ({why})"),
            Self::Reply(error, _) => error.to_string(),
        }
    }
}

/// What the model said.
fn content(answer: &[u8]) -> Result<String, String> {
    let value: Value = serde_json::from_slice(answer).map_err(|e| e.to_string())?;
    let said = value
        .pointer("/choices/0/message/content")
        .and_then(Value::as_str);
    said.map(str::to_owned)
        .ok_or_else(|| "it has no choices[0].message.content".to_owned())
}
