//! Tells clients that lists have changed.

use std::time::Duration;

use rmcp::{
    ErrorData, Peer, RoleServer,
    model::{ServerCapabilities, SubscriptionFilter},
    service::SubscriptionContext,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::changes::{Changes, Kind};

/// How often a session that is told of changes is looked at: whether it is still there.
const LOOK_AFTER: Duration = Duration::from_secs(30);

/// With a session, changes of what was declared are told as long as it lasts.
pub(crate) async fn of_session(
    mut changes: watch::Receiver<Changes>,
    stopped: CancellationToken,
    peer: Peer<RoleServer>,
    declared: ServerCapabilities,
) {
    let mut seen = *changes.borrow_and_update();
    let all = SubscriptionFilter::builder()
        .tools_list_changed()
        .resources_list_changed()
        .prompts_list_changed();
    let wanted = all.build().supported_by(&declared);
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = stopped.cancelled() => return,
            () = tokio::time::sleep(LOOK_AFTER) => if peer.is_transport_closed() { return } else { continue },
        }
        let now = *changes.borrow_and_update();
        for kind in now.since(seen).filter(|kind| wants(&wanted, *kind)) {
            let told = match kind {
                Kind::Tools => peer.notify_tool_list_changed().await,
                Kind::Resources => peer.notify_resource_list_changed().await,
                Kind::Prompts => peer.notify_prompt_list_changed().await,
            };
            if told.is_err() {
                return;
            }
        }
        seen = now;
    }
}

/// Without a session, to who asks for them.
pub(crate) async fn of_subscription(
    mut changes: watch::Receiver<Changes>,
    stopped: CancellationToken,
    context: SubscriptionContext,
) -> Result<(), ErrorData> {
    let mut seen = *changes.borrow_and_update();
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return Ok(()) },
            () = stopped.cancelled() => return Ok(()),
            () = context.cancelled() => return Ok(()),
        }
        let now = *changes.borrow_and_update();
        for kind in now.since(seen).filter(|kind| wants(context.accepted(), *kind)) {
            let told = match kind {
                Kind::Tools => context.sink().notify_tool_list_changed().await,
                Kind::Resources => context.sink().notify_resource_list_changed().await,
                Kind::Prompts => context.sink().notify_prompt_list_changed().await,
            };
            if told.is_err() {
                return Ok(());
            }
        }
        seen = now;
    }
}

fn wants(filter: &SubscriptionFilter, kind: Kind) -> bool {
    let wanted = match kind {
        Kind::Tools => filter.tools_list_changed,
        Kind::Resources => filter.resources_list_changed,
        Kind::Prompts => filter.prompts_list_changed,
    };
    wanted == Some(true)
}
