//! Listing, searching and calling while all is well.

use std::time::Duration;

use fingerpost_agents::mcp::{Expose, McpTool};
use rmcp::{
    model::{
        CallToolRequest, CallToolRequestParams, ClientRequest, ReadResourceRequestParams, ResourceContents,
    },
    service::{PeerRequestOptions, ServiceError},
};
use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn every_tool_is_listed_found_and_called_by_one_name() {
    let hub = hub(config(vec![
        scripted("files", &["--tools", "read_file:ro,files.write"]),
        scripted("web", &["--tools", "fetch_page,read_file"]),
    ]));
    for mode in [rmcp::service::ClientLifecycleMode::Initialize, stateless()] {
        let client = client_by(&hub, mode).await;
        let names = client.names().await;
        assert_eq!(names[..3], ["search_tools", "call_tool", "tool_stats"]);
        assert_eq!(names[3], "files__read_file");
        assert!(names[4].starts_with("files__files_write-"), "{}", names[4]);
        assert_eq!(names[5..], ["web__fetch_page", "web__read_file"]);

        let found = client
            .call("search_tools", json!({"query": "fetch a page", "k": 2}))
            .await
            .unwrap();
        let found = found.structured_content.unwrap();
        assert_eq!(found["tools"][0]["name"], "web__fetch_page");
        assert_eq!(found["tools"][0]["input_schema"]["type"], "object");
        assert_eq!(found["tools"].as_array().unwrap().len(), 2);
        let only = client
            .call("search_tools", json!({"query": "read", "server": "web"}))
            .await
            .unwrap();
        let only = only.structured_content.unwrap();
        assert!(
            only["tools"]
                .as_array()
                .unwrap()
                .iter()
                .all(|tool| tool["server"] == "web"),
            "{only}"
        );

        // By the exposed name, through call_tool, and by `server::tool`: the server hears its own name.
        let direct = client.call(&names[4], json!({"text": "hello"})).await.unwrap();
        assert_eq!(text(&direct), "files: hello");
        assert_eq!(
            direct.structured_content,
            Some(json!({"server": "files", "tool": "files.write"}))
        );
        for name in ["web__read_file", "web::read_file"] {
            let asked = json!({"name": name, "arguments": {"text": "hi"}});
            assert_eq!(text(&client.call("call_tool", asked).await.unwrap()), "web: hi");
        }
    }
    hub.stop().await;
}

#[tokio::test]
async fn where_only_search_is_exposed_the_others_can_be_called_all_the_same() {
    let mut config = config(vec![scripted("a", &[])]);
    config.expose = Expose::Search;
    let hub = hub(config);
    let client = client(&hub).await;
    assert_eq!(client.names().await, ["search_tools", "call_tool", "tool_stats"]);
    assert_eq!(text(&client.call("a__echo", json!({})).await.unwrap()), "a: done");
    hub.stop().await;
}

#[tokio::test]
async fn what_the_server_answers_is_passed_on_as_it_is() {
    let hub = hub(config(vec![scripted("a", &[])]));
    let client = client(&hub).await;
    client.names().await;
    let failed = client.call("a__echo", json!({"do": "tool_error"})).await.unwrap();
    assert_eq!((failed.is_error, text(&failed).as_str()), (Some(true), "no luck"));
    let Err(ServiceError::McpError(error)) = client.call("a__echo", json!({"do": "error"})).await else {
        panic!()
    };
    assert_eq!(
        (error.code.0, &*error.message, error.data),
        (-32602, "not like this", Some(json!({"key": 1})))
    );
    // Through call_tool it is for the model to read.
    let asked = json!({"name": "a__echo", "arguments": {"do": "error"}});
    let failed = client.call("call_tool", asked).await.unwrap();
    assert_eq!(failed.is_error, Some(true));
    assert!(
        text(&failed).contains("a::echo: the server answered with error -32602: not like this"),
        "{}",
        text(&failed)
    );
    hub.stop().await;
}

