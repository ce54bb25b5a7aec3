//! The experiments of the card on the world of agent tasks.

use fingerpost_models::budget_aware::{
    Bopo, Boundary, BudgetAware, BudgetAwareConfig, Hardness, Policy, Reward, STATE, demonstrations, survey,
};
use rand::Rng;

use crate::world::{EXPECTED_STEPS, Score, World};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) training: usize,
    pub(crate) test: usize,
    pub(crate) rounds: usize,
}

pub(crate) struct Lab {
    pub(crate) seed: u64,
    plan: Plan,
    training: World,
    test: World,
    boundaries: Vec<Boundary>,
    /// Training tasks that are easy, hard, intractable.
    pub(crate) counts: [usize; 3],
    pub(crate) small: Score,
    pub(crate) large: Score,
}

/// Every policy that is compared.
pub(crate) struct Trained {
    pub(crate) shown: Policy,
    pub(crate) bopo: Policy,
    pub(crate) without: Policy,
    pub(crate) plain: Policy,
    pub(crate) cheap_bopo: Policy,
    pub(crate) cheap_without: Policy,
    pub(crate) cheap_plain: Policy,
}

pub(crate) struct Point {
    /// As a share of always-large's.
    pub(crate) cost: f64,
    pub(crate) success: f64,
    /// What drawing at random reaches at that cost.
    pub(crate) random: f64,
}

/// Probability of the large model on each step, for the line of random choice.
const RANDOM: [f64; 11] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// Budgets of a task, from always-small's cost (0) to always-large's (1) on it.
const BUDGETS: [f64; 10] = [-0.05, 0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, f64::INFINITY];

// === impl Lab ===

impl Lab {
    pub(crate) fn new(plan: Plan, seed: u64) -> Self {
        let training = World::new(plan.training, 1000 + seed);
        let test = World::new(plan.test, 9000 + seed);
        let boundaries = survey(&training, 8, seed);
        let count = |h: Hardness| boundaries.iter().filter(|b| b.hardness() == h).count();
        Self {
            seed,
            plan,
            counts: [Hardness::Easy, Hardness::Hard, Hardness::Intractable].map(count),
            small: test.score(2, seed, |_, _, _, _| false),
            large: test.score(2, seed, |_, _, _, _| true),
            boundaries,
            training,
            test,
        }
    }

    /// Mean cost as a share of always-large's.
    pub(crate) fn share(&self, score: &Score) -> f64 {
        score.mean_cost() / self.large.mean_cost()
    }

    pub(crate) fn bopo(&self) -> Bopo {
        Bopo {
            rounds: self.plan.rounds,
            ..Bopo::default()
        }
    }

    /// The policy that was only shown what to do.
    pub(crate) fn shown(&self) -> Policy {
        let mut policy = Policy::new(STATE, self.seed);
        let shown = demonstrations(&self.training, &self.boundaries, self.seed);
        policy
            .imitate(&shown, 10, 0.003, self.seed)
            .unwrap_or_else(|e| unreachable!("{e}"));
        policy
    }

    /// A policy that takes the large model once in fifty steps: what easy and intractable tasks alone would teach.
    pub(crate) fn cheap(&self) -> Policy {
        Policy::new(STATE, self.seed).raised(-4.0)
    }

    pub(crate) fn train(&self, how: &Bopo, start: &Policy) -> Policy {
        how.train(&self.training, &self.boundaries, start, self.seed, &|_, _, _| {
            true
        })
        .unwrap_or_else(|e| unreachable!("{e}"))
    }

    pub(crate) fn without(&self) -> Bopo {
        Bopo {
            reference: false,
            ..self.bopo()
        }
    }

    pub(crate) fn plain(&self) -> Bopo {
        Bopo {
            reward: Reward::Plain { lambda: 2.0 },
            ..self.bopo()
        }
    }

    pub(crate) fn train_all(&self) -> Trained {
        let (shown, cheap) = (self.shown(), self.cheap());
        Trained {
            bopo: self.train(&self.bopo(), &shown),
            without: self.train(&self.without(), &shown),
            plain: self.train(&self.plain(), &shown),
            cheap_bopo: self.train(&self.bopo(), &cheap),
            cheap_without: self.train(&self.without(), &cheap),
            cheap_plain: self.train(&self.plain(), &cheap),
            shown,
        }
    }

