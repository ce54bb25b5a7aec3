//! What a walk remembers between two steps.

use std::collections::VecDeque;

use fingerpost_core::{CandidateId, Context, Name};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{SelfHealing, log::Event, monitor::Source, question::Question, task::Task};

/// Between two steps. Nodes are numbers of the graph whose fingerprint it carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Walk {
    pub(super) router: Name,
    pub(super) graph: u64,
    /// What repeated calls of one tool have in common.
    pub(super) key: String,
    pub(super) goal: u32,
    pub(super) demoted: bool,
    pub(super) intent_known: bool,
    pub(super) risk_taken: bool,
    pub(super) facts: u64,
    /// Node and call of each tool that was run.
    pub(super) executed: Vec<(u32, u32)>,
    /// Nodes that must not be called on this walk.
    pub(super) out: Vec<u32>,
    /// Node and failed calls, of those that may be called again.
    pub(super) tries: Vec<(u32, u32)>,
    pub(super) phase: Phase,
    pub(super) legs: Vec<Leg>,
    /// Call and node of what is under way.
    pub(super) asked: Vec<(u32, u32)>,
    pub(super) question: Option<Question>,
    /// Failures that were seen, and not yet acted on.
    pub(super) troubles: VecDeque<Trouble>,
    pub(super) calls: u32,
    pub(super) tool_calls: u32,
    pub(super) failures: u32,
    pub(super) llm_calls: u32,
    /// Answers for later tools.
    pub(super) kept: Vec<(u32, String)>,
    pub(super) log: Vec<Event>,
}

/// Which part of the graph is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// To the goal, without a fan-out.
    Line,
    /// To where the branches begin.
    Lead,
    /// The branches.
    Branches,
    /// From the join to the goal.
    Tail,
}

/// One path that is being walked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leg {
    /// The last node behind.
    pub(super) at: u32,
    /// The last node that may be gone back to.
    pub(super) anchor: u32,
    pub(super) goal: u32,
    /// What is to come.
    pub(super) path: Vec<u32>,
    pub(super) required: bool,
    pub(super) state: LegState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LegState {
    Open,
    Done,
    Lost,
}

/// A failure that was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Trouble {
    pub(super) node: u32,
    pub(super) why: String,
    pub(super) source: Source,
    /// Whether it may have happened all the same.
    pub(super) unsure: bool,
    /// Whether the tool may be called again.
    pub(super) again: bool,
}

// === impl Walk ===

impl Walk {
    pub(super) fn new(
        router: &SelfHealing,
        task: &Task,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Self {
        let graph = &router.graph;
        let mut is_candidate = vec![false; cx.catalogue.ids().len()];
        for candidate in cx.admitted(among) {
            if let Some(admitted) = is_candidate.get_mut(candidate.id.0 as usize) {
                *admitted = true;
            }
        }
        let is_out = |name: &Name| {
            let id = cx.catalogue.id(name);
            !id.is_some_and(|id| is_candidate.get(id.0 as usize).copied().unwrap_or(false))
        };
        let tools = (0u32..).zip(graph.nodes()).filter(|(_, n)| n.tool.is_some());
        let out = tools.filter(|(_, n)| is_out(&n.name)).map(|(i, _)| i).collect();
        let (goal, intent_known) = task.goal(graph);
        let key = if task.key.is_empty() {
            format!("{:016x}", cx.rng.random::<u64>())
        } else {
            task.key.clone()
        };
        let (phase, first) = match &graph.fan {
            Some(fan) if goal == graph.goal => (Phase::Lead, fan.from),
            _ => (Phase::Line, goal),
        };
        Self {
            router: router.name.clone(),
            graph: graph.fingerprint,
            key,
            goal,
            demoted: false,
            intent_known,
            risk_taken: false,
            facts: graph.bits(&task.holds),
            executed: Vec::new(),
            out,
            tries: Vec::new(),
            phase,
            legs: vec![Leg::new(graph.start, graph.start, first, true)],
            asked: Vec::new(),
            question: None,
            troubles: VecDeque::new(),
            calls: 0,
            tool_calls: 0,
            failures: 0,
            llm_calls: 0,
            kept: Vec::new(),
            log: Vec::new(),
        }
    }

    /// Whether it is of this router and graph, and speaks of nodes that there are.
    pub(super) fn is_of(&self, router: &SelfHealing) -> bool {
        let count = router.graph.node_count() as u32;
        let legs = self
            .legs
            .iter()
            .flat_map(|l| [l.at, l.anchor, l.goal].into_iter().chain(l.path.iter().copied()));
        let nodes = legs
            .chain(self.executed.iter().map(|e| e.0))
            .chain(self.out.iter().copied())
            .chain(self.asked.iter().map(|a| a.1))
            .chain(self.troubles.iter().map(|t| t.node))
            .chain(self.kept.iter().map(|k| k.0))
            .chain(self.question.iter().flat_map(|q| q.options.iter().copied()))
            .chain([self.goal]);
        self.router == router.name
            && self.graph == router.graph.fingerprint
            && nodes.into_iter().all(|n| n < count)
    }
}

// === impl Leg ===

impl Leg {
    pub(super) fn new(at: u32, anchor: u32, goal: u32, required: bool) -> Self {
        Self {
            at,
            anchor,
            goal,
            path: Vec::new(),
            required,
            state: LegState::Open,
        }
    }
}
