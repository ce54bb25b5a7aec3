//! The texts that a table is learned on.
//!
//! A folder is read file by file in the order of their paths: JSON Lines (also gzipped), of which the
//! text fields are taken, and plain text, line by line. Long texts are cut into sentences and these
//! into pieces of at most sixteen words, since routers mostly see short prompts. Data sets that are
//! to judge the table are held out: their folders are not read, and no piece that equals one of
//! their texts (letters and digits compared, case ignored) gets in from elsewhere.
//!
//! A few hundred thousand real pieces leave most of the vocabulary rare or unseen, so more texts are
//! made of them: spans of pieces, pieces with one or two words exchanged for words of the vocabulary
//! (each word of the vocabulary gets its turns), and phrases of vocabulary words. The teacher tells
//! what they mean; that they make little sense does no harm.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::DistillError;
use super::random::Random;
use crate::wordpiece::Vocabulary;

/// What to read, and how much to make of it.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(default)]
#[derive(serde::Deserialize)]
pub struct CorpusOptions {
    /// Folders (path prefixes below the corpus folder) that are not read.
    pub skip: Vec<String>,
    /// Folders that are not read and whose texts are kept out of all others.
    pub held_out: Vec<String>,
    /// Fields of JSON rows that hold text.
    pub fields: Vec<String>,
    /// Most pieces taken from one file (drawn at random).
    pub pieces_a_file: usize,
    /// Random spans of pieces, made in addition.
    pub spans: usize,
    /// How often each word of the vocabulary is put into a piece; the commonest 8,000 twice as often.
    pub exchanges: usize,
    /// Phrases of two to five vocabulary words.
    pub phrases: usize,
    /// Seed of all draws.
    pub seed: u64,
}

/// Distinct texts, in a fixed order.
pub(super) struct Corpus {
    pub(super) texts: Vec<String>,
    /// How many of them were found as they are.
    pub(super) found: usize,
    pub(super) sha256: String,
}

const LONGEST_WORDS: usize = 16;
const SHORTEST_WORDS: usize = 2;
/// Words of the vocabulary up to this id count as common (BERT's ids follow frequency).
const COMMON: usize = 8_000;

// === impl CorpusOptions ===

impl Default for CorpusOptions {
    fn default() -> Self {
        let list = |items: &[&str]| items.iter().map(ToString::to_string).collect();
        Self {
            skip: list(&[
                "routerbench11",
                "routerdc7",
                "twinrouterbench",
                "vectors",
                "graphs",
                "text",
            ]),
            held_out: list(&["clinc150", "banking77"]),
            fields: list(&[
                "text",
                "query",
                "turns",
                "description",
                "description_long",
                "server_description",
            ]),
            pieces_a_file: 15_000,
            spans: 12_000,
            exchanges: 2,
            phrases: 10_000,
            seed: 1,
        }
    }
}

// === impl Corpus ===

