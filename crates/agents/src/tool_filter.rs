//! Of the tools that come with a request, those that matter for the conversation.
//!
//! A tool's text (its name, description and arguments) is held against what the user said last, together with what the user said
//! before that: by BM25 over the words, and by the cosine of their vectors (any encoder; the bundled static one costs some
//! microseconds a tool). The two rankings are fused, each brought to 0 to 1. The text of tools is compared, never followed.
//!
//! **What was kept stays kept.** Providers cache prompts from their beginning, where tools stand, so a set that changes with each
//! turn would cost more than it saves. The selection is therefore made of the conversation alone, from its first turn on: the
//! first user turn chooses `keep` tools, each later one may add a few of its best. The same conversation, grown by a turn, keeps
//! what it kept, on any replica and after a restart. Turns beyond the 64th add nothing. Tools that are pinned (called before,
//! named by `tool_choice`, without a name) stay beside those, so that no pin pushes another tool out.
//!
//! Cost: BM25 over the tools once, then one search and one vector for each user turn.

use std::num::NonZeroU32;

use fingerpost_encode::Encoder;
use fingerpost_index::{Fusion, Hit, Lexical, Query, Retrieve};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of a filter of tools.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolFilterConfig {
    /// How many tools the first turn of a conversation keeps, at least 1. Requests with no more tools than that are left alone.
    pub keep: NonZeroU32,
    /// How many of its best each later user turn may add. Default 2.
    #[serde(default = "adds")]
    pub adds: u32,
    /// Tools that are always kept, by name; they count among `keep`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub always: Vec<String>,
}

fn adds() -> u32 {
    2
}

/// A tool as a request offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedTool<'a> {
    /// Its name; `None` for what the provider has built in, which is kept.
    pub name: Option<&'a str>,
    /// Everything that it says of itself, name and arguments included.
    pub text: &'a str,
    /// Whether it must stay, whatever it says: it was called, it was asked for.
    pub pinned: bool,
}

/// Which tools are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSelection {
    /// For each tool in its order, whether it is kept.
    pub kept: Vec<bool>,
    /// For each tool, how well it suits the last user turn: 0 to 1, of two rankings the mean.
    pub scores: Vec<f32>,
}

/// Chooses among the tools of requests.
#[derive(Debug, Clone)]
pub struct ToolFilter {
    config: ToolFilterConfig,
}

/// Most user turns of a conversation that choose tools.
const MOST_TURNS: usize = 64;
/// Bytes of a turn that are compared; the end of it, where the question mostly stands.
const LONGEST_TURN: usize = 4000;
/// Share of the words in the score; the rest is the vectors'.
const WORDS: f32 = 0.5;

// === impl ToolFilter ===

impl ToolFilter {
    /// A filter with these settings.
    pub fn new(config: ToolFilterConfig) -> Self {
        Self { config }
    }

    /// Its settings.
    pub fn config(&self) -> &ToolFilterConfig {
        &self.config
    }

    /// Chooses among `tools` for a conversation of which the user said `turns`, oldest first. `None` where all are kept: there are
    /// too few to choose from, or the user said nothing to choose by.
    pub fn select(
        &self,
        tools: &[OfferedTool<'_>],
        turns: &[&str],
        encoder: &dyn Encoder,
    ) -> Option<ToolSelection> {
        let keep = self.config.keep.get() as usize;
        let turns: Vec<&str> = turns.iter().map(|t| t.trim()).filter(|t| !t.is_empty()).collect();
        if tools.len() <= keep || turns.is_empty() {
            return None;
        }
        let is_always = |tool: &OfferedTool<'_>| {
            tool.name
                .is_none_or(|name| self.config.always.iter().any(|a| a == name))
        };
        let always: Vec<bool> = tools.iter().map(is_always).collect();
        let ranking = Ranking::new(tools, encoder);
        let mut kept = always.clone();
        let mut room = keep.saturating_sub(always.iter().filter(|a| **a).count());
        let mut scores = vec![0.0; tools.len()];
        for i in 0..turns.len().min(MOST_TURNS) {
            let before = i.checked_sub(1).map_or("", |before| turns[before]);
            let hits = ranking.rank(before, turns[i]);
            let best = hits.iter().filter_map(|hit| usize::try_from(hit.id).ok());
            for tool in best.filter(|tool| !always[*tool]).take(room) {
                kept[tool] = true;
            }
            scores.fill(0.0);
            for hit in &hits {
                if let Some(score) = usize::try_from(hit.id).ok().and_then(|id| scores.get_mut(id)) {
                    *score = hit.score;
                }
            }
            room = self.config.adds as usize;
        }
        for (kept, tool) in kept.iter_mut().zip(tools) {
            *kept |= tool.pinned;
        }
        kept.contains(&false).then_some(ToolSelection { kept, scores })
    }
}

/// The tools of one request, ready to be ranked.
struct Ranking<'e> {
    words: Lexical,
    vectors: Vec<fingerpost_encode::Vector>,
    encoder: &'e dyn Encoder,
}

// === impl Ranking ===

