//! Routers that must ask before they can decide: cascades, panels, rounds, planners, look-ahead.
//!
//! Such a router never performs a call. It says which calls it wants ([`Step::Ask`]) and is resumed with the answers, by
//! whoever runs it: the gateway over the network, the simulator in its own time, a test from a script ([`drive`]). What it
//! must remember between two steps is in its [`Thread`], which is plain data: it can be stored and taken up elsewhere.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::{CandidateId, Context, Decision, Failure, Learn, Millis, NoRoute, Outcome, Router};

/// A router that may ask before it decides. The promises of [`Router`] hold for each step.
pub trait Deliberate<Q: ?Sized>: Learn {
    /// Takes up a query.
    fn start(&self, query: &Q, among: &[CandidateId], cx: &mut Context<'_>) -> Step;

    /// Goes on with the answers to all calls of the last [`Step::Ask`], in the order of the calls.
    ///
    /// `thread` is what that step gave. A thread of another router or version is answered with [`Step::Fail`].
    fn resume(&self, query: &Q, thread: Thread, answers: Vec<Answer>, cx: &mut Context<'_>) -> Step;

    /// How the calls of a step are to be performed. The default: all at once, each as long as the request may take, and all of
    /// them waited for.
    fn manner(&self, _calls: &[Call]) -> Manner {
        Manner::default()
    }
}

/// How the calls of one step are performed. A runner that performs them one after the other ([`drive`]) may leave it out of
/// account.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Manner {
    /// Most calls under way at once; the runner's own bound where absent.
    pub at_once: Option<usize>,
    /// The longest that one call may take; as long as the request where absent.
    pub within: Option<Millis>,
    /// So many answers are enough: the calls that have not come to one by then are given up, and answered with
    /// [`Failure::Cancelled`]. All are waited for where absent.
    pub enough: Option<usize>,
}

/// What comes next.
#[derive(Debug)]
pub enum Step {
    /// It is decided.
    Done(Decision),
    /// These calls first, all at once; then resume with this thread.
    Ask(Vec<Call>, Thread),
    /// It is decided, and what this one more call brings is the answer to the request: it is passed on as it comes, and the
    /// router is not resumed. The decision's first pick is the call's target; its `answered` is set by whoever performs it.
    Finish(Decision, Call),
    /// It is decided, and this text is the answer to the request. The decision's `answered` names the call that it was read
    /// from: the text stands in that answer's place, under its model and with its usage. For routers whose calls bring more
    /// than the client is to see, such as a text with tags of the router's own. Not part of the decision, so that no trace
    /// holds it.
    Serve(Decision, String),
    /// It cannot be decided.
    Fail(NoRoute),
}

/// Names a call within one deliberation; the router numbers its calls itself, each number once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub u32);

/// A call that the router wants performed.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Its number.
    pub id: CallId,
    /// Whom to ask.
    pub target: CandidateId,
    /// What to ask.
    pub ask: Ask,
}

/// What to ask.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Ask {
    /// The user's request as it came.
    Forward,
    /// The same, and with the answer the log-probabilities of its tokens and of the second best ones, from models that give
    /// them. The client sees of them only what it asked for itself.
    ForwardWithLogprobs,
    /// A question of the router's own.
    Prompt {
        /// Instructions, if any.
        system: Option<String>,
        /// The question.
        user: String,
    },
    /// A tool with its arguments as JSON text.
    Tool {
        /// The tool's name.
        name: String,
        /// Its arguments.
        arguments: String,
    },
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Which call.
    pub call: CallId,
    /// What came back.
    pub reply: Result<Reply, Failure>,
    /// Cost, latency and tokens of the call.
    pub outcome: Outcome,
}

/// What came back from a call that succeeded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// The text of the answer.
    pub text: String,
    /// Natural logarithm of each token's probability, where the model gave them.
    pub logprobs: Vec<f32>,
    /// By how much the logarithm of each token's probability exceeds that of the second best token, where the model gave both.
    pub margins: Vec<f32>,
    /// For each of `logprobs`, whether its token belongs to the arguments of a tool call; empty where the model did not say.
    pub in_arguments: Vec<bool>,
    /// The text of each token, in the order of `logprobs`; empty where nobody kept them.
    pub tokens: Vec<String>,
    /// Tool calls in the answer.
    pub tool_calls: u32,
}

