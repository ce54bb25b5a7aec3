//! Follows the pods of models that a Kubernetes cluster serves (`models.NAME.pods`), and puts them in place.

use std::sync::Arc;

use fingerpost_cluster::{Api, ClusterError, Pod, Tell, Wanted, Watch, Which};
use fingerpost_gateway::{Found, Shared, config::Pods};

use crate::{failure::Failure, output::Output};

/// The pods that the configuration wants, followed.
pub(super) struct Cluster {
    /// Where the cluster's API is; that of the cluster that this process runs in where absent.
    api: Option<String>,
    shared: Arc<Shared>,
    wanted: Vec<Wanted>,
    watch: Option<Watch>,
}

// === impl Cluster ===

impl Cluster {
    /// Follows what the configuration in place wants, if it wants any.
    pub(super) fn start(api: Option<String>, shared: &Arc<Shared>) -> Result<Self, Failure> {
        let mut cluster = Self {
            api,
            shared: Arc::clone(shared),
            wanted: Vec::new(),
            watch: None,
        };
        cluster
            .follow()
            .map_err(|error| Failure::from(error.to_string()))?;
        Ok(cluster)
    }

    /// Follows others where the configuration wants others by now.
    pub(super) fn keep(&mut self, output: Output) {
        if let Err(error) = self.follow() {
            output.note(&format!(
                "the pods that the configuration names are not followed: {error}"
            ));
        }
    }

    fn follow(&mut self) -> Result<(), ClusterError> {
        let wanted = wanted(&self.shared);
        if wanted == self.wanted {
            return Ok(());
        }
        self.wanted.clone_from(&wanted);
        self.watch = None;
        if wanted.is_empty() {
            return Ok(());
        }
        let api = match &self.api {
            Some(url) => Api::at(url)?,
            None => Api::in_cluster()?,
        };
        let shared = Arc::clone(&self.shared);
        let tell: Tell = Arc::new(move |model, pods| {
            if let Err(problems) = shared.serve_by(model, pods.iter().map(found).collect()) {
                let why = problems.first().map(ToString::to_string).unwrap_or_default();
                tracing::error!(model, why, "the pods that serve a model cannot be put in place");
            }
        });
        self.watch = Some(Watch::start(&api, wanted, &tell)?);
        Ok(())
    }
}

fn wanted(shared: &Shared) -> Vec<Wanted> {
    let snapshot = shared.snapshot();
    let models = snapshot.config().models.iter();
    let wanted = models.filter_map(|(name, model)| {
        let Pods {
            pool,
            selector,
            port,
            namespace,
            ..
        } = model.pods.as_ref()?;
        let which = match pool {
            Some(pool) => Which::Pool(pool.clone()),
            None => Which::Labels(selector.clone(), (*port)?),
        };
        Some(Wanted {
            name: name.clone(),
            namespace: namespace.clone(),
            which,
        })
    });
    wanted.collect()
}

fn found(pod: &Pod) -> Found {
    Found {
        name: pod.name.clone(),
        address: pod.address,
        is_ready: pod.is_ready,
    }
}
