//! `fingerpost simulate tools`: a task through a graph of tools, some of which are down.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::Args;
use fingerpost_agents::self_healing::{
    Behaviour, EventKind, Fault, GraphFile, SelfHealing, Task, ToolGraph, World, svg,
};
use fingerpost_core::{Name, Timestamp};
use rand::{SeedableRng, rngs::SmallRng};
use serde_json::json;

use crate::{failure::Failure, output::Output};

/// Walks a task through a graph of tools and shows the path, what failed, and what was done about it. Calls nobody.
#[derive(Debug, Args)]
pub(crate) struct Tools {
    /// The graph (YAML or JSON)
    #[arg(long, value_name = "FILE")]
    graph: PathBuf,
    /// Tools that are down
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    down: Vec<String>,
    /// Tools that do not answer in time
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    hang: Vec<String>,
    /// Tools whose answers are of no use
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    lie: Vec<String>,
    /// What is asked for
    #[arg(long, value_name = "TEXT", default_value = "")]
    request: String,
    /// The goal; default: by the words of the request, else that of the graph
    #[arg(long, value_name = "NAME")]
    goal: Option<String>,
    /// What the task is worth, for the graph's `risk_amount`
    #[arg(long)]
    amount: Option<f64>,
    /// Facts that hold from the beginning
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    holds: Vec<String>,
    /// The model approves of what is a risk
    #[arg(long)]
    approve: bool,
    /// How many tasks, one a second: later ones know what the earlier ones found; the last one is shown
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    tasks: u32,
    /// Draw the graph and the walk into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

// === impl Tools ===

impl Tools {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let shown = self.graph.display();
        let text = fs::read_to_string(&self.graph).map_err(|e| format!("cannot read {shown}: {e}"))?;
        let made = GraphFile::parse(&text).and_then(|file| ToolGraph::new(&file));
        let (graph, defects) = made.map_err(|e| format!("{shown}: {e}"))?;
        for defect in &defects {
            output.note(&format!("{shown}: {defect}"));
        }
        let mut world = World::default();
        world.approves = self.approve;
        for (tools, fault) in [
            (&self.down, Fault::Down),
            (&self.hang, Fault::Timeout),
            (&self.lie, Fault::Lies),
        ] {
            for tool in tools {
                if !graph.tools().any(|t| t.name == tool.as_str()) {
                    let known: Vec<&str> = graph.tools().map(|t| t.name.as_str()).take(20).collect();
                    return Err(Failure::from(format!("the graph has no tool `{tool}`"))
                        .with_way_out(format!("one of {}", known.join(", "))));
                }
                world.set(
                    tool.as_str(),
                    Behaviour {
                        fails: Some(fault),
                        ..Behaviour::default()
                    },
                );
            }
        }
        let task = Task {
            goal: self.goal.as_deref().map(Name::from),
            amount: self.amount,
            holds: self.holds.iter().map(|h| Name::from(h.as_str())).collect(),
            ..Task::new(self.request)
        };
        let router = SelfHealing::new(graph, "self_healing");
        let mut rng = SmallRng::seed_from_u64(0);
        let walk = |second: u32, rng: &mut SmallRng| {
            world.run(
                &router,
                &task,
                Timestamp::from_millis(1000 * u64::from(second)),
                rng,
            )
        };
        let mut run = walk(1, &mut rng)?;
        for second in 2..=self.tasks {
            run = walk(second, &mut rng)?;
        }
        let report = &run.report;
        if let Some(path) = &self.svg {
            let picture = svg(router.graph(), report);
            fs::write(path, picture).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        }
        let run_tools: Vec<&str> = report.executed.iter().map(Name::as_str).collect();
        let mut lines: Vec<String> = report.log.iter().map(ToString::to_string).collect();
        lines.push(format!(
            "run: {}",
            if run_tools.is_empty() {
                "nothing".to_owned()
            } else {
                run_tools.join(" > ")
            }
        ));
        lines.push(format!(
            "{} `{}`: {} calls, {} failures ({} reroutes, {} escalations), the model asked {} times, {:.0} ms",
            report.ending,
            report.goal,
            run.calls.len(),
            report.failures,
            report.count(EventKind::Reroute),
            report.count(EventKind::Escalate),
            report.llm_calls,
            run.elapsed_ms,
        ));
        let object = json!({
            "graph": router.graph().name(),
            "ending": report.ending,
            "goal": report.goal,
            "run": report.executed,
            "calls": run.calls.len(),
            "failures": report.failures,
            "llm_calls": report.llm_calls,
            "milliseconds": run.elapsed_ms,
            "reason": run.decision.reason.to_string(),
            "log": report.log,
            "defects": defects.iter().map(ToString::to_string).collect::<Vec<_>>(),
        });
        output.result(&lines.join("\n"), &object);
        Ok(ExitCode::SUCCESS)
    }
}
