//! `fingerpost index stats`: the shape of an index.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use fingerpost_index::Hnsw;

use crate::{failure::Failure, output::Output};

/// Checks an index file and tells its shape.
#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// The index
    index: PathBuf,
}

// === impl Stats ===

impl Stats {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let stats = Hnsw::open(&self.index)?.stats();
        let options = &stats.options;
        let text = format!(
            "vectors        {}\ncomponents     {}\nmetric         {:?}\nprecision      {:?}\nm              {}\n\
             ef at build    {}\nlayers         {:?}\nmean links     {:.1}\nbytes a vector {:.1}\noriginals      {} bytes\n\
             removed        {}",
            stats.vectors,
            stats.dimension,
            options.metric,
            options.precision,
            options.m,
            options.ef_construction,
            stats.layers,
            stats.mean_degree,
            stats.bytes_per_vector,
            stats.original_bytes,
            stats.dead,
        );
        output.result(&text, &stats);
        Ok(ExitCode::SUCCESS)
    }
}
