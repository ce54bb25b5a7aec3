//! Prompts of several servers under one name each, and what is completed in them.

use std::time::Duration;

use rmcp::{
    model::{ArgumentInfo, CompleteRequestParams, Reference},
    service::ClientLifecycleMode,
};
use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn prompts_are_named_as_tools_are_and_got_where_they_belong() {
    let hub = hub(config(vec![
        scripted("a", &["--prompts", "sum_up,say hello,p3", "--page", "2"]),
        scripted("b", &["--prompts", "sum_up", "--sessions"]),
    ]));
    for mode in [ClientLifecycleMode::Initialize, stateless()] {
        let client = client_by(&hub, mode).await;
        let names = client.prompts().await;
        let safe = fingerpost_mcp::name::exposed("a", "say hello");
        assert_eq!(names, ["a__sum_up", &*safe, "a__p3", "b__sum_up"]);
        let listed = client.running.list_prompts(None).await.unwrap().prompts;
        assert_eq!(listed[0].description.as_deref(), Some("Says something"));
        assert_eq!(listed[0].arguments.as_ref().unwrap()[0].name, "of");
        for (name, expected) in [
            ("a__sum_up", "a: sum_up of all"),
            ("b__sum_up", "b: sum_up of all"),
            ("b::sum_up", "b: sum_up of all"),
            (&*safe, "a: say hello of all"),
        ] {
            assert_eq!(client.prompt(name, json!({"of": "all"})).await.unwrap(), expected);
        }
        let error = client.prompt("a__none", json!({})).await.unwrap_err();
        assert_eq!(error.code.0, -32602);
        assert!(
            error.message.contains("no prompt named `a__none`"),
            "{}",
            error.message
        );
    }
    let client = client(&hub).await;
    let stats = client.stats().await;
    assert_eq!(stats["servers"][0]["prompts"], 3);
    assert_eq!(
        stats["servers"][0]["requests"]["prompts/get"]["endings"],
        json!({"answered": 4})
    );
    hub.stop().await;
}

#[tokio::test]
async fn a_prompt_of_a_server_that_is_away_says_so() {
    let mut config = config(vec![
        scripted("a", &["--prompts", "die,p"]),
        scripted("b", &["--prompts", "q"]),
    ]);
    config.reconnect.first = Duration::from_secs(30);
    config.reconnect.longest = Duration::from_secs(30);
    let hub = hub(config);
    let client = client(&hub).await;
    client.prompts().await;
    let error = client.prompt("a__die", json!({})).await.unwrap_err();
    assert!(
        error
            .message
            .starts_with("The prompt a::die brought no answer.\n- a: "),
        "{}",
        error.message
    );
    assert_eq!(client.prompts().await, ["a__die", "a__p", "b__q"]);
    let error = client.prompt("a__p", json!({})).await.unwrap_err();
    assert!(
        error.message.contains("- a: it did not reach the server"),
        "{}",
        error.message
    );
    assert_eq!(client.prompt("b__q", json!({})).await.unwrap(), "b: q of nothing");
    hub.stop().await;
}

#[tokio::test]
async fn arguments_are_completed_by_the_server_that_can() {
    let hub = hub(config(vec![
        scripted("a", &["--prompts", "p", "--templates", "x:{id}", "--completes"]),
        scripted("b", &["--prompts", "p", "--templates", "x:{id}"]),
    ]));
    for mode in [ClientLifecycleMode::Initialize, stateless()] {
        let client = client_by(&hub, mode).await;
        client.prompts().await;
        let complete = async |of: Reference| {
            let params = CompleteRequestParams::new(of, ArgumentInfo::new("of", "be"));
            client
                .running
                .complete(params)
                .await
                .map(|result| result.completion.values)
        };
        assert_eq!(complete(Reference::for_prompt("a__p")).await.unwrap(), ["a p be"]);
        assert_eq!(
            complete(Reference::for_resource("a+x:{id}")).await.unwrap(),
            ["a x:{id} be"]
        );
        // It completes nothing, and is not asked.
        assert!(complete(Reference::for_prompt("b__p")).await.unwrap().is_empty());
        let error = complete(Reference::for_resource("x:{id}"))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("`a+x:{id}`, `b+x:{id}`"), "{error}");
        let error = complete(Reference::for_prompt("c__p"))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("no prompt named `c__p`"), "{error}");
    }
    let client = client(&hub).await;
    let stats = client.stats().await;
    assert_eq!(stats["servers"][0]["requests"]["completion/complete"]["calls"], 4);
    hub.stop().await;
}
