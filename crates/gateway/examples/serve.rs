//! The gateway alone, without models inside the process: `serve CONFIG.yaml [ADDRESS]`. For profiling it without the rest.

use std::{error::Error, path::Path, sync::Arc};

use fingerpost_encode::StaticEncoder;
use fingerpost_gateway::{Engines, Server, Shared, config};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("usage: serve CONFIG.yaml [ADDRESS]")?;
    let loaded = config::load_file(Path::new(&file)).map_err(|all| {
        all.iter().for_each(|problem| eprintln!("{problem}"));
        "the configuration has problems"
    })?;
    let address = arguments
        .next()
        .map_or(Ok(loaded.config.server.listen), |a| a.parse())?;
    let workers = loaded
        .config
        .server
        .workers
        .map_or(1, std::num::NonZeroUsize::get);
    let encoder = Arc::new(StaticEncoder::bundled());
    let shared = Shared::new(
        loaded.config,
        &std::env::temp_dir().join("fingerpost-example"),
        Engines::default(),
        encoder,
        workers,
    )?;
    let server = Server::start(shared, address, workers)?;
    println!("listening on http://{}", server.address());
    loop {
        std::thread::park();
    }
}
