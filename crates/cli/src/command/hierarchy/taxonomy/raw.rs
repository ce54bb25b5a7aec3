//! Files of answers of language models.

use std::path::Path;

use fingerpost_hierarchy::taxonomy::{ParseError, Taxonomy, parse};

use crate::failure::Failure;

/// A line that is no category: its number in the file, and what it says.
pub(super) type Skipped = (usize, String);

/// What a file of answers holds: taxonomies, what is wrong with the answers that are none, lines that were passed over.
pub(super) type Answers = (Vec<Taxonomy>, Vec<String>, Vec<Skipped>);

/// The taxonomies of all answers that can be read, what is wrong with the others, and lines that were passed over. All name the
/// line of the file.
pub(super) fn read(path: &Path, title: &str) -> Result<Answers, Failure> {
    let mut taxonomies = Vec::new();
    let (mut faults, mut skipped) = (Vec::new(), Vec::new());
    let mut take = |review: &str, first_line: usize, text: &str| match parse(review, text) {
        Ok(parsed) => {
            taxonomies.push(parsed.taxonomy);
            let lines = parsed.skipped.into_iter();
            skipped.extend(lines.map(|(line, said)| (first_line + line - 1, said)));
        }
        Err(error) => faults.push(in_file(path, error, first_line)),
    };
    if path
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("csv"))
    {
        let failed = |e: csv::Error| {
            Failure::from(format!("cannot read {}: {e}", path.display()))
                .with_way_out("a .csv in UTF-8 with a head and two columns at least: names, answers")
        };
        let mut reader = csv::Reader::from_path(path).map_err(failed)?;
        for row in reader.records() {
            let row = row.map_err(failed)?;
            let line = row.position().map_or(1, |at| at.line() as usize);
            let Some(name) = row.len().checked_sub(2).and_then(|at| row.get(at)) else {
                let found = format!("{}, line {line}: one column", path.display());
                return Err(Failure::from(found).with_way_out("two columns at least: names, answers"));
            };
            take(name, line, row.get(row.len() - 1).unwrap_or_default());
        }
    } else {
        let text = std::fs::read_to_string(path).map_err(|e| {
            Failure::from(format!("cannot read {}: {e}", path.display())).with_way_out("a text file in UTF-8")
        })?;
        take(title, 1, &text);
    }
    if taxonomies.is_empty() && faults.is_empty() {
        return Err(Failure::from(format!("{} holds no answers", path.display()))
            .with_way_out("a file with at least one"));
    }
    Ok((taxonomies, faults, skipped))
}

fn in_file(path: &Path, mut error: ParseError, first_line: usize) -> String {
    error.line += first_line - 1;
    format!("{}: {error}", path.display())
}
