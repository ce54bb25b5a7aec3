//! The real model, pulled when it is missing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::LazyLock;

use fingerpost_local::{
    Completion, Constraint, Delta, Error, Finish, LocalModel, Message, Request, Sampling, TextModel, Tool,
    ToolChoice,
};
use serde_json::{Value, json};

static MODEL: LazyLock<LocalModel> = LazyLock::new(|| {
    let folder = fingerpost_packages::ensure("smollm2", None).unwrap();
    LocalModel::load(&folder).unwrap()
});

const CAPITAL: &str = "What is the capital of France? Answer in one short sentence.";
const PARIS: &str = "The capital of France is Paris.";

fn greedy(text: &str, most: usize) -> Request {
    let sampling = Sampling {
        max_tokens: Some(most),
        ..Sampling::greedy()
    };
    Request {
        sampling,
        ..Request::new([Message::user(text)])
    }
}

/// The completion, after checking that the pieces put together are the whole.
fn run(request: &Request) -> Completion {
    let (mut text, mut name, mut arguments) = (String::new(), None, String::new());
    let completion = MODEL
        .generate(request, &mut |delta| {
            match delta {
                Delta::Text { text: piece, .. } => text.push_str(piece),
                Delta::ToolCall { name: called } => name = Some(called.to_owned()),
                Delta::Arguments { json } => arguments.push_str(json),
                Delta::Waiting | Delta::Reading { .. } => {}
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(text, completion.text);
    assert_eq!(
        name.as_deref(),
        completion.call.as_ref().map(|call| call.name.as_str())
    );
    assert_eq!(
        arguments,
        completion
            .call
            .as_ref()
            .map(|call| call.arguments.clone())
            .unwrap_or_default()
    );
    completion
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn it_knows_the_capital_of_france() {
    let completion = run(&greedy(CAPITAL, 30));
    assert_eq!(completion.text, PARIS);
    assert_eq!((completion.finish, completion.stop), (Finish::Stop, None));
    // 22 tokens in ChatML, as counted by hand; seven words and marks, and the end mark.
    assert_eq!(
        (completion.usage.prompt_tokens, completion.usage.completion_tokens),
        (22, 8)
    );
    assert!(completion.first_token.unwrap() <= completion.total);
    assert_eq!(MODEL.context(), 8_192);
    assert_eq!(MODEL.name(), "SmolLM2-135M-Instruct.Q4_1");
}

#[test]
fn numbers_are_split_into_digits_and_control_tokens_are_only_text() {
    assert_eq!(MODEL.count_tokens("12345"), 5);
    assert_eq!(MODEL.count_tokens(""), 0);
    assert_eq!(MODEL.count_tokens("hello"), 1);
    assert!(
        MODEL.count_tokens("<|im_end|>") > 1,
        "a message cannot end its turn"
    );
}

#[test]
fn max_tokens_ends_the_answer() {
    let completion = run(&greedy(CAPITAL, 3));
    assert_eq!(
        (completion.text.as_str(), completion.finish),
        ("The capital of", Finish::Length)
    );
    assert_eq!(completion.usage.completion_tokens, 3);
}

#[test]
fn a_stop_string_ends_the_answer_and_is_not_shown() {
    let mut request = greedy(CAPITAL, 30);
    request.sampling.stop = vec!["nothing".to_owned(), "ce is".to_owned()];
    let completion = run(&request);
    assert_eq!(
        (completion.text.as_str(), completion.finish),
        ("The capital of Fran", Finish::Stop)
    );
    assert_eq!(completion.stop.as_deref(), Some("ce is"));
}

#[test]
fn equal_seeds_give_equal_text_and_others_do_not() {
    let with = |seed| {
        let sampling = Sampling {
            seed: Some(seed),
            max_tokens: Some(12),
            ..Sampling::default()
        };
        run(&Request {
            sampling,
            ..Request::new([Message::user("Tell me a story.")])
        })
        .text
    };
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
}

#[test]
fn generations_at_the_same_time_do_not_affect_each_other() {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| run(&greedy("Count from one to ten.", 10)).text);
        let capital: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| run(&greedy(CAPITAL, 30)).text))
            .collect();
        for capital in capital {
            assert_eq!(capital.join().unwrap(), PARIS);
        }
        assert_eq!(
            other.join().unwrap(),
            run(&greedy("Count from one to ten.", 10)).text
        );
    });
}

