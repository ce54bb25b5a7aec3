//! What a sweep gave: rows, capacities, and both as text.

use serde::Serialize;

use super::Summary;

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The policy's name.
    pub policy: String,
    /// Arrivals a second.
    pub qps: f64,
    /// Seconds between two looks at loads.
    pub stale_s: f64,
    /// Of everything that was drawn.
    pub seed: u64,
    /// What came out.
    #[serde(flatten)]
    pub summary: Summary,
}

/// The highest rate at which enough first tokens come within the objective.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Capacity {
    /// The policy's name.
    pub policy: String,
    /// Seconds between two looks at loads.
    pub stale_s: f64,
    /// Share of requests that is enough.
    pub share: f64,
    /// Requests a second: the mean over seeds.
    pub qps: f64,
    /// Of the least lucky seed.
    pub lowest: f64,
    /// Of the luckiest.
    pub highest: f64,
}

/// What all runs gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Every run.
    pub rows: Vec<Row>,
    /// Capacities, where they were looked for.
    pub capacity: Vec<Capacity>,
    /// Whether all that was asked for is in it; what was interrupted has what was done until then, of capacities the mean of the seeds
    /// that were done.
    pub complete: bool,
}

// === impl Report ===

impl Report {
    /// The mean of `what` over the rows of `policy` at `qps` and `stale_s`; `None` where there are none.
    pub fn mean(&self, policy: &str, qps: f64, stale_s: f64, what: impl Fn(&Summary) -> f64) -> Option<f64> {
        let rows = || {
            let is_asked = |r: &&Row| r.policy == policy && r.qps == qps && r.stale_s == stale_s;
            self.rows.iter().filter(is_asked)
        };
        #[allow(clippy::cast_precision_loss, reason = "few rows")]
        let count = rows().count() as f64;
        (count > 0.0).then(|| rows().map(|r| what(&r.summary)).sum::<f64>() / count)
    }

    /// The rows' policies, each once.
    pub fn policies(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !names.contains(&row.policy.as_str()) {
                names.push(&row.policy);
            }
        }
        names
    }

    /// As tables to be read: means over seeds.
    pub fn text(&self) -> String {
        let mut points: Vec<(f64, f64)> = Vec::new();
        for row in &self.rows {
            if !points.contains(&(row.stale_s, row.qps)) {
                points.push((row.stale_s, row.qps));
            }
        }
        let names = self.policies();
        let width = names.iter().map(|n| n.len()).max().unwrap_or(0).max(24);
        let mut text = format!("{:<width$}", "within the objective / cached");
        for (stale_s, qps) in &points {
            text.push_str(&format!(" {:>13}", format!("{qps}/s, {stale_s} s")));
        }
        for name in &names {
            text.push_str(&format!("\n{name:<width$}"));
            for (stale_s, qps) in &points {
                let mean =
                    |what: fn(&Summary) -> f64| self.mean(name, *qps, *stale_s, what).unwrap_or(f64::NAN);
                text.push_str(&format!(
                    "   {:.3} / {:.3}",
                    mean(|s| s.within_slo),
                    mean(|s| s.hit_ratio)
                ));
            }
        }
        if !self.complete {
            text.insert_str(0, "incomplete: interrupted before all runs were made\n");
        }
        if !self.capacity.is_empty() {
            text.push_str(&format!(
                "\n\n{:<width$} {:>8} {:>8} {:>8}",
                "capacity", "stale, s", "99 %", "90 %"
            ));
            for pair in self.capacity.chunks(super::sweep::SHARES.len()) {
                let [first, second] = pair else { continue };
                text.push_str(&format!(
                    "\n{:<width$} {:>8} {:>8.2} {:>8.2}",
                    first.policy, first.stale_s, first.qps, second.qps
                ));
            }
        }
        text
    }
}
