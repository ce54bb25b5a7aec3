//! The agents that are there, and how a query looks to each of them.

use std::sync::Arc;

use fingerpost_core::Name;
use fingerpost_encode::{Encoder, Vector, dot};
use fingerpost_index::{Lexical, Query as Words, Retrieve};
use thiserror::Error;

use crate::Entry;

/// Values in [`Features`].
pub const FEATURES: usize = 7;

/// Values in [`Features::near`].
pub(super) const NEAR: usize = 6;

/// How a query looks to one agent; the same seven numbers for every agent, whoever it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Features {
    /// Cosine to the description.
    pub description: f32,
    /// BM25 over description and examples, as a share of the best agent's, 0 to 1.
    pub words: f32,
    /// Highest cosine to an example.
    pub nearest: f32,
    /// Mean of the three highest cosines to examples.
    pub near: f32,
    /// Cosine to the examples' mean direction.
    pub centre: f32,
    /// ln(1 + examples): an agent with many comes near to more queries by chance.
    pub known: f32,
    /// `near` less the best other agent's.
    pub lead: f32,
    /// The example of the highest cosine, by its place.
    pub example: Option<usize>,
}

/// An agent with the vectors of its texts.
#[derive(Debug, Clone)]
pub struct KnownAgent {
    /// Its id, description and examples.
    pub entry: Entry,
    description: Vector,
    examples: Vec<Vector>,
    centre: Vec<f32>,
}

/// An immutable set of agents. Agents are numbered by their places in it.
pub struct AgentBank {
    agents: Vec<Arc<KnownAgent>>,
    words: Lexical,
    encoder: Arc<dyn Encoder>,
}

/// Why agents make no bank.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BankError {
    /// Two of one id.
    #[error("the agent `{0}` stands twice; ids must differ")]
    Duplicate(Name),
    /// Nothing to compare a query with.
    #[error("the agent `{0}` has neither description nor examples; give at least one")]
    Bare(Name),
}

// === impl Features ===

impl Features {
    /// The numbers, in the order of the fields.
    pub fn values(&self) -> [f64; FEATURES] {
        let all = [
            self.description,
            self.words,
            self.nearest,
            self.near,
            self.centre,
            self.known,
            self.lead,
        ];
        all.map(f64::from)
    }

    /// Those that tell how near the agent is, whatever the others are: two agents for the same are near both.
    pub(super) fn near(&self) -> [f64; NEAR] {
        let [description, words, nearest, near, centre, known, _] = self.values();
        [description, words, nearest, near, centre, known]
    }
}

// === impl KnownAgent ===

impl KnownAgent {
    fn new(entry: Entry, encoder: &dyn Encoder) -> Result<Self, BankError> {
        if entry.description.trim().is_empty() && entry.examples.is_empty() {
            return Err(BankError::Bare(entry.id));
        }
        let texts: Vec<&str> = entry.examples.iter().map(String::as_str).collect();
        let examples = encoder.encode_batch(&texts);
        let description = encoder.encode(&entry.description);
        Ok(Self::with_vectors(entry, description, examples))
    }

    /// An agent whose texts have been encoded before.
    pub fn with_vectors(entry: Entry, description: Vector, examples: Vec<Vector>) -> Self {
        let centre = Vector::centroid(&examples).map_or_else(|| description.to_vec(), |c| c.to_vec());
        Self {
            entry,
            description,
            examples,
            centre,
        }
    }

    /// The vectors of its examples.
    pub fn examples(&self) -> &[Vector] {
        &self.examples
    }

    /// The mean direction of its examples; of its description where it has none.
    pub fn centre(&self) -> &[f32] {
        &self.centre
    }

    /// How near a query is: the mean of its three highest cosines to examples; the cosine to the description without any.
    pub fn likeness(&self, query: &[f32]) -> f32 {
        self.nearest(query).0.iter().sum::<f32>() / 3.0
    }

    /// The vector of its description.
    pub fn description(&self) -> &[f32] {
        &self.description
    }

