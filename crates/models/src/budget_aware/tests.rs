use std::borrow::Cow;

use fingerpost_core::{Catalogue, Identity, Limits, Price, Profile, Role, Timestamp, Turn, UsdPerMillion};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::SmallRng};

use super::*;
use crate::Trained;

/// `large` costs ten times what `small` does: a dollar a million tokens.
fn catalogue() -> Catalogue {
    let profile = |name: &str, usd: f64| {
        let usd = UsdPerMillion::new(usd).unwrap();
        Profile {
            price: Some(Price {
                input: usd,
                cached_input: None,
                output: usd,
            }),
            ..Profile::named(name)
        }
    };
    Catalogue::new([
        profile("large", 10.0),
        profile("middle", 3.0),
        profile("small", 1.0),
    ])
    .unwrap()
}

fn router(budget: Option<f64>) -> BudgetAware {
    let config = BudgetAwareConfig {
        budget,
        expected_steps: 4,
        ..BudgetAwareConfig::default()
    };
    BudgetAware::new(&config, "b".into(), None, None).unwrap()
}

/// A thousand tokens in, at most a thousand out: 0.002 dollars of the small model, 0.02 of the large.
fn view(step: u32, errors_in_a_row: u32) -> View {
    View {
        step,
        errors_in_a_row,
        tokens_in: TokenCount(1000),
        max_output: Some(TokenCount(1000)),
        ..View::default()
    }
}

fn route(router: &BudgetAware, view: &View, session: Option<&str>) -> Result<Decision, NoRoute> {
    let (catalogue, limits, mut rng) = (catalogue(), Limits::NONE, SmallRng::seed_from_u64(1));
    let cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
    router.route_step(view, session, &catalogue.ids(), &cx)
}

fn bill(router: &BudgetAware, decision: &Decision, usd: f64) {
    let outcome = Outcome {
        cost: Usd::new(usd).ok(),
        ..Outcome::default()
    };
    // As after storage.
    let stored: Decision = serde_json::from_str(&serde_json::to_string(decision).unwrap()).unwrap();
    router.learn(&stored.evidence, &stored, &outcome);
}

fn names(decision: &Decision) -> Vec<&str> {
    decision.picks.iter().map(|p| p.name.as_str()).collect()
}

#[test]
fn without_a_policy_the_large_one_is_taken_after_an_error() {
    let router = router(None);
    assert_eq!(
        names(&route(&router, &view(0, 0), None).unwrap()),
        ["small", "large"]
    );
    assert_eq!(
        names(&route(&router, &view(3, 1), None).unwrap()),
        ["large", "small"]
    );
}

#[test]
fn spend_is_added_up_and_masks() {
    let router = router(Some(0.03));
    let first = route(&router, &view(0, 0), Some("ann")).unwrap();
    // 0.02 and three expected small steps of 0.001 at least fit into 0.03.
    assert_eq!(names(&first), ["small", "large"]);
    bill(&router, &first, 0.0015);
    let second = route(&router, &view(1, 1), Some("ann")).unwrap();
    assert_eq!(names(&second), ["large", "small"]);
    bill(&router, &second, 0.0195);
    // 0.009 are left: no large step, not even to fall back on.
    let third = route(&router, &view(2, 1), Some("ann")).unwrap();
    assert_eq!(names(&third), ["small"]);
    assert_eq!(third.reason.text, "the small one: the budget allows no more");
    assert!(third.only, "the large one is not to be fallen back on");
    bill(&router, &third, 0.0075);
    let none = route(&router, &view(3, 0), Some("ann")).unwrap_err().to_string();
    assert!(
        none.starts_with("no route: small budget_exhausted: a step may cost 0.0075 USD, 0.001"),
        "{none}"
    );
    assert!(none.contains("; large budget_exhausted"), "{none}");
    // A new conversation begins with a full purse, and so does who has no name.
    assert!(route(&router, &view(0, 0), Some("ann")).is_ok());
    assert!(route(&router, &view(3, 0), None).is_ok());
    let again = super::tests::router(Some(0.03));
    assert!(again.restore(&router.save().unwrap()) && !again.restore(b"{}"));
    assert!(route(&again, &view(3, 0), Some("ann")).is_err());
}

