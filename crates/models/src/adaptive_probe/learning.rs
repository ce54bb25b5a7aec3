//! What `adaptive_probe` learns of outcomes: samples, the curves that are fitted to them, and who is warm.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError},
};

use fingerpost_core::{Candidate, Decision, Evidence, Feature, Learn, Name, Outcome};
use serde::{Deserialize, Serialize};

use super::{
    AdaptiveProbe, Seen,
    calibration::{self, Calibrated, Sample, column},
    memory::{Memory, Remembered},
};
use crate::{predictor::Columns, reward};

/// Outcomes that are remembered for fitting; the oldest is forgotten first.
const WINDOW: usize = 6000;
/// Classes that are told apart, since clients name them; later ones count as one.
const CLASSES: usize = 64;
/// Version of the saved state and of the evidence.
pub(super) const VERSION: u32 = 1;

/// What is read while deciding.
#[derive(Debug, Default)]
pub(super) struct Learned {
    models: Columns,
    classes: Columns,
    pub(super) calibrated: Calibrated,
}

/// What is written while learning.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Experience {
    models: Columns,
    classes: Columns,
    samples: VecDeque<Sample>,
    since_fit: usize,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    experience: Experience,
    memory: Vec<Remembered>,
}

// === impl Learned ===

impl Learned {
    pub(super) fn success(&self, candidate: &Candidate, seen: &Seen, confidence: Option<f64>) -> Option<f64> {
        let model = column(&self.models, &candidate.profile.name)?;
        let class = column(&self.classes, &seen.class);
        self.calibrated
            .success(model, class, seen.warm, seen.difficulty, confidence)
    }

    pub(super) fn bar(&self, prober: &Candidate, seen: &Seen) -> Option<calibration::Bar> {
        let prober = column(&self.models, &prober.profile.name)?;
        self.calibrated
            .bar(prober, column(&self.classes, &seen.class), seen.warm)
    }
}

// === impl Experience ===

impl Experience {
    /// The sample of a decision's evidence; `None` where the evidence is not of this kind.
    fn sample(&mut self, evidence: &Evidence, model: &Name, success: bool) -> Option<Sample> {
        let number = |name: &str| match evidence.feature(name) {
            Some(Feature::Number(n)) if n.is_finite() => Some(*n),
            _ => None,
        };
        let text = |name: &str| match evidence.feature(name) {
            Some(Feature::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let class = text("class")?;
        let known = self.classes.len() < CLASSES || self.classes.get(&class).is_some();
        let class = if known { self.classes.add(class) } else { CLASSES };
        let probed = text("probed").map(|name| self.models.add(name));
        Some(Sample {
            model: u16::try_from(self.models.add(model.clone())).ok()?,
            probed: probed.and_then(|p| u16::try_from(p).ok()),
            class: u16::try_from(class).ok()?,
            warm: number("warm")? > 0.0,
            unclear: number("unclear")? > 0.0,
            difficulty: number("difficulty")? as f32,
            confidence: number("confidence").map(|c| c as f32),
            success,
        })
    }
}

impl Learn for AdaptiveProbe {
    fn learn(&self, evidence: &Evidence, decision: &Decision, outcome: &Outcome) {
        let Some(quality) = reward::quality(outcome).filter(|_| evidence.version == VERSION) else {
            return;
        };
        let success = quality >= 0.5;
        let mut experience = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sample) = experience.sample(evidence, &decision.first().name, success) else {
            return;
        };
        if experience.samples.len() == WINDOW {
            experience.samples.pop_front();
        }
        experience.samples.push_back(sample);
        experience.since_fit += 1;
        if experience.since_fit >= self.config.calibration.refit_every {
            self.fit(&mut experience);
        }
        if let (true, Some(Feature::Vector(vector)), Some(Feature::Text(whose))) =
            (success, evidence.feature("vector"), evidence.feature("whose"))
            && let Ok(whose) = whose.parse()
            && self.config.memory.enabled
        {
            let mut memory = Memory::clone(&self.memory.load());
            memory.keep(Remembered {
                whose,
                vector: vector.clone(),
            });
            self.memory.store(Arc::new(memory));
        }
    }

    fn save(&self) -> Option<Vec<u8>> {
        let experience = self
            .writing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        serde_json::to_vec(&Saved {
            version: VERSION,
            experience,
            memory: self.memory.load().entries().cloned().collect(),
        })
        .ok()
    }

    fn restore(&self, state: &[u8]) -> bool {
        match serde_json::from_slice::<Saved>(state) {
            Ok(mut saved) if saved.version == VERSION => {
                let mut experience = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
                self.fit(&mut saved.experience);
                *experience = saved.experience;
                self.memory.store(Arc::new(Memory::of(saved.memory)));
                true
            }
            _ => false,
        }
    }
}

// === impl AdaptiveProbe ===

impl AdaptiveProbe {
    fn fit(&self, experience: &mut Experience) {
        experience.since_fit = 0;
        let samples = experience.samples.make_contiguous();
        let calibrated = Calibrated::fit(samples, &self.config.calibration, self.config.tau);
        self.learned.store(Arc::new(Learned {
            models: experience.models.clone(),
            classes: experience.classes.clone(),
            calibrated,
        }));
    }
}
