//! Tasks walked in a made-up world: tools that are down, slow, limited or lie, and a model that decides by rule. No I/O, no clock.

use fingerpost_core::{
    Answer, Ask, Call, Catalogue, CatalogueError, Context, Decision, Deliberate, Failure, Limits, Millis,
    Name, NoRoute, Outcome, Profile, Reply, Step, Thread, Timestamp,
};
use rand::{Rng, rngs::SmallRng};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{Report, SelfHealing, Task, ToolGraph};

/// How tools behave.
#[derive(Debug, Clone, Default)]
pub struct World {
    tools: FxHashMap<Name, Behaviour>,
    /// What the model says of a risk: go on, or hand over.
    pub approves: bool,
}

/// How one tool behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// How its calls fail, where they do.
    pub fails: Option<Fault>,
    /// So many calls succeed before it begins to fail.
    pub after: u32,
    /// Share of its calls that fail, once it fails. Default 1.
    pub share: f64,
    /// How long a call takes, in milliseconds. Default 100.
    pub latency_ms: f64,
    /// What it answers. Default `{"ok":true}`.
    pub says: String,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// No connection.
    Down,
    /// No answer in time: it may have happened.
    Timeout,
    /// An error of the server.
    Error,
    /// Too many calls.
    Limited,
    /// It succeeds, and its answer is of no use.
    Lies,
}

/// What became of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The decision.
    pub decision: Decision,
    /// What the router says of it.
    pub report: Report,
    /// The calls of tools as the world saw them, in order, and whether they failed.
    pub calls: Vec<(Name, bool)>,
    /// Questions to the model as the world saw them.
    pub llm_calls: u32,
    /// How long it took, in milliseconds: of calls made at once the longest.
    pub elapsed_ms: f64,
}

/// Why a task came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Tools and models share a name.
    #[error("the candidates of the graph cannot be listed")]
    Catalogue(#[from] CatalogueError),
    /// The router has nobody to hand the task to.
    #[error(transparent)]
    NoRoute(#[from] NoRoute),
    /// The decision holds no report.
    #[error("the decision of the walk holds no report")]
    NoReport,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            fails: None,
            after: 0,
            share: 1.0,
            latency_ms: 100.0,
            says: "{\"ok\":true}".to_owned(),
        }
    }
}

/// Milliseconds that a question to a model takes.
const LLM_MS: f64 = 1500.0;

// === impl World ===

impl World {
    /// A world in which these tools are down.
    pub fn without<N: Into<Name>>(down: impl IntoIterator<Item = N>) -> Self {
        let mut world = Self::default();
        for tool in down {
            world.set(
                tool,
                Behaviour {
                    fails: Some(Fault::Down),
                    ..Behaviour::default()
                },
            );
        }
        world
    }

    /// Has a tool behave like this.
    pub fn set(&mut self, tool: impl Into<Name>, behaviour: Behaviour) {
        self.tools.insert(tool.into(), behaviour);
    }

    /// Calls a tool: what it answers, and how long it took. `called` is how often it was called before.
    pub fn call(&self, tool: &str, called: u32, rng: &mut SmallRng) -> (Result<String, Failure>, f64) {
        let usual = Behaviour::default();
        let behaviour = self.tools.get(tool).unwrap_or(&usual);
        let fault = behaviour
            .fails
            .filter(|_| called >= behaviour.after && rng.random::<f64>() < behaviour.share);
        let latency = behaviour.latency_ms;
        match fault {
            None => (Ok(behaviour.says.clone()), latency),
            Some(Fault::Lies) => (Ok(String::new()), latency),
            Some(Fault::Down) => (Err(Failure::Connect("refused".into())), 1.0),
            Some(Fault::Timeout) => (Err(Failure::Timeout("total".into())), 10.0 * latency),
            Some(Fault::Error) => (Err(Failure::Status(500)), latency),
            Some(Fault::Limited) => (Err(Failure::RateLimited), 1.0),
        }
    }

    /// What the model chooses: the first goal among the options; of a risk, what the world says.
    fn decide(&self, question: &str) -> String {
        let state: serde_json::Value = serde_json::from_str(question).unwrap_or_default();
        let options: Vec<&str> = state["options"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|o| o.as_str())
            .collect();
        let chosen = if options.first() == Some(&"go_on") {
            if self.approves { "go_on" } else { "hand_over" }
        } else {
            options.first().copied().unwrap_or("hand_over")
        };
        serde_json::json!({ "choose": chosen }).to_string()
    }

