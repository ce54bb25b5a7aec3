//! `adaptive_probe`: a small model is asked first where that may pay; how sure it was decides whether a larger one answers.
//!
//! In this order: what looks risky goes to the largest model (or nowhere); what is plainly easy to the smallest, plainly hard to
//! the cheapest whose success probability reaches `tau`, neither with a probe; of the rest the smallest model is asked, and its
//! answer is served where its confidence reaches the threshold; else the cheapest larger model with `p(difficulty, confidence, warm) ≥ tau` answers, the
//! largest where none does. A probe is made only where it pays: `P(s ≥ t) > c₁ / c_k`, `k` whoever would answer without one; and only while
//! its confidence tells anything (area under the ROC curve), else difficulty alone decides. Card: `systems/37`.
//!
//! Difficulty and risk are contrasts with exemplars ([`Contrast`]); models are ordered by expected cost, equally dear ones as listed.
//! A request is warm where its agent did something similar well before (`memory`); warm requests have curves and thresholds of
//! their own. A share `explore` of the requests is probed and answered by a model drawn at random: the propensity in the evidence
//! counts that in. Learns from feedback and failures: a quality of one half and more is a success.
//!
//! Scores: the success probability, the declared quality where none is known. Differs from the card: memories are not put into the
//! prompt, since the request is passed on as it came (its agent remembers by itself, and a memory can carry foreign instructions);
//! what is easy is probed nevertheless where the smallest model is known to fail `tau` on it.

mod calibration;
mod config;
mod difficulty;
mod learning;
mod memory;
mod probe;
mod risk;

use std::sync::Mutex;

use arc_swap::ArcSwap;
use fingerpost_core::{
    Answer, Ask, Call, CallId, Candidate, CandidateId, Context, Decision, Deliberate, Evidence, Exclusion,
    Feature, Limit, Name, NoRoute, Quality, Query, Reason, Role, Step, Thread,
};
use rand::Rng;
use serde::{Deserialize, Serialize};

pub use self::{
    calibration::{CalibrationConfig, Method},
    config::AdaptiveProbeConfig,
    difficulty::Contrast,
    memory::MemoryConfig,
    probe::{ProbeConfig, ProbeTokens},
    risk::{OnRisk, RiskConfig},
};
use self::{
    difficulty::Band,
    learning::{Experience, Learned, VERSION},
    memory::Memory,
    risk::Gate,
};
use crate::{config::ConfigError, costs::by_price, features::Featurizer, ranked::Ranked};

/// An action to be routed, as vectors, for whoever has more than a text at hand.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Action {
    /// Of the action, with the picture if the exemplars are such.
    pub vector: Vec<f32>,
    /// Of what the agent says it is doing, a vector a text.
    pub reasoning: Vec<Vec<f32>>,
    /// Of the picture alone.
    pub visual: Option<Vec<f32>>,
    /// The application.
    pub class: String,
    /// Who acts.
    pub agent: String,
    /// Bytes of text in the request.
    pub bytes: usize,
}

/// What actions are compared with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exemplars {
    /// Hard against easy actions.
    pub difficulty: Contrast,
    /// Risky against safe texts.
    pub risky_text: Contrast,
    /// Risky against safe pictures.
    pub risky_visual: Contrast,
}

/// A probe of the smallest model, where it pays.
pub struct AdaptiveProbe {
    name: Name,
    config: AdaptiveProbeConfig,
    difficulty: Contrast,
    gate: Gate,
    featurizer: Option<Featurizer>,
    learned: ArcSwap<Learned>,
    memory: ArcSwap<Memory>,
    writing: Mutex<Experience>,
}

/// What was seen of an action; kept between the steps.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Seen {
    router: Name,
    difficulty: f64,
    unclear: bool,
    warm: bool,
    class: String,
    whose: u64,
    vector: Vec<f32>,
    bytes: usize,
}

