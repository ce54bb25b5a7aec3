//! Translates a request, an answer or a stream from standard input:
//! `cargo run -p fingerpost-protocol --example translate -- request chat messages < body.json`

use std::io::{Read, Write};

use fingerpost_protocol::{Dialect, Format, Head, Translator, translate_answer, translate_request};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, from, to] = arguments.as_slice() else {
        return Err(
            "usage: translate request|answer|stream chat|responses|messages chat|responses|messages".into(),
        );
    };
    let format = |name: &String| {
        let found = Format::ALL.into_iter().find(|f| f.name() == name);
        found.ok_or_else(|| format!("unknown format `{name}`; allowed: chat, responses, messages"))
    };
    let (from, to) = (format(from)?, format(to)?);
    let mut body = Vec::new();
    std::io::stdin().read_to_end(&mut body)?;
    let head = Head {
        id: "example".to_owned(),
        created: 1_700_000_000,
        model: "example-model".to_owned(),
        echo: None,
    };
    let (out, warnings) = match what.as_str() {
        "request" => translate_request(from, to, &body, "example-model", Dialect::default())?,
        "answer" => translate_answer(from, to, &body, &head)?,
        "stream" => {
            let mut out = Vec::new();
            let mut translator = Translator::new(from, to, head, true);
            translator.feed(&body, &mut out)?;
            translator.finish(&mut out)?;
            (out, fingerpost_protocol::Warnings::default())
        }
        other => return Err(format!("unknown command `{other}`; allowed: request, answer, stream").into()),
    };
    std::io::stdout().write_all(&out)?;
    if let Some(warnings) = warnings.header() {
        eprintln!("warnings: {warnings}");
    }
    Ok(())
}
