//! The one place where formats meet: how a request is put to a provider, and how what comes back is put to the client.
//!
//! Where both speak one format the client's bytes go up and the upstream's come back untouched (but for the model's name, and a
//! usage chunk that we asked for and the client did not); otherwise both are translated.

use std::collections::VecDeque;

use bytes::Bytes;
use fingerpost_core::{Failure, Name, Reply};
use fingerpost_protocol::{
    Answer, BadAnswer, Body, Dialect, Edit, ErrorBody, Event, Format, Head, Seen, StreamWatch, StreamWriter,
    Translator, Usage, Warnings, broken, broken_stream, conversation, going_on_from, translate_request,
    without_logprobs,
};
use http::Uri;

use super::{
    ask::Ask,
    attempt::{Failed, Given, StreamAnswer, WholeAnswer},
    run::Answered,
    streaming::Source,
    tap::Tap,
};
use crate::{
    snapshot::{EndpointSlot, ProviderSlot},
    upstream::RequestBody,
};

/// A request as a provider takes it, and the way back for its answer.
pub(crate) struct Put {
    pub(crate) path: Uri,
    pub(crate) body: RequestBody,
    pub(crate) pipe: Pipe,
}

/// The way back of an answer: from the upstream's format into the client's.
pub(crate) struct Pipe {
    from: Format,
    to: Format,
    /// Taken by a translator when a stream begins.
    head: Option<Head>,
    warnings: Warnings,
    flow: Flow,
    /// The stored answer that this one goes on from, where an answer in the client's format has to be made to say so.
    previous: Option<Name>,
    /// Reads the client's stream along, to keep what a later request may go on from.
    tap: Option<Tap>,
    /// A router reads the answer first.
    reads: bool,
    /// The answer has log-probabilities that the client did not ask for.
    hides_logprobs: bool,
}

/// How pieces of a stream pass.
enum Flow {
    /// As they come, looked at.
    Watch(StreamWatch),
    /// Through a translator.
    Translate(Box<Translator>),
    /// Written here, from events.
    Write(Box<StreamWriter>, Seen),
}

/// A whole answer in the client's format.
pub(crate) struct Whole {
    pub(crate) body: Bytes,
    pub(crate) usage: Usage,
    warnings: Warnings,
    /// What a router reads of it, where one wants to.
    pub(crate) reply: Option<Box<Reply>>,
}

/// Likely tokens asked for with each token: the second best is what a margin is measured against.
pub(super) const TOP_LOGPROBS: u32 = 2;

/// How `provider` differs from its format's letter. OpenAI itself may refuse what open servers take.
fn dialect(provider: &ProviderSlot) -> Dialect {
    Dialect {
        extensions: !provider.is_public,
        ..Dialect::default()
    }
}

/// The answer as a router that asked for it reads it.
fn reply(answer: &Answer<'_>) -> Reply {
    Reply {
        text: answer.text(),
        logprobs: answer.logprob_values(),
        margins: answer.logprob_margins(),
        in_arguments: answer.logprobs_in_arguments(),
        tokens: answer.logprob_tokens(),
        tool_calls: u32::try_from(answer.calls()).unwrap_or(u32::MAX),
    }
}

// === impl Ask ===

