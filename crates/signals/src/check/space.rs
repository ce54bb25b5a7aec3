//! The states that the signals of a policy can be in together.
//!
//! Signals that bear on each other form a group: all that look at the number of tokens, the outcomes of one complexity rule,
//! the members of a partition, the rules of a family of which at most one is emitted. A group has a list of states, each
//! with what is true in it; groups vary independently. Whatever is not known to be related is a group of its own.

use std::collections::HashMap;

use crate::{
    Condition, Family, OnError, PolicyConfig, Test,
    family::{complexity, language},
    policy::{Source, compile::Draft},
};

/// A look at a signal, the same wherever it is written the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Atom {
    slot: u32,
    /// The comparison, its bound by bits.
    test: Option<(crate::Comparison, u64)>,
    on_error: OnError,
}

/// A condition over numbered atoms.
#[derive(Debug, Clone)]
pub(super) enum Formula {
    All(Vec<Formula>),
    Any(Vec<Formula>),
    Not(Box<Formula>),
    Atom(usize),
}

/// For each state of a group, the atoms that are true in it.
type Group = Vec<Vec<usize>>;

pub(super) struct Space {
    groups: Vec<Group>,
    /// The group of each atom.
    group_of: Vec<usize>,
}

/// Whether all states were looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Looked {
    AtAll,
    AtSample,
}

// === impl Formula ===

impl Formula {
    pub(super) fn holds(&self, truth: &[bool]) -> bool {
        match self {
            Self::All(children) => children.iter().all(|c| c.holds(truth)),
            Self::Any(children) => children.iter().any(|c| c.holds(truth)),
            Self::Not(child) => !child.holds(truth),
            Self::Atom(atom) => truth[*atom],
        }
    }

    fn atoms(&self, into: &mut Vec<usize>) {
        match self {
            Self::All(children) | Self::Any(children) => children.iter().for_each(|c| c.atoms(into)),
            Self::Not(child) => child.atoms(into),
            Self::Atom(atom) => into.push(*atom),
        }
    }
}

// === impl Space ===

impl Space {
    /// The space of all decisions' conditions, and these over its atoms.
    pub(super) fn new(config: &PolicyConfig, draft: &Draft) -> (Self, Vec<Formula>) {
        let mut atoms: Vec<Atom> = Vec::new();
        let mut numbers: HashMap<Atom, usize> = HashMap::new();
        let formulas = config
            .decisions
            .iter()
            .zip(&draft.leaf_slots)
            .map(|(rule, slots)| formula(&rule.when, &mut slots.iter().copied(), &mut atoms, &mut numbers))
            .collect();
        let mut space = Self {
            groups: Vec::new(),
            group_of: vec![usize::MAX; atoms.len()],
        };
        space.tokens(draft, &atoms);
        space.complexity(config, draft, &atoms);
        space.exclusive(config, draft, &atoms);
        for atom in 0..atoms.len() {
            if space.group_of[atom] == usize::MAX {
                space.add(&[atom], vec![Vec::new(), vec![atom]]);
            }
        }
        (space, formulas)
    }

    fn add(&mut self, atoms: &[usize], states: Group) {
        for atom in atoms {
            self.group_of[*atom] = self.groups.len();
        }
        self.groups.push(states);
    }

    /// Every look at the number of tokens, by ranges between the numbers that are compared with.
    fn tokens(&mut self, draft: &Draft, atoms: &[Atom]) {
        let start = draft.starts[Family::Context.index()];
        let bounds = draft.direct.context.bounds();
        let is = |a: &Atom| matches!(draft.sources[a.slot as usize], Source::Rule(Family::Context, _));
        let mine: Vec<usize> = (0..atoms.len()).filter(|i| is(&atoms[*i])).collect();
        if mine.is_empty() {
            return;
        }
        let of = |a: &Atom| bounds.get((a.slot - start) as usize);
        let cuts = mine.iter().flat_map(|i| {
            let rule = of(&atoms[*i]).map_or([f64::NAN; 2], |(min, max)| [*min, *max]);
            let test = atoms[*i]
                .test
                .map_or(f64::NAN, |(_, bound)| f64::from_bits(bound));
            [rule[0], rule[1], test, 0.0]
        });
        let values = representatives(cuts);
        let states = values.into_iter().filter(|v| *v >= 0.0).map(|tokens| {
            let holds = |atom: &Atom| match (atom.test, of(atom)) {
                (Some(test), _) => passes(test, tokens),
                (None, Some((min, max))) => tokens >= *min && tokens <= *max,
                (None, None) => true,
            };
            mine.iter().copied().filter(|i| holds(&atoms[*i])).collect()
        });
        self.add(&mine, states.collect());
    }

