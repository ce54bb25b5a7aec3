//! Answers in the Responses format are kept, and a later request goes on from one by its id, whatever model answers it.

use fingerpost_testkit::{Behavior, Script, Upstream};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, Setup, upstream},
    speak::Speak,
};

const RESPONSES: Speak = Speak::Responses;

/// Models on upstreams of all three formats; each echoes what it was sent.
fn three() -> (Vec<Upstream>, Bed) {
    let ups: Vec<Upstream> = (0..3)
        .map(|_| upstream(Script::new().always(Behavior::text("noted"))))
        .collect();
    let bed = Setup::new()
        .openai("o", &ups[0])
        .openai_responses("r", &ups[1])
        .anthropic("a", &ups[2])
        .model("o", &["o"])
        .model("r", &["r"])
        .model("a", &["a"])
        .set("/server/identity", json!({"user": "x-user"}))
        .start();
    (ups, bed)
}

/// The id of the answer that a stream carries.
fn id_of(events: &[fingerpost_testkit::SseEvent]) -> String {
    let done = events.iter().find(|e| e.event == "response.completed").unwrap();
    done.json()["response"]["id"].as_str().unwrap().to_owned()
}

fn go_on(model: &str, id: &str, text: &str) -> Value {
    let mut body = RESPONSES.ask(model, text);
    body["previous_response_id"] = json!(id);
    body
}

#[test]
fn the_conversation_so_far_goes_upstream_whole_or_streamed() {
    let (ups, bed) = three();
    for (index, model) in ["o", "r", "a"].into_iter().enumerate() {
        for stream in [false, true] {
            let ask = |mut body: Value| -> String {
                body["stream"] = json!(stream);
                if stream {
                    return id_of(&bed.stream(RESPONSES.path(), &body));
                }
                let answer = bed.post(RESPONSES.path(), &body);
                assert_eq!(answer.status, 200, "{model} {}", answer.text());
                answer.json()["id"].as_str().unwrap().to_owned()
            };
            let first = ask(RESPONSES.ask(model, "my name is Ada"));
            let second = ask(go_on(model, &first, "what is my name?"));
            assert_ne!(first, second);
            ask(go_on(model, &second, "and again?"));
            let sent = String::from_utf8_lossy(&ups[index].requests().last().unwrap().body).into_owned();
            let places: Vec<Option<usize>> = ["my name is Ada", "noted", "what is my name?", "and again?"]
                .iter()
                .map(|t| sent.find(t))
                .collect();
            assert!(
                places.iter().all(Option::is_some) && places.is_sorted(),
                "{model} {stream} {sent}"
            );
            assert!(!sent.contains("previous_response_id"), "{sent}");
        }
    }
}

