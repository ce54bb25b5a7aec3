//! The routers of a simulation: each a [`Fleet`] as it serves, with its own catalogue, view and chance.

use fingerpost_core::{
    CandidateId, Catalogue, CatalogueError, Context, Limits, Profile, Timestamp, TokenCount,
};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::{Request, Setting, micros};
use crate::{Aged, Call, Fleet, FleetPolicy, InstanceQuery, LoadSource, Report};

/// A router.
pub(super) struct RouterAt {
    pub(super) fleet: Fleet,
    catalogue: Catalogue,
    ids: Vec<CandidateId>,
    limits: Limits,
    rng: SmallRng,
}

/// What became of a request that was to be placed.
pub(super) enum Placed {
    /// It is sent.
    Sent(Call),
    /// It waits in the router.
    Held,
    /// Nobody can take it.
    Nowhere,
}

// === impl RouterAt ===

impl RouterAt {
    /// Router number `at` of `setting`, with `policy` set to what the simulation knows.
    pub(super) fn new(policy: &FleetPolicy, setting: &Setting, at: usize) -> Result<Self, CatalogueError> {
        // Names decide places on rings, so each seed sees other ones.
        let name = |i: usize| Profile::named(format!("{}/{i}", setting.seed));
        let catalogue = Catalogue::new((0..setting.instances).map(name))?;
        Ok(Self {
            fleet: Fleet::new(policy, "simulated", &catalogue),
            ids: catalogue.ids(),
            catalogue,
            limits: Limits::NONE,
            rng: SmallRng::seed_from_u64(setting.seed.wrapping_mul(1009).wrapping_add(at as u64)),
        })
    }

    /// Forgets everything.
    pub(super) fn restart(&mut self, policy: &FleetPolicy) {
        self.fleet = Fleet::new(policy, "simulated", &self.catalogue);
    }

    /// Decides on `request`, which came at `since`.
    pub(super) fn place(&mut self, ticket: usize, request: &Request, since: u64, now: u64) -> Placed {
        let query = InstanceQuery {
            tokens: TokenCount(request.input),
            prefix: Some(request.prefix.clone()),
        };
        let [since, now] = [since, now].map(Timestamp::from_micros);
        let mut cx = Context::new(&self.catalogue, &self.limits, now, &mut self.rng);
        let Ok(decision) = self.fleet.router().route(&query, &self.ids, &mut cx) else {
            return Placed::Nowhere;
        };
        // A request that was held before it lost its instance is held anew from when it first came.
        if self.fleet.hold(ticket as u64, &query, &decision, since) {
            return Placed::Held;
        }
        match self.fleet.sent(decision.first().id, &query, since, now) {
            Some(call) => Placed::Sent(call),
            None => Placed::Nowhere,
        }
    }

    /// Has seen that `id` does not answer.
    pub(super) fn lost(&mut self, id: CandidateId) -> Vec<u64> {
        if let Some(candidate) = self.catalogue.get(id) {
            candidate.live.set_available(false);
        }
        self.fleet.lost(id)
    }

    /// Has seen that `id` answers again.
    pub(super) fn back(&mut self, id: CandidateId) {
        if let Some(candidate) = self.catalogue.get(id) {
            candidate.live.set_available(true);
        }
        self.fleet.back(id);
    }

    /// Looks at all loads: tokens on their way to each instance, and calls there. Some looks come to nothing.
    pub(super) fn look(&mut self, backlogs: &[u64], calls: &[usize], lost: f64, now: Timestamp) {
        for (candidate, (backlog, calls)) in self.catalogue.iter().zip(backlogs.iter().zip(calls)) {
            if lost > 0.0 && self.rng.random::<f64>() < lost {
                continue;
            }
            let told = Report {
                backlog_tokens: Some(Aged {
                    value: *backlog,
                    at: now,
                }),
                ..Report::default()
            };
            self.fleet.report(candidate.id, &told);
            let seen = candidate.live.in_flight() as usize;
            (seen..*calls).for_each(|_| candidate.live.begin());
            (*calls..seen).for_each(|_| candidate.live.end());
        }
    }

    /// Counts a call of its own, where it sees no others.
    pub(super) fn count(&self, id: CandidateId, begins: bool) {
        if let Some(candidate) = self.catalogue.get(id) {
            if begins {
                candidate.live.begin();
            } else {
                candidate.live.end();
            }
        }
    }
}

/// `policy` with what the simulation knows: blocks, caches, times, and where loads come from.
pub(super) fn informed(
    policy: &FleetPolicy,
    setting: &Setting,
    block_tokens: std::num::NonZeroU32,
) -> FleetPolicy {
    let mut policy = policy.clone();
    if let Some(state) = policy.state_mut() {
        state.block_tokens = block_tokens;
        state.cached_tokens = setting.cached_tokens;
        state.load = match (setting.sees_all(), setting.own_sends) {
            (true, _) => LoadSource::Own,
            (false, true) => LoadSource::Both,
            (false, false) => LoadSource::Reported,
        };
        let three_looks = std::time::Duration::from_micros(3 * micros(setting.stale_s));
        state.max_report_age = state.max_report_age.max(three_looks);
    }
    let slo = std::time::Duration::from_micros(micros(setting.slo_s));
    match &mut policy {
        FleetPolicy::MinTtft(config) => config.seconds_per_token = setting.seconds_per_token,
        FleetPolicy::DualMap(config) => {
            config.seconds_per_token = setting.seconds_per_token;
            config.slo = slo;
        }
        _ => {}
    }
    policy
}

impl Setting {
    /// Whether a router's own counts are the truth.
    pub(super) fn sees_all(&self) -> bool {
        self.stale_s <= 0.0 && self.routers == 1
    }
}
