//! Four shapes of router in the one vocabulary: a model selector, an instance picker, a two-model cascade, an expert gate.
//!
//! Each is small enough to read at a sitting and shows one thing that the vocabulary must carry:
//! - the **selector** picks within limits and says why, or says who was excluded by which limit;
//! - the **picker** has a query type of its own and reads live load;
//! - the **cascade** asks before it decides, without ever performing a call;
//! - the **gate** picks a weighted set, and learns from evidence that has been through storage.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::{Arc, Mutex};

use fingerpost_core::*;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde::{Deserialize, Serialize};

fn usd(value: f64) -> UsdPerMillion {
    UsdPerMillion::new(value).unwrap()
}

fn priced(name: &str, quality: f64, price: f64) -> Profile {
    Profile {
        quality: Some(Quality::new(quality).unwrap()),
        price: Some(Price {
            input: usd(price),
            cached_input: None,
            output: usd(price),
        }),
        ..Profile::named(name)
    }
}

// === 1. a model selector: score by profile, select the cheapest above a bar ===

/// The cheapest model of at least this quality; the best one where none reaches it.
struct CheapestAbove {
    bar: Quality,
}

impl Learn for CheapestAbove {}

impl Router<Query<'_>> for CheapestAbove {
    fn route(&self, _: &Query<'_>, among: &[CandidateId], cx: &mut Context<'_>) -> Result<Decision, NoRoute> {
        let quality = |c: &Candidate| c.profile.quality.map_or(0.0, Quality::get);
        let price = |c: &Candidate| c.profile.price.map_or(f64::INFINITY, |p| p.blended().get());
        let good = cx.admitted(among).filter(|c| quality(c) >= self.bar.get());
        let cheapest = good.min_by(|a, b| price(a).total_cmp(&price(b)));
        let (pick, why) = match cheapest {
            Some(pick) => (pick, "cheapest above the bar"),
            None => {
                let best = cx
                    .admitted(among)
                    .reduce(|best, c| if quality(c) > quality(best) { c } else { best });
                (
                    best.ok_or_else(|| cx.no_route(among))?,
                    "none reaches the bar: the best",
                )
            }
        };
        let reason = Reason::new(why)
            .with("quality", quality(pick))
            .with("bar", self.bar.get());
        Ok(Decision::single(
            Pick::of(pick, quality(pick)),
            reason,
            Evidence::of("cheapest above"),
        ))
    }
}

#[test]
fn a_model_selector() {
    let profiles = [
        priced("small", 0.5, 0.1),
        priced("medium", 0.8, 1.0),
        priced("large", 0.9, 10.0),
    ];
    let catalogue = Catalogue::new(profiles).unwrap();
    let router = CheapestAbove {
        bar: Quality::new(0.7).unwrap(),
    };
    let query = Query::text("Prove that there are infinitely many primes.");
    let route = |limits: &Limits| {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut cx = Context::new(&catalogue, limits, Timestamp::default(), &mut rng);
        router.route(&query, &catalogue.ids(), &mut cx)
    };

    let decision = route(&Limits::NONE).unwrap();
    assert_eq!(decision.first().name, "medium");
    assert_eq!(
        decision.reason.to_string(),
        "cheapest above the bar (quality 0.8, bar 0.7)"
    );

    let thrifty = Limits {
        max_price: Some(usd(0.5)),
        ..Limits::NONE
    };
    let decision = route(&thrifty).unwrap();
    assert_eq!(
        decision.reason.to_string(),
        "none reaches the bar: the best (quality 0.5, bar 0.7)"
    );

    let nobody = Limits {
        max_price: Some(usd(0.01)),
        barred: vec![CandidateId(0)],
        ..Limits::NONE
    };
    assert_eq!(
        route(&nobody).unwrap_err().to_string(),
        "no route: small tried or barred for this request; medium price 1 over 0.01 USD per million; \
         large price 10 over 0.01 USD per million"
    );
}

// === 2. an instance picker: a query of its own, load as the score, a sample as the selection ===

