//! What types cannot say of the MCP servers.

use std::{collections::BTreeSet, time::Duration};

use fingerpost_agents::mcp::{McpConfig, McpServer};
use fingerpost_signals::Problem as What;
use http::{HeaderName, HeaderValue, Uri};

use super::{
    problem::Problem,
    span::{LineMap, is_secretive},
    validate::humantime,
};

/// Headers that belong to the protocol itself.
const RESERVED: &[&str] = &["accept", "content-type", "mcp-session-id", "last-event-id"];

/// Everything that is wrong or doubtful in the section beyond the types.
pub(super) fn validate(config: &McpConfig, lines: &LineMap) -> Vec<Problem> {
    let mut check = Check {
        config,
        lines,
        found: Vec::new(),
    };
    check.servers();
    check.backups();
    check.numbers();
    check.http();
    check.found
}

struct Check<'a> {
    config: &'a McpConfig,
    lines: &'a LineMap,
    found: Vec<Problem>,
}

// === impl Check ===

impl Check<'_> {
    fn say(&mut self, what: What) {
        self.found.push(self.lines.locate(what));
    }

    fn say_of_key(&mut self, what: What) {
        self.found.push(self.lines.locate_key(what));
    }

    fn servers(&mut self) {
        let mut seen = BTreeSet::new();
        for (i, server) in self.config.servers.iter().enumerate() {
            let path = self.lines.item("mcp.servers", i);
            let name = &server.name;
            if !McpServer::is_name(name) {
                let what = What::error(format!("{path}.name"), "cannot be the name of a server:").found(name);
                self.say(what.allowed(format!(
                    "1 to {} letters, digits, `-` and single `_` between them",
                    McpServer::LONGEST_NAME
                )));
            }
            if !seen.insert(name) {
                let what = What::error(
                    format!("{path}.name"),
                    "a server of this name stands here already:",
                );
                self.say(what.found(name).allowed("a name that no other server has"));
            }
            self.way(&path, server);
            for (variable, value) in &server.env {
                self.secret(&format!("{path}.env.{variable}"), variable, value);
            }
            self.times(&path, server);
            for (tool, known) in &server.tools {
                if !(known.cost.is_finite() && known.cost >= 0.0) {
                    let what = What::error(format!("{path}.tools.{tool}.cost"), "no price of a call:");
                    self.say(
                        what.found(known.cost.to_string())
                            .allowed("US dollars, 0 and more"),
                    );
                }
            }
        }
    }

    /// How the server is reached.
    fn way(&mut self, path: &str, server: &McpServer) {
        match (&server.command, &server.url) {
            (Some(_), Some(_)) => {
                let what = What::error(
                    format!("{path}.url"),
                    "a server has a `command` or a `url`, not both",
                );
                self.say_of_key(what.allowed("one of them"));
            }
            (None, None) => {
                let what = What::error(path, "nothing says how this server is reached");
                self.say_of_key(what.allowed("`command` with the program to start, or `url`"));
            }
            (Some(command), None) => {
                if command.trim().is_empty() {
                    let what = What::error(format!("{path}.command"), "no program to start");
                    self.say(what.allowed("the name or path of a program"));
                }
                for (key, is_there) in [("headers", !server.headers.is_empty())] {
                    if is_there {
                        self.meaningless(path, key, "command");
                    }
                }
            }
            (None, Some(url)) => {
                self.url(&format!("{path}.url"), url);
                for (header, value) in &server.headers {
                    self.header(&format!("{path}.headers.{header}"), header, value);
                }
                let keys = [
                    ("args", !server.args.is_empty()),
                    ("env", !server.env.is_empty()),
                    ("cwd", server.cwd.is_some()),
                ];
                for (key, _) in keys.into_iter().filter(|(_, is_there)| *is_there) {
                    self.meaningless(path, key, "url");
                }
            }
        }
    }

    fn meaningless(&mut self, path: &str, key: &str, beside: &str) {
        let message = format!("has no meaning beside `{beside}`");
        self.say_of_key(What::warning(format!("{path}.{key}"), message));
    }

    /// The value is shown by nobody: it may carry a secret.
    fn url(&mut self, path: &str, url: &str) {
        let uri: Option<Uri> = url.parse().ok();
        let is_http = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
        match uri.filter(is_http) {
            None => self.say(
                What::error(path, "is no address of a server")
                    .allowed("a URL such as https://host/mcp or http://127.0.0.1:3000/mcp"),
            ),
            Some(uri) if uri.authority().is_some_and(|a| a.as_str().contains('@')) => {
                self.say(
                    What::error(path, "a URL with a user or a password in it")
                        .allowed("`headers` with an authorization from a variable of the environment"),
                );
            }
            Some(_) => {}
        }
    }

    fn header(&mut self, path: &str, header: &str, value: &str) {
        if HeaderName::try_from(header).is_err() {
            let what = What::error(path, "no name of a header:").found(header);
            self.say_of_key(what.allowed("letters, digits and hyphens"));
        } else if RESERVED.contains(&header.to_ascii_lowercase().as_str()) {
            let what = What::error(path, "a header that the protocol sets itself:").found(header);
            self.say_of_key(what.allowed("any other"));
        } else if HeaderValue::from_str(value).is_err() {
            self.say_of_key(
                What::error(path, "the value of this header cannot be sent")
                    .allowed("one line of visible characters"),
            );
        } else {
            self.secret(path, header, value);
        }
    }

    fn secret(&mut self, path: &str, key: &str, value: &str) {
        if is_secretive(key) && !value.is_empty() && !self.lines.is_from_environment(path) {
            let what = What::error(path, "a secret does not belong in this file:").found(key);
            self.say_of_key(what.allowed("a variable of the environment: \"${NAME}\""));
        }
    }

    fn times(&mut self, path: &str, server: &McpServer) {
        let own = [("timeout", Some(server.timeout)), ("start", Some(server.start))];
        let own = own.map(|(key, time)| (format!("{path}.{key}"), time));
        let tools = server
            .tools
            .iter()
            .map(|(tool, known)| (format!("{path}.tools.{tool}.timeout"), known.timeout));
        for (path, time) in own.into_iter().chain(tools) {
            if time.is_some_and(|time| time.is_zero()) {
                let what = What::error(path, "a time-out of nothing lets no call through");
                self.say(what.allowed("more than 0"));
            }
        }
    }

    fn backups(&mut self) {
        let servers: Vec<&str> = self.config.servers.iter().map(|s| s.name.as_str()).collect();
        for (i, backups) in self.config.backups.iter().enumerate() {
            let path = self.lines.item("mcp.backups", i);
            self.tool(&format!("{path}.tool"), &backups.tool, &servers);
            if backups.instead.is_empty() {
                let what = What::error(format!("{path}.instead"), "nobody does the work instead");
                self.say(what.allowed("at least one tool, as `server::tool`"));
            }
            for (j, tool) in backups.instead.iter().enumerate() {
                let path = self.lines.item(&format!("{path}.instead"), j);
                self.tool(&path, tool, &servers);
                if *tool == backups.tool {
                    let what = What::error(path, "a tool cannot stand in for itself:").found(tool);
                    self.say(what.allowed("another tool"));
                }
            }
        }
    }

    fn tool(&mut self, path: &str, tool: &str, servers: &[&str]) {
        match tool.split_once("::") {
            Some((_, "")) | None => {
                let what = What::error(path, "no name of a tool:").found(tool);
                self.say(what.allowed("`server::tool`, each as its owner calls it"));
            }
            Some((server, _)) if !servers.contains(&server) => {
                self.say(What::error(path, "unknown server").one_of(server, servers.iter().copied()));
            }
            Some(_) => {}
        }
    }

    fn numbers(&mut self) {
        let limits = &self.config.limits;
        let numbers = [
            ("description", limits.description),
            ("schema", limits.schema),
            ("result", limits.result),
            ("tools", limits.tools),
        ];
        for (key, _) in numbers.into_iter().filter(|(_, number)| *number == 0) {
            let what = What::error(format!("mcp.limits.{key}"), "nothing fits into").found("0");
            self.say(what.allowed("1 and more"));
        }
        let reconnect = &self.config.reconnect;
        if reconnect.first < Duration::from_millis(10) {
            let what = What::error("mcp.reconnect.first", "too short a pause:");
            self.say(what.found(humantime(reconnect.first)).allowed("10ms and more"));
        }
        if reconnect.longest < reconnect.first {
            let what = What::error("mcp.reconnect.longest", "shorter than the first pause:");
            let least = format!("{} and more", humantime(reconnect.first));
            self.say(what.found(humantime(reconnect.longest)).allowed(least));
        }
    }

    fn http(&mut self) {
        let Some(token) = &self.config.http.token else {
            return;
        };
        let path = "mcp.http.token";
        if token.is_empty() {
            self.say(What::error(path, "an empty token keeps nobody out").allowed("at least one character"));
        } else if !self.lines.is_from_environment(path) {
            let what = What::error(path, "a secret does not belong in this file");
            self.say_of_key(what.allowed("a variable of the environment: \"${NAME}\""));
        }
    }
}

#[cfg(test)]
mod tests;
