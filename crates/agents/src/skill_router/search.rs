//! Both stages, one after the other.

use std::sync::Arc;

use super::{
    abstain::signs,
    field::{Field, TEXTS},
    head::softmax,
    index::{Asked, SkillIndex},
    knowledge::{Knowledge, Said},
    retrieve::{Candidate, Rankings},
    sheet::Sheet,
    trained::{Trained, TrainedError},
};

/// Candidates that the second stage judges.
const DEPTH: usize = 50;

/// An index with what was learned about it.
pub struct SkillRouter {
    pub(crate) index: Arc<SkillIndex>,
    pub(crate) knowledge: Knowledge,
    pub(crate) trained: Arc<Trained>,
}

/// What a request finds.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Best first.
    pub hits: Vec<Hit>,
    /// The probability that any entry fits, in 0..=1.
    pub fits: f32,
}

/// An entry that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Its place in the index.
    pub entry: usize,
    /// Its share of the candidates' softmax, in 0..=1.
    pub share: f32,
    /// The first entry of its family of near copies.
    pub family: usize,
    /// What each field gave to its score beyond what it gave to the other candidates on average, highest first: the first is the
    /// one that decided. A feature of several fields counts for each by the share of the request that stands in it.
    pub fields: Vec<(Field, f32)>,
}

// === impl Found ===

impl Found {
    /// The field that decided about the first place.
    pub fn decided(&self) -> Option<Field> {
        self.hits.first()?.fields.first().map(|f| f.0)
    }
}

// === impl SkillRouter ===

impl SkillRouter {
    /// Joins an index with what was trained.
    ///
    /// # Errors
    /// Where it was trained with other encoders.
    pub fn new(index: Arc<SkillIndex>, trained: Arc<Trained>) -> Result<Self, TrainedError> {
        let knowledge = trained.knowledge(&index)?;
        Ok(Self {
            index,
            knowledge,
            trained,
        })
    }

    /// The entries.
    pub fn index(&self) -> &SkillIndex {
        &self.index
    }

    /// At most `k` entries for a request, best first. Nothing in it for an empty index.
    pub fn search(&self, request: &str, k: usize) -> Found {
        let asked = self.index.ask(request, self.knowledge.several);
        let said = self.knowledge.says(request, &asked);
        let (candidates, sheet) = self.index.shown(&asked, &self.knowledge, &said);
        self.judge(&said, &candidates, &sheet, k)
    }

    /// The same with each family once, by its best member.
    pub fn search_families(&self, request: &str, k: usize) -> Found {
        let mut found = self.search(request, DEPTH);
        let mut seen = Vec::new();
        found.hits.retain(|hit| {
            let fresh = !seen.contains(&hit.family);
            seen.push(hit.family);
            fresh
        });
        found.hits.truncate(k);
        found
    }

    fn judge(&self, said: &Said, candidates: &[Candidate], sheet: &Sheet, k: usize) -> Found {
        let rows = sheet.rows();
        let head = &self.trained.head;
        let scores: Vec<f32> = rows.iter().map(|row| head.score(row)).collect();
        let mut shares = vec![0.0; scores.len()];
        softmax(&scores, &mut shares);
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        order.truncate(k);
        let abstain = &self.trained.abstain;
        let nothing = self.knowledge.nothing(said);
        let fits = if scores.is_empty() {
            0.0
        } else {
            abstain.fits(&signs(&rows, &scores, abstain.columns(), &nothing))
        };
        let fields = self.by_field(&rows, &order, sheet);
        let hits = order.iter().zip(fields).map(|(&place, fields)| Hit {
            entry: candidates[place].entry as usize,
            share: shares[place],
            family: self.index.families[candidates[place].entry as usize] as usize,
            fields,
        });
        Found {
            hits: hits.collect(),
            fits,
        }
    }

    /// What each field gave to those that are shown, beyond the mean of all that were judged.
    fn by_field(&self, rows: &[Vec<f32>], shown: &[usize], sheet: &Sheet) -> Vec<Vec<(Field, f32)>> {
        let covered = TEXTS.map(|field| {
            let name = format!("covered by {field}");
            sheet.features.iter().position(|feature| feature.name == name)
        });
        let by_field = |row: &Vec<f32>| {
            let mut sums = [0.0; Field::ALL.len()];
            for (share, feature) in self.trained.head.explain(row).iter().zip(&sheet.features) {
                sums[feature.field as usize] += share;
            }
            // What reads several fields belongs to them as far as each has of the request.
            let shares = covered.map(|column| column.map_or(0.0, |column| row[column]));
            let total: f32 = shares.iter().sum();
            if total > 0.0 {
                let whole = std::mem::take(&mut sums[Field::Whole as usize]);
                for (field, share) in TEXTS.into_iter().zip(shares) {
                    sums[field as usize] += whole * share / total;
                }
            }
            sums
        };
        // The first ones are whom the winner was picked from; the rest costs and tells nothing.
        let some: Vec<_> = rows.iter().take(20).map(by_field).collect();
        let mean = |field: usize| some.iter().map(|s| s[field]).sum::<f32>() / some.len().max(1) as f32;
        let means: [f32; Field::ALL.len()] = std::array::from_fn(mean);
        let beyond = |place: &usize| {
            let sums = by_field(&rows[*place]);
            let mut fields: Vec<(Field, f32)> = Field::ALL
                .into_iter()
                .map(|f| (f, sums[f as usize] - means[f as usize]))
                .collect();
            fields.sort_by(|a, b| b.1.total_cmp(&a.1));
            fields
        };
        shown.iter().map(beyond).collect()
    }
}

impl SkillIndex {
    /// The first stage's candidates and all that the second one sees of them.
    pub(crate) fn shown(&self, asked: &Asked, knowledge: &Knowledge, said: &Said) -> (Vec<Candidate>, Sheet) {
        let found = self.candidates(asked, knowledge, said, Rankings::default(), DEPTH);
        let sheet = self.sheet(asked, &found, knowledge, said);
        (found, sheet)
    }

    /// The first stage alone, untrained: places and fused scores of at most `k` entries by the chosen rankings.
    pub fn retrieve(&self, request: &str, rankings: Rankings, k: usize) -> Vec<(usize, f32)> {
        let asked = self.ask(request, false);
        self.retrieve_asked(&asked, rankings, k)
    }

    fn retrieve_asked(&self, asked: &Asked, rankings: Rankings, k: usize) -> Vec<(usize, f32)> {
        let nothing = (Knowledge::default(), Said::default());
        let found = self.candidates(asked, &nothing.0, &nothing.1, rankings, k);
        found.into_iter().map(|c| (c.entry as usize, c.fused)).collect()
    }
}
