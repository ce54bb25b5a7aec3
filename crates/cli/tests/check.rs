//! `fingerpost check` on good and bad files: what it says, where, and with which exit code.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod binary;

use binary::{Ran, config, fingerpost};

const GOOD: &str = "\
providers:
  openai: { type: openai, base_url: \"http://127.0.0.1:1/v1\" }
models:
  gpt: { endpoints: [{ provider: openai }] }
  mini: { endpoints: [{ provider: openai, model: gpt-mini }] }
signals:
  keyword:
    urgent: { any: [asap] }
decisions:
  - { name: hurry, when: \"keyword:urgent\", models: [mini, gpt] }
default_model: gpt
";

fn check(text: &str) -> Ran {
    let (folder, file) = config(text);
    let ran = fingerpost(&["check", "bad.yaml"])
        .current_dir(folder.path())
        .run();
    assert!(file.exists());
    ran
}

#[test]
fn a_sound_file_can_be_used() {
    let ran = check(GOOD);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "bad.yaml can be used: 0 errors, 0 warnings\n"),
        "{}",
        ran.err
    );
}

#[test]
fn an_unknown_key_names_line_key_found_allowed_and_the_nearest() {
    let ran = check(&GOOD.replace("{ provider: openai }", "{ provder: openai }"));
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.out,
        "error: unknown key `provder`\n \
          --> bad.yaml:4:24\n  \
           |\n\
         4 |   gpt: { endpoints: [{ provder: openai }] }\n  \
           |                        ^^^^^^^ did you mean `provider`?\n  \
           = at: models.gpt.endpoints[0].provder\n  \
           = allowed: provider, model, max_in_flight, drain, kv_events\n\n\
         bad.yaml cannot be used: 1 error, 0 warnings\n"
    );
}

#[test]
fn unknown_names_are_found_with_the_nearest_suggestion() {
    let bad = GOOD
        .replace("{ provider: openai }", "{ provider: opena }")
        .replace("keyword:urgent\"", "keyword:urgnt\"")
        .replace("[mini, gpt]", "[mimi, gpt]")
        .replace("default_model: gpt", "default_model: gtp");
    let out = check(&bad).out;
    for expected in [
        "error: unknown provider `opena`\n --> bad.yaml:4:34",
        "did you mean `openai`?",
        "bad.yaml:10:27",
        "did you mean `keyword:urgent`?",
        "error: unknown model `mimi`\n  --> bad.yaml:10:52",
        "did you mean `mini`?",
        "error: unknown model `gtp`\n  --> bad.yaml:11:16",
        "did you mean `gpt`?",
    ] {
        assert!(out.contains(expected), "{expected}\n---\n{out}");
    }
}

#[test]
fn unused_signals_and_unreachable_decisions_are_warnings() {
    let doubtful = GOOD.replace(
        "    urgent: { any: [asap] }",
        "    urgent: { any: [asap] }\n    idle: { any: [later] }",
    );
    let ran = check(&doubtful);
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(
        ran.out.contains("bad.yaml:9:5") && ran.out.contains("signals.keyword.idle"),
        "{}",
        ran.out
    );
    assert!(
        ran.out.ends_with("bad.yaml can be used: 0 errors, 1 warning\n"),
        "{}",
        ran.out
    );
}

#[test]
fn a_model_that_this_process_does_not_have_is_an_error_in_its_place() {
    let ran = check(
        "providers:\n  local: { type: local }\nmodels:\n  gpt: { endpoints: [{ provider: local, model: smolm2 }] }\n",
    );
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("bad.yaml:4:48"), "{}", ran.out);
    assert!(
        ran.out.contains("models.gpt.endpoints[0].model") && ran.out.contains("smollm2"),
        "{}",
        ran.out
    );
}

#[test]
fn the_machine_form_is_one_object() {
    let (folder, _file) = config(&GOOD.replace("default_model: gpt", "default_model: gtp"));
    let ran = fingerpost(&["check", "bad.yaml", "--json"])
        .current_dir(folder.path())
        .run();
    assert_eq!(ran.code, 1);
    let json = ran.json();
    assert_eq!(
        (json["usable"].as_bool(), json["errors"].as_u64()),
        (Some(false), Some(1))
    );
    let expected = serde_json::json!({
        "file": "bad.yaml", "line": 11, "column": 16, "severity": "error", "path": "default_model", "message": "unknown model",
        "found": "gtp", "allowed": "gpt, mini", "suggestion": "gpt"
    });
    assert_eq!(json["problems"][0], expected);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let ran = fingerpost(&["check", "nowhere.yaml"])
        .current_dir(folder.path())
        .run();
    assert_eq!(ran.code, 1);
    assert!(
        ran.out.contains("cannot read the configuration") && ran.out.contains("nowhere.yaml"),
        "{}",
        ran.out
    );
}

#[test]
fn secrets_are_refused_and_never_shown() {
    let bad = GOOD.replace("type: openai,", "type: openai, api_key: hunter2hunter2,");
    let ran = check(&bad);
    assert_eq!(ran.code, 1);
    assert!(
        ran.out
            .contains("a secret does not belong in this file: `api_key`"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("api_key_env"), "{}", ran.out);
    let bad = GOOD.replace("type: openai,", "type: openai, api_key_env: hunter2-hunter2,");
    let again = check(&bad);
    assert_eq!(again.code, 1, "{}", again.out);
    assert!(
        again.out.contains("no name of an environment variable"),
        "{}",
        again.out
    );
    for ran in [ran, again] {
        assert!(
            !ran.out.contains("hunter2") && !ran.err.contains("hunter2"),
            "{}{}",
            ran.out,
            ran.err
        );
    }
}

#[test]
fn a_condition_that_is_not_understood_is_underlined_where_it_goes_wrong() {
    let out = check(&GOOD.replace("\"keyword:urgent\"", "\"keyword:urgent and (context > 5\"")).out;
    let expected = "error: this `(` is never closed\n  --> bad.yaml:10:46\n";
    assert!(out.contains(expected), "{out}");
    assert!(!out.contains("line 1, column"), "{out}");
}
