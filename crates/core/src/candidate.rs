//! What can be picked: candidates, what is known of each ([`Profile`]), and what is going on with it now ([`Live`]).

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Name, Quality, TokenCount, Usd, UsdPerMillion};

/// A candidate's place in its [`Catalogue`]. Valid for that catalogue only: what travels or is stored carries the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CandidateId(pub u32);

/// Something that can be picked at one level: a model, an instance, a tool, an expert.
#[derive(Debug)]
pub struct Candidate {
    /// Its place in the catalogue.
    pub id: CandidateId,
    /// What is known of it.
    pub profile: Profile,
    /// What is going on with it now. Shared, so that it outlives a reload of the configuration.
    pub live: Arc<Live>,
}

/// What is known of a candidate before it is asked. Every field but the name may be absent; a router says what it does then.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Profile {
    /// Unique in its catalogue.
    pub name: Name,
    /// For people, and for routers that compare texts.
    #[serde(default)]
    pub description: String,
    /// What it can do.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// Longest input plus output, in tokens.
    #[serde(default)]
    pub context_window: Option<TokenCount>,
    /// What its tokens cost.
    #[serde(default)]
    pub price: Option<Price>,
    /// Declared or learned quality, whatever the query.
    #[serde(default)]
    pub quality: Option<Quality>,
    /// Free labels.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// Prices per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// Fresh input tokens.
    pub input: UsdPerMillion,
    /// Input tokens read from the provider's prompt cache; the price of fresh ones where absent.
    #[serde(default)]
    pub cached_input: Option<UsdPerMillion>,
    /// Output tokens.
    pub output: UsdPerMillion,
}

/// What a candidate can do, as a set of flags.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "Vec<String>", try_from = "Vec<String>")]
pub struct Capabilities(u16);

/// What is going on with a candidate now; read and written without locks.
#[derive(Debug, Default)]
pub struct Live {
    in_flight: AtomicU32,
    unavailable: AtomicBool,
}

/// The candidates of one level, an immutable snapshot.
#[derive(Debug, Default)]
pub struct Catalogue {
    candidates: Vec<Candidate>,
    by_name: HashMap<Name, CandidateId>,
}

/// Why a catalogue cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// Two candidates share a name.
    #[error("the name `{0}` stands twice among the candidates; names must differ")]
    Duplicate(Name),
    /// More candidates than an id can number.
    #[error("{0} candidates are more than one catalogue holds (4294967295)")]
    TooMany(usize),
}

// === impl Profile ===

impl Profile {
    /// A profile of which only the name is known. It can do everything ([`Capabilities::ALL`]).
    pub fn named(name: impl Into<Name>) -> Self {
        Self {
            name: name.into(),
            description: String::new(),
            capabilities: Capabilities::ALL,
            context_window: None,
            price: None,
            quality: None,
            tags: Vec::new(),
        }
    }
}

// === impl Price ===

impl Price {
    /// What a call cost. `cached` of the `input` tokens came from the provider's cache; more cached than input counts as all.
    pub fn cost(&self, input: TokenCount, cached: TokenCount, output: TokenCount) -> Usd {
        let cached = TokenCount(cached.0.min(input.0));
        let fresh = TokenCount(input.0 - cached.0);
        self.input.of(fresh) + self.cached_input.unwrap_or(self.input).of(cached) + self.output.of(output)
    }

    /// One number to rank by: input and output price weighed three to one, the usual mix of chat traffic.
    pub fn blended(&self) -> UsdPerMillion {
        UsdPerMillion::clamped((3.0 * self.input.get() + self.output.get()) / 4.0)
    }
}

// === impl Capabilities ===

impl Capabilities {
    /// Calls tools.
    pub const TOOLS: Self = Self(1);
    /// Reads images.
    pub const VISION: Self = Self(1 << 1);
    /// Answers in JSON of a given schema.
    pub const STRUCTURED: Self = Self(1 << 2);
    /// Thinks before it answers.
    pub const REASONING: Self = Self(1 << 3);
    /// Makes embeddings.
    pub const EMBEDDINGS: Self = Self(1 << 4);
    /// Reads or speaks audio.
    pub const AUDIO: Self = Self(1 << 5);
    /// Everything.
    pub const ALL: Self = Self((1 << 6) - 1);
    /// Nothing in particular.
    pub const NONE: Self = Self(0);