/// What a picker of instances has to go by.
struct Prompt {
    tokens: TokenCount,
}

/// The less loaded of two instances drawn at random.
struct LessLoadedOfTwo;

impl Learn for LessLoadedOfTwo {}

impl Router<Prompt> for LessLoadedOfTwo {
    fn route(
        &self,
        prompt: &Prompt,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let count = cx.admitted(among).count();
        if count == 0 {
            return Err(cx.no_route(among));
        }
        let (one, other) = (cx.rng.random_range(0..count), cx.rng.random_range(0..count));
        let load = |c: &Candidate| c.live.in_flight();
        let drawn = cx
            .admitted(among)
            .enumerate()
            .filter(|(i, _)| *i == one || *i == other);
        let pick = drawn
            .map(|(_, c)| c)
            .min_by_key(|c| load(c))
            .ok_or_else(|| cx.no_route(among))?;
        let load = f64::from(load(pick));
        let reason = Reason::new("less loaded of two").with("in flight", load);
        let evidence =
            Evidence::of("two choices").with("tokens", Feature::Number(f64::from(prompt.tokens.0)));
        Ok(Decision::single(Pick::of(pick, -load), reason, evidence))
    }
}

#[test]
fn an_instance_picker() {
    let catalogue = Catalogue::new((0..8).map(|i| Profile::named(format!("gpu-{i}")))).unwrap();
    let (ids, limits, mut rng) = (catalogue.ids(), Limits::NONE, SmallRng::seed_from_u64(5));
    let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
    let prompt = Prompt {
        tokens: TokenCount(8000),
    };
    for _ in 0..800 {
        let decision = LessLoadedOfTwo.route(&prompt, &ids, &mut cx).unwrap();
        // Whoever runs the pick counts it as load; here no call ever ends.
        catalogue.get(decision.first().id).unwrap().live.begin();
    }
    let loads: Vec<u32> = catalogue.iter().map(|c| c.live.in_flight()).collect();
    assert_eq!(loads.iter().sum::<u32>(), 800);
    assert!(
        loads.iter().all(|l| l.abs_diff(100) <= 8),
        "two choices keep the loads together: {loads:?}"
    );

    catalogue.get(CandidateId(3)).unwrap().live.set_available(false);
    for _ in 0..100 {
        let decision = LessLoadedOfTwo.route(&prompt, &ids, &mut cx).unwrap();
        assert_ne!(decision.first().name, "gpu-3", "its circuit is open");
    }
}

// === 3. a two-model cascade: run by asking ===

/// Asks the first model; where its answer looks unsure, the second.
struct TwoStep {
    threshold: f64,
}

/// What it remembers while a call is under way: plain data.
#[derive(Serialize, Deserialize)]
struct UnderWay {
    asked: Name,
    next: Option<Name>,
}

impl TwoStep {
    fn ask(call: CallId, whom: &Candidate, next: Option<Name>) -> Step {
        let asked = whom.profile.name.clone();
        match Thread::keep(&UnderWay { asked, next }) {
            Ok(thread) => Step::Ask(
                vec![Call {
                    id: call,
                    target: whom.id,
                    ask: Ask::Forward,
                }],
                thread,
            ),
            Err(_) => Step::Fail(NoRoute { excluded: Vec::new() }),
        }
    }
}

impl Learn for TwoStep {}

