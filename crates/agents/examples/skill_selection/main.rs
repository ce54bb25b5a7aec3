//! Choosing a skill in libraries of growing size: all on one page against group by group.
//! `FINGERPOST_SHARED=DIR cargo run -p fingerpost-agents --example skill_selection -- WHAT [--seeds 5] [--encoder static] [--svg FILE]`
//!
//! WHAT is `simulated` (a scripted model with bounded attention that reads the very prompts, on the tools and questions of
//! gorilla-tools), `audit` (look-alikes against strangers at one size) or `real` (BM25 and an encoder as retrievers on metatool and
//! gorilla-tools; a retriever has no attention limit, so there the tree saves time and tokens, not mistakes). Prints JSON.

mod audit;
mod data;
#[path = "../reading/mod.rs"]
mod reading;
mod real;
mod simulated;

use std::{error::Error, path::PathBuf};

use fingerpost_agents::{TreeOptions, single_agent_skills::BoundedConfig};
use serde_json::json;

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    let mut what = String::new();
    let (mut seeds, mut encoder, mut svg) = (5, "static".to_owned(), None::<PathBuf>);
    // Chosen on one seed among pages of 12 to 32 lines and 4 to 12 faces.
    let (mut page, mut faces) = (24, 8);
    let mut model = BoundedConfig::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
        match argument.as_str() {
            "--seeds" => seeds = value()?.parse()?,
            "--encoder" => encoder = value()?,
            "--noise" => model.noise = value()?.parse()?,
            "--capacity" => model.capacity = value()?.parse()?,
            "--neighbour" => model.per_neighbour = value()?.parse()?,
            "--page" => page = value()?.parse()?,
            "--faces" => faces = value()?.parse()?,
            "--svg" => svg = Some(value()?.into()),
            _ => what = argument,
        }
    }
    let shared =
        std::env::var("FINGERPOST_SHARED").map_err(|_| "FINGERPOST_SHARED names the folder of the data")?;
    let data = PathBuf::from(shared).join("data");
    let options = TreeOptions {
        group_size: page,
        faces,
        ..TreeOptions::default()
    };
    let reader = reading::Reader::open(&encoder)?;
    let how = simulated::How {
        options: &options,
        model,
        reader: &reader,
    };
    let (figures, picture) = match what.as_str() {
        "simulated" => simulated::run(&data, seeds, how)?,
        "audit" => (audit::run(&data, seeds, how)?, None),
        "real" => real::run(&data, &reader, seeds, &options)?,
        _ => {
            return Err(
                "usage: simulated | audit | real, with --seeds N, --encoder static|minilm, --svg FILE, --page N, --faces N, --noise X, --capacity X, --neighbour X".into(),
            );
        }
    };
    if let (Some(path), Some(picture)) = (svg, picture) {
        std::fs::write(path, picture)?;
    }
    println!(
        "{:#}",
        json!({"what": what, "encoder": encoder, "seeds": seeds, "figures": figures})
    );
    Ok(())
}
