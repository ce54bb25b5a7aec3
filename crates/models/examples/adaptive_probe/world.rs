//! A world of agent actions for `adaptive_probe` (card: `systems/37`).
//!
//! Each action has a hidden difficulty `z`, beta-distributed by application; its vector is that of the application, plus `z` times one
//! direction, plus noise. Model `k` succeeds with `sigmoid(a_k − b z + bonus if warm)`. The small model's confidence is a noisy monotone function
//! of its probability and its success; `informative` says how much of either it holds (0: nothing). One action in twenty is
//! risky, which shows in its picture, in its text, or in both.

use std::collections::BTreeMap;

use fingerpost_core::{
    Answer, Catalogue, Context, Decision, Learn, Limits, Outcome, Profile, Quality, Reply, Timestamp, drive,
};
use fingerpost_models::adaptive_probe::{
    Action, AdaptiveProbe, AdaptiveProbeConfig, Contrast, Exemplars, RiskConfig,
};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use rand_distr::{Beta, StandardNormal};

const DIMS: usize = 24;
const NAMES: [&str; 3] = ["small", "middle", "large"];
/// Of each model's `a_k − b z`.
const ABILITY: [f64; 3] = [4.0, 7.0, 8.0];
const SLOPE: f64 = 8.0;
const WARM_BONUS: f64 = 1.0;
/// Beta parameters of each application's difficulty.
const CLASSES: [(f64, f64); 4] = [(2.0, 5.0), (3.0, 3.0), (2.0, 3.0), (4.0, 3.0)];
const VETERANS: usize = 8;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    pub(crate) actions: usize,
    /// How much the small model's confidence tells, 0 to 1.
    pub(crate) informative: f64,
    /// US dollars a call.
    pub(crate) costs: [f64; 3],
}

pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) items: Vec<Item>,
    exemplars: Exemplars,
    risk: RiskConfig,
}

#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) action: Action,
    pub(crate) warm: bool,
    pub(crate) risky: bool,
    /// Contrast of the action with the exemplars of difficulty.
    difficulty: f64,
    success: [bool; 3],
    /// The small model's.
    confidence: f64,
}

/// What became of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) actions: f64,
    pub(crate) cost: f64,
    pub(crate) success: f64,
    pub(crate) probes: f64,
    /// Answered by another than the smallest.
    pub(crate) escalated: f64,
}

pub(crate) struct Run {
    pub(crate) all: Tally,
    pub(crate) warm: Tally,
    pub(crate) cold: Tally,
    /// The second half, when the router has learned.
    pub(crate) late: Tally,
    /// Share of risky actions that went to the largest model, of others that were taken for risky.
    pub(crate) recall: f64,
    pub(crate) false_alarms: f64,
    pub(crate) auroc: Option<f64>,
    /// In the second half, by reason: actions, their cost, the successes that always asking the large model would have had more.
    pub(crate) reasons: BTreeMap<String, [f64; 3]>,
}

// === impl Settings ===

impl Settings {
    pub(crate) fn of(seed: u64, actions: usize, informative: f64) -> Self {
        Self {
            seed,
            actions,
            informative,
            costs: [0.001, 0.004, 0.02],
        }
    }
}

// === impl Tally ===

impl Tally {
    pub(crate) fn accuracy(&self) -> f64 {
        self.success / self.actions
    }

    pub(crate) fn mean_cost(&self) -> f64 {
        self.cost / self.actions
    }

    pub(crate) fn escalates(&self) -> f64 {
        self.escalated / self.actions
    }

    pub(crate) fn probed(&self) -> f64 {
        self.probes / self.actions
    }

    fn add(&mut self, pick: usize, success: bool, cost: f64, probed: bool) {
        self.actions += 1.0;
        self.cost += cost;
        self.success += f64::from(u8::from(success));
        self.probes += f64::from(u8::from(probed));
        self.escalated += f64::from(u8::from(pick > 0));
    }
}

