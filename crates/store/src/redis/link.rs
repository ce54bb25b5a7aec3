//! The way to the server: connections that are kept, time-outs, and patience with a server that does not answer.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use redis::{Connection, RedisResult};

use super::{address::Address, lock};
use crate::StoreError;

/// Connections to one server for one purpose. A failure closes it for a while: whoever asks in that time is told so at once,
/// and waits for nothing.
pub(super) struct Link {
    address: Arc<Address>,
    timeout: Duration,
    /// How long an answer may take; longer than `timeout` for a question that the server may ponder.
    patience: Duration,
    health: Mutex<Health>,
    idle: Mutex<Vec<Connection>>,
    greet: Box<Greet>,
}

/// What is done on every new connection before it is used.
pub(super) type Greet = dyn Fn(&mut Connection) -> RedisResult<()> + Send + Sync;

#[derive(Debug, Default)]
struct Health {
    failure: Option<String>,
    /// Failures in a row.
    failures: u32,
    retry_at: Option<Instant>,
}

/// Connections that are kept for the next question.
const IDLE: usize = 8;
/// How long the link stays closed after the first failure; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

// === impl Link ===

impl Link {
    pub(super) fn new(address: Arc<Address>, timeout: Duration, ponder: Duration, greet: Box<Greet>) -> Self {
        Self {
            address,
            timeout,
            patience: timeout + ponder,
            health: Mutex::default(),
            idle: Mutex::default(),
            greet,
        }
    }

    /// Runs `ask` on a connection; a second time on a new one where a kept one turns out to be closed, so it must change
    /// nothing by being run twice.
    pub(super) fn ask<T>(
        &self,
        mut ask: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, StoreError> {
        if let Some(pause) = self.pause() {
            let detail = self.failure().unwrap_or_default();
            return Err(self
                .address
                .unavailable(format!("{detail}; next try in {} ms", pause.as_millis())));
        }
        let kept = lock(&self.idle).pop();
        let result = match kept {
            Some(mut connection) => match ask(&mut connection) {
                Err(error) if error.is_connection_dropped() && !error.is_timeout() => {
                    // The others date from the same time.
                    lock(&self.idle).clear();
                    self.ask_anew(ask)
                }
                result => result.map(|told| (told, connection)),
            },
            None => self.ask_anew(ask),
        };
        match result {
            Ok((told, connection)) => {
                *lock(&self.health) = Health::default();
                let mut idle = lock(&self.idle);
                if idle.len() < IDLE {
                    idle.push(connection);
                }
                Ok(told)
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn ask_anew<T>(
        &self,
        mut ask: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> RedisResult<(T, Connection)> {
        let mut connection = self.address.connect(self.timeout, self.patience)?;
        (self.greet)(&mut connection)?;
        let told = ask(&mut connection)?;
        Ok((told, connection))
    }

    fn failed(&self, error: &redis::RedisError) -> StoreError {
        lock(&self.idle).clear();
        let told = self.address.error(error);
        let mut health = lock(&self.health);
        // Of several that fail together the first counts.
        if health.retry_at.is_none_or(|at| at <= Instant::now()) {
            let pause = FIRST_PAUSE
                .saturating_mul(1 << health.failures.min(16))
                .min(LONGEST_PAUSE);
            health.failures += 1;
            health.retry_at = Some(Instant::now() + pause);
        }
        let (StoreError::Unavailable { detail, .. } | StoreError::Denied { detail, .. }) = &told else {
            return told;
        };
        if health.failure.replace(detail.clone()).is_none() {
            tracing::warn!(error = %told, "the store's server failed");
        }
        told
    }

    /// Why the link is closed or was so when it was last tried.
    pub(super) fn failure(&self) -> Option<String> {
        lock(&self.health).failure.clone()
    }

    /// How long it stays closed.
    pub(super) fn pause(&self) -> Option<Duration> {
        let retry_at = lock(&self.health).retry_at?;
        retry_at
            .checked_duration_since(Instant::now())
            .filter(|pause| !pause.is_zero())
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("address", &self.address)
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}
