//! The head as a router: decides at once, asks nobody.

use std::sync::Arc;

use fingerpost_core::{
    Candidate, CandidateId, Context, Decision, Evidence, Exclusion, Feature, Learn, Limit, Name, NoRoute,
    Pick, Picks, Query, Reason, Router,
};

use super::{Chosen, RouteReply, bank::AgentBank, conflict::Partners, head::TcarHead};

/// Share of mixed examples from which on two agents are for the same thing, and are chosen together.
const OVERLAP: f32 = 0.25;

/// Takes a set of agents by a trained head. Candidates are known by the ids of agents. The picks of the set share the weight by
/// their scores (0 to 1); a query out of scope goes to `otherwise`, or is no route, which names every agent as barred. Agents that
/// the limits exclude are passed over before the set is chosen. An agent that overlaps with the best is in the set too, whatever
/// its score. Learns nothing in service.
pub struct TcarRouter {
    name: Name,
    bank: Arc<AgentBank>,
    head: TcarHead,
    otherwise: Option<Name>,
    partners: Partners,
}

/// A set, as candidates.
pub(super) struct Set<'c> {
    pub(super) reply: RouteReply,
    pub(super) agents: Vec<(&'c Candidate, f64)>,
    /// By how much the last of the set exceeds the best agent outside it, or the best agent the line of being out of scope.
    pub(super) margin: f64,
}

// === impl TcarRouter ===

impl TcarRouter {
    /// A router of this name; `otherwise` is who takes what no agent is there for. Looks for agents that overlap ([`Partners::of`]).
    pub fn new(name: Name, bank: Arc<AgentBank>, head: TcarHead, otherwise: Option<Name>) -> Self {
        Self {
            partners: Partners::of(&bank, OVERLAP),
            name,
            bank,
            head,
            otherwise,
        }
    }

    pub(super) fn bank(&self) -> &AgentBank {
        &self.bank
    }

    /// The set for a text among the candidates that the limits admit.
    pub(super) fn set<'c>(&self, text: &str, among: &[CandidateId], cx: &Context<'c>) -> Set<'c> {
        let candidates: rustc_hash::FxHashMap<&str, &'c Candidate> =
            cx.admitted(among).map(|c| (c.profile.name.as_str(), c)).collect();
        let vector = self.bank.encoder().encode(text);
        let features = self.bank.features(text, &vector);
        let mut scores = self.head.scores(&features);
        for (agent, score) in self.bank.agents().iter().zip(&mut scores) {
            if !candidates.contains_key(agent.entry.id.as_str()) {
                *score = f64::NAN;
            }
        }
        let inside = self.head.inside(&features, &scores);
        let mut set = self.head.thresholds.choose(&scores, inside);
        self.partners.widen(&mut set, |agent| !scores[agent].is_nan());
        let agents: Vec<(&Candidate, f64)> = set
            .iter()
            .filter_map(|&i| {
                Some((
                    *candidates.get(self.bank.agents()[i].entry.id.as_str())?,
                    scores[i],
                ))
            })
            .collect();
        let outside = scores
            .iter()
            .enumerate()
            .filter(|(i, s)| !set.contains(i) && !s.is_nan());
        let next = outside.map(|(_, s)| *s).fold(0.0, f64::max);
        let oos = self.head.thresholds.oos;
        let margin = match agents.last() {
            Some((_, last)) => (last - next).min(inside - oos),
            None => oos - inside,
        };
        let reply = RouteReply {
            reason: self.head.reason(&self.bank, &features, &scores, &set),
            chosen: if agents.is_empty() {
                Chosen::OutOfScope
            } else {
                Chosen::Agents(agents.iter().map(|(c, _)| c.profile.name.clone()).collect())
            },
        };
        Set {
            reply,
            agents,
            margin,
        }
    }
}