impl Deliberate<Query<'_>> for TwoStep {
    fn start(&self, _: &Query<'_>, among: &[CandidateId], cx: &mut Context<'_>) -> Step {
        let mut order = cx.admitted(among);
        match order.next() {
            Some(first) => Self::ask(CallId(0), first, order.next().map(|c| c.profile.name.clone())),
            None => Step::Fail(cx.no_route(among)),
        }
    }

    fn resume(&self, _: &Query<'_>, thread: Thread, answers: Vec<Answer>, cx: &mut Context<'_>) -> Step {
        let (Ok(under_way), [answer]) = (thread.take::<UnderWay>(), answers.as_slice()) else {
            return Step::Fail(NoRoute { excluded: Vec::new() });
        };
        let confidence = answer.reply.as_ref().map_or(0.0, |reply| {
            let sum: f64 = reply.logprobs.iter().copied().map(f64::from).sum();
            (sum / reply.logprobs.len().max(1) as f64).exp()
        });
        let by_name = |name: &Name| cx.catalogue.id(name).and_then(|id| cx.catalogue.get(id));
        match (
            under_way.next.as_ref().and_then(by_name),
            by_name(&under_way.asked),
        ) {
            (Some(next), _) if confidence < self.threshold => Self::ask(CallId(1), next, None),
            (_, Some(served)) => {
                let reason = Reason::new("answered").with("confidence", confidence);
                let decision =
                    Decision::single(Pick::of(served, confidence), reason, Evidence::of("two step"));
                Step::Done(Decision {
                    answered: Some(answer.call),
                    ..decision
                })
            }
            _ => Step::Fail(NoRoute { excluded: Vec::new() }),
        }
    }
}

#[test]
fn a_cascade_of_two_models() {
    let catalogue = Catalogue::new([priced("small", 0.5, 0.1), priced("large", 0.9, 10.0)]).unwrap();
    let run = |small_is_sure: bool| {
        let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        let mut spent = Usd::ZERO;
        let script = |call: &Call| {
            let target = &catalogue.get(call.target).unwrap().profile;
            let cost = target
                .price
                .unwrap()
                .cost(TokenCount(1000), TokenCount(0), TokenCount(1000));
            spent = spent + cost;
            let logprob = if target.name == "large" || small_is_sure {
                -0.1
            } else {
                -2.0
            };
            let reply = Reply {
                text: "4".to_owned(),
                logprobs: vec![logprob; 4],
                ..Reply::default()
            };
            Answer {
                call: call.id,
                reply: Ok(reply),
                outcome: Outcome {
                    cost: Some(cost),
                    ..Outcome::default()
                },
            }
        };
        let cascade = TwoStep { threshold: 0.5 };
        let decision = drive(
            &cascade,
            &Query::text("2 + 2?"),
            &catalogue.ids(),
            &mut cx,
            script,
        )
        .unwrap();
        (decision, spent.get())
    };

    let (decision, spent) = run(true);
    assert_eq!(
        (decision.first().name.as_str(), decision.answered),
        ("small", Some(CallId(0)))
    );
    assert!((spent - 0.0002).abs() < 1e-12);

    let (decision, spent) = run(false);
    assert_eq!(
        (decision.first().name.as_str(), decision.answered),
        ("large", Some(CallId(1)))
    );
    assert_eq!(decision.reason.to_string(), "answered (confidence 0.9048)");
    assert!((spent - 0.0202).abs() < 1e-12);
}

// === 4. an expert gate: a weighted set, learned ===

/// A linear gate over a feature vector: the two experts of highest logit, weighed by the softmax of their logits. Learns from
/// how good the weighted answer was.
struct Gate {
    /// A row of weights an expert, by the expert's name, since names are what travels.
    rows: Mutex<Vec<(Name, Vec<f32>)>>,
}

impl Gate {
    const TOP: usize = 2;
    const RATE: f64 = 0.5;

    fn new(experts: &[&str], features: usize) -> Self {
        Self {
            rows: Mutex::new(
                experts
                    .iter()
                    .map(|e| (Name::from(*e), vec![0.0; features]))
                    .collect(),
            ),
        }
    }
}

