//! One call of one tool on one connection: its time limit, its cancellation, its progress, its size.

use std::{
    io::{self, Write},
    time::Instant,
};

use rmcp::{
    model::{
        CallToolRequest, CallToolRequestParams, CallToolResult, ClientRequest, JsonObject, RequestMetaObject,
        ServerResult,
    },
    service::PeerRequestOptions,
};
use serde::Serialize;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    catalogue::Known,
    failure::Failure,
    listener::Progress,
    server::Link,
    stats::{Ending, Stats},
};

/// What a client asks for.
pub(crate) struct Call {
    /// As the client gave them.
    pub(crate) arguments: Option<JsonObject>,
    /// What goes with the call, such as the trace that it belongs to.
    pub(crate) meta: RequestMetaObject,
    /// Where progress goes, if the client wants to know.
    pub(crate) progress: Option<Progress>,
    /// Cancelled when the client takes the call back.
    pub(crate) taken_back: CancellationToken,
}

/// Metadata of the conversation between client and Fingerpost: servers have their own.
const BETWEEN_TWO: &str = "io.modelcontextprotocol/";

// === impl Call ===

impl Call {
    /// Calls a tool over a connection of its server, and counts how it ended.
    pub(crate) async fn send(
        &self,
        known: &Known,
        link: &Link,
        stats: &Stats,
    ) -> Result<CallToolResult, Failure> {
        let began = Instant::now();
        let result = self.exchange(known, link).await;
        let ending = match &result {
            Ok(result) if result.is_error == Some(true) => Ending::ToolError,
            Ok(_) => Ending::Answered,
            Err(failure) => failure.ending(),
        };
        match &result {
            Err(Failure::Unreached(_)) => link.is_broken(),
            // Taken back: nothing is known.
            Err(Failure::Cancelled) => {}
            Err(failure) if failure.speaks_against(known.server.config.url.is_some()) => {
                known.server.failed();
            }
            // Without an answer nothing speaks for it either.
            Err(Failure::Lost(_)) => {}
            _ => known.server.succeeded(),
        }
        stats.ended(&known.tool.id, ending, began.elapsed(), known.tool.cost);
        result
    }

    async fn exchange(&self, known: &Known, link: &Link) -> Result<CallToolResult, Failure> {
        let mut params = CallToolRequestParams::new(known.tool.name.clone());
        params.arguments.clone_from(&self.arguments);
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let mut meta = self.meta.clone();
        meta.retain(|key, _| !key.starts_with(BETWEEN_TWO) && key != "progressToken");
        let options = PeerRequestOptions::no_options().with_meta(meta);
        // Handing it over fails only where the connection is known to be gone: nothing was sent.
        let handle = link.peer.send_request_with_option(request, options).await;
        let mut handle = handle.map_err(|_| Failure::Unreached("the connection ended".to_owned()))?;
        let passing = self
            .progress
            .clone()
            .map(|to| link.listener.pass_on(handle.progress_token.clone(), to));
        let limit = known.tool.timeout;
        let answer = tokio::select! {
            answer = &mut handle.rx => answer,
            () = sleep(limit) => {
                drop(handle.cancel(Some(format!("no answer within {limit:?}"))).await);
                return Err(Failure::Late(limit));
            }
            () = self.taken_back.cancelled() => {
                drop(handle.cancel(Some("the client took the call back".to_owned())).await);
                return Err(Failure::Cancelled);
            }
        };
        if let Some(passing) = passing {
            passing.finish().await;
        }
        let hide = |text: &str| known.server.secrets.hide(text);
        let answer = answer.map_err(|_| Failure::Lost("closed by the server".to_owned()))?;
        let answer = answer.map_err(|error| match Failure::of(error) {
            Failure::Unreached(why) => Failure::Unreached(hide(&why)),
            Failure::TurnedAway(why) => Failure::TurnedAway(hide(&why)),
            Failure::Lost(why) => Failure::Lost(hide(&why)),
            Failure::Unusable(why) => Failure::Unusable(hide(&why)),
            other => other,
        })?;
        let result = understood(answer)?;
        let (bytes, allowed) = (size_of(&result), known.server.largest_result());
        if bytes > allowed {
            return Err(Failure::TooLarge { bytes, allowed });
        }
        Ok(result)
    }
}

fn understood(answer: ServerResult) -> Result<CallToolResult, Failure> {
    let unusable = |what: &str| Err(Failure::Unusable(what.to_owned()));
    match answer {
        ServerResult::CallToolResult(result) => Ok(result),
        // A result without content, which nothing tells from an empty answer.
        ServerResult::EmptyResult(_) => Ok(CallToolResult::success(Vec::new())),
        ServerResult::InputRequiredResult(_) => {
            unusable("the tool asks for the user's input, which Fingerpost does not pass on")
        }
        ServerResult::CreateTaskResult(_) => {
            unusable("the tool made a task of it, which Fingerpost does not follow")
        }
        _ => unusable("it is no result of a tool"),
    }
}

/// Bytes of a value as JSON.
pub(crate) fn size_of(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // What cannot be written as JSON could not be sent either.
    serde_json::to_writer(&mut count, value).map_or(usize::MAX, |()| count.0)
}
