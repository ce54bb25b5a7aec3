//! What this replica has learned, and from which outcomes.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use fingerpost_core::{Learners, Name, Outcome, Stage, Trace, TraceId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The state of learning. Whoever lets routers learn, or takes down what they know, holds its lock for that long, so that the
/// two never come apart.
#[derive(Default)]
pub(super) struct Progress {
    /// The routers; `None` until they are given.
    pub(super) learners: Option<Learners>,
    /// Whether the server has been asked for what was learned before. Nothing is learned until then.
    pub(super) restored: bool,
    /// Up to where the log has been read.
    pub(super) place: Place,
    /// Of each origin the last run that was learned from, and when it was heard of.
    pub(super) origins: HashMap<Arc<str>, Heard>,
    /// Traces whose feedback was learned from.
    pub(super) feedback: Recent,
    /// Traces of this replica whose run was handed over.
    pub(super) runs: Recent,
    /// The number of this replica's last run.
    pub(super) number: u64,
    /// Something was learned since it was last taken down.
    pub(super) changed: bool,
    /// When the end of the log was last seen.
    pub(super) caught_up: Option<Instant>,
    pub(super) learned: u64,
    pub(super) missed: u64,
}

/// A place in the log. The server numbers entries by milliseconds since 1970, and within one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place(pub(super) u64, pub(super) u64);

/// How far an origin has been listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Heard {
    pub(super) number: u64,
    /// The place of the entry that was last heard, to forget the longest silent.
    pub(super) place: Place,
}

/// The most recent of many ids.
#[derive(Debug, Default)]
pub(super) struct Recent {
    ids: HashSet<TraceId>,
    by_age: VecDeque<TraceId>,
}

/// One outcome, as it stands in the log.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told<'a> {
    pub(super) trace: std::borrow::Cow<'a, Trace>,
    pub(super) stage: Stage,
    pub(super) outcome: std::borrow::Cow<'a, Outcome>,
}

/// An entry of the log.
pub(super) struct Entry {
    pub(super) place: Place,
    /// Of a run: origin and number.
    pub(super) from: Option<(Arc<str>, u64)>,
    pub(super) told: Vec<u8>,
}

/// What was learned, and from what: enough to go on from.
#[derive(Debug)]
pub(super) struct Learned {
    /// Names the set of routers.
    pub(super) group: String,
    pub(super) done: Done,
    pub(super) states: Vec<(Name, Vec<u8>)>,
}

/// Which outcomes are in a state.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) place: Place,
    pub(super) origins: HashMap<Arc<str>, Heard>,
}

/// Most origins that are remembered. Each start of a replica is one; those of the longest silence are forgotten, whose
/// entries the log has long lost.
const ORIGINS: usize = 1024;

// === impl Progress ===

impl Progress {
    /// Learns from an entry of the log, unless that was done. `most` bounds the ids that are remembered.
    pub(super) fn read(&mut self, entry: &Entry, own: &str, most: usize) {
        self.place = self.place.max(entry.place);
        let Some(learners) = &self.learners else { return };
        let told: Told<'_> = match serde_json::from_slice(&entry.told) {
            Ok(told) => told,
            Err(error) => {
                // Of a later version, say: it cannot be learned from here, but must not be in the way.
                tracing::warn!(%error, "an outcome in the log cannot be read");
                self.missed += 1;
                return;
            }
        };
        match &entry.from {
            Some((origin, number)) => {
                let before = self.origins.get(origin).map(|heard| heard.number);
                if before.is_some_and(|before| *number <= before) {
                    return;
                }
                self.missed += before.map_or(0, |before| number - before - 1);
                let heard = Heard {
                    number: *number,
                    place: entry.place,
                };
                self.origins.insert(Arc::clone(origin), heard);
                self.learned += u64::from(&**origin != own);
            }
            None => {
                if !self.feedback.add(told.trace.id, most) {
                    return;
                }
                self.learned += 1;
            }
        }
        learners.tell(&told.trace, told.stage, &told.outcome);
        self.changed = true;
        if self.origins.len() > ORIGINS {
            let longest = self.origins.iter().min_by_key(|(_, heard)| heard.place);
            if let Some(origin) = longest.map(|(origin, _)| Arc::clone(origin)) {
                self.origins.remove(&origin);
            }
        }
    }

    /// Takes down what the routers know; `None` where nothing was learned since the last time.
    pub(super) fn take_down(&mut self) -> Option<Learned> {
        let learners = self.learners.as_ref().filter(|_| self.restored && self.changed)?;
        let states = learners
            .iter()
            .filter_map(|(name, router)| Some((name.clone(), router.save()?)));
        let learned = Learned {
            group: group(learners),
            done: Done {
                place: self.place,
                origins: self.origins.clone(),
            },
            states: states.collect(),
        };
        self.changed = false;
        Some(learned)
    }

    /// Takes up what was learned before. Returns how many routers understood their state.
    pub(super) fn take_up(&mut self, learners: &Learners, learned: Option<Learned>) -> usize {
        self.restored = true;
        let Some(learned) = learned else { return 0 };
        (self.place, self.origins) = (learned.done.place, learned.done.origins);
        let states: HashMap<&str, &[u8]> = learned
            .states
            .iter()
            .map(|(n, s)| (n.as_str(), s.as_slice()))
            .collect();
        let understood = |(name, router): (&Name, &Arc<dyn fingerpost_core::Learn>)| {
            states
                .get(name.as_str())
                .is_some_and(|state| router.restore(state))
        };
        learners
            .iter()
            .map(understood)
            .filter(|understood| *understood)
            .count()
    }

    /// How long ago the end of the log was seen.
    pub(super) fn behind(&self) -> Option<Duration> {
        self.caught_up.map(|at| at.elapsed())
    }
}