/// Between the probe and its answer.
#[derive(Debug, Serialize, Deserialize)]
struct Probing {
    seen: Seen,
    prober: Name,
    /// Whom chance drew.
    drawn: Option<Name>,
    /// Who would have answered without a probe; `None` where the confidence decides.
    direct: Option<Name>,
    among: Vec<Name>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Plan {
    /// This one answers, by place, with the reason.
    Direct(usize, &'static str),
    Probe,
}

/// Candidates by rising cost.
struct Ladder<'a> {
    candidates: Vec<&'a Candidate>,
    costs: Vec<f64>,
    /// Success probabilities without a probe.
    success: Vec<Option<f64>>,
}

// === impl AdaptiveProbe ===

impl AdaptiveProbe {
    /// A router of this name that has seen nothing, with the exemplars of its configuration.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range.
    pub fn new(
        config: &AdaptiveProbeConfig,
        name: Name,
        featurizer: Featurizer,
    ) -> Result<Self, ConfigError> {
        let vectors = |texts: &[String]| texts.iter().map(|t| featurizer.vector(t).to_vec()).collect();
        let contrast = |toward: &[String], away: &[String]| Contrast::new(vectors(toward), vectors(away));
        let exemplars = Exemplars {
            difficulty: contrast(&config.hard, &config.easy),
            risky_text: contrast(&config.risk.risky, &config.risk.safe),
            risky_visual: Contrast::default(),
        };
        let router = Self::with_exemplars(config, name, exemplars)?;
        Ok(Self {
            featurizer: Some(featurizer),
            ..router
        })
    }

