//! Which server, as the configuration says it.

use std::{fmt, time::Duration};

use redis::{Connection, ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use crate::{StoreConfig, StoreError};

/// A server. Shows itself without its password.
pub(super) struct Address {
    info: ConnectionInfo,
    /// Host, port and database.
    shown: String,
}

/// Looks a variable of the environment up.
pub(crate) type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

const HERE: &str = "redis://127.0.0.1:6379/0";

// === impl Address ===

impl Address {
    pub(super) fn of(config: &StoreConfig, variable: Variable<'_>) -> Result<Self, StoreError> {
        let (key, url) = match (&config.url_env, &config.url) {
            (Some(name), _) => {
                let unset = || StoreError::Address {
                    key: "url_env",
                    detail: format!(
                        "the environment variable `{name}` is not set; set it to redis://user:password@host:port/database"
                    ),
                };
                ("url_env", variable(name).ok_or_else(unset)?)
            }
            (None, Some(url)) => ("url", url.reveal().to_owned()),
            (None, None) => ("url", HERE.to_owned()),
        };
        // What the parser says may hold a piece of the value.
        let bad = |detail: &str| StoreError::Address {
            key,
            detail: detail.to_owned(),
        };
        let info = url.as_str().into_connection_info().map_err(|_| {
            bad("no address of a server; expected redis://host:port/database, or redis+unix:///path/of/socket")
        })?;
        let settings = info.redis_settings().clone().set_skip_set_lib_name();
        let info = info.set_redis_settings(settings);
        let shown = match info.addr() {
            ConnectionAddr::Tcp(host, port) => format!("{host}:{port}/{}", info.redis_settings().db()),
            ConnectionAddr::Unix(path) => format!("{}/{}", path.display(), info.redis_settings().db()),
            _ => {
                return Err(bad(
                    "only plain connections are spoken here; put a TLS tunnel in front of the server",
                ));
            }
        };
        Ok(Self { info, shown })
    }

    /// A new connection; `timeout` bounds its making, handshake included, and every write.
    pub(super) fn connect(&self, timeout: Duration, read: Duration) -> redis::RedisResult<Connection> {
        let connection = redis::Client::open(self.info.clone())?.get_connection_with_timeout(timeout)?;
        connection.set_read_timeout(Some(read))?;
        connection.set_write_timeout(Some(timeout))?;
        Ok(connection)
    }

    /// What an error says, without the password: servers repeat the words of a command that they do not know.
    pub(super) fn error(&self, error: &redis::RedisError) -> StoreError {
        let mut detail = error.to_string();
        if let Some(password) = self.info.redis_settings().password().filter(|p| !p.is_empty()) {
            detail = detail.replace(password, "[redacted]");
        }
        let denied = error.kind() == redis::ErrorKind::AuthenticationFailed
            || matches!(error.code(), Some("WRONGPASS" | "NOAUTH"))
            || detail.contains("WRONGPASS")
            || detail.contains("NOAUTH")
            || detail.contains("AUTH <password>");
        let server = self.shown.clone();
        if denied {
            StoreError::Denied { server, detail }
        } else {
            StoreError::Unavailable { server, detail }
        }
    }

    /// The same for what was found out before.
    pub(super) fn unavailable(&self, detail: impl Into<String>) -> StoreError {
        StoreError::Unavailable {
            server: self.shown.clone(),
            detail: detail.into(),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Result<Address, StoreError> {
        let config = StoreConfig {
            url: Some(url.into()),
            ..StoreConfig::default()
        };
        Address::of(&config, &|_| None)
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        let address = of("redis://ann:hunter2@cache:7000/3").unwrap();
        assert_eq!(format!("{address:?}"), "cache:7000/3");
        for wrong in [
            "hunter2",
            "http://hunter2@h",
            "redis://:hunter2@h:port",
            "rediss://:hunter2@h/0",
        ] {
            let error = of(wrong).unwrap_err().to_string();
            assert!(
                error.contains("`store.url`") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_variable_goes_before_the_url() {
        let config = StoreConfig {
            url: Some("redis://a/1".into()),
            url_env: Some("WHERE".to_owned()),
            ..StoreConfig::default()
        };
        let there = Address::of(&config, &|name| {
            (name == "WHERE").then(|| "redis://b/2".to_owned())
        });
        assert_eq!(format!("{:?}", there.unwrap()), "b:6379/2");
        let error = Address::of(&config, &|_| None).unwrap_err().to_string();
        assert!(
            error.contains("`store.url_env`") && error.contains("`WHERE` is not set"),
            "{error}"
        );
    }
}