    /// Of each complexity rule, the ranges of delta; and that it was not computed at all.
    fn complexity(&mut self, config: &PolicyConfig, draft: &Draft, atoms: &[Atom]) {
        for (rule, (_, settings)) in config.signals.complexity.iter().enumerate() {
            let is = |a: &Atom| {
                matches!(draft.sources[a.slot as usize], Source::Rule(Family::Complexity, r) if r as usize == rule)
                    && a.on_error == OnError::NoMatch
            };
            let mine: Vec<usize> = (0..atoms.len()).filter(|i| is(&atoms[*i])).collect();
            if mine.is_empty() {
                continue;
            }
            let threshold = settings.threshold.unwrap_or(complexity::DEFAULT_THRESHOLD);
            let tests = mine
                .iter()
                .filter_map(|i| atoms[*i].test)
                .map(|(_, bound)| f64::from_bits(bound));
            let values = representatives(tests.chain([threshold, -threshold]));
            let mut states: Group = vec![Vec::new()];
            for delta in values {
                let label = if delta > threshold {
                    "hard"
                } else if delta < -threshold {
                    "easy"
                } else {
                    "medium"
                };
                let holds = |atom: &Atom| match atom.test {
                    Some(test) => passes(test, delta),
                    None => draft.names[atom.slot as usize].label == Some(label),
                };
                states.push(mine.iter().copied().filter(|i| holds(&atoms[*i])).collect());
            }
            self.add(&mine, states);
        }
    }

