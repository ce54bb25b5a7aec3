//! A world of questions with hidden parts, for policies that ask in rounds (card `systems/28`, "How to show it works here").
//!
//! A question has one to three parts, each of one of four domains. A model gives a part's value with the chance that its skill in
//! the domain is; else it says that it cannot, or a wrong value. A question is answered rightly where every part's believed value
//! is right. Of a model the policy sees a descriptor (its skills, with some noise) and its price, of a part what was said of it.

use fingerpost_core::{
    Answer, Ask, Call, Catalogue, Context, Feature, Limits, Outcome, Price, Profile, Query, Reply, Timestamp,
    UsdPerMillion, drive_served,
};
use fingerpost_models::{
    RouterR1, RouterR1Config, Shared, exact_match,
    router_r1::{CostWindow, Policy, Taken, Teacher, raw_cost, reward},
};
use rand::{Rng, SeedableRng, rngs::SmallRng};

pub(crate) const DOMAINS: usize = 4;
pub(crate) const MAX_TURNS: usize = 4;
/// Values that a part can have; 0 is the right one.
const VALUES: usize = 5;
/// Of calls that do not bring the right value so many say so.
const ADMITS: f64 = 0.5;
/// Whoever knows says all the same that it cannot, now and then.
const MODEST: f64 = 0.03;
const INPUTS: usize = 11;
const DEAREST: f64 = 1.8;

/// A model that can be asked.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) name: String,
    /// US dollars per million output tokens.
    pub(crate) price: f64,
    skill: [f64; DOMAINS],
    descriptor: [f64; DOMAINS],
}

/// The models.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) models: Vec<Model>,
}

/// The domain of each part.
pub(crate) type Question = Vec<usize>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Ask { model: usize, part: usize },
    Answer,
}

/// What is paid for in training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pays {
    /// As on the card: cost counts for right answers only.
    Ranked,
    /// Outcome and cheapness are added up, whatever the outcome.
    Added,
}

/// How a policy did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Score {
    /// Share of right answers.
    pub(crate) accuracy: f64,
    /// Mean raw cost.
    pub(crate) cost: f64,
    /// Mean calls.
    pub(crate) calls: f64,
}

/// One question under way.
pub(crate) struct Episode<'a> {
    world: &'a World,
    question: Question,
    /// By part: who said what; `None` where it could not.
    said: Vec<Vec<(usize, Option<usize>)>>,
    calls: Vec<(u32, f64)>,
}

// === impl World ===

