//! `self_healing`: from a task to its goal through a graph of tools, around those that fail, without asking a model at each step.
//!
//! Tools are nodes, what may follow what are edges with a cost. The cheapest path to the goal is walked tool by tool; before each
//! step monitors look at the walk and the strongest signal says what happens ([`monitor`]). A tool that fails gets an infinite
//! weight, and the path is sought anew from where the walk stands, or from the last place that it may go back to. What is known
//! of tools from earlier tasks bears on the weights ([`health`]). Preconditions are kept by searching over nodes together with
//! the facts that hold there ([`path`]). Tools that were run are not run again.
//!
//! A language model is asked only where no path is left, or where the task is a risk: it chooses among the lesser goals that can
//! still be reached, or hands the task over. Where there is nothing to choose it is not asked. Every failure is a reroute or an
//! escalation in the log, which the decision's evidence carries ([`Report::of`]); nothing fails silently.
//!
//! A fan-out walks branches side by side, the same number of steps at a time. An optional branch may be lost while a quorum can
//! still be met; below the quorum, or without a required branch, the task waits for review.
//!
//! Score and weight of the picks: 1 for each tool that was run, the last one first, whose answer is the result; where the task is
//! handed over, whoever takes it. Candidates are the tools and who is asked (`settings.llm`), by name; a tool that is not among
//! them, or breaks a limit, is passed by. Cost of a step: one search, O((V + E) log V), and the reading and writing of its thread.
//!
//! Source: "Graph-Based Self-Healing Tool Routing for Cost-Efficient LLM Agents" (Self-Healing Router). Differs: weights from what
//! was seen (proposed there, not tested); preconditions, quorum, output checks; the limit of three failures is an option, since a
//! path that exists is to be found; no model is asked before the start because many tools are down, unless no path is left; where
//! nothing leads on from where the walk stands it goes back, but never to before a tool that changed something.

mod build;
pub mod defect;
mod ending;
pub mod file;
pub mod graph;
pub mod health;
mod leg;
pub mod log;
pub mod monitor;
mod path;
mod picture;
mod question;
pub mod settings;
pub mod simulate;
mod task;
mod walk;
mod walker;

use fingerpost_core::{
    Answer, CandidateId, Context, Decision, Deliberate, Evidence, Learn, Name, NoRoute, Outcome, Query, Step,
    Thread, Timestamp,
};

pub use self::{
    defect::{Defect, GraphError},
    file::{Effect, GraphFile, Tool},
    graph::ToolGraph,
    health::{End, Health, Seen, Standing},
    log::{Ending, Event, EventKind, Report},
    picture::svg,
    settings::Settings,
    simulate::{Behaviour, Fault, World},
    task::Task,
};
use self::{
    path::{Found, Terrain},
    walk::Walk,
    walker::Walker,
};

/// Walks tasks through a graph of tools.
#[derive(Debug)]
pub struct SelfHealing {
    name: Name,
    graph: ToolGraph,
    health: Health,
}

// === impl SelfHealing ===

impl SelfHealing {
    /// A router of this name for a graph, nothing of whose tools is known yet.
    pub fn new(graph: ToolGraph, name: impl Into<Name>) -> Self {
        Self {
            health: Health::new(&graph),
            name: name.into(),
            graph,
        }
    }

    /// Its graph.
    pub fn graph(&self) -> &ToolGraph {
        &self.graph
    }

    /// Where a tool stands at `now`; `None` where there is no such tool.
    pub fn standing(&self, tool: &str, now: Timestamp) -> Option<Standing> {
        self.health.standing(*self.graph.by_name.get(tool)?, now)
    }

