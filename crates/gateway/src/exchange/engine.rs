//! One call to a model inside this process. It runs on a thread of its own; its events come over a channel, and closing the
//! channel tells it to stop.

use std::{collections::VecDeque, ops::ControlFlow, sync::Arc, time::Instant};

use bytes::Bytes;
use fingerpost_core::Failure;
use fingerpost_protocol::{Answer, Conversation, Dialect, ErrorBody, Event, Format, Warnings};
use http::HeaderMap;
use tokio::{sync::mpsc::unbounded_channel, time::timeout_at};

use super::{
    ask::{Ask, Question},
    attempt::{Failed, Given, StreamAnswer, WholeAnswer},
    streaming::Source,
    wire::{Pipe, TOP_LOGPROBS},
};
use crate::snapshot::EndpointSlot;

/// Calls the model that `endpoint` names and waits until its answer, or the first token of it, is there.
pub(crate) async fn attempt(ask: &Ask<'_>, endpoint: &Arc<EndpointSlot>) -> Result<Given, Failed> {
    let engine = endpoint
        .engine
        .clone()
        .ok_or_else(|| Failed::of(Failure::Connect("the model is not here".into())))?;
    let (format, body) = match ask.question {
        Some(question) => (Format::Chat, written(question, ask.stream())),
        None => (ask.envelope.format, ask.body.clone()),
    };
    // What routing does not look at may still be wrong; say so before a thread is started.
    let asked = Conversation::read(format, &body).map_err(|bad| Failed {
        failure: Failure::Refused(400),
        retry_after: None,
        told: Some(ErrorBody::from(&bad)),
    })?;
    let adds_logprobs = ask.logprobs && !asked.sampling.logprobs;
    drop(asked);
    let (sender, mut events) = unbounded_channel::<Event<'static>>();
    let run = move || {
        if let Ok(mut conversation) = Conversation::read(format, &body) {
            if adds_logprobs {
                conversation.sampling.logprobs = true;
                conversation.sampling.top_logprobs = Some(TOP_LOGPROBS);
            }
            engine.run(&conversation, &mut |event| match sender.send(event) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            });
        }
    };
    std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(run)
        .map_err(|e| Failed::of(Failure::Connect(format!("no thread for the model: {e}").into())))?;
    let by = (Instant::now() + ask.timeouts.first_byte).min(ask.deadline);
    let timed_out = |_| Failed::of(Failure::Timeout("first token".into()));
    if !ask.stream() {
        let mut all = Vec::new();
        while let Some(event) = timeout_at(ask.deadline.into(), events.recv())
            .await
            .map_err(timed_out)?
        {
            all.push(event);
        }
        let is_finished = all.iter().any(|event| matches!(event, Event::Finish(_)));
        let (answer, error) = Answer::collect(all);
        if let Some(error) = error {
            return Err(failed(error));
        }
        if !is_finished {
            return Err(Failed::of(Failure::Broken(
                "the model stopped without a finish".into(),
            )));
        }
        let answer = ask.whole_of(&answer, adds_logprobs);
        return Ok(Given::Whole(Box::new(WholeAnswer {
            headers: HeaderMap::new(),
            answer,
        })));
    }
    let mut pipe = Pipe::writing(ask);
    let mut held = VecDeque::new();
    while !pipe.has_token() {
        let Some(event) = timeout_at(by.into(), events.recv()).await.map_err(timed_out)? else {
            return Err(Failed::of(Failure::Broken(
                "the model stopped before its first token".into(),
            )));
        };
        if let Event::Error(error) = event {
            return Err(failed(error));
        }
        pipe.event(&event, &mut held);
    }
    let source = Source::Engine(events);
    Ok(Given::Stream(Box::new(StreamAnswer {
        headers: HeaderMap::new(),
        held,
        source,
        pipe,
    })))
}

/// A question as a request of the format that the model reads.
fn written(question: Question<'_>, stream: bool) -> Bytes {
    let conversation = question.conversation(stream);
    let body = conversation.write(Format::Chat, "", Dialect::default(), &mut Warnings::default());
    body.into()
}

fn failed(error: ErrorBody) -> Failed {
    let failure = if error.status < 500 {
        Failure::Refused(error.status)
    } else {
        Failure::Status(error.status)
    };
    Failed {
        failure,
        retry_after: None,
        told: Some(error),
    }
}
