//! `fingerpost serve`: starts the server, keeps it on the current configuration, and ends it gracefully.

mod banner;
mod cluster;
mod fetch;
mod reload;
mod stop;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use fingerpost_gateway::{Server, Shared, StartError, config::Loaded};
use fingerpost_store::{BackEnd, StoreError};
use serde_json::json;
use tracing_subscriber::EnvFilter;

use self::{banner::Banner, cluster::Cluster, reload::Reload, stop::Signal};
use crate::{
    configuration::{Source, data_folder, encoder, located, say, unusable},
    engines::Engines,
    failure::Failure,
    output::Output,
};

/// Serves: takes requests, routes them, passes the answers on.
///
/// Without a configuration it starts on a built-in one that routes between the local models; `fingerpost schema --example`
/// prints it. A changed configuration file, or SIGHUP, is put in place without a restart; SIGTERM and Ctrl-C let requests under
/// way finish, a second one does not.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    source: Source,
    /// Where to listen: ADDRESS:PORT or a port of this machine alone. Goes before `server.listen`.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Worker threads; `server.workers`, else one a core, where absent.
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Where the API of the Kubernetes cluster is whose pods serve models (`pods`), such as http://127.0.0.1:8001 beside `kubectl proxy`; that
    /// of the cluster that this process runs in where absent.
    #[arg(long, value_name = "URL", env = "FINGERPOST_KUBERNETES")]
    kubernetes: Option<String>,
    /// Do not fetch the local model in the background when no configuration is given and the model is missing.
    #[arg(long)]
    no_pull: bool,
}

/// Starts what answers Envoy, with so many workers.
type Beside<'a> = &'a dyn Fn(&Arc<Shared>, usize) -> Result<Option<fingerpost_extproc::Server>, Failure>;

/// How often the configuration file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

// === impl Serve ===

impl Serve {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        self.run_beside(output, &|_, _| Ok(None))
    }

    /// Serves, and has what `beside` starts answer Envoy meanwhile.
    pub(super) fn run_beside(self, output: Output, beside: Beside<'_>) -> Result<ExitCode, Failure> {
        let filter = EnvFilter::try_from_env("FINGERPOST_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .init();
        let name = self
            .source
            .file
            .as_ref()
            .map_or("the built-in configuration".to_owned(), |file| {
                file.display().to_string()
            });
        let mut loaded = self.source.load().map_err(|problems| {
            say(&problems, output);
            unusable(&name, &problems)
        })?;
        say(&loaded.warnings, output);
        let server = &loaded.config.server;
        let workers = self
            .workers
            .or(server.workers)
            .or_else(|| std::thread::available_parallelism().ok());
        let workers = workers.map_or(1, NonZeroUsize::get);
        let (listen, drain) = (self.listen.unwrap_or(server.listen), server.drain);
        let engines = Engines::new();
        let shared = self.start(&mut loaded, &engines, workers, output)?;
        say(&located(&loaded, shared.snapshot().warnings()), output);
        let mut cluster = Cluster::start(self.kubernetes, &shared)?;
        let server = Server::start(Arc::clone(&shared), listen, workers)?;
        let beside = beside(&shared, workers)?;
        let banner = Banner {
            address: server.address(),
            workers,
            source: self.source.file.as_deref(),
            snapshot: &shared.snapshot(),
        };
        if output.is_json() {
            let mut addresses = json!({"address": server.address(), "workers": workers});
            if let Some(beside) = &beside {
                addresses["grpc"] = json!(beside.address());
            }
            output.result("", &addresses);
        } else {
            output.note(&banner.to_string());
            if let Some(beside) = &beside {
                output.note(&format!(
                    "external processing for Envoy: grpc://{}",
                    beside.address()
                ));
            }
        }
        if self.source.file.is_none() && !self.no_pull && cfg!(feature = "local") && !Engines::are_here() {
            fetch::in_background(output);
        }
        let mut reload = self
            .source
            .file
            .map(|file| Reload::new(file, &loaded, Arc::clone(&shared), output));
        let mut signals = stop::Signals::listen()?;
        loop {
            match signals.next(LOOK_EVERY) {
                Some(Signal::Stop) => break,
                Some(Signal::Reload) => reload.iter_mut().for_each(Reload::now),
                None => reload.iter_mut().for_each(Reload::if_changed),
            }
            cluster.keep(output);
        }
        if let Some(beside) = beside {
            beside.stop();
        }
        let cut_off = stop::drain(server, &shared, drain, &mut signals, output);
        Ok(if cut_off == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    /// Puts the configuration in place. A newcomer who starts a second server beside the first gets it: without a configuration
    /// there is nothing in the store that would be missed.
    fn start(
        &self,
        loaded: &mut Loaded,
        engines: &Engines,
        workers: usize,
        output: Output,
    ) -> Result<Arc<Shared>, Failure> {
        let data = data_folder()?;
        let encoder = encoder(loaded.config.encoder, output);
        let start = |loaded: &Loaded| {
            Shared::new(
                loaded.config.clone(),
                &data,
                engines.gateway(),
                Arc::clone(&encoder),
                workers,
            )
        };
        let mut started = start(loaded);
        if let (Err(StartError::Store(error @ StoreError::Locked(_))), None) = (&started, &self.source.file) {
            output.note(&format!("note: {error}; nothing is stored in this one"));
            loaded.config.store.back_end = BackEnd::Memory;
            started = start(loaded);
        }
        started.map_err(|error| match error {
            StartError::Config(found) => {
                let problems = located(loaded, found);
                say(&problems, output);
                unusable(loaded.lines.name(), &problems)
            }
            other => other.into(),
        })
    }
}

/// An address with its port, or a port of this machine alone.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    port.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
        .or_else(|_| text.parse())
        .map_err(|_| "expected an address and a port, such as 0.0.0.0:8080, or a port alone".to_owned())
}
