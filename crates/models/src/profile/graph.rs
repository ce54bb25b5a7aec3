//! The graph that profiles are made from: families, models, tasks, domains and queries, and what ties them.
//!
//! | link | weight |
//! | --- | --- |
//! | family, model | none |
//! | model, task | published score, or the mean logged one of a task for which none is published |
//! | task, domain | none |
//! | query, task | none |
//! | query, model | logged score |
//!
//! A score that is not known makes no link. Scores count by how far they stand above the mean of the models at the same task or
//! query. (The paper scales them from 0 to 1 over all links of a kind; then a profile says which queries a model was asked rather
//! than where it is better than the others.)

use std::collections::BTreeMap;

use fingerpost_core::Name;
use serde::{Deserialize, Serialize};

use crate::{outcomes::Logged, predictor::Columns, training::Training};

/// What the caller knows of models, tasks and domains beyond logged outcomes. All of it may be absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cards {
    /// Models, by name. One without a card has an empty one.
    pub models: BTreeMap<Name, ModelCard>,
    /// What each task is, by its name.
    pub tasks: BTreeMap<Name, String>,
    /// The tasks of each domain.
    pub domains: BTreeMap<Name, Vec<Name>>,
}

/// What is known of a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelCard {
    /// In words.
    pub description: String,
    /// Its family; by default what its name begins with ([`family_of`]).
    pub family: Option<Name>,
    /// Published scores by task, 0 to 1.
    pub scores: BTreeMap<Name, f64>,
}

/// What a node stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Family,
    Model,
    Task,
    Domain,
    Query,
}

/// What is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tie {
    FamilyModel,
    ModelTask,
    TaskDomain,
    QueryTask,
    QueryModel,
}

/// A thing with its text and that text's vector.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) text: String,
    /// Of length one, or all zeros where there is nothing to encode.
    pub(crate) vector: Vec<f32>,
}

/// A link between two nodes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) tie: Tie,
    pub(crate) a: usize,
    pub(crate) b: usize,
    /// The score as it is known, 0 to 1; `None` where the tie has none.
    pub(crate) score: Option<f32>,
    /// How far the score stands above the mean of the models at the same task or query.
    pub(crate) above: f32,
}

/// The graph.
#[derive(Debug, Clone)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) links: Vec<Link>,
    /// The node of each model, by column.
    pub(crate) models: Vec<usize>,
    /// The tasks' nodes.
    pub(crate) tasks: Vec<usize>,
    pub(crate) dims: usize,
}

/// What is left out of the graph or taken in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts {
    pub(crate) queries: bool,
    pub(crate) domains: bool,
}

/// The family that a model's name speaks of: its first run of letters (`llama-3.1-8b` is of `llama`).
pub(crate) fn family_of(name: &str) -> &str {
    let end = name.find(|c: char| !c.is_alphabetic()).unwrap_or(name.len());
    if end == 0 { name } else { &name[..end] }
}

// === impl Kind ===

impl Kind {
    pub(crate) const COUNT: usize = 5;
}

// === impl Tie ===

impl Tie {
    pub(crate) const ALL: [Self; 5] = [
        Self::FamilyModel,
        Self::ModelTask,
        Self::TaskDomain,
        Self::QueryTask,
        Self::QueryModel,
    ];

    /// The kinds of its two ends.
    pub(crate) fn ends(self) -> (Kind, Kind) {
        match self {
            Self::FamilyModel => (Kind::Family, Kind::Model),
            Self::ModelTask => (Kind::Model, Kind::Task),
            Self::TaskDomain => (Kind::Task, Kind::Domain),
            Self::QueryTask => (Kind::Query, Kind::Task),
            Self::QueryModel => (Kind::Query, Kind::Model),
        }
    }
}

// === impl Graph ===

impl Graph {
    /// The graph of logged outcomes and cards. `read` gives the vector of a text.
    pub(crate) fn build(
        training: &Training<'_>,
        cards: &Cards,
        parts: Parts,
        read: &dyn Fn(&str) -> Vec<f32>,
    ) -> Self {
        let mut graph = Self {
            nodes: Vec::new(),
            links: Vec::new(),
            models: Vec::new(),
            tasks: Vec::new(),
            dims: training.dims(),
        };
        let models = training.table().models();
        for model in models {
            let text = cards.models.get(model).map_or("", |c| &c.description);
            let node = graph.node(Kind::Model, model, text, read);
            graph.models.push(node);
        }
        graph.add_families(models, cards, read);
        let tasks = graph.add_tasks(training, cards, read);
        graph.add_scores(training, cards, &tasks);
        if parts.domains {
            graph.add_domains(cards, &tasks, read);
        }
        if parts.queries {
            graph.add_queries(training, &tasks);
        }
        graph.measure_from_means();
        graph
    }

