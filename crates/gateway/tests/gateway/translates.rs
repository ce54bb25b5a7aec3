//! Where client and upstream speak different formats, both directions are translated.

use fingerpost_testkit::{Behavior, Script, Upstream, Usage};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, Setup, upstream},
    speak::{ALL, Speak},
};

/// A gateway with an OpenAI-compatible upstream as model `o` and an Anthropic one as model `a`.
fn both(script: Script) -> (Upstream, Upstream, Bed) {
    let (o, a) = (upstream(script.clone()), upstream(script));
    let bed = Setup::new()
        .openai("o", &o)
        .anthropic("a", &a)
        .model("o", &["o"])
        .model("a", &["a"])
        .start();
    (o, a, bed)
}

/// Every client's format against every upstream's.
fn each_pair(script: Script, check: impl Fn(Speak, &str, &Bed, &Upstream)) {
    let (o, a, bed) = both(script);
    for speak in ALL {
        check(speak, "o", &bed, &o);
        check(speak, "a", &bed, &a);
    }
}

fn last(up: &Upstream) -> Value {
    up.requests().last().unwrap().json()
}

#[test]
fn text_and_usage_in_every_pair_whole_and_streamed() {
    let usage = Usage {
        input: 100,
        cached: 30,
        output: 20,
        ..Usage::default()
    };
    each_pair(
        Script::new().always(Behavior::text("some words here").usage(usage)),
        |speak, model, bed, _| {
            let answer = bed.post(speak.path(), &speak.ask(model, "hi"));
            assert_eq!(answer.status, 200, "{speak:?} {model} {}", answer.text());
            let body = answer.json();
            assert_eq!(speak.text(&body), "some words here", "{speak:?} {model}");
            // Anthropic counts cached input apart.
            let input = if speak == Speak::Messages { 70 } else { 100 };
            assert_eq!(speak.usage(&body), (input, 20), "{speak:?} {model} {body}");
            let events = bed.stream(speak.path(), &speak.ask_stream(model, "hi"));
            assert_eq!(speak.streamed(&events), "some words here", "{speak:?} {model}");
            assert!(speak.is_complete(&events), "{speak:?} {model} {events:?}");
            assert!(speak.stream_error(&events).is_none());
        },
    );
}

fn with_tool(speak: Speak, mut body: Value) -> Value {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    body["tools"] = match speak {
        Speak::Chat => {
            json!([{"type": "function", "function": {"name": "get_weather", "parameters": schema}}])
        }
        Speak::Responses => json!([{"type": "function", "name": "get_weather", "parameters": schema}]),
        Speak::Messages => json!([{"name": "get_weather", "input_schema": schema}]),
    };
    body
}

#[test]
fn tools_are_offered_and_called_in_every_pair() {
    let script = Script::new().always(Behavior::tool_call("get_weather", json!({"city": "Oslo"})));
    each_pair(script, |speak, model, bed, up| {
        let body = with_tool(speak, speak.ask(model, "What is the weather?"));
        let answer = bed.post(speak.path(), &body);
        assert_eq!(answer.status, 200, "{speak:?} {model} {}", answer.text());
        let calls = speak.calls(&answer.json());
        assert_eq!(
            calls,
            [("get_weather".to_owned(), json!({"city": "Oslo"}))],
            "{speak:?} {model}"
        );
        let sent = last(up);
        let tool = &sent["tools"][0];
        let schema = if model == "a" {
            &tool["input_schema"]
        } else {
            &tool["function"]["parameters"]
        };
        assert_eq!(schema["required"], json!(["city"]), "{speak:?} {model} {sent}");
        let mut body = body;
        body["stream"] = json!(true);
        let events = bed.stream(speak.path(), &body);
        assert!(speak.is_complete(&events));
        let arguments: String = events
            .iter()
            .filter_map(|e| {
                let data = e.json();
                let piece = match speak {
                    Speak::Chat => data.pointer("/choices/0/delta/tool_calls/0/function/arguments"),
                    Speak::Responses => data
                        .get("delta")
                        .filter(|_| e.event == "response.function_call_arguments.delta"),
                    Speak::Messages => data.pointer("/delta/partial_json"),
                };
                piece?.as_str().map(str::to_owned)
            })
            .collect();
        assert_eq!(
            serde_json::from_str::<Value>(&arguments).unwrap(),
            json!({"city": "Oslo"}),
            "{speak:?} {model}"
        );
    });
}

