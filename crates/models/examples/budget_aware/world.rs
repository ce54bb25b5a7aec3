//! A world of agent tasks for `budget_aware` (card: `systems/48`).
//!
//! A task is a chain of 6 to 20 steps, each with a hidden difficulty; a model succeeds at one with `sigmoid(3 − 2 d)`, the large one
//! with 3 more. A failed step is tried up to twice again and makes all that follows harder; a third failure ends the task. Easy tasks
//! (40 %) have few hard steps, hard ones (40 %) a third, intractable ones (20 %) steps that nobody does. What is seen are noisy views of
//! the task's and of the step's difficulty, and the failures. The large model costs twelve times as much.

use fingerpost_core::{
    Catalogue, Context, Learn, Limits, Outcome, Price, Profile, Timestamp, TokenCount, Usd, UsdPerMillion,
};
use fingerpost_models::budget_aware::{Act, BudgetAware, Ending, Purse, Tasks, View};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use rand_distr::StandardNormal;

/// US dollars a million tokens.
const PRICES: [f64; 2] = [0.5, 6.0];
const MAX_OUTPUT: u32 = 400;
/// Expected steps of a task, tries included.
pub(crate) const EXPECTED_STEPS: u32 = 14;
const NOISE: f64 = 0.5;

pub(crate) struct World {
    tasks: Vec<Task>,
}

struct Task {
    steps: Vec<f64>,
    hint: f64,
}

/// Where a run stands.
struct Progress {
    rng: SmallRng,
    step: usize,
    tries: u32,
    drift: f64,
    calls: u32,
    errors: u32,
    in_a_row: u32,
    large: u32,
    spent: f64,
}

/// What many runs came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Score {
    pub(crate) runs: f64,
    pub(crate) success: f64,
    pub(crate) cost: f64,
    pub(crate) violations: f64,
}

// === impl World ===

impl World {
    pub(crate) fn new(tasks: usize, seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let task = |_| {
            let kind: f64 = rng.random();
            let steps = rng.random_range(6..=20);
            let (share, high) = if kind < 0.4 {
                (0.1, 1.5)
            } else if kind < 0.8 {
                (0.35, 2.2)
            } else {
                (0.5, 4.5)
            };
            let mut difficulty = || {
                let mean = if rng.random::<f64>() < share { high } else { 0.0 };
                mean + 0.4 * rng.sample::<f64, _>(StandardNormal)
            };
            let steps: Vec<f64> = (0..steps).map(|_| difficulty()).collect();
            let mean = steps.iter().sum::<f64>() / steps.len() as f64;
            let hint = mean + NOISE * rng.sample::<f64, _>(StandardNormal);
            Task { steps, hint }
        };
        Self {
            tasks: (0..tasks).map(task).collect(),
        }
    }

    /// Runs a task, asking for acts that may look at the true difficulty too.
    fn play<'b>(
        &self,
        task: usize,
        seed: u64,
        budget: Option<f64>,
        mut act: impl FnMut(&View, &Purse, f64) -> (Act, Option<Bill<'b>>),
    ) -> Ending {
        let task = &self.tasks[task];
        let mut at = Progress {
            rng: SmallRng::seed_from_u64(seed),
            step: 0,
            tries: 0,
            drift: 0.0,
            calls: 0,
            errors: 0,
            in_a_row: 0,
            large: 0,
            spent: 0.0,
        };
        while at.step < task.steps.len() && at.tries < 3 {
            let difficulty = task.steps[at.step] + at.drift;
            // Drawn whatever is done, so that runs of one seed can be compared.
            let (noise, luck, output) = (
                at.rng.sample::<f64, _>(StandardNormal),
                at.rng.random::<f64>(),
                at.rng.random_range(100..=MAX_OUTPUT),
            );
            let view = at.view(task, difficulty + NOISE * noise);
            let (act, bill) = act(&view, &at.purse(&view, budget), difficulty);
            let large = match act {
                Act::Small => false,
                Act::Large => true,
                Act::Stop => break,
            };
            let cost = cost(large, view.tokens_in, output);
            if let Some(bill) = bill {
                bill(cost);
            }
            let ability = if large { 6.0 } else { 3.0 };
            at.note(
                large,
                cost,
                luck < 1.0 / (1.0 + (2.0 * difficulty - ability).exp()),
            );
        }
        Ending {
            success: at.step == task.steps.len(),
            cost: at.spent,
        }
    }

    /// Runs every task so many times under a rule of what is seen and of the true difficulty: whether the large model is taken.
    pub(crate) fn score(
        &self,
        runs: u64,
        seed: u64,
        mut rule: impl FnMut(&View, &Purse, f64, &mut SmallRng) -> bool,
    ) -> Score {
        let mut score = Score::default();
        for task in 0..self.tasks.len() {
            for run in 0..runs {
                let seed = seed_of(seed, task, run);
                let mut rng = SmallRng::seed_from_u64(seed ^ 0x5eed);
                let ending = self.play(task, seed, None, |view, purse, difficulty| {
                    let large = rule(view, purse, difficulty, &mut rng);
                    (if large { Act::Large } else { Act::Small }, None)
                });
                score.add(ending, None);
            }
        }
        score
    }

