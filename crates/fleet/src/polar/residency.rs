//! Which adapters are loaded: those that the controller keeps, or a guest in place of one; which are on their way; which failed.

use std::time::Duration;

use fingerpost_core::{Name, Timestamp};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::config::PolarConfig;

/// What whoever runs the router has to do with an adapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheAction {
    /// Load it; then say how it went ([`super::Polar::loaded`], [`super::Polar::load_failed`]).
    Load(Name),
    /// Unload it. Comes before the load that needs its place.
    Unload(Name),
}

/// Which adapters are loaded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Residency {
    /// What the controller wants, the most worth first.
    kept: Vec<Name>,
    /// What a request needed beside them. It has the place of the last of them.
    guest: Option<Name>,
    known: FxHashMap<Name, Standing>,
}

/// Where an adapter stands.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    /// Loaded, or on its way: either way its load is paid for.
    paid: bool,
    /// Loads that failed in a row.
    failures: u32,
    /// Not to be tried before.
    until: Timestamp,
    /// Running mean of its loads.
    took: Option<Duration>,
}

// === impl Residency ===

impl Residency {
    /// These are wanted, and nothing is loaded.
    pub(crate) fn wanting(kept: Vec<Name>) -> Self {
        Self {
            kept,
            ..Self::default()
        }
    }

    pub(crate) fn kept(&self) -> &[Name] {
        &self.kept
    }

    /// Kept ones first, then the guest.
    pub(crate) fn resident(&self) -> impl Iterator<Item = &Name> {
        let all = self.kept.iter().chain(&self.guest);
        all.filter(|name| self.is_resident(name))
    }

    /// Whether it is loaded or on its way.
    pub(crate) fn is_resident(&self, name: &str) -> bool {
        self.known.get(name).is_some_and(|s| s.paid)
    }

    /// Whether its last load failed and its back-off is not over.
    pub(crate) fn is_barred(&self, name: &str, now: Timestamp) -> bool {
        self.known.get(name).is_some_and(|s| now < s.until)
    }

    /// How long a load of it lasts, as seen, else as expected.
    pub(crate) fn load_time(&self, name: &str, config: &PolarConfig) -> Duration {
        let seen = self.known.get(name).and_then(|s| s.took);
        seen.unwrap_or(config.page_in.expected)
    }

    /// Makes room for an adapter that a request needs: among the kept ones while there are too few, else in place of the guest before it,
    /// else in place of the kept one that is worth least.
    pub(crate) fn page_in(&mut self, name: &Name, config: &PolarConfig) -> Vec<CacheAction> {
        if self.is_resident(name) {
            return Vec::new();
        }
        let mut actions = Vec::new();
        if self.kept.len() < config.slots && !self.kept.contains(name) {
            self.kept.push(name.clone());
        } else if self.kept.last() == Some(name) {
            // It comes back to its own place.
            let guest = self.guest.take();
            actions.extend(guest.and_then(|guest| self.unload(guest)));
        } else if !self.kept.contains(name) {
            let victim = self
                .guest
                .replace(name.clone())
                .or_else(|| self.kept.last().cloned());
            actions.extend(victim.and_then(|victim| self.unload(victim)));
        }
        actions.push(self.load(name));
        actions
    }

    /// Keeps these and no others, the most worth first. A guest stays only if it is among them.
    pub(crate) fn keep(&mut self, set: Vec<Name>, now: Timestamp) -> Vec<CacheAction> {
        let mut dropped = std::mem::replace(&mut self.kept, set);
        dropped.extend(self.guest.take());
        let mut actions = Vec::new();
        for name in dropped {
            if !self.kept.contains(&name) {
                actions.extend(self.unload(name));
            }
        }
        actions.extend(self.load_missing(now));
        actions
    }

    /// Whether something is kept and not there, and may be loaded.
    pub(crate) fn lacks_some(&self, now: Timestamp) -> bool {
        self.missing(now).next().is_some()
    }

    /// Loads of what is kept and not there, but for what is barred and the place that a guest has.
    pub(crate) fn load_missing(&mut self, now: Timestamp) -> Vec<CacheAction> {
        let missing: Vec<Name> = self.missing(now).cloned().collect();
        missing.iter().map(|name| self.load(name)).collect()
    }

    fn missing(&self, now: Timestamp) -> impl Iterator<Item = &Name> {
        let places = self.kept.len() - usize::from(self.guest.is_some() && !self.kept.is_empty());
        let own = &self.kept[..places];
        own.iter()
            .filter(move |name| !self.is_resident(name) && !self.is_barred(name, now))
    }

