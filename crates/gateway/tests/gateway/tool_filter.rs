//! Of the tools of a request those go upstream that matter for its conversation, where its decision says so.

use fingerpost_testkit::{Response, Script, Upstream};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, Setup, eventually, upstream},
    speak::{ALL, Speak},
};

const TOOLS: [(&str, &str); 6] = [
    ("get_weather", "The weather forecast for a city"),
    ("send_email", "Sends an email to a recipient"),
    ("book_flight", "Books a flight between two airports"),
    ("convert_money", "Converts between currencies"),
    ("play_music", "Plays a song or an album"),
    ("create_ticket", "Files a bug in the issue tracker"),
];

fn tools(speak: Speak) -> Value {
    let tool = |(name, about): (&str, &str)| {
        let schema = json!({"type": "object", "properties": {}});
        match speak {
            Speak::Chat => {
                json!({"type": "function", "function": {"name": name, "description": about, "parameters": schema}})
            }
            Speak::Responses => {
                json!({"type": "function", "name": name, "description": about, "parameters": schema})
            }
            Speak::Messages => json!({"name": name, "description": about, "input_schema": schema}),
        }
    };
    TOOLS.into_iter().map(tool).collect()
}

fn request(speak: Speak, text: &str) -> Value {
    let mut body = speak.ask("auto", text);
    body["tools"] = tools(speak);
    body
}

/// A gateway in front of an upstream that speaks all three formats, with a filter; the same for `/v1/messages` behind Anthropic.
fn beds(filter: Value) -> (Upstream, Bed, Upstream, Bed) {
    let (open, anthropic) = (upstream(Script::new()), upstream(Script::new()));
    let setup = Setup::new()
        .set("/learning/keep_traces", json!("all"))
        .set(
            "/decisions",
            json!([{"name": "all", "models": ["m"], "tools": filter}]),
        )
        .model("m", &["up"]);
    let first = setup.clone().openai_responses("up", &open).start();
    let second = setup.anthropic("up", &anthropic).start();
    (open, first, anthropic, second)
}

/// The names of the tools of the last request that came upstream.
fn sent(up: &Upstream) -> Vec<String> {
    let body = up.requests().last().unwrap().json();
    let name = |tool: &Value| {
        let name = tool["name"].as_str().or(tool["function"]["name"].as_str());
        name.or(tool["type"].as_str()).unwrap().to_owned()
    };
    body["tools"].as_array().into_iter().flatten().map(name).collect()
}

