//! One request under way: which signals have been computed, and computing another.

use super::{
    Program, Source,
    tree::{Holds, Next, Reading},
};
use crate::{
    Extra, Family, FamilySet, Signal,
    facts::Facts,
    family::{complexity, keyword::KeywordFacts},
};

pub(crate) struct Run<'p, 'q> {
    program: &'p Program,
    facts: Facts<'q>,
    keyword: KeywordFacts,
    pub(crate) memo: Vec<Signal>,
    pub(crate) families: FamilySet,
    pub(crate) evaluations: u32,
    clock: Option<&'q dyn Fn() -> u64>,
    pub(crate) nanos: Option<Box<[u64; Family::ALL.len()]>>,
}

// === impl Run ===

impl<'p, 'q> Run<'p, 'q> {
    pub(crate) fn new(program: &'p Program, facts: Facts<'q>, extra: &Extra<'q>) -> Self {
        Self {
            program,
            facts,
            keyword: KeywordFacts::default(),
            memo: vec![Signal::UNKNOWN; program.sources.len()],
            families: FamilySet::EMPTY,
            evaluations: 0,
            clock: extra.clock,
            nanos: extra.clock.map(|_| Box::default()),
        }
    }

    /// What is known of a decision's condition.
    pub(crate) fn read_decision(&self, decision: u32) -> Reading {
        self.program
            .trees
            .read(self.program.roots[decision as usize], &self.memo)
    }

    /// Whether a decision's condition holds, computing what is needed for that but not its confidence.
    pub(crate) fn holds(&mut self, decision: u32) -> bool {
        self.settle(self.program.roots[decision as usize])
    }

    fn settle(&mut self, root: u32) -> bool {
        loop {
            let reading = self.program.trees.read(root, &self.memo);
            match reading.holds {
                Holds::Yes => return true,
                Holds::No => return false,
                Holds::Unknown => self.compute(reading.next),
            }
        }
    }

    /// Computes the signal that was asked for, and with it those that come at no further cost.
    pub(crate) fn compute(&mut self, next: Next) {
        if let Some(slot) = next.slot() {
            self.slot(slot);
        }
    }

    /// The signal in a slot, computed if it was not.
    pub(crate) fn slot(&mut self, slot: u32) -> Signal {
        let at = slot as usize;
        if !self.memo[at].is_known() {
            match self.program.sources[at] {
                Source::Rule(family, rule) => self.timed(family, rule as usize, at),
                Source::Partition(index) => self.partition(index as usize),
                Source::Score(index) => self.score(index as usize),
                Source::Mapping(index) => self.mapping(index as usize),
            }
            // Whatever happens a signal that was asked for is known afterwards, so that no loop can ask for ever.
            if !self.memo[at].is_known() {
                self.memo[at] = Signal::FAILED;
            }
        }
        self.memo[at]
    }

    /// Computes everything.
    pub(crate) fn all(&mut self) {
        for slot in 0..self.memo.len() {
            self.slot(slot as u32);
        }
    }

    fn timed(&mut self, family: Family, rule: usize, at: usize) {
        self.families.insert(family);
        self.evaluations += 1;
        let start = self.clock.map(|now| now());
        self.rule(family, rule, at);
        if let (Some(now), Some(start), Some(nanos)) = (self.clock, start, &mut self.nanos) {
            nanos[family.index()] += now().saturating_sub(start);
        }
    }

    fn rule(&mut self, family: Family, rule: usize, at: usize) {
        let program = self.program;
        let families = &program.families;
        let facts = &self.facts;
        let out = &mut self.memo[program.slots(family)];
        match family {
            Family::Keyword if families.keyword.is_exact(rule) => families.keyword.fill(facts, out),
            Family::Keyword => self.memo[at] = families.keyword.one(rule, facts, &self.keyword),
            Family::Context => families.context.fill(facts, out),
            Family::Language => families.language.fill(facts, out),
            Family::Authz => families.authz.fill(facts, out),
            Family::Structure => self.memo[at] = families.structure.one(rule, facts),
            Family::Conversation => families.conversation.fill(facts, out),
            Family::Event => families.event.fill(facts, out),
            Family::Metadata => families.metadata.fill(facts, out),
            Family::Embedding => families.embedding.fill(facts, &*program.encoder, out),
            Family::Domain => families.domain.fill(facts, &*program.encoder, out),
            Family::Complexity => {
                let open = program.composers[rule].is_none_or(|root| self.settle(root));
                let signals = if open {
                    families.complexity.one(rule, &self.facts, &*program.encoder)
                } else {
                    complexity::GATED
                };
                let first = program.slots(family).start + rule * signals.len();
                self.memo[first..first + signals.len()].copy_from_slice(&signals);
            }
        }
    }

    fn partition(&mut self, index: usize) {
        let partition = &self.program.partitions[index];
        let members: Vec<Signal> = partition.members.iter().map(|slot| self.slot(*slot)).collect();
        let first = partition.out as usize;
        partition.apply(&members, &mut self.memo[first..first + members.len()]);
    }

    fn score(&mut self, index: usize) {
        let score = &self.program.scores[index];
        let mut sum = 0.0;
        for input in &score.inputs {
            sum += input.term(&self.slot(input.slot));
        }
        self.memo[score.out as usize] = Signal::certain(true, sum);
    }

    fn mapping(&mut self, index: usize) {
        let mapping = &self.program.mappings[index];
        let score = self.slot(mapping.source).raw;
        let first = mapping.out as usize;
        mapping.apply(score, &mut self.memo[first..first + mapping.bands.len()]);
    }
}
