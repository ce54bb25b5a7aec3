//! Which agents a request goes to: `cargo run -p fingerpost-agents --example agent_routing -- DIR [--encoder static]`, where DIR
//! holds `clinc150` and `banking77`.
//!
//! Agents are the intents, described from training rows alone. Everything is fitted on train and validation rows (those of
//! banking77 are a fifth of its training rows); test rows are looked at once, for these figures. Prints JSON.

mod agents;
mod categories;
mod data;
#[path = "../reading/mod.rs"]
mod reading;
mod turns;

use std::{error::Error, path::PathBuf};

use serde_json::json;

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    let (mut folder, mut encoder, mut only) = (None, "static".to_owned(), None::<String>);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--encoder" => encoder = arguments.next().ok_or("--encoder wants a name")?,
            "--only" => only = Some(arguments.next().ok_or("--only wants names")?),
            _ => folder = Some(PathBuf::from(argument)),
        }
    }
    let folder = folder
        .ok_or("usage: DIR [--encoder static|minilm] [--only categories,overlapping,turns,newcomers]")?;
    let reader = reading::Reader::open(&encoder)?;
    let mut figures = json!({});
    for name in ["clinc150", "banking77"] {
        let set = data::Set::read(&folder.join(name), name, &reader)?;
        let (head, routing) = agents::run(&set, &reader)?;
        figures[name] = json!({"head": head, "routing": routing});
        for what in ["categories", "overlapping", "turns", "newcomers"] {
            if only.as_ref().is_some_and(|only| !only.contains(what)) {
                continue;
            }
            figures[name][what] = match what {
                "categories" => categories::run(&set, &reader)?,
                "overlapping" => agents::overlapping(&set, &reader, &head)?,
                "turns" => turns::run(&set, &reader)?,
                _ => agents::newcomers(&set, &reader)?,
            };
            eprintln!("{name} {what}: {}", figures[name][what]);
        }
    }
    println!("{:#}", json!({"encoder": encoder, "figures": figures}));
    Ok(())
}

fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
