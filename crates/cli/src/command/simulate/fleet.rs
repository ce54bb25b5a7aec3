//! `fingerpost simulate fleet`: policies over instances, on recorded or made-up traffic.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::Args;
use fingerpost_fleet::{
    TokenTime,
    simulate::{Named, Outage, Setting, Sweep, Synthetic, Trace, svg},
};
use serde_json::json;

use crate::{
    failure::Failure,
    interrupt::{self, Interrupt},
    output::Output,
    progress::Bar,
};

/// Replays traffic over a fleet of instances under each policy: first tokens within the objective, cached tokens, capacity. Interrupted
/// (Ctrl-C), it prints the runs made so far, marked as incomplete.
#[derive(Debug, Args)]
pub(crate) struct Fleet {
    /// The traffic: a trace of Mooncake (.jsonl) or of Azure (.csv)
    #[arg(long, value_name = "FILE", required_unless_present = "synthetic")]
    trace: Option<PathBuf>,
    /// So many made-up requests instead: conversations that share a system prompt
    #[arg(long, value_name = "N", conflicts_with = "trace")]
    synthetic: Option<usize>,
    /// What to compare, by name: all, ablations, or some; an unknown name lists them
    #[arg(long, value_name = "A,B|all", value_delimiter = ',', default_value = "all")]
    policy: Vec<String>,
    /// Arrivals a second; the trace's own times are stretched to that
    #[arg(long, value_name = "RATES", value_delimiter = ',', default_value = "6,8,10")]
    qps: Vec<f64>,
    /// Seconds between two looks at loads; 0: they are always known
    #[arg(long, value_name = "SECONDS", value_delimiter = ',', default_value = "0,1,3")]
    stale: Vec<f64>,
    /// How many instances
    #[arg(long, default_value_t = Setting::default().instances)]
    instances: usize,
    /// The longest time to first token that is wanted, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = Setting::default().slo_s)]
    slo: f64,
    /// How many seeds, of arrivals, places on rings and choices
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    first_seed: u64,
    /// Requests of the trace that are left out at its beginning
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: usize,
    /// Requests of the trace that are replayed, from there on
    #[arg(long, value_name = "N", default_value_t = 6000)]
    requests: usize,
    /// Prompts of so many tokens or more are left out
    #[arg(long, value_name = "TOKENS", default_value_t = 20_480)]
    most_tokens: u32,
    /// First requests that are not counted
    #[arg(long, value_name = "N", default_value_t = Setting::default().warm_up)]
    warm_up: usize,
    /// Routers that share the traffic, each with its own view
    #[arg(long, default_value_t = Setting::default().routers)]
    routers: usize,
    /// A router adds to a look at loads what it has itself sent since
    #[arg(long)]
    own_sends: bool,
    /// Share of looks that come to nothing
    #[arg(long, value_name = "SHARE", default_value_t = Setting::default().lost_reports)]
    lost_reports: f64,
    /// Seconds that a prompt token takes that is not cached
    #[arg(long, value_name = "SECONDS", default_value_t = f64::from(Setting::default().seconds_per_token))]
    seconds_per_token: f64,
    /// Seconds that a token of an answer takes
    #[arg(long, value_name = "SECONDS", default_value_t = Setting::default().seconds_per_output)]
    seconds_per_output: f64,
    /// Tokens that an instance's prefix cache holds
    #[arg(long, value_name = "TOKENS", default_value_t = Setting::default().cached_tokens)]
    cached_tokens: u64,
    /// Adapters among which each made-up conversation has one; 0: none has
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "trace")]
    adapters: u16,
    /// Adapters that an instance keeps loaded
    #[arg(long, value_name = "N", default_value_t = Setting::default().adapters)]
    adapter_slots: usize,
    /// Seconds that loading another one takes
    #[arg(long, value_name = "SECONDS", default_value_t = Setting::default().adapter_load_s)]
    adapter_load: f64,
    /// By how much each answer under way slows a prompt down
    #[arg(long, value_name = "SHARE", default_value_t = Setting::default().interference)]
    interference: f64,
    /// An instance (from 0) that fails, from and until when; may be given several times
    #[arg(long, value_name = "INSTANCE:FROM:UNTIL", value_parser = outage)]
    outage: Vec<Outage>,
    /// Seconds at which every router forgets all it knows
    #[arg(long, value_name = "SECONDS", value_delimiter = ',')]
    restart: Vec<f64>,
    /// Leave the search for capacities out, which takes most of the time
    #[arg(long)]
    no_capacity: bool,
    /// Draw the shares into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn outage(text: &str) -> Result<Outage, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let [instance, from, until] = parts[..] else {
        return Err("expected INSTANCE:FROM:UNTIL, as in 3:60:120".to_owned());
    };
    let seconds = |text: &str| text.parse::<f64>().map_err(|e| format!("`{text}`: {e}"));
    Ok(Outage {
        instance: instance.parse().map_err(|e| format!("`{instance}`: {e}"))?,
        from_s: seconds(from)?,
        until_s: seconds(until)?,
    })
}

// === impl Fleet ===

impl Fleet {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let sweep = Sweep {
            policies: Named::find(&self.policy)?,
            qps: self.qps,
            stale_s: self.stale,
            first_seed: self.first_seed,
            seeds: self.seeds,
            capacity: !self.no_capacity,
            threads: self.threads,
            setting: Setting {
                instances: self.instances,
                slo_s: self.slo,
                routers: self.routers,
                own_sends: self.own_sends,
                lost_reports: self.lost_reports,
                interference: self.interference,
                seconds_per_token: TokenTime::new(self.seconds_per_token)?,
                seconds_per_output: self.seconds_per_output,
                cached_tokens: self.cached_tokens,
                adapters: self.adapter_slots,
                adapter_load_s: self.adapter_load,
                outages: self.outage,
                restarts: self.restart,
                warm_up: self.warm_up,
                ..Setting::default()
            },
        };
        let (trace, requests) = match (&self.trace, self.synthetic) {
            (Some(path), _) => (Trace::read(path)?, self.requests),
            (None, count) => {
                let how = Synthetic {
                    requests: count.unwrap_or_default(),
                    adapters: self.adapters,
                    ..Synthetic::default()
                };
                (Trace::synthetic(&how), usize::MAX)
            }
        };
        let trace = trace.cut(self.most_tokens, usize::MAX)?.skip(self.skip)?;
        let trace = trace.cut(self.most_tokens, requests)?;
        let bar = Bar::of_items();
        let interrupt = Interrupt::listen()?;
        let report = sweep.run(&trace, &|done, of| {
            bar.set("simulating", done as u64, of as u64);
            !interrupt.is_asked()
        })?;
        drop(bar);
        if let Some(path) = self.svg {
            fs::write(&path, svg(&report)).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        }
        output.result(&report.text(), &json!(report));
        Ok(if report.complete {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(interrupt::CODE)
        })
    }
}
