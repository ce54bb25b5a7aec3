//! Follows pods: a list, then what changes, and the list again where that is too old.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    Api, ClusterError, Event, Pod, Pods,
    api::{AskError, Lines},
};

/// How long the cluster is asked to go on telling; then the pool is looked at again, and the next watch goes on.
const WATCH: Duration = Duration::from_secs(240);
/// How much longer an answer may last before it counts as lost.
const GRACE: Duration = Duration::from_secs(15);
/// How long changes are gathered before they are told.
const GATHER: Duration = Duration::from_millis(100);
/// Waits before the cluster is asked again: doubled from the first to the last.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// Pods of a page.
const PAGE: usize = 500;

/// Which pods are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What they are wanted for: the name under which they are told.
    pub name: String,
    /// Their namespace; that of this process where absent.
    pub namespace: Option<String>,
    /// Which of it.
    pub which: Which,
}

/// What selects pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// An `InferencePool` of this name: its selector and its port.
    Pool(String),
    /// Labels, and the port of the servers.
    Labels(BTreeMap<String, String>, u16),
}

/// Is told the name that pods are wanted under, and all of them, whenever something has changed.
pub type Tell = Arc<dyn Fn(&str, &[Pod]) + Send + Sync>;

/// A thread that follows pods; it ends when this is dropped.
pub struct Watch {
    _alive: oneshot::Sender<()>,
}

/// One selection of pods that is followed.
struct Followed {
    api: Api,
    wanted: Wanted,
    tell: Tell,
    told: Option<Vec<Pod>>,
    is_failing: bool,
    wait: Duration,
}

/// Why a watch is over.
enum Over {
    /// It ran its time, or broke off: the next goes on from where it was.
    Ended,
    /// What was known is too old.
    Expired,
    /// Something is wrong.
    Failed(String),
}

// === impl Watch ===

impl Watch {
    /// Begins to follow pods.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(api: &Api, wanted: Vec<Wanted>, tell: &Tell) -> Result<Self, ClusterError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (alive, ended) = oneshot::channel();
        let all: Vec<Followed> = wanted
            .into_iter()
            .map(|wanted| Followed {
                api: api.clone(),
                wanted,
                tell: Arc::clone(tell),
                told: None,
                is_failing: false,
                wait: WAITS.0,
            })
            .collect();
        std::thread::Builder::new()
            .name("cluster".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    for followed in all {
                        tokio::spawn(followed.follow());
                    }
                    // Ends with an error, when the other half is dropped.
                    let _ = ended.await;
                });
            })?;
        Ok(Self { _alive: alive })
    }
}

// === impl Followed ===

impl Followed {
    async fn follow(mut self) {
        loop {
            if let Err(why) = self.round().await {
                self.complain(&why);
                sleep(self.wait).await;
                self.wait = (2 * self.wait).min(WAITS.1);
            }
        }
    }

