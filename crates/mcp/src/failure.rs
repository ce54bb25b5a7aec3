//! Why a call brought no result, and whether it may have been executed all the same.

use std::{error::Error, io, time::Duration};

use rmcp::{
    ServiceError,
    model::{ErrorCode, ErrorData},
    transport::{DynamicTransportError, streamable_http_client::StreamableHttpError},
};
use thiserror::Error;

use crate::stats::Ending;

/// Why a call brought no result. Texts name no secrets of the configuration once [`crate::secrets::Secrets`] has been over them.
#[derive(Debug, Clone, PartialEq, Error)]
pub(crate) enum Failure {
    /// Its server never got it.
    #[error("it did not reach the server: {0}")]
    Unreached(String),
    /// Its server took no call then: it is well, and has not executed it.
    #[error("the server turned it away: {0}")]
    TurnedAway(String),
    /// The connection ended while it was under way.
    #[error("the connection ended before an answer came ({0})")]
    Lost(String),
    /// No answer came in time.
    #[error("no answer came within {0:?}")]
    Late(Duration),
    /// The server answered with an error of the protocol.
    #[error("the server answered with error {}: {}", .0.code.0, .0.message)]
    Refused(ErrorData),
    /// The answer is larger than allowed.
    #[error("the result has {bytes} bytes; allowed: {allowed} (mcp.limits.result)")]
    TooLarge { bytes: usize, allowed: usize },
    /// The answer is none that is understood.
    #[error("the answer is not understood: {0}")]
    Unusable(String),
    /// The client took it back.
    #[error("the client took the call back")]
    Cancelled,
}

// === impl Failure ===

impl Failure {
    /// What an error of the protocol's library means for a call that had been handed over to be sent.
    pub(crate) fn of(error: ServiceError) -> Self {
        match error {
            ServiceError::McpError(error) => Self::Refused(error),
            ServiceError::TransportSend(error) => Self::of_transport(&error),
            ServiceError::Timeout { timeout } => Self::Late(timeout),
            ServiceError::Cancelled { .. } => Self::Cancelled,
            ServiceError::TransportClosed => Self::Lost("closed by the server".to_owned()),
            other => Self::Unusable(other.to_string()),
        }
    }

    fn of_transport(error: &DynamicTransportError) -> Self {
        let Some(http) = error.error.downcast_ref::<StreamableHttpError<reqwest::Error>>() else {
            // A program that does not take its input has not read the line to its end.
            return Self::Unreached(told(error.error.as_ref()));
        };
        use StreamableHttpError as Http;
        match http {
            Http::Client(client) if client.is_connect() || client.is_builder() => {
                Self::Unreached(told(client))
            }
            Http::Client(client) => Self::Lost(told(client)),
            Http::HttpStatus(status) if status.status == 429 => {
                Self::TurnedAway("HTTP status 429".to_owned())
            }
            Http::AuthRequired(_) => Self::TurnedAway("HTTP status 401: authorization needed".to_owned()),
            Http::InsufficientScope(_) => Self::TurnedAway("HTTP status 403: not allowed".to_owned()),
            Http::SessionExpired | Http::ReservedHeaderConflict(_) => Self::Unreached(http.to_string()),
            Http::ResponseBodyTooLarge { .. } | Http::UnexpectedContentType(_) | Http::Deserialize(_) => {
                Self::Unusable(http.to_string())
            }
            other => Self::Lost(other.to_string()),
        }
    }

    /// Whether it may have been executed.
    pub(crate) fn may_have_run(&self) -> bool {
        !matches!(self, Self::Unreached(_) | Self::TurnedAway(_))
    }

    /// Whether another tool may do better. Where the server has answered, its answer counts, but for "something broke in me";
    /// what the client took back is over.
    pub(crate) fn speaks_for_another(&self) -> bool {
        match self {
            Self::Unreached(_) | Self::TurnedAway(_) | Self::Lost(_) | Self::Late(_) => true,
            Self::Refused(error) => error.code == ErrorCode::INTERNAL_ERROR,
            Self::TooLarge { .. } | Self::Unusable(_) | Self::Cancelled => false,
        }
    }

