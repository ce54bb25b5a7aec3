//! One call of one tool.

use rmcp::model::{CallToolRequest, CallToolRequestParams, CallToolResult, ClientRequest, JsonObject};

use crate::{
    catalogue::Known,
    exchange::{Exchange, To},
    failure::Failure,
    server::Link,
    stats::{Asked, Stats},
};

/// What a client calls a tool with.
pub(crate) struct Call {
    /// As the client gave them.
    pub(crate) arguments: Option<JsonObject>,
    pub(crate) with: Exchange,
}

// === impl Call ===

impl Call {
    /// Calls a tool over a connection of its server, and counts how it ended.
    pub(crate) async fn send(
        &self,
        known: &Known,
        link: &Link,
        stats: &Stats,
    ) -> Result<CallToolResult, Failure> {
        let mut params = CallToolRequestParams::new(known.tool.name.clone());
        params.arguments.clone_from(&self.arguments);
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let to = To {
            server: &known.server,
            limit: known.tool.timeout,
            asked: Asked::Tool {
                id: &known.tool.id,
                cost: known.tool.cost,
            },
        };
        self.with.send(&to, link, request, stats).await
    }
}
