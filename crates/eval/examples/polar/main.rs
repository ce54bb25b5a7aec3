//! POLAR against what one would do without it, on logged outcomes: models stand in for adapters.
//!
//! `cargo run --release -p fingerpost-eval --example polar -- DIR [SEEDS] [PART] [SVG]` with the folder of a data set; requests are drawn
//! from its part `val` unless another is named. Prints means over the seeds, how much POLAR's net is above each baseline's with the
//! smallest difference of a seed, and how the loss grows with requests, adapters, slots and axes; `SVG` names a folder for pictures.

mod world;

use std::path::{Path, PathBuf};

use fingerpost_fleet::{
    chart::{Series, curves_svg},
    polar::{Epochs, Play, PolarConfig, Policy, Rows, RowsError, play},
};
use world::World;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Requests of a play, and what else is held fixed.
const REQUESTS: u64 = 16_000;
/// Requests of a play while something else varies.
const SCALED: u64 = 8_000;
const AXES: usize = 16;
const SLOTS: usize = 3;
/// A load of 200 ms at half a perfect answer a second.
const PAGE_IN: f64 = 0.1;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("which data set? give its folder")?;
    let seeds = arguments.next().map_or(Ok(5), |s| s.parse::<u64>())?;
    let part = arguments.next().unwrap_or_else(|| "val".to_owned());
    let pictures = arguments.next().map(PathBuf::from);
    let world = World::open(Path::new(&folder), &part, 32)?;
    println!(
        "{}: {} rows of {part}, {} adapters, {SLOTS} slots, {AXES} axes, a load costs {PAGE_IN}, {REQUESTS} requests, {seeds} seeds",
        world.name,
        world.len(),
        world.adapters
    );
    let plays = compared(&world.rows(AXES, world.adapters, PAGE_IN, SLOTS)?, seeds)?;
    let scalings = scaled(&world, seeds)?;
    if let Some(folder) = pictures {
        draw(&folder, &world.name, &plays, &scalings)?;
    }
    Ok(())
}

/// Name and setting of everybody compared; POLAR's two kinds first.
fn policies() -> Vec<(&'static str, Policy)> {
    vec![
        ("POLAR", fixed()),
        ("POLAR+", doubling()),
        ("static top-K", Policy::StaticTop { after: 400 }),
        ("LRU + greedy", Policy::LruGreedy),
        ("LRU + LinUCB", Policy::LruBlind),
        ("LFU + LinUCB", Policy::LfuBlind),
        ("random", Policy::Random),
    ]
}

fn fixed() -> Policy {
    Policy::Polar(PolarConfig::default())
}

