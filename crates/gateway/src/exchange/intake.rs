//! Reads a request's body, up to the limit.

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use fingerpost_protocol::{ErrorBody, ErrorKind};

/// The whole body. One that comes in one piece, as small ones do, is not copied.
pub(crate) async fn read(mut incoming: Incoming, most: u64) -> Result<Bytes, ErrorBody> {
    let too_large = || {
        let message = format!("the request body is larger than the limit of {most} bytes (server.max_body)");
        ErrorBody::new(ErrorKind::TooLarge, &message)
    };
    if incoming.size_hint().lower() > most {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|e| {
            ErrorBody::new(
                ErrorKind::InvalidRequest,
                &format!("the request body broke off: {e}"),
            )
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if (first.len() + rest.len() + data.len()) as u64 > most {
            return Err(too_large());
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                let expected = usize::try_from(incoming.size_hint().lower()).unwrap_or(0);
                rest.reserve(first.len() + data.len() + expected.min(1 << 20));
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}
