//! A closed-loop load generator on one thread: each connection sends its next request when it has the whole answer
//! to the last, checks the answer, and notes how long it took.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::wire::{BodyDecoder, WireError, take_response_head};

/// The most wrong answers that are told in full.
const TOLD: usize = 3;

/// A load: bounded in count and in time.
#[derive(Debug, Clone)]
pub struct Load {
    /// Whom to ask.
    pub target: SocketAddr,
    /// The request's path.
    pub path: String,
    /// More header lines, each `name: value`.
    pub headers: Vec<String>,
    /// The request's body.
    pub body: String,
    /// Requests in flight at a time.
    pub connections: usize,
    /// Requests that are counted.
    pub requests: u64,
    /// Requests before them that are not.
    pub warmup: u64,
    /// No new request is sent after this time.
    pub limit: Duration,
    /// What the body of every answer must contain.
    pub expect: String,
}

/// What came of a load. Times in microseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Requests answered as expected.
    pub requests: u64,
    /// Requests that failed or were answered otherwise.
    pub errors: u64,
    /// The first of the errors.
    pub told: Vec<String>,
    /// Seconds from the first counted request to the last answer.
    pub seconds: f64,
    /// Answers a second.
    pub per_second: f64,
    /// Time to the whole answer.
    pub total: Quantiles,
    /// Time to the first byte of the body: to the first event of a stream.
    pub first: Quantiles,
}

/// Quantiles of a time, in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Quantiles {
    /// Half are at most this.
    pub p50_us: f64,
    /// Nine in ten are at most this.
    pub p90_us: f64,
    /// All but one in a hundred are at most this.
    pub p99_us: f64,
}

/// What all connections share.
struct Shared {
    load: Load,
    wire: Vec<u8>,
    /// Requests still to be sent.
    left: Cell<u64>,
    /// Requests still to be left uncounted.
    warm: Cell<u64>,
    ends: Instant,
    began: Cell<Option<Instant>>,
    times: RefCell<Vec<(Duration, Duration)>>,
    errors: Cell<u64>,
    told: RefCell<Vec<String>>,
}

/// Runs a load to its end.
pub fn run(load: Load) -> io::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let connections = load.connections;
    let shared = Rc::new(Shared::new(load));
    LocalSet::new().block_on(&runtime, async {
        let running: Vec<_> = (0..connections)
            .map(|_| tokio::task::spawn_local(connection(Rc::clone(&shared))))
            .collect();
        for task in running {
            task.await.map_err(io::Error::other)?;
        }
        Ok(shared.report())
    })
}

