//! What requests that were answered before teach, besides the head.

use fingerpost_encode::Vector;

use super::{
    classes::{Classes, GONE, Likely, NOTHING},
    habits::Habits,
    index::{Asked, SkillIndex},
    memory::{Memory, Recalled},
    vectors::Rows,
};

/// Everything that looks at requests of the training, by places of one index.
#[derive(Debug, Clone, Default)]
pub(crate) struct Knowledge {
    pub(crate) memory: Memory,
    pub(crate) habits: Habits,
    pub(crate) classes: Option<Classes>,
    /// Whether requests need several entries and are taken apart.
    pub(crate) several: bool,
}

/// What it says of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    /// By space.
    pub(crate) recalled: Vec<Recalled>,
    pub(crate) likely: Option<Likely>,
}

/// A request of the training, made ready.
pub(crate) struct Lesson<'a> {
    pub(crate) text: &'a str,
    pub(crate) vectors: Vec<Vector>,
    /// Places of the right entries; none where nothing fits.
    pub(crate) gold: Vec<u32>,
    /// Places of entries that were offered and are wrong.
    pub(crate) wrong: Vec<u32>,
}

// === impl Knowledge ===

impl Knowledge {
    /// Learns from lessons; `with_classes` says whether there is a classifier.
    pub(crate) fn learn(
        index: &SkillIndex,
        lessons: &[&Lesson<'_>],
        several: bool,
        with_classes: bool,
    ) -> Self {
        let mut spaces: Vec<Rows> = index.spaces.iter().map(|s| Rows::new(s.encoder.dims())).collect();
        for lesson in lessons {
            for (rows, vector) in spaces.iter_mut().zip(&lesson.vectors) {
                rows.push(vector);
            }
        }
        let gold: Vec<Vec<u32>> = lessons.iter().map(|l| l.gold.clone()).collect();
        let classes = with_classes.then(|| {
            let texts: Vec<&str> = lessons.iter().map(|l| l.text).collect();
            let vectors: Vec<Vec<Vector>> = lessons.iter().map(|l| l.vectors.clone()).collect();
            Classes::fit(&texts, &vectors, &gold)
        });
        Self {
            habits: Habits::new(index, gold.iter(), lessons.iter().map(|l| &l.wrong)),
            memory: Memory::new(index.entries.len(), gold, spaces),
            classes,
            several,
        }
    }

    /// What it says of a request.
    pub(crate) fn says(&self, text: &str, asked: &Asked) -> Said {
        let recalled = asked.vectors.iter().enumerate();
        Said {
            recalled: recalled.map(|(space, v)| self.memory.recall(space, v)).collect(),
            likely: self.classes.as_ref().map(|c| c.likely(text, &asked.vectors)),
        }
    }

    /// Entries by the classifier's members, each best first, at most so many.
    pub(crate) fn likely_entries(&self, said: &Said, most: usize) -> Vec<Vec<u32>> {
        let (Some(classes), Some(likely)) = (&self.classes, &said.likely) else {
            return Vec::new();
        };
        let rank = |member: &Vec<f32>| {
            let best = super::vectors::best(member, most, f32::NEG_INFINITY);
            let entries = best.into_iter().map(|class| classes.entries[class as usize]);
            entries.filter(|e| *e < GONE).collect()
        };
        likely.iter().map(rank).collect()
    }

    /// Whether "nothing fits" was learned as a class of its own.
    pub(crate) fn knows_nothing(&self) -> bool {
        self.classes.as_ref().is_some_and(|c| c.class(NOTHING).is_some())
    }

    /// What the training says of "nothing fits" for a request.
    pub(crate) fn nothing(&self, said: &Said) -> Vec<f32> {
        let mut signs = Vec::new();
        for recalled in &said.recalled {
            signs.extend([recalled.nothing, recalled.nearest, recalled.nearest_nothing]);
        }
        if let (Some(classes), Some(likely)) = (&self.classes, &said.likely) {
            for member in likely {
                let nothing = classes.class(NOTHING).and_then(|class| member.get(class));
                signs.push(nothing.copied().unwrap_or(-12.0).max(-12.0));
                let known = member
                    .iter()
                    .enumerate()
                    .filter(|(c, _)| classes.entries[*c] != NOTHING);
                signs.push(known.map(|(_, l)| *l).fold(-12.0, f32::max));
            }
        }
        signs
    }
}
