//! The server that clients see.

use std::sync::Arc;

use fingerpost_agents::mcp::Expose;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestParams, CompleteResult,
        GetPromptRequestParams, GetPromptResponse, JsonObject, ListPromptsResult,
        ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
        PromptsCapability, ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Resource,
        ResourceContents, ServerCapabilities, ServerConfig, SubscriptionFilter, Tool,
    },
    service::{NotificationContext, RequestContext, SubscriptionContext},
};

use crate::{
    call::Call,
    catalogue::Known,
    exchange::Exchange,
    failure::Failure,
    hub::{Hub, Unanswered},
    listener::{Progress, implementation},
    own::{self, AskStats, CallOther, Search},
    tell,
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
        let call = Call {
            arguments,
            with: exchange(context),
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
        let mut capabilities = builder.enable_resources_list_changed().build();
        if let Some(tools) = &mut capabilities.tools {
            tools.list_changed = self.exposes_all().then_some(true);
        }
        // What no server does is not said to be done; what one that is still away does is not known yet.
        if self.hub.may(|server| server.prompts) {
            let mut prompts = PromptsCapability::default();
            prompts.list_changed = Some(true);
            capabilities.prompts = Some(prompts);
        }
        if self.hub.may(|server| server.completions) {
            capabilities.completions = Some(JsonObject::new());
        }
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
        self.hub.settled().await;
        let mut resources = vec![stats];
        resources.extend(self.hub.shelf().resources().iter().cloned());
        Ok(ListResourcesResult::with_all_items(resources))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        self.hub.settled().await;
        let templates = self.hub.shelf().templates().to_vec();
        Ok(ListResourceTemplatesResult::with_all_items(templates))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        if request.uri != STATS_URI {
            let result = self.hub.read(&request.uri, &exchange(&context)).await?;
            return Ok(result.into());
        }
        let text = self.hub.stats(None, None).to_string();
        let contents = ResourceContents::text(text, STATS_URI);
        Ok(ReadResourceResult::new(vec![contents]).into())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        self.hub.settled().await;
        let prompts = self.hub.shelf().prompts().cloned().collect();
        Ok(ListPromptsResult::with_all_items(prompts))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let with = exchange(&context);
        let result = self
            .hub
            .get_prompt(&request.name, request.arguments, &with)
            .await?;
        Ok(result.into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        self.hub.complete(request, &exchange(&context)).await
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let (changes, stopped) = (self.hub.changes(), self.hub.stopped().clone());
        let declared = self.get_info().capabilities;
        tokio::spawn(tell::of_session(changes, stopped, context.peer, declared));
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        let mut accepted = requested.clone();
        // That a resource itself has changed is not passed on.
        accepted.resource_subscriptions = None;
        Some(accepted)
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let (changes, stopped) = (self.hub.changes(), self.hub.stopped().clone());
        tell::of_subscription(changes, stopped, context).await
    }
}

/// What goes with a request.
fn exchange(context: &RequestContext<RoleServer>) -> Exchange {
    let progress = context.meta.get_progress_token().map(|token| Progress {
        peer: context.peer.clone(),
        token,
    });
    Exchange {
        meta: context.meta.clone(),
        progress,
        taken_back: context.ct.clone(),
    }
}