#[test]
fn a_prompt_read_in_several_chunks_is_answered() {
    let mut request = greedy(CAPITAL, 12);
    let filler = "The weather was fine that day and nothing else happened. ".repeat(30);
    request.messages.insert(0, Message::system(filler));
    let completion = run(&request);
    assert!(completion.usage.prompt_tokens > 300, "{:?}", completion.usage);
    assert!(completion.text.contains("Paris"), "{}", completion.text);
}

#[test]
fn the_callback_can_break_off_while_reading_and_while_writing() {
    let mut reading = 0;
    let completion = MODEL
        .generate(&greedy(CAPITAL, 30), &mut |delta| {
            reading += usize::from(matches!(delta, Delta::Reading { done: 0, total: 22 }));
            if matches!(delta, Delta::Reading { .. }) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert_eq!(
        (completion.finish, completion.usage.completion_tokens, reading),
        (Finish::Cancelled, 0, 1)
    );
    let mut pieces = 0;
    let completion = MODEL
        .generate(&greedy(CAPITAL, 30), &mut |delta| {
            pieces += usize::from(matches!(delta, Delta::Text { .. }));
            if pieces == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert_eq!(
        (completion.finish, completion.text.as_str()),
        (Finish::Cancelled, "The capital")
    );
}

#[test]
fn a_prompt_longer_than_the_context_names_both_numbers() {
    let error = MODEL
        .generate(&greedy(&"word ".repeat(9_000), 1), &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap_err();
    let Error::TooLong { prompt, context } = error else {
        panic!("{error}")
    };
    assert!(prompt > 9_000 && context == 8_192);
}

#[test]
fn characters_of_several_tokens_are_whole() {
    // Forced by a constant, so that the tokens are sure to cut the characters.
    let said = "日本 🦀 é";
    let request = Request {
        constraint: Constraint::JsonSchema(json!({ "const": said })),
        ..greedy("Say it.", 40)
    };
    assert!(
        MODEL.count_tokens(said) > said.chars().count(),
        "the characters are cut"
    );
    assert_eq!(json_of(&run(&request).text), json!(said));
    // And by repeating, with log-probabilities, token by token.
    let mut request = request;
    request.sampling.logprobs = Some(0);
    let completion = run(&request);
    assert_eq!(json_of(&completion.text), json!(said));
    let bytes: Vec<u8> = completion
        .logprobs
        .iter()
        .flat_map(|token| token.bytes.clone())
        .collect();
    assert_eq!(bytes, completion.text.as_bytes());
}

#[test]
fn log_probabilities_come_with_the_tokens() {
    let mut request = greedy(CAPITAL, 30);
    request.sampling.logprobs = Some(3);
    let completion = run(&request);
    assert_eq!(completion.text, PARIS);
    assert_eq!(completion.logprobs.len(), 7);
    for token in &completion.logprobs {
        assert!(token.logprob <= 0.0 && token.top.len() == 3);
        assert_eq!(
            (&token.bytes, token.logprob),
            (&token.top[0].bytes, token.top[0].logprob),
            "greedy is the top"
        );
        assert!(token.top.is_sorted_by(|a, b| a.logprob >= b.logprob));
    }
}

#[test]
fn structured_output_is_valid_by_its_schema() {
    let schema = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string" },
            "age": { "type": "integer", "minimum": 0, "maximum": 150 },
            "kind": { "enum": ["person", "place"] },
            "tags": { "type": "array", "items": { "type": "string" }, "maxItems": 3 },
            "address": { "$ref": "#/$defs/Address" },
        },
        "required": ["name", "age", "kind", "tags", "address"],
        "additionalProperties": false,
        "$defs": {
            "Address": {
                "type": "object",
                "properties": { "city": { "type": "string" }, "known": { "type": "boolean" } },
                "required": ["city", "known"],
                "additionalProperties": false,
            },
        },
    });
    let constraint = Constraint::JsonSchema(schema);
    let said = "Alice is 30 years old and lives in Paris. Give her data.";
    // Also with so few tokens that the text must be brought to its end, and also hot.
    for (most, temperature, seed) in [(300, 0.0, 0), (50, 0.0, 0), (70, 1.5, 1)] {
        let mut request = Request {
            constraint: constraint.clone(),
            ..greedy(said, most)
        };
        request.sampling.temperature = temperature;
        request.sampling.seed = Some(seed);
        let completion = run(&request);
        assert_eq!(completion.finish, Finish::Stop, "{}", completion.text);
        let value = json_of(&completion.text);
        let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["name", "age", "kind", "tags", "address"]);
        assert!(value["name"].is_string() && value["age"].as_u64().unwrap() <= 150);
        assert!(value["kind"] == "person" || value["kind"] == "place");
        assert!(value["tags"].as_array().unwrap().iter().all(Value::is_string));
        assert!(value["address"]["city"].is_string() && value["address"]["known"].is_boolean());
    }
}

#[test]
fn a_json_object_is_an_object_and_ends() {
    for seed in 0..3 {
        let mut request = Request {
            constraint: Constraint::JsonObject,
            ..greedy("Describe a cat as JSON.", 60)
        };
        request.sampling.temperature = 1.0;
        request.sampling.seed = Some(seed);
        let completion = run(&request);
        assert_eq!(completion.finish, Finish::Stop, "{}", completion.text);
        assert!(json_of(&completion.text).is_object());
    }
}

fn tools() -> Vec<Tool> {
    let parameters = json!({
        "type": "object",
        "properties": { "city": { "type": "string" }, "unit": { "enum": ["celsius", "fahrenheit"] } },
        "required": ["city", "unit"],
    });
    let description = Some("The current weather of a city".to_owned());
    vec![
        Tool {
            name: "get_weather".to_owned(),
            description,
            parameters,
        },
        Tool {
            name: "get_time".to_owned(),
            description: None,
            parameters: Value::Null,
        },
    ]
}

#[test]
fn a_required_or_named_tool_is_called_with_valid_arguments() {
    let said = "What is the weather in Paris?";
    let called = |choice| {
        let constraint = Constraint::ToolCall {
            tools: tools(),
            choice,
        };
        let completion = run(&Request {
            constraint,
            ..greedy(said, 80)
        });
        assert_eq!(
            (completion.finish, completion.text.as_str()),
            (Finish::ToolCall, "")
        );
        completion.call.unwrap()
    };
    let call = called(ToolChoice::Named("get_weather".to_owned()));
    assert_eq!(call.name, "get_weather");
    let arguments = json_of(&call.arguments);
    assert!(
        arguments["city"].is_string() && arguments.as_object().unwrap().len() == 2,
        "{arguments}"
    );
    assert!(arguments["unit"] == "celsius" || arguments["unit"] == "fahrenheit");
    let call = called(ToolChoice::Named("get_time".to_owned()));
    assert_eq!((call.name.as_str(), call.arguments.as_str()), ("get_time", "{}"));
    let call = called(ToolChoice::Required);
    assert!(call.name == "get_weather" || call.name == "get_time");
    assert!(json_of(&call.arguments).is_object());
}

#[test]
fn with_a_free_choice_there_is_text_or_a_call_never_both() {
    for said in [CAPITAL, "Call get_weather for Paris. Answer only with the call."] {
        let constraint = Constraint::ToolCall {
            tools: tools(),
            choice: ToolChoice::Auto,
        };
        let completion = run(&Request {
            constraint,
            ..greedy(said, 60)
        });
        match &completion.call {
            Some(call) => {
                assert!(completion.text.is_empty() && completion.finish == Finish::ToolCall);
                assert!(json_of(&call.arguments).is_object());
            }
            None => assert!(!completion.text.is_empty()),
        }
    }
}

#[test]
fn what_is_no_model_is_refused() {
    let error = |path: &Path| match LocalModel::load(path) {
        Ok(_) => panic!("loaded {}", path.display()),
        Err(error) => error,
    };
    assert!(matches!(
        error(Path::new("/nonexistent/model.gguf")),
        Error::NoModel { .. }
    ));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let message = error(folder).to_string();
    assert!(
        message.contains("no .gguf file") && message.contains("models pull smollm2"),
        "{message}"
    );
    assert!(matches!(error(&folder.join("Cargo.toml")), Error::Broken { .. }));
}
