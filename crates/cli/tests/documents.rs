//! What the documents say of the configuration is what the binary takes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod binary;

use std::{collections::BTreeSet, path::PathBuf};

use binary::{config, fingerpost};
use serde_json::Value;

fn document(path: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap()
}

fn yaml_blocks(text: &str) -> Vec<&str> {
    text.split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```\n").next())
        .collect()
}

/// Names of all keys in the schema.
fn keys(schema: &Value, into: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                into.extend(properties.keys().cloned());
            }
            members.values().for_each(|member| keys(member, into));
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, into)),
        _ => {}
    }
}

#[test]
fn every_key_of_the_schema_is_in_the_reference() {
    let reference = document("docs/configuration.md");
    let mut all = BTreeSet::new();
    keys(&fingerpost(&["schema"]).run().json(), &mut all);
    assert!(all.len() > 100, "{}", all.len());
    let named = |key: &str| {
        [
            format!("`{key}`"),
            format!(".{key}`"),
            format!("`{key}."),
            format!(".{key}."),
        ]
        .iter()
        .any(|form| reference.contains(form))
    };
    let missing: Vec<&String> = all.iter().filter(|key| !named(key)).collect();
    assert!(missing.is_empty(), "not in docs/configuration.md: {missing:?}");
}

#[test]
fn the_examples_of_the_reference_make_one_sound_configuration() {
    let reference = document("docs/configuration.md");
    let blocks = yaml_blocks(&reference);
    let (first, rest) = blocks.split_first().unwrap();
    // The first stands alone; the others are sections of one file, into which the models and providers of the first go too.
    sound(first);
    let mut whole = String::new();
    for block in rest {
        let own = match block.split_once('\n').unwrap() {
            ("providers:", more) => {
                format!("providers:\n  openai: {{ type: openai }}\n  claude: {{ type: anthropic }}\n{more}")
            }
            ("models:", more) => format!(
                "models:\n  gpt-5-mini: {{ endpoints: [{{ provider: openai }}] }}\n  \
                 claude-sonnet-4-5: {{ endpoints: [{{ provider: claude }}] }}\n{more}"
            ),
            _ => (*block).to_owned(),
        };
        whole.push_str(&own);
    }
    sound(&whole);
}

#[test]
fn the_configurations_of_the_readme_are_sound() {
    let readme = document("README.md");
    let blocks = yaml_blocks(&readme);
    assert!(!blocks.is_empty());
    blocks.into_iter().for_each(sound);
}

#[test]
fn the_configuration_of_the_mcp_guide_is_sound() {
    let guide = document("docs/mcp.md");
    let blocks = yaml_blocks(&guide);
    assert!(!blocks.is_empty());
    blocks.into_iter().for_each(sound);
}

fn sound(text: &str) {
    let (_folder, file) = config(text);
    let ran = fingerpost(&["check", file.to_str().unwrap()])
        .env("GITHUB_TOKEN", "of-the-guide")
        .env("SEARCH_TOKEN", "of-the-guide")
        .run();
    assert_eq!(ran.code, 0, "{text}\n---\n{}{}", ran.out, ran.err);
}
