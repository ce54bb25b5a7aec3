//! The real local model: llama weights, a tokenizer, and the loop that makes an answer of them.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::chat;
use crate::constraint::{Grammar, Grammars, schema, smallest};
use crate::error::Error;
use crate::generation::{Ended, Flow, Output};
use crate::gguf::Gguf;
use crate::landing::Landing;
use crate::llama::{CHUNK, Cache, Llama};
use crate::sampler::{Sampler, logprobs};
use crate::text_model::{
    Completion, Constraint, Delta, Finish, Request, Sampling, TextModel, TokenLogprob, ToolChoice, Usage,
};
use crate::tokenizer::Tokenizer;
use crate::turns::Turns;

/// Tokens kept free, beyond those of the smallest instance, for closing JSON.
const LANDING: usize = 12;

/// Settings of a [`LocalModel`].
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// Generations at once, each on one thread; the others wait in line. 2 by default.
    pub parallel: usize,
    /// Most tokens of an answer whose request names no limit.
    pub default_max_tokens: usize,
}

/// A language model on the CPU of this process.
pub struct LocalModel {
    name: String,
    llama: Llama,
    tokenizer: Arc<Tokenizer>,
    grammars: OnceLock<Grammars>,
    turns: Turns,
    /// Where the arithmetic runs: one thread a generation. candle hands parts of its work to the pool it runs in,
    /// so without one of its own it would use that of the whole process, at a hand-over for every small step.
    pool: ThreadPool,
    default_max_tokens: usize,
}

/// One answer in the making.
struct Answer<'a> {
    model: &'a LocalModel,
    sampling: &'a Sampling,
    sampler: Sampler,
    grammar: Option<Grammar>,
    landing: Landing,
    /// Tokens that the smallest instance of the schema needs.
    reserve: usize,
    output: Output,
    most: usize,
    produced: usize,
    first_token: Option<Instant>,
}

/// The grammar of a request, ready to be used.
struct Plan {
    grammar: Grammar,
    reserve: usize,
}

// === impl LocalOptions ===

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            parallel: 2,
            default_max_tokens: 1_024,
        }
    }
}

// === impl LocalModel ===

