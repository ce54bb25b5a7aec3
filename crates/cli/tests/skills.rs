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

#[test]
fn a_trained_second_stage_ranks_what_is_searched() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let tools = [
        (
            "forecast",
            "Tells the weather forecast of a city",
            ["will it rain", "how warm is it today", "sun or clouds tomorrow"],
        ),
        (
            "transfer",
            "Transfers money between accounts",
            ["pay my rent", "send Bob ten dollars", "wire the fee to Anna"],
        ),
        (
            "recipe",
            "Finds a recipe for a meal",
            [
                "what can I cook",
                "dinner from rice and beans",
                "how is soup made",
            ],
        ),
    ];
    let (mut entries, mut queries) = (String::new(), String::new());
    for (name, about, asked) in tools {
        entries.push_str(&format!(
            "{}\n",
            serde_json::json!({"id": name, "name": name, "description": about})
        ));
        for text in asked {
            queries.push_str(&format!(
                "{}\n",
                serde_json::json!({"query": text, "gold": [name]})
            ));
        }
    }
    fs::write(at("tools.jsonl"), entries).unwrap();
    fs::write(at("queries.jsonl"), queries).unwrap();
    let (data, index, file) = (folder.path().to_str().unwrap(), at("index"), at("reranker"));
    let trained = fingerpost(&["train", "skill-reranker", "--data", data, "--out", &file]).run();
    assert_eq!(trained.code, 0, "{}", trained.err);
    let built = fingerpost(&["skills", "index", &at("tools.jsonl"), "--to", &index]).run();
    assert_eq!(built.code, 0, "{}", built.err);

    let search = |more: &[&str]| {
        let text = "send Bob ten dollars";
        fingerpost(&[&["skills", "search", "--index", &index, text][..], more].concat()).run()
    };
    let json = search(&["--reranker", &file, "--json"]).json();
    assert_eq!(json["found"][0]["id"], "transfer");
    assert!((0.0..=1.0).contains(&json["fits"].as_f64().unwrap()));
    let text = search(&["--reranker", &file, "-k", "1"]);
    assert!(
        text.out.contains("1. transfer (tool)") && text.out.contains("by its "),
        "{}",
        text.out
    );

    let foreign = search(&["--reranker", &at("tools.jsonl")]);
    assert_eq!(foreign.code, 1);
    assert!(
        foreign
            .err
            .contains("make one with `fingerpost train skill-reranker`"),
        "{}",
        foreign.err
    );
}
