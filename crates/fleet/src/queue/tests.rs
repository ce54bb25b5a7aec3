use fingerpost_core::{Catalogue, Evidence, Pick, Profile, Reason, TokenCount};

use super::*;
use crate::{Prefix, PrefixHasher, StateConfig};

const A: CandidateId = CandidateId(0);
const B: CandidateId = CandidateId(1);

struct Bed {
    catalogue: Catalogue,
    instances: Arc<Instances>,
    queues: Queues,
}

/// Instances `a`, `b` and `c`, a millisecond a token, an objective of ten seconds, blocks of 1000 tokens.
fn bed(config: QueueConfig) -> Bed {
    let catalogue = Catalogue::new(["a", "b", "c"].map(Profile::named)).unwrap();
    let state = StateConfig {
        block_tokens: std::num::NonZeroU32::new(1000).unwrap(),
        ..StateConfig::default()
    };
    let instances = Arc::new(Instances::new(&catalogue, state));
    let holding = Holding {
        queue: config,
        slo_s: 10.0,
        urgent_s: 5.0,
        token_time: TokenTime::new(0.001).unwrap(),
    };
    Bed {
        queues: Queues::new(holding, Arc::clone(&instances)),
        catalogue,
        instances,
    }
}

fn prefix(name: u64) -> Prefix {
    PrefixHasher::new(std::num::NonZeroU32::new(1000).unwrap(), None).named(&[name])
}

impl Bed {
    /// Holds a request of `tokens` tokens for `a`, with `b` as its other candidate.
    fn hold(&mut self, ticket: u64, tokens: u32, now: Timestamp) {
        let pick = |id| Pick::of(self.catalogue.get(id).unwrap(), 0.0);
        let mut decision = Decision::single(pick(A), Reason::new("test"), Evidence::of("r"));
        decision.picks.push(pick(B));
        let query = InstanceQuery {
            tokens: TokenCount(tokens),
            prefix: Some(prefix(ticket)),
        };
        assert!(self.queues.hold(ticket, query, &decision, now, now));
    }

    /// Sends what is due; tickets and where to.
    fn send(&mut self, now: Timestamp) -> Vec<(u64, u32)> {
        let mut sent = Vec::new();
        while let Some(next) = self.queues.next(now) {
            self.instances
                .get(next.to)
                .unwrap()
                .sent(next.query.tokens.0, next.query.tokens.0);
            sent.push((next.ticket, next.to.0));
        }
        sent
    }

    fn computed(&mut self, id: CandidateId, tokens: u32, now: Timestamp) {
        self.instances.get(id).unwrap().computed(tokens, Some(now));
        self.queues.computed(id, Duration::from_secs(1));
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + 1000 * seconds)
}

#[test]
fn one_at_a_time_and_cached_ones_first() {
    let mut bed = bed(QueueConfig {
        order: QueueOrder::CachedFirst,
        ..QueueConfig::default()
    });
    bed.instances.get(A).unwrap().cache.completed(&prefix(3));
    (1..=3).for_each(|ticket| bed.hold(ticket, 1000, at(0)));
    assert_eq!(bed.send(at(0)), [(3, 0)]);
    bed.computed(A, 1000, at(1));
    assert_eq!(bed.send(at(1)), [(1, 0)]);
    assert!(bed.queues.cancel(2) && !bed.queues.cancel(2));
    bed.computed(A, 1000, at(2));
    assert_eq!(bed.send(at(2)), []);
    assert_eq!(bed.instances.get(A).unwrap().own_backlog(), 0);
}

#[test]
fn who_came_first_where_that_is_the_order() {
    let mut bed = bed(QueueConfig {
        order: QueueOrder::Arrival,
        ..QueueConfig::default()
    });
    bed.instances.get(A).unwrap().cache.completed(&prefix(3));
    (1..=3).for_each(|ticket| bed.hold(ticket, 1000, at(0)));
    assert_eq!(bed.send(at(0)), [(1, 0)]);
}

#[test]
fn the_urgent_before_the_cached() {
    let mut bed = bed(QueueConfig {
        rebalance: false,
        order: QueueOrder::CachedFirst,
        ..QueueConfig::default()
    });
    bed.instances.get(A).unwrap().cache.completed(&prefix(2));
    bed.instances.get(A).unwrap().cache.completed(&prefix(9));
    bed.hold(1, 4000, at(0));
    bed.hold(2, 1100, at(0));
    // 4 + 0.1 + 2 seconds are more than 5, half of the objective.
    bed.hold(3, 2000, at(0));
    bed.hold(9, 1000, at(0));
    assert_eq!(
        bed.send(at(0)),
        [(9, 0)],
        "with 6101 tokens before it, urgent, and cached"
    );
    bed.computed(A, 1000, at(1));
    assert_eq!(bed.send(at(1)), [(3, 0)]);
    bed.computed(A, 2000, at(3));
    assert_eq!(bed.send(at(3)), [(2, 0)]);
}

