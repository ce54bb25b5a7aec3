//! From the file to a graph that can be walked: what cannot stand is left out and told.

use std::collections::hash_map::Entry as Slot;

use fingerpost_core::Name;
use petgraph::{
    algo::kosaraju_scc,
    graph::{DiGraph, NodeIndex},
    visit::{Dfs, EdgeFiltered, Reversed},
};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    defect::{Defect, GraphError},
    file::{GraphFile, Intent, Tool},
    graph::{Edge, Fan, MAX_FACTS, MAX_GOALS, MAX_NODES, Node, ToolGraph},
};

/// A file while it is made into a graph.
struct Builder<'a> {
    file: &'a GraphFile,
    graph: DiGraph<Node, Edge, u32>,
    by_name: FxHashMap<Name, u32>,
    facts: FxHashMap<Name, u32>,
    defects: Vec<Defect>,
}

impl Builder<'_> {
    fn node(&mut self, name: &Name, tool: Option<Tool>) -> u32 {
        match self.by_name.entry(name.clone()) {
            Slot::Occupied(known) => *known.get(),
            Slot::Vacant(free) => {
                let node = self.graph.add_node(Node {
                    name: name.clone(),
                    tool,
                    needs: 0,
                    unless: 0,
                    gives: 0,
                });
                *free.insert(node.index() as u32)
            }
        }
    }

    /// Tools first, so that a goal that is a tool is that tool.
    fn nodes(&mut self) -> Result<(), GraphError> {
        let file = self.file;
        let branches = file.fan_out.as_ref().map_or(0, |f| f.branches.len());
        for (what, count) in [("demotions", file.demotions.len()), ("branches", branches)] {
            if count > MAX_GOALS {
                return Err(GraphError::TooLarge {
                    what,
                    count,
                    most: MAX_GOALS,
                });
            }
        }
        let count = file.tools.len() + file.demotions.len() + file.intents.len() + 2;
        if count > MAX_NODES {
            return Err(GraphError::TooLarge {
                what: "nodes",
                count,
                most: MAX_NODES,
            });
        }
        for tool in &file.tools {
            if tool.name.trim().is_empty() {
                self.defects.push(Defect::NamelessTool);
                continue;
            }
            if self.by_name.contains_key(&tool.name) {
                self.defects.push(Defect::DuplicateTool(tool.name.clone()));
                continue;
            }
            let tool = tidy(tool.clone(), &mut self.defects);
            self.node(&tool.name.clone(), Some(tool));
        }
        for name in [&file.start, &file.goal] {
            self.node(name, None);
        }
        for name in file.demotions.iter().chain(file.intents.iter().map(|i| &i.goal)) {
            self.node(name, None);
        }
        if let Some(fan) = &file.fan_out {
            for name in [&fan.from, &fan.join]
                .into_iter()
                .chain(fan.branches.iter().map(|b| &b.to))
            {
                self.node(name, None);
            }
        }
        Ok(())
    }

    /// Facts that no precondition speaks of cost no bit.
    fn facts(&mut self) -> Result<(), GraphError> {
        let asked = self.graph.node_weights().filter_map(|n| n.tool.as_ref());
        for fact in asked.flat_map(|t| t.needs.iter().chain(&t.unless)) {
            let next = self.facts.len() as u32;
            self.facts.entry(fact.clone()).or_insert(next);
        }
        if self.facts.len() > MAX_FACTS {
            return Err(GraphError::TooLarge {
                what: "facts in preconditions",
                count: self.facts.len(),
                most: MAX_FACTS,
            });
        }
        let facts = &self.facts;
        let bits = |names: &[Name]| -> u64 {
            names
                .iter()
                .filter_map(|n| facts.get(n))
                .fold(0, |bits, bit| bits | 1 << bit)
        };
        for node in self.graph.node_weights_mut() {
            if let Some(tool) = &node.tool {
                (node.needs, node.unless, node.gives) =
                    (bits(&tool.needs), bits(&tool.unless), bits(&tool.gives));
            }
        }
        Ok(())
    }

    fn edges(&mut self) {
        let mut degrees = vec![0; self.graph.node_count()];
        for line in &self.file.edges {
            let (from, to, cost) = line.parts();
            let ends = (self.by_name.get(from).copied(), self.by_name.get(to).copied());
            let (Some(a), Some(b)) = ends else {
                let unknown = if ends.0.is_none() { from } else { to };
                self.defects.push(Defect::UnknownNode {
                    from: from.clone(),
                    to: to.clone(),
                    unknown: unknown.clone(),
                });
                continue;
            };
            if !(cost.is_finite() && cost >= 0.0) {
                self.defects.push(Defect::Cost {
                    from: from.clone(),
                    to: to.clone(),
                    cost,
                });
                continue;
            }
            if a == b {
                self.defects.push(Defect::Loop(from.clone()));
                continue;
            }
            let rank = degrees[a as usize];
            degrees[a as usize] += 1;
            self.graph.add_edge(a.into(), b.into(), Edge { cost, rank });
        }
    }

    /// A circle that costs nothing is no way forward: its edges would make ties that never end.
    fn free_circles(&self) -> Result<(), GraphError> {
        let free = EdgeFiltered::from_fn(&self.graph, |e| e.weight().cost <= 0.0);
        match kosaraju_scc(&free).into_iter().find(|part| part.len() > 1) {
            Some(circle) => Err(GraphError::FreeCircle(
                self.names(circle.into_iter().rev().take(8)),
            )),
            None => Ok(()),
        }
    }

    fn names(&self, nodes: impl Iterator<Item = NodeIndex<u32>>) -> Vec<Name> {
        nodes
            .filter_map(|n| Some(self.graph.node_weight(n)?.name.clone()))
            .collect()
    }

    fn reached(&self, from: impl IntoIterator<Item = u32>, back: bool) -> Vec<bool> {
        let mut reached = vec![false; self.graph.node_count()];
        let mut walk = Dfs::empty(&self.graph);
        for node in from {
            walk.stack.push(node.into());
            if back {
                while let Some(node) = walk.next(Reversed(&self.graph)) {
                    reached[node.index()] = true;
                }
            } else {
                while let Some(node) = walk.next(&self.graph) {
                    reached[node.index()] = true;
                }
            }
        }
        reached
    }

    fn at(&self, name: &Name) -> u32 {
        self.by_name.get(name).copied().unwrap_or_default()
    }

    /// Where walks set out no tool is run.
    fn begins(&self) -> Result<(), GraphError> {
        let file = self.file;
        if file.start == file.goal {
            return Err(GraphError::StartIsGoal(file.start.clone()));
        }
        let begins = [
            ("start", Some(&file.start)),
            ("fan_out.join", file.fan_out.as_ref().map(|f| &f.join)),
        ];
        for (what, name) in begins {
            let is_tool = |n: &&Name| self.graph[NodeIndex::from(self.at(n))].tool.is_some();
            if let Some(name) = name.filter(is_tool) {
                return Err(GraphError::IsTool {
                    what,
                    name: name.clone(),
                });
            }
        }
        Ok(())
    }

    /// Tells of nodes and facts that no walk comes to; a goal among them is an error.
    fn surprises(&mut self, fan: Option<&Fan>) -> Result<(), GraphError> {
        let file = self.file;
        let goal = self.at(&file.goal);
        // Beyond the join the walk begins anew, with the branches behind it.
        let begins = [self.at(&file.start)]
            .into_iter()
            .chain(fan.iter().flat_map(|f| [f.from, f.join]));
        let reached = self.reached(begins, false);
        if !reached[goal as usize] {
            return Err(GraphError::Unreachable {
                from: file.start.clone(),
                to: file.goal.clone(),
            });
        }
        let goals = file
            .demotions
            .iter()
            .chain(file.intents.iter().map(|i| &i.goal))
            .map(|n| self.at(n));
        let ends: Vec<u32> = [goal]
            .into_iter()
            .chain(goals)
            .chain(
                fan.iter()
                    .flat_map(|f| f.branches.iter().map(|b| b.0).chain([f.from])),
            )
            .collect();
        let leads = self.reached(ends, true);
        let mut in_circle = vec![false; self.graph.node_count()];
        for node in kosaraju_scc(&self.graph)
            .iter()
            .filter(|part| part.len() > 1)
            .flatten()
        {
            in_circle[node.index()] = true;
        }
        for (i, node) in self.graph.node_weights().enumerate() {
            let (node, in_circle) = (node.name.clone(), in_circle[i]);
            if !reached[i] {
                self.defects.push(Defect::OutOfReach { node, in_circle });
            } else if !leads[i] {
                self.defects.push(Defect::LeadsNowhere { node, in_circle });
            }
        }
        let given: FxHashSet<&Name> = file.tools.iter().flat_map(|t| &t.gives).collect();
        let needed = self
            .graph
            .node_weights()
            .filter_map(|n| n.tool.as_ref())
            .flat_map(|t| &t.needs);
        let mut missing: Vec<Name> = needed.filter(|fact| !given.contains(fact)).cloned().collect();
        missing.sort();
        missing.dedup();
        self.defects
            .extend(missing.into_iter().map(Defect::FactFromOutside));
        Ok(())
    }

    fn fan(&mut self) -> Result<Option<Fan>, GraphError> {
        let Some(file) = &self.file.fan_out else {
            return Ok(None);
        };
        if file.branches.is_empty() {
            return Err(GraphError::NoBranches);
        }
        let mut branches: Vec<(u32, bool)> = Vec::new();
        for branch in &file.branches {
            let node = self.at(&branch.to);
            if branches.iter().any(|(known, _)| *known == node) {
                self.defects.push(Defect::DuplicateBranch(branch.to.clone()));
            } else {
                branches.push((node, branch.required));
            }
        }
        let required = branches.iter().filter(|(_, required)| *required).count();
        let quorum = file.quorum.unwrap_or(required);
        if quorum > branches.len() {
            return Err(GraphError::Quorum {
                quorum,
                branches: branches.len(),
            });
        }
        let (from, join, goal) = (self.at(&file.from), self.at(&file.join), self.at(&self.file.goal));
        let ways = [(self.at(&self.file.start), from), (join, goal)];
        let mut ways: Vec<(u32, u32)> = ways.into_iter().filter(|(a, b)| a != b).collect();
        ways.extend(
            branches
                .iter()
                .filter(|(_, required)| *required)
                .map(|(to, _)| (from, *to)),
        );
        for (a, b) in ways {
            if !self.reached([a], false)[b as usize] {
                return Err(GraphError::Unreachable {
                    from: self.graph[NodeIndex::from(a)].name.clone(),
                    to: self.graph[NodeIndex::from(b)].name.clone(),
                });
            }
        }
        Ok(Some(Fan {
            from,
            branches,
            quorum,
            join,
        }))
    }
}