    /// The three highest cosines of a query to the examples, highest first, and the place of the highest. An agent without
    /// examples is compared by its description.
    fn nearest(&self, query: &[f32]) -> ([f32; 3], Option<usize>) {
        let (mut best, mut place) = ([f32::NEG_INFINITY; 3], None);
        for (at, example) in self.examples.iter().enumerate() {
            let cosine = dot(query, example);
            if cosine > best[0] {
                place = Some(at);
            }
            if let Some(rank) = best.iter().position(|other| cosine > *other) {
                best[rank..].rotate_right(1);
                best[rank] = cosine;
            }
        }
        if self.examples.is_empty() {
            best = [dot(query, &self.description); 3];
        }
        for rank in 1..3 {
            if best[rank] == f32::NEG_INFINITY {
                best[rank] = best[rank - 1];
            }
        }
        (best, place)
    }
}

// === impl AgentBank ===

impl AgentBank {
    /// The agents of these entries. Cost: one encoding a text.
    ///
    /// # Errors
    /// [`BankError`].
    pub fn new(entries: Vec<Entry>, encoder: Arc<dyn Encoder>) -> Result<Self, BankError> {
        let agents = entries
            .into_iter()
            .map(|entry| Ok(Arc::new(KnownAgent::new(entry, &*encoder)?)))
            .collect::<Result<Vec<_>, BankError>>()?;
        Self::of(agents, encoder)
    }

    /// The agents themselves, whose vectors must be this encoder's.
    ///
    /// # Errors
    /// [`BankError`].
    pub fn of(agents: Vec<Arc<KnownAgent>>, encoder: Arc<dyn Encoder>) -> Result<Self, BankError> {
        let mut seen = rustc_hash::FxHashSet::default();
        for agent in &agents {
            if !seen.insert(&agent.entry.id) {
                return Err(BankError::Duplicate(agent.entry.id.clone()));
            }
        }
        Ok(Self::indexed(agents, encoder))
    }

    fn indexed(agents: Vec<Arc<KnownAgent>>, encoder: Arc<dyn Encoder>) -> Self {
        let texts: Vec<String> = agents
            .iter()
            .map(|agent| format!("{} {}", agent.entry.description, agent.entry.examples.join(" ")))
            .collect();
        let words = Lexical::new(
            texts
                .iter()
                .enumerate()
                .map(|(i, text)| (i as u64, text.as_str())),
        );
        Self {
            agents,
            words,
            encoder,
        }
    }

    /// The same agents and one more. The others' vectors are shared; the words are indexed again, some milliseconds for
    /// thousands of texts.
    ///
    /// # Errors
    /// [`BankError`].
    pub fn with(&self, entry: Entry) -> Result<Self, BankError> {
        let agent = KnownAgent::new(entry, &*self.encoder)?;
        let agents = self.agents.iter().cloned().chain([Arc::new(agent)]);
        Self::of(agents.collect(), self.encoder.clone())
    }

    /// The agents, by number.
    pub fn agents(&self) -> &[Arc<KnownAgent>] {
        &self.agents
    }

    /// The encoder of the vectors.
    pub fn encoder(&self) -> &dyn Encoder {
        &*self.encoder
    }

    /// The same agents with these of their examples (by agent and place). No text is encoded again.
    pub(super) fn seeing(&self, left: &[Vec<usize>]) -> Self {
        let agent = |(known, left): (&Arc<KnownAgent>, &Vec<usize>)| {
            let mut entry = known.entry.clone();
            entry.examples = left.iter().map(|&at| known.entry.examples[at].clone()).collect();
            let examples = left.iter().map(|&at| known.examples[at].clone()).collect();
            Arc::new(KnownAgent::with_vectors(
                entry,
                known.description.clone(),
                examples,
            ))
        };
        Self::indexed(
            self.agents.iter().zip(left).map(agent).collect(),
            Arc::clone(&self.encoder),
        )
    }

