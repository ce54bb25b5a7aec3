//! `router_dc`: the model whose description is most like the query.
//!
//! A model's vector is that of its description followed by what it can do and its tags; its score is `s = sigmoid(cos / τ)` of
//! the cosine with the query's vector. Models below `min_similarity` are not taken; the highest is, and the reported scores are
//! `softmax(s / τ)` over those that are left. Where nobody is left all count; a model without a description, capability or tag
//! has the cosine 0. Nothing is learned. Cards: `systems/43`, 5.1 item 2; the name is from dual contrastive learning (RouterDC,
//! `systems/18`), of which this keeps the similarity and not the training.
//!
//! Cost: one encoding of the query and one product a model; a description is encoded when it is first seen.

use std::sync::Arc;

use arc_swap::ArcSwap;
use fingerpost_core::{
    Candidate, CandidateId, Capabilities, Context, Decision, Evidence, Learn, Name, NoRoute, Profile, Query,
    Reason, Router,
};
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, check},
    features::Featurizer,
    ranked::Ranked,
};

/// Settings of `router_dc`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouterDcConfig {
    /// How sharply likeness counts, over 0: the smaller, the sharper. Default 0.07.
    pub temperature: f64,
    /// Models whose likeness (0 to 1, a half where description and query have nothing in common) is below are not taken while
    /// another is not. Default 0.3.
    pub min_similarity: f64,
}

/// A router by descriptions.
pub struct RouterDc {
    name: Name,
    config: RouterDcConfig,
    featurizer: Featurizer,
    /// By name: the text and its vector.
    vectors: ArcSwap<FxHashMap<Name, Arc<Described>>>,
}

struct Described {
    text: String,
    vector: fingerpost_encode::Vector,
}

impl Default for RouterDcConfig {
    fn default() -> Self {
        Self {
            temperature: 0.07,
            min_similarity: 0.3,
        }
    }
}

// === impl RouterDc ===

impl RouterDc {
    /// A router of this name.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range, or where there is no encoder.
    pub fn new(
        config: &RouterDcConfig,
        name: Name,
        featurizer: Option<Featurizer>,
    ) -> Result<Self, ConfigError> {
        let featurizer = featurizer.ok_or_else(|| ConfigError {
            algorithm: "router_dc",
            key: "algorithm".to_owned(),
            allowed: "used where there is an encoder",
            found: "none".to_owned(),
        })?;
        let allowed = "a finite number over 0";
        check("router_dc", "temperature", config.temperature, allowed, |v| {
            v > 0.0 && v.is_finite()
        })?;
        let least = config.min_similarity;
        check(
            "router_dc",
            "min_similarity",
            least,
            "a number from 0 to 1",
            |v| (0.0..=1.0).contains(&v),
        )?;
        Ok(Self {
            name,
            config: config.clone(),
            featurizer,
            vectors: ArcSwap::default(),
        })
    }

    /// How like a model's description is to a query, 0 to 1.
    fn likeness(&self, query: &[f32], candidate: &Candidate) -> f64 {
        let described = self.described(&candidate.profile);
        let cosine = f64::from(fingerpost_encode::dot(query, &described.vector));
        1.0 / (1.0 + (-cosine / self.config.temperature).exp())
    }

    fn described(&self, profile: &Profile) -> Arc<Described> {
        let vectors = self.vectors.load();
        if let Some(known) = vectors.get(&profile.name).filter(|d| is_of(&d.text, profile)) {
            return Arc::clone(known);
        }
        let text = describe(profile);
        let vector = self.featurizer.vector(&text);
        let described = Arc::new(Described { text, vector });
        self.vectors.rcu(|vectors| {
            let mut vectors = FxHashMap::clone(vectors);
            vectors.insert(profile.name.clone(), Arc::clone(&described));
            vectors
        });
        described
    }
}

/// The description, what a model can do (where its profile says so in particular), and its tags.
fn describe(profile: &Profile) -> String {
    pieces(profile).collect::<Vec<&str>>().join("\n")
}

/// Whether `text` is what [`describe`] gives; makes no text of its own, since every request asks.
fn is_of(text: &str, profile: &Profile) -> bool {
    let mut lines = Some(text);
    for piece in pieces(profile) {
        let Some(rest) = lines.and_then(|l| l.strip_prefix(piece)) else {
            return false;
        };
        lines = match rest.strip_prefix('\n') {
            Some(rest) => Some(rest),
            None if rest.is_empty() => None,
            None => return false,
        };
    }
    lines.is_none_or(str::is_empty)
}

fn pieces(profile: &Profile) -> impl Iterator<Item = &str> {
    let particular = profile.capabilities != Capabilities::ALL;
    let abilities = profile.capabilities.names().filter(move |_| particular);
    let abilities = abilities.map(|name: &str| name);
    let description = Some(&*profile.description).filter(|d| !d.is_empty());
    let tags = profile.tags.iter().map(String::as_str);
    description.into_iter().chain(abilities).chain(tags)
}

impl std::fmt::Debug for RouterDc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields = (&self.name, &self.config);
        f.debug_tuple("RouterDc").field(&fields).finish()
    }
}

impl Learn for RouterDc {}

