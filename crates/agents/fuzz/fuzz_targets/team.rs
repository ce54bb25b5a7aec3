//! Whatever a description of agents holds, it is refused by name or compiled, and no skill's folder leads elsewhere.
#![no_main]

use fingerpost_agents::single_agent_skills::Team;
use fingerpost_encode::TokenCounter;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(team) = Team::read(&String::from_utf8_lossy(data)) {
        let compiled = team.compile(&TokenCounter::estimating());
        assert_eq!(compiled.skills.len() + compiled.kept.len(), team.agents.len());
        for skill in &compiled.skills {
            assert!(skill.folder.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
            let _ = skill.markdown();
        }
    }
});