impl Ask<'_> {
    /// The request as `endpoint` takes it.
    pub(crate) fn put(&self, endpoint: &EndpointSlot) -> Result<Put, Failed> {
        let provider = &endpoint.provider;
        let client = self.envelope.format;
        // A question is put in a format of messages: an answer in the client's own would repeat the question to the client.
        let format = provider.format(if self.question.is_some() {
            Format::Chat
        } else {
            client
        });
        let path = provider
            .path(format)
            .ok_or_else(|| Failed::of(Failure::Connect("the provider has no path".into())))?;
        let model = endpoint.upstream_model.as_str();
        let same = format == client;
        let ask_usage = self.stream() && (provider.stream_usage || self.question.is_some());
        let logprobs = self.logprobs && format == Format::Chat;
        let mut hides_logprobs = false;
        let (body, warnings) = match self.question {
            Some(question) => {
                let mut warnings = Warnings::default();
                let conversation = question.conversation(self.stream());
                let body = conversation.write(format, model, dialect(provider), &mut warnings);
                (body.into(), warnings)
            }
            None if same && self.envelope.query.stream == self.stream() && !logprobs => {
                let edit = Edit {
                    model: Some(model),
                    include_usage: ask_usage,
                };
                (self.envelope.body_for(self.body, edit), Warnings::default())
            }
            None => self.rewritten(format, model, provider, logprobs.then_some(&mut hides_logprobs))?,
        };
        let hides = same && ask_usage && self.envelope.hides_usage();
        let watch = if hides {
            StreamWatch::hiding_usage(format)
        } else {
            StreamWatch::new(format)
        };
        let watch = match self.previous {
            Some(previous) => watch.going_on_from(previous.as_str()),
            None => watch,
        };
        let head = (!same).then(|| self.head());
        let pipe = Pipe {
            from: format,
            to: client,
            head,
            warnings,
            flow: Flow::Watch(watch),
            previous: self.previous.cloned(),
            tap: self.tap(),
            reads: self.whole,
            hides_logprobs,
        };
        Ok(Put {
            path,
            body: RequestBody::new(body),
            pipe,
        })
    }

    /// The request in another format, or made whole where a stream was asked for, or with log-probabilities asked for; the last
    /// argument then hears whether the client did not ask for them itself.
    fn rewritten(
        &self,
        format: Format,
        model: &str,
        provider: &ProviderSlot,
        logprobs: Option<&mut bool>,
    ) -> Result<(Body, Warnings), Failed> {
        let bad = |bad: &fingerpost_protocol::BadRequest| Failed {
            failure: Failure::Refused(400),
            retry_after: None,
            told: Some(ErrorBody::from(bad)),
        };
        let dialect = dialect(provider);
        if self.envelope.query.stream == self.stream() && logprobs.is_none() {
            let translated = translate_request(self.envelope.format, format, self.body, model, dialect);
            return translated
                .map(|(body, warnings)| (body.into(), warnings))
                .map_err(|e| bad(&e));
        }
        let mut conversation =
            fingerpost_protocol::Conversation::read(self.envelope.format, self.body).map_err(|e| bad(&e))?;
        conversation.stream = self.stream();
        if let Some(added) = logprobs
            && !conversation.sampling.logprobs
        {
            conversation.sampling.logprobs = true;
            conversation.sampling.top_logprobs = Some(TOP_LOGPROBS);
            *added = true;
        }
        let mut warnings = Warnings::default();
        let body = conversation.write(format, model, dialect, &mut warnings);
        Ok((body.into(), warnings))
    }

    /// What an answer made here says of itself.
    fn head(&self) -> Head {
        let head = Head {
            id: self.trace.to_string(),
            created: self.at.micros() / 1_000_000,
            model: self.told_model(),
            echo: None,
        };
        let head = match self.envelope.format {
            Format::Responses => head.echo(self.body),
            Format::Chat | Format::Messages => head,
        };
        match self.previous {
            Some(previous) => head.going_on_from(previous.as_str()),
            None => head,
        }
    }

    /// The model that an answer made here names: what the client asked for; where it named none, what it could have asked for.
    fn told_model(&self) -> String {
        let asked = &self.envelope.query.model;
        match self.snapshot.config().aliases.0.first() {
            Some(alias) if asked.is_empty() => alias.clone(),
            _ => asked.to_string(),
        }
    }

    fn tap(&self) -> Option<Tap> {
        (self.stream() && self.envelope.format == Format::Responses && self.envelope.store != Some(false))
            .then(Tap::default)
    }

    /// An answer of a model inside this process, written in the client's format; without its log-probabilities
    /// where the client shall not see them.
    pub(crate) fn whole_of(&self, answer: &Answer<'_>, hides_logprobs: bool) -> Whole {
        let reply = self.whole.then(|| Box::new(reply(answer)));
        let bare = hides_logprobs.then(|| Answer {
            logprobs: None,
            ..answer.clone()
        });
        let told = bare.as_ref().unwrap_or(answer);
        let body = told.to_body(self.envelope.format, &self.head()).into();
        Whole {
            body,
            usage: answer.usage.unwrap_or_default(),
            warnings: Warnings::default(),
            reply,
        }
    }

    /// A text in the place of an answer, with its usage.
    pub(crate) fn worded(&self, text: &str, instead_of: &Whole) -> Whole {
        let answer = Answer {
            parts: vec![conversation::Part::text(text)],
            usage: Some(instead_of.usage),
            ..Answer::default()
        };
        Whole {
            warnings: instead_of.warnings.clone(),
            ..self.whole_of(&answer, false)
        }
    }

    /// An answer that is here already, all of the stream that the client wants of it.
    pub(crate) fn stream_of(&self, answer: &Answer<'_>) -> Bytes {
        let mut writer = StreamWriter::new(self.envelope.format, self.head(), self.envelope.include_usage);
        let mut written = Vec::new();
        for event in answer.events() {
            writer.write(&event, &mut written);
        }
        writer.end(&mut written);
        written.into()
    }

    /// A whole answer as the stream that the client wants.
    pub(crate) fn as_stream(&self, answered: Answered) -> Answered {
        let Answered { given, call, model } = answered;
        let given = match given {
            Given::Whole(whole) => self.streamed(*whole),
            stream @ Given::Stream(_) => stream,
        };
        Answered { given, call, model }
    }

    fn streamed(&self, whole: WholeAnswer) -> Given {
        let WholeAnswer { headers, answer } = whole;
        let format = self.envelope.format;
        let mut pipe = Pipe::writing(self);
        let mut held = VecDeque::new();
        let mut warnings = answer.warnings.clone();
        match Answer::read(format, &answer.body, &mut warnings) {
            Ok(read) => read
                .events()
                .iter()
                .for_each(|event| pipe.event(event, &mut held)),
            // It was read when it came in, so this does not happen; a broken stream is the honest answer if it does.
            Err(bad) => pipe.broken(&bad.to_string(), &mut held),
        }
        drop(pipe.finish(&mut held));
        Given::Stream(Box::new(StreamAnswer {
            headers,
            held,
            source: Source::Over,
            pipe,
        }))
    }
}

