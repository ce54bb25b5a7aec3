//! `fingerpost fleet matrix`: workload, router and pool, each changing and each reacting, measured on a log; and whether the two
//! that can be tuned are better tuned together.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use fingerpost_fleet::{
    planner::{Coupled, GpuProfile, Optimiser, Topology, page, table},
    simulate::Named,
};
use serde_json::json;

use super::{
    plan_pools::{Asked, read_log},
    read, write,
};
use crate::{failure::Failure, output::Output};

/// Measures the nine cells of workload, router and pool on a log, also those where nothing is gained (Workload-Router-Pool).
#[derive(Debug, Args)]
pub(crate) struct Matrix {
    /// The log: CSV with TIMESTAMP, ContextTokens and GeneratedTokens, or JSON Lines with timestamp, input_length and output_length
    #[arg(long, value_name = "FILE")]
    trace: PathBuf,
    /// One GPU, as JSON; keys that are left out have their defaults
    #[arg(long, value_name = "FILE")]
    gpu: Option<PathBuf>,
    /// Requests a second; those of the log where absent
    #[arg(long)]
    rate: Option<f64>,
    #[command(flatten)]
    asked: Asked,
    /// Policies that are compared; the first is what is there before anything is tuned
    #[arg(
        long,
        value_name = "A,B|all",
        value_delimiter = ',',
        default_value = "power_of_two,least_load,bounded_hash,cache_aware,min_ttft,dualmap"
    )]
    policies: Vec<String>,
    /// Requests that each run plays
    #[arg(long, value_name = "N", default_value_t = 6_000)]
    requests: usize,
    /// Of everything that is drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Tunes router and pools apart and together too, on made-up mixes of chats, agents and both, and over a shift: requests a second of each
    #[arg(long, value_name = "CHAT,AGENT,MIXED", value_delimiter = ',', num_args = 1)]
    coupling: Vec<f64>,
    /// Where the matrix goes as a page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

// === impl Matrix ===

impl Matrix {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let trace = read_log(&self.trace)?;
        let gpu: GpuProfile = match &self.gpu {
            Some(path) => serde_json::from_str(&read(path)?)
                .map_err(|e| Failure::from(e).with_way_out("an object with keys of the GPU's profile"))?,
            None => GpuProfile::default(),
        };
        let optimiser = Optimiser {
            gpu,
            wrp: self.asked.wrp()?,
            policies: Named::find(&self.policies)?,
            verify: 1,
            requests: self.requests,
            seed: self.seed,
        };
        let rates: Option<[f64; 3]> = match &self.coupling[..] {
            [] => None,
            [chat, agent, mixed] if self.coupling.iter().all(|r| *r > 0.0 && r.is_finite()) => {
                Some([*chat, *agent, *mixed])
            }
            _ => {
                return Err(Failure::from("--coupling takes three rates over 0")
                    .with_way_out("--coupling 300,60,120"));
            }
        };
        let cells = optimiser.matrix(&trace, self.rate)?;
        let coupled = rates.map(|rates| optimiser.coupling(rates)).transpose()?;
        if let Some(path) = &self.html {
            write(path, &page(&cells, &self.trace.display().to_string()))?;
        }
        let mut text = table(&cells);
        if let Some(coupled) = &coupled {
            text.push_str("\n\n");
            text.push_str(&shown(coupled));
        }
        let object = json!({
            "cells": cells.iter().map(|c| {
                let mut cell = json!(c);
                cell["gain"] = json!(c.gain());
                cell
            }).collect::<Vec<_>>(),
            "coupling": coupled,
        });
        output.result(&text, &object);
        Ok(ExitCode::SUCCESS)
    }
}

fn shown(coupled: &[Coupled]) -> String {
    let said = |of: &fingerpost_fleet::planner::Combination| {
        let division = match of.topology {
            Topology::One => "one pool".to_owned(),
            Topology::ByLength { boundary, .. } => format!("up to {boundary}"),
            Topology::Disaggregated { .. } => "apart".to_owned(),
        };
        let gpus = of.gpus.map_or("none keeps".to_owned(), |g| format!("{g} GPUs"));
        format!("{gpus} ({}, {division})", of.policy)
    };
    let mut text = format!("{:18} {:44} {}", "mix", "router and pools apart", "together");
    for one in coupled {
        text.push_str(&format!(
            "\n{:18} {:44} {}",
            one.mix,
            said(&one.apart),
            said(&one.together)
        ));
    }
    text
}
