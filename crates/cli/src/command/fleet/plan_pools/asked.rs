//! What is asked of a plan: a file of settings, and options that go before it.

use std::path::PathBuf;

use clap::Args;
use fingerpost_fleet::planner::Wrp;

use super::read;
use crate::failure::Failure;

/// Settings of a plan. Defaults are those of the file's keys.
#[derive(Debug, Clone, Args)]
pub(crate) struct Asked {
    /// Settings, as JSON: window_s, slo (ttft_p99_ms, utilisation), boundaries, gamma, compressible, transfer_ms_per_token, reopt_distance,
    /// min_interval_s; options go before them
    #[arg(long, value_name = "FILE")]
    wrp: Option<PathBuf>,
    /// Milliseconds that only one request in a hundred may take longer to its first token (5000)
    #[arg(long)]
    ttft_ms: Option<f64>,
    /// Share of the full pace that may be asked for (0.85)
    #[arg(long)]
    utilisation: Option<f64>,
    /// Boundaries between short and long requests to try, tokens of input and output (1024,2048,4096,8192,16384,32768)
    #[arg(long, value_delimiter = ',')]
    boundaries: Option<Vec<u32>>,
    /// Requests up to so many times a boundary may be shortened to it; several are all tried (1)
    #[arg(long, value_delimiter = ',')]
    gamma: Option<Vec<f64>>,
    /// Share of those that can be shortened safely (0)
    #[arg(long)]
    compressible: Option<f64>,
    /// Milliseconds that sending the keys and values of one token from prefill to decode takes (0.0026)
    #[arg(long)]
    transfer_ms: Option<f64>,
    /// Seconds of a window of `--windows` (300)
    #[arg(long, value_name = "SECONDS")]
    window: Option<f64>,
    /// Jensen-Shannon distance of token histograms from which on `--windows` plans anew (0.1)
    #[arg(long)]
    reopt_distance: Option<f64>,
    /// Seconds between two plans at least (600)
    #[arg(long, value_name = "SECONDS")]
    min_interval: Option<f64>,
}

// === impl Asked ===

impl Asked {
    pub(crate) fn wrp(&self) -> Result<Wrp, Failure> {
        let file = self.wrp.as_deref().map(read).transpose()?;
        let mut wrp: Wrp = match file {
            Some(text) => serde_json::from_str(&text).map_err(|e| {
                Failure::from(e).with_way_out("an object with keys of `wrp`, as in pools.json")
            })?,
            None => Wrp::default(),
        };
        let over = |into: &mut f64, value: Option<f64>| *into = value.unwrap_or(*into);
        over(&mut wrp.slo.ttft_p99_ms, self.ttft_ms);
        over(&mut wrp.slo.utilisation, self.utilisation);
        over(&mut wrp.compressible, self.compressible);
        over(&mut wrp.transfer_ms_per_token, self.transfer_ms);
        over(&mut wrp.window_s, self.window);
        over(&mut wrp.reopt_distance, self.reopt_distance);
        over(&mut wrp.min_interval_s, self.min_interval);
        wrp.boundaries = self.boundaries.clone().unwrap_or(wrp.boundaries);
        wrp.gamma = self.gamma.clone().unwrap_or(wrp.gamma);
        wrp.check()?;
        Ok(wrp)
    }
}