// === impl World ===

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        let mut rng = SmallRng::seed_from_u64(settings.seed);
        let directions: Vec<Vec<f32>> = (0..CLASSES.len() + 5).map(|_| unit(&mut rng)).collect();
        let (classes, rest) = directions.split_at(CLASSES.len());
        let at = |class: &[f32], z: f32| sum(class, &rest[0], z);
        let some = |of: &[f32], rng: &mut SmallRng| (0..5).map(|_| noisy(of, 0.05, rng)).collect();
        let exemplars = Exemplars {
            difficulty: Contrast::new(
                classes.iter().map(|c| at(c, 1.0)).collect(),
                classes.iter().map(|c| at(c, 0.0)).collect(),
            ),
            risky_text: Contrast::new(some(&rest[1], &mut rng), some(&rest[2], &mut rng)),
            risky_visual: Contrast::new(some(&rest[3], &mut rng), some(&rest[4], &mut rng)),
        };
        let mut world = Self {
            settings,
            items: Vec::new(),
            exemplars,
            risk: RiskConfig::default(),
        };
        world.items = (0..settings.actions)
            .map(|i| world.item(i, classes, rest, &mut rng))
            .collect();
        // Thresholds by other harmless actions than those that are counted: 2 in 100 of them may raise each alarm.
        let others: Vec<Item> = (0..2000)
            .map(|i| world.item(i, classes, rest, &mut rng))
            .collect();
        let safe = || others.iter().filter(|i| !i.risky);
        let text = |i: &Item| world.exemplars.risky_text.of(&i.action.reasoning[0]);
        let visual = |i: &Item| world.exemplars.risky_visual.of(i.action.visual.as_ref()?);
        let theta_text = upper(safe().filter_map(text).collect(), 0.02);
        let theta_visual = upper(safe().filter_map(visual).collect(), 0.02);
        world.risk = RiskConfig {
            theta_text,
            theta_visual,
            ..RiskConfig::default()
        };
        world
    }

    fn item(&self, i: usize, classes: &[Vec<f32>], rest: &[Vec<f32>], rng: &mut SmallRng) -> Item {
        let class = rng.random_range(0..classes.len());
        let (a, b) = CLASSES[class];
        let z = Beta::new(a, b).map_or(0.5, |beta| rng.sample(beta));
        let warm = rng.random::<bool>();
        let agent = if warm {
            format!("veteran {}", rng.random_range(0..VETERANS))
        } else {
            format!("newcomer {i}")
        };
        let risky = rng.random::<f64>() < 0.05;
        let shows = rng.random::<f64>();
        let channel = |risky: bool, of: usize, rng: &mut SmallRng| {
            noisy(&rest[if risky { of } else { of + 1 }], 0.2, rng)
        };
        let text = channel(risky && shows < 0.6, 1, rng);
        let visual = channel(risky && shows >= 0.4, 3, rng);
        let vector = noisy(&sum(&classes[class], &rest[0], z as f32), 0.05, rng);
        let bonus = if warm { WARM_BONUS } else { 0.0 };
        let logit = |k: usize| ABILITY[k] - SLOPE * z + bonus;
        let success = [0, 1, 2].map(|k| rng.random::<f64>() < sigmoid(logit(k)));
        let told = 0.5 * logit(0) + if success[0] { 1.5 } else { -1.5 };
        let noise: f64 = rng.sample(StandardNormal);
        Item {
            warm,
            risky,
            difficulty: self.exemplars.difficulty.of(&vector).unwrap_or(0.0),
            success,
            confidence: sigmoid(self.settings.informative * told + noise),
            action: Action {
                vector,
                reasoning: vec![text],
                visual: Some(visual),
                class: format!("application {class}"),
                agent,
                bytes: 4000,
            },
        }
    }

    pub(crate) fn config(&self) -> AdaptiveProbeConfig {
        let costs = NAMES.iter().zip(self.settings.costs);
        AdaptiveProbeConfig {
            tau: 0.955,
            delta: 0.25,
            cost_per_call: costs.map(|(n, c)| ((*n).to_owned(), c)).collect(),
            risk: self.risk.clone(),
            ..AdaptiveProbeConfig::default()
        }
    }

    /// Routes every action in turn with the configuration of this world.
    pub(crate) fn run_default(&self) -> Run {
        self.run(&self.config())
    }

    /// Routes every action in turn; outcomes are known at once.
    pub(crate) fn run(&self, config: &AdaptiveProbeConfig) -> Run {
        let router = AdaptiveProbe::with_exemplars(config, "probe".into(), self.exemplars.clone())
            .unwrap_or_else(|e| unreachable!("{e}"));
        let catalogue = Catalogue::new(NAMES.map(Profile::named)).unwrap_or_default();
        let mut rng = SmallRng::seed_from_u64(self.settings.seed ^ 0xabc);
        let limits = Limits::NONE;
        let mut run = Run {
            all: Tally::default(),
            warm: Tally::default(),
            cold: Tally::default(),
            late: Tally::default(),
            recall: 0.0,
            false_alarms: 0.0,
            auroc: None,
            reasons: BTreeMap::new(),
        };
        let (mut risky, mut caught, mut alarms) = (0.0, 0.0, 0.0);
        for (i, item) in self.items.iter().enumerate() {
            let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
            let mut calls: Vec<usize> = Vec::new();
            let decision = drive(&router, &item.action, &catalogue.ids(), &mut cx, |call| {
                calls.push(call.target.0 as usize);
                Answer {
                    call: call.id,
                    reply: Ok(reply(item.confidence)),
                    outcome: Outcome::default(),
                }
            });
            let Ok(decision) = decision else { continue };
            let pick = decision.first().id.0 as usize;
            let probed = !calls.is_empty();
            if decision.answered.is_none() {
                calls.push(pick);
            }
            let cost = calls.iter().map(|k| self.settings.costs[*k]).sum();
            let success = item.success[pick];
            for (counts, tally) in [
                (true, &mut run.all),
                (item.warm && !item.risky, &mut run.warm),
                (!item.warm && !item.risky, &mut run.cold),
                (2 * i >= self.items.len(), &mut run.late),
            ] {
                if counts {
                    tally.add(pick, success, cost, probed);
                }
            }
            if 2 * i >= self.items.len() {
                let reason = run.reasons.entry(decision.reason.text.to_string()).or_default();
                let lost = f64::from(u8::from(item.success[2])) - f64::from(u8::from(success));
                for (sum, value) in reason.iter_mut().zip([1.0, cost, lost]) {
                    *sum += value;
                }
            }
            let alarm = decision.reason.text.starts_with("risky");
            risky += f64::from(u8::from(item.risky));
            caught += f64::from(u8::from(item.risky && alarm && pick == 2));
            alarms += f64::from(u8::from(!item.risky && alarm));
            learn(&router, &decision, success);
        }
        run.recall = caught / risky;
        run.false_alarms = alarms / (self.items.len() as f64 - risky);
        run.auroc = router.auroc();
        run
    }

    /// One model for everything.
    pub(crate) fn always(&self, model: usize) -> Tally {
        self.tally(|_| (model, false))
    }

    /// Accuracy of drawing the small or the large model so that it costs as much.
    pub(crate) fn random(&self, cost: f64) -> f64 {
        let (small, large) = (self.always(0), self.always(2));
        let share = ((cost - small.mean_cost()) / (large.mean_cost() - small.mean_cost())).clamp(0.0, 1.0);
        small.accuracy() + share * (large.accuracy() - small.accuracy())
    }

    /// The small model up to a difficulty, else the large one; the cheapest such rule of that accuracy, found in hindsight.
    pub(crate) fn difficulty_only(&self, accuracy: f64) -> Tally {
        let rule = |bar: f64| self.tally(|i| (if i.difficulty <= bar { 0 } else { 2 }, false));
        let bars = (0..=60).map(|i| -0.3 + 0.01 * f64::from(i)).map(rule);
        self.cheapest(bars, accuracy)
    }

    /// Every action probed and accepted from a confidence on, else the large one; likewise in hindsight.
    pub(crate) fn probe_only(&self, accuracy: f64) -> Tally {
        let rule = |bar: f64| self.tally(|i| (if i.confidence >= bar { 0 } else { 2 }, true));
        let bars = (0..=100).map(|i| 0.01 * f64::from(i)).map(rule);
        self.cheapest(bars, accuracy)
    }

    fn cheapest(&self, rules: impl Iterator<Item = Tally>, accuracy: f64) -> Tally {
        rules
            .filter(|t| t.accuracy() >= accuracy)
            .min_by(|a, b| a.cost.total_cmp(&b.cost))
            .unwrap_or_else(|| self.always(2))
    }

    fn tally(&self, rule: impl Fn(&Item) -> (usize, bool)) -> Tally {
        let mut tally = Tally::default();
        for item in &self.items {
            let (pick, probed) = rule(item);
            let probe = if probed && pick > 0 {
                self.settings.costs[0]
            } else {
                0.0
            };
            tally.add(
                pick,
                item.success[pick],
                self.settings.costs[pick] + probe,
                probed,
            );
        }
        tally
    }

    /// The same with one channel of the risk gate shut.
    pub(crate) fn with_one_channel(&self, visual: bool) -> Run {
        let mut config = self.config();
        *(if visual {
            &mut config.risk.theta_text
        } else {
            &mut config.risk.theta_visual
        }) = 2.0;
        self.run(&config)
    }
}

