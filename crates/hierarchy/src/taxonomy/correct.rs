//! Mends wrong links between documents and categories (T3), learned from spoilt taxonomies.
//!
//! Every pair of category and item is judged from [features](super::features) by logistic regression, one model for each kind
//! of pair (does it stand? has the category a parent, has it children?), twice: the second time with what the first has mended
//! around it. An item belongs if p is at least 0.5 and it belongs to the parent; a parent that held nothing at all is a heading
//! and asks nothing. Card 54, the offline version of the paper's corrector: no text is needed, but it helps.
//!
//! A corrector can be taught by any taxonomies that are mostly right: they are [damaged](super::damage) and the damage is to be
//! undone. Applied to the undamaged ones, it changes what looks like damage.

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    Edit, Taxonomy,
    features::{Before, KINDS, Pairs, WITH_TEXTS, WITHOUT_TEXTS},
    logistic::{FitError, Logistic},
    tidy::path,
};

/// Pairs that are learned from at most for each taxonomy; beyond, every k-th item is looked at.
const MOST_PAIRS: usize = 300_000;
/// Weight of the ridge; the data outweigh it but for features that hardly ever occur.
const RIDGE: f64 = 1.0;
/// Judgements one after the other: the second sees what the first has mended around a pair.
const ROUNDS: usize = 2;

/// What is known of the documents besides where they stand.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// A text an item.
    pub texts: &'a [&'a str],
    /// A unit vector an item, row after row.
    pub vectors: &'a [f32],
    /// Values a vector.
    pub dimension: usize,
    /// A unit vector for the name of each category, in the order of [`Taxonomy::walk`].
    pub names: &'a [f32],
}

/// A spoilt taxonomy, what it should be, and what is known of its documents.
#[derive(Debug, Clone, Copy)]
pub struct Lesson<'a> {
    /// The spoilt state.
    pub spoilt: &'a Taxonomy,
    /// The state that is to be found, with the same categories.
    pub truth: &'a Taxonomy,
    /// The documents, where they are there; for all lessons or none.
    pub evidence: Option<Evidence<'a>>,
}

/// A learned judge of links.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Corrector {
    rounds: Vec<Round>,
    with_texts: bool,
}

/// One model for each kind of pairs; none where the kind taught nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Round {
    models: [Option<Logistic>; KINDS],
}

/// A taxonomy that is being mended.
struct State {
    now: Taxonomy,
    /// By category and item.
    before: Vec<Vec<Before>>,
}

/// What keeps a corrector from learning or judging.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CorrectError {
    /// Nothing to learn from.
    #[error("the lessons teach nothing: {0}; give spoilt taxonomies beside the right ones")]
    Fit(#[from] FitError),
    /// A spoilt state of another taxonomy.
    #[error(transparent)]
    Mismatch(#[from] super::Mismatch),
    /// Evidence that does not fit.
    #[error("the evidence has {found} {what}, the taxonomy {expected}; give one each")]
    Evidence {
        /// Texts, values of vectors, or values of names.
        what: &'static str,
        /// How many were given.
        found: usize,
        /// How many are needed.
        expected: usize,
    },
    /// Taught with texts and asked without, or the other way round.
    #[error(
        "the corrector was taught {taught} texts but is asked {asked} them; teach one of the kind that is needed"
    )]
    OtherKind {
        /// "with" or "without".
        taught: &'static str,
        /// "with" or "without".
        asked: &'static str,
    },
}

// === impl Corrector ===

