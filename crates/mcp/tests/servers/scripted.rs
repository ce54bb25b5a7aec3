//! A downstream server that does what its command line and its calls say: answers, sleeps, dies, talks nonsense.
//!
//! `scripted-mcp [--tools a,b:ro] [--http ADDR] [--sessions] [--calls FILE] [--start hang|garbage|exit|noise|HANG_FILE…] [--list FILE]
//! [--resources a:1,a:2] [--templates a:{x}] [--prompts a,b] [--completes] [--page N] [--lists-hang]`
//!
//! A call's argument `do` says what happens: `answer` (the default, with `text`), `sleep` (`ms`), `die`, `break`, `error`,
//! `tool_error`, `huge` (`bytes`), `progress`, `grow`, `grow_others`, `env`. Every call, read and prompt that is begun adds a line to
//! the file of `--calls`.

mod offers;

use std::{
    io::{BufRead, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper_util::rt::TokioIo;
use rmcp::{
    ErrorData, RoleServer, ServerHandler, ServiceExt,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestParams, CompleteResult,
        ContentBlock, ErrorCode, GetPromptRequestParams, GetPromptResponse, JsonObject, ListPromptsResult,
        ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
        ProgressNotificationParam, ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse,
        ServerCapabilities, ServerConfig, SubscriptionFilter, Tool, ToolAnnotations,
    },
    service::{RequestContext, SubscriptionContext},
    transport::{
        StreamableHttpServerConfig, StreamableHttpService, stdio,
        streamable_http_server::session::local::LocalSessionManager,
    },
};
use serde_json::{Value, json};

#[derive(Clone, Default)]
struct Scripted {
    name: String,
    tools: Vec<String>,
    sessions: bool,
    calls: Option<String>,
    grown: Arc<AtomicUsize>,
    offers: offers::Offers,
}

impl Scripted {
    fn note(&self, what: &str) {
        let Some(path) = &self.calls else { return };
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        if let Ok(mut file) = file {
            drop(writeln!(file, "{what}"));
        }
    }
}

impl ServerHandler for Scripted {
    fn get_info(&self) -> ServerConfig {
        let mut capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .build();
        if self.tools.is_empty() {
            capabilities.tools = None;
        }
        self.offers.declare(&mut capabilities);
        ServerConfig::new(capabilities)
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let (page, next) = self.offers.page(self.offers.resources(&self.name), request).await;
        let mut result = ListResourcesResult::with_all_items(page);
        result.next_cursor = next;
        Ok(result)
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        if self.offers.templates.is_empty() {
            return Err(ErrorData::new(
                ErrorCode::METHOD_NOT_FOUND,
                "no such method",
                None,
            ));
        }
        let (page, next) = self.offers.page(self.offers.templates(), request).await;
        let mut result = ListResourceTemplatesResult::with_all_items(page);
        result.next_cursor = next;
        Ok(result)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        self.note(&format!("read {}", request.uri));
        Ok(self.offers.read(&self.name, &request.uri).await?.into())
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let (page, next) = self.offers.page(self.offers.prompts(), request).await;
        let mut result = ListPromptsResult::with_all_items(page);
        result.next_cursor = next;
        Ok(result)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        self.note(&format!("prompt {}", request.name));
        Ok(self.offers.prompt(&self.name, request).await?.into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Ok(self.offers.complete(&self.name, &request))
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    /// Tells of all lists whenever there are more of the others.
    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut seen = 0;
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
            let now = self.offers.grown.load(Ordering::SeqCst);
            if now != seen {
                seen = now;
                drop(context.sink().notify_resource_list_changed().await);
                drop(context.sink().notify_prompt_list_changed().await);
            }
        }
    }

    fn supported_protocol_versions(&self) -> std::borrow::Cow<'static, [ProtocolVersion]> {
        if self.sessions {
            ProtocolVersion::known_up_to(&ProtocolVersion::V_2025_11_25).into()
        } else {
            ProtocolVersion::KNOWN_VERSIONS.into()
        }
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut schema = JsonObject::new();
        schema.insert("type".to_owned(), json!("object"));
        let properties =
            json!({"do": {"type": "string"}, "text": {"type": "string", "description": "What comes back"}});
        schema.insert("properties".to_owned(), properties);
        let schema = Arc::new(schema);
        let grown = self.grown.load(Ordering::SeqCst);
        let grown = (0..grown).map(|i| format!("grown_{i}"));
        let tools = self.tools.iter().cloned().chain(grown).map(|tool| {
            let (name, is_read_only) = match tool.strip_suffix(":ro") {
                Some(name) => (name.to_owned(), true),
                None => (tool, false),
            };
            let description = format!("Does the {} of {}", name.replace('_', " "), self.name);
            let tool = Tool::new(name, description, Arc::clone(&schema));
            if is_read_only {
                tool.with_annotations(ToolAnnotations::new().read_only(true))
            } else {
                tool
            }
        });
        Ok(ListToolsResult::with_all_items(tools.collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let what = arguments["do"].as_str().unwrap_or("answer").to_owned();
        self.note(&format!("{} {what}", request.name));
        let number = |key: &str, usual: u64| arguments[key].as_u64().unwrap_or(usual);
        let mut text = arguments["text"].as_str().unwrap_or("done").to_owned();
        match what.as_str() {
            "sleep" => {
                let time = Duration::from_millis(number("ms", 60_000));
                tokio::select! {
                    () = tokio::time::sleep(time) => {}
                    () = context.ct.cancelled() => {
                        self.note(&format!("{} cancelled", request.name));
                        return Err(ErrorData::internal_error("cancelled", None));
                    }
                }
            }
            "die" => std::process::exit(7),
            "break" => return Err(ErrorData::internal_error("broken inside", None)),
            "error" => {
                return Err(ErrorData::invalid_params(
                    "not like this",
                    Some(json!({"key": 1})),
                ));
            }
            "tool_error" => return Ok(CallToolResult::error(vec![ContentBlock::text("no luck")]).into()),
            "huge" => text = "x".repeat(number("bytes", 3_000_000) as usize),
            "progress" => {
                let token = context.meta.get_progress_token();
                for step in 1..=3 {
                    if let Some(token) = token.clone() {
                        let told = ProgressNotificationParam::new(token, f64::from(step)).with_total(3.0);
                        drop(context.peer.notify_progress(told).await);
                    }
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            "grow" => {
                self.grown.fetch_add(1, Ordering::SeqCst);
                drop(context.peer.notify_tool_list_changed().await);
            }
            "grow_others" => {
                self.offers.grown.fetch_add(1, Ordering::SeqCst);
                if self.sessions {
                    drop(context.peer.notify_resource_list_changed().await);
                    drop(context.peer.notify_prompt_list_changed().await);
                }
            }
            "env" => {
                text = std::env::vars()
                    .map(|(name, value)| format!("{name}={value}\n"))
                    .collect();
            }
            _ => {}
        }
        let mut result = CallToolResult::success(vec![ContentBlock::text(format!("{}: {text}", self.name))]);
        result.structured_content = Some(json!({"server": self.name, "tool": request.name}));
        Ok(result.into())
    }
}

/// Answers by hand: the tools are what a file says, whatever that is.
fn by_hand(list: &str) {
    let tools: Value =
        serde_json::from_str(&std::fs::read_to_string(list).unwrap_or_default()).unwrap_or_default();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let result = match message["method"].as_str() {
            Some("initialize") => json!({
                "protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                "serverInfo": {"name": "by hand", "version": "1"},
            }),
            Some("tools/list") => json!({"tools": tools}),
            Some("tools/call") => json!({"content": [{"type": "text", "text": "by hand"}]}),
            _ if message.get("id").is_none() => continue,
            _ => {
                let error = json!({"code": -32601, "message": "no such method"});
                println!(
                    "{}",
                    json!({"jsonrpc": "2.0", "id": message["id"], "error": error})
                );
                continue;
            }
        };
        println!(
            "{}",
            json!({"jsonrpc": "2.0", "id": message["id"], "result": result})
        );
    }
}

fn main() {
    let mut scripted = Scripted {
        name: "scripted".to_owned(),
        tools: vec!["echo".to_owned()],
        ..Scripted::default()
    };
    let (mut http, mut list) = (None, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_default();
        match word.as_str() {
            "--name" => scripted.name = value(),
            "--tools" => scripted.tools = words_of(&value()),
            "--resources" => scripted.offers.resources = words_of(&value()),
            "--templates" => scripted.offers.templates = words_of(&value()),
            "--prompts" => scripted.offers.prompts = words_of(&value()),
            "--completes" => scripted.offers.completes = true,
            "--page" => scripted.offers.page = value().parse().unwrap_or(0),
            "--lists-hang" => scripted.offers.hangs = true,
            "--calls" => scripted.calls = Some(value()),
            "--http" => http = Some(value()),
            "--sessions" => scripted.sessions = true,
            "--list" => list = Some(value()),
            // Starts only when the file is there.
            "--if" => {
                if !std::path::Path::new(&value()).exists() {
                    eprintln!("not yet\u{1b}[31m");
                    std::process::exit(3);
                }
            }
            "--start" => match value().as_str() {
                "exit" => std::process::exit(3),
                "hang" => std::thread::sleep(Duration::from_secs(600)),
                "garbage" => {
                    for i in 0.. {
                        println!("\u{1b}[2J{{garbage {i}");
                        std::thread::sleep(Duration::from_millis(20));
                    }
                }
                // Sound otherwise, but chatty.
                _ => println!("Welcome to the server!\n{{ not a message\n"),
            },
            other => {
                eprintln!("scripted-mcp: unknown word {other}");
                std::process::exit(2);
            }
        }
    }
    if let Some(list) = list {
        return by_hand(&list);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        match http {
            None => {
                if let Ok(running) = scripted.serve(stdio()).await {
                    drop(running.waiting().await);
                }
            }
            Some(address) => over_http(scripted, &address).await,
        }
    });
    runtime.shutdown_background();
}

fn words_of(list: &str) -> Vec<String> {
    let words = list.split(',').filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

async fn over_http(scripted: Scripted, address: &str) {
    let Ok(listener) = tokio::net::TcpListener::bind(address).await else {
        return;
    };
    let service = StreamableHttpService::new(
        move || Ok(scripted.clone()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    if let Ok(address) = listener.local_addr() {
        println!("{address}");
    }
    while let Ok((stream, _)) = listener.accept().await {
        let service = service.clone();
        tokio::spawn(async move {
            let answer = hyper::service::service_fn(move |request| {
                let service = service.clone();
                async move { Ok::<_, std::convert::Infallible>(service.handle(request).await) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            drop(http.serve_connection(TokioIo::new(stream), answer).await);
        });
    }
}
