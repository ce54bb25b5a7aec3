//! Files of JSON and YAML, told apart by their fields.

use serde_json::Value;

use super::{
    Reading, Spot, card, endpoints, name, record,
    tool::{self, Server},
};
use crate::catalogue::problem::Fault;

pub(super) fn json(reading: &mut Reading, spot: &Spot<'_>, bytes: &[u8]) {
    // A mark at the start is no part of JSON, and there all the same.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value) => whole(reading, spot, &value),
        Err(_) if std::str::from_utf8(bytes).is_err() => reading.problem(spot, None, Fault::NotUtf8, true),
        Err(error) => reading.problem(spot, None, Fault::NotJson(error.to_string()), true),
    }
}

pub(super) fn yaml(reading: &mut Reading, spot: &Spot<'_>, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        reading.problem(spot, None, Fault::NotUtf8, true);
        return;
    };
    // Most YAML in a folder is none of ours: only lists of agents are looked for, and only a file that was named is judged.
    match serde_saphyr::from_str::<Value>(text) {
        Ok(value) => whole(reading, spot, &value),
        Err(error) if spot.place.file == spot.place.root => {
            let said = error.without_snippet().to_string();
            reading.problem(spot, None, Fault::NotYaml(said), true);
        }
        Err(_) => {}
    }
}

/// One row a line. A file of which no line is an entry's is none of ours.
pub(super) fn lines(reading: &mut Reading, spot: &Spot<'_>, bytes: &[u8]) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut faults = Reading::default();
    let mut is_known = false;
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let spot = Spot {
            line: Some(number + 1),
            ..spot.clone()
        };
        match serde_json::from_slice::<Value>(line) {
            Ok(row) => {
                if record::read(reading, &spot, &row) {
                    is_known = true;
                } else {
                    faults.problem(&spot, None, Fault::UnknownForm, true);
                }
            }
            Err(_) if std::str::from_utf8(line).is_err() => faults.problem(&spot, None, Fault::NotUtf8, true),
            Err(error) => faults.problem(&spot, None, Fault::NotJson(error.to_string()), true),
        }
    }
    if is_known {
        reading.append(faults);
    } else {
        reading.unknown(spot);
    }
}

/// A whole document.
fn whole(reading: &mut Reading, spot: &Spot<'_>, value: &Value) {
    if !part(reading, spot, value) {
        reading.unknown(spot);
    }
}

/// A document, or an item of one that is a list; false if it is none of ours.
fn part(reading: &mut Reading, spot: &Spot<'_>, value: &Value) -> bool {
    if let Some(items) = value.as_array() {
        // A list of tools alone is of the server that the file is named after, if they are an MCP server's.
        let mut is_known = false;
        for item in items {
            is_known |= !item.is_array() && part(reading, spot, item);
        }
        return is_known;
    }
    // An answer to `tools/list` as it came.
    let value = value
        .get("result")
        .filter(|r| r.get("tools").is_some())
        .unwrap_or(value);
    if let Some(tools) = list(value, "tools").or_else(|| list(value, "functions")) {
        let is_request = tools
            .iter()
            .any(|t| t.get("function").is_some() || t.get("parameters").is_some());
        let server = if is_request {
            Server::default()
        } else {
            Server::beside(value, spot)
        };
        tool::list(reading, spot, tools, &server);
        return true;
    }
    for key in ["servers", "mcpServers"] {
        let servers = value.get(key).and_then(Value::as_object).into_iter().flatten();
        let mut is_known = false;
        for (own, server) in servers {
            if let Some(tools) = list(server, "tools") {
                let named = Server {
                    name: name(server.get("name")).or_else(|| Some(own.clone())),
                    ..Server::beside(server, spot)
                };
                tool::list(reading, spot, tools, &named);
                is_known = true;
            }
        }
        if is_known {
            return true;
        }
    }
    if card::is_card(value) {
        card::read(reading, spot, value);
        return true;
    }
    if let Some(agents) = endpoints::list_of(value) {
        endpoints::read(reading, spot, agents);
        return true;
    }
    value.is_object() && record::read(reading, spot, value)
}

/// A list under a key that holds objects; what else it holds is told by who reads it.
fn list<'a>(value: &'a Value, key: &str) -> Option<&'a Vec<Value>> {
    let list = value.get(key)?.as_array()?;
    (list.is_empty() || list.iter().any(Value::is_object)).then_some(list)
}
