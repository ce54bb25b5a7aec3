//! The relation of the card (`systems/43`, 13.3): `hybrid` is not below its worst component.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../examples/hybrid/world.rs"]
mod world;

use world::{POLICIES, run};

#[test]
fn it_is_not_below_its_worst_component() {
    let mean = |select: &str| (0..5).map(|seed| run(select, 400, seed).unwrap()).sum::<f64>() / 5.0;
    let found = POLICIES.map(|(name, select)| (name, mean(select)));
    let worst = found[2..]
        .iter()
        .map(|(_, quality)| *quality)
        .fold(f64::INFINITY, f64::min);
    for (name, quality) in &found[..2] {
        assert!(*quality >= worst, "{name} {quality}: {found:?}");
    }
}
