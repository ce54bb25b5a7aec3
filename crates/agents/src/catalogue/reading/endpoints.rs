//! A list of agents that speak a chat format: `agents:` with `name`, `url`, and what else is known of each.

use serde_json::Value;

use super::{Reading, Spot, name, text, texts};
use crate::{
    catalogue::{endpoint::Endpoint, problem::Fault},
    entry::{Entry, Kind},
};

/// The list, if the object has one: of objects that have an address.
pub(super) fn list_of(object: &Value) -> Option<&Vec<Value>> {
    let list = ["agents", "endpoints"]
        .iter()
        .find_map(|key| object.get(key)?.as_array())?;
    list.iter()
        .any(|agent| agent.get("url").is_some() || agent.get("name").is_some())
        .then_some(list)
}

pub(super) fn read(reading: &mut Reading, spot: &Spot<'_>, agents: &[Value]) {
    for agent in agents {
        let Some(own) = name(agent.get("name")) else {
            reading.problem(spot, None, Fault::NoName, true);
            continue;
        };
        let endpoint = match Endpoint::parse(&text(agent.get("url"))) {
            Ok(endpoint) => endpoint.with_model(name(agent.get("model"))),
            Err(fault) => {
                reading.problem(spot, Some(&own), Fault::Address(fault), true);
                continue;
            }
        };
        let entry = Entry {
            description: text(agent.get("description")),
            body: text(agent.get("body")),
            examples: texts(agent.get("examples")),
            tags: texts(agent.get("tags")),
            group: Some(endpoint.host().into()),
            ..Entry::named(own, Kind::Agent)
        };
        if let Some(id) = reading.take(spot, entry) {
            reading.endpoints.insert(id, endpoint);
        }
    }
}
