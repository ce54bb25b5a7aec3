//! Between the gateway and the models of `fingerpost-local`: weights that are loaded when they are first needed, and the demo
//! until they are here.

use std::{
    ops::ControlFlow,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use fingerpost_local::{Completion, Delta, DemoModel, Error, Finish, LocalModel, TextModel};
use fingerpost_packages::{ModelFolder, Status};
use fingerpost_protocol::{Conversation, ErrorBody, ErrorKind, Event, TokenLogprob, Usage, logprobs};

use super::{Manner, conversation};

/// Weights in the model folder. They may come while the process runs: as soon as they are there, they are used.
pub(crate) struct Weights {
    name: &'static str,
    model: OnceLock<LocalModel>,
    /// Held while they are loaded, so that several first requests do not load them several times.
    loading: Mutex<()>,
}

/// A model behind the gateway's trait.
pub(crate) struct Engine {
    weights: Arc<Weights>,
    manner: Manner,
}

/// Tells the calls of this process apart.
static CALLS: AtomicU64 = AtomicU64::new(0);

// === impl Weights ===

impl Weights {
    pub(super) fn of(name: &'static str) -> Self {
        Self {
            name,
            model: OnceLock::new(),
            loading: Mutex::new(()),
        }
    }

    /// The model, loaded now if need be; `None` where it is not pulled.
    fn model(&self) -> Result<Option<&LocalModel>, Error> {
        if let Some(model) = self.model.get() {
            return Ok(Some(model));
        }
        let status = ModelFolder::locate(None).and_then(|folder| folder.status(self.name));
        let Ok(Status::Ready { path }) = status else {
            return Ok(None);
        };
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = self.model.get() {
            return Ok(Some(model));
        }
        crate::pages::as_the_system_likes();
        let model = LocalModel::load(&path)?;
        tracing::info!(model = self.name, "loaded");
        Ok(Some(self.model.get_or_init(|| model)))
    }
}

// === impl Engine ===

impl Engine {
    pub(super) fn new(weights: Arc<Weights>, manner: Manner) -> Self {
        Self { weights, manner }
    }

    fn model(&self) -> Result<&dyn TextModel, Error> {
        if self.manner == Manner::Demo {
            return Ok(&DemoModel);
        }
        Ok(self
            .weights
            .model()?
            .map_or(&DemoModel as &dyn TextModel, |model| model))
    }
}

impl fingerpost_gateway::Engine for Engine {
    fn run(&self, conversation: &Conversation<'_>, sink: &mut dyn FnMut(Event<'static>) -> ControlFlow<()>) {
        let completion =
            conversation::request(conversation, self.manner == Manner::Brief).and_then(|request| {
                let model = self.model().map_err(|error| told(&error))?;
                // Errors about the request come before the first piece: the answer begins with that piece, not before.
                let mut voice = Voice { sink, begun: false };
                let completion = model
                    .generate(&request, &mut |delta| voice.say(delta))
                    .map_err(|error| told(&error))?;
                if completion.finish != Finish::Cancelled && !voice.begun {
                    // Whether the client is still there shows when the events that follow are sent.
                    let _ = voice.begin();
                }
                Ok(completion)
            });
        match completion {
            Ok(completion) if completion.finish == Finish::Cancelled => {}
            Ok(completion) => {
                let finish = Event::Finish(reason(&completion));
                if sink(Event::Usage(usage(&completion))).is_continue() {
                    let _ = sink(finish);
                }
            }
            Err(error) => drop(sink(Event::Error(error))),
        }
    }
}

/// Turns what a model says into the gateway's events.
struct Voice<'a> {
    sink: &'a mut dyn FnMut(Event<'static>) -> ControlFlow<()>,
    begun: bool,
}

// === impl Voice ===

impl Voice<'_> {
    fn begin(&mut self) -> ControlFlow<()> {
        if std::mem::replace(&mut self.begun, true) {
            ControlFlow::Continue(())
        } else {
            (self.sink)(Event::Start)
        }
    }

    fn say(&mut self, delta: Delta<'_>) -> ControlFlow<()> {
        match delta {
            // Nothing to tell; whether the client is still there shows with the first piece.
            Delta::Waiting | Delta::Reading { .. } => ControlFlow::Continue(()),
            Delta::Text { text, tokens } => {
                self.begin()?;
                let logprobs =
                    (!tokens.is_empty()).then(|| logprobs(&tokens.iter().map(token).collect::<Vec<_>>()));
                let logprobs = logprobs.map(std::borrow::Cow::<serde_json::value::RawValue>::Owned);
                (self.sink)(Event::Text {
                    text: text.to_owned().into(),
                    logprobs,
                })
            }
            Delta::ToolCall { name } => {
                self.begin()?;
                let id = format!("call_{:016x}", call_number());
                (self.sink)(Event::ToolCallStart {
                    index: 0,
                    id: id.into(),
                    name: name.to_owned().into(),
                    custom: false,
                })
            }
            Delta::Arguments { json } => (self.sink)(Event::ToolCallArguments {
                index: 0,
                json: json.to_owned().into(),
            }),
        }
    }
}

/// A number that no other call of this process has, and hardly one of another process.
fn call_number() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    static PROCESS: OnceLock<u64> = OnceLock::new();
    let process = PROCESS.get_or_init(|| RandomState::new().hash_one(std::process::id()));
    process
        ^ CALLS
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn token(token: &fingerpost_local::TokenLogprob) -> TokenLogprob {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    TokenLogprob {
        token: text(&token.bytes),
        logprob: token.logprob,
        top: token
            .top
            .iter()
            .map(|top| (text(&top.bytes), top.logprob))
            .collect(),
    }
}

fn usage(completion: &Completion) -> Usage {
    let count = |tokens: usize| u32::try_from(tokens).unwrap_or(u32::MAX);
    Usage {
        input: count(completion.usage.prompt_tokens),
        output: count(completion.usage.completion_tokens),
        ..Usage::default()
    }
}

fn reason(completion: &Completion) -> fingerpost_protocol::Finish {
    use fingerpost_protocol::Finish as Told;
    match completion.finish {
        Finish::Stop if completion.stop.is_some() => Told::StopSequence,
        Finish::Stop | Finish::Cancelled => Told::Stop,
        Finish::Length => Told::Length,
        Finish::ToolCall => Told::ToolCalls,
    }
}

/// The error as the client hears it: its own where the request is at fault, ours where the model is.
fn told(error: &Error) -> ErrorBody {
    let kind = match error {
        Error::NoModel { .. } | Error::Unsupported { .. } | Error::Broken { .. } | Error::Compute(_) => {
            ErrorKind::Upstream
        }
        _ => ErrorKind::InvalidRequest,
    };
    let body = ErrorBody::new(kind, &error.to_string());
    match error {
        Error::TooLong { .. } | Error::NoMessages => body.param("messages"),
        Error::Sampling { field, .. } => body.param(*field),
        Error::UnknownTool { .. } => body.param("tool_choice"),
        _ => body,
    }
}
