//! What can be reasoned about decisions: conditions that never hold, decisions that never win, decisions between which only
//! confidence and name decide.

use super::space::{Formula, Looked, Space};
use crate::{Condition, DecisionRule, PolicyConfig, Problem, Signal, Strategy, policy::compile::Draft};

/// States looked at for one question.
const STATES: u64 = 1 << 16;
/// States looked at for one pair, where there are many pairs.
const STATES_OF_MANY: u64 = 1 << 11;
/// Decisions from which on there are many pairs.
const MANY: usize = 40;

pub(super) fn check(config: &PolicyConfig, draft: &Draft, problems: &mut Vec<Problem>) {
    let (space, formulas) = Space::new(config, draft);
    let ranking = Ranking::new(config, draft);
    let possible = impossible(config, &space, &formulas, problems);
    let hidden = unreachable(config, &space, &formulas, &ranking, &possible, problems);
    overlaps(config, &space, &formulas, &ranking, &possible, &hidden, problems);
}

fn path(decision: usize, key: &str) -> String {
    format!("decisions[{decision}].{key}")
}

fn how(looked: Looked) -> &'static str {
    match looked {
        Looked::AtAll => "",
        Looked::AtSample => " (as far as a sample of the signals' states tells)",
    }
}

/// Reports conditions that hold in no state; gives which can hold.
fn impossible(
    config: &PolicyConfig,
    space: &Space,
    formulas: &[Formula],
    problems: &mut Vec<Problem>,
) -> Vec<bool> {
    let mut possible = vec![false; formulas.len()];
    for (i, formula) in formulas.iter().enumerate() {
        let looked = space.states(&[formula], STATES, |truth| {
            possible[i] = formula.holds(truth);
            !possible[i]
        });
        if !possible[i] {
            problems.push(
                Problem::warning(
                    path(i, "when"),
                    format!("this condition never holds{}", how(looked)),
                )
                .found(config.decisions[i].when.to_string()),
            );
        }
    }
    possible
}

/// Reports decisions that never win, because whenever they hold another one that is before them does; gives which.
fn unreachable(
    config: &PolicyConfig,
    space: &Space,
    formulas: &[Formula],
    ranking: &Ranking<'_>,
    possible: &[bool],
    problems: &mut Vec<Problem>,
) -> Vec<bool> {
    let mut hidden = vec![false; formulas.len()];
    for d in (0..formulas.len()).filter(|d| possible[*d]) {
        let before: Vec<usize> = (0..formulas.len())
            .filter(|e| *e != d && possible[*e] && ranking.always_before(*e, d))
            .collect();
        // One alone first: that is the clearer message.
        let limit = if formulas.len() > MANY {
            STATES_OF_MANY
        } else {
            STATES
        };
        let alone = before.iter().find_map(|&e| {
            let mut implied = true;
            let looked = space.states(&[&formulas[d], &formulas[e]], limit, |truth| {
                implied = !formulas[d].holds(truth) || formulas[e].holds(truth);
                implied
            });
            // A sample can refute, and cannot prove.
            (implied && looked == Looked::AtAll).then_some(e)
        });
        let name = |e: usize| format!("`{}`", config.decisions[e].name);
        if let Some(e) = alone {
            hidden[d] = true;
            let message = format!(
                "never wins: whenever it holds, {} holds too and comes first",
                name(e)
            );
            problems.push(Problem::warning(path(d, "when"), message));
            continue;
        }
        let mut all: Vec<&Formula> = before.iter().map(|e| &formulas[*e]).collect();
        all.push(&formulas[d]);
        let mut covered = before.len() > 1;
        let looked = space.states(&all, if covered { STATES } else { 0 }, |truth| {
            covered = !formulas[d].holds(truth) || before.iter().any(|e| formulas[*e].holds(truth));
            covered
        });
        if covered && looked == Looked::AtAll {
            hidden[d] = true;
            let names: Vec<String> = before.iter().map(|e| name(*e)).collect();
            let message = format!(
                "never wins: whenever it holds, one of {} holds too and comes first",
                names.join(", ")
            );
            problems.push(Problem::warning(path(d, "when"), message));
        }
    }
    hidden
}

