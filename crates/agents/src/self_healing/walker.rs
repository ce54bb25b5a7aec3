//! One walk, and what a signal leads to.

use std::borrow::Cow;

use fingerpost_core::{Answer, Context, Failure, Millis, Name, Step};

use super::{
    SelfHealing,
    ending::admitted,
    graph::ToolGraph,
    health::{End, Seen},
    log::{Ending, EventKind},
    monitor::{Source, View},
    question::Cause,
    task::Task,
    walk::{Leg, LegState, Phase, Trouble, Walk},
};

/// A walk with all that it reads.
pub(super) struct Walker<'a, 'c> {
    pub(super) router: &'a SelfHealing,
    pub(super) task: &'a Task,
    pub(super) walk: Walk,
    pub(super) cx: &'a Context<'c>,
    pub(super) soft: std::sync::Arc<Vec<f64>>,
    /// By node: [`RUN`], [`OUT`].
    pub(super) marks: Vec<u8>,
}

pub(super) const RUN: u8 = 1;
pub(super) const OUT: u8 = 2;

/// The first few words of a text that came from outside.
fn brief(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect()
}

// === impl Walker ===

impl<'a, 'c> Walker<'a, 'c> {
    pub(super) fn new(router: &'a SelfHealing, task: &'a Task, walk: Walk, cx: &'a Context<'c>) -> Self {
        let mut marks = vec![0; router.graph.node_count()];
        for (node, _) in &walk.executed {
            marks[*node as usize] |= RUN;
        }
        for node in &walk.out {
            marks[*node as usize] |= OUT;
        }
        Self {
            soft: router.health.soft(),
            router,
            task,
            walk,
            cx,
            marks,
        }
    }

