//! A model inside this process answers as any other does.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use fingerpost_gateway::{Engine, Engines};
use fingerpost_protocol::{
    Conversation, ErrorBody, ErrorKind, Event, Finish, Usage, conversation::PartContent,
};
use serde_json::json;

use crate::{
    bed::{Bed, Setup, eventually},
    speak::{ALL, Speak},
};

/// What the engine does.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    /// Repeats the last text, word by word.
    Echo,
    /// Fails before its first token.
    FailAtOnce,
    /// Fails after two tokens.
    FailMidway,
    /// Stops without a finish.
    StopShort,
    /// Panics after two tokens.
    Panic,
    /// Never says a word until it is told to stop.
    Silent,
    /// Talks until it is told to stop.
    Endless,
}

struct Scripted {
    part: Part,
    runs: AtomicUsize,
    stopped: AtomicBool,
}

impl Engine for Scripted {
    fn run(&self, conversation: &Conversation<'_>, sink: &mut dyn FnMut(Event<'static>) -> ControlFlow<()>) {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let mut say = |event: Event<'static>| {
            let flow = sink(event);
            if flow.is_break() {
                self.stopped.store(true, Ordering::SeqCst);
            }
            flow.is_continue()
        };
        if self.part == Part::FailAtOnce {
            say(Event::Error(ErrorBody::new(
                ErrorKind::Internal,
                "the weights are missing",
            )));
            return;
        }
        say(Event::Start);
        let mut texts = conversation
            .messages
            .iter()
            .flat_map(|m| &m.parts)
            .filter_map(|p| match &p.content {
                PartContent::Text(text) => Some(text.to_string()),
                _ => None,
            });
        let text = texts.next_back().unwrap_or_default();
        match self.part {
            Part::Echo => {
                for word in text.split_inclusive(' ') {
                    if !say(Event::text(word.to_owned())) {
                        return;
                    }
                }
                say(Event::Finish(Finish::Stop));
                say(Event::Usage(Usage {
                    input: 7,
                    output: 3,
                    ..Usage::default()
                }));
            }
            Part::FailMidway => {
                say(Event::text("one "));
                say(Event::text("two "));
                say(Event::Error(ErrorBody::new(ErrorKind::Internal, "out of memory")));
            }
            Part::StopShort => drop(say(Event::text("one "))),
            Part::Panic => {
                say(Event::text("one "));
                panic!("a bug in the engine");
            }
            Part::Silent => {
                while say(Event::Start) {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            Part::Endless => {
                while say(Event::text("and on ")) {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            Part::FailAtOnce => {}
        }
    }
}

fn engine(part: Part) -> (Arc<Scripted>, Bed) {
    engine_with(part, Setup::new())
}

fn engine_with(part: Part, setup: Setup) -> (Arc<Scripted>, Bed) {
    let engine = Arc::new(Scripted {
        part,
        runs: AtomicUsize::new(0),
        stopped: AtomicBool::new(false),
    });
    let engines = Engines::default().with("inside", Arc::clone(&engine) as Arc<dyn Engine>);
    let bed = setup
        .set("/providers/local", json!({"type": "local"}))
        .set(
            "/models/m/endpoints",
            json!([{"provider": "local", "model": "inside"}]),
        )
        .once()
        .start_with(engines);
    (engine, bed)
}

#[test]
fn it_answers_in_every_format_whole_and_streamed() {
    let (engine, bed) = engine(Part::Echo);
    for speak in ALL {
        let answer = bed.post(speak.path(), &speak.ask("m", "say this again"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let body = answer.json();
        assert_eq!(speak.text(&body), "say this again");
        assert_eq!(speak.usage(&body), (7, 3), "{body}");
        let events = bed.stream(speak.path(), &speak.ask_stream("m", "say this again"));
        assert_eq!(speak.streamed(&events), "say this again", "{speak:?}");
        assert!(speak.is_complete(&events), "{events:?}");
    }
    assert_eq!(engine.runs.load(Ordering::SeqCst), 6);
    assert!(
        bed.counts("fingerpost_tokens_total", &[r#"kind="output""#], 18.0),
        "{}",
        bed.metrics()
    );
}

#[test]
fn its_failure_before_a_token_is_an_error_of_the_clients_format() {
    for part in [Part::FailAtOnce] {
        let (_engine, bed) = engine_with(
            part,
            Setup::new().set("/resilience/breaker/consecutive_failures", json!(0)),
        );
        for speak in ALL {
            for body in [speak.ask("m", "hi"), speak.ask_stream("m", "hi")] {
                let answer = bed.post(speak.path(), &body);
                assert!(answer.status >= 500, "{}", answer.text());
                assert!(
                    speak.error(&answer).message.contains("the weights are missing"),
                    "{}",
                    answer.text()
                );
            }
        }
    }
}

#[test]
fn half_an_answer_is_never_whole() {
    for part in [Part::FailMidway, Part::StopShort, Part::Panic] {
        let (_engine, bed) = engine_with(
            part,
            Setup::new()
                .set("/resilience/breaker/consecutive_failures", json!(0))
                .set("/resilience/breaker/failure_rate", json!(2)),
        );
        for speak in ALL {
            let answer = bed.post(speak.path(), &speak.ask("m", "hi"));
            assert!(answer.status >= 500, "{speak:?} {}", answer.text());
            speak.error(&answer);
            let events = bed.stream(speak.path(), &speak.ask_stream("m", "hi"));
            assert!(!speak.is_complete(&events), "{speak:?} {events:?}");
            assert!(speak.stream_error(&events).is_some(), "{speak:?} {events:?}");
        }
        assert_eq!(bed.get("/healthz").status, 200);
    }
}

#[test]
fn a_client_that_leaves_stops_it() {
    for speak in ALL {
        let (engine, bed) = engine(Part::Endless);
        let mut client = bed.begin(speak.path(), &speak.ask_stream("m", "hi"));
        client.next_event().unwrap();
        client.leave();
        assert!(eventually(|| engine.stopped.load(Ordering::SeqCst)), "{speak:?}");
    }
    for stream in [false, true] {
        let (engine, bed) = engine(Part::Silent);
        let mut body = Speak::Chat.ask("m", "hi");
        body["stream"] = json!(stream);
        let mut client = bed.client();
        client
            .request("POST", Speak::Chat.path(), &[], body.to_string().as_bytes())
            .unwrap();
        assert!(eventually(|| engine.runs.load(Ordering::SeqCst) == 1));
        client.leave();
        assert!(
            eventually(|| engine.stopped.load(Ordering::SeqCst)),
            "stream: {stream}"
        );
    }
}

#[test]
fn one_that_says_nothing_times_out() {
    let timeouts = json!({"first_byte": "150ms", "total": "400ms"});
    let (engine, bed) = engine_with(Part::Silent, Setup::new().set("/resilience/timeouts", timeouts));
    for body in [Speak::Chat.ask("m", "hi"), Speak::Chat.ask_stream("m", "hi")] {
        let answer = bed.post(Speak::Chat.path(), &body);
        assert_eq!(answer.status, 504, "{}", answer.text());
    }
    assert!(eventually(|| engine.stopped.load(Ordering::SeqCst)));
}

#[test]
fn what_it_cannot_read_is_refused_before_it_runs() {
    let (engine, bed) = engine(Part::Echo);
    let mut body = Speak::Chat.ask("m", "hi");
    body["temperature"] = json!("hot");
    let answer = bed.post(Speak::Chat.path(), &body);
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(Speak::Chat.error(&answer).param.as_deref(), Some("temperature"));
    assert_eq!(engine.runs.load(Ordering::SeqCst), 0);
}

#[test]
fn its_answers_are_stored_and_gone_on_from() {
    let (_engine, bed) = engine(Part::Echo);
    let first = bed
        .post("/v1/responses", &Speak::Responses.ask("m", "one"))
        .json();
    let mut body = Speak::Responses.ask("m", "two");
    body["previous_response_id"] = first["id"].clone();
    let second = bed.post("/v1/responses", &body);
    assert_eq!(second.status, 200, "{}", second.text());
    let path = format!(
        "/v1/responses/{}/input_items",
        second.json()["id"].as_str().unwrap()
    );
    assert_eq!(bed.get(&path).json()["data"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_name_that_no_engine_has_is_a_problem_of_the_configuration() {
    let config = Setup::new()
        .set("/providers/local", json!({"type": "local"}))
        .set(
            "/models/m/endpoints",
            json!([{"provider": "local", "model": "nobody"}]),
        )
        .config();
    let folder = tempfile::tempdir().unwrap();
    let encoder = Arc::new(fingerpost_encode::StaticEncoder::bundled());
    let failed = fingerpost_gateway::Shared::new(config, folder.path(), Engines::default(), encoder, 1);
    let message = failed.err().unwrap().to_string();
    assert!(message.contains("nobody"), "{message}");
}
