//! `GET /v1/models` lists every name that a request can carry.

use fingerpost_testkit::Script;

use crate::{bed::one, speak::Speak};

#[test]
fn aliases_models_and_encoders_are_listed_and_every_one_is_served() {
    let (_up, bed) = one(Script::new());
    let body = bed.get("/v1/models").json();
    assert_eq!(body["object"], "list");
    let ids: Vec<&str> = body["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|m| m["id"].as_str())
        .collect();
    assert_eq!(&ids[..3], ["auto", "fingerpost", "m"]);
    for id in &ids[..3] {
        assert_eq!(
            bed.post(Speak::Chat.path(), &Speak::Chat.ask(id, "hi")).status,
            200,
            "{id}"
        );
    }
    let entry = &body["data"][2];
    // OpenAI's clients look for `object`, Anthropic's for `type` and `display_name`.
    assert_eq!(
        (&entry["object"], &entry["type"], &entry["display_name"]),
        (&"model".into(), &"model".into(), &"m".into())
    );
    assert_eq!(
        (&body["has_more"], &body["first_id"]),
        (&false.into(), &"auto".into())
    );
    assert_eq!(bed.get("/v1/models/m").json(), *entry);
}

#[test]
fn a_name_that_is_not_there_is_404() {
    let (_up, bed) = one(Script::new());
    let answer = bed.get("/v1/models/nobody");
    assert_eq!(answer.status, 404);
    let told = Speak::Chat.error(&answer);
    assert!(
        told.message.contains("nobody") && told.message.contains('m'),
        "{told:?}"
    );
}

#[test]
fn a_request_without_a_model_is_routed() {
    let (_up, bed) = one(Script::new());
    let mut body = Speak::Chat.ask("m", "hi");
    body.as_object_mut().unwrap().remove("model");
    let answer = bed.post(Speak::Chat.path(), &body);
    assert_eq!(
        (answer.status, answer.headers.get("x-fingerpost-model")),
        (200, Some("m")),
        "{}",
        answer.text()
    );
}