impl World {
    /// The pool of the card: four that are good in one domain each, two that are fair in all and dear.
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let pool = [
            ("qwen2.5-7b", 0.3, Some(0)),
            ("llama-3.1-8b", 0.18, Some(1)),
            ("mistral-7b", 0.2, Some(2)),
            ("gemma-2-27b", 0.8, Some(3)),
            ("llama-3.1-70b", 0.88, None),
            ("mixtral-8x22b", 1.2, None),
        ];
        let mut world = Self { models: Vec::new() };
        for (name, price, home) in pool {
            let skill = std::array::from_fn(|domain| match home {
                Some(home) if home == domain => rng.random_range(0.80..0.90),
                Some(_) => rng.random_range(0.25..0.45),
                None => rng.random_range(0.68..0.78),
            });
            world.add(name, price, skill, &mut rng);
        }
        world
    }

    fn add(&mut self, name: &str, price: f64, skill: [f64; DOMAINS], rng: &mut SmallRng) {
        let descriptor = skill.map(|s| (s + rng.random_range(-0.05..0.05)).clamp(0.02, 0.98));
        self.models.push(Model {
            name: name.to_owned(),
            price,
            skill,
            descriptor,
        });
    }

    /// The same with one model more that is better than any, as its descriptor shows.
    pub(crate) fn with_better(&self, seed: u64) -> Self {
        let mut world = self.clone();
        let mut rng = SmallRng::seed_from_u64(seed);
        world.add("palmyra-creative-122b", 0.5, [0.95; DOMAINS], &mut rng);
        world
    }

    /// A question of this many parts.
    pub(crate) fn question(parts: usize, rng: &mut SmallRng) -> Question {
        (0..parts).map(|_| rng.random_range(0..DOMAINS)).collect()
    }

    fn tokens(rng: &mut SmallRng) -> u32 {
        rng.random_range(60..=120)
    }

    /// What a model says of a part: `Some(0)` is right.
    fn say(&self, model: usize, domain: usize, rng: &mut SmallRng) -> Option<usize> {
        if rng.random::<f64>() < self.models[model].skill[domain] {
            (rng.random::<f64>() >= MODEST).then_some(0)
        } else {
            (rng.random::<f64>() >= ADMITS).then(|| rng.random_range(1..VALUES))
        }
    }

    /// A whole question to one model in one round.
    fn single(&self, model: usize, question: &Question, rng: &mut SmallRng) -> (bool, f64) {
        let mut right = true;
        let mut calls = Vec::new();
        for &domain in question {
            right &= rng.random::<f64>() < self.models[model].skill[domain];
            calls.push((Self::tokens(rng), self.models[model].price));
        }
        (right, raw_cost(calls))
    }

    /// One round, always this model.
    pub(crate) fn always(&self, model: usize, parts: &[usize], questions: usize, seed: u64) -> Score {
        self.rounds_of_one(parts, questions, seed, |_| model)
    }

    /// One round, each question to the model whose chance to be right on it truly is the highest: no router of one round can do
    /// better.
    pub(crate) fn best_of_one_round(&self, parts: &[usize], questions: usize, seed: u64) -> Score {
        self.rounds_of_one(parts, questions, seed, |question| {
            let chance = |m: usize| question.iter().map(|d| self.models[m].skill[*d]).product::<f64>();
            (0..self.models.len()).fold(0, |best, m| if chance(m) > chance(best) { m } else { best })
        })
    }

    fn rounds_of_one(
        &self,
        parts: &[usize],
        questions: usize,
        seed: u64,
        choose: impl Fn(&Question) -> usize,
    ) -> Score {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut score = Score::default();
        for i in 0..questions {
            let question = Self::question(parts[i % parts.len()], &mut rng);
            let (right, cost) = self.single(choose(&question), &question, &mut rng);
            score.add(right, cost, 1.0, questions);
        }
        score
    }

    /// A policy trained on questions of one to three parts.
    pub(crate) fn train(&self, pays: Pays, cost_weight: f64, episodes: usize, seed: u64) -> Policy {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut teacher = Teacher::new(Policy::new(INPUTS, 12, &mut rng), 128, 0.02);
        let mut window = CostWindow::seeded([]);
        for _ in 0..episodes {
            let parts = rng.random_range(1..=3);
            let mut episode = Episode::new(self, Self::question(parts, &mut rng));
            let mut taken = Vec::new();
            loop {
                let (acts, actions) = episode.actions();
                let chosen = teacher.policy.draw(&actions, &mut rng);
                taken.push(Taken { actions, chosen });
                match acts[chosen] {
                    Act::Ask { model, part } => drop(episode.ask(model, part, &mut rng)),
                    Act::Answer => break,
                }
            }
            let outcome = f64::from(u8::from(episode.is_right()));
            let cheapness = window.cheapness(episode.cost());
            let reward = match pays {
                Pays::Ranked => reward(0.0, Some(outcome), cheapness, cost_weight),
                Pays::Added => (1.0 - cost_weight) * outcome + cost_weight * cheapness,
            };
            teacher.learn(taken, reward);
        }
        teacher.policy
    }

    /// How a policy does on questions with these numbers of parts, in turn.
    pub(crate) fn judge(&self, policy: &Policy, parts: &[usize], questions: usize, seed: u64) -> Score {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut score = Score::default();
        for i in 0..questions {
            let mut episode = Episode::new(self, Self::question(parts[i % parts.len()], &mut rng));
            while let Act::Ask { model, part } = episode.best(policy) {
                episode.ask(model, part, &mut rng);
            }
            score.add(
                episode.is_right(),
                episode.cost(),
                episode.calls.len() as f64,
                questions,
            );
        }
        score
    }

    /// The same through the router itself: the policy stands in for the router model and speaks its language. Gives also the
    /// share of transcripts without a fault of format.
    pub(crate) fn judge_in_tags(
        &self,
        policy: &Policy,
        parts: &[usize],
        questions: usize,
        seed: u64,
    ) -> (Score, f64) {
        let profile = |m: &Model| {
            let usd = UsdPerMillion::clamped(m.price);
            let price = Price {
                input: usd,
                cached_input: None,
                output: usd,
            };
            Profile {
                price: Some(price),
                ..Profile::named(m.name.clone())
            }
        };
        let profiles = self.models.iter().map(profile).chain([Profile::named("router")]);
        let catalogue = Catalogue::new(profiles).expect("names differ");
        let (ids, limits) = (catalogue.ids(), Limits::NONE);
        let among = &ids[..self.models.len()];
        let config = RouterR1Config {
            router: Some("router".to_owned()),
            ..RouterR1Config::default()
        };
        let router = RouterR1::new(&config, "r".into(), &Shared::default()).expect("in range");
        let mut rng = SmallRng::seed_from_u64(seed);
        let (mut score, mut in_form) = (Score::default(), 0.0);
        for i in 0..questions {
            let mut episode = Episode::new(self, Self::question(parts[i % parts.len()], &mut rng));
            let mut chance = SmallRng::seed_from_u64(rng.random());
            let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut chance);
            let played = drive_served(&router, &Query::text("a question"), among, &mut cx, |call| {
                Answer {
                    call: call.id,
                    reply: Ok(Reply {
                        text: episode.speak(call, policy, &mut rng),
                        ..Reply::default()
                    }),
                    outcome: Outcome::default(),
                }
            });
            let (decision, text) = played.expect("somebody answers");
            let truth = vec!["v0"; episode.question.len()].join(" ");
            let right = text.is_some_and(|t| exact_match(&t, &truth));
            score.add(right, episode.cost(), episode.calls.len() as f64, questions);
            if decision.evidence.feature("format") == Some(&Feature::Number(0.0)) {
                in_form += 1.0 / questions as f64;
            }
        }
        (score, in_form)
    }
}