    /// A router of this name that has seen nothing, for [`Action`]s in the space of these exemplars.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range.
    pub fn with_exemplars(
        config: &AdaptiveProbeConfig,
        name: Name,
        exemplars: Exemplars,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            name,
            config: config.clone(),
            difficulty: exemplars.difficulty,
            gate: Gate {
                text: exemplars.risky_text,
                visual: exemplars.risky_visual,
            },
            featurizer: None,
            learned: ArcSwap::default(),
            memory: ArcSwap::default(),
            writing: Mutex::default(),
        })
    }

    /// How well the probe's confidence has told successes from failures (area under the ROC curve); `None` as long as too little is
    /// known.
    pub fn auroc(&self) -> Option<f64> {
        self.learned.load().calibrated.auroc
    }

    fn see(&self, query: &Query<'_>) -> Action {
        let Some(featurizer) = &self.featurizer else {
            return Action::default();
        };
        let vector = |text: &str| featurizer.vector(text).to_vec();
        let asked = query.user_text();
        // Where a tool has answered since, what it said is what there is to act upon.
        let latest = query
            .turns
            .last()
            .map(fingerpost_core::Turn::text)
            .unwrap_or_default();
        let subject = if latest.trim().is_empty() || latest == asked {
            vector(&asked)
        } else {
            vector(&format!("{asked}\n{latest}"))
        };
        let said = query.turns.iter().rev().find(|t| t.role == Role::Assistant);
        let said = said.map(|t| t.text()).filter(|t| !t.trim().is_empty());
        let class = self.config.class.as_ref().and_then(|key| {
            let named = query.metadata.iter().find(|(k, _)| k == key)?;
            Some(named.1.chars().take(64).collect())
        });
        Action {
            reasoning: [Some(asked), said]
                .into_iter()
                .flatten()
                .map(|t| vector(&t))
                .collect(),
            vector: subject,
            visual: None,
            class: class.unwrap_or_default(),
            agent: query.identity.user.as_deref().unwrap_or_default().to_owned(),
            bytes: query.text_bytes(),
        }
    }

    fn ladder<'a>(&self, among: &[CandidateId], seen: &Seen, cx: &Context<'a>) -> Ladder<'a> {
        let cost = |c: &Candidate| match self.config.cost_per_call.get(c.profile.name.as_str()) {
            Some(cost) => *cost,
            None => by_price(c, seen.bytes).get(),
        };
        let mut candidates: Vec<(&Candidate, f64)> = cx.admitted(among).map(|c| (c, cost(c))).collect();
        candidates.sort_by(|a, b| a.1.total_cmp(&b.1));
        let learned = self.learned.load();
        Ladder {
            success: candidates
                .iter()
                .map(|(c, _)| learned.success(c, seen, None))
                .collect(),
            costs: candidates.iter().map(|c| c.1).collect(),
            candidates: candidates.iter().map(|c| c.0).collect(),
        }
    }

    /// What is to be done with an action that is not risky.
    fn plan(&self, ladder: &Ladder<'_>, seen: &Seen) -> Plan {
        let tau = self.config.tau;
        let by_difficulty = ladder.cheapest(0, tau, &ladder.success);
        if ladder.candidates.len() < 2 {
            return Plan::Direct(0, "the only one");
        }
        match Band::of(seen.difficulty, self.config.delta) {
            Band::Easy if ladder.success[0].is_none_or(|p| p >= tau) => {
                return Plan::Direct(0, "easy: the smallest, without a probe");
            }
            Band::Hard => {
                return Plan::Direct(by_difficulty, "hard: the cheapest that succeeds often enough");
            }
            Band::Easy | Band::Unclear => {}
        }
        let learned = self.learned.load();
        let calibrated = &learned.calibrated;
        if calibrated.silent || calibrated.auroc.is_some_and(|a| a < self.config.probe.min_auroc) {
            return Plan::Direct(
                by_difficulty,
                "by difficulty: the probe's confidence tells nothing",
            );
        }
        let direct_cost = ladder.costs[by_difficulty];
        let accepted = learned.bar(ladder.candidates[0], seen).map(|b| b.accepted);
        if by_difficulty == 0 || accepted.is_some_and(|a| a * direct_cost <= ladder.costs[0]) {
            return Plan::Direct(by_difficulty, "by difficulty: a probe would not pay");
        }
        Plan::Probe
    }

    fn begin(&self, mut action: Action, among: &[CandidateId], cx: &mut Context<'_>) -> Step {
        // What is no number could not be kept between the steps.
        action
            .vector
            .iter_mut()
            .filter(|v| !v.is_finite())
            .for_each(|v| *v = 0.0);
        let whose = memory::whose(&action.agent, &action.class);
        let difficulty = self.difficulty.of(&action.vector).unwrap_or(0.0);
        let band = Band::of(difficulty, self.config.delta);
        let mut seen = Seen {
            router: self.name.clone(),
            difficulty,
            unclear: band == Band::Unclear,
            warm: self
                .memory
                .load()
                .is_warm(&self.config.memory, whose, &action.vector),
            class: action.class,
            whose,
            vector: action.vector,
            bytes: action.bytes,
        };
        let ladder = self.ladder(among, &seen, cx);
        let Some(largest) = ladder.candidates.len().checked_sub(1) else {
            return Step::Fail(cx.no_route(among));
        };
        if let Some(contrast) =
            self.gate
                .alarm(&self.config.risk, &action.reasoning, action.visual.as_deref())
        {
            return self.risky(&ladder, &seen, largest, contrast);
        }
        let plan = self.plan(&ladder, &seen);
        let explores =
            largest > 0 && self.config.explore > 0.0 && cx.rng.random::<f64>() < self.config.explore;
        let drawn = explores.then(|| cx.rng.random_range(0..=largest));
        match plan {
            Plan::Direct(index, why) if !explores => {
                let propensity = self.propensity(index, index, largest + 1);
                let evidence = self.evidence(&seen).with_propensity(propensity);
                self.decide(&ladder, index, Reason::new(why), &seen, evidence)
                    .map_or_else(|| Step::Fail(cx.no_route(among)), Step::Done)
            }
            _ => {
                seen.unclear |= plan == Plan::Probe;
                let name = |i: usize| ladder.candidates[i].profile.name.clone();
                let probing = Probing {
                    prober: name(0),
                    drawn: drawn.map(name),
                    direct: match plan {
                        Plan::Direct(index, _) => Some(name(index)),
                        Plan::Probe => None,
                    },
                    among: ladder.candidates.iter().map(|c| c.profile.name.clone()).collect(),
                    seen,
                };
                let call = Call {
                    id: CallId(0),
                    target: ladder.candidates[0].id,
                    ask: Ask::Forward,
                };
                Thread::keep(&probing).map_or_else(
                    |_| Step::Fail(NoRoute { excluded: Vec::new() }),
                    |thread| Step::Ask(vec![call], thread),
                )
            }
        }
    }

    fn risky(&self, ladder: &Ladder<'_>, seen: &Seen, largest: usize, contrast: f64) -> Step {
        if self.config.risk.action == OnRisk::Block {
            let excluded = ladder.candidates.iter().map(|c| Exclusion {
                candidate: c.profile.name.clone(),
                limit: Limit::Barred,
            });
            return Step::Fail(NoRoute {
                excluded: excluded.collect(),
            });
        }
        let reason = Reason::new("risky: the largest").with("contrast", contrast);
        // Not learned from: what is risky is not what probabilities are asked of.
        let mut evidence = Evidence::of(self.name.clone());
        evidence.version = VERSION;
        self.decide(ladder, largest, reason, seen, evidence)
            .map_or_else(|| Step::Fail(NoRoute { excluded: Vec::new() }), Step::Done)
    }

    /// With which probability `pick` is taken where `base` is taken without chance.
    fn propensity(&self, pick: usize, base: usize, candidates: usize) -> f64 {
        let by_chance = if candidates > 1 { self.config.explore } else { 0.0 };
        let even = by_chance / candidates as f64;
        if pick == base {
            1.0 - by_chance + even
        } else {
            even
        }
    }

    /// A decision for one candidate, the larger ones and then the smaller ones to fall back on.
    fn decide(
        &self,
        ladder: &Ladder<'_>,
        pick: usize,
        reason: Reason,
        seen: &Seen,
        evidence: Evidence,
    ) -> Option<Decision> {
        let mut ranked = Ranked::default();
        ranked.offer(ladder.candidates[pick], f64::INFINITY);
        let fallback = (pick + 1..ladder.candidates.len()).chain((0..pick).rev());
        ranked.extend(fallback.map(|i| (ladder.candidates[i], ladder.score(i).min(f64::MAX))));
        let reason = reason
            .with("difficulty", seen.difficulty)
            .with("expected success", ladder.score(pick))
            .with("expected cost in USD", ladder.costs[pick]);
        let mut decision = ranked.decide(reason, evidence)?;
        decision.picks[0].score = ladder.score(pick);
        Some(decision)
    }

    fn evidence(&self, seen: &Seen) -> Evidence {
        let number = |value: f64| Feature::Number(value);
        let mut evidence = Evidence::of(self.name.clone())
            .with("difficulty", number(seen.difficulty))
            .with("unclear", number(f64::from(u8::from(seen.unclear))))
            .with("warm", number(f64::from(u8::from(seen.warm))))
            .with("class", Feature::Text(seen.class.as_str().into()))
            // As text: a number would lose its lower bits.
            .with("whose", Feature::Text(seen.whose.to_string().into()))
            .with("vector", Feature::Vector(seen.vector.clone()));
        evidence.version = VERSION;
        evidence
    }

    fn finish(&self, probing: &Probing, answers: Vec<Answer>, cx: &Context<'_>) -> Step {
        let none = || {
            let excluded = probing.among.iter().map(|name| Exclusion {
                candidate: name.clone(),
                limit: Limit::Barred,
            });
            Step::Fail(NoRoute {
                excluded: excluded.collect(),
            })
        };
        let among: Vec<CandidateId> = probing.among.iter().filter_map(|n| cx.catalogue.id(n)).collect();
        let mut ladder = self.ladder(&among, &probing.seen, cx);
        let answer = answers.into_iter().find(|a| a.call == CallId(0));
        let reply = answer.and_then(|a| a.reply.ok());
        let confidence = reply
            .as_ref()
            .and_then(|r| probe::confidence(r, self.config.probe.tokens));
        let learned = self.learned.load();
        let prober = ladder.place(&probing.prober);
        if confidence.is_some() {
            ladder.success = ladder
                .candidates
                .iter()
                .map(|c| learned.success(c, &probing.seen, confidence))
                .collect();
        }
        // An answer that is there is served even where its model is out of reach by now; it stands first then.
        let served = reply.is_some().then_some(0);
        if let (Some(_), None, Some(prober)) = (
            &reply,
            prober,
            cx.catalogue
                .id(&probing.prober)
                .and_then(|id| cx.catalogue.get(id)),
        ) {
            ladder.candidates.insert(0, prober);
            ladder.costs.insert(0, 0.0);
            ladder
                .success
                .insert(0, learned.success(prober, &probing.seen, confidence));
        }
        if ladder.candidates.is_empty() {
            return none();
        }
        let bar = learned.bar(ladder.candidates[0], &probing.seen);
        let threshold = bar.map_or(self.config.t_small, |b| b.threshold);
        let sure = match confidence {
            Some(s) => s >= threshold,
            None => ladder.success[0].is_some_and(|p| p >= self.config.tau),
        };
        let (base, why) = match (&probing.direct, served) {
            (Some(direct), _) => (
                ladder.place(direct).unwrap_or(ladder.candidates.len() - 1),
                "as without a probe",
            ),
            (None, Some(first)) if sure || ladder.candidates.len() == 1 => (first, "sure enough"),
            (None, Some(_)) => (
                ladder.cheapest(1, self.config.tau, &ladder.success),
                "not sure enough: escalated",
            ),
            (None, None) => (
                ladder.cheapest(usize::from(prober == Some(0)), self.config.tau, &ladder.success),
                "the probe failed: escalated",
            ),
        };
        let drawn = probing
            .drawn
            .as_ref()
            .map(|name| ladder.place(name).unwrap_or(base));
        let mut pick = drawn.unwrap_or(base);
        if served.is_none() && pick == 0 && prober == Some(0) {
            // What failed a moment ago is not asked again where there is another.
            pick = base.max(usize::from(ladder.candidates.len() > 1));
        }
        let candidates = ladder.candidates.len();
        let mut evidence = self
            .evidence(&probing.seen)
            .with_propensity(self.propensity(pick, base, candidates))
            .with("probed", Feature::Text(probing.prober.clone()));
        let mut reason = Reason::new(if drawn.is_some() {
            "explored: drawn at random"
        } else {
            why
        });
        if let Some(s) = confidence {
            evidence = evidence.with("confidence", Feature::Number(s));
            reason = reason
                .with("confidence", s)
                .with("threshold", threshold.min(f64::MAX));
        }
        let Some(mut decision) = self.decide(&ladder, pick, reason, &probing.seen, evidence) else {
            return none();
        };
        if served == Some(pick) {
            decision.answered = Some(CallId(0));
            return Step::Done(decision);
        }
        let call = Call {
            id: CallId(1),
            target: ladder.candidates[pick].id,
            ask: Ask::Forward,
        };
        Step::Finish(decision, call)
    }
}

