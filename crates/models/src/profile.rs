//! `route_profile`: what is stored of each model, apart from the router that reads it.
//!
//! Logged outcomes and what the caller knows in words ([`Cards`]) make a graph of families, models, tasks, domains and queries
//! (`profile/graph.rs`); each model's profile is made from its place there, in one of the ways that four settings name:
//!
//! | setting | values |
//! | --- | --- |
//! | `organisation` | `flat`: the neighbourhood as one heap; `structured`: kind by kind, hop by hop |
//! | `representation` | `index` (a random vector, a control), `text` (written out, then encoded: `profile/text.rs`), `vector` (mixed vectors: `profile/propagate.rs`), `scores` (how far the model is above the others, task by task) |
//! | `hops` | 0 to 4: how far away neighbours may be |
//! | `learning` | `frozen`, or `masked` (parts of the graph are hidden and learned to be told: `profile/masked.rs`) |
//!
//! One of three routers reads them: `sim` (the cosine of query and profile; no training), `two_tower` (`profile/two_tower.rs`),
//! `graph` (`profile/bipartite.rs`). A line through the training outcomes turns its scores into qualities. Models that come later
//! are taken in by their description or a handful of outcomes (`profile/store.rs`). Card: `systems/24`.
//!
//! Differs: scores count from the mean of the models at the same query or task (`profile/graph.rs`); `scores` is our own, the
//! task-wise numbers without vectors. For `scores` the query is seen as its nearness to the tasks, and `sim` is a product.
//! Vectors are taken as the encoder gives them: the direction that all of them share carries how good a model is whatever the
//! query, and without it every profile is worse. Cost: with `sim`
//! one product a model; with the others some 30,000 products a query more.

mod bipartite;
mod graph;
mod masked;
mod net;
mod propagate;
mod store;
mod text;
mod two_tower;

use fingerpost_core::Name;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

pub use self::graph::{Cards, ModelCard};
pub(crate) use self::store::Profiles;
use self::{
    bipartite::{Bipartite, softmax},
    graph::{Graph, Parts, Tie},
    net::normalized,
    propagate::add,
    two_tower::TwoTower,
};
use crate::{
    config::{ConfigError, check},
    predictor::Columns,
    training::{TrainError, Training},
};

/// How sharply a query's nearness to tasks counts (`scores`).
const NEARNESS: f32 = 0.05;
/// A quality grows with the router's score at least so fast: a control must not turn the order round.
const LEAST_SLOPE: f64 = 1e-3;
const ALGORITHM: &str = "route_profile";

/// Settings of `route_profile`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProfileSettings {
    /// How the neighbourhood is held. Default `structured`.
    pub organisation: Organisation,
    /// What a profile is made of. Default `vector`.
    pub representation: Representation,
    /// How far away neighbours may be, 0 to 4. Default 2.
    pub hops: usize,
    /// How vectors are made. `masked` needs structured vectors and one hop at least. Default `frozen`.
    pub learning: Learning,
    /// Who reads the profiles. Default `sim`.
    pub router: Reader,
    /// Whether logged queries are part of the graph. Default true.
    pub queries: bool,
    /// Whether domains are part of the graph. Default false.
    pub domains: bool,
    /// Passes of the masked training, 1 to 10,000. Default 100.
    pub epochs: usize,
    /// What the caller knows of models, tasks and domains. Default: nothing.
    pub cards: Cards,
}

/// How the neighbourhood of a model is held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Organisation {
    /// As one heap.
    Flat,
    /// Kind by kind and hop by hop.
    #[default]
    Structured,
}

/// What a profile is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Representation {
    /// A random vector of length one: a control.
    Index,
    /// A text, encoded.
    Text,
    /// A mix of vectors.
    #[default]
    Vector,
    /// Scores by task.
    Scores,
}

/// How vectors are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Learning {
    /// By propagation without training.
    #[default]
    Frozen,
    /// By a network that learned to tell hidden parts of the graph.
    Masked,
}

/// Who reads the profiles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reader {
    /// The cosine of query and profile.
    #[default]
    Sim,
    /// Two trained towers.
    TwoTower,
    /// A trained predictor of links.
    Graph,
}

/// Trained profiles with the router that reads them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RouteProfile {
    columns: Columns,
    /// By column; empty where nothing is known.
    profiles: Vec<Vec<f32>>,
    /// The vector of each description; empty where there is none.
    texts: Vec<Vec<f32>>,
    /// Values of a query's vector.
    dims: usize,
    head: Head,
    /// Quality where the router's score is 0, and by how much it grows with it.
    level: f64,
    slope: f64,
}

/// How a query is compared with a profile.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Head {
    /// By the cosine.
    Cosine,
    /// The profile has a score a task; the query is near to tasks.
    Tasks {
        /// The tasks' vectors.
        gists: Vec<Vec<f32>>,
    },
    /// The profile is one score.
    Whole,
    TwoTower(TwoTower),
    Bipartite(Bipartite),
}

