//! `graph`: queries and models as the two sides of a graph, whose missing links are predicted.
//!
//! Both sides are projected to the same 48 values: `q` and `m`. The query takes up half of the models' vectors, each by how
//! much it attends to it (softmax of `q·m / √48` over the trained models). A link's logit is `q·m + w·elu(q + m) + b`. Trained on
//! queries at which models differ: every best model has the label 1, the others 0; binary cross entropy. Card: `systems/24`,
//! GraphRouter.
//!
//! Differs: one step of attention instead of two layers with four heads, from models to the query only (a profile already holds
//! its queries), and its weights are held fixed while a step is taken.

use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};
use serde::{Deserialize, Serialize};

use super::{
    net::{Adam, Layer, elu, elu_slope, passes, sigmoid},
    propagate::add,
};
use crate::training::{TrainError, Training};

const WIDTH: usize = 48;
const EPOCHS: usize = 40;
/// Queries a step.
const BATCH: usize = 32;
const RATE: f32 = 1e-3;
/// How much of what a query attends to it takes up.
const TAKEN: f32 = 0.5;

/// The projections, the head, and the models that queries attend to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Bipartite {
    queries: Layer,
    profiles: Layer,
    /// `w` and then `b`.
    head: Vec<f32>,
    models: Vec<Vec<f32>>,
}

/// A query's vector, and a label for each model that is learned from.
type Labelled<'a> = (&'a [f32], Vec<(usize, f32)>);

// === impl Bipartite ===

impl Bipartite {
    /// Trains on the profiles by column; models with an empty one are left out.
    ///
    /// # Errors
    /// [`TrainError::Stopped`] where whoever watches wants no more.
    pub(crate) fn train(profiles: &[Vec<f32>], training: &Training<'_>) -> Result<Self, TrainError> {
        let mut rng = SmallRng::seed_from_u64(training.seed);
        let width = profiles.iter().map(Vec::len).max().unwrap_or(0);
        let mut net = Self {
            queries: Layer::random(training.dims(), WIDTH, &mut rng),
            profiles: Layer::random(width, WIDTH, &mut rng),
            head: vec![0.0; WIDTH + 1],
            models: Vec::new(),
        };
        let mut adams = [
            Adam::new(net.queries.values.len(), RATE),
            Adam::new(net.profiles.values.len(), RATE),
            Adam::new(net.head.len(), RATE),
        ];
        let mut rows: Vec<Labelled<'_>> = training
            .rows()
            .map(|(row, features)| (&features.vector[..], labels(&row.scores, profiles)))
            .filter(|(_, labels)| !labels.is_empty())
            .collect();
        let epochs = passes(EPOCHS, rows.len(), BATCH);
        for epoch in 0..epochs {
            training.report("training links", epoch, epochs)?;
            rows.shuffle(&mut rng);
            for batch in rows.chunks(BATCH) {
                net.models = net.project(profiles);
                let slopes = net.gradient(profiles, batch);
                let values = [&mut net.queries.values, &mut net.profiles.values, &mut net.head];
                for ((adam, values), slopes) in adams.iter_mut().zip(values).zip(&slopes) {
                    adam.step(values, slopes);
                }
            }
        }
        net.models = net.project(profiles);
        Ok(net)
    }

    fn project(&self, profiles: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let known = profiles.iter().filter(|p| !p.is_empty());
        known.map(|p| self.profile(p)).collect()
    }