async fn connection(shared: Rc<Shared>) {
    let mut open: Option<TcpStream> = None;
    let mut buf = BytesMut::with_capacity(16 * 1024);
    let mut body = BytesMut::with_capacity(16 * 1024);
    while let Some(counted) = shared.take() {
        let asked = ask(&shared, &mut open, &mut buf, &mut body).await;
        match asked {
            Ok(time) if counted => shared.times.borrow_mut().push(time),
            Ok(_) => {}
            Err(reason) => {
                open = None;
                buf.clear();
                shared.tell(reason);
                // A target that refuses everything is not to be asked in a tight loop.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

/// One request and its answer: times to the first byte of the body and to its end.
async fn ask(
    shared: &Shared,
    open: &mut Option<TcpStream>,
    buf: &mut BytesMut,
    body: &mut BytesMut,
) -> Result<(Duration, Duration), String> {
    if open.is_none() {
        let stream = TcpStream::connect(shared.load.target)
            .await
            .map_err(|e| format!("connect: {e}"))?;
        stream.set_nodelay(true).map_err(|e| format!("nodelay: {e}"))?;
        *open = Some(stream);
    }
    let Some(stream) = open else {
        return Err("no connection".to_owned());
    };
    let sent = Instant::now();
    let read = read_answer(shared, stream, buf, body, sent);
    let remaining = shared.ends.saturating_duration_since(sent) + Duration::from_secs(10);
    let (status, first, close) = match tokio::time::timeout(remaining, read).await {
        Ok(answer) => answer.map_err(|e| e.to_string())?,
        Err(_) => return Err("no answer within the load's time".to_owned()),
    };
    let total = sent.elapsed();
    if close {
        *open = None;
    }
    if status != 200 {
        return Err(format!(
            "status {status}: {}",
            String::from_utf8_lossy(&body[..body.len().min(300)])
        ));
    }
    let expected = shared.load.expect.as_str();
    if !std::str::from_utf8(body).is_ok_and(|text| text.contains(expected)) {
        return Err(format!(
            "the answer lacks {expected:?}: {}",
            String::from_utf8_lossy(&body[..body.len().min(300)])
        ));
    }
    Ok((first, total))
}

async fn read_answer(
    shared: &Shared,
    stream: &mut TcpStream,
    buf: &mut BytesMut,
    body: &mut BytesMut,
    sent: Instant,
) -> Result<(u16, Duration, bool), WireError> {
    stream.write_all(&shared.wire).await?;
    body.clear();
    let head = loop {
        if stream.read_buf(buf).await? == 0 {
            return Err(WireError::Truncated);
        }
        if let Some(head) = take_response_head(buf)? {
            break head;
        }
    };
    let mut decoder = BodyDecoder::for_response(&head)?;
    let mut first = None;
    loop {
        decoder.decode(buf, body)?;
        if !body.is_empty() && first.is_none() {
            first = Some(sent.elapsed());
        }
        if decoder.is_done() {
            break;
        }
        if stream.read_buf(buf).await? == 0 {
            decoder.end()?;
            break;
        }
    }
    Ok((
        head.status,
        first.unwrap_or_else(|| sent.elapsed()),
        head.headers.closes(),
    ))
}

// === impl Shared ===

impl Shared {
    fn new(load: Load) -> Self {
        let mut head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: */*\r\nuser-agent: loadgen\r\ncontent-length: {}\r\n",
            load.path,
            load.target,
            load.body.len()
        );
        for line in &load.headers {
            head.push_str(line);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        head.push_str(&load.body);
        Self {
            wire: head.into_bytes(),
            left: Cell::new(load.requests + load.warmup),
            warm: Cell::new(load.warmup),
            ends: Instant::now() + load.limit,
            began: Cell::new(None),
            times: RefCell::new(Vec::with_capacity(
                usize::try_from(load.requests).unwrap_or(0).min(1 << 24),
            )),
            errors: Cell::new(0),
            told: RefCell::new(Vec::new()),
            load,
        }
    }

    /// Takes one request to send; says whether it counts.
    fn take(&self) -> Option<bool> {
        let left = self.left.get().checked_sub(1)?;
        if Instant::now() >= self.ends {
            return None;
        }
        self.left.set(left);
        if let Some(warm) = self.warm.get().checked_sub(1) {
            self.warm.set(warm);
            return Some(false);
        }
        if self.began.get().is_none() {
            self.began.set(Some(Instant::now()));
        }
        Some(true)
    }

    fn tell(&self, reason: String) {
        self.errors.set(self.errors.get() + 1);
        let mut told = self.told.borrow_mut();
        if told.len() < TOLD {
            told.push(reason);
        }
    }

    fn report(&self) -> Report {
        let times = self.times.borrow();
        let seconds = self
            .began
            .get()
            .map_or(0.0, |began| began.elapsed().as_secs_f64());
        Report {
            requests: times.len() as u64,
            errors: self.errors.get(),
            told: self.told.borrow().clone(),
            seconds,
            per_second: times.len() as f64 / seconds.max(f64::MIN_POSITIVE),
            total: Quantiles::of(times.iter().map(|t| t.1).collect()),
            first: Quantiles::of(times.iter().map(|t| t.0).collect()),
        }
    }
}

// === impl Quantiles ===

impl Quantiles {
    /// Nearest-rank quantiles; zero when there are no times.
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |q: f64| {
            let rank = (q * times.len() as f64).ceil() as usize;
            times
                .get(rank.saturating_sub(1))
                .map_or(0.0, |t| t.as_secs_f64() * 1e6)
        };
        Self {
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Behavior, Script, Upstream};

    fn load(target: SocketAddr) -> Load {
        Load {
            target,
            path: "/v1/chat/completions".to_owned(),
            headers: Vec::new(),
            body: r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#.to_owned(),
            connections: 3,
            requests: 20,
            warmup: 5,
            limit: Duration::from_secs(30),
            expect: "hello".to_owned(),
        }
    }

    #[test]
    fn quantiles_are_nearest_rank() {
        let q = Quantiles::of((1..=100).map(Duration::from_micros).collect());
        assert_eq!(
            (q.p50_us.round(), q.p90_us.round(), q.p99_us.round()),
            (50.0, 90.0, 99.0)
        );
        assert_eq!(Quantiles::of(Vec::new()).p50_us, 0.0);
    }

    #[test]
    fn wrong_answers_are_errors_and_the_count_is_kept() {
        let script = Script::new()
            .then(Behavior::status(500))
            .then(Behavior::text("other"))
            .always(Behavior::text("hello"));
        let upstream = Upstream::start(script).unwrap();
        let report = run(load(upstream.addr())).unwrap();
        assert_eq!(upstream.counters().requests, 25);
        assert_eq!((report.requests, report.errors), (20, 2));
        assert!(
            report.told.iter().any(|t| t.starts_with("status 500")),
            "{:?}",
            report.told
        );
        assert!(
            report.told.iter().any(|t| t.contains("lacks")),
            "{:?}",
            report.told
        );
    }

    #[test]
    fn a_target_that_is_not_there_ends_the_load() {
        let addr = Upstream::start(Script::new()).unwrap().addr();
        let report = run(load(addr)).unwrap();
        assert_eq!((report.requests, report.errors), (0, 25));
    }
}
