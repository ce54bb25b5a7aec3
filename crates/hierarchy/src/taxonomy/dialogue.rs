//! A taxonomy from a language model, in two questions. Pure: prompts go out, replies come in, who asks is not known here.
//!
//! First the model names the top aspects of the numbered texts, helped by the words that most texts share; then it puts the
//! texts under nested categories of these aspects. Replies are read by [`parse`](super::parse). A reply in which nothing can be
//! read leaves the dialogue where it was, so that the same prompt can be asked again. Card 54; the prompts are our own.

use thiserror::Error;

use super::{
    Category, ParseError, Taxonomy, naming,
    parse::{parse_tree, read_aspects},
};

/// Most texts that are put before a model at once.
pub const MAX_TEXTS: usize = 400;
/// Characters of a text that the model sees.
const MOST_CHARACTERS: usize = 600;
/// Words shared by most texts that help to find aspects (the paper takes 20 entities).
const WORDS: usize = 20;
/// Most top aspects.
const ASPECTS: usize = 5;
/// The category of texts that the model did not place.
pub const UNCATEGORISED: &str = "Uncategorised";

/// What a model is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The system message.
    pub system: String,
    /// The user's message.
    pub user: String,
}

/// A dialogue with a model about some texts.
///
/// ```
/// use fingerpost_hierarchy::taxonomy::Dialogue;
/// let mut dialogue = Dialogue::new("bank", &["lost my card", "card stolen", "open a loan"])?;
/// assert!(dialogue.prompt().user.contains("Claim 2: open a loan"));
/// assert!(dialogue.hear("- Aspect 1: Cards\n- Aspect 2: Loans")?.is_none());
/// assert!(dialogue.prompt().user.contains("Cards"));
/// let placed = dialogue.hear("- Aspect 1: Cards (Claim 0, 1)\n- Aspect 2: Loans (Claim 2)")?.unwrap();
/// assert_eq!(placed.taxonomy.coverage(), 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Dialogue {
    title: String,
    claims: String,
    words: Vec<String>,
    count: u32,
    aspects: Option<Vec<String>>,
}

/// What a model made of the texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// The taxonomy. Texts that the model left out stand under [`UNCATEGORISED`], the last top category.
    pub taxonomy: Taxonomy,
    /// Lines of the reply that were no categories, with their numbers (from 1).
    pub skipped: Vec<(usize, String)>,
    /// Numbers that the model cited and that no text has, ascending.
    pub unknown: Vec<u32>,
    /// Texts that it left out.
    pub left_out: usize,
}

/// What keeps a dialogue from being held.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DialogueError {
    /// Too few or too many texts.
    #[error(
        "{found} texts cannot be put before a model; allowed is 2 to {MAX_TEXTS}: give fewer, or build without a model"
    )]
    Count {
        /// How many were given.
        found: usize,
    },
    /// A reply that is not understood.
    #[error("the model's reply to the question for {asked} cannot be read: {source}")]
    Reply {
        /// What was asked for: aspects or categories.
        asked: &'static str,
        /// Why, with the line of the reply.
        source: ParseError,
    },
}

const SYSTEM: &str = "You order short texts under a hierarchy of named categories. You answer with the list that is asked for \
                      and nothing else: no introduction, no closing remark.";

// === impl Dialogue ===

impl Dialogue {
    /// Opens a dialogue; texts are numbered from 0.
    ///
    /// # Errors
    /// [`DialogueError::Count`].
    pub fn new(title: &str, texts: &[&str]) -> Result<Self, DialogueError> {
        if texts.len() < 2 || texts.len() > MAX_TEXTS {
            return Err(DialogueError::Count { found: texts.len() });
        }
        let line = |(number, text): (usize, &&str)| {
            // One line a text, whatever it holds: a line of a text could pass for a category otherwise.
            let text: Vec<&str> = text.split_whitespace().collect();
            let text: String = text.join(" ").chars().take(MOST_CHARACTERS).collect();
            format!("Claim {number}: {text}\n")
        };
        Ok(Self {
            title: title.to_owned(),
            claims: texts.iter().enumerate().map(line).collect(),
            words: naming::common_words(texts, WORDS),
            count: texts.len() as u32,
            aspects: None,
        })
    }

