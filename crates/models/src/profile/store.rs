//! The profiles in service: those of the training, those of models that came later, and what outcomes have added since.
//!
//! - **A model that was not trained on** gets its first profile from what its catalogue entry says: the mean of the trained
//!   profiles, each with the weight `softmax(likeness / 0.05)`, where likeness is the cosine of the descriptions plus 0.2 within one
//!   family. Without a description or a relative it has no profile until an outcome is known.
//! - **Outcomes** move a model's estimate `e` by what it was off: `r = quality − e`; a part of the profile that lives in the space of
//!   queries takes up `0.2 · r · query`, and a level takes up `r / (outcomes + 5)` (normalised least mean squares; the level is a mean
//!   drawn to the estimate by four imaginary outcomes). A model of which nothing else is known begins at the mean of the others.
//!
//! So a handful of outcomes lifts or lowers a new model everywhere and, on queries like those, by more. Whatever the trained
//! profiles are of and whichever router reads them, what service adds is the same, and is saved with the introduced profiles.

use std::sync::Arc;

use arc_swap::ArcSwap;
use fingerpost_core::{Name, Profile};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{Head, RouteProfile, bipartite::softmax, graph::family_of, propagate::add};
use crate::{
    features::{Features, Featurizer},
    predictor::{Estimate, Predictor},
};

/// What two models of one family are more alike.
const KINSHIP: f32 = 0.2;
/// How sharply likeness counts.
const SHARPNESS: f32 = 0.05;
/// Share of an error that the part of a profile in the space of queries takes up.
const STEP: f64 = 0.2;
/// Imaginary outcomes that agree with the estimate.
const PRIOR: f64 = 4.0;
/// Version of the state that is saved in service.
const VERSION: u32 = 1;

/// Trained profiles with what service adds.
#[derive(Debug)]
pub(crate) struct Profiles {
    trained: Arc<RouteProfile>,
    /// The trained profiles as the router compares them, by column; `None` where nothing is known.
    ready: Vec<Option<Vec<f32>>>,
    service: ArcSwap<Service>,
}

/// What service adds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Service {
    version: u32,
    /// Tells the training whose profiles these go with.
    training: u32,
    /// First profiles of models that came later, as the router compares them.
    introduced: FxHashMap<Name, Arc<Vec<f32>>>,
    seen: FxHashMap<Name, Arc<Seen>>,
}

/// What outcomes have added to a model's profile.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    outcomes: u32,
    level: f64,
    vector: Vec<f32>,
}

// === impl Profiles ===

impl Profiles {
    pub(crate) fn new(trained: RouteProfile) -> Self {
        let ready = trained.profiles.iter();
        let ready = ready.map(|p| (!p.is_empty()).then(|| trained.head.profile(p)));
        let ready: Vec<Option<Vec<f32>>> = ready.collect();
        let training = fingerprint(&ready);
        Self {
            ready,
            trained: Arc::new(trained),
            service: ArcSwap::from_pointee(Service {
                version: VERSION,
                training,
                ..Service::default()
            }),
        }
    }

    /// What is estimated of one model, `query` as the head sees it.
    fn one(&self, service: &Service, query: &[f32], vector: &[f32], model: &str) -> Option<f64> {
        let seen = service.seen.get(model);
        let ready = self
            .trained
            .columns
            .get(model)
            .and_then(|c| self.ready[c].as_ref());
        let ready = ready.or_else(|| service.introduced.get(model).map(|p| &**p));
        let base = match ready {
            Some(profile) => self.trained.quality(query, profile),
            None => {
                seen?;
                self.mean(query)
            }
        };
        Some(base + seen.map_or(0.0, |s| s.at(vector)))
    }

    /// The mean of what is estimated of the trained models.
    fn mean(&self, query: &[f32]) -> f64 {
        let known = self.ready.iter().flatten();
        let sum: f64 = known.clone().map(|p| self.trained.quality(query, p)).sum();
        match known.count() {
            0 => 0.5,
            count => sum / count as f64,
        }
    }

