//! `fingerpost route`: how a request would be routed, and why, without sending it.

use std::process::ExitCode;

use clap::Args;
use fingerpost_core::{Query, Role, Turn};
use fingerpost_gateway::{Explanation, explain};
use fingerpost_signals::{SignalReport, State};

use crate::{
    configuration::{Source, rehearse, say, unusable},
    engines::Engines,
    failure::Failure,
    output::Output,
};

/// Shows how a request would be routed, level by level, with the reasons and the value of every signal. Nothing is sent.
#[derive(Debug, Args)]
pub(crate) struct Route {
    /// What the user says.
    text: String,
    /// A system text before it.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// The model that the request names; the choice is left to the decisions where absent.
    #[arg(long, value_name = "NAME", default_value = "")]
    model: String,
    /// Seed of everything left to chance: two runs with one seed route the same.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    source: Source,
}

// === impl Route ===

impl Route {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let name = self
            .source
            .file
            .as_ref()
            .map_or("the built-in configuration".to_owned(), |file| {
                file.display().to_string()
            });
        let shared = self.source.load().and_then(|loaded| {
            say(&loaded.warnings, output);
            rehearse(&loaded, &Engines::new(), output)
        });
        let shared = shared.map_err(|problems| {
            say(&problems, output);
            unusable(&name, &problems)
        })?;
        let snapshot = shared.snapshot();
        let seed = self.seed.or(snapshot.config().server.seed);
        let explanation = explain(&snapshot, &self.query(), seed)?;
        output.result(&in_words(&explanation), &explanation);
        Ok(ExitCode::SUCCESS)
    }

    fn query(&self) -> Query<'_> {
        let mut query = Query::text(&self.text);
        query.model = self.model.as_str().into();
        if let Some(system) = &self.system {
            let turn = Turn {
                role: Role::System,
                texts: vec![system.as_str().into()],
                ..Turn::default()
            };
            query.turns.insert(0, turn);
        }
        query
    }
}

fn in_words(explanation: &Explanation) -> String {
    let mut text = explanation.trace.to_string();
    if !explanation.asks.is_empty() {
        text.push_str(&format!(
            "asks before it decides: {}\n",
            explanation.asks.join(", ")
        ));
    }
    text.push_str(&format!("models, in order: {}\n", explanation.models.join(", ")));
    text.push_str("signals\n");
    let name = |signal: &SignalReport| {
        let label = signal.label.map_or(String::new(), |label| format!(":{label}"));
        let name = if signal.name.is_empty() {
            String::new()
        } else {
            format!(":{}", signal.name)
        };
        format!("{}{name}{label}", signal.kind)
    };
    let width = explanation
        .signals
        .iter()
        .map(|signal| name(signal).chars().count())
        .max()
        .unwrap_or(0);
    for signal in &explanation.signals {
        let state = match signal.state {
            State::Match => "yes",
            State::Failed => "could not be computed",
            State::Miss | State::Unknown => "no",
        };
        let mut line = format!("  {:<width$}  {state:<3}", name(signal));
        if signal.state == State::Match {
            line.push_str(&format!("  confidence {}", rounded(signal.confidence)));
        }
        if let Some(raw) = signal.raw {
            line.push_str(&format!("  value {}", rounded(raw)));
        }
        text.push_str(&line);
        text.push('\n');
    }
    if explanation.signals.is_empty() {
        text.push_str("  (none is configured)\n");
    }
    text.truncate(text.trim_end().len());
    text
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
