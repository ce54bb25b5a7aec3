//! `fingerpost skills search --reranker`: both stages, the second as `fingerpost train skill-reranker` left it.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use fingerpost_agents::{
    Entry,
    catalogue::shown,
    skill_router::{Found, Hit, SkillIndex, SkillRouter, Trained},
};
use fingerpost_encode::Encoder;
use serde_json::{Value, json};

use super::{encodings, search::described};
use crate::{encoder::EncoderName, failure::Failure};

/// What a file holds that `fingerpost train skill-reranker` wrote.
pub(crate) fn trained(file: &Path) -> Result<Trained, Failure> {
    let at = |why: &dyn std::fmt::Display| Failure::from(format!("{}: {why}", file.display()));
    let bytes = fs::read(file).map_err(|why| at(&why))?;
    Trained::from_bytes(&bytes).map_err(|why| at(&why))
}

/// The second stage of a file over these entries.
pub(super) fn router(file: &Path, entries: Vec<Entry>) -> Result<SkillRouter, Failure> {
    let trained = trained(file)?;
    let reads_minilm = trained.about.encoders.iter().any(|e| e.starts_with("minilm@"));
    let encoder = if reads_minilm {
        EncoderName::Minilm
    } else {
        EncoderName::Static
    };
    let encoders: Vec<Arc<dyn Encoder>> = encodings(encoder, None)?
        .into_iter()
        .map(|(_, encoder)| encoder as Arc<dyn Encoder>)
        .collect();
    let index = SkillIndex::new(entries, &encoders);
    SkillRouter::new(Arc::new(index), Arc::new(trained))
        .map_err(|why| Failure::from(format!("{}: {why}", file.display())))
}

/// What was found, for people: best first, and before that that nothing fits, where it is more likely so.
pub(super) fn text(router: &SkillRouter, found: &Found) -> String {
    let mut lines = Vec::new();
    if found.hits.is_empty() {
        return "nothing found".to_owned();
    }
    if found.fits < 0.5 {
        lines.push(format!(
            "nothing fits, most likely (that something does: {:.2}); nearest:",
            found.fits
        ));
    }
    for (rank, hit) in (1..).zip(&found.hits) {
        let entry = &router.index().entries()[hit.entry];
        let decided = hit.fields.first().map_or_else(String::new, |f| f.0.to_string());
        lines.push(format!(
            "{rank:3}. {} ({}): {}\n     share {:.2}; by its {decided}",
            shown(&entry.id),
            entry.kind,
            shown(&entry.description),
            hit.share,
        ));
    }
    lines.join("\n")
}

/// The same for programs.
pub(super) fn objects(router: &SkillRouter, found: &Found) -> Vec<Value> {
    let entries = router.index().entries();
    let object = |hit: &Hit| {
        let entry = &entries[hit.entry];
        let fields: BTreeMap<String, f32> = hit.fields.iter().map(|(f, s)| (f.to_string(), *s)).collect();
        described(
            entry,
            [
                ("share", json!(hit.share)),
                ("family", json!(entries[hit.family].id)),
                ("fields", json!(fields)),
            ],
        )
    };
    found.hits.iter().map(object).collect()
}