    /// The first profile of a model by its description and family.
    fn first_profile(&self, profile: &Profile, featurizer: &Featurizer) -> Option<Vec<f32>> {
        let text = if profile.description.is_empty() {
            None
        } else {
            Some(self.trained.sized(&featurizer.vector(&profile.description)))
        };
        let family = family_of(&profile.name);
        let (mut likeness, mut of) = (Vec::new(), Vec::new());
        for (column, known) in self.trained.columns.names().iter().enumerate() {
            let kin = family_of(known) == family;
            let described = &self.trained.texts[column];
            let both = text.as_ref().filter(|_| !described.is_empty());
            if self.ready[column].is_some() && (kin || both.is_some()) {
                let cosine = both.map_or(0.0, |t| fingerpost_encode::dot(t, described));
                likeness.push((cosine + if kin { KINSHIP } else { 0.0 }) / SHARPNESS);
                of.push(column);
            }
        }
        let width = self.trained.profiles[*of.first()?].len();
        softmax(&mut likeness);
        let mut first = vec![0.0; width];
        for (weight, column) in likeness.iter().zip(of) {
            add(&mut first, &self.trained.profiles[column], *weight);
        }
        Some(self.trained.head.profile(&first))
    }
}

impl Predictor for Profiles {
    fn estimate(&self, query: &Features, models: &[&Name], out: &mut Vec<Option<Estimate>>) {
        let service = self.service.load();
        let seen = self.trained.head.query(&self.trained.sized(&query.vector));
        let estimate = |model: &&Name| self.one(&service, &seen, &query.vector, model).map(Estimate::of);
        out.clear();
        out.extend(models.iter().map(estimate));
    }

    fn introduce(&self, query: &Features, profile: &Profile, featurizer: &Featurizer) -> Option<Estimate> {
        let first = Arc::new(self.first_profile(profile, featurizer)?);
        self.service.rcu(|service| {
            let mut service = Service::clone(service);
            service
                .introduced
                .insert(profile.name.clone(), Arc::clone(&first));
            service
        });
        let mut out = Vec::new();
        self.estimate(query, &[&profile.name], &mut out);
        out.pop().flatten()
    }

    fn observe(&self, query: &Features, model: &Name, quality: f64) -> bool {
        let seen = self.trained.head.query(&self.trained.sized(&query.vector));
        self.service.rcu(|service| {
            let mut service = Service::clone(service);
            let estimate = self
                .one(&service, &seen, &query.vector, model)
                .unwrap_or_else(|| self.mean(&seen));
            let of = service.seen.entry(model.clone()).or_default();
            Arc::make_mut(of).learn(&query.vector, quality - estimate);
            service
        });
        true
    }

    fn save(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(&**self.service.load()).ok()
    }

    fn restore(&self, state: &[u8]) -> bool {
        match serde_json::from_slice::<Service>(state) {
            Ok(mut service) if service.version == VERSION => {
                let training = fingerprint(&self.ready);
                if service.training != training {
                    // They are made anew from the catalogue; what outcomes said still holds.
                    service.introduced.clear();
                    service.training = training;
                }
                self.service.store(Arc::new(service));
                true
            }
            _ => false,
        }
    }
}

/// A sum over all values, the same for the same training.
fn fingerprint(ready: &[Option<Vec<f32>>]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    for value in ready.iter().flatten().flatten() {
        sum.update(&value.to_le_bytes());
    }
    sum.finalize()
}

// === impl Seen ===

impl Seen {
    fn at(&self, query: &[f32]) -> f64 {
        self.level + f64::from(fingerpost_encode::dot(&self.vector, query))
    }

    fn learn(&mut self, query: &[f32], off: f64) {
        if self.vector.len() != query.len() {
            self.vector = vec![0.0; query.len()];
        }
        self.level += off / (f64::from(self.outcomes) + PRIOR + 1.0);
        add(&mut self.vector, query, (STEP * off) as f32);
        self.outcomes = self.outcomes.saturating_add(1);
    }
}

// === impl RouteProfile ===

