//! What a corrector sees of a pair of category and item.
//!
//! Without texts: where else the item stands (parent, children, siblings, and other facets whose items or names are like the
//! category's). With texts also: cosine to the name, to the centre of the category's other items and to the nearest sibling's,
//! and the share of the name's words that the text holds. Card 54.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Evidence, Taxonomy, correct::CorrectError, naming};

/// Features of a pair without texts.
pub(super) const WITHOUT_TEXTS: usize = 19;
/// Features of a pair with texts.
pub(super) const WITH_TEXTS: usize = WITHOUT_TEXTS + 5;

/// Kinds of pairs.
pub(super) const KINDS: usize = 8;

/// All pairs of a taxonomy, ready to be described.
pub(super) struct Pairs<'a> {
    nodes: Vec<Node>,
    items: usize,
    /// Categories of each item.
    places: Vec<Vec<usize>>,
    /// Items that two categories share.
    shared: FxHashMap<(usize, usize), f64>,
    /// How alike two categories' names are, where they are at all.
    names: FxHashMap<(usize, usize), f64>,
    evidence: Option<(Evidence<'a>, Vec<Centre>, Vec<FxHashSet<String>>)>,
}

/// What was thought of a pair before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Before {
    /// Whether it stood at the very beginning.
    pub(super) held: bool,
    /// Log odds of the last judgement; 0 where there was none.
    pub(super) log_odds: f64,
}

struct Node {
    depth: usize,
    parent: Option<usize>,
    children: Vec<usize>,
    siblings: Vec<usize>,
    /// Itself, all above and all below.
    line: FxHashSet<usize>,
    holds: Vec<bool>,
    size: f64,
    words: FxHashSet<String>,
}

/// The sum of a category's vectors.
struct Centre {
    sum: Vec<f32>,
    square: f32,
}

// === impl Pairs ===

impl<'a> Pairs<'a> {
    pub(super) fn new(taxonomy: &Taxonomy, evidence: Option<Evidence<'a>>) -> Result<Self, CorrectError> {
        let items = taxonomy.items as usize;
        let nodes = nodes(taxonomy);
        let mut places = vec![Vec::new(); items];
        for (place, node) in nodes.iter().enumerate() {
            for (item, _) in node.holds.iter().enumerate().filter(|(_, holds)| **holds) {
                places[item].push(place);
            }
        }
        let mut shared: FxHashMap<(usize, usize), f64> = FxHashMap::default();
        for places in &places {
            for &a in places {
                for &b in places {
                    *shared.entry((a, b)).or_default() += 1.0;
                }
            }
        }
        let evidence = match evidence {
            None => None,
            Some(evidence) => {
                check(&evidence, items, nodes.len())?;
                let centres = nodes.iter().map(|node| Centre::of(node, &evidence)).collect();
                let words = evidence
                    .texts
                    .iter()
                    .map(|text| naming::terms(text).collect())
                    .collect();
                Some((evidence, centres, words))
            }
        };
        Ok(Self {
            names: names(&nodes),
            nodes,
            items,
            places,
            shared,
            evidence,
        })
    }

    /// Which of the [`KINDS`] a pair is of: standing or not, the category with or without a parent, with or without children.
    pub(super) fn kind(&self, place: usize, item: u32) -> usize {
        let node = &self.nodes[place];
        4 * usize::from(node.holds[item as usize])
            + 2 * usize::from(node.parent.is_none())
            + usize::from(node.children.is_empty())
    }

    /// Whether the item so many numbers on stands in the category; its share where there is no such item.
    fn beside(&self, node: &Node, item: u32, step: i64) -> f64 {
        let at = usize::try_from(i64::from(item) + step).ok();
        at.and_then(|at| node.holds.get(at))
            .map_or(node.size / self.items.max(1) as f64, |&holds| {
                f64::from(u8::from(holds))
            })
    }

    /// How much the item keeps company with the category's other items elsewhere: the mean share of the categories off the
    /// category's line in which they meet, less what it is with all items.
    fn company(&self, place: usize, at: usize) -> f64 {
        let node = &self.nodes[place];
        let (mut met, mut all, mut count) = (0.0, 0.0, 0.0);
        for &other in self.places[at].iter().filter(|other| !node.line.contains(*other)) {
            let held = f64::from(u8::from(node.holds[at]));
            let size = self.nodes[other].size - 1.0;
            let both = self.shared.get(&(place, other)).copied().unwrap_or(0.0) - held;
            met += both / (node.size - held).max(1.0);
            all += size / (self.items as f64 - 1.0).max(1.0);
            count += 1.0;
        }
        if count > 0.0 { (met - all) / count } else { 0.0 }
    }

