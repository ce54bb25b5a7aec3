//! A store that replicas share on a server: they learn from each other, each outcome once, whatever the server does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{
    collections::HashMap,
    net::TcpListener,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use fingerpost_core::{
    CandidateId, Catalogue, Decision, Delivered, Evidence, Learn, Learners, Level, Outcome, Pick, Profile,
    Quality, Reason, Stage, Timestamp, Trace, TraceId,
};
use fingerpost_store::{
    BackEnd, ResponseRecord, Retention, Store, StoreConfig, StoreError, TraceRecord, open,
};
use fingerpost_testkit::RedisServer;
use tempfile::TempDir;

/// Longer than anything here takes on a crowded machine; only a failure waits for it.
const SOON: Duration = Duration::from_secs(30);

/// Writes down how often it was told of each pair of trace and stage: the score of the pick carries the trace's number.
#[derive(Default)]
struct Tally(Mutex<HashMap<(u64, bool), u32>>);

impl Learn for Tally {
    fn learn(&self, _: &Evidence, decision: &Decision, outcome: &Outcome) {
        let key = (decision.first().score as u64, outcome.quality.is_some());
        *self.0.lock().unwrap().entry(key).or_default() += 1;
    }

    fn save(&self) -> Option<Vec<u8>> {
        let told: Vec<_> = self
            .0
            .lock()
            .unwrap()
            .iter()
            .map(|(key, count)| (*key, *count))
            .collect();
        serde_json::to_vec(&told).ok()
    }

    fn restore(&self, state: &[u8]) -> bool {
        let told: Vec<((u64, bool), u32)> = serde_json::from_slice(state).unwrap();
        *self.0.lock().unwrap() = told.into_iter().collect();
        true
    }
}

impl Tally {
    fn of(&self, stage: Stage) -> usize {
        self.0
            .lock()
            .unwrap()
            .keys()
            .filter(|(_, feedback)| *feedback == (stage == Stage::Feedback))
            .count()
    }

    fn has(&self, id: u64, stage: Stage) -> bool {
        self.0
            .lock()
            .unwrap()
            .contains_key(&(id, stage == Stage::Feedback))
    }

