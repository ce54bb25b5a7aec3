//! What was said of every model, by decision; and summed up by tier and over all, for those that a decision knows nothing of.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use fingerpost_core::{Name, Outcome, Quality, Verdict};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// What was said of models, shared by the decisions of a process.
#[derive(Debug, Default)]
pub struct Posteriors {
    own: Mutex<FxHashMap<Name, Own>>,
    view: ArcSwap<View>,
}

/// What became of a model's answers. Counts shrink where older ones are forgotten, so they are no integers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Answers of which something was said.
    judged: f64,
    good: f64,
    bad: f64,
    over: f64,
    useless: f64,
    /// Calls that came to an end, and those of them that failed.
    calls: f64,
    lost: f64,
}

/// The tallies of one decision.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Own {
    tier: u32,
    models: FxHashMap<Name, Tally>,
}

#[derive(Debug, Default)]
struct View {
    own: FxHashMap<Name, FxHashMap<Name, Tally>>,
    tiers: FxHashMap<u32, FxHashMap<Name, Tally>>,
    all: FxHashMap<Name, Tally>,
}

// === impl Tally ===

impl Tally {
    /// Takes up an outcome: a verdict, a quality (which counts in part as either), or the end of a call.
    pub(crate) fn take_up(&mut self, outcome: &Outcome, most: f64) {
        match (outcome.verdict, outcome.quality, &outcome.failure) {
            (Some(verdict), _, _) => {
                self.judged += 1.0;
                match verdict {
                    Verdict::GoodFit => self.good += 1.0,
                    Verdict::Underpowered => self.bad += 1.0,
                    Verdict::Overprovisioned => self.over += 1.0,
                    Verdict::Failed => self.useless += 1.0,
                }
            }
            (None, Some(quality), None) => {
                let quality = Quality::get(quality);
                self.judged += 1.0;
                self.good += quality;
                self.bad += 1.0 - quality;
            }
            (None, _, Some(failure)) if failure.is_retryable() => {
                self.calls += 1.0;
                self.lost += 1.0;
            }
            (None, None, None) => self.calls += 1.0,
            (None, _, Some(_)) => {}
        }
        self.forget(most);
    }

    /// No more than `most` answers and calls count: the older ones less and less.
    fn forget(&mut self, most: f64) {
        if self.judged > most {
            let rest = most / self.judged;
            for count in [
                &mut self.judged,
                &mut self.good,
                &mut self.bad,
                &mut self.over,
                &mut self.useless,
            ] {
                *count *= rest;
            }
        }
        if self.calls > most {
            self.lost *= most / self.calls;
            self.calls = most;
        }
    }

    fn add(&mut self, other: &Self) {
        self.judged += other.judged;
        self.good += other.good;
        self.bad += other.bad;
        self.over += other.over;
        self.useless += other.useless;
        self.calls += other.calls;
        self.lost += other.lost;
    }

    /// The two numbers of the beta distribution of its quality, which begins at `seed` with the weight of `weight` answers.
    pub(crate) fn beta(&self, seed: f64, weight: f64) -> (f64, f64) {
        (
            1.0 + weight * seed + self.good,
            1.0 + weight * (1.0 - seed) + self.bad,
        )
    }

    /// Share of the answers for which a lesser model would have done.
    pub(crate) fn over(&self) -> f64 {
        share(self.over, self.judged)
    }

    /// Share of calls that failed and of answers that were of no use, at most 1.
    pub(crate) fn failed(&self) -> f64 {
        (share(self.lost, self.calls) + share(self.useless, self.judged)).min(1.0)
    }

    pub(crate) fn is_tried(&self) -> bool {
        self.judged > 0.0 || self.calls > 0.0
    }

