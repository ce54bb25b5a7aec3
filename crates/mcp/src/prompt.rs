//! A prompt as its server describes it. Clients see [`crate::name::exposed`], as with tools.

use std::sync::Arc;

use fingerpost_agents::mcp::{McpLimits, McpServer};
use rmcp::model::{ClientRequest, ListPromptsRequest, PaginatedRequestParams, Prompt};
use serde_json::Value;

use crate::{
    changes::Kind,
    listing::{Listed, Listing, Offers, described, name_of, tidied},
    name::{exposed, id},
};

/// A prompt that can be got.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OfferedPrompt {
    /// `server::prompt`.
    pub(crate) id: String,
    /// What its server calls it.
    pub(crate) name: String,
    /// What clients see.
    pub(crate) shown: Prompt,
}

// === impl OfferedPrompt ===

impl Listed for OfferedPrompt {
    const ONE: &'static str = "prompt";
    const MANY: &'static str = "prompts";
    const MEMBER: &'static str = "prompts";
    const KNOWN_BY: &'static str = "name";
    const KIND: Kind = Kind::Prompts;

    fn request(page: Option<PaginatedRequestParams>) -> ClientRequest {
        let (method, extensions) = Default::default();
        ClientRequest::ListPromptsRequest(ListPromptsRequest {
            method,
            params: page,
            extensions,
        })
    }

    fn read(
        server: &McpServer,
        limits: &McpLimits,
        mut raw: Value,
        notes: &mut Vec<String>,
    ) -> Result<Self, String> {
        let name = name_of(&raw)?;
        if let Some(prompt) = raw.as_object_mut() {
            tidied(prompt, &["description", "title"], limits, notes);
            if let Some(arguments) = prompt.get_mut("arguments") {
                let bytes = arguments.to_string().len();
                if bytes > limits.schema {
                    let allowed = limits.schema;
                    return Err(format!(
                        "its arguments have {bytes} bytes; allowed: {allowed} (mcp.limits.schema)"
                    ));
                }
                let each = arguments.as_array_mut().into_iter().flatten();
                for argument in each.filter_map(Value::as_object_mut) {
                    tidied(argument, &["description", "title"], limits, notes);
                }
            }
        }
        let mut shown: Prompt = described(raw)?;
        shown.name = exposed(&server.name, &name);
        Ok(Self {
            id: id(&server.name, &name),
            name,
            shown,
        })
    }

    fn known_by(&self) -> &str {
        &self.shown.name
    }

    fn place(offers: &mut Offers) -> &mut Arc<Listing<Self>> {
        &mut offers.prompts
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_made_safe_as_those_of_tools_and_texts_are_cleaned() {
        let raw = vec![
            json!({"name": "sum up", "description": "\u{1b}a", "arguments": [{"name": "of", "description": "\u{202e}b"}]}),
            json!({"name": "plain"}),
            json!({"name": "plain"}),
            json!({"name": "large", "arguments": [{"name": "x".repeat(70_000)}]}),
            json!({"name": "odd", "arguments": "none"}),
        ];
        let listing =
            Listing::<OfferedPrompt>::read(&McpServer::started("s", "x"), &McpLimits::default(), raw);
        let [first, plain] = &listing.items[..] else {
            panic!("{listing:?}")
        };
        assert_eq!(first.shown.name, exposed("s", "sum up"));
        assert_eq!((first.name.as_str(), first.id.as_str()), ("sum up", "s::sum up"));
        assert_eq!(first.shown.description.as_deref(), Some("a"));
        assert_eq!(
            first.shown.arguments.as_ref().unwrap()[0].description.as_deref(),
            Some("b")
        );
        assert_eq!(plain.shown.name, "s__plain");
        assert_eq!(listing.problems.len(), 3, "{:?}", listing.problems);
        assert!(
            listing.problems[1].contains("mcp.limits.schema"),
            "{:?}",
            listing.problems
        );
    }
}
