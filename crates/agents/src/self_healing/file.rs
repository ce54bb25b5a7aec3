//! The file of a graph of tools.

use fingerpost_core::Name;
use serde::{Deserialize, Serialize};
use serde_saphyr::{NonFiniteFloatPolicy, Options};

use super::{defect::GraphError, settings::Settings};

/// A graph of tools as it stands in a file, YAML or JSON.
///
/// A node is a tool, or a place that is only passed: `start`, `goal`, and what else is named as a goal or a place of the fan-out
/// without being a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphFile {
    /// What the graph is for.
    #[serde(default = "unnamed")]
    pub name: Name,
    /// Where every walk begins. Default `start`.
    #[serde(default = "start")]
    pub start: Name,
    /// What is to be reached. Default `goal`.
    #[serde(default = "goal")]
    pub goal: Name,
    /// Lesser goals, best first: what may be settled for where the goal cannot be reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub demotions: Vec<Name>,
    /// Other goals that a request may be about, with the words by which it is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intents: Vec<Intent>,
    /// The tools.
    #[serde(default)]
    pub tools: Vec<Tool>,
    /// What may follow what.
    #[serde(default)]
    pub edges: Vec<EdgeLine>,
    /// Branches that are walked side by side, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fan_out: Option<FanOut>,
    /// When a tool is spared, what counts as risk, who is asked.
    #[serde(default)]
    pub settings: Settings,
}

/// A goal with the words by which it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// The goal.
    pub goal: Name,
    /// Any of these in a request, as whole words in any case, makes it about that goal.
    pub words: Vec<String>,
}

/// One tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Its name, unique in the graph; also the name of the candidate that is called.
    pub name: Name,
    /// Facts that must hold before it is called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Name>,
    /// Facts that must not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unless: Vec<Name>,
    /// Facts that hold once it has succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gives: Vec<Name>,
    /// What a call of it changes. Default `once`, the careful guess.
    #[serde(default)]
    pub effect: Effect,
    /// Whether it takes an idempotency key, which makes `once` repeatable. Default false.
    #[serde(default)]
    pub key: bool,
    /// How often it may be called in one walk, at least 1. Default 1.
    #[serde(default = "one")]
    pub attempts: u32,
    /// How long a call usually takes, in milliseconds. Default: that of the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// How many calls it allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// What its answer must look like to count.
    #[serde(default)]
    pub expects: Expects,
}

/// What a call of a tool changes outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing: it may be repeated, and a walk may go back to before it.
    None,
    /// Something, once however often it is called. It may be repeated; a walk does not go back to before it.
    Repeatable,
    /// Something at each call. After a time-out nobody knows whether it happened: without a key it is not called again, nor is
    /// another in its place.
    #[default]
    Once,
}

/// Calls that a tool allows in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// How many, at least 1.
    pub calls: u32,
    /// In how many milliseconds, more than 0.
    pub per_ms: f64,
}

/// What the answer of a tool must look like. The default takes any text that is not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expects {
    /// It may be empty.
    pub empty: bool,
    /// It is JSON.
    pub json: bool,
    /// It is a JSON object that has these fields, none of them null.
    pub fields: Vec<String>,
}

/// An edge: two names, or an object with a cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EdgeLine {
    /// `[from, to]`, of cost 1.
    Pair(Name, Name),
    /// `[from, to, cost]`.
    Costly(Name, Name, f64),
    /// With names.
    Named {
        /// What comes first.
        from: Name,
        /// What may follow.
        to: Name,
        /// What it costs before what is known of the tool bears on it, at least 0. Default 1.
        #[serde(default = "unit")]
        cost: f64,
    },
}

/// Branches that are walked side by side, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FanOut {
    /// Where they begin: a node that is reached first.
    pub from: Name,
    /// Their ends.
    pub branches: Vec<Branch>,
    /// How many of them must be reached. Default: all that are required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<usize>,
    /// Where the walk goes on to the goal.
    pub join: Name,
}

/// One branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// Its end.
    pub to: Name,
    /// Whether there is no result without it. Default true.
    #[serde(default = "yes")]
    pub required: bool,
}

fn unnamed() -> Name {
    "tools".into()
}

fn start() -> Name {
    "start".into()
}

fn goal() -> Name {
    "goal".into()
}

fn one() -> u32 {
    1
}

fn unit() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

// === impl EdgeLine ===

impl EdgeLine {
    /// From, to and cost.
    pub fn parts(&self) -> (&Name, &Name, f64) {
        match self {
            Self::Pair(from, to) => (from, to, 1.0),
            Self::Costly(from, to, cost) | Self::Named { from, to, cost } => (from, to, *cost),
        }
    }
}

// === impl Tool ===

impl Tool {
    /// A tool of which only the name is known.
    pub fn named(name: impl Into<Name>) -> Self {
        Self {
            name: name.into(),
            needs: Vec::new(),
            unless: Vec::new(),
            gives: Vec::new(),
            effect: Effect::Once,
            key: false,
            attempts: 1,
            latency_ms: None,
            quota: None,
            expects: Expects::default(),
        }
    }

    /// Whether it may be called again after a call of which nobody knows what became.
    pub fn is_repeatable(&self) -> bool {
        self.effect != Effect::Once || self.key
    }
}

// === impl GraphFile ===

impl GraphFile {
    /// A graph without tools, from `start` to `goal`.
    pub fn empty(name: impl Into<Name>) -> Self {
        Self {
            name: name.into(),
            start: start(),
            goal: goal(),
            demotions: Vec::new(),
            intents: Vec::new(),
            tools: Vec::new(),
            edges: Vec::new(),
            fan_out: None,
            settings: Settings::default(),
        }
    }

    /// Reads a file: JSON where it begins with `{`, YAML elsewhere.
    ///
    /// # Errors
    /// [`GraphError::Syntax`] with the parser's place.
    pub fn parse(text: &str) -> Result<Self, GraphError> {
        if text.trim_start().starts_with('{') {
            return serde_json::from_str(text).map_err(|e| GraphError::Syntax(e.to_string()));
        }
        let mut options = Options::default();
        // Costs that are no numbers are reported with their edges.
        options.non_finite_float_policy = NonFiniteFloatPolicy::PassThrough;
        // A tool may be called `no`.
        options.strict_booleans = true;
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let message = error.without_snippet().to_string();
            GraphError::Syntax(if message.contains("budget") {
                format!("{message}; a graph as large as this is read from JSON")
            } else {
                message
            })
        })
    }
}