impl RouteProfile {
    /// What a score of the head means as a quality.
    fn quality(&self, query: &[f32], profile: &[f32]) -> f64 {
        self.level + self.slope * f64::from(self.head.score(query, profile))
    }
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cosine => "Cosine",
            Self::Tasks { .. } => "Tasks",
            Self::Whole => "Whole",
            Self::TwoTower(_) => "TwoTower",
            Self::Bipartite(_) => "Bipartite",
        })
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_encode::StaticEncoder;

    use super::*;
    use crate::predictor::Columns;

    fn profiles() -> Profiles {
        Profiles::new(RouteProfile {
            columns: Columns::new(["a-1".into(), "b-1".into(), "unknown".into()]),
            profiles: vec![vec![1.0, 0.0], vec![0.0, 1.0], Vec::new()],
            texts: vec![vec![1.0, 0.0], vec![0.0, 1.0], Vec::new()],
            dims: 2,
            head: Head::Cosine,
            level: 0.5,
            slope: 0.25,
        })
    }

    fn query(x: f32, y: f32) -> Features {
        Features {
            vector: vec![x, y],
            ..Features::default()
        }
    }

    fn estimate(profiles: &Profiles, query: &Features, model: &str) -> Option<f64> {
        let mut out = Vec::new();
        profiles.estimate(query, &[&model.into()], &mut out);
        out[0].map(|e| (e.quality * 1e5).round() / 1e5)
    }

    #[test]
    fn outcomes_move_the_level_and_what_is_like_their_queries() {
        let taught = profiles();
        let (here, there) = (query(1.0, 0.0), query(0.0, 1.0));
        assert_eq!(estimate(&taught, &here, "a-1"), Some(0.75));
        assert_eq!(estimate(&taught, &here, "unknown"), None);
        assert!(taught.observe(&here, &"a-1".into(), 0.25));
        // Off by -0.5: the level by -0.5 / 5, the direction by 0.2 · -0.5.
        assert_eq!(estimate(&taught, &here, "a-1"), Some(0.55));
        assert_eq!(estimate(&taught, &there, "a-1"), Some(0.4));
        // Nothing known: the mean of 0.75 and 0.5 to begin with, off by 0.375.
        assert!(taught.observe(&here, &"unknown".into(), 1.0));
        assert_eq!(estimate(&taught, &here, "unknown"), Some(0.775));
        assert_eq!(estimate(&taught, &there, "unknown"), Some(0.7));

        let restarted = profiles();
        assert!(restarted.restore(&taught.save().unwrap()) && !restarted.restore(b"{}"));
        assert_eq!(estimate(&restarted, &here, "unknown"), Some(0.775));
        assert_eq!(estimate(&restarted, &query(f32::NAN, 0.0), "a-1"), Some(0.0));
    }

    #[test]
    fn a_later_model_begins_as_those_like_it() {
        let taught = profiles();
        let featurizer = Featurizer::new(Arc::new(StaticEncoder::bundled()));
        let here = query(1.0, 0.0);
        let introduce = |name: &str, description: &str| {
            let profile = Profile {
                description: description.to_owned(),
                ..Profile::named(name)
            };
            let first = taught.introduce(&here, &profile, &featurizer);
            first.map(|e| (e.quality * 1e5).round() / 1e5)
        };
        assert_eq!(introduce("z-1", ""), None, "neither a description nor a relative");
        // Its only relative.
        assert_eq!(introduce("a-2", ""), Some(0.75));
        // The description says nothing here (its vector has another length): 4 and 0 go through the softmax.
        let kin = 1.0 / (1.0 + (-4_f64).exp());
        let cosine = kin / kin.hypot(1.0 - kin);
        let expected = ((0.5 + 0.25 * cosine) * 1e5).round() / 1e5;
        assert_eq!(introduce("a-3", "A model"), Some(expected));
        assert_eq!(estimate(&taught, &here, "a-3"), Some(expected), "remembered");

        let restarted = profiles();
        assert!(restarted.restore(&taught.save().unwrap()));
        assert_eq!(estimate(&restarted, &here, "a-3"), Some(expected));
        let mut other = RouteProfile::clone(&taught.trained);
        other.profiles[0] = vec![0.6, 0.8];
        let retrained = Profiles::new(other);
        assert!(retrained.restore(&taught.save().unwrap()));
        assert_eq!(estimate(&retrained, &here, "a-3"), None, "of another training");
    }
}