    /// The links of a tie.
    pub(crate) fn of(&self, tie: Tie) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(move |l| l.tie == tie)
    }

    /// Whether anything at all is known of the model of this column: a description or a score.
    pub(crate) fn knows(&self, column: usize) -> bool {
        let node = self.models[column];
        let scored = |l: &Link| l.score.is_some() && (l.a == node || l.b == node);
        !self.nodes[node].text.is_empty() || self.links.iter().any(scored)
    }

    fn node(&mut self, kind: Kind, name: &str, text: &str, read: &dyn Fn(&str) -> Vec<f32>) -> usize {
        let vector = if text.is_empty() {
            vec![0.0; self.dims]
        } else {
            read(text)
        };
        self.nodes.push(Node {
            kind,
            name: name.to_owned(),
            text: text.to_owned(),
            vector,
        });
        self.nodes.len() - 1
    }

    fn link(&mut self, tie: Tie, a: usize, b: usize, score: Option<f32>) {
        let above = 0.0;
        self.links.push(Link {
            tie,
            a,
            b,
            score,
            above,
        });
    }

    fn add_families(&mut self, models: &[Name], cards: &Cards, read: &dyn Fn(&str) -> Vec<f32>) {
        let mut nodes: BTreeMap<String, usize> = BTreeMap::new();
        for (column, model) in models.iter().enumerate() {
            let named = cards.models.get(model).and_then(|c| c.family.as_deref());
            let family = named.unwrap_or_else(|| family_of(model));
            let node = match nodes.get(family) {
                Some(node) => *node,
                None => self.node(Kind::Family, family, &format!("{family} models"), read),
            };
            nodes.insert(family.to_owned(), node);
            self.link(Tie::FamilyModel, node, self.models[column], None);
        }
    }

    fn add_tasks(
        &mut self,
        training: &Training<'_>,
        cards: &Cards,
        read: &dyn Fn(&str) -> Vec<f32>,
    ) -> Columns {
        let named = training.rows().filter_map(|(row, _)| row.task.clone());
        let tasks = Columns::new(named.chain(cards.tasks.keys().cloned()));
        for task in tasks.names() {
            let text = cards.tasks.get(task).map_or("", String::as_str);
            let node = self.node(Kind::Task, task, text, read);
            self.tasks.push(node);
        }
        tasks
    }

    /// Models and tasks: what is published; of a task for which nothing is, the logged means.
    fn add_scores(&mut self, training: &Training<'_>, cards: &Cards, tasks: &Columns) {
        let models = training.table().models();
        let logged = means_by_task(training, tasks, models.len());
        for (task, name) in tasks.names().iter().enumerate() {
            let published = |model| {
                let card: Option<&ModelCard> = cards.models.get(model);
                card.and_then(|c| c.scores.get(name)).map(|s| *s as f32)
            };
            let scores: Vec<Option<f32>> = models.iter().map(published).collect();
            let none = scores.iter().all(Option::is_none);
            for column in 0..models.len() {
                let score = if none {
                    logged[task][column]
                } else {
                    scores[column]
                };
                if let Some(score) = score {
                    self.link(Tie::ModelTask, self.models[column], self.tasks[task], Some(score));
                }
            }
        }
    }

    fn add_domains(&mut self, cards: &Cards, tasks: &Columns, read: &dyn Fn(&str) -> Vec<f32>) {
        for (domain, of) in &cards.domains {
            let node = self.node(Kind::Domain, domain, domain, read);
            for task in of.iter().filter_map(|t| tasks.get(t)) {
                self.link(Tie::TaskDomain, self.tasks[task], node, None);
            }
        }
    }

    fn add_queries(&mut self, training: &Training<'_>, tasks: &Columns) {
        for (row, features) in training.rows() {
            self.nodes.push(Node {
                kind: Kind::Query,
                name: row.id.clone(),
                text: row.text.clone(),
                vector: features.vector.clone(),
            });
            let node = self.nodes.len() - 1;
            if let Some(task) = row.task.as_ref().and_then(|t| tasks.get(t)) {
                self.link(Tie::QueryTask, node, self.tasks[task], None);
            }
            for (column, score) in known(row) {
                self.link(Tie::QueryModel, node, self.models[column], Some(score));
            }
        }
    }

    /// Sets by how much each score is above the mean of all at the same task or query.
    fn measure_from_means(&mut self) {
        let mut sums = vec![(0_f32, 0_f32); self.nodes.len()];
        for link in &self.links {
            if let Some(score) = link.score {
                let sum = &mut sums[link.judge()];
                *sum = (sum.0 + score, sum.1 + 1.0);
            }
        }
        for link in &mut self.links {
            if let Some(score) = link.score {
                let (sum, count) = sums[link.judge()];
                link.above = score - sum / count;
            }
        }
    }
}

// === impl Link ===