// === impl Pipe ===

impl Pipe {
    /// A way back for answers of a model inside this process.
    pub(crate) fn writing(ask: &Ask<'_>) -> Self {
        let format = ask.envelope.format;
        let writer = StreamWriter::new(format, ask.head(), ask.envelope.include_usage);
        Self {
            from: format,
            to: format,
            head: None,
            warnings: Warnings::default(),
            flow: Flow::Write(Box::new(writer), Seen::default()),
            previous: None,
            tap: ask.tap(),
            reads: false,
            hides_logprobs: false,
        }
    }

    /// A whole answer, checked and in the client's format.
    pub(crate) fn whole(&mut self, body: Bytes) -> Result<Whole, BadAnswer> {
        let mut warnings = std::mem::take(&mut self.warnings);
        match self.head.take() {
            None => {
                let usage = fingerpost_protocol::glance(self.from, &body)?.unwrap_or_default();
                let told = self.previous.as_ref().filter(|_| self.from == Format::Responses);
                let told = told.and_then(|previous| going_on_from(&body, previous.as_str()));
                let body = told.map_or(body, Bytes::from);
                let reply = match self.reads {
                    true => Some(Box::new(reply(&Answer::read(
                        self.from,
                        &body,
                        &mut Warnings::default(),
                    )?))),
                    false => None,
                };
                let bare = self.hides_logprobs.then(|| without_logprobs(&body)).flatten();
                Ok(Whole {
                    body: bare.map_or(body, Bytes::from),
                    usage,
                    warnings,
                    reply,
                })
            }
            Some(head) => {
                let mut answer = Answer::read(self.from, &body, &mut warnings)?;
                let reply = self.reads.then(|| Box::new(reply(&answer)));
                if self.hides_logprobs {
                    answer.logprobs = None;
                }
                let translated = answer.to_body(self.to, &head);
                Ok(Whole {
                    body: translated.into(),
                    usage: answer.usage.unwrap_or_default(),
                    warnings,
                    reply,
                })
            }
        }
    }

    /// The client's stream will be translated, if formats differ. Called once, when the stream begins.
    pub(crate) fn begin_stream(&mut self, include_usage: bool) {
        if let Some(head) = self.head.take() {
            self.flow = Flow::Translate(Box::new(Translator::new(self.from, self.to, head, include_usage)));
        }
    }