#[test]
fn steps_that_are_not_billed_yet_count_as_large_ones() {
    let router = router(Some(0.03));
    // One call is under way or was made before: 0.02 of 0.03 are taken for spent.
    assert_eq!(
        names(&route(&router, &view(1, 1), Some("bob")).unwrap()),
        ["small"]
    );
    // What somebody says of an answer does not bill it.
    let first = route(&router, &view(0, 0), Some("bob")).unwrap();
    router.learn(&first.evidence, &first, &Outcome::default());
    assert_eq!(
        names(&route(&router, &view(1, 1), Some("bob")).unwrap()),
        ["small"]
    );
    bill(&router, &first, 0.001);
    assert_eq!(
        names(&route(&router, &view(1, 1), Some("bob")).unwrap()),
        ["large", "small"]
    );
}

#[test]
fn a_step_that_cost_more_than_expected_raises_the_forecast() {
    let router = router(Some(0.03));
    let first = route(&router, &view(0, 1), Some("ann")).unwrap();
    bill(&router, &first, 0.03);
    // The large one may cost 0.03 from now on, so that a new conversation has no room for it.
    assert_eq!(
        names(&route(&router, &view(0, 1), Some("eve")).unwrap()),
        ["small"]
    );
}

#[test]
fn a_request_is_read() {
    let turn = |role, text: &'static str| Turn {
        role,
        texts: vec![Cow::Borrowed(text)],
        ..Turn::default()
    };
    let mut query = Query::text("fix it");
    query.turns.extend([
        turn(Role::Assistant, ""),
        turn(Role::Tool, "12 passed, 0 failed"),
        turn(Role::Assistant, ""),
        turn(Role::Tool, "Traceback (most recent call last): ..."),
        turn(Role::Assistant, ""),
        Turn {
            tool_results: 1,
            ..turn(Role::User, "cat: x: No such file or directory")
        },
    ]);
    query.identity = Identity {
        user: Some("ann".into()),
        ..Identity::default()
    };
    let view = router(None).view(&query);
    assert_eq!(
        (view.step, view.tool_results, view.errors, view.errors_in_a_row),
        (3, 3, 2, 2)
    );
    assert_eq!(session(&query).as_deref(), Some("ann"));
    query.session = Some("s1".into());
    assert_eq!(session(&query).as_deref(), Some("ann/s1"));
    query.identity.user = None;
    assert_eq!(session(&query).as_deref(), Some("s1"));
    let (catalogue, limits, mut rng) = (catalogue(), Limits::NONE, SmallRng::seed_from_u64(1));
    let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
    let decision = router(None).route(&query, &catalogue.ids(), &mut cx).unwrap();
    assert_eq!(decision.first().name, "large");
}

#[test]
fn limits_hold_and_one_model_is_both() {
    let (catalogue, mut rng) = (catalogue(), SmallRng::seed_from_u64(1));
    let barred = |ids: &[u32]| Limits {
        barred: ids.iter().map(|id| CandidateId(*id)).collect(),
        ..Limits::NONE
    };
    let mut route = |limits: &Limits| {
        let cx = Context::new(&catalogue, limits, Timestamp::default(), &mut rng);
        router(Some(1.0)).route_step(&view(1, 1), None, &catalogue.ids(), &cx)
    };
    assert_eq!(names(&route(&barred(&[0])).unwrap()), ["middle", "small"]);
    assert_eq!(names(&route(&barred(&[0, 2])).unwrap()), ["middle"]);
    assert_eq!(route(&barred(&[0, 1, 2])).unwrap_err().excluded.len(), 3);
}

