//! From the name in a leaf to the slot of its signal.

use super::{Draft, PER_COMPLEXITY};
use crate::{Family, Kind, Leaf, Problem, condition::write_name, family::complexity};

impl Draft {
    /// The slot that a leaf looks at. `raw`: its number is asked for, not whether it matched. The problem has no path yet.
    pub(super) fn resolve(&self, leaf: &Leaf, raw: bool) -> Result<u32, Box<Problem>> {
        let error = |message: &str| Problem::error("", message).found(leaf.to_string());
        let family = match leaf.kind {
            Kind::Signal(family) => family,
            Kind::Projection => {
                let name = leaf.name.as_deref().unwrap_or_default();
                let slot = self.bands.get(name).copied();
                return slot.ok_or_else(|| {
                    let mut names: Vec<&str> = self.bands.keys().map(String::as_str).collect();
                    names.sort_unstable();
                    Problem::error("", "no mapping has a band of this name")
                        .one_of(name, names.iter().copied())
                        .into()
                });
            }
        };
        let start = self.starts[family.index()];
        let Some(name) = &leaf.name else {
            return if family == Family::Context && raw {
                Ok(self.starts[family.index() + 1] - 1)
            } else {
                Err(error("this family has no number of its own; name one of its rules").into())
            };
        };
        let Some(&rule) = self.rules[family.index()].get(name) else {
            let mut names: Vec<String> = self.rules[family.index()]
                .keys()
                .map(|n| qualified(family, n))
                .collect();
            names.sort_unstable();
            return Err(Problem::error("", "unknown signal")
                .one_of(qualified(family, name), names.iter().map(String::as_str))
                .into());
        };
        if family == Family::Complexity {
            let first = start + rule * PER_COMPLEXITY;
            return match leaf.label.as_deref() {
                None if raw => Ok(first + PER_COMPLEXITY - 1),
                None => Err(error("a complexity signal has a label")
                    .allowed(format!(
                        "{name}:hard, {name}:medium, {name}:easy, or a comparison such as complexity:{name} > 0.1"
                    ))
                    .into()),
                Some(label) => match complexity::LABELS.iter().position(|l| *l == label) {
                    Some(at) => Ok(first + at as u32),
                    None => Err(Problem::error("", "unknown label").one_of(label, complexity::LABELS).into()),
                },
            };
        }
        if leaf.label.is_some() {
            return Err(error("only complexity signals have labels").into());
        }
        let slot = start + rule;
        Ok(self.partitioned.get(&slot).copied().unwrap_or(slot))
    }
}

fn qualified(family: Family, name: &str) -> String {
    let mut text = format!("{family}:");
    // Writing to a string cannot fail.
    let _ = write_name(name, &mut text);
    text
}
