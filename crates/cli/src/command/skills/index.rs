//! `fingerpost skills index`: files and folders become a catalogue that can be searched.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use clap::Args;
use fingerpost_agents::catalogue::{self, Changes, Progress, Reading, Sources};
use serde_json::json;

use crate::{encoder::EncoderName, failure::Failure, interrupt::Interrupt, output::Output, progress::Bar};

/// Between two looks at the files.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at whether to stop.
const STEP: Duration = Duration::from_millis(100);

/// Indexes skills, tools and agents: new and changed ones are read, those that went are taken out.
///
/// Sources are folders with SKILL.md, MCP tools/list answers, OpenAI tool definitions, A2A agent cards, lists `agents:` of
/// endpoints (YAML or JSON), and JSON lines. What is wrong with some is told and stops no other. Interrupted, it keeps what is
/// done, and goes on from there the next time.
#[derive(Debug, Args)]
pub(crate) struct Index {
    /// Files and folders
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<PathBuf>,
    /// The folder of the index; one that is there is brought up to date
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// What turns texts into vectors
    #[arg(long, value_enum, default_value = "static")]
    encoder: EncoderName,
    /// Goes on looking for new, changed and removed files until it is interrupted
    #[arg(long)]
    watch: bool,
}

// === impl Index ===

impl Index {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let interrupt = Interrupt::listen()?;
        let mut sources = Sources::new(self.sources.iter().cloned());
        sources.refresh(SystemTime::now());
        let mut reading = sources.reading();
        if let Some(root) = self.unreadable(&reading) {
            let way_out = "name files and folders that can be read; the index stays as it is";
            return Err(Failure::from(format!("{} cannot be read", root.display())).with_way_out(way_out));
        }
        let encoder = self.encoder.open()?;
        let mut index = if catalogue::Index::is_in(&self.to) {
            let opened = catalogue::Index::open(&self.to, &encoder)?;
            super::say(&opened.problems, None, output);
            opened.index
        } else {
            catalogue::Index::new(encoder)?
        };
        let is_new = !catalogue::Index::is_in(&self.to);
        let start = Instant::now();
        let mut problems = std::mem::take(&mut reading.problems);
        let mut changes = sync(&mut index, reading, &problems, &interrupt, output)?;
        if is_new || changed(&changes) {
            index.save(&self.to)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        if self.watch && !interrupt.is_asked() {
            let dir = self.to.display();
            output.note(&format!(
                "{dir}: {}; watching {} files",
                told(&changes, index.len()),
                sources.files()
            ));
        }
        while self.watch && pause(&interrupt) {
            if !sources.refresh(SystemTime::now()) {
                continue;
            }
            let mut reading = sources.reading();
            if let Some(root) = self.unreadable(&reading) {
                output.note(&format!(
                    "warning: {} cannot be read; the index stays as it is",
                    root.display()
                ));
                continue;
            }
            let before = std::mem::replace(&mut problems, std::mem::take(&mut reading.problems));
            let new: Vec<_> = problems.iter().filter(|p| !before.contains(p)).cloned().collect();
            let step = sync(&mut index, reading, &new, &interrupt, output)?;
            if changed(&step) {
                index.save(&self.to)?;
                output.note(&format!("{}: {}", self.to.display(), told(&step, index.len())));
                add(&mut changes, &step);
            }
        }
        let object = json!({
            "index": self.to,
            "encoder": index.model().to_string(),
            "entries": index.len(),
            "changes": changes,
            "seconds": seconds,
            "problems": problems,
        });
        let text = format!(
            "{}: {} in {seconds:.2} s, {} problems",
            self.to.display(),
            told(&changes, index.len()),
            problems.len()
        );
        output.result(&text, &object);
        if changes.is_stopped {
            output.note("stopped; the same command goes on from here");
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// A source that is not there at all: more likely a mistake than a wish to forget all of it.
    fn unreadable<'a>(&'a self, reading: &Reading) -> Option<&'a Path> {
        let is_unreadable = |root: &&PathBuf| {
            let mut problems = reading.problems.iter();
            problems.any(|p| p.file == **root && matches!(p.fault, catalogue::Fault::Unreadable(_)))
        };
        self.sources.iter().find(is_unreadable).map(PathBuf::as_path)
    }
}

fn sync(
    index: &mut catalogue::Index,
    reading: Reading,
    problems: &[catalogue::Problem],
    interrupt: &Interrupt,
    output: Output,
) -> Result<Changes, Failure> {
    let bar = Bar::of_items();
    super::say(problems, Some(&bar), output);
    let progress = |progress: Progress| {
        match progress {
            Progress::Encoding(done, total) => bar.set("encoding", done as u64, total as u64),
            Progress::Linking(done, total) => bar.set("linking", done as u64, total as u64),
        }
        !interrupt.is_asked()
    };
    Ok(index.sync(reading.entries, &progress)?)
}

/// Waits for the next look; false if there is none.
fn pause(interrupt: &Interrupt) -> bool {
    let end = Instant::now() + PAUSE;
    while Instant::now() < end && !interrupt.is_asked() {
        std::thread::sleep(STEP);
    }
    !interrupt.is_asked()
}

fn changed(changes: &Changes) -> bool {
    changes.added + changes.updated + changes.removed > 0
}

fn add(all: &mut Changes, step: &Changes) {
    all.added += step.added;
    all.updated += step.updated;
    all.removed += step.removed;
    all.encoded += step.encoded;
    all.same = step.same;
    all.is_stopped = step.is_stopped;
}

fn told(changes: &Changes, entries: usize) -> String {
    let Changes {
        added,
        updated,
        removed,
        ..
    } = changes;
    format!("{entries} entries ({added} added, {updated} updated, {removed} removed)")
}
