use std::sync::Arc;

use fingerpost_encode::StaticEncoder;

use super::*;

fn index(entries: Vec<Entry>) -> Index {
    let mut index = Index::new(Arc::new(StaticEncoder::bundled())).unwrap();
    index.sync(entries, &|_| true).unwrap();
    index
}

fn skill(id: &str, name: &str, description: &str, body: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        description: description.to_owned(),
        body: body.to_owned(),
        ..Entry::named(id, Kind::Skill)
    }
}

#[test]
fn each_way_of_being_the_same_is_found_and_chains_are_one_family() {
    let body =
        "Open the file, read each of its lines, and count how many words there are in all of them together.";
    let other_body =
        "Open the file, read each of its lines, and count how many words there are in all of them at once.";
    let index = index(vec![
        skill("a/count", "word-count", "Counts words of files", body),
        skill("b/count", "word-count", "Counts words of files", body),
        skill("c/count", "wordCount", "Ein anderer Text", ""),
        skill("d/tally", "tally", "Something about tallies of texts", other_body),
        skill(
            "e/weather",
            "weather",
            "The forecast for tomorrow in any city of the world",
            "",
        ),
        skill(
            "f/forecast",
            "forecast city weather",
            "The forecast for tomorrow in any city of the world",
            "",
        ),
        skill("g/paint", "paint", "Makes a picture with brush and canvas", ""),
        Entry {
            description: "Counts words of files".to_owned(),
            ..Entry::named("word-count", Kind::Tool)
        },
    ]);
    let families = families(&index, &Nearness::default(), &mut |_, _| true).unwrap();
    let members: Vec<Vec<&str>> = families
        .iter()
        .map(|f| f.members.iter().map(Name::as_str).collect())
        .collect();
    assert_eq!(
        members[0],
        ["d/tally", "a/count", "b/count", "c/count"],
        "{families:#?}"
    );
    assert_eq!(members[1], ["e/weather", "f/forecast"]);
    assert_eq!(members.len(), 2);
    let reasons: Vec<&Reason> = families[0].joins.iter().map(|j| &j.reason).collect();
    assert!(
        matches!(reasons[..], [Reason::Content, Reason::Name, Reason::Words(_)]),
        "{reasons:?}"
    );
    assert!(matches!(
        families[1].joins[0].reason,
        Reason::Words(_) | Reason::Meaning(_)
    ));
    assert!(families_of_nothing().is_empty());
}

fn families_of_nothing() -> Vec<Family> {
    families(&index(Vec::new()), &Nearness::default(), &mut |_, _| true).unwrap()
}

#[test]
fn what_is_turned_off_joins_nobody() {
    let index = index(vec![
        skill("a", "lint", "Checks the style of code", ""),
        skill("b", "lint", "Removes fluff from clothes", ""),
    ]);
    let none = Nearness {
        by_name: false,
        words: 1.0,
        meaning: 1.0,
    };
    assert!(families(&index, &none, &mut |_, _| true).unwrap().is_empty());
    assert_eq!(
        families(&index, &Nearness::default(), &mut |_, _| true)
            .unwrap()
            .len(),
        1
    );
    assert!(families(&index, &Nearness::default(), &mut |_, _| false).is_none());
}
