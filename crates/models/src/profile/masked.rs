//! Profiles that are trained: parts of the graph are hidden, and what is learned is to tell them from the rest.
//!
//! A layer a hop. At each a node takes up its own vector and, over each kind of link and direction, the mean of its neighbours'
//! vectors times the links' scores, each multiplied value by value with a learned gate (one a kind of node, one a kind of link and
//! direction); a learned offset a kind of node is added, and ELU taken of all but the last layer. Lengths are one at the end.
//!
//! Training hides 30 % of the nodes behind a learned vector a kind, 30 % of the links that have scores, and, once an epoch, all
//! outcomes of one model drawn at random, as if it were new. Loss: the mean square between hidden vectors and their values decoded
//! (a gate and an offset a kind), plus that between hidden scores and the cosine of the model's profile with the vector of the
//! query or task, both measured from the mean of the models there; values are drawn to those they begin with, which are plain
//! propagation. Adam. Card: `systems/24`, trainable.
//!
//! Differs from the heterogeneous attention network (HAN) there: gates of a value each stand for projections and attention
//! (some thousand parameters a layer instead of a million, trained in a second without a tensor library); the decoder of scores
//! is the cosine that `sim` routes by, not a network over both ends, so that what is trained is what is used; a whole model is
//! hidden at a time, since that is the case that profiles are for.

use std::ops::Range;

use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::{
    graph::{Graph, Kind, Link, Tie},
    net::{Adam, before_normalized, elu, elu_slope, length, normalized},
    propagate::{Way, add},
};
use crate::training::{TrainError, Training};

/// Share of nodes, and of links with scores, that are hidden.
const HIDDEN: f64 = 0.3;
/// Step length of Adam.
const RATE: f32 = 0.02;
/// Scores above the mean are small beside vectors of length one; messages that carry them are scaled by so much.
const GAIN: f32 = 10.0;
/// How strongly values are drawn to those of plain propagation.
const DRAWN: f32 = 3e-4;
/// How fast cosines grow into scores, to begin with.
const SLOPE: f32 = 3.0;
/// Ways that messages run: each kind of link in both directions.
const WAYS: usize = 2 * Tie::ALL.len();

/// The trained profile of every model, by column.
///
/// # Errors
/// [`TrainError::Stopped`] where whoever watches wants no more.
pub(crate) fn train(
    graph: &Graph,
    layers: usize,
    epochs: usize,
    training: &Training<'_>,
) -> Result<Vec<Vec<f32>>, TrainError> {
    let mut rng = SmallRng::seed_from_u64(training.seed);
    let net = Net::new(graph, layers);
    let begun = net.begin();
    let mut values = begun.clone();
    let mut adam = Adam::new(values.len(), RATE);
    for epoch in 0..epochs {
        training.report("training profiles", epoch, epochs)?;
        let hidden = Hidden::draw(graph, &mut rng);
        let mut gradient = net.gradient(&values, &hidden).1;
        let drawn = gradient.iter_mut().zip(&values).zip(&begun);
        drawn.for_each(|((g, v), b)| *g += DRAWN * (v - b));
        adam.step(&mut values, &gradient);
    }
    let last = net.forward(&values, &Hidden::nothing(graph)).outputs;
    let last = last.into_iter().last().unwrap_or_default();
    let profile = |node: &usize| normalized(last[*node].clone());
    Ok(graph.models.iter().map(profile).collect())
}

/// What is hidden in one epoch.
struct Hidden {
    nodes: Vec<bool>,
    links: Vec<bool>,
}

/// The shape of the network over one graph.
struct Net<'a> {
    graph: &'a Graph,
    layers: usize,
    /// The nodes of each kind; they stand side by side.
    kinds: [Range<usize>; Kind::COUNT],
    /// For each query and task with scores: its vector and its links.
    judges: Vec<(Vec<f32>, Vec<usize>)>,
}

/// What a pass through the network leaves behind for the way back.
struct Pass {
    ways: Vec<Way>,
    /// Vectors before the first layer and after each.
    outputs: Vec<Vec<Vec<f32>>>,
    /// Layer after layer, way after way, the message to each node of the receiving kind.
    messages: Vec<Vec<Vec<Vec<f32>>>>,
}

// === impl Hidden ===

impl Hidden {
    fn nothing(graph: &Graph) -> Self {
        Self {
            nodes: vec![false; graph.nodes.len()],
            links: vec![false; graph.links.len()],
        }
    }

