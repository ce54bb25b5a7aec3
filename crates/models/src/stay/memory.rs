//! What is remembered of conversations: who answered last, how often they changed, who failed in them.
//!
//! A bounded map in shards, each behind a lock that is held for one look-up; whoever is idle goes first, then who was heard of
//! longest ago. Only hashes of what names a conversation are kept.

use std::{
    hash::{DefaultHasher, Hasher},
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fingerpost_core::{Learn, Name, Timestamp};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// Shards of the map.
const SHARDS: usize = 16;
/// Most models of one conversation whose failures are counted.
const MOST_FAILING: usize = 8;
/// Version of the saved state.
const VERSION: u32 = 1;

/// What a conversation is remembered under: a hash of what names it and of who asks, so that nobody meets another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionKey(u128);

/// What is remembered of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The model that answered last.
    pub model: Option<Name>,
    /// The decision under which it answered.
    pub decision: Option<Name>,
    /// Answers in a row of that model.
    pub turns: u32,
    /// How often the model changed.
    pub switches: u32,
    /// When it was last heard of.
    pub last: Timestamp,
    /// Failures in a row, of each model that failed.
    #[serde(default, skip_serializing_if = "SmallVec::is_empty")]
    pub failures: SmallVec<[(Name, u32); 1]>,
}

/// The conversations of one process.
#[derive(Debug)]
pub struct Sessions {
    shards: [Mutex<FxHashMap<u128, Session>>; SHARDS],
    /// Most that a shard keeps.
    most: usize,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    sessions: Vec<(String, Session)>,
}

// === impl SessionKey ===

impl SessionKey {
    /// The key of a conversation that is named so, of this user.
    pub fn of(session: &str, user: Option<&str>) -> Self {
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u8(salt);
            hasher.write_u8(u8::from(user.is_some()));
            let user = user.unwrap_or_default();
            hasher.write_usize(user.len());
            hasher.write(user.as_bytes());
            hasher.write(session.as_bytes());
            u128::from(hasher.finish())
        };
        Self(half(1) << 64 | half(2))
    }
}

// === impl Session ===

impl Session {
    /// A model has answered under this decision.
    pub fn answered(&mut self, model: &Name, decision: &Name, now: Timestamp) {
        if self.model.as_ref() == Some(model) {
            self.turns = self.turns.saturating_add(1);
        } else {
            self.switches = self.switches.saturating_add(u32::from(self.model.is_some()));
            self.model = Some(model.clone());
            self.turns = 1;
        }
        if self.decision.as_ref() != Some(decision) {
            self.decision = Some(decision.clone());
        }
        self.last = self.last.max(now);
    }

    /// A call of the model came to nothing.
    pub fn failed(&mut self, model: &Name, now: Timestamp) {
        self.last = self.last.max(now);
        match self.failures.iter().position(|(name, _)| name == model) {
            Some(at) => self.failures[at].1 = self.failures[at].1.saturating_add(1),
            None if self.failures.len() < MOST_FAILING => self.failures.push((model.clone(), 1)),
            None => {}
        }
    }

    /// A call of the model came to its end: its failures before are forgotten.
    pub fn succeeded(&mut self, model: &Name) {
        self.failures.retain(|(name, _)| name != model);
    }

    /// Failures in a row of this model.
    pub fn failures_of(&self, model: &str) -> u32 {
        let found = self.failures.iter().find(|(name, _)| name == model);
        found.map_or(0, |(_, count)| *count)
    }

    /// Whether nothing was heard of it for longer than `after`.
    pub fn is_idle(&self, now: Timestamp, after: Duration) -> bool {
        now.since(self.last) > after
    }
}

// === impl Sessions ===

impl Sessions {
    /// Remembers up to about so many conversations.
    pub fn new(most: NonZeroUsize) -> Self {
        Self {
            shards: Default::default(),
            most: most.get().div_ceil(SHARDS),
        }
    }

    /// What is remembered of a conversation.
    pub fn of(&self, key: SessionKey) -> Option<Session> {
        self.shard(key.0).get(&key.0).cloned()
    }

    /// Changes what is remembered of a conversation, which may be new. One idle for longer than `idle` begins anew; where there
    /// are too many, those idle for so long are forgotten first.
    pub fn note(&self, key: SessionKey, now: Timestamp, idle: Duration, change: impl FnOnce(&mut Session)) {
        let mut shard = self.shard(key.0);
        if shard.len() >= self.most && !shard.contains_key(&key.0) {
            make_room(&mut shard, self.most, now, idle);
        }
        let session = shard.entry(key.0).or_default();
        if session.is_idle(now, idle) {
            *session = Session::default();
        }
        change(session);
    }

