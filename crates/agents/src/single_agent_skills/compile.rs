//! Several agents become one agent with skills.
//!
//! An agent becomes a skill: its role the descriptor, its prompt the policy, its tools the back end. An edge becomes a
//! precondition: the skill may run once the other's output is there. An edge that closes a loop is none, or nobody could begin;
//! it is reported. Agents that cannot share a history (private state, an adversarial role, one of several independent samples)
//! stay agents.
//!
//! # What is counted
//! Per task, by the paper's cost model (messages of the agents over the rounds, against one context and what choosing costs):
//! - **Agents.** Each turn is a call of its own that reads its prompt, its role, the task and the outputs that its edges bring,
//!   and writes. A tool adds a call. A supervisor adds one call a turn, which reads all roles, the task and everything written so
//!   far.
//! - **Skills.** One context: the descriptors once, then for each turn the policy and what is written. A model that reads a policy
//!   or a tool's result goes on in the next call, so there is one call at the start and one more a policy read and tool used.
//!   Nothing is passed on, because it stands in the context already.
//!
//! `fresh` counts what a provider with a prompt cache charges in full: every token once a context. `read` counts every token
//! at every call. Agents that stay are counted on both sides alike, and are called from the one context.

use fingerpost_core::Name;
use fingerpost_encode::TokenCounter;
use serde::Serialize;

use super::team::{Team, TeamAgent};

/// Tokens that a supervisor writes to name who is next.
const NAMING: usize = 10;

/// One agent with skills.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compiled {
    /// The team's name.
    pub name: Name,
    /// What became a skill, in the order of the team.
    pub skills: Vec<CompiledSkill>,
    /// What stays an agent.
    pub kept: Vec<Kept>,
    /// Edges that close a loop, and are no preconditions: from, to.
    pub loops: Vec<(Name, Name)>,
    /// What is saved.
    pub savings: Savings,
}

/// A skill that was an agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CompiledSkill {
    /// Its folder: lower-case letters, digits and hyphens.
    pub folder: String,
    /// The agent's name.
    pub name: Name,
    /// When to use it.
    pub description: String,
    /// Whose output must be there first: folders of skills and names of kept agents.
    pub requires: Vec<String>,
    /// Tools that it calls; none means that the model does it itself.
    pub tools: Vec<Name>,
    /// What to do.
    pub policy: String,
}

/// An agent that stays one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its name.
    pub name: Name,
    /// Why.
    pub reasons: Vec<KeptReason>,
}

/// Why an agent cannot become a skill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptReason {
    /// It knows what others must not.
    PrivateState,
    /// It works against another's answer.
    Adversarial,
    /// It must answer independently of others.
    SamplingDiverse,
}

/// What a task costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Spend {
    /// Calls of a model.
    pub calls: usize,
    /// Tokens in and out, each once a context.
    pub fresh: usize,
    /// Tokens in and out, every call reading its whole context.
    pub read: usize,
}

/// What a task costs either way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Savings {
    /// As agents.
    pub agents: Spend,
    /// As one agent with skills, and the agents that stay.
    pub skills: Spend,
    /// Share of fresh tokens saved; negative where more are needed.
    pub tokens_saved: f64,
    /// Share of calls saved.
    pub calls_saved: f64,
}

// === impl Team ===

impl Team {
    /// Makes one agent with skills of it; tokens by `counter`, for a task of a hundred tokens.
    pub fn compile(&self, counter: &TokenCounter) -> Compiled {
        let kept: Vec<Kept> = self.agents.iter().filter_map(kept).collect();
        let stays = |name: &Name| kept.iter().any(|k| k.name == *name);
        let backwards = self.loops();
        let requires = |name: &Name| {
            let edges = self.edges.iter().enumerate();
            let before = edges.filter(|(i, edge)| edge.to == *name && !backwards.contains(i));
            let mut names: Vec<String> = before
                .map(|(_, edge)| {
                    if stays(&edge.from) {
                        edge.from.to_string()
                    } else {
                        Self::folder(&edge.from)
                    }
                })
                .collect();
            names.sort();
            names.dedup();
            names
        };
        let skill = |agent: &TeamAgent| CompiledSkill {
            folder: Self::folder(&agent.name),
            name: agent.name.clone(),
            description: agent.role.split_whitespace().collect::<Vec<_>>().join(" "),
            requires: requires(&agent.name),
            tools: agent.tools.clone(),
            policy: agent.prompt.trim().to_owned(),
        };
        let skills: Vec<CompiledSkill> = self
            .agents
            .iter()
            .filter(|a| !stays(&a.name))
            .map(skill)
            .collect();
        let savings = self.savings(&skills, counter);
        Compiled {
            name: self.name.clone(),
            skills,
            kept,
            loops: backwards
                .into_iter()
                .map(|i| (self.edges[i].from.clone(), self.edges[i].to.clone()))
                .collect(),
            savings,
        }
    }

