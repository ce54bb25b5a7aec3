//! What tokens cost.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use super::{Tier, TwinError};
use crate::lines::LinesError;

/// Prices in US dollars per million tokens, by what is done with them.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierPrices {
    /// Read without the cache.
    pub input: f64,
    /// Read from the cache.
    pub cache_read: f64,
    /// Written to the cache.
    pub cache_write: f64,
    /// Generated.
    pub output: f64,
}

/// Tokens by what is done with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Buckets {
    /// Read without the cache.
    pub input: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Written to the cache.
    pub cache_write: u64,
    /// Generated.
    pub output: u64,
}

/// The prices of the four tiers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    /// By [`Tier::id`].
    pub tiers: [TierPrices; 4],
    /// Step indices after which what a tier had cached is gone.
    pub ttl_steps: u32,
    /// Output tokens of a last step where the run says nothing of its outputs.
    pub fallback_output: u64,
}

/// The prices of a model of live runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelPrices {
    /// The model.
    pub model: &'static str,
    /// Its tier.
    pub tier: Tier,
    /// Its prices.
    pub prices: TierPrices,
}

/// A file of prices. Fields beside these are for people and live runs.
#[derive(Deserialize)]
struct Written {
    r#static: BTreeMap<String, TierPrices>,
    static_cache_ttl_steps: u32,
    static_fallback_output_tokens: u64,
}

const fn prices(input: f64, cache_read: f64, cache_write: f64, output: f64) -> TierPrices {
    TierPrices {
        input,
        cache_read,
        cache_write,
        output,
    }
}

// === impl TierPrices ===

impl TierPrices {
    /// What `tokens` cost, in US dollars.
    pub fn of(&self, tokens: Buckets) -> f64 {
        let (i, r) = (tokens.input as f64, tokens.cache_read as f64);
        let (w, o) = (tokens.cache_write as f64, tokens.output as f64);
        (i * self.input + r * self.cache_read + w * self.cache_write + o * self.output) / 1e6
    }
}

// === impl Prices ===

impl Prices {
    /// Those of the paper's static track.
    pub const PUBLISHED: Self = Self {
        tiers: [
            prices(0.26, 0.13, 0.26, 0.5),
            prices(0.30, 0.059, 0.30, 2.0),
            prices(0.50, 0.05, 0.08333, 5.0),
            prices(5.0, 0.50, 6.25, 25.0),
        ],
        ttl_steps: 3,
        fallback_output: 500,
    };

    /// Those of the `pricing.json` in a bank's folder; the published ones where there is none.
    ///
    /// # Errors
    /// As [`Prices::read`].
    pub fn beside(bank: &Path) -> Result<Self, TwinError> {
        let listed = bank.join("pricing.json");
        if listed.is_file() {
            Self::read(&listed)
        } else {
            Ok(Self::PUBLISHED)
        }
    }

    /// Those of a file `pricing.json`.
    ///
    /// # Errors
    /// [`TwinError::Lines`], [`TwinError::Prices`].
    pub fn read(path: &Path) -> Result<Self, TwinError> {
        let wrong = |why: String| TwinError::Prices {
            path: path.to_owned(),
            why,
        };
        let text = fs::read_to_string(path).map_err(|source| LinesError::Read {
            path: path.to_owned(),
            source,
        })?;
        let written: Written = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        let mut tiers = Self::PUBLISHED.tiers;
        for tier in Tier::ALL {
            let prices = written.r#static.get(tier.name());
            let prices =
                prices.ok_or_else(|| wrong(format!("`static` has no prices of the tier `{tier}`")))?;
            let all = [prices.input, prices.cache_read, prices.cache_write, prices.output];
            if let Some(bad) = all.iter().find(|p| !p.is_finite() || **p < 0.0) {
                return Err(wrong(format!(
                    "a price of `{tier}` is {bad}; prices are finite and not negative"
                )));
            }
            tiers[tier.id()] = *prices;
        }
        Ok(Self {
            tiers,
            ttl_steps: written.static_cache_ttl_steps,
            fallback_output: written.static_fallback_output_tokens,
        })
    }
}

// === impl ModelPrices ===

impl ModelPrices {
    /// Those of the paper's dynamic track.
    pub const PUBLISHED: [Self; 4] = [
        Self {
            model: "deepseek/deepseek-v3.2",
            tier: Tier::Low,
            prices: prices(0.252, 0.0252, 0.252, 0.378),
        },
        Self {
            model: "minimax/minimax-m2.7",
            tier: Tier::Mid,
            prices: prices(0.30, 0.059, 0.30, 1.2),
        },
        Self {
            model: "google/gemini-3-flash-preview",
            tier: Tier::MidHigh,
            prices: prices(0.50, 0.05, 0.25 / 3.0, 3.0),
        },
        Self {
            model: "anthropic/claude-opus-4.6",
            tier: Tier::High,
            prices: prices(5.0, 0.5, 6.25, 25.0),
        },
    ];

    /// The prices of this model.
    pub fn of(model: &str) -> Option<&'static Self> {
        Self::PUBLISHED.iter().find(|m| m.model == model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_has_its_price() {
        let tokens = Buckets {
            input: 1_000_000,
            cache_read: 2_000_000,
            cache_write: 3_000_000,
            output: 4_000_000,
        };
        assert_eq!(Prices::PUBLISHED.tiers[3].of(tokens), 5.0 + 1.0 + 18.75 + 100.0);
    }

    #[test]
    fn a_price_list_without_a_tier_or_with_a_negative_price_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let tier = r#"{"input":1,"cache_read":1,"cache_write":1,"output":-1}"#;
        let text = format!(
            r#"{{"static":{{"low":{tier}}},"static_cache_ttl_steps":3,"static_fallback_output_tokens":500}}"#
        );
        fs::write(file.path(), &text).unwrap();
        let error = Prices::read(file.path()).unwrap_err().to_string();
        assert!(error.contains("price of `low` is -1"), "{error}");
        fs::write(file.path(), text.replace("-1", "1")).unwrap();
        let error = Prices::read(file.path()).unwrap_err().to_string();
        assert!(error.contains("no prices of the tier `mid`"), "{error}");
    }
}