impl Corpus {
    pub(super) fn gather(
        folder: &Path,
        vocabulary: &Vocabulary,
        options: &CorpusOptions,
    ) -> Result<Self, DistillError> {
        let mut files = Vec::new();
        list_files(folder, &mut files)?;
        files.sort();
        let mut random = Random::new(options.seed);
        let mut taken = HashSet::new();
        for file in files.iter().filter(|file| below(folder, file, &options.held_out)) {
            read_texts(file, &options.fields, &mut |text| {
                taken.insert(fingerprint(text));
            })?;
        }
        let (mut texts, mut whole) = (Vec::new(), Vec::new());
        for file in &files {
            if below(folder, file, &options.held_out) || below(folder, file, &options.skip) {
                continue;
            }
            let mut pieces = Vec::new();
            read_texts(file, &options.fields, &mut |text| {
                cut(text, &mut |piece| {
                    if taken.insert(fingerprint(piece)) {
                        pieces.push((piece.to_string(), piece.len() == text.len()));
                    }
                });
            })?;
            random.shuffle(&mut pieces);
            pieces.truncate(options.pieces_a_file);
            for (piece, is_whole) in pieces {
                if is_whole && piece.split_whitespace().count() >= 4 && !is_plain(file) {
                    whole.push(piece.clone());
                }
                texts.push(piece);
            }
        }
        if texts.is_empty() {
            return Err(DistillError::EmptyCorpus {
                folder: folder.to_owned(),
            });
        }
        let found = texts.len();
        let mut make = |text: String, texts: &mut Vec<String>| {
            if taken.insert(fingerprint(&text)) {
                texts.push(text);
            }
        };
        let real = texts.clone();
        for _ in 0..options.spans {
            let words: Vec<&str> = random
                .pick(&real)
                .map_or("", String::as_str)
                .split_whitespace()
                .collect();
            let length = 2 + random.below(7);
            let start = random.below(words.len().saturating_sub(length) + 1);
            make(
                words[start..words.len().min(start + length)].join(" "),
                &mut texts,
            );
        }
        let vocabulary: Vec<&str> = vocabulary.entries().filter(|entry| is_word(entry)).collect();
        for round in 0..options.exchanges * 2 {
            for (place, word) in vocabulary.iter().enumerate() {
                if place < COMMON || round < options.exchanges {
                    make(
                        exchange(
                            if whole.is_empty() { &real } else { &whole },
                            word,
                            &vocabulary,
                            &mut random,
                        ),
                        &mut texts,
                    );
                }
            }
        }
        for _ in 0..options.phrases {
            let words: Vec<&str> = (0..2 + random.below(4))
                .map(|_| frequent(&vocabulary, &mut random))
                .collect();
            make(words.join(" "), &mut texts);
        }
        // So that any first part of the corpus is a fair sample of it.
        random.shuffle(&mut texts);
        let mut hash = Sha256::new();
        for text in &texts {
            hash.update(text);
            hash.update([0]);
        }
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { texts, found, sha256 })
    }
}

/// A random piece in which `word`, and half the time a second word, stands for words of its own.
fn exchange(pieces: &[String], word: &str, vocabulary: &[&str], random: &mut Random) -> String {
    let piece = random.pick(pieces).map_or("", String::as_str);
    let mut words: Vec<&str> = piece.split_whitespace().take(14).collect();
    let long: Vec<usize> = (0..words.len()).filter(|&i| words[i].len() > 3).collect();
    if let Some(&at) = random.pick(&long) {
        words[at] = word;
    } else {
        words.push(word);
    }
    if random.below(2) == 0
        && let Some(&at) = random.pick(&long).filter(|&&at| words[at] != word)
    {
        words[at] = frequent(vocabulary, random);
    }
    words.join(" ")
}

/// A word drawn so that the first ones, which are the commonest, come up more often.
fn frequent<'a>(vocabulary: &[&'a str], random: &mut Random) -> &'a str {
    let place = random.unit().powi(2) * vocabulary.len() as f64;
    vocabulary.get(place as usize).copied().unwrap_or_default()
}

fn is_word(entry: &str) -> bool {
    entry.len() > 1 && entry.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Letters and digits only, in lower case, words apart.
fn fingerprint(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for word in text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        plain.push_str(&word.to_lowercase());
        plain.push(' ');
    }
    plain
}

/// Cuts a text at line ends and sentence ends, and long sentences into equal parts.
fn cut(text: &str, take: &mut impl FnMut(&str)) {
    for line in text.lines() {
        for sentence in line.split_inclusive(&['.', '?', '!', ';'][..]) {
            let sentence = sentence.trim();
            let words: Vec<&str> = sentence.split_whitespace().collect();
            let letters = sentence.bytes().filter(u8::is_ascii_alphabetic).count();
            if words.len() < SHORTEST_WORDS || letters * 10 < sentence.len() * 6 {
                continue;
            }
            if words.len() <= LONGEST_WORDS {
                take(sentence);
            } else {
                let parts = words.len().div_ceil(LONGEST_WORDS);
                words
                    .chunks(words.len().div_ceil(parts))
                    .for_each(|part| take(&part.join(" ")));
            }
        }
    }
}

/// Plain text, whose lines are no texts of their own.
fn is_plain(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "txt")
}

fn below(folder: &Path, file: &Path, prefixes: &[String]) -> bool {
    file.strip_prefix(folder)
        .is_ok_and(|path| prefixes.iter().any(|prefix| path.starts_with(prefix)))
}

