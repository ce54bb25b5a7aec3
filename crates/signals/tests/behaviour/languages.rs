//! The language detector on real text in many languages: paragraphs of the Universal Declaration of Human Rights.

use std::path::PathBuf;

use fingerpost_core::Query;
use fingerpost_encode::StaticEncoder;
use fingerpost_signals::{Extra, Policy, PolicyConfig, State};

/// The shared data folder, or a visible note that it is absent.
fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("FINGERPOST_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let folder = root.join(path);
    if folder.exists() {
        Some(folder)
    } else {
        eprintln!("skipped: {} is not there", folder.display());
        None
    }
}

/// Languages of the collection that the detector does not know.
const UNKNOWN: [&str; 4] = ["eu", "ha", "sw", "yo"];

#[test]
fn most_paragraphs_are_recognised() {
    let Some(folder) = shared("data/text/udhr") else {
        return;
    };
    let mut texts: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.file_stem().unwrap().to_string_lossy().into_owned(),
                std::fs::read_to_string(path).unwrap(),
            )
        })
        .filter(|(code, _)| !UNKNOWN.contains(&code.as_str()))
        .collect();
    texts.sort();
    let rules: Vec<String> = texts.iter().map(|(code, _)| format!("\"{code}\":{{}}")).collect();
    let config = format!(
        r#"{{"signals":{{"language":{{{}}}}},"decisions":[{{"name":"d","when":"language:en"}}]}}"#,
        rules.join(",")
    );
    let config: PolicyConfig = serde_json::from_str(&config).unwrap();
    let policy = Policy::compile(&config, std::sync::Arc::new(StaticEncoder::bundled())).unwrap();
    let (mut right, mut wrong, mut all) = (0, 0, 0);
    for (code, text) in &texts {
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(120).take(20) {
            let piece: String = piece.iter().collect();
            let query = Query::text(&piece);
            let signals = policy.signals_all(&query, &Extra::default());
            let matched: Vec<_> = signals
                .iter()
                .filter(|r| r.kind == "language" && r.state == State::Match)
                .collect();
            all += 1;
            right += usize::from(matched.iter().any(|r| r.name == *code));
            wrong += usize::from(matched.iter().any(|r| r.name != *code));
        }
    }
    eprintln!(
        "languages: {right} of {all} pieces of 120 characters right, {wrong} taken for another language"
    );
    assert!(right * 100 >= all * 97, "{right} of {all}");
    assert!(wrong * 100 <= all * 2, "{wrong} of {all}");
}
