//! Resources of several servers: listed as one server's, read where they belong.

use std::time::Duration;

use fingerpost_mcp::Http;
use rmcp::{
    model::{ReadResourceRequestParams, SubscriptionFilter},
    service::{ClientLifecycleMode, ClientServiceExt},
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde_json::json;

use crate::support::*;

const OWN: &str = "fingerpost://tools/stats";

#[tokio::test]
async fn resources_keep_their_uris_and_what_two_servers_list_is_told_apart() {
    let hub = hub(config(vec![
        scripted("files", &["--resources", "note:1,note:2,note:3", "--page", "1"]),
        scripted("my_web", &["--resources", "note:2,page:1", "--sessions"]),
        scripted("plain", &[]),
    ]));
    for mode in [ClientLifecycleMode::Initialize, stateless()] {
        let client = client_by(&hub, mode).await;
        assert_eq!(
            client.uris().await,
            [OWN, "note:1", "files+note:2", "note:3", "my.web+note:2", "page:1"]
        );
        let listed = client.running.list_resources(None).await.unwrap().resources;
        assert_eq!(listed[1].name, "[2Jnote:1", "what acts is taken out");
        assert_eq!(listed[1].mime_type.as_deref(), Some("text/plain"));

        let (text, uris) = client.read("note:1").await.unwrap();
        assert_eq!(
            (text.as_str(), &uris[..]),
            ("files: note:1", &["note:1", "note:1/more"].map(String::from)[..])
        );
        // The server hears its own URI; what it names comes back in the way that it was asked for.
        let (text, uris) = client.read("my.web+note:2").await.unwrap();
        assert_eq!(text, "my_web: note:2");
        assert_eq!(uris, ["my.web+note:2", "my.web+note:2/more"]);
        assert_eq!(client.read("files+note:2").await.unwrap().0, "files: note:2");
        // So may one be that nobody else lists.
        assert_eq!(client.read("my.web+page:1").await.unwrap().0, "my_web: page:1");

        let error = client.read("note:2").await.unwrap_err();
        assert!(
            error
                .message
                .contains("Ask for one of them: `files+note:2`, `my.web+note:2`."),
            "{}",
            error.message
        );
        let error = client.read("note:9").await.unwrap_err();
        assert!(
            error.message.contains("No server lists a resource `note:9`"),
            "{}",
            error.message
        );
        assert!(
            error.message.contains("as in `files+note:9`"),
            "{}",
            error.message
        );
        // What the server itself says is passed on.
        let error = client.read("files+note:9").await.unwrap_err();
        assert_eq!(error.message, "files has no note:9");
        let error = client.read("plain+x:1").await.unwrap_err();
        assert!(!error.message.is_empty());
        let stats = client.read(OWN).await.unwrap().0;
        assert!(stats.contains("\"resources\":3"), "{stats}");
    }
    hub.stop().await;
}

#[tokio::test]
async fn what_no_list_names_is_read_where_a_template_fits() {
    let folder = tempfile::tempdir().unwrap();
    let logs = [file(&folder, "a"), file(&folder, "b"), file(&folder, "c")];
    let log = |i: usize| logs[i].to_str().unwrap();
    let hub = hub(config(vec![
        scripted("a", &["--templates", "note:{id}", "--calls", log(0)]),
        scripted("b", &["--templates", "note:{id},page:{+path}", "--calls", log(1)]),
        scripted("c", &["--templates", "note:only/{id}", "--calls", log(2)]),
    ]));
    let client = client(&hub).await;
    let templates = client
        .running
        .list_resource_templates(None)
        .await
        .unwrap()
        .resource_templates;
    let templates: Vec<&str> = templates.iter().map(|template| &*template.uri_template).collect();
    assert_eq!(
        templates,
        ["a+note:{id}", "b+note:{id}", "page:{+path}", "note:only/{id}"]
    );
    assert_eq!(client.read("page:x/y").await.unwrap().0, "b: page:x/y");
    assert_eq!(client.read("note:only/1").await.unwrap().0, "c: note:only/1");
    // Two may have it: the first one does.
    assert_eq!(client.read("note:7").await.unwrap().0, "a: note:7");
    assert_eq!(client.read("b+note:7").await.unwrap().0, "b: note:7");
    // Neither has it: both were asked, and are named.
    let error = client.read("note:unknown").await.unwrap_err();
    for part in [
        "- a: the server answered with error",
        "a has no note:unknown",
        "- b: ",
    ] {
        assert!(error.message.contains(part), "{part}\n{}", error.message);
    }
    assert_eq!(calls(&logs[0]), ["read note:7", "read note:unknown"]);
    assert_eq!(calls(&logs[2]), ["read note:only/1"]);
    hub.stop().await;
}

#[tokio::test]
async fn a_server_that_was_killed_takes_nothing_else_down_and_is_waited_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let sign = file(&folder, "sign");
    std::fs::write(&sign, "").unwrap();
    let mut config = config(vec![
        scripted("a", &["--resources", "x:1,x:die", "--if", sign.to_str().unwrap()]),
        scripted("b", &["--resources", "y:1"]),
    ]);
    config.reconnect.longest = Duration::from_millis(200);
    let hub = hub(config);
    let client = client(&hub).await;
    assert_eq!(client.uris().await, [OWN, "x:1", "x:die", "y:1"]);
    // It dies, comes back, is asked once more, and dies again.
    let error = client.read("x:die").await.unwrap_err();
    assert_eq!(error.code.0, -32603);
    assert!(
        error
            .message
            .contains("- a: the connection ended before an answer came"),
        "{}",
        error.message
    );
    // Who reads meanwhile waits for it.
    assert_eq!(client.read("x:1").await.unwrap().0, "a: x:1");
    // Away for good: its resources stay listed, the others are read, and the error names it.
    std::fs::remove_file(&sign).unwrap();
    drop(client.read("x:die").await);
    client.until("a", "down").await;
    assert_eq!(client.uris().await, [OWN, "x:1", "x:die", "y:1"]);
    assert_eq!(client.read("y:1").await.unwrap().0, "b: y:1");
    let error = client.read("x:1").await.unwrap_err();
    assert!(
        error.message.contains("- a: it did not reach the server"),
        "{}",
        error.message
    );
    let stats = client.stats().await;
    let reads = &stats["servers"][0]["requests"]["resources/read"];
    assert_eq!(reads["endings"]["answered"], 1, "{stats}");
    assert!(reads["endings"]["lost"].as_u64().unwrap() >= 2, "{stats}");
    assert_eq!(stats["servers"][1]["requests"]["resources/read"]["calls"], 1);
    let line = "fingerpost_mcp_requests_total{server=\"b\",method=\"resources/read\",ending=\"answered\"} 1";
    assert!(hub.metrics().contains(line), "{}", hub.metrics());
    hub.stop().await;
}

