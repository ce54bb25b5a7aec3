//! One name for a tool among those of all servers.
//!
//! `server__tool`, of characters that every client takes (`a`-`z`, `A`-`Z`, `0`-`9`, `_`, `-`, at most 64): what the big
//! model providers allow as the name of a function. It follows from server and tool alone, so it stays the same whatever other
//! servers and tools there are. A tool's name that fits is kept as it is. One that does not is brought into shape and told apart
//! from others that come to the same shape by eight hexadecimal digits of its hash.
//!
//! A server's name holds no `__` and ends with a letter or digit ([`McpServer::is_name`]), so the first `__` always ends it: no
//! server can take a name that belongs to another, and the own tools of Fingerpost hold no `__` at all.
//!
//! [`McpServer::is_name`]: fingerpost_agents::mcp::McpServer::is_name

use sha2::{Digest, Sha256};

/// Between server and tool.
const BETWEEN: &str = "__";

/// Longest name.
pub const LONGEST: usize = 64;

/// Digits of the hash that tell apart what would look the same.
const DIGITS: usize = 8;

/// The name under which clients see a server's tool.
pub fn exposed(server: &str, tool: &str) -> String {
    let room = LONGEST.saturating_sub(server.len() + BETWEEN.len());
    let fits = !tool.is_empty() && tool.len() <= room && tool.chars().all(is_plain);
    if fits {
        return format!("{server}{BETWEEN}{tool}");
    }
    let shaped: String = tool
        .chars()
        .take(room.saturating_sub(DIGITS + 1))
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect();
    format!("{server}{BETWEEN}{shaped}_{}", digits(tool))
}

/// The name in the configuration and in what people read: `server::tool`, each as its owner calls it.
pub fn id(server: &str, tool: &str) -> String {
    format!("{server}::{tool}")
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

fn digits(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter()
        .take(DIGITS / 2)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use fingerpost_agents::mcp::McpServer;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_that_fits_is_kept() {
        assert_eq!(exposed("github", "search_code"), "github__search_code");
        assert_eq!(exposed("a", "__x"), "a____x");
    }

    #[test]
    fn a_name_that_does_not_fit_is_brought_into_shape() {
        // printf 'files/read' | sha256sum
        assert_eq!(exposed("a", "files/read"), "a__files_read_2b733164");
        assert_ne!(exposed("a", "files.read"), exposed("a", "files/read"));
        let long = exposed("a", &"x".repeat(200));
        assert_eq!(long.len(), LONGEST);
        assert_ne!(long, exposed("a", &"x".repeat(201)));
        assert!(exposed("a", "").starts_with("a___"));
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
            prop_assert!(name.len() <= LONGEST && name.chars().all(is_plain), "{}", name);
            prop_assert_eq!(&name, &exposed(&server, &tool));
            // The first `__` ends the server's name.
            prop_assert_eq!(name.split_once(BETWEEN).map(|(server, _)| server), Some(server.as_str()));
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