    /// How many conversations are remembered.
    pub fn len(&self) -> usize {
        (0..SHARDS as u128).map(|i| self.shard(i).len()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: u128) -> MutexGuard<'_, FxHashMap<u128, Session>> {
        let index = (key % SHARDS as u128) as usize;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets whoever is idle, and the older half of the others where that is not enough: in one pass for many newcomers.
fn make_room(shard: &mut FxHashMap<u128, Session>, most: usize, now: Timestamp, idle: Duration) {
    shard.retain(|_, session| !session.is_idle(now, idle));
    if shard.len() < most {
        return;
    }
    let mut heard: Vec<Timestamp> = shard.values().map(|s| s.last).collect();
    let middle = heard.len() / 2;
    let (_, bound, _) = heard.select_nth_unstable(middle);
    let bound = *bound;
    let mut surplus = middle + 1;
    shard.retain(|_, session| {
        let goes = session.last <= bound && surplus > 0;
        surplus -= usize::from(goes);
        !goes
    });
}

/// Saved and taken up as what routers have learned is; nothing is learned from outcomes, whoever runs the calls notes them.
impl Learn for Sessions {
    fn save(&self) -> Option<Vec<u8>> {
        let mut sessions = Vec::new();
        for i in 0..SHARDS as u128 {
            let shard = self.shard(i);
            sessions.extend(shard.iter().map(|(key, s)| (format!("{key:032x}"), s.clone())));
        }
        serde_json::to_vec(&Saved {
            version: VERSION,
            sessions,
        })
        .ok()
    }

    /// Of a conversation that is remembered already, what was heard last counts.
    fn restore(&self, state: &[u8]) -> bool {
        let Ok(Saved {
            version: VERSION,
            sessions,
        }) = serde_json::from_slice(state)
        else {
            return false;
        };
        for (key, session) in sessions {
            let Ok(key) = u128::from_str_radix(&key, 16) else {
                continue;
            };
            let mut shard = self.shard(key);
            let is_full = shard.len() >= self.most;
            match shard.get_mut(&key) {
                Some(known) if known.last < session.last => *known = session,
                None if !is_full => drop(shard.insert(key, session)),
                _ => {}
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(300);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn sessions(most: usize) -> Sessions {
        Sessions::new(NonZeroUsize::new(most).unwrap())
    }

    #[test]
    fn turns_and_switches_are_counted() {
        let mut session = Session::default();
        let (a, b, d): (Name, Name, Name) = ("a".into(), "b".into(), "d".into());
        session.answered(&a, &d, at(1));
        assert_eq!((session.turns, session.switches), (1, 0));
        session.answered(&a, &d, at(2));
        assert_eq!((session.turns, session.switches), (2, 0));
        session.answered(&b, &d, at(3));
        assert_eq!((session.turns, session.switches, session.last), (1, 1, at(3)));
        session.failed(&b, at(4));
        session.failed(&b, at(5));
        session.failed(&a, at(5));
        assert_eq!((session.failures_of("b"), session.failures_of("a")), (2, 1));
        session.succeeded(&b);
        assert_eq!((session.failures_of("b"), session.failures_of("a")), (0, 1));
    }

    #[test]
    fn conversations_and_users_are_kept_apart() {
        let key = SessionKey::of;
        assert_eq!(key("1", None), key("1", None));
        let all = [
            key("1", None),
            key("2", None),
            key("1", Some("")),
            key("1", Some("x")),
            key("", Some("x1")),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(!all[i + 1..].contains(one), "{i}");
        }
    }

    #[test]
    fn after_the_idle_time_a_conversation_begins_anew() {
        let sessions = sessions(10);
        let (key, a, d) = (SessionKey::of("1", None), Name::from("a"), Name::from("d"));
        for (time, turns) in [(10, 1), (310, 2), (611, 1)] {
            sessions.note(key, at(time), IDLE, |s| s.answered(&a, &d, at(time)));
            assert_eq!(sessions.of(key).unwrap().turns, turns, "{time}");
        }
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for_and_the_newest_stay() {
        let sessions = sessions(160);
        let (a, d) = (Name::from("a"), Name::from("d"));
        for i in 0..5000_u64 {
            let key = SessionKey::of(&i.to_string(), None);
            sessions.note(key, at(i), Duration::from_secs(1 << 40), |s| {
                s.answered(&a, &d, at(i));
            });
            assert!(sessions.of(key).is_some());
            assert!(sessions.len() <= 160);
        }
        let newest = (4990..5000_u64).filter(|i| sessions.of(SessionKey::of(&i.to_string(), None)).is_some());
        assert!(newest.count() >= 9);
        // Whoever is idle goes before whoever is not.
        for i in 0..200_u64 {
            let key = SessionKey::of(&format!("late {i}"), None);
            sessions.note(key, at(9000), IDLE, |s| s.answered(&a, &d, at(9000)));
        }
        assert!(sessions.of(SessionKey::of("4999", None)).is_none());
    }

    #[test]
    fn what_is_remembered_outlives_a_restart_and_the_newer_counts() {
        let before = sessions(100);
        let (a, b, d) = (Name::from("a"), Name::from("b"), Name::from("d"));
        let (one, two) = (SessionKey::of("1", None), SessionKey::of("2", None));
        before.note(one, at(5), IDLE, |s| s.answered(&a, &d, at(5)));
        before.note(two, at(5), IDLE, |s| s.answered(&a, &d, at(5)));
        let after = sessions(100);
        after.note(two, at(9), IDLE, |s| s.answered(&b, &d, at(9)));
        assert!(after.restore(&before.save().unwrap()) && !after.restore(b"{}"));
        assert_eq!(after.of(one), before.of(one));
        assert_eq!(after.of(two).unwrap().model, Some(b));
    }
}
