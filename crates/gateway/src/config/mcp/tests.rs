//! The section as a file has it: what is wrong, and where.

use super::super::load::load;

/// What is told of a section: place and message of each problem.
fn told(section: &str) -> Vec<String> {
    let environment = |name: &str| (name == "TOKEN").then(|| "sesame-open".to_owned());
    let problems = match load(section, "sample.yaml", &environment) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    };
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(!told.concat().contains("sesame"), "{told:#?}");
    told
}

/// That some problem names this line, this key and this text.
fn names(told: &[String], line: usize, path: &str, text: &str) {
    let is_it = |told: &String| {
        told.contains(&format!("sample.yaml:{line}:"))
            && told.contains(&format!("at: {path}\n"))
            && told.contains(text)
            || told.ends_with(&format!("at: {path}")) && told.contains(text)
    };
    assert!(
        told.iter().any(is_it),
        "{line} {path} {text}\n{}",
        told.join("\n\n")
    );
}

#[test]
fn a_sound_section_is_enough_of_a_file() {
    let told = told(
        "mcp:\n  servers:\n  - { name: a, command: x, env: { API_KEY: \"${TOKEN}\", LEVEL: low } }\n  \
         - { name: b, url: \"https://h/mcp\", headers: { authorization: \"Bearer ${TOKEN}\" } }\n  \
         backups: [ { tool: \"a::x\", instead: [\"b::y\"] } ]\n  http: { token: \"${TOKEN}\" }\n",
    );
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].starts_with("warning: no model is configured"),
        "{}",
        told[0]
    );
}

#[test]
fn what_is_wrong_is_told_with_line_and_key() {
    let told = told(
        "mcp:
  servers:
    - { name: a__b, command: x }
    - { name: twice, command: x, url: \"http://h\" }
    - { name: twice, timeout: 0s }
    - name: secret
      url: ftp://h
      headers: { authorization: Bearer abc, accept: x }
    - name: more
      command: x
      env: { GITHUB_TOKEN: ghp_abc }
      tools: { t: { cost: -1 } }
  backups:
    - { tool: x, instead: [] }
    - { tool: \"moer::t\", instead: [\"secret::t\"] }
    - { tool: \"more::t\", instead: [\"more::t\"] }
  limits: { result: 0 }
  reconnect: { first: 1s, longest: 10ms }
  http: { token: abc }
",
    );
    names(
        &told,
        3,
        "mcp.servers[0].name",
        "cannot be the name of a server: `a__b`",
    );
    names(&told, 4, "mcp.servers[1].url", "a `command` or a `url`, not both");
    names(
        &told,
        5,
        "mcp.servers[2].name",
        "a server of this name stands here already: `twice`",
    );
    names(
        &told,
        5,
        "mcp.servers[2]",
        "nothing says how this server is reached",
    );
    names(&told, 5, "mcp.servers[2].timeout", "lets no call through");
    names(&told, 7, "mcp.servers[3].url", "is no address of a server");
    names(
        &told,
        8,
        "mcp.servers[3].headers.authorization",
        "a secret does not belong in this file",
    );
    names(
        &told,
        8,
        "mcp.servers[3].headers.accept",
        "a header that the protocol sets itself",
    );
    names(
        &told,
        11,
        "mcp.servers[4].env.GITHUB_TOKEN",
        "a secret does not belong in this file",
    );
    names(
        &told,
        12,
        "mcp.servers[4].tools.t.cost",
        "no price of a call: `-1`",
    );
    names(&told, 14, "mcp.backups[0].tool", "no name of a tool: `x`");
    names(
        &told,
        14,
        "mcp.backups[0].instead",
        "nobody does the work instead",
    );
    names(&told, 15, "mcp.backups[1].tool", "unknown server `moer`");
    names(
        &told,
        16,
        "mcp.backups[2].instead[0]",
        "cannot stand in for itself",
    );
    names(&told, 17, "mcp.limits.result", "nothing fits into `0`");
    names(&told, 18, "mcp.reconnect.longest", "shorter than the first pause");
    names(
        &told,
        19,
        "mcp.http.token",
        "a secret does not belong in this file",
    );
    assert!(!told.concat().contains("ghp_abc"), "{told:#?}");
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_one() {
    let told = told("mcp:\n  servers:\n    - { name: a, comand: x }\n");
    assert!(
        told[0].contains("unknown key `comand`") && told[0].contains("sample.yaml:3:"),
        "{}",
        told[0]
    );
    assert!(told[0].contains("did you mean `command`?"), "{}", told[0]);
}