fn ask(bed: &Bed, speak: Speak, body: &Value) -> Response {
    let answer = bed.post(speak.path(), body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

#[test]
fn in_all_formats_the_tools_that_matter_go_up_in_their_order() {
    let (open, bed, anthropic, behind) = beds(json!({"keep": 2}));
    for speak in ALL {
        // In its own format, and translated.
        for (up, bed) in [(&open, &bed), (&anthropic, &behind)] {
            let answer = ask(
                bed,
                speak,
                &request(speak, "A flight to Rome, and the weather in that city?"),
            );
            assert_eq!(sent(up), ["get_weather", "book_flight"], "{speak:?}");
            let told = answer.headers.get("x-fingerpost-tools").unwrap();
            assert_eq!(
                told,
                "kept 2 of 6; dropped send_email, convert_money, play_music, create_ticket"
            );
            let mut body = request(speak, "hi");
            body["tools"].as_array_mut().unwrap().truncate(2);
            assert!(ask(bed, speak, &body).headers.get("x-fingerpost-tools").is_none());
            assert_eq!(sent(up), ["get_weather", "send_email"]);
        }
    }
}

#[test]
fn everything_else_of_the_body_keeps_its_bytes_and_the_trace_tells() {
    let (up, bed, ..) = beds(json!({"keep": 1}));
    let tool = |name: &str, about: &str| {
        format!(
            r#"{{ "type":"function", "z": 1.50, "function":{{"name":"{name}","description":"{about}"}} }}"#
        )
    };
    let (music, mail) = (
        tool("play_music", "Plays a song"),
        tool("send_email", "Sends an email"),
    );
    let body = |tools: &str| {
        format!(
            r#"{{ "x" : 1.0e0, "tools": [{tools}] , "messages":[ {{"role":"user","content":"play a song"}} ], "model":"m" }}"#
        )
    };
    let text = body(&format!("{mail} , {music}")).replace("\"model\":\"m\"", "\"model\":\"auto\"");
    let answer = bed.client().post(Speak::Chat.path(), &[], &text).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(String::from_utf8_lossy(&up.requests()[0].body), body(&music));
    let id = answer.headers.get("x-fingerpost-trace").unwrap().to_owned();
    let trace = || bed.get(&format!("/v1/traces/{id}"));
    assert!(eventually(|| trace().status == 200));
    let trace = trace().json();
    let text = trace.to_string();
    assert!(
        text.contains("tools/all") && text.contains("\"dropped\"") && text.contains("send_email"),
        "{text}"
    );
}

#[test]
fn what_was_called_chosen_or_is_always_kept_stays() {
    let (up, bed, anthropic, behind) = beds(json!({"keep": 2, "always": ["create_ticket"]}));
    ask(&bed, Speak::Chat, &request(Speak::Chat, "play a song"));
    assert_eq!(sent(&up), ["play_music", "create_ticket"]);
    let mut body = request(Speak::Chat, "play a song");
    body["tool_choice"] = json!({"type": "function", "function": {"name": "convert_money"}});
    ask(&bed, Speak::Chat, &body);
    assert_eq!(sent(&up), ["convert_money", "play_music", "create_ticket"]);
    // In the middle of a round of calls.
    let mut body = request(Speak::Messages, "play a song");
    body["messages"] = json!([
        {"role": "user", "content": "play a song"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "send_email", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "sent"}]},
    ]);
    ask(&behind, Speak::Messages, &body);
    assert_eq!(sent(&anthropic), ["send_email", "play_music", "create_ticket"]);
    // Tools of the provider have nothing to be compared by.
    let mut body = request(Speak::Responses, "play a song");
    body["tools"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "web_search"}));
    ask(&bed, Speak::Responses, &body);
    assert_eq!(sent(&up).last().unwrap(), "web_search");
}

#[test]
fn a_tool_that_was_kept_stays_kept_as_the_conversation_goes_on() {
    let (up, bed, ..) = beds(json!({"keep": 2, "adds": 1}));
    let mut body = request(Speak::Chat, "A flight to Rome, and the weather in that city?");
    ask(&bed, Speak::Chat, &body);
    let first = sent(&up);
    let say = |body: &mut Value, role: &str, text: &str| {
        body["messages"]
            .as_array_mut()
            .unwrap()
            .push(json!({"role": role, "content": text}));
    };
    say(&mut body, "assistant", "Done.");
    say(&mut body, "user", "Now file a bug in the issue tracker.");
    ask(&bed, Speak::Chat, &body);
    let second = sent(&up);
    assert_eq!(second, ["get_weather", "book_flight", "create_ticket"]);
    assert!(first.iter().all(|tool| second.contains(tool)));
    // Another replica, which has seen nothing of it, decides the same.
    let (fresh, other, ..) = beds(json!({"keep": 2, "adds": 1}));
    ask(&other, Speak::Chat, &body);
    assert_eq!(sent(&fresh), second);
}

#[test]
fn without_the_setting_nothing_is_left_out() {
    let up = upstream(Script::new());
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .decision("all", &["m"], json!("static"))
        .start();
    let answer = ask(&bed, Speak::Chat, &request(Speak::Chat, "play a song"));
    assert_eq!(sent(&up).len(), 6);
    assert!(answer.headers.get("x-fingerpost-tools").is_none());
}
