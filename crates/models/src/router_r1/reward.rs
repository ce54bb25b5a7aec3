//! What an episode is worth: format, outcome and cost, in this order of rank (card 28, "Reward").
//!
//! A transcript that breaks the format at the worst grade is worth that and nothing else. Otherwise a right answer (outcome
//! `s > 0`) is worth `(s + f)(1 - a) + c a` with the format reward `f`, the cost reward `c` and the weight of cost `a`; a wrong
//! one is worth `f`, and none at all `f (1 - a)`. So being cheap never pays for being wrong.

use std::collections::VecDeque;

use fingerpost_core::Name;

use super::protocol::{TAGS, has_placeholder, named};

/// The worth of each grade of violation, 0 or less. In the released version of the paper's code all three are -1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FormatGrades {
    /// A model that nobody knows.
    pub small: f64,
    /// A question that is malformed.
    pub medium: f64,
    /// Tags out of order.
    pub max: f64,
}

/// What is wrong with the form of a transcript, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// No tags at all.
    NoTags,
    /// A tag that is opened and not closed, or closed and not opened.
    Unbalanced,
    /// A tag inside another.
    Nested,
    /// A thought without words.
    EmptyThought,
    /// No thought.
    NoThought,
    /// No answer, or several.
    NotOneAnswer,
    /// More or fewer searches than pieces of information.
    Unanswered,
    /// It does not begin with a thought.
    Beginning,
    /// It does not end with the answer.
    End,
    /// A search that is not `NAME:QUESTION`.
    Malformed,
    /// A search for a model that nobody knows.
    UnknownModel,
}

/// The last raw costs, over which a cost is scaled.
#[derive(Debug, Clone)]
pub struct CostWindow {
    roots: VecDeque<f64>,
    /// The same by size.
    sorted: Vec<f64>,
}

impl Default for FormatGrades {
    fn default() -> Self {
        Self {
            small: -1.0,
            medium: -1.0,
            max: -1.0,
        }
    }
}

// === impl Violation ===

impl Violation {
    /// What is wrong with a transcript; `None` where nothing is. `names` are the models that can be asked.
    pub fn of(transcript: &str, names: &[Name]) -> Option<Self> {
        let blocks = match blocks(transcript) {
            Ok(blocks) => blocks,
            Err(violation) => return Some(violation),
        };
        let count = |tag: &str| blocks.iter().filter(|b| b.0 == tag).count();
        if blocks.is_empty() {
            return Some(Self::NoTags);
        }
        if blocks.iter().any(|b| b.0 == "think" && b.1.trim().is_empty()) {
            return Some(Self::EmptyThought);
        }
        if count("think") == 0 {
            return Some(Self::NoThought);
        }
        if count("answer") != 1 {
            return Some(Self::NotOneAnswer);
        }
        if count("search") != count("information") {
            return Some(Self::Unanswered);
        }
        if !transcript.trim_start().starts_with("<think>") {
            return Some(Self::Beginning);
        }
        if !transcript.trim_end().ends_with("</answer>") {
            return Some(Self::End);
        }
        let searches = || blocks.iter().filter(|b| b.0 == "search").map(|b| b.1);
        if searches().any(is_malformed) {
            return Some(Self::Malformed);
        }
        let is_known = |search: &str| {
            search
                .split(':')
                .next()
                .is_some_and(|n| named(n, names).is_some())
        };
        (!searches().all(is_known)).then_some(Self::UnknownModel)
    }

    /// What it is worth.
    pub fn grade(self, grades: &FormatGrades) -> f64 {
        match self {
            Self::UnknownModel => grades.small,
            Self::Malformed => grades.medium,
            _ => grades.max,
        }
    }
}

