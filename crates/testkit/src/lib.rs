//! The test bed of Fingerpost: what its tests and benchmarks talk to.
//!
//! - [`Upstream`]: a scripted LLM provider that answers, streams, stalls and breaks as a [`Script`] tells it
//!   (binary `scripted-upstream`);
//! - [`Client`]: a raw HTTP/1.1 client that sends any bytes, sees when each event came and leaves when it likes;
//! - [`RedisServer`]: a server for a shared store, which can be killed and started again;
//! - [`KvPublisher`]: a scripted publisher of KV-cache events;
//! - [`Envoy`]: a real Envoy in front;
//! - [`bench`](mod@bench) (`scripted-upstream --bench`) and [`load`] (binary `loadgen`): the two ends of a benchmark
//!   of a proxy, and the binary `bare-proxy`: the least that a proxy on this HTTP stack can cost.
//!
//! ```
//! use fingerpost_testkit::{Behavior, Client, Script, Upstream};
//!
//! let upstream = Upstream::start(Script::new().then(Behavior::status(500)).then(Behavior::text("hello")))?;
//! let mut client = Client::connect(upstream.addr())?;
//! let body = r#"{"model": "m", "messages": [{"role": "user", "content": "hi"}]}"#;
//! assert_eq!(client.post("/v1/chat/completions", &[], body)?.status, 500);
//! let answer = client.post("/v1/chat/completions", &[], body)?.json();
//! assert_eq!(answer["choices"][0]["message"]["content"], "hello");
//! assert_eq!(upstream.requests().len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ask;
pub mod bench;
pub mod client;
mod completion;
pub mod envoy;
mod formats;
pub mod kv;
pub mod load;
pub mod redis;
pub mod schema;
pub mod script;
pub mod socket;
pub mod upstream;
pub mod wire;

pub use client::{Client, Response, SseEvent};
pub use envoy::Envoy;
pub use kv::KvPublisher;
pub use redis::RedisServer;
pub use script::{Behavior, Fault, Garbage, How, Match, Point, Rule, Script, ToolCall, Usage};
pub use upstream::{Counters, Recorded, Upstream};
