//! The configuration that is used where none is given.

use super::{Loaded, Problem, load::load_text};

/// The built-in configuration as text: an example to begin with.
pub const EXAMPLE: &str = include_str!("builtin.yaml");

/// The name under which the built-in configuration stands in messages.
const NAME: &str = "(built in)";

/// The built-in configuration, read by the same loader as any file.
///
/// # Errors
/// As [`load_text`]; a test keeps it from having any.
pub fn builtin() -> Result<Loaded, Vec<Problem>> {
    load_text(EXAMPLE, NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_configuration_is_sound_and_routes_by_complexity() {
        let loaded = builtin().unwrap_or_else(|problems| {
            let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("{}", all.join("\n"))
        });
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings[0]);
        let when: Vec<String> = loaded
            .config
            .decisions
            .iter()
            .map(|decision| decision.when.to_string())
            .collect();
        assert_eq!(when, ["complexity:question:hard", "complexity:question:easy"]);
        assert_eq!(loaded.config.default_model.as_deref(), Some("smollm2"));
    }
}
