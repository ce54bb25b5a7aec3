//! How the second stage is trained.
//!
//! Requests are sorted into folds by their text. What looks at remembered requests is learned on the other folds before it shows a
//! fold's candidates to the head, so that a request never finds itself. Candidates that are as good as right but not named so
//! (near copies of a right one) are left out as wrong examples: SkillRouter's filter of false negatives.

use fingerpost_core::Name;
use fingerpost_encode::dot;
use rustc_hash::FxHashMap;

use super::{
    abstain::{Abstain, Columns, signs},
    classes::Classes,
    family::jaccard,
    head::{Head, Lists, Objective},
    index::{Asked, SkillIndex},
    knowledge::{Knowledge, Lesson},
    retrieve::Candidate,
    sheet::{Feature, Sheet},
    trained::{About, Trained},
    words::spoken,
};

/// A request with the entries that are right for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// What is asked.
    pub text: String,
    /// The right entries; none where nothing fits. Those that the index does not have are left out.
    pub gold: Vec<Name>,
    /// Entries that were offered for it and are wrong.
    pub wrong: Vec<Name>,
}

/// How it is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// What the head is taught by.
    pub objective: Objective,
    /// Whether near copies of right entries are left out as wrong examples.
    pub filter: bool,
    /// Whether requests need several entries and are taken apart.
    pub several: bool,
    /// Folds of the training, at least 2.
    pub folds: usize,
    /// The seed of everything left to chance.
    pub seed: u64,
}

/// Near copies: SkillRouter's bounds on neighbouring words in common and on the cosine.
const SAME_WORDS: f32 = 0.6;
const SAME_SENSE: f32 = 0.92;
/// Lists that are enough for a head: beyond, only every second or third request makes one.
const MANY: usize = 6_000;
/// Requests without a right entry from which on "nothing fits" is learned from them alone.
const ENOUGH: usize = 20;
/// Folds in which the head is judged for the sake of abstention.
const HELD: usize = 3;

/// A request's candidates as the head sees them.
struct List {
    /// Which of the [`HELD`] folds it is in.
    held: usize,
    rows: Vec<Vec<f32>>,
    grades: Vec<f32>,
    nothing: Vec<f32>,
    /// The same without the right entries, where it stands for a request that nothing fits.
    without: Option<Vec<Vec<f32>>>,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self {
            objective: Objective::default(),
            filter: true,
            several: false,
            folds: 4,
            seed: 1,
        }
    }
}

/// Trains the second stage for an index. Requests whose right entries the index does not have are left out; none at all gives a head
/// that scores all alike. `calibration` are further requests from which it learns when to abstain; where there are none, it learns
/// that from heads that did not see the requests. `progress` is told what is done and of how much.
pub fn train(
    index: &SkillIndex,
    requests: &[Request],
    calibration: &[Request],
    options: Options,
    progress: &mut dyn FnMut(usize, usize),
) -> Trained {
    let class = Class::new(index, requests, options, progress);
    class.teach(calibration, options)
}

/// Requests made ready, with the lists that the head is trained on. Several heads can be taught from one class.
pub struct Class<'a> {
    index: &'a SkillIndex,
    knowledge: Knowledge,
    lessons: Vec<Lesson<'a>>,
    lists: Vec<List>,
    features: Vec<Feature>,
}

// === impl Class ===

