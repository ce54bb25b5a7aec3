//! Consistent hashing: instances on a ring, each at many points, a key belongs to the next point clockwise.
//!
//! Points are hashes of an instance's name, so they are the same on every router, and an instance that comes or goes moves only the
//! keys next to its own points: a share of 1/(n+1) of all, on average.

use std::num::NonZeroU16;

use fingerpost_core::{Candidate, CandidateId, Catalogue, Context};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How far a walk clockwise looks for an instance that may be picked, before it takes any. With half of the fleet out of service a
/// walk of 64 points fails once in 2^64.
const LONGEST_WALK: usize = 64;

/// The instances of a catalogue on a ring.
#[derive(Debug)]
pub struct Ring {
    seed: u64,
    /// Ascending, beside `owners`.
    points: Vec<u64>,
    owners: Vec<CandidateId>,
}

// === impl Ring ===

impl Ring {
    /// Puts every instance at `virtual_nodes` points. Rings of different seeds are independent.
    pub fn new(catalogue: &Catalogue, virtual_nodes: NonZeroU16, seed: u64) -> Self {
        let place = |candidate: &Candidate, node: u16| {
            let name = xxh3_64_with_seed(candidate.profile.name.as_bytes(), seed);
            (xxh3_64_with_seed(&node.to_le_bytes(), name), candidate.id)
        };
        let mut placed: Vec<(u64, CandidateId)> = catalogue
            .iter()
            .flat_map(|c| (0..virtual_nodes.get()).map(move |node| place(c, node)))
            .collect();
        placed.sort_unstable();
        let (points, owners) = placed.into_iter().unzip();
        Self { seed, points, owners }
    }

    /// The owners of the points clockwise from `key`, once around. One instance owns many points.
    pub fn clockwise(&self, key: u64) -> impl Iterator<Item = CandidateId> {
        let key = xxh3_64_with_seed(&key.to_le_bytes(), self.seed);
        let first = self.points.partition_point(|point| *point < key);
        let (before, after) = self.owners.split_at(first);
        after.iter().chain(before).copied()
    }

    /// The first instance clockwise from `key` that is in `among`, that the limits admit and that `fits`. O(log points) in a fleet
    /// that is mostly in service; where the walk fails, any that the three allow, the same for one key.
    pub fn find<'a>(
        &self,
        key: u64,
        among: &[CandidateId],
        cx: &Context<'a>,
        fits: impl Fn(&Candidate) -> bool,
    ) -> Option<&'a Candidate> {
        let near = self
            .clockwise(key)
            .take(LONGEST_WALK)
            .find_map(|id| admitted(id, among, cx).filter(|c| fits(c)));
        near.or_else(|| {
            let count = cx.admitted(among).filter(|c| fits(c)).count();
            #[allow(clippy::cast_possible_truncation, reason = "any bits of the key will do")]
            let turn = (key as usize).checked_rem(count)?;
            cx.admitted(among).filter(|c| fits(c)).nth(turn)
        })
    }
}

/// The candidate of this id, if it is in `among` and the limits admit it. Constant time where `among` is the whole catalogue.
fn admitted<'a>(id: CandidateId, among: &[CandidateId], cx: &Context<'a>) -> Option<&'a Candidate> {
    let is_among = among.get(id.0 as usize) == Some(&id) || among.contains(&id);
    let candidate = cx.catalogue.get(id).filter(|_| is_among)?;
    cx.limits.admit(candidate).is_ok().then_some(candidate)
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{Limits, Profile, Timestamp};
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    fn fleet(count: usize) -> Catalogue {
        Catalogue::new((0..count).map(|i| Profile::named(format!("gpu-{i}")))).unwrap()
    }

    fn ring(catalogue: &Catalogue, seed: u64) -> Ring {
        Ring::new(catalogue, NonZeroU16::new(160).unwrap(), seed)
    }

    #[test]
    fn a_ninth_instance_takes_its_share_and_nothing_else_moves() {
        let (eight, nine) = (fleet(8), fleet(9));
        let (before, after) = (ring(&eight, 1), ring(&nine, 1));
        let owner = |ring: &Ring, key| ring.clockwise(key).next().unwrap().0;
        let moved: Vec<u32> = (0..20_000)
            .filter(|key| owner(&before, *key) != owner(&after, *key))
            .map(|key| owner(&after, key))
            .collect();
        assert!(moved.iter().all(|to| *to == 8));
        assert!((1600..2800).contains(&moved.len()), "{}", moved.len());
    }

    #[test]
    fn keys_are_spread_evenly() {
        let catalogue = fleet(16);
        let ring = ring(&catalogue, 2);
        let mut owned = [0u32; 16];
        (0..32_000).for_each(|key| owned[ring.clockwise(key).next().unwrap().0 as usize] += 1);
        assert!(owned.iter().all(|n| (1400..2700).contains(n)), "{owned:?}");
    }

    #[test]
    fn what_is_out_of_service_is_passed_over() {
        let catalogue = fleet(40);
        let (ring, ids, limits) = (ring(&catalogue, 3), catalogue.ids(), Limits::NONE);
        let mut rng = SmallRng::seed_from_u64(0);
        let cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        catalogue.iter().skip(1).for_each(|c| c.live.set_available(false));
        for key in 0..50 {
            let found = ring.find(key, &ids, &cx, |_| true).unwrap();
            assert_eq!(found.id, CandidateId(0));
            assert!(ring.find(key, &ids[1..], &cx, |_| true).is_none());
            assert!(ring.find(key, &ids, &cx, |c| c.id.0 != 0).is_none());
        }
    }
}