/// A decision for a set: weights by score, all of them run.
pub(super) fn decision(agents: &[(&Candidate, f64)], reason: Reason, evidence: Evidence) -> Option<Decision> {
    let total: f64 = agents.iter().map(|(_, score)| score.max(1e-9)).sum();
    let picks: Picks = agents
        .iter()
        .map(|(candidate, score)| Pick::of(candidate, *score).weighing(score.max(1e-9) / total))
        .collect();
    let evidence = evidence.with("set", Feature::Number(agents.len() as f64));
    Decision::ranked(picks, reason, evidence)
}

/// Nobody fits: whoever takes what is left, or why there is no route.
pub(super) fn nobody(
    otherwise: Option<&Name>,
    reason: Reason,
    evidence: Evidence,
    among: &[CandidateId],
    cx: &Context<'_>,
) -> Result<Decision, NoRoute> {
    let left = otherwise.and_then(|name| cx.catalogue.get(cx.catalogue.id(name)?));
    if let Some(candidate) = left.filter(|c| cx.limits.admit(c).is_ok()) {
        let evidence = evidence.with("out_of_scope", Feature::Number(1.0));
        return Ok(Decision::single(Pick::of(candidate, 0.0), reason, evidence));
    }
    let excluded = among
        .iter()
        .filter_map(|id| cx.catalogue.get(*id))
        .map(|candidate| Exclusion {
            candidate: candidate.profile.name.clone(),
            limit: cx.limits.admit(candidate).err().unwrap_or(Limit::Barred),
        });
    Err(NoRoute {
        excluded: excluded.collect(),
    })
}

impl Learn for TcarRouter {}

impl Router<Query<'_>> for TcarRouter {
    fn route(
        &self,
        query: &Query<'_>,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let set = self.set(&query.user_text(), among, cx);
        let reason = Reason::new(set.reply.reason).with("margin", set.margin);
        let evidence = Evidence::of(self.name.clone()).with("margin", Feature::Number(set.margin));
        match decision(&set.agents, reason.clone(), evidence.clone()) {
            Some(decision) => Ok(decision),
            None => nobody(self.otherwise.as_ref(), reason, evidence, among, cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{Limits, Timestamp};
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;
    use crate::{
        asking::tests::catalogue,
        tcar::{bank::tests::bank, head::tests::trained},
    };

    #[test]
    fn a_set_within_the_limits_or_whoever_takes_the_rest() {
        let bank = Arc::new(bank());
        let mut head = trained(&bank);
        head.thresholds.oos = 0.1;
        let catalogue = catalogue(&["weather", "money", "cook", "chat"]);
        let among = catalogue.ids();
        let route = |head: &TcarHead, text: &str, limits: &Limits, otherwise: Option<Name>| {
            let router = TcarRouter::new("t".into(), bank.clone(), head.clone(), otherwise);
            let mut rng = SmallRng::seed_from_u64(1);
            let mut cx = Context::new(&catalogue, limits, Timestamp::default(), &mut rng);
            router.route(&Query::text(text), &among[..3], &mut cx)
        };
        let none = Limits::default();
        let decision = route(&head, "will it rain in Oslo", &none, None).unwrap();
        assert_eq!(
            (decision.first().name.as_str(), decision.first().weight),
            ("weather", 1.0)
        );
        let barred = Limits {
            barred: vec![among[0]],
            ..Limits::default()
        };
        let decision = route(&head, "will it rain in Oslo", &barred, Some("chat".into())).unwrap();
        assert_ne!(decision.first().name.as_str(), "weather");
        head.thresholds.oos = 2.0;
        let error = route(&head, "will it rain in Oslo", &none, None).unwrap_err();
        assert_eq!(error.excluded.len(), 3);
        let decision = route(&head, "will it rain in Oslo", &none, Some("chat".into())).unwrap();
        assert_eq!(decision.first().name.as_str(), "chat");
        head.thresholds = crate::tcar::Thresholds {
            t: 0.0,
            delta: 1.0,
            oos: 0.0,
        };
        let decision = route(&head, "will it rain in Oslo", &none, None).unwrap();
        assert_eq!(decision.picks.len(), 3);
        assert!((decision.picks.iter().map(|p| p.weight).sum::<f64>() - 1.0).abs() < 1e-9);
    }
}
