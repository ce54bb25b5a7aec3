//! Trains the methods and scores them.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use cpu_time::ThreadTime;
use fingerpost_agents::{
    Entry,
    skill_router::{
        Class, Objective, Options, PlainWords, Rankings, Request, SkillIndex, SkillRouter, TrainedError,
    },
};
use fingerpost_core::Name;
use fingerpost_encode::Encoder;
use rustc_hash::FxHashSet;
use sha2::{Digest, Sha256};

use super::{Cut, Folder, Labelled, Report, Row, Tally, VectorFile, auroc, hard_tier};

/// Requests whose latency is measured.
const TIMED: usize = 200;
/// Requests beyond which one fold is scored instead of all.
const MANY: usize = 5_000;
const FOLDS: usize = 5;

/// An encoder by the name that methods carry.
pub type Encoding = (String, Arc<VectorFile>);

/// What is measured.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// What is taken from the entries first.
    pub cut: Cut,
    /// Whether degraded copies are added.
    pub hard: bool,
    /// Whether the losses of the head, the filter of false negatives and the worth of bodies are compared.
    pub relations: bool,
    /// Seed of everything left to chance.
    pub seed: u64,
}

/// What one method says of one request.
struct Said {
    ranking: Vec<Name>,
    fits: Option<f32>,
    decided: Option<String>,
}

/// One method's counts.
#[derive(Default)]
struct Counts {
    tally: Tally,
    other_sets: BTreeMap<String, Tally>,
    fits: Vec<(f32, bool)>,
    right: usize,
    asked: usize,
    decided: BTreeMap<String, usize>,
    times: Vec<f64>,
}

struct Split<'a> {
    train: Vec<Request>,
    calibration: Vec<Request>,
    test: Vec<&'a Labelled>,
}

/// Scores all methods on a folder. `test` are requests of another file; the encoders come quickest first.
///
/// # Errors
/// Never where the index and the training are of one run, as they are here.
pub fn judge(
    mut folder: Folder,
    test: Option<Vec<Labelled>>,
    encodings: &[Encoding],
    plan: &Plan,
    progress: &dyn Fn(&str, usize, usize),
) -> Result<Report, TrainedError> {
    let split = match (&test, &folder.test) {
        (Some(_), _) => "file",
        (None, Some(_)) => "part",
        (None, None) if folder.requests.len() > MANY => "held_out",
        (None, None) => "folds",
    };
    if test.is_some() {
        folder.test = test;
    }
    plan.cut.apply(&mut folder.entries);
    let degraded = if plan.hard {
        hard_tier(&mut folder)
    } else {
        FxHashSet::default()
    };
    let splits = splits(&folder, split);
    let mut judge = Judge {
        has_sets: folder.requests.iter().any(|r| !r.set.is_empty()),
        degraded,
        methods: Vec::new(),
        entries: &folder.entries,
    };
    let scored: Vec<&Labelled> = splits.iter().flat_map(|s| s.test.iter().copied()).collect();

    // A slow encoder reads all requests together, on all cores; the searches find them remembered.
    for (_, encoder) in encodings {
        let texts = splits.iter().flat_map(|split| {
            let own = split
                .train
                .iter()
                .chain(&split.calibration)
                .map(|r| r.text.as_str());
            own.chain(split.test.iter().map(|r| r.text.as_str()))
        });
        drop(encoder.encode_batch(&texts.collect::<Vec<&str>>()));
    }
    let begun = Instant::now();
    let encoders: Vec<Arc<dyn Encoder>> = encodings
        .iter()
        .map(|(_, e)| e.clone() as Arc<dyn Encoder>)
        .collect();
    let whole = Arc::new(SkillIndex::new(folder.entries.clone(), &encoders));
    let index_seconds = begun.elapsed().as_secs_f64();

    let all_text = |e: &Entry| {
        let mut text = format!("{} {} {}", e.name, e.description, e.body);
        for more in e
            .group
            .iter()
            .map(|g| g.as_str())
            .chain(e.tags.iter().map(String::as_str))
        {
            text.push(' ');
            text.push_str(more);
        }
        text
    };
    let has_bodies = folder.entries.iter().any(|e| !e.body.is_empty());
    let plain = PlainWords::new(&folder.entries, all_text);
    judge.untrained("bm25", &scored, |text, k| plain.rank(text, k));
    if has_bodies {
        let short = PlainWords::new(&folder.entries, |e| format!("{} {}", e.name, e.description));
        judge.untrained("bm25_name_description", &scored, |text, k| short.rank(text, k));
    }
    for (place, (name, encoder)) in encodings.iter().enumerate() {
        let index = if encodings.len() == 1 {
            whole.clone()
        } else {
            Arc::new(SkillIndex::new(folder.entries.clone(), &encoders[place..=place]))
        };
        for (method, words) in [(name.clone(), false), (format!("hybrid_{name}"), true)] {
            let rankings = Rankings {
                words,
                spaces_from: 0,
                memory: false,
            };
            let search = |text: &str, k: usize| index.retrieve(text, rankings, k);
            judge.untrained(&method, &scored, search);
            judge.time(&method, &scored, encoder, |text| drop(search(text, 20)));
        }
    }

    let begun = Instant::now();
    let base = Options {
        several: Labelled::need_several(&folder.requests),
        seed: plan.seed,
        ..Options::default()
    };
    let Some(((last, slowest), quick)) = encodings.split_last() else {
        return Ok(judge.report(&whole, index_seconds, 0.0, split, scored.len()));
    };
    // What the quickest encoder alone is worth.
    let first = Arc::new(SkillIndex::new(folder.entries.clone(), &encoders[..1]));
    if let Some((name, encoder)) = quick.first() {
        judge.routers(
            &first,
            &splits,
            base,
            &[(format!("router_{name}"), base.objective)],
            encoder,
            progress,
        )?;
    }
    let mut heads = vec![(format!("router_{last}"), base.objective)];
    if plan.relations {
        heads.push((format!("listwise_{last}"), Objective::Listwise));
        heads.push((format!("pointwise_{last}"), Objective::Pointwise));
        heads.push((format!("pairwise_{last}"), Objective::Pairwise));
    }
    judge.routers(&whole, &splits, base, &heads, slowest, progress)?;
    if plan.relations {
        let unfiltered = Options {
            filter: false,
            ..base
        };
        let name = format!("unfiltered_{last}");
        judge.routers(
            &whole,
            &splits,
            unfiltered,
            &[(name, base.objective)],
            slowest,
            progress,
        )?;
        if has_bodies {
            let mut entries = folder.entries.clone();
            let cut = Cut {
                body: true,
                ..Cut::default()
            };
            cut.apply(&mut entries);
            let index = Arc::new(SkillIndex::new(entries, &encoders));
            let name = format!("without_body_{last}");
            judge.routers(
                &index,
                &splits,
                base,
                &[(name, base.objective)],
                slowest,
                progress,
            )?;
        }
    }
    let train_seconds = begun.elapsed().as_secs_f64();
    Ok(judge.report(&whole, index_seconds, train_seconds, split, scored.len()))
}