impl std::fmt::Debug for AdaptiveProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdaptiveProbe")
            .field("name", &self.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

// === impl Ladder ===

impl Ladder<'_> {
    fn place(&self, name: &Name) -> Option<usize> {
        self.candidates.iter().position(|c| c.profile.name == *name)
    }

    /// The cheapest from `first` on that succeeds often enough; the largest where none is known to.
    fn cheapest(&self, first: usize, tau: f64, success: &[Option<f64>]) -> usize {
        let last = self.candidates.len() - 1;
        (first..=last)
            .find(|i| success[*i].is_some_and(|p| p >= tau))
            .unwrap_or(last)
    }

    fn score(&self, index: usize) -> f64 {
        let declared = || self.candidates[index].profile.quality.map_or(0.0, Quality::get);
        self.success[index].unwrap_or_else(declared)
    }
}

impl Deliberate<Action> for AdaptiveProbe {
    fn start(&self, action: &Action, among: &[CandidateId], cx: &mut Context<'_>) -> Step {
        self.begin(action.clone(), among, cx)
    }

    fn resume(&self, _: &Action, thread: Thread, answers: Vec<Answer>, cx: &mut Context<'_>) -> Step {
        match thread.take::<Probing>() {
            Ok(probing) if probing.seen.router == self.name => self.finish(&probing, answers, cx),
            _ => Step::Fail(NoRoute { excluded: Vec::new() }),
        }
    }
}

impl Deliberate<Query<'_>> for AdaptiveProbe {
    fn start(&self, query: &Query<'_>, among: &[CandidateId], cx: &mut Context<'_>) -> Step {
        self.begin(self.see(query), among, cx)
    }

    fn resume(&self, _: &Query<'_>, thread: Thread, answers: Vec<Answer>, cx: &mut Context<'_>) -> Step {
        Deliberate::<Action>::resume(self, &Action::default(), thread, answers, cx)
    }
}

#[cfg(test)]
#[path = "adaptive_probe/tests.rs"]
mod tests;
