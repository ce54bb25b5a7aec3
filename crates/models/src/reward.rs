//! What an outcome is worth to those that learn in service.

use fingerpost_core::{Failure, Outcome, Quality};

/// Its quality, 0 to 1: what was said of it, and 0 for a call that failed, unless by the client's doing. `None` where nothing is
/// known.
pub(crate) fn quality(outcome: &Outcome) -> Option<f64> {
    match &outcome.failure {
        Some(failure) => failure_quality(failure),
        None => outcome.quality.map(Quality::get),
    }
}

fn failure_quality(failure: &Failure) -> Option<f64> {
    failure.is_retryable().then_some(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_of_the_model_are_worth_nothing() {
        let failed = |failure| {
            quality(&Outcome {
                failure: Some(failure),
                ..Outcome::default()
            })
        };
        assert_eq!(failed(Failure::RateLimited), Some(0.0));
        assert_eq!(failed(Failure::Status(503)), Some(0.0));
        assert_eq!(
            (failed(Failure::Cancelled), failed(Failure::Refused(400))),
            (None, None)
        );
        assert_eq!(quality(&Outcome::default()), None);
        let good = Outcome {
            quality: Quality::new(0.7).ok(),
            ..Outcome::default()
        };
        assert_eq!(quality(&good), Some(0.7));
    }
}