impl Router<[f32]> for Gate {
    fn route(
        &self,
        features: &[f32],
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let rows = self.rows.lock().unwrap();
        let logit = |c: &Candidate| {
            let (_, row) = rows.iter().find(|(name, _)| *name == c.profile.name)?;
            Some(row.iter().zip(features).map(|(w, x)| f64::from(w * x)).sum())
        };
        let mut picks: Picks = cx
            .admitted(among)
            .filter_map(|c| Some(Pick::of(c, logit(c)?)))
            .collect();
        picks.sort_by(|a, b| b.score.total_cmp(&a.score));
        picks.truncate(Self::TOP);
        let sum: f64 = picks.iter().map(|p| p.score.exp()).sum();
        let picks = picks
            .into_iter()
            .map(|p| p.clone().weighing(p.score.exp() / sum))
            .collect();
        let evidence = Evidence::of("gate").with("features", Feature::Vector(features.to_vec()));
        let reason = Reason::new("softmax of the two highest logits");
        Decision::ranked(picks, reason, evidence).ok_or_else(|| cx.no_route(among))
    }
}

impl Learn for Gate {
    /// Each picked expert moves by its share of the surprise: a quality above one half strengthens it for such features.
    fn learn(&self, evidence: &Evidence, decision: &Decision, outcome: &Outcome) {
        let (Some(Feature::Vector(features)), Some(quality)) =
            (evidence.feature("features"), outcome.quality)
        else {
            return;
        };
        let mut rows = self.rows.lock().unwrap();
        for pick in &decision.picks {
            let step = (Self::RATE * (quality.get() - 0.5) * pick.weight) as f32;
            if let Some((_, row)) = rows.iter_mut().find(|(name, _)| *name == pick.name) {
                row.iter_mut().zip(features).for_each(|(w, x)| *w += step * x);
            }
        }
    }

    fn save(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(&*self.rows.lock().unwrap()).ok()
    }

    fn restore(&self, state: &[u8]) -> bool {
        serde_json::from_slice(state)
            .map(|rows| *self.rows.lock().unwrap() = rows)
            .is_ok()
    }
}

#[test]
fn an_expert_gate_that_learns() {
    let names = ["code", "maths", "prose", "law"];
    let catalogue = Catalogue::new(names.map(Profile::named)).unwrap();
    let gate = Arc::new(Gate::new(&names, 4));
    let mut learners = Learners::default();
    learners.register("gate", gate.clone());

    let (ids, limits, mut rng) = (catalogue.ids(), Limits::NONE, SmallRng::seed_from_u64(9));
    let mut world = SmallRng::seed_from_u64(10);
    let ledger = MemoryLedger::default();
    let axis = |i: usize| std::array::from_fn::<f32, 4, _>(|k| f32::from(u8::from(k == i)));
    for id in 1..=600 {
        // The i-th expert is right along the i-th axis. Two experts at random are in service, so that all get their turn.
        let right = world.random_range(0..4_usize);
        let mut on_duty = ids.clone();
        on_duty.remove(world.random_range(0..4));
        on_duty.remove(world.random_range(0..3));
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        let decision = gate.route(axis(right).as_slice(), &on_duty, &mut cx).unwrap();
        let share: f64 = decision
            .picks
            .iter()
            .filter(|p| p.name == names[right])
            .map(|p| p.weight)
            .sum();

        // Feedback comes later, through storage, and twice.
        let mut trace = Trace::new(TraceId(id), Timestamp::default());
        trace.push(None, Level::Expert, decision);
        let trace: Trace = serde_json::from_str(&serde_json::to_string(&trace).unwrap()).unwrap();
        let outcome = Outcome {
            quality: Some(Quality::clamped(share)),
            ..Outcome::default()
        };
        assert_eq!(
            learners.deliver(&trace, Stage::Feedback, &outcome, &ledger),
            Delivered::To(1)
        );
        assert_eq!(
            learners.deliver(&trace, Stage::Feedback, &outcome, &ledger),
            Delivered::Before
        );
    }

    let again = Gate::new(&[], 0);
    assert!(again.restore(&gate.save().unwrap()));
    for (right, name) in names.into_iter().enumerate() {
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        let decision = again.route(axis(right).as_slice(), &ids, &mut cx).unwrap();
        assert_eq!(decision.first().name, name);
        assert_eq!(decision.picks.len(), 2);
        assert!((decision.picks.iter().map(|p| p.weight).sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(decision.first().weight > 0.7, "{}", decision.first().weight);
    }
}
