//! Sets `hybrid` beside each of its components: `cargo run --release -p fingerpost-models --example hybrid [QUERIES] [SEEDS]`.

mod world;

use world::{POLICIES, run};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |a| a.parse::<usize>());
    let (queries, seeds) = (number(2000)?, number(10)?.max(1));
    println!(
        "{queries} queries, quality in points, mean of seeds 0 to {} (least, greatest)\n",
        seeds - 1
    );
    for (name, select) in POLICIES {
        let found = (0..seeds as u64).map(|seed| run(select, queries, seed));
        let found: Vec<f64> = found.collect::<Result<_, _>>()?;
        let mean = found.iter().sum::<f64>() / found.len() as f64;
        let least = found.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = found.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        println!("{name:24} {mean:6.2} ({least:.2}, {greatest:.2})");
    }
    Ok(())
}
