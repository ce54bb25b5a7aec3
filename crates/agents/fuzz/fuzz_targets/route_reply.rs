//! Whatever a model that routes writes, it is read as at most three known agents, or as out of scope.
#![no_main]

use fingerpost_agents::tcar::{Chosen, MOST_AGENTS, parse_reply, refused};
use fingerpost_core::Name;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let known = ["weather", "money transfer", "map, route"].map(Name::from);
    let (reply, read) = parse_reply(&text, &known);
    if let Chosen::Agents(ids) = reply.chosen {
        assert!(read && (1..=MOST_AGENTS).contains(&ids.len()) && ids.iter().all(|id| known.contains(id)));
    }
    let _ = refused(&text);
});