/// What a deliberation remembers between two steps: plain data, so that it survives a restart or a change of replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Thread(serde_json::Value);

/// A thread that does not hold what its reader expects.
#[derive(Debug, Error)]
#[error("the thread of a deliberation does not fit its router: {0}")]
pub struct ThreadError(#[from] serde_json::Error);

/// A [`Router`] as a [`Deliberate`] that never asks.
#[derive(Debug, Clone)]
pub struct Immediate<R>(pub R);

/// Most rounds of calls that [`drive`] performs.
pub const MAX_ROUNDS: usize = 64;

/// Why [`drive`] came to no decision.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DriveError {
    /// The router has no route.
    #[error(transparent)]
    NoRoute(#[from] NoRoute),
    /// The router asked and asked.
    #[error("no decision after {MAX_ROUNDS} rounds of calls")]
    TooManyRounds,
}

// === impl Thread ===

impl Thread {
    /// Keeps `state`.
    ///
    /// # Errors
    /// [`ThreadError`] where the state is no JSON (a map with keys that are no text, say).
    pub fn keep<T: Serialize>(state: &T) -> Result<Self, ThreadError> {
        Ok(Self(serde_json::to_value(state)?))
    }

    /// Takes the state up again.
    ///
    /// # Errors
    /// [`ThreadError`] where the thread was kept by another type.
    pub fn take<T: DeserializeOwned>(self) -> Result<T, ThreadError> {
        Ok(serde_json::from_value(self.0)?)
    }
}

// === impl Immediate ===

impl<R: Learn> Learn for Immediate<R> {
    fn learn(&self, evidence: &crate::Evidence, decision: &Decision, outcome: &Outcome) {
        self.0.learn(evidence, decision, outcome);
    }

    fn save(&self) -> Option<Vec<u8>> {
        self.0.save()
    }

    fn restore(&self, state: &[u8]) -> bool {
        self.0.restore(state)
    }
}

impl<Q: ?Sized, R: Router<Q>> Deliberate<Q> for Immediate<R> {
    fn start(&self, query: &Q, among: &[CandidateId], cx: &mut Context<'_>) -> Step {
        self.0.route(query, among, cx).map_or_else(Step::Fail, Step::Done)
    }

    fn resume(&self, _query: &Q, _thread: Thread, _answers: Vec<Answer>, _cx: &mut Context<'_>) -> Step {
        Step::Fail(NoRoute { excluded: Vec::new() })
    }
}

/// Runs a deliberation to its end, performing its calls by `perform`, one after the other. For tests, simulation and
/// replay; the gateway has a runner of its own that performs the calls of one step at once.
///
/// # Errors
/// [`DriveError`] where the router fails, or asks for more than [`MAX_ROUNDS`] rounds.
pub fn drive<Q: ?Sized>(
    router: &dyn Deliberate<Q>,
    query: &Q,
    among: &[CandidateId],
    cx: &mut Context<'_>,
    perform: impl FnMut(&Call) -> Answer,
) -> Result<Decision, DriveError> {
    drive_served(router, query, among, cx, perform).map(|(decision, _)| decision)
}

/// Like [`drive`]; gives also the text that the router serves in an answer's place ([`Step::Serve`]), where it does.
///
/// # Errors
/// As [`drive`].
pub fn drive_served<Q: ?Sized>(
    router: &dyn Deliberate<Q>,
    query: &Q,
    among: &[CandidateId],
    cx: &mut Context<'_>,
    mut perform: impl FnMut(&Call) -> Answer,
) -> Result<(Decision, Option<String>), DriveError> {
    let mut step = router.start(query, among, cx);
    for _ in 0..MAX_ROUNDS {
        match step {
            Step::Done(decision) => return Ok((decision, None)),
            Step::Serve(decision, text) => return Ok((decision, Some(text))),
            Step::Fail(no_route) => return Err(no_route.into()),
            Step::Finish(mut decision, call) => {
                perform(&call);
                decision.answered = Some(call.id);
                return Ok((decision, None));
            }
            Step::Ask(calls, thread) => {
                let answers = calls.iter().map(&mut perform).collect();
                step = router.resume(query, thread, answers, cx);
            }
        }
    }
    Err(DriveError::TooManyRounds)
}
