//! Servers that are away at first, die and come back, or change.

use std::time::Duration;

use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn starts_without_the_one_that_is_away_and_tells_when_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let sign = file(&folder, "sign");
    for mode in [rmcp::service::ClientLifecycleMode::Initialize, stateless()] {
        drop(std::fs::remove_file(&sign));
        let late = scripted("late", &["--if", sign.to_str().unwrap()]);
        let mut config = config(vec![late, scripted("here", &[])]);
        config.reconnect.longest = Duration::from_millis(300);
        let hub = hub(config);
        let is_stateless = mode == stateless();
        let mut client = client_by(&hub, mode).await;
        let mut told = None;
        if is_stateless {
            let filter = rmcp::model::SubscriptionFilter::builder()
                .tools_list_changed()
                .build();
            told = Some(client.running.listen(filter).await.unwrap());
        }
        let names = client.names().await;
        assert!(names.contains(&"here__echo".to_owned()) && !names.contains(&"late__echo".to_owned()));
        assert_eq!(hub.missing().len(), 1);
        let found = client
            .call("search_tools", json!({"query": "echo"}))
            .await
            .unwrap();
        assert_eq!(
            found.structured_content.unwrap()["servers_missing"][0]["server"],
            "late"
        );
        let unknown = client
            .call("call_tool", json!({"name": "late__echo"}))
            .await
            .unwrap();
        assert!(
            text(&unknown).contains("The server late is missing"),
            "{}",
            text(&unknown)
        );

        std::fs::write(&sign, "").unwrap();
        if let Some(told) = &mut told {
            while !client.names().await.contains(&"late__echo".to_owned()) {
                let next = tokio::time::timeout(Duration::from_secs(20), told.next()).await;
                assert!(next.unwrap().unwrap().is_some());
            }
        } else {
            client.until_listed("late__echo").await;
        }
        assert!(client.names().await.contains(&"late__echo".to_owned()));
        assert_eq!(
            text(&client.call("late__echo", json!({})).await.unwrap()),
            "late: done"
        );
        assert!(hub.missing().is_empty());
        hub.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_dies_is_started_again_and_a_call_that_may_be_repeated_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = file(&folder, "calls");
    let hub = hub(config(vec![scripted(
        "a",
        &["--tools", "pay,look:ro", "--calls", log.to_str().unwrap()],
    )]));
    let client = client(&hub).await;
    client.names().await;
    let died = client.call("a__pay", json!({"do": "die"})).await.unwrap();
    assert_eq!(died.is_error, Some(true));
    // It comes back at once; whoever calls meanwhile waits for it.
    assert_eq!(text(&client.call("a__pay", json!({})).await.unwrap()), "a: done");
    assert_eq!(calls(&log), ["pay die", "pay answer"]);
    client.until("a", "up").await;
    assert_eq!(client.stats().await["servers"][0]["reconnected"], 1);
    // What may be repeated is repeated once, and kills it once more.
    let died = client.call("a__look", json!({"do": "die"})).await.unwrap();
    assert_eq!(died.is_error, Some(true));
    assert_eq!(calls(&log).iter().filter(|line| *line == "look die").count(), 2);
    hub.stop().await;
}

#[tokio::test]
async fn a_list_that_changes_is_taken_up() {
    for words in [&[][..], &["--sessions"]] {
        let hub = hub(config(vec![scripted("a", words)]));
        let mut client = client(&hub).await;
        client.names().await;
        // On the stateless protocol the server's word reaches who has asked for it; scripted tells everybody.
        client.call("a__echo", json!({"do": "grow"})).await.unwrap();
        client.until_listed("a__grown_0").await;
        assert_eq!(
            text(&client.call("a__grown_0", json!({})).await.unwrap()),
            "a: done"
        );
        hub.stop().await;
    }
}

#[tokio::test]
async fn programs_are_ended_with_the_hub_and_see_nothing_of_its_environment() {
    let mut server = scripted("a", &[]);
    server.env.insert("OWN".to_owned(), "its-own-secret".to_owned());
    let hub = hub(config(vec![server]));
    let client = client(&hub).await;
    let env = text(&client.call("a__echo", json!({"do": "env"})).await.unwrap());
    assert!(
        env.contains("OWN=its-own-secret") && env.contains("PATH="),
        "{env}"
    );
    // Cargo sets this one for the test.
    assert!(
        std::env::var("CARGO_MANIFEST_DIR").is_ok() && !env.contains("CARGO_MANIFEST_DIR"),
        "{env}"
    );
    assert!(!client.stats().await.to_string().contains("its-own-secret"));
    let began = std::time::Instant::now();
    hub.stop().await;
    assert!(began.elapsed() < Duration::from_secs(6));
}