    /// Whether it speaks against a server that is there. That one is gone shows in its connection, and needs no breaker; over HTTP
    /// a connection is a request's own.
    pub(crate) fn speaks_against(&self, is_over_http: bool) -> bool {
        match self {
            Self::Late(_) | Self::Unusable(_) | Self::TurnedAway(_) => true,
            Self::Lost(_) => is_over_http,
            Self::Refused(error) => error.code == ErrorCode::INTERNAL_ERROR,
            Self::Unreached(_) | Self::TooLarge { .. } | Self::Cancelled => false,
        }
    }

    /// Whether the connection may be gone with it, so that there may be another one in a moment. Over one that stands the same
    /// would come of it again.
    pub(crate) fn may_end_connection(&self) -> bool {
        matches!(self, Self::Unreached(_) | Self::Lost(_))
    }

    /// As it is counted.
    pub(crate) fn ending(&self) -> Ending {
        match self {
            Self::Unreached(_) => Ending::Unreached,
            Self::TurnedAway(_) => Ending::TurnedAway,
            Self::Lost(_) => Ending::Lost,
            Self::Late(_) => Ending::Late,
            Self::Refused(_) => Ending::Refused,
            Self::TooLarge { .. } | Self::Unusable(_) => Ending::Unusable,
            Self::Cancelled => Ending::Cancelled,
        }
    }
}

/// An error in words: the innermost cause, which says most, and never an address with what stands in it.
pub(crate) fn told(error: &(dyn Error + 'static)) -> String {
    // The error of the transport quotes its cause instead of naming it as one.
    if let Some(StreamableHttpError::Client(client)) =
        error.downcast_ref::<StreamableHttpError<reqwest::Error>>()
    {
        return told(client);
    }
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    if let Some(error) = innermost.downcast_ref::<io::Error>() {
        return error.to_string();
    }
    match innermost.downcast_ref::<reqwest::Error>() {
        Some(error) if error.is_timeout() => "timed out".to_owned(),
        Some(error) if error.is_connect() => "cannot connect".to_owned(),
        Some(error) => error
            .status()
            .map_or("the exchange broke off".to_owned(), |status| {
                format!("HTTP status {status}")
            }),
        None => innermost.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::any::TypeId;

    use rmcp::transport::streamable_http_client::HttpStatusError;

    use super::*;

    fn sent(error: impl Error + Send + Sync + 'static) -> Failure {
        Failure::of(ServiceError::TransportSend(DynamicTransportError::from_parts(
            "t",
            TypeId::of::<()>(),
            Box::new(error),
        )))
    }

    #[test]
    fn what_never_arrived_has_not_run() {
        let broken = sent(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(!broken.may_have_run() && broken.speaks_for_another(), "{broken}");
        let full = StreamableHttpError::<reqwest::Error>::HttpStatus(HttpStatusError::new(429, None));
        assert!(!sent(full).may_have_run());
    }

    #[test]
    fn what_may_have_arrived_may_have_run() {
        for failure in [
            Failure::of(ServiceError::TransportClosed),
            sent(StreamableHttpError::<reqwest::Error>::HttpStatus(
                HttpStatusError::new(503, None),
            )),
            sent(StreamableHttpError::<reqwest::Error>::UnexpectedEndOfStream),
            Failure::Late(Duration::from_secs(1)),
        ] {
            assert!(
                failure.may_have_run() && failure.speaks_for_another(),
                "{failure}"
            );
        }
    }

    #[test]
    fn an_answer_of_the_server_is_an_answer() {
        let refused = Failure::of(ServiceError::McpError(ErrorData::invalid_params(
            "no such city",
            None,
        )));
        assert!(!refused.speaks_for_another() && !refused.speaks_against(true));
        assert_eq!(
            refused.to_string(),
            "the server answered with error -32602: no such city"
        );
        let broken = Failure::of(ServiceError::McpError(ErrorData::internal_error("oops", None)));
        assert!(broken.speaks_for_another() && broken.speaks_against(false));
        assert!(!Failure::Cancelled.speaks_against(true));
        let lost = Failure::Lost("x".to_owned());
        assert!(lost.speaks_against(true) && !lost.speaks_against(false));
    }
}
