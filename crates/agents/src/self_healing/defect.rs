//! What can be wrong with a graph of tools.

use fingerpost_core::Name;
use serde::Serialize;
use thiserror::Error;

/// Something of a file that is left out of the graph, or that will surprise. The rest stands.
#[derive(Debug, Clone, PartialEq, Error, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Defect {
    /// A tool without a name.
    #[error("a tool has no name and is left out")]
    NamelessTool,
    /// Two tools of one name.
    #[error("the tool `{0}` stands twice; the first one counts")]
    DuplicateTool(Name),
    /// Two branches with one end.
    #[error("the branch to `{0}` stands twice; the first one counts")]
    DuplicateBranch(Name),
    /// An edge to or from nothing.
    #[error(
        "the edge {from} -> {to} names `{unknown}`, which is no tool and no goal; it is left out. Add the tool or correct the name"
    )]
    UnknownNode {
        /// Where the edge begins.
        from: Name,
        /// Where it ends.
        to: Name,
        /// Which of the two is unknown.
        unknown: Name,
    },
    /// A cost that is negative or no number.
    #[error(
        "the edge {from} -> {to} costs {cost}; a cost is a finite number of at least 0, so it is left out"
    )]
    Cost {
        /// Where the edge begins.
        from: Name,
        /// Where it ends.
        to: Name,
        /// What was found.
        cost: f64,
    },
    /// An edge from a node to itself.
    #[error(
        "`{0}` has an edge to itself, which leads nowhere and is left out; `attempts` says how often a tool may be called"
    )]
    Loop(Name),
    /// A number of a tool out of its range.
    #[error("`{setting}` of the tool `{tool}` is {found}, out of its range; its default is taken")]
    Setting {
        /// The tool.
        tool: Name,
        /// The setting.
        setting: &'static str,
        /// What was found.
        found: f64,
    },
    /// A node that no walk comes to.
    #[error("`{node}` cannot be reached from the start{}", circle(*in_circle))]
    OutOfReach {
        /// The node.
        node: Name,
        /// Whether it stands in a circle.
        in_circle: bool,
    },
    /// A node from which no goal can be reached.
    #[error("`{node}` leads to no goal{}", circle(*in_circle))]
    LeadsNowhere {
        /// The node.
        node: Name,
        /// Whether it stands in a circle.
        in_circle: bool,
    },
    /// A fact that a tool needs and none gives.
    #[error("no tool gives the fact `{0}`: it holds only where a task says so")]
    FactFromOutside(Name),
}

fn circle(in_circle: bool) -> &'static str {
    if in_circle {
        ": it stands in a circle without a way"
    } else {
        ""
    }
}

/// Why no graph stands.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum GraphError {
    /// Not YAML or JSON of this form.
    #[error("the graph file cannot be read: {0}")]
    Syntax(String),
    /// Neither tools nor edges.
    #[error("the graph is empty; it needs `tools` and `edges` from its start to its goal")]
    Empty,
    /// Nothing to do.
    #[error("start and goal are both `{0}`; they must differ")]
    StartIsGoal(Name),
    /// A tool where a walk only sets out.
    #[error(
        "`{what}` is the tool `{name}`, which would not be run there; name a place that is no tool, with an edge to it"
    )]
    IsTool {
        /// The key.
        what: &'static str,
        /// The tool.
        name: Name,
    },
    /// Nothing leads from one to the other.
    #[error("no edges lead from `{from}` to `{to}`; add what is missing between them")]
    Unreachable {
        /// Where a walk begins.
        from: Name,
        /// Where it must come to.
        to: Name,
    },
    /// Edges that cost nothing, in a circle.
    #[error("edges that cost 0 form a circle: {}; give one of them a cost", list(.0))]
    FreeCircle(Vec<Name>),
    /// A fan-out of nothing.
    #[error("`fan_out` has no branches; name the end of each under `branches`")]
    NoBranches,
    /// More branches wanted than there are.
    #[error("`fan_out.quorum` is {quorum}, but there are {branches} branches")]
    Quorum {
        /// How many are wanted.
        quorum: usize,
        /// How many there are.
        branches: usize,
    },
    /// More than is handled.
    #[error("the graph has {count} {what}, at most {most} are handled")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// A setting out of range.
    #[error("`settings.{setting}` must be {allowed}, found {found}")]
    Setting {
        /// Its key.
        setting: &'static str,
        /// What is allowed.
        allowed: &'static str,
        /// What was found.
        found: f64,
    },
}

fn list(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(" -> ")
}
