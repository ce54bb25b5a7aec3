//! What is at stake at a step: how much of a score hangs on the run, and what a US dollar is worth against it.
//!
//! Both differ by kind of run: one call that answers a question puts two rows' worth at risk, a repair of eleven steps ten times
//! as much. Kinds are told apart by the clauses that their system messages share.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Bank, Prices, Tier, TokenCounter,
    features::{COMMON, Reading, Text},
    paths::{AfterError, costs},
    scorer::measure,
};

/// What is learned of the kinds of runs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stakes {
    /// By the clauses that their system messages share with others.
    kinds: BTreeMap<BTreeSet<String>, Kind>,
    /// Of all runs, where the kind is not known.
    any: Kind,
    /// Clauses of system messages that stand in several runs.
    shared: BTreeSet<String>,
}

/// Runs of one kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Kind {
    /// Steps of each run.
    lengths: Vec<usize>,
    high_usd: f64,
    output: u64,
}

// === impl Stakes ===

impl Stakes {
    pub(super) fn learn(
        bank: &Bank,
        readings: &[Reading],
        prices: &Prices,
        counter: &dyn TokenCounter,
    ) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let firsts: Vec<&Text> = bank
            .runs()
            .iter()
            .filter_map(|run| Some(&readings[*run.first()?].system))
            .collect();
        for clause in firsts.iter().flat_map(|text| &text.clauses) {
            *counts.entry(clause).or_default() += 1;
        }
        counts.retain(|_, count| *count >= COMMON);
        let mut stakes = Self {
            kinds: BTreeMap::new(),
            any: Kind::default(),
            shared: counts.into_keys().map(str::to_owned).collect(),
        };
        for (run, system) in bank.runs().iter().zip(firsts) {
            let steps: Vec<_> = run.iter().map(|&at| &bank.rows()[at]).collect();
            let measured = measure(&steps, prices, counter);
            let priced = vec![true; run.len()];
            let high = vec![Tier::High; run.len()];
            let paid = costs(&measured, &high, &priced, AfterError::AsBefore, prices);
            let usd: f64 = paid.into_iter().flatten().sum();
            let output: u64 = measured.steps.iter().map(|step| step.output).sum();
            let own = stakes.kinds.entry(stakes.key(system)).or_default();
            for kind in [own, &mut stakes.any] {
                kind.lengths.push(run.len());
                kind.high_usd += usd;
                kind.output += output;
            }
        }
        stakes
    }

    fn key(&self, system: &Text) -> BTreeSet<String> {
        system.clauses.intersection(&self.shared).cloned().collect()
    }

    /// The kind of a run with this system message.
    pub(super) fn of(&self, system: &Text) -> &Kind {
        self.kinds.get(&self.key(system)).unwrap_or(&self.any)
    }
}

// === impl Kind ===

impl Kind {
    #[cfg(test)]
    pub(super) fn of_runs(lengths: Vec<usize>, high_usd: f64) -> Self {
        Self {
            lengths,
            high_usd,
            output: 0,
        }
    }

    /// How many steps a run has that has so many at least.
    pub(super) fn length(&self, least: usize) -> f64 {
        let longer = self.lengths.iter().filter(|length| **length >= least);
        let (sum, count) = longer.fold((0, 0), |(sum, count), length| (sum + length, count + 1));
        if count == 0 {
            least as f64
        } else {
            sum as f64 / f64::from(count)
        }
    }

    fn rows(&self) -> f64 {
        self.lengths.iter().sum::<usize>() as f64
    }

    /// Rows whose steps a US dollar pays for in the highest tier.
    pub(super) fn rows_per_usd(&self) -> f64 {
        self.rows() / self.high_usd.max(f64::MIN_POSITIVE)
    }

    /// Output tokens of a step.
    pub(super) fn output(&self) -> u64 {
        (self.output as f64 / self.rows().max(1.0)).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twin::{BytesOverFour, Message, Row};

    /// Runs of one step that say `chat`, and runs of two that say `repair`.
    fn bank() -> Bank {
        let row = |run: usize, step_index: u32, system: String| Row {
            id: format!("{run}-{step_index}"),
            benchmark: "b".to_owned(),
            instance_id: format!("run-{run}"),
            step_index,
            messages: vec![Message::new("system", system), Message::new("user", "go")],
            target: Tier::Low,
        };
        let mut rows = Vec::new();
        for run in 0..6 {
            let kind = if run % 2 == 0 { "Chat" } else { "Repair" };
            for step in 1..=(1 + run as u32 % 2) {
                rows.push(row(run, step, format!("{kind}. Number {run}.")));
            }
        }
        Bank::new(rows).unwrap()
    }

    fn text(system: &str) -> Text {
        Reading::of(&[Message::new("system", system)]).system
    }

    #[test]
    fn kinds_are_told_apart_by_what_their_system_messages_share() {
        let bank = bank();
        let readings: Vec<Reading> = bank.rows().iter().map(|row| Reading::of(&row.messages)).collect();
        let stakes = Stakes::learn(&bank, &readings, &Prices::PUBLISHED, &BytesOverFour);
        let (chat, repair) = (stakes.of(&text("Chat. Number 9.")), stakes.of(&text("Repair!")));
        assert_eq!((chat.length(1), repair.length(1)), (1.0, 2.0));
        assert_eq!(repair.length(5), 5.0, "longer than any run seen");
        // No kind that was seen: all runs, three of one step and three of two.
        let unknown = stakes.of(&text("Draw."));
        assert_eq!((unknown.length(1), unknown.length(2)), (1.5, 2.0));
        // A step writes 3 + 4 and 1 + 4 and 2 tokens or one more for the longer name, and 500 come out.
        assert_eq!(chat.output(), 500);
        let usd = (f64::from(4 + 4 + 1 + 4 + 2) * 6.25 + 500.0 * 25.0) / 1e6;
        assert!(
            (chat.rows_per_usd() * usd - 1.0).abs() < 1e-9,
            "{}",
            chat.rows_per_usd()
        );
    }
}
