//! What a newcomer reads when the server has started.

use std::{fmt, net::SocketAddr, path::Path};

use fingerpost_gateway::{Snapshot, config::ProviderKind};

use crate::engines::Engines;

/// What a newcomer reads when the server has started.
pub(super) struct Banner<'a> {
    pub(super) address: SocketAddr,
    pub(super) workers: usize,
    pub(super) source: Option<&'a Path>,
    pub(super) snapshot: &'a Snapshot,
}

/// Most models that are listed.
const LISTED: usize = 8;

// === impl Banner ===

impl Banner<'_> {
    /// Each model with who serves it.
    fn models(&self) -> String {
        let config = self.snapshot.config();
        let mut listed: Vec<String> = config.models.keys().take(LISTED).cloned().collect();
        let more = config.models.len() - listed.len();
        if more > 0 {
            listed.push(format!("and {more} more"));
        }
        listed.join(", ")
    }

    /// Whether some model has its weights in the model folder.
    fn uses_weights(&self) -> bool {
        let config = self.snapshot.config();
        let is_local = |name: &String| {
            config
                .providers
                .get(name)
                .is_some_and(|p| p.kind == ProviderKind::Local)
        };
        config
            .models
            .values()
            .flat_map(|model| &model.endpoints)
            .any(|endpoint| is_local(&endpoint.provider))
    }

    fn weights(&self) -> Option<&'static str> {
        let missing =
            "not here yet: the built-in demo answers in their place (fingerpost models pull smollm2)";
        self.uses_weights().then(|| {
            if Engines::are_here() {
                "here, loaded with the first request"
            } else {
                missing
            }
        })
    }
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, workers, .. } = self;
        let plural = if *workers == 1 { "" } else { "s" };
        let encoder = self.snapshot.policy().encoder();
        let config = self.snapshot.config();
        let source = self.source.map_or_else(
            || "built in (fingerpost schema --example prints it)".to_owned(),
            |file| file.display().to_string(),
        );
        writeln!(
            f,
            "fingerpost {} listens on http://{address} ({workers} worker{plural})",
            env!("CARGO_PKG_VERSION")
        )?;
        writeln!(f, "  configuration  {source}")?;
        writeln!(f, "  models         {}", self.models())?;
        if let Some(weights) = self.weights() {
            writeln!(f, "  local weights  {weights}")?;
        }
        writeln!(f, "  encoder        {} ({} dims)", encoder.name(), encoder.dims())?;
        let asked = config
            .aliases
            .0
            .first()
            .or_else(|| config.models.keys().next())
            .map_or("", String::as_str);
        writeln!(f, "try it:")?;
        writeln!(
            f,
            "  curl -i http://{address}/v1/chat/completions -H 'content-type: application/json' \\"
        )?;
        write!(
            f,
            "    -d '{{\"model\":\"{asked}\",\"messages\":[{{\"role\":\"user\",\"content\":\"What is the capital of France?\"}}]}}'"
        )
    }
}
