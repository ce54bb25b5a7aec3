//! Streamable HTTP on both sides.

use std::{sync::Arc, time::Duration};

use fingerpost_agents::mcp::McpProtocol;
use fingerpost_mcp::{Http, Hub, Metrics};
use rmcp::{
    model::CallToolRequestParams,
    service::{ClientLifecycleMode, ClientServiceExt},
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

async fn listen(hub: &Arc<Hub>) -> std::net::SocketAddr {
    let http = Http::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = http.address();
    tokio::spawn(http.serve(Arc::clone(hub)));
    address
}

async fn exchange(address: std::net::SocketAddr, request: String) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(host: &str, more: &str) -> String {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}})
    .to_string();
    format!(
        "POST /mcp HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\n{more}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn clients_come_in_over_http_with_a_session_and_without() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let hub = hub(config(vec![scripted("a", &[])]));
    let address = listen(&hub).await;
    for mode in [ClientLifecycleMode::Initialize, stateless()] {
        let config = StreamableHttpClientTransportConfig::with_uri(format!("http://{address}/mcp"));
        let transport = StreamableHttpClientTransport::from_config(config);
        let client = ().serve_with_lifecycle(transport, mode).await.unwrap();
        let tools = client.list_tools(None).await.unwrap().tools;
        assert_eq!(tools.len(), 4);
        let mut arguments = rmcp::model::JsonObject::new();
        arguments.insert("text".to_owned(), json!("over http"));
        let params = CallToolRequestParams::new("a__echo").with_arguments(arguments);
        assert_eq!(text(&client.call_tool(params).await.unwrap()), "a: over http");
        client.cancel().await.unwrap();
    }
    hub.stop().await;
}

#[tokio::test]
async fn servers_are_reached_over_http_by_either_protocol_and_found_again() {
    let (new, old) = (
        OverHttp::start("127.0.0.1:0", &["--name", "new"]),
        OverHttp::start("127.0.0.1:0", &["--name", "old", "--sessions"]),
    );
    let mut forced = old.server("forced");
    forced.protocol = McpProtocol::Session;
    let mut wrong = old.server("wrong");
    wrong.protocol = McpProtocol::Stateless;
    let hub = hub(config(vec![new.server("new"), old.server("old"), forced, wrong]));
    let client = client(&hub).await;
    assert_eq!(
        client.names().await[3..],
        ["new__echo", "old__echo", "forced__echo"]
    );
    let stats = client.stats().await;
    let protocols: Vec<&str> = stats["servers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["protocol"].as_str().unwrap_or("none"))
        .collect();
    assert_eq!(
        protocols,
        ["2026-07-28", "2025-11-25", "2025-11-25", "none"],
        "{stats}"
    );
    for (tool, by) in [
        ("new__echo", "new"),
        ("old__echo", "old"),
        ("forced__echo", "old"),
    ] {
        assert_eq!(
            text(&client.call(tool, json!({})).await.unwrap()),
            format!("{by}: done")
        );
    }
    // It goes, and comes back at the same place.
    let place = new.address.clone();
    drop(new);
    let failed = client.call("new__echo", json!({})).await.unwrap();
    assert_eq!(failed.is_error, Some(true));
    assert!(
        text(&failed).contains("it did not reach the server")
            && text(&failed).ends_with("It was not executed."),
        "{}",
        text(&failed)
    );
    client.until("new", "down").await;
    let _again = OverHttp::start(&place, &["--name", "again"]);
    client.until("new", "up").await;
    assert_eq!(
        text(&client.call("new__echo", json!({})).await.unwrap()),
        "again: done"
    );
    hub.stop().await;
}

#[tokio::test]
async fn strangers_are_kept_out() {
    let mut with_token = config(vec![scripted("a", &[])]);
    with_token.http.token = Some("let-me-in".to_owned());
    with_token.http.hosts = vec!["tools.example.com".to_owned()];
    let (open, closed) = (hub(config(Vec::new())), hub(with_token));
    let address = listen(&open).await;
    assert!(
        exchange(address, post("localhost", ""))
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        exchange(address, post("evil.example.com", ""))
            .await
            .starts_with("HTTP/1.1 403")
    );
    let of_a_page = post("localhost", "origin: https://evil.example.com\r\n");
    assert!(exchange(address, of_a_page).await.starts_with("HTTP/1.1 403"));
    let elsewhere = post("localhost", "").replace("/mcp", "/other");
    assert!(
        exchange(address, elsewhere)
            .await
            .contains("MCP is spoken at /mcp")
    );

    let address = listen(&closed).await;
    let without = exchange(address, post("localhost", "")).await;
    assert!(
        without.starts_with("HTTP/1.1 401") && without.to_lowercase().contains("www-authenticate: bearer"),
        "{without}"
    );
    assert!(
        exchange(address, post("localhost", "authorization: Bearer let-me-on\r\n"))
            .await
            .starts_with("HTTP/1.1 401")
    );
    let welcome = post("tools.example.com", "authorization: bearer let-me-in\r\n");
    assert!(exchange(address, welcome).await.starts_with("HTTP/1.1 200"));
    open.stop().await;
    closed.stop().await;
}

#[tokio::test]
async fn metrics_can_be_read() {
    let hub = hub(config(vec![scripted("a", &[])]));
    let client = client(&hub).await;
    client.call("a__echo", json!({})).await.unwrap();
    let metrics = Metrics::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = metrics.address();
    tokio::spawn(metrics.serve(Arc::clone(&hub)));
    let get = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned();
    let answer = tokio::time::timeout(Duration::from_secs(5), exchange(address, get))
        .await
        .unwrap();
    assert!(
        answer.contains("fingerpost_mcp_calls_total{server=\"a\",tool=\"echo\",ending=\"answered\"} 1"),
        "{answer}"
    );
    assert!(
        answer.contains("fingerpost_mcp_server_up{server=\"a\"} 1"),
        "{answer}"
    );
    hub.stop().await;
}
