//! What a server lists, read with suspicion.
//!
//! What it sends is taken in one by one: what cannot be used is left out and said, the others stay.

use std::{collections::HashSet, sync::Arc};

use fingerpost_agents::mcp::{McpLimits, McpServer};
use rmcp::model::{ClientRequest, PaginatedRequestParams};
use serde_json::{Map, Value};

use crate::{
    changes::Kind,
    prompt::OfferedPrompt,
    resource::{Place, Template},
    text::{escaped, tidy},
    tool::Offered,
};

/// Longest name that is taken, in bytes.
const LONGEST_NAME: usize = 256;
/// Most problems of one list that are kept.
pub(crate) const MOST_PROBLEMS: usize = 20;

/// Something that servers list.
pub(crate) trait Listed: Sized + PartialEq {
    /// In words: one of them.
    const ONE: &'static str;
    /// In words: several.
    const MANY: &'static str;
    /// Where they stand in an answer.
    const MEMBER: &'static str;
    /// The member that tells one from another.
    const KNOWN_BY: &'static str;
    /// What changes with them.
    const KIND: Kind;

    /// Asks for a page of them.
    fn request(page: Option<PaginatedRequestParams>) -> ClientRequest;

    /// Reads one as it came; what was cut off it goes to the notes.
    ///
    /// # Errors
    /// Why it cannot be used.
    fn read(
        server: &McpServer,
        limits: &McpLimits,
        raw: Value,
        notes: &mut Vec<String>,
    ) -> Result<Self, String>;

    /// What it is known by: no two of a list have it in common.
    fn known_by(&self) -> &str;

    /// Where a server's are kept.
    fn place(offers: &mut Offers) -> &mut Arc<Listing<Self>>;
}

/// What came of a server's list.
#[derive(Debug)]
pub(crate) struct Listing<T> {
    /// In the server's order.
    pub(crate) items: Vec<Arc<T>>,
    /// What was left out or cut, and why: safe to print.
    pub(crate) problems: Vec<String>,
}

/// All that a server offers. Stays known while it is away.
#[derive(Debug, Clone, Default)]
pub(crate) struct Offers {
    pub(crate) tools: Arc<Listing<Offered>>,
    pub(crate) resources: Arc<Listing<Place>>,
    pub(crate) templates: Arc<Listing<Template>>,
    pub(crate) prompts: Arc<Listing<OfferedPrompt>>,
    /// Absent until it has been connected once.
    pub(crate) declared: Option<Declared>,
}

/// What a server says that it can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) resources: bool,
    pub(crate) prompts: bool,
    /// Whether it completes the arguments of prompts and templates.
    pub(crate) completions: bool,
}

// === impl Listing ===

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            problems: Vec::new(),
        }
    }
}

impl<T: Listed> Listing<T> {
    /// Reads what a server lists, as it came.
    pub(crate) fn read(server: &McpServer, limits: &McpLimits, raw: Vec<Value>) -> Self {
        let (mut listing, mut seen, mut more) = (Self::default(), HashSet::new(), 0);
        let (sent, many) = (raw.len(), T::MANY);
        if sent > limits.tools {
            let message = format!(
                "{} of {sent} {many} left out: mcp.limits.tools",
                sent - limits.tools
            );
            listing.problems.push(message);
        }
        for one in raw.into_iter().take(limits.tools) {
            let known_by = one.get(T::KNOWN_BY).and_then(Value::as_str).unwrap_or_default();
            let label = format!("{} `{}`", T::ONE, escaped(known_by, 80));
            let mut notes = Vec::new();
            match T::read(server, limits, one, &mut notes) {
                Ok(one) if seen.insert(one.known_by().to_owned()) => listing.items.push(Arc::new(one)),
                Ok(_) => {
                    let by = if T::KNOWN_BY == "name" { "name" } else { "URI" };
                    notes.push(format!(
                        "left out: the server lists another one of this {by} before it"
                    ));
                }
                Err(why) => notes.push(format!("left out: {why}")),
            }
            for note in notes {
                if listing.problems.len() < MOST_PROBLEMS {
                    listing.problems.push(format!("{label} {note}"));
                } else {
                    more += 1;
                }
            }
        }
        if more > 0 {
            listing.problems.push(format!("and {more} more"));
        }
        listing
    }
}

// === impl Offers ===

impl Offers {
    /// What was left out or cut of all its lists.
    pub(crate) fn problems(&self) -> impl Iterator<Item = &String> {
        let (tools, resources) = (&self.tools.problems, &self.resources.problems);
        let (templates, prompts) = (&self.templates.problems, &self.prompts.problems);
        tools.iter().chain(resources).chain(templates).chain(prompts)
    }
}

/// The name of what is listed, as its server calls it.
pub(crate) fn name_of(raw: &Value) -> Result<String, String> {
    match raw.get("name") {
        Some(Value::String(name)) if !name.is_empty() && name.len() <= LONGEST_NAME => Ok(name.clone()),
        Some(Value::String(name)) => Err(format!(
            "its name has {} bytes; allowed: 1 to {LONGEST_NAME}",
            name.len()
        )),
        _ => Err("it has no name".to_owned()),
    }
}

/// Cleans and cuts the texts of these members.
pub(crate) fn tidied(
    members: &mut Map<String, Value>,
    keys: &[&str],
    limits: &McpLimits,
    notes: &mut Vec<String>,
) {
    for key in keys {
        let Some(Value::String(text)) = members.get(*key) else {
            continue;
        };
        let (tidied, was_cut) = tidy(text, limits.description);
        if was_cut {
            let length = text.len();
            notes.push(format!("{key} of {length} bytes cut: mcp.limits.description"));
        }
        members.insert((*key).to_owned(), Value::String(tidied));
    }
}

/// Reads what is left as MCP describes it.
pub(crate) fn described<T: serde::de::DeserializeOwned>(raw: Value) -> Result<T, String> {
    serde_json::from_value(raw).map_err(|error| {
        let error = escaped(&error.to_string(), 200);
        format!("it is not described as MCP asks for: {error}")
    })
}
