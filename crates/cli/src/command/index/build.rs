//! `fingerpost index build`: a file of vectors becomes an index.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use cpu_time::ProcessTime;
use fingerpost_index::{Hnsw, Metric, Options, Precision, Vectors};
use serde_json::json;

use crate::{failure::Failure, output::Output, progress::Bar};

/// Builds an HNSW index of a file of vectors.
#[derive(Debug, Args)]
pub(crate) struct Build {
    /// The vectors: .fvecs, .npy, or .jsonl with [..] or {"id": 7, "vector": [..]} a line. Without ids they count from 0
    vectors: PathBuf,
    /// Where the index goes; an old one there is replaced at the end, whole
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What near means
    #[arg(long, value_enum, default_value = "l2")]
    metric: MetricName,
    /// How components are kept: 4 bytes, 1 byte, or 1 byte and the originals to rank by
    #[arg(long, value_enum, default_value = "f32")]
    precision: PrecisionName,
    /// Links a vector a layer, twice that in the lowest
    #[arg(long, default_value_t = Options::default().m)]
    m: usize,
    /// Candidates looked at for the links of a vector
    #[arg(long, default_value_t = Options::default().ef_construction)]
    ef_construction: usize,
    /// Seed of the layers
    #[arg(long, default_value_t = Options::default().seed)]
    seed: u64,
    /// Threads; 0: one a core. One gives the same index every time
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MetricName {
    L2,
    Ip,
    Cosine,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PrecisionName {
    F32,
    Int8,
    Int8Rerank,
}

// === impl Build ===

impl Build {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let vectors = Vectors::read(&self.vectors)?;
        let options = Options {
            metric: match self.metric {
                MetricName::L2 => Metric::L2,
                MetricName::Ip => Metric::Ip,
                MetricName::Cosine => Metric::Cosine,
            },
            precision: match self.precision {
                PrecisionName::F32 => Precision::F32,
                PrecisionName::Int8 => Precision::Int8,
                PrecisionName::Int8Rerank => Precision::Int8Rerank,
            },
            m: self.m,
            ef_construction: self.ef_construction,
            seed: self.seed,
            ..Options::default()
        };
        if vectors.is_empty() {
            let path = self.vectors.display();
            return Err(
                Failure::from(format!("{path} holds no vectors")).with_way_out("a file with at least one")
            );
        }
        // Known before the work is done, not after it.
        let folder = self.out.parent().filter(|f| !f.as_os_str().is_empty());
        if folder.is_some_and(|f| !f.is_dir()) || self.out.is_dir() {
            let path = self.out.display();
            return Err(Failure::from(format!("{path} cannot be written"))
                .with_way_out("the name of a file in a folder that exists"));
        }
        let bar = Bar::of_items();
        let total = vectors.len() as u64;
        bar.set("linking", 0, total);
        let start = ProcessTime::now();
        let index = Hnsw::new(vectors.dimension, options)?;
        index.build(&vectors.values, vectors.ids.as_deref(), self.threads, &|done| {
            bar.set("linking", done as u64, total);
            true
        })?;
        let seconds = start.elapsed().as_secs_f64();
        drop(bar);
        index.save(&self.out)?;
        let stats = index.stats();
        let text = format!(
            "{}: {} vectors of {} components in {seconds:.2} s of CPU, {:.0} bytes a vector",
            self.out.display(),
            stats.vectors,
            stats.dimension,
            stats.bytes_per_vector,
        );
        output.result(
            &text,
            &json!({"index": self.out, "seconds": seconds, "stats": stats}),
        );
        Ok(ExitCode::SUCCESS)
    }
}