    /// How a query looks to every agent, by number. Cost: a cosine an example and a BM25 search.
    pub fn features(&self, text: &str, query: &[f32]) -> Vec<Features> {
        let words = Words {
            text: Some(text),
            vector: None,
        };
        let mut by_words = vec![0.0; self.agents.len()];
        // A query with text never fails.
        for hit in self
            .words
            .retrieve(words, self.agents.len(), None)
            .unwrap_or_default()
        {
            if let Some(score) = by_words.get_mut(hit.id as usize) {
                *score = hit.score;
            }
        }
        let most = by_words.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        let mut all: Vec<Features> = self
            .agents
            .iter()
            .enumerate()
            .map(|(i, agent)| {
                let (best, example) = agent.nearest(query);
                Features {
                    description: dot(query, &agent.description),
                    words: by_words[i] / most,
                    nearest: best[0],
                    near: best.iter().sum::<f32>() / 3.0,
                    centre: dot(query, &agent.centre),
                    known: (1.0 + agent.examples.len() as f32).ln(),
                    lead: 0.0,
                    example,
                }
            })
            .collect();
        let (mut first, mut second) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
        for features in &all {
            if features.near > first {
                (first, second) = (features.near, first);
            } else {
                second = second.max(features.near);
            }
        }
        let alone = all.len() < 2;
        for features in &mut all {
            let other = if features.near == first { second } else { first };
            features.lead = if alone { 0.0 } else { features.near - other };
        }
        all
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use fingerpost_encode::StaticEncoder;

    use super::*;
    use crate::Kind;

    pub(crate) fn agent(id: &str, description: &str, examples: &[&str]) -> Entry {
        Entry {
            description: description.into(),
            examples: examples.iter().map(|e| (*e).to_owned()).collect(),
            ..Entry::named(id, Kind::Agent)
        }
    }

    pub(crate) fn bank() -> AgentBank {
        let agents = vec![
            agent(
                "weather",
                "Tells the weather",
                &["will it rain tomorrow", "how hot is it in Rome", "is it snowing"],
            ),
            agent(
                "money",
                "Moves money between accounts",
                &["send 10 dollars to Ann", "transfer money to savings"],
            ),
            agent("cook", "Finds recipes", &[]),
        ];
        AgentBank::new(agents, Arc::new(StaticEncoder::bundled())).unwrap()
    }

    #[test]
    fn features_by_hand() {
        let x = |v: &[f32]| Vector::new(v.to_vec());
        let agent = KnownAgent::with_vectors(
            agent("a", "d", &["e", "f"]),
            x(&[0.0, 1.0]),
            vec![x(&[1.0, 0.0]), x(&[0.6, 0.8])],
        );
        let (best, place) = agent.nearest(&[0.6, 0.8]);
        assert_eq!(place, Some(1));
        assert!((best[0] - 1.0).abs() < 1e-6 && (best[1] - 0.6).abs() < 1e-6 && best[2] == best[1]);
        // Without examples the description stands in.
        let bare = KnownAgent::with_vectors(agent.entry, agent.description, Vec::new());
        assert_eq!(bare.nearest(&[0.6, 0.8]), ([0.8; 3], None));
    }

    #[test]
    fn the_right_agent_leads() {
        let bank = bank();
        let text = "send money to my savings";
        let features = bank.features(text, &bank.encoder().encode(text));
        assert!(features[1].lead > 0.0 && features[0].lead < 0.0 && features[2].lead < 0.0);
        assert_eq!((features[1].words, features[1].example), (1.0, Some(1)));
        let more = bank
            .with(agent(
                "savings",
                "Looks after savings",
                &["open a savings account"],
            ))
            .unwrap();
        assert_eq!((more.agents().len(), bank.agents().len()), (4, 3));
    }

    #[test]
    fn who_cannot_be_known_is_refused() {
        let bank = bank();
        assert_eq!(
            bank.with(agent("money", "x", &[])).err(),
            Some(BankError::Duplicate("money".into()))
        );
        assert!(
            bank.with(agent("new", " ", &[]))
                .err()
                .unwrap()
                .to_string()
                .contains("`new` has neither")
        );
        let empty = AgentBank::new(Vec::new(), Arc::new(StaticEncoder::bundled())).unwrap();
        assert!(empty.features("x", &empty.encoder().encode("x")).is_empty());
    }
}
