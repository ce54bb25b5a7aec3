//! What is wrong with a configuration, without a request: errors that keep it from compiling, and what can be reasoned about
//! the decisions.
//!
//! The reasoning ([`space`], [`decisions`]) is over states of the signals: which values they can take together. It allows
//! for more states than can occur, never for fewer, so that "never holds" and "never wins" are certain where all states were
//! looked at; an overlap is a possibility. Where there are too many states a fixed sample is taken, and the problem says so.

mod decisions;
mod space;

use std::collections::BTreeMap;

use fingerpost_encode::ModelId;

use crate::{
    Family, PolicyConfig, Problem,
    policy::{Source, compile::Draft},
};

/// All problems of a configuration, errors first. With the id of the encoder that will run, thresholds that were chosen on
/// another one are reported too. Reasoning about decisions is done only where there is no error.
pub fn check(config: &PolicyConfig, encoder: Option<&ModelId>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let draft = Draft::new(config, &mut problems);
    let sound = !problems.iter().any(Problem::is_error);
    shared_categories(config, &mut problems);
    if let Some(encoder) = encoder {
        other_encoder(config, encoder, &mut problems);
    }
    if sound {
        unused(config, &draft, &mut problems);
        decisions::check(config, &draft, &mut problems);
    }
    problems.sort_by_key(|p| std::cmp::Reverse(p.severity));
    problems
}

/// Two domain rules that share a category match together.
fn shared_categories(config: &PolicyConfig, problems: &mut Vec<Problem>) {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, rule) in &config.signals.domain {
        for category in rule.categories(name) {
            if let Some(other) = first.insert(category, name).filter(|other| other != name) {
                problems.push(
                    Problem::warning(
                        format!("signals.domain.{name}"),
                        format!("shares a category with the domain `{other}`, so that both match together:"),
                    )
                    .found(category),
                );
            }
        }
    }
}

/// Thresholds hold for the encoder that they were chosen on.
fn other_encoder(config: &PolicyConfig, encoder: &ModelId, problems: &mut Vec<Problem>) {
    let signals = &config.signals;
    let embedding = signals
        .embedding
        .iter()
        .map(|(n, r)| (Family::Embedding, n, &r.encoder, r.threshold));
    let domain = signals
        .domain
        .iter()
        .map(|(n, r)| (Family::Domain, n, &r.encoder, r.threshold));
    let complexity = signals
        .complexity
        .iter()
        .map(|(n, r)| (Family::Complexity, n, &r.encoder, r.threshold));
    let is_running = |wanted: &str| wanted == encoder.name() || wanted == encoder.to_string();
    let mut report = |path: String, wanted: &str| {
        problems.push(
            Problem::warning(
                path,
                "its thresholds were chosen on another encoder; measure them again",
            )
            .found(wanted)
            .allowed(encoder.to_string()),
        );
    };
    let mut any_threshold = false;
    for (family, name, own, threshold) in embedding.chain(domain).chain(complexity) {
        match own {
            Some(own) if !is_running(own) => report(format!("signals.{family}.{name}.encoder"), own),
            Some(_) => {}
            None => any_threshold |= threshold.is_some(),
        }
    }
    if let Some(wanted) = signals
        .options
        .encoder
        .as_deref()
        .filter(|w| any_threshold && !is_running(w))
    {
        report("signals.options.encoder".to_owned(), wanted);
    }
}

