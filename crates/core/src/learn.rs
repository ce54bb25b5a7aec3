//! Learning: one outcome of a trace reaches every router on it, once.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{Decision, Evidence, Name, Outcome, Trace, TraceId};

/// What the outcome of a decision teaches. The default learns nothing, which is right for rules.
///
/// `learn` runs off the hot path and may take its time; it must not make [`crate::Router::route`] wait: write aside, then
/// swap a snapshot in.
pub trait Learn: Send + Sync {
    /// Learns from the outcome of one of its own decisions. `evidence` is `decision.evidence`.
    fn learn(&self, _evidence: &Evidence, _decision: &Decision, _outcome: &Outcome) {}

    /// What was learned, to be kept over a restart; `None` where there is nothing to keep.
    fn save(&self) -> Option<Vec<u8>> {
        None
    }

    /// Takes up what an earlier [`Learn::save`] gave. Returns whether it was understood; state of another version is left
    /// alone.
    fn restore(&self, _state: &[u8]) -> bool {
        false
    }
}

/// Which of a trace's outcomes it is. Each is delivered once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// What the run itself showed: cost, latency, tokens, success or failure.
    Run,
    /// What somebody said of the answer later.
    Feedback,
}

/// Remembers which outcomes have been delivered, over restarts where it is kept in a store.
pub trait Ledger: Send + Sync {
    /// Claims the delivery of this trace's outcome: true for the first caller only, whatever happens afterwards.
    fn claim(&self, trace: TraceId, stage: Stage) -> bool;
}

/// A ledger that forgets at the end of the process.
#[derive(Debug, Default)]
pub struct MemoryLedger(Mutex<HashSet<(TraceId, Stage)>>);

/// The routers that can learn, by the name that their evidence carries.
#[derive(Default, Clone)]
pub struct Learners {
    by_name: HashMap<Name, Arc<dyn Learn>>,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// The outcome was handed to this many routers; decisions of routers that no longer exist are passed over.
    To(usize),
    /// It had been delivered before; nobody was told again.
    Before,
}

// === impl MemoryLedger ===

impl Ledger for MemoryLedger {
    fn claim(&self, trace: TraceId, stage: Stage) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((trace, stage))
    }
}

// === impl Learners ===

impl Learners {
    /// Registers a router under the name that its evidence carries; returns whether the name was free.
    pub fn register(&mut self, name: impl Into<Name>, router: Arc<dyn Learn>) -> bool {
        self.by_name.insert(name.into(), router).is_none()
    }

    /// Hands `outcome` to every router on the trace, each of its decisions once, unless `ledger` says that this was done. A
    /// decision with an outcome of its own ([`Trace::ended`]) is told that one, and no feedback where it failed.
    pub fn deliver(&self, trace: &Trace, stage: Stage, outcome: &Outcome, ledger: &dyn Ledger) -> Delivered {
        if !ledger.claim(trace.id, stage) {
            return Delivered::Before;
        }
        Delivered::To(self.tell(trace, stage, outcome))
    }

    /// What [`deliver`](Self::deliver) does where no ledger is asked, for those who have claimed the delivery in another way.
    /// Returns how many routers were told.
    pub fn tell(&self, trace: &Trace, stage: Stage, outcome: &Outcome) -> usize {
        let mut told = 0;
        for (router, decision, outcome) in self.listeners(trace, stage, outcome) {
            router.learn(&decision.evidence, decision, outcome);
            told += 1;
        }
        told
    }

    /// How many routers [`tell`](Self::tell) would tell.
    pub fn audience(&self, trace: &Trace, stage: Stage, outcome: &Outcome) -> usize {
        self.listeners(trace, stage, outcome).count()
    }

    fn listeners<'a>(
        &'a self,
        trace: &'a Trace,
        stage: Stage,
        outcome: &'a Outcome,
    ) -> impl Iterator<Item = (&'a dyn Learn, &'a Decision, &'a Outcome)> {
        trace.hops.iter().filter_map(move |hop| {
            let outcome = match (&hop.outcome, stage) {
                (None, _) => outcome,
                (Some(own), Stage::Run) => own,
                (Some(own), Stage::Feedback) if own.is_success() => outcome,
                (Some(_), Stage::Feedback) => return None,
            };
            let router = self.by_name.get(&hop.decision.evidence.router)?;
            Some((&**router, &hop.decision, outcome))
        })
    }

    /// Every router with its name, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Arc<dyn Learn>)> {
        self.by_name.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CandidateId, Catalogue, Failure, Level, Pick, Profile, Reason, Timestamp};

    /// Writes down what it is told.
    #[derive(Default)]
    struct Told(Mutex<Vec<(String, Outcome)>>);

    impl Learn for Told {
        fn learn(&self, _: &Evidence, decision: &Decision, outcome: &Outcome) {
            let name = decision.first().name.to_string();
            self.0.lock().unwrap().push((name, outcome.clone()));
        }
    }

    #[test]
    fn a_pick_that_failed_is_told_of_its_own_failure_and_of_no_feedback() {
        let catalogue = Catalogue::new([Profile::named("a"), Profile::named("b")]).unwrap();
        let mut trace = Trace::new(TraceId(1), Timestamp::default());
        let decide = |id| {
            let pick = Pick::of(catalogue.get(CandidateId(id)).unwrap(), 1.0);
            Decision::single(pick, Reason::new("test"), Evidence::of("r"))
        };
        let first = trace.push(None, Level::Model, decide(0));
        trace.push(None, Level::Model, decide(1));
        let failed = Outcome {
            failure: Some(Failure::RateLimited),
            ..Outcome::default()
        };
        trace.ended(first, failed.clone());

        let (told, ledger) = (Arc::new(Told::default()), MemoryLedger::default());
        let mut learners = Learners::default();
        learners.register("r", told.clone());
        let run = Outcome {
            tokens_out: Some(crate::TokenCount(7)),
            ..Outcome::default()
        };
        assert_eq!(
            learners.deliver(&trace, Stage::Run, &run, &ledger),
            Delivered::To(2)
        );
        let feedback = Outcome {
            quality: Some(crate::Quality::new(1.0).unwrap()),
            ..Outcome::default()
        };
        assert_eq!(
            learners.deliver(&trace, Stage::Feedback, &feedback, &ledger),
            Delivered::To(1)
        );
        assert_eq!(
            learners.deliver(&trace, Stage::Feedback, &feedback, &ledger),
            Delivered::Before
        );
        let expected = [("a", failed), ("b", run), ("b", feedback)].map(|(n, o)| (n.to_owned(), o));
        assert_eq!(*told.0.lock().unwrap(), expected);
    }
}