impl<'a> Class<'a> {
    /// Makes requests ready: the costly part.
    pub fn new(
        index: &'a SkillIndex,
        requests: &'a [Request],
        options: Options,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Self {
        let (mut asked, mut lessons) = (Vec::new(), Vec::new());
        for (request, gold, wrong) in placed(index, requests) {
            let ready = index.ask(&request.text, options.several);
            lessons.push(Lesson {
                text: &request.text,
                vectors: ready.vectors.clone(),
                gold,
                wrong,
            });
            asked.push(ready);
            progress(asked.len(), 2 * requests.len());
        }
        let gold: Vec<Vec<u32>> = lessons.iter().map(|l| l.gold.clone()).collect();
        let with_classes = Classes::pay(&gold);
        let folds = options.folds.max(2);
        let without = gold.iter().filter(|g| g.is_empty()).count();
        let stride = lessons.len().div_ceil(MANY).max(1);
        let mut lists: Vec<List> = Vec::with_capacity(lessons.len());
        let mut features = Vec::new();
        for held in 0..folds {
            let is_held = |lesson: &Lesson<'_>| fold(lesson.text, folds) == held;
            let others: Vec<&Lesson<'_>> = lessons.iter().filter(|l| !is_held(l)).collect();
            let knowledge = Knowledge::learn(index, &others, options.several, with_classes);
            let some = lessons.iter().enumerate().step_by(stride);
            for (place, lesson) in some.filter(|(_, l)| is_held(l)) {
                let shown = Shown {
                    index,
                    knowledge: &knowledge,
                    filter: options.filter,
                    // Some of the lists tell what a list without a right entry looks like.
                    without: without < ENOUGH
                        && lists.len().is_multiple_of(lessons.len().min(MANY) / 1_000 + 1),
                };
                let (list, sheet) = shown.list(&asked[place], lesson);
                if features.is_empty() {
                    features = sheet.features;
                }
                lists.push(list);
                progress(requests.len() + lists.len(), 2 * requests.len());
            }
        }
        let all: Vec<&Lesson<'_>> = lessons.iter().collect();
        Self {
            index,
            knowledge: Knowledge::learn(index, &all, options.several, with_classes),
            lists,
            features,
            lessons,
        }
    }

    /// Teaches a head. Only objective and seed of the options count here.
    pub fn teach(&self, calibration: &[Request], options: Options) -> Trained {
        let (objective, seed) = (options.objective, options.seed);
        let width = self.features.len();
        let head = Head::fit(&gathered(&self.lists, width, |_| true), objective, seed);
        let looked_at = || {
            let all = self.features.iter().enumerate();
            all.filter(|(_, f)| tells_nearness(&f.name))
                .map(|(place, _)| place)
                .collect()
        };
        let columns: Columns = (!self.knowledge.knows_nothing()).then(looked_at);
        let look = |head: &Head, rows: &[Vec<f32>], nothing: &[f32]| {
            let scores: Vec<f32> = rows.iter().map(|row| head.score(row)).collect();
            signs(rows, &scores, &columns, nothing)
        };
        let mut looks = Vec::new();
        let mut further = Vec::new();
        for (request, gold, wrong) in placed(self.index, calibration) {
            let asked = self.index.ask(&request.text, self.knowledge.several);
            let said = self.knowledge.says(&request.text, &asked);
            let (_, sheet) = self.index.shown(&asked, &self.knowledge, &said);
            let nothing = self.knowledge.nothing(&said);
            looks.push((look(&head, &sheet.rows(), &nothing), !gold.is_empty()));
            further.push(Lesson {
                text: &request.text,
                vectors: asked.vectors,
                gold,
                wrong,
            });
        }
        for held in (0..HELD).filter(|_| calibration.is_empty()) {
            let others = Head::fit(&gathered(&self.lists, width, |l| l.held != held), objective, seed);
            for list in self.lists.iter().filter(|l| l.held == held && !l.rows.is_empty()) {
                let fits = list.grades.iter().any(|g| *g > 0.0);
                looks.push((look(&others, &list.rows, &list.nothing), fits));
                if let Some(rows) = list.without.as_ref().filter(|rows| !rows.is_empty()) {
                    looks.push((look(&others, rows, &list.nothing), false));
                }
            }
        }
        // What served to learn when to abstain is remembered afterwards.
        let all: Vec<&Lesson<'_>> = self.lessons.iter().chain(&further).collect();
        let knowledge = if further.is_empty() {
            self.knowledge.clone()
        } else {
            Knowledge::learn(
                self.index,
                &all,
                self.knowledge.several,
                self.knowledge.classes.is_some(),
            )
        };
        Trained {
            about: About {
                encoders: self.index.encoders(),
                objective,
                requests: all.len(),
                without: all.iter().filter(|l| l.gold.is_empty()).count(),
                several: self.knowledge.several,
                features: self.features.iter().map(|f| f.name.clone()).collect(),
                seed,
            },
            ids: self.index.entries.iter().map(|e| e.id.clone()).collect(),
            vectors: (knowledge.memory.spaces.iter())
                .map(|rows| rows.values().to_vec())
                .collect(),
            gold: knowledge.memory.gold,
            wrong: all.iter().map(|l| l.wrong.clone()).collect(),
            classes: knowledge.classes,
            abstain: Abstain::fit(columns, &looks),
            head,
        }
    }
}

/// Requests with the places of their right and wrong entries, but for those whose right entries the index does not have.
fn placed<'a>(
    index: &SkillIndex,
    requests: &'a [Request],
) -> impl Iterator<Item = (&'a Request, Vec<u32>, Vec<u32>)> {
    let places: FxHashMap<Name, u32> = (0..)
        .zip(&index.entries)
        .map(|(place, entry)| (entry.id.clone(), place))
        .collect();
    requests.iter().filter_map(move |request| {
        let of = |names: &[Name]| -> Vec<u32> {
            names
                .iter()
                .filter_map(|n| places.get(n.as_str()).copied())
                .collect()
        };
        let gold = of(&request.gold);
        let known = !gold.is_empty() || request.gold.is_empty();
        known.then(|| (request, gold, of(&request.wrong)))
    })
}

/// The fold of a text: the same text is always in the same one.
fn fold(text: &str, folds: usize) -> usize {
    crc32fast::hash(text.as_bytes()) as usize % folds
}

fn gathered(lists: &[List], width: usize, which: impl Fn(&List) -> bool) -> Lists {
    let mut gathered = Lists::new(width);
    for list in lists
        .iter()
        .filter(|l| which(l) && l.grades.iter().any(|g| *g > 0.0))
    {
        gathered.push(list.rows.iter().zip(list.grades.iter().copied()));
    }
    gathered
}

