//! `fingerpost hierarchy taxonomy`: texts under named, nested categories.

mod ask;
mod mend;
mod raw;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};
use cpu_time::ProcessTime;
use fingerpost_encode::{Encoder, MiniLm, StaticEncoder};
use fingerpost_hierarchy::taxonomy::{
    Audit, Documents, Edit, Options, Taxonomy, TidyOptions, build, taxonomy_svg,
};
use fingerpost_packages::{ModelFolder, Status, find};
use serde_json::{Value, json};

use super::write;
use crate::{failure::Failure, output::Output, progress::Bar};

/// Rows of the outline for people.
const MOST_ROWS: usize = 60;

/// Orders texts under named, nested categories: by their vectors, or by asking a language model.
#[derive(Debug, Args)]
pub(crate) struct MakeTaxonomy {
    /// The texts: {"id", "title", "text"} a line, or one text a line. With --raw: answers of language models
    file: PathBuf,
    /// FILE holds answers of language models: one as text, or one a row of a .csv (its last column, named by the one before)
    #[arg(long, conflicts_with_all = ["endpoint", "leaves", "top", "encoder", "field"])]
    raw: bool,
    /// The field with the text, where FILE holds JSON lines
    #[arg(long, default_value = "text", value_name = "NAME")]
    field: String,
    /// Leaf categories [default: the square root of the number of texts]
    #[arg(long)]
    leaves: Option<usize>,
    /// Top categories [default: the square root of the leaves]
    #[arg(long)]
    top: Option<usize>,
    /// Most children of a category
    #[arg(long, default_value_t = Options::default().max_children)]
    max_children: usize,
    /// What makes texts to vectors
    #[arg(long, value_enum, default_value = "static")]
    encoder: EncoderName,
    /// Seed of all random choices
    #[arg(long, default_value_t = Options::default().seed)]
    seed: u64,
    /// Title of the taxonomy [default: the name of FILE]
    #[arg(long)]
    title: Option<String>,
    /// Asks a language model at this base URL (OpenAI-compatible, like https://host/v1) in place of vectors
    #[arg(long, value_name = "URL", requires = "model", conflicts_with_all = ["leaves", "top"])]
    endpoint: Option<String>,
    /// Its name there
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    model: Option<String>,
    /// The variable of the environment that holds the key for it
    #[arg(long, value_name = "VAR", requires = "endpoint")]
    api_key_env: Option<String>,
    /// Seconds that it may take for an answer
    #[arg(long, default_value_t = 120, requires = "endpoint")]
    timeout: u64,
    /// Mends links between texts and categories that look wrong, learned from damage to the same taxonomy
    #[arg(long)]
    correct: bool,
    /// Makes it consistent: closure, near twins merged, categories with one text dropped, wide ones divided
    #[arg(long)]
    tidy: bool,
    /// Where the taxonomy goes, as JSON (an array of them for a .csv of answers)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where a picture of it goes
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EncoderName {
    /// The table that is compiled in
    Static,
    /// all-MiniLM-L6-v2: slower, reads better; needs `fingerpost models pull minilm`
    Minilm,
}

/// Taxonomies with all there is to say of them.
struct Made {
    taxonomies: Vec<Taxonomy>,
    edits: Vec<Vec<Edit>>,
    /// What else stands in the result.
    more: Value,
}

// === impl MakeTaxonomy ===

impl MakeTaxonomy {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let start = ProcessTime::now();
        let mut made = if self.raw {
            self.read_answers(output)?
        } else {
            self.make(output)?
        };
        if self.tidy {
            let options = TidyOptions {
                max_children: self.max_children,
                ..TidyOptions::default()
            };
            for (taxonomy, edits) in made.taxonomies.iter_mut().zip(&mut made.edits) {
                edits.extend(taxonomy.tidy(&options));
            }
        }
        self.save(&made)?;
        let mut audit = Audit::default();
        made.taxonomies.iter().for_each(|taxonomy| audit.add(taxonomy));
        let coverage =
            made.taxonomies.iter().map(Taxonomy::coverage).sum::<f64>() / made.taxonomies.len().max(1) as f64;
        let edits: usize = made.edits.iter().map(Vec::len).sum();
        let seconds = start.elapsed().as_secs_f64();
        let mut text = format!(
            "{} top categories, {} categories in all on {} levels, {:.1} children each; {:.0} % of the texts stand somewhere; \
             {edits} edits; {seconds:.2} s of CPU",
            audit.roots,
            audit.categories,
            audit.depth(),
            audit.branching(),
            100.0 * coverage,
        );
        let mut object = json!({
            "audit": audit,
            "overflow": audit.overflow(),
            "depth": audit.depth(),
            "branching": audit.branching(),
            "coverage": coverage,
            "seconds": seconds,
        });
        if let [taxonomy] = &made.taxonomies[..] {
            text.push_str(&outline(taxonomy));
            object["taxonomy"] = json!(taxonomy);
            object["edits"] = json!(made.edits[0]);
        } else {
            object["taxonomies"] = json!(made.taxonomies);
            object["edits"] = json!(made.edits);
        }
        if let (Value::Object(object), Value::Object(more)) = (&mut object, made.more) {
            object.extend(more);
        }
        output.result(&text, &object);
        Ok(ExitCode::SUCCESS)
    }

    fn title(&self) -> String {
        let stem = || {
            self.file
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
        };
        self.title
            .clone()
            .or_else(stem)
            .unwrap_or_else(|| "taxonomy".to_owned())
    }