impl LocalModel {
    /// Loads a GGUF file, or the only one in a folder, with default options. Takes a good half second for SmolLM2.
    ///
    /// # Errors
    /// [`Error::NoModel`], [`Error::Unsupported`], [`Error::Broken`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::load_with(path, &LocalOptions::default())
    }

    /// [`LocalModel::load`] with options.
    ///
    /// # Errors
    /// As [`LocalModel::load`].
    pub fn load_with(path: &Path, options: &LocalOptions) -> Result<Self, Error> {
        let mut gguf = Gguf::open(path)?;
        gguf.shape()?;
        let tokenizer = Arc::new(gguf.tokenizer()?);
        let llama = Llama::load(&mut gguf)?;
        let pool = ThreadPoolBuilder::new()
            .num_threads(options.parallel.max(1))
            .thread_name(|i| format!("local-model-{i}"))
            .build()
            .map_err(|error| Error::Compute(error.to_string()))?;
        Ok(Self {
            name: gguf.name(),
            llama,
            tokenizer,
            grammars: OnceLock::new(),
            turns: Turns::new(options.parallel),
            pool,
            default_max_tokens: options.default_max_tokens.max(1),
        })
    }

    /// The grammar of a constraint, and how many tokens its smallest instance takes.
    fn plan(&self, constraint: &Constraint) -> Result<Option<Plan>, Error> {
        let Some(schema) = schema(constraint)? else {
            return Ok(None);
        };
        let grammars = match self.grammars.get() {
            Some(grammars) => grammars,
            None => {
                let made = Grammars::over(&self.tokenizer)?;
                self.grammars.get_or_init(|| made)
            }
        };
        let grammar = grammars.start(&schema)?;
        let reserve = self.tokenizer.encode(&smallest(&schema)?).len() + LANDING;
        Ok(Some(Plan { grammar, reserve }))
    }

    /// One step of the arithmetic, in the model's own threads.
    fn forward(&self, tokens: &[u32], cache: &mut Cache) -> Result<Vec<f32>, Error> {
        self.pool.install(|| self.llama.forward(tokens, cache))
    }

    /// Reads the prompt; `None` when the callback broke off.
    fn read(
        &self,
        prompt: &[u32],
        cache: &mut Cache,
        on: &mut dyn FnMut(Delta<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Vec<f32>>, Error> {
        let mut scores = Vec::new();
        for chunk in prompt.chunks(CHUNK) {
            if on(Delta::Reading {
                done: cache.len(),
                total: prompt.len(),
            })
            .is_break()
            {
                return Ok(None);
            }
            scores = self.forward(chunk, cache)?;
        }
        Ok(Some(scores))
    }
}

impl TextModel for LocalModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn context(&self) -> usize {
        self.llama.context()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.tokenizer.encode(text).len()
    }

    fn generate(
        &self,
        request: &Request,
        on: &mut dyn FnMut(Delta<'_>) -> ControlFlow<()>,
    ) -> Result<Completion, Error> {
        let Request {
            messages,
            sampling,
            constraint,
        } = request;
        sampling.validate()?;
        if messages.is_empty() {
            return Err(Error::NoMessages);
        }
        let mut plan = self.plan(constraint)?;
        let prompt = chat::prompt(&self.tokenizer, messages, constraint);
        let context = self.llama.context();
        if prompt.len() >= context {
            return Err(Error::TooLong {
                prompt: prompt.len(),
                context,
            });
        }
        let Some(_turn) = self.turns.take(|| on(Delta::Waiting)) else {
            return Ok(cancelled(prompt.len()));
        };
        let start = Instant::now();
        let mut cache = self.llama.cache();
        let Some(scores) = self.read(&prompt, &mut cache, on)? else {
            return Ok(cancelled(prompt.len()));
        };

        // With a free choice, the model shows by its first letter whether it wants to call: a call begins with `{`.
        let sampler = Sampler::new(sampling);
        let is_call = match constraint {
            Constraint::ToolCall {
                choice: ToolChoice::Auto,
                ..
            } => {
                let first = sampler.clone().choose(&scores, |token| self.may_say(token));
                plan.is_some() && first.is_some_and(|token| self.tokenizer.bytes(token).starts_with(b"{"))
            }
            Constraint::ToolCall { .. } => true,
            _ => false,
        };
        if !is_call && matches!(constraint, Constraint::ToolCall { .. }) {
            plan = None;
        }
        let (grammar, reserve) = plan.map_or((None, 0), |plan| (Some(plan.grammar), plan.reserve));
        let mut answer = Answer {
            model: self,
            sampling,
            sampler,
            grammar,
            landing: Landing::default(),
            reserve,
            output: if is_call {
                Output::call()
            } else {
                Output::text(&sampling.stop)
            },
            most: sampling
                .max_tokens
                .unwrap_or(self.default_max_tokens)
                .min(context - prompt.len()),
            produced: 0,
            first_token: None,
        };
        let finish = answer.run(scores, &mut cache, on)?;
        let finish = if finish == Finish::Stop && is_call {
            Finish::ToolCall
        } else {
            finish
        };
        let usage = Usage {
            prompt_tokens: prompt.len(),
            completion_tokens: answer.produced,
        };
        let first_token = answer.first_token.map(|first| first - start);
        let whole = answer.output.into_whole();
        Ok(Completion {
            text: whole.text,
            call: whole.call,
            finish,
            stop: whole.stop,
            usage,
            logprobs: whole.logprobs,
            first_token,
            total: start.elapsed(),
        })
    }
}

impl LocalModel {
    /// Whether a token may stand in free text: text, or the end of the turn.
    fn may_say(&self, token: u32) -> bool {
        token == self.tokenizer.end || !self.tokenizer.is_control(token)
    }
}

// === impl Answer ===

impl Answer<'_> {
    fn run(
        &mut self,
        mut scores: Vec<f32>,
        cache: &mut Cache,
        on: &mut dyn FnMut(Delta<'_>) -> ControlFlow<()>,
    ) -> Result<Finish, Error> {
        loop {
            let next = self.next(&scores)?;
            self.first_token.get_or_insert_with(Instant::now);
            for token in &next {
                match self.accept(*token, &scores, on)? {
                    None => {}
                    // What is held back belongs to the answer, unless nobody listens any more.
                    Some(Finish::Cancelled) => return Ok(Finish::Cancelled),
                    Some(finish) => return Ok(self.finish(finish, on)),
                }
            }
            if self.produced >= self.most {
                return Ok(self.finish(Finish::Length, on));
            }
            for chunk in next.chunks(CHUNK) {
                scores = self.model.forward(chunk, cache)?;
            }
        }
    }

    /// The next tokens: those that the grammar forces, else one that is chosen. Never empty.
    fn next(&mut self, scores: &[f32]) -> Result<Vec<u32>, Error> {
        let Self {
            model,
            sampler,
            landing,
            ..
        } = self;
        let left = self.most - self.produced;
        let Some(grammar) = &mut self.grammar else {
            let token = sampler.choose(scores, |token| model.may_say(token));
            return Ok(vec![token.unwrap_or(model.tokenizer.end)]);
        };
        // Log-probabilities need the scores before each token, so then even forced tokens go one by one.
        if self.sampling.logprobs.is_none() {
            let mut forced = grammar.forced();
            if !forced.is_empty() {
                forced.truncate(left);
                return Ok(forced);
            }
        }
        let allowed = grammar.allowed()?;
        let landing_now = left <= self.reserve + 2 * landing.depth() || landing.endless_number();
        let chosen = if landing_now {
            let bytes = |token| {
                if token == model.tokenizer.end {
                    &[][..]
                } else {
                    model.tokenizer.bytes(token)
                }
            };
            let mut best = (u8::MAX, usize::MAX);
            allowed.iter_set_entries(|token| best = best.min(landing.rank(bytes(token as u32))));
            sampler.choose(scores, |token| {
                allowed.is_allowed(token) && landing.rank(bytes(token)) == best
            })
        } else {
            sampler.choose(scores, |token| allowed.is_allowed(token))
        };
        chosen
            .map(|token| vec![token])
            .ok_or_else(|| Error::Compute("the grammar allows no token".to_owned()))
    }

    /// Takes a token into the answer; `Some` when that ends it.
    fn accept(
        &mut self,
        token: u32,
        scores: &[f32],
        on: &mut dyn FnMut(Delta<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Finish>, Error> {
        let tokenizer = &self.model.tokenizer;
        self.produced += 1;
        if token == tokenizer.end {
            return Ok(Some(Finish::Stop));
        }
        self.sampler.produced(token);
        let bytes = tokenizer.bytes(token);
        let logprob = self.sampling.logprobs.map(|top| {
            let (logprob, top) = logprobs(scores, token, top, |id| tokenizer.bytes(id));
            TokenLogprob {
                bytes: bytes.to_vec(),
                logprob,
                top,
            }
        });
        if let Some(grammar) = &mut self.grammar {
            grammar.consume(token)?;
            self.landing.feed(bytes);
        }
        match self.output.push(bytes, logprob, on) {
            Flow::Break(Ended::Stop) => return Ok(Some(Finish::Stop)),
            Flow::Break(Ended::Cancelled) => return Ok(Some(Finish::Cancelled)),
            Flow::Continue(()) => {}
        }
        Ok(self
            .grammar
            .as_ref()
            .is_some_and(Grammar::is_done)
            .then_some(Finish::Stop))
    }

    /// Shows what was held back; the answer may still be cancelled, or turn out to end in a stop string.
    fn finish(&mut self, finish: Finish, on: &mut dyn FnMut(Delta<'_>) -> ControlFlow<()>) -> Finish {
        match self.output.finish(on) {
            Flow::Break(Ended::Cancelled) => Finish::Cancelled,
            Flow::Break(Ended::Stop) | Flow::Continue(()) => finish,
        }
    }
}

/// The completion of a request that was cancelled before its first token.
fn cancelled(prompt_tokens: usize) -> Completion {
    Completion {
        text: String::new(),
        call: None,
        finish: Finish::Cancelled,
        stop: None,
        usage: Usage {
            prompt_tokens,
            completion_tokens: 0,
        },
        logprobs: Vec::new(),
        first_token: None,
        total: Duration::ZERO,
    }
}
