//! The second stage's view of a candidate: its fields beside the request, by words, by vectors, by what was asked before.

use fingerpost_encode::dot;
use rustc_hash::FxHashMap;

use super::{
    field::{Field, TEXTS},
    index::{Asked, SkillIndex},
    knowledge::{Knowledge, Said},
    memory::Recalled,
    retrieve::Candidate,
    sheet::Sheet,
};

/// The log-probability of an entry that the classifier does not know.
const UNLIKELY: f32 = -12.0;

impl SkillIndex {
    /// The features of a list of candidates.
    pub(crate) fn sheet(
        &self,
        asked: &Asked,
        candidates: &[Candidate],
        knowledge: &Knowledge,
        said: &Said,
    ) -> Sheet {
        let recalled = &said.recalled;
        let mut sheet = Sheet::default();
        self.by_words(&mut sheet, asked, candidates);
        self.by_likeness(&mut sheet, asked, candidates);
        self.by_vectors(&mut sheet, asked, candidates);
        self.by_memory(&mut sheet, candidates, knowledge, recalled);
        if let (Some(classes), Some(likely)) = (&knowledge.classes, &said.likely) {
            for (name, member) in ["classifier", "n-gram classifier"].into_iter().zip(likely) {
                let of = |c: &Candidate| classes.class(c.entry).map_or(UNLIKELY, |class| member[class]);
                let column = candidates.iter().map(of).map(|l| l.max(UNLIKELY)).collect();
                sheet.add_ranked(name, Field::Examples, column);
            }
        }
        self.by_habit(&mut sheet, candidates, knowledge);
        self.by_group(&mut sheet, candidates, knowledge, recalled);
        self.by_arguments(&mut sheet, asked, candidates);
        self.by_shape(&mut sheet, asked, candidates);
        if knowledge.several {
            self.by_clauses(&mut sheet, asked, candidates);
        }
        sheet
    }

    fn by_words(&self, sheet: &mut Sheet, asked: &Asked, candidates: &[Candidate]) {
        let overlaps: Vec<_> = candidates
            .iter()
            .map(|c| self.lexical.overlap(&asked.words, c.entry as usize))
            .collect();
        let mut add = |name: &str, field, value: &dyn Fn(&super::lexical::Overlap) -> f32| {
            sheet.add(name, field, overlaps.iter().map(value).collect());
        };
        for (place, field) in TEXTS.into_iter().enumerate() {
            add(&format!("bm25 {field}"), field, &|o| o.bm25[place]);
            add(&format!("covered by {field}"), field, &|o| o.covered[place]);
            add(&format!("covers {field}"), field, &|o| o.covers[place]);
        }
        add("covered by any", Field::Whole, &|o| o.covered_by_any);
        add("missing", Field::Whole, &|o| o.heaviest_missing);
        add("pairs", Field::Whole, &|o| o.pairs);
        sheet.add_ranked(
            "bm25f",
            Field::Whole,
            overlaps.iter().map(|o| o.fielded).collect(),
        );
        sheet.add_ranked(
            "fused",
            Field::Whole,
            candidates.iter().map(|c| c.fused).collect(),
        );
    }

    /// Words that are not the same but near, by their vectors: each word of one side takes the nearest of the other.
    fn by_likeness(&self, sheet: &mut Sheet, asked: &Asked, candidates: &[Candidate]) {
        let asked_words = asked.soft.len();
        let mut known: FxHashMap<u32, Vec<f32>> = FxHashMap::default();
        let mut like = |term: u32| -> Vec<f32> {
            known
                .entry(term)
                .or_insert_with(|| {
                    let vector = self.terms.row(term as usize);
                    (0..asked_words).map(|w| dot(asked.soft.row(w), vector)).collect()
                })
                .clone()
        };
        let total: f32 = asked.words.terms.iter().map(|w| w.idf).sum::<f32>().max(1e-6);
        for (place, field) in TEXTS.into_iter().enumerate().take(2) {
            let (mut forth, mut back) = (Vec::new(), Vec::new());
            for candidate in candidates {
                let mut nearest = vec![0.0_f32; asked_words];
                let (mut sum, mut of) = (0.0, 0.0);
                for term in self.lexical.terms_of(candidate.entry as usize, place) {
                    let row = like(term);
                    let mut highest = 0.0_f32;
                    for (near, like) in nearest.iter_mut().zip(&row) {
                        *near = near.max(*like);
                        highest = highest.max(*like);
                    }
                    let idf = self.lexical.idf(Some(term));
                    sum += idf * highest;
                    of += idf;
                }
                let weighed = asked.words.terms.iter().zip(&nearest).map(|(w, n)| w.idf * n);
                forth.push(weighed.sum::<f32>() / total);
                back.push(if of > 0.0 { sum / of } else { 0.0 });
            }
            sheet.add(format!("words like {field}"), field, forth);
            sheet.add(format!("{field} like words"), field, back);
        }
    }