/// Signals and projections that no decision leads to.
fn unused(config: &PolicyConfig, draft: &Draft, problems: &mut Vec<Problem>) {
    if config.decisions.is_empty() {
        return;
    }
    let mut used = vec![false; draft.sources.len()];
    let mut open: Vec<u32> = draft.leaf_slots.iter().flatten().copied().collect();
    while let Some(slot) = open.pop() {
        if std::mem::replace(&mut used[slot as usize], true) {
            continue;
        }
        match draft.sources[slot as usize] {
            Source::Rule(Family::Complexity, rule) => {
                open.extend(&draft.composer_slots[rule as usize]);
            }
            Source::Rule(..) => {}
            Source::Partition(p) => open.extend(&draft.partitions[p as usize].members),
            Source::Score(s) => open.extend(draft.scores[s as usize].inputs.iter().map(|i| i.slot)),
            Source::Mapping(m) => open.push(draft.mappings[m as usize].source),
        }
    }
    let mut report = |path: String| {
        problems.push(Problem::warning(
            path,
            "no decision refers to it, so it is never computed",
        ));
    };
    for family in Family::ALL {
        for (rule, name) in config.signals.names(family).into_iter().enumerate() {
            let mine = |slot: &usize| matches!(draft.sources[*slot], Source::Rule(f, r) if f == family && r as usize == rule);
            if !(0..used.len()).filter(mine).any(|slot| used[slot]) {
                report(format!("signals.{family}.{name}"));
            }
        }
    }
    let of = |wanted: &dyn Fn(Source) -> bool| (0..used.len()).any(|s| wanted(draft.sources[s]) && used[s]);
    for (i, name) in config.projections.partitions.keys().enumerate() {
        if !of(&|s| matches!(s, Source::Partition(p) if p as usize == i)) {
            report(format!("projections.partitions.{name}"));
        }
    }
    for (i, name) in config.projections.scores.keys().enumerate() {
        if !of(&|s| matches!(s, Source::Score(p) if p as usize == i)) {
            report(format!("projections.scores.{name}"));
        }
    }
    for (i, name) in config.projections.mappings.keys().enumerate() {
        if !of(&|s| matches!(s, Source::Mapping(p) if p as usize == i)) {
            report(format!("projections.mappings.{name}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(json: &str) -> Vec<String> {
        let config: PolicyConfig = serde_json::from_str(json).unwrap();
        check(&config, Some(&ModelId::new("static", 0x17)))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_sound_policy_has_no_problems() {
        let found = problems(
            r#"{"signals":{"keyword":{"urgent":{"any":["asap"]}},"domain":{"math":{}},"context":{"long":{"min_tokens":"32K"}}},
                "decisions":[
                    {"name":"a","priority":2,"when":"keyword:urgent and not domain:math"},
                    {"name":"b","priority":1,"when":"domain:math or context:long"},
                    {"name":"c"}]}"#,
        );
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn unknown_names_come_with_a_suggestion() {
        let found = problems(
            r#"{"signals":{"domain":{"math":{}},"complexity":{"r":{}}},"decisions":[
                {"name":"a","when":"domain:mth"},{"name":"a","when":"projection:x"},
                {"name":"c","when":"complexity:r"},{"name":"d","when":"complexity:r:hrd"},
                {"name":"e","when":"domain:math:hard"}]}"#,
        );
        assert!(
            found[0].contains("decisions[0].when: unknown signal `domain:mth`; did you mean `domain:math`?")
        );
        assert!(found[1].contains("decisions[1].name: decisions[0] already has the name `a`"));
        assert!(found[2].contains("decisions[1].when: no mapping has a band"));
        assert!(found[3].contains("has a label") && found[3].contains("r:hard, r:medium"));
        assert!(found[4].contains("did you mean `hard`?"));
        assert!(found[5].contains("only complexity signals have labels"));
    }

    #[test]
    fn unused_signals_and_projections() {
        let found = problems(
            r#"{"signals":{"keyword":{"a":{"any":["x"]},"b":{"any":["y"]},"gate":{"any":["z"]}},
                    "complexity":{"r":{"composer":"keyword:gate"}}},
                "projections":{"scores":{"s":{"inputs":[{"type":"complexity","name":"r","value_source":"raw"}]}},
                    "mappings":{"m":{"source":"s","bands":[{"name":"high","gt":0.1}]},
                                "n":{"source":"s","bands":[{"name":"low","lte":0.1}]}}},
                "decisions":[{"name":"d","when":"keyword:a or projection:high"}]}"#,
        );
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("warning: signals.keyword.b: no decision refers to it"));
        assert!(found[1].starts_with("warning: projections.mappings.n:"));
    }

    #[test]
    fn domains_that_share_a_category() {
        let found = problems(
            r#"{"signals":{"domain":{"law":{},"office":{"categories":["business","law"]}}},
                "decisions":[{"name":"d","when":"domain:law or domain:office"}]}"#,
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("shares a category with the domain `law`"));
    }

    #[test]
    fn thresholds_of_another_encoder() {
        let rules = |options: &str, rule: &str| {
            problems(&format!(
                r#"{{"signals":{{"domain":{{"math":{{"threshold":0.3{rule}}}}},"options":{{{options}}}}},
                    "decisions":[{{"name":"d","when":"domain:math"}}]}}"#
            ))
        };
        assert_eq!(rules("", ""), Vec::<String>::new());
        assert_eq!(
            rules(r#""encoder":"static""#, r#","encoder":"static@0000000000000017""#),
            Vec::<String>::new()
        );
        assert!(rules(r#""encoder":"minilm""#, "")[0].contains("signals.options.encoder"));
        assert!(
            rules("", r#","encoder":"static@0000000000000016""#)[0].contains("signals.domain.math.encoder")
        );
    }

    #[test]
    fn scores_that_share_inputs_are_looked_at_once() {
        // Looked at along every path this would be 2^60 times.
        let score = |i: usize| {
            let input = match i {
                0 => r#"{"type":"keyword","name":"a"}"#.to_owned(),
                _ => format!(r#"{{"type":"projection","name":"s{:02}"}}"#, i - 1),
            };
            format!(r#""s{i:02}":{{"inputs":[{input},{input}]}}"#)
        };
        let scores: Vec<String> = (0..60).map(score).collect();
        let found = problems(&format!(
            r#"{{"signals":{{"keyword":{{"a":{{"any":["x"]}}}}}},
                "projections":{{"scores":{{{}}},"mappings":{{"m":{{"source":"s59","bands":[{{"name":"b","gt":0}}]}}}}}},
                "decisions":[{{"name":"d","when":"projection:b"}}]}}"#,
            scores.join(",")
        ));
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn circles_and_bad_projections() {
        let found = problems(
            r#"{"signals":{"domain":{"math":{},"law":{}}},
                "projections":{
                    "partitions":{"p":{"type":"domain","members":["math","lw"],"default":"law"},
                                  "q":{"type":"domain","members":["math"],"default":"math"},
                                  "k":{"type":"keyword","members":[],"default":"x"}},
                    "scores":{"a":{"inputs":[{"type":"projection","name":"b"}]},
                              "b":{"inputs":[{"type":"projection","name":"a"},{"type":"domain","name":"math","value_source":"score"}]}},
                    "mappings":{"m":{"source":"c","bands":[]},"n":{"source":"a","bands":[{"name":"x"},{"name":"x"}],
                                "calibration":{"slope":0}}}},
                "decisions":[]}"#,
        );
        let text = found.join("\n");
        for part in [
            "partitions.p.members[1]: unknown domain signal `lw`; did you mean `law`?",
            "partitions.p.default: the default is no member `law`",
            "partitions.q.members[0]: a signal is a member of one partition, once `math`",
            "partitions.k.type: signals of this family form no partition `keyword`",
            "scores.a: scores go round in a circle `a → b → a`",
            "scores.b.inputs[1]: `value_source: score` goes with",
            "mappings.m.source: unknown score `c`",
            "mappings.n.bands[1].name: names of bands are unique",
            "mappings.n.calibration.slope: out of range `0`",
        ] {
            assert!(text.contains(part), "{part}\nnot in\n{text}");
        }
    }
}