    fn nothing_twice(&self) {
        let told = self.0.lock().unwrap();
        let twice: Vec<_> = told.iter().filter(|(_, count)| **count != 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}

/// One replica: a store of its own connections, and one router.
struct Replica {
    store: Arc<dyn Store>,
    tally: Arc<Tally>,
    learners: Learners,
}

fn config(url: &str) -> StoreConfig {
    StoreConfig {
        back_end: BackEnd::Redis,
        url: Some(url.into()),
        timeout: Duration::from_secs(2),
        ..StoreConfig::default()
    }
}

impl Replica {
    fn start(config: &StoreConfig) -> Self {
        let store = open(config, Path::new("")).unwrap();
        let tally = Arc::<Tally>::default();
        let mut learners = Learners::default();
        learners.register("r", tally.clone());
        // A server that is not there yet is asked later, by the store itself.
        if let Err(error) = store.restore_learned(&learners) {
            assert!(error.is_passing(), "{error}");
        }
        store.follow(&mut || Some(learners.clone()));
        Self {
            store,
            tally,
            learners,
        }
    }

    fn ran(&self, id: u64) {
        let trace = trace(id);
        let outcome = Outcome::default();
        self.store.put_trace(TraceRecord {
            trace: trace.clone(),
            outcome: Some(outcome.clone()),
        });
        self.store
            .teach(&trace, Stage::Run, &outcome, &self.learners)
            .unwrap();
    }

    fn feedback(&self, id: u64) -> Result<Delivered, StoreError> {
        let outcome = Outcome {
            quality: Some(Quality::new(0.5).unwrap()),
            ..Outcome::default()
        };
        self.store
            .teach(&trace(id), Stage::Feedback, &outcome, &self.learners)
    }

    /// As a client does that is told to come again.
    fn feedback_at_last(&self, id: u64) -> Delivered {
        let end = Instant::now() + SOON;
        loop {
            match self.feedback(id) {
                Ok(delivered) => return delivered,
                Err(error) => assert!(error.is_passing() && Instant::now() < end, "{error}"),
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn trace(id: u64) -> Trace {
    let catalogue = Catalogue::new([Profile::named("m")]).unwrap();
    let mut trace = Trace::new(TraceId(u128::from(id)), Timestamp::from_millis(1_000_000));
    let pick = Pick::of(catalogue.get(CandidateId(0)).unwrap(), id as f64);
    trace.push(
        None,
        Level::Model,
        Decision::single(pick, Reason::new("why"), Evidence::of("r")),
    );
    trace
}

fn server(settings: &[&str]) -> (TempDir, RedisServer) {
    let folder = tempfile::tempdir().unwrap();
    let server = RedisServer::start(folder.path(), settings).unwrap();
    (folder, server)
}

#[track_caller]
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < end, "not within {SOON:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn response(id: &str, owner: Option<&str>) -> ResponseRecord {
    ResponseRecord {
        id: id.into(),
        parent: Some("resp_0".into()),
        owner: owner.map(Into::into),
        at: Timestamp::from_millis(5),
        body: b"{\"a\":\n1}\0\xff".to_vec(),
    }
}

#[test]
fn what_one_replica_put_the_other_reads() {
    let (_folder, server) = server(&[]);
    let (a, b) = (
        Replica::start(&config(&server.url())),
        Replica::start(&config(&server.url())),
    );
    a.ran(1);
    a.store.put_response(response("resp_1", Some("ann"))).unwrap();
    a.store.save_state("s", vec![1, 0, 255]);
    let reads = |store: &dyn Store| {
        assert_eq!(store.trace(TraceId(1)).unwrap().unwrap().trace, trace(1));
        assert_eq!(store.trace(TraceId(2)).unwrap(), None);
        assert_eq!(
            *store.response("resp_1", Some("ann")).unwrap().unwrap(),
            response("resp_1", Some("ann"))
        );
        assert_eq!(store.state("s").unwrap(), Some(vec![1, 0, 255]));
        for stranger in [None, Some("bob")] {
            assert_eq!(store.response("resp_1", stranger).unwrap(), None);
            assert!(!store.delete_response("resp_1", stranger).unwrap());
        }
    };
    reads(&*a.store);
    a.store.flush().unwrap();
    reads(&*b.store);
    assert!(b.store.delete_response("resp_1", Some("ann")).unwrap());
    assert_eq!(b.store.response("resp_1", Some("ann")).unwrap(), None);
    b.store.flush().unwrap();
    assert_eq!(a.store.response("resp_1", Some("ann")).unwrap(), None);
    let other = StoreConfig {
        prefix: "other".to_owned(),
        ..config(&server.url())
    };
    assert_eq!(
        open(&other, Path::new("")).unwrap().trace(TraceId(1)).unwrap(),
        None
    );
    let second = StoreConfig {
        url: Some(format!("redis://{}/1", server.address()).as_str().into()),
        ..config(&server.url())
    };
    assert_eq!(
        open(&second, Path::new("")).unwrap().trace(TraceId(1)).unwrap(),
        None
    );
}

#[test]
fn the_oldest_are_forgotten() {
    let (_folder, server) = server(&[]);
    let retention = Retention {
        traces: 3,
        responses: 2,
        traces_for: Duration::from_secs(10),
        responses_for: Duration::from_secs(3600),
    };
    let store = open(
        &StoreConfig {
            retention,
            ..config(&server.url())
        },
        Path::new(""),
    )
    .unwrap();
    let put = |id: u64, ms: u64| {
        let mut trace = trace(id);
        trace.at = Timestamp::from_millis(ms);
        assert!(store.put_trace(TraceRecord { trace, outcome: None }));
        let record = ResponseRecord {
            at: Timestamp::from_millis(ms),
            ..response(&format!("resp_{id}"), None)
        };
        store.put_response(record).unwrap();
    };
    (1..=5).for_each(|id| put(id, 100 * id));
    store.flush().unwrap();
    let kept = |id: u64| store.trace(TraceId(u128::from(id))).unwrap().is_some();
    assert_eq!([1, 2, 3, 4, 5].map(kept), [false, false, true, true, true]);
    let responses = [1, 2, 3, 4, 5].map(|id| store.response(&format!("resp_{id}"), None).unwrap().is_some());
    assert_eq!(responses, [false, false, false, true, true]);
    store.prune(Timestamp::from_millis(10_450));
    store.flush().unwrap();
    assert_eq!([3, 4, 5].map(kept), [false, false, true]);
}

#[test]
fn replicas_learn_from_each_other_each_outcome_once() {
    let (_folder, server) = server(&[]);
    let (a, b) = (
        Replica::start(&config(&server.url())),
        Replica::start(&config(&server.url())),
    );
    for id in 1..=50 {
        if id % 2 == 0 { &a } else { &b }.ran(id);
    }
    for id in 1..=50 {
        let (first, second) = if id % 3 == 0 { (&a, &b) } else { (&b, &a) };
        assert_eq!(first.feedback(id).unwrap(), Delivered::To(1));
        assert_eq!(second.feedback(id).unwrap(), Delivered::Before);
        assert_eq!(first.feedback(id).unwrap(), Delivered::Before);
    }
    for replica in [&a, &b] {
        eventually("100 outcomes are learned", || {
            (replica.tally.of(Stage::Run), replica.tally.of(Stage::Feedback)) == (50, 50)
        });
        replica.tally.nothing_twice();
    }
    let stats = a.store.stats();
    let shared = stats.shared.unwrap();
    assert_eq!((shared.missed, stats.dropped, stats.failure), (0, 0, None));
    assert_eq!(shared.learned, 25 + 50);
    assert!(shared.behind.unwrap() < SOON);
}

#[test]
fn of_many_who_give_one_feedback_on_two_replicas_one_counts() {
    let (_folder, server) = server(&[]);
    let replicas = [
        Replica::start(&config(&server.url())),
        Replica::start(&config(&server.url())),
    ];
    const TRACES: u64 = 40;
    let counted = Mutex::new(HashMap::<u64, u32>::new());
    thread::scope(|scope| {
        for worker in 0..8_u64 {
            let (replicas, counted) = (&replicas, &counted);
            scope.spawn(move || {
                for step in 0..TRACES {
                    // Half of them in the opposite order, so that they meet everywhere.
                    let id = 1 + if worker % 4 < 2 { step } else { TRACES - 1 - step };
                    match replicas[worker as usize % 2].feedback_at_last(id) {
                        Delivered::To(1) => *counted.lock().unwrap().entry(id).or_default() += 1,
                        Delivered::Before => {}
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    let counted = counted.into_inner().unwrap();
    assert_eq!(counted.len() as u64, TRACES);
    assert!(counted.values().all(|count| *count == 1), "{counted:?}");
    for replica in &replicas {
        eventually("all feedback is learned", || {
            replica.tally.of(Stage::Feedback) as u64 == TRACES
        });
        replica.tally.nothing_twice();
    }
    let claims = thread::scope(|scope| {
        let claim = |i: usize| replicas[i % 2].store.claim(TraceId(999), Stage::Run);
        let all: Vec<_> = (0..8).map(|i| scope.spawn(move || claim(i))).collect();
        all.into_iter()
            .map(|t| t.join().unwrap())
            .filter(|won| *won)
            .count()
    });
    assert_eq!(claims, 1);
}

#[test]
fn a_replica_that_starts_again_goes_on_from_the_snapshot_and_the_rest() {
    let (_folder, server) = server(&[]);
    let (a, b) = (
        Replica::start(&config(&server.url())),
        Replica::start(&config(&server.url())),
    );
    (1..=20).for_each(|id| a.ran(id));
    a.feedback(1).unwrap();
    eventually("b has all", || {
        b.tally.of(Stage::Run) == 20 && b.tally.of(Stage::Feedback) == 1
    });
    // In the snapshot of a, whose own runs may be ahead of its place in the log; then more that is only in the log.
    (21..=30).for_each(|id| a.ran(id));
    assert_eq!(a.store.save_learned(&a.learners).unwrap(), 1);
    a.store.flush().unwrap();
    (31..=40).for_each(|id| b.ran(id));
    b.feedback(2).unwrap();
    b.store.flush().unwrap();
    drop(a);
    let again = Replica::start(&config(&server.url()));
    assert!(
        again.tally.of(Stage::Run) >= 30,
        "taken up at once: {}",
        again.tally.of(Stage::Run)
    );
    eventually("it has all", || {
        again.tally.of(Stage::Run) == 40 && again.tally.of(Stage::Feedback) == 2
    });
    assert_eq!(again.feedback(1).unwrap(), Delivered::Before);
    assert_eq!(again.feedback(2).unwrap(), Delivered::Before);
    again.ran(41);
    eventually("b hears of its new origin", || b.tally.of(Stage::Run) == 41);
    for replica in [&again, &b] {
        replica.tally.nothing_twice();
        assert_eq!(replica.store.stats().shared.unwrap().missed, 0);
    }
    // One without any snapshot reads the log from its beginning.
    let routers = {
        let tally = Arc::<Tally>::default();
        let mut learners = Learners::default();
        learners.register("r", tally.clone());
        learners.register("another", tally);
        learners
    };
    let store = open(&config(&server.url()), Path::new("")).unwrap();
    assert_eq!(
        store.restore_learned(&routers).unwrap(),
        1,
        "another group's, by name"
    );
}

/// Two replicas under load whose server is killed and started again, three times; then everything is quiet.
fn killed_under_load(settings: &[&str], keeps_everything: bool) {
    let (_folder, mut server) = server(settings);
    let settings = StoreConfig {
        timeout: Duration::from_millis(250),
        queue: 100_000,
        ..config(&server.url())
    };
    let replicas = [Replica::start(&settings), Replica::start(&settings)];
    let stop = AtomicBool::new(false);
    let served = thread::scope(|scope| {
        let work: Vec<_> = replicas
            .iter()
            .zip(0_u64..)
            .map(|(replica, i)| {
                let (stop, other) = (&stop, &replicas[1 - i as usize]);
                scope.spawn(move || {
                    let mut served = 0_u64;
                    while !stop.load(Ordering::Relaxed) {
                        served += 1;
                        let id = 2 * served + i;
                        let began = Instant::now();
                        replica.ran(id);
                        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
                        if served.is_multiple_of(5) {
                            // Given on both; every fifth is told of twice.
                            for _ in 0..2 {
                                for to in [replica, other] {
                                    // 503 for a client; it tries again below.
                                    if let Err(error) = to.feedback(id) {
                                        assert!(error.is_passing(), "{error}");
                                    }
                                }
                            }
                        }
                        thread::sleep(Duration::from_millis(1));
                    }
                    served
                })
            })
            .collect();
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(400));
            server.kill();
            thread::sleep(Duration::from_millis(400));
            server.run().unwrap();
        }
        thread::sleep(Duration::from_millis(400));
        stop.store(true, Ordering::Relaxed);
        work.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>()
    });
    for replica in &replicas {
        eventually("the server is in use again", || replica.store.flush().is_ok());
        assert_eq!(replica.store.stats().dropped, 0);
    }
    // Whatever was refused is given now, on one of the two.
    for (i, served) in served.iter().enumerate() {
        for n in (5..=*served).step_by(5) {
            replicas[(n % 2) as usize].feedback_at_last(2 * n + i as u64);
        }
    }
    let (runs, feedback) = (
        served.iter().sum::<u64>(),
        served.iter().map(|n| n / 5).sum::<u64>(),
    );
    for (i, replica) in replicas.iter().enumerate() {
        replica.tally.nothing_twice();
        let all = || {
            (
                replica.tally.of(Stage::Run) as u64,
                replica.tally.of(Stage::Feedback) as u64,
            )
        };
        if keeps_everything {
            eventually("all is learned by both", || all() == (runs, feedback));
            replica.tally.nothing_twice();
            assert_eq!(replica.store.stats().shared.unwrap().missed, 0);
        } else {
            // What stood unread in the log died with the server; a replica's own runs never depend on it.
            assert!((1..=served[i]).all(|n| replica.tally.has(2 * n + i as u64, Stage::Run)));
        }
    }
    println!("{served:?} served, {feedback} times feedback");
    // They still learn from each other.
    let last = 10_000_000;
    replicas[0].ran(last);
    assert_eq!(replicas[0].feedback_at_last(last), Delivered::To(1));
    eventually("the other hears of it", || {
        replicas[1].tally.has(last, Stage::Run) && replicas[1].tally.has(last, Stage::Feedback)
    });
    replicas.iter().for_each(|replica| replica.tally.nothing_twice());
}

#[test]
fn a_server_that_keeps_its_log_is_killed_under_load() {
    killed_under_load(&["--appendonly", "yes"], true);
}

#[test]
fn a_server_that_forgets_is_killed_under_load() {
    killed_under_load(&[], false);
}

#[test]
fn claims_that_the_server_lost_are_made_again_by_those_who_learned() {
    let (_folder, mut server) = server(&[]);
    let a = Replica::start(&config(&server.url()));
    a.ran(1);
    assert_eq!(a.feedback(1).unwrap(), Delivered::To(1));
    server.kill();
    server.run().unwrap();
    a.ran(2);
    eventually("a is back", || {
        a.store.flush().is_ok() && a.store.trace(TraceId(2)).is_ok()
    });
    a.store.save_learned(&a.learners).unwrap();
    a.store.flush().unwrap();
    let b = Replica::start(&config(&server.url()));
    assert!(b.tally.has(1, Stage::Feedback), "a's snapshot has it");
    assert_eq!(b.feedback_at_last(1), Delivered::Before);
    b.tally.nothing_twice();
}

#[test]
fn a_replica_that_starts_before_its_server_learns_once_it_is_there() {
    let (_folder, mut server) = server(&["--appendonly", "yes"]);
    let a = Replica::start(&config(&server.url()));
    (1..=5).for_each(|id| a.ran(id));
    a.store.save_learned(&a.learners).unwrap();
    drop(a);
    server.kill();
    let b = Replica::start(&config(&server.url()));
    (6..=10).for_each(|id| b.ran(id));
    assert!(matches!(b.feedback(6), Err(StoreError::Unavailable { .. })));
    server.run().unwrap();
    eventually("what was learned is taken up, and its own with it", || {
        b.tally.of(Stage::Run) == 10
    });
    (11..=12).for_each(|id| b.ran(id));
    eventually("and all that follows", || b.tally.of(Stage::Run) == 12);
    b.store.flush().unwrap();
    thread::sleep(Duration::from_millis(300));
    b.tally.nothing_twice();
}

#[test]
fn a_server_that_never_answers_holds_nobody_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let timeout = Duration::from_millis(100);
    let config = StoreConfig {
        timeout,
        queue: 10,
        ..config(&format!("redis://{}/0", silent.local_addr().unwrap()))
    };
    let replica = Replica::start(&config);
    let began = Instant::now();
    for id in 1..=20 {
        replica.ran(id);
    }
    assert!(
        began.elapsed() < timeout * 5,
        "nothing is waited for: {:?}",
        began.elapsed()
    );
    assert!(
        replica.store.trace(TraceId(1)).unwrap().is_some(),
        "what waits is read"
    );
    let began = Instant::now();
    for _ in 0..20 {
        let error = replica.store.trace(TraceId(99)).unwrap_err();
        assert!(error.is_passing(), "{error}");
    }
    assert!(!replica.store.claim(TraceId(1), Stage::Feedback));
    assert!(replica.feedback(1).is_err() && replica.store.flush().is_err());
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let stats = replica.store.stats();
    assert_eq!((stats.waiting, stats.dropped), (10, 30));
    assert!(stats.failure.is_some());
    let began = Instant::now();
    drop(replica);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
fn a_wrong_password_is_told_with_the_way_out_and_never_shown() {
    let (_folder, server) = server(&["--requirepass", "rightpass77"]);
    let with = |user: &str| format!("redis://{user}{}/0", server.address());
    for url in [with(":hunter2@"), with("ann:hunter2@"), with("")] {
        let config = config(&url);
        let error = open(&config, Path::new("")).map(drop).unwrap_err();
        assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
        let told = format!("{error} {error:?} {config:?}");
        assert!(!told.contains("hunter2"), "{told}");
        assert!(
            told.contains("`store.url_env`") && told.contains(&server.address().to_string()),
            "{told}"
        );
    }
    let right = Replica::start(&config(&with(":rightpass77@")));
    right.ran(1);
    right.store.flush().unwrap();
    assert!(!format!("{:?}", right.store.stats()).contains("rightpass77"));
}

#[test]
fn entries_that_nobody_understands_are_passed_over() {
    let (_folder, server) = server(&[]);
    let a = Replica::start(&config(&server.url()));
    for junk in ["d {}", "x y", "o a n 1 d nonsense", "o a n not-a-number d {}"] {
        assert!(
            server
                .ask(&format!("XADD fingerpost:log * {junk}"))
                .unwrap()
                .starts_with('$')
        );
    }
    a.ran(1);
    let b = Replica::start(&config(&server.url()));
    eventually("the run after them is heard", || b.tally.of(Stage::Run) == 1);
    assert!(b.store.stats().shared.unwrap().missed >= 4);
}