    /// Edges that lead back to where the walk came from, in the order of a walk from the start (then from whoever is left, in
    /// order): without them no precondition waits for itself.
    fn loops(&self) -> Vec<usize> {
        let agents = self.agents.len();
        let mut out: Vec<Vec<(usize, usize)>> = vec![Vec::new(); agents];
        let mut given = vec![false; agents];
        for (i, edge) in self.edges.iter().enumerate() {
            if let (Some(from), Some(to)) = (self.place(&edge.from), self.place(&edge.to)) {
                out[from].push((i, to));
                given[to] = true;
            }
        }
        let start = self.protocol.start.as_ref().and_then(|name| self.place(name));
        let first = (0..agents).filter(|&a| !given[a]);
        let order: Vec<usize> = start.into_iter().chain(first).chain(0..agents).collect();
        let (mut on_way, mut done) = (vec![false; agents], vec![false; agents]);
        let mut found = Vec::new();
        for root in order {
            if done[root] {
                continue;
            }
            // The agent, and how many of its edges have been followed.
            let mut stack = vec![(root, 0)];
            on_way[root] = true;
            while let Some((agent, next)) = stack.pop() {
                let Some(&(edge, to)) = out[agent].get(next) else {
                    on_way[agent] = false;
                    done[agent] = true;
                    continue;
                };
                stack.push((agent, next + 1));
                if on_way[to] {
                    found.push(edge);
                } else if !done[to] {
                    on_way[to] = true;
                    stack.push((to, 0));
                }
            }
        }
        found.sort_unstable();
        found
    }

    fn savings(&self, skills: &[CompiledSkill], counter: &TokenCounter) -> Savings {
        const TASK: usize = 100;
        let rounds = self.protocol.rounds as usize;
        let written: Vec<usize> = self.agents.iter().map(|a| a.writes_tokens as usize).collect();
        let instructions: Vec<usize> = self
            .agents
            .iter()
            .map(|a| counter.count(&a.role) + counter.count(&a.prompt))
            .collect();
        // What reaches an agent in a turn.
        let brought: Vec<usize> = self
            .agents
            .iter()
            .map(|agent| {
                let edges = self.edges.iter().filter(|edge| edge.to == agent.name);
                edges
                    .filter_map(|edge| self.place(&edge.from))
                    .map(|from| written[from])
                    .sum()
            })
            .collect();
        let turn = |i: usize| {
            let (input, output) = (instructions[i] + TASK + brought[i], written[i]);
            let tools = self.agents[i].tools.len();
            Spend {
                calls: 1 + tools,
                fresh: input + output,
                read: (1 + tools) * input + output,
            }
        };
        let mut agents = Spend::default();
        for i in 0..self.agents.len() {
            agents.add(turn(i), rounds);
        }
        if self.protocol.supervised {
            let roles: usize = self.agents.iter().map(|a| counter.count(&a.role)).sum();
            let mut history = 0;
            for _ in 0..rounds {
                for tokens in &written {
                    let fresh = roles + TASK + history + NAMING;
                    agents.add(
                        Spend {
                            calls: 1,
                            fresh,
                            read: fresh,
                        },
                        1,
                    );
                    history += tokens;
                }
            }
        }

        let mut one = Spend::default();
        if !skills.is_empty() {
            let mut context: usize = TASK
                + skills
                    .iter()
                    .map(|s| counter.count(&s.description))
                    .sum::<usize>();
            one = Spend {
                calls: 1,
                fresh: context,
                read: context,
            };
            for round in 0..rounds {
                for (i, agent) in self.agents.iter().enumerate() {
                    let is_skill = skills.iter().any(|s| s.name == agent.name);
                    let policy = if is_skill && round == 0 {
                        counter.count(&agent.prompt)
                    } else {
                        0
                    };
                    // A kept agent's answer comes in like a tool's result.
                    let calls = if is_skill {
                        usize::from(policy > 0) + agent.tools.len()
                    } else {
                        1
                    };
                    context += policy + written[i];
                    one.calls += calls;
                    one.fresh += policy + written[i];
                    one.read += calls * context;
                }
            }
        }
        for (i, agent) in self.agents.iter().enumerate() {
            if !skills.iter().any(|s| s.name == agent.name) {
                one.add(turn(i), rounds);
            }
        }
        let saved = |before: usize, after: usize| 1.0 - after as f64 / before.max(1) as f64;
        Savings {
            agents,
            skills: one,
            tokens_saved: saved(agents.fresh, one.fresh),
            calls_saved: saved(agents.calls, one.calls),
        }
    }
}

fn kept(agent: &TeamAgent) -> Option<Kept> {
    let flags = [
        (agent.private_state, KeptReason::PrivateState),
        (agent.adversarial, KeptReason::Adversarial),
        (agent.sampling_diverse, KeptReason::SamplingDiverse),
    ];
    let reasons: Vec<KeptReason> = flags
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, why)| *why)
        .collect();
    (!reasons.is_empty()).then(|| Kept {
        name: agent.name.clone(),
        reasons,
    })
}

// === impl Spend ===

impl Spend {
    fn add(&mut self, other: Self, times: usize) {
        self.calls = self.calls.saturating_add(other.calls.saturating_mul(times));
        self.fresh = self.fresh.saturating_add(other.fresh.saturating_mul(times));
        self.read = self.read.saturating_add(other.read.saturating_mul(times));
    }
}