/// Columns that say something across requests.
fn tells_nearness(feature: &str) -> bool {
    let across = [
        "cosine",
        "nearest request",
        "vote",
        "covered by",
        "words like",
        "classifier",
        "missing",
    ];
    across.iter().any(|a| feature.contains(a)) && !feature.contains(',')
}

/// How requests of one fold are shown.
struct Shown<'a> {
    index: &'a SkillIndex,
    knowledge: &'a Knowledge,
    filter: bool,
    without: bool,
}

// === impl Shown ===

impl Shown<'_> {
    fn list(&self, asked: &Asked, lesson: &Lesson<'_>) -> (List, Sheet) {
        let said = self.knowledge.says(lesson.text, asked);
        // Ranks among the candidates are features: rows are left out only after they are told, so that they are as in service.
        let (found, sheet) = self.index.shown(asked, self.knowledge, &said);
        let is_gold = |c: &Candidate| lesson.gold.contains(&c.entry);
        let is_copy = |c: &Candidate| lesson.gold.iter().any(|g| self.same(c.entry, *g));
        let (mut rows, mut grades) = (Vec::new(), Vec::new());
        for (row, candidate) in sheet.rows().into_iter().zip(&found) {
            let right = is_gold(candidate);
            if right || !self.filter || !is_copy(candidate) {
                rows.push(row);
                grades.push(f32::from(right));
            }
        }
        let without = self.without.then(|| {
            let mut rest = found;
            rest.retain(|c| !is_gold(c));
            self.index.sheet(asked, &rest, self.knowledge, &said).rows()
        });
        let list = List {
            held: fold(lesson.text, HELD),
            rows,
            grades,
            nothing: self.knowledge.nothing(&said),
            without,
        };
        (list, sheet)
    }

    /// Whether an entry would do in another's place.
    fn same(&self, entry: u32, gold: u32) -> bool {
        let (a, b) = (entry as usize, gold as usize);
        let name = |place: usize| spoken(&self.index.entries[place].name);
        let like = |space: &super::index::Space| {
            let near = |rows: &super::vectors::Rows| dot(rows.row(a), rows.row(b)) > SAME_SENSE;
            // Where one description is like the other, the body may still tell the two apart.
            let has_body = |place: usize| !self.index.entries[place].body.is_empty();
            near(&space.heads) && (!has_body(a) && !has_body(b) || near(&space.bodies))
        };
        self.index.spaces.last().is_some_and(like)
            || jaccard(self.index.lexical.pairs(a), self.index.lexical.pairs(b)) > SAME_WORDS
            || !name(a).is_empty() && name(a) == name(b)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fingerpost_encode::{Encoder, StaticEncoder};

    use super::*;
    use crate::{Entry, Kind};

    /// A right entry that the first stage does not find was once added behind the others, which taught the head to take the last.
    #[test]
    fn the_head_learns_from_lists_as_they_are_in_service() {
        let entries: Vec<Entry> = (0..90)
            .map(|n| Entry {
                description: format!("Plays tune {n} of the {} album", n % 7),
                ..Entry::named(format!("tune_{n}").as_str(), Kind::Tool)
            })
            .collect();
        let encoder: Arc<dyn Encoder> = Arc::new(StaticEncoder::bundled());
        let index = SkillIndex::new(entries, &[encoder]);
        let knowledge = Knowledge::default();
        let mut missed = 0;
        for gold in 0..90 {
            let text = "what plays tune 3";
            let asked = index.ask(text, false);
            let lesson = Lesson {
                text,
                vectors: asked.vectors.clone(),
                gold: vec![gold],
                wrong: Vec::new(),
            };
            let shown = Shown {
                index: &index,
                knowledge: &knowledge,
                filter: false,
                without: true,
            };
            let (list, _) = shown.list(&asked, &lesson);
            let (found, sheet) = index.shown(&asked, &knowledge, &knowledge.says(text, &asked));
            assert_eq!(list.rows, sheet.rows());
            let is_found = found.iter().any(|c| c.entry == gold);
            assert_eq!(list.grades.iter().sum::<f32>(), f32::from(is_found));
            missed += usize::from(!is_found);
        }
        assert_eq!(missed, 40);
    }

    #[test]
    fn what_calibrates_is_remembered() {
        let entries = ["sing", "dance"].map(|n| Entry::named(n, Kind::Tool));
        let encoder: Arc<dyn Encoder> = Arc::new(StaticEncoder::bundled());
        let index = SkillIndex::new(entries.to_vec(), &[encoder]);
        let request = |text: &str, gold: &str| Request {
            text: text.to_owned(),
            gold: vec![gold.into()],
            wrong: Vec::new(),
        };
        let (lesson, further) = ([request("a song", "sing")], [request("a waltz", "dance")]);
        let trained = train(&index, &lesson, &further, Options::default(), &mut |_, _| ());
        assert_eq!(
            (trained.about.requests, trained.gold),
            (2, vec![vec![0], vec![1]])
        );
    }
}
