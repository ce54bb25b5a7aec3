//! `route_profile` on a small made-up world: who is good at what is learned by every router, and models that come later are
//! taken in by published scores, by their description, or by a handful of outcomes.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use fingerpost_core::{
    Catalogue, Context, Learn, Limits, Name, Outcome, Profile, Quality, Query, Router, Timestamp,
};
use fingerpost_encode::StaticEncoder;
use fingerpost_models::{
    Cards, Costs, Featurizer, Learned, LearnedConfig, Learning, Logged, ModelCard, Organisation,
    OutcomeTable, ProfileSettings, Reader, Representation, Settings, Trained,
};
use rand::{SeedableRng, rngs::SmallRng};

const WORDS: [&str; 12] = [
    "rivers", "bread", "trains", "winter", "gardens", "horses", "lamps", "bridges", "apples", "letters",
    "clocks", "stones",
];
/// Tasks with a question about some word and number.
const TASKS: [(&str, [&str; 2]); 3] = [
    ("sums", ["What is # plus #?", "How many @ are # times # @?"]),
    (
        "poems",
        [
            "Write a poem about @ in spring.",
            "Compose a short verse on @ and the sea.",
        ],
    ),
    (
        "code",
        [
            "Write a Python function that sorts @ by name.",
            "Fix this Rust program that parses @.",
        ],
    ),
];

fn text(task: usize, number: usize) -> String {
    let pattern = TASKS[task].1[number % 2];
    let number = number / 2;
    pattern
        .replace('@', WORDS[number % WORDS.len()])
        .replace('#', &(number * 7 + 3).to_string())
}

/// What each of the models scores at a task: one is good at sums and code, one at poems, one middling.
fn scores(task: usize) -> [f32; 3] {
    if task == 1 {
        [0.2, 0.9, 0.5]
    } else {
        [0.9, 0.1, 0.5]
    }
}

const MODELS: [&str; 3] = ["alpha-1", "beta-1", "gamma-1"];

fn featurizer() -> Featurizer {
    Featurizer::new(Arc::new(StaticEncoder::bundled()))
}

/// The even numbers of each task; models beyond the first three have no outcomes.
fn table(models: &[&str]) -> OutcomeTable {
    let mut table = OutcomeTable::new(models.iter().map(|m| Name::from(*m))).unwrap();
    for (task, (name, _)) in TASKS.iter().enumerate() {
        for number in 0..16 {
            let mut known: Vec<Option<f32>> = scores(task).map(Some).to_vec();
            known.resize(models.len(), None);
            let row = Logged {
                task: Some((*name).into()),
                scores: known,
                ..Logged::query(format!("{task}-{number}"), text(task, number))
            };
            table.push(row).unwrap();
        }
    }
    table
}

fn cards() -> Cards {
    let card = |description: &str| ModelCard {
        description: description.to_owned(),
        ..ModelCard::default()
    };
    Cards {
        models: [
            (
                "alpha-1".into(),
                card("Calculates, and writes programs in Python and Rust."),
            ),
            ("beta-1".into(), card("Writes poems, verse and stories.")),
            ("gamma-1".into(), card("A model for everything.")),
        ]
        .into(),
        ..Cards::default()
    }
}

fn router(settings: ProfileSettings, models: &[&str]) -> Learned {
    let (featurizer, table) = (featurizer(), table(models));
    let settings = Settings::RouteProfile(settings);
    let trained = Trained::train(&settings, &table, &featurizer, 7, &|_, _, _| true).unwrap();
    let trained = Trained::from_bytes(&trained.to_bytes()).unwrap();
    let config = LearnedConfig::default();
    let predictor = trained.predictor().unwrap();
    Learned::new(
        &config,
        "r".into(),
        "route_profile",
        predictor,
        Costs::default(),
        featurizer,
    )
    .unwrap()
}

fn pick(router: &Learned, catalogue: &Catalogue, text: &str) -> fingerpost_core::Decision {
    let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
    let mut cx = Context::new(catalogue, &limits, Timestamp::default(), &mut rng);
    router
        .route(&Query::text(text), &catalogue.ids(), &mut cx)
        .unwrap()
}

fn catalogue(profiles: &[(&str, &str)]) -> Catalogue {
    Catalogue::new(profiles.iter().map(|(name, description)| Profile {
        description: (*description).to_owned(),
        ..Profile::named(*name)
    }))
    .unwrap()
}

/// The mean score of what is chosen for queries that were not trained on.
fn quality(router: &Learned) -> f32 {
    let catalogue = catalogue(&MODELS.map(|m| (m, "")));
    let of = |task: usize| {
        let chosen = (16..24).map(move |number| (task, number));
        chosen.map(|(task, number)| {
            let decision = pick(router, &catalogue, &text(task, number));
            scores(task)[decision.first().id.0 as usize]
        })
    };
    (0..3).flat_map(of).sum::<f32>() / 24.0
}

fn settings(router: Reader) -> ProfileSettings {
    ProfileSettings {
        router,
        learning: Learning::Masked,
        cards: cards(),
        ..ProfileSettings::default()
    }
}

#[test]
fn every_router_learns_who_is_good_at_what() {
    // The best single model scores 0.667, the best of each query 0.9.
    for reader in [Reader::Sim, Reader::TwoTower, Reader::Graph] {
        let found = quality(&router(settings(reader), &MODELS));
        assert!(found > 0.85, "{reader:?}: {found}");
    }
}