    /// From texts: by vectors, or by asking a model.
    fn make(&self, output: Output) -> Result<Made, Failure> {
        let documents = Documents::read(&self.file, &self.field)?;
        let texts = documents.texts();
        let bar = Bar::of_items();
        let mut more = json!({"documents": texts.len(), "ids": documents.ids});
        let needs_vectors = self.endpoint.is_none() || self.correct;
        let encoder = if needs_vectors {
            Some(self.encoder.open()?)
        } else {
            None
        };
        let vectors = encoder
            .as_deref()
            .map(|encoder| encoded(encoder, &texts, &bar))
            .unwrap_or_default();
        let mut taxonomy = if let (Some(endpoint), Some(model)) = (&self.endpoint, &self.model) {
            let ask = ask::Ask {
                endpoint,
                model,
                key: self.api_key_env.as_deref(),
                limit: Duration::from_secs(self.timeout),
                reply_file: ask::reply_file(self.out.as_deref()),
            };
            bar.set("asking", 0, 2);
            let placed = ask.taxonomy(&self.title(), &texts, output, &mut |done| {
                bar.set("asking", done, 2);
            })?;
            more["unknown_claims"] = json!(placed.unknown);
            more["left_out"] = json!(placed.left_out);
            more["skipped_lines"] = json!(placed.skipped);
            placed.taxonomy
        } else {
            let options = Options {
                leaves: self.leaves,
                top: self.top,
                max_children: self.max_children,
                seed: self.seed,
                title: self.title(),
                ..Options::default()
            };
            let dimension = encoder.as_deref().map_or(0, Encoder::dims);
            build(&texts, &vectors, dimension, &options, &mut |done, total| {
                bar.set("building", done as u64, total as u64);
                true
            })?
            .taxonomy
        };
        let mut edits = Vec::new();
        if let (true, Some(encoder)) = (self.correct, encoder.as_deref()) {
            bar.set("mending", 0, 1);
            edits = mend::with_texts(&mut taxonomy, &texts, &vectors, encoder, self.seed)?;
        }
        Ok(Made {
            taxonomies: vec![taxonomy],
            edits: vec![edits],
            more,
        })
    }

    /// From answers of models.
    fn read_answers(&self, output: Output) -> Result<Made, Failure> {
        let (mut taxonomies, faults, skipped) = raw::read(&self.file, &self.title())?;
        if let (true, Some(fault)) = (taxonomies.is_empty(), faults.first()) {
            return Err(Failure::from(fault.clone())
                .with_way_out("an answer with lines like \"- name (Claim 0, 2)\""));
        }
        faults
            .iter()
            .for_each(|fault| output.note(&format!("left out: {fault}")));
        if self.svg.is_some() && taxonomies.len() > 1 {
            return Err(Failure::from("--svg draws one taxonomy, and FILE holds several")
                .with_way_out("a file with one answer, or --out"));
        }
        let edits = if self.correct {
            mend::without_texts(&mut taxonomies, self.seed)?
        } else {
            vec![Vec::new(); taxonomies.len()]
        };
        let more =
            json!({"answers": taxonomies.len() + faults.len(), "faults": faults, "skipped_lines": skipped});
        Ok(Made {
            taxonomies,
            edits,
            more,
        })
    }

    fn save(&self, made: &Made) -> Result<(), Failure> {
        if let Some(path) = &self.out {
            let texts: Vec<String> = made
                .taxonomies
                .iter()
                .map(Taxonomy::to_json)
                .collect::<Result<_, _>>()?;
            let content = match &texts[..] {
                [one] => one.clone(),
                many => format!("[{}]", many.join(",\n")),
            };
            write(path, &content)?;
        }
        if let (Some(path), [taxonomy]) = (&self.svg, &made.taxonomies[..]) {
            write(path, &taxonomy_svg(taxonomy))?;
        }
        Ok(())
    }
}

// === impl EncoderName ===

impl EncoderName {
    fn open(self) -> Result<Box<dyn Encoder>, Failure> {
        if self == Self::Static {
            return Ok(Box::new(StaticEncoder::bundled()));
        }
        let Status::Ready { path } = ModelFolder::locate(None)?.status_of(find("minilm")?) else {
            return Err(Failure::from("the encoder minilm is not in the model folder")
                .with_way_out("fingerpost models pull minilm"));
        };
        Ok(Box::new(MiniLm::open(&path)?))
    }
}

/// The vectors of the texts, row after row.
fn encoded(encoder: &dyn Encoder, texts: &[&str], bar: &Bar) -> Vec<f32> {
    let mut vectors = vec![0.0; texts.len() * encoder.dims()];
    for (at, (text, row)) in texts.iter().zip(vectors.chunks_mut(encoder.dims())).enumerate() {
        encoder.encode_into(text, row);
        if at % 64 == 0 {
            bar.set("encoding", at as u64, texts.len() as u64);
        }
    }
    vectors
}

/// The categories for people, indented, with their sizes.
fn outline(taxonomy: &Taxonomy) -> String {
    let visits = taxonomy.walk();
    let mut text = String::new();
    for visit in visits.iter().take(MOST_ROWS) {
        let indent = "  ".repeat(visit.depth + 1);
        text.push_str(&format!(
            "\n{indent}{} ({})",
            visit.category.name,
            visit.category.items.len()
        ));
    }
    if visits.len() > MOST_ROWS {
        text.push_str(&format!(
            "\n  and {} more: see them with --out, --svg or --json",
            visits.len() - MOST_ROWS
        ));
    }
    text
}
