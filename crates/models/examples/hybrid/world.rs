//! Queries of four fields for four models: three that are good in a field and say so, and one that is good in most and does not.
//!
//! A row is a query with what each model would make of it, as in a table of logged outcomes; a router sees the text, picks, and is told
//! the quality of its own pick alone.

use std::sync::Arc;

use fingerpost_core::{
    Catalogue, Context, Limits, Outcome, Price, Profile, Quality, Query, Timestamp, UsdPerMillion,
};
use fingerpost_encode::StaticEncoder;
use fingerpost_models::{Algorithm, Featurizer, ModelRouter, Shared, build};
use rand::{Rng, SeedableRng, rngs::SmallRng, seq::IndexedRandom};

/// The models: description, price, and mean quality in each field.
const MODELS: [(&str, &str, f64, [f64; 4]); 4] = [
    (
        "euclid",
        "mathematics: proofs, equations, integrals",
        1.0,
        [0.85, 0.45, 0.40, 0.40],
    ),
    (
        "ada",
        "programming: code, bugs, compilers",
        1.0,
        [0.45, 0.85, 0.40, 0.40],
    ),
    (
        "apicius",
        "cooking: recipes, ingredients, baking",
        1.0,
        [0.35, 0.35, 0.85, 0.40],
    ),
    ("atlas", "a large model", 6.0, [0.72, 0.72, 0.70, 0.75]),
];

const QUESTIONS: [&[&str]; 4] = [
    &[
        "Prove that the equation has no solution",
        "Solve the integral of this function",
        "Is the theorem true for odd numbers?",
    ],
    &[
        "Why does this code not compile?",
        "Find the bug in my program",
        "Write a function that sorts a list in Python",
    ],
    &[
        "A recipe for bread with these ingredients",
        "How long do I bake the cake?",
        "What can I cook with lentils?",
    ],
    &[
        "Who inherits the house of my aunt?",
        "Summarise the history of Portugal",
        "How do I comfort a friend?",
    ],
];

/// Who decides: a name and a `select` section.
pub(crate) const POLICIES: [(&str, &str); 5] = [
    ("hybrid", r#"{"algorithm":"hybrid"}"#),
    (
        "hybrid, cost left out",
        r#"{"algorithm":"hybrid","weights":{"cost":0}}"#,
    ),
    ("elo alone", r#"{"algorithm":"elo"}"#),
    (
        "descriptions alone",
        r#"{"algorithm":"hybrid","weights":{"elo":0,"description":1,"automix":0,"cost":0}}"#,
    ),
    ("automix alone", r#"{"algorithm":"automix"}"#),
];

/// Mean quality, in points of a hundred, of what a policy picked over so many queries.
pub(crate) fn run(select: &str, queries: usize, seed: u64) -> Result<f64, Box<dyn std::error::Error>> {
    let profile = |(name, description, usd, _): (&str, &str, f64, [f64; 4])| Profile {
        description: description.to_owned(),
        price: Some(Price {
            input: UsdPerMillion::clamped(usd),
            cached_input: None,
            output: UsdPerMillion::clamped(usd),
        }),
        ..Profile::named(name)
    };
    let (catalogue, limits) = (Catalogue::new(MODELS.map(profile))?, Limits::NONE);
    let config: Algorithm = serde_json::from_str(select)?;
    let shared = Shared {
        featurizer: Some(Featurizer::new(Arc::new(StaticEncoder::bundled()))),
        ..Shared::default()
    };
    let ModelRouter::Router(router) = build(&config, "r", &shared)? else {
        return Err("they decide at once".into());
    };
    // The rows are the same whoever decides.
    let (mut world, mut chance) = (SmallRng::seed_from_u64(seed), SmallRng::seed_from_u64(!seed));
    let mut sum = 0.0;
    for _ in 0..queries {
        let field = world.random_range(0..QUESTIONS.len());
        let text = QUESTIONS[field].choose(&mut world).ok_or("no question")?;
        let row = MODELS.map(|m| {
            if world.random::<f64>() < m.3[field] {
                1.0
            } else {
                0.0
            }
        });
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut chance);
        let decision = router.route(&Query::text(text), &catalogue.ids(), &mut cx)?;
        let quality = row[decision.first().id.0 as usize];
        sum += quality;
        let outcome = Outcome {
            quality: Some(Quality::clamped(quality)),
            ..Outcome::default()
        };
        router.learn(&decision.evidence, &decision, &outcome);
    }
    Ok(100.0 * sum / queries as f64)
}