    fn is_judged(&self) -> bool {
        self.judged > 0.0
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

// === impl Posteriors ===

impl Posteriors {
    /// Takes up what became of a model's answer under a decision; at most so many answers of a model count there.
    pub(crate) fn learn(&self, decision: &Name, tier: u32, model: &Name, outcome: &Outcome, most: f64) {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = own.entry(decision.clone()).or_default();
        mine.tier = tier;
        mine.models
            .entry(model.clone())
            .or_default()
            .take_up(outcome, most);
        // Swapped in under the lock, so that no later outcome is overwritten by an earlier one.
        self.view.store(Arc::new(View::of(&own)));
    }

    /// What is known of each model: by this decision where something was said of it there, else by its tier, else by all.
    pub(crate) fn read<'m>(
        &self,
        decision: &str,
        tier: u32,
        models: impl Iterator<Item = &'m Name>,
    ) -> Vec<Tally> {
        let view = self.view.load();
        let levels = [view.own.get(decision), view.tiers.get(&tier), Some(&view.all)];
        let read = |model: &Name| {
            let mut found = levels.iter().filter_map(|level| level.as_ref()?.get(model));
            let judged = found.clone().find(|tally| tally.is_judged());
            judged.or_else(|| found.find(|tally| tally.is_tried())).copied()
        };
        models.map(|model| read(model).unwrap_or_default()).collect()
    }

    /// What one decision has heard.
    pub(crate) fn own(&self, decision: &str) -> Own {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.get(decision).cloned().unwrap_or_default()
    }

    /// Puts what one decision has heard in place of what is known of it.
    pub(crate) fn replace(&self, decision: &Name, heard: Own) {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.insert(decision.clone(), heard);
        self.view.store(Arc::new(View::of(&own)));
    }
}

// === impl View ===

impl View {
    fn of(all: &FxHashMap<Name, Own>) -> Self {
        let mut view = Self::default();
        for (decision, own) in all {
            view.own.insert(decision.clone(), own.models.clone());
            let tier = view.tiers.entry(own.tier).or_default();
            for (model, tally) in &own.models {
                tier.entry(model.clone()).or_default().add(tally);
                view.all.entry(model.clone()).or_default().add(tally);
            }
        }
        view
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::Failure;

    use super::*;

    fn said(verdict: Verdict) -> Outcome {
        Outcome {
            verdict: Some(verdict),
            quality: verdict.quality(),
            ..Outcome::default()
        }
    }

    fn tally(outcomes: &[Outcome]) -> Tally {
        let mut tally = Tally::default();
        outcomes.iter().for_each(|o| tally.take_up(o, 1e9));
        tally
    }

    #[test]
    fn verdicts_move_quality_or_add_penalties_never_both() {
        use Verdict::{Failed, GoodFit, Overprovisioned, Underpowered};
        let found = tally(&[GoodFit, GoodFit, Underpowered, Overprovisioned, Failed].map(said));
        // 1 + 2 · 0.75 + 2 and 1 + 2 · 0.25 + 1.
        assert_eq!(found.beta(0.75, 2.0), (4.5, 2.5));
        assert_eq!((found.over(), found.failed()), (0.2, 0.2));
        assert_eq!(tally(&[]).beta(0.75, 0.0), (1.0, 1.0));
    }

    #[test]
    fn qualities_count_in_part_and_calls_as_calls() {
        let quality = Outcome {
            quality: Quality::new(0.25).ok(),
            ..Outcome::default()
        };
        let failed = |failure| Outcome {
            failure: Some(failure),
            ..Outcome::default()
        };
        let found = tally(&[
            quality,
            Outcome::default(),
            failed(Failure::RateLimited),
            failed(Failure::Cancelled),
            failed(Failure::Refused(400)),
        ]);
        assert_eq!(found.beta(0.0, 0.0), (1.25, 1.75));
        assert_eq!((found.over(), found.failed()), (0.0, 0.5));
        // A call that failed and an answer that was of no use: 1/1 + 1/1, no more than all.
        assert_eq!(
            tally(&[failed(Failure::RateLimited), said(Verdict::Failed)]).failed(),
            1.0
        );
    }

    #[test]
    fn older_outcomes_fade() {
        let mut found = Tally::default();
        (0..10).for_each(|_| found.take_up(&said(Verdict::GoodFit), 4.0));
        assert_eq!(found.beta(0.0, 0.0), (5.0, 1.0));
        found.take_up(&said(Verdict::Underpowered), 4.0);
        // Five are brought to four: 4 · 4/5 good, 4/5 bad.
        let (good, bad) = found.beta(0.0, 0.0);
        assert!((good - 4.2).abs() < 1e-12 && (bad - 1.8).abs() < 1e-12);
    }

    #[test]
    fn a_decision_that_knows_nothing_asks_its_tier_and_then_all() {
        let posteriors = Posteriors::default();
        let (a, b, model): (Name, Name, Name) = ("a".into(), "b".into(), "m".into());
        let read =
            |decision, tier| posteriors.read(decision, tier, std::iter::once(&model))[0].beta(0.0, 0.0);
        assert_eq!(read("a", 1), (1.0, 1.0));
        posteriors.learn(&b, 2, &model, &said(Verdict::GoodFit), 1e9);
        assert_eq!(read("a", 1), (2.0, 1.0), "over all");
        posteriors.learn(&"c".into(), 1, &model, &said(Verdict::Underpowered), 1e9);
        assert_eq!(read("a", 1), (1.0, 2.0), "by its tier");
        posteriors.learn(&a, 1, &model, &Outcome::default(), 1e9);
        assert_eq!(read("a", 1), (1.0, 2.0), "a call says nothing of quality");
        posteriors.learn(&a, 1, &model, &said(Verdict::GoodFit), 1e9);
        assert_eq!(read("a", 1), (2.0, 1.0), "its own");
        assert_eq!(read("d", 9), (3.0, 2.0), "the sum of all");

        let again = Posteriors::default();
        again.replace(&a, posteriors.own("a"));
        assert_eq!(
            again.read("a", 1, std::iter::once(&model))[0].beta(0.0, 0.0),
            (2.0, 1.0)
        );
    }
}