fn list_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), DistillError> {
    let failed = |source| DistillError::Io {
        path: folder.to_owned(),
        source,
    };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            list_files(&path, files)?;
        } else if [".jsonl", ".jsonl.gz", ".txt"]
            .iter()
            .any(|end| path.to_string_lossy().ends_with(end))
            && !path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("LICENSE"))
        {
            files.push(path);
        }
    }
    Ok(())
}

/// Hands on the text fields of a file's rows (rows marked as validation data left out), or its lines.
fn read_texts(path: &Path, fields: &[String], take: &mut impl FnMut(&str)) -> Result<(), DistillError> {
    let failed = |source| DistillError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let name = path.to_string_lossy();
    let bytes: Box<dyn Read> = if name.ends_with(".gz") {
        Box::new(GzDecoder::new(file))
    } else {
        Box::new(file)
    };
    for line in BufReader::new(bytes).lines() {
        let line = line.map_err(failed)?;
        if is_plain(path) {
            take(&line);
            continue;
        }
        let row: Value = serde_json::from_str(&line)
            .map_err(|error| failed(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))?;
        if row.get("split").and_then(Value::as_str) == Some("val") {
            continue;
        }
        for field in fields {
            strings(row.get(field), take);
        }
    }
    Ok(())
}

fn strings(value: Option<&Value>, take: &mut impl FnMut(&str)) {
    match value {
        Some(Value::String(text)) => take(text),
        Some(Value::Array(items)) => items.iter().for_each(|item| strings(Some(item), take)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        folder
    }

    fn only_found() -> CorpusOptions {
        CorpusOptions {
            spans: 0,
            exchanges: 0,
            phrases: 0,
            ..CorpusOptions::default()
        }
    }

    #[test]
    fn held_out_texts_stay_out_wherever_they_stand() {
        let folder = folder_with(&[
            ("clinc150/test.jsonl", r#"{"text":"what's my balance"}"#),
            (
                "other/a.jsonl",
                "{\"query\":\"What's my BALANCE?\"}\n{\"query\":\"where am i\"}",
            ),
            ("routerdc7/b.jsonl", r#"{"text":"not to be read"}"#),
        ]);
        let vocabulary = Vocabulary::new(["[UNK]"]).unwrap();
        let corpus = Corpus::gather(folder.path(), &vocabulary, &only_found()).unwrap();
        assert_eq!(corpus.texts, ["where am i"]);
    }

    #[test]
    fn validation_rows_and_repetitions_are_left_out() {
        let rows = "{\"text\":\"one two\",\"split\":\"val\"}\n{\"text\":\"three four\"}\n{\"text\":\"Three, four!\"}";
        let folder = folder_with(&[("set/rows.jsonl", rows)]);
        let vocabulary = Vocabulary::new(["[UNK]"]).unwrap();
        let corpus = Corpus::gather(folder.path(), &vocabulary, &only_found()).unwrap();
        assert_eq!(corpus.texts, ["three four"]);
    }

    #[test]
    fn long_texts_are_cut_into_equal_parts() {
        let mut parts = Vec::new();
        cut(&"word ".repeat(50), &mut |part| {
            parts.push(part.split(' ').count());
        });
        assert_eq!(parts, [13, 13, 13, 11]);
    }

    #[test]
    fn a_seed_makes_one_corpus() {
        let folder = folder_with(&[(
            "a.jsonl",
            r#"{"text":"please show me the large weather map of today"}"#,
        )]);
        let vocabulary = Vocabulary::new(["[UNK]", "rain", "coast", "##ing"]).unwrap();
        let options = CorpusOptions {
            spans: 5,
            phrases: 5,
            ..CorpusOptions::default()
        };
        let make = || Corpus::gather(folder.path(), &vocabulary, &options).unwrap();
        assert_eq!(make().sha256, make().sha256);
        assert!(
            make()
                .texts
                .iter()
                .any(|text| text.contains("rain") && text.contains("weather"))
        );
        assert_eq!(make().found, 1);
    }

    #[test]
    fn an_empty_folder_is_an_error() {
        let folder = folder_with(&[]);
        let vocabulary = Vocabulary::new(["[UNK]"]).unwrap();
        let error = Corpus::gather(folder.path(), &vocabulary, &only_found())
            .err()
            .unwrap();
        assert!(error.to_string().contains("no text"), "{error}");
    }
}
