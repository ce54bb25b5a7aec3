//! Who does the work of a tool that fails.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::*;

fn rerouted(result: &rmcp::model::CallToolResult) -> Value {
    let meta = result.meta.as_ref().map(|meta| json!(meta)).unwrap_or_default();
    meta["io.fingerpost/rerouted"].clone()
}

#[tokio::test]
async fn a_backup_does_the_work_of_a_server_that_was_killed() {
    let mut config = config(vec![scripted("a", &[]), scripted("b", &["--tools", "other"])]);
    config.backups = vec![backup("a::echo", &["b::other"])];
    config.reconnect.first = Duration::from_secs(30);
    config.reconnect.longest = Duration::from_secs(30);
    let hub = hub(config);
    let client = client(&hub).await;
    client.names().await;
    // It dies while a call is under way that may have been executed: told, and not done again.
    let died = client.call("a__echo", json!({"do": "die"})).await.unwrap();
    assert_eq!(died.is_error, Some(true));
    assert!(
        text(&died).contains("a::echo: the connection ended before an answer came"),
        "{}",
        text(&died)
    );
    assert!(text(&died).contains("It may have been executed all the same"));
    client.until("a", "down").await;
    // From now on nothing reaches it: the other one answers, and says so.
    let answered = client.call("a__echo", json!({"text": "hi"})).await.unwrap();
    assert_eq!(text(&answered), "b: hi");
    let told = rerouted(&answered);
    assert_eq!(
        (&told["asked"], &told["answered"]),
        (&json!("a::echo"), &json!("b::other"))
    );
    assert_eq!(told["tried"][0]["may_have_run"], false);
    let stats = client
        .call("tool_stats", json!({"tool": "a__echo"}))
        .await
        .unwrap()
        .structured_content
        .unwrap();
    assert_eq!(stats["tools"][0]["rerouted"], 1);
    // Its name stays known.
    assert!(client.names().await.contains(&"a__echo".to_owned()));
    hub.stop().await;
}

#[tokio::test]
async fn what_may_be_repeated_goes_to_a_twin_and_what_may_not_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let logs = [file(&folder, "a"), file(&folder, "b")];
    let tools = ["--tools", "look:ro,pay"];
    let mut servers = Vec::new();
    for (name, log) in ["a", "b"].iter().zip(&logs) {
        let mut server = scripted(name, &[&tools[..], &["--calls", log.to_str().unwrap()]].concat());
        server.timeout = Duration::from_millis(300);
        servers.push(server);
    }
    let mut config = config(servers);
    config.twins = true;
    config.breaker.failures = 0;
    let hub = hub(config);
    let client = client(&hub).await;
    client.names().await;
    // Both are slow.
    let late = client
        .call("a__look", json!({"do": "sleep", "ms": 5000}))
        .await
        .unwrap();
    assert_eq!(late.is_error, Some(true));
    assert!(
        text(&late).contains("a::look: no answer came within 300ms"),
        "{}",
        text(&late)
    );
    assert!(
        text(&late).contains("b::look: no answer came within 300ms"),
        "{}",
        text(&late)
    );
    let late = client
        .call("a__pay", json!({"do": "sleep", "ms": 5000}))
        .await
        .unwrap();
    assert!(text(&late).contains("a::pay: no answer"), "{}", text(&late));
    assert!(!text(&late).contains("b::pay"), "{}", text(&late));
    let begun = |i: usize, what: &str| calls(&logs[i]).iter().filter(|line| *line == what).count();
    assert_eq!((begun(0, "pay sleep"), begun(1, "pay sleep")), (1, 0));
    assert_eq!((begun(0, "look sleep"), begun(1, "look sleep")), (1, 1));
    // Broken inside: the same.
    let broken = client.call("a__look", json!({"do": "break"})).await.unwrap();
    assert!(
        text(&broken).contains("b::look: the server answered with error -32603"),
        "{}",
        text(&broken)
    );
    assert!(client.call("a__pay", json!({"do": "break"})).await.is_err());
    assert_eq!((begun(0, "pay break"), begun(1, "pay break")), (1, 0));
    hub.stop().await;
}

#[tokio::test]
async fn without_leave_twins_do_not_do_each_others_work() {
    let mut config = config(vec![scripted("a", &[]), scripted("b", &[])]);
    config.reconnect.first = Duration::from_secs(30);
    config.reconnect.longest = Duration::from_secs(30);
    let hub = hub(config);
    let client = client(&hub).await;
    client.names().await;
    client.call("a__echo", json!({"do": "die"})).await.unwrap();
    client.until("a", "down").await;
    let failed = client.call("a__echo", json!({})).await.unwrap();
    assert_eq!(failed.is_error, Some(true));
    assert!(
        text(&failed).ends_with("It was not executed."),
        "{}",
        text(&failed)
    );
    assert_eq!(text(&client.call("b__echo", json!({})).await.unwrap()), "b: done");
    hub.stop().await;
}

#[tokio::test]
async fn a_server_that_fails_again_and_again_is_spared_for_a_while() {
    let mut server = scripted("a", &["--tools", "look:ro"]);
    server.timeout = Duration::from_millis(100);
    let mut config = config(vec![server, scripted("b", &["--tools", "look:ro"])]);
    config.twins = true;
    config.breaker.failures = 2;
    config.breaker.cool_down = Duration::from_millis(700);
    let hub = hub(config);
    let client = client(&hub).await;
    client.names().await;
    // Longer than a may take, not longer than b may.
    let slow = json!({"do": "sleep", "ms": 300});
    for _ in 0..2 {
        assert_eq!(
            text(&client.call("a__look", slow.clone()).await.unwrap()),
            "b: done"
        );
    }
    let told = rerouted(&client.call("a__look", json!({})).await.unwrap());
    assert!(
        told["tried"][0]["because"]
            .as_str()
            .unwrap()
            .contains("it is spared for another"),
        "{told}"
    );
    let stats = client.stats().await;
    assert_eq!(stats["servers"][0]["breaker"], "open");
    // After the cool-down one call passes to see, and is answered.
    let began = Instant::now();
    loop {
        let answered = client.call("a__look", json!({})).await.unwrap();
        if text(&answered) == "a: done" {
            assert_eq!(rerouted(&answered), Value::Null);
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    hub.stop().await;
}

#[tokio::test]
async fn a_server_that_has_answered_is_not_waited_for() {
    let hub = hub(config(vec![scripted("a", &["--tools", "look:ro"])]));
    let client = client(&hub).await;
    client.names().await;
    let began = Instant::now();
    let broken = client.call(
        "call_tool",
        json!({"name": "a__look", "arguments": {"do": "break"}}),
    );
    let told = text(&broken.await.unwrap());
    assert!(
        told.contains("- a::look: the server answered with error -32603"),
        "{told}"
    );
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    hub.stop().await;
}
