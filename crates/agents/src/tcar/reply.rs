//! What a model that routes says, and what an agent says that will not help.

use fingerpost_core::Name;

use super::{Chosen, MOST_AGENTS, RouteReply};

/// Characters of a reason that are kept.
const REASON: usize = 600;
/// An answer longer than this is an answer, whatever it begins with.
const REFUSAL: usize = 400;

/// Reads a reply of the form
///
/// ```text
/// REASON: one sentence
/// AGENT: id
/// AGENT: another id
/// ```
///
/// with `AGENT: none` where nobody fits. Gives the reply and whether it could be read. Tolerated: a missing reason, several ids
/// on a line, ids in other case, quotes or brackets, ids that are not `known` (dropped), duplicates, more than three (the first three
/// count), any text around. A reply without a known id and without `none` could not be read, and counts as out of scope.
pub fn parse_reply(text: &str, known: &[Name]) -> (RouteReply, bool) {
    let (mut reason, mut ids, mut none): (String, Vec<Name>, bool) = (String::new(), Vec::new(), false);
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let key = key.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        let value = value.trim();
        match key.as_str() {
            "reason" if reason.is_empty() => reason = value.chars().take(REASON).collect(),
            "agent" | "agents" | "id" => {
                // An id may hold commas itself, so the whole is tried before its parts.
                let whole = id(value, known);
                let parts: Vec<&str> = if whole.is_some() {
                    Vec::new()
                } else {
                    value.split([',', ';']).collect()
                };
                none |= parts.iter().any(|part| is_none(part));
                for found in whole
                    .into_iter()
                    .chain(parts.iter().filter_map(|part| id(part, known)))
                {
                    if !ids.contains(found) {
                        ids.push(found.clone());
                    }
                }
            }
            _ => {}
        }
    }
    ids.truncate(MOST_AGENTS);
    let read = !ids.is_empty() || none;
    let chosen = if ids.is_empty() {
        Chosen::OutOfScope
    } else {
        Chosen::Agents(ids)
    };
    (RouteReply { reason, chosen }, read)
}

fn bare(text: &str) -> &str {
    text.trim()
        .trim_matches(['`', '"', '\'', '[', ']', '<', '>', '(', ')', '.', '*', ' '])
}

fn id<'n>(text: &str, known: &'n [Name]) -> Option<&'n Name> {
    let exact = known.iter().find(|name| name.as_str() == text.trim());
    let bare = bare(text);
    exact.or_else(|| known.iter().find(|name| name.eq_ignore_ascii_case(bare)))
}

fn is_none(text: &str) -> bool {
    ["none", "nobody", "no one", "out of scope"].contains(&bare(text).to_lowercase().as_str())
}

/// Whether an agent's answer only says that it will not help: a short text that begins, after a word of regret, with such a
/// phrase. English; what it does not know it takes for an answer.
pub fn refused(answer: &str) -> bool {
    let text = answer.trim().replace('\u{2019}', "'").to_lowercase();
    let text = text
        .trim_start_matches("i'm sorry")
        .trim_start_matches("i am sorry")
        .trim_start_matches("sorry")
        .trim_start_matches("unfortunately")
        .trim_start_matches([',', '.', ' '])
        .trim_start_matches("but ");
    let phrases = [
        "i can't help",
        "i cannot help",
        "i can't assist",
        "i cannot assist",
        "i can't answer",
        "i cannot answer",
        "i'm not able to",
        "i am not able to",
        "i'm unable to",
        "i am unable to",
        "this is outside",
        "that is outside",
        "that's outside",
        "this is not something i",
        "that is not something i",
    ];
    answer.len() <= REFUSAL && phrases.iter().any(|phrase| text.starts_with(phrase))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng, rngs::SmallRng};

    use super::*;

    fn known() -> Vec<Name> {
        ["weather", "money", "cook", "map, route"]
            .map(Name::from)
            .to_vec()
    }

    fn ids(text: &str) -> (Vec<String>, bool) {
        match parse_reply(text, &known()) {
            (
                RouteReply {
                    chosen: Chosen::Agents(ids),
                    ..
                },
                read,
            ) => (ids.iter().map(ToString::to_string).collect(), read),
            (_, read) => (Vec::new(), read),
        }
    }

    #[test]
    fn what_models_make_of_the_form() {
        let (reply, read) = parse_reply("REASON: asks for rain\nAGENT: weather\nAGENT: cook", &known());
        assert!(read && reply.reason == "asks for rain");
        assert_eq!(
            reply.chosen,
            Chosen::Agents(vec!["weather".into(), "cook".into()])
        );
        let read = |list: &[&str]| (list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>(), true);
        assert_eq!(ids("agent: `Weather`."), read(&["weather"]));
        assert_eq!(
            ids("**AGENT**: money, nobody knows; cook"),
            read(&["money", "cook"])
        );
        assert_eq!(ids("AGENT: map, route"), read(&["map, route"]));
        assert_eq!(
            ids("AGENT: weather\nAGENT: weather\nAGENT: stranger"),
            read(&["weather"])
        );
        let four = "AGENT: weather\nAGENT: money\nAGENT: cook\nAGENT: map, route";
        assert_eq!(ids(four), read(&["weather", "money", "cook"]));
        assert_eq!(ids("AGENT: none"), (Vec::new(), true));
        assert_eq!(ids("the weather one, I guess"), (Vec::new(), false));
        assert_eq!(ids(""), (Vec::new(), false));
    }

    #[test]
    fn ten_thousand_spoilt_replies_are_read() {
        let good = "REASON: asks for rain, \u{e9}\u{4e2d}\nAGENT: weather\nAGENT: money, cook\nAGENT: none\n";
        let mut rng = SmallRng::seed_from_u64(20);
        for _ in 0..10_000 {
            let mut characters: Vec<char> = good.chars().collect();
            for _ in 0..rng.random_range(0..12) {
                let at = rng.random_range(0..=characters.len());
                match rng.random_range(0..4) {
                    0 if at < characters.len() => drop(characters.remove(at)),
                    1 => characters.insert(at, char::from_u32(rng.random_range(0..0x3000)).unwrap_or(':')),
                    2 => characters.truncate(at),
                    _ => {
                        let copy: Vec<char> = characters[..at].to_vec();
                        characters.extend(copy);
                    }
                }
            }
            let (reply, read) = parse_reply(&characters.iter().collect::<String>(), &known());
            if let Chosen::Agents(ids) = &reply.chosen {
                assert!(read && (1..=MOST_AGENTS).contains(&ids.len()));
                assert!(ids.iter().all(|id| known().contains(id)));
            }
        }
    }

    #[test]
    fn refusals() {
        assert!(refused("I'm sorry, but I can't help with that."));
        assert!(refused("Unfortunately, I am unable to see your account."));
        assert!(!refused("It will rain. I can't help noticing."));
        assert!(!refused(&format!(
            "I can't help {}",
            "but tell a long story ".repeat(30)
        )));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(?s).*") {
            let _ = (parse_reply(&text, &known()), refused(&text));
        }
    }
}
