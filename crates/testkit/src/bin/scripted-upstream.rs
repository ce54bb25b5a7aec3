//! The scripted upstream for use from a shell.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use fingerpost_testkit::{Script, Upstream};

/// An LLM provider that answers, streams, stalls and breaks as told.
#[derive(Parser)]
struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// A script (JSON).
    #[arg(long)]
    script: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let script = match &args.script {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
            serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?
        }
        None => Script::new(),
    };
    let upstream = Upstream::listen(args.listen, script)?;
    println!("listening on {}", upstream.url());
    upstream.join();
    Ok(())
}