    pub(crate) fn loaded(&mut self, name: &Name, took: Duration, config: &PolarConfig) {
        let standing = self.known.entry(name.clone()).or_default();
        standing.failures = 0;
        let newest = config.page_in.newest;
        if newest > 0.0 {
            let mean = |before: Duration| before.mul_f64(1.0 - newest) + took.mul_f64(newest);
            standing.took = Some(standing.took.map_or(took, mean));
        }
    }

    /// It is not there: evicted, and barred for a time that doubles with every failure in a row. The controller may still want it.
    pub(crate) fn load_failed(&mut self, name: &Name, now: Timestamp, config: &PolarConfig) {
        let standing = self.known.entry(name.clone()).or_default();
        standing.paid = false;
        let doubled = 2_u32.saturating_pow(standing.failures);
        let wait = config
            .retry_after
            .saturating_mul(doubled)
            .min(config.max_retry_after);
        standing.failures = standing.failures.saturating_add(1);
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        standing.until = Timestamp::from_micros(now.micros().saturating_add(micros));
        if self.guest.as_ref() == Some(name) {
            self.guest = None;
        }
    }

    fn load(&mut self, name: &Name) -> CacheAction {
        self.known.entry(name.clone()).or_default().paid = true;
        CacheAction::Load(name.clone())
    }

    /// `None` where it was not loaded anyway.
    fn unload(&mut self, name: Name) -> Option<CacheAction> {
        let was = std::mem::take(&mut self.known.entry(name.clone()).or_default().paid);
        was.then_some(CacheAction::Unload(name))
    }
}

#[cfg(test)]
mod tests {
    use CacheAction::{Load, Unload};

    use super::*;

    fn name(text: &str) -> Name {
        text.into()
    }

    fn config(slots: usize) -> PolarConfig {
        PolarConfig {
            slots,
            ..PolarConfig::default()
        }
    }

    const NOW: Timestamp = Timestamp::from_millis(10_000);

    #[test]
    fn a_guest_has_the_place_of_the_least_worth() {
        let (mut residency, config) = (Residency::default(), config(2));
        assert_eq!(residency.page_in(&name("a"), &config), [Load(name("a"))]);
        assert_eq!(residency.page_in(&name("b"), &config), [Load(name("b"))]);
        assert_eq!(
            residency.page_in(&name("c"), &config),
            [Unload(name("b")), Load(name("c"))]
        );
        assert_eq!(
            residency.page_in(&name("d"), &config),
            [Unload(name("c")), Load(name("d"))]
        );
        assert!(residency.page_in(&name("a"), &config).is_empty() && residency.load_missing(NOW).is_empty());
        assert_eq!(
            residency.page_in(&name("b"), &config),
            [Unload(name("d")), Load(name("b"))],
            "its own place"
        );
        let _ = residency.page_in(&name("c"), &config);
        // The guest is kept now; what was kept goes, and what had made room comes back.
        let actions = residency.keep(vec![name("c"), name("b")], NOW);
        assert_eq!(actions, [Unload(name("a")), Load(name("b"))]);
        assert_eq!(
            residency.resident().map(Name::as_str).collect::<Vec<_>>(),
            ["c", "b"]
        );
    }

    #[test]
    fn an_adapter_that_fails_to_load_is_out_until_its_back_off_ends() {
        let (mut residency, config) = (Residency::default(), config(2));
        let later = |ms: u64| Timestamp::from_millis(10_000 + ms);
        let _ = residency.page_in(&name("a"), &config);
        residency.load_failed(&name("a"), NOW, &config);
        assert!(!residency.is_resident("a") && residency.is_barred("a", later(999)));
        assert!(residency.load_missing(later(999)).is_empty());
        assert_eq!(
            residency.load_missing(later(1_000)),
            [Load(name("a"))],
            "it is still wanted"
        );
        residency.load_failed(&name("a"), later(1_000), &config);
        assert!(residency.is_barred("a", later(2_999)) && !residency.is_barred("a", later(3_000)));
        for _ in 0..60 {
            residency.load_failed(&name("a"), NOW, &config);
        }
        assert!(
            !residency.is_barred("a", later(300_000)),
            "never longer than the longest"
        );
        residency.loaded(&name("a"), Duration::from_millis(100), &config);
        residency.load_failed(&name("a"), NOW, &config);
        assert!(!residency.is_barred("a", later(1_000)), "a success forgives");
    }

    #[test]
    fn load_times_are_a_running_mean() {
        let (mut residency, mut config) = (Residency::default(), config(2));
        let mut seen = |ms: u64, config: &PolarConfig| {
            residency.loaded(&name("a"), Duration::from_millis(ms), config);
            residency.load_time("a", config).as_millis()
        };
        assert_eq!((seen(100, &config), seen(600, &config)), (100, 200));
        config.page_in.newest = 0.0;
        assert_eq!(seen(900, &config), 200);
        assert_eq!(
            Residency::default().load_time("b", &config),
            Duration::from_millis(200)
        );
    }
}