/// A name for a set of routers, so that replicas with other routers do not overwrite what these have learned.
pub(super) fn group(learners: &Learners) -> String {
    let mut names: Vec<&str> = learners.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let digest = Sha256::digest(names.join("\n"));
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

// === impl Recent ===

impl Recent {
    /// Adds an id; false where it is there already.
    pub(super) fn add(&mut self, id: TraceId, most: usize) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.by_age.push_back(id);
        while self.by_age.len() > most.max(1) {
            if let Some(oldest) = self.by_age.pop_front() {
                self.ids.remove(&oldest);
            }
        }
        true
    }

    pub(super) fn has(&self, id: TraceId) -> bool {
        self.ids.contains(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = TraceId> {
        self.by_age.iter().copied()
    }
}

// === impl Place ===

impl Place {
    /// As the server writes it; `None` where it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (ms, within) = text.split_once('-')?;
        Some(Self(ms.parse().ok()?, within.parse().ok()?))
    }

    /// So that texts compare as the places do.
    pub(super) fn padded(self) -> String {
        format!("{:020}-{:020}", self.0, self.1)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fingerpost_core::{
        CandidateId, Catalogue, Decision, Evidence, Learn, Level, Pick, Profile, Reason, Timestamp,
    };
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Learn for Count {
        fn learn(&self, _: &Evidence, _: &Decision, _: &Outcome) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn entry(id: u128, place: u64, from: Option<(&str, u64)>) -> Entry {
        let catalogue = Catalogue::new([Profile::named("m")]).unwrap();
        let mut trace = Trace::new(TraceId(id), Timestamp::from_millis(1));
        let pick = Pick::of(catalogue.get(CandidateId(0)).unwrap(), 1.0);
        trace.push(
            None,
            Level::Model,
            Decision::single(pick, Reason::new("why"), Evidence::of("r")),
        );
        let stage = if from.is_some() {
            Stage::Run
        } else {
            Stage::Feedback
        };
        let told = Told {
            trace: std::borrow::Cow::Owned(trace),
            stage,
            outcome: std::borrow::Cow::Owned(Outcome::default()),
        };
        Entry {
            place: Place(place, 0),
            from: from.map(|(origin, number)| (origin.into(), number)),
            told: serde_json::to_vec(&told).unwrap(),
        }
    }

    #[test]
    fn each_outcome_is_learned_once_however_often_it_is_read() {
        let count = Arc::new(Count::default());
        let mut learners = Learners::default();
        learners.register("r", count.clone());
        let mut progress = Progress {
            learners: Some(learners),
            restored: true,
            ..Progress::default()
        };
        for (e, learned, missed) in [
            (entry(1, 1, Some(("a", 1))), 1, 0),
            (entry(1, 2, Some(("a", 1))), 1, 0),
            (entry(2, 3, Some(("b", 7))), 2, 0),
            (entry(3, 4, Some(("a", 4))), 3, 2),
            (entry(4, 5, Some(("a", 3))), 3, 2),
            (entry(1, 6, None), 4, 2),
            (entry(1, 7, None), 4, 2),
        ] {
            progress.read(&e, "own", 10);
            assert_eq!(count.0.load(Ordering::Relaxed), learned);
            assert_eq!((progress.learned, progress.missed), (learned as u64, missed));
        }
        let unreadable = Entry {
            told: b"{}".to_vec(),
            ..entry(9, 8, None)
        };
        progress.read(&unreadable, "own", 10);
        assert_eq!((progress.place, progress.missed), (Place(8, 0), 3));
    }

    #[test]
    fn places_compare_as_their_padded_texts_do() {
        let places = ["1-1", "1-10", "2-0", "10-0"].map(|p| Place::parse(p).unwrap());
        assert!(places.is_sorted() && places.map(Place::padded).is_sorted());
        assert_eq!(places[1].to_string(), "1-10");
        assert_eq!(Place::parse("-"), None);
    }

    #[test]
    fn the_oldest_of_the_recent_are_forgotten() {
        let mut recent = Recent::default();
        assert!([1, 2, 3].into_iter().all(|id| recent.add(TraceId(id), 2)));
        assert_eq!([1, 2, 3].map(|id| recent.has(TraceId(id))), [false, true, true]);
        assert!(!recent.add(TraceId(3), 2));
    }
}
