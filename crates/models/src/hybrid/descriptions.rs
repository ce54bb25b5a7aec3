//! How well a query fits each model's description: `sigmoid(cos / 0.07)` of the encoder's vectors.

use std::sync::Arc;

use arc_swap::ArcSwap;
use fingerpost_core::Candidate;
use fingerpost_encode::Vector;
use rustc_hash::FxHashMap;

use crate::features::Featurizer;

/// How sharp the similarity is.
const TEMPERATURE: f64 = 0.07;

/// Vectors of descriptions, each made when it is first met.
pub(super) struct Descriptions {
    featurizer: Featurizer,
    vectors: ArcSwap<FxHashMap<String, Vector>>,
}

// === impl Descriptions ===

impl Descriptions {
    pub(super) fn new(featurizer: Featurizer) -> Self {
        Self {
            featurizer,
            vectors: ArcSwap::default(),
        }
    }

    /// The fit of each candidate, 0 to 1; of one without a description 0. `None` where nobody has one, or there is no text.
    pub(super) fn fits(&self, text: &str, candidates: &[&Candidate]) -> Option<Vec<f64>> {
        let is_described = |c: &&Candidate| !c.profile.description.is_empty();
        if text.is_empty() || !candidates.iter().any(is_described) {
            return None;
        }
        let query = self.featurizer.vector(text);
        let vectors = self.vectors(candidates);
        let fit = |candidate: &&Candidate| match vectors.get(&candidate.profile.description) {
            Some(vector) => sigmoid(f64::from(query.similarity(vector).get()) / TEMPERATURE),
            None => 0.0,
        };
        Some(candidates.iter().map(fit).collect())
    }

    fn vectors(&self, candidates: &[&Candidate]) -> Arc<FxHashMap<String, Vector>> {
        let vectors = self.vectors.load_full();
        let texts = candidates.iter().map(|c| &c.profile.description);
        let missing: Vec<&String> = texts
            .filter(|t| !t.is_empty() && !vectors.contains_key(*t))
            .collect();
        if missing.is_empty() {
            return vectors;
        }
        let mut more = FxHashMap::clone(&vectors);
        for text in missing {
            more.insert(text.clone(), self.featurizer.vector(text));
        }
        let more = Arc::new(more);
        self.vectors.store(Arc::clone(&more));
        more
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{Catalogue, Profile};
    use fingerpost_encode::StaticEncoder;

    use super::*;

    #[test]
    fn the_description_of_the_task_fits_best() {
        let profile = |name: &str, description: &str| Profile {
            description: description.to_owned(),
            ..Profile::named(name)
        };
        let catalogue = Catalogue::new([
            profile("cook", "recipes and cooking"),
            profile("maths", "proofs and theorems of mathematics"),
            profile("silent", ""),
        ])
        .unwrap();
        let candidates: Vec<&Candidate> = catalogue.iter().collect();
        let descriptions = Descriptions::new(Featurizer::new(Arc::new(StaticEncoder::bundled())));
        let fits = descriptions
            .fits("prove this theorem of algebra", &candidates)
            .unwrap();
        assert!(fits[1] > fits[0] && fits[0] > fits[2], "{fits:?}");
        assert_eq!(fits[2], 0.0);
        assert_eq!(descriptions.fits("", &candidates), None);
        assert_eq!(descriptions.fits("hi", &candidates[2..]), None);
        assert_eq!((sigmoid(0.0), sigmoid(3_f64.ln())), (0.5, 0.75));
    }
}