impl Link {
    /// The end at which a model was judged: the task or the query. The first end of a link without a score.
    pub(crate) fn judge(&self) -> usize {
        if self.tie == Tie::ModelTask {
            self.b
        } else {
            self.a
        }
    }

    /// The model's end of a link with a score.
    pub(crate) fn judged(&self) -> usize {
        if self.tie == Tie::ModelTask {
            self.a
        } else {
            self.b
        }
    }

    /// What a message over the link is multiplied by.
    pub(crate) fn weight(&self) -> f32 {
        if self.score.is_some() { self.above } else { 1.0 }
    }
}

fn known(row: &Logged) -> impl Iterator<Item = (usize, f32)> {
    let scores = row.scores.iter().enumerate();
    scores.filter_map(|(column, score)| Some((column, (*score)?)))
}

fn means_by_task(training: &Training<'_>, tasks: &Columns, models: usize) -> Vec<Vec<Option<f32>>> {
    let mut sums = vec![vec![(0_f32, 0_f32); models]; tasks.len()];
    for (row, _) in training.rows() {
        if let Some(task) = row.task.as_ref().and_then(|t| tasks.get(t)) {
            for (column, score) in known(row) {
                let sum = &mut sums[task][column];
                *sum = (sum.0 + score, sum.1 + 1.0);
            }
        }
    }
    let mean = |(sum, count): (f32, f32)| (count > 0.0).then_some(sum / count);
    sums.into_iter()
        .map(|of| of.into_iter().map(mean).collect())
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{features::Features, outcomes::OutcomeTable};

    /// Two queries of one task and one of another; the third model has no outcome.
    pub(crate) fn table() -> (OutcomeTable, Vec<Features>) {
        let mut table = OutcomeTable::new(["llama-a".into(), "llama-b".into(), "new".into()]).unwrap();
        let rows: [(&str, [Option<f32>; 3]); 3] = [
            ("sums", [Some(1.0), Some(0.0), None]),
            ("sums", [Some(0.5), None, None]),
            ("poems", [Some(0.0), Some(1.0), None]),
        ];
        for (i, (task, scores)) in rows.into_iter().enumerate() {
            let row = Logged {
                task: Some(task.into()),
                scores: scores.to_vec(),
                ..Logged::query(i.to_string(), task)
            };
            table.push(row).unwrap();
        }
        let features = [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]].map(|v| Features {
            vector: v.to_vec(),
            ..Features::default()
        });
        (table, features.to_vec())
    }

    fn graph(cards: &Cards, parts: Parts) -> Graph {
        let (table, features) = table();
        let training = Training::new(&table, &features, 1, &|_, _, _| true).unwrap();
        Graph::build(&training, cards, parts, &|_| vec![0.0, 1.0])
    }

    const ALL: Parts = Parts {
        queries: true,
        domains: true,
    };

    #[test]
    fn scores_count_from_the_mean_at_their_task_or_query() {
        let graph = graph(&Cards::default(), ALL);
        let above = |tie| graph.of(tie).map(|l| l.above).collect::<Vec<f32>>();
        // sums: 0.75 and 0; poems: 0 and 1. Queries: 1 and 0; 0.5 alone; 0 and 1.
        assert_eq!(above(Tie::ModelTask), [0.375, -0.375, -0.5, 0.5]);
        assert_eq!(above(Tie::QueryModel), [0.5, -0.5, 0.0, -0.5, 0.5]);
        assert_eq!(graph.of(Tie::FamilyModel).count(), 3);
        assert_eq!(
            graph.nodes.iter().filter(|n| n.kind == Kind::Family).count(),
            2,
            "llama and new"
        );
        assert!(graph.knows(0) && !graph.knows(2));
    }

    #[test]
    fn published_scores_stand_for_logged_ones_and_parts_can_be_left_out() {
        let card = ModelCard {
            description: "adds".to_owned(),
            scores: [("sums".into(), 0.9)].into(),
            ..ModelCard::default()
        };
        let cards = Cards {
            models: [("new".into(), card)].into(),
            tasks: [("proofs".into(), "prove it".to_owned())].into(),
            domains: [("maths".into(), vec!["sums".into(), "proofs".into()])].into(),
        };
        let parts = Parts {
            queries: false,
            domains: false,
        };
        let bare = graph(&cards, parts);
        let scores: Vec<Option<f32>> = bare.of(Tie::ModelTask).map(|l| l.score).collect();
        assert_eq!(
            scores,
            [Some(0.9), Some(0.0), Some(1.0)],
            "of sums what is published alone"
        );
        assert!(bare.knows(2) && bare.of(Tie::QueryModel).next().is_none());
        assert_eq!(graph(&cards, ALL).of(Tie::TaskDomain).count(), 2);
        assert_eq!((family_of("llama-3.1"), family_of("4o")), ("llama", "4o"));
    }
}
