//! Feedback through a stored trace reaches every router on it, once, also after a restart.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use fingerpost_core::{
    CandidateId, Catalogue, Context, Decision, Delivered, Evidence, Feature, Learn, Learners, Level, Limits,
    NoRoute, Outcome, Pick, Profile, Quality, Reason, Router, Stage, Timestamp, Trace, TraceId,
};
use fingerpost_store::{Embedded, Store, StoreConfig, TraceRecord};
use rand::{SeedableRng, rngs::SmallRng};

/// Takes the candidate with the best mean quality so far, and counts what it was told.
struct Mean {
    name: &'static str,
    told: Mutex<Vec<(String, f64)>>,
}

impl Mean {
    fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            told: Mutex::default(),
        })
    }

    fn mean(&self, of: &str) -> f64 {
        let told = self.told.lock().unwrap();
        let all: Vec<f64> = told
            .iter()
            .filter(|(name, _)| name == of)
            .map(|(_, q)| *q)
            .collect();
        all.iter().sum::<f64>() / all.len().max(1) as f64
    }

    fn told(&self) -> usize {
        self.told.lock().unwrap().len()
    }
}

impl Learn for Mean {
    fn learn(&self, evidence: &Evidence, decision: &Decision, outcome: &Outcome) {
        assert_eq!(
            evidence.feature("seen"),
            Some(&Feature::Number(0.5)),
            "the evidence travelled"
        );
        if let Some(quality) = outcome.quality {
            self.told
                .lock()
                .unwrap()
                .push((decision.first().name.to_string(), quality.get()));
        }
    }

    fn save(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(&*self.told.lock().unwrap()).ok()
    }

    fn restore(&self, state: &[u8]) -> bool {
        serde_json::from_slice(state)
            .map(|told| *self.told.lock().unwrap() = told)
            .is_ok()
    }
}

impl Router<str> for Mean {
    fn route(&self, _: &str, among: &[CandidateId], cx: &mut Context<'_>) -> Result<Decision, NoRoute> {
        let mut best: Option<Pick> = None;
        for candidate in cx.admitted(among) {
            let score = self.mean(&candidate.profile.name);
            if best.as_ref().is_none_or(|b| score > b.score) {
                best = Some(Pick::of(candidate, score));
            }
        }
        let pick = best.ok_or_else(|| cx.no_route(among))?;
        let evidence = Evidence::of(self.name).with("seen", Feature::Number(0.5));
        Ok(Decision::single(pick, Reason::new("best mean so far"), evidence))
    }
}

/// One process: a store and two levels of routers that take up what they knew.
struct Process {
    store: Embedded,
    model: Arc<Mean>,
    fleet: Arc<Mean>,
    learners: Learners,
}

impl Process {
    fn start(folder: &Path) -> Self {
        let store = Embedded::open(folder, &StoreConfig::default()).unwrap();
        let (model, fleet) = (Mean::new("by mean quality"), Mean::new("instances"));
        let mut learners = Learners::default();
        assert!(learners.register("by mean quality", model.clone()));
        assert!(learners.register("instances", fleet.clone()));
        store.restore_learned(&learners).unwrap();
        Self {
            store,
            model,
            fleet,
            learners,
        }
    }

    fn serve(&self, id: u128) -> Trace {
        let models = Catalogue::new([Profile::named("small"), Profile::named("large")]).unwrap();
        let instances = Catalogue::new([Profile::named("a"), Profile::named("b")]).unwrap();
        let (limits, mut rng) = (Limits::default(), SmallRng::seed_from_u64(1));
        let at = Timestamp::from_millis(1);
        let mut trace = Trace::new(TraceId(id), at);
        let mut cx = Context::new(&models, &limits, at, &mut rng);
        let decision = self.model.route("hi", &models.ids(), &mut cx).unwrap();
        let top = trace.push(None, Level::Model, decision);
        let mut cx = Context::new(&instances, &limits, at, &mut rng);
        let decision = self.fleet.route("hi", &instances.ids(), &mut cx).unwrap();
        trace.push(Some(top), Level::Fleet, decision);
        trace
    }

    fn feedback(&self, id: u128, quality: f64) -> Delivered {
        let record = self.store.trace(TraceId(id)).unwrap().unwrap();
        let outcome = Outcome {
            quality: Some(Quality::new(quality).unwrap()),
            ..Outcome::default()
        };
        self.store
            .teach(&record.trace, Stage::Feedback, &outcome, &self.learners)
            .unwrap()
    }

    fn told(&self) -> (usize, usize) {
        (self.model.told(), self.fleet.told())
    }
}

#[test]
fn feedback_reaches_every_router_once_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();

    let first = Process::start(folder.path());
    for id in [1, 2] {
        assert!(first.store.put_trace(TraceRecord {
            trace: first.serve(id),
            outcome: None
        }));
    }
    assert_eq!(
        first.feedback(1, 0.25),
        Delivered::To(2),
        "one of two before the restart"
    );
    assert_eq!(first.told(), (1, 1));
    assert_eq!(first.store.save_learned(&first.learners).unwrap(), 2);
    drop(first);

    let second = Process::start(folder.path());
    assert_eq!(second.told(), (1, 1), "what was learned is taken up");
    assert_eq!(
        second.feedback(1, 0.25),
        Delivered::Before,
        "told before the restart"
    );
    assert_eq!(
        second.feedback(2, 0.75),
        Delivered::To(2),
        "the trace is from before the restart"
    );
    assert_eq!(second.feedback(2, 0.75), Delivered::Before);
    assert_eq!(second.told(), (2, 2));
    assert!((second.model.mean("small") - 0.5).abs() < 1e-12);
    assert!((second.fleet.mean("a") - 0.5).abs() < 1e-12);
    second.store.save_learned(&second.learners).unwrap();
    drop(second);

    let third = Process::start(folder.path());
    assert_eq!(third.feedback(1, 1.0), Delivered::Before);
    assert_eq!(third.feedback(2, 1.0), Delivered::Before);
    assert_eq!(third.told(), (2, 2));
}
