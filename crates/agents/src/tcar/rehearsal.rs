//! Queries shown to the agents as strangers' are.
//!
//! A query that is one of an agent's own examples would meet itself: as the nearest example, in the mean direction, among the words.
//! So lessons come in turns, and in each turn the bank is made of the examples that are not in it. In half of a turn's agents, by
//! chance, only a few examples are left, so that one that has just joined is judged fairly.

use rand::{Rng, rngs::SmallRng};

use super::{
    bank::{AgentBank, Features},
    head::Lesson,
};

/// Turns: each leaves a fifth of the examples out.
const TURNS: usize = 5;
/// Examples that are left of an agent that plays the newcomer.
const FEW: usize = 5;

/// Shows every lesson to a bank without it, and gives how it looked, with its number. `newcomers` says whether half of the agents
/// play newcomers. Cost: the words of the bank are indexed five times, and the bank's features a lesson.
pub(super) fn rehearse(
    bank: &AgentBank,
    lessons: &[Lesson<'_>],
    newcomers: bool,
    rng: &mut SmallRng,
    mut shown: impl FnMut(usize, &[Features]),
) {
    for turn in 0..TURNS {
        let is_now = |i: usize, lesson: &Lesson<'_>| lesson.own.unwrap_or(i) % TURNS == turn;
        if !lessons.iter().enumerate().any(|(i, lesson)| is_now(i, lesson)) {
            continue;
        }
        let left: Vec<Vec<usize>> = bank
            .agents()
            .iter()
            .map(|agent| {
                let mut left: Vec<usize> = (0..agent.examples().len())
                    .filter(|example| example % TURNS != turn)
                    .collect();
                if newcomers && left.len() > FEW && rng.random_bool(0.5) {
                    let from = rng.random_range(0..=left.len() - FEW);
                    left = left[from..from + FEW].to_vec();
                }
                left
            })
            .collect();
        let stage = bank.seeing(&left);
        for (i, lesson) in lessons.iter().enumerate() {
            if is_now(i, lesson) {
                shown(i, &stage.features(lesson.text, lesson.vector));
            }
        }
    }
}
