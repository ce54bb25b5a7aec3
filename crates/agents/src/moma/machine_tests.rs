use proptest::prelude::*;

use super::*;
use crate::{moma::CategoryOptions, tcar::bank_for_tests};

fn moma(config: &MomaConfig, rules: &[(&str, Rules)]) -> (Moma, Arc<AgentBank>) {
    let bank = Arc::new(bank_for_tests());
    let vectors: Vec<f32> = bank.agents().iter().flat_map(|a| a.centre().to_vec()).collect();
    let domains = vec![None; bank.agents().len()];
    let options = CategoryOptions {
        clusters: 3,
        parts: 1,
    };
    let categories = Categories::new(&domains, &vectors, &options).unwrap();
    let rules = rules.iter().map(|(name, rules)| ((*name).into(), rules.clone()));
    (
        Moma::new(config, bank.clone(), categories, rules.collect()).unwrap(),
        bank,
    )
}

fn say(moma: &Moma, bank: &AgentBank, state: State, text: &str) -> (State, Move) {
    moma.step(
        state,
        &Event::Said,
        &bank.encoder().encode(text),
        &BTreeSet::new(),
    )
}

fn name(choice: &Move) -> &str {
    choice.agent.as_ref().map_or("none", |n| n.as_str())
}

#[test]
fn a_follow_up_stays_and_another_task_does_not() {
    let config = MomaConfig {
        threshold: 0.4,
        takeover: 0.4,
        ..MomaConfig::default()
    };
    let (moma, bank) = moma(&config, &[]);
    let (state, choice) = say(&moma, &bank, State::default(), "will it rain tomorrow in Rome");
    assert_eq!(
        (name(&choice), choice.kept, state.phase),
        ("weather", false, Phase::Active)
    );
    let (state, choice) = say(&moma, &bank, state, "and what about Friday?");
    assert_eq!((name(&choice), choice.kept), ("weather", true));
    let (state, _) = moma.step(state, &Event::Completed, &[], &BTreeSet::new());
    assert_eq!(state.phase, Phase::Done);
    let (state, choice) = say(&moma, &bank, state, "and the day after?");
    assert_eq!((name(&choice), state.phase), ("weather", Phase::Active));
    let (state, choice) = say(&moma, &bank, state, "send 20 dollars to Ann");
    assert_eq!((name(&choice), choice.kept), ("money", false));
    assert_eq!(state.calls.get("weather"), None);
    // Without a state the same follow-up belongs to nobody.
    let (state, choice) = say(&moma, &bank, State::default(), "and what about Friday?");
    assert_eq!((name(&choice), state.phase), ("none", Phase::Idle));
}

#[test]
fn who_is_not_allowed_is_never_chosen() {
    let needs = |rules: Rules| {
        moma(
            &MomaConfig {
                categories: 9,
                ..MomaConfig::default()
            },
            &[("money", rules)],
        )
    };
    let text = "send 20 dollars to Ann";
    let cases = [
        (
            Rules {
                slots: vec!["iban".into()],
                ..Rules::default()
            },
            Mask::Slot("iban".into()),
        ),
        (
            Rules {
                permission: Some("pay".into()),
                ..Rules::default()
            },
            Mask::Permission("pay".into()),
        ),
        (
            Rules {
                quota: Some(0),
                ..Rules::default()
            },
            Mask::Quota(0),
        ),
        (
            Rules {
                within_task: true,
                ..Rules::default()
            },
            Mask::Phase(Phase::Category),
        ),
    ];
    for (rules, why) in cases {
        // A quota of none is one that every count has reached.
        let mut state = State::default();
        state.calls.insert("money".into(), 0);
        let (moma, bank) = needs(rules);
        let query = bank.encoder().encode(text);
        let state = State {
            phase: Phase::Candidate,
            ..state
        };
        let masked = moma.mask(&"money".into(), &state, &BTreeSet::new()).unwrap();
        let (_, choice) = moma.step(state, &Event::Failed, &query, &BTreeSet::new());
        assert_ne!(name(&choice), "money");
        let phase = matches!((&masked, &why), (Mask::Phase(_), Mask::Phase(_)));
        assert!(phase || masked == why, "{masked:?}");
        assert!(choice.masked.iter().any(|m| m.agent.as_str() == "money"));
    }
    let (moma, bank) = needs(Rules {
        slots: vec!["iban".into()],
        permission: Some("pay".into()),
        ..Rules::default()
    });
    let mut state = State::default();
    state.slots.insert("iban".into(), "NO1".into());
    let rights = BTreeSet::from(["pay".to_owned()]);
    let (_, choice) = moma.step(state, &Event::Said, &bank.encoder().encode(text), &rights);
    assert_eq!(name(&choice), "money");
}

