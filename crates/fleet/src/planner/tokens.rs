//! Routing to pools by token budget: a request goes to the pool with the smallest window that its estimated tokens fit.
//!
//! Tokens are estimated before anything is tokenised: bytes times the tokens per byte of the request's category, a running mean of what
//! prompts turned out to be, plus the most tokens that the answer may have. Card: `systems/13`, D1. Scores are windows.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use fingerpost_core::{
    Candidate, CandidateId, Context, Decision, Evidence, Feature, Learn, Name, NoRoute, Outcome, Pick,
    Reason, Router, TokenCount,
};
use rustc_hash::FxHashMap;

/// Tokens per byte before anything was seen: the usual four bytes of English a token.
const TOKENS_PER_BYTE: f64 = 0.25;
/// Weight of the newest prompt: a jump is taken up to nine tenths within 45 of them.
const NEWEST: f64 = 0.05;

/// What the router sees of a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PoolQuery {
    /// Bytes of its input.
    pub bytes: u32,
    /// Its category; empty where unknown.
    pub category: String,
    /// The most tokens that the answer may have.
    pub max_output: TokenCount,
}

/// Routes by estimated tokens.
#[derive(Debug)]
pub struct TokenBudget {
    name: Name,
    /// Tokens per byte by category.
    ratios: ArcSwap<FxHashMap<String, f64>>,
    writing: Mutex<()>,
}

// === impl TokenBudget ===

impl TokenBudget {
    /// A router whose evidence carries `name`.
    pub fn new(name: impl Into<Name>) -> Self {
        Self {
            name: name.into(),
            ratios: ArcSwap::default(),
            writing: Mutex::default(),
        }
    }

    /// Tokens that a request is expected to need, its answer at its longest.
    pub fn estimate(&self, query: &PoolQuery) -> f64 {
        let ratio = self
            .ratios
            .load()
            .get(&query.category)
            .copied()
            .unwrap_or(TOKENS_PER_BYTE);
        f64::from(query.bytes) * ratio + f64::from(query.max_output.0)
    }
}

impl Learn for TokenBudget {
    fn learn(&self, evidence: &Evidence, _decision: &Decision, outcome: &Outcome) {
        let (Some(Feature::Number(bytes)), Some(Feature::Text(category)), Some(tokens)) = (
            evidence.feature("bytes"),
            evidence.feature("category"),
            outcome.tokens_in,
        ) else {
            return;
        };
        if !(*bytes > 0.0 && bytes.is_finite()) {
            return;
        }
        let seen = f64::from(tokens.0) / bytes;
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ratios = FxHashMap::clone(&self.ratios.load());
        let ratio = ratios.entry(category.to_string()).or_insert(seen);
        *ratio += NEWEST * (seen - *ratio);
        self.ratios.store(Arc::new(ratios));
    }
}

impl Router<PoolQuery> for TokenBudget {
    fn route(
        &self,
        query: &PoolQuery,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let estimate = self.estimate(query);
        // A pool that does not say has room for anything.
        let window = |c: &Candidate| c.profile.context_window.map_or(f64::INFINITY, |w| f64::from(w.0));
        let mut best: Option<&Candidate> = None;
        for candidate in cx.admitted(among) {
            let better = |best: &Candidate| {
                let (new, old) = (window(candidate), window(best));
                if old >= estimate {
                    new >= estimate && new < old
                } else {
                    new > old
                }
            };
            if best.is_none_or(better) {
                best = Some(candidate);
            }
        }
        let pick = best.ok_or_else(|| cx.no_route(among))?;
        let fits = window(pick) >= estimate;
        let reason = if fits {
            "smallest window that fits"
        } else {
            "no window fits: the widest"
        };
        let evidence = Evidence::of(self.name.clone())
            .with("bytes", Feature::Number(f64::from(query.bytes)))
            .with("category", Feature::Text(query.category.as_str().into()));
        Ok(Decision::single(
            Pick::of(pick, window(pick)),
            Reason::new(reason).with("tokens", estimate),
            evidence,
        ))
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{Catalogue, Limits, Profile, Timestamp};
    use rand::{Rng, SeedableRng, rngs::SmallRng};

    use super::*;

    fn pools() -> Catalogue {
        let pool = |name: &str, window| Profile {
            context_window: Some(TokenCount(window)),
            ..Profile::named(name)
        };
        Catalogue::new([pool("long", 65_536), pool("short", 4_096), pool("middle", 8_192)]).unwrap()
    }

    fn route(router: &TokenBudget, query: &PoolQuery) -> Decision {
        let (catalogue, limits, mut rng) = (pools(), Limits::NONE, SmallRng::seed_from_u64(1));
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        router.route(query, &catalogue.ids(), &mut cx).unwrap()
    }

    fn query(bytes: u32, category: &str) -> PoolQuery {
        PoolQuery {
            bytes,
            category: category.to_owned(),
            max_output: TokenCount(1_000),
        }
    }

    #[test]
    fn a_request_goes_where_it_just_fits() {
        let router = TokenBudget::new("t");
        let picked = |bytes| route(&router, &query(bytes, "")).first().name.to_string();
        assert_eq!(
            [12_384, 12_388, 40_000, 4_000_000].map(picked),
            ["short", "middle", "long", "long"]
        );
    }

    #[test]
    fn tokens_per_byte_are_learned_by_category_and_again_after_a_jump() {
        let (router, mut rng) = (TokenBudget::new("t"), SmallRng::seed_from_u64(2));
        let mut teach = |category: &str, ratio: f64| {
            for _ in 0..200 {
                let bytes = rng.random_range(500..20_000);
                let query = query(bytes, category);
                let decision = route(&router, &query);
                let tokens = f64::from(bytes) * ratio * rng.random_range(0.8..1.2);
                let outcome = Outcome {
                    tokens_in: Some(TokenCount(tokens as u32)),
                    ..Outcome::default()
                };
                router.learn(&decision.evidence, &decision, &outcome);
            }
        };
        let error = |category: &str, ratio: f64| {
            let input = router.estimate(&query(10_000, category)) - 1_000.0;
            (input / (10_000.0 * ratio) - 1.0).abs()
        };
        teach("code", 0.42);
        teach("chinese", 0.6);
        // Four bytes a token would be 40 and 58 % off.
        assert!(error("code", 0.42) < 0.1 && error("chinese", 0.6) < 0.1);
        teach("code", 0.3);
        assert!(error("code", 0.3) < 0.1 && error("chinese", 0.6) < 0.1);
    }
}
