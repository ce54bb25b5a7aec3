//! What the router is held against: an agent that asks a model before each step, and a workflow with an edge for each single
//! failure.

use fingerpost_agents::self_healing::{GraphFile, ToolGraph};
use fingerpost_core::Name;

use crate::random::between;

/// What a baseline came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Came {
    pub(crate) llm_calls: u32,
    pub(crate) tool_calls: u32,
    pub(crate) end: End,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// At the goal, every step done.
    #[default]
    Reached,
    /// It says that it did not reach the goal.
    Told,
    /// It says that it did, and steps are missing.
    Silent,
}

/// The parts of a graph that are walked one after the other: from, to, and whether there is no result without it.
fn parts(file: &GraphFile) -> (Vec<(Name, Name, bool)>, usize) {
    let Some(fan) = &file.fan_out else {
        return (vec![(file.start.clone(), file.goal.clone(), true)], 0);
    };
    let mut parts = vec![(file.start.clone(), fan.from.clone(), true)];
    parts.extend(
        fan.branches
            .iter()
            .map(|b| (fan.from.clone(), b.to.clone(), b.required)),
    );
    parts.push((fan.join.clone(), file.goal.clone(), true));
    (parts, fan.quorum.unwrap_or(0))
}

/// ReAct as a script: a model that always knows the best next tool is asked before each call, and once more for the last word.
pub(crate) fn react(file: &GraphFile, graph: &ToolGraph, down: &[Name], risky: bool) -> Came {
    let is_tool = |name: &Name| graph.tools().any(|t| t.name == *name);
    let mut came = Came {
        llm_calls: 1 + u32::from(risky),
        ..Came::default()
    };
    let (parts, quorum) = parts(file);
    let (mut failed, mut run, mut reached) = (Vec::<Name>::new(), Vec::<Name>::new(), 0);
    for (i, (from, to, required)) in parts.iter().enumerate() {
        let mut goals = vec![to.clone()];
        if file.fan_out.is_none() {
            goals.extend(file.demotions.iter().cloned());
        }
        let mut at = from.clone();
        let done = 'goals: loop {
            let Some(goal) = goals.first().cloned() else {
                break false;
            };
            let way = between(graph, &at, &goal, &failed).or_else(|| between(graph, from, &goal, &failed));
            let Some((_, path)) = way else {
                goals.remove(0);
                continue;
            };
            for node in path {
                if is_tool(&node) && !run.contains(&node) {
                    came.llm_calls += 1;
                    came.tool_calls += 1;
                    if down.contains(&node) {
                        failed.push(node);
                        continue 'goals;
                    }
                    run.push(node.clone());
                }
                at = node;
            }
            break goal == *to;
        };
        reached += usize::from(done);
        let last = i + 1 == parts.len();
        let branches = if file.fan_out.is_some() {
            reached.saturating_sub(1)
        } else {
            usize::MAX
        };
        if (!done && *required) || (i + 2 == parts.len() && !last && branches < quorum) {
            came.end = End::Told;
            return came;
        }
    }
    came
}

/// A workflow made beforehand: the cheapest path, and for each tool on it the cheapest way on without it, if there is one. A tool
/// that fails takes the workflow to that way; without one it escalates. The way around has no edges of its own: a failure on it is
/// written to a log that nobody reads, and the next step is taken.
pub(crate) fn fixed(file: &GraphFile, graph: &ToolGraph, down: &[Name]) -> Came {
    let is_tool = |name: &Name| graph.tools().any(|t| t.name == *name);
    let mut came = Came::default();
    let (parts, quorum) = parts(file);
    let mut reached = 0;
    for (i, (from, to, required)) in parts.iter().enumerate() {
        let mut done = true;
        let (_, path) = between(graph, from, to, &[]).expect("a graph that stands");
        let mut open: Vec<(Name, bool)> = path.into_iter().map(|n| (n, true)).collect();
        let mut at = from.clone();
        while !open.is_empty() {
            let (node, first) = open.remove(0);
            if is_tool(&node) {
                came.tool_calls += 1;
                if down.contains(&node) {
                    if !first {
                        came.end = End::Silent;
                    } else if let Some((_, around)) = between(graph, &at, to, std::slice::from_ref(&node)) {
                        // Back on the path that was planned its edges hold again.
                        let planned: Vec<Name> = open.iter().map(|(n, _)| n.clone()).collect();
                        open = around
                            .into_iter()
                            .map(|n| (n.clone(), planned.contains(&n)))
                            .collect();
                        continue;
                    } else {
                        done = false;
                        break;
                    }
                }
            }
            at = node;
        }
        reached += usize::from(done);
        let branches = if file.fan_out.is_some() {
            reached.saturating_sub(1)
        } else {
            usize::MAX
        };
        if (!done && *required) || (i + 2 == parts.len() && branches < quorum) {
            if came.end == End::Reached {
                came.end = End::Told;
            }
            return came;
        }
    }
    came
}