/// Reports decisions of one tier and priority that can hold together, where nothing but confidence and name decides.
fn overlaps(
    config: &PolicyConfig,
    space: &Space,
    formulas: &[Formula],
    ranking: &Ranking<'_>,
    possible: &[bool],
    hidden: &[bool],
    problems: &mut Vec<Problem>,
) {
    if config.strategy == Strategy::Confidence {
        // There confidence is meant to decide.
        return;
    }
    // An unconditional fallback yields to whatever else holds.
    let counts = |d: &usize| possible[*d] && !hidden[*d] && config.decisions[*d].when != Condition::ALWAYS;
    for d in (0..formulas.len()).filter(counts) {
        let equal = |e: &usize| {
            let (a, b) = (&config.decisions[*e], &config.decisions[d]);
            (a.tier, a.priority) == (b.tier, b.priority) && !ranking.surer(*e, d) && !ranking.surer(d, *e)
        };
        let limit = if formulas.len() > MANY {
            STATES_OF_MANY
        } else {
            STATES
        };
        let mut others = Vec::new();
        for e in (0..d).filter(counts).filter(equal) {
            let mut together = false;
            space.states(&[&formulas[d], &formulas[e]], limit, |truth| {
                together = formulas[d].holds(truth) && formulas[e].holds(truth);
                !together
            });
            if together {
                others.push(config.decisions[e].name.as_str());
            }
        }
        if !others.is_empty() {
            let message = "can hold together with others of the same tier and priority; then confidence, and then the \
                           name decides:";
            problems.push(Problem::warning(path(d, "priority"), message).found(others.join(", ")));
        }
    }
}

/// Which decision wins when two hold, as far as that is certain.
struct Ranking<'c> {
    decisions: &'c [DecisionRule],
    strategy: Strategy,
    /// Whether some decision has a tier above 0.
    tiered: bool,
    /// Between which bounds the confidence lies if the decision holds.
    confidence: Vec<(f64, f64)>,
}

// === impl Ranking ===

impl<'c> Ranking<'c> {
    fn new(config: &'c PolicyConfig, draft: &Draft) -> Self {
        let nothing_known = vec![Signal::UNKNOWN; draft.sources.len()];
        let bounds = |root: &u32| {
            let reading = draft.trees.read(*root, &nothing_known);
            (reading.low, reading.high)
        };
        Self {
            decisions: &config.decisions,
            strategy: config.strategy,
            tiered: config.decisions.iter().any(|d| d.tier > 0),
            confidence: draft.roots.iter().map(bounds).collect(),
        }
    }

    /// Whether `e` always holds with a higher confidence than `d`.
    fn surer(&self, e: usize, d: usize) -> bool {
        self.confidence[e].0 > self.confidence[d].1
    }