// === impl CompiledSkill ===

impl CompiledSkill {
    /// The skill as the text of a `SKILL.md`: a head that tells when to use it and what must be there first, then what to do.
    pub fn markdown(&self) -> String {
        // JSON strings are YAML strings, whatever the text holds.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let list = |items: Vec<String>| items.iter().map(|i| quoted(i)).collect::<Vec<_>>().join(", ");
        let mut text = format!(
            "---\nname: {}\ndescription: {}\n",
            quoted(&self.folder),
            quoted(&self.description)
        );
        if !self.requires.is_empty() {
            text.push_str(&format!("requires: [{}]\n", list(self.requires.clone())));
        }
        if !self.tools.is_empty() {
            let tools = self.tools.iter().map(ToString::to_string).collect();
            text.push_str(&format!("allowed-tools: [{}]\n", list(tools)));
        }
        text.push_str("---\n");
        if !self.requires.is_empty() {
            text.push_str(&format!(
                "\nUse this only once the output of {} is there.\n",
                self.requires.join(" and of ")
            ));
        }
        if !self.policy.is_empty() {
            text.push_str(&format!("\n{}\n", self.policy));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEAM: &str = "\
name: writers
agents:
  - {name: Re Searcher, role: Finds sources, prompt: Search first, tools: [web], writes_tokens: 300}
  - {name: writer, role: Writes the report, prompt: Be brief, writes_tokens: 500}
  - {name: critic, role: Attacks the report, prompt: Find faults, adversarial: true, writes_tokens: 100}
edges:
  - {from: Re Searcher, to: writer}
  - {from: writer, to: critic}
  - {from: critic, to: writer}
";

    fn compile(yaml: &str) -> Compiled {
        Team::read(yaml).unwrap().compile(&TokenCounter::estimating())
    }

    #[test]
    fn agents_become_skills_unless_they_cannot_share_a_history() {
        let compiled = compile(TEAM);
        let folders: Vec<&str> = compiled.skills.iter().map(|s| s.folder.as_str()).collect();
        assert_eq!(folders, ["re-searcher", "writer"]);
        assert_eq!(compiled.kept[0].reasons, [KeptReason::Adversarial]);
        // The critic's way back to the writer closes a loop.
        assert_eq!(compiled.loops, [("critic".into(), "writer".into())]);
        assert_eq!(compiled.skills[1].requires, ["re-searcher"]);
        let text = compiled.skills[1].markdown();
        assert!(text.starts_with(
            "---\nname: \"writer\"\ndescription: \"Writes the report\"\nrequires: [\"re-searcher\"]\n"
        ));
        assert!(text.ends_with("\nBe brief\n"), "{text}");
    }

    #[test]
    fn what_it_costs_by_hand() {
        let count = |text: &str| TokenCounter::estimating().count(text);
        let two = &TEAM
            .replace(", adversarial: true", "")
            .replace("edges:", "protocol: {rounds: 1}\nedges:");
        let compiled = compile(two);
        let own = |role: &str, prompt: &str| count(role) + count(prompt) + 100;
        let (search, write, attack) = (
            own("Finds sources", "Search first"),
            own("Writes the report", "Be brief"),
            own("Attacks the report", "Find faults"),
        );
        let agents = compiled.savings.agents;
        // The writer is brought 300 of the search and 100 of the critic, the critic the writer's 500.
        assert_eq!(agents.calls, 4);
        assert_eq!(
            agents.fresh,
            search + 300 + (write + 400 + 500) + (attack + 500 + 100)
        );
        assert_eq!(agents.read, agents.fresh + search);
        let skills = compiled.savings.skills;
        // One to begin, one a policy (three) and one for the tool.
        assert_eq!(skills.calls, 5);
        assert_eq!(skills.fresh, search + write + attack - 200 + 300 + 500 + 100);
        assert!(compiled.savings.tokens_saved > 0.3 && compiled.savings.calls_saved < 0.0);
        // A supervisor's calls are saved altogether.
        let supervised = compile(&two.replace("rounds: 1", "rounds: 1, supervised: true"));
        assert_eq!(supervised.savings.agents.calls, 7);
        assert_eq!(supervised.savings.skills, skills);
        // All kept: nothing to save.
        let kept = two.replace("role:", "private_state: true, role:");
        let savings = compile(&kept).savings;
        assert_eq!(savings.agents, savings.skills);
    }

    #[test]
    fn a_loop_through_everybody_lets_the_start_begin() {
        let ring = "name: r\nagents: [{name: a, role: x}, {name: b, role: y}]\n\
                    edges: [{from: a, to: b}, {from: b, to: a}, {from: a, to: a}]\nprotocol: {start: b}\n";
        let compiled = compile(ring);
        assert_eq!(compiled.skills[1].requires, Vec::<String>::new());
        assert_eq!(compiled.skills[0].requires, ["b"]);
        assert_eq!(compiled.loops.len(), 2);
    }
}