#[test]
fn who_failed_is_masked_for_the_task_and_a_tool_fills_slots() {
    let (moma, bank) = moma(
        &MomaConfig {
            threshold: -1.0,
            categories: 9,
            ..MomaConfig::default()
        },
        &[],
    );
    let query = bank.encoder().encode("will it rain tomorrow in Rome");
    let rights = BTreeSet::new();
    let (mut state, _) = moma.step(State::default(), &Event::Said, &query, &rights);
    let mut tried = vec![state.agent.clone().unwrap()];
    for _ in 1..3 {
        let choice;
        (state, choice) = moma.step(state, &Event::Failed, &query, &rights);
        tried.push(choice.agent.unwrap());
    }
    tried.sort();
    tried.dedup();
    assert_eq!(tried.len(), 3);
    let (state, choice) = moma.step(state, &Event::Failed, &query, &rights);
    assert_eq!((name(&choice), state.phase), ("none", Phase::Failed));
    // Another task: everybody may again.
    let (state, choice) = moma.step(state, &Event::Said, &query, &rights);
    assert_eq!(name(&choice), "weather");
    let slots = BTreeMap::from([("city".to_owned(), "Rome".to_owned())]);
    let (state, choice) = moma.step(state, &Event::ToolResult(slots), &query, &rights);
    assert_eq!(
        (name(&choice), state.slots.len(), state.phase),
        ("weather", 1, Phase::Active)
    );
    let (state, choice) = moma.step(state, &Event::Cancelled, &query, &rights);
    assert_eq!(
        (name(&choice), state.phase, state.slots.len()),
        ("none", Phase::Failed, 1)
    );
}

#[test]
fn settings_out_of_range() {
    let (moma, bank) = moma(&MomaConfig::default(), &[]);
    let config = MomaConfig {
        margin: f32::NAN,
        ..MomaConfig::default()
    };
    let error = Moma::new(&config, bank, moma.categories().clone(), BTreeMap::new())
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .starts_with("moma_agents.margin must be a number from 0 to 2")
    );
}

proptest! {
    /// Whatever happens, nobody who is masked acts, probabilities are some, and none is there to fall back on.
    #[test]
    fn no_event_lets_a_masked_agent_act(events in prop::collection::vec((0_u8..5, 0_usize..4), 0..30)) {
        let rules = [
            ("money", Rules { slots: vec!["iban".into()], ..Rules::default() }),
            ("cook", Rules { quota: Some(2), ..Rules::default() }),
        ];
        let (moma, bank) = moma(&MomaConfig { threshold: 0.2, ..MomaConfig::default() }, &rules);
        let texts = ["will it rain", "send money to Ann", "a recipe for soup", "and then?"];
        let rights = BTreeSet::new();
        let mut state = State::default();
        for (event, text) in events {
            let event = match event {
                0 => Event::Completed,
                1 => Event::Failed,
                2 => Event::Cancelled,
                3 if text == 0 => Event::ToolResult(BTreeMap::from([("iban".to_owned(), "x".to_owned())])),
                _ => Event::said(texts[text]),
            };
            let query = bank.encoder().encode(texts[text]);
            let before = state.clone();
            let (next, choice) = moma.step(state, &event, &query, &rights);
            if matches!(event, Event::Said | Event::FollowUp | Event::Failed) {
                if let Some(agent) = &choice.agent {
                    // The count that this very choice raised is not held against it.
                    let mut at = next.clone();
                    *at.calls.entry(agent.clone()).or_default() -= 1;
                    prop_assert_eq!(moma.mask(agent, &at, &rights), None);
                    prop_assert!(!next.failed.contains(agent));
                }
                prop_assert!(choice.probability > 0.0 && choice.probability <= 1.0);
            }
            prop_assert!(next.slots.len() >= before.slots.len());
            state = serde_json::from_str(&serde_json::to_string(&next).unwrap()).unwrap();
        }
    }
}
