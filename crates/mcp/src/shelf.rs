//! The resources and prompts of all servers, by URI and by name.

use std::{collections::HashMap, sync::Arc};

use rmcp::model::{Prompt, Resource, ResourceTemplate};

use crate::{
    prompt::OfferedPrompt,
    resource::Template,
    server::Server,
    uri::{OWN, qualified, told_apart},
};

/// What can be read and got of all servers at one moment.
pub(crate) struct Shelf {
    servers: Vec<Arc<Server>>,
    /// As clients see them.
    resources: Vec<Resource>,
    templates: Vec<ResourceTemplate>,
    prompts: Vec<(Arc<Server>, Arc<OfferedPrompt>)>,
    /// By a URI or a template as its servers know it: the places of those that list it.
    listed: HashMap<String, Vec<usize>>,
    patterns: Vec<(usize, Arc<Template>)>,
    /// By the name that clients see, and by `server::prompt`.
    names: HashMap<String, usize>,
}

/// A URI, or a template of some, and whom to ask for it.
#[derive(Clone)]
pub(crate) struct Where {
    pub(crate) server: Arc<Server>,
    /// As the server knows it.
    pub(crate) uri: String,
}

/// Whom to ask for a URI.
pub(crate) enum Found {
    /// The one that lists it, or whose name it holds.
    One(Where),
    /// These list it, each something of its own.
    Several(Vec<Where>),
    /// Nobody lists it. These have a template that it fits, if any.
    Unlisted(Vec<Where>),
}

// === impl Shelf ===

impl Shelf {
    /// In the order of the servers.
    pub(crate) fn of(servers: &[Arc<Server>]) -> Self {
        let mut shelf = Self {
            servers: servers.to_vec(),
            resources: Vec::new(),
            templates: Vec::new(),
            prompts: Vec::new(),
            listed: HashMap::new(),
            patterns: Vec::new(),
            names: HashMap::new(),
        };
        let offers: Vec<_> = servers.iter().map(|server| server.offers()).collect();
        for (i, offers) in offers.iter().enumerate() {
            let resources = offers.resources.items.iter().map(|resource| &resource.0.uri);
            let templates = offers
                .templates
                .items
                .iter()
                .map(|template| &template.shown.uri_template);
            for uri in resources.chain(templates) {
                let places = shelf.listed.entry(uri.clone()).or_default();
                // One may list a resource and a template that are the same text.
                if !places.contains(&i) {
                    places.push(i);
                }
            }
        }
        for (i, (server, offers)) in servers.iter().zip(&offers).enumerate() {
            for resource in &offers.resources.items {
                let mut shown = resource.0.clone();
                shown.uri = shelf.shown(server, shown.uri);
                shelf.resources.push(shown);
            }
            for template in &offers.templates.items {
                let mut shown = template.shown.clone();
                shown.uri_template = shelf.shown(server, shown.uri_template);
                shelf.templates.push(shown);
                shelf.patterns.push((i, Arc::clone(template)));
            }
            for prompt in &offers.prompts.items {
                let place = shelf.prompts.len();
                shelf.names.insert(prompt.shown.name.clone(), place);
                shelf.names.insert(prompt.id.clone(), place);
                shelf.prompts.push((Arc::clone(server), Arc::clone(prompt)));
            }
        }
        shelf
    }

    /// A server's URI as clients see it: its own, but where that could mean something else too.
    fn shown(&self, server: &Server, uri: String) -> String {
        let is_shared = self.listed.get(&uri).is_some_and(|places| places.len() > 1);
        if is_shared || uri.starts_with(OWN) || self.whose(&uri).is_some() {
            qualified(server.name(), &uri)
        } else {
            uri
        }
    }

    /// Whose it is where a server's name stands in it.
    fn whose(&self, uri: &str) -> Option<Where> {
        let names: Vec<&str> = self.servers.iter().map(|server| server.name()).collect();
        let (place, own) = told_apart(&names, uri)?;
        self.at(place, own)
    }

    fn at(&self, place: usize, uri: &str) -> Option<Where> {
        let server = Arc::clone(self.servers.get(place)?);
        let uri = uri.to_owned();
        Some(Where { server, uri })
    }

    /// All resources.
    pub(crate) fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// All templates.
    pub(crate) fn templates(&self) -> &[ResourceTemplate] {
        &self.templates
    }

    /// All prompts.
    pub(crate) fn prompts(&self) -> impl Iterator<Item = &Prompt> {
        self.prompts.iter().map(|(_, prompt)| &prompt.shown)
    }

    /// The prompt of this name, or of this `server::prompt`.
    pub(crate) fn prompt(&self, name: &str) -> Option<(Arc<Server>, Arc<OfferedPrompt>)> {
        self.prompts.get(*self.names.get(name)?).cloned()
    }

