//! The matrix of nine: workload, router and pool, each changing and each reacting, measured on a log.
//!
//! Every cell is a metric without and with the reaction, also where nothing is gained. Cells that need what the log does not say (tools,
//! blocks) are measured on made-up mixes, and say so. The paper is a frame without results: these are the cells of this house.

mod cells;

use serde::Serialize;

use super::{Optimiser, PlanError, Replay, Stream, Topology, Trace, Workload, replay, size};
use crate::simulate::Named;

/// What changes, and what reacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// What arrives.
    Workload,
    /// How each request is dispatched.
    Router,
    /// Where it runs.
    Pool,
}

/// One of the nine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// What changes.
    pub changes: Axis,
    /// What reacts.
    pub reacts: Axis,
    /// What is measured; less of it is better in every cell.
    pub metric: &'static str,
    /// Without the reaction: what that is, and its metric.
    pub without: (String, f64),
    /// With it.
    pub with: (String, f64),
    /// What it was measured on, and what else there is to say.
    pub note: String,
}

/// What the cells are measured with.
struct Bench<'a> {
    optimiser: &'a Optimiser,
    trace: &'a Trace,
    stream: Stream,
    rate: f64,
}

// === impl Cell ===

impl Cell {
    /// What is gained, as a share of the metric without the reaction; negative for a loss, 0 where there is nothing to lose.
    pub fn gain(&self) -> f64 {
        if self.without.1 == 0.0 {
            0.0
        } else {
            1.0 - self.with.1 / self.without.1
        }
    }
}

// === impl Optimiser ===

impl Optimiser {
    /// Measures all nine cells on a log at its own rate or another, row by row.
    ///
    /// # Errors
    /// [`PlanError`] where the log cannot be planned for at all.
    pub fn matrix(&self, trace: &Trace, rate: Option<f64>) -> Result<Vec<Cell>, PlanError> {
        self.wrp.check()?;
        let rate = Workload::of(trace)?.load(trace, rate).rate;
        let bench = Bench {
            optimiser: self,
            trace,
            stream: Stream::of(trace, rate, self.requests),
            rate,
        };
        Ok(vec![
            bench.workload_workload()?,
            bench.workload_router()?,
            bench.workload_pool()?,
            bench.router_workload()?,
            bench.router_router()?,
            bench.router_pool()?,
            bench.pool_workload()?,
            bench.pool_router()?,
            bench.pool_pool()?,
        ])
    }
}

// === impl Bench ===

impl Bench<'_> {
    /// The policies that are compared, by name.
    fn policy(&self, name: &str) -> Result<Named, PlanError> {
        let found = Named::find(&[name.to_owned()]).ok().and_then(|mut n| n.pop());
        found.ok_or(PlanError::NotKept)
    }

    /// The fewest GPUs with which a policy keeps the objective on a log, by events.
    fn fewest(
        &self,
        trace: &Trace,
        rate: f64,
        topology: Topology,
        named: &Named,
    ) -> Result<Option<u32>, PlanError> {
        let load = Workload::of(trace)?.load(trace, Some(rate));
        let plan = match size(&load, &self.optimiser.gpu, topology, self.optimiser.wrp.slo) {
            Ok(plan) => plan,
            Err(PlanError::Objective { .. } | PlanError::Window { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let counts: Vec<u32> = plan.pools.iter().map(|p| p.gpus).collect();
        let stream = Stream::of(trace, rate, self.optimiser.requests);
        let played = self.optimiser.fewest(&stream, topology, named, &counts)?;
        Ok(played.map(|r| r.pools.iter().map(|p| p.gpus).sum()))
    }

    /// The same on the bench's own log.
    fn own(&self, topology: Topology, named: &Named) -> Result<Option<u32>, PlanError> {
        self.fewest(self.trace, self.rate, topology, named)
    }

    /// Plays one pool of so many GPUs.
    fn play(&self, gpus: u32, named: &Named, patience_s: Option<f64>) -> Result<Replay, PlanError> {
        let (gpu, seed) = (&self.optimiser.gpu, self.optimiser.seed);
        replay(
            &self.stream,
            gpu,
            Topology::One,
            &named.policy,
            &[gpus],
            patience_s,
            seed,
        )
    }
}

/// Both as text, the cells of one row after the other.
pub fn table(cells: &[Cell]) -> String {
    let mut text = String::new();
    for cell in cells {
        text.push_str(&format!(
            "{} -> {}: {}\n    {}: {}\n    {}: {}\n    gained: {:.1} %{}{}\n",
            cell.changes.name(),
            cell.reacts.name(),
            cell.metric,
            cell.without.0,
            short(cell.without.1),
            cell.with.0,
            short(cell.with.1),
            100.0 * cell.gain(),
            if cell.note.is_empty() { "" } else { "; " },
            cell.note,
        ));
    }
    text.truncate(text.trim_end().len());
    text
}

/// The matrix as a page of its own.
pub fn page(cells: &[Cell], log: &str) -> String {
    let escaped = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
    };
    let mut rows = String::new();
    for row in cells.chunks(3) {
        let first = row.first().map_or("", |c| c.changes.name());
        rows.push_str(&format!("<tr><th>{first}</th>"));
        for cell in row {
            let kind = match cell.gain() {
                gain if gain > 0.005 => "gain",
                gain if gain < -0.005 => "loss",
                _ => "same",
            };
            rows.push_str(&format!(
                "<td class=\"{kind}\"><b>{}</b><br>{}: {}<br>{}: {}<br><i>gained {:.1} %</i><br><small>{}</small></td>",
                escaped(cell.metric),
                escaped(&cell.without.0),
                short(cell.without.1),
                escaped(&cell.with.0),
                short(cell.with.1),
                100.0 * cell.gain(),
                escaped(&cell.note),
            ));
        }
        rows.push_str("</tr>\n");
    }
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Workload, router, pool</title>\n\
         <style>body{{font:15px sans-serif;margin:2em}}table{{border-collapse:collapse}}td,th{{border:1px solid #bbb;\
         padding:.6em;vertical-align:top;max-width:22em}}.gain{{background:#e7f5e7}}.loss{{background:#fbe9e7}}\
         .same{{background:#f3f3f3}}</style>\n<h1>Workload, router, pool</h1><p>Rows change, columns react; less is \
         better in every cell. Log: {}</p>\n<table><tr><th></th><th>workload</th><th>router</th><th>pool</th></tr>\n\
         {rows}</table></html>\n",
        escaped(log)
    )
}

/// Few digits.
fn short(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e9 {
        format!("{value:.0}")
    } else if value.abs() >= 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

// === impl Axis ===

impl Axis {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Router => "router",
            Self::Pool => "pool",
        }
    }
}
