//! A model chooses a skill, page by page.

use std::{fmt::Write, sync::Arc};

use fingerpost_core::{
    Answer, Ask, CandidateId, Context, Decision, Deliberate, Evidence, Feature, Learn, Name, NoRoute, Pick,
    Picks, Query, Reason, Step, Thread,
};
use fingerpost_encode::{Encoder, estimate_tokens};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    SkillTree,
    asking::{Asks, Fence, said},
    skill_tree::{Beam, Child},
};

/// Settings of a choice by a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelectorConfig {
    /// The model that chooses: any of the configured ones.
    pub model: String,
    /// Groups that the model names on a page of groups, from 1; all of them are opened on one page. Default 1.
    #[serde(default = "one")]
    pub beam: u32,
    /// Groups are shown by so many of their members that come nearest to the task, from 1. Pages are shorter and differ from task to
    /// task, so that the model's prompt cache does not hold them. Where absent groups are shown by their typical members, always
    /// alike.
    #[serde(default)]
    pub nearest: Option<u32>,
}

/// A setting of the choice that is out of range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("skill_selector.{0} must be at least 1, found 0")]
pub struct SelectorConfigError(&'static str);

/// Asks a model which group, then which member, down the tree of a library. Candidates are known by the ids of entries.
///
/// The page stands in the instructions and the task comes last. Where the call fails or its answer names nothing on the page,
/// the page's nearest by the encoder is taken, and the reason says so. Where the model says that none fits there is no
/// route. Scores: 1 for the model's choice, cosines for what is there to fall back on. Evidence: `tokens` (of all instructions
/// and tasks shown, estimated), `pages`, `guessed` (pages that the encoder decided), `step.0` and so on (the choice of each
/// page) and what each call cost. Learns nothing.
pub struct SkillSelector {
    name: Name,
    config: SelectorConfig,
    tree: Arc<SkillTree>,
    encoder: Arc<dyn Encoder>,
}

/// Between two steps.
#[derive(Debug, Serialize, Deserialize)]
struct Progress {
    router: Name,
    /// Entries of the tree, so that a thread of another library is refused.
    entries: usize,
    among: Vec<Name>,
    /// The page that was shown.
    page: Vec<Choice>,
    way: Vec<String>,
    tokens: usize,
    guessed: u32,
    asks: Asks,
}

/// A child of the tree, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Choice {
    Group(u32),
    Entry(u32),
}

/// What a model said of a page.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    /// Places on the page, best first.
    These(Vec<usize>),
    None,
    Nothing,
}

fn one() -> u32 {
    1
}

// === impl Choice ===

impl From<Child> for Choice {
    fn from(child: Child) -> Self {
        match child {
            Child::Group(group) => Self::Group(group),
            Child::Entry(entry) => Self::Entry(entry),
        }
    }
}

impl From<Choice> for Child {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Group(group) => Self::Group(group),
            Choice::Entry(entry) => Self::Entry(entry),
        }
    }
}

// === impl SkillSelector ===

impl SkillSelector {
    /// A router of this name over a tree whose vectors `encoder` made.
    ///
    /// # Errors
    /// [`SelectorConfigError`] for a beam or members of none.
    pub fn new(
        config: &SelectorConfig,
        name: Name,
        tree: Arc<SkillTree>,
        encoder: Arc<dyn Encoder>,
    ) -> Result<Self, SelectorConfigError> {
        if config.beam == 0 {
            return Err(SelectorConfigError("beam"));
        }
        if config.nearest == Some(0) {
            return Err(SelectorConfigError("nearest"));
        }
        Ok(Self {
            name,
            config: config.clone(),
            tree,
            encoder,
        })
    }

    /// Shows a page; pages of one child need no question.
    fn show(
        &self,
        query: &Query<'_>,
        mut page: Vec<Choice>,
        mut progress: Progress,
        cx: &Context<'_>,
    ) -> Step {
        while let [only] = page.as_slice() {
            let below = self.tree.under((*only).into());
            if below.is_empty() {
                return self.settle(query, &page, &progress, cx);
            }
            progress.way.push(self.title(*only));
            page = self.open(below, &progress.among);
        }
        let ids: Vec<CandidateId> = progress.among.iter().filter_map(|n| cx.catalogue.id(n)).collect();
        let Some(model) = cx
            .catalogue
            .id(&self.config.model)
            .and_then(|id| cx.catalogue.get(id))
        else {
            return Step::Fail(cx.no_route(&ids));
        };
        if page.is_empty() {
            return Step::Fail(cx.no_route(&ids));
        }
        let ask = self.question(query, &page);
        if let Ask::Prompt { system, user } = &ask {
            progress.tokens += system.as_deref().map_or(0, estimate_tokens) + estimate_tokens(user);
        }
        let call = progress.asks.ask(model, ask);
        progress.page = page;
        match Thread::keep(&progress) {
            Ok(thread) => Step::Ask(vec![call], thread),
            Err(_) => Step::Fail(cx.no_route(&ids)),
        }
    }

