//! As much of ZeroMQ's protocol (ZMTP 3.0, without security) as it takes to subscribe and to ask: frames within bounds.
//!
//! The crates for it take the length of a frame at its word and reserve that much, so that a server's eight wrong bytes end the process.

use std::{io, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// Largest message, all its parts together, in bytes.
const MOST_BYTES: u64 = 32 << 20;
/// Most parts of a message.
const MOST_PARTS: usize = 16;
/// How soon a vanished server is looked for, and how often.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(5));

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// Where a socket is: `tcp://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    host: String,
    port: u16,
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Hears what is published.
    Subscriber,
    /// Asks, and hears as many answers as come.
    Dealer,
}

/// A connection after its handshake.
pub(crate) struct Socket(BufReader<TcpStream>);

// === impl Place ===

impl Place {
    /// Reads `tcp://host:port`; a host of `*` stands for `own`.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn parse(text: &str, own: Option<&str>) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no such place; expected tcp://host:port");
        let (host, port) = text
            .strip_prefix("tcp://")
            .and_then(|rest| rest.rsplit_once(':'))
            .ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        let host = match host.trim_start_matches('[').trim_end_matches(']') {
            "" => return Err(wrong()),
            "*" => {
                own.ok_or_else(|| format!("`{text}` needs a host, since the endpoint has none of its own"))?
            }
            host => host,
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

// === impl Kind ===

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Subscriber => "SUB",
            Self::Dealer => "DEALER",
        }
    }
}

// === impl Socket ===

impl Socket {
    /// Connects and shakes hands.
    pub(crate) async fn open(at: &Place, kind: Kind) -> io::Result<Self> {
        let stream = TcpStream::connect((at.host.as_str(), at.port)).await?;
        stream.set_nodelay(true)?;
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE.0)
            .with_interval(KEEPALIVE.1);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        let mut socket = Self(BufReader::new(stream));
        socket.shake_hands(kind).await?;
        Ok(socket)
    }

    async fn shake_hands(&mut self, kind: Kind) -> io::Result<()> {
        self.0.write_all(&greeting()).await?;
        let mut theirs = [0; 64];
        self.0.read_exact(&mut theirs).await?;
        if theirs[0] != 0xff || theirs[9] & 1 == 0 || theirs[10] < 3 {
            return Err(garbage("this is no ZeroMQ socket of version 3 or later"));
        }
        let mechanism = theirs[12..32].split(|byte| *byte == 0).next().unwrap_or_default();
        if mechanism != b"NULL" {
            return Err(garbage(
                "the socket asks for a security mechanism; only NULL is spoken",
            ));
        }
        self.frame(COMMAND, &ready(kind)).await?;
        self.0.flush().await?;
        let (flags, length) = self.head().await?;
        let body = self.body(length, MOST_BYTES).await?;
        if flags & COMMAND == 0 || !body.starts_with(b"\x05READY") {
            return Err(garbage("the socket did not say that it is ready"));
        }
        Ok(())
    }

    /// Asks for what is published under topics that begin with this.
    pub(crate) async fn subscribe(&mut self, topic: &[u8]) -> io::Result<()> {
        self.send(&[&[&[1], topic].concat()]).await
    }

    /// Sends a message.
    pub(crate) async fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        for (i, part) in parts.iter().enumerate() {
            let more = if i + 1 < parts.len() { MORE } else { 0 };
            self.frame(more, part).await?;
        }
        self.0.flush().await
    }

    /// The next message, in its parts. Must be called again from the start only where it came to its end.
    pub(crate) async fn receive(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let (mut parts, mut left) = (Vec::new(), MOST_BYTES);
        loop {
            let (flags, length) = self.head().await?;
            let body = self.body(length, left).await?;
            left -= length;
            if flags & COMMAND != 0 {
                // Of the peer's own housekeeping nothing needs an answer in this version.
                continue;
            }
            parts.push(body);
            if flags & MORE == 0 {
                return Ok(parts);
            }
            if parts.len() == MOST_PARTS {
                return Err(garbage("a message of too many parts"));
            }
        }
    }

    async fn frame(&mut self, flags: u8, body: &[u8]) -> io::Result<()> {
        match u8::try_from(body.len()) {
            Ok(length) => self.0.write_all(&[flags, length]).await?,
            Err(_) => {
                self.0.write_u8(flags | LONG).await?;
                self.0.write_u64(body.len() as u64).await?;
            }
        }
        self.0.write_all(body).await
    }

    async fn head(&mut self) -> io::Result<(u8, u64)> {
        let flags = self.0.read_u8().await?;
        if flags & !(MORE | LONG | COMMAND) != 0 {
            return Err(garbage("a frame of no known kind"));
        }
        let length = if flags & LONG == 0 {
            u64::from(self.0.read_u8().await?)
        } else {
            self.0.read_u64().await?
        };
        Ok((flags, length))
    }

    /// Memory is taken as bytes come, not as they are announced.
    async fn body(&mut self, length: u64, most: u64) -> io::Result<Vec<u8>> {
        if length > most {
            return Err(garbage("a message larger than 32 MiB"));
        }
        let mut body = Vec::new();
        let read = (&mut self.0).take(length).read_to_end(&mut body).await?;
        if read as u64 == length {
            Ok(body)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

fn greeting() -> [u8; 64] {
    let mut greeting = [0; 64];
    greeting[0] = 0xff;
    greeting[8] = 1;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[12..16].copy_from_slice(b"NULL");
    greeting
}

fn ready(kind: Kind) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    for (name, value) in [("Socket-Type", kind.name()), ("Identity", "")] {
        body.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
        body.extend_from_slice(value.as_bytes());
    }
    body
}

fn garbage(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let place = |text: &str| Place::parse(text, Some("own")).map(|p| (p.host, p.port));
        assert_eq!(place("tcp://h:5557"), Ok(("h".to_owned(), 5557)));
        assert_eq!(place("tcp://*:1"), Ok(("own".to_owned(), 1)));
        assert_eq!(place("tcp://[::1]:9"), Ok(("::1".to_owned(), 9)));
        for bad in [
            "",
            "h:1",
            "ipc:///tmp/x",
            "tcp://h",
            "tcp://:1",
            "tcp://h:0",
            "tcp://h:x",
        ] {
            assert!(place(bad).unwrap_err().contains("tcp://host:port"), "{bad}");
        }
        assert!(Place::parse("tcp://*:1", None).is_err());
    }
}