impl Default for ProfileSettings {
    fn default() -> Self {
        Self {
            organisation: Organisation::default(),
            representation: Representation::default(),
            hops: 2,
            learning: Learning::default(),
            router: Reader::default(),
            queries: true,
            domains: false,
            epochs: 100,
            cards: Cards::default(),
        }
    }
}

// === impl ProfileSettings ===

impl ProfileSettings {
    fn check(&self) -> Result<(), ConfigError> {
        check(
            ALGORITHM,
            "hops",
            self.hops as f64,
            "a whole number from 0 to 4",
            |h| h <= 4.0,
        )?;
        let epochs = self.epochs as f64;
        check(
            ALGORITHM,
            "epochs",
            epochs,
            "a whole number from 1 to 10000",
            |e| (1.0..=10_000.0).contains(&e),
        )?;
        for (model, card) in &self.cards.models {
            for (task, score) in &card.scores {
                let key = format!("cards.models.{model}.scores.{task}");
                check(ALGORITHM, key, *score, "a number from 0 to 1", |s| {
                    (0.0..=1.0).contains(&s)
                })?;
            }
        }
        let vectors =
            (self.organisation, self.representation) == (Organisation::Structured, Representation::Vector);
        if self.learning == Learning::Masked && !(vectors && self.hops > 0) {
            return Err(ConfigError {
                algorithm: ALGORITHM,
                key: "learning".to_owned(),
                allowed: "frozen, or masked with structured vectors and one hop at least",
                found: "masked".to_owned(),
            });
        }
        Ok(())
    }
}

// === impl RouteProfile ===

impl RouteProfile {
    /// Makes the profiles and trains who reads them.
    ///
    /// # Errors
    /// A setting out of range; no encoder at hand; that somebody stopped it.
    pub fn train(settings: &ProfileSettings, training: &Training<'_>) -> Result<Self, TrainError> {
        settings.check()?;
        let reader = training.reader().ok_or_else(|| TrainError::TooLittle {
            algorithm: ALGORITHM,
            needs: "the encoder that read the texts",
            found: "none".to_owned(),
        })?;
        let read = |text: &str| reader.vector(text).to_vec();
        let parts = Parts {
            queries: settings.queries,
            domains: settings.domains,
        };
        let graph = Graph::build(training, &settings.cards, parts, &read);
        let (mut profiles, sim) = make(settings, &graph, training, &read)?;
        for (column, profile) in profiles.iter_mut().enumerate() {
            if !graph.knows(column) {
                profile.clear();
            }
        }
        let head = match settings.router {
            Reader::Sim => sim,
            Reader::TwoTower => Head::TwoTower(TwoTower::train(&profiles, training)?),
            Reader::Graph => Head::Bipartite(Bipartite::train(&profiles, training)?),
        };
        let text = |node: &usize| match &graph.nodes[*node] {
            node if node.text.is_empty() => Vec::new(),
            node => node.vector.clone(),
        };
        let mut trained = Self {
            columns: Columns::new(training.table().models().iter().cloned()),
            texts: graph.models.iter().map(text).collect(),
            profiles,
            dims: training.dims(),
            head,
            level: 0.0,
            slope: 1.0,
        };
        (trained.level, trained.slope) = trained.line(training);
        Ok(trained)
    }

    /// The profile of a model, as it was made; empty where nothing is known of it.
    pub fn profile(&self, model: &Name) -> &[f32] {
        self.columns
            .get(model)
            .map_or(&[], |column| &self.profiles[column])
    }

    /// A vector of the encoder; one of another length counts as all zeros.
    fn sized(&self, vector: &[f32]) -> Vec<f32> {
        if vector.len() == self.dims {
            vector.to_vec()
        } else {
            vec![0.0; self.dims]
        }
    }

    /// The line through the training outcomes over what the head says of them.
    fn line(&self, training: &Training<'_>) -> (f64, f64) {
        let ready: Vec<Option<Vec<f32>>> = self
            .profiles
            .iter()
            .map(|p| (!p.is_empty()).then(|| self.head.profile(p)))
            .collect();
        let (mut n, mut x, mut y, mut xx, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (row, features) in training.rows() {
            let query = self.head.query(&features.vector);
            for (profile, score) in ready.iter().zip(&row.scores) {
                if let (Some(profile), Some(quality)) = (profile, score) {
                    let (s, q) = (f64::from(self.head.score(&query, profile)), f64::from(*quality));
                    n += 1.0;
                    x += s;
                    y += q;
                    xx += s * s;
                    xy += s * q;
                }
            }
        }
        let spread = n * xx - x * x;
        let slope = if spread > 0.0 {
            (n * xy - x * y) / spread
        } else {
            0.0
        };
        let slope = slope.max(LEAST_SLOPE);
        (if n > 0.0 { (y - slope * x) / n } else { 0.5 }, slope)
    }
}

// === impl Head ===

impl Head {
    /// A query's vector as it is compared.
    fn query(&self, vector: &[f32]) -> Vec<f32> {
        match self {
            Self::Cosine => vector.to_vec(),
            Self::Tasks { gists } => {
                let near = |gist: &Vec<f32>| fingerpost_encode::dot(gist, vector) / NEARNESS;
                let mut near: Vec<f32> = gists.iter().map(near).collect();
                softmax(&mut near);
                near
            }
            Self::Whole => vec![1.0],
            Self::TwoTower(towers) => towers.query(vector),
            Self::Bipartite(net) => net.query(vector),
        }
    }

