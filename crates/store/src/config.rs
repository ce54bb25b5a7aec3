//! The `store` section of the configuration.

use std::{fmt, path::PathBuf, time::Duration};

use fingerpost_core::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where state is kept, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Which back end. Default `embedded`.
    pub back_end: BackEnd,
    /// The folder of the embedded store; the data folder where absent.
    pub path: Option<PathBuf>,
    /// Memory for the embedded store's page cache, in MiB, at least 1. Default 4.
    #[schemars(range(min = 1))]
    pub cache_mib: u32,
    /// Most records that wait to be written; further ones are refused and counted. Default 8192.
    pub queue: u32,
    /// Where the Redis-protocol server is: `redis://host:port/database`. Default `redis://127.0.0.1:6379/0`.
    pub url: Option<ServerUrl>,
    /// Environment variable that holds the server's URL, for one with a password. Goes before `url`.
    pub url_env: Option<String>,
    /// What every key on the server begins with; replicas with one prefix share their state. Default `fingerpost`.
    pub prefix: String,
    /// How long connecting to the server, and each exchange with it, may take; more than 0. Default `250ms`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// About how many outcomes the server keeps for replicas that have yet to learn from them, at least 1. Default 20000.
    #[schemars(range(min = 1))]
    pub outcomes: u32,
    /// What is forgotten, and when.
    pub retention: Retention,
}

/// The kinds of store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackEnd {
    /// One file in the data folder, for one process.
    #[default]
    Embedded,
    /// Nothing outlives the process.
    Memory,
    /// A server that speaks Redis' protocol, shared by several replicas.
    Redis,
}

/// The URL of a server. It may hold a password, so it is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ServerUrl(String);

/// What is forgotten, and when. Whatever comes first, age or count, applies; the oldest records go first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// How long a trace can be explained and given feedback. Default `7d`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub traces_for: Duration,
    /// Most traces. Default 100000.
    pub traces: u32,
    /// How long a stored response can be continued. Default `30d`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub responses_for: Duration,
    /// Most stored responses. Default 20000.
    pub responses: u32,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            back_end: BackEnd::Embedded,
            path: None,
            cache_mib: 4,
            queue: 8192,
            url: None,
            url_env: None,
            prefix: "fingerpost".to_owned(),
            timeout: Duration::from_millis(250),
            outcomes: 20_000,
            retention: Retention::default(),
        }
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for Retention {
    fn default() -> Self {
        Self {
            traces_for: 7 * DAY,
            traces: 100_000,
            responses_for: 30 * DAY,
            responses: 20_000,
        }
    }
}

// === impl ServerUrl ===

impl ServerUrl {
    /// The URL, password and all.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether it names a user or a password.
    pub fn has_password(&self) -> bool {
        let host = self.0.split_once("://").map_or(self.0.as_str(), |(_, rest)| rest);
        host.split('/').next().is_some_and(|host| host.contains('@'))
    }
}

impl From<&str> for ServerUrl {
    fn from(url: &str) -> Self {
        Self(url.to_owned())
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for ServerUrl {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str("[redacted]")
    }
}

// === impl Retention ===

impl Retention {
    /// Most claims that are remembered. A retained trace has at most two; while it is retained, at most `traces` newer ones
    /// come and at most `traces` are there already, so four times that many rows never push out a claim that still matters.
    pub(crate) fn claims(&self) -> u64 {
        4 * u64::from(self.traces)
    }

    pub(crate) fn oldest_trace(&self, now: Timestamp) -> Timestamp {
        before(now, self.traces_for)
    }

    pub(crate) fn oldest_response(&self, now: Timestamp) -> Timestamp {
        before(now, self.responses_for)
    }
}

fn before(now: Timestamp, span: Duration) -> Timestamp {
    let span = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    Timestamp::from_micros(now.micros().saturating_sub(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_for_people() {
        let config: StoreConfig =
            serde_json::from_str(r#"{"back_end":"memory","retention":{"traces_for":"36h","traces":5}}"#)
                .unwrap();
        assert_eq!(config.back_end, BackEnd::Memory);
        assert_eq!(config.retention.traces_for, Duration::from_secs(36 * 3600));
        assert_eq!(config.retention.responses, 20_000);
        assert_eq!(config.retention.claims(), 20);
        let error = serde_json::from_str::<StoreConfig>(r#"{"retension":{}}"#)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("unknown field `retension`, expected one of `back_end`"),
            "{error}"
        );
    }

    #[test]
    fn a_url_is_never_shown() {
        let config: StoreConfig =
            serde_json::from_str(r#"{"back_end":"redis","url":"redis://:hunter2@h/1","timeout":"1s"}"#)
                .unwrap();
        assert_eq!(config.url, Some("redis://:hunter2@h/1".into()));
        for shown in [format!("{config:?}"), serde_json::to_string(&config).unwrap()] {
            assert!(
                !shown.contains("hunter2") && shown.contains("[redacted]"),
                "{shown}"
            );
        }
    }

    #[test]
    fn the_oldest_kept_is_a_span_before_now() {
        let retention = Retention {
            traces_for: Duration::from_millis(5),
            ..Retention::default()
        };
        assert_eq!(
            retention.oldest_trace(Timestamp::from_millis(8)),
            Timestamp::from_millis(3)
        );
        assert_eq!(
            retention.oldest_trace(Timestamp::from_millis(3)),
            Timestamp::from_millis(0)
        );
    }
}
