//! A request for several things, taken apart.

/// The most parts that are looked at.
const MOST: usize = 8;
/// Words without which a part says too little.
const WORDS: usize = 3;

/// The parts of a request between its stops and joining words; none where it is one piece.
pub(crate) fn clauses(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut words = text.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        if matches!(&*bare, "and" | "then" | "also" | "while" | "finally") && word.len() <= bare.len() + 1 {
            parts.push(String::new());
            continue;
        }
        if let Some(part) = parts.last_mut() {
            if !part.is_empty() {
                part.push(' ');
            }
            part.push_str(word);
        }
        if word.ends_with(['.', '?', '!', ';', ',', ':']) && words.peek().is_some() {
            parts.push(String::new());
        }
    }
    // What is too short belongs to the part before it.
    let mut whole: Vec<String> = Vec::new();
    for part in parts.into_iter().filter(|p| !p.is_empty()) {
        let short = part.split(' ').count() < WORDS;
        match whole.last_mut() {
            Some(before) if short || before.split(' ').count() < WORDS => {
                before.push(' ');
                before.push_str(&part);
            }
            _ => whole.push(part),
        }
    }
    if whole.len() < 2 {
        return Vec::new();
    }
    whole.truncate(MOST);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_and_joining_words_part_it() {
        assert_eq!(
            clauses("Find the nearest hospital and book a taxi, then send Bob an email."),
            ["Find the nearest hospital", "book a taxi,", "send Bob an email."]
        );
        assert_eq!(clauses("Weather in Paris, France today?"), Vec::<String>::new());
        assert!(clauses("").is_empty() && clauses("one piece only, no").is_empty());
    }
}
