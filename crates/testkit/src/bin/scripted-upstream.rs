//! The scripted upstream for use from a shell.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use fingerpost_testkit::{Script, Upstream, bench};

/// An LLM provider that answers, streams, stalls and breaks as told.
#[derive(Parser)]
struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// A script (JSON).
    #[arg(long)]
    script: Option<PathBuf>,
    /// Give one fixed answer to everything, as cheaply as possible.
    #[arg(long, conflicts_with = "script")]
    bench: bool,
    /// With --bench: events of a stream.
    #[arg(long, default_value_t = 16)]
    chunks: usize,
    /// With --bench: microseconds between two events.
    #[arg(long, default_value_t = 0)]
    gap_us: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    if args.bench {
        let gap = Duration::from_micros(args.gap_us);
        return Ok(bench::serve(
            args.listen,
            bench::Options {
                chunks: args.chunks,
                gap,
            },
        )?);
    }
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
