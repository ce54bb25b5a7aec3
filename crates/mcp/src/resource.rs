//! A resource, or a template of resources' URIs, as its server describes it.

use std::sync::Arc;

use fingerpost_agents::mcp::{McpLimits, McpServer};
use rmcp::model::{
    ClientRequest, ListResourceTemplatesRequest, ListResourcesRequest, PaginatedRequestParams, Resource,
    ResourceTemplate,
};
use serde_json::Value;

use crate::{
    changes::Kind,
    listing::{Listed, Listing, Offers, described, tidied},
    template::Pattern,
    text::escaped,
    uri::LONGEST,
};

/// A resource that can be read. Its URI is its server's own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place(pub(crate) Resource);

/// A template of URIs that can be read. It is its server's own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template {
    pub(crate) shown: ResourceTemplate,
    pub(crate) pattern: Pattern,
}

/// Texts that people read.
const TEXTS: [&str; 4] = ["name", "title", "description", "mimeType"];

// === impl Place ===

impl Listed for Place {
    const ONE: &'static str = "resource";
    const MANY: &'static str = "resources";
    const MEMBER: &'static str = "resources";
    const KNOWN_BY: &'static str = "uri";
    const KIND: Kind = Kind::Resources;

    fn request(page: Option<PaginatedRequestParams>) -> ClientRequest {
        let (method, extensions) = Default::default();
        ClientRequest::ListResourcesRequest(ListResourcesRequest {
            method,
            params: page,
            extensions,
        })
    }

    fn read(
        _: &McpServer,
        limits: &McpLimits,
        mut raw: Value,
        notes: &mut Vec<String>,
    ) -> Result<Self, String> {
        sound(&raw, Self::KNOWN_BY)?;
        if let Some(members) = raw.as_object_mut() {
            tidied(members, &TEXTS, limits, notes);
        }
        described(raw).map(Self)
    }

    fn known_by(&self) -> &str {
        &self.0.uri
    }

    fn place(offers: &mut Offers) -> &mut Arc<Listing<Self>> {
        &mut offers.resources
    }
}

// === impl Template ===

impl Listed for Template {
    const ONE: &'static str = "resource template";
    const MANY: &'static str = "resource templates";
    const MEMBER: &'static str = "resourceTemplates";
    const KNOWN_BY: &'static str = "uriTemplate";
    const KIND: Kind = Kind::Resources;

    fn request(page: Option<PaginatedRequestParams>) -> ClientRequest {
        let (method, extensions) = Default::default();
        ClientRequest::ListResourceTemplatesRequest(ListResourceTemplatesRequest {
            method,
            params: page,
            extensions,
        })
    }

    fn read(
        _: &McpServer,
        limits: &McpLimits,
        mut raw: Value,
        notes: &mut Vec<String>,
    ) -> Result<Self, String> {
        let pattern =
            Pattern::read(sound(&raw, Self::KNOWN_BY)?).map_err(|why| format!("its uriTemplate {why}"))?;
        if let Some(members) = raw.as_object_mut() {
            tidied(members, &TEXTS, limits, notes);
        }
        let shown = described(raw)?;
        Ok(Self { shown, pattern })
    }

    fn known_by(&self) -> &str {
        &self.shown.uri_template
    }

    fn place(offers: &mut Offers) -> &mut Arc<Listing<Self>> {
        &mut offers.templates
    }
}

/// The URI or template in this member. It is handed on as it is, so one that would do something when it is printed is none.
fn sound<'a>(raw: &'a Value, key: &str) -> Result<&'a str, String> {
    let Some(Value::String(uri)) = raw.get(key) else {
        return Err(format!("it has no {key}"));
    };
    if uri.is_empty() || uri.len() > LONGEST {
        let bytes = uri.len();
        return Err(format!("its {key} has {bytes} bytes; allowed: 1 to {LONGEST}"));
    }
    if escaped(uri, LONGEST) != *uri {
        return Err(format!("its {key} holds characters that none may hold"));
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read<T: Listed>(raw: Vec<Value>) -> Listing<T> {
        Listing::read(&McpServer::started("s", "x"), &McpLimits::default(), raw)
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_said_and_texts_are_cleaned() {
        let listing = read::<Place>(vec![
            json!({"uri": "a:1", "name": "\u{1b}[2Jone", "description": "x".repeat(5000), "mimeType": "text/plain"}),
            json!({"uri": "a:1", "name": "again"}),
            json!({"uri": "a:\n2", "name": "two"}),
            json!({"uri": "a:\u{202e}2", "name": "two"}),
            json!({"uri": format!("a:{}", "x".repeat(5000)), "name": "long"}),
            json!({"name": "nowhere"}),
            json!({"uri": "a:3"}),
            json!("a:4"),
        ]);
        assert_eq!(listing.items.len(), 1);
        let shown = &listing.items[0].0;
        assert_eq!((shown.uri.as_str(), shown.name.as_str()), ("a:1", "[2Jone"));
        assert!(shown.description.as_ref().unwrap().len() < 4200);
        let problems = listing.problems.join("\n");
        for expected in [
            "resource `a:1` description of 5000 bytes cut: mcp.limits.description",
            "resource `a:1` left out: the server lists another one of this URI before it",
            "resource `a:\\n2` left out: its uri holds characters that none may hold",
            "resource `a:\\u{202e}2` left out: its uri holds",
            "left out: its uri has 5002 bytes; allowed: 1 to 4096",
            "resource `` left out: it has no uri",
            "resource `a:3` left out: it is not described as MCP asks for",
        ] {
            assert!(problems.contains(expected), "{expected}\n{problems}");
        }
    }

    #[test]
    fn templates_that_are_none_are_left_out() {
        let listing = read::<Template>(vec![
            json!({"uriTemplate": "a:{x}", "name": "good"}),
            json!({"uriTemplate": "a:{x", "name": "bad"}),
        ]);
        assert_eq!(listing.items.len(), 1);
        assert_eq!(
            listing.problems,
            ["resource template `a:{x` left out: its uriTemplate holds a `{` without its `}`"]
        );
    }

    #[test]
    fn too_many_are_left_out() {
        let limits = McpLimits {
            tools: 2,
            ..McpLimits::default()
        };
        let raw = (0..5)
            .map(|i| json!({"uri": format!("a:{i}"), "name": "x"}))
            .collect();
        let listing = Listing::<Place>::read(&McpServer::started("s", "x"), &limits, raw);
        assert_eq!(listing.items.len(), 2);
        assert_eq!(listing.problems, ["3 of 5 resources left out: mcp.limits.tools"]);
    }
}
