//! From a configuration to a policy: names become slots, conditions become trees, examples become prototypes.
//!
//! In two steps, so that checking a configuration needs no encoder: a [`Draft`] has everything but the learned families;
//! compiling adds these.

mod projections;
mod resolve;

use std::{collections::HashMap, sync::Arc};

use fingerpost_core::Name;
use fingerpost_encode::Encoder;

use super::{
    Decided, Policy, Program, SlotName, Source,
    rank::Plan,
    tree::{Node, Trees},
};
use crate::{
    Condition, Family, Kind, Leaf, MAX_DEPTH, PolicyConfig, Problem,
    family::{
        authz::Authz, complexity, complexity::Complexity, context::Context, conversation::Conversation,
        domain::Domain, embedding::Embedding, event::Event, keyword::Keyword, language::Language,
        metadata::Metadata, structure::Structure,
    },
    projection::{Mapping, Partition, Score},
};

/// All families, compiled.
pub(crate) struct Families {
    pub(crate) keyword: Keyword,
    pub(crate) context: Context,
    pub(crate) language: Language,
    pub(crate) authz: Authz,
    pub(crate) structure: Structure,
    pub(crate) conversation: Conversation,
    pub(crate) event: Event,
    pub(crate) metadata: Metadata,
    pub(crate) embedding: Embedding,
    pub(crate) domain: Domain,
    pub(crate) complexity: Complexity,
}

/// The families that read the request directly.
pub(crate) struct Direct {
    keyword: Keyword,
    pub(crate) context: Context,
    language: Language,
    authz: Authz,
    structure: Structure,
    conversation: Conversation,
    event: Event,
    metadata: Metadata,
}

/// Everything of a policy but the learned families.
pub(crate) struct Draft {
    pub(crate) direct: Direct,
    pub(crate) starts: [u32; Family::ALL.len() + 1],
    pub(crate) sources: Vec<Source>,
    pub(crate) names: Vec<SlotName>,
    pub(crate) costs: Vec<u8>,
    /// Whether a match always has confidence 1.
    pub(crate) certain: Vec<bool>,
    /// Rules of each family, by name.
    rules: Vec<HashMap<String, u32>>,
    /// Where a rule's signal is found after partitions have had their say, where it is in one.
    partitioned: HashMap<u32, u32>,
    bands: HashMap<String, u32>,
    pub(crate) trees: Trees,
    pub(crate) roots: Vec<u32>,
    pub(crate) leaf_slots: Vec<Vec<u32>>,
    pub(crate) composers: Vec<Option<u32>>,
    pub(crate) composer_slots: Vec<Vec<u32>>,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) scores: Vec<Score>,
    pub(crate) mappings: Vec<Mapping>,
}

/// Signals of one complexity rule: its labels, and delta alone.
const PER_COMPLEXITY: u32 = complexity::LABELS.len() as u32 + 1;

pub(super) fn compile(config: &PolicyConfig, encoder: Arc<dyn Encoder>) -> Result<Policy, Vec<Problem>> {
    let mut problems = Vec::new();
    let draft = Draft::new(config, &mut problems);
    problems.retain(Problem::is_error);
    if !problems.is_empty() {
        return Err(problems);
    }
    let signals = &config.signals;
    let prototypes = &signals.options.prototypes;
    let direct = draft.direct;
    let families = Families {
        keyword: direct.keyword,
        context: direct.context,
        language: direct.language,
        authz: direct.authz,
        structure: direct.structure,
        conversation: direct.conversation,
        event: direct.event,
        metadata: direct.metadata,
        embedding: Embedding::compile(
            &signals.embedding,
            &signals.options.embedding,
            prototypes,
            &*encoder,
        ),
        domain: Domain::compile(&signals.domain, &signals.options.domain, prototypes, &*encoder),
        complexity: Complexity::compile(&signals.complexity, prototypes, &*encoder),
    };
    let dearest = |slots: &Vec<u32>| slots.iter().map(|s| draft.costs[*s as usize]).max().unwrap_or(0);
    let cost: Vec<u8> = draft.leaf_slots.iter().map(dearest).collect();
    let decisions: Vec<Decided> = config
        .decisions
        .iter()
        .zip(draft.leaf_slots)
        .map(|(rule, slots)| Decided {
            name: rule.name.as_str().into(),
            when: rule.when.clone(),
            slots,
        })
        .collect();
    let by_name: HashMap<Name, usize> = decisions
        .iter()
        .enumerate()
        .map(|(i, d)| (d.name.clone(), i))
        .collect();
    Ok(Policy {
        plan: Plan::new(&config.decisions, config.strategy, &cost),
        decisions,
        by_name,
        slots: draft.names,
        program: Program {
            encoder,
            families,
            sources: draft.sources,
            starts: draft.starts,
            trees: draft.trees,
            roots: draft.roots,
            composers: draft.composers,
            partitions: draft.partitions,
            scores: draft.scores,
            mappings: draft.mappings,
        },
    })
}