impl<'e> Ranking<'e> {
    fn new(tools: &[OfferedTool<'_>], encoder: &'e dyn Encoder) -> Self {
        Self {
            words: Lexical::new((0u64..).zip(tools.iter().map(|t| t.text))),
            vectors: tools.iter().map(|t| encoder.encode(t.text)).collect(),
            encoder,
        }
    }

    /// All tools, best first. Ties go to the tool that was offered first.
    fn rank(&self, before: &str, turn: &str) -> Vec<Hit> {
        let text = format!("{} {}", end(before), end(turn));
        let query = Query {
            text: Some(&text),
            vector: None,
        };
        let count = self.vectors.len();
        let words = self.words.retrieve(query, count, None).unwrap_or_default();
        let vector = self.encoder.encode(&text);
        let mut near: Vec<Hit> = (0u64..)
            .zip(&self.vectors)
            .map(|(id, tool)| Hit {
                id,
                score: vector.similarity(tool).get(),
            })
            .collect();
        near.sort_by(|a, b| b.score.total_cmp(&a.score));
        Fusion::Weighted.fuse(&[(words, WORDS), (near, 1.0 - WORDS)], count)
    }
}

/// The last few thousand bytes of a text.
fn end(text: &str) -> &str {
    let mut from = text.len().saturating_sub(LONGEST_TURN);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

#[cfg(test)]
mod tests {
    use fingerpost_encode::StaticEncoder;
    use proptest::prelude::*;

    use super::*;

    const TEXTS: [(&str, &str); 6] = [
        ("get_weather", "get_weather: the weather forecast for a city"),
        ("send_email", "send_email: sends an email to a recipient"),
        ("book_flight", "book_flight: books a flight between two airports"),
        ("convert_money", "convert_money: converts between currencies"),
        ("play_music", "play_music: plays a song or an album"),
        ("create_ticket", "create_ticket: files a bug in the issue tracker"),
    ];

    fn tools() -> Vec<OfferedTool<'static>> {
        let tool = |(name, text): (&'static str, &'static str)| OfferedTool {
            name: Some(name),
            text,
            pinned: false,
        };
        TEXTS.map(tool).into()
    }

    fn filter(keep: u32, adds: u32, always: &[&str]) -> ToolFilter {
        ToolFilter::new(ToolFilterConfig {
            keep: NonZeroU32::new(keep).unwrap(),
            adds,
            always: always.iter().map(|a| (*a).to_owned()).collect(),
        })
    }

    fn kept(filter: &ToolFilter, tools: &[OfferedTool<'_>], turns: &[&str]) -> Vec<String> {
        let selection = filter.select(tools, turns, &StaticEncoder::bundled());
        let kept = selection.map_or_else(|| vec![true; tools.len()], |s| s.kept);
        let names = tools.iter().zip(kept).filter(|(_, kept)| *kept);
        names
            .map(|(t, _)| t.name.unwrap_or("built in").to_owned())
            .collect()
    }

    #[test]
    fn the_tools_that_the_turn_is_about_are_kept_in_their_order() {
        let turns = ["I need a flight to Rome, and what will the weather be in the city?"];
        assert_eq!(
            kept(&filter(2, 2, &[]), &tools(), &turns),
            ["get_weather", "book_flight"]
        );
        // What is always kept takes a place.
        assert_eq!(
            kept(
                &filter(2, 2, &["play_music"]),
                &tools(),
                &["weather in the city?"]
            ),
            ["get_weather", "play_music"]
        );
    }

    #[test]
    fn what_was_kept_stays_and_later_turns_add() {
        let filter = filter(2, 1, &[]);
        let turns = [
            "flight to Rome, and the weather there?",
            "now file a bug in the tracker",
            "thanks",
        ];
        let first = kept(&filter, &tools(), &turns[..1]);
        assert_eq!(first, ["get_weather", "book_flight"]);
        let second = kept(&filter, &tools(), &turns[..2]);
        assert_eq!(second, ["get_weather", "book_flight", "create_ticket"]);
        let third = kept(&filter, &tools(), &turns);
        assert!(second.iter().all(|name| third.contains(name)), "{third:?}");
    }

    #[test]
    fn pinned_and_built_in_tools_stay_and_few_or_unasked_tools_are_left_alone() {
        let mut tools = tools();
        tools[4].pinned = true;
        tools.push(OfferedTool {
            name: None,
            text: "",
            pinned: false,
        });
        let found = kept(&filter(2, 2, &[]), &tools, &["weather in the city?"]);
        assert_eq!(found, ["get_weather", "play_music", "built in"]);
        assert_eq!(kept(&filter(7, 2, &[]), &tools, &["weather?"]).len(), 7);
        assert_eq!(kept(&filter(2, 2, &[]), &tools, &["  ", ""]).len(), 7);
    }

    proptest! {
        /// Whatever is said: a longer conversation keeps what a shorter one kept, and never less than `keep`.
        #[test]
        fn conversations_only_grow(turns in prop::collection::vec("\\PC{0,40}", 1..8), keep in 1u32..6, adds in 0u32..3) {
            let (filter, tools, encoder) = (filter(keep, adds, &[]), tools(), StaticEncoder::bundled());
            let turns: Vec<&str> = turns.iter().map(String::as_str).collect();
            let all = |n: usize| filter.select(&tools, &turns[..n], &encoder).map_or(vec![true; 6], |s| s.kept);
            let whole = all(turns.len());
            let said = turns.iter().any(|t| !t.trim().is_empty());
            prop_assert!(!said || whole.iter().filter(|k| **k).count() >= keep as usize);
            for n in 1..turns.len() {
                if turns[..n].iter().any(|t| !t.trim().is_empty()) {
                    prop_assert!(all(n).iter().zip(&whole).all(|(before, after)| !before || *after));
                }
            }
        }
    }
}