    /// Whether `e` wins over `d` whenever both hold.
    fn always_before(&self, e: usize, d: usize) -> bool {
        let (a, b) = (&self.decisions[e], &self.decisions[d]);
        let ahead = (std::cmp::Reverse(a.priority), &a.name) < (std::cmp::Reverse(b.priority), &b.name);
        let ((low, _), (_, high)) = (self.confidence[e], self.confidence[d]);
        let by_confidence = low > high || (low == high && ahead);
        let by_priority = a.priority > b.priority || (a.priority == b.priority && by_confidence);
        if a.tier != b.tier {
            return a.tier < b.tier;
        }
        match (self.strategy, a.tier > 0, self.tiered) {
            (Strategy::Confidence, ..) | (_, true, _) => by_confidence,
            (Strategy::Priority, false, false) => by_priority,
            // Which of the two orders applies depends on whether a decision of a higher tier holds.
            (Strategy::Priority, false, true) => by_priority && by_confidence,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{PolicyConfig, check};

    fn warnings(decisions: &str) -> Vec<String> {
        let json = format!(
            r#"{{"signals":{{
                "keyword":{{"a":{{"any":["a"]}},"b":{{"any":["b"]}},"c":{{"any":["c"]}}}},
                "context":{{"long":{{"min_tokens":1000}}}},
                "language":{{"de":{{}},"en":{{}}}},
                "domain":{{"math":{{}},"law":{{}}}},
                "complexity":{{"r":{{}}}}}},
              "projections":{{"partitions":{{"p":{{"type":"domain","members":["math","law"],"default":"law"}}}}}},
              {decisions}}}"#
        );
        let config: PolicyConfig = serde_json::from_str(&json).unwrap();
        let all = check(&config, None);
        all.iter()
            .map(ToString::to_string)
            .filter(|p| !p.contains("no decision refers"))
            .collect()
    }

    fn of(when: &str) -> Vec<String> {
        warnings(&format!(r#""decisions":[{{"name":"d","when":"{when}"}}]"#))
    }

    #[test]
    fn conditions_that_never_hold() {
        for when in [
            "never",
            "keyword:a and not keyword:a",
            "domain:math and domain:law",
            "not domain:math and not domain:law",
            "language:de and language:en",
            "complexity:r:hard and complexity:r:easy",
            "complexity:r:hard and complexity:r < 0.01",
            "context:long and context < 1K",
            "context > 32K and context < 1K",
            "context < 0",
        ] {
            assert!(
                of(when).iter().any(|w| w.contains("never holds")),
                "{when}: {:?}",
                of(when)
            );
        }
        for when in [
            "keyword:a and not keyword:b",
            "domain:math",
            "not language:de and not language:en",
            "complexity:r:hard and complexity:r > 0.01",
            "context:long and context <= 1K",
            "not complexity:r:hard and not complexity:r:medium and not complexity:r:easy",
        ] {
            assert_eq!(of(when), Vec::<String>::new(), "{when}");
        }
    }

    #[test]
    fn decisions_that_never_win() {
        let found = warnings(
            r#""decisions":[{"name":"wide","priority":2,"when":"keyword:a"},
                {"name":"narrow","priority":1,"when":"keyword:a and keyword:b"}]"#,
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("decisions[1].when: never wins: whenever it holds, `wide` holds too"));
        let found = warnings(
            r#""decisions":[{"name":"all","priority":2},{"name":"b","priority":1,"when":"keyword:b"}]"#,
        );
        assert!(found[0].contains("`all` holds too"));
        let found = warnings(
            r#""decisions":[{"name":"x","priority":2,"when":"keyword:a"},{"name":"y","priority":3,"when":"not keyword:a"},
                {"name":"z","priority":1,"when":"keyword:b"}]"#,
        );
        assert!(found[0].contains("one of `x`, `y` holds too"), "{found:?}");
        // By confidence: certain signals beat an unconditional one, and not the other way round.
        let found = warnings(
            r#""strategy":"confidence","decisions":[{"name":"all","priority":9},{"name":"b","when":"keyword:b"}]"#,
        );
        assert_eq!(found, Vec::<String>::new());
        let found = warnings(
            r#""decisions":[{"name":"late","tier":2,"when":"keyword:a and keyword:b"},{"name":"early","tier":1,"when":"keyword:a"}]"#,
        );
        assert!(found[0].contains("decisions[0].when: never wins"), "{found:?}");
    }

    #[test]
    fn overlaps_of_equal_rank() {
        let found = warnings(
            r#""decisions":[{"name":"x","when":"keyword:a"},{"name":"y","when":"keyword:b and not keyword:a"},
                {"name":"z","when":"keyword:c and domain:math"},{"name":"fallback"}]"#,
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("decisions[2].priority: can hold together") && found[0].contains("`x, y`"));
    }

    #[test]
    fn a_hundred_decisions_are_checked_in_reasonable_work() {
        let names = [
            "keyword:a",
            "keyword:b",
            "keyword:c",
            "domain:math",
            "context > 5K",
            "language:de",
        ];
        let decision = |i: usize| {
            let when: Vec<&str> = (0..5).map(|k| names[(i * 7 + k * 3) % names.len()]).collect();
            format!(
                r#"{{"name":"d{i}","priority":{},"when":"{}"}}"#,
                i % 7,
                when.join(if i.is_multiple_of(2) { " and " } else { " or " })
            )
        };
        let all: Vec<String> = (0..100).map(decision).collect();
        assert!(!warnings(&format!(r#""decisions":[{}]"#, all.join(","))).is_empty());
    }
}