/// How dear a signal of the family is, by order of size.
fn family_cost(family: Family) -> u8 {
    match family {
        Family::Context | Family::Authz => 1,
        Family::Metadata => 2,
        Family::Conversation => 3,
        Family::Keyword => 4,
        Family::Event => 5,
        Family::Structure => 6,
        Family::Language => 7,
        Family::Embedding | Family::Complexity => 100,
        Family::Domain => 101,
    }
}

/// Keywords that are not sought letter by letter.
const APPROXIMATE_KEYWORD: u8 = 8;

// === impl Draft ===

impl Draft {
    pub(crate) fn new(config: &PolicyConfig, problems: &mut Vec<Problem>) -> Self {
        let signals = &config.signals;
        let direct = Direct {
            keyword: Keyword::compile(&signals.keyword, problems),
            context: Context::compile(&signals.context, problems),
            language: Language::compile(&signals.language, problems),
            authz: Authz::compile(&signals.authz, problems),
            structure: Structure::compile(&signals.structure, problems),
            conversation: Conversation::compile(&signals.conversation, problems),
            event: Event::compile(&signals.event, problems),
            metadata: Metadata::compile(&signals.metadata, problems),
        };
        Embedding::check(&signals.embedding, &signals.options.embedding, problems);
        Domain::check(&signals.domain, &signals.options.domain, problems);
        Complexity::check(&signals.complexity, problems);
        signals
            .options
            .prototypes
            .check("signals.options.prototypes", problems);

        let mut draft = Self {
            direct,
            starts: [0; Family::ALL.len() + 1],
            sources: Vec::new(),
            names: Vec::new(),
            costs: Vec::new(),
            certain: Vec::new(),
            rules: Vec::new(),
            partitioned: HashMap::new(),
            bands: HashMap::new(),
            trees: Trees::default(),
            roots: Vec::new(),
            leaf_slots: Vec::new(),
            composers: Vec::new(),
            composer_slots: Vec::new(),
            partitions: Vec::new(),
            scores: Vec::new(),
            mappings: Vec::new(),
        };
        draft.lay_out_families(config);
        draft.lay_out_partitions(config, problems);
        draft.compile_composers(config, problems);
        draft.lay_out_scores(config, problems);
        draft.lay_out_mappings(config, problems);
        draft.compile_decisions(config, problems);
        draft
    }

    fn slot(
        &mut self,
        source: Source,
        kind: &'static str,
        name: &str,
        label: Option<&'static str>,
        cost: u8,
    ) -> u32 {
        self.sources.push(source);
        self.names.push(SlotName {
            kind,
            name: name.to_owned(),
            label,
        });
        self.costs.push(cost);
        self.certain.push(false);
        (self.sources.len() - 1) as u32
    }

    fn lay_out_families(&mut self, config: &PolicyConfig) {
        for family in Family::ALL {
            self.starts[family.index()] = self.sources.len() as u32;
            let kind = family.as_str();
            let mut rules = HashMap::new();
            for (i, name) in config.signals.names(family).into_iter().enumerate() {
                let source = Source::Rule(family, i as u32);
                let exact = family == Family::Keyword && self.direct.keyword.is_exact(i);
                let cost = match family {
                    Family::Keyword if !exact => APPROXIMATE_KEYWORD,
                    _ => family_cost(family),
                };
                let slot = self.slot(source, kind, name, None, cost);
                self.certain[slot as usize] = exact
                    || matches!(
                        family,
                        Family::Context
                            | Family::Authz
                            | Family::Structure
                            | Family::Conversation
                            | Family::Metadata
                    );
                if family == Family::Complexity {
                    self.names[slot as usize].label = Some(complexity::LABELS[0]);
                    self.certain[slot as usize] = true;
                    for label in &complexity::LABELS[1..] {
                        let slot = self.slot(source, kind, name, Some(label), cost);
                        self.certain[slot as usize] = true;
                    }
                    self.slot(source, kind, name, None, cost);
                }
                rules.insert(name.to_owned(), i as u32);
            }
            if family == Family::Context {
                let count = rules.len() as u32;
                self.slot(Source::Rule(family, count), kind, "", None, family_cost(family));
            }
            self.rules.push(rules);
        }
        self.starts[Family::ALL.len()] = self.sources.len() as u32;
    }