    /// Whom to ask for a URI, or a template as it is listed.
    pub(crate) fn find(&self, uri: &str) -> Found {
        if let Some(found) = self.whose(uri) {
            return Found::One(found);
        }
        let listed = self.listed.get(uri).into_iter().flatten();
        let mut listed: Vec<Where> = listed.filter_map(|place| self.at(*place, uri)).collect();
        if listed.len() > 1 {
            return Found::Several(listed);
        }
        if let Some(only) = listed.pop() {
            return Found::One(only);
        }
        let fits = self
            .patterns
            .iter()
            .filter(|(_, template)| template.pattern.fits(uri));
        let mut places: Vec<usize> = fits.map(|(place, _)| *place).collect();
        places.dedup();
        let found = places.into_iter().filter_map(|place| self.at(place, uri));
        Found::Unlisted(found.collect())
    }
}

// === impl Where ===

impl Where {
    /// As a client may ask for it, whoever lists it too.
    pub(crate) fn qualified(&self) -> String {
        qualified(self.server.name(), &self.uri)
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_agents::mcp::{McpConfig, McpServer};
    use serde_json::{Value, json};
    use tokio::sync::watch;

    use super::*;
    use crate::{
        listing::{Listed, Listing},
        resource::Place,
        stats::Stats,
    };

    fn read<T: Listed>(own: &McpServer, key: &str, uris: &[&str]) -> Listing<T> {
        let raw = uris.iter().map(|uri| json!({key: uri, "name": "n"}));
        Listing::read(own, &McpConfig::default().limits, raw.collect::<Vec<Value>>())
    }

    fn shelf(servers: &[(&str, &[&str], &[&str])]) -> Shelf {
        let changed = Arc::new(watch::Sender::new(Default::default()));
        let servers: Vec<Arc<Server>> = servers
            .iter()
            .map(|(name, resources, templates)| {
                let own = McpServer::started(*name, "x");
                let (stats, changed) = (Arc::new(Stats::default()), Arc::clone(&changed));
                let server = Server::new(own.clone(), &McpConfig::default(), changed, stats);
                server.publish(read::<Place>(&own, "uri", resources));
                server.publish(read::<Template>(&own, "uriTemplate", templates));
                Arc::new(server)
            })
            .collect();
        Shelf::of(&servers)
    }

    fn asked(shelf: &Shelf, uri: &str) -> (&'static str, Vec<String>) {
        let (how, places) = match shelf.find(uri) {
            Found::One(place) => ("one", vec![place]),
            Found::Several(places) => ("several", places),
            Found::Unlisted(places) => ("unlisted", places),
        };
        let told = |place: &Where| format!("{} {}", place.server.name(), place.uri);
        (how, places.iter().map(told).collect())
    }

    fn one(told: &str) -> (&'static str, Vec<String>) {
        ("one", vec![told.to_owned()])
    }

    #[test]
    fn what_two_servers_list_is_told_apart_and_what_one_lists_keeps_its_uri() {
        let shelf = shelf(&[
            ("a", &["x:1", "x:2", "fingerpost://tools/stats"], &["x:{n}"]),
            ("b_c", &["x:2", "x:3", "a+x:9"], &["x:{n}", "y:{n}"]),
        ]);
        let shown: Vec<&str> = shelf.resources().iter().map(|resource| &*resource.uri).collect();
        assert_eq!(
            shown,
            [
                "x:1",
                "a+x:2",
                "a+fingerpost://tools/stats",
                "b.c+x:2",
                "x:3",
                "b.c+a+x:9"
            ]
        );
        let templates = shelf.templates().iter().map(|template| &*template.uri_template);
        assert_eq!(templates.collect::<Vec<_>>(), ["a+x:{n}", "b.c+x:{n}", "y:{n}"]);
        // Every URI that is shown leads back to its server's own.
        let own = [
            "a x:1",
            "a x:2",
            "a fingerpost://tools/stats",
            "b_c x:2",
            "b_c x:3",
            "b_c a+x:9",
        ];
        for (uri, own) in shown.iter().zip(own) {
            assert_eq!(asked(&shelf, uri), one(own));
        }
        assert_eq!(asked(&shelf, "y:{n}"), one("b_c y:{n}"));
        // In other ways.
        assert_eq!(asked(&shelf, "A+x:1"), one("a x:1"));
        assert_eq!(asked(&shelf, "b.c+z:7"), one("b_c z:7"));
        assert_eq!(
            asked(&shelf, "x:2"),
            ("several", vec!["a x:2".to_owned(), "b_c x:2".to_owned()])
        );
        assert_eq!(
            asked(&shelf, "x:7"),
            ("unlisted", vec!["a x:7".to_owned(), "b_c x:7".to_owned()])
        );
        assert_eq!(asked(&shelf, "y:7"), ("unlisted", vec!["b_c y:7".to_owned()]));
        assert_eq!(asked(&shelf, "z:7"), ("unlisted", Vec::new()));
    }
}