    fn complain(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            let name = &self.wanted.name;
            tracing::warn!(name, why, "pods cannot be followed; those known last stay");
        }
    }

    /// A list, and watches from there on, until what is known is too old.
    async fn round(&mut self) -> Result<(), String> {
        let (labels, mut port) = self.selection().await?;
        let selector = encoded(&selector(&labels));
        let namespace = self.namespace().to_owned();
        let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector={selector}");
        let mut pods = Pods::default();
        let mut next = String::new();
        loop {
            let more = if next.is_empty() {
                String::new()
            } else {
                format!("&continue={}", encoded(&next))
            };
            let page = self.api.get(&format!("{path}&limit={PAGE}{more}")).await;
            let page = page.map_err(|error| self.explained(&error, "list pods"))?;
            match pods
                .page(&page)
                .map_err(|e| format!("the list of pods cannot be read: {e}"))?
            {
                Some(more) => next = more,
                None => break,
            }
        }
        if std::mem::take(&mut self.is_failing) {
            tracing::info!(name = self.wanted.name, "pods are followed again");
        }
        self.wait = WAITS.0;
        self.tell(&pods, port);
        loop {
            let began = Instant::now();
            match self.watch(&path, &mut pods, port).await {
                Over::Expired => return Ok(()),
                Over::Failed(why) => return Err(why),
                Over::Ended => {}
            }
            // The pool may select others by now.
            let (now, other) = self.selection().await?;
            if now != labels {
                return Ok(());
            }
            port = other;
            self.tell(&pods, port);
            if began.elapsed() < WAITS.0 {
                // Whoever ends every watch at once is not asked in a circle.
                sleep(WAITS.0).await;
            }
        }
    }

    /// Follows what changes from where `pods` are on.
    async fn watch(&mut self, path: &str, pods: &mut Pods, port: u16) -> Over {
        let (version, seconds) = (encoded(pods.version()), WATCH.as_secs());
        let path = format!(
            "{path}&watch=1&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={seconds}"
        );
        let mut lines = match self.api.lines(&path).await {
            Ok(lines) => lines,
            Err(AskError::Refused { status, .. }) if status.as_u16() == 410 => return Over::Expired,
            Err(error) => return Over::Failed(self.explained(&error, "watch pods")),
        };
        let until = Instant::now() + WATCH + GRACE;
        loop {
            let line = match timeout_at(until, lines.next()).await {
                Ok(Ok(Some(line))) => line,
                // It broke off, or nothing came for too long: nothing is lost, since the next goes on from here.
                Ok(Ok(None) | Err(_)) | Err(_) => return Over::Ended,
            };
            if let Some(over) = take(pods, &line).or(gather(&mut lines, pods).await) {
                self.tell(pods, port);
                return over;
            }
            self.tell(pods, port);
        }
    }

    /// Tells all pods, if they are others than before.
    fn tell(&mut self, pods: &Pods, port: u16) {
        let all = pods.all(port);
        if self.told.as_ref() != Some(&all) {
            (self.tell)(&self.wanted.name, &all);
            self.told = Some(all);
        }
    }

    fn namespace(&self) -> &str {
        self.wanted.namespace.as_deref().unwrap_or(self.api.namespace())
    }

    /// The labels and the port, from the pool where there is one.
    async fn selection(&self) -> Result<(BTreeMap<String, String>, u16), String> {
        let pool = match &self.wanted.which {
            Which::Labels(labels, port) => return Ok((labels.clone(), *port)),
            Which::Pool(pool) => pool,
        };
        let namespace = self.namespace();
        let path = format!(
            "/apis/inference.networking.k8s.io/v1/namespaces/{namespace}/inferencepools/{}",
            encoded(pool)
        );
        let found = self.api.get(&path).await;
        let found = found.map_err(|error| self.explained(&error, "get inferencepools"))?;
        let spec = serde_json::from_slice::<Value>(&found).unwrap_or_default()["spec"].take();
        let labels = spec["selector"]["matchLabels"].as_object();
        let labels: BTreeMap<String, String> = labels
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect();
        let port = spec["targetPorts"][0]["number"].as_u64();
        let port = port.and_then(|port| u16::try_from(port).ok());
        match port {
            Some(port) if !labels.is_empty() => Ok((labels, port)),
            _ => Err(format!(
                "the InferencePool `{pool}` of the namespace `{namespace}` has no selector.matchLabels or no targetPorts"
            )),
        }
    }

    /// What an error means, and what to do.
    fn explained(&self, error: &AskError, what: &str) -> String {
        let namespace = self.namespace();
        let way_out = match (error, &self.wanted.which) {
            (AskError::Refused { status, .. }, _) if matches!(status.as_u16(), 401 | 403) => {
                format!(
                    "; its service account must be allowed to {what} in the namespace `{namespace}` (the chart's Role allows it)"
                )
            }
            (AskError::Refused { status, .. }, Which::Pool(pool)) if status.as_u16() == 404 => {
                format!(
                    "; is there an InferencePool `{pool}` (inference.networking.k8s.io/v1) in the namespace `{namespace}`?"
                )
            }
            _ => String::new(),
        };
        format!("{error}{way_out}")
    }
}

/// Takes in what else comes soon: a roll-out changes many pods at once.
async fn gather(lines: &mut Lines, pods: &mut Pods) -> Option<Over> {
    let until = Instant::now() + GATHER;
    loop {
        match timeout_at(until, lines.next()).await {
            Ok(Ok(Some(line))) => {
                if let Some(over) = take(pods, &line) {
                    return Some(over);
                }
            }
            Ok(Ok(None) | Err(_)) => return Some(Over::Ended),
            Err(_) => return None,
        }
    }
}

fn take(pods: &mut Pods, line: &[u8]) -> Option<Over> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return None;
    }
    match pods.line(line) {
        Event::Told => None,
        Event::Expired => Some(Over::Expired),
        Event::Failed(why) => Some(Over::Failed(why)),
    }
}

fn selector(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(",")
}

/// As it stands in a query.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_in_a_query() {
        let labels =
            BTreeMap::from([("app.io/name", "vllm"), ("b", "")].map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(encoded(&selector(&labels)), "app.io%2Fname%3Dvllm%2Cb%3D");
    }
}
