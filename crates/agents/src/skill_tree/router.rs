//! The tree as a router: no call, one encoding, a few pages of cosines.

use std::sync::Arc;

use fingerpost_core::{
    Candidate, CandidateId, Context, Decision, Evidence, Feature, Learn, Name, NoRoute, Pick, Picks, Query,
    Reason, Router,
};
use fingerpost_encode::Encoder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Beam, SkillTree};

/// Most picks of a decision.
const MOST: usize = 4;

/// Settings of a walk down the tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SkillTreeConfig {
    /// Most groups that are followed a level, from 1. Default 2.
    pub beam: u32,
    /// A group is followed beside the best where its cosine is at most so much lower, from 0 to 2. Default 0.05.
    pub margin: f32,
}

/// A setting of a walk that is out of range.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("skill_tree.{key} must be {allowed}, found {found}")]
pub struct SkillTreeConfigError {
    key: &'static str,
    allowed: &'static str,
    found: f64,
}

/// Picks entries of a catalogue by walking its tree. Candidates are known by the ids of entries; candidates that are no entries
/// are never picked. Scores: cosines. Where the limits admit none of the entries that the walk came to, all entries are
/// compared. Learns nothing.
pub struct SkillTreeRouter {
    name: Name,
    tree: Arc<SkillTree>,
    encoder: Arc<dyn Encoder>,
    beam: Beam,
}

impl Default for SkillTreeConfig {
    fn default() -> Self {
        Self {
            beam: 2,
            margin: 0.05,
        }
    }
}

// === impl SkillTreeConfig ===

impl SkillTreeConfig {
    /// The beam of these settings.
    ///
    /// # Errors
    /// [`SkillTreeConfigError`] for a setting out of range.
    pub fn beam(&self) -> Result<Beam, SkillTreeConfigError> {
        let error = |key, allowed, found| SkillTreeConfigError { key, allowed, found };
        if self.beam == 0 {
            return Err(error("beam", "at least 1", 0.0));
        }
        if !(0.0..=2.0).contains(&self.margin) {
            return Err(error("margin", "a number from 0 to 2", f64::from(self.margin)));
        }
        Ok(Beam {
            width: self.beam as usize,
            margin: self.margin,
        })
    }
}

// === impl SkillTreeRouter ===

impl SkillTreeRouter {
    /// A router of this name over a tree whose vectors `encoder` made.
    ///
    /// # Errors
    /// [`SkillTreeConfigError`] for a setting out of range.
    pub fn new(
        config: &SkillTreeConfig,
        name: Name,
        tree: Arc<SkillTree>,
        encoder: Arc<dyn Encoder>,
    ) -> Result<Self, SkillTreeConfigError> {
        let beam = config.beam()?;
        Ok(Self {
            name,
            tree,
            encoder,
            beam,
        })
    }

    /// The tree.
    pub fn tree(&self) -> &SkillTree {
        &self.tree
    }

    /// Entries for a text, best first, whatever the limits.
    pub fn find(&self, text: &str) -> super::Walk {
        self.tree.walk(&self.encoder.encode(text), self.beam)
    }
}

impl Learn for SkillTreeRouter {}

impl Router<Query<'_>> for SkillTreeRouter {
    fn route(
        &self,
        query: &Query<'_>,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let vector = self.encoder.encode(&query.user_text());
        let walk = self.tree.walk(&vector, self.beam);
        let admitted = |(entry, score): &(u32, f32)| {
            let id = cx.catalogue.id(self.tree.id(*entry)?)?;
            let place = among.iter().position(|other| *other == id)?;
            let candidate = cx.catalogue.get(id).filter(|c| cx.limits.admit(c).is_ok())?;
            Some((candidate, *score, place))
        };
        let mut found: Vec<(&Candidate, f32, usize)> = walk.leaves.iter().filter_map(admitted).collect();
        let mut why = "nearest below the nearest groups";
        if found.is_empty() {
            why = "nearest of all, none below the nearest groups is admitted";
            let all = (0..self.tree.len() as u32)
                .map(|entry| (entry, fingerpost_encode::dot(&vector, self.tree.vector(entry))));
            found = all.filter_map(|leaf| admitted(&leaf)).collect();
        }
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.2.cmp(&b.2)));
        let picks: Picks = found
            .iter()
            .take(MOST)
            .map(|(candidate, score, _)| Pick::of(candidate, f64::from(*score)))
            .collect();
        let narrowest = walk.stages.iter().map(|s| s.margin).fold(f32::INFINITY, f32::min);
        let reason = Reason::new(why)
            .with("pages", walk.stages.len() as f64)
            .with("compared", walk.compared as f64);
        let evidence = Evidence::of(self.name.clone())
            .with("narrowest_margin", Feature::Number(f64::from(narrowest)))
            .with("compared", Feature::Number(walk.compared as f64));
        Decision::ranked(picks, reason, evidence).ok_or_else(|| cx.no_route(among))
    }
}