    /// A piece of the upstream's stream. What it gives for the client goes to `out`.
    pub(crate) fn feed(&mut self, piece: &Bytes, out: &mut VecDeque<Bytes>) -> Result<(), String> {
        let before = out.len();
        let result = match &mut self.flow {
            Flow::Watch(watch) => watch.feed(piece, |p| out.push_back(p)).map_err(|e| e.to_string()),
            Flow::Translate(translator) => {
                let mut written = Vec::new();
                let result = translator.feed(piece, &mut written).map_err(|e| e.to_string());
                push(out, written);
                result
            }
            Flow::Write(..) => Ok(()),
        };
        self.tap_since(before, out);
        result
    }

    /// An event of a model inside this process.
    pub(crate) fn event(&mut self, event: &Event<'_>, out: &mut VecDeque<Bytes>) {
        let before = out.len();
        if let Flow::Write(writer, seen) = &mut self.flow {
            seen.note(event);
            let mut written = Vec::new();
            writer.write(event, &mut written);
            push(out, written);
        }
        self.tap_since(before, out);
    }

    /// Whether the client would see something now: a text, a thought, a call, or the end.
    pub(crate) fn has_token(&self) -> bool {
        let seen = self.seen();
        seen.content || seen.finish.is_some()
    }

    /// Whether nothing more needs to come.
    pub(crate) fn is_done(&self) -> bool {
        matches!(&self.flow, Flow::Watch(watch) if watch.is_done())
    }

    /// The source has ended. Says what is missing where the answer is not whole.
    pub(crate) fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<(), String> {
        let before = out.len();
        let result = match &mut self.flow {
            Flow::Watch(watch) => watch.finish(|p| out.push_back(p)).map_err(|e| e.to_string()),
            Flow::Translate(translator) => {
                let mut written = Vec::new();
                let result = translator.finish(&mut written).map_err(|e| e.to_string());
                push(out, written);
                result
            }
            Flow::Write(writer, seen) => match (&seen.error, seen.finish) {
                (Some(error), _) => Err(error.message.clone()),
                (None, None) => Err("the model stopped without a finish".to_owned()),
                (None, Some(_)) => {
                    let mut written = Vec::new();
                    writer.end(&mut written);
                    push(out, written);
                    Ok(())
                }
            },
        };
        self.tap_since(before, out);
        result
    }

    /// Ends the client's stream with an error of its format, so that nobody takes it for whole.
    pub(crate) fn broken(&mut self, reason: &str, out: &mut VecDeque<Bytes>) {
        let error = broken(reason);
        let mut written = Vec::new();
        match &mut self.flow {
            // An error that the upstream wrote itself has passed already.
            Flow::Watch(watch) if watch.seen().error.is_some() => {}
            Flow::Watch(_) => written = broken_stream(self.to, &error),
            Flow::Translate(translator) => translator.finish_broken(&error, &mut written),
            Flow::Write(writer, _) => writer.fail(&error, &mut written),
        }
        push(out, written);
    }

    /// The error that the upstream reported within its stream.
    pub(crate) fn error(&self) -> Option<&str> {
        self.seen().error.as_ref().map(|e| e.message.as_str())
    }

    pub(crate) fn usage(&self) -> Usage {
        self.seen().usage.unwrap_or_default()
    }

    pub(crate) fn warnings(&self) -> Option<String> {
        self.warnings.header()
    }

    /// The finished answer of a Responses stream, where it is to be kept.
    pub(crate) fn completed(&mut self) -> Option<Vec<u8>> {
        self.tap.as_mut()?.completed()
    }

    fn seen(&self) -> &Seen {
        match &self.flow {
            Flow::Watch(watch) => watch.seen(),
            Flow::Translate(translator) => translator.seen(),
            Flow::Write(_, seen) => seen,
        }
    }

    /// Reads along what was put out since.
    fn tap_since(&mut self, before: usize, out: &VecDeque<Bytes>) {
        let Some(tap) = &mut self.tap else { return };
        for piece in out.range(before.min(out.len())..) {
            tap.feed(piece);
        }
    }
}

fn push(out: &mut VecDeque<Bytes>, written: Vec<u8>) {
    if !written.is_empty() {
        out.push_back(written.into());
    }
}

// === impl Whole ===

impl Whole {
    pub(crate) fn warnings(&self) -> Option<String> {
        self.warnings.header()
    }
}
