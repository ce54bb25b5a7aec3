//! A scripted publisher of KV-cache events, as vLLM and SGLang are ones: numbered batches over ZeroMQ (ZMTP 3.0), and a socket that
//! gives them again. It can leave batches out, forget them, send garbage, hang, vanish and start anew.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use serde_json::Value;

/// A publisher; its sockets close when it is dropped.
#[derive(Debug)]
pub struct KvPublisher {
    events: SocketAddr,
    replay: SocketAddr,
    shared: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Batches that can be given again, each with its number.
    kept: Vec<(u64, Vec<u8>)>,
    next: u64,
    subscribers: Vec<TcpStream>,
    /// How often batches were asked for again.
    asked: usize,
    /// Everybody who connects is greeted with this and nothing else.
    greeting: Option<Vec<u8>>,
    is_over: bool,
}

/// What ends batches that are given again.
const END: [u8; 8] = [0xff; 8];

// === impl KvPublisher ===

impl KvPublisher {
    /// Starts one on free ports of the loopback interface.
    ///
    /// # Errors
    /// Where there is no port.
    pub fn start() -> io::Result<Self> {
        let shared = Arc::new(Mutex::new(State::default()));
        let listen = |serve: fn(TcpStream, &Mutex<State>) -> io::Result<()>| -> io::Result<SocketAddr> {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let (address, shared) = (listener.local_addr()?, Arc::clone(&shared));
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if lock(&shared).is_over {
                        return;
                    }
                    let shared = Arc::clone(&shared);
                    // A peer that leaves ends its own thread.
                    thread::spawn(move || drop(serve(stream, &shared)));
                }
            });
            Ok(address)
        };
        Ok(Self {
            events: listen(subscribed)?,
            replay: listen(asked)?,
            shared,
        })
    }

    /// Where events are published, as `tcp://host:port`.
    pub fn events(&self) -> String {
        format!("tcp://{}", self.events)
    }

    /// Where batches are given again.
    pub fn replay(&self) -> String {
        format!("tcp://{}", self.replay)
    }

    /// Publishes events as the next batch.
    pub fn publish(&self, events: &Value) {
        let mut state = lock(&self.shared);
        let (number, payload) = state.number(events);
        state.send(&[b"kv", &number.to_be_bytes(), &payload]);
    }

    /// Gives events the next number without publishing them: they are missed, and can be asked for.
    pub fn miss(&self, events: &Value) {
        lock(&self.shared).number(events);
    }

    /// Has no batch any more that could be given again.
    pub fn forget(&self) {
        lock(&self.shared).kept.clear();
    }

    /// Sends a message that is no batch.
    pub fn send(&self, parts: &[&[u8]]) {
        lock(&self.shared).send(parts);
    }

    /// Sends bytes that are no message.
    pub fn send_raw(&self, bytes: &[u8]) {
        for stream in &mut lock(&self.shared).subscribers {
            let _ = stream.write_all(bytes);
        }
    }

    /// Starts anew: connections break, and batches count from nothing.
    pub fn restart(&self) {
        let mut state = lock(&self.shared);
        state.disconnect();
        (state.next, state.kept) = (0, Vec::new());
    }

    /// Connections break; what was published can still be given again.
    pub fn disconnect(&self) {
        lock(&self.shared).disconnect();
    }

    /// From now on whoever connects is sent these bytes in place of a handshake; `None`: a handshake.
    pub fn greet_with(&self, bytes: Option<Vec<u8>>) {
        let mut state = lock(&self.shared);
        state.greeting = bytes;
        state.disconnect();
    }

    /// How many listen.
    pub fn subscribers(&self) -> usize {
        lock(&self.shared).subscribers.len()
    }

    /// How often batches were asked for again.
    pub fn asked(&self) -> usize {
        lock(&self.shared).asked
    }
}

impl Drop for KvPublisher {
    fn drop(&mut self) {
        let mut state = lock(&self.shared);
        state.is_over = true;
        state.disconnect();
        drop(state);
        for address in [self.events, self.replay] {
            // Wakes the thread that accepts, which then ends.
            let _ = TcpStream::connect(address);
        }
    }
}

// === impl State ===

impl State {
    fn number(&mut self, events: &Value) -> (u64, Vec<u8>) {
        let number = self.next;
        self.next += 1;
        let payload = rmp_serde::to_vec(&serde_json::json!([number as f64, events])).unwrap_or_default();
        self.kept.push((number, payload.clone()));
        (number, payload)
    }

    fn send(&mut self, parts: &[&[u8]]) {
        // Whoever has gone is not sent to again.
        self.subscribers
            .retain_mut(|stream| message(stream, parts).is_ok());
    }

    fn disconnect(&mut self) {
        for stream in self.subscribers.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One who subscribes.
fn subscribed(mut stream: TcpStream, shared: &Mutex<State>) -> io::Result<()> {
    if !shake_hands(&mut stream, "PUB", shared)? {
        return Ok(());
    }
    let _topic = frame(&mut stream)?;
    lock(shared).subscribers.push(stream);
    Ok(())
}

/// One who asks for batches again: an empty part, and the number of the first.
fn asked(mut stream: TcpStream, shared: &Mutex<State>) -> io::Result<()> {
    if !shake_hands(&mut stream, "ROUTER", shared)? {
        return Ok(());
    }
    loop {
        let (_empty, number) = (frame(&mut stream)?, frame(&mut stream)?);
        let from = u64::from_be_bytes(number.1.try_into().unwrap_or_default());
        let kept = {
            let mut state = lock(shared);
            state.asked += 1;
            state.kept.clone()
        };
        for (number, payload) in kept.iter().filter(|(number, _)| *number >= from) {
            message(&mut stream, &[b"", &number.to_be_bytes(), payload])?;
        }
        message(&mut stream, &[b"", &END, b""])?;
    }
}

/// False where the peer is greeted with something else.
fn shake_hands(stream: &mut TcpStream, kind: &str, shared: &Mutex<State>) -> io::Result<bool> {
    if let Some(greeting) = lock(shared).greeting.clone() {
        stream.write_all(&greeting)?;
        // Held open until the peer leaves.
        let _ = stream.read_to_end(&mut Vec::new());
        return Ok(false);
    }
    let mut greeting = [0; 64];
    (greeting[0], greeting[9], greeting[10]) = (0xff, 0x7f, 3);
    greeting[12..16].copy_from_slice(b"NULL");
    stream.write_all(&greeting)?;
    stream.read_exact(&mut greeting)?;
    let mut ready = b"\x05READY\x0bSocket-Type".to_vec();
    ready.extend_from_slice(&u32::try_from(kind.len()).unwrap_or_default().to_be_bytes());
    ready.extend_from_slice(kind.as_bytes());
    stream.write_all(&[4, u8::try_from(ready.len()).unwrap_or_default()])?;
    stream.write_all(&ready)?;
    let (flags, theirs) = frame(stream)?;
    Ok(flags == 4 && theirs.starts_with(b"\x05READY"))
}

fn message(stream: &mut TcpStream, parts: &[&[u8]]) -> io::Result<()> {
    let mut bytes = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        bytes.push(2 | u8::from(i + 1 < parts.len()));
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    stream.write_all(&bytes)
}

fn frame(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    // Those who ask send short frames only.
    let mut body = vec![0; usize::from(head[1])];
    stream.read_exact(&mut body)?;
    Ok((head[0], body))
}