    /// The path that a task would begin with at `now` were all tools candidates, with its weight; `None` where there is none.
    /// Of a graph with a fan-out, the way to where it begins.
    pub fn plan(&self, task: &Task, now: Timestamp) -> Option<(Vec<Name>, f64)> {
        self.health.settle(now);
        let goal = match (&self.graph.fan, task.goal(&self.graph).0) {
            (Some(fan), goal) if goal == self.graph.goal => fan.from,
            (_, goal) => goal,
        };
        let soft = self.health.soft();
        let factor = |node: u32| self.factor(node, &soft, now);
        let terrain = Terrain {
            graph: &self.graph,
            factor: &factor,
            behind: &|_| false,
        };
        match terrain.path(self.graph.start, self.graph.bits(&task.holds), goal) {
            Found::Path(path) => {
                let names = path
                    .nodes
                    .iter()
                    .map(|n| self.graph.name_of(*n).clone())
                    .collect();
                Some((names, path.cost))
            }
            Found::None | Found::GaveUp => None,
        }
    }

    /// What is known of a node, as a factor of the cost of the edges into it.
    fn factor(&self, node: u32, soft: &[f64], now: Timestamp) -> f64 {
        if self.graph.node(node).tool.is_none() {
            return 1.0;
        }
        if !self.health.is_callable(node, now) {
            return f64::INFINITY;
        }
        soft.get(node as usize).copied().unwrap_or(1.0)
    }

    /// Tools that are spared and should be probed now, by whoever can do so without harm; see [`Self::probed`]. They count as probed
    /// from now on.
    pub fn due(&self, now: Timestamp) -> Vec<Name> {
        self.health
            .due(now)
            .into_iter()
            .map(|n| self.graph.name_of(n).clone())
            .collect()
    }

    /// Tells what became of a probe, or of a call that somebody else made. Unknown tools are passed over.
    pub fn probed(&self, tool: &str, seen: Seen) {
        if let Some(node) = self.graph.by_name.get(tool) {
            self.health.record(*node, seen);
        }
    }

    fn begin(&self, task: &Task, among: &[CandidateId], cx: &mut Context<'_>) -> Step {
        if ending::admitted(&self.graph.settings.llm, cx).is_none_or(|c| !among.contains(&c.id)) {
            // Without it there would be nobody to hand a task to, and failures would be silent.
            return Step::Fail(ending::without(&self.graph.settings.llm, among, cx));
        }
        self.health.settle(cx.now);
        let walk = Walk::new(self, task, among, cx);
        Walker::new(self, task, walk, cx).set_out()
    }

    fn go_on(&self, task: &Task, thread: Thread, answers: &[Answer], cx: &Context<'_>) -> Step {
        let walk = thread.take::<Walk>().ok().filter(|walk| walk.is_of(self));
        match walk {
            Some(walk) => Walker::new(self, task, walk, cx).hear(answers),
            None => Step::Fail(NoRoute { excluded: Vec::new() }),
        }
    }
}

impl Learn for SelfHealing {
    /// Nothing: what its calls came to is learned as their answers come.
    fn learn(&self, _: &Evidence, _: &Decision, _: &Outcome) {}

    fn save(&self) -> Option<Vec<u8>> {
        self.health.save(&self.graph)
    }

    fn restore(&self, state: &[u8]) -> bool {
        self.health.restore(&self.graph, state)
    }
}

impl Deliberate<Task> for SelfHealing {
    fn start(&self, task: &Task, among: &[CandidateId], cx: &mut Context<'_>) -> Step {
        self.begin(task, among, cx)
    }

    fn resume(&self, task: &Task, thread: Thread, answers: Vec<Answer>, cx: &mut Context<'_>) -> Step {
        self.go_on(task, thread, &answers, cx)
    }
}

impl Deliberate<Query<'_>> for SelfHealing {
    fn start(&self, query: &Query<'_>, among: &[CandidateId], cx: &mut Context<'_>) -> Step {
        self.begin(&Task::of(query), among, cx)
    }

    fn resume(&self, query: &Query<'_>, thread: Thread, answers: Vec<Answer>, cx: &mut Context<'_>) -> Step {
        self.go_on(&Task::of(query), thread, &answers, cx)
    }
}

#[cfg(test)]
mod tests;