    /// Walks a task to its end. The thread goes through text between two steps, as in service. Time goes on by what calls take.
    ///
    /// # Errors
    /// [`RunError`] where the graph's candidates cannot be listed; a walk itself always comes to a decision.
    pub fn run(
        &self,
        router: &SelfHealing,
        task: &Task,
        at: Timestamp,
        rng: &mut SmallRng,
    ) -> Result<Run, RunError> {
        let catalogue = catalogue(router.graph())?;
        let (ids, limits) = (catalogue.ids(), Limits::NONE);
        let (mut elapsed_ms, mut llm_calls, mut calls) = (0.0, 0, Vec::<(Name, bool)>::new());
        let mut called: FxHashMap<Name, u32> = FxHashMap::default();
        let mut choices: SmallRng = rand::SeedableRng::seed_from_u64(rng.random());
        let now = |elapsed_ms: f64| Timestamp::from_micros(at.micros() + (elapsed_ms * 1e3) as u64);
        let mut step = {
            let mut cx = Context::new(&catalogue, &limits, at, &mut choices);
            router.start(task, &ids, &mut cx)
        };
        loop {
            let (asked, thread) = match step {
                Step::Ask(asked, thread) => (asked, stored(thread)),
                Step::Done(decision) => {
                    let report = Report::of(&decision.evidence).ok_or(RunError::NoReport)?;
                    return Ok(Run {
                        decision,
                        report,
                        calls,
                        llm_calls,
                        elapsed_ms,
                    });
                }
                Step::Fail(no_route) => return Err(no_route.into()),
                Step::Finish(..) | Step::Serve(..) => return Err(RunError::NoReport),
            };
            let mut longest: f64 = 0.0;
            let mut answer = |call: &Call| {
                let (text, latency) = match &call.ask {
                    Ask::Tool { name, .. } => {
                        let name = Name::from(name.as_str());
                        let before = called.entry(name.clone()).or_default();
                        let (text, latency) = self.call(&name, *before, rng);
                        *before += 1;
                        calls.push((name, text.as_ref().map_or(true, String::is_empty)));
                        (text, latency)
                    }
                    Ask::Prompt { user, .. } => {
                        llm_calls += 1;
                        (Ok(self.decide(user)), LLM_MS)
                    }
                    _ => (Err(Failure::Garbage("no such call in this world".into())), 0.0),
                };
                longest = longest.max(latency);
                Answer {
                    call: call.id,
                    outcome: Outcome {
                        latency: Some(Millis::clamped(latency)),
                        failure: text.as_ref().err().cloned(),
                        ..Outcome::default()
                    },
                    reply: text.map(|text| Reply {
                        text,
                        ..Reply::default()
                    }),
                }
            };
            let answers = asked.iter().map(&mut answer).collect();
            elapsed_ms += longest;
            let mut cx = Context::new(&catalogue, &limits, now(elapsed_ms), &mut choices);
            step = router.resume(task, thread, answers, &mut cx);
        }
    }
}

/// A thread that was stored and read again.
fn stored(thread: Thread) -> Thread {
    let text = serde_json::to_string(&thread).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or(thread)
}

// === impl Run ===

impl Run {
    /// Whether each failure that the world saw, and each tool found down before it was called, is told of as a reroute or an
    /// escalation; the invariant of the log.
    pub fn is_told(&self) -> bool {
        let seen = self.calls.iter().filter(|(_, failed)| *failed).count();
        self.report.told() == self.report.failures as usize && self.report.told() >= seen
    }
}

/// The candidates of a graph: its tools, who is asked, and who a task is handed to. A tool may stand for either.
///
/// # Errors
/// Never for a graph that was made: its names differ.
pub fn catalogue(graph: &ToolGraph) -> Result<Catalogue, CatalogueError> {
    let settings = graph.settings();
    let mut names: Vec<&Name> = graph.tools().map(|t| &t.name).collect();
    for name in [&settings.llm].into_iter().chain(&settings.human) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Catalogue::new(names.into_iter().map(|n| Profile::named(n.clone())))
}
