//! Decisions whose models are agents: one or several of them answer.

use fingerpost_testkit::{Behavior, Script, Upstream};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, Setup, upstream},
    speak::{ALL, Speak},
};

/// A bank's agent, and two that know the weather and cannot be told apart; `writer` makes one answer of theirs.
struct Desk {
    bank: Upstream,
    rain: Upstream,
    sun: Upstream,
    writer: Upstream,
    bed: Bed,
}

const WEATHER: [&str; 4] = [
    "will it rain tomorrow",
    "how hot is it in Rome",
    "is it snowing in Oslo",
    "weather for Sunday",
];

const SUN: [&str; 4] = [
    "is rain coming tomorrow",
    "how warm is it in Rome today",
    "does it snow in Oslo",
    "the weather on Sunday",
];

fn agents(tcar: &Value) -> Value {
    let money = [
        "send 10 dollars to Ann",
        "transfer money to savings",
        "pay my rent",
        "what is on my account",
    ];
    json!({
        "examples": {"bank": money, "rain": WEATHER, "sun": SUN},
        "out_of_scope": ["who wrote Hamlet", "tell me a joke about cats", "prove Fermat's theorem"],
        "mean_size": 3.0,
        "tcar": tcar,
    })
}

// === impl Desk ===

impl Desk {
    fn new(rain: Script, sun: Script, tcar: &Value) -> Self {
        let says = |text: &str| Script::new().always(Behavior::text(text));
        let (rain, sun) = (upstream(rain), upstream(sun));
        let (bank, writer) = (
            upstream(says("You have 5 euros.")),
            upstream(says("Rain, then sun.")),
        );
        let mut setup = Setup::new();
        let servers = [
            ("bank", &bank),
            ("rain", &rain),
            ("sun", &sun),
            ("writer", &writer),
        ];
        for (name, server) in servers {
            setup = setup.openai(name, server).model(name, &[name]);
        }
        let bed = setup
            .set("/models/bank/description", json!("Moves money between accounts"))
            .set("/models/rain/description", json!("Tells the weather"))
            .set("/models/sun/description", json!("Tells the weather"))
            .set(
                "/decisions",
                json!([{"name": "desk", "models": ["bank", "rain", "sun"], "agents": agents(tcar)}]),
            )
            .set("/learning/keep_traces", json!("all"))
            .once()
            .start();
        Self {
            bank,
            rain,
            sun,
            writer,
            bed,
        }
    }

    fn asked(&self) -> [u64; 4] {
        [&self.bank, &self.rain, &self.sun, &self.writer].map(|up| up.counters().requests)
    }
}

fn says(text: &str) -> Script {
    Script::new().always(Behavior::text(text))
}

fn head() -> Value {
    json!({"mode": "head", "refiner": "writer"})
}

#[test]
fn one_agent_answers_as_if_it_had_been_named() {
    let desk = Desk::new(says("Rain."), says("Sun."), &head());
    for speak in ALL {
        let answer = desk.bed.post(
            speak.path(),
            &speak.ask("auto", "transfer 20 dollars to my savings"),
        );
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(speak.text(&answer.json()), "You have 5 euros.");
        assert_eq!(answer.headers.get("x-fingerpost-model"), Some("bank"));
    }
    assert_eq!(desk.asked(), [3, 0, 0, 0]);
}

#[test]
fn several_are_asked_and_one_answer_is_made_of_theirs() {
    let desk = Desk::new(says("Rain."), says("Sun."), &head());
    let question = "is it going to rain in Oslo tomorrow";
    let answer = desk
        .bed
        .post(Speak::Chat.path(), &Speak::Chat.ask("auto", question));
    assert_eq!(
        Speak::Chat.text(&answer.json()),
        "Rain, then sun.",
        "{}",
        answer.text()
    );
    assert_eq!(desk.asked(), [0, 1, 1, 1]);
    let read = desk.writer.requests().last().unwrap().json().to_string();
    assert!(
        read.contains("Rain.") && read.contains("Sun.") && read.contains(question),
        "{read}"
    );
    let mut client = desk.bed.begin(
        Speak::Messages.path(),
        &Speak::Messages.ask_stream("auto", question),
    );
    let events = client.events().unwrap();
    assert_eq!(Speak::Messages.streamed(&events), "Rain, then sun.");
    assert!(Speak::Messages.is_complete(&events));
}

#[test]
fn an_agent_that_fails_leaves_the_answer_to_the_other() {
    let desk = Desk::new(Script::new().always(Behavior::status(500)), says("Sun."), &head());
    let answer = desk.bed.post(
        Speak::Chat.path(),
        &Speak::Chat.ask("auto", "will it rain in Oslo tomorrow"),
    );
    assert_eq!(Speak::Chat.text(&answer.json()), "Sun.", "{}", answer.text());
    assert_eq!(desk.asked(), [0, 1, 1, 0]);
}

#[test]
fn what_nobody_is_there_for_is_turned_away_or_goes_to_whoever_takes_it() {
    let question = "who painted the Mona Lisa";
    let desk = Desk::new(says("Rain."), says("Sun."), &head());
    let answer = desk
        .bed
        .post(Speak::Chat.path(), &Speak::Chat.ask("auto", question));
    assert!(answer.status >= 400, "{}", answer.text());
    assert_eq!(desk.asked(), [0; 4]);
    let desk = Desk::new(
        says("Rain."),
        says("Sun."),
        &json!({"mode": "head", "otherwise": "writer"}),
    );
    let answer = desk
        .bed
        .post(Speak::Chat.path(), &Speak::Chat.ask("auto", question));
    assert_eq!(
        answer.headers.get("x-fingerpost-model"),
        Some("writer"),
        "{}",
        answer.text()
    );
}

#[test]
fn an_agent_joins_by_a_reload_and_look_alikes_are_named() {
    let desk = Desk::new(says("Rain."), says("Sun."), &head());
    let warnings = desk.bed.shared.snapshot().warnings();
    let warned = warnings
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n");
    assert!(warned.contains("`rain` and `sun`"), "{warned}");
    let cook = upstream(says("Boil it."));
    let mut config = desk.bed.shared.snapshot().config().clone();
    let mut provider = config.providers["bank"].clone();
    provider.base_url = Some(format!("http://{}/v1", cook.addr()));
    config.providers.insert("cook".into(), provider);
    let mut model = config.models["bank"].clone();
    model.endpoints[0].provider = "cook".into();
    model.description = "Finds recipes and tells how to cook a meal".into();
    config.models.insert("cook".into(), model);
    config.decisions[0].models.push("cook".into());
    let agents = config.decisions[0].agents.as_mut().unwrap();
    agents.examples.insert(
        "cook".into(),
        [
            "a recipe for soup",
            "how do I boil an egg",
            "what can I cook with rice",
        ]
        .map(String::from)
        .into(),
    );
    desk.bed.shared.reload(config).unwrap();
    let answer = desk.bed.post(
        Speak::Chat.path(),
        &Speak::Chat.ask("auto", "how do I cook a soup with rice"),
    );
    assert_eq!(
        answer.headers.get("x-fingerpost-model"),
        Some("cook"),
        "{}",
        answer.text()
    );
}