    /// Runs every task a few times through a router that `router` makes for its budget, as conversations whose steps are billed at once.
    pub(crate) fn serve(
        &self,
        runs: u64,
        seed: u64,
        budget: impl Fn(usize) -> Option<f64>,
        router: impl Fn(Option<f64>) -> BudgetAware,
    ) -> Score {
        let catalogue = catalogue();
        let mut score = Score::default();
        for task in 0..self.tasks.len() {
            let budget = budget(task);
            let router = router(budget);
            for run in 0..runs {
                let ending = self.converse(&router, &catalogue, task, seed_of(seed, task, run));
                score.add(ending, budget);
            }
        }
        score
    }

    fn converse(&self, router: &BudgetAware, catalogue: &Catalogue, task: usize, seed: u64) -> Ending {
        let mut rng = SmallRng::seed_from_u64(seed);
        let limits = Limits::NONE;
        self.play(task, seed, None, |view, _, _| {
            let cx = Context::new(catalogue, &limits, Timestamp::default(), &mut rng);
            let Ok(decision) = router.route_step(view, Some("agent"), &catalogue.ids(), &cx) else {
                return (Act::Stop, None);
            };
            let large = decision.first().id.0 == 1;
            let bill: Bill<'_> = Box::new(move |usd| {
                let outcome = Outcome {
                    cost: Usd::new(usd).ok(),
                    ..Outcome::default()
                };
                router.learn(&decision.evidence, &decision, &outcome);
            });
            (if large { Act::Large } else { Act::Small }, Some(bill))
        })
    }
}

type Bill<'a> = Box<dyn FnOnce(f64) + 'a>;

impl Tasks for World {
    fn len(&self) -> usize {
        self.tasks.len()
    }

    fn run(
        &self,
        task: usize,
        seed: u64,
        budget: Option<f64>,
        act: &mut dyn FnMut(&View, &Purse) -> Act,
    ) -> Ending {
        self.play(task, seed, budget, |view, purse, _| (act(view, purse), None))
    }
}

fn seed_of(seed: u64, task: usize, run: u64) -> u64 {
    (seed * 1_000_003 + task as u64) * 1009 + run
}

fn cost(large: bool, input: TokenCount, output: u32) -> f64 {
    let usd = UsdPerMillion::clamped(PRICES[usize::from(large)]);
    usd.of(input).get() + usd.of(TokenCount(output)).get()
}

pub(crate) fn catalogue() -> Catalogue {
    let profile = |(name, usd): (&str, f64)| {
        let usd = UsdPerMillion::clamped(usd);
        Profile {
            price: Some(Price {
                input: usd,
                cached_input: None,
                output: usd,
            }),
            ..Profile::named(name)
        }
    };
    Catalogue::new(["small", "large"].into_iter().zip(PRICES).map(profile)).unwrap_or_default()
}

// === impl Progress ===

impl Progress {
    fn view(&self, task: &Task, observed: f64) -> View {
        View {
            step: self.calls,
            tool_results: self.calls,
            errors: self.errors,
            errors_in_a_row: self.in_a_row,
            hint: task.hint as f32,
            observed: observed as f32,
            text: Vec::new(),
            tokens_in: TokenCount(1200 + 100 * self.calls),
            max_output: Some(TokenCount(MAX_OUTPUT)),
        }
    }

    fn purse(&self, view: &View, budget: Option<f64>) -> Purse {
        Purse {
            spent: self.spent,
            left: budget.map(|b| b - self.spent),
            large_steps: self.large,
            remaining: EXPECTED_STEPS.saturating_sub(self.calls + 1),
            small: cost(false, view.tokens_in, MAX_OUTPUT),
            large: cost(true, view.tokens_in, MAX_OUTPUT),
            least: cost(false, view.tokens_in, 0),
        }
    }

    fn note(&mut self, large: bool, cost: f64, success: bool) {
        self.calls += 1;
        self.large += u32::from(large);
        self.spent += cost;
        if success {
            (self.step, self.tries, self.in_a_row) = (self.step + 1, 0, 0);
        } else {
            self.drift += 0.15;
            (self.tries, self.errors, self.in_a_row) = (self.tries + 1, self.errors + 1, self.in_a_row + 1);
        }
    }
}

// === impl Score ===

impl Score {
    fn add(&mut self, ending: Ending, budget: Option<f64>) {
        self.runs += 1.0;
        self.success += f64::from(u8::from(ending.success));
        self.cost += ending.cost;
        self.violations += f64::from(u8::from(budget.is_some_and(|b| ending.cost > b)));
    }

    /// Share of solved tasks.
    pub(crate) fn rate(&self) -> f64 {
        self.success / self.runs
    }

    /// US dollars a task.
    pub(crate) fn mean_cost(&self) -> f64 {
        self.cost / self.runs
    }
}