#[tokio::test]
async fn limits_and_the_breaker_hold_for_reads() {
    let mut slow = scripted("slow", &["--resources", "y:sleep"]);
    slow.timeout = Duration::from_millis(300);
    let mut config = config(vec![scripted("a", &["--resources", "x:huge,x:broken,x:1"]), slow]);
    config.breaker.failures = 2;
    let hub = hub(config);
    let client = client(&hub).await;
    client.uris().await;
    let error = client.read("y:sleep").await.unwrap_err();
    assert!(
        error.message.contains("- slow: no answer came within 300ms"),
        "{}",
        error.message
    );
    let error = client.read("x:huge").await.unwrap_err();
    assert!(error.message.contains("mcp.limits.result"), "{}", error.message);
    // Asked twice, it is broken twice, and says so at once: it gets no calls for a while.
    let began = std::time::Instant::now();
    let error = client.read("x:broken").await.unwrap_err();
    assert_eq!(error.message, "broken inside");
    let error = client.read("x:broken").await.unwrap_err();
    assert_eq!(error.message, "broken inside");
    let error = client.read("x:1").await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(
        error.message.contains("it is spared for another"),
        "{}",
        error.message
    );
    hub.stop().await;
}

#[tokio::test]
async fn capabilities_are_what_servers_have_and_one_without_resources_is_one_with_tools() {
    let plain = hub(config(vec![scripted("a", &[])]));
    let client = client(&plain).await;
    assert_eq!(client.uris().await, [OWN]);
    drop(client);
    for mode in [ClientLifecycleMode::Initialize, stateless()] {
        let client = client_by(&plain, mode).await;
        let info = client.running.peer_info().unwrap();
        assert!(info.capabilities.prompts.is_none() && info.capabilities.completions.is_none());
        let resources = info.capabilities.resources.as_ref().unwrap();
        assert_eq!((resources.list_changed, resources.subscribe), (Some(true), None));
        assert!(client.prompts().await.is_empty());
    }
    plain.stop().await;

    let words = ["--tools", "", "--prompts", "p", "--completes"];
    let all = hub(config(vec![scripted("a", &[]), scripted("b", &words)]));
    let client = crate::support::client(&all).await;
    assert_eq!(client.prompts().await, ["b__p"]);
    let stats = client.stats().await;
    assert_eq!(stats["servers"][1]["state"], "up");
    assert!(stats["servers"][1]["problems"].is_null(), "{stats}");
    let client = crate::support::client(&all).await;
    let capabilities = &client.running.peer_info().unwrap().capabilities;
    assert!(capabilities.prompts.is_some() && capabilities.completions.is_some());
    all.stop().await;
}

