//! Banks from files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Bank, Row, TwinError};
use crate::lines::{LinesError, each_line};

// === impl Bank ===

impl Bank {
    /// Reads a bank: one JSON object a line, gzip-compressed where the name ends in `.gz`. Empty lines are passed over. A folder
    /// is read if it holds exactly one such file.
    ///
    /// # Errors
    /// [`TwinError`], naming file and line.
    pub fn read(path: &Path) -> Result<Self, TwinError> {
        let path = &file_of(path)?;
        let (mut rows, mut lines) = (Vec::new(), Vec::new());
        each_line(path, |number, line| {
            let row = Row::parse(line).map_err(|source| TwinError::Row {
                path: path.clone(),
                line: number,
                source,
            })?;
            rows.push(row);
            lines.push(number);
            Ok::<_, TwinError>(())
        })?;
        if rows.is_empty() {
            return Err(TwinError::Empty { path: path.clone() });
        }
        Self::new(rows).map_err(|source| TwinError::Bank {
            path: path.clone(),
            line: lines[source.at()],
            source,
        })
    }
}

/// The bank of a folder, or the file itself.
fn file_of(path: &Path) -> Result<PathBuf, TwinError> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let failed = |source| LinesError::Read {
        path: path.to_owned(),
        source,
    };
    let mut banks = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".jsonl") || name.ends_with(".jsonl.gz") {
            banks.push(entry.path());
        }
    }
    match (banks.pop(), banks.len()) {
        (Some(bank), 0) => Ok(bank),
        (last, others) => Err(TwinError::NotOneBank {
            path: path.to_owned(),
            found: others + usize::from(last.is_some()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Write};

    use super::*;

    fn line(instance: &str, step: u32, benchmark: &str) -> String {
        format!(
            r#"{{"id":"x","benchmark":"{benchmark}","instance_id":"{instance}","step_index":{step},"total_steps":2,"messages":[{{"role":"user","content":"hi"}}],"target_tier":"mid","target_tier_id":1}}"#
        )
    }

    fn refused(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bank.jsonl");
        fs::write(&path, text).unwrap();
        let error = Bank::read(&path).unwrap_err().to_string();
        assert!(error.contains("bank.jsonl"), "{error}");
        error
    }

    #[test]
    fn rows_become_runs_by_step_also_from_gzip_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("b.jsonl.gz")).unwrap();
        let mut file = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        let lines = [
            line("a", 2, "q"),
            line("b", 1, "q"),
            String::new(),
            line("a", 1, "q"),
        ];
        file.write_all(lines.join("\n").as_bytes()).unwrap();
        file.finish().unwrap();
        let bank = Bank::read(folder.path()).unwrap();
        assert_eq!(bank.rows().len(), 3);
        assert_eq!(bank.runs(), [vec![2, 0], vec![1]]);
        assert_eq!(bank.part(|id| id == "b").rows(), &bank.rows()[1..2]);
        fs::write(folder.path().join("c.jsonl"), "").unwrap();
        let error = Bank::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("has 2 banks"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let good = line("a", 1, "q");
        assert!(refused("").contains("has no rows"));
        assert!(refused(&format!("{good}\n{{")).contains("line 2: no row"));
        assert!(refused(&format!("{good}\n\n{good}")).contains("line 3: step 1 of `a` stands twice"));
        let other = line("a", 2, "r");
        assert!(refused(&format!("{good}\n{other}")).contains("line 2: `a` is in `r` here and in `q`"));
        assert!(
            refused(&good.replace(":1}", ":2}")).contains("target_tier is `mid` but target_tier_id is 2")
        );
        assert!(refused(&good.replace("\"mid\"", "\"middle\"")).contains("`middle` is no tier"));
        assert!(refused(&good.replace("\"step_index\":1", "\"step_index\":0")).contains("counted from 1"));
        assert!(refused(&good.replace("\"instance_id\":\"a\",", "")).contains("missing field `instance_id`"));
        assert!(
            Bank::read(Path::new("nowhere.jsonl"))
                .unwrap_err()
                .to_string()
                .contains("nowhere")
        );
    }
}
