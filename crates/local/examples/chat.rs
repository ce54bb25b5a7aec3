//! Asks the local model: `cargo run -p fingerpost-local --release --example chat -- "What is the capital of France?"`.
//!
//! Options before the text: `--json` for a JSON object, `--temperature T`, `--max-tokens N`, `--repeat N`.

use std::io::Write;
use std::ops::ControlFlow;
use std::time::Instant;

use fingerpost_local::{Constraint, Delta, LocalModel, Message, Request, Sampling, TextModel};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut text, mut repeat) = (Vec::new(), 1);
    let mut request = Request {
        sampling: Sampling::greedy(),
        ..Request::new([])
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--json" => request.constraint = Constraint::JsonObject,
            "--temperature" => request.sampling.temperature = value()?.parse()?,
            "--max-tokens" => request.sampling.max_tokens = Some(value()?.parse()?),
            "--repeat" => repeat = value()?.parse()?,
            _ => text.push(argument),
        }
    }
    if text.is_empty() {
        text.push("What is the capital of France? Answer in one short sentence.".to_owned());
    }
    request.messages.push(Message::user(text.join(" ")));

    let folder = fingerpost_packages::ensure("smollm2", None)?;
    let start = Instant::now();
    let model = LocalModel::load(&folder)?;
    eprintln!(
        "{}: loaded in {:.2} s",
        model.name(),
        start.elapsed().as_secs_f64()
    );
    for _ in 0..repeat {
        let completion = model.generate(&request, &mut |delta| {
            if let Delta::Text { text, .. } = delta {
                print!("{text}");
                let _ = std::io::stdout().flush();
            }
            ControlFlow::Continue(())
        })?;
        println!();
        let usage = completion.usage;
        let first = completion.first_token.unwrap_or_default();
        let rest = (completion.total - first).as_secs_f64();
        eprintln!(
            "{:?}; prompt {} tokens, first token after {:.3} s; {} tokens, then {:.1} a second",
            completion.finish,
            usage.prompt_tokens,
            first.as_secs_f64(),
            usage.completion_tokens,
            (usage.completion_tokens.saturating_sub(1)) as f64 / rest.max(1e-9),
        );
    }
    Ok(())
}
