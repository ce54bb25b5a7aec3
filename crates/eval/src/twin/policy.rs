//! `budget_aware` on a bank: its runs as tasks to train a policy on, and the policy as a router of tiers (card: `systems/48`).
//!
//! The small model is one tier and the large one the highest. A step that needs more than the small one fails with it, and a run in
//! which a step failed is not solved. Unlike a live task a saved run goes on as it went on: a failed step changes nothing that
//! follows. So a policy learns here which steps need the large model, and nothing of how to make good what went wrong.

use fingerpost_core::{Name, Query, Role, Turn};
use fingerpost_models::{
    Featurizer, Progress, Trained,
    budget_aware::{Act, Bopo, BudgetAwareConfig, Ending, Policy, Purse, STATE, TEXT, Tasks, View},
};
use serde::{Deserialize, Serialize};

use super::{
    Bank, Buckets, BytesOverFour, Message, Prices, RouteError, Row, Step, Tier, TierRouter, TokenCounter,
    paths::{AfterError, Measured, MeasuredStep, costs},
    scorer::measure,
    tokens::{of_message, of_messages},
};

/// How a policy is trained on a bank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyOptions {
    /// The small model's name, for the file. Without both names any two models will do.
    pub small: Option<Name>,
    /// The large model's name.
    pub large: Option<Name>,
    /// The tier that the small model is of: what needs more needs the large one, which is of the highest. Default mid.
    pub tier: Tier,
    /// Whether the policy reads the step's last text, by the encoder. Default true.
    pub reads: bool,
    /// Rounds of trying. Default 400.
    pub rounds: usize,
}

/// The runs of a bank as tasks.
struct Saved<'a> {
    runs: Vec<Run>,
    prices: &'a Prices,
    tier: Tier,
    bound: u64,
}

/// A run, ready to be walked.
struct Run {
    views: Vec<View>,
    needs: Vec<Tier>,
    measured: Measured,
}

/// A policy as a router: the small model's tier or the highest, by what is more probable.
pub struct PolicyRouter {
    policy: Policy,
    reader: Option<Featurizer>,
    options: PolicyOptions,
    prices: Prices,
    bound: u64,
}

impl Default for PolicyOptions {
    fn default() -> Self {
        Self {
            small: None,
            large: None,
            tier: Tier::Mid,
            reads: true,
            rounds: Bopo::default().rounds,
        }
    }
}

/// Trains `budget_aware` on a bank, to be kept in a file. Costs some seconds for some hundred runs.
///
/// # Errors
/// [`TooLittle`](fingerpost_models::TrainError::TooLittle) for a bank without runs, [`Stopped`](fingerpost_models::TrainError::Stopped)
/// where whoever watches wants no more.
pub fn train_policy(
    bank: &Bank,
    options: &PolicyOptions,
    reader: &Featurizer,
    prices: &Prices,
    counter: &dyn TokenCounter,
    seed: u64,
    progress: Progress<'_>,
) -> Result<Trained, fingerpost_models::TrainError> {
    let reader = Some(reader).filter(|_| options.reads);
    let tasks = Saved::new(bank, options.tier, reader, prices, counter);
    let policy = learn(&tasks, options, reader, seed, progress)?;
    let models = options.small.clone().zip(options.large.clone());
    let models = models.map(|(small, large)| [small, large]);
    Ok(Trained::of_policy(
        policy,
        models,
        bank.runs().len(),
        seed,
        reader,
    ))
}

fn learn(
    tasks: &Saved<'_>,
    options: &PolicyOptions,
    reader: Option<&Featurizer>,
    seed: u64,
    progress: Progress<'_>,
) -> Result<Policy, fingerpost_models::TrainError> {
    let inputs = STATE + if reader.is_some() { TEXT } else { 0 };
    let bopo = Bopo {
        rounds: options.rounds,
        ..Bopo::default()
    };
    // A saved run always ends the same way.
    bopo.from_nothing(tasks, 1, inputs, seed, progress)
}

// === impl Saved ===

impl<'a> Saved<'a> {
    fn new(
        bank: &Bank,
        tier: Tier,
        reader: Option<&Featurizer>,
        prices: &'a Prices,
        counter: &dyn TokenCounter,
    ) -> Self {
        let runs = bank.runs().iter().map(|rows| {
            let steps: Vec<&Row> = rows.iter().map(|&at| &bank.rows()[at]).collect();
            Run {
                views: steps.iter().map(|row| view(&row.messages, reader)).collect(),
                needs: steps.iter().map(|row| row.target).collect(),
                measured: measure(&steps, prices, counter),
            }
        });
        let runs: Vec<Run> = runs.collect();
        let outputs = runs.iter().flat_map(|run| &run.measured.steps).map(|s| s.output);
        let bound = outputs.max().unwrap_or(prices.fallback_output);
        Self {
            runs,
            prices,
            tier,
            bound,
        }
    }
}

