//! From a configuration to a policy: names become slots, conditions become trees, examples become prototypes.
//!
//! In two steps, so that checking a configuration needs no encoder: a [`Draft`] has everything but the learned families;
//! compiling adds these.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use fingerpost_core::Name;
use fingerpost_encode::Encoder;

use super::{
    Decided, Policy, Program, SlotName, Source,
    rank::Plan,
    tree::{Node, Trees},
};
use crate::{
    Condition, Family, Kind, Leaf, MAX_DEPTH, PolicyConfig, Problem, ScoreInput, ValueSource,
    condition::write_name,
    config::Band,
    family::{
        authz::Authz,
        complexity,
        complexity::Complexity,
        context::Context,
        conversation::Conversation,
        domain::Domain,
        embedding::Embedding,
        event::Event,
        keyword::Keyword,
        language::Language,
        metadata::Metadata,
        structure::{Predicate, Structure},
    },
    projection::{Input, Mapping, Partition, SLOPE, Score, TEMPERATURE},
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

    fn lay_out_partitions(&mut self, config: &PolicyConfig, problems: &mut Vec<Problem>) {
        for (name, rule) in &config.projections.partitions {
            let path = format!("projections.partitions.{name}");
            if !matches!(rule.family, Family::Domain | Family::Embedding) {
                problems.push(
                    Problem::error(format!("{path}.type"), "signals of this family form no partition")
                        .found(rule.family.as_str())
                        .allowed("domain, embedding"),
                );
                continue;
            }
            let temperature = rule.temperature.unwrap_or(TEMPERATURE);
            if !(temperature > 0.0 && temperature.is_finite()) {
                problems.push(
                    Problem::error(format!("{path}.temperature"), "out of range")
                        .found(temperature.to_string())
                        .allowed("above 0"),
                );
            }
            let known = config.signals.names(rule.family);
            let mut members = Vec::new();
            let mut places = Vec::new();
            for (i, member) in rule.members.iter().enumerate() {
                let at = format!("{path}.members[{i}]");
                match self.rules[rule.family.index()].get(member) {
                    None => problems.push(
                        Problem::error(at, format!("unknown {} signal", rule.family))
                            .one_of(member, known.iter().copied()),
                    ),
                    Some(index) => {
                        let slot = self.starts[rule.family.index()] + index;
                        if members.contains(&slot) || self.partitioned.contains_key(&slot) {
                            problems.push(
                                Problem::error(at, "a signal is a member of one partition, once")
                                    .found(member),
                            );
                        } else {
                            members.push(slot);
                            places.push(member.as_str());
                        }
                    }
                }
            }
            let default = places.iter().position(|m| *m == rule.default);
            if default.is_none() {
                problems.push(
                    Problem::error(format!("{path}.default"), "the default is no member")
                        .one_of(&rule.default, rule.members.iter().map(String::as_str)),
                );
            }
            let index = self.partitions.len() as u32;
            let out = self.sources.len() as u32;
            let cost = family_cost(rule.family);
            for (member, place) in members.iter().zip(&places) {
                let slot = self.slot(Source::Partition(index), rule.family.as_str(), place, None, cost);
                self.partitioned.insert(*member, slot);
            }
            self.partitions.push(Partition {
                members,
                default: default.unwrap_or(0),
                semantics: rule.semantics,
                temperature,
                out,
            });
        }
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

    fn lay_out_scores(&mut self, config: &PolicyConfig, problems: &mut Vec<Problem>) {
        let rules = &config.projections.scores;
        let names: Vec<&str> = rules.keys().map(String::as_str).collect();
        let first = self.sources.len() as u32;
        for (i, name) in names.iter().enumerate() {
            self.slot(Source::Score(i as u32), "score", name, None, 0);
        }
        for (i, (name, rule)) in rules.iter().enumerate() {
            let path = format!("projections.scores.{name}");
            if rule.inputs.is_empty() {
                problems.push(Problem::error(format!("{path}.inputs"), "a score needs an input"));
            }
            let mut inputs = Vec::new();
            for (k, input) in rule.inputs.iter().enumerate() {
                let at = format!("{path}.inputs[{k}]");
                match self.score_input(input, &names, first) {
                    Ok(input) => inputs.push(input),
                    Err(problem) => problems.push(Problem { path: at, ..problem }),
                }
            }
            self.scores.push(Score {
                inputs,
                out: first + i as u32,
            });
        }
        if let Some(cycle) = self.score_cycle(first) {
            let path = format!("projections.scores.{}", names[cycle[0]]);
            let mut circle: Vec<&str> = cycle.iter().map(|i| names[*i]).collect();
            circle.push(names[cycle[0]]);
            problems.push(Problem::error(path, "scores go round in a circle").found(circle.join(" → ")));
            // So that nothing recurses through it.
            for score in &mut self.scores {
                score.inputs.clear();
            }
        }
        for i in 0..self.scores.len() {
            self.costs[first as usize + i] = self.score_cost(i, first);
        }
    }

    fn score_input(&self, input: &ScoreInput, scores: &[&str], first: u32) -> Result<Input, Problem> {
        let error = |message: &str| Problem::error("", message);
        let weight = input.weight.unwrap_or(1.0);
        let numbers = [
            weight,
            input.on_match.unwrap_or(0.0),
            input.on_miss.unwrap_or(0.0),
        ];
        if numbers.iter().any(|n| !n.is_finite()) {
            return Err(error("weight, match and miss are finite numbers"));
        }
        let Some(kind) = Kind::from_name(&input.kind) else {
            return Err(error("unknown type").one_of(&input.kind, Kind::names()));
        };
        let (slot, value) = match kind {
            Kind::Projection => {
                let name = input.name.as_deref().unwrap_or_default();
                let at = scores.iter().position(|s| *s == name);
                let at = at.ok_or_else(|| error("unknown score").one_of(name, scores.iter().copied()))?;
                (
                    first + at as u32,
                    input.value_source.unwrap_or(ValueSource::Score),
                )
            }
            Kind::Signal(family) => {
                let value = input.value_source.unwrap_or(ValueSource::Binary);
                let leaf = Leaf {
                    name: input.name.clone(),
                    label: input.label.clone(),
                    ..Leaf::signal(family, "")
                };
                (self.resolve(&leaf, value == ValueSource::Raw)?, value)
            }
        };
        if (kind == Kind::Projection) != (value == ValueSource::Score) {
            return Err(error(
                "`value_source: score` goes with `type: projection`, and only with it",
            ));
        }
        Ok(Input {
            slot,
            weight,
            value,
            on_match: input.on_match.unwrap_or(1.0),
            on_miss: input.on_miss.unwrap_or(0.0),
        })
    }

    /// Scores that lead back to themselves, by place.
    fn score_cycle(&self, first: u32) -> Option<Vec<usize>> {
        fn visit(at: usize, draft: &Draft, first: u32, seen: &mut [u8], path: &mut Vec<usize>) -> bool {
            seen[at] = 1;
            path.push(at);
            for input in draft.scores[at].inputs.iter().filter(|i| i.slot >= first) {
                let next = (input.slot - first) as usize;
                if seen[next] == 1 {
                    let start = path.iter().position(|p| *p == next).unwrap_or(0);
                    path.drain(..start);
                    return true;
                }
                if seen[next] == 0 && visit(next, draft, first, seen, path) {
                    return true;
                }
            }
            seen[at] = 2;
            path.pop();
            false
        }
        let mut seen = vec![0; self.scores.len()];
        let mut path = Vec::new();
        (0..self.scores.len())
            .any(|at| seen[at] == 0 && visit(at, self, first, &mut seen, &mut path))
            .then_some(path)
    }

    fn score_cost(&self, at: usize, first: u32) -> u8 {
        let inputs = self.scores[at].inputs.iter();
        let cost = |slot: u32| match slot.checked_sub(first) {
            Some(other) => self.score_cost(other as usize, first),
            None => self.costs[slot as usize],
        };
        inputs.map(|i| cost(i.slot)).max().unwrap_or(0)
    }

    fn lay_out_mappings(&mut self, config: &PolicyConfig, problems: &mut Vec<Problem>) {
        let scores: BTreeMap<&str, u32> = config
            .projections
            .scores
            .keys()
            .zip(&self.scores)
            .map(|(name, score)| (name.as_str(), score.out))
            .collect();
        for (name, rule) in &config.projections.mappings {
            let path = format!("projections.mappings.{name}");
            let Some(&source) = scores.get(rule.source.as_str()) else {
                problems.push(
                    Problem::error(format!("{path}.source"), "unknown score")
                        .one_of(&rule.source, scores.keys().copied()),
                );
                continue;
            };
            if rule.bands.is_empty() {
                problems.push(Problem::error(format!("{path}.bands"), "a mapping needs a band"));
            }
            let slope = rule.calibration.as_ref().map(|c| c.slope.unwrap_or(SLOPE));
            if let Some(slope) = slope.filter(|s| !(*s > 0.0 && s.is_finite())) {
                problems.push(
                    Problem::error(format!("{path}.calibration.slope"), "out of range")
                        .found(slope.to_string())
                        .allowed("above 0"),
                );
            }
            let index = self.mappings.len() as u32;
            let out = self.sources.len() as u32;
            let cost = self.costs[source as usize];
            for (i, band) in rule.bands.iter().enumerate() {
                let slot = self.slot(Source::Mapping(index), "projection", &band.name, None, cost);
                self.certain[slot as usize] = slope.is_none();
                if band.name.is_empty() || self.bands.insert(band.name.clone(), slot).is_some() {
                    problems.push(
                        Problem::error(
                            format!("{path}.bands[{i}].name"),
                            "names of bands are unique over all mappings, and not empty",
                        )
                        .found(&band.name),
                    );
                }
            }
            self.mappings.push(Mapping {
                source,
                method: rule.method,
                bands: rule.bands.iter().map(predicate).collect(),
                slope,
                out,
            });
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
                        ..problem
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

    /// The slot that a leaf looks at. `raw`: its number is asked for, not whether it matched.
    fn resolve(&self, leaf: &Leaf, raw: bool) -> Result<u32, Problem> {
        let error = |message: &str| Problem::error("", message).found(leaf.to_string());
        let family = match leaf.kind {
            Kind::Signal(family) => family,
            Kind::Projection => {
                let name = leaf.name.as_deref().unwrap_or_default();
                let slot = self.bands.get(name).copied();
                return slot.ok_or_else(|| {
                    let mut names: Vec<&str> = self.bands.keys().map(String::as_str).collect();
                    names.sort_unstable();
                    Problem::error("", "no mapping has a band of this name")
                        .one_of(name, names.iter().copied())
                });
            }
        };
        let start = self.starts[family.index()];
        let Some(name) = &leaf.name else {
            return if family == Family::Context && raw {
                Ok(self.starts[family.index() + 1] - 1)
            } else {
                Err(error(
                    "this family has no number of its own; name one of its rules",
                ))
            };
        };
        let Some(&rule) = self.rules[family.index()].get(name) else {
            let mut names: Vec<String> = self.rules[family.index()]
                .keys()
                .map(|n| qualified(family, n))
                .collect();
            names.sort_unstable();
            return Err(Problem::error("", "unknown signal")
                .one_of(qualified(family, name), names.iter().map(String::as_str)));
        };
        if family == Family::Complexity {
            let first = start + rule * PER_COMPLEXITY;
            return match leaf.label.as_deref() {
                None if raw => Ok(first + PER_COMPLEXITY - 1),
                None => Err(error("a complexity signal has a label").allowed(format!(
                    "{name}:hard, {name}:medium, {name}:easy, or a comparison such as complexity:{name} > 0.1"
                ))),
                Some(label) => match complexity::LABELS.iter().position(|l| *l == label) {
                    Some(at) => Ok(first + at as u32),
                    None => Err(Problem::error("", "unknown label").one_of(label, complexity::LABELS)),
                },
            };
        }
        if leaf.label.is_some() {
            return Err(error("only complexity signals have labels"));
        }
        let slot = start + rule;
        Ok(self.partitioned.get(&slot).copied().unwrap_or(slot))
    }
}

fn qualified(family: Family, name: &str) -> String {
    let mut text = format!("{family}:");
    // Writing to a string cannot fail.
    let _ = write_name(name, &mut text);
    text
}

fn predicate(band: &Band) -> Predicate {
    Predicate {
        gt: band.gt,
        gte: band.gte,
        lt: band.lt,
        lte: band.lte,
    }
}