    /// The children below which there is somebody to pick.
    fn open(&self, children: &[Child], among: &[Name]) -> Vec<Choice> {
        let asked: rustc_hash::FxHashSet<&Name> = among.iter().collect();
        let open = |entry: &u32| self.tree.id(*entry).is_some_and(|id| asked.contains(id));
        let is_open = |child: &&Child| match child {
            Child::Entry(entry) => open(entry),
            Child::Group(group) => {
                let group = self.tree.groups().get(*group as usize);
                group.is_some_and(|g| g.entries.iter().any(open))
            }
        };
        children
            .iter()
            .filter(is_open)
            .map(|child| (*child).into())
            .collect()
    }

    fn question(&self, query: &Query<'_>, page: &[Choice]) -> Ask {
        let groups = page.iter().any(|choice| matches!(choice, Choice::Group(_)));
        let vector = self
            .config
            .nearest
            .filter(|_| groups)
            .map(|nearest| (self.encoder.encode(&query.user_text()), nearest as usize));
        let line = |choice: &Choice| match &vector {
            Some((vector, nearest)) => self.tree.line_for((*choice).into(), vector, *nearest),
            None => self.tree.line((*choice).into()),
        };
        let lines: Vec<String> = page.iter().map(line).collect();
        let task = said(query);
        let mut foreign: Vec<&str> = lines.iter().map(String::as_str).collect();
        foreign.push(&task);
        let fence = Fence::around(&foreign);
        let mut system = format!(
            "Choose what a task needs from a numbered list. {} {} Answer with numbers alone; with 0 where nothing in the list \
             could serve.",
            fence.rule(),
            match (groups, self.config.beam) {
                (false, _) => "Each line is a skill and when to use it.".to_owned(),
                (true, 1) =>
                    "Each line is a group of skills: its key words, then some of its members; the right skill may be \
                     another member."
                        .to_owned(),
                (true, beam) => format!(
                    "Each line is a group of skills: its key words, then some of its members; the right skill may be another \
                     member. Name the {beam} most likely numbers, the best first."
                ),
            }
        );
        let mut list = String::new();
        for (i, line) in lines.iter().enumerate() {
            // Writing to a string does not fail.
            let _ = writeln!(list, "[{}] {line}", i + 1);
        }
        system.push('\n');
        fence.put("list", list.trim_end(), &mut system);
        let mut user = String::new();
        fence.put("task", &task, &mut user);
        Ask::Prompt {
            system: Some(system),
            user,
        }
    }

    /// What the model said becomes the next page, or the end.
    fn hear(&self, query: &Query<'_>, mut progress: Progress, cx: &Context<'_>) -> Step {
        let page = std::mem::take(&mut progress.page);
        let groups = page.iter().any(|choice| matches!(choice, Choice::Group(_)));
        let most = if groups { self.config.beam as usize } else { 1 };
        let chosen = match heard(progress.asks.last().unwrap_or_default(), page.len(), most) {
            Heard::These(places) => places.into_iter().map(|at| page[at]).collect(),
            Heard::None => {
                let ids: Vec<CandidateId> =
                    progress.among.iter().filter_map(|n| cx.catalogue.id(n)).collect();
                let mut none = cx.no_route(&ids);
                none.excluded.extend(ids.iter().filter_map(|id| {
                    let candidate = cx.catalogue.get(*id)?;
                    cx.limits.admit(candidate).ok()?;
                    Some(fingerpost_core::Exclusion {
                        candidate: candidate.profile.name.clone(),
                        limit: fingerpost_core::Limit::Barred,
                    })
                }));
                return Step::Fail(none);
            }
            Heard::Nothing => {
                progress.guessed += 1;
                let vector = self.encoder.encode(&query.user_text());
                let likeness = |choice: &Choice| self.tree.likeness(&vector, (*choice).into());
                let mut page = page;
                page.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
                page.truncate(1);
                page
            }
        };
        progress
            .way
            .extend(chosen.iter().map(|choice| self.title(*choice)));
        let below: Vec<Child> = chosen
            .iter()
            .flat_map(|choice| self.tree.under((*choice).into()))
            .copied()
            .collect();
        // On a page that holds both, an entry that was chosen goes on to the next page beside the members of the groups.
        let entries = chosen
            .iter()
            .filter(|choice| matches!(choice, Choice::Entry(_)))
            .copied();
        let mut next: Vec<Choice> = entries.collect();
        next.extend(self.open(&below, &progress.among));
        if below.is_empty() {
            self.settle(query, &next, &progress, cx)
        } else {
            self.show(query, next, progress, cx)
        }
    }