    pub(super) fn graph(&self) -> &'a ToolGraph {
        &self.router.graph
    }

    /// The first step.
    pub(super) fn set_out(mut self) -> Step {
        match self.seek(0) {
            Ok(_) => self.advance(),
            Err(why) => self.escalate(Cause::NoPath, Source::Intent, None, &[], why),
        }
    }

    /// Answers to all that was asked.
    pub(super) fn hear(mut self, answers: &[Answer]) -> Step {
        if let Some(question) = self.walk.question.take() {
            return self.told(&question, answers);
        }
        let most = self.graph().settings().max_answer_bytes;
        for (call, node) in std::mem::take(&mut self.walk.asked) {
            let answer = answers.iter().find(|a| a.call.0 == call);
            let unheard = Err(Failure::Broken(Cow::Borrowed("the call was not answered")));
            let (reply, latency) = answer.map_or((&unheard, None), |a| (&a.reply, a.outcome.latency));
            let Some(tool) = &self.graph().node(node).tool else {
                continue;
            };
            let (end, trouble) = match reply {
                Ok(reply) => match tool.expects.accepts(&reply.text, most) {
                    Ok(()) => {
                        self.ran(node, call, &reply.text);
                        (End::Well, None)
                    }
                    // It did what it does; what came of it is of no use, and would be none the second time.
                    Err(why) => (
                        End::Badly,
                        Some((why, Source::Output, false, tool.is_repeatable())),
                    ),
                },
                Err(failure) => {
                    // Refused or not connected to, nothing has happened. After all else nobody knows.
                    let is_certain = matches!(
                        failure,
                        Failure::Connect(_) | Failure::Refused(_) | Failure::RateLimited
                    );
                    let unsure = !is_certain && !tool.is_repeatable();
                    let again = failure.is_retryable() && !unsure;
                    (
                        End::of(failure),
                        Some((brief(&failure.to_string()), Source::ToolHealth, unsure, again)),
                    )
                }
            };
            self.seen(node, end, latency);
            if let Some((why, source, unsure, again)) = trouble {
                self.walk.troubles.push_back(Trouble {
                    node,
                    why,
                    source,
                    unsure,
                    again,
                });
            }
        }
        self.advance()
    }

    pub(super) fn seen(&self, node: u32, end: End, latency: Option<Millis>) {
        let seen = Seen {
            at: self.cx.now,
            latency,
            end,
        };
        self.router.health.record(node, seen);
    }

    /// A tool succeeded.
    pub(super) fn ran(&mut self, node: u32, call: u32, text: &str) {
        let known = self.graph().node(node);
        self.marks[node as usize] |= RUN;
        self.walk.executed.push((node, call));
        self.walk.facts |= known.gives;
        self.walk.kept.push((node, text.to_owned()));
        self.note(
            EventKind::Execute,
            Source::Progress,
            Cow::Borrowed("its answer counts"),
            |event| {
                event.tool = Some(known.name.clone());
            },
        );
    }

    /// Signals, until calls are to be made or the walk is over.
    pub(super) fn advance(mut self) -> Step {
        loop {
            for leg in 0..self.walk.legs.len() {
                self.pass(leg);
            }
            let trouble = self.walk.troubles.pop_front().or_else(|| self.next_down());
            if trouble.is_none() && self.walk.legs.iter().all(|leg| leg.state != LegState::Open) {
                match self.turn() {
                    Ok(None) => continue,
                    Ok(Some(ending)) => return self.end(ending, "there"),
                    Err((cause, why)) => return self.escalate(cause, Source::Progress, None, &[], &why),
                }
            }
            let about = |source: Source| {
                trouble
                    .as_ref()
                    .filter(|t| t.source == source)
                    .map(|t| self.name(t.node))
            };
            let view = View {
                graph: self.graph(),
                task: self.task,
                down: about(Source::ToolHealth),
                rejected: about(Source::Output),
                calls: self.walk.tool_calls,
                failures: self.walk.failures,
                kept_bytes: self.walk.kept.iter().map(|(_, text)| text.len()).sum(),
                intent_known: self.walk.intent_known,
                risk_taken: self.walk.risk_taken,
            };
            let signal = view.strongest();
            match (signal.source, trouble) {
                (Source::ToolHealth | Source::Output, Some(trouble)) => {
                    if let Some((cause, old, why)) = self.failed(&trouble) {
                        // What else has failed is told before somebody is asked.
                        while let Some(also) = self.walk.troubles.pop_front() {
                            if let Some((cause, old, why)) = self.failed(&also) {
                                self.tell_escalation(cause, also.source, Some(also.node), &old, &why);
                            }
                        }
                        return self.escalate(cause, trouble.source, Some(trouble.node), &old, &why);
                    }
                }
                (Source::Progress, _) if signal.priority > 0.5 => {
                    let why = format!(
                        "{} calls and {} failures are too many for one task",
                        self.walk.tool_calls, self.walk.failures
                    );
                    return self.escalate(Cause::TooMuch, Source::Progress, None, &[], &why);
                }
                (Source::Risk, _) if signal.priority >= self.graph().settings().risk_at => {
                    let why = "much is at stake";
                    return self.escalate(Cause::Risk, Source::Risk, None, &[], why);
                }
                (Source::Memory, _) if signal.priority > 0.1 => self.forget(),
                _ => match self.look_again() {
                    Ok(true) => {}
                    Ok(false) => return self.call(),
                    Err((cause, why)) => return self.escalate(cause, Source::Progress, None, &[], &why),
                },
            }
        }
    }

    /// A tool that is next and cannot be called.
    pub(super) fn next_down(&self) -> Option<Trouble> {
        let open = self.walk.legs.iter().filter(|leg| leg.state == LegState::Open);
        open.filter_map(|leg| leg.path.first().copied()).find_map(|node| {
            let why = if !self.router.health.is_callable(node, self.cx.now) {
                "it is spared: it failed lately, or its quota is used up"
            } else if admitted(self.name(node), self.cx).is_none() {
                "it is no candidate any more"
            } else {
                return None;
            };
            Some(Trouble {
                node,
                why: why.to_owned(),
                source: Source::ToolHealth,
                unsure: false,
                again: false,
            })
        })
    }

    /// Acts on a failure: tells of the new way, or gives why there is none.
    pub(super) fn failed(&mut self, trouble: &Trouble) -> Option<(Cause, Vec<Name>, Cow<'static, str>)> {
        let node = trouble.node;
        self.walk.failures += 1;
        let tries = self.walk.tries.iter().position(|(n, _)| *n == node);
        let failed = tries.map_or(0, |at| self.walk.tries[at].1) + 1;
        let attempts = self.graph().node(node).tool.as_ref().map_or(1, |t| t.attempts);
        if trouble.again && failed < attempts {
            match tries {
                Some(at) => self.walk.tries[at].1 = failed,
                None => self.walk.tries.push((node, failed)),
            }
        } else if self.marks[node as usize] & OUT == 0 {
            self.marks[node as usize] |= OUT;
            self.walk.out.push(node);
        }
        let affected: Vec<usize> = (0..self.walk.legs.len())
            .filter(|leg| {
                let leg = &self.walk.legs[*leg];
                leg.state == LegState::Open && leg.path.contains(&node)
            })
            .collect();
        let old = affected
            .first()
            .map(|leg| self.names(&self.walk.legs[*leg].path))
            .unwrap_or_default();
        if trouble.unsure {
            let why = format!(
                "{}: whether it happened is not known, and it must not happen twice",
                trouble.why
            );
            return Some((Cause::Unsure, old, why.into()));
        }
        let (mut cost, mut lost) = (0.0, false);
        for leg in &affected {
            match self.seek(*leg) {
                Ok(path) => cost += path,
                Err(why) => match self.give_up(*leg) {
                    None => lost = true,
                    Some(cause) => return Some((cause, old, format!("{}; {why}", trouble.why).into())),
                },
            }
        }
        let new = affected
            .first()
            .map(|leg| self.names(&self.walk.legs[*leg].path))
            .unwrap_or_default();
        let reason = if lost {
            format!("{}; its branch is given up, the quorum stands", trouble.why)
        } else {
            trouble.why.clone()
        };
        let name = self.name(node).clone();
        self.note(EventKind::Reroute, trouble.source, reason.into(), |event| {
            event.failed = Some(name);
            (event.old_path, event.new_path, event.cost) = (old, new, cost);
        });
        None
    }

    /// Lets old answers go until the rest fits.
    pub(super) fn forget(&mut self) {
        let most = self.graph().settings().max_kept_bytes;
        let mut bytes: usize = self.walk.kept.iter().map(|(_, text)| text.len()).sum();
        let mut gone = 0;
        while bytes > most && gone < self.walk.kept.len() {
            bytes -= self.walk.kept[gone].1.len();
            gone += 1;
        }
        self.walk.kept.drain(..gone);
        let why = format!("the answers kept for later tools are too long: the {gone} oldest are let go");
        self.note(EventKind::Forget, Source::Memory, why.into(), |_| ());
    }

    /// Looks whether what the next tools need still holds: another branch may have changed it. Whether a path was changed.
    pub(super) fn look_again(&mut self) -> Result<bool, (Cause, Cow<'static, str>)> {
        let mut changed = false;
        for leg in 0..self.walk.legs.len() {
            let Some(node) = self.walk.legs[leg].path.first().copied() else {
                continue;
            };
            let known = self.graph().node(node);
            if known.needs & !self.walk.facts == 0 && known.unless & self.walk.facts == 0 {
                continue;
            }
            changed = true;
            if self.seek(leg).is_err() {
                let why = format!("what {} needs does not hold any more", known.name);
                if let Some(cause) = self.give_up(leg) {
                    return Err((cause, why.into()));
                }
                let why = format!("{why}; its branch is given up, the quorum stands");
                self.note(EventKind::Reroute, Source::Progress, why.into(), |_| ());
            }
        }
        Ok(changed)
    }

    /// All legs are done or lost: what comes next, or how it ends, or why it cannot go on.
    pub(super) fn turn(&mut self) -> Result<Option<Ending>, (Cause, Cow<'static, str>)> {
        let over = if self.walk.demoted {
            Ending::Demoted
        } else {
            Ending::Completed
        };
        let Some(fan) = self
            .graph()
            .fan
            .as_ref()
            .filter(|_| self.walk.phase != Phase::Line)
        else {
            return Ok(Some(over));
        };
        match self.walk.phase {
            Phase::Lead => {
                let branch = |(to, required): &(u32, bool)| Leg::new(fan.from, fan.from, *to, *required);
                self.walk.phase = Phase::Branches;
                self.walk.legs = fan.branches.iter().map(branch).collect();
                for leg in 0..self.walk.legs.len() {
                    let Err(why) = self.seek(leg) else {
                        continue;
                    };
                    let end = self.name(self.walk.legs[leg].goal).clone();
                    if let Some(cause) = self.give_up(leg) {
                        return Err((cause, format!("the branch to {end}: {why}").into()));
                    }
                    let why = format!("the branch to {end} has no way and is given up, the quorum stands");
                    self.note(EventKind::Reroute, Source::ToolHealth, why.into(), |_| ());
                }
            }
            Phase::Branches => {
                self.walk.phase = Phase::Tail;
                self.walk.legs = vec![Leg::new(fan.join, fan.join, self.walk.goal, true)];
                self.seek(0).map_err(|why| (Cause::NoPath, why.into()))?;
            }
            Phase::Line | Phase::Tail => return Ok(Some(over)),
        }
        Ok(None)
    }
}
