//! What must not stand in a message about a server.

use fingerpost_agents::mcp::McpServer;

/// Shorter values ("1", "on") are no secrets, and blotting them out everywhere would garble messages.
const SHORTEST: usize = 4;

/// Stands in a secret's place.
const BLOT: &str = "…";

/// The values that a server's configuration carries where secrets stand: its environment, its headers, its URL's query.
#[derive(Clone)]
pub(crate) struct Secrets(Vec<String>);

// === impl Secrets ===

impl Secrets {
    pub(crate) fn of(server: &McpServer) -> Self {
        let query = server
            .url
            .as_deref()
            .and_then(|url| url.split_once('?'))
            .map(|(_, query)| query);
        let headers = server.headers.values().flat_map(|value| {
            // `Bearer …`: the secret may turn up without its scheme.
            let bare = value.split_once(' ').map(|(_, bare)| bare);
            [Some(value.as_str()), bare].into_iter().flatten()
        });
        let values = server
            .env
            .values()
            .map(String::as_str)
            .chain(headers)
            .chain(query);
        let mut values: Vec<String> = values
            .filter(|v| v.len() >= SHORTEST)
            .map(str::to_owned)
            .collect();
        // The longest first, so that a value within another leaves no remainder of it.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self(values)
    }

    /// The text without them.
    pub(crate) fn hide(&self, text: &str) -> String {
        self.0
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, BLOT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_blotted_out() {
        let mut server = McpServer::at("a", "https://host/mcp?key=s3cret");
        server
            .headers
            .insert("authorization".to_owned(), "Bearer abcdef".to_owned());
        server.env.insert("N".to_owned(), "1".to_owned());
        let secrets = Secrets::of(&server);
        let shown = secrets.hide("cannot reach https://host/mcp?key=s3cret with abcdef, 1 try");
        assert_eq!(shown, "cannot reach https://host/mcp?… with …, 1 try");
    }
}
