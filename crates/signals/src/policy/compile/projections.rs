//! Lays out projections: partitions over the signals of a family, scores over signals and each other, mappings over scores.

use std::collections::BTreeMap;

use super::{Draft, family_cost};
use crate::{
    Family, Kind, Leaf, PolicyConfig, Problem, ScoreInput, ValueSource,
    config::Band,
    family::structure::Predicate,
    policy::Source,
    projection::{Input, Mapping, Partition, SLOPE, Score, TEMPERATURE},
};

impl Draft {
    pub(super) fn lay_out_partitions(&mut self, config: &PolicyConfig, problems: &mut Vec<Problem>) {
        for (name, rule) in &config.projections.partitions {
            let path = format!("projections.partitions.{name}");
            if !matches!(rule.family, Family::Domain | Family::Embedding) {
                problems.push(
                    Problem::error(format!("{path}.type"), "signals of this family form no partition")
                        .found(rule.family.as_str())
                        .allowed("domain, embedding"),
                );
                continue;
            }
            let temperature = rule.temperature.unwrap_or(TEMPERATURE);
            if !(temperature > 0.0 && temperature.is_finite()) {
                problems.push(
                    Problem::error(format!("{path}.temperature"), "out of range")
                        .found(temperature.to_string())
                        .allowed("above 0"),
                );
            }
            let known = config.signals.names(rule.family);
            let mut members = Vec::new();
            let mut places = Vec::new();
            for (i, member) in rule.members.iter().enumerate() {
                let at = format!("{path}.members[{i}]");
                match self.rules[rule.family.index()].get(member) {
                    None => problems.push(
                        Problem::error(at, format!("unknown {} signal", rule.family))
                            .one_of(member, known.iter().copied()),
                    ),
                    Some(index) => {
                        let slot = self.starts[rule.family.index()] + index;
                        if members.contains(&slot) || self.partitioned.contains_key(&slot) {
                            problems.push(
                                Problem::error(at, "a signal is a member of one partition, once")
                                    .found(member),
                            );
                        } else {
                            members.push(slot);
                            places.push(member.as_str());
                        }
                    }
                }
            }
            let default = places.iter().position(|m| *m == rule.default);
            if default.is_none() {
                problems.push(
                    Problem::error(format!("{path}.default"), "the default is no member")
                        .one_of(&rule.default, rule.members.iter().map(String::as_str)),
                );
            }
            let index = self.partitions.len() as u32;
            let out = self.sources.len() as u32;
            let cost = family_cost(rule.family);
            for (member, place) in members.iter().zip(&places) {
                let slot = self.slot(Source::Partition(index), rule.family.as_str(), place, None, cost);
                self.partitioned.insert(*member, slot);
            }
            self.partitions.push(Partition {
                members,
                default: default.unwrap_or(0),
                semantics: rule.semantics,
                temperature,
                out,
            });
        }
    }

    pub(super) fn lay_out_scores(&mut self, config: &PolicyConfig, problems: &mut Vec<Problem>) {
        let rules = &config.projections.scores;
        let names: Vec<&str> = rules.keys().map(String::as_str).collect();
        let first = self.sources.len() as u32;
        for (i, name) in names.iter().enumerate() {
            self.slot(Source::Score(i as u32), "score", name, None, 0);
        }
        for (i, (name, rule)) in rules.iter().enumerate() {
            let path = format!("projections.scores.{name}");
            if rule.inputs.is_empty() {
                problems.push(Problem::error(format!("{path}.inputs"), "a score needs an input"));
            }
            let mut inputs = Vec::new();
            for (k, input) in rule.inputs.iter().enumerate() {
                let at = format!("{path}.inputs[{k}]");
                match self.score_input(input, &names, first) {
                    Ok(input) => inputs.push(input),
                    Err(problem) => problems.push(Problem { path: at, ..*problem }),
                }
            }
            self.scores.push(Score {
                inputs,
                out: first + i as u32,
            });
        }
        if let Some(cycle) = self.score_cycle(first) {
            let path = format!("projections.scores.{}", names[cycle[0]]);
            let mut circle: Vec<&str> = cycle.iter().map(|i| names[*i]).collect();
            circle.push(names[cycle[0]]);
            problems.push(Problem::error(path, "scores go round in a circle").found(circle.join(" → ")));
            // So that nothing recurses through it.
            for score in &mut self.scores {
                score.inputs.clear();
            }
        }
        let mut costs = vec![None; self.scores.len()];
        for i in 0..self.scores.len() {
            self.costs[first as usize + i] = self.score_cost(i, first, &mut costs);
        }
    }

