//! `fingerpost fleet plan-sequences`: where the sequences of a batch go in a training cluster.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use fingerpost_fleet::zeppelin::{
    ClusterSpec, Placement, Plan, PlanOptions, Zone, plan, read_lengths, timeline_svg,
};

use super::{read, write};
use crate::{failure::Failure, output::Output};

/// Lays the sequences of a batch out over the devices of a training cluster (Zeppelin).
#[derive(Debug, Args)]
pub(crate) struct PlanSequences {
    /// Lengths in tokens: a JSON array, or numbers separated by white space or commas; - for standard input
    #[arg(long, value_name = "FILE")]
    lengths: PathBuf,
    /// The cluster and what work costs on it, as JSON; 4 nodes of 8 devices and a model of 7 billion parameters where absent
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,
    /// Where the plan goes, as JSON for a training job
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where a picture goes of what each device does when
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Sends through one network card at a time
    #[arg(long)]
    no_spread: bool,
    /// Leaves tokens where attention had them
    #[arg(long)]
    no_remap: bool,
}

// === impl PlanSequences ===

impl PlanSequences {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let lengths = read_lengths(&read(&self.lengths)?)?;
        let spec = match &self.cluster {
            Some(path) => ClusterSpec::read(&read(path)?)?,
            None => ClusterSpec::default(),
        };
        let options = PlanOptions {
            spread: !self.no_spread,
            remap: !self.no_remap,
        };
        let plan = plan(&lengths, &spec.cluster, &spec.costs, &options)?;
        if let Some(path) = &self.out {
            write(path, &serde_json::to_string(&plan)?)?;
        }
        if let Some(path) = &self.svg {
            write(path, &timeline_svg(&plan))?;
        }
        output.result(&shown(&plan), &plan);
        Ok(ExitCode::SUCCESS)
    }
}

fn shown(plan: &Plan) -> String {
    let times = plan.times;
    let how = match plan.placement {
        Placement::Hierarchical {
            inter_node_above,
            intra_node_above,
        } => {
            let of = |zone: Zone| {
                let groups = plan.groups.iter().filter(|g| g.zone == zone);
                let mut sequences: Vec<u32> = groups.flat_map(|g| &g.chunks).map(|c| c.sequence).collect();
                sequences.sort_unstable();
                sequences.dedup();
                sequences.len()
            };
            format!(
                "{} sequences over nodes (above {inter_node_above} tokens), {} over the devices of a node (above \
                 {intra_node_above}), {} whole",
                of(Zone::InterNode),
                of(Zone::IntraNode),
                of(Zone::Local)
            )
        }
        Placement::Baseline { baseline } => format!("nothing is faster than {}", baseline.name()),
    };
    let mut text = format!(
        "{how}\n{:.1} ms a step: attention {:.1}, linear modules {:.1}, moving tokens {:.1}\n\nthe plan against",
        times.step_ms, times.attention_ms, times.linear_ms, times.remap_ms
    );
    for baseline in &plan.baselines {
        let note = if baseline.fits {
            ""
        } else {
            "  (does not fit the devices' memory)"
        };
        text.push_str(&format!(
            "\n  {:16} {:>12.1} ms {:>7.2} x{note}",
            baseline.baseline.name(),
            baseline.step_ms,
            baseline.speed_up
        ));
    }
    text
}