fn learn(router: &AdaptiveProbe, decision: &Decision, success: bool) {
    let outcome = Outcome {
        quality: Quality::new(f64::from(u8::from(success))).ok(),
        ..Outcome::default()
    };
    router.learn(&decision.evidence, decision, &outcome);
}

/// A tool call whose marks are certain and whose coordinates are not.
fn reply(confidence: f64) -> Reply {
    let sure = confidence.max(1e-9).ln() as f32;
    Reply {
        logprobs: vec![-0.001, sure, -0.001, sure, -0.001],
        tokens: ["{\"x\": ", "12", ", \"y\": ", "40", "}"]
            .map(str::to_owned)
            .to_vec(),
        tool_calls: 1,
        ..Reply::default()
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn unit(rng: &mut SmallRng) -> Vec<f32> {
    let vector: Vec<f32> = (0..DIMS).map(|_| rng.sample(StandardNormal)).collect();
    let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    vector.into_iter().map(|v| v / length).collect()
}

fn sum(a: &[f32], b: &[f32], times: f32) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + times * b).collect()
}

fn noisy(vector: &[f32], deviation: f32, rng: &mut SmallRng) -> Vec<f32> {
    let noise = |v: &f32| v + deviation * rng.sample::<f32, _>(StandardNormal);
    vector.iter().map(noise).collect()
}

/// The value that only a share of all exceeds.
fn upper(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = ((1.0 - share) * values.len() as f64) as usize;
    values.get(at).copied().unwrap_or(2.0)
}