#[test]
fn who_can_still_be_in_time_goes_before_who_cannot() {
    let mut bed = bed(QueueConfig {
        rebalance: false,
        ..QueueConfig::default()
    });
    [4000, 9000, 1000, 2000]
        .into_iter()
        .zip(1..)
        .for_each(|(tokens, ticket)| bed.hold(ticket, tokens, at(0)));
    assert_eq!(bed.send(at(0)), [(1, 0)]);
    // Four seconds have gone of ten: nine more are too many for the second.
    bed.computed(A, 4000, at(4));
    assert_eq!(bed.send(at(4)), [(3, 0)]);
    bed.computed(A, 1000, at(5));
    assert_eq!(bed.send(at(5)), [(4, 0)]);
    bed.computed(A, 2000, at(7));
    assert_eq!(bed.send(at(7)), [(2, 0)]);
}

#[test]
fn a_busy_instance_takes_several_within_the_objective() {
    let mut bed = bed(QueueConfig {
        pending: 3,
        order: QueueOrder::Arrival,
        rebalance: false,
        ..QueueConfig::default()
    });
    (1..=5).for_each(|ticket| bed.hold(ticket, 4000, at(0)));
    assert_eq!(bed.send(at(0)), [(1, 0)], "nothing has come from there yet");
    bed.computed(A, 4000, at(4));
    assert_eq!(
        bed.send(at(4)).len(),
        2,
        "12,000 tokens would be more than ten seconds"
    );
    assert_eq!(bed.send(at(9)), []);
}

#[test]
fn the_most_gaining_move_until_the_objective_is_kept() {
    let mut bed = bed(QueueConfig {
        order: QueueOrder::Arrival,
        ..QueueConfig::default()
    });
    // The other candidate has nothing before it: whoever waits longest at `a` gains most.
    [1000, 6000, 3000, 4000]
        .into_iter()
        .zip(1..)
        .for_each(|(tokens, ticket)| bed.hold(ticket, tokens, at(0)));
    assert_eq!(bed.queues.rebalance(at(0)), 1, "14,000 tokens, 4,000 too many");
    assert_eq!(bed.send(at(0)), [(4, 1), (1, 0)]);
    assert_eq!(bed.instances.get(A).unwrap().own_backlog(), 10_000);
    assert_eq!(bed.queues.rebalance(at(0)), 0);
    assert_eq!(bed.queues.moved(), 1);
}

#[test]
fn a_long_wait_is_a_hot_spot_and_a_full_target_is_none() {
    let mut bed = bed(QueueConfig::default());
    (1..=3).for_each(|ticket| bed.hold(ticket, 1000, at(0)));
    assert_eq!(bed.queues.rebalance(at(2)), 0);
    bed.instances.get(B).unwrap().sent(9001, 9001);
    assert_eq!(
        bed.queues.rebalance(at(3)),
        0,
        "no room for 1000 more within 10 s"
    );
    bed.instances.get(B).unwrap().computed(9001, None);
    assert_eq!(bed.queues.rebalance(at(3)), 1);
    // It moves nobody but what is too much; the target now keeps somebody waiting for long itself.
    assert_eq!(bed.queues.rebalance(at(3)), 0);
}

#[test]
fn what_waits_for_a_lost_instance_is_handed_back() {
    let mut bed = bed(QueueConfig::default());
    (1..=3).for_each(|ticket| bed.hold(ticket, 1000, at(0)));
    assert_eq!(bed.queues.close(A), [1, 2, 3]);
    assert!(bed.queues.is_empty());
    bed.hold(4, 1000, at(0));
    assert_eq!(bed.send(at(0)), []);
    bed.queues.open(A);
    bed.queues.freed(A);
    assert_eq!(bed.send(at(0)), [(4, 0)]);
}

#[test]
fn the_99th_percentile_of_the_latest_256() {
    let mut observed = Observed::default();
    (0..255u8).for_each(|n| observed.add(n.into()));
    assert_eq!(observed.p99, None);
    observed.add(255.0);
    assert_eq!(observed.p99, Some(253.0));
}
