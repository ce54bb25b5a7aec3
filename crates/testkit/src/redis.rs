//! A Redis-protocol server of the test's own: Debian's `redis-server`, on a free port of this machine, in a folder of its own.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct RedisServer {
    address: SocketAddr,
    folder: PathBuf,
    settings: Vec<String>,
    process: Option<Child>,
}

/// How long the server may take to come up on a crowded machine.
const UP_WITHIN: Duration = Duration::from_secs(30);
/// How long another process may take to install it.
const INSTALLED_WITHIN: Duration = Duration::from_secs(300);

// === impl RedisServer ===

impl RedisServer {
    /// Starts one that keeps its files, if any, in `folder`; `settings` are words of its command line, such as
    /// `["--appendonly", "yes"]`. Installs the server first where it is missing.
    ///
    /// # Errors
    /// Where it cannot be had, with how to install it, or does not come up.
    pub fn start(folder: &Path, settings: &[&str]) -> io::Result<Self> {
        install()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut server = Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            folder: folder.to_owned(),
            settings: settings.iter().map(|&word| word.to_owned()).collect(),
            process: None,
        };
        server.run()?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of its first database.
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// Ends it as the power going off would end its process (SIGKILL).
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // One that has ended by itself is as dead.
            drop(process.kill());
            drop(process.wait());
        }
    }

    /// Starts it again on the same port and folder; returns once it answers.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn run(&mut self) -> io::Result<()> {
        self.kill();
        let process = Command::new("redis-server")
            .args([
                "--port",
                &self.address.port().to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
            ])
            .arg(&self.folder)
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.process = Some(process);
        let end = Instant::now() + UP_WITHIN;
        while self.ask("PING").map_or(true, |told| {
            !told.starts_with("+PONG") && !told.starts_with("-NOAUTH")
        }) {
            if Instant::now() >= end {
                return Err(io::Error::other(format!(
                    "redis-server did not come up on {}",
                    self.address
                )));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Sends a command of plain words and returns the beginning of the answer, as it is on the wire.
    ///
    /// # Errors
    /// Where the server does not answer within a second.
    pub fn ask(&self, command: &str) -> io::Result<String> {
        use io::{Read as _, Write as _};
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut answer = [0; 4096];
        let read = stream.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_here() -> bool {
    let asked = Command::new("redis-server")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

/// Installs the server where it is missing. Tests of several processes may come here together: the first that makes the lock
/// folder installs, the others wait.
fn install() -> io::Result<()> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one_at_a_time = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let end = Instant::now() + INSTALLED_WITHIN;
    let lock = std::env::temp_dir().join("fingerpost-installs-redis-server");
    loop {
        if is_here() {
            return Ok(());
        }
        match fs::create_dir(&lock) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(200));
            }
            Err(error) => return Err(missing(&format!("{}: {error}", lock.display()))),
        }
    }
    let run = |args: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
    };
    let installed =
        run(&["update"]).and_then(|_| run(&["install", "-y", "--no-install-recommends", "redis-server"]));
    drop(fs::remove_dir(&lock));
    match installed {
        Ok(_) if is_here() => Ok(()),
        Ok(output) => Err(missing(String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(missing(&error.to_string())),
    }
}

fn missing(why: &str) -> io::Error {
    let message = format!(
        "this test starts a `redis-server` of its own, which is not installed and could not be: {why}; install it with \
         `apt-get install -y redis-server` as root (or your system's package of Redis or Valkey)"
    );
    io::Error::new(io::ErrorKind::NotFound, message)
}
