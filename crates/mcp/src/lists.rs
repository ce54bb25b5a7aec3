//! What a downstream server is asked for its lists, at first and when it says that they have changed.
//!
//! Without its tools a server is not connected. One that is slow with its resources or prompts, or cannot list them, is there for
//! its tools all the same; what it listed before stays.

use std::{sync::Arc, time::Duration};

use rmcp::{
    Peer, RoleClient,
    model::{
        ErrorCode, PaginatedRequestParams, ProtocolVersion, ServerCapabilities, ServerNotification,
        SubscriptionFilter,
    },
    service::Subscription,
};
use serde_json::Value;
use tokio::{task::JoinHandle, time::timeout};

use crate::{
    changes::Kind,
    connect::Running,
    failure::Failure,
    listener::Listener,
    listing::{Declared, Listed, Listing},
    prompt::OfferedPrompt,
    resource::{Place, Template},
    server::{Link, Server},
    text::escaped,
    tool::Offered,
};

/// Most pages of a list that are asked for.
const MOST_PAGES: usize = 100;
/// How long a server that has listed its tools may take over its other lists.
const OTHERS_IN: Duration = Duration::from_secs(5);

/// How long a server may take to agree to tell of changes.
const LISTENED_IN: Duration = Duration::from_secs(2);

/// Ends a task with its owner.
pub(crate) struct AbortOnDrop(JoinHandle<()>);

// === impl Server ===

impl Server {
    /// All pages of a list, each of its items as it came.
    pub(crate) async fn list<T: Listed>(&self, peer: &Peer<RoleClient>) -> Result<Listing<T>, String> {
        let raw = self.pages::<T>(peer).await;
        let raw = raw.map_err(|failure| format!("its {} cannot be listed: {failure}", T::MANY))?;
        Ok(Listing::read(&self.config, &self.limits, raw))
    }

    async fn pages<T: Listed>(&self, peer: &Peer<RoleClient>) -> Result<Vec<Value>, Failure> {
        let (mut raw, mut cursor) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let page = cursor.map(|cursor| PaginatedRequestParams::default().with_cursor(Some(cursor)));
            let page = peer.send_request(T::request(page)).await.map_err(Failure::of)?;
            // Whatever it was taken for: one item that is none must not hide the others.
            let mut page = serde_json::to_value(&page).unwrap_or_default();
            let Some(Value::Array(items)) = page.get_mut(T::MEMBER).map(Value::take) else {
                return Err(Failure::Unusable(format!("it holds no `{}`", T::MEMBER)));
            };
            raw.extend(items);
            cursor = page.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() || raw.len() > self.limits.tools {
                break;
            }
        }
        Ok(raw)
    }

    /// Lists what there is beside the tools.
    pub(crate) async fn list_others(&self, peer: &Peer<RoleClient>, declared: &ServerCapabilities) {
        self.declares(Declared {
            resources: declared.resources.is_some(),
            prompts: declared.prompts.is_some(),
            completions: declared.completions.is_some(),
        });
        let (resources, prompts) = (declared.resources.is_some(), declared.prompts.is_some());
        tokio::join!(
            self.list_other::<Place>(peer, resources),
            self.list_other::<Template>(peer, resources),
            self.list_other::<OfferedPrompt>(peer, prompts),
        );
    }

    async fn list_other<T: Listed>(&self, peer: &Peer<RoleClient>, there_are: bool) {
        if !there_are {
            return self.publish(Listing::<T>::default());
        }
        let raw = match timeout(OTHERS_IN, self.pages::<T>(peer)).await {
            Ok(raw) => raw,
            Err(_) => Err(Failure::Late(OTHERS_IN)),
        };
        let listing = match raw {
            Ok(raw) => Listing::<T>::read(&self.config, &self.limits, raw),
            // Who has resources need not know of templates.
            Err(Failure::Refused(error)) if error.code == ErrorCode::METHOD_NOT_FOUND => Listing::default(),
            Err(failure) => {
                let why = escaped(&self.secrets.hide(&failure.to_string()), 300);
                let known = Arc::clone(T::place(&mut self.offers()));
                Listing {
                    items: known.items.clone(),
                    problems: vec![format!("its {} cannot be listed: {why}", T::MANY)],
                }
            }
        };
        self.publish(listing);
    }

    /// Takes up that lists of this kind have changed.
    pub(crate) async fn list_again(&self, peer: &Peer<RoleClient>, kind: Kind) {
        match kind {
            Kind::Tools => match timeout(self.config.start, self.list::<Offered>(peer)).await {
                Ok(Ok(listing)) => self.publish(listing),
                Ok(Err(why)) => self.stale(&why),
                Err(_) => self.stale("no answer in time"),
            },
            Kind::Resources => {
                tokio::join!(
                    self.list_other::<Place>(peer, true),
                    self.list_other::<Template>(peer, true),
                );
            }
            Kind::Prompts => self.list_other::<OfferedPrompt>(peer, true).await,
        }
    }

    fn stale(&self, why: &str) {
        let why = escaped(&self.secrets.hide(why), 300);
        tracing::warn!(server = self.name(), why, "its list of tools may be out of date");
    }

    /// On the stateless protocol changes are told only to who asks for them. To be called before anything is listed, so that no change
    /// is missed in between.
    pub(crate) async fn listen_for_changes(&self, running: &Running, link: &Link) -> Option<AbortOnDrop> {
        let info = running.peer_info()?;
        let all = SubscriptionFilter::builder()
            .tools_list_changed()
            .resources_list_changed()
            .prompts_list_changed()
            .build();
        let filter = all.supported_by(&info.capabilities);
        if filter == SubscriptionFilter::new()
            || info.protocol_version.as_str() < ProtocolVersion::V_2026_07_28.as_str()
        {
            return None;
        }
        let why = match timeout(LISTENED_IN, link.peer.listen(filter)).await {
            Ok(Ok(told)) => return Some(AbortOnDrop(tokio::spawn(pass_on(told, link.listener.clone())))),
            Ok(Err(error)) => escaped(&error.to_string(), 200),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(server = self.name(), why, "does not tell when its lists change");
        None
    }
}

/// Passes on that lists have changed, as long as the server tells.
async fn pass_on(mut told: Subscription, listener: Listener) {
    use ServerNotification as Told;
    while let Ok(Some(notification)) = told.next().await {
        match notification {
            Told::ToolListChangedNotification(_) => listener.has_changed(Kind::Tools),
            Told::ResourceListChangedNotification(_) => listener.has_changed(Kind::Resources),
            Told::PromptListChangedNotification(_) => listener.has_changed(Kind::Prompts),
            _ => {}
        }
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