#[tokio::test]
async fn bad_arguments_and_unknown_names_are_told() {
    let hub = hub(config(vec![scripted("a", &["--tools", "read_file"])]));
    let client = client(&hub).await;
    let told = async |tool: &str, arguments| text(&client.call(tool, arguments).await.unwrap());
    assert!(
        told("search_tools", json!({}))
            .await
            .contains("missing field `query`")
    );
    assert!(
        told("search_tools", json!({"query": "x", "k": 0}))
            .await
            .contains("allowed: 1 to 50")
    );
    assert!(
        told("call_tool", json!({"name": "x", "args": {}}))
            .await
            .contains("unknown field `args`")
    );
    let unknown = told("call_tool", json!({"name": "a__read_fiel"})).await;
    assert!(
        unknown.contains("no tool named `a__read_fiel`. There are: a__read_file."),
        "{unknown}"
    );
    let Err(ServiceError::McpError(error)) = client.call("b__x", json!({})).await else {
        panic!()
    };
    assert_eq!(error.code.0, -32602);
    hub.stop().await;
}

#[tokio::test]
async fn progress_is_passed_on() {
    let hub = hub(config(vec![scripted("a", &[]), scripted("b", &["--sessions"])]));
    for mode in [rmcp::service::ClientLifecycleMode::Initialize, stateless()] {
        let mut client = client_by(&hub, mode).await;
        for tool in ["a__echo", "b__echo"] {
            client.call(tool, json!({"do": "progress"})).await.unwrap();
            let mut steps = Vec::new();
            while let Ok(heard) = client.heard.try_recv() {
                if let Heard::Progress(step) = heard {
                    steps.push(step);
                }
            }
            steps.sort_by(f64::total_cmp);
            assert_eq!(steps, [1.0, 2.0, 3.0], "{tool}");
        }
    }
    hub.stop().await;
}

#[tokio::test]
async fn a_call_that_is_taken_back_is_taken_back_at_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let log = file(&folder, "calls");
    let hub = hub(config(vec![scripted("a", &["--calls", log.to_str().unwrap()])]));
    let client = client(&hub).await;
    client.names().await;
    let mut arguments = rmcp::model::JsonObject::new();
    arguments.insert("do".to_owned(), json!("sleep"));
    let request = CallToolRequest::new(CallToolRequestParams::new("a__echo").with_arguments(arguments));
    let request = ClientRequest::CallToolRequest(request);
    let handle = client
        .running
        .send_cancellable_request(request, PeerRequestOptions::no_options())
        .await
        .unwrap();
    while calls(&log).is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    handle.cancel(None).await.unwrap();
    let cancelled = async {
        while calls(&log) != ["echo sleep", "echo cancelled"] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), cancelled)
        .await
        .unwrap();
    let stats = client.stats().await;
    assert_eq!(stats["tools"][0]["endings"], json!({"cancelled": 1}));
    assert_eq!(stats["tools"][0]["error_rate"], 0.0);
    hub.stop().await;
}

#[tokio::test]
async fn what_becomes_of_calls_is_counted() {
    let mut server = scripted("a", &["--tools", "x,y"]);
    server.tools.insert(
        "x".to_owned(),
        McpTool {
            cost: 0.25,
            ..McpTool::default()
        },
    );
    let hub = hub(config(vec![server]));
    let client = client(&hub).await;
    for what in ["answer", "answer", "tool_error"] {
        client.call("a__x", json!({"do": what})).await.unwrap();
    }
    drop(client.call("a__x", json!({"do": "error"})).await);
    let stats = client.stats().await;
    assert_eq!(stats["servers"][0]["state"], "up");
    assert_eq!(stats["servers"][0]["tools"], 2);
    let tools = stats["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 1, "only what was called: {stats}");
    assert_eq!(tools[0]["name"], "a__x");
    assert_eq!(
        tools[0]["endings"],
        json!({"answered": 2, "tool_error": 1, "refused": 1})
    );
    assert_eq!(
        (&tools[0]["calls"], &tools[0]["error_rate"], &tools[0]["cost_usd"]),
        (&json!(4), &json!(0.5), &json!(1.0))
    );
    assert!(tools[0]["p50_ms"].as_f64().unwrap() > 0.0);
    let of_y = client
        .call("tool_stats", json!({"tool": "a::y"}))
        .await
        .unwrap()
        .structured_content
        .unwrap();
    assert_eq!(of_y["tools"][0]["calls"], 0);
    let request = ReadResourceRequestParams::new("fingerpost://tools/stats");
    let read = client.running.read_resource(request).await.unwrap();
    let ResourceContents::TextResourceContents { text, .. } = &read.contents[0] else {
        panic!()
    };
    let read: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(read["tools"], stats["tools"]);
    hub.stop().await;
}
