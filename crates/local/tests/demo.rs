//! The demo model keeps the contract of every text model.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

use std::ops::ControlFlow;

use fingerpost_local::{
    Completion, Constraint, Delta, DemoModel, Error, Finish, Message, Request, Sampling, TextModel, Tool,
    ToolCall, ToolChoice,
};
use serde_json::json;

fn request(text: &str) -> Request {
    Request::new([Message::user(text)])
}

/// The completion and the pieces it was streamed in.
fn run(request: &Request) -> (Completion, Vec<String>) {
    let mut pieces = Vec::new();
    let completion = DemoModel
        .generate(request, &mut |delta| {
            match delta {
                Delta::Text { text, .. } => pieces.push(text.to_owned()),
                Delta::Arguments { json } => pieces.push(json.to_owned()),
                _ => {}
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    (completion, pieces)
}

#[test]
fn it_says_what_it_is_and_how_to_pull_the_real_one() {
    let (completion, pieces) = run(&request("Grüß Gott"));
    assert!(completion.text.contains("built-in demo"), "{}", completion.text);
    assert!(completion.text.contains("fingerpost models pull smollm2"));
    assert!(completion.text.ends_with("You said: Grüß Gott"));
    assert!(
        pieces.len() > 10 && pieces.concat() == completion.text,
        "it streams"
    );
    assert_eq!(completion.finish, Finish::Stop);
    assert_eq!(completion.usage.prompt_tokens, 2);
    assert_eq!(completion.usage.completion_tokens, pieces.len());
    assert_eq!(
        run(&request("Grüß Gott")).0.text,
        completion.text,
        "always the same"
    );
}

#[test]
fn a_long_message_is_repeated_in_part() {
    let (completion, _) = run(&request(&"é".repeat(1_000)));
    assert!(
        completion
            .text
            .ends_with(&format!("You said: {}...", "é".repeat(200))),
        "{}",
        completion.text
    );
}

#[test]
fn max_tokens_and_stop_strings_are_kept() {
    let mut limited = request("hi");
    limited.sampling.max_tokens = Some(3);
    let (completion, _) = run(&limited);
    assert_eq!(
        (completion.text.as_str(), completion.finish),
        ("This is the", Finish::Length)
    );

    let mut stopped = request("hi");
    stopped.sampling.stop = vec!["demo of".to_owned()];
    let (completion, pieces) = run(&stopped);
    assert_eq!(completion.text, "This is the built-in ");
    assert_eq!(pieces.concat(), completion.text);
    assert_eq!(
        (completion.finish, completion.stop.as_deref()),
        (Finish::Stop, Some("demo of"))
    );
}

#[test]
fn the_callback_can_break_off() {
    let mut seen = 0;
    let completion = DemoModel
        .generate(&request("hi"), &mut |_| {
            seen += 1;
            if seen == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert_eq!((completion.finish, seen), (Finish::Cancelled, 2));
}

#[test]
fn constraints_give_the_smallest_valid_json() {
    let mut constrained = request("hi");
    constrained.constraint = Constraint::JsonObject;
    assert_eq!(run(&constrained).0.text, "{}");
    constrained.constraint = Constraint::JsonSchema(json!({
        "type": "object",
        "properties": { "city": { "type": "string" }, "days": { "type": "integer", "minimum": 1 } },
        "required": ["city", "days"],
    }));
    assert_eq!(run(&constrained).0.text, r#"{"city": "", "days": 1}"#);
}

#[test]
fn a_tool_is_called_when_it_must_be_and_only_then() {
    let tools = vec![Tool {
        name: "weather".to_owned(),
        description: None,
        parameters: json!({ "type": "object", "properties": { "city": { "enum": ["Rome"] } }, "required": ["city"] }),
    }];
    let mut calling = request("hi");
    calling.constraint = Constraint::ToolCall {
        tools: tools.clone(),
        choice: ToolChoice::Required,
    };
    let (completion, pieces) = run(&calling);
    let call = ToolCall {
        name: "weather".to_owned(),
        arguments: r#"{"city": "Rome"}"#.to_owned(),
    };
    assert_eq!(
        (completion.call, completion.finish),
        (Some(call), Finish::ToolCall)
    );
    assert_eq!(pieces.concat(), r#"{"city": "Rome"}"#);
    calling.constraint = Constraint::ToolCall {
        tools,
        choice: ToolChoice::Auto,
    };
    let (completion, _) = run(&calling);
    assert!(completion.call.is_none() && !completion.text.is_empty());
}

#[test]
fn bad_requests_are_refused_by_name() {
    let error = |request: &Request| {
        DemoModel
            .generate(request, &mut |_| ControlFlow::Continue(()))
            .unwrap_err()
    };
    assert!(matches!(error(&Request::new([])), Error::NoMessages));
    let with = |sampling| Request {
        sampling,
        ..request("hi")
    };
    for (sampling, field) in [
        (
            Sampling {
                temperature: -0.1,
                ..Sampling::default()
            },
            "temperature",
        ),
        (
            Sampling {
                temperature: f32::NAN,
                ..Sampling::default()
            },
            "temperature",
        ),
        (
            Sampling {
                top_p: 0.0,
                ..Sampling::default()
            },
            "top_p",
        ),
        (
            Sampling {
                top_k: Some(0),
                ..Sampling::default()
            },
            "top_k",
        ),
        (
            Sampling {
                max_tokens: Some(0),
                ..Sampling::default()
            },
            "max_tokens",
        ),
        (
            Sampling {
                logprobs: Some(21),
                ..Sampling::default()
            },
            "logprobs",
        ),
        (
            Sampling {
                frequency_penalty: 2.5,
                ..Sampling::default()
            },
            "frequency_penalty",
        ),
    ] {
        let error = error(&with(sampling));
        assert!(
            matches!(&error, Error::Sampling { field: found, .. } if *found == field),
            "{error}"
        );
    }
    let long = request(&vec!["word"; 9_000].join(" "));
    assert!(matches!(
        error(&long),
        Error::TooLong {
            prompt: 9_000,
            context: 8_192
        }
    ));
}