    fn compile_composers(&mut self, config: &PolicyConfig, problems: &mut Vec<Problem>) {
        for (name, rule) in &config.signals.complexity {
            let mut slots = Vec::new();
            let root = rule.composer.as_ref().map(|composer| {
                let path = format!("signals.complexity.{name}.composer");
                let circular =
                    |l: &&Leaf| matches!(l.kind, Kind::Projection | Kind::Signal(Family::Complexity));
                if let Some(leaf) = composer.leaves().into_iter().find(circular) {
                    problems.push(
                        Problem::error(&path, "a composer may not refer to complexity or projections")
                            .found(leaf.to_string()),
                    );
                    return self.tree(&Condition::NEVER, &path, &mut slots, problems);
                }
                self.tree(composer, &path, &mut slots, problems)
            });
            self.composers.push(root);
            self.composer_slots.push(slots);
        }
    }

    fn compile_decisions(&mut self, config: &PolicyConfig, problems: &mut Vec<Problem>) {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for (i, rule) in config.decisions.iter().enumerate() {
            if rule.name.trim().is_empty() {
                problems.push(Problem::error(
                    format!("decisions[{i}].name"),
                    "a decision needs a name",
                ));
            } else if let Some(first) = seen.insert(&rule.name, i) {
                problems.push(
                    Problem::error(
                        format!("decisions[{i}].name"),
                        format!("decisions[{first}] already has the name"),
                    )
                    .found(&rule.name),
                );
            }
            let mut slots = Vec::new();
            let root = self.tree(&rule.when, &format!("decisions[{i}].when"), &mut slots, problems);
            self.roots.push(root);
            self.leaf_slots.push(slots);
        }
    }

    fn tree(
        &mut self,
        condition: &Condition,
        path: &str,
        slots: &mut Vec<u32>,
        problems: &mut Vec<Problem>,
    ) -> u32 {
        if condition.depth() > MAX_DEPTH {
            problems.push(
                Problem::error(path, "nested too deeply")
                    .found(format!("{} levels", condition.depth()))
                    .allowed(format!("at most {MAX_DEPTH}")),
            );
            return self.trees.push(Node::Any { first: 0, count: 0 });
        }
        self.node(condition, path, slots, problems)
    }

    fn node(
        &mut self,
        condition: &Condition,
        path: &str,
        slots: &mut Vec<u32>,
        problems: &mut Vec<Problem>,
    ) -> u32 {
        let node = match condition {
            Condition::All(children) | Condition::Any(children) => {
                let children: Vec<u32> = children
                    .iter()
                    .map(|c| self.node(c, path, slots, problems))
                    .collect();
                let (first, count) = self.trees.list(&children);
                match condition {
                    Condition::All(_) => Node::All { first, count },
                    _ => Node::Any { first, count },
                }
            }
            Condition::Not(child) => Node::Not(self.node(child, path, slots, problems)),
            Condition::Leaf(leaf) => match self.resolve(leaf, leaf.test.is_some()) {
                Err(problem) => {
                    problems.push(Problem {
                        path: path.to_owned(),
                        ..*problem
                    });
                    Node::Any { first: 0, count: 0 }
                }
                Ok(slot) => {
                    slots.push(slot);
                    let cost = self.costs[slot as usize];
                    let on_error = leaf.on_error;
                    match leaf.test {
                        None => Node::Leaf {
                            slot,
                            cost,
                            certain: self.certain[slot as usize],
                            on_error,
                        },
                        Some(test) => Node::Test {
                            slot,
                            cost,
                            comparison: test.comparison,
                            bound: test.bound.get(),
                            on_error,
                        },
                    }
                }
            },
        };
        self.trees.push(node)
    }
}
