//! Servers that were found in place of being named: pods of a cluster. What the configuration says of each is a template; where they are is told
//! from outside, and again whenever that changes.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::{
    config::{Config, Endpoint},
    upstream::Address,
};

/// A server of a model that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is called, unique among those of its model.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it takes new calls; those under way end as they will.
    pub is_ready: bool,
}

/// The configuration with the endpoints that were found for models with `pods`, by the model's name.
pub(crate) fn with(config: &Config, found: &BTreeMap<String, Vec<Found>>) -> Config {
    let mut config = config.clone();
    for (name, model) in &mut config.models {
        let Some(pods) = &model.pods else { continue };
        let template = &pods.each;
        let Some(provider) = config.providers.get(&template.provider).cloned() else {
            continue;
        };
        let address = provider.base_url.as_deref().map(Address::parse);
        let (scheme, prefix) = match &address {
            Some(Ok(address)) if address.tls => ("https", address.prefix.as_str()),
            Some(Ok(address)) => ("http", address.prefix.as_str()),
            _ => ("http", "/v1"),
        };
        model.endpoints.clear();
        for server in found.get(name).into_iter().flatten() {
            let place = format!("{}/{}", template.provider, server.name);
            let mut own = provider.clone();
            own.base_url = Some(format!("{scheme}://{}{prefix}", server.address));
            config.providers.insert(place.clone(), own);
            model.endpoints.push(Endpoint {
                provider: place,
                drain: template.drain || !server.is_ready,
                ..template.clone()
            });
        }
    }
    config
}
