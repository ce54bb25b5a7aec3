//! What a call was to the calls before it: the first try, another try, a way around, a second one at the same time.

use serde::Serialize;

use crate::CallRecord;

/// Why a call was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Attempt {
    /// Nothing went before it.
    First,
    /// The call before it failed; the same model again.
    Retry,
    /// The call before it failed; another model instead.
    Fallback,
    /// The call before it was still under way; the same model beside it.
    Hedge,
    /// Part of the plan: the next step of a cascade, another member of a panel.
    Next,
}

// === impl Attempt ===

impl Attempt {
    /// What the call at `index` was.
    pub(crate) fn of(calls: &[CallRecord], index: usize) -> Self {
        let Some((before, call)) = index
            .checked_sub(1)
            .and_then(|i| calls.get(i))
            .zip(calls.get(index))
        else {
            return Self::First;
        };
        if before.planned != call.planned {
            return Self::Next;
        }
        let same = before.model == call.model;
        if call.began < before.began + before.took {
            return if same { Self::Hedge } else { Self::Next };
        }
        match (&before.failure, same) {
            (None, _) => Self::Next,
            (Some(_), true) => Self::Retry,
            (Some(_), false) => Self::Fallback,
        }
    }

    /// Its name in logs and spans.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Retry => "retry",
            Self::Fallback => "fallback",
            Self::Hedge => "hedge",
            Self::Next => "next",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fingerpost_core::Failure;

    use super::*;

    fn call(model: &str, failed: bool, began: u64, took: u64) -> CallRecord {
        CallRecord {
            model: model.into(),
            endpoint: "e".into(),
            system: "openai",
            upstream_model: model.into(),
            failure: failed.then_some(Failure::RateLimited),
            planned: None,
            cost: None,
            began: Duration::from_millis(began),
            took: Duration::from_millis(took),
        }
    }

    #[test]
    fn a_call_is_told_by_what_went_before() {
        let calls = [
            call("small", true, 0, 10),
            call("small", true, 10, 10),
            call("large", false, 25, 10),
            call("large", false, 30, 10),
            call("judge", false, 50, 10),
        ];
        let told: Vec<Attempt> = (0..calls.len()).map(|i| Attempt::of(&calls, i)).collect();
        let expected = [
            Attempt::First,
            Attempt::Retry,
            Attempt::Fallback,
            Attempt::Hedge,
            Attempt::Next,
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn members_of_a_panel_are_no_hedges() {
        let calls = [call("a", false, 0, 10), call("b", false, 0, 10)];
        assert_eq!(Attempt::of(&calls, 1), Attempt::Next);
        assert_eq!(Attempt::of(&calls, 7), Attempt::First, "no such call");
        let mut samples = [call("a", false, 0, 10), call("a", true, 0, 10)];
        (samples[0].planned, samples[1].planned) = (Some(0), Some(1));
        assert_eq!(Attempt::of(&samples, 1), Attempt::Next);
    }
}