fn doubling() -> Policy {
    let epochs = Epochs::Doubling { first: 400 };
    Policy::Polar(PolarConfig {
        epochs,
        ..PolarConfig::default()
    })
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn played(rows: &Rows, policy: &Policy, requests: u64, seeds: u64) -> Result<Vec<Play>, RowsError> {
    (1..=seeds)
        .map(|seed| play(rows, policy, requests, seed))
        .collect()
}

fn lost(play: &Play) -> f64 {
    play.regret.last().map_or(0.0, |p| p.1)
}

/// By what power of the requests the loss grows over the later three quarters: 1 is linear. Not a number where nothing is lost.
fn power(plays: &[Play]) -> f64 {
    let at = |share: f64| {
        let point = |p: &Play| p.regret[((p.regret.len() as f64 * share) as usize).max(1) - 1];
        (
            mean(plays.iter().map(|p| point(p).0 as f64)),
            mean(plays.iter().map(|p| point(p).1)),
        )
    };
    let (early, late) = (at(0.25), at(1.0));
    (late.1.max(0.0) / early.1.max(0.0)).ln() / (late.0 / early.0).ln()
}

fn compared(rows: &Rows, seeds: u64) -> Outcome<Vec<(&'static str, Vec<Play>)>> {
    let all = policies()
        .into_iter()
        .map(|(name, policy)| Ok((name, played(rows, &policy, REQUESTS, seeds)?)))
        .collect::<Result<Vec<_>, RowsError>>()?;
    println!(
        "{:14} {:>8} {:>8} {:>8} {:>8} {:>9} {:>6} {:>17} {:>17}",
        "", "quality", "net", "loads", "changes", "lost", "power", "POLAR above", "POLAR+ above"
    );
    for (name, plays) in &all {
        let above = |ours: &[Play]| {
            let differences: Vec<f64> = ours
                .iter()
                .zip(plays)
                .map(|(o, p)| 100.0 * (o.net - p.net))
                .collect();
            let least = differences.iter().copied().fold(f64::INFINITY, f64::min);
            format!("{:+.2} ({least:+.2})", mean(differences.into_iter()))
        };
        println!(
            "{name:14} {:>8.2} {:>8.2} {:>8.0} {:>8.1} {:>9.0} {:>6.2} {:>17} {:>17}",
            100.0 * mean(plays.iter().map(|p| p.quality)),
            100.0 * mean(plays.iter().map(|p| p.net)),
            mean(plays.iter().map(|p| p.loads as f64)),
            mean(plays.iter().map(|p| p.changes as f64)),
            mean(plays.iter().map(lost)),
            power(plays),
            above(&all[0].1),
            above(&all[1].1),
        );
    }
    Ok(all)
}

/// Title, axis, and the loss of both kinds at each value.
type Scaling = (&'static str, Vec<(f64, [f64; 2])>);

fn scaled(world: &World, seeds: u64) -> Outcome<Vec<Scaling>> {
    let both = |rows: Rows| -> Result<[f64; 2], RowsError> {
        let of = |policy| -> Result<f64, RowsError> {
            Ok(mean(played(&rows, &policy, SCALED, seeds)?.iter().map(lost)))
        };
        Ok([of(fixed())?, of(doubling())?])
    };
    let n = world.adapters;
    let adapters = (2..=n).map(|a| Ok((a as f64, both(world.rows(AXES, a, PAGE_IN, SLOTS.min(a))?)?)));
    let slots = (1..=n).map(|k| Ok((k as f64, both(world.rows(AXES, n, PAGE_IN, k)?)?)));
    let axes = [2, 4, 8, 16, 32].map(|d| Ok((d as f64, both(world.rows(d, n, PAGE_IN, SLOTS)?)?)));
    let all: Vec<Scaling> = vec![
        ("adapters", adapters.collect::<Result<_, RowsError>>()?),
        ("slots", slots.collect::<Result<_, RowsError>>()?),
        ("axes", axes.into_iter().collect::<Result<_, RowsError>>()?),
    ];
    for (what, points) in &all {
        let said = points
            .iter()
            .map(|(at, [fixed, plus])| format!("{at}: {fixed:.0} / {plus:.0}"));
        println!(
            "lost by {what} (POLAR / POLAR+): {}",
            said.collect::<Vec<_>>().join(", ")
        );
    }
    Ok(all)
}

fn draw(folder: &Path, name: &str, plays: &[(&str, Vec<Play>)], scalings: &[Scaling]) -> Outcome<()> {
    std::fs::create_dir_all(folder)?;
    let curve = |(who, plays): &(&str, Vec<Play>)| {
        let point = |i: usize| {
            (
                plays[0].regret[i].0 as f64,
                mean(plays.iter().map(|p| p.regret[i].1)),
            )
        };
        Series {
            name: (*who).to_owned(),
            points: (0..plays[0].regret.len()).map(point).collect(),
        }
    };
    let curves: Vec<Series> = plays.iter().map(curve).collect();
    std::fs::write(
        folder.join(format!("{name}-requests.svg")),
        curves_svg(name, "requests", "lost", &curves),
    )?;
    for (what, points) in scalings {
        let series = [("POLAR", 0), ("POLAR+", 1)].map(|(who, i)| Series {
            name: who.to_owned(),
            points: points.iter().map(|(at, lost)| (*at, lost[i])).collect(),
        });
        std::fs::write(
            folder.join(format!("{name}-{what}.svg")),
            curves_svg(name, what, "lost", &series),
        )?;
    }
    Ok(())
}
