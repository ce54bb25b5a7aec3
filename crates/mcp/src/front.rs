//! The server that clients see.

use std::sync::Arc;

use fingerpost_agents::mcp::Expose;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, JsonObject, ListResourcesResult,
        ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse,
        ReadResourceResult, Resource, ResourceContents, ServerCapabilities, ServerConfig, SubscriptionFilter,
        Tool,
    },
    service::{NotificationContext, RequestContext, SubscriptionContext},
};

use crate::{
    call::Call,
    catalogue::Known,
    failure::Failure,
    hub::{Hub, Unanswered},
    listener::{Progress, implementation},
    own::{self, AskStats, CallOther, Search},
};

/// Where clients read how tools fare.
const STATS_URI: &str = "fingerpost://tools/stats";

/// One conversation with a client, or one request of a client without one.
#[derive(Clone)]
pub(crate) struct Front {
    hub: Arc<Hub>,
}

// === impl Front ===

impl Front {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }

    fn exposes_all(&self) -> bool {
        self.hub.config().expose == Expose::All
    }

    async fn answer(
        &self,
        known: &Known,
        arguments: Option<JsonObject>,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Unanswered> {
        let progress = context.meta.get_progress_token().map(|token| Progress {
            peer: context.peer.clone(),
            token,
        });
        let call = Call {
            arguments,
            meta: context.meta.clone(),
            progress,
            taken_back: context.ct.clone(),
        };
        self.hub.call(known, &call).await
    }

    /// A tool called by the name of another: whatever happens is for the model to read.
    async fn call_other(&self, asked: CallOther, context: &RequestContext<RoleServer>) -> CallToolResult {
        let CallOther { name, arguments } = asked;
        let Some(known) = self.hub.named(&name).await else {
            return own::failed(self.unknown(&name));
        };
        match self.answer(&known, arguments, context).await {
            Ok(result) => result,
            Err(unanswered) => own::failed(unanswered.told()),
        }
    }

    /// That there is no such tool, and what may have been meant.
    fn unknown(&self, name: &str) -> String {
        let name: String = name.chars().take(200).collect();
        let mut text = format!("There is no tool named `{name}`.");
        let catalogue = self.hub.catalogue();
        let near: Vec<&str> = catalogue
            .find(&name, 3, None)
            .iter()
            .map(|(known, _)| &*known.tool.shown.name)
            .collect();
        if !near.is_empty() {
            text.push_str(&format!(" There are: {}.", near.join(", ")));
        }
        for (server, why) in self.hub.missing() {
            text.push_str(&format!(" The server {server} is missing: {why}."));
        }
        text
    }
}

impl ServerHandler for Front {
    fn get_info(&self) -> ServerConfig {
        let builder = ServerCapabilities::builder().enable_tools().enable_resources();
        let capabilities = if self.exposes_all() {
            builder.enable_tool_list_changed().build()
        } else {
            builder.build()
        };
        ServerConfig::new(capabilities)
            .with_server_info(implementation())
            .with_instructions(
                "Many tools stand behind this server. Find the one you need with search_tools, by what it should do; \
                 call it with call_tool, by the name and with the arguments that the search gives.",
            )
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut tools = own::tools();
        if self.exposes_all() {
            self.hub.settled().await;
            tools.extend(
                self.hub
                    .catalogue()
                    .tools()
                    .iter()
                    .map(|known| known.tool.shown.clone()),
            );
        }
        Ok(ListToolsResult::with_all_items(tools))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let own = own::tools().into_iter().find(|tool| tool.name == name);
        own.or_else(|| {
            self.hub
                .catalogue()
                .named(name)
                .map(|known| known.tool.shown.clone())
        })
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments;
        let result = match &*request.name {
            own::SEARCH => match own::arguments::<Search>(own::SEARCH, arguments) {
                Ok(search) => search.run(&self.hub).await,
                Err(why) => why,
            },
            own::CALL => match own::arguments::<CallOther>(own::CALL, arguments) {
                Ok(asked) => self.call_other(asked, &context).await,
                Err(why) => why,
            },
            own::STATS => match own::arguments::<AskStats>(own::STATS, arguments) {
                Ok(asked) => asked.run(&self.hub),
                Err(why) => why,
            },
            name => {
                let Some(known) = self.hub.named(name).await else {
                    return Err(ErrorData::invalid_params(self.unknown(name), None));
                };
                match self.answer(&known, arguments, &context).await {
                    Ok(result) => result,
                    // The server's own answer, as it would have come without anybody in between.
                    Err(Unanswered {
                        tried,
                        last: Failure::Refused(error),
                    }) if tried.len() == 1 => return Err(error),
                    Err(unanswered) => own::failed(unanswered.told()),
                }
            }
        };
        Ok(result.into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let stats = Resource::new(STATS_URI, "tool_stats")
            .with_description("Servers and tools: what is connected, calls, times, failures, cost")
            .with_mime_type("application/json");
        Ok(ListResourcesResult::with_all_items(vec![stats]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        if request.uri != STATS_URI {
            let message = format!("no such resource; there is {STATS_URI}");
            return Err(ErrorData::resource_not_found(message, None));
        }
        let text = self.hub.stats(None, None).to_string();
        let contents = ResourceContents::text(text, STATS_URI);
        Ok(ReadResourceResult::new(vec![contents]).into())
    }

    /// With a session, changes are told as long as it lasts.
    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        if !self.exposes_all() {
            return;
        }
        let (mut changes, stopped, peer) = (self.hub.changes(), self.hub.stopped().clone(), context.peer);
        changes.mark_unchanged();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() { return },
                    () = stopped.cancelled() => return,
                    () = tokio::time::sleep(LOOK_AFTER) => if peer.is_transport_closed() { return } else { continue },
                }
                if peer.notify_tool_list_changed().await.is_err() {
                    return;
                }
            }
        });
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        let mut accepted = SubscriptionFilter::new();
        accepted.tools_list_changed = requested.tools_list_changed;
        Some(accepted)
    }

    /// Without a session, to who asks for them.
    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.hub.changes();
        changes.mark_unchanged();
        loop {
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return Ok(()) },
                () = self.hub.stopped().cancelled() => return Ok(()),
                () = context.cancelled() => return Ok(()),
            }
            if context.sink().notify_tool_list_changed().await.is_err() {
                return Ok(());
            }
        }
    }
}

/// How often a session that is told of changes is looked at: whether it is still there.
const LOOK_AFTER: std::time::Duration = std::time::Duration::from_secs(30);