#[test]
fn results_of_tools_find_their_calls_in_every_pair() {
    each_pair(Script::new(), |speak, model, bed, up| {
        let mut body = with_tool(speak, speak.ask(model, "x"));
        match speak {
            Speak::Chat => {
                body["messages"] = json!([
                    {"role": "user", "content": "weather?"},
                    {"role": "assistant", "content": null, "tool_calls": [
                        {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\":\"Oslo\"}"}}]},
                    {"role": "tool", "tool_call_id": "call_1", "content": "rain"}]);
            }
            Speak::Responses => {
                body["input"] = json!([
                    {"role": "user", "content": "weather?"},
                    {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": "{\"city\":\"Oslo\"}"},
                    {"type": "function_call_output", "call_id": "call_1", "output": "rain"}]);
            }
            Speak::Messages => {
                body["messages"] = json!([
                    {"role": "user", "content": "weather?"},
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "Oslo"}}]},
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "rain"}]}]);
            }
        }
        let answer = bed.post(speak.path(), &body);
        assert_eq!(
            answer.status,
            200,
            "{speak:?} {model} {} {}",
            answer.text(),
            last(up)
        );
        assert_eq!(
            speak.text(&answer.json()),
            "The tool says: rain",
            "{speak:?} {model}"
        );
    });
}

const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

