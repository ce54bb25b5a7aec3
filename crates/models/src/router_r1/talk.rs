//! The router model's turns: it is asked to go on, and what it says is done.

use fingerpost_core::{Ask, Call, CallId, Candidate, Context, Feature, Query, Reason, Step};

use super::{
    Action, By, FormatGrades, Progress, RouterR1, Talk, Violation, named,
    protocol::{self, DELEGATE},
};
use crate::{
    calls::{admitted, nobody},
    ranked::Ranked,
};

// === impl RouterR1 ===

impl RouterR1 {
    /// The name of the model that routes; empty where a policy does.
    fn router_model(&self) -> &str {
        match &self.by {
            By::Llm { model } => model,
            By::Trained { .. } => "",
        }
    }

    /// Has the router model go on from the transcript.
    pub(super) fn generate(
        &self,
        query: &Query<'_>,
        mut progress: Progress,
        transcript: String,
        cx: &Context<'_>,
    ) -> Step {
        let Some(router) = admitted(self.router_model(), cx) else {
            let why = "the router model is out of reach: without it";
            return self.plainly(why, &progress.models, &progress.calls, cx);
        };
        let last = progress.turns >= self.config.max_turns || self.spent_all(&progress.calls);
        let candidates: Vec<&Candidate> = progress.models.iter().filter_map(|m| admitted(m, cx)).collect();
        let ask = Ask::Prompt {
            system: Some(protocol::instructions(&candidates)),
            user: protocol::turn(&query.user_text(), &transcript, last),
        };
        let id = CallId(progress.calls.begin(router.profile.name.clone(), "route"));
        progress.state = Talk::Generation { transcript, last };
        let call = Call {
            id,
            target: router.id,
            ask,
        };
        self.ask(vec![call], &progress, cx)
    }

    /// Does what the router model said.
    pub(super) fn act(
        &self,
        query: &Query<'_>,
        mut progress: Progress,
        transcript: String,
        last: bool,
        said: &str,
        cx: &Context<'_>,
    ) -> Step {
        let (counts, action) = Action::read(said);
        let mut transcript = transcript + counts;
        match action {
            Action::Answer(text) if !protocol::untagged(&text).trim().is_empty() => {
                self.serve(&progress, &transcript, &text, cx)
            }
            _ if last => {
                let why = "the router model gave no answer: without it";
                self.plainly(why, &progress.models, &progress.calls, cx)
            }
            Action::Answer(_) | Action::Invalid(_) => {
                progress.turns += 1;
                self.generate(query, progress, transcript, cx)
            }
            Action::Search {
                model: whom,
                query: question,
            } => {
                let admissible: Vec<&Candidate> =
                    progress.models.iter().filter_map(|m| admitted(m, cx)).collect();
                let found = named(&whom, admissible.iter().map(|c| &c.profile.name));
                let Some(candidate) = found.map(|i| admissible[i]) else {
                    transcript.push_str(&protocol::information(None, 0));
                    progress.turns += 1;
                    return self.generate(query, progress, transcript, cx);
                };
                let id = CallId(progress.calls.begin(candidate.profile.name.clone(), "ask"));
                progress.state = Talk::Observation { transcript };
                let ask = Ask::Prompt {
                    system: Some(DELEGATE.to_owned()),
                    user: question,
                };
                let call = Call {
                    id,
                    target: candidate.id,
                    ask,
                };
                self.ask(vec![call], &progress, cx)
            }
        }
    }

    fn serve(&self, progress: &Progress, transcript: &str, text: &str, cx: &Context<'_>) -> Step {
        let why = "the router model answers";
        let model = self.router_model();
        let Some(router) = cx.catalogue.id(model).and_then(|id| cx.catalogue.get(id)) else {
            return self.plainly(why, &progress.models, &progress.calls, cx);
        };
        let format = Violation::of(transcript, &progress.models);
        let format = format.map_or(0.0, |v| v.grade(&FormatGrades::default()));
        let asked = progress.calls.iter().filter(|c| c.purpose == "ask").count();
        let reason = Reason::new(why)
            .with("models asked", asked as f64)
            .with("cost in USD", progress.calls.spent());
        let evidence = self
            .evidence(&progress.calls)
            .with("format", Feature::Number(format));
        let mut ranked = Ranked::default();
        ranked.offer(router, 1.0);
        let others = progress.models.iter().filter(|m| **m != *model);
        ranked.extend(others.filter_map(|m| Some((admitted(m, cx)?, 0.0))));
        match ranked.decide(reason, evidence) {
            Some(mut decision) => {
                let number = progress.calls.len().saturating_sub(1);
                decision.answered = Some(CallId(u32::try_from(number).unwrap_or(u32::MAX)));
                Step::Serve(decision, protocol::untagged(text).trim().to_owned())
            }
            None => Step::Fail(nobody(&progress.models, cx)),
        }
    }
}