    fn title(&self, choice: Choice) -> String {
        match choice {
            Choice::Entry(entry) => self.tree.id(entry).map_or_else(String::new, ToString::to_string),
            Choice::Group(group) => self
                .tree
                .groups()
                .get(group as usize)
                .map_or_else(String::new, |g| g.title.clone()),
        }
    }

    /// The end: the chosen entry, and the nearest others of the last page to fall back on.
    fn settle(&self, query: &Query<'_>, chosen: &[Choice], progress: &Progress, cx: &Context<'_>) -> Step {
        let ids: Vec<CandidateId> = progress.among.iter().filter_map(|n| cx.catalogue.id(n)).collect();
        let first = chosen.iter().find_map(|choice| match choice {
            Choice::Entry(entry) => self.tree.id(*entry),
            Choice::Group(_) => None,
        });
        let Some(first) = first.and_then(|name| cx.catalogue.get(cx.catalogue.id(name)?)) else {
            return Step::Fail(cx.no_route(&ids));
        };
        if cx.limits.admit(first).is_err() {
            return Step::Fail(cx.no_route(&ids));
        }
        let vector = self.encoder.encode(&query.user_text());
        let walk = self.tree.walk(&vector, Beam::default());
        let others = walk.leaves.iter().filter_map(|(entry, score)| {
            let name = self.tree.id(*entry)?;
            let candidate = cx.catalogue.get(cx.catalogue.id(name)?)?;
            let open = progress.among.contains(name) && cx.limits.admit(candidate).is_ok();
            (open && candidate.id != first.id).then(|| Pick::of(candidate, f64::from(*score)).weighing(0.0))
        });
        let mut picks: Picks = [Pick::of(first, 1.0)].into_iter().collect();
        picks.extend(others.take(3));
        let why = if progress.guessed > 0 {
            "chosen page by page, in part by likeness where the model named nothing"
        } else {
            "chosen by a model, page by page"
        };
        let reason = Reason::new(why)
            .with("pages", progress.asks.0.len() as f64)
            .with("tokens", progress.tokens as f64);
        match Decision::ranked(picks, reason, self.evidence(progress)) {
            Some(decision) => Step::Done(decision),
            None => Step::Fail(cx.no_route(&ids)),
        }
    }

    fn evidence(&self, progress: &Progress) -> Evidence {
        let mut evidence = progress
            .asks
            .evidence(&self.name)
            .with("tokens", Feature::Number(progress.tokens as f64))
            .with("pages", Feature::Number(progress.asks.0.len() as f64))
            .with("guessed", Feature::Number(f64::from(progress.guessed)));
        for (i, step) in progress.way.iter().enumerate() {
            evidence = evidence.with(format!("step.{i}"), Feature::Text(step.as_str().into()));
        }
        evidence
    }
}

impl Learn for SkillSelector {}

impl Deliberate<Query<'_>> for SkillSelector {
    fn start(&self, query: &Query<'_>, among: &[CandidateId], cx: &mut Context<'_>) -> Step {
        let among: Vec<Name> = cx.admitted(among).map(|c| c.profile.name.clone()).collect();
        let progress = Progress {
            router: self.name.clone(),
            entries: self.tree.len(),
            page: Vec::new(),
            way: Vec::new(),
            tokens: 0,
            guessed: 0,
            asks: Asks::default(),
            among,
        };
        let page = self.open(self.tree.top(), &progress.among);
        self.show(query, page, progress, cx)
    }

    fn resume(&self, query: &Query<'_>, thread: Thread, answers: Vec<Answer>, cx: &mut Context<'_>) -> Step {
        let fits = |p: &Progress| p.router == self.name && p.entries == self.tree.len();
        let Some(mut progress) = thread.take::<Progress>().ok().filter(fits) else {
            return Step::Fail(NoRoute { excluded: Vec::new() });
        };
        progress.asks.hear(answers);
        self.hear(query, progress, cx)
    }
}