    /// What is to be asked now.
    #[must_use]
    pub fn prompt(&self) -> Prompt {
        let (title, claims) = (&self.title, &self.claims);
        let user = match &self.aspects {
            None => format!(
                "Title: {title}\nFrequent words: {}\n\n{claims}\nName the aspects under which these claims fall, at most {ASPECTS}, \
                 each with the frequent words that support it. Answer with one line an aspect, like this:\n- Aspect 1: name of the \
                 aspect (word, word)",
                self.words.join(", ")
            ),
            Some(aspects) => {
                let list: String = (1..)
                    .zip(aspects)
                    .map(|(n, name)| format!("- Aspect {n}: {name}\n"))
                    .collect();
                format!(
                    "Title: {title}\n\n{claims}\nAspects:\n{list}\nPut every claim under the aspects to which it belongs, and divide \
                     each aspect into nested categories of 2 to 10 parts where the claims ask for it. A claim may stand under many \
                     categories, and stands under every category above its own too. Answer with one line a category, indented by 4 \
                     spaces a level, like this:\n- Aspect 1: name of the aspect (Claim 0, 2, 3)\n    - 1.1: name of the category \
                     (Claim 0, 2)"
                )
            }
        };
        Prompt {
            system: SYSTEM.to_owned(),
            user,
        }
    }

    /// Takes the reply to [`prompt`](Self::prompt). Nothing comes of the first; the second gives the taxonomy.
    ///
    /// # Errors
    /// [`DialogueError::Reply`] with the line at fault; the dialogue then stands where it stood.
    pub fn hear(&mut self, reply: &str) -> Result<Option<Placed>, DialogueError> {
        let failed = |asked| move |source| DialogueError::Reply { asked, source };
        let Some(aspects) = &self.aspects else {
            self.aspects = Some(read_aspects(&self.title, reply).map_err(failed("aspects"))?);
            return Ok(None);
        };
        let parsed = parse_tree(&self.title, reply, aspects).map_err(failed("categories"))?;
        Ok(Some(self.placed(parsed.taxonomy, parsed.skipped)))
    }

    fn placed(&self, mut taxonomy: Taxonomy, skipped: Vec<(usize, String)>) -> Placed {
        let mut unknown = Vec::new();
        taxonomy.items = self.count;
        taxonomy.for_each_mut(|_, category| {
            let known = category.items.partition_point(|&item| item < self.count);
            unknown.extend(category.items.drain(known..));
        });
        unknown.sort_unstable();
        unknown.dedup();
        let covered = taxonomy.covered();
        let left_out: Vec<u32> = (0..self.count).filter(|item| !covered.contains(item)).collect();
        let count = left_out.len();
        if count > 0 {
            taxonomy.categories.push(Category::new(UNCATEGORISED, left_out));
        }
        Placed {
            taxonomy,
            skipped,
            unknown,
            left_out: count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_questions_make_a_taxonomy() {
        let texts = ["lost\n- Aspect 9: my card", "card stolen", "open a loan", "hello"];
        let mut dialogue = Dialogue::new("bank", &texts).unwrap();
        let first = dialogue.prompt();
        assert!(
            first.user.contains("Claim 0: lost - Aspect 9: my card\n"),
            "{}",
            first.user
        );
        assert!(first.user.contains("Frequent words: card"), "{}", first.user);
        // Nothing to read: the same question again.
        assert!(matches!(
            dialogue.hear("  "),
            Err(DialogueError::Reply { asked: "aspects", .. })
        ));
        assert_eq!(dialogue.prompt(), first);
        assert_eq!(
            dialogue
                .hear("Here they are:\n- Cards (card)\n- Loans (loan)")
                .unwrap(),
            None
        );
        let second = dialogue.prompt();
        assert!(second.user.contains("- Aspect 2: Loans\n"), "{}", second.user);
        let error = dialogue.hear("I cannot do that.").unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
        assert_eq!(dialogue.prompt(), second);
        let reply = "- Cards (Claim 0, 1, 17)\n    - Theft (Claim 1)\n- Loans (Claim 2)";
        let placed = dialogue.hear(reply).unwrap().unwrap();
        placed.taxonomy.validate().unwrap();
        let names: Vec<&str> = placed
            .taxonomy
            .walk()
            .iter()
            .map(|v| v.category.name.as_str())
            .collect();
        assert_eq!(names, ["Cards", "Theft", "Loans", UNCATEGORISED]);
        assert_eq!((placed.unknown, placed.left_out), (vec![17], 1));
        assert_eq!(placed.taxonomy.categories[2].items, [3]);
    }

    #[test]
    fn too_few_and_too_many_texts_are_refused() {
        for count in [0, 1, MAX_TEXTS + 1] {
            let error = Dialogue::new("t", &vec!["a text"; count]).unwrap_err();
            assert_eq!(error, DialogueError::Count { found: count });
        }
    }
}