    fn score_input(&self, input: &ScoreInput, scores: &[&str], first: u32) -> Result<Input, Box<Problem>> {
        let error = |message: &str| Problem::error("", message);
        let weight = input.weight.unwrap_or(1.0);
        let numbers = [
            weight,
            input.on_match.unwrap_or(0.0),
            input.on_miss.unwrap_or(0.0),
        ];
        if numbers.iter().any(|n| !n.is_finite()) {
            return Err(error("weight, match and miss are finite numbers").into());
        }
        let Some(kind) = Kind::from_name(&input.kind) else {
            return Err(error("unknown type").one_of(&input.kind, Kind::names()).into());
        };
        let (slot, value) = match kind {
            Kind::Projection => {
                let name = input.name.as_deref().unwrap_or_default();
                let at = scores.iter().position(|s| *s == name);
                let at = at.ok_or_else(|| error("unknown score").one_of(name, scores.iter().copied()))?;
                (
                    first + at as u32,
                    input.value_source.unwrap_or(ValueSource::Score),
                )
            }
            Kind::Signal(family) => {
                let value = input.value_source.unwrap_or(ValueSource::Binary);
                let leaf = Leaf {
                    name: input.name.clone(),
                    label: input.label.clone(),
                    ..Leaf::signal(family, "")
                };
                (self.resolve(&leaf, value == ValueSource::Raw)?, value)
            }
        };
        if (kind == Kind::Projection) != (value == ValueSource::Score) {
            return Err(error("`value_source: score` goes with `type: projection`, and only with it").into());
        }
        Ok(Input {
            slot,
            weight,
            value,
            on_match: input.on_match.unwrap_or(1.0),
            on_miss: input.on_miss.unwrap_or(0.0),
        })
    }

    /// Scores that lead back to themselves, by place.
    fn score_cycle(&self, first: u32) -> Option<Vec<usize>> {
        fn visit(at: usize, draft: &Draft, first: u32, seen: &mut [u8], path: &mut Vec<usize>) -> bool {
            seen[at] = 1;
            path.push(at);
            for input in draft.scores[at].inputs.iter().filter(|i| i.slot >= first) {
                let next = (input.slot - first) as usize;
                if seen[next] == 1 {
                    let start = path.iter().position(|p| *p == next).unwrap_or(0);
                    path.drain(..start);
                    return true;
                }
                if seen[next] == 0 && visit(next, draft, first, seen, path) {
                    return true;
                }
            }
            seen[at] = 2;
            path.pop();
            false
        }
        let mut seen = vec![0; self.scores.len()];
        let mut path = Vec::new();
        (0..self.scores.len())
            .any(|at| seen[at] == 0 && visit(at, self, first, &mut seen, &mut path))
            .then_some(path)
    }

    /// The cost of a score's dearest input; `known` are those found already.
    fn score_cost(&self, at: usize, first: u32, known: &mut [Option<u8>]) -> u8 {
        if let Some(cost) = known[at] {
            return cost;
        }
        let mut cost = 0;
        for input in &self.scores[at].inputs {
            cost = cost.max(match input.slot.checked_sub(first) {
                Some(other) => self.score_cost(other as usize, first, known),
                None => self.costs[input.slot as usize],
            });
        }
        known[at] = Some(cost);
        cost
    }

    pub(super) fn lay_out_mappings(&mut self, config: &PolicyConfig, problems: &mut Vec<Problem>) {
        let scores: BTreeMap<&str, u32> = config
            .projections
            .scores
            .keys()
            .zip(&self.scores)
            .map(|(name, score)| (name.as_str(), score.out))
            .collect();
        for (name, rule) in &config.projections.mappings {
            let path = format!("projections.mappings.{name}");
            let Some(&source) = scores.get(rule.source.as_str()) else {
                problems.push(
                    Problem::error(format!("{path}.source"), "unknown score")
                        .one_of(&rule.source, scores.keys().copied()),
                );
                continue;
            };
            if rule.bands.is_empty() {
                problems.push(Problem::error(format!("{path}.bands"), "a mapping needs a band"));
            }
            let slope = rule.calibration.as_ref().map(|c| c.slope.unwrap_or(SLOPE));
            if let Some(slope) = slope.filter(|s| !(*s > 0.0 && s.is_finite())) {
                problems.push(
                    Problem::error(format!("{path}.calibration.slope"), "out of range")
                        .found(slope.to_string())
                        .allowed("above 0"),
                );
            }
            let index = self.mappings.len() as u32;
            let out = self.sources.len() as u32;
            let cost = self.costs[source as usize];
            for (i, band) in rule.bands.iter().enumerate() {
                let slot = self.slot(Source::Mapping(index), "projection", &band.name, None, cost);
                self.certain[slot as usize] = slope.is_none();
                if band.name.is_empty() || self.bands.insert(band.name.clone(), slot).is_some() {
                    problems.push(
                        Problem::error(
                            format!("{path}.bands[{i}].name"),
                            "names of bands are unique over all mappings, and not empty",
                        )
                        .found(&band.name),
                    );
                }
            }
            self.mappings.push(Mapping {
                source,
                method: rule.method,
                bands: rule.bands.iter().map(predicate).collect(),
                slope,
                out,
            });
        }
    }
}

fn predicate(band: &Band) -> Predicate {
    Predicate {
        gt: band.gt,
        gte: band.gte,
        lt: band.lt,
        lte: band.lte,
    }
}