fn splits<'a>(folder: &'a Folder, split: &str) -> Vec<Split<'a>> {
    let requests = |labelled: &[Labelled]| labelled.iter().map(Labelled::request).collect::<Vec<_>>();
    if let Some(test) = &folder.test {
        return vec![Split {
            train: requests(&folder.requests),
            calibration: requests(&folder.calibration),
            test: test.iter().collect(),
        }];
    }
    let folds = if split == "held_out" { 1 } else { FOLDS };
    let part = |held: usize| {
        let (test, train): (Vec<&Labelled>, Vec<&Labelled>) =
            folder.requests.iter().partition(|r| fold(&r.text) == held);
        Split {
            train: train.into_iter().map(Labelled::request).collect(),
            calibration: Vec::new(),
            test,
        }
    };
    (0..folds).map(part).collect()
}

/// The fold of a request: SHA-256 of its text, bytes 8 to 11 big-endian, modulo 5. (The first bytes chose what is kept aside for
/// acceptance.)
fn fold(text: &str) -> usize {
    let digest = Sha256::digest(text);
    let bytes: [u8; 4] = std::array::from_fn(|i| digest[8 + i]);
    u32::from_be_bytes(bytes) as usize % FOLDS
}

struct Judge<'a> {
    entries: &'a [Entry],
    has_sets: bool,
    degraded: FxHashSet<Name>,
    methods: Vec<(String, Counts)>,
}

// === impl Judge ===

