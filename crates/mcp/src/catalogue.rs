//! The tools of all servers, by name and by what they are good for.

use std::{collections::HashMap, sync::Arc};

use fingerpost_agents::skill_router::Trained;
use fingerpost_encode::Encoder;

use crate::{search::Finder, server::Server, tool::Offered};

/// The tools of all servers at one moment.
pub(crate) struct Catalogue {
    tools: Vec<Known>,
    /// By the name that clients see, and by `server::tool`.
    names: HashMap<String, usize>,
    /// Absent where nothing can be indexed: then nothing is found, and all can be listed and called.
    finder: Option<Finder>,
}

/// A tool and whose it is.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) server: Arc<Server>,
    pub(crate) tool: Arc<Offered>,
}

// === impl Catalogue ===

impl Catalogue {
    /// In the order of the servers.
    pub(crate) fn of(
        servers: &[Arc<Server>],
        encoder: &Arc<dyn Encoder>,
        trained: Option<&Arc<Trained>>,
    ) -> Self {
        let (mut tools, mut names, mut entries) = (Vec::new(), HashMap::new(), Vec::new());
        for server in servers {
            for tool in &server.offers().tools.items {
                names.insert(tool.shown.name.to_string(), tools.len());
                names.insert(tool.id.clone(), tools.len());
                entries.push(tool.entry(server.name()));
                tools.push(Known {
                    server: Arc::clone(server),
                    tool: Arc::clone(tool),
                });
            }
        }
        let finder = Finder::new(entries, Arc::clone(encoder), trained)
            .inspect_err(|error| tracing::error!(%error, "tools cannot be searched"))
            .ok();
        Self { finder, tools, names }
    }

    /// All of them.
    pub(crate) fn tools(&self) -> &[Known] {
        &self.tools
    }

    /// The tool of this name, or of this `server::tool`.
    pub(crate) fn named(&self, name: &str) -> Option<&Known> {
        self.tools.get(*self.names.get(name)?)
    }

    /// The `k` best for a query, of one server where one is named.
    pub(crate) fn find(&self, query: &str, k: usize, server: Option<&str>) -> Vec<(&Known, f32)> {
        let is_asked = |i: usize| {
            let known = self.tools.get(i);
            known.is_some_and(|known| server.is_none_or(|server| known.server.name() == server))
        };
        let found = self
            .finder
            .as_ref()
            .map(|finder| finder.find(query, k, &is_asked));
        found
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(i, score)| Some((self.tools.get(i)?, score)))
            .collect()
    }
}