    /// Signals of which at most one, or exactly one, matches.
    fn exclusive(&mut self, config: &PolicyConfig, draft: &Draft, atoms: &[Atom]) {
        let options = &config.signals.options;
        let mut groups: HashMap<(u8, u32), Vec<usize>> = HashMap::new();
        for (i, atom) in atoms.iter().enumerate() {
            if atom.test.is_some() || atom.on_error == OnError::Match {
                continue;
            }
            let key = match draft.sources[atom.slot as usize] {
                Source::Partition(p) => Some((0, p)),
                Source::Mapping(m)
                    if draft.mappings[m as usize].method == crate::MappingMethod::ThresholdBands =>
                {
                    Some((1, m))
                }
                Source::Rule(Family::Language, _) if distinct_languages(config) => Some((2, 0)),
                Source::Rule(Family::Embedding, _) if options.embedding.top_k == 1 => Some((3, 0)),
                Source::Rule(Family::Domain, _) if options.domain.top_k == 1 && disjoint_domains(config) => {
                    Some((4, 0))
                }
                _ => None,
            };
            if let Some(key) = key {
                groups.entry(key).or_default().push(i);
            }
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort();
        for ((kind, index), members) in groups {
            let mut states: Group = members.iter().map(|m| vec![*m]).collect();
            // Of a partition one member always holds; it may be one that nobody asks for.
            let complete = kind == 0 && members.len() == draft.partitions[index as usize].members.len();
            if !complete {
                states.push(Vec::new());
            }
            self.add(&members, states);
        }
    }

    /// The groups that bear on these formulas.
    fn groups_of(&self, formulas: &[&Formula]) -> Vec<usize> {
        let mut atoms = Vec::new();
        formulas.iter().for_each(|f| f.atoms(&mut atoms));
        let mut groups: Vec<usize> = atoms.into_iter().map(|a| self.group_of[a]).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// Calls `look` with what is true, for every state of what bears on the formulas, or for `most` sampled ones where
    /// there are more; stops when it returns false.
    pub(super) fn states(
        &self,
        formulas: &[&Formula],
        most: u64,
        mut look: impl FnMut(&[bool]) -> bool,
    ) -> Looked {
        let groups = self.groups_of(formulas);
        let count = groups
            .iter()
            .try_fold(1_u64, |n, g| n.checked_mul(self.groups[*g].len() as u64))
            .filter(|n| *n <= most);
        let mut truth = vec![false; self.group_of.len()];
        let mut chance = 0x9E37_79B9_7F4A_7C15_u64;
        for number in 0..count.unwrap_or(most) {
            let mut rest = number;
            truth.fill(false);
            for group in &groups {
                let states = &self.groups[*group];
                let state = if count.is_some() {
                    let state = rest % states.len() as u64;
                    rest /= states.len() as u64;
                    state
                } else {
                    // A fixed sequence (xorshift): the same configuration gives the same answer.
                    chance ^= chance << 13;
                    chance ^= chance >> 7;
                    chance ^= chance << 17;
                    chance % states.len() as u64
                };
                for atom in &states[state as usize] {
                    truth[*atom] = true;
                }
            }
            if !look(&truth) {
                break;
            }
        }
        if count.is_some() {
            Looked::AtAll
        } else {
            Looked::AtSample
        }
    }
}

fn formula(
    condition: &Condition,
    slots: &mut impl Iterator<Item = u32>,
    atoms: &mut Vec<Atom>,
    numbers: &mut HashMap<Atom, usize>,
) -> Formula {
    match condition {
        Condition::All(children) => Formula::All(
            children
                .iter()
                .map(|c| formula(c, slots, atoms, numbers))
                .collect(),
        ),
        Condition::Any(children) => Formula::Any(
            children
                .iter()
                .map(|c| formula(c, slots, atoms, numbers))
                .collect(),
        ),
        Condition::Not(child) => Formula::Not(Box::new(formula(child, slots, atoms, numbers))),
        Condition::Leaf(leaf) => {
            let test = leaf
                .test
                .map(|Test { comparison, bound }| (comparison, bound.get().to_bits()));
            let atom = Atom {
                slot: slots.next().unwrap_or_default(),
                test,
                on_error: leaf.on_error,
            };
            let number = *numbers.entry(atom).or_insert_with(|| {
                atoms.push(atom);
                atoms.len() - 1
            });
            Formula::Atom(number)
        }
    }
}

fn passes((comparison, bound): (crate::Comparison, u64), value: f64) -> bool {
    let bound = f64::from_bits(bound);
    match comparison {
        crate::Comparison::Gt => value > bound,
        crate::Comparison::Gte => value >= bound,
        crate::Comparison::Lt => value < bound,
        crate::Comparison::Lte => value <= bound,
    }
}

/// A number from every range between the cuts, and the cuts themselves.
fn representatives(cuts: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut cuts: Vec<f64> = cuts.filter(|c| c.is_finite()).collect();
    cuts.sort_by(f64::total_cmp);
    cuts.dedup();
    let mut values = Vec::with_capacity(2 * cuts.len() + 1);
    for (i, cut) in cuts.iter().enumerate() {
        let before = if i == 0 {
            cut - cut.abs().max(1.0)
        } else {
            f64::midpoint(cuts[i - 1], *cut)
        };
        values.extend([before, *cut]);
    }
    values.push(cuts.last().map_or(0.0, |last| last + last.abs().max(1.0)));
    values
}

fn distinct_languages(config: &PolicyConfig) -> bool {
    let mut codes: Vec<_> = config
        .signals
        .language
        .keys()
        .filter_map(|n| language::code(n))
        .collect();
    let count = codes.len();
    codes.sort_unstable();
    codes.dedup();
    codes.len() == count
}

fn disjoint_domains(config: &PolicyConfig) -> bool {
    let mut all: Vec<&str> = config
        .signals
        .domain
        .iter()
        .flat_map(|(n, r)| r.categories(n))
        .collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    all.len() == count
}