/// The tagged blocks in order, each with its content; text between them is passed over.
fn blocks(transcript: &str) -> Result<Vec<(&'static str, &str)>, Violation> {
    let mut blocks = Vec::new();
    let mut open: Option<(&'static str, usize)> = None;
    let mut nested = false;
    let mut at = 0;
    while let Some(found) = transcript[at..].find('<').map(|f| f + at) {
        let rest = &transcript[found..];
        at = found + 1;
        for tag in TAGS {
            if rest.starts_with(&format!("<{tag}>")) {
                nested |= open.is_some();
                open = Some((tag, found + tag.len() + 2));
            } else if rest.starts_with(&format!("</{tag}>")) {
                match open.take() {
                    Some((opened, from)) if opened == tag => blocks.push((tag, &transcript[from..found])),
                    // Whatever was nested leaves its outer tag without an opening one.
                    _ if nested => {}
                    _ => return Err(Violation::Unbalanced),
                }
            }
        }
    }
    match (nested, open) {
        (true, _) if balanced(transcript) => Err(Violation::Nested),
        (false, None) => Ok(blocks),
        _ => Err(Violation::Unbalanced),
    }
}

/// Whether every tag is opened as often as it is closed.
fn balanced(transcript: &str) -> bool {
    let count = |what: String| transcript.matches(&what).count();
    TAGS.iter()
        .all(|tag| count(format!("<{tag}>")) == count(format!("</{tag}>")))
}

fn is_malformed(search: &str) -> bool {
    let mut parts = search.split(':');
    let (Some(model), Some(query), None) = (parts.next(), parts.next(), parts.next()) else {
        return true;
    };
    let (model, query) = (model.trim().to_lowercase(), query.trim().to_lowercase());
    query.is_empty() || has_placeholder(search) || (!model.is_empty() && query.contains(&model))
}

/// The reward of an episode: `format` 0 or a grade, `outcome` 0 to 1 or `None` without an answer, `cheapness` 0 to 1 (what
/// [`CostWindow::cheapness`] gives), and the weight of cost.
pub fn reward(format: f64, outcome: Option<f64>, cheapness: f64, cost_weight: f64) -> f64 {
    if format <= -1.0 {
        return -1.0;
    }
    match outcome {
        None => format * (1.0 - cost_weight),
        Some(outcome) if outcome > 0.0 => (outcome + format) * (1.0 - cost_weight) + cheapness * cost_weight,
        Some(_) => format,
    }
}

/// The raw cost of an episode's calls: output tokens times US dollars per million of them.
pub fn raw_cost(calls: impl IntoIterator<Item = (u32, f64)>) -> f64 {
    calls
        .into_iter()
        .map(|(tokens, price)| f64::from(tokens) * price)
        .sum()
}

// === impl CostWindow ===

impl CostWindow {
    /// How many costs are remembered.
    pub const LENGTH: usize = 1_000;
    const LOW: f64 = 0.05;
    const HIGH: f64 = 0.95;

    /// A window that has seen these raw costs, the oldest first.
    pub fn seeded(raw: impl IntoIterator<Item = f64>) -> Self {
        let mut window = Self {
            roots: VecDeque::new(),
            sorted: Vec::new(),
        };
        raw.into_iter().for_each(|raw| window.remember(raw));
        window
    }

    fn remember(&mut self, raw: f64) {
        let place = |sorted: &[f64], root: f64| sorted.partition_point(|s| *s < root);
        if self.roots.len() == Self::LENGTH
            && let Some(oldest) = self.roots.pop_front()
        {
            self.sorted.remove(place(&self.sorted, oldest));
        }
        let root = raw.max(0.0).sqrt();
        self.roots.push_back(root);
        self.sorted.insert(place(&self.sorted, root), root);
    }

    /// Remembers a raw cost and tells how cheap it is beside the others: 1 at the 5th percentile of the roots and below, 0 at
    /// the 95th and above, one half where these are the same.
    pub fn cheapness(&mut self, raw: f64) -> f64 {
        self.remember(raw);
        let (low, high) = (
            percentile(&self.sorted, Self::LOW),
            percentile(&self.sorted, Self::HIGH),
        );
        if high > low {
            1.0 - ((raw.max(0.0).sqrt() - low) / (high - low)).clamp(0.0, 1.0)
        } else {
            0.5
        }
    }
}

/// By linear interpolation between the nearest ranks.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len().max(1) - 1) as f64;
    let (low, part) = (place.floor(), place.fract());
    let at = |i: f64| sorted.get(i as usize).or(sorted.last()).copied().unwrap_or(0.0);
    at(low) + part * (at(low + 1.0) - at(low))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GRADES: FormatGrades = FormatGrades {
        small: -0.25,
        medium: -0.5,
        max: -1.0,
    };

    #[test]
    fn every_violation_of_the_format() {
        let names = ["qwen-7b".into(), "llama-8b".into()];
        let info = "<information>x</information>";
        for (transcript, expected) in [
            ("<think>t</think><answer>a</answer>".to_owned(), None),
            (
                format!(
                    "<think>t</think><search>qwen: who</search>{info} <think>u</think><answer>a</answer>\n"
                ),
                None,
            ),
            ("no tags".to_owned(), Some(Violation::NoTags)),
            (String::new(), Some(Violation::NoTags)),
            (
                "<think>t<answer>a</answer>".to_owned(),
                Some(Violation::Unbalanced),
            ),
            (
                "<think>t</think><answer>a".to_owned(),
                Some(Violation::Unbalanced),
            ),
            (
                "t</think><answer>a</answer>".to_owned(),
                Some(Violation::Unbalanced),
            ),
            ("<think>t</answer>".to_owned(), Some(Violation::Unbalanced)),
            (
                "<think>t<search>q:x</search></think><answer>a</answer>".to_owned(),
                Some(Violation::Nested),
            ),
            (
                "<think> </think><answer>a</answer>".to_owned(),
                Some(Violation::EmptyThought),
            ),
            ("<answer>a</answer>".to_owned(), Some(Violation::NoThought)),
            ("<think>t</think>".to_owned(), Some(Violation::NotOneAnswer)),
            (
                "<think>t</think><answer>a</answer><answer>b</answer>".to_owned(),
                Some(Violation::NotOneAnswer),
            ),
            (
                "<think>t</think><search>qwen:x</search><answer>a</answer>".to_owned(),
                Some(Violation::Unanswered),
            ),
            (
                format!("<think>t</think>{info}<answer>a</answer>"),
                Some(Violation::Unanswered),
            ),
            (
                "So: <think>t</think><answer>a</answer>".to_owned(),
                Some(Violation::Beginning),
            ),
            (
                "<think>t</think><answer>a</answer> bye".to_owned(),
                Some(Violation::End),
            ),
            (
                format!("<think>t</think><search>qwen</search>{info}<answer>a</answer>"),
                Some(Violation::Malformed),
            ),
            (
                format!("<think>t</think><search>qwen: </search>{info}<answer>a</answer>"),
                Some(Violation::Malformed),
            ),
            (
                format!("<think>t</think><search>qwen:at 10:30</search>{info}<answer>a</answer>"),
                Some(Violation::Malformed),
            ),
            (
                format!("<think>t</think><search>LLM-Name:x</search>{info}<answer>a</answer>"),
                Some(Violation::Malformed),
            ),
            (
                format!("<think>t</think><search>qwen: ask Qwen this</search>{info}<answer>a</answer>"),
                Some(Violation::Malformed),
            ),
            (
                format!("<think>t</think><search>claude: x</search>{info}<answer>a</answer>"),
                Some(Violation::UnknownModel),
            ),
        ] {
            assert_eq!(Violation::of(&transcript, &names), expected, "{transcript}");
        }
    }

    #[test]
    fn grades_are_settings() {
        assert_eq!(Violation::Nested.grade(&GRADES), -1.0);
        assert_eq!(Violation::Malformed.grade(&GRADES), -0.5);
        assert_eq!(Violation::UnknownModel.grade(&GRADES), -0.25);
        assert_eq!(Violation::UnknownModel.grade(&FormatGrades::default()), -1.0);
    }

    #[test]
    fn every_branch_of_the_reward() {
        for (format, outcome, cheapness, cost_weight, expected) in [
            (-1.0, Some(1.0), 1.0, 0.9, -1.0),
            (-1.0, None, 1.0, 0.0, -1.0),
            (0.0, Some(1.0), 0.4, 0.0, 1.0),
            (0.0, Some(1.0), 0.4, 0.9, 0.1 + 0.36),
            (0.0, Some(0.5), 0.4, 0.6, 0.2 + 0.24),
            (0.0, Some(0.0), 1.0, 0.9, 0.0),
            (-0.5, Some(1.0), 0.5, 0.5, 0.25 + 0.25),
            (-0.5, Some(0.0), 1.0, 0.5, -0.5),
            (-0.5, None, 1.0, 0.5, -0.25),
            (0.0, None, 1.0, 0.5, 0.0),
        ] {
            let found = reward(format, outcome, cheapness, cost_weight);
            assert!(
                (found - expected).abs() < 1e-12,
                "{format} {outcome:?} {cheapness} {cost_weight}: {found}"
            );
        }
    }

    #[test]
    fn a_cost_is_scaled_by_the_window() {
        assert_eq!(raw_cost([(100, 0.3), (50, 1.2)]), 90.0);
        assert_eq!(CostWindow::seeded([]).cheapness(4.0), 0.5, "flat");
        assert_eq!(CostWindow::seeded([4.0; 7]).cheapness(4.0), 0.5, "flat");
        // Roots 0, 1, .., 20 with the 10 again: of 22 values the 5th percentile stands at place 1.05, the 95th at 19.95.
        let raw = (0..=20).map(|r| f64::from(r * r));
        let mut window = CostWindow::seeded(raw.clone());
        assert!((window.cheapness(100.0) - (1.0 - (10.0 - 1.05) / (18.95 - 1.05))).abs() < 1e-12);
        assert_eq!(CostWindow::seeded(raw.clone()).cheapness(0.0), 1.0);
        assert_eq!(CostWindow::seeded(raw).cheapness(400.0), 0.0);
        // The oldest are forgotten.
        let mut window = CostWindow::seeded((0..CostWindow::LENGTH).map(|_| 9.0));
        (0..CostWindow::LENGTH - 1).for_each(|_| window.remember(4.0));
        assert_eq!(window.cheapness(4.0), 0.5, "flat again");
    }

    proptest! {
        #[test]
        fn cheapness_is_a_share(raw in prop::collection::vec(-1.0..1e4_f64, 0..50), cost in -1.0..1e4_f64) {
            let cheapness = CostWindow::seeded(raw).cheapness(cost);
            prop_assert!((0.0..=1.0).contains(&cheapness), "{}", cheapness);
        }

        #[test]
        fn cheap_never_pays_for_wrong(cheapness in 0.0..=1.0_f64, weight in 0.0..=1.0_f64, right in 0.01..=1.0_f64) {
            prop_assert_eq!(reward(0.0, Some(0.0), cheapness, weight), 0.0);
            prop_assert!(reward(0.0, Some(right), 0.0, weight) >= 0.0);
        }
    }
}
