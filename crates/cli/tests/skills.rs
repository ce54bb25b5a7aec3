//! `fingerpost skills` as a user meets it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod binary;

use std::fs;

use binary::fingerpost;

#[test]
fn a_library_is_grouped_and_its_look_alikes_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (source, svg) = (at("skills.jsonl"), at("tree.svg"));
    let about = [
        ("forecast", "Tells the weather forecast of a city"),
        ("weather", "Tells the weather forecast of a town"),
        ("transfer", "Transfers money between bank accounts"),
        ("balance", "Shows the balance of a bank account"),
        ("recipe", "Finds a recipe for a meal"),
        ("calories", "Counts the calories of a meal"),
    ];
    let lines =
        about.map(|(name, about)| format!("{{\"name\": \"{name}\", \"description\": \"{about}\"}}\n"));
    fs::write(&source, lines.concat()).unwrap();
    let ran = fingerpost(&[
        "skills",
        "tree",
        &source,
        "--group-size",
        "3",
        "--svg",
        &svg,
        "--json",
    ])
    .run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let json = ran.json();
    assert_eq!(
        (&json["entries"], &json["depth"], &json["groups"]),
        (&6.into(), &2.into(), &3.into())
    );
    assert_eq!(json["audit"]["look_alikes"][0]["one"], "forecast");
    assert_eq!(json["audit"]["look_alikes"][0]["same_page"], true);
    assert!(fs::read_to_string(&svg).unwrap().starts_with("<svg"));
    let ran = fingerpost(&["skills", "tree", &source, "--group-size", "3"]).run();
    assert!(
        ran.out.contains("6 entries in 3 groups, 2 pages deep"),
        "{}",
        ran.out
    );

    fs::write(&source, "{\"name\": \"a\"}\n{\"description\": \"nobody\"}\n").unwrap();
    let ran = fingerpost(&["skills", "tree", &source]).run();
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("skills.jsonl:2: neither id nor name"),
        "{}",
        ran.err
    );
}

#[test]
fn a_team_becomes_skills_and_who_cannot_stays() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (team, to) = (at("team.yaml"), at("skills"));
    let yaml = "name: writers\nagents:\n\
                - {name: researcher, role: Finds sources, prompt: Search first, tools: [web]}\n\
                - {name: ../writer, role: Writes the report, prompt: Be brief}\n\
                - {name: critic, role: Attacks the report, adversarial: true}\n\
                edges:\n- {from: researcher, to: ../writer}\n- {from: ../writer, to: critic}\n\
                protocol: {supervised: true}\n";
    fs::write(&team, yaml).unwrap();
    let ran = fingerpost(&["skills", "compile", &team, "--to", &to, "--json"]).run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let json = ran.json();
    assert_eq!(json["kept"][0]["reasons"][0], "adversarial");
    assert!(json["savings"]["tokens_saved"].as_f64().unwrap() > 0.0, "{json}");
    let skill = fs::read_to_string(folder.path().join("skills/writer/SKILL.md")).unwrap();
    assert!(
        skill.contains("requires: [\"researcher\"]") && skill.ends_with("Be brief\n"),
        "{skill}"
    );
    let ran = fingerpost(&["skills", "compile", &team]).run();
    assert!(
        ran.out.contains("critic stays an agent: adversarial"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("saved: "), "{}", ran.out);

    fs::write(&team, yaml.replace("to: critic", "to: nobody")).unwrap();
    let ran = fingerpost(&["skills", "compile", &team]).run();
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("`nobody`, who is no agent of the team"),
        "{}",
        ran.err
    );
}
