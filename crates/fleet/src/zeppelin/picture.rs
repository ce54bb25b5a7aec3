//! A picture of a plan: what each device does when.

use svg::node::element::Rectangle;

use super::{Plan, Zone};
use crate::chart::{page, text};

const LEFT: f64 = 70.0;
const WIDTH: f64 = 780.0;
const TOP: f64 = 70.0;

/// One row a device: rings over nodes, rings inside its node, whole sequences, then moving tokens and linear modules.
pub fn timeline_svg(plan: &Plan) -> String {
    let row = (640.0 / plan.tokens.len().max(1) as f64).clamp(2.0, 18.0);
    let scale = WIDTH / plan.times.step_ms.max(f64::MIN_POSITIVE);
    let height = TOP + row * plan.tokens.len() as f64 + 40.0;
    let title = format!("{:.1} ms a step", plan.times.step_ms);
    let mut page = page(LEFT + WIDTH + 30.0, height, &title);
    let bar = |device: usize, from: f64, to: f64, colour: &str| {
        Rectangle::new()
            .set("x", LEFT + from * scale)
            .set("y", TOP + row * device as f64)
            .set("width", (to - from).max(0.0) * scale)
            .set("height", row * 0.9)
            .set("fill", colour)
    };
    for (i, (name, colour)) in LEGEND.into_iter().enumerate() {
        let x = LEFT + 150.0 * i as f64;
        let mark = Rectangle::new()
            .set("x", x)
            .set("y", 40)
            .set("width", 12)
            .set("height", 12);
        page = page.add(mark.set("fill", colour)).add(text(name, x + 18.0, 50.0));
    }
    let mut done = vec![0.0_f64; plan.tokens.len()];
    for span in &plan.timeline {
        let device = span.device as usize;
        let colour = LEGEND[span.zone as usize].1;
        page = page.add(bar(device, span.from_ms, span.to_ms, colour));
        done[device] = span.to_ms;
    }
    let mean = plan.tokens.iter().sum::<u64>() as f64 / plan.tokens.len().max(1) as f64;
    let fullest = plan.tokens.iter().copied().max().unwrap_or(1).max(1) as f64;
    for (device, held) in plan.tokens.iter().enumerate() {
        // Moved tokens wait for all; others follow their own attention.
        let (begin, share) = if plan.moves.is_empty() {
            (done[device], *held as f64 / fullest)
        } else {
            let moved = plan.times.attention_ms + plan.times.remap_ms;
            page = page.add(bar(device, plan.times.attention_ms, moved, LEGEND[3].1));
            (moved, mean.min(fullest) / mean.max(1.0))
        };
        page = page.add(bar(
            device,
            begin,
            begin + plan.times.linear_ms * share,
            LEGEND[4].1,
        ));
        if row >= 9.0 {
            page = page.add(text(
                &format!("device {device}"),
                4.0,
                TOP + row * (device as f64 + 0.8),
            ));
        }
    }
    page.to_string()
}

const LEGEND: [(&str, &str); 5] = [
    ("over nodes", "#d62728"),
    ("inside a node", "#ff7f0e"),
    ("whole", "#1f77b4"),
    ("moving tokens", "#7f7f7f"),
    ("linear modules", "#2ca02c"),
];

const _: () = assert!(Zone::InterNode as usize == 0 && Zone::Local as usize == 2);