#[test]
fn another_model_can_go_on() {
    let (ups, bed) = three();
    let first = bed.post(RESPONSES.path(), &RESPONSES.ask("r", "one")).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let answer = bed.post(RESPONSES.path(), &go_on("a", &first, "two"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = String::from_utf8_lossy(&ups[2].requests()[0].body).into_owned();
    assert!(
        sent.contains("one") && sent.contains("noted") && sent.contains("two"),
        "{sent}"
    );
}

#[test]
fn calls_of_tools_are_carried_over() {
    let call = Behavior::tool_call("get_weather", json!({"city": "Oslo"}));
    let up = upstream(Script::new().then(call).always(Behavior::default()));
    let bed = Setup::new().anthropic("a", &up).model("a", &["a"]).start();
    let mut body = RESPONSES.ask("a", "weather?");
    body["tools"] = json!([{"type": "function", "name": "get_weather", "parameters": {"type": "object"}}]);
    let first = bed.post(RESPONSES.path(), &body).json();
    let call = first["output"]
        .as_array()
        .unwrap()
        .iter()
        .find(|i| i["type"] == "function_call")
        .unwrap()
        .clone();
    body["previous_response_id"] = first["id"].clone();
    body["input"] = json!([{"type": "function_call_output", "call_id": call["call_id"], "output": "rain"}]);
    let answer = bed.post(RESPONSES.path(), &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(RESPONSES.text(&answer.json()), "The tool says: rain");
}

#[test]
fn it_can_be_read_listed_and_deleted() {
    let (_ups, bed) = three();
    for model in ["o", "r", "a"] {
        let answer = bed.post(RESPONSES.path(), &RESPONSES.ask(model, "hello there"));
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        let read = bed.get(&format!("/v1/responses/{id}"));
        assert_eq!((read.status, read.json()), (200, answer.json()), "{model}");
        let items = bed.get(&format!("/v1/responses/{id}/input_items")).json();
        assert_eq!(items["object"], "list");
        assert_eq!(items["data"].as_array().map(Vec::len), Some(1), "{items}");
        assert!(items["data"][0].to_string().contains("hello there"), "{items}");
        let mut client = bed.client();
        client
            .request("DELETE", &format!("/v1/responses/{id}"), &[], b"")
            .unwrap();
        assert_eq!(client.response().unwrap().json()["deleted"], true);
        let gone = bed.get(&format!("/v1/responses/{id}"));
        assert_eq!(gone.status, 404);
        RESPONSES.error(&gone);
        client
            .request("DELETE", &format!("/v1/responses/{id}"), &[], b"")
            .unwrap();
        assert_eq!(client.response().unwrap().status, 404);
        assert_eq!(bed.post(RESPONSES.path(), &go_on(model, &id, "more")).status, 404);
    }
}

#[test]
fn the_input_items_are_those_of_the_whole_conversation_newest_first() {
    let (_ups, bed) = three();
    let first = bed.post(RESPONSES.path(), &RESPONSES.ask("o", "one")).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let second = bed.post(RESPONSES.path(), &go_on("o", &first, "two")).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let items = bed.get(&format!("/v1/responses/{second}/input_items")).json();
    let texts: Vec<String> = items["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    assert_eq!(texts.len(), 3, "{items}");
    assert!(
        texts[0].contains("two") && texts[1].contains("noted") && texts[2].contains("one"),
        "{items}"
    );
}

#[test]
fn what_is_not_to_be_stored_is_not() {
    let (_ups, bed) = three();
    for model in ["o", "r", "a"] {
        let mut body = RESPONSES.ask(model, "secret");
        body["store"] = json!(false);
        let id = bed.post(RESPONSES.path(), &body).json()["id"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(bed.get(&format!("/v1/responses/{id}")).status, 404, "{model}");
        body["stream"] = json!(true);
        let id = id_of(&bed.stream(RESPONSES.path(), &body));
        assert_eq!(bed.get(&format!("/v1/responses/{id}")).status, 404, "{model}");
    }
}

#[test]
fn an_unknown_id_is_404_and_named() {
    let (ups, bed) = three();
    let answer = bed.post(RESPONSES.path(), &go_on("o", "resp_nobody", "hi"));
    assert_eq!(answer.status, 404, "{}", answer.text());
    let told = RESPONSES.error(&answer);
    assert_eq!(told.param.as_deref(), Some("previous_response_id"));
    assert!(told.message.contains("resp_nobody"));
    assert_eq!(answer.json()["error"]["code"], "previous_response_not_found");
    assert_eq!(ups[0].counters().requests, 0);
}

#[test]
fn somebody_elses_is_as_if_it_were_not_there() {
    let (_ups, bed) = three();
    let ann = [("x-user", "ann")];
    let bob = [("x-user", "bob")];
    let mine = bed
        .post_with(RESPONSES.path(), &ann, &RESPONSES.ask("o", "mine"))
        .json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let with = |method: &str, headers: &[(&str, &str)], path: &str| {
        let mut client = bed.client();
        client.request(method, path, headers, b"").unwrap();
        client.response().unwrap().status
    };
    let path = format!("/v1/responses/{mine}");
    for other in [&bob[..], &[]] {
        assert_eq!(with("GET", other, &path), 404);
        assert_eq!(with("GET", other, &format!("{path}/input_items")), 404);
        assert_eq!(with("DELETE", other, &path), 404);
        assert_eq!(
            bed.post_with(RESPONSES.path(), other, &go_on("o", &mine, "more"))
                .status,
            404
        );
    }
    assert_eq!(
        bed.post_with(RESPONSES.path(), &ann, &go_on("o", &mine, "more"))
            .status,
        200
    );
    assert_eq!(with("DELETE", &ann, &path), 200);
}

#[test]
fn other_methods_and_paths_below_it_are_refused() {
    let (_ups, bed) = three();
    let mut client = bed.client();
    client.request("PUT", "/v1/responses/resp_1", &[], b"{}").unwrap();
    assert_eq!(client.response().unwrap().status, 405);
    let id = bed.post(RESPONSES.path(), &RESPONSES.ask("o", "x")).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(bed.get(&format!("/v1/responses/{id}/nothing")).status, 404);
}

#[test]
fn it_outlives_the_process() {
    let up = upstream(Script::new().always(Behavior::text("noted")));
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new()
        .openai("o", &up)
        .model("o", &["o"])
        .set("/store", json!({}));
    let bed = setup.start_in(folder.path(), fingerpost_gateway::Engines::default());
    let id = bed.post(RESPONSES.path(), &RESPONSES.ask("o", "one")).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    bed.stop();
    let bed = setup.start_in(folder.path(), fingerpost_gateway::Engines::default());
    assert_eq!(bed.get(&format!("/v1/responses/{id}")).status, 200);
    assert_eq!(bed.post(RESPONSES.path(), &go_on("o", &id, "two")).status, 200);
}
