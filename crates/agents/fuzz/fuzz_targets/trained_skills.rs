//! Any bytes are either refused as a trained skill reranker, or find something.
#![no_main]

use std::sync::{Arc, LazyLock};

use fingerpost_agents::{
    Entry, Kind,
    skill_router::{SkillIndex, SkillRouter, Trained},
};
use fingerpost_encode::{Encoder, StaticEncoder};
use libfuzzer_sys::fuzz_target;

static INDEX: LazyLock<Arc<SkillIndex>> = LazyLock::new(|| {
    let encoder: Arc<dyn Encoder> = Arc::new(StaticEncoder::bundled());
    let entries = ["get_weather", "send_email"].map(|name| Entry::named(name, Kind::Tool));
    Arc::new(SkillIndex::new(entries.to_vec(), &[encoder]))
});

fuzz_target!(|content: &[u8]| {
    let _ = Trained::from_bytes(content);
    // Behind the right beginning and with the checksum that fits, the content is read.
    let mut bytes = b"FPSKILLS\x01\0\0\0".to_vec();
    bytes.extend(content);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    if let Ok(trained) = Trained::from_bytes(&bytes)
        && let Ok(router) = SkillRouter::new(INDEX.clone(), Arc::new(trained))
    {
        router.search("weather in Oslo", 2);
    }
});
