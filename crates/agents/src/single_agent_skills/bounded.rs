//! A scripted model with a bounded attention, in a model's place.

use std::{collections::HashMap, sync::Arc};

use fingerpost_core::Ask;
use fingerpost_encode::{Encoder, Vector, dot};
use rand::{Rng, rngs::SmallRng};
use rand_distr::StandardNormal;

/// How attention is bounded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoundedConfig {
    /// Standard deviation of the noise on a cosine, with one line in sight.
    pub noise: f32,
    /// Lines at which the noise has doubled.
    pub capacity: f32,
    /// How steeply it grows around there.
    pub steepness: f32,
    /// Lines of at least this cosine compete for attention.
    pub neighbour: f32,
    /// What each such line adds to the noise, in units of `noise`.
    pub per_neighbour: f32,
}

/// Answers the questions of a [`SkillSelector`](super::SkillSelector) from its prompt alone: every listed line is scored by the
/// cosine of its nearest part (parts are set off by ` | `) to the task, with noise on it whose standard deviation is
/// `noise * (1 + (n / capacity)^steepness + per_neighbour * m)`, for n lines of which m are near to this one. It answers with the
/// number of the best. Simulation only: nothing of a real model is claimed but the shape of the effect.
pub struct BoundedSelector<'e> {
    encoder: &'e dyn Encoder,
    config: BoundedConfig,
    seen: HashMap<String, Vector>,
    pages: HashMap<String, Page>,
}

/// What is on a page: each line's parts, and how many others are near to it.
type Page = Arc<Vec<(Vec<Vector>, f32)>>;

impl Default for BoundedConfig {
    fn default() -> Self {
        Self {
            noise: 0.01,
            capacity: 25.0,
            steepness: 1.6,
            neighbour: 0.7,
            per_neighbour: 0.5,
        }
    }
}

// === impl BoundedSelector ===

impl<'e> BoundedSelector<'e> {
    /// One that reads with this encoder.
    pub fn new(encoder: &'e dyn Encoder, config: BoundedConfig) -> Self {
        Self {
            encoder,
            config,
            seen: HashMap::new(),
            pages: HashMap::new(),
        }
    }

    /// Its answer to a prompt: the numbers of the `most` best lines, or 0 where the prompt lists nothing.
    pub fn answer(&mut self, ask: &Ask, most: usize, rng: &mut SmallRng) -> String {
        let Ask::Prompt {
            system: Some(system),
            user,
        } = ask
        else {
            return "0".to_owned();
        };
        let task: Vec<&str> = user.lines().filter(|line| !line.starts_with('<')).collect();
        let task = self.read(&task.join("\n"));
        let page = self.page(system);
        let load = (page.len() as f32 / self.config.capacity).powf(self.config.steepness);
        let mut heard: Vec<(usize, f32)> = page
            .iter()
            .enumerate()
            .map(|(at, (parts, near))| {
                let score = parts
                    .iter()
                    .map(|part| dot(part, &task))
                    .fold(f32::NEG_INFINITY, f32::max);
                let spread = self.config.noise * (1.0 + load + self.config.per_neighbour * near);
                let noise: f32 = rng.sample(StandardNormal);
                (at + 1, score + spread * noise)
            })
            .collect();
        heard.sort_by(|a, b| b.1.total_cmp(&a.1));
        if heard.is_empty() {
            return "0".to_owned();
        }
        let best = heard
            .iter()
            .take(most.max(1))
            .map(|(number, _)| number.to_string());
        best.collect::<Vec<_>>().join(", ")
    }

    fn page(&mut self, system: &str) -> Page {
        if let Some(page) = self.pages.get(system) {
            return page.clone();
        }
        let lines = system
            .lines()
            .filter_map(|line| Some(line.strip_prefix('[')?.split_once("] ")?.1));
        let parts: Vec<Vec<Vector>> = lines
            .map(|line| line.split(" | ").map(|part| self.read(part)).collect())
            .collect();
        let alike = |a: &[Vector], b: &[Vector]| match (a.first(), b.first()) {
            (Some(a), Some(b)) => dot(a, b) >= self.config.neighbour,
            _ => false,
        };
        // Each is near to itself, if to anything.
        let near = |own: &Vec<Vector>| parts.iter().filter(|other| alike(own, other)).count();
        let near: Vec<f32> = parts
            .iter()
            .map(|own| near(own).saturating_sub(1) as f32)
            .collect();
        let page: Page = Arc::new(parts.into_iter().zip(near).collect());
        self.pages.insert(system.to_owned(), page.clone());
        page
    }

    fn read(&mut self, text: &str) -> Vector {
        if let Some(vector) = self.seen.get(text) {
            return vector.clone();
        }
        let vector = self.encoder.encode(text);
        self.seen.insert(text.to_owned(), vector.clone());
        vector
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_encode::StaticEncoder;
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn it_reads_the_prompt_and_nothing_else() {
        let encoder = StaticEncoder::bundled();
        let calm = BoundedConfig {
            noise: 0.0,
            ..BoundedConfig::default()
        };
        let mut selector = BoundedSelector::new(&encoder, calm);
        let mut rng = SmallRng::seed_from_u64(1);
        let ask = |system: &str| Ask::Prompt {
            system: Some(system.into()),
            user: "<task mark-0>\nsend money to a friend\n</task mark-0>\n".into(),
        };
        let list = "<list mark-0>\n[1] weather forecast\n[2] recipes | transfer money\n</list mark-0>";
        assert_eq!(selector.answer(&ask(list), 1, &mut rng), "2");
        assert_eq!(selector.answer(&ask("nothing listed"), 1, &mut rng), "0");
        assert_eq!(selector.answer(&Ask::Forward, 1, &mut rng), "0");
    }
}