    /// Writes the features of a pair into `row`.
    pub(super) fn features(&self, place: usize, item: u32, before: Before, row: &mut [f64]) {
        let node = &self.nodes[place];
        let at = item as usize;
        let holds = |place: &usize| self.nodes[*place].holds[at];
        let flag = |yes: bool| f64::from(u8::from(yes));
        let held = flag(node.holds[at]);
        let share = |places: &[usize]| {
            places.iter().filter(|place| holds(place)).count() as f64 / places.len().max(1) as f64
        };
        let (children, siblings) = (share(&node.children), share(&node.siblings));
        // Without the item itself, so that a wrong link does not speak for itself.
        let alike = |other: usize| {
            let both = self.shared.get(&(place, other)).copied().unwrap_or(0.0) - held;
            let sizes = (node.size - held) * (self.nodes[other].size - 1.0);
            if sizes > 0.0 { both / sizes.sqrt() } else { 0.0 }
        };
        let (mut beside, mut most, mut sum, mut count, mut named) = (0.0_f64, 0.0_f64, 0.0, 0.0, 0.0_f64);
        for &other in &self.places[at] {
            if node.siblings.contains(&other) {
                beside = beside.max(alike(other));
            } else if !node.line.contains(&other) {
                let like = alike(other);
                (most, sum, count) = (most.max(like), sum + like, count + 1.0);
            }
            if !node.line.contains(&other) {
                named = named.max(self.names.get(&(place, other)).copied().unwrap_or(0.0));
            }
        }
        let above = node.parent.map(|parent| &self.nodes[parent]);
        let from_above = above.is_none_or(|above| above.holds[at] || above.size == 0.0);
        let further = above
            .and_then(|above| above.parent)
            .map_or(from_above, |place| holds(&place));
        let without_texts = [
            flag(from_above),
            flag(node.parent.is_none()),
            flag(further),
            flag(children > 0.0),
            children,
            flag(node.children.is_empty()),
            siblings,
            flag(from_above && node.parent.is_some() && siblings == 0.0),
            beside,
            most,
            if count > 0.0 { sum / count } else { 0.0 },
            named,
            node.depth as f64,
            (node.size / self.items.max(1) as f64).sqrt(),
            (1.0 + self.places[at].len() as f64 - held).ln(),
            f64::midpoint(self.beside(node, item, -1), self.beside(node, item, 1)),
            self.company(place, at),
            flag(before.held),
            before.log_odds,
        ];
        row[..WITHOUT_TEXTS].copy_from_slice(&without_texts);
        if let Some((evidence, centres, words)) = &self.evidence {
            let wide = evidence.dimension;
            let vector = &evidence.vectors[at * wide..(at + 1) * wide];
            let name = &evidence.names[place * wide..(place + 1) * wide];
            let cosine = |place: usize| centres[place].cosine(vector, self.nodes[place].holds[at]);
            let own = cosine(place);
            let sibling = node
                .siblings
                .iter()
                .map(|&sibling| cosine(sibling))
                .fold(-1.0, f64::max);
            let shared = node.words.iter().filter(|word| words[at].contains(*word)).count();
            let with_texts = [
                f64::from(dot(vector, name)),
                own,
                shared as f64 / node.words.len().max(1) as f64,
                sibling,
                own - sibling,
            ];
            row[WITHOUT_TEXTS..].copy_from_slice(&with_texts);
        }
    }
}

fn nodes(taxonomy: &Taxonomy) -> Vec<Node> {
    let items = taxonomy.items as usize;
    let visits = taxonomy.walk();
    let mut nodes: Vec<Node> = Vec::with_capacity(visits.len());
    for (place, visit) in visits.iter().enumerate() {
        let mut holds = vec![false; items];
        visit
            .category
            .items
            .iter()
            .for_each(|&item| holds[item as usize] = true);
        let mut line: FxHashSet<usize> = FxHashSet::from_iter([place]);
        let mut above = visit.parent;
        while let Some(parent) = above {
            line.insert(parent);
            nodes[parent].line.insert(place);
            above = visits[parent].parent;
        }
        if let Some(parent) = visit.parent {
            nodes[parent].children.push(place);
        }
        nodes.push(Node {
            depth: visit.depth,
            parent: visit.parent,
            children: Vec::new(),
            siblings: Vec::new(),
            line,
            holds,
            size: visit.category.items.len() as f64,
            words: naming::terms(&visit.category.name).collect(),
        });
    }
    let tops: Vec<usize> = (0..nodes.len())
        .filter(|&place| nodes[place].parent.is_none())
        .collect();
    for place in 0..nodes.len() {
        let all = nodes[place]
            .parent
            .map_or(&tops, |parent| &nodes[parent].children);
        let siblings = all.iter().copied().filter(|&other| other != place).collect();
        nodes[place].siblings = siblings;
    }
    nodes
}

/// Shared words over all words of both names, where any is shared.
fn names(nodes: &[Node]) -> FxHashMap<(usize, usize), f64> {
    let mut alike = FxHashMap::default();
    for (a, one) in nodes.iter().enumerate() {
        for (b, two) in nodes.iter().enumerate().filter(|(b, _)| *b != a) {
            let shared = one.words.intersection(&two.words).count();
            if shared > 0 {
                let all = one.words.len() + two.words.len() - shared;
                alike.insert((a, b), shared as f64 / all as f64);
            }
        }
    }
    alike
}

fn check(evidence: &Evidence<'_>, items: usize, categories: usize) -> Result<(), CorrectError> {
    let wants = [
        ("texts", evidence.texts.len(), items),
        (
            "values of vectors",
            evidence.vectors.len(),
            items * evidence.dimension,
        ),
        (
            "values of names",
            evidence.names.len(),
            categories * evidence.dimension,
        ),
    ];
    for (what, found, expected) in wants {
        if found != expected {
            return Err(CorrectError::Evidence {
                what,
                found,
                expected,
            });
        }
    }
    Ok(())
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

// === impl Centre ===

impl Centre {
    fn of(node: &Node, evidence: &Evidence<'_>) -> Self {
        let mut sum = vec![0.0; evidence.dimension];
        for (vector, _) in evidence
            .vectors
            .chunks_exact(evidence.dimension.max(1))
            .zip(&node.holds)
            .filter(|(_, holds)| **holds)
        {
            sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
        }
        let square = dot(&sum, &sum);
        Self { sum, square }
    }

    /// The cosine of a vector to the centre of the others.
    fn cosine(&self, vector: &[f32], held: bool) -> f64 {
        let (along, own) = (dot(&self.sum, vector), dot(vector, vector));
        let (along, square) = if held {
            (along - own, self.square - 2.0 * along + own)
        } else {
            (along, self.square)
        };
        if square > 1e-6 && own > 0.0 {
            f64::from(along / (square * own).sqrt())
        } else {
            0.0
        }
    }
}
