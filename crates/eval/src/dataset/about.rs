//! What a data set says of its models and tasks beside the outcomes.

use std::{collections::BTreeMap, fs, path::Path};

use fingerpost_core::{Name, Price, Profile, UsdPerMillion};
use fingerpost_models::{Cards, ModelCard};
use serde::{Deserialize, de::DeserializeOwned};

use super::DataError;

/// The files of a folder that say what its models and tasks are.
pub(super) struct About {
    pub(super) profiles: Vec<Profile>,
    pub(super) cards: Cards,
}

#[derive(Deserialize)]
struct Model {
    name: Name,
    #[serde(default)]
    description: String,
    family: Option<Name>,
    /// In percent.
    #[serde(default)]
    benchmark_scores: BTreeMap<Name, Option<f64>>,
    input_price_usd_per_m: Option<f64>,
    output_price_usd_per_m: Option<f64>,
}

// === impl About ===

impl About {
    /// Reads `models.json`, and what there is of `task_feature.json` and `domain_task_map.json`.
    ///
    /// # Errors
    /// [`DataError::Models`] names the file and what is wrong with it.
    pub(super) fn open(folder: &Path) -> Result<Self, DataError> {
        let path = folder.join("models.json");
        let models: Vec<Model> = read(&path)?;
        let profile = |model: &Model| {
            model
                .profile()
                .map_err(|why| wrong(&path, format!("the price of `{}`: {why}", model.name)))
        };
        let profiles = models.iter().map(profile).collect::<Result<_, _>>()?;
        Ok(Self {
            profiles,
            cards: Cards {
                models: models.into_iter().map(Model::card).collect(),
                tasks: read_if_there(&folder.join("task_feature.json"))?,
                domains: read_if_there(&folder.join("domain_task_map.json"))?,
            },
        })
    }
}

// === impl Model ===

impl Model {
    fn profile(&self) -> Result<Profile, String> {
        let price = |usd: f64| UsdPerMillion::new(usd).map_err(|e| e.to_string());
        let price = match (self.input_price_usd_per_m, self.output_price_usd_per_m) {
            (Some(input), Some(output)) => Some(Price {
                input: price(input)?,
                cached_input: None,
                output: price(output)?,
            }),
            _ => None,
        };
        Ok(Profile {
            description: self.description.clone(),
            price,
            ..Profile::named(self.name.clone())
        })
    }

    fn card(self) -> (Name, ModelCard) {
        let shares = self.benchmark_scores.into_iter();
        let shares = shares.filter_map(|(task, percent)| Some((task, percent? / 100.0)));
        let card = ModelCard {
            description: self.description,
            family: self.family,
            // Some published scores are no percentages.
            scores: shares.filter(|(_, s)| (0.0..=1.0).contains(s)).collect(),
        };
        (self.name, card)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, DataError> {
    let text = fs::read(path).map_err(|e| wrong(path, e.to_string()))?;
    serde_json::from_slice(&text).map_err(|e| wrong(path, e.to_string()))
}

fn read_if_there<T: DeserializeOwned + Default>(path: &Path) -> Result<T, DataError> {
    if path.exists() {
        read(path)
    } else {
        Ok(T::default())
    }
}

fn wrong(path: &Path, why: String) -> DataError {
    DataError::Models {
        path: path.to_owned(),
        why,
    }
}
