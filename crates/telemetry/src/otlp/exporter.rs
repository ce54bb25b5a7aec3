//! The exporter's thread: takes what waits, puts the resource before it, posts it, tries again where that may help.

use std::{
    io,
    sync::{Arc, mpsc::Sender},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    TracesConfig,
    post::{Posted, Target},
    queue::{Batch, Queue},
    spans::attribute,
    wire,
};

/// Tries of one batch.
const TRIES: u32 = 4;
/// Pause before the second try; doubled before each further one.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause that a collector can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Time between warnings.
const WARN_EVERY: Duration = Duration::from_secs(60);

struct Exporter {
    target: Target,
    queue: Arc<Queue>,
    /// `ResourceSpans.resource` with its field.
    resource: Vec<u8>,
    /// `ScopeSpans.scope` with its field.
    scope: Vec<u8>,
    every: Duration,
    timeout: Duration,
    warned: Option<Instant>,
    /// Spans lost since the last warning.
    lost: u64,
}

/// Starts the thread; `finished` hears when it ends.
pub(super) fn start(
    config: &TracesConfig,
    target: Target,
    queue: Arc<Queue>,
    finished: Sender<()>,
) -> io::Result<()> {
    let mut exporter = Exporter {
        target,
        queue,
        resource: resource(config),
        scope: scope(config),
        every: config.every,
        timeout: config.timeout,
        warned: None,
        lost: 0,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    std::thread::Builder::new()
        .name("traces".to_owned())
        .spawn(move || {
            while let Some(batch) = exporter.queue.take(exporter.every, exporter.timeout) {
                exporter.export(&runtime, &batch);
            }
            // Nobody may be waiting.
            let _ = finished.send(());
        })?;
    Ok(())
}

// === impl Exporter ===

impl Exporter {
    fn export(&mut self, runtime: &tokio::runtime::Runtime, batch: &Batch) {
        let body = self.request(&batch.bytes);
        let mut tries = 1;
        let lost = loop {
            let (why, after) = match runtime.block_on(self.target.post(body.clone(), batch.within)) {
                Posted::Taken { rejected: 0 } => break 0,
                Posted::Taken { rejected } => {
                    self.warn(rejected, "the collector rejected some");
                    break rejected;
                }
                Posted::Refused { why } => {
                    self.warn(batch.spans, &why);
                    break batch.spans;
                }
                Posted::Later { why, after } => (why, after),
            };
            let pause = after.unwrap_or(PAUSE * (1 << (tries - 1))).min(LONGEST_PAUSE);
            if tries == TRIES || !self.queue.pause(pause) {
                self.warn(batch.spans, &why);
                break batch.spans;
            }
            tries += 1;
        };
        self.queue.settle(batch.spans, lost);
    }

    /// An `ExportTraceServiceRequest` of these spans.
    fn request(&self, spans: &[u8]) -> Bytes {
        let mut body = Vec::with_capacity(spans.len() + self.resource.len() + self.scope.len() + 32);
        wire::message(&mut body, 1, |out| {
            out.extend_from_slice(&self.resource);
            wire::message(out, 2, |out| {
                out.extend_from_slice(&self.scope);
                out.extend_from_slice(spans);
            });
        });
        body.into()
    }

    /// Says once in a while that spans are lost.
    fn warn(&mut self, lost: u64, why: &str) {
        self.lost += lost;
        if self.warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            tracing::warn!(
                spans = self.lost,
                why,
                "spans did not reach the OpenTelemetry collector"
            );
            self.warned = Some(Instant::now());
            self.lost = 0;
        }
    }
}

fn resource(config: &TracesConfig) -> Vec<u8> {
    let mut out = Vec::new();
    let text = |out: &mut Vec<u8>, key: &str, value: &str| {
        attribute(out, 1, key, |out| wire::bytes(out, 1, value.as_bytes()));
    };
    wire::message(&mut out, 1, |out| {
        text(out, "service.name", &config.service_name);
        text(out, "service.version", &config.service_version);
        if let Some(instance) = &config.service_instance {
            text(out, "service.instance.id", instance);
        }
        text(out, "telemetry.sdk.name", "fingerpost");
        text(out, "telemetry.sdk.language", "rust");
        text(out, "telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
    });
    out
}

fn scope(config: &TracesConfig) -> Vec<u8> {
    let mut out = Vec::new();
    wire::message(&mut out, 1, |out| {
        wire::bytes(out, 1, b"fingerpost");
        wire::bytes(out, 2, config.service_version.as_bytes());
    });
    out
}
