//! Routers and references by name.

use std::sync::Arc;

use fingerpost_encode::StaticEncoder;
use fingerpost_models::Featurizer;

use super::{
    Alternate, Bank, Constant, PolicyOptions, PolicyRouter, Prediction, Prices, Reference, Tier,
    TokenCounter, TrainError, Trained, TrainedOptions, cross_fitted, cross_fitted_by, predict,
};

/// What can be scored by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// Always one tier: `always_low` and so on.
    Always(Tier),
    /// `alternate_by_step`.
    Alternate,
    /// `trained`.
    Trained,
    /// `trained_argmax`: the same with its most probable tier.
    TrainedArgmax,
    /// `budget_aware`: a policy between the lowest and the highest tier.
    BudgetAware,
    /// What reads fields that no router sees.
    Reference(Reference),
}

/// A name of nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no router `{found}`{}; there are {}", nearest.map(|n| format!(", did you mean `{n}`?")).unwrap_or_default(), Named::names().join(", "))]
pub struct UnknownRouter {
    /// What was asked for.
    pub found: String,
    /// The name nearest to it, if one is near.
    pub nearest: Option<&'static str>,
}

// === impl Named ===

impl Named {
    const ROUTERS: [(&'static str, Self); 8] = [
        ("always_low", Self::Always(Tier::Low)),
        ("always_mid", Self::Always(Tier::Mid)),
        ("always_mid_high", Self::Always(Tier::MidHigh)),
        ("always_high", Self::Always(Tier::High)),
        ("alternate_by_step", Self::Alternate),
        ("trained", Self::Trained),
        ("trained_argmax", Self::TrainedArgmax),
        ("budget_aware", Self::BudgetAware),
    ];

    fn all() -> impl Iterator<Item = (&'static str, Self)> {
        let references = Reference::ALL
            .into_iter()
            .map(|(name, of)| (name, Self::Reference(of)));
        Self::ROUTERS.into_iter().chain(references)
    }

    /// All names: routers, then references.
    pub fn names() -> Vec<&'static str> {
        Self::all().map(|(name, _)| name).collect()
    }

    /// What has this name; hyphens are taken for underscores.
    ///
    /// # Errors
    /// [`UnknownRouter`] with the nearest name.
    pub fn find(name: &str) -> Result<Self, UnknownRouter> {
        let asked = name.replace('-', "_");
        if let Some((_, found)) = Self::all().find(|(name, _)| *name == asked) {
            return Ok(found);
        }
        let near = Self::all().map(|(name, _)| (strsim::damerau_levenshtein(name, &asked), name));
        let nearest = near.filter(|(distance, name)| distance * 2 <= name.len()).min();
        Err(UnknownRouter {
            found: name.to_owned(),
            nearest: nearest.map(|(_, name)| name),
        })
    }

    /// Whether it is learned from a bank.
    pub fn is_trained(self) -> bool {
        matches!(self, Self::Trained | Self::TrainedArgmax | Self::BudgetAware)
    }

    /// Its predictions for `bank`. What is trained learns from `train`, or where there is none from the other folds of the bank
    /// itself ([`cross_fitted`], sorted by `seed`).
    ///
    /// # Errors
    /// [`TrainError`] where there is too little to learn from.
    pub fn predict(
        self,
        bank: &Bank,
        train: Option<&Bank>,
        prices: &Prices,
        counter: &dyn TokenCounter,
        seed: u64,
    ) -> Result<Vec<Prediction>, TrainError> {
        let options = TrainedOptions::default();
        Ok(match (self, train) {
            (Self::Always(tier), _) => predict(&Constant(tier), bank),
            (Self::Alternate, _) => predict(&Alternate, bank),
            (Self::Reference(reference), _) => reference.predict(bank),
            (Self::Trained, Some(train)) => predict(&Trained::train(train, &options, prices, counter)?, bank),
            (Self::TrainedArgmax, Some(train)) => predict(
                &Trained::train(train, &options, prices, counter)?.most_probable(),
                bank,
            ),
            (Self::BudgetAware, Some(train)) => predict(&policy(train, prices, counter, seed)?, bank),
            (Self::BudgetAware, None) => cross_fitted_by(bank, options.folds, seed, |part| {
                policy(part, prices, counter, seed)
            })?,
            (Self::Trained, None) => cross_fitted(bank, &options, prices, counter, seed, false)?,
            (Self::TrainedArgmax, None) => cross_fitted(bank, &options, prices, counter, seed, true)?,
        })
    }
}

/// A policy that takes the lowest tier for its small model, as most steps need no more.
fn policy(
    bank: &Bank,
    prices: &Prices,
    counter: &dyn TokenCounter,
    seed: u64,
) -> Result<PolicyRouter, TrainError> {
    let options = PolicyOptions {
        tier: Tier::Low,
        ..PolicyOptions::default()
    };
    let reader = Featurizer::new(Arc::new(StaticEncoder::bundled()));
    Ok(PolicyRouter::train(
        bank, &options, &reader, prices, counter, seed,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_the_nearest_is_suggested() {
        assert_eq!(
            Named::find("always-mid-high").unwrap(),
            Named::Always(Tier::MidHigh)
        );
        assert_eq!(Named::find("gold").unwrap(), Named::Reference(Reference::Gold));
        assert_eq!(Named::find("trained").unwrap(), Named::Trained);
        let error = Named::find("alway_high").unwrap_err();
        assert_eq!(error.nearest, Some("always_high"));
        assert!(
            error.to_string().contains("did you mean `always_high`?"),
            "{error}"
        );
        assert_eq!(Named::find("zzzz").unwrap_err().nearest, None);
        for name in Named::names() {
            assert!(Named::find(name).is_ok(), "{name}");
        }
    }
}