impl Tasks for Saved<'_> {
    fn len(&self) -> usize {
        self.runs.len()
    }

    fn run(
        &self,
        task: usize,
        _: u64,
        budget: Option<f64>,
        act: &mut dyn FnMut(&View, &Purse) -> Act,
    ) -> Ending {
        let run = &self.runs[task];
        let mut tiers = Vec::with_capacity(run.views.len());
        for (at, view) in run.views.iter().enumerate() {
            let purse = Purse {
                left: budget.map(|budget| budget - spent(&run.measured, &tiers, self.prices)),
                ..purse(&run.measured, at, &tiers, self.tier, self.bound, self.prices)
            };
            match act(view, &purse) {
                Act::Small => tiers.push(self.tier),
                Act::Large => tiers.push(Tier::High),
                Act::Stop => break,
            }
        }
        let suffice = tiers.iter().zip(&run.needs).all(|(tier, needed)| tier >= needed);
        Ending {
            success: suffice && tiers.len() == run.needs.len(),
            cost: spent(&run.measured, &tiers, self.prices),
        }
    }
}

/// What the steps cost that these tiers took, in US dollars.
fn spent(run: &Measured, tiers: &[Tier], prices: &Prices) -> f64 {
    let priced = vec![true; tiers.len()];
    costs(run, tiers, &priced, AfterError::Cold, prices)
        .into_iter()
        .flatten()
        .sum()
}

/// The money at a step, without a budget: a step may cost at most its prompt written anew and the longest answer.
fn purse(run: &Measured, at: usize, tiers: &[Tier], small: Tier, bound: u64, prices: &Prices) -> Purse {
    let step = &run.steps[at];
    let most = |tier: Tier| {
        prices.tiers[tier.id()].of(Buckets {
            cache_write: step.prompt[tier.id()],
            output: bound,
            ..Buckets::default()
        })
    };
    let least = Buckets {
        cache_read: step.prompt[small.id()],
        ..Buckets::default()
    };
    let expected = BudgetAwareConfig::default().expected_steps as usize;
    Purse {
        spent: spent(run, tiers, prices),
        left: None,
        large_steps: tiers.iter().filter(|tier| **tier == Tier::High).count() as u32,
        remaining: expected.saturating_sub(at + 1) as u32,
        small: most(small),
        large: most(Tier::High),
        least: prices.tiers[small.id()].of(least),
    }
}

/// What `budget_aware` would see of this conversation as a request.
fn view(messages: &[Message], reader: Option<&Featurizer>) -> View {
    let turn = |message: &Message| Turn {
        role: match message.role.as_str() {
            "system" => Role::System,
            "assistant" => Role::Assistant,
            "tool" => Role::Tool,
            _ => Role::User,
        },
        texts: vec![message.text().into()],
        tool_calls: message.tool_calls.len() as u32,
        tool_results: u32::from(message.tool_call_id.is_some()),
        ..Turn::default()
    };
    let query = Query {
        turns: messages.iter().map(turn).collect(),
        ..Query::default()
    };
    View::of(&query, reader)
}

// === impl PolicyRouter ===

impl PolicyRouter {
    /// Trains one on a bank, whose runs `counter` measures; when it is asked it estimates tokens as [`BytesOverFour`] does.
    ///
    /// # Errors
    /// As [`train_policy`].
    pub fn train(
        bank: &Bank,
        options: &PolicyOptions,
        reader: &Featurizer,
        prices: &Prices,
        counter: &dyn TokenCounter,
        seed: u64,
    ) -> Result<Self, fingerpost_models::TrainError> {
        let reader = Some(reader).filter(|_| options.reads);
        let tasks = Saved::new(bank, options.tier, reader, prices, counter);
        Ok(Self {
            policy: learn(&tasks, options, reader, seed, &|_, _, _| true)?,
            reader: reader.cloned(),
            options: options.clone(),
            prices: *prices,
            bound: tasks.bound,
        })
    }

    /// The steps so far as the messages show them: each ended where the assistant spoke. The last is the present one.
    fn walked(&self, messages: &[Message], steps: usize) -> Measured {
        let spoke = messages.iter().enumerate().filter(|(_, m)| m.role == "assistant");
        let ends: Vec<usize> = spoke.map(|(at, _)| at).collect();
        let ends = &ends[ends.len().saturating_sub(steps)..];
        let step = |(at, end): (usize, usize)| MeasuredStep {
            index: at as u32 + 1,
            prompt: Tier::ALL.map(|tier| of_messages(&messages[..end], tier, &BytesOverFour)),
            continues: at > 0,
            output: messages
                .get(end)
                .map_or(0, |m| of_message(m, Tier::High, &BytesOverFour)),
        };
        let ends = ends.iter().copied().chain([messages.len()]);
        Measured {
            steps: ends.enumerate().map(step).collect(),
        }
    }
}