    fn by_vectors(&self, sheet: &mut Sheet, asked: &Asked, candidates: &[Candidate]) {
        for (space, vector) in self.spaces.iter().zip(&asked.vectors) {
            let name = space.encoder.name();
            let heads = candidates.iter().map(|c| space.head(c.entry, vector)).collect();
            sheet.add_ranked(&format!("{name} cosine"), Field::Description, heads);
            let bodies = candidates.iter().map(|c| space.body(c.entry, vector)).collect();
            sheet.add_ranked(&format!("{name} body cosine"), Field::Body, bodies);
        }
    }

    fn by_memory(
        &self,
        sheet: &mut Sheet,
        candidates: &[Candidate],
        knowledge: &Knowledge,
        recalled: &[Recalled],
    ) {
        for (space, recalled) in self.spaces.iter().zip(recalled) {
            let name = space.encoder.name();
            let own: Vec<_> = candidates
                .iter()
                .map(|c| knowledge.memory.own(recalled, c.entry))
                .collect();
            sheet.add_ranked(
                &format!("{name} nearest request"),
                Field::Examples,
                own.iter().map(|o| o.0).collect(),
            );
            sheet.add(
                format!("{name} nearest requests"),
                Field::Examples,
                own.iter().map(|o| o.1).collect(),
            );
            let votes = candidates.iter().map(|c| recalled.vote(c.entry)).collect();
            sheet.add(format!("{name} vote"), Field::Examples, votes);
        }
    }

    /// How often an entry was right before, how often not though it was offered, and how it stands among its namesakes.
    fn by_habit(&self, sheet: &mut Sheet, candidates: &[Candidate], knowledge: &Knowledge) {
        let habits = &knowledge.habits;
        let mut add = |name: &str, value: &dyn Fn(u32) -> f32| {
            let column = candidates.iter().map(|c| value(c.entry)).collect();
            sheet.add(name, Field::Examples, column);
        };
        let namesakes = |entry: u32| habits.name(self.names[entry as usize]) as f32;
        add("right before", &|e| (habits.entry(e).right as f32).ln_1p());
        add("wrong before", &|e| (habits.entry(e).wrong as f32).ln_1p());
        add("right where offered", &|e| {
            let habit = habits.entry(e);
            (habit.right as f32 + 0.5) / ((habit.right + habit.wrong) as f32 + 1.0)
        });
        add("right of its namesakes", &|e| {
            habits.entry(e).right as f32 / (namesakes(e) + 1.0)
        });
        add("namesakes right before", &|e| namesakes(e).ln_1p());
    }

    fn by_group(
        &self,
        sheet: &mut Sheet,
        candidates: &[Candidate],
        knowledge: &Knowledge,
        recalled: &[Recalled],
    ) {
        let group = |c: &Candidate| self.groups[c.entry as usize];
        let tag = |c: &Candidate| self.tags[c.entry as usize];
        let of = |value: &dyn Fn(&Candidate) -> f32| candidates.iter().map(value).collect::<Vec<f32>>();
        sheet.add(
            "group habit",
            Field::Group,
            of(&|c| knowledge.habits.group(group(c))),
        );
        sheet.add("tag habit", Field::Group, of(&|c| knowledge.habits.tag(tag(c))));
        if let Some(recalled) = recalled.last() {
            let mut by_group: FxHashMap<u32, f32> = FxHashMap::default();
            let mut by_tag: FxHashMap<u32, f32> = FxHashMap::default();
            for &(entry, vote) in recalled.votes() {
                *by_group.entry(self.groups[entry as usize]).or_default() += vote;
                *by_tag.entry(self.tags[entry as usize]).or_default() += vote;
            }
            let vote = |votes: &FxHashMap<u32, f32>, key| votes.get(&key).copied().unwrap_or(0.0);
            sheet.add("group vote", Field::Group, of(&|c| vote(&by_group, group(c))));
            sheet.add("tag vote", Field::Group, of(&|c| vote(&by_tag, tag(c))));
        }
        let mut best: FxHashMap<u32, (f32, f32)> = FxHashMap::default();
        for c in candidates {
            let (highest, sum) = best.entry(group(c)).or_default();
            *highest = highest.max(c.fused);
            *sum += c.fused;
        }
        sheet.add(
            "best of group",
            Field::Group,
            of(&|c| best.get(&group(c)).map_or(0.0, |b| b.0)),
        );
        sheet.add(
            "sum of group",
            Field::Group,
            of(&|c| best.get(&group(c)).map_or(0.0, |b| b.1)),
        );
        sheet.add(
            "below best of group",
            Field::Group,
            of(&|c| c.fused - best.get(&group(c)).map_or(0.0, |b| b.0)),
        );
        let size = |c: &Candidate| self.members[group(c) as usize].len() as f32;
        sheet.add("group size", Field::Group, of(&|c| size(c).ln_1p()));
    }

