//! Profiles in words: what is known of a model, written out and then encoded.
//!
//! `flat`: the description with the names of some neighbours. Structured: at every hop each node's text is written anew, from its
//! own first text and the texts of its best three neighbours over each kind of link, with their scores; so after two hops a
//! model's text tells what is asked in the tasks that it is good at. Card: `systems/24`, text-GNN.
//!
//! Differs: a template writes, where the paper asks a language model. Neighbours' texts are clipped, since what stands late in a
//! long text would be lost in its vector.

use std::fmt::Write;

use rand::{rngs::SmallRng, seq::SliceRandom};

use super::graph::{Graph, Link, Tie};

/// Neighbours that are named over one kind of link.
const NAMED: usize = 3;
/// Neighbours that a flat text names.
const SAMPLED: usize = 5;
/// Characters of a neighbour's text.
const CLIP: usize = 160;

/// The description of a model with the names of some neighbours, drawn at random; queries have no name worth telling.
pub(crate) fn flat(graph: &Graph, column: usize, rng: &mut SmallRng) -> String {
    let node = graph.models[column];
    let named = graph.links.iter().filter(|l| l.tie != Tie::QueryModel);
    let mut neighbours: Vec<usize> = named.filter_map(|l| other(l, node)).collect();
    neighbours.shuffle(rng);
    let names: Vec<&str> = neighbours
        .iter()
        .take(SAMPLED)
        .map(|n| graph.nodes[*n].name.as_str())
        .collect();
    format!("{} Related: {}.", graph.nodes[node].text, names.join(", "))
}

/// The text of every model, by column, after so many hops.
pub(crate) fn rewritten(graph: &Graph, hops: usize) -> Vec<String> {
    let neighbours: Vec<Vec<&Link>> = (0..graph.nodes.len()).map(|n| best(graph, n)).collect();
    let mut now: Vec<String> = graph.nodes.iter().map(|n| n.text.clone()).collect();
    for _ in 0..hops {
        now = (0..now.len())
            .map(|node| write(graph, node, &neighbours[node], &now))
            .collect();
    }
    graph.models.iter().map(|n| now[*n].clone()).collect()
}

/// The links to a node's best neighbours over each kind of link: by how far the score stands out; in order where there is none.
fn best(graph: &Graph, node: usize) -> Vec<&Link> {
    let mut best = Vec::new();
    for tie in Tie::ALL {
        let mut links: Vec<&Link> = graph.of(tie).filter(|l| other(l, node).is_some()).collect();
        links.sort_by(|a, b| b.weight().total_cmp(&a.weight()));
        best.extend(links.into_iter().filter(|l| l.weight() > 0.0).take(NAMED));
    }
    best
}

fn write(graph: &Graph, node: usize, links: &[&Link], now: &[String]) -> String {
    let mut text = graph.nodes[node].text.clone();
    let mut last = None;
    for link in links {
        let Some(neighbour) = other(link, node) else {
            continue;
        };
        let opening = if last.replace(link.tie) == Some(link.tie) {
            ";"
        } else {
            opening(link.tie, node == link.a)
        };
        let name = match link.tie {
            Tie::QueryModel | Tie::QueryTask => "",
            _ => &graph.nodes[neighbour].name,
        };
        // Writing to a string does not fail.
        let _ = write!(text, "{opening} {name}");
        if let (Some(score), Tie::ModelTask) = (link.score, link.tie) {
            let _ = write!(text, " ({score:.2})");
        }
        let _ = write!(text, " {}", clip(&now[neighbour]));
    }
    text
}

/// How a list of neighbours begins; `first` tells at which end of the link the text stands.
fn opening(tie: Tie, first: bool) -> &'static str {
    match (tie, first) {
        (Tie::FamilyModel, true) => ". Models:",
        (Tie::FamilyModel, false) => ". Of the family",
        (Tie::ModelTask, true) => ". Better than others at",
        (Tie::QueryModel, false) => ". Answered well:",
        (Tie::ModelTask, false) | (Tie::QueryModel, true) => ". Best answered by",
        (Tie::TaskDomain, true) => ". Part of",
        (Tie::TaskDomain, false) => ". Tasks:",
        (Tie::QueryTask, true) => ". A question of",
        (Tie::QueryTask, false) => ". Questions such as",
    }
}

fn other(link: &Link, node: usize) -> Option<usize> {
    match node {
        n if n == link.a => Some(link.b),
        n if n == link.b => Some(link.a),
        _ => None,
    }
}

fn clip(text: &str) -> &str {
    text.char_indices()
        .nth(CLIP)
        .map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::{
        profile::graph::{Cards, ModelCard, Parts, tests::table},
        training::Training,
    };

    #[test]
    fn a_models_text_takes_in_what_it_is_better_at() {
        let (table, features) = table();
        let training = Training::new(&table, &features, 1, &|_, _, _| true).unwrap();
        let card = ModelCard {
            description: "An old model".to_owned(),
            ..ModelCard::default()
        };
        let cards = Cards {
            models: [("llama-a".into(), card)].into(),
            tasks: [("sums".into(), "Adding numbers".to_owned())].into(),
            ..Cards::default()
        };
        let parts = Parts {
            queries: true,
            domains: false,
        };
        let graph = Graph::build(&training, &cards, parts, &|_| vec![0.0, 0.0]);
        let once = &rewritten(&graph, 1)[0];
        assert_eq!(
            once,
            "An old model. Of the family llama llama models. Better than others at sums (0.75) Adding numbers. \
             Answered well:  sums"
        );
        let twice = &rewritten(&graph, 2)[0];
        assert!(
            twice.contains("Adding numbers. Best answered by llama-a"),
            "{twice}"
        );
        let flat = flat(&graph, 0, &mut SmallRng::seed_from_u64(1));
        assert!(
            flat.starts_with("An old model Related: ") && flat.contains("sums"),
            "{flat}"
        );
        assert_eq!(clip(&"\u{e4}".repeat(200)).chars().count(), CLIP);
    }
}