    fn draw(graph: &Graph, rng: &mut SmallRng) -> Self {
        let nodes = graph.nodes.iter().map(|_| rng.random_bool(HIDDEN)).collect();
        let as_if_new = graph.models[rng.random_range(0..graph.models.len())];
        let hides = |l: &Link| {
            let by_chance = rng.random_bool(HIDDEN);
            l.score.is_some() && (by_chance || (l.tie == Tie::QueryModel && l.b == as_if_new))
        };
        Self {
            nodes,
            links: graph.links.iter().map(hides).collect(),
        }
    }
}

// === impl Net ===

impl<'a> Net<'a> {
    fn new(graph: &'a Graph, layers: usize) -> Self {
        let kinds = std::array::from_fn(|kind| {
            let of = |n: &super::graph::Node| n.kind as usize == kind;
            let first = graph.nodes.iter().position(of).unwrap_or(0);
            first..first + graph.nodes.iter().filter(|n| of(n)).count()
        });
        let mut links: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
        for (number, link) in graph.links.iter().enumerate() {
            if link.score.is_some() {
                links[link.judge()].push(number);
            }
        }
        let judges = links.into_iter().enumerate().filter(|(_, l)| l.len() > 1);
        Self {
            graph,
            layers,
            kinds,
            judges: judges.map(|(node, links)| (gist(graph, node), links)).collect(),
        }
    }

    /// Values of a layer: gates of nodes' own vectors, of ways, and offsets.
    fn layer(&self, layer: usize) -> usize {
        layer * (2 * Kind::COUNT + WAYS) * self.graph.dims
    }

    fn own(&self, layer: usize, kind: usize) -> Range<usize> {
        let start = self.layer(layer) + kind * self.graph.dims;
        start..start + self.graph.dims
    }

    fn way(&self, layer: usize, way: usize) -> Range<usize> {
        let start = self.layer(layer) + (Kind::COUNT + way) * self.graph.dims;
        start..start + self.graph.dims
    }

    fn offset(&self, layer: usize, kind: usize) -> Range<usize> {
        let start = self.layer(layer) + (Kind::COUNT + WAYS + kind) * self.graph.dims;
        start..start + self.graph.dims
    }

    /// What stands for hidden vectors (`part` 0), and gate (1) and offset (2) of the decoder.
    fn decoder(&self, part: usize, kind: usize) -> Range<usize> {
        let start = self.layer(self.layers) + (part * Kind::COUNT + kind) * self.graph.dims;
        start..start + self.graph.dims
    }

    /// Where the logarithm of the slope from cosines to scores is.
    fn slope(&self) -> usize {
        self.layer(self.layers) + 3 * Kind::COUNT * self.graph.dims
    }

