//! The instances as they really are, in the simulation: a queue of prompts, a cache, answers under way, adapters loaded.

use std::collections::VecDeque;

use super::{Request, Setting, micros};
use crate::CacheModel;

/// An instance.
#[derive(Debug)]
pub(super) struct Server {
    cache: CacheModel,
    queue: VecDeque<usize>,
    /// The request whose prompt is being computed.
    current: Option<usize>,
    /// Requests whose answers are under way.
    answering: Vec<usize>,
    /// Loaded adapters, the latest used last.
    adapters: Vec<u16>,
    is_up: bool,
    /// How often it has failed: what was begun before is not heard of again.
    pub(super) life: u32,
}

/// A prompt that begins to be computed.
pub(super) struct Begun {
    pub(super) request: usize,
    /// Tokens of it that were cached.
    pub(super) cached: u32,
    /// Microseconds until it is done.
    pub(super) takes: u64,
}

// === impl Server ===

impl Server {
    pub(super) fn new(setting: &Setting, block_tokens: u32) -> Self {
        let blocks = setting.cached_tokens / u64::from(block_tokens);
        Self {
            cache: CacheModel::new(usize::try_from(blocks).unwrap_or(usize::MAX)),
            queue: VecDeque::new(),
            current: None,
            answering: Vec::new(),
            adapters: Vec::new(),
            is_up: true,
            life: 0,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.is_up
    }

    /// Requests that wait, are being computed or answered.
    pub(super) fn in_flight(&self) -> usize {
        self.queue.len() + usize::from(self.current.is_some()) + self.answering.len()
    }

    pub(super) fn take(&mut self, request: usize) {
        self.queue.push_back(request);
    }

    /// Begins with the next prompt, if it is idle and there is one.
    pub(super) fn begin(&mut self, requests: &[Request], setting: &Setting) -> Option<Begun> {
        if self.current.is_some() {
            return None;
        }
        let at = self.queue.pop_front()?;
        self.current = Some(at);
        let request = &requests[at];
        let cached = self.cache.matched_tokens(&request.prefix, request.input);
        // The last token is computed in any case: the answer begins from it.
        let missing = u64::from((request.input - cached).max(1));
        #[allow(clippy::cast_precision_loss, reason = "few answers")]
        let slowed = 1.0 + setting.interference * self.answering.len() as f64;
        let load = if self.load(request.adapter, setting.adapters) {
            setting.adapter_load_s
        } else {
            0.0
        };
        Some(Begun {
            request: at,
            cached,
            takes: micros(setting.seconds_per_token.of(missing) * slowed + load),
        })
    }

    /// The current prompt is done and in the cache; its answer begins.
    pub(super) fn computed(&mut self, requests: &[Request]) -> Option<usize> {
        let at = self.current.take()?;
        self.cache.completed(&requests[at].prefix);
        self.answering.push(at);
        Some(at)
    }

    /// An answer is over.
    pub(super) fn answered(&mut self, request: usize) {
        if let Some(at) = self.answering.iter().position(|r| *r == request) {
            self.answering.swap_remove(at);
        }
    }

    /// It fails. Returns what it had: prompts that can be tried elsewhere, and answers that broke off.
    pub(super) fn fail(&mut self) -> (Vec<usize>, Vec<usize>) {
        self.is_up = false;
        self.life += 1;
        self.cache.clear();
        self.adapters.clear();
        let prompts = self
            .current
            .take()
            .into_iter()
            .chain(self.queue.drain(..))
            .collect();
        (prompts, std::mem::take(&mut self.answering))
    }

    pub(super) fn recover(&mut self) {
        self.is_up = true;
    }

    /// Makes an adapter the latest used. Returns whether it had to be loaded.
    fn load(&mut self, adapter: Option<u16>, most: usize) -> bool {
        let Some(adapter) = adapter else { return false };
        let known = self.adapters.iter().position(|a| *a == adapter);
        if let Some(at) = known {
            self.adapters.remove(at);
        } else if self.adapters.len() >= most.max(1) {
            self.adapters.remove(0);
        }
        self.adapters.push(adapter);
        known.is_none()
    }
}