#[tokio::test]
async fn a_server_that_does_not_list_its_resources_is_there_for_its_tools() {
    let hub = hub(config(vec![scripted("a", &["--lists-hang"])]));
    let client = client(&hub).await;
    assert!(client.names().await.contains(&"a__echo".to_owned()));
    let stats = client.stats().await;
    assert_eq!(
        stats["servers"][0]["problems"][0],
        "its resources cannot be listed: no answer came within 5s"
    );
    assert_eq!(text(&client.call("a__echo", json!({})).await.unwrap()), "a: done");
    hub.stop().await;
}

#[tokio::test]
async fn lists_that_change_are_taken_up_and_told() {
    for words in [&[][..], &["--sessions"]] {
        let own = ["--resources", "x:1", "--prompts", "p"];
        let hub = hub(config(vec![scripted("a", &[&own[..], words].concat())]));
        let mut with_session = client(&hub).await;
        assert_eq!(with_session.uris().await, [OWN, "x:1"]);
        let without = client_by(&hub, stateless()).await;
        let filter = SubscriptionFilter::builder()
            .resources_list_changed()
            .prompts_list_changed()
            .resource_subscription("x:1")
            .build();
        let mut told = without.running.listen(filter).await.unwrap();
        // Changes of a resource itself are not.
        assert!(told.acknowledged().resource_subscriptions.is_none());

        with_session
            .call("a__echo", json!({"do": "grow_others"}))
            .await
            .unwrap();
        // Whenever a list is said to have changed it is looked at, as a client does.
        let both = async {
            let (mut resources, mut prompts) = (false, false);
            while !(resources && prompts) {
                match with_session.heard.recv().await.unwrap() {
                    Heard::ResourcesChanged => {
                        resources = with_session.uris().await == [OWN, "x:1", "grown:0"];
                    }
                    Heard::PromptsChanged => prompts = with_session.prompts().await == ["a__p", "a__grown_0"],
                    _ => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
        assert_eq!(with_session.read("grown:0").await.unwrap().0, "a: grown:0");
        for _ in 0..2 {
            let next = tokio::time::timeout(Duration::from_secs(20), told.next()).await;
            assert!(next.unwrap().unwrap().is_some());
        }
        hub.stop().await;
    }
}

#[tokio::test]
async fn over_http_on_both_sides() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let (new, old) = (
        OverHttp::start(
            "127.0.0.1:0",
            &["--name", "new", "--resources", "x:1", "--prompts", "p"],
        ),
        OverHttp::start(
            "127.0.0.1:0",
            &["--name", "old", "--sessions", "--resources", "x:1"],
        ),
    );
    let hub = hub(config(vec![new.server("new"), old.server("old")]));
    let http = Http::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = http.address();
    tokio::spawn(http.serve(std::sync::Arc::clone(&hub)));
    for mode in [ClientLifecycleMode::Initialize, stateless()] {
        let config = StreamableHttpClientTransportConfig::with_uri(format!("http://{address}/mcp"));
        let transport = StreamableHttpClientTransport::from_config(config);
        let client = ().serve_with_lifecycle(transport, mode).await.unwrap();
        let resources = client.list_resources(None).await.unwrap().resources;
        let uris: Vec<&str> = resources.iter().map(|resource| &*resource.uri).collect();
        assert_eq!(uris, [OWN, "new+x:1", "old+x:1"]);
        for uri in &uris[1..] {
            let params = ReadResourceRequestParams::new(*uri);
            let read = client.read_resource(params).await.unwrap();
            let json = json!(read.contents[0]);
            assert_eq!(
                (&json["uri"], &json["mimeType"]),
                (&json!(uri), &json!("text/plain"))
            );
            assert_eq!(json["text"], json!(uri.replace('+', ": ")));
        }
        let prompts = client.list_prompts(None).await.unwrap().prompts;
        assert_eq!(prompts[0].name, "new__p");
        client.cancel().await.unwrap();
    }
    hub.stop().await;
}
