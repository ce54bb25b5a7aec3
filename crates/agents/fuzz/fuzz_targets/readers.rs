//! Any bytes are read by every reader: entries stay within their limits, names stay legal, nothing unseen is shown.
#![no_main]

use std::path::Path;

use fingerpost_agents::catalogue::{Place, Reading, export_name, limits};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for file in ["root/a/SKILL.md", "root/tools.json", "root/all.jsonl", "root/agents.yaml", "root/h.org/.well-known/agent-card.json"] {
        for root in ["root", file] {
            let reading = Reading::of_file(Place { file: Path::new(file), root: Path::new(root) }, bytes);
            for entry in &reading.entries {
                assert!(entry.id.len() <= limits::ID && entry.name.len() <= limits::NAME);
                assert!(entry.description.len() <= limits::DESCRIPTION && entry.body.len() <= limits::BODY);
                assert!((1..=64).contains(&export_name(&entry.id).len()));
            }
            for problem in &reading.problems {
                assert!(!problem.to_string().chars().any(char::is_control));
            }
        }
    }
});