#[test]
fn structured_profiles_tell_models_apart_and_random_ones_do_not() {
    let sim = |organisation, representation| {
        let settings = ProfileSettings {
            organisation,
            representation,
            learning: Learning::Frozen,
            ..settings(Reader::Sim)
        };
        quality(&router(settings, &MODELS))
    };
    // Texts lose more than the others, but beat the best single model too.
    let structured = [
        (Representation::Vector, 0.85),
        (Representation::Scores, 0.85),
        (Representation::Text, 0.75),
    ];
    for (representation, bar) in structured {
        let found = sim(Organisation::Structured, representation);
        assert!(found > bar, "{representation:?}: {found}");
    }
    assert!(sim(Organisation::Flat, Representation::Index) < 0.8);
    // One number a model: the best single one.
    let whole = sim(Organisation::Flat, Representation::Scores);
    assert!((whole - 2.0 / 3.0).abs() < 1e-3, "{whole}");
}

#[test]
fn a_model_without_outcomes_is_taken_in_by_its_published_scores() {
    let models = ["alpha-1", "beta-1", "gamma-1", "delta-1"];
    let published = |values: [f64; 3]| ModelCard {
        scores: TASKS.iter().map(|t| t.0.into()).zip(values).collect(),
        ..ModelCard::default()
    };
    let mut cards = cards();
    for (column, name) in MODELS.into_iter().enumerate() {
        let scores = [0, 1, 2].map(|task| f64::from(scores(task)[column]));
        cards.models.get_mut(name).unwrap().scores = published(scores).scores;
    }
    cards.models.insert("delta-1".into(), published([0.3, 1.0, 0.3]));
    for learning in [Learning::Frozen, Learning::Masked] {
        let settings = ProfileSettings {
            learning,
            cards: cards.clone(),
            ..settings(Reader::Sim)
        };
        let router = router(settings, &models);
        let catalogue = catalogue(&models.map(|m| (m, "")));
        let decision = pick(
            &router,
            &catalogue,
            "Compose a short verse on islands and the sea.",
        );
        let names: Vec<&str> = decision.picks.iter().map(|p| p.name.as_str()).collect();
        assert!(names[..2].contains(&"delta-1"), "{learning:?}: {names:?}");
        let decision = pick(&router, &catalogue, "What is 12 plus 40?");
        assert_eq!(decision.first().name, "alpha-1", "{learning:?}");
    }
}

#[test]
fn a_later_model_is_taken_in_by_its_description() {
    for reader in [Reader::Sim, Reader::TwoTower, Reader::Graph] {
        let router = router(settings(reader), &MODELS);
        let catalogue = catalogue(&[
            ("gamma-1", ""),
            ("later", "Writes poems, rhymes, verse and short stories."),
        ]);
        let decision = pick(
            &router,
            &catalogue,
            "Compose a short verse on islands and the sea.",
        );
        assert_eq!(decision.first().name, "later", "{reader:?}");
        let decision = pick(&router, &catalogue, "What is 12 plus 40?");
        assert_eq!(decision.first().name, "gamma-1", "{reader:?}");
    }
}

#[test]
fn a_handful_of_outcomes_takes_a_model_in_and_a_restart_keeps_it() {
    let taught = router(settings(Reader::Sim), &MODELS);
    let catalogue = catalogue(&[("beta-1", ""), ("alpha-1", ""), ("mute", "")]);
    let poem = "Compose a short verse on islands and the sea.";
    assert_eq!(pick(&taught, &catalogue, poem).first().name, "beta-1");
    // Nothing is known of it: it is fallen back on.
    let alone = Catalogue::new([Profile::named("mute")]).unwrap();
    for number in 0..8 {
        let decision = pick(&taught, &alone, &text(1, number));
        let outcome = Outcome {
            quality: Quality::new(1.0).ok(),
            ..Outcome::default()
        };
        taught.learn(&decision.evidence, &decision, &outcome);
    }
    let decision = pick(&taught, &catalogue, poem);
    assert_eq!(decision.first().name, "mute", "{decision:?}");
    assert_eq!(
        pick(&taught, &catalogue, "What is 12 plus 40?").first().name,
        "alpha-1"
    );
    let restarted = router(settings(Reader::Sim), &MODELS);
    assert!(restarted.restore(&taught.save().unwrap()));
    assert_eq!(pick(&restarted, &catalogue, poem).first().name, "mute");
}

#[test]
fn settings_that_do_not_go_together_are_refused_by_name() {
    let refused = |json: &str| {
        let settings: Settings = serde_json::from_str(json).unwrap();
        let trained = Trained::train(&settings, &table(&MODELS), &featurizer(), 1, &|_, _, _| true);
        trained.unwrap_err().to_string()
    };
    let error = refused(r#"{"algorithm":"route_profile","representation":"text","learning":"masked"}"#);
    assert!(
        error.starts_with("route_profile.learning must be frozen, or masked with"),
        "{error}"
    );
    let error = refused(r#"{"algorithm":"route_profile","hops":5}"#);
    assert!(
        error.contains("route_profile.hops must be a whole number from 0 to 4, found 5"),
        "{error}"
    );
    let error =
        refused(r#"{"algorithm":"route_profile","cards":{"models":{"alpha-1":{"scores":{"sums":1.5}}}}}"#);
    assert!(error.contains("cards.models.alpha-1.scores.sums"), "{error}");
}
