//! Makes the table that is compiled into the crate: `distill MINILM_FOLDER CORPUS_FOLDER WORK_FOLDER OUT_FILE`.

use std::error::Error;
use std::path::PathBuf;

use fingerpost_encode::MiniLm;
use fingerpost_encode::distill::{bundled_recipe, distill};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [minilm, corpus, work, out] = arguments.as_slice() else {
        return Err("usage: distill MINILM_FOLDER CORPUS_FOLDER WORK_FOLDER OUT_FILE".into());
    };
    let teacher = MiniLm::open(minilm)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let table = distill(
        &teacher,
        &bundled_recipe(corpus, work, threads),
        &mut |progress| eprintln!("{progress:?}"),
    )?;
    table.save(out)?;
    println!(
        "{}: {} rows of {} bytes",
        out.display(),
        table.vocabulary().len(),
        table.dims()
    );
    Ok(())
}
