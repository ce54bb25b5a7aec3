//! An A2A agent card: what an agent says of itself. Not to be believed about where it lives.

use serde_json::Value;

use super::{Reading, Spot, name, text, texts};
use crate::{
    catalogue::{
        endpoint::Endpoint,
        problem::{Address, Fault},
    },
    entry::{Entry, Kind},
};

/// Whether it has the look of a card.
pub(super) fn is_card(value: &Value) -> bool {
    let has = |key| value.get(key).is_some();
    let speaks = [
        "protocolVersion",
        "capabilities",
        "supportedInterfaces",
        "defaultInputModes",
    ];
    has("name")
        && (value.get("skills").is_some_and(Value::is_array)
            && (has("url") || speaks.iter().any(|key| has(key)))
            || has("url") && speaks.iter().any(|key| has(key)))
}

/// A card. Every address in it must be one that may be called, and lead to the host that the card was fetched from, where
/// that is known: a card that points elsewhere would have others called in its name.
pub(super) fn read(reading: &mut Reading, spot: &Spot<'_>, card: &Value) {
    let Some(own) = name(card.get("name")) else {
        reading.problem(spot, None, Fault::NoName, true);
        return;
    };
    let more = ["supportedInterfaces", "additionalInterfaces"];
    let more = more.iter().filter_map(|key| card.get(key)?.as_array()).flatten();
    let addresses = card
        .get("url")
        .into_iter()
        .chain(more.filter_map(|interface| interface.get("url")));
    let fetched = fetched_from(spot);
    let mut endpoint = None;
    for address in addresses {
        let read = Endpoint::parse(&text(Some(address))).and_then(|endpoint| match &fetched {
            Some(fetched) if *fetched != endpoint.host() => Err(Address::Host {
                claimed: endpoint.host(),
                fetched: fetched.clone(),
            }),
            _ => Ok(endpoint),
        });
        match read {
            Ok(read) => endpoint = endpoint.or(Some(read)),
            Err(fault) => {
                reading.problem(spot, Some(&own), Fault::Address(fault), true);
                return;
            }
        }
    }
    let Some(endpoint) = endpoint else {
        reading.problem(spot, Some(&own), Fault::Address(Address::Missing), true);
        return;
    };
    let (mut body, mut examples, mut tags) = (String::new(), Vec::new(), Vec::new());
    for skill in card.get("skills").and_then(Value::as_array).into_iter().flatten() {
        for key in ["name", "description"] {
            body.push_str(&text(skill.get(key)));
            body.push('\n');
        }
        examples.extend(texts(skill.get("examples")));
        for tag in texts(skill.get("tags")) {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
    }
    let entry = Entry {
        description: text(card.get("description")),
        body: body.trim().to_owned(),
        examples,
        tags,
        group: Some(endpoint.host().into()),
        ..Entry::named(own, Kind::Agent)
    };
    if let Some(id) = reading.take(spot, entry) {
        reading.endpoints.insert(id, endpoint);
    }
}

/// The host that a card was fetched from, where its path tells: the folder above `.well-known`.
fn fetched_from(spot: &Spot<'_>) -> Option<String> {
    let parts: Vec<&str> = spot.place.file.iter().filter_map(|part| part.to_str()).collect();
    let at = parts.iter().rposition(|part| *part == ".well-known")?;
    let host = parts.get(at.checked_sub(1)?)?.to_ascii_lowercase();
    let is_host = host == "localhost" || host.contains('.') && !host.starts_with('.') && !host.ends_with('.');
    is_host.then_some(host)
}