#[test]
fn a_trained_policy_is_kept_in_a_file() {
    let policy = Policy::new(STATE, 3).raised(30.0);
    let trained = Trained::of_policy(
        policy.clone(),
        Some(["middle".into(), "large".into()]),
        5,
        3,
        None,
    );
    let again = Trained::from_bytes(&trained.to_bytes()).unwrap();
    assert_eq!(again.policy(), Some(&policy));
    assert!(again.predictor().is_err(), "it estimates no answers");
    let shared = Shared {
        trained: [("p".to_owned(), Arc::new(again))].into(),
        ..Shared::default()
    };
    let config = BudgetAwareConfig {
        trained: Some("p".to_owned()),
        ..BudgetAwareConfig::default()
    };
    let router = BudgetAware::build(&config, "b".into(), &shared).unwrap();
    // Raised so high that it always wants the large one; the small one is that of the file.
    assert_eq!(
        names(&route(&router, &view(0, 0), None).unwrap()),
        ["large", "middle"]
    );
    let lost = BudgetAware::build(&config, "b".into(), &Shared::default()).unwrap_err();
    assert_eq!(
        lost.to_string(),
        "budget_aware.trained must be a file that can be read, found p"
    );
}

#[test]
fn settings_out_of_range_and_policies_of_other_states_are_refused() {
    let refused =
        |config: BudgetAwareConfig, policy| BudgetAware::new(&config, "b".into(), policy, None).unwrap_err();
    let error = refused(
        BudgetAwareConfig {
            quantile: 0.0,
            ..BudgetAwareConfig::default()
        },
        None,
    );
    assert_eq!(
        error.to_string(),
        "budget_aware.quantile must be a number over 0 and up to 1, found 0"
    );
    let error = refused(BudgetAwareConfig::default(), Some(Policy::new(3, 1)));
    assert_eq!(error.key, "trained");
}

/// A router of the policy in a file, or why there is none.
fn of_file(bytes: &[u8]) -> Result<BudgetAware, String> {
    let trained = Trained::from_bytes(bytes).map_err(|e| e.to_string())?;
    let shared = Shared {
        trained: [("p".to_owned(), Arc::new(trained))].into(),
        ..Shared::default()
    };
    let config = BudgetAwareConfig {
        trained: Some("p".to_owned()),
        ..BudgetAwareConfig::default()
    };
    BudgetAware::build(&config, "b".into(), &shared).map_err(|e| e.to_string())
}

fn file() -> Vec<u8> {
    Trained::of_policy(Policy::new(STATE, 3), None, 5, 3, None).to_bytes()
}

/// With a checksum that fits, so that what follows it is read.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len().saturating_sub(4));
    let sum = crc32fast::hash(&bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever bytes were changed, a file is refused or routes.
    #[test]
    fn changed_files_are_refused_or_route(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>(), is_cut: bool) {
        let mut bytes = file();
        // The first twelve say what the file is.
        for (at, byte) in changes {
            let at = 12 + at.index(bytes.len() - 16);
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(12 + cut.index(bytes.len() - 12));
        }
        prop_assert!(of_file(&bytes).is_err() || bytes == file());
        if let Ok(router) = of_file(&sealed(bytes)) {
            prop_assert!(route(&router, &view(1, 1), None).is_ok());
        }
    }

    /// A policy of a wrong shape, or with weights that are no numbers, is refused by its key.
    #[test]
    fn policies_of_wrong_shape_are_refused(inputs in prop_oneof![0..64_usize, Just(usize::MAX)], weights in prop::collection::vec(any::<f32>(), 0..64)) {
        // As the format writes it: the inputs, then the weights.
        let policy: Policy = postcard::from_bytes(&postcard::to_allocvec(&(inputs, weights)).unwrap()).unwrap();
        let bytes = Trained::of_policy(policy, None, 5, 3, None).to_bytes();
        let refused = of_file(&bytes).err().unwrap_or_default();
        prop_assert!(refused.starts_with("budget_aware.trained must be"), "{refused}");
    }
}
