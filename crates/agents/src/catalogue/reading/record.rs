//! One row of a list: an entry as it is saved, or of a data set whose fields are known.

use serde_json::Value;

use super::{
    Reading, Spot, card, name, text, texts,
    tool::{self, Server},
};
use crate::{
    catalogue::problem::Fault,
    entry::{Entry, Kind},
};

/// Reads a row by the fields it has; false if they are no entry's.
///
/// | fields | read as |
/// | --- | --- |
/// | `id`, `kind` | an [`Entry`] as it is |
/// | `server`, `name`, `inputSchema` | a tool of an MCP server |
/// | `function`, or `name` with `parameters` or `inputSchema` | a tool's definition |
/// | `name`, `url`, and what A2A has | an agent's card |
/// | `source`, `name`, `params` | a function or API with its arguments |
/// | `name`, `description`, `repo` | a skill, with or without `id` and `body` |
/// | `id`, `description` | a tool, with or without `name` and `description_long` |
pub(super) fn read(reading: &mut Reading, spot: &Spot<'_>, row: &Value) -> bool {
    let has = |key| row.get(key).is_some();
    if has("id") && has("kind") {
        match serde_json::from_value::<Entry>(row.clone()) {
            Ok(entry) => {
                reading.take(spot, entry);
            }
            Err(error) => reading.problem(spot, None, Fault::NotJson(error.to_string()), true),
        }
    } else if has("server") && has("name") && has("inputSchema") {
        let server = Server {
            name: name(row.get("server")),
            about: text(row.get("server_description")),
            tags: texts(row.get("category")),
        };
        tool::read(reading, spot, row, &server);
    } else if tool::is_tool(row) {
        tool::read(reading, spot, row, &Server::default());
    } else if card::is_card(row) {
        card::read(reading, spot, row);
    } else if has("source") && has("name") && row.get("params").is_some_and(Value::is_object) {
        function(reading, spot, row);
    } else if has("name") && has("description") && has("repo") {
        skill(reading, spot, row);
    } else if has("id") && has("description") {
        let own = text(row.get("id"));
        let entry = Entry {
            name: name(row.get("name")).unwrap_or_else(|| own.clone()),
            description: text(row.get("description")),
            body: text(row.get("description_long")),
            tags: texts(row.get("tags")),
            ..Entry::named(own, Kind::Tool)
        };
        reading.take(spot, entry);
    } else {
        return false;
    }
    true
}

fn function(reading: &mut Reading, spot: &Spot<'_>, row: &Value) {
    let own = text(row.get("name"));
    let mut body = String::new();
    for (argument, said) in row.get("params").and_then(Value::as_object).into_iter().flatten() {
        body.push_str(&format!("{argument}: {}\n", text(Some(said))));
    }
    for key in ["functionality", "api_call"] {
        body.push_str(&text(row.get(key)));
        body.push('\n');
    }
    let group = name(row.get("group")).or_else(|| name(row.get("source")));
    let entry = Entry {
        name: own.clone(),
        description: text(row.get("description")),
        body: body.trim().to_owned(),
        group: group.map(Into::into),
        ..Entry::named(name(row.get("id")).unwrap_or(own), Kind::Tool)
    };
    reading.take(spot, entry);
}

fn skill(reading: &mut Reading, spot: &Spot<'_>, row: &Value) {
    let (own, repository) = (text(row.get("name")), text(row.get("repo")));
    let id = name(row.get("id")).unwrap_or_else(|| format!("{repository}/{own}"));
    let entry = Entry {
        name: own,
        description: text(row.get("description")),
        body: text(row.get("body")),
        examples: texts(row.get("examples").filter(|e| e.is_array())),
        tags: texts(row.get("category")),
        group: (!repository.is_empty()).then(|| repository.into()),
        ..Entry::named(id, Kind::Skill)
    };
    reading.take(spot, entry);
}
