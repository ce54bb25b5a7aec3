//! Conversations of several turns with models whose quality drifts at half time.
//!
//! Four models; the best of the first half is the worst of the second. Some twenty conversations are under way at a time, of eight turns on average, and
//! grow by 600 tokens a turn. After every answer the run is told, and for half of them a verdict: `good_fit` with the model's
//! quality of the time as its probability, else `underpowered`.

use std::{num::NonZeroUsize, time::Duration};

use fingerpost_core::{
    Catalogue, Context, Decision, Learn, Limits, Name, Outcome, Price, Profile, Query, Role, Timestamp, Turn,
    UsdPerMillion, Verdict,
};
use fingerpost_models::{
    Algorithm, ModelRouter, RoutingSamplingConfig, SessionKey, Sessions, Shared, Stay, StayConfig, build,
};
use rand::{Rng, SeedableRng, rngs::SmallRng};

/// The models with the price of their input (its tenth from the cache), and their quality before and after the drift.
pub(crate) const MODELS: [(&str, f64, [f64; 2]); 4] = [
    ("spruce", 1.0, [0.66, 0.78]),
    ("larch", 1.0, [0.70, 0.80]),
    ("beech", 1.5, [0.80, 0.58]),
    ("oak", 1.5, [0.77, 0.74]),
];

/// Conversations under way.
const UNDER_WAY: usize = 20;
/// Turns of a conversation, on average.
const TURNS: f64 = 8.0;
/// Bytes that a turn adds.
const BYTES: usize = 2400;
/// Share of the answers that get a verdict.
const SAID: f64 = 0.5;

/// Who decides.
#[derive(Debug, Clone)]
pub(crate) enum Policy {
    /// Always this model.
    Fixed(usize),
    /// `routing_sampling` alone.
    Sampling,
    /// `routing_sampling`, and the rule of staying after it.
    Protected(StayConfig),
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Report {
    /// Mean quality of the models that answered, in points of a hundred.
    pub(crate) quality: f64,
    /// How far that is below the best model of each moment, summed up over the run, in answers.
    pub(crate) regret: f64,
    /// Share of the turns, the first of a conversation left out, whose model is another than that of the turn before.
    pub(crate) switches: f64,
}

struct Conversation {
    number: u64,
    answers: usize,
    before: Option<usize>,
}

/// The models as candidates.
pub(crate) fn catalogue() -> Result<Catalogue, fingerpost_core::CatalogueError> {
    let profile = |(name, input, _): (&str, f64, [f64; 2])| Profile {
        price: Some(Price {
            input: UsdPerMillion::clamped(input),
            cached_input: Some(UsdPerMillion::clamped(input / 10.0)),
            output: UsdPerMillion::clamped(4.0 * input),
        }),
        ..Profile::named(name)
    };
    Catalogue::new(MODELS.map(profile))
}

/// Runs so many turns.
pub(crate) fn run(policy: &Policy, turns: usize, seed: u64) -> Result<Report, Box<dyn std::error::Error>> {
    let catalogue = catalogue()?;
    let (ids, limits, text) = (catalogue.ids(), Limits::NONE, "x".repeat(BYTES));
    let under = Name::from("all");
    let config = Algorithm::RoutingSampling(RoutingSamplingConfig::default());
    let ModelRouter::Router(router) = build(&config, "models/all", &Shared::default())? else {
        return Err("it decides at once".into());
    };
    let stay = match policy {
        Policy::Protected(config) => Some(Stay::new(config)?),
        _ => None,
    };
    let sessions = Sessions::new(NonZeroUsize::new(1000).unwrap_or(NonZeroUsize::MIN));
    // What happens in the world is the same whoever decides.
    let (mut world, mut chance) = (SmallRng::seed_from_u64(seed), SmallRng::seed_from_u64(!seed));
    let mut number = 0..;
    let mut begin = || Conversation {
        number: number.next().unwrap_or_default(),
        answers: 0,
        before: None,
    };
    let mut under_way: Vec<Conversation> = (0..UNDER_WAY).map(|_| begin()).collect();
    let (mut quality, mut regret, mut switched, mut later) = (0.0, 0.0, 0.0, 0.0);
    for turn in 0..turns {
        let phase = usize::from(turn >= turns / 2);
        let now = Timestamp::from_millis(1_000_000 + 1000 * turn as u64);
        let place = world.random_range(0..UNDER_WAY);
        let (is_last, luck, is_said) = (
            world.random::<f64>() < 1.0 / TURNS,
            world.random::<f64>(),
            world.random::<f64>() < SAID,
        );
        let conversation = &mut under_way[place];
        let key = SessionKey::of(&conversation.number.to_string(), None);
        let session = sessions.of(key);
        let mut query = history(conversation.answers, &text);
        query.previous = conversation.before.map(|m| MODELS[m].0.into());
        let mut cx = Context::new(&catalogue, &limits, now, &mut chance);
        let mut decision = router.route(&query, &ids, &mut cx)?;
        if let Some(stay) = &stay {
            decision = stay.pass(decision, session.as_ref(), &query, &under, &ids, &cx);
        }
        let model = match policy {
            Policy::Fixed(model) => *model,
            _ => decision.first().id.0 as usize,
        };
        let true_quality = MODELS[model].2[phase];
        tell(&*router, &decision, is_said.then_some(luck < true_quality));
        sessions.note(key, now, Duration::from_secs(3600), |s| {
            s.answered(&MODELS[model].0.into(), &under, now);
        });
        quality += true_quality;
        regret += MODELS.iter().map(|m| m.2[phase]).fold(0.0, f64::max) - true_quality;
        if let Some(before) = conversation.before {
            later += 1.0;
            switched += f64::from(u8::from(before != model));
        }
        conversation.before = Some(model);
        conversation.answers += 1;
        if is_last {
            *conversation = begin();
        }
    }
    Ok(Report {
        quality: 100.0 * quality / turns as f64,
        regret,
        switches: switched / f64::max(later, 1.0),
    })
}

fn tell(router: &dyn Learn, decision: &Decision, is_good: Option<bool>) {
    let run = Outcome::default();
    router.learn(&decision.evidence, decision, &run);
    if let Some(is_good) = is_good {
        let verdict = if is_good {
            Verdict::GoodFit
        } else {
            Verdict::Underpowered
        };
        let said = Outcome {
            verdict: Some(verdict),
            quality: verdict.quality(),
            ..run
        };
        router.learn(&decision.evidence, decision, &said);
    }
}

/// A conversation of so many answers, and a new question.
fn history(answers: usize, text: &str) -> Query<'_> {
    let turn = |role| Turn {
        role,
        texts: vec![text[..BYTES / 2].into()],
        ..Turn::default()
    };
    let mut turns: Vec<Turn<'_>> = (0..answers)
        .flat_map(|_| [turn(Role::User), turn(Role::Assistant)])
        .collect();
    turns.push(turn(Role::User));
    Query {
        turns,
        ..Query::default()
    }
}
