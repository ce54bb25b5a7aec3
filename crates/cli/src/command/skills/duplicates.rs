//! `fingerpost skills duplicates`: entries that say the same.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use fingerpost_agents::catalogue::{Family, Index, Nearness, families, read_all, shown};
use serde_json::json;

use crate::{encoder::EncoderName, failure::Failure, interrupt::Interrupt, output::Output, progress::Bar};

/// Finds entries that say the same or nearly: equal content, equal names, shared words, equal meaning.
#[derive(Debug, Args)]
pub(crate) struct Duplicates {
    /// The folder of an index, or files and folders as `skills index` reads them
    #[arg(required = true, value_name = "DIR")]
    sources: Vec<PathBuf>,
    /// What turns texts into vectors, where there is no index yet
    #[arg(long, value_enum, default_value = "static")]
    encoder: EncoderName,
    /// Share of equal trigrams of words above which two texts are one; 1 turns it off
    #[arg(long, default_value_t = Nearness::default().words)]
    words: f32,
    /// Cosine above which two entries mean the same; 1 turns it off
    #[arg(long, default_value_t = Nearness::default().meaning)]
    meaning: f32,
    /// Names alone make no duplicates
    #[arg(long)]
    ignore_names: bool,
}

// === impl Duplicates ===

impl Duplicates {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        for (name, value) in [("--words", self.words), ("--meaning", self.meaning)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Failure::from(format!("{name} is {value}")).with_way_out("a number from 0 to 1"));
            }
        }
        let interrupt = Interrupt::listen()?;
        let nearness = Nearness {
            by_name: !self.ignore_names,
            words: self.words,
            meaning: self.meaning,
        };
        let (index, problems) = match self.sources.as_slice() {
            [folder] if Index::is_in(folder) => super::open(folder, output)?,
            _ => {
                let mut index = Index::new(self.encoder.open()?)?;
                let reading = read_all(self.sources);
                let bar = Bar::of_items();
                super::say(&reading.problems, Some(&bar), output);
                let changes = index.sync(reading.entries, &|progress| {
                    let (fingerpost_agents::catalogue::Progress::Encoding(done, total)
                    | fingerpost_agents::catalogue::Progress::Linking(done, total)) = progress;
                    bar.set("reading", done as u64, total as u64);
                    !interrupt.is_asked()
                })?;
                if changes.is_stopped {
                    return Err("stopped".into());
                }
                (index, reading.problems)
            }
        };
        let bar = Bar::of_items();
        let families = families(&index, &nearness, &mut |done, total| {
            bar.set("comparing", done as u64, total as u64);
            !interrupt.is_asked()
        });
        drop(bar);
        let families = families.ok_or("stopped")?;
        let members: usize = families.iter().map(|f| f.members.len()).sum();
        let mut lines: Vec<String> = families.iter().map(line).collect();
        lines.push(format!(
            "{} families of {members} entries; {} of {} entries could go",
            families.len(),
            members - families.len(),
            index.len()
        ));
        let object = json!({"entries": index.len(), "families": families, "problems": problems});
        output.result(&lines.join("\n"), &object);
        Ok(ExitCode::SUCCESS)
    }
}

/// The best member, then the others, each with what joined it.
fn line(family: &Family) -> String {
    let mut text = shown(&family.best).to_string();
    for other in family.members.iter().skip(1) {
        let joined = family
            .joins
            .iter()
            .find(|join| join.other == *other || join.one == *other);
        let why = joined.map_or_else(String::new, |join| format!(" ({})", join.reason));
        text.push_str(&format!("\n  {}{why}", shown(other)));
    }
    text
}