/// Reads the numbers of an answer: those on the page, each once, at most `most`. A lone 0 is none; an answer without a number of
/// the page is nothing. Numbers that are no places are passed over.
fn heard(answer: &str, page: usize, most: usize) -> Heard {
    let mut places = Vec::new();
    let mut none = false;
    for digits in answer
        .split(|c: char| !c.is_ascii_digit())
        .filter(|d| !d.is_empty())
    {
        match digits.parse::<usize>() {
            Ok(0) => none = true,
            Ok(number) if number <= page && !places.contains(&(number - 1)) => places.push(number - 1),
            _ => {}
        }
    }
    places.truncate(most);
    match (places.is_empty(), none) {
        (false, _) => Heard::These(places),
        (true, true) => Heard::None,
        (true, false) => Heard::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::Failure;
    use fingerpost_encode::StaticEncoder;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Entry, Kind, TreeOptions,
        asking::tests::{Ran, catalogue, prompt, run},
    };

    const NAMES: [&str; 6] = ["forecast", "rain", "transfer", "balance", "recipe", "calories"];

    fn selector(beam: u32, group_size: usize) -> SkillSelector {
        showing(beam, group_size, None)
    }

    fn showing(beam: u32, group_size: usize, nearest: Option<u32>) -> SkillSelector {
        let about = [
            "weather forecast of a city",
            "will it rain in a city today",
            "transfers money between bank accounts",
            "balance of a bank account",
            "recipe for a meal",
            "calories of a meal",
        ];
        let encoder: Arc<dyn Encoder> = Arc::new(StaticEncoder::bundled());
        let entries: Vec<Entry> = NAMES
            .iter()
            .zip(about)
            .map(|(name, about)| Entry {
                description: about.into(),
                ..Entry::named(*name, Kind::Skill)
            })
            .collect();
        let vectors: Vec<f32> = about.iter().flat_map(|a| encoder.encode(a).to_vec()).collect();
        let options = TreeOptions {
            group_size,
            ..TreeOptions::default()
        };
        let tree = Arc::new(SkillTree::build(&entries, &vectors, &options).unwrap());
        let config = SelectorConfig {
            model: "judge".into(),
            beam,
            nearest,
        };
        SkillSelector::new(&config, "s".into(), tree, encoder).unwrap()
    }

    fn choose(
        selector: &SkillSelector,
        answer: impl FnMut(&fingerpost_core::Call) -> Result<String, Failure>,
    ) -> Ran {
        let mut names = NAMES.to_vec();
        names.push("judge");
        let catalogue = catalogue(&names);
        let among = catalogue.ids();
        run(
            selector,
            &Query::text("send money home"),
            &among[..6],
            &catalogue,
            answer,
        )
    }

    /// The number of the line that holds `word`.
    fn number(call: &fingerpost_core::Call, word: &str) -> String {
        let line = prompt(call)
            .1
            .lines()
            .find(|l| l.starts_with('[') && l.contains(word));
        let line = line.unwrap_or("[0]");
        line[1..line.find(']').unwrap()].to_owned()
    }

    #[test]
    fn groups_first_and_members_after() {
        let ran = choose(&selector(1, 3), |call| Ok(number(call, "transfer")));
        assert_eq!(ran.rounds.len(), 2);
        let (user, system) = prompt(&ran.rounds[0][0]);
        assert!(user.contains("send money home") && !system.contains("send money home"));
        assert!(
            system.contains("group of skills")
                && prompt(&ran.rounds[1][0]).1.contains("Each line is a skill")
        );
        let Step::Done(decision) = ran.step else {
            unreachable!("decided")
        };
        assert_eq!(decision.first().name.as_str(), "transfer");
        let number = |name| match decision.evidence.feature(name) {
            Some(Feature::Number(n)) => *n,
            other => unreachable!("{other:?}"),
        };
        assert_eq!(
            (number("pages"), number("guessed"), number("cost")),
            (2.0, 0.0, 2.0)
        );
        assert!(number("tokens") > 100.0);
        assert_eq!(
            decision.evidence.feature("step.1"),
            Some(&Feature::Text("transfer".into()))
        );
    }

    #[test]
    fn groups_can_be_shown_by_what_is_nearest_to_the_task() {
        let selector = showing(1, 2, Some(1));
        let ran = choose(&selector, |call| Ok(number(call, "transfer")));
        let page = prompt(&ran.rounds[0][0]).1;
        let lines: Vec<&str> = page.lines().filter(|line| line.starts_with('[')).collect();
        assert!(
            !lines.is_empty() && lines.iter().all(|line| line.matches(" | ").count() == 1),
            "{page}"
        );
        assert!(page.contains("| transfer: transfers money"), "{page}");
        let error = SkillSelector::new(
            &SelectorConfig {
                model: "judge".into(),
                beam: 1,
                nearest: Some(0),
            },
            "s".into(),
            selector.tree.clone(),
            selector.encoder.clone(),
        );
        assert!(error.is_err_and(|e| e.to_string().contains("nearest must be at least 1")));
    }

    #[test]
    fn a_flat_library_takes_one_page() {
        let ran = choose(&selector(1, 9), |call| {
            Ok(format!("It is {}.", number(call, "recipe")))
        });
        assert_eq!(ran.rounds.len(), 1);
        assert!(matches!(ran.step, Step::Done(d) if d.first().name.as_str() == "recipe"));
    }

    #[test]
    fn a_wider_beam_shows_members_of_two_groups() {
        let mut first = true;
        let ran = choose(&selector(2, 3), |call| {
            let both = format!("{}, {}", number(call, "forecast"), number(call, "transfer"));
            Ok(if std::mem::take(&mut first) {
                both
            } else {
                number(call, "transfer")
            })
        });
        let second = prompt(&ran.rounds[1][0]).1;
        assert!(second.contains("rain") && second.contains("balance") && !second.contains("recipe"));
        assert!(matches!(ran.step, Step::Done(d) if d.first().name.as_str() == "transfer"));
    }

    #[test]
    fn silence_is_filled_by_likeness_and_none_is_no_route() {
        for answer in [
            Err(Failure::RateLimited),
            Ok("I cannot say".to_owned()),
            Ok("77".to_owned()),
        ] {
            let ran = choose(&selector(1, 3), |_| answer.clone());
            let Step::Done(decision) = ran.step else {
                unreachable!("decided")
            };
            assert_eq!(decision.first().name.as_str(), "transfer");
            assert!(decision.reason.text.contains("by likeness"));
        }
        let none = choose(&selector(1, 3), |_| Ok("0".to_owned()));
        assert!(matches!(none.step, Step::Fail(none) if none.excluded.len() == 6));
    }

    #[test]
    fn only_candidates_are_shown_and_strange_threads_refused() {
        let catalogue = catalogue(&["transfer", "balance", "recipe", "judge"]);
        let among = catalogue.ids();
        let selector = selector(1, 3);
        let ran = run(&selector, &Query::text("eat"), &among[..3], &catalogue, |call| {
            assert!(!prompt(call).1.contains("[3]"));
            Ok("1".to_owned())
        });
        assert!(matches!(ran.step, Step::Done(_)));
        let none = run(&selector, &Query::text("eat"), &[], &catalogue, |_| {
            Ok("1".to_owned())
        });
        assert!(matches!(none.step, Step::Fail(_)));
        let limits = fingerpost_core::Limits::NONE;
        let mut rng = rand::SeedableRng::seed_from_u64(1);
        let mut cx = Context::new(&catalogue, &limits, Default::default(), &mut rng);
        let thread = Thread::keep(&7).unwrap();
        let step = selector.resume(&Query::text("eat"), thread, Vec::new(), &mut cx);
        assert!(matches!(step, Step::Fail(_)));
    }

    #[test]
    fn numbers_are_read_from_words() {
        assert_eq!(heard("[2], then 2 or 9 or 1", 3, 2), Heard::These(vec![1, 0]));
        assert_eq!(heard("0", 3, 1), Heard::None);
        assert_eq!(heard("none of them", 3, 1), Heard::Nothing);
        assert_eq!(heard("99999999999999999999999", 3, 1), Heard::Nothing);
    }

    proptest! {
        #[test]
        fn any_answer_is_read(answer in ".*", page in 0_usize..20, most in 1_usize..4) {
            if let Heard::These(places) = heard(&answer, page, most) {
                prop_assert!(places.len() <= most && places.iter().all(|p| *p < page));
            }
        }
    }
}
