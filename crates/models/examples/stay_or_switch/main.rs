//! Shows that sampling by verdicts follows a drift, and that protection keeps conversations together at little cost in quality:
//! `cargo run --release -p fingerpost-models --example stay_or_switch [TURNS] [SEEDS]`.

mod world;

use fingerpost_models::{StayConfig, StayRule};
use world::{MODELS, Policy, Report, run};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |a| a.parse::<usize>());
    let (turns, seeds) = (number(4000)?, number(10)?.max(1));
    let with = |rule| {
        Policy::Protected(StayConfig {
            rule,
            ..StayConfig::default()
        })
    };
    let best = (0..MODELS.len()).fold(0, |best, m| {
        if MODELS[m].2[0] > MODELS[best].2[0] {
            m
        } else {
            best
        }
    });
    let policies = [
        ("fixed: the best of the first half", Policy::Fixed(best)),
        ("routing_sampling", Policy::Sampling),
        ("  with stay, rule protection", with(StayRule::Protection)),
        ("  with stay, rule gate", with(StayRule::Gate)),
        ("  with stay, rule session_aware", with(StayRule::SessionAware)),
    ];
    println!(
        "{turns} turns, drift at half time, mean of seeds 0 to {} (standard deviation)\n",
        seeds - 1
    );
    println!(
        "{:36} {:>16} {:>18} {:>18}",
        "", "quality, points", "regret, answers", "switches, %"
    );
    for (name, policy) in &policies {
        let reports = (0..seeds as u64).map(|seed| run(policy, turns, seed));
        let reports: Vec<Report> = reports.collect::<Result<_, _>>()?;
        let shown = |value: fn(&Report) -> f64| {
            let values: Vec<f64> = reports.iter().map(value).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
            format!("{mean:.2} ({:.2})", variance.sqrt())
        };
        println!(
            "{name:36} {:>16} {:>18} {:>18}",
            shown(|r| r.quality),
            shown(|r| r.regret),
            shown(|r| 100.0 * r.switches)
        );
    }
    Ok(())
}
