//! `fingerpost extproc`: Envoy in front, Fingerpost behind its external-processing filter.

use std::{net::SocketAddr, process::ExitCode, sync::Arc};

use clap::{Args, ValueEnum};
use fingerpost_extproc::{Options, Role, Server};
use fingerpost_gateway::{Placer, Shared};

use super::serve::{Serve, address};
use crate::{failure::Failure, output::Output};

/// Decides for Envoy: answers its external-processing calls, beside the server itself (for feedback, metrics and traces).
///
/// As a picker it names the endpoint and those to fall back on (`x-gateway-destination-endpoint`), as the Kubernetes Gateway API
/// Inference Extension asks for; as a router it also names decision and model and lets Envoy look up its route by them.
#[derive(Debug, Args)]
pub(crate) struct Extproc {
    #[command(flatten)]
    serve: Serve,
    /// Where Envoy asks over gRPC: ADDRESS:PORT or a port of this machine alone.
    #[arg(long, value_name = "ADDR", value_parser = address, default_value = "9002")]
    grpc: SocketAddr,
    /// What is decided for Envoy.
    #[arg(long, value_enum, default_value = "picker")]
    role: RoleName,
    /// Let a request for which no endpoint is in service go on to whom Envoy likes; without it the client is told (503).
    #[arg(long)]
    fail_open: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RoleName {
    /// The endpoint.
    Picker,
    /// Decision, model and endpoint.
    Router,
}

// === impl Extproc ===

impl Extproc {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let options = Options {
            role: match self.role {
                RoleName::Picker => Role::Picker,
                RoleName::Router => Role::Router,
            },
            fail_open: self.fail_open,
        };
        let grpc = self.grpc;
        self.serve.run_beside(output, &|shared: &Arc<Shared>, workers| {
            let placer = Arc::new(Placer::new(Arc::clone(shared))?);
            Ok(Some(Server::start(placer, options, grpc, workers)?))
        })
    }
}
