//! The commands, one a file.

mod check;
mod completions;
mod eval;
mod extproc;
mod fleet;
mod hierarchy;
mod index;
mod mcp;
mod models;
mod route;
mod routers;
mod schema;
mod serve;
mod simulate;
mod skills;
mod train;

use std::process::ExitCode;

use clap::Subcommand;

use crate::{failure::Failure, output::Output};

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(serve::Serve),
    Extproc(extproc::Extproc),
    Mcp(mcp::Mcp),
    Route(route::Route),
    Check(check::Check),
    /// Lists, fetches and makes models.
    #[command(subcommand)]
    Models(models::Models),
    /// Judges routers.
    #[command(subcommand)]
    Eval(eval::Eval),
    /// Plans fleets and the work of clusters.
    #[command(subcommand)]
    Fleet(fleet::Fleet),
    /// Makes trees of graphs.
    #[command(subcommand)]
    Hierarchy(hierarchy::Hierarchy),
    /// Builds and searches indexes of vectors.
    #[command(subcommand)]
    Index(index::Index),
    /// Finds, groups, compiles and judges skills, tools and agents.
    #[command(subcommand)]
    Skills(skills::Skills),
    /// Trains routers.
    #[command(subcommand)]
    Train(train::Train),
    /// Tries out what serving would do.
    #[command(subcommand)]
    Simulate(simulate::Simulate),
    /// Tells what routers there are.
    #[command(subcommand)]
    Routers(routers::Routers),
    Schema(schema::Schema),
    Completions(completions::Completions),
}

// === impl Command ===

impl Command {
    /// Runs it. What goes wrong is a failure; an exit code other than 0 without one has already been explained.
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        match self {
            Self::Serve(serve) => serve.run(output),
            Self::Extproc(extproc) => extproc.run(output),
            Self::Mcp(mcp) => mcp.run(output),
            Self::Route(route) => route.run(output),
            Self::Check(check) => check.run(output),
            Self::Models(models) => models.run(output),
            Self::Eval(eval) => eval.run(output),
            Self::Fleet(fleet) => fleet.run(output),
            Self::Train(train) => train.run(output),
            Self::Hierarchy(hierarchy) => hierarchy.run(output),
            Self::Index(index) => index.run(output),
            Self::Routers(routers) => routers.run(output),
            Self::Simulate(simulate) => simulate.run(output),
            Self::Skills(skills) => skills.run(output),
            Self::Schema(schema) => schema.run(output),
            Self::Completions(completions) => completions.run(output),
        }
    }
}
