//! One name for a tool, or for a prompt, among those of all servers.
//!
//! `server__tool`, of characters that every client takes: the catalogue's [`export_name`] of `server::tool`. It follows from server
//! and tool alone, so it stays the same whatever other servers and tools there are; a tool whose name does not fit is told apart by
//! a hash. Prompts are named by the same rule; tools and prompts are asked for in different ways, so they may share a name.
//!
//! A server's name holds no `__` and ends with a letter or digit ([`McpServer::is_name`]), so the first `__` always ends it: no
//! server can take a name that belongs to another, and the own tools of Fingerpost hold no `__` at all.
//!
//! [`McpServer::is_name`]: fingerpost_agents::mcp::McpServer::is_name

use fingerpost_agents::catalogue::export_name;

/// The name under which clients see a server's tool, or its prompt.
pub fn exposed(server: &str, tool: &str) -> String {
    export_name(&id(server, tool))
}

/// The name in the configuration and in what people read: `server::tool`, each as its owner calls it.
pub fn id(server: &str, tool: &str) -> String {
    format!("{server}::{tool}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use fingerpost_agents::mcp::McpServer;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_that_fits_is_kept_and_any_other_is_its_server_s_all_the_same() {
        assert_eq!(exposed("github", "search_code"), "github__search_code");
        for tool in ["files/read", "files.read", "__x", "", &"x".repeat(200)] {
            assert!(exposed("a", tool).starts_with("a__"), "{tool}");
        }
        assert_ne!(exposed("a", "files.read"), exposed("a", "files/read"));
    }

    fn server() -> impl Strategy<Value = String> {
        "[a-zA-Z0-9]([a-zA-Z0-9-]|_[a-zA-Z0-9]){0,12}[a-zA-Z0-9]"
            .prop_filter("name", |s| McpServer::is_name(s))
    }

    fn tool() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z_]{0,8}", "[a-zA-Z0-9_./ -]{0,80}", "\\PC{0,40}"]
    }

    proptest! {
        #[test]
        fn every_name_is_one_that_clients_take(server in server(), tool in tool()) {
            let name = exposed(&server, &tool);
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            prop_assert!(name.len() <= 64 && name.chars().all(is_plain), "{}", name);
            prop_assert_eq!(&name, &exposed(&server, &tool));
            // The first `__` ends the server's name.
            prop_assert_eq!(name.split_once("__").map(|(server, _)| server), Some(server.as_str()));
        }

        #[test]
        fn different_tools_have_different_names(tools in prop::collection::vec((server(), tool()), 1..40)) {
            let mut seen: HashMap<String, (String, String)> = HashMap::new();
            for pair in tools {
                let name = exposed(&pair.0, &pair.1);
                if let Some(other) = seen.insert(name.clone(), pair.clone()) {
                    prop_assert_eq!(other, pair, "{}", name);
                }
            }
        }
    }
}