impl Judge<'_> {
    fn counts(&mut self, method: &str) -> &mut Counts {
        let place = self.methods.iter().position(|(name, _)| name == method);
        let place = place.unwrap_or_else(|| {
            self.methods.push((method.to_owned(), Counts::default()));
            self.methods.len() - 1
        });
        &mut self.methods[place].1
    }

    /// The set of a request, where it is not of those that the row counts.
    fn other_set(&self, request: &Labelled) -> Option<String> {
        if !self.has_sets {
            return None;
        }
        if request.set.starts_with("apibench") {
            return Some("apibench".to_owned());
        }
        (request.steps.len() > 1).then(|| "several".to_owned())
    }

    fn take(&mut self, method: &str, request: &Labelled, said: Said) {
        let set = self.other_set(request);
        let degraded = std::mem::take(&mut self.degraded);
        let counts = self.counts(method);
        if let Some(set) = set {
            let tally = counts.other_sets.entry(set).or_default();
            tally.add(request, &said.ranking, |id| degraded.contains(id));
            self.degraded = degraded;
            return;
        }
        let is_right = (said.ranking.first()).is_some_and(|id| request.steps.iter().any(|s| s.contains(id)));
        if let Some(fits) = said.fits {
            counts.fits.push((fits, !request.steps.is_empty()));
            counts.asked += 1;
            counts.right += usize::from(if request.steps.is_empty() {
                fits < 0.5
            } else {
                fits >= 0.5 && is_right
            });
        }
        if !request.steps.is_empty() {
            counts
                .tally
                .add(request, &said.ranking, |id| degraded.contains(id));
            if let Some(field) = said.decided {
                *counts.decided.entry(field).or_default() += 1;
            }
        }
        self.degraded = degraded;
    }

    fn untrained(
        &mut self,
        method: &str,
        scored: &[&Labelled],
        search: impl Fn(&str, usize) -> Vec<(usize, f32)>,
    ) {
        for request in scored {
            let begun = ThreadTime::now();
            let found = search(&request.text, 20);
            let took = begun.elapsed().as_secs_f64();
            let said = Said {
                ranking: found.iter().map(|f| self.entries[f.0].id.clone()).collect(),
                fits: None,
                decided: None,
            };
            self.take(method, request, said);
            self.counts(method).times.push(took * 1e3);
        }
    }

    /// Measures anew, with the encoder's own time.
    fn time(&mut self, method: &str, scored: &[&Labelled], encoder: &VectorFile, search: impl Fn(&str)) {
        encoder.bypass(true);
        let times = scored
            .iter()
            .step_by((scored.len() / TIMED).max(1))
            .map(|request| {
                let begun = ThreadTime::now();
                search(&request.text);
                begun.elapsed().as_secs_f64() * 1e3
            });
        let times = times.collect();
        encoder.bypass(false);
        self.counts(method).times = times;
    }

    fn routers(
        &mut self,
        index: &Arc<SkillIndex>,
        splits: &[Split<'_>],
        options: Options,
        heads: &[(String, Objective)],
        encoder: &VectorFile,
        progress: &dyn Fn(&str, usize, usize),
    ) -> Result<(), TrainedError> {
        for split in splits {
            let name = heads.first().map_or("", |h| h.0.as_str());
            let class = Class::new(index, &split.train, options, &mut |done, of| {
                progress(name, done, of);
            });
            for (method, objective) in heads {
                let options = Options {
                    objective: *objective,
                    ..options
                };
                let trained = Arc::new(class.teach(&split.calibration, options));
                let router = SkillRouter::new(index.clone(), trained)?;
                for request in &split.test {
                    let found = router.search(&request.text, 20);
                    let said = Said {
                        ranking: found
                            .hits
                            .iter()
                            .map(|h| index.entries()[h.entry].id.clone())
                            .collect(),
                        fits: Some(found.fits),
                        decided: found.decided().map(|f| f.to_string()),
                    };
                    self.take(method, request, said);
                }
                self.time(method, &split.test, encoder, |text| drop(router.search(text, 20)));
            }
        }
        Ok(())
    }

    fn report(
        self,
        index: &SkillIndex,
        index_seconds: f64,
        train_seconds: f64,
        split: &'static str,
        requests: usize,
    ) -> Report {
        let mut families = vec![0; self.entries.len()];
        for entry in 0..self.entries.len() {
            if let Some(family) = index.family(entry) {
                families[family] += 1;
            }
        }
        Report {
            entries: self.entries.len(),
            requests,
            split,
            index_seconds,
            train_seconds,
            index_bytes: index.bytes(),
            families: families.into_iter().filter(|f| *f > 1).count(),
            rows: self
                .methods
                .into_iter()
                .map(|(method, counts)| counts.row(method))
                .collect(),
        }
    }
}

// === impl Counts ===

impl Counts {
    fn row(mut self, method: String) -> Row {
        self.times.sort_unstable_by(f64::total_cmp);
        let time = |share: f64| {
            let place = (self.times.len().saturating_sub(1)) as f64 * share;
            self.times.get(place.round() as usize).copied().unwrap_or(0.0)
        };
        let decided: usize = self.decided.values().sum();
        let abstains = self.fits.iter().any(|f| !f.1);
        let square = |(fits, does): &(f32, bool)| (f64::from(*fits) - f64::from(*does)).powi(2);
        let mean = |sum: f64| sum / self.fits.len().max(1) as f64;
        Row {
            method,
            scores: self.tally.scores(),
            abstention_auroc: auroc(&self.fits),
            abstention_brier: abstains.then(|| mean(self.fits.iter().map(square).sum())),
            right_or_abstained: abstains.then(|| self.right as f64 / self.asked.max(1) as f64),
            p50_ms: time(0.5),
            p95_ms: time(0.95),
            p99_ms: time(0.99),
            decided: (self.decided.iter())
                .map(|(field, n)| (field.clone(), *n as f64 / decided as f64))
                .collect(),
            other_sets: (self.other_sets.iter())
                .map(|(set, tally)| (set.clone(), tally.scores()))
                .collect(),
        }
    }
}