    /// A profile as it is compared.
    fn profile(&self, profile: &[f32]) -> Vec<f32> {
        match self {
            Self::Cosine => normalized(profile.to_vec()),
            Self::Tasks { .. } | Self::Whole => profile.to_vec(),
            Self::TwoTower(towers) => towers.profile(profile),
            Self::Bipartite(net) => net.profile(profile),
        }
    }

    /// How well the two go together.
    fn score(&self, query: &[f32], profile: &[f32]) -> f32 {
        match self {
            Self::Bipartite(net) => net.score(query, profile),
            _ => fingerpost_encode::dot(query, profile),
        }
    }
}

/// The profiles by column, and how `sim` reads them.
fn make(
    settings: &ProfileSettings,
    graph: &Graph,
    training: &Training<'_>,
    read: &dyn Fn(&str) -> Vec<f32>,
) -> Result<(Vec<Vec<f32>>, Head), TrainError> {
    let mut rng = SmallRng::seed_from_u64(training.seed);
    let columns = 0..graph.models.len();
    let structured = settings.organisation == Organisation::Structured;
    Ok(match settings.representation {
        Representation::Index => {
            let mut random = || (0..graph.dims).map(|_| rng.sample(StandardNormal)).collect();
            (columns.map(|_| normalized(random())).collect(), Head::Cosine)
        }
        Representation::Text if structured => {
            let texts = text::rewritten(graph, settings.hops);
            (texts.iter().map(|t| read(t)).collect(), Head::Cosine)
        }
        Representation::Text => {
            let texts = columns.map(|c| read(&text::flat(graph, c, &mut rng)));
            (texts.collect(), Head::Cosine)
        }
        Representation::Vector if !structured => (columns.map(|c| heap(graph, c)).collect(), Head::Cosine),
        Representation::Vector if settings.learning == Learning::Masked => {
            let profiles = masked::train(graph, settings.hops, settings.epochs, training)?;
            (profiles, Head::Cosine)
        }
        Representation::Vector => {
            let mut nodes = propagate::propagate(graph, settings.hops);
            let profiles = graph.models.iter().map(|n| std::mem::take(&mut nodes[*n]));
            (profiles.collect(), Head::Cosine)
        }
        Representation::Scores if structured && settings.hops > 0 && !graph.tasks.is_empty() => {
            let gists: Vec<Vec<f32>> = graph.tasks.iter().map(|t| masked::gist(graph, *t)).collect();
            (by_task(graph, &gists, settings.hops), Head::Tasks { gists })
        }
        Representation::Scores => (
            columns
                .map(|c| vec![mean_above(graph, graph.models[c])])
                .collect(),
            Head::Whole,
        ),
    })
}

/// The mean of a model's own vector and those of all its neighbours, whatever they are and whatever it scored.
fn heap(graph: &Graph, column: usize) -> Vec<f32> {
    let node = graph.models[column];
    let mut sum = graph.nodes[node].vector.clone();
    for link in &graph.links {
        if link.a == node {
            add(&mut sum, &graph.nodes[link.b].vector, 1.0);
        } else if link.b == node {
            add(&mut sum, &graph.nodes[link.a].vector, 1.0);
        }
    }
    normalized(sum)
}

/// How far a model is above the others, on average over all that it was judged at.
fn mean_above(graph: &Graph, node: usize) -> f32 {
    let judged = graph
        .links
        .iter()
        .filter(|l| l.score.is_some() && l.judged() == node);
    let (sum, count) = judged.fold((0.0, 0.0), |(s, c), l| (s + l.above, c + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

/// How far each model is above the others, task by task; what is not known is its mean. Every hop after the first takes up
/// what near tasks say.
fn by_task(graph: &Graph, gists: &[Vec<f32>], hops: usize) -> Vec<Vec<f32>> {
    let near: Vec<Vec<f32>> = gists
        .iter()
        .map(|gist| {
            let mut near: Vec<f32> = gists
                .iter()
                .map(|other| fingerpost_encode::dot(gist, other) / (2.0 * NEARNESS))
                .collect();
            softmax(&mut near);
            near
        })
        .collect();
    let of_model = |node: &usize| {
        let mut scores = vec![mean_above(graph, *node); gists.len()];
        for link in graph.of(Tie::ModelTask).filter(|l| l.a == *node) {
            if let Some(task) = graph.tasks.iter().position(|t| *t == link.b) {
                scores[task] = link.above;
            }
        }
        for _ in 1..hops {
            scores = near.iter().map(|n| fingerpost_encode::dot(n, &scores)).collect();
        }
        scores
    };
    graph.models.iter().map(of_model).collect()
}