impl Corrector {
    /// Learns to undo the damage of the lessons. The same lessons give the same corrector.
    ///
    /// # Errors
    /// [`CorrectError`]: lessons without any damage of one kind, of two taxonomies, or with evidence that does not fit.
    pub fn learn(lessons: &[Lesson<'_>]) -> Result<Self, CorrectError> {
        let with_texts = lessons.iter().any(|lesson| lesson.evidence.is_some());
        let mut states = Vec::with_capacity(lessons.len());
        for lesson in lessons {
            super::assignments(lesson.spoilt, lesson.truth)?;
            check_kind(with_texts, lesson.evidence.is_some())?;
            states.push(State::new(lesson.spoilt));
        }
        let mut rounds = Vec::with_capacity(ROUNDS);
        for number in 1..=ROUNDS {
            let round = Round::learn(lessons, &states, with_texts)?;
            if number < ROUNDS {
                for (state, lesson) in states.iter_mut().zip(lessons) {
                    round.judge(state, lesson.evidence)?;
                }
            }
            rounds.push(round);
        }
        Ok(Self { rounds, with_texts })
    }

    /// Mends a taxonomy and tells what was added and removed.
    ///
    /// # Errors
    /// [`CorrectError`]: evidence that does not fit or is not of the kind that was taught.
    pub fn correct(
        &self,
        taxonomy: &mut Taxonomy,
        evidence: Option<Evidence<'_>>,
    ) -> Result<Vec<Edit>, CorrectError> {
        check_kind(self.with_texts, evidence.is_some())?;
        let mended = self.judge(taxonomy, evidence)?;
        let names: Vec<String> = paths(taxonomy);
        let mut edits = Vec::new();
        taxonomy.for_each_mut(|place, category| {
            let after: FxHashSet<u32> = mended[place].iter().copied().collect();
            let before = std::mem::replace(&mut category.items, mended[place].clone());
            let was: FxHashSet<u32> = before.iter().copied().collect();
            let added: Vec<u32> = category
                .items
                .iter()
                .copied()
                .filter(|item| !was.contains(item))
                .collect();
            let removed: Vec<u32> = before.into_iter().filter(|item| !after.contains(item)).collect();
            let category = || names[place].clone();
            if !added.is_empty() {
                edits.push(Edit::Added {
                    category: category(),
                    items: added,
                });
            }
            if !removed.is_empty() {
                edits.push(Edit::Removed {
                    category: category(),
                    items: removed,
                });
            }
        });
        Ok(edits)
    }

    /// The items of each category, parents first.
    fn judge(
        &self,
        taxonomy: &Taxonomy,
        evidence: Option<Evidence<'_>>,
    ) -> Result<Vec<Vec<u32>>, CorrectError> {
        let mut state = State::new(taxonomy);
        for round in &self.rounds {
            round.judge(&mut state, evidence)?;
        }
        let visits = taxonomy.walk();
        let judged = state.now.walk();
        let mut mended: Vec<Vec<u32>> = Vec::with_capacity(visits.len());
        for (place, visit) in visits.iter().enumerate() {
            let above = visit
                .parent
                .filter(|&parent| !visits[parent].category.items.is_empty());
            let belongs = |item: &u32| above.is_none_or(|parent| mended[parent].binary_search(item).is_ok());
            mended.push(
                judged[place]
                    .category
                    .items
                    .iter()
                    .copied()
                    .filter(belongs)
                    .collect(),
            );
        }
        Ok(mended)
    }
}

// === impl State ===

impl State {
    fn new(taxonomy: &Taxonomy) -> Self {
        let before = taxonomy
            .walk()
            .iter()
            .map(|visit| {
                let held = |item| Before {
                    held: visit.category.holds(item),
                    log_odds: 0.0,
                };
                (0..taxonomy.items).map(held).collect()
            })
            .collect();
        Self {
            now: taxonomy.clone(),
            before,
        }
    }
}

// === impl Round ===

impl Round {
    fn learn(lessons: &[Lesson<'_>], states: &[State], with_texts: bool) -> Result<Self, CorrectError> {
        let wide = width(with_texts);
        let mut rows: [Vec<f64>; KINDS] = Default::default();
        let mut labels: [Vec<bool>; KINDS] = Default::default();
        let mut row = vec![0.0; wide];
        for (lesson, state) in lessons.iter().zip(states) {
            let pairs = Pairs::new(&state.now, lesson.evidence)?;
            let truth = lesson.truth.walk();
            let count = truth.len() * lesson.truth.items as usize;
            let stride = count.div_ceil(MOST_PAIRS).max(1);
            for (place, visit) in truth.iter().enumerate() {
                for item in (0..lesson.truth.items).step_by(stride) {
                    pairs.features(place, item, state.before[place][item as usize], &mut row);
                    let kind = pairs.kind(place, item);
                    rows[kind].extend_from_slice(&row);
                    labels[kind].push(visit.category.holds(item));
                }
            }
        }
        let mut models: [Option<Logistic>; KINDS] = Default::default();
        let mut last = FitError::OneSided { yes: 0, no: 0 };
        for kind in 0..KINDS {
            // A kind that is always right, or does not occur, is left as it is.
            match Logistic::fit(&rows[kind], wide, &labels[kind], RIDGE) {
                Ok(model) => models[kind] = Some(model),
                Err(error @ FitError::OneSided { .. }) => last = error,
                Err(error) => return Err(CorrectError::Fit(error)),
            }
        }
        if models.iter().all(Option::is_none) {
            return Err(CorrectError::Fit(last));
        }
        Ok(Self { models })
    }

    /// Judges every pair anew.
    fn judge(&self, state: &mut State, evidence: Option<Evidence<'_>>) -> Result<(), CorrectError> {
        let pairs = Pairs::new(&state.now, evidence)?;
        let mut row = vec![0.0; width(evidence.is_some())];
        let State { now, before } = state;
        let items = now.items;
        now.for_each_mut(|place, category| {
            // A heading stays one.
            if category.items.is_empty() && !category.children.is_empty() {
                return;
            }
            let mut kept = Vec::with_capacity(category.items.len());
            for item in 0..items {
                let before = &mut before[place][item as usize];
                let belongs = match &self.models[pairs.kind(place, item)] {
                    None => category.holds(item),
                    Some(model) => {
                        pairs.features(place, item, *before, &mut row);
                        before.log_odds = model.log_odds(&row);
                        before.log_odds >= 0.0
                    }
                };
                if belongs {
                    kept.push(item);
                }
            }
            category.items = kept;
        });
        Ok(())
    }
}

fn width(with_texts: bool) -> usize {
    if with_texts { WITH_TEXTS } else { WITHOUT_TEXTS }
}

fn check_kind(taught: bool, asked: bool) -> Result<(), CorrectError> {
    let word = |with| if with { "with" } else { "without" };
    if taught == asked {
        return Ok(());
    }
    Err(CorrectError::OtherKind {
        taught: word(taught),
        asked: word(asked),
    })
}

/// The path of each category, in the order of the walk.
fn paths(taxonomy: &Taxonomy) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for visit in taxonomy.walk() {
        let above = visit.parent.map_or("", |parent| paths[parent].as_str());
        paths.push(path(above, &visit.category.name));
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::taxonomy::{Category, assignments, damage};
    use rand::{SeedableRng, rngs::SmallRng};

    /// Two facets over the same twelve items, so that what one has lost the other tells.
    fn facets() -> Taxonomy {
        let facet = |name: &str| {
            let mut top = Category::new(name, 0..12);
            top.children = (0..3)
                .map(|n| Category::new(format!("{name} {n}"), 4 * n..4 * n + 4))
                .collect();
            top
        };
        Taxonomy {
            title: "t".into(),
            items: 13,
            categories: vec![facet("drug"), facet("dose")],
        }
    }

    #[test]
    fn damage_is_undone_without_texts() {
        let truth = facets();
        let mut rng = SmallRng::seed_from_u64(1);
        let spoil = |rng: &mut SmallRng| {
            let mut spoilt = truth.clone();
            damage(&mut spoilt, 0.2, rng);
            spoilt
        };
        let train: Vec<Taxonomy> = (0..20).map(|_| spoil(&mut rng)).collect();
        let lesson = |spoilt| Lesson {
            spoilt,
            truth: &truth,
            evidence: None,
        };
        let lessons: Vec<Lesson<'_>> = train.iter().map(lesson).collect();
        let corrector = Corrector::learn(&lessons).unwrap();
        let (mut before, mut after) = (0.0, 0.0);
        for _ in 0..10 {
            let mut test = spoil(&mut rng);
            before += assignments(&test, &truth).unwrap().f1();
            let spoilt = test.clone();
            let edits = corrector.correct(&mut test, None).unwrap();
            assert_eq!(edits.is_empty(), spoilt == test);
            test.validate().unwrap();
            after += assignments(&test, &truth).unwrap().f1();
        }
        assert!(after > before + 0.5, "{before} {after} (sums of ten)");
    }

    #[test]
    fn an_item_belongs_only_where_it_belongs_to_the_parent() {
        let truth = facets();
        let mut rng = SmallRng::seed_from_u64(2);
        let mut spoilt = truth.clone();
        damage(&mut spoilt, 0.3, &mut rng);
        let lesson = Lesson {
            spoilt: &spoilt,
            truth: &truth,
            evidence: None,
        };
        let corrector = Corrector::learn(&[lesson]).unwrap();
        let mut mended = spoilt.clone();
        corrector.correct(&mut mended, None).unwrap();
        for visit in mended.walk().iter().filter(|visit| visit.parent.is_some()) {
            let parent = mended.walk()[visit.parent.unwrap()].category;
            assert!(visit.category.items.iter().all(|&item| parent.holds(item)));
        }
    }

    #[test]
    fn lessons_that_teach_nothing_are_refused() {
        let truth = facets();
        let lesson = Lesson {
            spoilt: &truth,
            truth: &truth,
            evidence: None,
        };
        let error = Corrector::learn(&[lesson]).unwrap_err();
        assert!(matches!(error, CorrectError::Fit(_)), "{error}");
    }
}
