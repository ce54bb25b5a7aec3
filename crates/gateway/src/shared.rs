//! What all workers share: snapshots, counters, the recorder.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use fingerpost_encode::Encoder;
use fingerpost_signals::Problem;
use fingerpost_store::{Store, StoreError};
use thiserror::Error;

use crate::{
    config::Config,
    engine::Engines,
    found::{self, Found},
    recorder::Recorder,
    snapshot::Snapshot,
    telemetry::Outlets,
};

/// What all workers share.
pub struct Shared {
    snapshots: Arc<ArcSwap<Snapshot>>,
    recorder: Recorder,
    store: Arc<dyn Store>,
    outlets: Arc<Outlets>,
    engines: Engines,
    encoder: Arc<dyn Encoder>,
    /// Those that clients can name, for embeddings.
    encoders: Vec<(String, Arc<dyn Encoder>)>,
    counts: Vec<AtomicU64>,
    draining: AtomicBool,
    patience_ms: AtomicU64,
    cut_off: AtomicU64,
    seed: u64,
    /// Held while a configuration is put in place, so that two reloads do not interleave.
    given: Mutex<Given>,
}

/// What snapshots are built from.
struct Given {
    config: Config,
    /// The servers of models with `pods`, by the model's name.
    found: BTreeMap<String, Vec<Found>>,
}

/// Why a configuration cannot be put in place.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// It does not make sense as a whole.
    #[error("the configuration has {} problem(s); the first: {}", .0.len(), .0.first().map(ToString::to_string).unwrap_or_default())]
    Config(Vec<Problem>),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system gives no thread.
    #[error("cannot start the recorder: {0}")]
    Thread(#[from] std::io::Error),
}

// === impl Shared ===

impl Shared {
    /// Puts `config` in place. `data` is the folder of the embedded store where the configuration names none.
    ///
    /// # Errors
    /// [`StartError`] where the configuration does not make sense or the store cannot be opened.
    pub fn new(
        config: Config,
        data: &Path,
        engines: Engines,
        encoder: Arc<dyn Encoder>,
        workers: usize,
    ) -> Result<Arc<Self>, StartError> {
        let store = fingerpost_store::open(&config.store, data)?;
        let outlets = Arc::new(Outlets::new(&config.telemetry));
        let seed = config.server.seed.unwrap_or_else(crate::worker::chance);
        let given = Given {
            config: config.clone(),
            found: BTreeMap::new(),
        };
        let snapshot = Snapshot::build(config, &engines, &encoder, None).map_err(StartError::Config)?;
        match store.restore_learned(snapshot.learners()) {
            // It is done later, by the store itself.
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, "what routers have learned is taken up once the store can be asked");
            }
            other => drop(other?),
        }
        store.follow(&mut || Some(snapshot.learners().clone()));
        outlets.installed(&snapshot);
        let snapshots = Arc::new(ArcSwap::from_pointee(snapshot));
        Ok(Arc::new(Self {
            recorder: Recorder::start(Arc::clone(&store), Arc::clone(&outlets), Arc::clone(&snapshots))?,
            snapshots,
            store,
            outlets,
            engines,
            encoders: vec![(format!("fingerpost-{}", encoder.name()), Arc::clone(&encoder))],
            encoder,
            counts: (0..workers.max(1)).map(|_| AtomicU64::new(0)).collect(),
            draining: AtomicBool::new(false),
            patience_ms: AtomicU64::new(0),
            cut_off: AtomicU64::new(0),
            seed,
            given: Mutex::new(given),
        }))
    }

    /// Puts another configuration in place of the current one. Requests under way end by the old one; what routers have
    /// learned, the load of endpoints and the state of their breakers are carried over by name. On an error nothing changes.
    ///
    /// # Errors
    /// The problems of the new configuration.
    pub fn reload(&self, config: Config) -> Result<(), Vec<Problem>> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        self.put(found::with(&config, &given.found))?;
        given.config = config;
        Ok(())
    }

    /// These are the servers of a model with `pods` from now on. Calls to those that are gone end as they will; on an error nothing changes.
    ///
    /// # Errors
    /// The problems of the configuration with them.
    pub fn serve_by(&self, model: &str, servers: Vec<Found>) -> Result<(), Vec<Problem>> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = given.found.clone();
        found.insert(model.to_owned(), servers);
        self.put(found::with(&given.config, &found))?;
        given.found = found;
        Ok(())
    }

    /// Only with `given` locked.
    fn put(&self, config: Config) -> Result<(), Vec<Problem>> {
        let before = self.snapshots.load_full();
        let mut config = Some(config);
        let mut result = Ok(());
        // Whatever routers learn while the new ones are built would be lost with the old ones: nothing, then.
        self.store.follow(&mut || {
            let built = Snapshot::build(config.take()?, &self.engines, &self.encoder, Some(&before));
            match built {
                Ok(snapshot) => {
                    self.outlets.installed(&snapshot);
                    let learners = snapshot.learners().clone();
                    self.snapshots.store(Arc::new(snapshot));
                    Some(learners)
                }
                Err(problems) => {
                    self.outlets.reload_failed();
                    result = Err(problems);
                    None
                }
            }
        });
        result
    }

    /// Tells that a configuration could not even be read, for the metrics.
    pub fn reload_failed(&self) {
        self.outlets.reload_failed();
    }

    /// The snapshot in place.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.load_full()
    }

    pub(crate) fn snapshots(&self) -> Arc<ArcSwap<Snapshot>> {
        Arc::clone(&self.snapshots)
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(crate) fn outlets(&self) -> &Outlets {
        &self.outlets
    }

    /// The encoder that clients name `name`, if it is here.
    pub(crate) fn encoder_named(&self, name: &str) -> Option<Arc<dyn Encoder>> {
        self.encoders
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, encoder)| Arc::clone(encoder))
    }

    /// The names of all encoders.
    pub(crate) fn encoder_names(&self) -> impl Iterator<Item = &str> {
        self.encoders.iter().map(|(name, _)| name.as_str())
    }

    /// The encoder that signals read texts with.
    pub(crate) fn encoder(&self) -> &Arc<dyn Encoder> {
        &self.encoder
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn count(&self, worker: usize) -> &AtomicU64 {
        &self.counts[worker % self.counts.len()]
    }

    /// Requests under way.
    pub fn in_flight(&self) -> u64 {
        self.counts.iter().map(|c| c.load(Ordering::Relaxed)).sum()
    }

    /// A worker ends: what it has under way is cut off.
    pub(crate) fn cut_off(&self, worker: usize) {
        self.cut_off
            .fetch_add(self.count(worker).load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Requests that were cut off when their worker ended.
    pub(crate) fn were_cut_off(&self) -> u64 {
        self.cut_off.load(Ordering::Relaxed)
    }

    pub(crate) fn begin_drain(&self, patience: Duration) {
        let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        self.patience_ms.store(patience, Ordering::Relaxed);
        self.draining.store(true, Ordering::Release);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(crate) fn drain_patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn flush(&self) {
        self.recorder.flush();
    }
}