impl TierRouter for PolicyRouter {
    fn tier(&self, step: &Step<'_>) -> Result<Tier, RouteError> {
        let walked = self.walked(step.messages, step.before.len());
        let at = walked.steps.len() - 1;
        let asked = step.before[step.before.len() - at..].iter();
        let tiers: Vec<Tier> = asked.map(|tier| tier.unwrap_or(Tier::High)).collect();
        let purse = purse(&walked, at, &tiers, self.options.tier, self.bound, &self.prices);
        let state = view(step.messages, self.reader.as_ref()).state(&purse);
        Ok(if self.policy.large(&state) >= 0.5 {
            Tier::High
        } else {
            self.options.tier
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fingerpost_encode::StaticEncoder;

    use super::*;
    use crate::twin::predict;

    fn reader() -> Featurizer {
        Featurizer::new(Arc::new(StaticEncoder::bundled()))
    }

    /// Runs of two steps; the second needs the highest tier where it says so.
    fn bank(runs: usize) -> Bank {
        let mut rows = Vec::new();
        for run in 0..runs {
            let is_hard = run % 2 == 0;
            let mut messages = vec![Message::new("user", "Please look after this.")];
            for step in 1..=2 {
                let hard = is_hard && step == 2;
                rows.push(Row {
                    id: format!("{run}-{step}"),
                    benchmark: "b".to_owned(),
                    instance_id: format!("run-{run}"),
                    step_index: step,
                    messages: messages.clone(),
                    target: if hard { Tier::High } else { Tier::Low },
                });
                messages.push(Message::new("assistant", "Done."));
                messages.push(Message::new(
                    "tool",
                    if is_hard {
                        "prove the theorem by induction"
                    } else {
                        "list the files of a folder"
                    },
                ));
            }
        }
        Bank::new(rows).unwrap()
    }

    #[test]
    fn a_saved_run_is_walked_by_hand() {
        let bank = bank(2);
        let prices = Prices::PUBLISHED;
        let tasks = Saved::new(&bank, Tier::Mid, None, &prices, &BytesOverFour);
        let run = |task, budget, acts: [Act; 2]| {
            let mut acts = acts.into_iter();
            tasks.run(task, 1, budget, &mut |_, _| acts.next().unwrap())
        };
        assert_eq!(tasks.len(), 2);
        assert!(!run(0, None, [Act::Small, Act::Small]).success);
        assert!(run(1, None, [Act::Small, Act::Small]).success);
        let mixed = run(0, None, [Act::Small, Act::Large]);
        // Prompts of 12 and 30 tokens, both written anew; answers of 6 and of their mean.
        let expected = (12.0 * 0.3 + 6.0 * 2.0 + 30.0 * 6.25 + 6.0 * 25.0) / 1e6;
        assert!(
            mixed.success && (mixed.cost - expected).abs() < 1e-12,
            "{}",
            mixed.cost * 1e6
        );
        let stopped = run(1, Some(0.0), [Act::Small, Act::Stop]);
        assert!(!stopped.success && stopped.cost > 0.0);
        let mut left = Vec::new();
        tasks.run(0, 1, Some(1.0), &mut |view, purse| {
            assert!(purse.large > purse.small && purse.small > purse.least);
            left.push((view.step, purse.left.unwrap(), purse.large_steps));
            Act::Large
        });
        assert_eq!((left[0], left[1].0, left[1].2), ((0, 1.0, 0), 1, 1));
        assert!(left[1].1 < 1.0);
    }

    #[test]
    fn a_policy_learns_which_steps_need_the_large_model() {
        let (bank, prices) = (bank(20), Prices::PUBLISHED);
        let options = PolicyOptions {
            rounds: 30,
            small: Some("flash".into()),
            large: Some("opus".into()),
            ..PolicyOptions::default()
        };
        let router = PolicyRouter::train(&bank, &options, &reader(), &prices, &BytesOverFour, 1).unwrap();
        let said = predict(&router, &bank);
        let tiers = |run: usize| [0, 1].map(|step| said[2 * run + step].clone().unwrap());
        assert_eq!((tiers(0)[1], tiers(1)), (Tier::High, [Tier::Mid; 2]));
        let train = |bank: &Bank, go: bool| {
            train_policy(
                bank,
                &options,
                &reader(),
                &prices,
                &BytesOverFour,
                1,
                &|_, _, _| go,
            )
        };
        let trained = train(&bank, true).unwrap();
        assert_eq!(trained.about.models, ["flash", "opus"]);
        assert_eq!((trained.about.rows, trained.policy().unwrap().text()), (20, TEXT));
        assert!(train(&bank, false).is_err() && train(&Bank::default(), true).is_err());
    }
}