    const NAMES: [(&'static str, Self); 6] = [
        ("tools", Self::TOOLS),
        ("vision", Self::VISION),
        ("structured", Self::STRUCTURED),
        ("reasoning", Self::REASONING),
        ("embeddings", Self::EMBEDDINGS),
        ("audio", Self::AUDIO),
    ];

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in `needed` and not in this set.
    #[must_use]
    pub const fn missing(self, needed: Self) -> Self {
        Self(needed.0 & !self.0)
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of the flags, in a fixed order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .filter(move |(_, flag)| self.0 & flag.0 != 0)
            .map(|(name, _)| name)
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.names().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

impl From<Capabilities> for Vec<String> {
    fn from(set: Capabilities) -> Self {
        set.names().map(str::to_owned).collect()
    }
}

impl TryFrom<Vec<String>> for Capabilities {
    type Error = String;
    fn try_from(names: Vec<String>) -> Result<Self, String> {
        names.iter().try_fold(Self::NONE, |set, name| {
            let known = Self::NAMES.into_iter().find(|(n, _)| n == name);
            let allowed = || Self::NAMES.map(|(n, _)| n).join(", ");
            known
                .map(|(_, flag)| set.and(flag))
                .ok_or_else(|| format!("unknown capability `{name}`; allowed: {}", allowed()))
        })
    }
}

// === impl Live ===

impl Live {
    /// Calls under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts a call that begins.
    pub fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a call that ended.
    pub fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether it may be picked at all (its circuit is closed, it is not draining).
    pub fn is_available(&self) -> bool {
        !self.unavailable.load(Ordering::Relaxed)
    }

    /// Takes it out of, or back into, service.
    pub fn set_available(&self, available: bool) {
        self.unavailable.store(!available, Ordering::Relaxed);
    }
}

// === impl Catalogue ===

impl Catalogue {
    /// A catalogue of these profiles, ids in the order given, nothing in flight.
    ///
    /// # Errors
    /// [`CatalogueError`] where two share a name or there are too many.
    pub fn new(profiles: impl IntoIterator<Item = Profile>) -> Result<Self, CatalogueError> {
        Self::with_live(profiles.into_iter().map(|p| (p, Arc::default())))
    }

    /// Like [`Catalogue::new`], with live state carried over, say from the catalogue before a reload.
    ///
    /// # Errors
    /// [`CatalogueError`] where two share a name or there are too many.
    pub fn with_live(
        profiles: impl IntoIterator<Item = (Profile, Arc<Live>)>,
    ) -> Result<Self, CatalogueError> {
        let mut catalogue = Self::default();
        for (profile, live) in profiles {
            let count = catalogue.candidates.len();
            let id = CandidateId(u32::try_from(count).map_err(|_| CatalogueError::TooMany(count))?);
            if catalogue.by_name.insert(profile.name.clone(), id).is_some() {
                return Err(CatalogueError::Duplicate(profile.name));
            }
            catalogue.candidates.push(Candidate { id, profile, live });
        }
        Ok(catalogue)
    }

    /// The candidate of this id, if the catalogue has one.
    pub fn get(&self, id: CandidateId) -> Option<&Candidate> {
        self.candidates.get(id.0 as usize)
    }

    /// The id of this name.
    pub fn id(&self, name: &str) -> Option<CandidateId> {
        self.by_name.get(name).copied()
    }

    /// All ids, in order.
    pub fn ids(&self) -> Vec<CandidateId> {
        self.candidates.iter().map(|c| c.id).collect()
    }

    /// All candidates, in order of id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Candidate> {
        self.candidates.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_input_is_priced_apart() {
        let usd = |v| UsdPerMillion::new(v).unwrap();
        let price = Price {
            input: usd(2.0),
            cached_input: Some(usd(0.5)),
            output: usd(8.0),
        };
        let cost = price.cost(TokenCount(1_000_000), TokenCount(400_000), TokenCount(250_000));
        assert!((cost.get() - (1.2 + 0.2 + 2.0)).abs() < 1e-12);
        let more_cached_than_input = price.cost(TokenCount(100), TokenCount(200), TokenCount(0));
        assert!((more_cached_than_input.get() - 100.0 * 0.5 / 1e6).abs() < 1e-15);
    }

    #[test]
    fn names_are_unique() {
        let error = Catalogue::new([Profile::named("a"), Profile::named("a")]).unwrap_err();
        assert_eq!(error, CatalogueError::Duplicate("a".into()));
    }

    #[test]
    fn capabilities_by_name() {
        let set: Capabilities = serde_json::from_str(r#"["tools","vision"]"#).unwrap();
        assert_eq!(set, Capabilities::TOOLS.and(Capabilities::VISION));
        assert_eq!(
            set.missing(Capabilities::TOOLS.and(Capabilities::AUDIO))
                .to_string(),
            "audio"
        );
        let error = serde_json::from_str::<Capabilities>(r#"["toolz"]"#)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("unknown capability `toolz`; allowed: tools, vision"),
            "{error}"
        );
    }
}