    /// The values to begin with: plain propagation.
    fn begin(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.slope() + 1];
        for layer in 0..self.layers {
            for kind in 0..Kind::COUNT {
                values[self.own(layer, kind)].fill(1.0);
            }
            for way in 0..WAYS {
                values[self.way(layer, way)].fill(0.5);
            }
        }
        for kind in 0..Kind::COUNT {
            values[self.decoder(1, kind)].fill(1.0);
        }
        values[self.slope()] = SLOPE.ln();
        values
    }

    /// The links that are not hidden, each with its score over the number of links that its receiver has of this kind.
    fn ways(&self, hidden: &Hidden) -> Vec<Way> {
        let mut ways: Vec<Way> = vec![Vec::new(); WAYS];
        for (link, _) in self.graph.links.iter().zip(&hidden.links).filter(|(_, h)| !**h) {
            let weight = match link.score {
                Some(_) => GAIN * link.above,
                None => 1.0,
            };
            let way = 2 * link.tie as usize;
            ways[way].push((link.a, link.b, weight));
            ways[way + 1].push((link.b, link.a, weight));
        }
        let mut degrees = vec![0_f32; self.graph.nodes.len()];
        for way in &mut ways {
            degrees.fill(0.0);
            way.iter().for_each(|(_, to, _)| degrees[*to] += 1.0);
            way.iter_mut().for_each(|(_, to, weight)| *weight /= degrees[*to]);
        }
        ways
    }

    /// The kind that receives over a way.
    fn receiver(way: usize) -> usize {
        let (a, b) = Tie::ALL[way / 2].ends();
        (if way.is_multiple_of(2) { b } else { a }) as usize
    }

    fn forward(&self, values: &[f32], hidden: &Hidden) -> Pass {
        let input = |(node, hidden): (&super::graph::Node, &bool)| {
            if *hidden {
                values[self.decoder(0, node.kind as usize)].to_vec()
            } else {
                node.vector.clone()
            }
        };
        let first = self.graph.nodes.iter().zip(&hidden.nodes).map(input).collect();
        let mut pass = Pass {
            ways: self.ways(hidden),
            outputs: vec![first],
            messages: Vec::new(),
        };
        for layer in 0..self.layers {
            let now = &pass.outputs[layer];
            let messages = self.messages(&pass.ways, now);
            let mut next: Vec<Vec<f32>> = Vec::with_capacity(now.len());
            for (node, own) in self.graph.nodes.iter().zip(now) {
                let (gate, offset) = (
                    self.own(layer, node.kind as usize),
                    self.offset(layer, node.kind as usize),
                );
                let gated = own.iter().zip(&values[gate]).zip(&values[offset]);
                next.push(gated.map(|((o, g), b)| o * g + b).collect());
            }
            for (way, messages) in messages.iter().enumerate() {
                let gate = &values[self.way(layer, way)];
                for (message, to) in messages.iter().zip(self.kinds[Self::receiver(way)].clone()) {
                    let gated = next[to].iter_mut().zip(message).zip(gate);
                    gated.for_each(|((n, m), g)| *n += m * g);
                }
            }
            if layer + 1 < self.layers {
                next.iter_mut().flatten().for_each(|v| *v = elu(*v));
            }
            pass.messages.push(messages);
            pass.outputs.push(next);
        }
        pass
    }

    fn messages(&self, ways: &[Way], now: &[Vec<f32>]) -> Vec<Vec<Vec<f32>>> {
        let over = |(number, way): (usize, &Way)| {
            if way.is_empty() {
                return Vec::new();
            }
            let range = &self.kinds[Self::receiver(number)];
            let mut messages = vec![vec![0.0; self.graph.dims]; range.len()];
            for (from, to, weight) in way {
                add(&mut messages[to - range.start], &now[*from], *weight);
            }
            messages
        };
        ways.iter().enumerate().map(over).collect()
    }

    /// The loss and its gradient.
    fn gradient(&self, values: &[f32], hidden: &Hidden) -> (f32, Vec<f32>) {
        let pass = self.forward(values, hidden);
        let mut gradient = vec![0.0; values.len()];
        let last = &pass.outputs[self.layers];
        let mut back: Vec<Vec<f32>> = vec![vec![0.0; self.graph.dims]; last.len()];
        let loss = self.vectors_loss(values, hidden, last, &mut gradient, &mut back)
            + self.scores_loss(values, hidden, last, &mut gradient, &mut back);
        for layer in (0..self.layers).rev() {
            if layer + 1 < self.layers {
                let outputs = pass.outputs[layer + 1].iter().flatten();
                let all = back.iter_mut().flatten().zip(outputs);
                all.for_each(|(b, y)| *b *= elu_slope(*y));
            }
            back = self.layer_back(values, layer, &pass, &back, &mut gradient);
        }
        for ((node, hidden), back) in self.graph.nodes.iter().zip(&hidden.nodes).zip(&back) {
            if *hidden {
                add(&mut gradient[self.decoder(0, node.kind as usize)], back, 1.0);
            }
        }
        (loss, gradient)
    }

    /// From the gradient after a layer to that before it.
    fn layer_back(
        &self,
        values: &[f32],
        layer: usize,
        pass: &Pass,
        back: &[Vec<f32>],
        gradient: &mut [f32],
    ) -> Vec<Vec<f32>> {
        let now = &pass.outputs[layer];
        let mut before: Vec<Vec<f32>> = Vec::with_capacity(now.len());
        for ((node, own), back) in self.graph.nodes.iter().zip(now).zip(back) {
            let kind = node.kind as usize;
            add(&mut gradient[self.offset(layer, kind)], back, 1.0);
            let own_gate = &mut gradient[self.own(layer, kind)];
            own_gate
                .iter_mut()
                .zip(own)
                .zip(back)
                .for_each(|((g, o), b)| *g += o * b);
            let gate = &values[self.own(layer, kind)];
            before.push(back.iter().zip(gate).map(|(b, g)| b * g).collect());
        }
        for (way, messages) in pass.messages[layer].iter().enumerate() {
            if messages.is_empty() {
                continue;
            }
            let range = self.kinds[Self::receiver(way)].clone();
            let gate = &values[self.way(layer, way)];
            let into = &mut gradient[self.way(layer, way)];
            let mut gated: Vec<Vec<f32>> = Vec::with_capacity(range.len());
            for (message, to) in messages.iter().zip(range.clone()) {
                let products = into.iter_mut().zip(message).zip(&back[to]);
                products.for_each(|((g, m), b)| *g += m * b);
                gated.push(back[to].iter().zip(gate).map(|(b, g)| b * g).collect());
            }
            for (from, to, weight) in &pass.ways[way] {
                add(&mut before[*from], &gated[to - range.start], *weight);
            }
        }
        before
    }

    /// The mean square between hidden vectors and what is decoded for them.
    fn vectors_loss(
        &self,
        values: &[f32],
        hidden: &Hidden,
        last: &[Vec<f32>],
        gradient: &mut [f32],
        back: &mut [Vec<f32>],
    ) -> f32 {
        let count = hidden.nodes.iter().filter(|h| **h).count() * self.graph.dims;
        let share = 1.0 / count.max(1) as f32;
        let mut loss = 0.0;
        for (place, node) in self.graph.nodes.iter().enumerate() {
            if !hidden.nodes[place] {
                continue;
            }
            let (gate, offset) = (
                self.decoder(1, node.kind as usize),
                self.decoder(2, node.kind as usize),
            );
            for (i, x) in node.vector.iter().enumerate() {
                let y = last[place][i];
                let off = values[gate.start + i] * y + values[offset.start + i] - x;
                loss += share * off * off;
                let slope = 2.0 * share * off;
                gradient[gate.start + i] += slope * y;
                gradient[offset.start + i] += slope;
                back[place][i] += slope * values[gate.start + i];
            }
        }
        loss
    }

    /// The mean square between hidden scores and what the cosines say.
    fn scores_loss(
        &self,
        values: &[f32],
        hidden: &Hidden,
        last: &[Vec<f32>],
        gradient: &mut [f32],
        back: &mut [Vec<f32>],
    ) -> f32 {
        let models = self.kinds[Kind::Model as usize].clone();
        let units: Vec<Vec<f32>> = models.clone().map(|m| normalized(last[m].clone())).collect();
        let mut unit_back = vec![vec![0.0; self.graph.dims]; units.len()];
        let steepness = values[self.slope()].exp();
        let count = hidden.links.iter().filter(|h| **h).count();
        let share = 1.0 / count.max(1) as f32;
        let mut loss = 0.0;
        for (vector, links) in &self.judges {
            if !links.iter().any(|l| hidden.links[*l]) {
                continue;
            }
            let model = |l: &usize| self.graph.links[*l].judged() - models.start;
            let cosine = |l: &usize| fingerpost_encode::dot(&units[model(l)], vector);
            let mut cosines: Vec<f32> = links.iter().map(cosine).collect();
            from_mean(&mut cosines);
            let off = |(l, c): (&usize, &f32)| {
                if hidden.links[*l] {
                    steepness * c - self.graph.links[*l].above
                } else {
                    0.0
                }
            };
            let mut slopes: Vec<f32> = links.iter().zip(&cosines).map(off).collect();
            loss += share * slopes.iter().map(|o| o * o).sum::<f32>();
            slopes.iter_mut().for_each(|o| *o *= 2.0 * share);
            let along: f32 = slopes.iter().zip(&cosines).map(|(s, c)| s * c).sum();
            gradient[self.slope()] += steepness * along;
            from_mean(&mut slopes);
            for (l, slope) in links.iter().zip(&slopes) {
                add(&mut unit_back[model(l)], vector, steepness * slope);
            }
        }
        for ((unit, unit_back), node) in units.iter().zip(&unit_back).zip(models) {
            let through = before_normalized(unit, length(&last[node]), unit_back);
            add(&mut back[node], &through, 1.0);
        }
        loss
    }
}

/// The vector at which models are judged: a query's own; a task's own with those of its queries.
pub(crate) fn gist(graph: &Graph, node: usize) -> Vec<f32> {
    let mut gist = vec![0.0; graph.dims];
    let mut count = 0.0_f32;
    for link in graph.of(Tie::QueryTask).filter(|l| l.b == node) {
        add(&mut gist, &graph.nodes[link.a].vector, 1.0);
        count += 1.0;
    }
    add(&mut gist, &graph.nodes[node].vector, count.max(1.0));
    normalized(gist)
}

fn from_mean(values: &mut [f32]) {
    let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
    values.iter_mut().for_each(|v| *v -= mean);
}

#[cfg(test)]
mod tests;
