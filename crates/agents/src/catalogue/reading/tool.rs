//! Tools: of MCP servers (`tools/list`) and of requests in OpenAI's form, nested under `function` or flat.

use serde_json::Value;

use super::{Reading, Spot, file_name, name, schema, text};
use crate::{
    catalogue::problem::Fault,
    entry::{Entry, Kind},
};

/// The server that tools come from.
#[derive(Debug, Clone, Default)]
pub(super) struct Server {
    pub(super) name: Option<String>,
    /// Its own description, which each of its tools carries in its body.
    pub(super) about: String,
    pub(super) tags: Vec<String>,
}

/// Names of files that say nothing about the server.
const PLAIN_NAMES: [&str; 6] = ["tools", "tools_list", "tools-list", "mcp", "index", "list"];

/// Whether it has the look of a tool's definition.
pub(super) fn is_tool(value: &Value) -> bool {
    let has = |key| value.get(key).is_some();
    value.get("function").is_some_and(Value::is_object)
        || value.get("type").is_some_and(|kind| kind == "function") && has("name")
        || has("name") && (has("inputSchema") || has("input_schema") || has("parameters"))
}

/// One tool, whichever form it has.
pub(super) fn read(reading: &mut Reading, spot: &Spot<'_>, value: &Value, server: &Server) {
    let tool = value.get("function").filter(|f| f.is_object()).unwrap_or(value);
    let Some(own) = name(tool.get("name")) else {
        reading.problem(spot, None, Fault::NoName, true);
        return;
    };
    let id = match &server.name {
        Some(server) => format!("{server}::{own}"),
        None => own.clone(),
    };
    let mut body = String::new();
    let given = ["inputSchema", "input_schema", "parameters"]
        .iter()
        .find_map(|key| tool.get(*key));
    if let Some(given) = given.filter(|g| !g.is_null())
        && let Err(what) = schema::arguments(given, &mut body)
    {
        reading.problem(spot, Some(&id), Fault::Schema(what), false);
    }
    if !server.about.is_empty() {
        body.push_str(&server.about);
    }
    let mut description = text(tool.get("description"));
    let annotated = tool.get("annotations").and_then(|a| a.get("title"));
    if let Some(title) = name(tool.get("title").or(annotated)).filter(|title| *title != own) {
        description = format!("{title}. {description}");
    }
    let entry = Entry {
        name: own,
        description: description.trim().to_owned(),
        body: body.trim().to_owned(),
        tags: server.tags.clone(),
        group: server.name.as_deref().map(Into::into),
        ..Entry::named(id, Kind::Tool)
    };
    reading.take(spot, entry);
}

/// A list of tools with whatever tells their server: fields beside it, or the file's name.
pub(super) fn list(reading: &mut Reading, spot: &Spot<'_>, tools: &[Value], server: &Server) {
    for tool in tools {
        read(reading, spot, tool, server);
    }
}

// === impl Server ===

impl Server {
    /// What an object with `tools` says of their server.
    pub(super) fn beside(object: &Value, spot: &Spot<'_>) -> Self {
        let info = object
            .get("serverInfo")
            .or_else(|| object.get("server"))
            .unwrap_or(object);
        let own = name(Some(info)).or_else(|| name(info.get("name")));
        let about = ["description", "instructions"];
        let about = about
            .iter()
            .find_map(|key| name(info.get(key)).or_else(|| name(object.get(key))));
        Self {
            name: own.or_else(|| Self::of_file(spot)),
            about: about.unwrap_or_default(),
            tags: Vec::new(),
        }
    }

    /// The server that a file of its own is named after.
    fn of_file(spot: &Spot<'_>) -> Option<String> {
        let file = spot.place.file;
        let stem = file.file_stem()?.to_str()?.to_owned();
        if PLAIN_NAMES.contains(&stem.to_ascii_lowercase().as_str()) {
            return Some(file_name(file.parent()?)).filter(|name| !name.is_empty());
        }
        Some(stem)
    }
}