/// Numbers out of range become the nearest that will do.
fn tidy(mut tool: Tool, defects: &mut Vec<Defect>) -> Tool {
    let mut wrong = |setting: &'static str, found: f64| {
        defects.push(Defect::Setting {
            tool: tool.name.clone(),
            setting,
            found,
        });
    };
    if tool.attempts == 0 {
        wrong("attempts", 0.0);
        tool.attempts = 1;
    }
    if let Some(found) = tool.latency_ms.filter(|ms| !(ms.is_finite() && *ms > 0.0)) {
        wrong("latency_ms", found);
        tool.latency_ms = None;
    }
    if let Some(quota) = tool
        .quota
        .filter(|q| q.calls == 0 || !(q.per_ms.is_finite() && q.per_ms > 0.0))
    {
        wrong("quota", quota.per_ms.min(f64::from(quota.calls)));
        tool.quota = None;
    }
    tool
}

impl ToolGraph {
    /// Makes a graph of a file. What is wrong with single tools and edges is left out of it and told beside it.
    ///
    /// # Errors
    /// [`GraphError`] where no graph stands: nothing in it, its goal out of reach, a circle that costs nothing, too large.
    pub fn new(file: &GraphFile) -> Result<(Self, Vec<Defect>), GraphError> {
        file.settings.check()?;
        if file.tools.is_empty() && file.edges.is_empty() {
            return Err(GraphError::Empty);
        }
        let mut builder = Builder {
            file,
            graph: DiGraph::with_capacity(file.tools.len() + 2, file.edges.len()),
            by_name: FxHashMap::default(),
            facts: FxHashMap::default(),
            defects: Vec::new(),
        };
        builder.nodes()?;
        builder.facts()?;
        builder.edges();
        builder.free_circles()?;
        builder.begins()?;
        let fan = builder.fan()?;
        builder.surprises(fan.as_ref())?;
        let all = |names: &[Name]| -> Vec<u32> { names.iter().map(|n| builder.at(n)).collect() };
        let goal = builder.at(&file.goal);
        let mut facts: Vec<(Name, u32)> = builder.facts.iter().map(|(n, i)| (n.clone(), *i)).collect();
        facts.sort_by_key(|(_, bit)| *bit);
        let intent = |i: &Intent| (builder.at(&i.goal), i.words.clone());
        let (start, intents) = (builder.at(&file.start), file.intents.iter().map(intent).collect());
        let demotions = all(&file.demotions).into_iter().filter(|n| *n != goal).collect();
        let text = serde_json::to_vec(file).unwrap_or_default();
        let graph = Self {
            graph: builder.graph,
            by_name: builder.by_name,
            facts: facts.into_iter().map(|(name, _)| name).collect(),
            start,
            goal,
            demotions,
            intents,
            fan,
            name: file.name.clone(),
            settings: file.settings.clone(),
            fingerprint: xxhash_rust::xxh3::xxh3_64(&text),
        };
        Ok((graph, builder.defects))
    }
}