    /// The mean gradient over a batch, for each set of parameters.
    fn gradient(&self, profiles: &[Vec<f32>], batch: &[Labelled<'_>]) -> [Vec<f32>; 3] {
        let mut slopes = [
            vec![0.0; self.queries.values.len()],
            vec![0.0; self.profiles.values.len()],
            vec![0.0; self.head.len()],
        ];
        // Places among the models with a profile.
        let known: Vec<usize> = (0..profiles.len()).filter(|m| !profiles[*m].is_empty()).collect();
        let mut backs = vec![vec![0.0; WIDTH]; known.len()];
        let share = 1.0 / batch.iter().map(|(_, l)| l.len()).sum::<usize>().max(1) as f32;
        for (vector, labels) in batch {
            let (query, attention) = self.attend(vector);
            let mut back = vec![0.0; WIDTH];
            for (model, label) in labels {
                let Some(place) = known.iter().position(|k| k == model) else {
                    continue;
                };
                let model = &self.models[place];
                let off = share * (sigmoid(self.score(&query, model)) - label);
                for i in 0..WIDTH {
                    let y = elu(query[i] + model[i]);
                    let both = off * self.head[i] * elu_slope(y);
                    slopes[2][i] += off * y;
                    back[i] += off * model[i] + both;
                    backs[place][i] += off * query[i] + both;
                }
                slopes[2][WIDTH] += off;
            }
            for (to, weight) in backs.iter_mut().zip(&attention) {
                add(to, &back, TAKEN * weight);
            }
            self.queries.back(vector, &back, &mut slopes[0]);
        }
        for (model, back) in known.iter().zip(&backs) {
            self.profiles.back(&profiles[*model], back, &mut slopes[1]);
        }
        slopes
    }

    /// A query's vector after it attended to the models, and how much to each.
    fn attend(&self, vector: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let mut query = self.queries.apply(vector);
        let scale = 1.0 / (WIDTH as f32).sqrt();
        let nearness = |m: &Vec<f32>| scale * fingerpost_encode::dot(&query, m);
        let mut attention: Vec<f32> = self.models.iter().map(nearness).collect();
        softmax(&mut attention);
        for (model, weight) in self.models.iter().zip(&attention) {
            add(&mut query, model, TAKEN * weight);
        }
        (query, attention)
    }

    pub(crate) fn query(&self, query: &[f32]) -> Vec<f32> {
        self.attend(query).0
    }

    pub(crate) fn profile(&self, profile: &[f32]) -> Vec<f32> {
        self.profiles.apply(profile)
    }

    /// The logit of a link.
    pub(crate) fn score(&self, query: &[f32], model: &[f32]) -> f32 {
        let both = query.iter().zip(model).zip(&self.head);
        let joint: f32 = both.map(|((q, m), w)| q * m + w * elu(q + m)).sum();
        joint + self.head[WIDTH]
    }
}

/// Brings values to positive ones of sum one, each growing with its exponential.
pub(crate) fn softmax(values: &mut [f32]) {
    let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    values.iter_mut().for_each(|v| *v = (*v - most).exp());
    let sum: f32 = values.iter().sum();
    values.iter_mut().for_each(|v| *v /= sum);
}

/// The best models with 1 and the others with 0; nobody where all are alike.
fn labels(scores: &[Option<f32>], profiles: &[Vec<f32>]) -> Vec<(usize, f32)> {
    let known = || {
        let scores = scores.iter().enumerate();
        scores.filter_map(|(m, s)| Some((m, (*s).filter(|_| !profiles[m].is_empty())?)))
    };
    let best = known().map(|k| k.1).fold(f32::NEG_INFINITY, f32::max);
    if known().all(|k| k.1 >= best) {
        return Vec::new();
    }
    known()
        .map(|(m, s)| (m, f32::from(u8::from(s >= best))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::graph::tests::table;

    fn trained() -> (Bipartite, Vec<Vec<f32>>, Vec<Vec<f32>>) {
        let (table, features) = table();
        let training = Training::new(&table, &features, 3, &|_, _, _| true).unwrap();
        let profiles = vec![vec![1.0, 0.0], vec![0.0, 1.0], Vec::new()];
        let net = Bipartite::train(&profiles, &training).unwrap();
        (net, profiles, features.into_iter().map(|f| f.vector).collect())
    }

    #[test]
    fn it_learns_who_is_best_where() {
        let (net, profiles, queries) = trained();
        let score = |query: usize, model: usize| {
            net.score(&net.query(&queries[query]), &net.profile(&profiles[model]))
        };
        assert!(score(0, 0) > score(0, 1) && score(2, 1) > score(2, 0));
    }

    #[test]
    fn gradients_of_the_head_are_those_of_finite_differences() {
        let (net, profiles, queries) = trained();
        let batch = [(&queries[1][..], vec![(0, 1.0), (1, 0.0)])];
        let loss = |net: &Bipartite| {
            let query = net.query(&queries[1]);
            let of = |(m, label): &(usize, f32)| {
                let p = sigmoid(net.score(&query, &net.models[*m]));
                -(label * p.ln() + (1.0 - label) * (1.0 - p).ln()) / 2.0
            };
            batch[0].1.iter().map(of).sum::<f32>()
        };
        let slopes = net.gradient(&profiles, &batch);
        for (place, expected) in slopes[2].iter().enumerate() {
            let mut moved = net.clone();
            moved.head[place] += 1e-2;
            let slope = (loss(&moved) - loss(&net)) / 1e-2;
            assert!((slope - expected).abs() < 5e-3, "{slope} {expected}");
        }
    }

    #[test]
    fn labels_are_of_the_best_and_only_where_models_differ() {
        let profiles = vec![vec![1.0]; 3];
        assert!(labels(&[Some(1.0), Some(1.0), None], &profiles).is_empty());
        let found = labels(&[Some(1.0), Some(0.2), Some(1.0)], &profiles);
        assert_eq!(found, [(0, 1.0), (1, 0.0), (2, 1.0)]);
    }
}
