//! Reads a request's body, up to the limit.

use std::time::Duration;

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
        read_off(incoming);
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
            read_off(incoming);
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

/// Reads on what nobody wants, within reason, beside the answer: a client that is still sending when the connection closes
/// sees a reset and not the error that is meant for it.
fn read_off(mut incoming: Incoming) {
    tokio::task::spawn_local(async move {
        let rest = async {
            let mut left = READ_OFF;
            while let Some(Ok(frame)) = incoming.frame().await {
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len) as u64);
                if left == 0 {
                    break;
                }
            }
        };
        // Too long or too slow: then the reset is all it gets.
        let _ = tokio::time::timeout(READ_OFF_WITHIN, rest).await;
    });
}

/// Most bytes beyond the limit that are read off, and how long that may take.
const READ_OFF: u64 = 64 << 20;
const READ_OFF_WITHIN: Duration = Duration::from_secs(10);