#[test]
fn images_arrive_in_every_pair() {
    each_pair(Script::new(), |speak, model, bed, _| {
        let url = format!("data:image/png;base64,{PIXEL}");
        let mut body = speak.ask(model, "x");
        match speak {
            Speak::Chat => {
                body["messages"][0]["content"] = json!([{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": url}}]);
            }
            Speak::Responses => {
                let content =
                    json!([{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": url}]);
                body["input"] = json!([{"role": "user", "content": content}]);
            }
            Speak::Messages => {
                let source = json!({"type": "base64", "media_type": "image/png", "data": PIXEL});
                body["messages"][0]["content"] =
                    json!([{"type": "text", "text": "see"}, {"type": "image", "source": source}]);
            }
        }
        let answer = bed.post(speak.path(), &body);
        assert_eq!(answer.status, 200, "{speak:?} {model} {}", answer.text());
        assert_eq!(
            speak.text(&answer.json()),
            "I see 1 image. You said: see",
            "{speak:?} {model}"
        );
    });
}

#[test]
fn structured_output_is_asked_for_in_every_pair() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": false});
    each_pair(Script::new(), |speak, model, bed, up| {
        let mut body = speak.ask(model, "a number");
        match speak {
            Speak::Chat => {
                body["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": true}});
            }
            Speak::Responses => {
                body["text"] =
                    json!({"format": {"type": "json_schema", "name": "x", "schema": schema, "strict": true}});
            }
            Speak::Messages => {
                body["output_config"] = json!({"format": {"type": "json_schema", "schema": schema}});
            }
        }
        let answer = bed.post(speak.path(), &body);
        assert_eq!(answer.status, 200, "{speak:?} {model} {}", answer.text());
        let said: Value = serde_json::from_str(&speak.text(&answer.json())).unwrap_or_default();
        assert!(
            said["n"].is_i64(),
            "{speak:?} {model} {} sent {}",
            answer.text(),
            last(up)
        );
    });
}

#[test]
fn reasoning_arrives_in_every_pair() {
    let script = Script::new().always(Behavior {
        reasoning: Some("let me think".into()),
        ..Behavior::text("done")
    });
    each_pair(script, |speak, model, bed, _| {
        let mut body = speak.ask(model, "hard");
        match speak {
            Speak::Chat => body["reasoning_effort"] = json!("low"),
            Speak::Responses => body["reasoning"] = json!({"effort": "low", "summary": "auto"}),
            Speak::Messages => {
                body["max_tokens"] = json!(4000);
                body["thinking"] = json!({"type": "enabled", "budget_tokens": 2000});
            }
        }
        let answer = bed.post(speak.path(), &body);
        assert_eq!(answer.status, 200, "{speak:?} {model} {}", answer.text());
        assert_eq!(speak.text(&answer.json()), "done");
        assert!(
            answer.text().contains("let me think"),
            "{speak:?} {model} {}",
            answer.text()
        );
        body["stream"] = json!(true);
        let events = bed.stream(speak.path(), &body);
        assert!(speak.is_complete(&events));
        let all: String = events.iter().map(|e| e.data.clone()).collect();
        assert!(all.contains("think"), "{speak:?} {model} {all}");
    });
}

#[test]
fn what_cannot_be_carried_over_is_told_in_a_header() {
    let (_o, _a, bed) = both(Script::new());
    let mut body = Speak::Chat.ask("a", "hi");
    body["seed"] = json!(7);
    body["logit_bias"] = json!({"50256": -100});
    let answer = bed.post(Speak::Chat.path(), &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let warning = answer.headers.get("x-fingerpost-warning").unwrap_or_default();
    assert!(
        warning.contains("seed") && warning.contains("logit_bias"),
        "{warning:?}"
    );
    body["stream"] = json!(true);
    let mut client = bed.client();
    client
        .request("POST", Speak::Chat.path(), &[], body.to_string().as_bytes())
        .unwrap();
    let head = client.head().unwrap();
    assert!(
        head.headers
            .get("x-fingerpost-warning")
            .unwrap_or_default()
            .contains("seed"),
        "{head:?}"
    );
    // Nothing is lost where the formats are the same.
    let plain = bed.post(Speak::Chat.path(), &Speak::Chat.ask("o", "hi"));
    assert_eq!(plain.headers.get("x-fingerpost-warning"), None);
}

#[test]
fn a_limit_on_the_answer_ends_it_in_every_pair() {
    each_pair(
        Script::new().always(Behavior::text("one two three four five")),
        |speak, model, bed, _| {
            let mut body = speak.ask(model, "hi");
            let key = match speak {
                Speak::Chat => "max_completion_tokens",
                Speak::Responses => "max_output_tokens",
                Speak::Messages => "max_tokens",
            };
            body[key] = json!(2);
            let answer = bed.post(speak.path(), &body);
            let json = answer.json();
            assert_eq!(
                speak.text(&json),
                "one two ",
                "{speak:?} {model} {}",
                answer.text()
            );
            match speak {
                Speak::Chat => assert_eq!(json["choices"][0]["finish_reason"], "length"),
                Speak::Responses => assert_eq!(json["incomplete_details"]["reason"], "max_output_tokens"),
                Speak::Messages => assert_eq!(json["stop_reason"], "max_tokens"),
            }
        },
    );
}

#[test]
fn a_refusal_of_the_upstream_is_told_in_the_clients_format() {
    let script = Script::new().always(Behavior {
        message: Some("max_tokens: too many".into()),
        ..Behavior::status(400)
    });
    each_pair(script, |speak, model, bed, _| {
        let answer = bed.post(speak.path(), &speak.ask(model, "hi"));
        assert_eq!(answer.status, 400, "{speak:?} {model} {}", answer.text());
        let told = speak.error(&answer);
        assert_eq!(told.kind, "invalid_request_error");
        assert!(told.message.contains("max_tokens: too many"), "{told:?}");
    });
}

#[test]
fn a_client_that_names_no_model_is_told_one_all_the_same() {
    let up = upstream(Script::new().always(Behavior::text("hi")));
    let bed = Setup::new()
        .openai("o", &up)
        .model("o", &["o"])
        .set("/default_model", json!("o"))
        .start();
    let mut body = Speak::Messages.ask("", "hi");
    body.as_object_mut().unwrap().remove("model");
    let answer = bed.post(Speak::Messages.path(), &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["model"], "auto");
}
