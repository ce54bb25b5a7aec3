//! Pulls models into the user's model folder: `cargo run -p fingerpost-packages --example pull -- minilm`.

use std::cell::Cell;

use fingerpost_packages::{ModelFolder, Progress, PullOptions, catalogue, pull};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if names.is_empty() {
        let folder = ModelFolder::locate(None)?;
        for package in catalogue() {
            println!(
                "{:<10} {:<18} {:?}",
                package.name,
                package.role.as_str(),
                folder.verify_of(package)?
            );
        }
    }
    for name in names {
        let last = Cell::new(u64::MAX);
        let pulled = pull(&name, &PullOptions::default(), &|progress| match progress {
            Progress::Downloading { done, total, .. } => {
                let percent = done * 100 / total;
                if last.replace(percent) != percent {
                    println!("{name}: downloaded {percent} %");
                }
            }
            Progress::Taking { done, total, .. } if done < total => {}
            other => println!("{name}: {other:?}"),
        })?;
        println!(
            "{name}: took {} files into {}",
            pulled.taken.len(),
            pulled.path.display()
        );
    }
    Ok(())
}
