//! A tool as its server describes it, read with suspicion.
//!
//! Names are kept for the call and for people; clients see [`crate::name::exposed`].

use std::{sync::Arc, time::Duration};

use fingerpost_agents::{
    Entry, Kind,
    mcp::{McpLimits, McpServer},
};
use rmcp::model::{ClientRequest, ListToolsRequest, PaginatedRequestParams, Tool};
use serde_json::Value;

use crate::{
    changes,
    listing::{Listed, Listing, Offers, described, name_of, tidied},
    name::{exposed, id},
    text::{escaped, tidy},
};

/// Deepest nesting of a schema that is taken.
const DEEPEST: usize = 48;

/// A tool that can be called.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Offered {
    /// `server::tool`.
    pub(crate) id: String,
    /// What its server calls it.
    pub(crate) name: String,
    /// What clients see: the name is [`exposed`].
    pub(crate) shown: Tool,
    /// Whether it may be called again after it may have been executed.
    pub(crate) repeatable: bool,
    /// US dollars a call.
    pub(crate) cost: f64,
    /// How long one call may take.
    pub(crate) timeout: Duration,
}

// === impl Offered ===

impl Listed for Offered {
    const ONE: &'static str = "tool";
    const MANY: &'static str = "tools";
    const MEMBER: &'static str = "tools";
    const KNOWN_BY: &'static str = "name";
    const KIND: changes::Kind = changes::Kind::Tools;

    fn request(page: Option<PaginatedRequestParams>) -> ClientRequest {
        let (method, extensions) = Default::default();
        ClientRequest::ListToolsRequest(ListToolsRequest {
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
        if let Some(why) = flaw(raw.get("inputSchema").unwrap_or(&Value::Null), limits.schema) {
            return Err(format!("its inputSchema {why}"));
        }
        if let Some(tool) = raw.as_object_mut() {
            tidied(tool, &["description", "title"], limits, notes);
            if let Some(why) = tool
                .get("outputSchema")
                .and_then(|schema| flaw(schema, limits.schema))
            {
                notes.push(format!("outputSchema left out: it {why}"));
                tool.remove("outputSchema");
            }
        }
        let mut shown: Tool = described(raw)?;
        shown.name = exposed(&server.name, &name).into();
        let own = server.tools.get(&name);
        let hints = shown.annotations.as_ref();
        let said = hints.is_some_and(|h| h.read_only_hint == Some(true) || h.idempotent_hint == Some(true));
        Ok(Self {
            id: id(&server.name, &name),
            shown,
            repeatable: own.and_then(|own| own.idempotent).unwrap_or(said),
            cost: own.map_or(0.0, |own| own.cost),
            timeout: own.and_then(|own| own.timeout).unwrap_or(server.timeout),
            name,
        })
    }

    fn known_by(&self) -> &str {
        &self.shown.name
    }

    fn place(offers: &mut Offers) -> &mut Arc<Listing<Self>> {
        &mut offers.tools
    }
}

impl Offered {
    /// As it is searched for.
    pub(crate) fn entry(&self, server: &str) -> Entry {
        let arguments = self
            .shown
            .input_schema
            .get("properties")
            .and_then(Value::as_object);
        let mut body = String::new();
        for (name, schema) in arguments.into_iter().flatten() {
            body.push_str(name);
            body.push(' ');
            if let Some(text) = schema.get("description").and_then(Value::as_str) {
                body.push_str(&tidy(text, 200).0);
                body.push(' ');
            }
        }
        Entry {
            name: self.name.clone(),
            description: self.shown.description.as_deref().unwrap_or_default().to_owned(),
            body,
            group: Some(server.into()),
            ..Entry::named(self.id.as_str(), Kind::Tool)
        }
    }

    /// Whether another tool has the same name at its server and takes the same arguments.
    pub(crate) fn is_twin_of(&self, other: &Self) -> bool {
        self.name == other.name && self.shown.input_schema == other.shown.input_schema
    }
}

/// What keeps a value from being the schema of an object.
fn flaw(schema: &Value, longest: usize) -> Option<String> {
    let Value::Object(members) = schema else {
        return Some("is no JSON object".to_owned());
    };
    match members.get("type") {
        None => {}
        Some(Value::String(kind)) if kind == "object" => {}
        Some(other) => {
            let found = escaped(&other.to_string(), 40);
            return Some(format!("has the type {found}; allowed: \"object\""));
        }
    }
    let bytes = schema.to_string().len();
    if bytes > longest {
        return Some(format!(
            "has {bytes} bytes; allowed: {longest} (mcp.limits.schema)"
        ));
    }
    malformed(schema, DEEPEST)
}

/// What is not as JSON Schema has it, here or in the schemas within.
fn malformed(schema: &Value, deep: usize) -> Option<String> {
    let members = match schema {
        Value::Bool(_) => return None,
        Value::Object(members) => members,
        other => {
            let found = escaped(&other.to_string(), 40);
            return Some(format!("is no JSON Schema: {found} where a schema belongs"));
        }
    };
    if deep == 0 {
        return Some(format!("is nested deeper than {DEEPEST}"));
    }
    let wrong = |key: &str, what: &str| Some(format!("is no JSON Schema: `{key}` must be {what}"));
    let is_text = |value: &Value| value.is_string();
    for (key, value) in members {
        let problem = match (key.as_str(), value) {
            ("type", Value::String(_)) => None,
            ("type", Value::Array(kinds)) if kinds.iter().all(is_text) => None,
            ("type", _) => wrong(key, "a text or a list of texts"),
            ("required", Value::Array(names)) if names.iter().all(is_text) => None,
            ("required", _) => wrong(key, "a list of texts"),
            ("properties" | "patternProperties" | "$defs" | "definitions", Value::Object(inner)) => {
                inner.values().find_map(|inner| malformed(inner, deep - 1))
            }
            ("properties" | "patternProperties" | "$defs" | "definitions", _) => wrong(key, "an object"),
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(inner)) => {
                inner.iter().find_map(|inner| malformed(inner, deep - 1))
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", _) => wrong(key, "a list"),
            ("items", Value::Array(inner)) => inner.iter().find_map(|inner| malformed(inner, deep - 1)),
            ("items" | "additionalProperties" | "not", inner) => malformed(inner, deep - 1),
            ("enum", value) if !value.is_array() => wrong(key, "a list"),
            _ => None,
        };
        if problem.is_some() {
            return problem;
        }
    }
    None
}

#[cfg(test)]
mod tests;
