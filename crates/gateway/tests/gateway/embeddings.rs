//! Embeddings come from the encoders in this process.

use fingerpost_encode::{Encoder, StaticEncoder};
use fingerpost_testkit::Script;
use serde_json::{Value, json};

use crate::{
    bed::{Bed, one},
    speak::Speak,
};

const PATH: &str = "/v1/embeddings";

/// The name of the only encoder.
fn model(bed: &Bed) -> String {
    let listed = bed.get("/v1/models").json();
    let mut ids = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|m| m["id"].as_str());
    ids.rfind(|id| id.starts_with("fingerpost-")).unwrap().to_owned()
}

fn vector(value: &Value) -> Vec<f32> {
    #[allow(clippy::cast_possible_truncation, reason = "they were 32 bits wide")]
    let number = |v: &Value| v.as_f64().unwrap() as f32;
    value.as_array().unwrap().iter().map(number).collect()
}

#[test]
fn texts_become_the_vectors_of_the_encoder() {
    let (up, bed) = one(Script::new());
    let model = model(&bed);
    let answer = bed.post(
        PATH,
        &json!({"model": model, "input": ["a cat", "a dog on a mat"]}),
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let encoder = StaticEncoder::bundled();
    for (i, text) in ["a cat", "a dog on a mat"].into_iter().enumerate() {
        assert_eq!(body["data"][i]["index"], i);
        assert_eq!(
            vector(&body["data"][i]["embedding"]),
            encoder.encode(text).to_vec()
        );
    }
    assert_eq!((&body["object"], &body["model"]), (&json!("list"), &json!(model)));
    assert!(body["usage"]["prompt_tokens"].as_u64().unwrap() > 0);
    let single = bed.post(PATH, &json!({"model": model, "input": "a cat"})).json();
    assert_eq!(single["data"][0]["embedding"], body["data"][0]["embedding"]);
    assert_eq!(up.counters().requests, 0);
}

#[test]
fn base64_holds_the_same_numbers() {
    let (_up, bed) = one(Script::new());
    let model = model(&bed);
    let plain = bed.post(PATH, &json!({"model": model, "input": "a cat"})).json();
    let coded = bed
        .post(
            PATH,
            &json!({"model": model, "input": "a cat", "encoding_format": "base64"}),
        )
        .json();
    let text = coded["data"][0]["embedding"].as_str().unwrap();
    let expected = vector(&plain["data"][0]["embedding"]);
    // Four bytes a number, four letters for three bytes.
    assert_eq!(text.len(), (expected.len() * 4).div_ceil(3) * 4);
    assert_eq!(text.len() % 4, 0);
}

#[test]
fn what_is_wrong_is_named() {
    let (_up, bed) = one(Script::new());
    let model = model(&bed);
    for (body, field) in [
        (json!({"model": model}), "input"),
        (json!({"model": model, "input": []}), "input"),
        (json!({"model": model, "input": ""}), "input"),
        (json!({"model": model, "input": [1, 2]}), "input"),
        (json!({"model": model, "input": {"a": 1}}), "input"),
        (
            json!({"model": model, "input": "x", "encoding_format": "hex"}),
            "encoding_format",
        ),
        (
            json!({"model": model, "input": "x", "dimensions": 3}),
            "dimensions",
        ),
        (
            json!({"model": model, "input": "x", "dimensions": 0}),
            "dimensions",
        ),
        (json!({"model": 7, "input": "x"}), "model"),
    ] {
        let answer = bed.post(PATH, &body);
        assert_eq!(answer.status, 400, "{body} {}", answer.text());
        let told = Speak::Chat.error(&answer);
        assert!(
            told.param.as_deref().is_some_and(|p| p.starts_with(field)),
            "{body} {told:?}"
        );
    }
    let answer = bed.post(PATH, &json!({"model": "text-embedding-3", "input": "x"}));
    assert_eq!(answer.status, 404);
    assert!(Speak::Chat.error(&answer).message.contains(&model));
    for body in ["", "nonsense", "[]"] {
        assert_eq!(
            bed.client().post(PATH, &[], body).unwrap().status,
            400,
            "{body:?}"
        );
    }
}

#[test]
fn the_most_texts_pass_and_one_more_does_not() {
    let (_up, bed) = one(Script::new());
    let model = model(&bed);
    let texts = vec!["a"; 2048];
    let answer = bed.post(PATH, &json!({"model": model, "input": texts})).json();
    assert_eq!(answer["data"].as_array().map(Vec::len), Some(2048));
    let texts = vec!["a"; 2049];
    assert_eq!(
        bed.post(PATH, &json!({"model": model, "input": texts})).status,
        400
    );
}
