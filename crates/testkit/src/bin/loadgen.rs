//! The load generator of the benchmarks: one target, one request, a fixed count; prints a report as JSON.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use fingerpost_testkit::bench::LAST_WORDS;
use fingerpost_testkit::load::{Load, run};

/// Asks one target the same thing many times and checks every answer.
#[derive(Parser)]
struct Args {
    /// Whom to ask.
    #[arg(long)]
    target: SocketAddr,
    /// The request's path.
    #[arg(long, default_value = "/v1/chat/completions")]
    path: String,
    /// A header line, `name: value`; may be given several times.
    #[arg(long = "header")]
    headers: Vec<String>,
    /// A file with the request's body.
    #[arg(long)]
    body: PathBuf,
    /// Requests in flight at a time.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Requests that are counted.
    #[arg(long, default_value_t = 10_000)]
    requests: u64,
    /// Requests before them that are not.
    #[arg(long, default_value_t = 500)]
    warmup: u64,
    /// No new request is sent after so many seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// What every answer must contain.
    #[arg(long, default_value = LAST_WORDS)]
    expect: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let body = std::fs::read_to_string(&args.body).map_err(|e| format!("{}: {e}", args.body.display()))?;
    let report = run(Load {
        target: args.target,
        path: args.path,
        headers: args.headers,
        body: body.trim_end().to_owned(),
        connections: args.connections,
        requests: args.requests,
        warmup: args.warmup,
        limit: Duration::from_secs(args.seconds),
        expect: args.expect,
    })?;
    println!("{}", serde_json::to_string(&report)?);
    if report.requests == 0 {
        return Err(format!("no request succeeded: {:?}", report.told).into());
    }
    Ok(())
}