    /// A policy on the test tasks: the large model where it is the likelier one.
    pub(crate) fn policy(&self, policy: &Policy) -> Score {
        self.test.score(2, self.seed, |view, purse, _, _| {
            policy.logit(&view.state(purse)) >= 0.0
        })
    }

    /// The least raised policy that solves as many training tasks as always-large less a point; on the test tasks.
    pub(crate) fn cheapest(&self, policy: &Policy) -> Score {
        let bar = self.training.score(2, self.seed, |_, _, _, _| true).rate() - 0.01;
        let on = |world: &World, by: f32| {
            let policy = policy.clone().raised(by);
            world.score(2, self.seed, |view, purse, _, _| {
                policy.logit(&view.state(purse)) >= 0.0
            })
        };
        let mut raised = (-8..=16).map(|i| 0.5 * i as f32);
        let least = raised.find(|by| on(&self.training, *by).rate() >= bar);
        on(&self.test, least.unwrap_or(8.0))
    }

    pub(crate) fn after_errors(&self) -> Score {
        self.test
            .score(2, self.seed, |view, _, _, _| view.errors_in_a_row > 0)
    }

    /// Large above a look of the step; the bar is that of the training tasks' cheapest rule within a point of always-large, or the most
    /// successful one where none is.
    pub(crate) fn threshold(&self) -> Score {
        let bar = self.best(|view: f64, _| view);
        self.test
            .score(2, self.seed, |view, _, _, _| f64::from(view.observed) > bar)
    }

    /// The same of the true difficulty.
    pub(crate) fn oracle(&self) -> Score {
        let bar = self.best(|_, truth| truth);
        self.test
            .score(2, self.seed, |_, _, difficulty, _| difficulty > bar)
    }

    fn best(&self, look: impl Fn(f64, f64) -> f64) -> f64 {
        let enough = self.training.score(2, self.seed, |_, _, _, _| true).rate() - 0.01;
        let on = |bar: f64| {
            let rule = |seen: f32, truth: f64| look(f64::from(seen), truth) > bar;
            self.training
                .score(2, self.seed, |view, _, truth, _| rule(view.observed, truth))
        };
        let mut bars = (0..=40).rev().map(|i| -2.0 + 0.1 * f64::from(i));
        bars.find(|bar| on(*bar).rate() >= enough).unwrap_or(-2.0)
    }

    /// The policy raised and lowered, beside random choice at the same cost.
    pub(crate) fn frontier(&self, policy: &Policy) -> Vec<Point> {
        let random = RANDOM.map(|p| {
            self.test
                .score(2, self.seed, |_, _, _, rng| rng.random::<f64>() < p)
        });
        let line: Vec<(f64, f64)> = random.iter().map(|s| (self.share(s), s.rate())).collect();
        let at = |cost: f64| {
            let after = line
                .iter()
                .position(|p| p.0 >= cost)
                .unwrap_or(line.len() - 1)
                .max(1);
            let (a, b) = (line[after - 1], line[after]);
            a.1 + (b.1 - a.1) * ((cost - a.0) / (b.0 - a.0)).clamp(0.0, 1.0)
        };
        let raised = [-4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0];
        let point = |by: f32| {
            let score = self.policy(&policy.clone().raised(by));
            Point {
                cost: self.share(&score),
                success: score.rate(),
                random: at(self.share(&score)),
            }
        };
        raised.map(point).into()
    }

    /// The policy in service, conversation after conversation, within budgets from what always-small to what always-large costs on
    /// each task (0 to 1), beyond, and without.
    pub(crate) fn budgets(&self, policy: &Policy) -> Vec<(f64, Score)> {
        let boundaries = survey(&self.test, 8, self.seed + 77);
        let serve = |share: f64| {
            let budget = |task: usize| {
                let (low, high) = (boundaries[task].cost_small, boundaries[task].cost_large);
                share.is_finite().then(|| (low + share * (high - low)).max(0.0))
            };
            let router = |budget: Option<f64>| {
                let config = BudgetAwareConfig {
                    budget,
                    expected_steps: EXPECTED_STEPS,
                    ..BudgetAwareConfig::default()
                };
                BudgetAware::new(&config, "b".into(), Some(policy.clone()), None)
                    .unwrap_or_else(|e| unreachable!("{e}"))
            };
            (share, self.test.serve(2, self.seed, budget, router))
        };
        BUDGETS.map(serve).into()
    }
}