impl Router<Query<'_>> for RouterDc {
    fn route(
        &self,
        query: &Query<'_>,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let vector = self.featurizer.vector(&query.user_text());
        let all: Vec<(&Candidate, f64)> = cx
            .admitted(among)
            .map(|c| (c, self.likeness(&vector, c)))
            .collect();
        let most = all.iter().map(|(_, s)| *s).fold(0.0, f64::max);
        let least = self.config.min_similarity.min(most);
        let kept = || all.iter().filter(|(_, s)| *s >= least);
        let sharp = |s: f64| ((s - most) / self.config.temperature).exp();
        let sum: f64 = kept().map(|(_, s)| sharp(*s)).sum();
        let mut ranked = Ranked::default();
        // Ranked by likeness, since the softmax may round two of them to one value.
        ranked.extend(kept().map(|(c, s)| (*c, *s)));
        let reason = Reason::new(if most < self.config.min_similarity {
            "nobody's description is like the query; the most like of all"
        } else {
            "its description is most like the query"
        });
        let mut decision = ranked
            .decide(reason.with("likeness", most), Evidence::of(self.name.clone()))
            .ok_or_else(|| cx.no_route(among))?;
        for pick in &mut decision.picks {
            pick.score = sharp(pick.score) / sum;
        }
        Ok(decision)
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{Catalogue, Limits, Timestamp};
    use fingerpost_encode::StaticEncoder;
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    fn featurizer() -> Featurizer {
        Featurizer::new(Arc::new(StaticEncoder::bundled()))
    }

    fn router(config: &RouterDcConfig) -> RouterDc {
        RouterDc::new(config, "r".into(), Some(featurizer())).unwrap()
    }

    fn catalogue() -> Catalogue {
        let profile = |name: &str, description: &str, tags: &[&str]| Profile {
            description: description.to_owned(),
            tags: tags.iter().map(|t| (*t).to_owned()).collect(),
            ..Profile::named(name)
        };
        Catalogue::new([
            profile("unsaid", "", &[]),
            profile("poet", "Writes poems, verse and song lyrics", &["literature"]),
            profile("coder", "Writes and repairs Python and Rust programs", &["code"]),
        ])
        .unwrap()
    }

    fn route(router: &RouterDc, text: &str, limits: &Limits) -> Result<Decision, NoRoute> {
        let (catalogue, mut rng) = (catalogue(), SmallRng::seed_from_u64(1));
        let mut cx = Context::new(&catalogue, limits, Timestamp::default(), &mut rng);
        router.route(&Query::text(text), &catalogue.ids(), &mut cx)
    }

    #[test]
    fn the_most_like_is_taken_and_scores_are_a_softmax() {
        let router = router(&RouterDcConfig::default());
        for (text, expected) in [
            ("Compose a poem in free verse", "poet"),
            ("My Python program crashes", "coder"),
        ] {
            let decision = route(&router, text, &Limits::NONE).unwrap();
            assert_eq!(decision.first().name, *expected);
            let vector = featurizer().vector(text);
            let s = |description: &str| {
                let cosine = f64::from(fingerpost_encode::dot(&vector, &featurizer().vector(description)));
                1.0 / (1.0 + (-cosine / 0.07).exp())
            };
            let all = [
                0.5,
                s("Writes poems, verse and song lyrics\nliterature"),
                s("Writes and repairs Python and Rust programs\ncode"),
            ];
            let kept = all.iter().filter(|s| **s >= 0.3);
            let sum: f64 = kept.map(|s| (s / 0.07).exp()).sum();
            let most = all.iter().copied().fold(0.0, f64::max);
            let expected = (most / 0.07).exp() / sum;
            assert!((decision.first().score - expected).abs() < 1e-5, "{decision:?}");
        }
    }

    #[test]
    fn the_unlike_are_not_taken_unless_nobody_is_left() {
        let strict = router(&RouterDcConfig {
            min_similarity: 0.9,
            ..RouterDcConfig::default()
        });
        let decision = route(&strict, "Compose a poem in free verse", &Limits::NONE).unwrap();
        assert_eq!(decision.picks.len(), 1, "{decision:?}");
        let mute = route(&strict, "", &Limits::NONE).unwrap();
        assert_eq!((mute.first().name.as_str(), mute.picks.len()), ("unsaid", 3));
        assert!(mute.reason.text.starts_with("nobody"));
        let barred = Limits {
            barred: (0..3).map(CandidateId).collect(),
            ..Limits::NONE
        };
        assert_eq!(route(&strict, "x", &barred).unwrap_err().excluded.len(), 3);
    }

    #[test]
    fn a_changed_description_is_read_anew() {
        let router = router(&RouterDcConfig::default());
        let mut profile = Profile {
            description: "poems".to_owned(),
            tags: vec!["a".to_owned(), "b".to_owned()],
            ..Profile::named("m")
        };
        let first = router.described(&profile);
        assert!(Arc::ptr_eq(&first, &router.described(&profile)));
        assert_eq!(first.text, "poems\na\nb");
        profile.tags.pop();
        assert_eq!(router.described(&profile).text, "poems\na");
        profile.capabilities = Capabilities::TOOLS;
        profile.description.clear();
        assert_eq!(router.described(&profile).text, "tools\na");
        assert!(
            !is_of("tools\nab", &profile) && !is_of("tools\na\nb", &profile) && is_of("tools\na", &profile)
        );
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for (temperature, min_similarity, key) in [(0.0, 0.3, "temperature"), (0.07, 1.5, "min_similarity")] {
            let config = RouterDcConfig {
                temperature,
                min_similarity,
            };
            let error = RouterDc::new(&config, "r".into(), Some(featurizer())).unwrap_err();
            assert_eq!(error.key, key);
        }
    }
}
