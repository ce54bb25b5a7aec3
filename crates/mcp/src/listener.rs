//! What a downstream server says without being asked.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rmcp::{
    ClientHandler, Peer, RoleClient, RoleServer,
    model::{ClientCapabilities, ClientConfig, Implementation, ProgressNotificationParam, ProgressToken},
    service::NotificationContext,
};
use tokio::{sync::Notify, time::timeout};

use crate::changes::Kind;

/// Where the progress of a call is passed on to.
#[derive(Clone)]
pub(crate) struct Progress {
    /// The client that called.
    pub(crate) peer: Peer<RoleServer>,
    /// What the client knows its call by.
    pub(crate) token: ProgressToken,
}

/// Hears one connection.
#[derive(Clone, Default)]
pub(crate) struct Listener(Arc<Heard>);

#[derive(Default)]
struct Heard {
    /// By the token that the server knows the call by.
    progress: Mutex<HashMap<ProgressToken, Route>>,
    tools: Notify,
    resources: Notify,
    prompts: Notify,
}

#[derive(Clone)]
struct Route {
    to: Progress,
    /// Held while a step is passed on: steps stay in order, and none is overtaken by the result.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// Progress is passed on as long as this lives.
pub(crate) struct Passing {
    listener: Listener,
    token: ProgressToken,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// How long a result waits for the progress before it.
const LAST_STEPS: Duration = Duration::from_secs(1);

// === impl Listener ===

impl Listener {
    /// Passes progress of the call with this token on.
    pub(crate) fn pass_on(&self, token: ProgressToken, to: Progress) -> Passing {
        let turn = Arc::default();
        let route = Route {
            to,
            turn: Arc::clone(&turn),
        };
        self.progress().insert(token.clone(), route);
        Passing {
            listener: self.clone(),
            token,
            turn,
        }
    }

    /// The server's list of this kind is another one.
    pub(crate) fn has_changed(&self, kind: Kind) {
        let told = match kind {
            Kind::Tools => &self.0.tools,
            Kind::Resources => &self.0.resources,
            Kind::Prompts => &self.0.prompts,
        };
        told.notify_one();
    }

    /// Waits until the server says that one of its lists is another one.
    pub(crate) async fn changed(&self) -> Kind {
        tokio::select! {
            () = self.0.tools.notified() => Kind::Tools,
            () = self.0.resources.notified() => Kind::Resources,
            () = self.0.prompts.notified() => Kind::Prompts,
        }
    }

    fn progress(&self) -> MutexGuard<'_, HashMap<ProgressToken, Route>> {
        self.0.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientHandler for Listener {
    fn get_info(&self) -> ClientConfig {
        // Nothing is offered to servers: no model, no user and no folder of the client's.
        ClientConfig::new(ClientCapabilities::default(), implementation())
    }

    async fn on_progress(&self, mut params: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        let route = self.progress().get(&params.progress_token).cloned();
        if let Some(Route { to, turn }) = route {
            let _turn = turn.lock().await;
            params.progress_token = to.token;
            // A client that is gone misses nothing.
            drop(to.peer.notify_progress(params).await);
        }
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.has_changed(Kind::Tools);
    }

    async fn on_resource_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.has_changed(Kind::Resources);
    }

    async fn on_prompt_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.has_changed(Kind::Prompts);
    }
}

impl Passing {
    /// Waits until what has come in so far is passed on.
    pub(crate) async fn finish(&self) {
        // Whoever takes a step on is under way by now, or is after this.
        tokio::task::yield_now().await;
        drop(timeout(LAST_STEPS, self.turn.lock()).await);
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.listener.progress().remove(&self.token);
    }
}

/// Who Fingerpost says it is, to servers and clients.
pub(crate) fn implementation() -> Implementation {
    Implementation::new("fingerpost", env!("CARGO_PKG_VERSION"))
}
