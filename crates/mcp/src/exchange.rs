//! One request to one server on one connection: its time limit, its cancellation, its progress, its size, and how it is counted.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use rmcp::{
    model::{
        CallToolResult, ClientRequest, CompleteResult, GetPromptResult, ReadResourceResult,
        RequestMetaObject, ServerResult,
    },
    service::PeerRequestOptions,
};
use serde::Serialize;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    failure::Failure,
    listener::Progress,
    server::{Link, Server},
    stats::{Asked, Ending, Stats},
};

/// What goes with a request of a client, whatever it asks for.
pub(crate) struct Exchange {
    /// Such as the trace that it belongs to.
    pub(crate) meta: RequestMetaObject,
    /// Where progress goes, if the client wants to know.
    pub(crate) progress: Option<Progress>,
    /// Cancelled when the client takes it back.
    pub(crate) taken_back: CancellationToken,
}

/// Who is asked, for how long, and as what it counts.
pub(crate) struct To<'a> {
    pub(crate) server: &'a Server,
    pub(crate) limit: Duration,
    pub(crate) asked: Asked<'a>,
}

/// An answer of the kind that was asked for.
pub(crate) trait Answer: Serialize + Sized {
    /// In words: what gives such an answer.
    const OF: &'static str;

    /// What the server sent, if it is one.
    fn of(sent: ServerResult) -> Option<Self>;

    /// Whether it says that nothing came of it.
    fn is_failure(&self) -> bool {
        false
    }
}

/// Metadata of the conversation between client and Fingerpost: servers have their own.
const BETWEEN_TWO: &str = "io.modelcontextprotocol/";

// === impl Exchange ===

impl Exchange {
    /// Sends a request over a connection of its server, and counts how it ended.
    pub(crate) async fn send<A: Answer>(
        &self,
        to: &To<'_>,
        link: &Link,
        request: ClientRequest,
        stats: &Stats,
    ) -> Result<A, Failure> {
        let began = Instant::now();
        let result = self.answer::<A>(to, link, request).await;
        let ending = match &result {
            Ok(answer) if answer.is_failure() => Ending::ToolError,
            Ok(_) => Ending::Answered,
            Err(failure) => failure.ending(),
        };
        match &result {
            Err(Failure::Unreached(_)) => link.is_broken(),
            // Taken back: nothing is known.
            Err(Failure::Cancelled) => {}
            Err(failure) if failure.speaks_against(to.server.config.url.is_some()) => to.server.failed(),
            // Without an answer nothing speaks for it either.
            Err(Failure::Lost(_)) => {}
            _ => to.server.succeeded(),
        }
        stats.ended(&to.asked, ending, began.elapsed());
        result
    }

    async fn answer<A: Answer>(
        &self,
        to: &To<'_>,
        link: &Link,
        request: ClientRequest,
    ) -> Result<A, Failure> {
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
        let limit = to.limit;
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
        let hide = |text: &str| to.server.secrets.hide(text);
        let answer = answer.map_err(|_| Failure::Lost("closed by the server".to_owned()))?;
        let answer = answer.map_err(|error| match Failure::of(error) {
            Failure::Unreached(why) => Failure::Unreached(hide(&why)),
            Failure::TurnedAway(why) => Failure::TurnedAway(hide(&why)),
            Failure::Lost(why) => Failure::Lost(hide(&why)),
            Failure::Unusable(why) => Failure::Unusable(hide(&why)),
            other => other,
        })?;
        let answer = understood::<A>(answer)?;
        let (bytes, allowed) = (size_of(&answer), to.server.limits.result);
        if bytes > allowed {
            return Err(Failure::TooLarge { bytes, allowed });
        }
        Ok(answer)
    }
}

fn understood<A: Answer>(sent: ServerResult) -> Result<A, Failure> {
    let of = A::OF;
    let unusable = |what: String| Err(Failure::Unusable(what));
    match sent {
        ServerResult::InputRequiredResult(_) => unusable(format!(
            "the {of} asks for the user's input, which Fingerpost does not pass on"
        )),
        ServerResult::CreateTaskResult(_) => unusable(format!(
            "the {of} made a task of it, which Fingerpost does not follow"
        )),
        sent => A::of(sent).map_or_else(|| unusable(format!("it is no result of a {of}")), Ok),
    }
}

// === impl Answer ===

impl Answer for CallToolResult {
    const OF: &'static str = "tool";

    fn of(sent: ServerResult) -> Option<Self> {
        match sent {
            ServerResult::CallToolResult(result) => Some(result),
            // A result without content, which nothing tells from an empty answer.
            ServerResult::EmptyResult(_) => Some(Self::success(Vec::new())),
            _ => None,
        }
    }

    fn is_failure(&self) -> bool {
        self.is_error == Some(true)
    }
}

impl Answer for ReadResourceResult {
    const OF: &'static str = "resource";

    fn of(sent: ServerResult) -> Option<Self> {
        match sent {
            ServerResult::ReadResourceResult(result) => Some(result),
            _ => None,
        }
    }
}

impl Answer for GetPromptResult {
    const OF: &'static str = "prompt";

    fn of(sent: ServerResult) -> Option<Self> {
        match sent {
            ServerResult::GetPromptResult(result) => Some(result),
            _ => None,
        }
    }
}

impl Answer for CompleteResult {
    const OF: &'static str = "completion";

    fn of(sent: ServerResult) -> Option<Self> {
        match sent {
            ServerResult::CompleteResult(result) => Some(result),
            _ => None,
        }
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
