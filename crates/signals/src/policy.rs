//! A compiled policy: request → decision.

pub(crate) mod compile;
mod explain;
pub(crate) mod rank;
mod route;
pub(crate) mod run;
pub(crate) mod tree;

use std::{collections::HashMap, fmt, ops::Range, sync::Arc};

use fingerpost_core::{Confidence, Name, Query, TokenCount};
use fingerpost_encode::Encoder;

pub use explain::SignalReport;

use self::{compile::Families, rank::Plan, run::Run, tree::Trees};
use crate::{
    Condition, Family, FamilySet, PolicyConfig, Problem, Signal,
    facts::Facts,
    projection::{Mapping, Partition, Score},
};

/// A compiled policy. Immutable; one serves all threads.
pub struct Policy {
    program: Program,
    plan: Plan,
    decisions: Vec<Decided>,
    by_name: HashMap<Name, usize>,
    /// What each slot is called.
    slots: Vec<SlotName>,
}

/// What is known of a request beside the request itself. All of it is optional.
#[derive(Default, Clone, Copy)]
pub struct Extra<'a> {
    /// Tokens of the whole conversation, where the caller has counted or estimated them already. Default: a quarter of the
    /// bytes.
    pub tokens: Option<TokenCount>,
    /// The vector of the user's text from the policy's encoder, where the caller has it already (from a cache).
    pub vector: Option<&'a [f32]>,
    /// A clock in nanoseconds, from any point in time. With one, the verdict tells how long each family took.
    pub clock: Option<&'a dyn Fn() -> u64>,
}

/// What was decided for a request, and what was looked at for it. Belongs to the policy that gave it.
#[derive(Debug, Clone)]
pub struct Verdict {
    decision: Option<usize>,
    name: Option<Name>,
    confidence: Confidence,
    families: FamilySet,
    evaluations: u32,
    nanos: Option<Box<[u64; Family::ALL.len()]>>,
    memo: Vec<Signal>,
}

/// A decision as it is needed at run time.
struct Decided {
    name: Name,
    when: Condition,
    /// Slots of the leaves, in their order.
    slots: Vec<u32>,
}

/// What computes signals. Apart from the policy, so that a run can borrow it while it writes.
pub(crate) struct Program {
    pub(crate) encoder: Arc<dyn Encoder>,
    pub(crate) families: Families,
    /// Where each slot's signal comes from.
    pub(crate) sources: Vec<Source>,
    /// First slot of each family, and of what follows.
    starts: [u32; Family::ALL.len() + 1],
    pub(crate) trees: Trees,
    /// Root of each decision.
    pub(crate) roots: Vec<u32>,
    /// Root of each complexity rule's composer.
    pub(crate) composers: Vec<Option<u32>>,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) scores: Vec<Score>,
    pub(crate) mappings: Vec<Mapping>,
}

/// Where a slot's signal comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// A rule of a family.
    Rule(Family, u32),
    /// A member of a partition.
    Partition(u32),
    /// A score.
    Score(u32),
    /// A band of a mapping.
    Mapping(u32),
}

/// What a slot is called.
#[derive(Clone, Debug)]
pub(crate) struct SlotName {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) label: Option<&'static str>,
}

// === impl Policy ===

impl Policy {
    /// Compiles a configuration. The examples of embedding, domain and complexity are encoded here, once.
    ///
    /// # Errors
    /// All problems of severity error. Warnings do not keep a policy from compiling; [`crate::check`] gives both.
    pub fn compile(config: &PolicyConfig, encoder: Arc<dyn Encoder>) -> Result<Self, Vec<Problem>> {
        compile::compile(config, encoder)
    }

    /// Decides: the decision that wins, computing only what can change the winner or its confidence.
    pub fn decide(&self, query: &Query<'_>, extra: &Extra<'_>) -> Verdict {
        self.decide_among(query, extra, None)
    }

    /// Like [`Policy::decide`], among those decisions only whose place in `admitted` is true.
    fn decide_among(&self, query: &Query<'_>, extra: &Extra<'_>, admitted: Option<&[bool]>) -> Verdict {
        let mut run = self.run(query, extra);
        let winner = self.plan.decide(&mut run, admitted);
        let decision = winner.map(|w| w.decision as usize);
        Verdict {
            decision,
            name: decision.map(|d| self.decisions[d].name.clone()),
            confidence: Confidence::clamped(winner.map_or(0.0, |w| w.confidence)),
            families: run.families,
            evaluations: run.evaluations,
            nanos: run.nanos,
            memo: run.memo,
        }
    }

    /// Every signal and projection for a request, whether a decision refers to it or not. For debugging: nothing is left
    /// out, and nothing is spared.
    pub fn signals_all(&self, query: &Query<'_>, extra: &Extra<'_>) -> Vec<SignalReport> {
        let mut run = self.run(query, extra);
        run.all();
        self.report(&run.memo)
    }

    fn run<'p, 'q>(&'p self, query: &'q Query<'q>, extra: &Extra<'q>) -> Run<'p, 'q> {
        Run::new(
            &self.program,
            Facts::new(query, extra.tokens, extra.vector),
            extra,
        )
    }

    /// How many decisions there are.
    pub fn len(&self) -> usize {
        self.decisions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.decisions.is_empty()
    }

    /// The place in the configuration of the decision of this name.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Names of the decisions, as in the configuration.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &Name> {
        self.decisions.iter().map(|d| &d.name)
    }

    /// The encoder that it was compiled with.
    pub fn encoder(&self) -> &Arc<dyn Encoder> {
        &self.program.encoder
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("decisions", &self.decisions.len())
            .field("signals", &self.slots.len())
            .field("encoder", &self.program.encoder.model().to_string())
            .finish_non_exhaustive()
    }
}

// === impl Verdict ===

impl Verdict {
    /// Place in the configuration of the decision that won; `None` where none matched.
    pub fn decision(&self) -> Option<usize> {
        self.decision
    }

    /// Its name.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Its confidence; 0 for an unconditional one, and where none matched.
    pub fn confidence(&self) -> Confidence {
        self.confidence
    }

    /// The families of which something was computed.
    pub fn families(&self) -> FamilySet {
        self.families
    }

    /// How often an evaluator was called.
    pub fn evaluations(&self) -> u32 {
        self.evaluations
    }

    /// Nanoseconds that each computed family took, where a clock was given. Work that families share, like encoding the
    /// text, counts for the one that needed it first.
    pub fn nanos(&self) -> impl Iterator<Item = (Family, u64)> {
        let families = self.families;
        self.nanos
            .iter()
            .flat_map(move |nanos| families.iter().map(|f| (f, nanos[f.index()])))
    }
}

// === impl Program ===

impl Program {
    /// The slots of a family's rules.
    pub(crate) fn slots(&self, family: Family) -> Range<usize> {
        let at = family.index();
        self.starts[at] as usize..self.starts[at + 1] as usize
    }
}
