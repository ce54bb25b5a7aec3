//! In which order the models of a cascade are asked.

use fingerpost_core::{Candidate, Profile};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// In which order the models of a cascade are asked. Equal ones stay as the decision lists them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CascadeOrder {
    /// As the decision lists them.
    #[default]
    Declared,
    /// The cheapest first; those of unknown price last.
    Price,
    /// The smallest first, by the parameters that a tag or the name tells (`8b`, `8x7b`, `270m`); those of unknown size last.
    Size,
    /// The one of lowest declared quality first; those of unknown quality last.
    Quality,
    /// The best mix of quality and cheapness first: `0.7 · quality + 0.3 · (1 − cost / dearest)`. A quality that is not declared is
    /// guessed from the size; those of unknown price last.
    Automix,
}

/// Weight of cheapness in `automix`.
const CHEAPNESS: f64 = 0.3;
/// The size, in millions of parameters, from which on a model of unknown quality is thought to be the best.
const LARGE: f64 = 70_000.0;

// === impl CascadeOrder ===

impl CascadeOrder {
    /// Puts `models` in order.
    pub(crate) fn sort(self, models: &mut [&Candidate]) {
        let price = |c: &Candidate| c.profile.price.map(|p| p.blended().get());
        let key: Box<dyn Fn(&Candidate) -> f64> = match self {
            Self::Declared => return,
            Self::Price => Box::new(move |c| price(c).unwrap_or(f64::INFINITY)),
            Self::Size => Box::new(|c| size(&c.profile).unwrap_or(f64::INFINITY)),
            Self::Quality => Box::new(|c| c.profile.quality.map_or(f64::INFINITY, |q| q.get())),
            Self::Automix => {
                let dearest = models.iter().filter_map(|c| price(c)).fold(0.0, f64::max);
                Box::new(move |c| {
                    let Some(price) = price(c) else {
                        return f64::INFINITY;
                    };
                    let cost = if dearest > 0.0 { price / dearest } else { 0.0 };
                    -((1.0 - CHEAPNESS) * quality(&c.profile) + CHEAPNESS * (1.0 - cost))
                })
            }
        };
        models.sort_by(|a, b| key(a).total_cmp(&key(b)));
    }
}

/// Declared quality, or a guess from the size.
fn quality(profile: &Profile) -> f64 {
    let guess = || 0.3 + 0.7 * (size(profile).unwrap_or(0.0) / LARGE).min(1.0);
    profile.quality.map_or_else(guess, |q| q.get())
}

/// Parameters in millions, where a tag or the name tells.
fn size(profile: &Profile) -> Option<f64> {
    let texts = profile
        .tags
        .iter()
        .map(String::as_str)
        .chain([profile.name.as_str()]);
    texts
        .flat_map(|text| text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.')))
        .find_map(parameters)
}

/// `8b`, `1.5B`, `8x7b`, `270m`.
fn parameters(word: &str) -> Option<f64> {
    let word = word.to_ascii_lowercase();
    let (number, unit) = match word.strip_suffix('b') {
        Some(number) => (number, 1000.0),
        None => (word.strip_suffix('m')?, 1.0),
    };
    let (times, each) = number.split_once('x').unwrap_or(("1", number));
    let product = times.parse::<f64>().ok()? * each.parse::<f64>().ok()?;
    (product.is_finite() && product > 0.0).then_some(product * unit)
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{Catalogue, Price, Quality, UsdPerMillion};

    use super::*;

    fn order(order: CascadeOrder, profiles: Vec<Profile>) -> Vec<String> {
        let catalogue = Catalogue::new(profiles).unwrap();
        let mut models: Vec<&Candidate> = catalogue.iter().collect();
        order.sort(&mut models);
        models.iter().map(|c| c.profile.name.to_string()).collect()
    }

    fn model(name: &str, price: Option<f64>, quality: Option<f64>) -> Profile {
        let usd = |v| UsdPerMillion::new(v).unwrap();
        Profile {
            price: price.map(|p| Price {
                input: usd(p),
                cached_input: None,
                output: usd(p),
            }),
            quality: quality.map(|q| Quality::new(q).unwrap()),
            ..Profile::named(name)
        }
    }

    #[test]
    fn sizes_are_read_off_names_and_tags() {
        let of = |name: &str| size(&Profile::named(name));
        assert_eq!(of("llama-3.1-8B-instruct"), Some(8000.0));
        assert_eq!(of("mixtral-8x7b"), Some(56_000.0));
        assert_eq!(of("gemma-270m"), Some(270.0));
        assert_eq!(of("team"), None);
        let tagged = Profile {
            tags: vec!["70b".into()],
            ..Profile::named("big")
        };
        assert_eq!(size(&tagged), Some(70_000.0));
    }

    #[test]
    fn each_order() {
        let plain = || {
            vec![
                model("x", None, None),
                model("a-70b", Some(9.0), Some(0.9)),
                model("b-8b", Some(1.0), Some(0.5)),
            ]
        };
        assert_eq!(order(CascadeOrder::Declared, plain()), ["x", "a-70b", "b-8b"]);
        for by in [CascadeOrder::Price, CascadeOrder::Size, CascadeOrder::Quality] {
            assert_eq!(order(by, plain()), ["b-8b", "a-70b", "x"], "{by:?}");
        }
        // 0.7·0.9 + 0.3·0 = 0.63 against 0.7·0.5 + 0.3·(1 − 1/9) = 0.617.
        assert_eq!(order(CascadeOrder::Automix, plain()), ["a-70b", "b-8b", "x"]);
        // Guessed: 0.3 + 0.7·8/70 = 0.38, so 0.7·0.38 + 0.3·0.5 = 0.416 against 0.7·0.3 + 0.3·0 = 0.21.
        let guessed = vec![model("y", Some(2.0), None), model("c-8b", Some(1.0), None)];
        assert_eq!(order(CascadeOrder::Automix, guessed), ["c-8b", "y"]);
    }
}