    fn by_arguments(&self, sheet: &mut Sheet, asked: &Asked, candidates: &[Candidate]) {
        let of = |value: &dyn Fn(&super::arguments::Arguments) -> f32| {
            let values = candidates
                .iter()
                .map(|c| value(&self.arguments[c.entry as usize]));
            values.collect::<Vec<f32>>()
        };
        let has = |term: &str| asked.words.terms.iter().any(|w| &*w.text == term);
        sheet.add(
            "arguments named",
            Field::Body,
            of(&|a| {
                let named = a.required.iter().filter(|terms| terms.iter().any(|t| has(t)));
                named.count() as f32 / a.required.len().max(1) as f32
            }),
        );
        sheet.add("arguments", Field::Body, of(&|a| f32::from(a.all).min(16.0)));
        sheet.add(
            "required arguments",
            Field::Body,
            of(&|a| (a.required.len() as f32).min(16.0)),
        );
        let numbers = asked.numbers as f32;
        sheet.add(
            "numbers to spare",
            Field::Body,
            of(&|a| (numbers - f32::from(a.numbers)).clamp(-6.0, 6.0)),
        );
        sheet.add("numbers wanted", Field::Body, of(&|a| f32::from(a.numbers)));
        sheet.add("lists wanted", Field::Body, of(&|a| f32::from(a.lists)));
    }

    fn by_shape(&self, sheet: &mut Sheet, asked: &Asked, candidates: &[Candidate]) {
        let lengths: Vec<_> = candidates
            .iter()
            .map(|c| self.lexical.lengths(c.entry as usize))
            .collect();
        for (place, field) in TEXTS.into_iter().enumerate().take(3) {
            let length = lengths.iter().map(|l| (l[place] as f32).ln_1p()).collect();
            sheet.add(format!("length of {field}"), field, length);
        }
        let namesakes = candidates
            .iter()
            .map(|c| (self.namesakes[self.names[c.entry as usize] as usize] as f32).ln());
        sheet.add("namesakes", Field::Name, namesakes.collect());
        let words = (asked.words.terms.len() as f32).ln_1p();
        sheet.add("request length", Field::Whole, vec![words; candidates.len()]);
        sheet.add(
            "request numbers",
            Field::Whole,
            vec![(asked.numbers as f32).min(6.0); candidates.len()],
        );
    }

    /// The part of the request that an entry fits best.
    fn by_clauses(&self, sheet: &mut Sheet, asked: &Asked, candidates: &[Candidate]) {
        for (place, space) in self.spaces.iter().enumerate() {
            let name = space.encoder.name();
            let all = || {
                [&asked.vectors]
                    .into_iter()
                    .chain(asked.clauses.iter().map(|c| &c.1))
            };
            let best = |c: &Candidate| {
                let cosines = all().filter_map(|v| v.get(place)).map(|v| space.head(c.entry, v));
                cosines.fold(0.0, f32::max)
            };
            sheet.add_ranked(
                &format!("{name} best clause"),
                Field::Description,
                candidates.iter().map(best).collect(),
            );
            // How often it comes first, or nearly, among the candidates of its group and of all.
            let mut first = vec![0.0_f32; candidates.len()];
            for vector in all().filter_map(|v| v.get(place)) {
                let cosines: Vec<f32> = candidates.iter().map(|c| space.head(c.entry, vector)).collect();
                for (place, cosine) in cosines.iter().enumerate() {
                    let before = cosines.iter().filter(|other| *other > cosine).count();
                    first[place] = first[place].max(1.0 / (1.0 + before as f32));
                }
            }
            sheet.add(format!("{name} clause rank"), Field::Description, first);
        }
        let words = |c: &Candidate| {
            let clauses = asked.clauses.iter().map(|(words, _)| words);
            let scores = clauses.map(|w| self.lexical.overlap(w, c.entry as usize).fielded);
            scores.fold(0.0, f32::max)
        };
        sheet.add_ranked(
            "bm25f best clause",
            Field::Whole,
            candidates.iter().map(words).collect(),
        );
    }
}
