//! What a walk says: its calls, its log, its decision.

use std::borrow::Cow;

use fingerpost_core::{
    Ask, Call, CallId, Candidate, CandidateId, Context, Decision, Evidence, Exclusion, Limit, Name, NoRoute,
    Pick, Picks, Reason, Step, Thread,
};
use serde_json::json;

use super::{
    log::{Ending, Event, EventKind, Report},
    monitor::Source,
    walker::Walker,
};

/// The candidate of this name, if the limits admit it now.
pub(super) fn admitted<'c>(name: &Name, cx: &Context<'c>) -> Option<&'c Candidate> {
    let candidate = cx.catalogue.get(cx.catalogue.id(name)?)?;
    cx.limits.admit(candidate).is_ok().then_some(candidate)
}

/// The report that one that is needed is not there.
pub(super) fn without(name: &Name, among: &[CandidateId], cx: &Context<'_>) -> NoRoute {
    let mut report = cx.no_route(among);
    if !report.excluded.iter().any(|e| e.candidate == *name) {
        report.excluded.push(Exclusion {
            candidate: name.clone(),
            limit: Limit::Unknown,
        });
    }
    report
}

/// A candidate, whether or not the limits admit it by now.
fn listed<'c>(name: &Name, cx: &Context<'c>) -> Option<&'c Candidate> {
    cx.catalogue.id(name).and_then(|id| cx.catalogue.get(id))
}

// === impl Walker ===

impl<'a, 'c> Walker<'a, 'c> {
    /// Calls the next tool of each leg.
    pub(super) fn call(mut self) -> Step {
        let mut calls = Vec::new();
        for leg in 0..self.walk.legs.len() {
            let Some(node) = self.walk.legs[leg].path.first().copied() else {
                continue;
            };
            if self.walk.asked.iter().any(|(_, asked)| *asked == node) {
                continue;
            }
            let Some(candidate) = admitted(self.name(node), self.cx) else {
                continue;
            };
            let id = self.walk.calls;
            self.walk.calls += 1;
            self.walk.tool_calls += 1;
            self.walk.asked.push((id, node));
            self.router.health.begin(node, self.cx.now);
            calls.push(Call {
                id: CallId(id),
                target: candidate.id,
                ask: Ask::Tool {
                    name: self.name(node).to_string(),
                    arguments: self.arguments(node),
                },
            });
        }
        self.ask(calls)
    }

    /// What a tool is given: the request, the task's arguments, what the tools before it answered, and a key where it takes one.
    pub(super) fn arguments(&self, node: u32) -> String {
        let given: serde_json::Value = serde_json::from_str(&self.task.arguments).unwrap_or_default();
        let kept = self
            .walk
            .kept
            .iter()
            .map(|(n, text)| (self.name(*n).to_string(), json!(text)));
        let before: serde_json::Map<_, _> = kept.collect();
        let mut arguments = json!({"request": self.task.request, "arguments": given, "before": before});
        let known = self.graph().node(node);
        if known.tool.as_ref().is_some_and(|t| t.key) {
            arguments["idempotency_key"] = json!(format!("{}/{}", self.walk.key, known.name));
        }
        arguments.to_string()
    }

    pub(super) fn ask(&self, calls: Vec<Call>) -> Step {
        match Thread::keep(&self.walk) {
            Ok(thread) => Step::Ask(calls, thread),
            // Everything in it is JSON; should that ever fail, the walk is handed over rather than lost.
            Err(_) => self.decide(Ending::HandedOver, "the walk could not be kept"),
        }
    }

    pub(super) fn llm(&self) -> Option<(CandidateId, u32)> {
        let candidate = admitted(&self.graph().settings().llm, self.cx)?;
        Some((candidate.id, self.walk.calls))
    }

    pub(super) fn count_call(&mut self) {
        self.walk.calls += 1;
    }

    pub(super) fn name(&self, node: u32) -> &'a Name {
        self.graph().name_of(node)
    }

    pub(super) fn names(&self, nodes: &[u32]) -> Vec<Name> {
        nodes.iter().map(|n| self.name(*n).clone()).collect()
    }

    pub(super) fn failed_tools(&self) -> Vec<Name> {
        self.names(&self.walk.out)
    }

    pub(super) fn executed_tools(&self) -> Vec<Name> {
        self.walk
            .executed
            .iter()
            .map(|(n, _)| self.name(*n).clone())
            .collect()
    }

    pub(super) fn note(
        &mut self,
        kind: EventKind,
        source: Source,
        reason: Cow<'static, str>,
        more: impl FnOnce(&mut Event),
    ) {
        let mut event = Event {
            at: self.cx.now,
            kind,
            source,
            tool: None,
            failed: None,
            old_path: Vec::new(),
            new_path: Vec::new(),
            cost: 0.0,
            reason,
        };
        more(&mut event);
        self.walk.log.push(event);
    }

    /// The walk is over.
    pub(super) fn end(mut self, ending: Ending, why: &str) -> Step {
        self.note(
            EventKind::End,
            Source::Progress,
            format!("{ending}: {why}").into(),
            |_| (),
        );
        self.decide(ending, why)
    }

    pub(super) fn decide(&self, ending: Ending, why: &str) -> Step {
        let settings = self.graph().settings();
        let report = Report {
            ending,
            goal: self.name(self.walk.goal).clone(),
            executed: self.executed_tools(),
            failures: self.walk.failures,
            llm_calls: self.walk.llm_calls,
            log: self.walk.log.clone(),
        };
        let reached = matches!(ending, Ending::Completed | Ending::Demoted);
        let candidate = |name: &Name| listed(name, self.cx);
        let mut picks: Picks = Picks::new();
        if reached {
            let run = self.walk.executed.iter().rev();
            picks.extend(
                run.filter_map(|(n, _)| candidate(self.name(*n)))
                    .map(|c| Pick::of(c, 1.0)),
            );
        }
        if picks.is_empty() {
            let takers = settings.human.iter().chain([&settings.llm]);
            picks.extend(takers.filter_map(candidate).take(1).map(|c| Pick::of(c, 1.0)));
        }
        let reason = Reason::new(format!("{ending}: {why}"))
            .with("tools run", report.executed.len() as f64)
            .with("failures", f64::from(report.failures))
            .with("model asked", f64::from(report.llm_calls));
        let evidence = report.tell(Evidence::of(self.walk.router.clone()));
        match Decision::ranked(picks, reason, evidence) {
            Some(mut decision) => {
                decision.answered = self
                    .walk
                    .executed
                    .last()
                    .filter(|_| reached)
                    .map(|(_, call)| CallId(*call));
                Step::Done(decision.only())
            }
            None => Step::Fail(without(&settings.llm, &[], self.cx)),
        }
    }
}
