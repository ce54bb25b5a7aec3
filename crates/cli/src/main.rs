//! The binary `fingerpost`: serves, routes, explains.
//!
//! Each command has its own file under [`command`] and is thin: what it does is in the libraries, here is only how it is asked
//! for and how it is shown. Whatever a command prints for machines (`--json`) is exactly one JSON object on standard output;
//! everything for people that is no result (progress, hints, errors) goes to standard error.
//!
//! Exit codes: 0 it worked; 1 it did not (for `check`: the configuration has errors); 2 the command line was not understood.

mod command;
mod configuration;
mod encoder;
mod engines;
mod failure;
mod interrupt;
mod output;
mod pages;
mod progress;

use std::process::ExitCode;

use clap::Parser;

/// The system's allocator costs several microseconds a request more under load.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One router for all language models: requests go down a hierarchy of routers, from signals, within limits.
#[derive(Debug, Parser)]
#[command(name = "fingerpost", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 it worked, 1 it did not, 2 the command line was not understood.")]
struct Arguments {
    #[command(subcommand)]
    command: command::Command,
    /// Print one JSON object on standard output and nothing else there.
    #[arg(long, global = true)]
    json: bool,
}

fn main() -> ExitCode {
    pages::small();
    let arguments = Arguments::parse();
    let output = output::Output::new(arguments.json);
    match arguments.command.run(output) {
        Ok(code) => code,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::FAILURE
        }
    }
}