// === impl Episode ===

impl<'a> Episode<'a> {
    fn new(world: &'a World, question: Question) -> Self {
        Self {
            world,
            said: vec![Vec::new(); question.len()],
            question,
            calls: Vec::new(),
        }
    }

    fn ask(&mut self, model: usize, part: usize, rng: &mut SmallRng) -> Option<usize> {
        let said = self.world.say(model, self.question[part], rng);
        self.said[part].push((model, said));
        self.calls
            .push((World::tokens(rng), self.world.models[model].price));
        said
    }

    fn cost(&self) -> f64 {
        raw_cost(self.calls.iter().copied())
    }

    /// The value that is likeliest by what was said and the descriptors, and how likely it is; `None` where nobody gave one.
    fn belief(&self, part: usize) -> Option<(usize, f64)> {
        let mut chances = [1.0; VALUES];
        let mut given = false;
        for &(model, said) in &self.said[part] {
            let Some(said) = said else { continue };
            given = true;
            let skill = self.world.models[model].descriptor[self.question[part]];
            for (value, chance) in chances.iter_mut().enumerate() {
                *chance *= if value == said {
                    skill
                } else {
                    (1.0 - skill) * (1.0 - ADMITS) / (VALUES - 1) as f64
                };
            }
        }
        let sum: f64 = chances.iter().sum();
        let best = (0..VALUES).fold(0, |b, v| if chances[v] > chances[b] { v } else { b });
        given.then(|| (best, chances[best] / sum))
    }

    fn is_right(&self) -> bool {
        (0..self.question.len()).all(|part| self.belief(part).is_some_and(|(value, _)| value == 0))
    }

    /// What can be done, each with its features; answering comes last.
    fn actions(&self) -> (Vec<Act>, Vec<Vec<f64>>) {
        let parts = self.question.len();
        let sure: Vec<f64> = (0..parts).map(|p| self.belief(p).map_or(0.0, |b| b.1)).collect();
        let open = sure.iter().filter(|s| **s == 0.0).count();
        let common = [
            (MAX_TURNS - self.calls.len()) as f64 / MAX_TURNS as f64,
            open as f64 / 3.0,
            sure.iter().product(),
            (self.cost() / 100.0).sqrt() / 2.0,
        ];
        let (mut acts, mut features) = (Vec::new(), Vec::new());
        if self.calls.len() < MAX_TURNS {
            for (part, &sure) in sure.iter().enumerate() {
                for (model, m) in self.world.models.iter().enumerate() {
                    let before = self.said[part].iter().any(|s| s.0 == model);
                    let own = [
                        1.0,
                        0.0,
                        m.descriptor[self.question[part]],
                        m.price / DEAREST,
                        f64::from(u8::from(sure == 0.0)),
                        sure,
                        f64::from(u8::from(before)),
                    ];
                    acts.push(Act::Ask { model, part });
                    features.push(own.into_iter().chain(common).collect());
                }
            }
        }
        let own = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        acts.push(Act::Answer);
        features.push(own.into_iter().chain(common).collect());
        (acts, features)
    }

    fn best(&self, policy: &Policy) -> Act {
        let (acts, features) = self.actions();
        acts[policy.best(&features)]
    }

    /// What whoever is called says: the policy in tags, or a model.
    fn speak(&mut self, call: &Call, policy: &Policy, rng: &mut SmallRng) -> String {
        let Ask::Prompt { user, .. } = &call.ask else {
            return String::new();
        };
        if let Some(model) = self
            .world
            .models
            .get(call.target.0 as usize)
            .map(|_| call.target.0 as usize)
        {
            let part = user.trim_start_matches("what is part ").parse().unwrap_or(0);
            return match self.ask(model, part, rng) {
                Some(value) => format!("v{value}"),
                None => "I cannot say.".to_owned(),
            };
        }
        match self.best(policy) {
            Act::Ask { model, part } => {
                let name = &self.world.models[model].name;
                format!("<think>part {part} is not sure</think><search>{name}:what is part {part}</search>")
            }
            Act::Answer => {
                let value = |part| self.belief(part).map_or("?".to_owned(), |(v, _)| format!("v{v}"));
                let values: Vec<String> = (0..self.question.len()).map(value).collect();
                format!("<think>that will do</think><answer>{}</answer>", values.join(" "))
            }
        }
    }
}

// === impl Score ===

impl Score {
    fn add(&mut self, right: bool, cost: f64, calls: f64, of: usize) {
        self.accuracy += f64::from(u8::from(right)) / of as f64;
        self.cost += cost / of as f64;
        self.calls += calls / of as f64;
    }

    /// The mean of several.
    pub(crate) fn mean(scores: &[Self]) -> Self {
        let n = scores.len() as f64;
        let mean = |of: fn(&Self) -> f64| scores.iter().map(of).sum::<f64>() / n;
        Self {
            accuracy: mean(|s| s.accuracy),
            cost: mean(|s| s.cost),
            calls: mean(|s| s.calls),
        }
    }
}
